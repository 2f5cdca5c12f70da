//! The order in which pods are tried: by priority, then by age; those that failed wait until something
//! changes and their back-off is over.
//!
//! Contract: Kubernetes pkg/scheduler/backend/queue.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kiban_base::clock::Timestamp;

use crate::object::Key;

/// First and last back-off (podInitialBackoffSeconds, podMaxBackoffSeconds).
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(10);

/// Pods are tried again after this long though nothing changed (podMaxInUnschedulablePodsDuration).
const ANYWAY: Duration = Duration::from_secs(300);

/// In fast mode a back-off is this much shorter.
const FASTER: u32 = 50;

/// A pod that failed.
#[derive(Debug, Clone, Copy)]
struct Held {
    since: Timestamp,
    /// Something changed since.
    stirred: bool,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    priority: i32,
    order: u64,
    attempts: u32,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: BTreeSet<(Reverse<i32>, u64, Key)>,
    held: BTreeMap<Key, Held>,
    known: BTreeMap<Key, Known>,
    order: u64,
}

impl Queue {
    /// A pod that is new or changed: tried at once.
    pub(super) fn add(&mut self, key: Key, priority: i32) {
        let before = self.known.get(&key).copied();
        let order = before.map_or_else(
            || {
                self.order += 1;
                self.order
            },
            |k| k.order,
        );
        if let Some(old) = before {
            self.ready.remove(&(Reverse(old.priority), old.order, key.clone()));
        }
        self.held.remove(&key);
        let attempts = before.map_or(0, |k| k.attempts);
        self.known.insert(key.clone(), Known { priority, order, attempts });
        self.ready.insert((Reverse(priority), order, key));
    }

    /// A pod that is gone or bound.
    pub(super) fn remove(&mut self, key: &Key) {
        self.held.remove(key);
        if let Some(known) = self.known.remove(key) {
            self.ready.remove(&(Reverse(known.priority), known.order, key.clone()));
        }
    }

    /// The next to try.
    pub(super) fn pop(&mut self) -> Option<Key> {
        let (.., key) = self.ready.pop_first()?;
        if let Some(known) = self.known.get_mut(&key) {
            known.attempts = known.attempts.saturating_add(1);
        }
        Some(key)
    }

    /// A pod that was tried in vain.
    pub(super) fn hold(&mut self, key: Key, now: Timestamp) {
        self.held.insert(key, Held { since: now, stirred: false });
    }

    /// Something changed that may help.
    pub(super) fn stir(&mut self) {
        for held in self.held.values_mut() {
            held.stirred = true;
        }
    }

    /// There is or may be something to try.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty() || self.held.values().any(|h| h.stirred)
    }

    /// No pod waits.
    pub(super) fn is_idle(&self) -> bool {
        self.known.is_empty()
    }

    /// Moves those whose time has come.
    pub(super) fn refresh(&mut self, now: Timestamp, fast: bool) {
        let due: Vec<Key> = self
            .held
            .iter()
            .filter(|(key, held)| self.due(key, held, fast) <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.held.remove(&key);
            if let Some(known) = self.known.get(&key) {
                self.ready.insert((Reverse(known.priority), known.order, key));
            }
        }
    }

    /// When to look again: at once where pods are ready.
    pub(super) fn next(&self, now: Timestamp, fast: bool) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        self.held.iter().map(|(key, held)| self.due(key, held, fast)).min().map(|at| at.since(now))
    }

    fn due(&self, key: &Key, held: &Held, fast: bool) -> Timestamp {
        if !held.stirred {
            return held.since + ANYWAY;
        }
        let attempts = self.known.get(key).map_or(1, |k| k.attempts.max(1));
        let wait = FIRST.saturating_mul(1 << (attempts - 1).min(8)).min(LAST);
        held.since + if fast { wait / FASTER } else { wait }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("default", name)
    }

    #[test]
    fn priority_goes_before_age() {
        let mut queue = Queue::default();
        for (name, priority) in [("old", 0), ("high", 100), ("new", 0)] {
            queue.add(key(name), priority);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|k| k.name.to_string()).collect();
        assert_eq!(order, ["high", "old", "new"]);
    }

    #[test]
    fn a_pod_that_failed_waits_for_a_change_and_for_its_back_off() {
        let mut queue = Queue::default();
        let at = |secs| Timestamp::from_secs(secs);
        queue.add(key("a"), 0);
        let a = queue.pop().unwrap();
        queue.hold(a, at(0));
        queue.refresh(at(200), false);
        assert_eq!(queue.pop(), None, "nothing changed");
        queue.stir();
        queue.refresh(at(0), false);
        assert_eq!(queue.pop(), None, "its back-off is a second");
        assert_eq!(queue.next(at(0), false), Some(FIRST));
        queue.refresh(at(1), false);
        assert_eq!(queue.pop(), Some(key("a")));
        // The second time it is two.
        queue.hold(key("a"), at(1));
        queue.stir();
        queue.refresh(at(2), false);
        assert_eq!(queue.pop(), None);
        queue.refresh(at(3), false);
        assert_eq!(queue.pop(), Some(key("a")));
        // And it is tried at last though nothing changed.
        queue.hold(key("a"), at(3));
        queue.refresh(at(303), false);
        assert_eq!(queue.pop(), Some(key("a")));
        queue.remove(&key("a"));
        assert!(!queue.has_work());
    }
}
