//! A subscriber's own store: what its projection made of each object, and the changes it has not read yet.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use imbl::OrdMap;
use tokio::sync::{Notify, watch};

use super::report::Shared;
use super::stats::{KindState, SubscriberStats};
use super::{Footprint, Inner, Interest, Key, Object};

/// What a projection makes of an object: a small value, nothing where it does not count, or why it
/// cannot be read.
pub type Projected<T> = Result<Option<T>, String>;

/// A change of a subscriber's store, in the order in which they happen. Those of one object are in the
/// order in which the API server made them.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta<T> {
    /// A value came or changed. Objects whose projection stays equal are not told.
    Set {
        /// Which object.
        key: Key,
        /// What it was; none where it is new.
        old: Option<Arc<T>>,
        /// What it is.
        new: Arc<T>,
    },
    /// A value went: the object is gone, or no longer counts.
    Gone {
        /// Which object.
        key: Key,
        /// What it was.
        old: Arc<T>,
    },
    /// Forget what came before: this is all there is. The first delta, and again for a subscriber that
    /// fell so far behind that its queue was full.
    Resync(Snapshot<T>),
    /// All that there was at the start has been told. Comes once, behind the first [`Delta::Resync`].
    Synced,
}

/// Values at one moment. Costs nothing to take or to clone, and stays as it is.
#[derive(Debug)]
pub struct Snapshot<T>(OrdMap<Key, Arc<T>>);

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: PartialEq> PartialEq for Snapshot<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.iter().eq(other.iter())
    }
}

