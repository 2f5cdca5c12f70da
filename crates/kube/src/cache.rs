//! The watch cache: one list and watch a kind and process, whoever asks, and for each subscriber what its
//! own projection makes of the objects.
//!
//! ```text
//!  API server ─► reader (bytes) ─► feed (keys, revisions) ─► projection ─► store ─► deltas, snapshots
//!                one a kind         one a watch               one a subscriber
//! ```
//!
//! - **Nothing is kept but what projections return**, and of each object its key and a fingerprint of its
//!   revision. Bytes are cut out of a body as it arrives and are gone once all projections have seen them.
//! - **A subscriber reads its own store** at any time ([`Subscription::get`], [`Subscription::snapshot`]:
//!   a persistent map, so that a snapshot costs nothing), and may follow its changes
//!   ([`Subscription::next`]). A queue that is full is dropped and the subscriber is told
//!   [`Delta::Resync`]: nobody waits for it, and it takes no more memory.
//! - **What is watched**: the whole cluster, once somebody wants it or more than a few namespaces are
//!   wanted; else a watch a namespace. Where the server refuses the whole cluster (403), those who named
//!   namespaces get a watch for each, until it may be listed after all. The server is told a label
//!   selector only while all subscribers of the kind have the same.
//! - **After a gap** (410, or a wider watch) a list tells the differences alone. A subscriber that comes
//!   later lists for itself and joins the watch without disturbing the others; [`feed`] says how.
//! - **A kind that the cluster does not have** is no error: its subscribers are synced and empty, and the
//!   cluster is asked again. A kind that goes takes its objects along.

mod actor;
mod feed;
mod finder;
mod footprint;
mod interest;
mod object;
mod report;
mod stats;
mod subscription;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::Cluster;
use crate::object::Gvk;
use crate::watch::reader;

pub use footprint::Footprint;
pub use interest::{Interest, Namespaces};
pub use object::{Key, Labels, Object};
pub use stats::{CacheStats, KindState, KindStats, SubscriberStats};
pub use subscription::{Delta, Projected, Snapshot, Subscription};

use actor::Actor;
use finder::Finder;
use report::Shared;
use subscription::Store;

/// How a cache works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Up to so many namespaces of a kind are watched one by one, where nobody wants more.
    pub namespace_watches: usize,
    /// Ask for lists as the first part of a watch, which costs the API server less; servers that do not
    /// offer it are asked page by page.
    pub streamed: bool,
    /// Seed of the spread of watches' ends. Pauses have the cluster's.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { namespace_watches: 4, streamed: true, seed: 0 }
    }
}

/// The watch cache of a cluster. Clones are the same one.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    cluster: Cluster,
    options: Options,
    finder: Finder,
    kinds: Mutex<BTreeMap<Gvk, Arc<Shared>>>,
    pages_only: Arc<std::sync::atomic::AtomicBool>,
}

impl Cache {
    /// A cache that watches nothing yet.
    pub fn new(cluster: Cluster, options: Options) -> Self {
        let finder = Finder::new(cluster.clone());
        let inner = Inner { cluster, options, finder, kinds: Mutex::default(), pages_only: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Subscribes. `project` makes of each object the small value that is kept, or nothing where the
    /// object does not count; it runs on the kind's task, for every event, so it should take
    /// microseconds. An object that it cannot read is left out, counted, and reported once.
    ///
    /// Must be called within a tokio runtime: the kind's task is spawned there, and ends with the last
    /// subscription of the kind.
    pub fn subscribe<T: Footprint + PartialEq + Send + Sync + 'static>(
        &self,
        interest: Interest,
        project: impl Fn(&Object<'_>) -> Projected<T> + Send + Sync + 'static,
    ) -> Subscription<T> {
        let kind = interest.kind.clone();
        let store = Store::new(interest, project);
        let mut kinds = self.inner.kinds();
        if let Some(shared) = kinds.get(&kind)
            && shared.welcome(store.clone())
        {
            return Subscription::of(store, shared.clone(), self.inner.clone());
        }
        let counters = reader::Shared { pages_only: self.inner.pages_only.clone(), ..Default::default() };
        let shared = Shared::new(kind.clone(), counters);
        shared.welcome(store.clone());
        kinds.insert(kind, shared.clone());
        drop(kinds);
        let (weak, cluster, options) =
            (Arc::downgrade(&self.inner), self.inner.cluster.clone(), self.inner.options.clone());
        tokio::spawn(Actor::new(weak, cluster, options, shared.clone()).run());
        Subscription::of(store, shared, self.inner.clone())
    }

    /// Figures of all kinds with a subscriber.
    pub fn stats(&self) -> CacheStats {
        let kinds: Vec<Arc<Shared>> = self.inner.kinds().values().cloned().collect();
        CacheStats { kinds: kinds.iter().map(|shared| shared.stats()).collect() }
    }
}

impl Inner {
    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Gvk, Arc<Shared>>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a kind whose last subscriber left; false where another came at that moment.
    fn forget(&self, shared: &Arc<Shared>) -> bool {
        let mut kinds = self.kinds();
        if !shared.end() {
            return false;
        }
        if kinds.get(&shared.kind).is_some_and(|known| Arc::ptr_eq(known, shared)) {
            kinds.remove(&shared.kind);
        }
        true
    }
}

#[cfg(test)]
mod tests;
