//! The renderer on whole repositories.
#![allow(clippy::unwrap_used)]

mod escapes;
mod explain;
mod golden;
mod laws;
mod practices;
mod rules;
mod shapes;
mod support;
