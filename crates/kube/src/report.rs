//! What an apply tells while it runs, and what it leaves as its report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kiban_base::clock::Timestamp;

use crate::adopt::Adopted;
use crate::diagnose::Finding;
use crate::inventory::Kept;
use crate::object::ObjectId;
use crate::readiness::Readiness;

/// A field that two managers want to set differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path of the field, as in `.spec.replicas`.
    pub field: String,
    /// Who owns it now, in the server's words: `"kubectl-client-side-apply" using apps/v1`.
    pub owner: String,
    /// The owner's name alone.
    pub manager: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: owned by {}, wanted by \"{}\"", self.field, self.owner, crate::request::MANAGER)
    }
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did not exist and does now.
    Created,
    /// It was changed.
    Configured,
    /// It was as rendered; nothing was written.
    Unchanged,
    /// It is no longer rendered and was deleted.
    Pruned,
    /// It is no longer rendered and stays.
    Kept(Kept),
    /// The target API does not know its kind; left out, as the caller asked.
    SkippedMissingKind,
    /// Others own fields of it. Nothing was forced.
    Conflict(Vec<Conflict>),
    /// The API refused it, in its words.
    Failed(String),
    /// Something before it failed, or the apply was stopped.
    NotAttempted,
}

impl Outcome {
    /// True for what keeps an apply from being a success.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Failed(_) | Self::NotAttempted)
    }

    /// True when the cluster was changed.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Created | Self::Configured | Self::Pruned)
    }
}

/// The outcome in one word or line, as a CLI prints it after the object's name.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Configured => f.write_str("configured"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Pruned => f.write_str("pruned"),
            Self::Kept(why) => write!(f, "kept: {why}"),
            Self::SkippedMissingKind => {
                f.write_str("left out: the target knows neither its kind nor what belongs to it")
            }
            Self::Conflict(conflicts) => {
                let noun = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
                write!(f, "{} {noun}", conflicts.len())?;
                conflicts.iter().try_for_each(|c| write!(f, "; {c}"))
            }
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::NotAttempted => f.write_str("not attempted"),
        }
    }
}

/// What happens during an apply, in order. A CLI prints these as they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The plan is made: how many objects there are of each sort.
    Planned {
        /// To be created.
        create: usize,
        /// To be changed.
        configure: usize,
        /// As rendered already.
        unchanged: usize,
        /// To be deleted.
        prune: usize,
    },
    /// An object could not be tried out against its own namespace or kind, which do not exist yet.
    Deferred {
        /// The object.
        object: ObjectId,
        /// Why, and what was checked instead.
        reason: String,
    },
    /// Another apply of the same app and environment is at work.
    WaitingForTurn {
        /// Who.
        holder: String,
        /// When its turn ends unless it renews it, as seen from here.
        until: Timestamp,
    },
    /// The turn is ours: writing begins.
    Started,
    /// An object's fate is known.
    Done {
        /// The object.
        object: ObjectId,
        /// Its fate.
        outcome: Outcome,
    },
    /// An object is waited for; told again whenever its state changes.
    Waiting {
        /// The object.
        object: ObjectId,
        /// Its state.
        readiness: Readiness,
    },
    /// Why an object that is waited for is not ready; told again whenever that changes.
    Blocked {
        /// The object.
        object: ObjectId,
        /// What stands in its way, the most telling first.
        findings: Vec<Finding>,
    },
    /// Fields of an object were taken over from other tools.
    Adopted {
        /// The object.
        object: ObjectId,
        /// From whom, and what of theirs stays.
        adopted: Adopted,
    },
    /// An object that was waited for is ready.
    Ready {
        /// The object.
        object: ObjectId,
    },
    /// A deleted object is waited for until it is gone.
    Deleting {
        /// The object.
        object: ObjectId,
    },
    /// A request is repeated.
    Retrying {
        /// What it was about.
        what: String,
        /// How long from now.
        pause: Duration,
        /// Why.
        reason: String,
    },
    /// The API server, or this program, has something to say that stops nothing.
    Warning(String),
}

/// Where events go. Called from the task that runs the apply; must not block.
pub type Sink<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// What an apply left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Every rendered or pruned object with its outcome.
    pub outcomes: BTreeMap<ObjectId, Outcome>,
    /// Objects that were not ready at the end, with their state.
    pub not_ready: BTreeMap<ObjectId, Readiness>,
    /// Why they were not, as far as it could be found out.
    pub findings: BTreeMap<ObjectId, Vec<Finding>>,
    /// Objects that were taken over from other tools.
    pub adopted: BTreeMap<ObjectId, Adopted>,
}

impl Report {
    /// True when every object is as rendered and ready.
    pub fn is_success(&self) -> bool {
        self.not_ready.is_empty() && !self.outcomes.values().any(Outcome::is_failure)
    }

    /// How many objects have such an outcome.
    pub fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.values().filter(|o| of(o)).count()
    }
}

/// Collects outcomes as they become known, so that a report exists even where the work is cut short.
pub(crate) struct Progress<'a> {
    sink: Sink<'a>,
    report: Mutex<Report>,
    leaving: AtomicBool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(sink: Sink<'a>) -> Self {
        Self { sink, report: Mutex::default(), leaving: AtomicBool::new(false) }
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.sink)(event);
    }

    /// Records an outcome and tells it.
    pub(crate) fn done(&self, object: &ObjectId, outcome: Outcome) {
        self.record(object, outcome.clone());
        self.tell(Event::Done { object: object.clone(), outcome });
    }

    /// Records an outcome that is news to nobody.
    pub(crate) fn record(&self, object: &ObjectId, outcome: Outcome) {
        self.lock().outcomes.insert(object.clone(), outcome);
    }

    pub(crate) fn found(&self, object: &ObjectId, findings: Vec<Finding>) {
        let mut report = self.lock();
        if report.findings.get(object).map_or(findings.is_empty(), |known| *known == findings) {
            return;
        }
        if findings.is_empty() {
            report.findings.remove(object);
            return;
        }
        report.findings.insert(object.clone(), findings.clone());
        drop(report);
        self.tell(Event::Blocked { object: object.clone(), findings });
    }

    pub(crate) fn adopted(&self, object: &ObjectId, adopted: Adopted) {
        self.lock().adopted.insert(object.clone(), adopted.clone());
        self.tell(Event::Adopted { object: object.clone(), adopted });
    }

    pub(crate) fn not_ready(&self, objects: BTreeMap<ObjectId, Readiness>) {
        self.lock().not_ready = objects;
    }

    pub(crate) fn failed(&self) -> bool {
        self.lock().outcomes.values().any(|o| matches!(o, Outcome::Conflict(_) | Outcome::Failed(_)))
    }

    /// The app's own namespace goes, and with it the lease: that is no loss of the turn.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    pub(crate) fn report(&self) -> Report {
        self.lock().clone()
    }

    /// A note for [`crate::client::Cluster::call_noting`].
    pub(crate) fn retries(&self, what: String) -> impl Fn(crate::client::Retry) + Sync + '_ {
        move |retry| {
            let crate::client::Retry { pause, reason, .. } = retry;
            self.tell(Event::Retrying { what: what.clone(), pause, reason });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
