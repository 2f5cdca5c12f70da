//! The embedded Kubernetes: store, API, controllers, fake nodes, in one process.
//!
//! ```text
//!   api (HTTP, TLS) ──► registry (one write path) ──► store (persistent maps, one log a kind)
//!        ▲  lists, watches: bytes copied                    │ changes, by cursor
//!        └──────────────────────────────────────────────────┤
//!                                                           ▼
//!                             engine: controllers, scheduler, fake kubelets (one thread, one clock)
//! ```
//!
//! Nothing here knows kube-rs: the crate is tested *with* real clients. What clients demand of it is
//! in the contracts that each module names.

pub mod api;
pub mod bootstrap;
pub mod controllers;
pub mod custom;
pub mod engine;
pub mod kind;
pub mod logs;
pub mod nodes;
pub mod object;
pub mod rbac;
pub mod registry;
pub mod server;
pub mod status;
pub mod store;

pub use kind::{KindId, kind_id};
pub use object::{Key, Stored};
pub use registry::{Actor, Cluster};
pub use status::ApiError;
