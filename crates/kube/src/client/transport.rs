//! The one place that hands requests to kube-rs, behind a trait so that tests can answer instead.

use std::error::Error as _;
use std::fmt::Write;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use http::{Request, Response};
use http_body_util::BodyDataStream;
// Chooses the release of the API that kube is built for.
use k8s_openapi as _;
use kube::client::Body;

/// A response's body as it arrives.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// A request that got no response.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The chain of causes, one line.
    pub(crate) text: String,
    /// False where trying again gives the same: a credential plugin that fails, for one.
    pub(crate) passing: bool,
}

/// Whatever answers requests to the API server. Paths are relative to the server's address.
pub(crate) trait Transport: Send + Sync {
    /// Sends a request; resolves when the response's head is there.
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Response<Chunks>, Failure>>;
}

impl Transport for kube::Client {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Response<Chunks>, Failure>> {
        Box::pin(async move {
            let response = kube::Client::send(self, request.map(Body::from)).await.map_err(failure)?;
            Ok(response
                .map(|body| -> Chunks { Box::pin(BodyDataStream::new(body).map(|c| c.map_err(failure))) }))
        })
    }
}

fn failure(error: kube::Error) -> Failure {
    let passing = !matches!(
        error,
        kube::Error::Auth(_)
            | kube::Error::BuildRequest(_)
            | kube::Error::HttpError(_)
            | kube::Error::TlsRequired
            | kube::Error::RustlsTls(_)
    );
    let mut text = match &error {
        // These three only repeat what their source says.
        kube::Error::Service(e) => e.to_string(),
        kube::Error::HyperError(e) => e.to_string(),
        kube::Error::Auth(e) => e.to_string(),
        other => other.to_string(),
    };
    let mut source = match &error {
        kube::Error::Service(e) => e.source(),
        other => other.source().and_then(|e| e.source()),
    };
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    Failure { text, passing }
}
