//! Applies an app's objects to a cluster so that what was rendered is what runs, and nothing else is
//! harmed.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use kiban_kube::{apply::{apply, Options, Request}, cancel::Canceller, client::{Cluster, ConnectOptions}};
//! # async fn example(clock: Arc<dyn kiban_base::clock::Clock>, objects: Vec<serde_json::Value>) -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::connect(&ConnectOptions::default(), clock).await?;
//! let request = Request {
//!     app: "orders".into(),
//!     env: "dev".into(),
//!     namespace: "checkout-dev".into(),
//!     commit: "4f2a9c1".into(),
//!     objects,
//!     ..Request::default()
//! };
//! let options = Options { holder: "alice@laptop 4711".into(), ..Options::default() };
//! let (ctrl_c, cancel) = Canceller::new();
//! let report = apply(&cluster, &request, &options, &cancel, &|event| println!("{event:?}")).await?;
//! for (object, outcome) in &report.outcomes {
//!     println!("{object} {outcome}");
//! }
//! # drop(ctrl_c); Ok(()) }
//! ```
//!
//! The order of things:
//! 1. Plan ([`crate::plan`]): discovery, dry run of every object, what to prune. An unknown kind, a
//!    refused object, a conflict or an unconfirmed prune ends it here: nothing was written.
//! 2. Where nothing is to be written, nothing is: no lease, no inventory. Readiness is still waited for.
//! 3. The app's Namespace, if it is new; then the lease `kiban-apply-<app>-<env>`.
//! 4. The inventory as the union of what it listed and what comes, so that an apply that is cut short
//!    leaves no object that nothing lists.
//! 5. The objects that change, wave by wave. A failure lets its own wave end and stops the next.
//! 6. The inventory with the new commit.
//! 7. Readiness. What is no longer rendered is still there: old pods may need it until the new are ready.
//! 8. Prune, in the opposite order; then the inventory without the pruned.

mod event;
mod execute;
mod wait;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cancel::Cancel;
use crate::client::{ApiError, Cluster};
use crate::inventory::{InventoryError, PruneOptions, PruneRefusal};
use crate::lease::{Lease, LeaseError, LeaseRequest, LeaseTimes};
use crate::object::{BadObject, ObjectId};
use crate::plan::{self, Plan};

pub(crate) use event::Progress;
pub use event::{Conflict, Event, Outcome, Report, Sink};

/// The name under which this program owns fields.
pub const MANAGER: &str = "kiban";

/// What is to be applied.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The app.
    pub app: String,
    /// The environment.
    pub env: String,
    /// The namespace of the app: of its inventory, its lease, and of objects that state none. It exists,
    /// or is among the objects.
    pub namespace: String,
    /// The commit that was rendered.
    pub commit: String,
    /// The objects, in any order.
    pub objects: Vec<Value>,
    /// Content hashes that the objects do not tell: of a Secret, that of its ciphertext.
    pub hashes: BTreeMap<ObjectId, String>,
}

/// How it is applied.
#[derive(Debug, Clone)]
pub struct Options {
    /// Take over fields that others own.
    pub force_conflicts: bool,
    /// Leave out objects whose kind the target does not know, instead of stopping.
    pub skip_missing_kinds: bool,
    /// What a prune may do.
    pub prune: PruneOptions,
    /// Wait until everything is ready. Without, what is no longer rendered is pruned at once.
    pub wait: bool,
    /// How long to wait for readiness, and as long again for what is deleted.
    pub timeout: Duration,
    /// Requests at a time.
    pub concurrency: usize,
    /// Who applies, for the eyes of those who wait for their turn: user, host, process.
    pub holder: String,
    /// How the lease is held.
    pub lease: LeaseTimes,
    /// How long to wait for another apply of the same app and environment.
    pub turn_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            force_conflicts: false,
            skip_missing_kinds: false,
            prune: PruneOptions::default(),
            wait: true,
            timeout: Duration::from_secs(300),
            concurrency: 8,
            holder: "kiban".into(),
            lease: LeaseTimes::default(),
            turn_timeout: Duration::from_secs(600),
        }
    }
}

