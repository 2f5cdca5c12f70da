//! Where a repository's files come from: memory, a folder, later a commit.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The files of a repository.
pub trait Files {
    /// All paths, `/` between their parts, sorted.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The contents of a file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Paths that are there and are not read, because what is there is no file of the repository's own: symbolic
    /// links, pipes, folders that are called like a file.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn irregular(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Files in memory, by path.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    /// Files of texts.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect())
    }
}

impl Files for MemoryFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Files below a folder. Hidden ones, `rendered/` and symbolic links are left out: what a link names may lie
/// outside of the repository.
#[derive(Clone, Debug)]
pub struct DirFiles {
    root: PathBuf,
}

/// Folders nested deeper are not read.
const MAX_FOLDERS: usize = 16;
/// More files than this are no manifest repository.
const MAX_FILES: usize = 200_000;
/// The largest file that is read.
const MAX_FILE: u64 = 4 << 20;

/// What a walk through a folder found.
#[derive(Default)]
struct Found {
    files: Vec<String>,
    irregular: Vec<String>,
}

impl DirFiles {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn walk(&self, folder: &Path, prefix: &str, depth: usize, found: &mut Found) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || prefix.is_empty() && matches!(name.as_str(), "rendered" | "target") {
                continue;
            }
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type()?;
            let is_folder = kind.is_dir();
            if is_folder && path.ends_with(".yaml") {
                found.irregular.push(path.clone());
            }
            if is_folder && depth < MAX_FOLDERS {
                self.walk(&entry.path(), &path, depth + 1, found)?;
            } else if kind.is_file() {
                found.files.push(path);
            } else if !is_folder {
                found.irregular.push(path);
            }
            if found.files.len() + found.irregular.len() > MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files")));
            }
        }
        Ok(())
    }
}

impl Files for DirFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Found::default();
        self.walk(&self.root, "", 0, &mut found)?;
        found.files.sort();
        Ok(found.files)
    }

    fn irregular(&self) -> io::Result<Vec<String>> {
        let mut found = Found::default();
        self.walk(&self.root, "", 0, &mut found)?;
        found.irregular.sort();
        Ok(found.irregular)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = self.root.join(path);
        if std::fs::metadata(&path)?.len() > MAX_FILE {
            return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
        }
        std::fs::read(path)
    }
}
