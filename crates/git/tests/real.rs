//! The crate against the real git: its servers, its checks, its repositories.
#![allow(clippy::unwrap_used)]
#![allow(missing_docs)]

#[path = "real/support.rs"]
mod support;

#[path = "real/fetch.rs"]
mod fetch;
#[path = "real/push.rs"]
mod push;
