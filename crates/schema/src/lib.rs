//! The Kubernetes type table, and what runs on it: strict validation, protobuf, patches,
//! server-side apply.
//!
//! The table ([`table`]) is facts about the built-in types of one Kubernetes release. Everything
//! else in this crate is a walk over a JSON value with a type of the table beside it.

pub mod builtin;
pub mod custom;
pub mod docs;
pub mod json;
pub mod openapi;
pub mod patch;
pub mod proto;
pub mod smp;
pub mod ssa;
pub mod strict;
pub mod table;
