//! The process: clock, TLS, HTTP server, shutdown.
