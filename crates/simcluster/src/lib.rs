//! The embedded Kubernetes: store, API, controllers, fake nodes.
