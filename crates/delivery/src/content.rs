//! What a commit holds, by path. A commit of a git repository is one; a table of texts is another.

pub mod git;

use std::collections::BTreeMap;
use std::sync::Arc;

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// The id of its content: equal ids mean equal content, of a folder with all that is below it.
    pub id: String,
    /// A folder, or a file.
    pub is_folder: bool,
}

/// Why something of a commit cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Unreadable {
    /// Where in the repository.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

/// The files of one commit. Reading may take a disk's time: off the async threads with it.
pub trait Content: Send + Sync {
    /// The commit's id.
    fn commit(&self) -> &str;

    /// The entries of a folder, by name; none where there is no such folder. The root is `""`.
    ///
    /// # Errors
    /// A repository that is damaged; a symbolic link or submodule in the way.
    fn folder(&self, path: &str) -> Result<Vec<Entry>, Unreadable>;

    /// A file's bytes; none where there is no such file.
    ///
    /// # Errors
    /// As [`folder`](Self::folder), and a file that is too large.
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, Unreadable>;
}

/// All files below a folder with their paths, in the order of the paths.
///
/// # Errors
/// As [`Content::folder`].
pub fn files_below(content: &dyn Content, folder: &str) -> Result<Vec<(String, Entry)>, Unreadable> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in content.folder(&path)? {
            let below = join(&path, &entry.name);
            if entry.is_folder {
                open.push(below);
            } else {
                found.push((below, entry));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `folder/name`, and `name` at the root.
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryContent {
    commit: String,
    files: BTreeMap<String, Arc<[u8]>>,
}

impl MemoryContent {
    /// These files, by path, as the content of `commit`.
    pub fn new<P: Into<String>, B: AsRef<[u8]>>(
        commit: &str,
        files: impl IntoIterator<Item = (P, B)>,
    ) -> Self {
        let files = files.into_iter().map(|(path, bytes)| (path.into(), bytes.as_ref().into()));
        Self { commit: commit.to_owned(), files: files.collect() }
    }
}

impl Content for MemoryContent {
    fn commit(&self) -> &str {
        &self.commit
    }

    fn folder(&self, path: &str) -> Result<Vec<Entry>, Unreadable> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries: BTreeMap<&str, (bool, DefaultHasher)> = BTreeMap::new();
        for (file, bytes) in &self.files {
            let Some(rest) = file.strip_prefix(&prefix) else { continue };
            let (name, below) = rest.split_once('/').map_or((rest, ""), |(name, below)| (name, below));
            let (is_folder, id) =
                entries.entry(name).or_insert_with(|| (!below.is_empty(), DefaultHasher::new()));
            *is_folder |= !below.is_empty();
            (below, bytes).hash(id);
        }
        Ok(entries
            .into_iter()
            .map(|(name, (is_folder, id))| Entry {
                name: name.to_owned(),
                id: format!("{:016x}", id.finish()),
                is_folder,
            })
            .collect())
    }

    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(self.files.get(path).map(|bytes| bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_list_what_lies_in_them_and_their_ids_tell_contents_apart() {
        let a = MemoryContent::new("1", [("a/x", "1"), ("a/b/y", "2"), ("c", "3")]);
        let names = |c: &MemoryContent, p: &str| -> Vec<_> {
            c.folder(p).unwrap().into_iter().map(|e| (e.name, e.is_folder)).collect()
        };
        assert_eq!(names(&a, ""), [("a".into(), true), ("c".into(), false)]);
        assert_eq!(names(&a, "a"), [("b".into(), true), ("x".into(), false)]);
        assert!(names(&a, "z").is_empty());
        let b = MemoryContent::new("2", [("a/x", "1"), ("a/b/y", "changed"), ("c", "3")]);
        let ids = |c: &MemoryContent| -> Vec<_> { c.folder("").unwrap().into_iter().map(|e| e.id).collect() };
        assert_ne!(ids(&a)[0], ids(&b)[0]);
        assert_eq!(ids(&a)[1], ids(&b)[1]);
        let below: Vec<_> = files_below(&a, "a").unwrap().into_iter().map(|(p, _)| p).collect();
        assert_eq!(below, ["a/b/y", "a/x"]);
    }
}
