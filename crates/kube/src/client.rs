//! The way to a cluster: which one, as whom, and one call that retries what is worth it.

mod forbidden;
mod status;
mod transport;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use http::{Method, Request};
use kiban_base::clock::Clock;
use kiban_base::rng::Rng;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

use crate::discovery::{self, Kinds, Resource};
use crate::lease::Turn;
use crate::request::ServiceAccount;

pub use status::{ApiError, Cause, Refusal};
pub(crate) use transport::{Chunks, Failure, Transport};

/// Which cluster, and whence its address comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The context of the kubeconfig; absent in a cluster.
    pub context: Option<String>,
    /// The address of the API server.
    pub server: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "{} (context {context:?})", self.server),
            None => write!(f, "{} (in-cluster)", self.server),
        }
    }
}

/// How to find the cluster. The default is what kubectl does: `KUBECONFIG`, else `~/.kube/config`,
/// else the service account of the pod this runs in.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// A kubeconfig file; then no other is looked at.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it; absent: its current one.
    pub context: Option<String>,
    /// Act as this user: the service account of the app's namespace, for one.
    pub impersonate: Option<String>,
    /// How calls are repeated.
    pub retry: RetryPolicy,
    /// Seed of the jitter.
    pub seed: u64,
}

/// How a call that fails for a passing reason is repeated: 429, 500, 502, 503, 504, no answer.
///
/// The pause doubles from `pause` to `longest_pause`, of which a random part between a half and the
/// whole is taken; `Retry-After` lengthens it up to `longest_retry_after`.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The longest pause that the server may ask for.
    pub longest_retry_after: Duration,
    /// How long one try may take.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
            deadline: Duration::from_secs(34),
        }
    }
}

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "no cluster to talk to: {kubeconfig}, and this does not run in a cluster ({in_cluster}); set KUBECONFIG or pass --kubeconfig"
    )]
    Nowhere {
        /// What was wrong with the kubeconfig.
        kubeconfig: String,
        /// What was wrong with the service account.
        in_cluster: String,
    },
    /// A kubeconfig that cannot be read.
    #[error("{path}: {problem}")]
    Kubeconfig {
        /// The file, or what stands for the default ones.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A kubeconfig without the context that was asked for.
    #[error("{path}: no context {wanted:?}; it has {}", list(.known))]
    NoContext {
        /// The file.
        path: String,
        /// The context.
        wanted: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A kubeconfig that chooses no context, and neither did the caller.
    #[error("{path}: no current context; choose one with --context, it has {}", list(.known))]
    NoCurrentContext {
        /// The file.
        path: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Credentials or certificates that cannot be used.
    #[error("{target}: {problem}")]
    Unusable {
        /// Which server.
        target: Target,
        /// What is wrong.
        problem: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// A cluster's API. Clones share the connection and what was discovered.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    /// As whom requests are sent; none: as who connected.
    act_as: Option<Arc<str>>,
    /// The turn within which writes may be sent.
    turn: Option<Turn>,
}

struct Inner {
    transport: Box<dyn Transport>,
    target: Target,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    rng: Mutex<Rng>,
    kinds: AsyncMutex<Option<Arc<Kinds>>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("target", &self.inner.target).finish_non_exhaustive()
    }
}

/// A request to the API server.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, encoded.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) content_type: &'static str,
    pub(crate) accept: &'static str,
    /// False for the first contact with a server: there, no answer is most often a wrong address.
    pub(crate) patient: bool,
}

/// What the server answered to a call that went well.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

/// A call that is about to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How many tries failed so far.
    pub failed: u32,
    /// The pause before the next one.
    pub pause: Duration,
    /// Why.
    pub reason: String,
}

/// More than this in one answer is not read.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

pub(crate) const JSON: &str = "application/json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Self::new(Method::GET, path, None, JSON)
    }

    pub(crate) fn new(method: Method, path: String, body: Option<Value>, content_type: &'static str) -> Self {
        Self { method, path, body, content_type, accept: JSON, patient: true }
    }

    /// True where it may change what is stored.
    fn writes(&self) -> bool {
        self.method != Method::GET && !self.path.contains("dryRun=All")
    }
}

