//! The HTTP client: pooled HTTP/1.1 and HTTP/2 over TLS, with deadlines, bounds, and a retry policy.
//!
//! ```ignore
//! let client = Client::new(Options::default(), Arc::new(Tcp), clock)?;
//! let request = Request::get("https://registry.example/v2/")?.bearer(&token)?.redirects(Redirects::SameHost);
//! let response = client.send(request).await?;
//! ```
//!
//! It opens no connection that the caller's URL or a followed redirect does not name. Errors name the host
//! and the cause; neither they nor anything else here prints a query or a credential. Any status is an
//! answer: only what is no answer is an error.

mod connect;
mod error;
mod redirect;
mod request;
mod response;
mod retry;
mod tls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, Method, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kiban_base::clock::Clock;
use kiban_base::rng::Rng;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::metrics::{CounterVec, HistogramVec, Registry};
use crate::secret::Secret;

pub use connect::{Connect, Stream, Tcp};
pub use error::ClientError;
pub(crate) use error::chain;
pub use request::{Redirects, Request};
pub use response::Response;
pub use retry::Retry;

use connect::Connector;
use request::Outgoing;
use response::Bounds;

/// How a client says who it is.
pub const AGENT: &str = concat!("kiban/", env!("CARGO_PKG_VERSION"));

/// Largest head of an answer, in bytes.
const MAX_HEAD: usize = 256 << 10;

/// Connections to one host that are kept open for the next request.
const MAX_IDLE: usize = 8;

/// Whom the client trusts.
#[derive(Debug, Clone)]
pub struct Roots {
    /// The system's certificate authorities.
    pub system: bool,
    /// Further ones, PEM.
    pub extra: Vec<u8>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { system: true, extra: Vec::new() }
    }
}

/// Who the client says it is. Hosts that only a redirect names do not get to see it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its certificate, and those between it and the authority, PEM.
    pub certificate: String,
    /// The certificate's key, PEM.
    pub key: Secret,
}

/// A proxy for HTTP: asked by CONNECT for what is TLS, and with the whole URL for what is not.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What `Proxy-Authorization` holds; see [`basic`].
    pub authorization: Option<Secret>,
    /// Hosts that are reached without it: names, with all names below them.
    pub bypass: Vec<String>,
}

impl Proxy {
    fn serves(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        !self.bypass.iter().any(|name| {
            let name = name.trim_start_matches('.').to_ascii_lowercase();
            host == name || host.strip_suffix(&name).is_some_and(|above| above.ends_with('.'))
        })
    }
}

/// The value of `Authorization` for a name and a password.
pub fn basic(user: &str, password: &Secret) -> Secret {
    use base64::Engine as _;
    let both = zeroize::Zeroizing::new(format!("{user}:{}", password.expose()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(both.as_bytes());
    Secret::new(format!("Basic {encoded}"))
}

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whom it trusts.
    pub roots: Roots,
    /// Who it says it is.
    pub identity: Option<Identity>,
    /// The proxy; none unless configured: the environment is not asked.
    pub proxy: Option<Proxy>,
    /// How long a connection may take to come about, TLS included.
    pub connect_deadline: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// Requests under way at once, all hosts together; further ones wait.
    pub in_flight: usize,
    /// How requests are tried again unless they say otherwise.
    pub retry: Retry,
    /// Seed of the jitter.
    pub seed: u64,
    /// Where its requests are counted.
    pub metrics: Option<Registry>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            identity: None,
            proxy: None,
            connect_deadline: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            in_flight: 256,
            retry: Retry::default(),
            seed: 0,
            metrics: None,
        }
    }
}

/// An HTTP client; clones share its connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    named: Pool,
    bare: Pool,
    proxy: Option<Arc<Proxy>>,
    slots: Arc<Semaphore>,
    retry: Retry,
    rng: Mutex<Rng>,
    budgets: Mutex<retry::Budgets>,
    clock: Arc<dyn Clock>,
    metrics: Option<Metrics>,
}

type Pool = legacy::Client<Connector, Outgoing>;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

struct Metrics {
    requests: CounterVec,
    seconds: HistogramVec,
    retries: CounterVec,
}