impl<T> Snapshot<T> {
    /// The value of an object; the namespace is empty for an object of the cluster.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.0.get(format!("{namespace}/{name}").as_str())
    }

    /// All values, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<T>)> {
        self.0.iter()
    }

    /// The values of one namespace, by name.
    pub fn within(&self, namespace: &str) -> impl Iterator<Item = (&Key, &Arc<T>)> {
        // The character after the slash ends the range.
        let (from, to) = (Key::new(namespace, ""), Key::from_text(&format!("{namespace}0")));
        self.0.range(from..to)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

type Project<T> = Box<dyn Fn(&Object<'_>) -> Projected<T> + Send + Sync>;

/// Bytes beside a value and its key: the tree's slot, counters, the allocator's share. So that figures
/// meet what `examples/watch_bench.rs` grows by from 20,000 to 150,000 pods, 279 bytes a pod in all.
const PER_ENTRY: usize = 96;

/// A subscriber as the kind's task sees it.
pub(crate) trait Sink: Send + Sync {
    fn interest(&self) -> &Interest;
    /// An object that was added or changed.
    fn apply(&self, object: &Object<'_>);
    /// An object that is gone.
    fn remove(&self, key: &str);
    /// Of a namespace, or of all with an empty one, only these are there.
    fn retain(&self, namespace: &str, there: &dyn Fn(&str) -> bool);
    /// All there is has been told.
    fn synced(&self);
    fn is_closed(&self) -> bool;
    fn stats(&self) -> SubscriberStats;
}

/// A subscriber's store, which its kind's task writes and the subscriber reads.
pub(crate) struct Store<T> {
    interest: Interest,
    project: Project<T>,
    state: RwLock<State<T>>,
    changed: Notify,
    synced: watch::Sender<bool>,
    closed: AtomicBool,
}

struct State<T> {
    values: OrdMap<Key, Arc<T>>,
    queue: VecDeque<Delta<T>>,
    /// The queue is void: the next thing to tell is a snapshot.
    lost: bool,
    /// The subscriber was told the first snapshot.
    begun: bool,
    /// It is told next that it is synced.
    announce: bool,
    stats: SubscriberStats,
}

impl<T> Store<T> {
    pub(crate) fn new(
        interest: Interest,
        project: impl Fn(&Object<'_>) -> Projected<T> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = State {
            values: OrdMap::new(),
            queue: VecDeque::new(),
            lost: true,
            begun: false,
            announce: false,
            stats: SubscriberStats::default(),
        };
        Arc::new(Self {
            interest,
            project: Box::new(project),
            state: RwLock::new(state),
            changed: Notify::new(),
            synced: watch::Sender::new(false),
            closed: AtomicBool::new(false),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Footprint> State<T> {
    fn cost(key: &Key, value: &T) -> u64 {
        (PER_ENTRY + size_of::<T>() + value.heap_bytes() + key.heap_bytes()) as u64
    }

    fn take(&mut self, key: &str) -> Option<(Key, Arc<T>)> {
        let (key, old) = self.values.remove_with_key(key)?;
        self.stats.bytes = self.stats.bytes.saturating_sub(Self::cost(&key, &old));
        self.stats.objects = self.values.len() as u64;
        Some((key, old))
    }

    fn tell(&mut self, delta: Delta<T>, room: usize) {
        if self.lost {
            return;
        }
        self.stats.deltas += 1;
        if self.queue.len() < room {
            self.queue.push_back(delta);
            return;
        }
        // A new queue, not an emptied one: what it took for a burst is not kept.
        self.queue = VecDeque::new();
        self.lost = true;
        // Who has no queue reads snapshots, and falls behind nothing.
        self.stats.resyncs += u64::from(room > 0);
    }

    fn next(&mut self) -> Option<Delta<T>> {
        if std::mem::take(&mut self.announce) {
            return Some(Delta::Synced);
        }
        if std::mem::take(&mut self.lost) {
            self.announce = !std::mem::replace(&mut self.begun, true);
            return Some(Delta::Resync(Snapshot(self.values.clone())));
        }
        self.queue.pop_front()
    }
}

impl<T: Footprint + PartialEq + Send + Sync + 'static> Sink for Store<T> {
    fn interest(&self) -> &Interest {
        &self.interest
    }

    fn apply(&self, object: &Object<'_>) {
        if !self.interest.matches(object) {
            return self.remove(object.key().as_str());
        }
        // A projection that panics is a defect, and no reason to stop watching for all the others.
        let projected = catch_unwind(AssertUnwindSafe(|| (self.project)(object)))
            .unwrap_or_else(|_| Err("the projection panicked".into()));
        let value = match projected {
            Ok(Some(value)) => value,
            Ok(None) => return self.remove(object.key().as_str()),
            Err(problem) => {
                self.bad(object, &problem);
                return self.remove(object.key().as_str());
            }
        };
        let mut state = self.write();
        let key = object.key();
        let old = state.values.get(key).cloned();
        if old.as_deref() == Some(&value) {
            return;
        }
        let new = Arc::new(value);
        let before = old.as_ref().map_or(0, |old| State::<T>::cost(key, old));
        state.stats.bytes = (state.stats.bytes + State::<T>::cost(key, &new)).saturating_sub(before);
        state.values.insert(key.clone(), new.clone());
        state.stats.objects = state.values.len() as u64;
        state.tell(Delta::Set { key: key.clone(), old, new }, self.interest.queue);
        drop(state);
        self.changed.notify_one();
    }

    fn remove(&self, key: &str) {
        // Most of what does not count was never there: no writer's lock for that.
        if !self.read().values.contains_key(key) {
            return;
        }
        let mut state = self.write();
        if let Some((key, old)) = state.take(key) {
            state.tell(Delta::Gone { key, old }, self.interest.queue);
        }
        drop(state);
        self.changed.notify_one();
    }

    fn retain(&self, namespace: &str, there: &dyn Fn(&str) -> bool) {
        let values = Snapshot(self.read().values.clone());
        let within = |key: &Key| namespace.is_empty() || key.namespace() == namespace;
        for (key, _) in values.iter().filter(|(key, _)| within(key) && !there(key.as_str())) {
            self.remove(key.as_str());
        }
    }

    fn synced(&self) {
        if self.synced.send_if_modified(|synced| !std::mem::replace(synced, true)) {
            self.changed.notify_one();
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn stats(&self) -> SubscriberStats {
        let state = self.read();
        let (queued, synced) = (state.queue.len() as u64, *self.synced.borrow());
        SubscriberStats { name: self.interest.name.clone(), queued, synced, ..state.stats.clone() }
    }
}

impl<T> Store<T> {
    /// Counts an object that cannot be read; the first one is reported.
    fn bad(&self, object: &Object<'_>, problem: &str) {
        let mut state = self.write();
        state.stats.bad += 1;
        if state.stats.bad == 1 {
            tracing::warn!(kind = %self.interest.kind, object = %object.key(), subscriber = self.interest.name, problem,
                "an object cannot be read and is left out; further ones are counted, not reported");
        }
    }
}

/// A subscription: a store that follows the cluster. Dropping it ends it, and the watch with the last.
pub struct Subscription<T> {
    store: Arc<Store<T>>,
    kind: Arc<Shared>,
    /// Its kind may have to be looked up again.
    _cache: Arc<Inner>,
}

impl<T: Footprint + PartialEq + Send + Sync + 'static> Subscription<T> {
    pub(crate) fn of(store: Arc<Store<T>>, kind: Arc<Shared>, cache: Arc<Inner>) -> Self {
        Self { store, kind, _cache: cache }
    }

    /// The value of an object as it is now; the namespace is empty for an object of the cluster.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.store.read().values.get(format!("{namespace}/{name}").as_str()).cloned()
    }

    /// All values as they are now. Before [`Self::synced`] some may be missing.
    pub fn snapshot(&self) -> Snapshot<T> {
        Snapshot(self.store.read().values.clone())
    }

    /// True once all that there was at the start is in the store. That goes for a kind that the cluster
    /// does not have as well, and stays.
    pub fn is_synced(&self) -> bool {
        *self.store.synced.borrow()
    }

    /// Returns once all that there was at the start is in the store: what readiness waits for. A wait
    /// without an end where the cluster does not answer or refuses; [`Self::state`] says why.
    pub async fn synced(&self) {
        // The sender lives as long as `self`.
        let _ = self.store.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// The next change. Nothing is told before all that there was at the start is in the store; then
    /// the first two are [`Delta::Resync`] and [`Delta::Synced`]. Cancelling loses nothing.
    pub async fn next(&mut self) -> Delta<T> {
        loop {
            if let Some(delta) = self.try_next() {
                return delta;
            }
            self.store.changed.notified().await;
        }
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<Delta<T>> {
        if !self.is_synced() {
            return None;
        }
        self.store.write().next()
    }

    /// How the watch behind it is.
    pub fn state(&self) -> KindState {
        self.kind.state()
    }

    /// Its figures.
    pub fn stats(&self) -> SubscriberStats {
        self.store.stats()
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.store.closed.store(true, Ordering::Release);
        self.kind.wake();
    }
}
