//! How the watches are, as plain figures.

use std::fmt;
use std::time::Duration;

use kiban_base::clock::Timestamp;

use crate::object::Gvk;

/// How the watch of a kind is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KindState {
    /// Finding out how the cluster serves it, or reading what there is.
    #[default]
    Listing,
    /// All is read, and changes come as they happen.
    Watching,
    /// The cluster does not know the kind; it is asked again every now and then.
    Absent,
    /// It does not go on for now.
    BackingOff {
        /// Why, for a person.
        why: String,
        /// The pause before the next try.
        pause: Duration,
    },
}

impl fmt::Display for KindState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing => f.write_str("listing"),
            Self::Watching => f.write_str("watching"),
            Self::Absent => f.write_str("the cluster has no such kind"),
            Self::BackingOff { why, pause } => write!(f, "backing off for {pause:.1?}: {why}"),
        }
    }
}

/// Figures of one subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriberStats {
    /// How it is called.
    pub name: String,
    /// Whether all that there was at the start is in its store.
    pub synced: bool,
    /// Values in its store.
    pub objects: u64,
    /// Bytes that they take, estimated, the keys included that it shares with others.
    pub bytes: u64,
    /// Changes that it has not read yet.
    pub queued: u64,
    /// Changes that it was told, those included that it lost.
    pub deltas: u64,
    /// How often it fell behind and lost its queue.
    pub resyncs: u64,
    /// Objects that its projection could not read.
    pub bad: u64,
}

/// Figures of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindStats {
    /// The kind.
    pub kind: Gvk,
    /// How its watch is.
    pub state: KindState,
    /// Watches that are held: one for the cluster, or one a namespace.
    pub watches: u64,
    /// Objects that are known by key and revision.
    pub objects: u64,
    /// Bytes that keys and revisions take, estimated; what subscribers keep is theirs.
    pub bytes: u64,
    /// Events of watches.
    pub events: u64,
    /// Lists that were begun: the first one, and one for each gap.
    pub lists: u64,
    /// Lists that were read for a subscriber that came later.
    pub joins: u64,
    /// Pauses after something went wrong.
    pub troubles: u64,
    /// Things that came and were no object.
    pub bad: u64,
    /// Bytes of bodies that were read.
    pub bytes_read: u64,
    /// When the last event came.
    pub last_event: Option<Timestamp>,
    /// When the last sign of life came: an event, a bookmark, a part of a list. How long ago that is
    /// says how far behind the store may be.
    pub last_contact: Option<Timestamp>,
    /// Its subscribers.
    pub subscribers: Vec<SubscriberStats>,
}

/// Figures of a cache: a row a kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Kinds with a subscriber, sorted.
    pub kinds: Vec<KindStats>,
}

impl KindStats {
    /// How long ago the last sign of life was.
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        self.last_contact.map(|last| now.since(last))
    }

    /// Bytes in all: keys, revisions, and what subscribers keep.
    pub fn total_bytes(&self) -> u64 {
        self.bytes + self.subscribers.iter().map(|s| s.bytes).sum::<u64>()
    }
}