impl Metrics {
    fn of(registry: &Registry) -> Self {
        Self {
            requests: registry.counter_vec(
                "kiban_client_requests_total",
                "Requests to other hosts, by the host, and the answer's status or why there was none.",
                &["host", "code"],
            ),
            seconds: registry.histogram_vec(
                "kiban_client_request_duration_seconds",
                "How long other hosts took to answer: until the answer's head, by the host.",
                &["host"],
                &crate::metrics::SECONDS,
            ),
            retries: registry.counter_vec(
                "kiban_client_retries_total",
                "Requests to other hosts that were tried again, by the host.",
                &["host"],
            ),
        }
    }
}

impl Client {
    /// Makes a client, which connects to nothing yet.
    ///
    /// # Errors
    /// Where the options' certificates or keys cannot be used.
    pub fn new(
        options: Options,
        streams: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let tls = tls::make(&options.roots, options.identity.as_ref())?;
        let proxy = options.proxy.map(Arc::new);
        let pool = |config| {
            let connector = Connector {
                streams: streams.clone(),
                tls: config,
                untrusting: tls.untrusting.clone(),
                proxy: proxy.clone(),
                deadline: options.connect_deadline,
            };
            pool(connector, options.idle)
        };
        Ok(Self(Arc::new(Inner {
            named: pool(tls.named.clone()),
            bare: pool(tls.bare.clone()),
            slots: Arc::new(Semaphore::new(options.in_flight.clamp(1, Semaphore::MAX_PERMITS))),
            retry: options.retry,
            rng: Mutex::new(Rng::named(options.seed, "client")),
            budgets: Mutex::default(),
            clock,
            metrics: options.metrics.as_ref().map(Metrics::of),
            proxy: proxy.clone(),
        })))
    }

