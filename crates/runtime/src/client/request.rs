//! What is asked: a request that can be built step by step and sent more than once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

use super::error::{ClientError, PayloadFailure};
use super::retry::Retry;
use super::{authority, origin};
use crate::secret::Secret;

/// How long a request may take unless it says otherwise: retries, redirects and the body included.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a body may be silent unless the request says otherwise.
const STALL: Duration = Duration::from_secs(30);

/// The largest body that is taken unless the request says otherwise.
const LIMIT: u64 = 8 << 20;

/// Which redirects are followed. Credentials never go to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// None: a redirect is an answer like any other.
    #[default]
    No,
    /// Those that stay on the host (from `http` to `https` is staying; back is not).
    SameHost,
    /// Those that a named registry gives for a blob: anywhere over TLS.
    Blob,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    pub(super) deadline: Option<Duration>,
    pub(super) stall: Duration,
    pub(super) limit: u64,
    pub(super) redirects: Redirects,
    pub(super) retry: Option<Retry>,
    pub(super) idempotent: bool,
}

impl Request {
    /// A request for `url`: `http` or `https`, without credentials in it.
    ///
    /// # Errors
    /// Where the URL is none, or holds credentials; the error does not repeat it.
    pub fn new(method: Method, url: &str) -> Result<Self, ClientError> {
        let uri = url.parse::<Uri>().map_err(|error| ClientError::Url(format!("not a URL: {error}")))?;
        authority(&uri).map_err(ClientError::Url)?;
        let idempotent = method.is_idempotent();
        Ok(Self {
            method,
            url: uri,
            headers: HeaderMap::new(),
            payload: Payload::Full(Bytes::new()),
            deadline: Some(DEADLINE),
            stall: STALL,
            limit: LIMIT,
            redirects: Redirects::No,
            retry: None,
            idempotent,
        })
    }

    /// A GET of `url`.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn get(url: &str) -> Result<Self, ClientError> {
        Self::new(Method::GET, url)
    }

    /// A POST to `url`.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn post(url: &str) -> Result<Self, ClientError> {
        Self::new(Method::POST, url)
    }

    /// Adds a header.
    ///
    /// # Errors
    /// Where the name or value cannot be one.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ClientError> {
        let bad = || ClientError::Header { name: name.to_owned() };
        let key = HeaderName::try_from(name).map_err(|_| bad())?;
        self.headers.append(key, HeaderValue::try_from(value).map_err(|_| bad())?);
        Ok(self)
    }

    /// Sets a header that holds a secret: it is never printed and never leaves the host.
    ///
    /// # Errors
    /// Where the name or the secret cannot be a header's.
    pub fn secret_header(mut self, name: &str, value: &Secret) -> Result<Self, ClientError> {
        let bad = || ClientError::Header { name: name.to_owned() };
        let key = HeaderName::try_from(name).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.headers.insert(key, value);
        Ok(self)
    }

    /// Authorizes by a bearer token.
    ///
    /// # Errors
    /// Where the token holds what no header may.
    pub fn bearer(self, token: &Secret) -> Result<Self, ClientError> {
        self.secret_header(AUTHORIZATION.as_str(), &Secret::new(format!("Bearer {}", token.expose())))
    }

    /// Authorizes by a name and a password.
    ///
    /// # Errors
    /// Where the name holds a colon.
    pub fn basic(self, user: &str, password: &Secret) -> Result<Self, ClientError> {
        if user.contains(':') {
            return Err(ClientError::Header { name: AUTHORIZATION.to_string() });
        }
        self.secret_header(AUTHORIZATION.as_str(), &super::basic(user, password))
    }

    /// Sends these bytes as the body.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.payload = Payload::Full(bytes.into());
        self
    }

    /// Sends what arrives on the channel until it closes; an error ends the request as failed. With
    /// `length`, exactly that many bytes must come. Such a request is sent once: it is never tried again.
    pub fn stream(mut self, pieces: mpsc::Receiver<io::Result<Bytes>>, length: Option<u64>) -> Self {
        self.payload = Payload::Stream(Some(pieces), length);
        self
    }

    /// How long everything may take: retries, redirects, and the body. `None`: as long as it goes on.
    pub fn deadline(mut self, deadline: Option<Duration>) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long the answer's body may be silent.
    pub fn stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// The largest body, in bytes, that is taken as an answer.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Which redirects are followed.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// How it is tried again, in place of the client's own policy.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Says that sending it twice is as good as once, so that it is tried again whatever its method.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Scheme, host and port, as errors name them.
    pub fn host(&self) -> String {
        origin(&self.url)
    }
}

/// A request's body.
#[derive(Debug)]
pub(super) enum Payload {
    Full(Bytes),
    /// The pieces, until they were taken; how many bytes they are.
    Stream(Option<mpsc::Receiver<io::Result<Bytes>>>, Option<u64>),
}

impl Payload {
    /// What is sent; `None` where it was sent already and cannot be again.
    pub(super) fn take(&mut self) -> Option<Outgoing> {
        match self {
            Self::Full(bytes) => Some(Outgoing::Full(Some(bytes.clone()).filter(|b| !b.is_empty()))),
            Self::Stream(pieces, length) => pieces.take().map(|p| Outgoing::Stream(p, *length)),
        }
    }

    /// Whether it can be sent (again).
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Stream(None, _))
    }
}

/// A body on its way out.
pub(super) enum Outgoing {
    Full(Option<Bytes>),
    Stream(mpsc::Receiver<io::Result<Bytes>>, Option<u64>),
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = PayloadFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PayloadFailure>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(pieces, left) => pieces.poll_recv(cx).map(|piece| match piece {
                None if left.is_some_and(|left| left > 0) => {
                    *left = None;
                    Some(Err(PayloadFailure("it is shorter than was said".into())))
                }
                None => None,
                Some(Err(error)) => Some(Err(PayloadFailure(error.to_string()))),
                Some(Ok(bytes)) => {
                    if let Some(left) = left {
                        match left.checked_sub(bytes.len() as u64) {
                            Some(rest) => *left = rest,
                            None => {
                                return Some(Err(PayloadFailure("it is longer than was said".into())));
                            }
                        }
                    }
                    Some(Ok(Frame::data(bytes)))
                }
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream(_, Some(left)) => SizeHint::with_exact(*left),
            Self::Stream(_, None) => SizeHint::default(),
        }
    }
}
