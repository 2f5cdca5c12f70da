//! Questions about history. Where it is cut off (shallow), an answer may be "unknown": fetch more and ask again.

use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::Oid;
use crate::error::Error;
use crate::object::{Commit, Kind};
use crate::objects::Objects;
use crate::task::Task;

/// How many commits are read after nothing seems to be missing: histories of less are told exactly, whatever
/// the clocks of their authors; git itself reads five.
const SLOP: usize = 1000;

/// Whether a commit is before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It is, or is the same.
    Yes,
    /// It is not.
    No,
    /// History is cut off before that can be told: deepen.
    Unknown,
}

/// Where two lines of history parted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeBase {
    /// At this commit.
    At(Oid),
    /// Nowhere: they have nothing in common.
    None,
    /// History is cut off before that can be told: deepen.
    Unknown,
}

/// Commits, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Each with its id.
    pub commits: Vec<(Oid, Commit)>,
    /// Whether there are more: beyond the limit.
    pub more: bool,
    /// Whether history is cut off, so that commits may be missing: deepen.
    pub cut: bool,
}

/// Commits ordered by time, newest first; among equals by id, so that answers are always the same.
type Queue = BinaryHeap<(i64, Oid)>;

/// Commits read once, and whether history was cut off somewhere.
struct Reader<'a> {
    objects: &'a Objects,
    shallow: std::sync::Arc<HashSet<Oid>>,
    read: HashMap<Oid, Commit>,
    cut: bool,
    task: &'a Task,
}

impl<'a> Reader<'a> {
    fn new(objects: &'a Objects, task: &'a Task) -> Self {
        Self { objects, shallow: objects.shallow(), read: HashMap::new(), cut: false, task }
    }

    fn commit(&mut self, id: Oid) -> Result<&Commit, Error> {
        if !self.read.contains_key(&id) {
            if self.read.len().is_multiple_of(64) {
                self.task.check("read the history")?;
            }
            let commit = Commit::read(id, &self.objects.get_as(&id, Kind::Commit)?.data)?;
            self.read.insert(id, commit);
        }
        self.read.get(&id).ok_or_else(|| Error::object(id, "it was not read"))
    }

    fn time(&mut self, id: Oid) -> Result<i64, Error> {
        Ok(self.commit(id)?.committer.seconds)
    }

    /// The parents that are there.
    fn parents(&mut self, id: Oid) -> Result<Vec<Oid>, Error> {
        let parents = self.commit(id)?.parents.clone();
        if self.shallow.contains(&id) {
            self.cut |= !parents.is_empty();
            return Ok(Vec::new());
        }
        Ok(parents)
    }
}

impl Objects {
    /// Whether `old` is `new`, or before it.
    ///
    /// # Errors
    /// Where a commit is missing or broken.
    pub fn is_ancestor(&self, old: Oid, new: Oid, task: &Task) -> Result<Ancestry, Error> {
        let mut reader = Reader::new(self, task);
        let mut seen = HashSet::from([new]);
        let mut queue = Queue::from([(reader.time(new)?, new)]);
        while let Some((_, id)) = queue.pop() {
            if id == old {
                return Ok(Ancestry::Yes);
            }
            for parent in reader.parents(id)? {
                if seen.insert(parent) {
                    queue.push((reader.time(parent)?, parent));
                }
            }
        }
        Ok(if reader.cut { Ancestry::Unknown } else { Ancestry::No })
    }

    /// The commits that `to` has and `from` has not, of which at most `limit`. With a path, only those that
    /// changed something there (a merge: against each of its parents). Where `from` is not here, nothing is
    /// known to be its: the answer is marked as cut.
    ///
    /// # Errors
    /// Where an object is missing or broken.
    pub fn log(
        &self,
        from: Option<Oid>,
        to: Oid,
        path: &str,
        limit: usize,
        task: &Task,
    ) -> Result<Log, Error> {
        let mut reader = Reader::new(self, task);
        let here = from.map(|id| self.contains(&id)).transpose()?.unwrap_or(true);
        let ids = only_in(&mut reader, from.filter(|_| here), to)?;
        let mut log = Log { commits: Vec::new(), more: false, cut: reader.cut || !here };
        for id in ids {
            let commit = reader.commit(id)?.clone();
            let parents = reader.parents(id)?;
            if !path.is_empty() && !self.touches(&mut reader, &commit, &parents, path)? {
                continue;
            }
            if log.commits.len() >= limit {
                log.more = true;
                break;
            }
            log.commits.push((id, commit));
        }
        Ok(log)
    }

