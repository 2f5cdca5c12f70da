//! Scheduling simulation and plans: pure data in, plan out.
//!
//! [`Scheduler`] is the one scheduler of Kiban: the embedded cluster places its pods with it, and every
//! question of the kind "what would fit where" asks a clone of it. It follows kube-scheduler's default
//! profile (filters, scores, weights, messages) over an index that each event updates in place.
//!
//! Left out, because they need objects that the index does not hold: volumes, dynamic resources, image
//! locality. A pod that asks for these is placed as if it did not.

mod cluster;
mod fast;
mod filter;
mod labels;
mod node;
mod pod;
mod preempt;
mod reason;
mod resources;
mod scheduler;
mod score;

pub use labels::Labels;
pub use node::{Effect, Node, Taint};
pub use pod::{
    HostPort, NodeAffinity, NodeTerm, Pod, PodKey, PodTerm, Scope, Spread, Template, Toleration,
    TolerationOperator, WeightedNodeTerm, WeightedPodTerm,
};
pub use preempt::{Budget, Eviction};
pub use reason::{Reason, Unschedulable};
pub use resources::Resources;
pub use scheduler::{Decision, Options, Outcome, Scheduler, TieBreak};
pub use score::Scores;

#[cfg(test)]
mod tests;
