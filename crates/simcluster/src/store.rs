//! The state of the cluster: persistent maps by kind, one revision counter, one event log a kind.
//!
//! A [`State`] is cheap to clone (its maps share structure), so a snapshot costs nothing: that is
//! what stable pagination reads, and what a fork of the cluster starts from. Watchers read the log by
//! cursor: a slow one is told 410, never buffered.

use std::cell::RefCell;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use imbl::{HashMap, OrdMap, OrdSet};
use serde_json::Value;
use tokio::sync::watch;

use crate::kind::{KindId, kind_count, well_known};
use crate::object::{Key, Stored};

/// Bytes of superseded versions that one kind's log holds. Pods change most: 20,000 of them starting
/// at once must not outrun a watcher that keeps up.
const LOG_BYTES: usize = 64 << 20;

/// The same for a custom kind, of which there may be many.
const CUSTOM_LOG_BYTES: usize = 8 << 20;

/// The smallest number of entries that a log keeps whatever their size.
const LOG_MIN_ENTRIES: usize = 1_000;

/// Objects of one kind, in key order.
pub type Objects = OrdMap<Key, Arc<Stored>>;

/// All objects at one revision.
#[derive(Clone, Default)]
pub struct State {
    /// The last revision given out.
    pub revision: u64,
    kinds: Vec<Objects>,
    /// Objects of custom kinds.
    custom: OrdMap<KindId, Objects>,
    children: HashMap<Arc<str>, OrdSet<(KindId, Key)>>,
    by_node: HashMap<Box<str>, OrdSet<Key>>,
    uids: HashMap<Arc<str>, (KindId, Key)>,
}

impl State {
    fn new() -> Self {
        Self { kinds: vec![Objects::new(); kind_count()], ..Self::default() }
    }

    /// All objects of a kind.
    pub fn objects(&self, kind: KindId) -> &Objects {
        static NONE: std::sync::LazyLock<Objects> = std::sync::LazyLock::new(Objects::new);
        self.kinds.get(usize::from(kind.0)).or_else(|| self.custom.get(&kind)).unwrap_or(&NONE)
    }

    fn objects_mut(&mut self, kind: KindId) -> &mut Objects {
        match self.kinds.get_mut(usize::from(kind.0)) {
            Some(objects) => objects,
            None => self.custom.entry(kind).or_default(),
        }
    }

    /// One object.
    pub fn get(&self, kind: KindId, key: &Key) -> Option<&Arc<Stored>> {
        self.objects(kind).get(key)
    }

    /// The object with this uid.
    pub fn by_uid(&self, uid: &str) -> Option<&Arc<Stored>> {
        self.uids.get(uid).and_then(|(kind, key)| self.get(*kind, key))
    }

    /// The objects of a kind in a namespace (all namespaces when empty), after `start` if given.
    pub fn range<'a>(
        &'a self,
        kind: KindId,
        namespace: &'a str,
        start: Option<&Key>,
    ) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
        let first =
            start.map_or_else(|| Bound::Included(Key::new(namespace, "")), |k| Bound::Excluded(k.clone()));
        let bounds = if namespace.is_empty() && start.is_none() {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            (first, Bound::Unbounded)
        };
        self.objects(kind)
            .range(bounds)
            .map(|(_, object)| object)
            .take_while(move |o| namespace.is_empty() || &*o.key.namespace == namespace)
    }

    /// Objects that name `uid` among their owners.
    pub fn children<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
        self.children.get(uid).into_iter().flatten().filter_map(|(kind, key)| self.get(*kind, key))
    }

    /// Pods bound to a node.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
        self.by_node.get(node).into_iter().flatten().filter_map(|key| self.get(*well_known::POD, key))
    }

    fn put(&mut self, object: &Arc<Stored>) -> Option<Arc<Stored>> {
        let old = self.objects_mut(object.kind).insert(object.key.clone(), object.clone());
        if let Some(old) = &old {
            self.unindex(old, Some(object));
        }
        self.index(object, old.as_deref());
        old
    }

    fn take(&mut self, kind: KindId, key: &Key) -> Option<Arc<Stored>> {
        let old = self.objects_mut(kind).remove(key)?;
        if self.custom.get(&kind).is_some_and(OrdMap::is_empty) {
            self.custom.remove(&kind);
        }
        self.unindex(&old, None);
        Some(old)
    }

    fn index(&mut self, new: &Stored, old: Option<&Stored>) {
        let entry = || (new.kind, new.key.clone());
        if old.is_none_or(|o| o.uid != new.uid) {
            self.uids.insert(new.uid.clone(), entry());
        }
        if old.is_none_or(|o| o.owners != new.owners) {
            for owner in new.owners.iter() {
                self.children.entry(owner.uid.clone()).or_default().insert(entry());
            }
        }
        if let Some(node) = bound_node(new).filter(|n| old.and_then(bound_node) != Some(n)) {
            self.by_node.entry(node.into()).or_default().insert(new.key.clone());
        }
    }

    fn unindex(&mut self, old: &Stored, new: Option<&Stored>) {
        if new.is_none_or(|n| n.uid != old.uid) {
            self.uids.remove(&old.uid);
        }
        if new.is_none_or(|n| n.owners != old.owners) {
            for owner in old.owners.iter() {
                let emptied = self.children.get_mut(&owner.uid).is_some_and(|set| {
                    set.remove(&(old.kind, old.key.clone()));
                    set.is_empty()
                });
                if emptied {
                    self.children.remove(&owner.uid);
                }
            }
        }
        if let Some(node) = bound_node(old).filter(|n| new.and_then(bound_node) != Some(n)) {
            let emptied = self.by_node.get_mut(node).is_some_and(|set| {
                set.remove(&old.key);
                set.is_empty()
            });
            if emptied {
                self.by_node.remove(node);
            }
        }
    }
}