    fn touches(
        &self,
        reader: &mut Reader<'_>,
        commit: &Commit,
        parents: &[Oid],
        path: &str,
    ) -> Result<bool, Error> {
        if parents.is_empty() {
            return self.differs(None, commit.tree, path, reader.task);
        }
        for parent in parents {
            let tree = reader.commit(*parent)?.tree;
            if !self.differs(Some(tree), commit.tree, path, reader.task)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where the histories of two commits parted: the newest commit that both have.
    ///
    /// # Errors
    /// Where a commit is missing or broken.
    pub fn merge_base(&self, a: Oid, b: Oid, task: &Task) -> Result<MergeBase, Error> {
        const A: u8 = 1;
        const B: u8 = 2;
        const OLD: u8 = 4;
        let mut reader = Reader::new(self, task);
        let mut flags: HashMap<Oid, u8> = HashMap::from([(a, A)]);
        *flags.entry(b).or_default() |= B;
        let mut queue = Queue::new();
        for id in flags.keys().copied().collect::<Vec<_>>() {
            queue.push((reader.time(id)?, id));
        }
        let mut common: Vec<Oid> = Vec::new();
        // Until all that is left is older than something common.
        while queue.iter().any(|(_, id)| flags.get(id).is_some_and(|f| f & OLD == 0)) {
            let Some((_, id)) = queue.pop() else { break };
            let mut flag = flags.get(&id).copied().unwrap_or(0);
            if flag & (A | B) == A | B && flag & OLD == 0 {
                common.push(id);
                flag |= OLD;
            }
            for parent in reader.parents(id)? {
                let held = flags.entry(parent).or_default();
                if *held | flag != *held {
                    *held |= flag;
                    queue.push((reader.time(parent)?, parent));
                }
            }
        }
        // One that was found first can still be before another, where clocks were wrong.
        let mut best = common.clone();
        best.retain(|id| flags.get(id).is_some_and(|f| f & OLD == 0));
        let newest = if best.is_empty() { common } else { best };
        let mut newest: Vec<(i64, Oid)> =
            newest.into_iter().map(|id| Ok((reader.time(id)?, id))).collect::<Result<_, Error>>()?;
        newest.sort_unstable();
        Ok(match newest.last() {
            Some((_, id)) => MergeBase::At(*id),
            None if reader.cut => MergeBase::Unknown,
            None => MergeBase::None,
        })
    }
}

/// What `to` reaches and `from` does not, newest first.
fn only_in(reader: &mut Reader<'_>, from: Option<Oid>, to: Oid) -> Result<Vec<Oid>, Error> {
    // Whether a commit is one of `from`'s, for all that were met.
    let mut theirs: HashMap<Oid, bool> = HashMap::from([(to, false)]);
    theirs.extend(from.map(|id| (id, true)));
    let mut queue = Queue::new();
    for id in theirs.keys().copied().collect::<Vec<_>>() {
        queue.push((reader.time(id)?, id));
    }
    let (mut found, mut popped, mut oldest) = (Vec::new(), HashSet::new(), i64::MAX);
    let mut late = 0;
    // How many in the queue are not `from`'s, as far as is known.
    let mut waiting = usize::from(theirs.get(&to) == Some(&false));
    while let Some((time, id)) = queue.pop() {
        let old = theirs.get(&id).copied().unwrap_or(false);
        // A clock that was wrong can hide that `from` has what was found: its side goes on for a while.
        if waiting == 0 {
            late += 1;
            if late > SLOP && time < oldest {
                break;
            }
        }
        popped.insert(id);
        if !old {
            waiting = waiting.saturating_sub(1);
            oldest = oldest.min(time);
            found.push(id);
        }
        let cut = reader.cut;
        let parents = reader.parents(id)?;
        // Where `from`'s side is cut off, nothing of `to`'s is missing for it.
        reader.cut = if old { cut } else { reader.cut };
        for parent in parents {
            match theirs.get(&parent).copied() {
                None => {
                    theirs.insert(parent, old);
                    waiting += usize::from(!old);
                    queue.push((reader.time(parent)?, parent));
                }
                Some(false) if old => {
                    theirs.insert(parent, true);
                    waiting = waiting.saturating_sub(usize::from(!popped.contains(&parent)));
                    queue.push((reader.time(parent)?, parent));
                }
                Some(_) => {}
            }
        }
    }
    found.retain(|id| theirs.get(id) == Some(&false));
    Ok(found)
}
