//! Where the messages of rollouts are, in a file of the data folder: one row a rollout, the last ones only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::notify::ThreadId;

/// The version of the file that this program writes.
const VERSION: u32 = 1;

/// Rollouts that are remembered.
const MAX: usize = 1_000;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Where the message of a rollout is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The channel's id.
    pub(super) channel: String,
    /// The message's own time stamp, by which Slack knows it.
    pub(super) ts: String,
    /// What tells the verdict apart that was told last; empty where none was.
    #[serde(default)]
    pub(super) told: String,
}

#[derive(Serialize, Deserialize)]
struct Row {
    env: String,
    commit: String,
    #[serde(flatten)]
    place: Place,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    version: u32,
    /// The oldest first.
    threads: Vec<Row>,
}

/// The places of the last rollouts.
#[derive(Debug)]
pub(super) struct Remembered {
    /// None: they are kept in memory alone.
    path: Option<PathBuf>,
    rows: Vec<(ThreadId, Place)>,
}

impl Remembered {
    /// What a file holds. One that cannot be read, or that a newer program wrote, is left as it is, and
    /// nothing is written: rollouts then begin threads of their own after a start.
    pub(super) fn open(path: Option<PathBuf>) -> Self {
        let Some(path) = path else { return Self { path: None, rows: Vec::new() } };
        match read(&path) {
            Ok(rows) => Self { path: Some(path), rows },
            Err(why) => {
                tracing::warn!(file = %path.display(), "where Slack's messages are is not known, and not kept: {why}");
                Self { path: None, rows: Vec::new() }
            }
        }
    }

    pub(super) fn get(&self, id: &ThreadId) -> Option<Place> {
        self.rows.iter().rev().find(|(known, _)| known == id).map(|(_, place)| place.clone())
    }

    pub(super) async fn set(&mut self, id: &ThreadId, place: Place) {
        self.rows.retain(|(known, _)| known != id);
        self.rows.push((id.clone(), place));
        let over = self.rows.len().saturating_sub(MAX);
        self.rows.drain(..over);
        let Some(path) = self.path.clone() else { return };
        let rows = self.rows.clone();
        // A disk may take its time.
        let written = tokio::task::spawn_blocking(move || write(&path, &rows).map_err(|e| (path, e))).await;
        if let Ok(Err((path, error))) = written {
            tracing::warn!(file = %path.display(), "cannot keep where Slack's messages are: {error}");
        }
    }
}

fn read(path: &Path) -> Result<Vec<(ThreadId, Place)>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is larger than 4 MiB".into());
    }
    let version = serde_json::from_slice::<serde_json::Value>(&bytes).map_err(|e| e.to_string())?;
    match version.get("version").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(VERSION) => {
            return Err(format!("it has version {found}, and this kiban knows up to {VERSION}"));
        }
        Some(_) => {}
        None => return Err("it says no version".into()),
    }
    let disk: OnDisk = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    let row = |row: Row| (ThreadId { env: row.env, commit: row.commit }, row.place);
    let mut rows: Vec<_> = disk.threads.into_iter().map(row).collect();
    rows.drain(..rows.len().saturating_sub(MAX));
    Ok(rows)
}

/// Writes the file so that it is there whole or as it was.
fn write(path: &Path, rows: &[(ThreadId, Place)]) -> io::Result<()> {
    let row = |(id, place): &(ThreadId, Place)| Row {
        env: id.env.clone(),
        commit: id.commit.clone(),
        place: place.clone(),
    };
    let disk = OnDisk { version: VERSION, threads: rows.iter().map(row).collect() };
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec(&disk)?)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}