    /// Sends a request, again where that is worth it, and gives back the head of the answer.
    ///
    /// # Errors
    /// Where there is no answer. A status that says that something failed is none.
    pub async fn send(&self, mut request: Request) -> Result<Response, ClientError> {
        let deadline = request.deadline.map(|after| (Instant::now() + after, after));
        let retry = request.retry.unwrap_or(self.0.retry);
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = self.attempt(&mut request, deadline).await;
            if tries >= retry.attempts || !request.payload.is_there() {
                return outcome;
            }
            let Some(pause) = self.pause(&request, &outcome, &retry, tries) else { return outcome };
            if deadline.is_some_and(|(at, _)| Instant::now() + pause >= at) {
                return outcome;
            }
            let host = request.host();
            let cause = match &outcome {
                Ok(response) => response.status().as_u16().to_string(),
                Err(error) => error.reason().to_owned(),
            };
            tracing::debug!(host, cause, tries, pause = ?pause, "a request is tried again");
            if let Some(metrics) = &self.0.metrics {
                metrics.retries.with(&[&host]).inc();
            }
            drop(outcome);
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait before the next try; `None`: this was the last.
    fn pause(
        &self,
        request: &Request,
        outcome: &Result<Response, ClientError>,
        retry: &Retry,
        tries: u32,
    ) -> Option<Duration> {
        let asked = match outcome {
            Ok(response) if request.idempotent && retry::is_passing(response.status()) => {
                retry::retry_after(response.headers(), self.0.clock.now())
            }
            // What was not sent can be sent again, whatever it is; but for a certificate that is not trusted.
            Err(error) if error.is_passing() && (request.idempotent || error.is_unsent()) => None,
            _ => return None,
        };
        if asked.is_some_and(|asked| asked > retry.longest_retry_after) {
            return None;
        }
        let mut budgets = self.0.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if !budgets.take(&request.host(), Instant::now()) {
            return None;
        }
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let own = retry.backoff(tries, &mut rng);
        // Not all at the same moment, where many were told the same one.
        Some(asked.map_or(own, |asked| asked.max(own) + asked.mul_f64(rng.f64() / 10.0)))
    }

    /// One try, with the redirects that belong to it.
    async fn attempt(
        &self,
        request: &mut Request,
        deadline: Option<(Instant, Duration)>,
    ) -> Result<Response, ClientError> {
        let (mut url, mut headers) = (request.url.clone(), request.headers.clone());
        let mut foreign = false;
        for _ in 0..=redirect::MAX_HOPS {
            let host = origin(&url);
            let gone = ClientError::Redirect { host, why: "what can be sent only once".into() };
            let body = request.payload.take().ok_or(gone)?;
            let bounds = Bounds { limit: request.limit, read: 0, stall: request.stall, deadline };
            let asked = (request.method.clone(), url.clone(), headers.clone());
            let response = self.once(asked, body, bounds, foreign).await?;
            let next = redirect::next(
                response.status(),
                response.headers(),
                &request.method,
                &url,
                request.redirects,
            );
            match next.map_err(|why| ClientError::Redirect { host: response.host.clone(), why })? {
                None => return Ok(response),
                Some(next) => {
                    if next.foreign {
                        redirect::strip_credentials(&mut headers);
                        foreign = true;
                    }
                    url = next.url;
                }
            }
        }
        Err(ClientError::Redirect {
            host: origin(&url),
            why: format!("more than {} times in a row", redirect::MAX_HOPS),
        })
    }

    /// One exchange with one host.
    async fn once(
        &self,
        (method, url, headers): (Method, Uri, HeaderMap),
        body: Outgoing,
        bounds: Bounds,
        foreign: bool,
    ) -> Result<Response, ClientError> {
        let host = origin(&url);
        let began = Instant::now();
        let work = async {
            let slot = self.0.slots.clone().acquire_owned().await;
            let slot = slot.map_err(|_| ClientError::Options("the client is closed".into()))?;
            let request = self.message(method, &url, headers, body)?;
            let pool = if foreign { &self.0.bare } else { &self.0.named };
            let response = pool.request(request).await;
            let response = response.map_err(|error| ClientError::of_exchange(&host, &error))?;
            Ok((slot, response))
        };
        let outcome = match bounds.deadline {
            None => work.await,
            Some((at, after)) => {
                let late = ClientError::Deadline { host: host.clone(), after };
                tokio::time::timeout_at(at, work).await.unwrap_or(Err(late))
            }
        };
        self.count(&host, began, &outcome);
        let (slot, response) = outcome?;
        let (head, body) = response.into_parts();
        Ok(Response { status: head.status, headers: head.headers, url, host, body, bounds, _slot: slot })
    }

    /// The message as it goes over the wire.
    fn message(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Outgoing,
    ) -> Result<http::Request<Outgoing>, ClientError> {
        let mut message = http::Request::new(body);
        *message.method_mut() = method;
        *message.uri_mut() = url.clone();
        *message.headers_mut() = headers;
        let headers = message.headers_mut();
        // The connection's, not the caller's, to set.
        headers.remove(HOST);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        if let Some(proxy) = &self.0.proxy
            && url.scheme_str() == Some("http")
            && url.host().is_some_and(|host| proxy.serves(host))
            && let Some(credential) = &proxy.authorization
        {
            let value = HeaderValue::try_from(credential.expose());
            let mut value =
                value.map_err(|_| ClientError::Header { name: PROXY_AUTHORIZATION.to_string() })?;
            value.set_sensitive(true);
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        Ok(message)
    }

    fn count<T>(
        &self,
        host: &str,
        began: Instant,
        outcome: &Result<(T, http::Response<hyper::body::Incoming>), ClientError>,
    ) {
        let Some(metrics) = &self.0.metrics else { return };
        let code = match outcome {
            Ok((_, response)) => response.status().as_str().to_owned(),
            Err(error) => error.reason().to_owned(),
        };
        metrics.requests.with(&[host, &code]).inc();
        metrics.seconds.with(&[host]).observe(began.elapsed().as_secs_f64());
    }
}

fn pool(connector: Connector, idle: Duration) -> Pool {
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(MAX_IDLE)
        .http1_max_buf_size(MAX_HEAD)
        .http2_max_header_list_size(MAX_HEAD as u32)
        // A host that is gone without a word is found out while something waits for it.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(connector)
}

/// Host (without brackets), port and whether it is TLS.
fn authority(url: &Uri) -> Result<(&str, u16, bool), String> {
    let secure = match url.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(other) => return Err(format!("{other}: is no scheme that can be asked, only https and http")),
        None => return Err("a URL begins with https:// or http://".into()),
    };
    let authority = url.authority().ok_or("a URL names a host")?;
    if authority.as_str().contains('@') {
        return Err(
            "a URL holds no credentials: a token or password comes from a file or the environment".into()
        );
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("a URL names a host".into());
    }
    Ok((host, authority.port_u16().unwrap_or(if secure { 443 } else { 80 }), secure))
}

/// Scheme, host and port: what may be said of a URL.
fn origin(url: &Uri) -> String {
    let host = url.authority().map_or("", |authority| authority.as_str());
    // Never a credential, whatever came in.
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{}://{host}", url.scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests;
