//! Reads trees without a checkout: walks, single files, and what changed between two commits.

use std::collections::BTreeMap;

use bytes::Bytes;
use gix_validate::path::component;

use crate::Oid;
use crate::error::{Error, tame};
use crate::object::{Commit, Kind, Mode, Object, Row, rows, tag_target};
use crate::objects::Objects;
use crate::pack::read::within;
use crate::task::Task;

/// How deep folders may lie in each other.
const DEPTH: usize = 128;
/// How long a path may be, in bytes: what systems take.
const LONGEST: usize = 4096;
/// How often a tag may point at a tag.
const TAGS: usize = 8;

/// A file of a commit; or a link or submodule, which nobody reads by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path from the root, with slashes.
    pub path: String,
    /// What it is. Never a folder.
    pub mode: Mode,
    /// Its content; of a submodule, a commit of the other repository.
    pub id: Oid,
}

/// One side of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// What it is.
    pub mode: Mode,
    /// Its content.
    pub id: Oid,
}

/// A path that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path from the root.
    pub path: String,
    /// What was there before. Nothing: the path is new.
    pub before: Option<Side>,
    /// What is there after. Nothing: the path is gone.
    pub after: Option<Side>,
}

/// Checks a path as it may stand in a tree: relative, no empty part, no `.`, `..` or `.git` in any of the
/// spellings that some file system takes for it, no NUL or backslash.
///
/// # Errors
/// Where a part is refused.
pub fn check_path(path: &str) -> Result<(), Error> {
    if path.len() > LONGEST {
        return Err(refuse(path.as_bytes(), "the path is too long"));
    }
    path.split('/')
        .try_for_each(|part| check_part(part.as_bytes()).map(drop))
        .map_err(|why| refuse(path.as_bytes(), why))
}

fn refuse(path: &[u8], why: &'static str) -> Error {
    Error::Path { path: tame(path, 1000), why }
}

/// Checks one part of a path.
fn check_part(part: &[u8]) -> Result<&str, &'static str> {
    let options = component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    if part.is_empty() {
        return Err("a part of the path is empty");
    }
    if part.contains(&0) {
        return Err("a path holds no NUL");
    }
    if part == b"." || part == b".." {
        return Err("a path holds no . and no .. as a part");
    }
    if part.contains(&b'\\') || gix_validate::path::component(part.into(), None, options).is_err() {
        return Err("a part is .git, or what some file system takes for it, or holds a backslash");
    }
    std::str::from_utf8(part).map_err(|_| "the name is not UTF-8: rename the file")
}

/// The path of a row in a folder.
fn join(folder: &str, name: &[u8]) -> Result<String, Error> {
    match check_part(name) {
        Ok(name) if folder.len() + name.len() >= LONGEST => {
            Err(refuse(folder.as_bytes(), "holds a path that is too long"))
        }
        Ok(name) if folder.is_empty() => Ok(name.to_owned()),
        Ok(name) => Ok(format!("{folder}/{name}")),
        Err(why) => Err(refuse(&[folder.as_bytes(), b"/", name].concat(), why)),
    }
}

/// Which paths are asked for.
struct Wanted<'a>(&'a [&'a str]);

impl<'a> Wanted<'a> {
    fn new(prefixes: &'a [&'a str]) -> Result<Self, Error> {
        prefixes.iter().map(|p| trimmed(p)).filter(|p| !p.is_empty()).try_for_each(check_path)?;
        Ok(Self(prefixes))
    }

    /// Whether a path is below a prefix, or is one.
    fn holds(&self, path: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|p| below(path, trimmed(p)))
    }

    /// Whether something below a folder can be asked for.
    fn leads(&self, folder: &str) -> bool {
        self.holds(folder) || self.0.iter().any(|p| below(trimmed(p), folder))
    }
}

