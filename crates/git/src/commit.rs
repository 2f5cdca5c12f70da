//! Makes commits: a base, edits by path, and who and when as the caller says. The same input gives the same id.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Oid;
use crate::error::Error;
use crate::object::{Commit, Kind, Mode, Object, Who, id_of, rows, tree_order};
use crate::objects::Objects;
use crate::sign::SshKey;
use crate::store::{Hold, Store};
use crate::tree::check_path;

/// What becomes of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The file has this content. One that is there keeps its mode; a new one cannot be run.
    Write(Bytes),
    /// There is no such file.
    Delete,
}

/// A commit to be made.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// The commit that is changed, which becomes the parent. `None` begins a history.
    pub base: Option<Oid>,
    /// Paths and what becomes of them.
    pub edits: BTreeMap<String, Edit>,
    /// Who wrote the change, and when.
    pub author: Who,
    /// Who makes the commit, and when.
    pub committer: Who,
    /// The message. A line end is added where it has none.
    pub message: String,
}

/// Edits as a tree of names.
#[derive(Default)]
struct Folder<'a> {
    edits: BTreeMap<&'a str, &'a Edit>,
    folders: BTreeMap<&'a str, Folder<'a>>,
}

/// Objects that are made, and those that are there.
struct Work<'a> {
    objects: &'a Objects,
    made: BTreeMap<Oid, Object>,
}

impl Store {
    /// Makes a commit in the store, which keeps it for as long as the answer lives. `None` where the edits
    /// change nothing.
    ///
    /// # Errors
    /// Where a path, a name or the message cannot be written, an edit meets a link, a submodule, or a file
    /// where a folder should be, or an object of the base is missing.
    pub fn commit(&self, new: &NewCommit, key: Option<&SshKey>) -> Result<Option<Hold>, Error> {
        check_who("author", &new.author)?;
        check_who("committer", &new.committer)?;
        let message = message(&new.message)?;
        let base = new.base.map(|id| self.objects().commit(id)).transpose()?.map(|commit| commit.tree);
        let mut work = Work { objects: self.objects(), made: BTreeMap::new() };
        let tree = match work.folder(base, &sorted(&new.edits)?, "")? {
            Some(tree) => tree,
            None => work.put(Kind::Tree, Vec::new())?,
        };
        if base == Some(tree) {
            return Ok(None);
        }
        let mut head = format!("tree {tree}\n");
        if let Some(base) = new.base {
            head.push_str(&format!("parent {}\n", self.objects().peel(base)?));
        }
        head.push_str(&format!("author {}\ncommitter {}\n", new.author.line(), new.committer.line()));
        let signature = key.map(|key| key.sign(format!("{head}\n{message}").as_bytes())).transpose()?;
        if let Some(signature) = signature {
            head.push_str(&format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n ")));
        }
        let data = format!("{head}\n{message}").into_bytes();
        let id = work.put(Kind::Commit, data.clone())?;
        // What is written must be what is read.
        Commit::read(id, &data)?;
        self.write(id, &work.made).map(Some)
    }
}

impl Work<'_> {
    fn put(&mut self, kind: Kind, data: Vec<u8>) -> Result<Oid, Error> {
        let id = id_of(kind, &data)?;
        self.made.insert(id, Object { kind, data: data.into() });
        Ok(id)
    }

