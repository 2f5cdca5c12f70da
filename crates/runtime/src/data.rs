//! The server's data folder: one process at a time, and a version that says who may write into it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The version of the folder's layout that this program writes.
pub const VERSION: u32 = 1;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be read or written.
    #[error("cannot use the data folder {path}: {what}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What failed.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses it.
    #[error("the data folder {path} is in use by another kiban{}; one process at a time may use it", process(.pid))]
    Taken {
        /// The folder.
        path: PathBuf,
        /// The other process, where it says so.
        pid: Option<u32>,
    },
    /// A newer program wrote it.
    #[error(
        "the data folder {path} has version {found}, and this kiban knows up to {VERSION}: run the newer kiban that wrote it, or take another folder; nothing was changed"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Its version is none.
    #[error("{path} holds {found:?}, which is no version of a data folder; nothing was changed")]
    Odd {
        /// The file.
        path: PathBuf,
        /// The beginning of what it holds.
        found: String,
    },
    /// It holds other things.
    #[error(
        "{path} is no data folder of kiban: it is not empty and has no file VERSION; nothing was changed"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
}

fn process(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A data folder that this process holds, until it is dropped.
#[derive(Debug)]
pub struct Data {
    path: PathBuf,
    /// Holds the lock; the system lets go of it whatever ends the process.
    _lock: File,
}

impl Data {
    /// Takes a folder, and makes it where it is not there.
    ///
    /// # Errors
    /// Where it cannot be used, another process holds it, or a newer program wrote it; then nothing in it
    /// was changed.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let folder = |what, source| DataError::Folder { path: path.to_owned(), what, source };
        let known = version(path)?;
        std::fs::create_dir_all(path).map_err(|e| folder("it cannot be made", e))?;
        let mut lock = OpenOptions::new();
        let lock = lock.create(true).read(true).write(true).truncate(false).open(path.join("lock"));
        let mut lock = lock.map_err(|e| folder("its file lock cannot be opened", e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = (&lock).take(32).read_to_string(&mut text);
                return Err(DataError::Taken { path: path.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(folder("its file lock cannot be locked", error)),
        }
        let told = lock.set_len(0).and_then(|()| lock.rewind());
        told.and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|e| folder("its file lock cannot be written", e))?;
        // Another process may have been there between the first look and the lock.
        if known.is_none() && version(path)?.is_none() {
            write_version(path).map_err(|e| folder("its file VERSION cannot be written", e))?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The folder's version; `None`: it is new.
fn version(path: &Path) -> Result<Option<u32>, DataError> {
    let file = path.join("VERSION");
    let folder = |what, source| DataError::Folder { path: path.to_owned(), what, source };
    let mut text = String::new();
    match File::open(&file) {
        Ok(open) => {
            open.take(64)
                .read_to_string(&mut text)
                .map_err(|e| folder("its file VERSION cannot be read", e))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return if is_new(path).map_err(|e| folder("it cannot be read", e))? {
                Ok(None)
            } else {
                Err(DataError::Foreign { path: path.to_owned() })
            };
        }
        Err(error) => return Err(folder("its file VERSION cannot be read", error)),
    }
    match text.trim().parse::<u32>() {
        Ok(found) if found > VERSION => Err(DataError::Newer { path: path.to_owned(), found }),
        Ok(found) if found > 0 => Ok(Some(found)),
        _ => Err(DataError::Odd { path: file, found: text.trim().to_owned() }),
    }
}

/// Whether there is no folder, or an empty one: as a mounted disk, with `lost+found` in it.
fn is_new(path: &Path) -> std::io::Result<bool> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        if name != "lock" && name != "lost+found" && name != ".VERSION.part" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the version so that it is there whole or not at all.
fn write_version(path: &Path) -> std::io::Result<()> {
    let part = path.join(".VERSION.part");
    let mut file = File::create(&part)?;
    writeln!(file, "{VERSION}")?;
    file.sync_all()?;
    std::fs::rename(&part, path.join("VERSION"))?;
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_process_at_a_time_holds_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/data");
        let held = Data::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("VERSION")).unwrap(), "1\n");
        let error = Data::open(&path).unwrap_err().to_string();
        let own = std::process::id();
        assert_eq!(
            error,
            format!(
                "the data folder {} is in use by another kiban (process {own}); one process at a time may use it",
                path.display()
            )
        );
        drop(held);
        Data::open(&path).unwrap();
    }

    #[test]
    fn what_others_wrote_is_refused_before_anything_is_written() {
        for (file, text, words) in [
            ("VERSION", "2\n", "has version 2, and this kiban knows up to 1: run the newer kiban"),
            ("VERSION", "", "holds \"\", which is no version of a data folder"),
            ("VERSION", "0\n", "holds \"0\", which is no version"),
            ("VERSION", "one\n", "holds \"one\", which is no version"),
            ("photos.zip", "x", "is no data folder of kiban: it is not empty and has no file VERSION"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), text).unwrap();
            let error = Data::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("nothing was changed"), "{error}");
            let names: Vec<_> =
                std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, [file]);
            assert_eq!(std::fs::read_to_string(folder.path().join(file)).unwrap(), text);
        }
    }

    #[test]
    fn a_start_that_was_cut_off_does_not_stand_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), "1\n").unwrap();
        std::fs::write(folder.path().join(".VERSION.part"), "").unwrap();
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        Data::open(folder.path()).unwrap();
    }
}
