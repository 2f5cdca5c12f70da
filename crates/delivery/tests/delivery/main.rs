//! Environments that are followed: a repository, the embedded cluster, and the reconciler between them.
#![allow(clippy::unwrap_used)]

mod follow;
mod front;
mod support;
