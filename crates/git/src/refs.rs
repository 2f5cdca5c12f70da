//! Refs in files: names for commits, changed one at a time, each whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::Oid;
use crate::error::{Error, tame};
use crate::files;
use crate::object::id_from_hex;

/// How long a chain of names may be, and how deep folders of refs.
const DEPTH: usize = 5;
const FOLDERS: usize = 32;
/// What a line of the protocol, and a name of a file below a folder, can hold on every system.
const LONGEST: usize = 1000;
/// A file with one ref.
const ONE: u64 = 4096;
/// The file with all packed refs.
const ALL: u64 = 256 << 20;

/// How long a lock is waited for, as git waits for that of packed refs, and the shortest and longest pause.
const WAIT: Duration = Duration::from_secs(1);
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// No change of a ref takes that long: a lock this old may be that of a process that was killed.
const STALE: Duration = Duration::from_secs(600);

/// The refs of a repository.
#[derive(Debug, Clone)]
pub(crate) struct Refs {
    /// Where HEAD lies.
    pub(crate) own: PathBuf,
    /// Where all else lies: another folder where the working folder is one of several.
    pub(crate) common: PathBuf,
}

/// What a file holds.
enum Held {
    Id(Oid),
    Name(String),
}

/// Checks that a name can be one of a ref: `refs/…`, and no part that a file system or git reads otherwise.
///
/// # Errors
/// Where it is none.
pub fn check_name(name: &str) -> Result<(), Error> {
    let refuse = |why: String| Error::RefName { name: tame(name.as_bytes(), 200), why };
    if !name.starts_with("refs/") {
        return Err(refuse("it must begin with refs/, as refs/heads/main does".to_owned()));
    }
    if name.len() > LONGEST {
        return Err(refuse(format!("it is longer than {LONGEST} bytes")));
    }
    gix_validate::reference::name(name.as_bytes().into()).map_err(|why| refuse(why.to_string()))?;
    Ok(())
}

