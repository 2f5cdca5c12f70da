//! The one integration binary: a module a subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod basics;
mod kinds;
