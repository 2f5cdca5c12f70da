//! The verbs of the command line, one module each.

pub mod apply;
pub mod completions;
pub mod components;
pub mod config;
pub mod demo;
pub mod deploy;
pub mod diff;
pub mod explain;
pub mod image;
pub mod new;
mod removed;
pub mod render;
pub mod server;
pub mod ship;
pub mod sim;
mod source;
mod target;

/// Runs async work to its end on a runtime of its own.
///
/// # Errors
/// What the work answers, or that no runtime could be started.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(work)
}
