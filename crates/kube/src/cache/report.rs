//! What a kind's task and those who look at it share: who comes, and how it goes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiban_base::clock::Timestamp;
use tokio::sync::Notify;

use super::stats::{KindState, KindStats};
use super::subscription::Sink;
use crate::object::Gvk;
use crate::watch::reader;

/// What a kind's task shares with the cache and its subscriptions.
pub(crate) struct Shared {
    pub(crate) kind: Gvk,
    pub(crate) reader: reader::Shared,
    inbox: Mutex<Inbox>,
    report: Mutex<Report>,
    pub(crate) woken: Notify,
}

/// Subscribers that the task has not seen yet.
#[derive(Default)]
struct Inbox {
    coming: Vec<Arc<dyn Sink>>,
    /// The task has ended: a subscriber needs another one.
    ended: bool,
}

/// How it goes.
#[derive(Default)]
pub(crate) struct Report {
    /// While no watch is held: why.
    pub(crate) outside: Option<KindState>,
    /// By watch.
    pub(crate) states: BTreeMap<String, KindState>,
    pub(crate) sinks: Vec<Arc<dyn Sink>>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    pub(crate) lists: u64,
    pub(crate) joins: u64,
    pub(crate) troubles: u64,
    pub(crate) bad: u64,
    pub(crate) last_event: Option<Timestamp>,
    pub(crate) last_contact: Option<Timestamp>,
}

impl Shared {
    pub(crate) fn new(kind: Gvk, reader: reader::Shared) -> Arc<Self> {
        let report = Mutex::new(Report { outside: Some(KindState::Listing), ..Report::default() });
        Arc::new(Self { kind, reader, inbox: Mutex::default(), report, woken: Notify::new() })
    }

    /// Hands a subscriber to the task; false where that has ended.
    pub(crate) fn welcome(&self, sink: Arc<dyn Sink>) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.ended {
            return false;
        }
        inbox.coming.push(sink);
        drop(inbox);
        self.wake();
        true
    }

    /// The subscribers that came since.
    pub(crate) fn coming(&self) -> Vec<Arc<dyn Sink>> {
        std::mem::take(&mut lock(&self.inbox).coming)
    }

    /// Ends the task's part; false where somebody came at the last moment.
    pub(crate) fn end(&self) -> bool {
        let mut inbox = lock(&self.inbox);
        inbox.ended = inbox.coming.is_empty();
        inbox.ended
    }

    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        lock(&self.report)
    }

    pub(crate) fn state(&self) -> KindState {
        self.report().state()
    }

    pub(crate) fn stats(&self) -> KindStats {
        let report = self.report();
        KindStats {
            kind: self.kind.clone(),
            state: report.state(),
            watches: report.states.len() as u64,
            objects: report.objects,
            bytes: report.bytes,
            events: report.events,
            lists: report.lists,
            joins: report.joins,
            troubles: report.troubles,
            bad: report.bad,
            bytes_read: self.reader.bytes.load(Ordering::Relaxed),
            last_event: report.last_event,
            last_contact: report.last_contact,
            subscribers: report.sinks.iter().filter(|s| !s.is_closed()).map(|s| s.stats()).collect(),
        }
    }
}

impl Report {
    /// A list goes on after a pause.
    pub(crate) fn goes_on(&mut self, scope: &str) {
        if let Some(state @ KindState::BackingOff { .. }) = self.states.get_mut(scope) {
            *state = KindState::Listing;
        }
    }

    /// The worst of its watches.
    fn state(&self) -> KindState {
        if let Some(outside) = &self.outside {
            return outside.clone();
        }
        let rank = |state: &&KindState| match state {
            KindState::BackingOff { .. } => 3,
            KindState::Listing => 2,
            KindState::Absent => 1,
            KindState::Watching => 0,
        };
        self.states.values().max_by_key(rank).cloned().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
