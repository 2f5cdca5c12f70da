//! What came back: a head, and a body that is read within bounds of size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::error::{ClientError, chain};

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) url: Uri,
    pub(super) host: String,
    pub(super) body: Incoming,
    pub(super) bounds: Bounds,
    /// Given back when the body was read, or the answer dropped.
    pub(super) _slot: OwnedSemaphorePermit,
}

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) limit: u64,
    pub(super) read: u64,
    pub(super) stall: Duration,
    /// When all must be over, and how long that was when it began.
    pub(super) deadline: Option<(Instant, Duration)>,
}

impl Response {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header as text; `None` where it is not there or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where it came from, after redirects. May hold a signature: not for errors or logs.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Scheme, host and port that it came from, as errors name them.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// Where the body breaks off, stalls, or is larger than the request's limit.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let host = || self.host.clone();
        if self.body.size_hint().lower() > self.bounds.limit.saturating_sub(self.bounds.read) {
            return Err(ClientError::TooLarge { host: host(), limit: self.bounds.limit });
        }
        loop {
            let next = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
            let stall = Instant::now() + self.bounds.stall;
            let (until, error) = match self.bounds.deadline {
                Some((at, after)) if at < stall => (at, ClientError::Deadline { host: host(), after }),
                _ => (stall, ClientError::Stalled { host: host(), after: self.bounds.stall }),
            };
            let frame = match tokio::time::timeout_at(until, next).await.map_err(|_| error)? {
                None => return Ok(None),
                Some(frame) => frame,
            };
            let frame = frame.map_err(|error| ClientError::Broken { host: host(), cause: chain(&error) })?;
            // Trailers carry nothing that anyone here asks for.
            let Ok(bytes) = frame.into_data() else { continue };
            self.bounds.read = self.bounds.read.saturating_add(bytes.len() as u64);
            if self.bounds.read > self.bounds.limit {
                return Err(ClientError::TooLarge { host: host(), limit: self.bounds.limit });
            }
            return Ok(Some(bytes));
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Response::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::from(&first[..]);
        whole.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            whole.extend_from_slice(&more);
        }
        Ok(whole.freeze())
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// As [`Response::chunk`], and where it is no UTF-8.
    pub async fn text(self) -> Result<String, ClientError> {
        let host = self.host.clone();
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|_| ClientError::NotText { host })
    }
}
