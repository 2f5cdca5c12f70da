//! The way to a server: one request, one answer that is read as it comes. Calls block; call from a thread
//! that may.

mod client;

use std::io::Read;

use bytes::Bytes;

use crate::error::Error;
use crate::task::Task;

pub use client::Client;

/// The body of an answer. Errors of this crate come through it inside of [`std::io::Error`].
pub type Body = Box<dyn Read + Send>;

/// An extension of a request that changes nothing: it may be sent again where a connection that was kept
/// turns out to be closed.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable;

/// Sends requests. What it must do: hold to the task's deadline and cancellation while it waits and while the
/// body is read, follow no redirect, and undo no content encoding that was not asked for.
pub trait Http: Send + Sync {
    /// Sends a request with an absolute URI, and returns when the answer's headers are there.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Timeout`], [`Error::Cancelled`]; any status is an answer, not an error.
    fn send(&self, request: http::Request<Bytes>, task: &Task) -> Result<http::Response<Body>, Error>;
}
