//! The engine: turns the logs of the store into calls of controllers, in a fixed order.
//!
//! One thread runs every controller, so that a run from one seed on one clock is the same each time.
//! Tests call [`Engine::settle`] and move a manual clock; a live cluster calls [`Engine::run`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kiban_base::clock::Timestamp;
use tokio::sync::watch;

use crate::controllers::{Again, Controller, Ctx, Item};
use crate::kind::KindId;
use crate::registry::Cluster;
use crate::status::ApiError;
use crate::store::{Change, State};

/// First and last wait before a failed item is tried again (client-go's rate limiter: 5 ms doubling).
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
const BACKOFF_LAST: Duration = Duration::from_secs(30);

/// Changes taken from a log at once.
const BATCH: usize = 4_096;

/// A controller with its queue.
struct Worker {
    controller: Box<dyn Controller>,
    /// Kinds whose changes wake it.
    watches: BTreeSet<KindId>,
    ready: BTreeSet<Item>,
    failures: BTreeMap<Item, u32>,
}

impl Worker {
    fn hears(&self, kind: KindId) -> bool {
        self.watches.contains(&kind) || (kind.is_custom() && self.controller.watches_custom())
    }
}

/// Runs controllers over a cluster.
pub struct Engine {
    cluster: Cluster,
    workers: Vec<Worker>,
    /// Kinds that anyone watches, with the revision read so far.
    cursors: BTreeMap<KindId, u64>,
    /// (when, worker, item): calls to make though nothing changes.
    timers: BTreeSet<(Timestamp, usize, Item)>,
    /// The earliest timer of each worker's item, so that a later one does not pile up beside it.
    armed: BTreeMap<(usize, Item), Timestamp>,
    /// The table of custom kinds that the cursors follow.
    customs: u64,
    fast: bool,
}

impl Engine {
    /// An engine over `cluster`; controllers run in the order given.
    pub fn new(cluster: Cluster, controllers: Vec<Box<dyn Controller>>, fast: bool) -> Self {
        let worker = |controller: Box<dyn Controller>| {
            let watches = controller.watches().into_iter().collect();
            Worker { controller, watches, ready: BTreeSet::new(), failures: BTreeMap::new() }
        };
        let workers: Vec<_> = controllers.into_iter().map(worker).collect();
        let cursors: BTreeMap<KindId, u64> =
            workers.iter().flat_map(|w| &w.watches).map(|kind| (*kind, 0)).collect();
        let mut engine = Self {
            cluster,
            workers,
            cursors,
            timers: BTreeSet::new(),
            armed: BTreeMap::new(),
            customs: 0,
            fast,
        };
        let kinds: Vec<_> = engine.cursors.keys().copied().collect();
        engine.relist(&kinds);
        engine
    }

    /// Wakes the controllers for everything that exists: at the start, and after the logs of `outrun` were.
    ///
    /// What went while nobody read is in no list of what exists: so objects of every kind are looked at
    /// again, the owners of what is gone among them.
    fn relist(&mut self, outrun: &[KindId]) {
        let state = self.cluster.snapshot();
        for kind in outrun {
            self.cursors.insert(*kind, state.revision);
        }
        for kind in self.cursors.keys() {
            Self::list(&mut self.workers, &state, *kind);
        }
    }

    /// Wakes the controllers for every object of a kind.
    fn list(workers: &mut [Worker], state: &State, kind: KindId) {
        let mut items = Vec::new();
        for object in state.objects(kind).values() {
            let change = Change { revision: object.revision, old: None, new: object.clone(), deleted: false };
            for worker in workers.iter_mut().filter(|w| w.hears(kind)) {
                worker.controller.wakes(state, &change, &mut items);
                worker.ready.extend(items.drain(..));
            }
        }
    }

    /// Begins to read the logs of custom kinds that came, and ends with those that went.
    fn follow_customs(&mut self) {
        let table = self.cluster.customs();
        if table.revision == self.customs || !self.workers.iter().any(|w| w.controller.watches_custom()) {
            return;
        }
        self.customs = table.revision;
        let kept: BTreeSet<KindId> = table.kept().collect();
        self.cursors.retain(|kind, _| !kind.is_custom() || kept.contains(kind));
        let state = self.cluster.snapshot();
        for kind in kept {
            if let std::collections::btree_map::Entry::Vacant(place) = self.cursors.entry(kind) {
                place.insert(state.revision);
                Self::list(&mut self.workers, &state, kind);
            }
        }
    }

