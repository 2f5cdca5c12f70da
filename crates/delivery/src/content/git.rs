//! A commit of a git repository as content.

use std::sync::Arc;

use kiban_git::{Mode, Objects, Oid, Store};

use super::{Content, Entry, Unreadable};

/// The largest file that is read, in bytes: what a reader of manifests takes.
const MAX_FILE: u64 = 4 << 20;

/// Where the objects of a commit lie.
#[derive(Clone, Debug)]
pub enum Place {
    /// A store that was fetched into.
    Store(Arc<Store>),
    /// A repository on this machine.
    Local(Arc<kiban_git::Local>),
}

impl Place {
    /// The objects.
    pub fn objects(&self) -> &Objects {
        match self {
            Self::Store(store) => store.objects(),
            Self::Local(local) => local.objects(),
        }
    }
}

/// The files of a commit.
#[derive(Clone, Debug)]
pub struct GitContent {
    place: Place,
    commit: Oid,
    name: String,
}

impl GitContent {
    /// The files of `commit`, whose objects are there.
    pub fn new(place: Place, commit: Oid) -> Self {
        Self { place, name: commit.to_string(), commit }
    }

    /// The commit's id.
    pub fn id(&self) -> Oid {
        self.commit
    }
}

fn unreadable(path: &str, error: &kiban_git::Error) -> Unreadable {
    Unreadable { path: path.to_owned(), problem: error.to_string() }
}

impl Content for GitContent {
    fn commit(&self) -> &str {
        &self.name
    }

    fn folder(&self, path: &str) -> Result<Vec<Entry>, Unreadable> {
        let rows = self.place.objects().list(self.commit, path).map_err(|e| unreadable(path, &e))?;
        let entry = |(name, side): (String, kiban_git::Side)| Entry {
            name,
            id: side.id.to_string(),
            is_folder: side.mode == Mode::Tree,
        };
        Ok(rows.into_iter().map(entry).collect())
    }

    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        let read = self.place.objects().read_path(self.commit, path, MAX_FILE);
        read.map(|bytes| bytes.map(|b| b.to_vec())).map_err(|e| unreadable(path, &e))
    }
}