/// Why an apply was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object that no cluster would take.
    #[error(transparent)]
    BadObject(#[from] BadObject),
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

fn objects(count: usize) -> String {
    if count == 1 { "1 object".into() } else { format!("{count} objects") }
}

impl ApplyError {
    /// The report, where there is one.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::DryRun { report, .. } | Self::Lease { report, .. } | Self::Cancelled { report } => {
                Some(report)
            }
            _ => None,
        }
    }
}

/// Applies the objects; see the module's documentation for the order of things.
///
/// # Errors
/// Whatever stops it before its first write, the loss of the lease, and the caller's cancellation.
/// Objects that fail later, or that do not become ready, are in the report.
pub async fn apply(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Result<Report, ApplyError> {
    let progress = Progress::new(sink);
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        planned = plan_and_check(cluster, request, options, &progress) => {
            let plan = planned?;
            if execute::is_noop(&plan, request) {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => {}
                    () = execute::wait_only(cluster, &plan, options, &progress) => return Ok(progress.report()),
                }
            } else {
                return write(cluster, request, options, cancel, plan, &progress).await;
            }
        }
    }
    Err(ApplyError::Cancelled { report: Box::new(progress.report()) })
}

/// Plans; an object that cannot be applied ends it.
async fn plan_and_check(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    progress: &Progress<'_>,
) -> Result<Plan, ApplyError> {
    let plan = plan::make(cluster, request, options, progress).await?;
    execute::fits(&plan, request)?;
    let count = plan.problems().count();
    if count == 0 {
        execute::tell_plan(&plan, progress);
        return Ok(plan);
    }
    for item in &plan.items {
        match plan::decided(&item.verdict) {
            Some(outcome) if outcome.is_failure() => progress.done(&item.id, outcome),
            Some(outcome) => progress.record(&item.id, outcome),
            None => progress.record(&item.id, Outcome::NotAttempted),
        }
    }
    Err(ApplyError::DryRun { count, report: Box::new(progress.report()) })
}

/// Takes the turn, writes, and gives the turn back.
async fn write(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    cancel: &Cancel,
    mut plan: Plan,
    progress: &Progress<'_>,
) -> Result<Report, ApplyError> {
    let cancelled = || ApplyError::Cancelled { report: Box::new(progress.report()) };
    if plan.namespace_is_new {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancelled()),
            made = execute::make_namespace(cluster, request, &plan, options, progress) => {
                if !made {
                    execute::not_attempted(&plan, progress);
                    return Ok(progress.report());
                }
            }
        }
    }
    let name = format!("kiban-apply-{}-{}", request.app, request.env);
    let wanted = LeaseRequest {
        namespace: &request.namespace,
        name: &name,
        holder: &options.holder,
        times: options.lease.clone(),
        patience: options.turn_timeout,
    };
    let on_wait = |holder: &str| progress.tell(Event::WaitingForTurn { holder: holder.into() });
    let mut lease = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(cancelled()),
        lease = Lease::acquire(cluster, &wanted, &on_wait) => lease.map_err(|e| lost(e, progress))?,
    };
    let waited = lease.waited();
    let work = async {
        if waited || execute::inventory_changed(cluster, request, &plan).await? {
            plan = plan_and_check(cluster, request, options, progress).await?;
        }
        progress.tell(Event::Started);
        execute::run(cluster, request, options, &plan, progress).await
    };
    let loss = async {
        let error = lease.keep().await;
        if progress.is_leaving() {
            std::future::pending::<()>().await;
        }
        error
    };
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled()),
        error = loss => Err(lost(error, progress)),
        done = work => done,
    };
    lease.release().await;
    result.map(|()| progress.report())
}

fn lost(error: LeaseError, progress: &Progress<'_>) -> ApplyError {
    ApplyError::Lease { error: Box::new(error), report: Box::new(progress.report()) }
}

#[cfg(test)]
mod tests;
