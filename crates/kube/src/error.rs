//! Why an apply was not done, or not to its end.

use crate::adopt::LiveController;
use crate::client::ApiError;
use crate::inventory::{InventoryError, PruneRefusal};
use crate::lease::LeaseError;
use crate::object::{BadObject, ObjectId};
use crate::record::RecordError;
use crate::report::Report;
use crate::request::Hold;
use crate::revision::Revision;

/// An object that a request may not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The object.
    pub object: ObjectId,
    /// The file that it comes from, where the request says.
    pub file: Option<String>,
    /// What is wrong.
    pub problem: String,
}

/// The file first, as compilers print it.
impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        write!(f, "{}: {}", self.object, self.problem)
    }
}

/// Why an apply was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object that no cluster would take.
    #[error(transparent)]
    BadObject(#[from] BadObject),
    /// Objects of another namespace, or of none, in an app's request. Nothing was written.
    #[error(
        "{}; nothing was written. An app's objects lie in its own namespace; what is cluster-scoped belongs to platform/",
        lines(offences)
    )]
    OutOfScope {
        /// Each object.
        offences: Vec<Offence>,
    },
    /// What is wanted is older than what is there, or of another history. Nothing was written.
    #[error(
        "{wanted} {} {applied}, which is applied{}; nothing was written (--allow-older applies it all the same)",
        if *diverged { "is of another history than" } else { "is older than" },
        if *unfinished { " in part" } else { "" }
    )]
    Older {
        /// What was applied.
        applied: Box<Revision>,
        /// True where that apply did not end.
        unfinished: bool,
        /// What was wanted.
        wanted: Box<Revision>,
        /// Neither comes after the other.
        diverged: bool,
    },
    /// What is wanted renders what was rolled back. Nothing was written.
    #[error(
        "{wanted} renders what was rolled back with {} since {} ({}); nothing was written. The next change of the app releases it, and so does --release-hold",
        hold.bad, hold.since, hold.reason
    )]
    Held {
        /// What was wanted.
        wanted: Revision,
        /// The hold.
        hold: Box<Hold>,
    },
    /// Another tool still points at objects that are to be taken over. Nothing was written.
    #[error(
        "{}; nothing was written. Suspend or delete it first, or pass --adopt=even-if-live",
        controllers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    LiveController {
        /// Each of its objects.
        controllers: Vec<LiveController>,
    },
    /// Kinds that the target does not know. Nothing was written.
    #[error(
        "the target does not know {}; nothing was written (--skip-missing-kinds leaves such objects out)",
        kinds.join(", ")
    )]
    MissingKinds {
        /// Each kind with the number of its objects and what the target has instead.
        kinds: Vec<String>,
    },
    /// A namespace that neither exists nor is rendered. Nothing was written.
    #[error("namespace {namespace:?} does not exist and is not among the objects; nothing was written")]
    NoNamespace {
        /// Its name.
        namespace: String,
    },
    /// A namespace that is on its way out. Nothing was written.
    #[error(
        "namespace {namespace:?} is being deleted: wait until it is gone, then apply again; nothing was written"
    )]
    NamespaceTerminating {
        /// Its name.
        namespace: String,
    },
    /// The dry run found refused objects or conflicts; they are in the report. Nothing was written.
    #[error("the dry run found {} that cannot be applied; nothing was written", objects(*.count))]
    DryRun {
        /// How many.
        count: usize,
        /// Every object with what was found.
        report: Box<Report>,
    },
    /// A prune that wants a word first. Nothing was written.
    #[error("{0}; nothing was written")]
    Prune(#[from] PruneRefusal),
    /// The inventory cannot be read or written.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// Another apply is at work, or took over.
    #[error("{error}; applying again goes on from here")]
    Lease {
        /// What happened to the lease.
        error: Box<LeaseError>,
        /// What was done until then.
        report: Box<Report>,
    },
    /// Another deployer wrote the inventory meanwhile.
    #[error(
        "another deployer wrote the inventory of this app meanwhile ({error}); applying again goes on from here"
    )]
    Overtaken {
        /// The API's words.
        error: Box<ApiError>,
        /// What was done until then.
        report: Box<Report>,
    },
    /// The caller cancelled it.
    #[error("stopped before its end; applying again goes on from here")]
    Cancelled {
        /// What was done until then.
        report: Box<Report>,
    },
    /// The API did not answer as it should, outside any one object.
    #[error(transparent)]
    Api(#[from] ApiError),
}

fn lines(offences: &[Offence]) -> String {
    offences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn objects(count: usize) -> String {
    if count == 1 { "1 object".into() } else { format!("{count} objects") }
}

impl ApplyError {
    /// The report, where there is one.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::DryRun { report, .. }
            | Self::Lease { report, .. }
            | Self::Overtaken { report, .. }
            | Self::Cancelled { report } => Some(report),
            _ => None,
        }
    }
}

impl From<RecordError> for ApplyError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Inventory(error) => error.into(),
            RecordError::Api(error) => error.into(),
        }
    }
}
