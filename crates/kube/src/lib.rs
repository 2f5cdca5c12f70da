//! Kubernetes client: server-side apply, readiness, inventory, lease. The only crate that names kube-rs.

pub mod cancel;
pub mod client;
pub mod discovery;
pub mod inventory;
pub mod object;
pub mod readiness;
