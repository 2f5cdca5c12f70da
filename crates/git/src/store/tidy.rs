//! Keeps a store small: one pack of what is still needed, in place of all others.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{PoisonError, TryLockError};

use crate::Oid;
use crate::error::Error;
use crate::object::{Commit, Kind, Mode, rows};
use crate::pack::write::NewPack;
use crate::store::{Size, Store};
use crate::task::Task;

/// When a store is tidied, and what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tidy {
    /// From how many packs on.
    pub packs: usize,
    /// From how many bytes on.
    pub bytes: u64,
    /// How many commits of each ref are kept. `None`: all.
    pub commits: Option<usize>,
}

impl Default for Tidy {
    fn default() -> Self {
        Self { packs: 50, bytes: 1 << 30, commits: Some(100) }
    }
}

/// What tidying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tidied {
    /// What the store took before.
    pub before: Size,
    /// What it takes now.
    pub after: Size,
}

impl Store {
    /// Makes one pack of all that refs and holds reach, where the store has grown beyond what is allowed;
    /// history beyond the number of commits is cut off, and what nothing reaches goes. `None`: it has not, or
    /// something is being added right now.
    ///
    /// # Errors
    /// Where something that is reached cannot be read, or the pack not written. The store is as it was then.
    pub fn tidy(&self, when: Tidy, task: &Task) -> Result<Option<Tidied>, Error> {
        let before = self.size();
        if before.packs < when.packs && before.bytes < when.bytes {
            return Ok(None);
        }
        // Nobody waits for this, and this for nobody: there is another time.
        let _tidying = match self.tidying.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let mut tips: Vec<Oid> = self.refs.list(&[])?.into_iter().map(|(_, id)| id).collect();
        tips.extend(self.held.lock().unwrap_or_else(PoisonError::into_inner).keys());
        let reached = self.reach(&tips, when.commits.unwrap_or(usize::MAX), task)?;
        self.change_cuts(&reached.cut, &[])?;
        let old = self.objects.packs();
        let kept = if reached.ids.is_empty() { None } else { Some(self.repack(&reached.ids, task)?) };
        for (_, pack) in old.iter().filter(|(_, pack)| Some(&pack.path) != kept.as_ref()) {
            // The index first: without it the rest is not there.
            for path in [pack.path.with_extension("idx"), pack.path.clone()] {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        self.objects.refresh()?;
        let cuts = self.objects.shallow();
        let gone: Vec<Oid> = cuts.iter().copied().filter(|id| !reached.commits.contains(id)).collect();
        self.change_cuts(&[], &gone)?;
        Ok(Some(Tidied { before, after: self.size() }))
    }

    fn repack(&self, ids: &[Oid], task: &Task) -> Result<PathBuf, Error> {
        let mut pack = NewPack::begin(&self.path.join("objects/pack"), ids.len())?;
        for (number, id) in ids.iter().enumerate() {
            if number.is_multiple_of(64) {
                task.check("tidy the store")?;
            }
            pack = pack.add(*id, &self.objects.get(id)?)?;
        }
        pack.keep()
    }

    fn reach(&self, tips: &[Oid], commits: usize, task: &Task) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        let shallow = self.objects.shallow();
        // By breadth: the first time that a commit is met is the one with the fewest before it.
        let mut queue: VecDeque<(Oid, usize)> = tips.iter().map(|id| (*id, 1)).collect();
        let (mut trees, mut ends) = (Vec::new(), Vec::new());
        while let Some((id, depth)) = queue.pop_front() {
            if !reached.commits.insert(id) {
                continue;
            }
            task.check("tidy the store")?;
            reached.ids.push(id);
            let commit = Commit::read(id, &self.objects.get_as(&id, Kind::Commit)?.data)?;
            trees.push(commit.tree);
            if shallow.contains(&id) {
                continue;
            }
            if depth < commits {
                queue.extend(commit.parents.iter().map(|parent| (*parent, depth + 1)));
            } else {
                ends.push((id, commit.parents));
            }
        }
        // The end of one line may lie in the middle of another: then nothing is cut off there.
        let kept = |parents: &[Oid]| parents.iter().all(|parent| reached.commits.contains(parent));
        reached.cut = ends.into_iter().filter(|(_, parents)| !kept(parents)).map(|(id, _)| id).collect();
        self.reach_content(trees, &mut reached.ids, task)?;
        Ok(reached)
    }

    /// All trees and files below some trees, once each.
    fn reach_content(&self, mut trees: Vec<Oid>, ids: &mut Vec<Oid>, task: &Task) -> Result<(), Error> {
        let mut seen: HashSet<Oid> = HashSet::new();
        while let Some(tree) = trees.pop() {
            if !seen.insert(tree) {
                continue;
            }
            task.check("tidy the store")?;
            ids.push(tree);
            let object = self.objects.get_as(&tree, Kind::Tree)?;
            for row in rows(tree, &object.data)? {
                match row.mode {
                    Mode::Tree => trees.push(row.id),
                    Mode::Submodule => {}
                    _ if seen.insert(row.id) => ids.push(row.id),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// What a set of commits reaches.
#[derive(Default)]
struct Reached {
    ids: Vec<Oid>,
    commits: HashSet<Oid>,
    cut: Vec<Oid>,
}
