//! The process: clock, TLS, HTTP server, shutdown.
//!
//! The only crate that reads the machine's clock and opens listeners; everything above takes them as
//! arguments.

pub mod clock;
pub mod http;
pub mod shutdown;
pub mod tls;