    /// The tree of a folder after the edits; `None` where nothing is left in it.
    fn folder(&mut self, old: Option<Oid>, folder: &Folder<'_>, path: &str) -> Result<Option<Oid>, Error> {
        let mut held: BTreeMap<Vec<u8>, (Mode, Oid)> = BTreeMap::new();
        if let Some(id) = old {
            let object = self.objects.get_as(&id, Kind::Tree)?;
            held.extend(rows(id, &object.data)?.iter().map(|row| (row.name.to_vec(), (row.mode, row.id))));
        }
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        for (name, inner) in &folder.folders {
            let old = match held.get(name.as_bytes()) {
                Some((Mode::Tree, id)) => Some(*id),
                // Deletes alone need no folder.
                Some(_) if inner.only_deletes() => continue,
                Some((mode, _)) => return Err(in_the_way(below(name), *mode)),
                None => None,
            };
            match self.folder(old, inner, &below(name))? {
                Some(id) => held.insert(name.as_bytes().to_vec(), (Mode::Tree, id)),
                None => held.remove(name.as_bytes()),
            };
        }
        for (name, edit) in &folder.edits {
            let there = held.get(name.as_bytes()).map(|(mode, _)| *mode);
            match (edit, there) {
                (Edit::Delete, None) => {}
                (Edit::Delete, Some(Mode::File | Mode::Executable | Mode::Symlink)) => {
                    held.remove(name.as_bytes());
                }
                (Edit::Write(data), None | Some(Mode::File | Mode::Executable)) => {
                    let id = self.put(Kind::Blob, data.to_vec())?;
                    held.insert(name.as_bytes().to_vec(), (there.unwrap_or(Mode::File), id));
                }
                (_, Some(mode)) => return Err(in_the_way(below(name), mode)),
            }
        }
        if held.is_empty() { Ok(None) } else { self.tree(held).map(Some) }
    }

    fn tree(&mut self, held: BTreeMap<Vec<u8>, (Mode, Oid)>) -> Result<Oid, Error> {
        let mut rows: Vec<(Vec<u8>, (Mode, Oid))> = held.into_iter().collect();
        rows.sort_by(|(a, (am, _)), (b, (bm, _))| tree_order((a, *am == Mode::Tree), (b, *bm == Mode::Tree)));
        let mut data = Vec::with_capacity(rows.len() * 40);
        for (name, (mode, id)) in rows {
            data.extend_from_slice(mode.octal().as_bytes());
            data.push(b' ');
            data.extend_from_slice(&name);
            data.push(0);
            data.extend_from_slice(id.as_slice());
        }
        self.put(Kind::Tree, data)
    }
}

fn in_the_way(path: String, mode: Mode) -> Error {
    let why = match mode {
        Mode::Symlink => "is a symbolic link, and links are not written through: remove it first",
        Mode::Submodule => "is a submodule, and is not changed from here",
        Mode::Tree => "is a folder, where a file is to be written: remove its files first",
        Mode::File | Mode::Executable => "is a file, where a folder is needed: remove it first",
    };
    Error::Path { path, why }
}

impl Folder<'_> {
    fn only_deletes(&self) -> bool {
        self.edits.values().all(|edit| **edit == Edit::Delete)
            && self.folders.values().all(Folder::only_deletes)
    }
}

/// How deep an edit may lie.
const DEPTH: usize = 64;

fn sorted(edits: &BTreeMap<String, Edit>) -> Result<Folder<'_>, Error> {
    let mut root = Folder::default();
    for (path, edit) in edits {
        check_path(path)?;
        if path.split('/').count() > DEPTH {
            return Err(Error::Path { path: path.clone(), why: "lies too deep" });
        }
        let mut at = &mut root;
        let (folders, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(f, n)| (f, n));
        for part in folders.split('/').filter(|p| !p.is_empty()) {
            at = at.folders.entry(part).or_default();
        }
        at.edits.insert(name, edit);
    }
    Ok(root)
}

fn check_who(what: &str, who: &Who) -> Result<(), Error> {
    let refuse =
        |why: &str| Err(Error::Given { what: format!("the {what} of the commit"), why: why.to_owned() });
    if who.name.trim().is_empty() || who.email.trim().is_empty() {
        return refuse("a name and an e-mail address are needed");
    }
    if [&who.name, &who.email].iter().any(|text| text.contains(['<', '>', '\n', '\0'])) {
        return refuse("the name and the address hold no <, >, line end or NUL");
    }
    if who.offset.abs() > 24 * 60 {
        return refuse("the offset from UTC is more than a day");
    }
    Ok(())
}

fn message(text: &str) -> Result<String, Error> {
    if text.contains('\0') || text.trim().is_empty() {
        return Err(Error::Given {
            what: "the message of the commit".to_owned(),
            why: "it is empty, or holds a NUL".to_owned(),
        });
    }
    Ok(if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") })
}
