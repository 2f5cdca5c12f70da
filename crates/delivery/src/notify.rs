//! What people are told of a rollout: one thread for one commit in one environment, however many apps.
//!
//! [`Threads`] gathers what the apps report, and hands each change of a thread to all [`Notifier`]s, one
//! after the other, from a bounded queue. Telling never fails a deploy: what could not be told is counted.

pub mod config;
pub mod fake;
pub mod slack;
pub mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiban_runtime::BoxFuture;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use crate::verdict::Fault;

/// One commit in one environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ThreadId {
    /// The environment.
    pub env: String,
    /// The commit's id.
    pub commit: String,
}

/// How far an app has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Its objects are being applied, or are not ready yet.
    Applying {
        /// What it waits for, in words; empty at first.
        waiting: String,
    },
    /// It is ready and is being watched.
    Watching {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// It is good.
    Good,
    /// It is bad.
    Bad {
        /// What is wrong.
        faults: Vec<String>,
        /// The last lines of the log that tells more.
        lines: Vec<String>,
        /// What was done about it, in words.
        then: String,
    },
    /// It could not be deployed.
    Failed {
        /// Why, in words.
        why: String,
    },
    /// A newer commit took its place.
    Superseded,
}

impl State {
    /// True when nothing more will be told of it.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Applying { .. } | Self::Watching { .. })
    }

    /// True for an end that somebody must look at.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. } | Self::Failed { .. })
    }

    /// A bad end.
    pub fn bad(faults: &[Fault], then: impl Into<String>) -> Self {
        Self::Bad {
            faults: faults.iter().map(ToString::to_string).collect(),
            lines: faults.iter().find(|f| !f.lines.is_empty()).map(|f| f.lines.clone()).unwrap_or_default(),
            then: then.into(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applying { waiting } if waiting.is_empty() => f.write_str("applying"),
            Self::Applying { waiting } => write!(f, "waiting for {waiting}"),
            Self::Watching { seconds } => write!(f, "ready, watched for {seconds} s"),
            Self::Good => f.write_str("good"),
            Self::Bad { faults, then, .. } => {
                write!(f, "bad: {}", faults.join("; "))?;
                if then.is_empty() { Ok(()) } else { write!(f, "; {then}") }
            }
            Self::Failed { why } => write!(f, "failed: {why}"),
            Self::Superseded => f.write_str("a newer commit took its place"),
        }
    }
}

/// One rollout, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Thread {
    /// Which.
    pub id: ThreadId,
    /// Who made the commit.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// Where people can look at the commit; empty where nobody knows.
    pub link: String,
    /// How far each app has come.
    pub apps: BTreeMap<String, State>,
}

impl Thread {
    /// True when all apps have come to an end.
    pub fn is_over(&self) -> bool {
        self.apps.values().all(State::is_final)
    }

    /// True when an app has come to a bad end.
    pub fn is_bad(&self) -> bool {
        self.apps.values().any(State::is_bad)
    }
}

/// What happened to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// It began.
    Started,
    /// An app got further.
    Progress,
    /// All apps came to an end.
    Ended,
}

/// Why something could not be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotTold(pub String);

/// Somebody who tells people.
pub trait Notifier: Send + Sync {
    /// Its name, for logs and metrics.
    fn name(&self) -> &str;

    /// Tells how far a rollout has come. Moments of one thread come in order; of several progresses in a
    /// row only the last one may come.
    fn tell<'a>(&'a self, thread: &'a Thread, moment: Moment) -> BoxFuture<'a, Result<(), NotTold>>;
}

/// The longest that one notifier may take for one moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// Threads that are remembered at most; the oldest that is over goes first.
const MAX_THREADS: usize = 1_000;

/// Gathers what apps report into threads.
#[derive(Clone)]
pub struct Threads {
    shared: Arc<Shared>,
}

/// Hears of each attempt: the notifier's name, and whether it went well.
type Told = dyn Fn(&str, bool) + Send + Sync;