impl Cluster {
    /// Finds the cluster and makes ready to talk to it. Nothing is sent yet.
    ///
    /// # Errors
    /// No usable kubeconfig, context or credentials; the text names the file and the context.
    pub async fn connect(options: &ConnectOptions, clock: Arc<dyn Clock>) -> Result<Self, ConnectError> {
        let (mut config, target) = find(options).await?;
        // This crate repeats calls itself, honours Retry-After and says so.
        config.default_retry = false;
        if let Some(user) = &options.impersonate {
            config.auth_info.impersonate = Some(user.clone());
        }
        let client = kube::Client::try_from(config)
            .map_err(|e| ConnectError::Unusable { target: target.clone(), problem: e.to_string() })?;
        Ok(Self::over(Box::new(client), target, clock, options.retry.clone(), options.seed))
    }

    /// A cluster behind any transport.
    pub(crate) fn over(
        transport: Box<dyn Transport>,
        target: Target,
        clock: Arc<dyn Clock>,
        retry: RetryPolicy,
        seed: u64,
    ) -> Self {
        let rng = Mutex::new(Rng::named(seed, "kube"));
        let inner = Inner { transport, target, clock, retry, rng, kinds: AsyncMutex::default() };
        Self { inner: Arc::new(inner), act_as: None, turn: None }
    }

    /// The same cluster, with every request sent as this service account (impersonation). Not for a
    /// cluster that was connected to with [`ConnectOptions::impersonate`].
    #[must_use]
    pub fn acting_as(&self, account: &ServiceAccount) -> Self {
        Self { act_as: Some(account.to_string().into()), ..self.clone() }
    }

    /// As whom requests are sent, where that is not who connected.
    pub fn acts_as(&self) -> Option<&str> {
        self.act_as.as_deref()
    }

    /// The same cluster, with no write sent once the turn is over.
    #[must_use]
    pub(crate) fn within(&self, turn: &Turn) -> Self {
        Self { turn: Some(turn.clone()), ..self.clone() }
    }

    /// The lease's name where the turn is over within which writes were to be sent.
    pub(crate) fn turn_is_over(&self) -> Option<String> {
        self.turn.as_ref().and_then(Turn::is_over)
    }

    /// Asks the server whether the turn is still ours.
    pub(crate) async fn still_my_turn(&self) -> Result<(), ApiError> {
        match &self.turn {
            Some(turn) => turn.verify(self).await,
            None => Ok(()),
        }
    }

    /// Which cluster this is.
    pub fn target(&self) -> &Target {
        &self.inner.target
    }

    /// The kinds that the cluster serves: asked once, then remembered.
    ///
    /// # Errors
    /// No answer, or none that can be read.
    pub async fn kinds(&self) -> Result<Arc<Kinds>, ApiError> {
        let mut known = self.inner.kinds.lock().await;
        if let Some(kinds) = known.as_ref() {
            return Ok(kinds.clone());
        }
        let found = Arc::new(discovery::discover(self).await?);
        *known = Some(found.clone());
        Ok(found)
    }

    /// Forgets which kinds there are: new ones have come.
    pub async fn forget_kinds(&self) {
        *self.inner.kinds.lock().await = None;
    }

    /// One object; none where it does not exist.
    ///
    /// # Errors
    /// As any call.
    pub async fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ApiError> {
        match self.call(&Call::get(resource.object(namespace, name))).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All objects of a kind: of a namespace, or of the cluster with an empty one; with the labels of a
    /// selector in kubectl's syntax, or all with an empty one.
    ///
    /// # Errors
    /// As any call.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let selector =
            if labels.is_empty() { String::new() } else { format!("labelSelector={}", encode(labels)) };
        let (items, _) = crate::watch::list(self, &resource.collection(namespace), &selector).await?;
        Ok(items)
    }

    /// The UID of the namespace `kube-system`: what a cluster is known by.
    ///
    /// # Errors
    /// As any call.
    pub async fn uid(&self) -> Result<String, ApiError> {
        let mut call = Call::get("/api/v1/namespaces/kube-system".into());
        call.patient = false;
        let answer = self.call(&call).await?;
        let uid = crate::object::text_at(&answer.body, &["metadata", "uid"]);
        uid.map(String::from).ok_or_else(|| self.garbled(&call.path, "kube-system has no uid".into()))
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// A call that tells nobody of its retries but the log.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, ApiError> {
        self.call_noting(call, &|_| {}).await
    }