fn trimmed(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

fn below(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Objects {
    /// A commit; a tag is followed to its commit.
    ///
    /// # Errors
    /// Where it is missing, broken, or no commit.
    pub fn commit(&self, id: Oid) -> Result<Commit, Error> {
        let id = self.peel(id)?;
        Commit::read(id, &self.get_as(&id, Kind::Commit)?.data)
    }

    /// The commit that an id stands for: itself, or what a tag points at.
    ///
    /// # Errors
    /// Where it is missing, or is neither.
    pub fn peel(&self, id: Oid) -> Result<Oid, Error> {
        let mut at = id;
        for _ in 0..TAGS {
            match self.get(&at)? {
                Object { kind: Kind::Commit, .. } => return Ok(at),
                Object { kind: Kind::Tag, data } => at = tag_target(at, &data)?,
                Object { kind, .. } => {
                    return Err(Error::object(
                        at,
                        format!("it is a {}, where a commit is expected", kind.word()),
                    ));
                }
            }
        }
        Err(Error::object(id, "it is a tag of a tag, without an end"))
    }

    /// The files of a commit below a path, in the order of their names. An empty path means all.
    ///
    /// # Errors
    /// Where an object is missing or broken, a name below the path is refused, or there are more files than
    /// the limit.
    pub fn walk(&self, commit: Oid, below: &str, task: &Task) -> Result<Vec<Entry>, Error> {
        let prefixes = [below];
        let wanted = Wanted::new(&prefixes)?;
        let mut found = Vec::new();
        self.each_change(None, Some(self.commit(commit)?.tree), &wanted, task, &mut |path, _, after| {
            found.extend(after.map(|side| Entry { path, mode: side.mode, id: side.id }));
        })?;
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// What lies in a folder of a commit by name, folders included, not what is below those; nothing where
    /// there is no such folder. An empty path means the root. Equal ids of folders mean that all below is equal.
    ///
    /// # Errors
    /// Where the path or a name in the folder is refused, or an object is missing or broken.
    pub fn list(&self, commit: Oid, path: &str) -> Result<BTreeMap<String, Side>, Error> {
        let mut tree = self.commit(commit)?.tree;
        if !path.is_empty() {
            check_path(path)?;
            for part in path.split('/') {
                let object = self.get_as(&tree, Kind::Tree)?;
                let rows = rows(tree, &object.data)?;
                let found = rows.iter().find(|row| row.name == part.as_bytes() && row.mode == Mode::Tree);
                let Some(row) = found else { return Ok(BTreeMap::new()) };
                tree = row.id;
            }
        }
        let object = self.get_as(&tree, Kind::Tree)?;
        let named = |row: &Row<'_>| match check_part(row.name) {
            Ok(name) => Ok((name.to_owned(), Side { mode: row.mode, id: row.id })),
            Err(why) => Err(refuse(&[path.as_bytes(), b"/", row.name].concat(), why)),
        };
        rows(tree, &object.data)?.iter().map(named).collect()
    }

    /// What lies at a path of a commit; nothing where there is nothing, or a folder.
    ///
    /// # Errors
    /// Where the path is refused, or an object is missing or broken.
    pub fn entry(&self, commit: Oid, path: &str) -> Result<Option<Entry>, Error> {
        check_path(path)?;
        let mut tree = self.commit(commit)?.tree;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let object = self.get_as(&tree, Kind::Tree)?;
            let rows = rows(tree, &object.data)?;
            let Some(row) = rows.iter().find(|row| row.name == part.as_bytes()) else { return Ok(None) };
            match (row.mode, parts.peek()) {
                (Mode::Tree, Some(_)) => tree = row.id,
                (Mode::Tree, None) | (_, Some(_)) => return Ok(None),
                (mode, None) => return Ok(Some(Entry { path: path.to_owned(), mode, id: row.id })),
            }
        }
        Ok(None)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Where it is a symbolic link or a submodule, larger than `most` bytes, missing or broken.
    pub fn read_entry(&self, entry: &Entry, most: u64) -> Result<Bytes, Error> {
        match entry.mode {
            Mode::File | Mode::Executable => self.read(entry.id, most).map_err(|why| match why {
                Error::Limit { limit, .. } => {
                    Error::Limit { what: format!("the file {}", entry.path), limit }
                }
                other => other,
            }),
            Mode::Symlink => Err(refuse(
                entry.path.as_bytes(),
                "is a symbolic link, and links are not followed: put the file itself there",
            )),
            Mode::Submodule => Err(refuse(
                entry.path.as_bytes(),
                "is a submodule, and submodules are not fetched: put the files themselves there",
            )),
            Mode::Tree => Err(refuse(entry.path.as_bytes(), "is a folder")),
        }
    }

    /// The content of a file by its path; nothing where there is none.
    ///
    /// # Errors
    /// As [`Self::entry`] and [`Self::read_entry`].
    pub fn read_path(&self, commit: Oid, path: &str, most: u64) -> Result<Option<Bytes>, Error> {
        self.entry(commit, path)?.map(|entry| self.read_entry(&entry, most)).transpose()
    }

    /// The content of a blob, of at most `most` bytes.
    ///
    /// # Errors
    /// Where it is missing, broken, larger, or no blob.
    pub fn read(&self, id: Oid, most: u64) -> Result<Bytes, Error> {
        let object = self.get_as(&id, Kind::Blob)?;
        within(object.data.len() as u64, most)?;
        Ok(object.data)
    }

    /// The paths below the prefixes that differ between two commits, in order. No prefix means all; no `from`
    /// means that everything is new. Content is never read, and folders that are the same are not entered.
    ///
    /// # Errors
    /// Where an object is missing or broken, a changed name is refused, or there are more than the limit.
    pub fn changed(
        &self,
        from: Option<Oid>,
        to: Oid,
        prefixes: &[&str],
        task: &Task,
    ) -> Result<Vec<Change>, Error> {
        let before = from.map(|id| self.commit(id)).transpose()?.map(|commit| commit.tree);
        let after = self.commit(to)?.tree;
        let mut found = Vec::new();
        self.each_change(before, Some(after), &Wanted::new(prefixes)?, task, &mut |path, before, after| {
            found.push(Change { path, before, after });
        })?;
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Whether anything below the prefixes differs between two trees.
    pub(crate) fn differs(
        &self,
        before: Option<Oid>,
        after: Oid,
        prefix: &str,
        task: &Task,
    ) -> Result<bool, Error> {
        let prefixes = [prefix];
        let wanted = Wanted::new(&prefixes)?;
        let (mut before, mut after) = (before, Some(after));
        // Down to the prefix by name: below it ids tell.
        for part in trimmed(prefix).split('/').filter(|p| !p.is_empty()) {
            let step = |tree: Option<Oid>| -> Result<Option<Side>, Error> {
                let Some(tree) = tree else { return Ok(None) };
                let object = self.get_as(&tree, Kind::Tree)?;
                let found = rows(tree, &object.data)?.into_iter().find(|row| row.name == part.as_bytes());
                Ok(found.map(|row| Side { mode: row.mode, id: row.id }))
            };
            let (b, a) = (step(before)?, step(after)?);
            if b == a {
                return Ok(false);
            }
            if tree(b).is_none() && tree(a).is_none() {
                return Ok(wanted.holds(prefix));
            }
            (before, after) = (tree(b), tree(a));
        }
        task.check("compare trees")?;
        Ok(before != after)
    }

    fn each_change(
        &self,
        before: Option<Oid>,
        after: Option<Oid>,
        wanted: &Wanted<'_>,
        task: &Task,
        each: &mut dyn FnMut(String, Option<Side>, Option<Side>),
    ) -> Result<(), Error> {
        let mut todo = vec![(String::new(), before, after, 0)];
        let mut count = 0;
        let mut counted = || {
            count += 1;
            let limit = || format!("{} files and folders", task.limits.entries);
            let over = || Error::Limit { what: "what is asked for".to_owned(), limit: limit() };
            if count > task.limits.entries { Err(over()) } else { Ok(()) }
        };
        while let Some((folder, before, after, depth)) = todo.pop() {
            if before == after {
                continue;
            }
            task.check("compare trees")?;
            counted()?;
            if depth > DEPTH {
                return Err(refuse(folder.as_bytes(), "folders lie too deep in each other"));
            }
            let old = before.map(|id| self.get_as(&id, Kind::Tree).map(|o| (id, o))).transpose()?;
            let new = after.map(|id| self.get_as(&id, Kind::Tree).map(|o| (id, o))).transpose()?;
            for (name, (a, b)) in paired(old.as_ref(), new.as_ref())? {
                // Names outside of what is asked for may be anything.
                if a == b || !may_lead(wanted, &folder, name) {
                    continue;
                }
                let path = join(&folder, name)?;
                let (trees, leaves) = ((tree(a), tree(b)), (leaf(a), leaf(b)));
                if trees != (None, None) {
                    todo.push((path.clone(), trees.0, trees.1, depth + 1));
                }
                if leaves != (None, None) && wanted.holds(&path) {
                    counted()?;
                    each(path, leaves.0, leaves.1);
                }
            }
        }
        Ok(())
    }
}

fn tree(side: Option<Side>) -> Option<Oid> {
    side.filter(|side| side.mode == Mode::Tree).map(|side| side.id)
}

fn leaf(side: Option<Side>) -> Option<Side> {
    side.filter(|side| side.mode != Mode::Tree)
}

fn may_lead(wanted: &Wanted<'_>, folder: &str, name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    wanted.leads(&if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") })
}

type Sides = (Option<Side>, Option<Side>);

/// The rows of two trees by name.
fn paired<'a>(
    old: Option<&'a (Oid, Object)>,
    new: Option<&'a (Oid, Object)>,
) -> Result<BTreeMap<&'a [u8], Sides>, Error> {
    let side = |row: &Row<'_>| Side { mode: row.mode, id: row.id };
    let mut pairs: BTreeMap<&[u8], Sides> = BTreeMap::new();
    if let Some((id, object)) = old {
        for row in rows(*id, &object.data)? {
            pairs.entry(row.name).or_default().0 = Some(side(&row));
        }
    }
    if let Some((id, object)) = new {
        for row in rows(*id, &object.data)? {
            pairs.entry(row.name).or_default().1 = Some(side(&row));
        }
    }
    Ok(pairs)
}
