//! App to Kubernetes objects: rules, laws, explanations, semantic diff.
//!
//! [`render()`] takes the apps of one environment and returns every object with the rule behind each
//! of its leaves, the findings of the laws, and a count of the escape hatches. Everything is pure:
//! the same files give the same bytes.

mod check;
pub mod diff;
pub mod explain;
mod extra;
pub mod facts;
pub mod laws;
pub mod node;
mod output;
mod overrides;
pub mod path;
pub mod practices;
mod quantity;
pub mod render;
pub mod rules;

pub use check::{SchemaFinding, against_schema};
pub use kiban_base::object::ObjectId;

pub use explain::{ExplainError, Explanation, explain};
pub use laws::{Finding, Severity};
pub use output::{Escapes, Rendered, read_back, render, render_apps, render_repo};
pub use render::{Made, Object, Owner};
