//! What an operation may cost, and how the caller ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Error;

const MIB: u64 = 1 << 20;
/// Longer than any process lives.
const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// What one operation may cost at most. Each limit has its own error.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a pack, as it comes over the wire.
    pub pack_bytes: u64,
    /// Objects in a pack.
    pub objects: u32,
    /// Bytes of one object, unpacked.
    pub object_bytes: u64,
    /// Bytes of all objects of a pack together, unpacked.
    pub unpacked_bytes: u64,
    /// Refs in an answer.
    pub refs: usize,
    /// Files that a walk or a comparison yields, and folders that it enters.
    pub entries: usize,
    /// The whole operation, from its first request to its last byte.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack_bytes: 512 * MIB,
            objects: 2_000_000,
            object_bytes: 64 * MIB,
            unpacked_bytes: 4096 * MIB,
            refs: 100_000,
            entries: 1_000_000,
            time: Duration::from_secs(120),
        }
    }
}

/// Ends operations from another thread. Clones end together.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    wake: Notify,
}

impl Cancel {
    /// Ends every operation that has this handle.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        self.0.wake.notify_waiters();
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// Waits for [`Self::cancel`].
    pub async fn cancelled(&self) {
        let woken = self.0.wake.notified();
        tokio::pin!(woken);
        // Registered before the flag is looked at: a call between the two is not missed.
        woken.as_mut().enable();
        if !self.is_cancelled() {
            woken.await;
        }
    }
}

/// One operation under way: its limits, its deadline, its end from outside, and what it has cost.
#[derive(Debug)]
pub struct Task {
    /// What it may cost.
    pub limits: Limits,
    cancel: Cancel,
    deadline: Instant,
    requests: AtomicU64,
    received: AtomicU64,
}

impl Task {
    /// An operation that starts now and ends when its limits or `cancel` say so.
    pub fn new(limits: Limits, cancel: Cancel) -> Self {
        let now = Instant::now();
        // A time beyond what the machine can tell is no limit.
        let deadline = now.checked_add(limits.time).or_else(|| now.checked_add(AGES)).unwrap_or(now);
        Self { limits, cancel, deadline, requests: AtomicU64::new(0), received: AtomicU64::new(0) }
    }

    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What ends it before its time.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// HTTP requests sent so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of answers received so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Ends with an error where the operation is to end. `what` completes "to …".
    pub(crate) fn check(&self, what: &'static str) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(self.timeout(what));
        }
        Ok(())
    }

    pub(crate) fn timeout(&self, what: &'static str) -> Error {
        Error::Timeout { what, after: self.limits.time }
    }
}

impl Default for Task {
    fn default() -> Self {
        Self::new(Limits::default(), Cancel::default())
    }
}
