//! The one integration binary: a module a subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod acceptance;
mod basics;
mod kinds;
mod rendered;
mod tour;
mod wire;
