//! Kubernetes client: server-side apply, readiness, inventory, lease. The only crate that names kube-rs.
