//! Controllers: level-triggered, one queue, one thread, on a clock that tests drive.
//!
//! A controller says which kinds wake it and which object each change is about; the engine calls
//! [`Controller::reconcile`] with that object's key once, however many changes came. It reads the
//! current state and makes the world look as it should; it may be called at any time and keeps
//! nothing that it could not find again.

use std::time::Duration;

use kiban_base::clock::Timestamp;

use crate::kind::KindId;
use crate::object::Key;
use crate::registry::Cluster;
use crate::status::ApiError;
use crate::store::{Change, State};

pub mod aggregation;
pub mod budgets;
pub mod cronjobs;
pub mod daemons;
pub mod definitions;
pub mod endpoints;
pub mod events;
pub mod garbage;
pub mod jobs;
pub mod namespaces;
pub mod pods;
pub mod replicas;
pub mod revisions;
pub mod rollout;
pub mod root_ca;
pub mod scheduler;
pub mod stateful;
pub mod taints;
#[cfg(test)]
pub(crate) mod tests;
pub mod volumes;
pub mod workload;

/// What a controller may use.
pub struct Ctx<'a> {
    /// The cluster, to write to.
    pub cluster: &'a Cluster,
    /// The time.
    pub now: Timestamp,
    /// Waits are skipped: `--timing fast`.
    pub fast: bool,
}

impl Ctx<'_> {
    /// The current state; cheap.
    pub fn state(&self) -> State {
        self.cluster.snapshot()
    }
}

/// What a controller is about: an object of its main kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// The kind; a controller that serves several kinds tells them apart by it.
    pub kind: KindId,
    /// Namespace and name.
    pub key: Key,
}

/// When to call again, though nothing changes.
pub type Again = Option<Duration>;

/// One controller.
pub trait Controller: Send {
    /// Its name, as managedFields and Events record it (`deployment-controller`).
    fn name(&self) -> &'static str;

    /// Kinds whose changes wake it.
    fn watches(&self) -> Vec<KindId>;

    /// It is woken by every custom kind too, whenever that comes.
    fn watches_custom(&self) -> bool {
        false
    }

    /// Which items a change is about.
    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>);

    /// Makes the world look as the item says.
    ///
    /// # Errors
    /// A refusal by the API; the engine calls again with back-off.
    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError>;
}

/// Every controller of the control plane, in the order in which they run.
pub fn all() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(namespaces::Namespaces::default()),
        Box::new(garbage::Garbage),
        Box::new(definitions::Definitions),
        Box::new(aggregation::Aggregation),
        Box::new(cronjobs::CronJobs),
        Box::new(jobs::Jobs::default()),
        Box::new(rollout::Deployments),
        Box::new(replicas::Replicas::default()),
        Box::new(stateful::StatefulSets::default()),
        Box::new(daemons::DaemonSets::default()),
        Box::new(volumes::Volumes),
        Box::new(taints::Taints),
        Box::new(endpoints::EndpointSlices::default()),
        Box::new(budgets::Budgets),
        Box::new(events::Expiry::default()),
    ]
}
