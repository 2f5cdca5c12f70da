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
//!     revision: "4f2a9c1".into(),
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
//! 1. Plan ([`crate::plan`]): discovery, order of revisions, dry run of every object whose namespace and
//!    kind exist, what to prune. An unknown kind, an object out of scope, a refused object, a conflict, an
//!    older revision or an unconfirmed prune ends it here: nothing was written.
//! 2. Where nothing is to be written, nothing is: no lease, no inventory. Readiness is still waited for.
//! 3. The app's Namespace, if it is new; then the lease `kiban-apply-<app>-<env>`.
//! 4. The inventory as the union of what it listed and what comes, with the revision that is being
//!    applied: an apply that is cut short leaves no object that nothing lists, and whoever planned upon
//!    the inventory before it finds out.
//! 5. The objects that change, wave by wave ([`crate::object::wave`]). After the Namespaces and
//!    CustomResourceDefinitions, what could not be tried out before is tried out, all of it before any of
//!    it is written. Migrations must complete before the workloads. A failure lets its own wave end and
//!    stops the next.
//! 6. The inventory with the new revision.
//! 7. Readiness. What is no longer rendered is still there: old pods may need it until the new are ready.
//! 8. Prune, in the opposite order; then the inventory without the pruned.
//!
//! # The fence
//! Several deployers may want the same app, and any of them may be stopped at any point and go on much
//! later. What holds them apart:
//! - The lease is renewed beside the work; the work ends when that fails. Every write is sent only while
//!   less than two thirds of the lease's duration have passed since its last renewal, asked before every
//!   try, by the wall clock and the machine's own; another takes over after the whole of it.
//! - The inventory is written only upon the revision that this deployer read or wrote, and before the
//!   first object.
//! - An object that exists is written only upon the revision that was seen. Where it changed, the lease is
//!   read again before it is tried upon the new one.
//!
//! What remains: a process that is stopped in the instant between that question and the system call that
//! sends the request, for longer than a third of the lease's duration, sends that one request (one for
//! each of [`Options::concurrency`]) when it goes on. It then changes an object that the other deployer
//! left alone since, or creates one. No inventory is written by it, and the other's drift detection sees
//! the change as it would see any other.

mod execute;
mod ledger;
mod object;
mod wait;

use crate::cancel::Cancel;
use crate::client::{ApiError, Cluster};
use crate::lease::{Lease, LeaseError, LeaseRequest};
use crate::plan::{self, Plan};
use crate::report::Progress;

pub use crate::error::{ApplyError, Offence};
pub use crate::report::{Conflict, Event, Outcome, Report, Sink};
pub use crate::request::{Adopt, Hold, MANAGER, Options, Request, Scope, ServiceAccount};
pub use crate::revision::{Ancestry, Order, Revision};

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
    let on_wait = |holder: &str, until| {
        progress.tell(Event::WaitingForTurn { holder: holder.into(), until });
    };
    let mut lease = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(cancelled()),
        lease = Lease::acquire(cluster, &wanted, &on_wait) => lease.map_err(|e| lost(e, progress))?,
    };
    let waited = lease.waited();
    let turn = lease.turn().clone();
    let work = async {
        if waited || plan.record.changed(cluster).await? {
            plan = plan_and_check(cluster, request, options, progress).await?;
        }
        progress.tell(Event::Started);
        let run = execute::Run::new(cluster, request, options, progress, &turn);
        run.all(&mut plan).await
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
        done = work => done.map_err(|error| overtaken(error, progress)),
    };
    lease.release().await;
    result.map(|()| progress.report())
}

/// An inventory that another wrote, or a turn that was over before a write was sent.
fn overtaken(error: ApplyError, progress: &Progress<'_>) -> ApplyError {
    let report = || Box::new(progress.report());
    match error {
        ApplyError::Api(ApiError::TurnIsOver { lease }) => {
            let why = "it could not be renewed in time".into();
            ApplyError::Lease { error: Box::new(LeaseError::Lost { lease, why }), report: report() }
        }
        ApplyError::Api(error) if error.is_conflict() => {
            ApplyError::Overtaken { error: Box::new(error), report: report() }
        }
        other => other,
    }
}

fn lost(error: LeaseError, progress: &Progress<'_>) -> ApplyError {
    ApplyError::Lease { error: Box::new(error), report: Box::new(progress.report()) }
}

#[cfg(test)]
mod tests;
