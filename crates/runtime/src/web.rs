//! The server's listeners: from a connection to a handler's answer, within bounds, by the table of routes.
//!
//! What every request goes through, in this order: a connection slot, TLS, a head within time and size, the
//! `Host` header, the row, the class, the caller's proof, a slot, a body within the row's bound and time, the
//! handler. Each step that refuses says why in one line of text, and is counted by route and code.

mod accept;
mod auth;
mod body;
mod host;
mod respond;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use kiban_base::rng::Rng;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::client::Stream;
use crate::metrics::{Counter, CounterVec, Gauge, HistogramVec, Registry};
use crate::route::Class;
use crate::router::Router;
use crate::shutdown::Shutdown;

pub use accept::Accept;
pub use auth::{Auth, Authenticate, Identity, TokenFile};
pub use host::Hosts;

use stream::Patient;

/// Bounds of a listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// Requests under way at once; further ones are told 503. Probes are not counted.
    pub requests: usize,
    /// Bytes of request bodies in memory at once; further ones wait.
    pub bodies: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may be without a whole request head: idle ones too.
    pub head: Duration,
    /// How long a client may be silent while its body is awaited, and a body may be awaited in all.
    pub body: (Duration, Duration),
    /// How long a client may take nothing of its answer.
    pub write: Duration,
    /// How long requests under way may take to end once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            requests: 1_024,
            bodies: 256 << 20,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            body: (Duration::from_secs(20), Duration::from_secs(300)),
            write: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// Largest request head, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// What a listener needs besides its connections.
pub struct Listener {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// TLS, where it speaks that.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The names it answers to.
    pub hosts: Hosts,
    /// Who may call.
    pub auth: Auth,
    /// Classes that it serves; rows of others are not there.
    pub serves: BTreeSet<Class>,
    /// Classes of these that are switched on.
    pub on: BTreeSet<Class>,
    /// The table of routes.
    pub router: Router,
    /// Its bounds.
    pub limits: Limits,
    /// Seed of request ids.
    pub seed: u64,
    /// Where its metrics are registered.
    pub metrics: Registry,
}

/// What all connections of a listener share.
struct Shared {
    name: &'static str,
    hosts: Hosts,
    auth: Auth,
    serves: BTreeSet<Class>,
    on: BTreeSet<Class>,
    router: Router,
    limits: Limits,
    ids: Mutex<Rng>,
    requests: Arc<Semaphore>,
    /// In KiB.
    bodies: Arc<Semaphore>,
    metrics: Metrics,
}

struct Metrics {
    requests: CounterVec,
    seconds: HistogramVec,
    connections: Gauge,
    opened: Counter,
    failed: CounterVec,
}

impl Metrics {
    fn of(registry: &Registry, listener: &'static str) -> Self {
        let connections = registry.gauge_vec(
            "kiban_http_connections",
            "Connections that are open, by the listener.",
            &["listener"],
        );
        let opened = registry.counter_vec(
            "kiban_http_connections_total",
            "Connections that were accepted, by the listener.",
            &["listener"],
        );
        Self {
            requests: registry.counter_vec(
                "kiban_http_requests_total",
                "Requests that were answered, by the row of the route (none: no row fits), method and status.",
                &["listener", "route", "method", "code"],
            ),
            seconds: registry.histogram_vec(
                "kiban_http_request_duration_seconds",
                "How long requests took from their head to their answer's, by the row of the route.",
                &["listener", "route"],
                &crate::metrics::SECONDS,
            ),
            connections: connections.with(&[listener]),
            opened: opened.with(&[listener]),
            failed: registry.counter_vec(
                "kiban_http_connections_failed_total",
                "Connections that ended otherwise than in order, by the listener and why.",
                &["listener", "why"],
            ),
        }
    }
}

impl Listener {
    /// Serves the connections of `accept` until `shutdown`, then gives requests under way time to end.
    pub async fn serve(self, mut accept: impl Accept, mut shutdown: Shutdown) {
        let acceptor = self.tls.map(TlsAcceptor::from);
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let drain = self.limits.drain;
        let shared = Arc::new(Shared {
            name: self.name,
            hosts: self.hosts,
            auth: self.auth,
            serves: self.serves,
            on: self.on,
            router: self.router,
            ids: Mutex::new(Rng::named(self.seed, self.name)),
            requests: Arc::new(Semaphore::new(self.limits.requests)),
            bodies: Arc::new(Semaphore::new(self.limits.bodies >> 10)),
            metrics: Metrics::of(&self.metrics, self.name),
            limits: self.limits,
        });
        let mut connections = JoinSet::new();
        let mut told = false;
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = shutdown.fired() => break,
            };
            let Ok(slot) = slot else { break };
            let accepted = tokio::select! {
                accepted = accept.accept() => accepted,
                () = shutdown.fired() => break,
            };
            while connections.try_join_next().is_some() {}
            let (stream, address) = match accepted {
                Ok(accepted) => {
                    told = false;
                    accepted
                }
                Err(error) => {
                    // Out of file descriptors, most often: let some close before trying again.
                    if !told {
                        tracing::warn!(listener = shared.name, %error, "cannot accept connections");
                    }
                    told = true;
                    shared.metrics.failed.with(&[shared.name, "accept"]).inc();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (acceptor, shared, shutdown) = (acceptor.clone(), shared.clone(), shutdown.clone());
            connections.spawn(async move {
                shared.metrics.opened.inc();
                let _open = shared.metrics.connections.hold();
                take(stream, address, acceptor, shared.clone(), shutdown).await;
                drop(slot);
            });
        }
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!(listener = shared.name, "requests that did not end in time are cut off");
        }
    }
}

/// The life of one connection.
async fn take(
    stream: Box<dyn Stream>,
    address: Option<SocketAddr>,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut shutdown: Shutdown,
) {
    let stream = Patient::new(stream, shared.limits.head, Some(shared.limits.write));
    let Some(acceptor) = acceptor else {
        return connection(stream, address, false, shared, shutdown).await;
    };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(shared.limits.handshake, acceptor.accept(stream)) => handshake,
        () = shutdown.fired() => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            // The handshake's bytes say nothing of a request.
            let stream = Patient::new(stream, shared.limits.head, Some(shared.limits.write));
            connection(stream, address, http2, shared, shutdown).await;
        }
        Ok(Err(error)) => {
            // Scanners and plain HTTP: nothing of ours is wrong.
            tracing::debug!(listener = shared.name, %error, "a TLS handshake failed");
            shared.metrics.failed.with(&[shared.name, "tls"]).inc();
        }
        Err(_) => shared.metrics.failed.with(&[shared.name, "slow_tls"]).inc(),
    }
}

async fn connection(
    stream: impl Stream,
    address: Option<SocketAddr>,
    http2: bool,
    shared: Arc<Shared>,
    mut shutdown: Shutdown,
) {
    // Decided here, by what TLS agreed on: finding it out by the first bytes has no time limit.
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_streams(250)
        // A client that is gone without a word frees its connection.
        .keep_alive_interval(shared.limits.head)
        .keep_alive_timeout(Duration::from_secs(20));
    let (name, drain) = (shared.name, shared.limits.drain);
    let failed = shared.metrics.failed.clone();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.answer(request, address).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.fired() => {
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(drain, serving).await;
            return;
        }
    };
    // A client that goes away or talks nonsense ends its own connection only.
    if let Err(error) = ended {
        tracing::debug!(listener = name, %error, "a connection ended early");
        failed.with(&[name, "broken"]).inc();
    }
}