    /// Reads the logs and fills the queues; says whether anything is ready.
    fn pump(&mut self, now: Timestamp) -> bool {
        self.follow_customs();
        let state = self.cluster.snapshot();
        let mut outrun = Vec::new();
        let mut items = Vec::new();
        for (kind, cursor) in &mut self.cursors {
            let Ok(changes) = self.cluster.store().changes(*kind, *cursor, BATCH) else {
                outrun.push(*kind);
                continue;
            };
            for change in &changes {
                *cursor = change.revision;
                for worker in self.workers.iter_mut().filter(|w| w.hears(*kind)) {
                    worker.controller.wakes(&state, change, &mut items);
                    worker.ready.extend(items.drain(..));
                }
            }
        }
        if !outrun.is_empty() {
            self.relist(&outrun);
        }
        while let Some((_, worker, item)) = self.timers.first().cloned().filter(|t| t.0 <= now) {
            self.timers.pop_first();
            self.armed.remove(&(worker, item.clone()));
            self.workers[worker].ready.insert(item);
        }
        self.workers.iter().any(|w| !w.ready.is_empty())
    }

    /// One round: reads the logs, then calls every controller for what is ready.
    ///
    /// Returns whether there was anything to do.
    pub fn step(&mut self) -> bool {
        let now = self.cluster.now();
        if !self.pump(now) {
            return false;
        }
        for index in 0..self.workers.len() {
            let ready = std::mem::take(&mut self.workers[index].ready);
            for item in ready {
                self.call(index, item);
            }
        }
        true
    }

    fn call(&mut self, index: usize, item: Item) {
        let ctx = Ctx { cluster: &self.cluster, now: self.cluster.now(), fast: self.fast };
        let worker = &mut self.workers[index];
        let again = match guarded(worker.controller.as_mut(), &ctx, &item) {
            Ok(again) => {
                worker.failures.remove(&item);
                again
            }
            Err(error) => {
                let failures = worker.failures.entry(item.clone()).or_insert(0);
                *failures = failures.saturating_add(1);
                let wait = BACKOFF_FIRST.saturating_mul(1 << (*failures - 1).min(16)).min(BACKOFF_LAST);
                tracing::debug!(controller = worker.controller.name(), item = %item.key, %error, "will try again");
                Some(wait)
            }
        };
        if let Some(wait) = again {
            self.arm(index, item, self.cluster.now() + wait);
        }
    }

    fn arm(&mut self, worker: usize, item: Item, when: Timestamp) {
        let slot = (worker, item);
        match self.armed.get(&slot) {
            Some(earlier) if *earlier <= when => return,
            Some(later) => {
                self.timers.remove(&(*later, worker, slot.1.clone()));
            }
            None => {}
        }
        self.timers.insert((when, worker, slot.1.clone()));
        self.armed.insert(slot, when);
    }

    /// Steps until nothing is ready now, at most `rounds` times.
    ///
    /// Returns whether it came to rest.
    pub fn settle(&mut self, rounds: usize) -> bool {
        (0..rounds).any(|_| !self.step())
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|t| t.0)
    }

    /// Runs until `stop` turns true; to be called on a thread of its own.
    pub fn run(&mut self, runtime: &tokio::runtime::Handle, mut stop: watch::Receiver<bool>) {
        let subscribe = |engine: &Self| -> Vec<_> {
            engine.cursors.keys().map(|k| engine.cluster.store().subscribe(*k)).collect()
        };
        let (mut logs, mut customs) = (subscribe(self), self.customs);
        while !*stop.borrow() {
            if customs != self.customs {
                (logs, customs) = (subscribe(self), self.customs);
            }
            for log in &mut logs {
                log.borrow_and_update();
            }
            if self.step() {
                continue;
            }
            let wait = self.next_timer().map_or(Duration::from_secs(3_600), |t| t.since(self.cluster.now()));
            // A change since the step began has marked its receiver, so that it is not slept through.
            runtime.block_on(async {
                let changed = any_changed(&mut logs);
                tokio::select! {
                    () = changed => {}
                    _ = stop.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            });
        }
    }
}

/// Calls a controller; a panic in it is a failure of this one item, tried again like any other.
fn guarded(controller: &mut dyn Controller, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
    let call = AssertUnwindSafe(|| controller.reconcile(ctx, item));
    catch_unwind(call).unwrap_or_else(|_| {
        tracing::error!(controller = controller.name(), item = %item.key, "panicked");
        Err(ApiError::new(500, "InternalError", "the controller panicked"))
    })
}

/// Ends when any of the logs has grown.
async fn any_changed(logs: &mut [watch::Receiver<u64>]) {
    let mut waits: Vec<_> = logs.iter_mut().map(|l| Box::pin(l.changed())).collect();
    std::future::poll_fn(|cx| {
        for wait in &mut waits {
            if wait.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
        }
        std::task::Poll::Pending
    })
    .await;
}