    /// Sends a call until it is answered, refused for good, or out of tries.
    pub(crate) async fn call_noting(
        &self,
        call: &Call,
        note: &(dyn Fn(Retry) + Sync),
    ) -> Result<Answer, ApiError> {
        let mut failed = 0;
        loop {
            // Asked before every try, and not once: a process may be stopped between any two.
            if let Some(lease) = self.turn.as_ref().filter(|_| call.writes()).and_then(Turn::is_over) {
                return Err(ApiError::TurnIsOver { lease });
            }
            let error = match self.try_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failed += 1;
            let passing = match &error {
                Attempt::Refused(refusal) => refusal.is_passing(),
                Attempt::NoAnswer(failure) => failure.passing && call.patient,
                Attempt::Garbled(_) => false,
            };
            if !passing || failed >= self.inner.retry.attempts {
                return Err(self.verdict(call, error));
            }
            let (asked, reason) = match error {
                Attempt::Refused(refusal) => (refusal.retry_after, refusal.to_string()),
                Attempt::NoAnswer(failure) => (None, failure.text),
                Attempt::Garbled(problem) => (None, problem),
            };
            let pause = self.pause(failed, asked);
            tracing::debug!(path = call.path, failed, ?pause, reason, "call is repeated");
            note(Retry { failed, pause, reason });
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens a stream of lines; the caller sees to deadlines and to starting over.
    pub(crate) async fn open(&self, path: &str) -> Result<Chunks, ApiError> {
        self.open_call(&Call::get(path.into())).await
    }

    async fn open_call(&self, call: &Call) -> Result<Chunks, ApiError> {
        let sent = self.inner.transport.send(self.request(call)?);
        let response = match tokio::time::timeout(self.inner.retry.deadline, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => return Err(self.verdict(call, Attempt::NoAnswer(failure))),
            Err(_) => return Err(self.verdict(call, Attempt::NoAnswer(self.late()))),
        };
        let (parts, body) = response.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        let bytes = collect(body).await.map_err(|e| self.verdict(call, e))?;
        let refusal = Refusal::read(parts.status.as_u16(), &parts.headers, &bytes);
        Err(self.verdict(call, Attempt::Refused(refusal)))
    }

    /// The text that a path answers with, up to so many bytes: a log. Not repeated where it fails.
    pub(crate) async fn text(&self, path: &str, at_most: usize) -> Result<String, ApiError> {
        let mut call = Call::get(path.into());
        call.accept = "*/*";
        let mut body = self.open_call(&call).await?;
        let mut bytes = Vec::new();
        let deadline = tokio::time::sleep(self.inner.retry.deadline);
        tokio::pin!(deadline);
        while bytes.len() < at_most {
            let chunk = tokio::select! {
                () = &mut deadline => break,
                chunk = body.next() => chunk,
            };
            let Some(chunk) = chunk else { break };
            bytes.extend_from_slice(&chunk.map_err(|e| self.verdict(&call, Attempt::NoAnswer(e)))?);
        }
        bytes.truncate(at_most);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A pause with jitter before the next of `failed` tries.
    pub(crate) fn pause(&self, failed: u32, asked: Option<Duration>) -> Duration {
        let policy = &self.inner.retry;
        let doubled = policy.pause.saturating_mul(1_u32 << failed.saturating_sub(1).min(16));
        let longest = doubled.min(policy.longest_pause);
        let part = 0.5 + self.inner.rng.lock().unwrap_or_else(PoisonError::into_inner).f64() / 2.0;
        let pause = longest.mul_f64(part);
        // Jitter comes on top of what the server asked for: all were told the same.
        asked.map_or(pause, |asked| asked.min(policy.longest_retry_after) + pause)
    }

    pub(crate) fn garbled(&self, path: &str, problem: String) -> ApiError {
        ApiError::Garbled { target: self.inner.target.clone(), path: path.into(), problem }
    }

    async fn try_once(&self, call: &Call) -> Result<Answer, Attempt> {
        let request = self.request(call).map_err(|e| Attempt::Garbled(e.to_string()))?;
        let exchange = async {
            let response = self.inner.transport.send(request).await.map_err(Attempt::NoAnswer)?;
            let (parts, body) = response.into_parts();
            Ok((parts.status.as_u16(), parts.headers, collect(body).await?))
        };
        let (code, headers, bytes) = tokio::time::timeout(self.inner.retry.deadline, exchange)
            .await
            .unwrap_or_else(|_| Err(Attempt::NoAnswer(self.late())))?;
        if !(200..300).contains(&code) {
            return Err(Attempt::Refused(Refusal::read(code, &headers, &bytes)));
        }
        let body = serde_json::from_slice(&bytes).map_err(|e| Attempt::Garbled(e.to_string()))?;
        Ok(Answer { code, body, warnings: status::warnings(&headers) })
    }

    fn request(&self, call: &Call) -> Result<Request<Vec<u8>>, ApiError> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header(http::header::ACCEPT, call.accept)
            .header(http::header::USER_AGENT, concat!("kiban/", env!("CARGO_PKG_VERSION")));
        if call.body.is_some() {
            request = request.header(http::header::CONTENT_TYPE, call.content_type);
        }
        // Of a service account the server adds the groups by itself, where none is stated.
        if let Some(user) = &self.act_as {
            request = request.header("Impersonate-User", user.as_ref());
        }
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        request.body(body.into_bytes()).map_err(|e| self.garbled(&call.path, e.to_string()))
    }

    fn late(&self) -> Failure {
        Failure { text: format!("no answer within {:?}", self.inner.retry.deadline), passing: true }
    }

    fn verdict(&self, call: &Call, error: Attempt) -> ApiError {
        let target = self.inner.target.clone();
        match error {
            Attempt::Refused(refusal) if refusal.code == 401 => {
                ApiError::Unauthorized { target, message: refusal.message }
            }
            Attempt::Refused(refusal) => ApiError::Refused(Box::new(refusal)),
            Attempt::NoAnswer(failure) => ApiError::Unreachable { target, problem: failure.text },
            Attempt::Garbled(problem) => self.garbled(&call.path, problem),
        }
    }
}

/// How one try failed.
enum Attempt {
    Refused(Refusal),
    NoAnswer(Failure),
    Garbled(String),
}

async fn collect(mut body: Chunks) -> Result<Vec<u8>, Attempt> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(Attempt::NoAnswer)?);
        if bytes.len() > MAX_ANSWER {
            return Err(Attempt::Garbled(format!("more than {MAX_ANSWER} bytes")));
        }
    }
    Ok(bytes)
}

