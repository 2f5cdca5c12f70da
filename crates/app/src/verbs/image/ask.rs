//! What is asked for on the command line and by a build output.

use std::io::Read;
use std::path::PathBuf;

use kiban_delivery::image::ask::{Ask, builds};

use super::Set;

/// The largest build output, in bytes.
const MAX_BUILDS: u64 = 16 << 20;

/// What is to be set, and where.
pub(super) struct Asked {
    /// By `NAME=IMAGE`.
    pub named: Vec<Ask>,
    /// By a build output, whose names are those of `skaffold.yaml`.
    pub built: Vec<Ask>,
    /// The folder, where one was given.
    pub folder: Option<PathBuf>,
}

impl Asked {
    /// Reads the words and the file.
    ///
    /// # Errors
    /// What asks for no image, or nothing that asks for any.
    pub(super) fn of(set: &Set) -> anyhow::Result<Self> {
        let mut named = Vec::new();
        let mut folders = Vec::new();
        for word in &set.words {
            if word.contains('=') {
                named.extend(Ask::parse(word)?);
            } else {
                folders.push(word);
            }
        }
        if let [_, more, ..] = folders.as_slice() {
            anyhow::bail!("{more:?} is no NAME=IMAGE, and there is one folder at most");
        }
        let built = match &set.build_output {
            None => Vec::new(),
            Some(path) => {
                let shown = path.display().to_string();
                let cannot = |e: std::io::Error| anyhow::anyhow!("cannot read {shown}: {e}");
                let file = std::fs::File::open(path).map_err(cannot)?;
                let mut bytes = Vec::new();
                file.take(MAX_BUILDS + 1).read_to_end(&mut bytes).map_err(cannot)?;
                anyhow::ensure!(
                    bytes.len() as u64 <= MAX_BUILDS,
                    "{shown} is larger than {MAX_BUILDS} bytes"
                );
                builds(&shown, &bytes)?
            }
        };
        // As kubectl says it.
        anyhow::ensure!(!named.is_empty() || !built.is_empty(), "at least one image update is required");
        Ok(Self { named, built, folder: folders.first().map(PathBuf::from) })
    }
}
