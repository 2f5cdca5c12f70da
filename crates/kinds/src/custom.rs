//! Kinds that a CustomResourceDefinition describes: its structural schema, and what it makes of objects.
//!
//! ```text
//!   CRD ─► definition (is it sound?) ─► schema (a tree of nodes) ─► prune, fill, values, rules
//!                                  └─► columns, scale paths, selectable fields
//! ```
//!
//! Contract: Kubernetes apiextensions-apiserver 1.37, `pkg/apiserver/schema` and
//! `pkg/registry/customresource`; texts of causes are what clients and people compare.

pub mod cel;
pub mod columns;
pub mod definition;
pub mod jsonpath;
mod lists;
pub mod object;
mod pattern;
mod prune;
pub mod rules;
pub mod schema;
mod structural;
mod values;

#[cfg(test)]
mod tests;

pub use prune::{fill, prune};
pub use schema::Node;
pub use values::validate;