fn bound_node(object: &Stored) -> Option<&str> {
    object.pod.as_ref().filter(|p| p.bound).and_then(|_| object.field("spec.nodeName"))
}

/// The bytes of a value, no larger than they must be: a vector that grew to them by doubling would
/// keep up to twice their size for as long as the object lives.
pub fn encode(value: &Value) -> Bytes {
    thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        // Writing a value into memory cannot fail.
        let _ = serde_json::to_writer(&mut *buffer, value);
        Bytes::copy_from_slice(buffer)
    })
}

/// A change as watchers see it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The revision of the change.
    pub revision: u64,
    /// What was there before.
    pub old: Option<Arc<Stored>>,
    /// What is there now; for a deletion, the last state with the deletion's revision.
    pub new: Arc<Stored>,
    /// The object is gone.
    pub deleted: bool,
}

/// The changes of one kind, oldest first, bounded in bytes.
struct Log {
    entries: RwLock<Entries>,
    /// The revision of the last entry: what watchers wait on.
    last: watch::Sender<u64>,
    max_bytes: usize,
    min_entries: usize,
}

#[derive(Default)]
struct Entries {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Changes up to and including this revision have been dropped.
    dropped: u64,
}

/// What a reader of a log is told when its cursor lies before the log's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is no longer held, the oldest is {oldest}")]
pub struct TooOld {
    /// The cursor.
    pub asked: u64,
    /// The oldest revision from which the log is whole.
    pub oldest: u64,
}

/// The store: current state and logs.
pub struct Store {
    state: RwLock<State>,
    logs: Vec<Log>,
    /// Logs of custom kinds, from when they are first asked for or written to.
    custom: RwLock<BTreeMap<KindId, Arc<Log>>>,
}

impl Default for Store {
    fn default() -> Self {
        Self::from_state(State::new())
    }
}

/// What a commit does.
pub enum Write {
    /// Put this object; its revision is filled in.
    Put(Value),
    /// Remove the object; the value is its last state.
    Remove(Value),
}

impl Store {
    /// A store that starts from a state, with empty logs: a fork.
    pub fn from_state(state: State) -> Self {
        Self::with_logs(state, LOG_BYTES, LOG_MIN_ENTRIES)
    }

    /// The same with logs of another size.
    pub(crate) fn with_logs(state: State, max_bytes: usize, min_entries: usize) -> Self {
        let start = state.revision;
        let log = |_| Log::starting(start, max_bytes, min_entries);
        Self {
            logs: (0..kind_count()).map(log).collect(),
            custom: RwLock::default(),
            state: RwLock::new(state),
        }
    }

