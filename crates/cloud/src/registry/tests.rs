//! Registries that misbehave, at the other end of in-memory streams.
#![allow(clippy::unwrap_used)]
