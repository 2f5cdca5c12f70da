//! Kubernetes client: server-side apply, readiness, inventory, lease. The only crate that names kube-rs.
//!
//! [`client::Cluster`] is the way to a cluster; [`apply::apply`] and [`diff::diff`] are the two verbs.
//! What a reader should look at first: [`apply`] for the order of things, [`plan`] for what is asked
//! before anything is written, [`inventory`] and [`readiness`] for the rules, which are pure.

pub mod adopt;
pub mod apply;
pub mod cache;
pub mod cancel;
pub mod client;
pub mod diagnose;
pub mod diff;
pub mod discovery;
pub mod drift;
mod error;
pub mod events;
mod fields;
pub mod inventory;
pub mod lease;
pub mod migration;
pub mod object;
pub mod plan;
pub mod readiness;
pub mod record;
mod report;
mod request;
mod revision;
pub mod watch;

#[cfg(test)]
mod fake;
