//! Files that are there whole or not at all, also after the power went.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::Error;

/// Gives a temporary file its name, once its bytes are on the disk.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<(), Error> {
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    file.persist(path).map_err(|why| Error::io("write", path)(why.error))?;
    Ok(())
}

/// Makes names in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io("write", folder))
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let file = tempfile::Builder::new().prefix("tmp_").tempfile_in(folder);
    let mut file = file.map_err(Error::io("create a file in", folder))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    persist(file, path)?;
    sync_folder(folder)
}

/// A small file, or nothing where there is none.
pub(crate) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        // A folder where a file is asked for, or a file where a folder should be, is no file.
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(why) => return Err(Error::io("open", path)(why)),
    };
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > most {
        return Err(Error::Limit { what: path.display().to_string(), limit: format!("{most} bytes") });
    }
    Ok(Some(bytes))
}

/// One of our errors that came through a reader, or what the reader's own error means.
pub(crate) fn inner(why: io::Error, otherwise: impl FnOnce(io::Error) -> Error) -> Error {
    why.downcast::<Error>().unwrap_or_else(otherwise)
}
