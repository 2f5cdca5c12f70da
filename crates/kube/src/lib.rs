//! Kubernetes client: server-side apply, readiness, inventory, lease. The only crate that names kube-rs.

pub mod inventory;
pub mod object;
pub mod readiness;