    /// Works on a kind's log. The state's lock may be held by the caller.
    fn log<T>(&self, kind: KindId, start: impl FnOnce() -> u64, work: impl FnOnce(&Log) -> T) -> T {
        if let Some(log) = self.logs.get(usize::from(kind.0)) {
            return work(log);
        }
        let found = self.custom.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned();
        let log = found.unwrap_or_else(|| {
            let start = start();
            let mut logs = self.custom.write().unwrap_or_else(PoisonError::into_inner);
            logs.entry(kind)
                .or_insert_with(|| Arc::new(Log::starting(start, CUSTOM_LOG_BYTES, LOG_MIN_ENTRIES)))
                .clone()
        });
        work(&log)
    }

    /// Ends a custom kind's log, and with it the watches that read it.
    pub(crate) fn forget(&self, kind: KindId) {
        self.custom.write().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    fn revision(&self) -> u64 {
        self.with(|s| s.revision)
    }

    /// The current state; cheap.
    pub fn snapshot(&self) -> State {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Reads from the current state without a clone. Keep `read` short: writers wait for it.
    pub fn with<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The one way in: replaces the object at `key` if it still is at revision `expected` (0: absent).
    ///
    /// Returns the stored object, or `None` when another write came first.
    pub fn commit(&self, kind: KindId, key: &Key, expected: u64, write: Write) -> Option<Arc<Stored>> {
        let mut state = self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let old = state.get(kind, key).cloned();
        if old.as_ref().map_or(0, |o| o.revision) != expected {
            return None;
        }
        let revision = state.revision + 1;
        let deleted = matches!(write, Write::Remove(_));
        let (Write::Put(mut value) | Write::Remove(mut value)) = write;
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        let json = encode(&value);
        let new = Arc::new(Stored::new(kind, &value, revision, json, old.as_deref()));
        state.revision = revision;
        if deleted {
            state.take(kind, key);
        } else {
            state.put(&new);
        }
        // Under the state's lock, so that logs are in revision order and a reader that took its
        // snapshot at revision R finds every later change after R.
        let change = Change { revision, old, new: new.clone(), deleted };
        self.log(kind, || revision - 1, |log| log.push(change));
        Some(new)
    }

    /// Up to `max` changes of a kind after revision `after`, in order.
    ///
    /// # Errors
    /// [`TooOld`] when changes after `after` have been dropped.
    pub fn changes(&self, kind: KindId, after: u64, max: usize) -> Result<Vec<Change>, TooOld> {
        self.log(kind, || self.revision(), |log| log.read(after, max))
    }

    /// Wakes whenever the kind's log grows; the value is the log's last revision.
    pub fn subscribe(&self, kind: KindId) -> watch::Receiver<u64> {
        self.log(kind, || self.revision(), |log| log.last.subscribe())
    }

    /// Share of the log (0 to 1) that a reader at `after` has yet to read: how close it is to 410.
    pub fn lag(&self, kind: KindId, after: u64) -> f64 {
        self.log(kind, || self.revision(), |log| log.lag(after))
    }
}

impl Log {
    fn starting(start: u64, max_bytes: usize, min_entries: usize) -> Self {
        Self {
            entries: RwLock::new(Entries { dropped: start, ..Entries::default() }),
            last: watch::Sender::new(start),
            max_bytes,
            min_entries,
        }
    }

    fn push(&self, change: Change) {
        let revision = change.revision;
        {
            let mut log = self.entries.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            log.bytes += change.new.json.len();
            log.changes.push_back(change);
            while log.bytes > self.max_bytes && log.changes.len() > self.min_entries {
                if let Some(gone) = log.changes.pop_front() {
                    log.bytes -= gone.new.json.len();
                    log.dropped = gone.revision;
                }
            }
        }
        self.last.send_replace(revision);
    }

    fn read(&self, after: u64, max: usize) -> Result<Vec<Change>, TooOld> {
        let log = self.entries.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if after < log.dropped {
            return Err(TooOld { asked: after, oldest: log.dropped });
        }
        let first = log.changes.partition_point(|c| c.revision <= after);
        Ok(log.changes.range(first..).take(max).cloned().collect())
    }

    fn lag(&self, after: u64) -> f64 {
        let log = self.entries.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = log.changes.partition_point(|c| c.revision <= after);
        let unread: usize = log.changes.range(first..).map(|c| c.new.json.len()).sum();
        // A share of a whole: what is lost beyond 2^53 bytes does not matter.
        #[allow(clippy::cast_precision_loss)]
        let share = unread as f64 / self.max_bytes as f64;
        share
    }
}
