//! The process: clock, configuration, components, HTTP server and client, TLS, metrics, CPU pool, shutdown.
//!
//! The only crate that reads the machine's clock and opens listeners; everything above takes them as
//! arguments.

use std::any::Any;
use std::pin::Pin;

pub mod client;
pub mod clock;
pub mod component;
pub mod config;
pub mod cpu;
pub mod data;
pub mod files;
pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod readiness;
pub mod route;
pub mod router;
pub mod secret;
pub mod server;
pub mod shutdown;
pub mod supervisor;
pub mod tls;
pub mod web;

/// A future behind a pointer, as traits give it back.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a panic said.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}
