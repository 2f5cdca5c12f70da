//! The crate against the real git: its servers, its checks, its repositories.
#![allow(clippy::unwrap_used)]
#![allow(missing_docs)]

#[path = "real/support.rs"]
mod support;

#[path = "real/broken.rs"]
mod broken;
#[path = "real/commits.rs"]
mod commits;
#[path = "real/fetch.rs"]
mod fetch;
#[path = "real/folders.rs"]
mod folders;
#[path = "real/history.rs"]
mod history;
#[path = "real/push.rs"]
mod push;
#[path = "real/refusals.rs"]
mod refusals;
#[path = "real/stores.rs"]
mod stores;
#[path = "real/trees.rs"]
mod trees;
