//! Environments that are followed: a repository, the embedded cluster, and the reconciler between them.
#![allow(clippy::unwrap_used)]

mod death;
mod drift;
mod follow;
mod front;
mod removal;
mod rollback;
mod support;
mod verdict;