/// A path segment or query value with everything but unreserved characters encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

async fn find(options: &ConnectOptions) -> Result<(kube::Config, Target), ConnectError> {
    let (path, kubeconfig) = match &options.kubeconfig {
        Some(path) => (path.display().to_string(), Kubeconfig::read_from(path)),
        None => ("kubeconfig".to_string(), Kubeconfig::read()),
    };
    let kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(e) if options.kubeconfig.is_some() || options.context.is_some() => {
            return Err(ConnectError::Kubeconfig { path, problem: e.to_string() });
        }
        Err(e) => return in_cluster(&e.to_string()),
    };
    let known = || kubeconfig.contexts.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    let wanted = options.context.clone().or_else(|| kubeconfig.current_context.clone());
    let Some(context) = wanted.filter(|c| !c.is_empty()) else {
        return Err(ConnectError::NoCurrentContext { path, known: known() });
    };
    if !kubeconfig.contexts.iter().any(|c| c.name == context) {
        return Err(ConnectError::NoContext { path, wanted: context, known: known() });
    }
    let choice = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &choice)
        .await
        .map_err(|e| ConnectError::Kubeconfig { path, problem: format!("context {context:?}: {e}") })?;
    let target = Target { context: Some(context), server: server_of(&config) };
    Ok((config, target))
}

fn in_cluster(kubeconfig: &str) -> Result<(kube::Config, Target), ConnectError> {
    let config = kube::Config::incluster()
        .map_err(|e| ConnectError::Nowhere { kubeconfig: kubeconfig.into(), in_cluster: e.to_string() })?;
    let target = Target { context: None, server: server_of(&config) };
    Ok((config, target))
}

fn server_of(config: &kube::Config) -> String {
    config.cluster_url.to_string().trim_end_matches('/').to_string()
}

#[cfg(test)]
mod tests;
