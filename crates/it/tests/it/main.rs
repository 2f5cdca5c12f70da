//! The one integration binary: a module a subject.
#![allow(clippy::unwrap_used, missing_docs)]

mod acceptance;
mod basics;
mod charts;
mod custom;
mod images;
mod kinds;
mod python_client;
mod rbac;
mod removal;
mod rendered;
mod rust_client;
mod server;
mod ship;
mod tour;
mod view;
mod wire;