impl Refs {
    /// Where a ref is now.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Oid>, Error> {
        let mut name = name.to_owned();
        for _ in 0..DEPTH {
            match self.held(&name)? {
                Some(Held::Id(id)) => return Ok(Some(id)),
                Some(Held::Name(next)) => name = next,
                None => return Ok(self.packed()?.remove(&name)),
            }
        }
        Err(Error::RefName { name, why: format!("it is a name of a name, more than {DEPTH} times") })
    }

    /// The name that HEAD stands for.
    pub(crate) fn head(&self) -> Result<Option<String>, Error> {
        Ok(match self.held("HEAD")? {
            Some(Held::Name(name)) => Some(name),
            _ => None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        if name == "HEAD" { self.own.join(name) } else { self.common.join(name) }
    }

    fn held(&self, name: &str) -> Result<Option<Held>, Error> {
        if name != "HEAD" {
            check_name(name)?;
        }
        let path = self.path(name);
        let Some(text) = files::read(&path, ONE)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let text = text.trim_end();
        let found = match text.strip_prefix("ref:") {
            Some(next) => Some(Held::Name(next.trim().to_owned())),
            None => id_from_hex(text.as_bytes()).map(Held::Id),
        };
        found.map(Some).ok_or_else(|| Error::RefName {
            name: name.to_owned(),
            why: format!("{} holds no id", path.display()),
        })
    }

    fn packed(&self) -> Result<BTreeMap<String, Oid>, Error> {
        let Some(text) = files::read(&self.common.join("packed-refs"), ALL)? else {
            return Ok(BTreeMap::new());
        };
        let rows = text.split(|b| *b == b'\n').filter_map(|line| {
            let (hex, name) = line.split_at_checked(40)?;
            let name = std::str::from_utf8(name.strip_prefix(b" ")?).ok()?;
            Some((name.to_owned(), id_from_hex(hex)?))
        });
        Ok(rows.collect())
    }

    /// All refs whose names begin with one of the prefixes, in order of their names. No prefix means all.
    pub(crate) fn list(&self, prefixes: &[&str]) -> Result<Vec<(String, Oid)>, Error> {
        let wanted = |name: &str| prefixes.is_empty() || prefixes.iter().any(|p| name.starts_with(p));
        let mut found: BTreeMap<String, Oid> =
            self.packed()?.into_iter().filter(|(name, _)| wanted(name)).collect();
        let mut names = Vec::new();
        files_below(&self.common.join("refs"), "refs", FOLDERS, &mut names);
        for name in names.into_iter().filter(|name| wanted(name) && check_name(name).is_ok()) {
            // One that goes while they are listed is not there.
            if let Ok(Some(id)) = self.read(&name) {
                found.insert(name, id);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Sets a ref where it is at `expected`, or removes it. The change lasts when this returns. While another
    /// process holds the ref's lock, this waits for [`WAIT`] at most, and not beyond the deadline.
    pub(crate) fn update(
        &self,
        name: &str,
        expected: Option<Oid>,
        new: Option<Oid>,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        check_name(name)?;
        let most = Instant::now() + WAIT;
        let until = deadline.map_or(most, |deadline| most.min(deadline));
        let lock = Lock::take(&self.path(name), until)?;
        let current = self.read(name)?;
        if current != expected {
            return Err(Error::RefMoved { name: name.to_owned(), current, expected });
        }
        match new {
            Some(id) => lock.put(&format!("{id}\n")),
            None => {
                self.unpack(name, until)?;
                lock.remove()
            }
        }
    }

    /// Takes a name out of the packed refs.
    fn unpack(&self, name: &str, until: Instant) -> Result<(), Error> {
        let path = self.common.join("packed-refs");
        if !self.packed()?.contains_key(name) {
            return Ok(());
        }
        let lock = Lock::take(&path, until)?;
        let text = files::read(&path, ALL)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (mut out, mut gone) = (String::with_capacity(text.len()), false);
        for line in text.lines() {
            // A line that begins with ^ belongs to the one before.
            gone = if line.starts_with('^') { gone } else { line.get(41..) == Some(name) };
            if !gone {
                out.push_str(line);
                out.push('\n');
            }
        }
        lock.put(&out)
    }

    /// Removes locks that a killed process left. Only for who owns the repository alone.
    pub(crate) fn break_locks(&self) {
        let mut names = Vec::new();
        files_below(&self.common.join("refs"), "refs", FOLDERS, &mut names);
        names.push("packed-refs.lock".to_owned());
        for name in names.iter().filter(|name| name.ends_with(".lock")) {
            let _ = fs::remove_file(self.common.join(name));
        }
    }
}

fn files_below(folder: &Path, name: &str, depth: usize, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let Some(part) = file.to_str() else { continue };
        let name = format!("{name}/{part}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => files_below(&entry.path(), &name, depth - 1, found),
            Ok(kind) if kind.is_file() => found.push(name),
            _ => {}
        }
    }
}

/// The lock of a file, as git takes it: a file beside it that must not exist.
struct Lock {
    target: PathBuf,
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(target: &Path, until: Instant) -> Result<Self, Error> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let path = target.with_file_name(name);
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut pause = PAUSES.0;
        loop {
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { target: target.to_owned(), path, file }),
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => return Err(Error::io("create", &path)(why)),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Busy { path: target.to_owned(), why: held(&path) });
            }
            // Nobody wakes this thread: whoever holds the lock is another process, or knows nothing of it.
            std::thread::park_timeout(pause.min(left));
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn put(mut self, text: &str) -> Result<(), Error> {
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(Error::io("write", &self.path))?;
        // Empty folders of refs that are gone are in nobody's way.
        let _ = fs::remove_dir(&self.target);
        fs::rename(&self.path, &self.target).map_err(Error::io("write", &self.target))?;
        files::sync_folder(self.target.parent().unwrap_or(Path::new(".")))
    }

    fn remove(self) -> Result<(), Error> {
        match fs::remove_file(&self.target) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &self.target)(why)),
            _ => files::sync_folder(self.target.parent().unwrap_or(Path::new("."))),
        }
    }
}

/// Who holds a lock. Only one that is old may be nobody's.
fn held(lock: &Path) -> String {
    let age = fs::metadata(lock).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
    match age.filter(|age| *age >= STALE) {
        Some(age) => format!(
            "{} is there for {} minutes: if no process changes this repository any more, one was killed while it did; then remove that file",
            lock.display(),
            age.as_secs() / 60
        ),
        None => format!("another process holds {}; try again", lock.display()),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let refs = Refs { own: root.path().to_owned(), common: root.path().to_owned() };
        let id = id_from_hex(&[b'1'; 40]);
        let soon = Instant::now() + WAIT;
        let held = Lock::take(&refs.path("refs/heads/main"), soon).unwrap();
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                start.wait();
                refs.update("refs/heads/main", None, id, None)
            });
            start.wait();
            drop(held);
            waits.join().unwrap().unwrap();
        });
        assert_eq!(refs.read("refs/heads/main").unwrap(), id);
        let _held = Lock::take(&refs.path("refs/heads/main"), soon).unwrap();
        // Without time left nothing is waited for.
        let busy = refs.update("refs/heads/main", id, None, Some(Instant::now())).unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }) && !busy.to_string().contains("remove"), "{busy}");
        assert_eq!(refs.read("refs/heads/main").unwrap(), id);
    }
}