struct Shared {
    threads: Mutex<Known>,
    /// Something waits to be told.
    news: Notify,
    told: Box<Told>,
}

#[derive(Default)]
struct Known {
    threads: BTreeMap<ThreadId, Thread>,
    /// Begun at, for the order in which they are forgotten.
    order: Vec<ThreadId>,
    /// What waits to be told: the moments, and the state at each that must be told exactly.
    pending: Vec<(ThreadId, Moment)>,
}

impl Threads {
    /// Threads without any yet. `told` hears of each attempt: the notifier's name, and whether it went well.
    pub fn new(told: impl Fn(&str, bool) + Send + Sync + 'static) -> Self {
        let shared = Shared { threads: Mutex::default(), news: Notify::new(), told: Box::new(told) };
        Self { shared: Arc::new(shared) }
    }

    /// An app got further. The first word of a thread begins it.
    pub fn report(&self, about: &Thread, app: &str, state: State) {
        let mut known = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !known.threads.contains_key(&about.id);
        if is_new {
            known.forget();
            known.order.push(about.id.clone());
        }
        let thread = known
            .threads
            .entry(about.id.clone())
            .or_insert_with(|| Thread { apps: BTreeMap::new(), ..about.clone() });
        let was_over = !is_new && thread.is_over();
        if thread.apps.get(app) == Some(&state) {
            return;
        }
        thread.apps.insert(app.to_owned(), state);
        let is_over = thread.is_over();
        if is_new || (was_over && !is_over) {
            known.pending.push((about.id.clone(), Moment::Started));
        }
        let moment = if is_over { Moment::Ended } else { Moment::Progress };
        // Of several progresses in a row the last one is enough.
        known.pending.retain(|(id, pending)| !(id == &about.id && *pending == Moment::Progress));
        if !(is_new && moment == Moment::Progress) {
            known.pending.push((about.id.clone(), moment));
        }
        drop(known);
        self.shared.news.notify_one();
    }

    /// A thread as far as it has come.
    pub fn get(&self, id: &ThreadId) -> Option<Thread> {
        self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner).threads.get(id).cloned()
    }

    /// All threads that are remembered, the newest first.
    pub fn all(&self) -> Vec<Thread> {
        let known = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
        known.order.iter().rev().filter_map(|id| known.threads.get(id)).cloned().collect()
    }

    /// Tells all notifiers what is reported, until `stop` ends and nothing is left to be told.
    pub async fn run(&self, notifiers: &[Arc<dyn Notifier>], mut stop: mpsc::Receiver<()>) {
        let mut stopping = false;
        loop {
            while let Some((thread, moment)) = self.take() {
                for notifier in notifiers {
                    self.tell(notifier.as_ref(), &thread, moment).await;
                }
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = self.shared.news.notified() => {}
                _ = stop.recv() => stopping = true,
            }
        }
    }

    fn take(&self) -> Option<(Thread, Moment)> {
        let mut known = self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while !known.pending.is_empty() {
            let (id, moment) = known.pending.remove(0);
            if let Some(thread) = known.threads.get(&id) {
                return Some((thread.clone(), moment));
            }
        }
        None
    }

    async fn tell(&self, notifier: &dyn Notifier, thread: &Thread, moment: Moment) {
        let name = notifier.name();
        let result = match tokio::time::timeout(PATIENCE, notifier.tell(thread, moment)).await {
            Ok(result) => result,
            Err(_) => Err(NotTold(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        (self.shared.told)(name, result.is_ok());
        if let Err(error) = result {
            let ThreadId { env, commit } = &thread.id;
            tracing::warn!(notifier = name, env, commit, "could not tell of a rollout: {error}");
        }
    }
}

impl Known {
    fn forget(&mut self) {
        while self.order.len() >= MAX_THREADS {
            let over = |id: &ThreadId| self.threads.get(id).is_none_or(Thread::is_over);
            let at = self.order.iter().position(over).unwrap_or(0);
            let id = self.order.remove(at);
            self.threads.remove(&id);
        }
    }
}
