//! How a forge's API is asked: tokens, limits, retries, pages, answers that did not change.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use kiban_base::clock::{Clock, Timestamp};
use kiban_base::rng::Rng;
use kiban_runtime::client::{Client, Redirects, Request, Retry};
use kiban_runtime::config::SecretFrom;
use kiban_runtime::secret::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ForgeError;

/// How long a forge's limit is waited for, all of one request together, unless told otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(90);

/// How long one request may take, and after how long none is tried again.
const DEADLINE: Duration = Duration::from_secs(60);

/// The pauses between tries, of which a random part of at least a half is taken.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(8)];

/// How long to wait where a limit is told without a time, as GitHub asks for.
const UNTOLD: Duration = Duration::from_secs(60);

/// Answers that are kept to ask whether they changed.
const MAX_KEPT: usize = 64;

/// The largest answer that is kept for that, in bytes.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// Pages that are read of one list at most.
pub(super) const MAX_PAGES: u32 = 10;

/// Words of a forge that errors repeat, in characters.
const MAX_WORDS: usize = 300;

/// What a forge needs of the process.
#[derive(Clone)]
pub struct Access {
    /// The HTTP client.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The token, read anew for each request: those of apps are changed every hour.
    pub token: SecretFrom,
    /// How long a limit is waited for before it is told.
    pub patience: Duration,
}

/// The header that a token goes into.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// `PRIVATE-TOKEN`, of GitLab.
    Private,
    /// `Authorization: token`, of Gitea.
    Token,
}

/// A forge's API.
pub(super) struct Api {
    access: Access,
    base: String,
    scheme: Scheme,
    headers: &'static [(&'static str, &'static str)],
    /// Until when it wants no request, and which limit that is.
    shut: Mutex<Option<(Timestamp, &'static str)>>,
    kept: Mutex<VecDeque<Kept>>,
    rng: Mutex<Rng>,
}

/// An answer with the tag by which it can be asked whether it changed.
struct Kept {
    url: String,
    tag: String,
    reply: Reply,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    /// The path behind the base, or a whole URL of the same host.
    path: String,
    what: String,
    body: Option<Value>,
    accept: Option<&'static str>,
    again: bool,
    poll: bool,
}

impl Ask {
    /// A request; `what` says in errors what was wanted.
    pub(super) fn new(method: Method, path: impl Into<String>, what: impl Into<String>) -> Self {
        let again = method.is_idempotent();
        Self { method, path: path.into(), what: what.into(), body: None, accept: None, again, poll: false }
    }

    /// A GET.
    pub(super) fn get(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Method::GET, path, what)
    }

    /// A POST of JSON.
    pub(super) fn post(path: impl Into<String>, body: Value, what: impl Into<String>) -> Self {
        Self::new(Method::POST, path, what).json(body)
    }

    /// Sends JSON.
    pub(super) fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks for this media type.
    pub(super) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = Some(accept);
        self
    }

    /// Sent twice it does the same as once: it is tried again where there is no answer.
    pub(super) fn twice_is_once(mut self) -> Self {
        self.again = true;
        self
    }

    /// It is asked again and again: what did not change costs little.
    pub(super) fn poll(mut self) -> Self {
        self.poll = true;
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    what: String,
    host: String,
}

impl Reply {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether a list goes on behind this page (RFC 8288).
    pub(super) fn has_more(&self) -> bool {
        let links = self.headers.get_all(http::header::LINK).iter().filter_map(|value| value.to_str().ok());
        links.flat_map(|line| line.split(',')).any(|link| link.contains("rel=\"next\""))
    }

    /// What the forge says in words.
    pub(super) fn words(&self) -> String {
        words(&self.body)
    }

    /// The answer where it is a good one.
    pub(super) fn good(self) -> Result<Self, ForgeError> {
        if self.status.is_success() { Ok(self) } else { Err(self.error()) }
    }

    /// The answer; none where the thing is not there.
    pub(super) fn good_or_missing(self) -> Result<Option<Self>, ForgeError> {
        if self.status == StatusCode::NOT_FOUND { Ok(None) } else { self.good().map(Some) }
    }

    /// Why it is no good answer.
    pub(super) fn error(&self) -> ForgeError {
        let (what, host, words) = (self.what.clone(), self.host.clone(), self.words());
        match self.status.as_u16() {
            401 => ForgeError::Token { what, host, words },
            403 => {
                let scopes = self.header("x-oauth-scopes").filter(|s| !s.is_empty());
                let scopes = scopes.unwrap_or("it does not say").to_owned();
                ForgeError::Forbidden { what, host, words, scopes }
            }
            404 | 410 => ForgeError::Missing { what },
            400 | 405 | 406 | 409 | 412 | 415 | 422 => ForgeError::Refused { what, words },
            status => ForgeError::Failed { what, host, status, words },
        }
    }

    /// Reads the body.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body)
            .map_err(|e| ForgeError::Unreadable { what: self.what.clone(), why: e.to_string() })
    }
}

impl Api {
    pub(super) fn new(
        access: Access,
        base: &str,
        scheme: Scheme,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let rng = Mutex::new(Rng::named(0, &base));
        Self { access, base, scheme, headers, shut: Mutex::default(), kept: Mutex::default(), rng }
    }

    /// The address of the API.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks, and waits for limits where that is short. Any status but those of limits is an answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply, ForgeError> {
        let mut waited = Duration::ZERO;
        let mut guess = UNTOLD;
        loop {
            if let Some((until, limit)) = self.is_shut() {
                let pause = until.since(self.access.clock.now());
                waited = waited.saturating_add(pause);
                if waited > self.access.patience {
                    let (what, host) = (ask.what.clone(), self.host());
                    return Err(ForgeError::Limited { what, host, until, limit });
                }
                tracing::info!(forge = self.host(), limit, pause = ?pause, "a forge's limit is waited for");
                tokio::time::sleep(pause).await;
            }
            let reply = self.tried(&ask).await?;
            match limit(&reply, self.access.clock.now(), guess) {
                Some(Limit { until, which, refused }) => {
                    self.shut(until, which);
                    if !refused {
                        return Ok(reply);
                    }
                    // A limit that is told without a time is met with growing patience.
                    guess = guess.saturating_mul(2);
                }
                None => return Ok(reply),
            }
        }
    }

    /// All pages of a list, up to [`MAX_PAGES`], and whether there are more.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        what: &str,
    ) -> Result<(Vec<T>, bool), ForgeError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let reply = self.ask(Ask::get(format!("{path}{mark}page={page}"), what)).await?.good()?;
            all.extend(reply.read::<Vec<T>>()?);
            if !reply.has_more() {
                return Ok((all, false));
            }
        }
        Ok((all, true))
    }

    fn is_shut(&self) -> Option<(Timestamp, &'static str)> {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        if shut.is_some_and(|(until, _)| until <= self.access.clock.now()) {
            *shut = None;
        }
        *shut
    }

    fn shut(&self, until: Timestamp, limit: &'static str) {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        if shut.is_none_or(|(known, _)| known < until) {
            *shut = Some((until, limit));
        }
    }

    fn host(&self) -> String {
        let behind = self.base.find("://").map_or(0, |at| at + 3);
        let end = self.base.get(behind..).and_then(|rest| rest.find('/')).map(|at| at + behind);
        end.and_then(|end| self.base.get(..end)).unwrap_or(&self.base).to_owned()
    }

    /// Asks, again where there is no answer or one that passes, and twice is as good as once.
    async fn tried(&self, ask: &Ask) -> Result<Reply, ForgeError> {
        let until = tokio::time::Instant::now() + DEADLINE;
        for pause in PAUSES {
            let answer = self.once(ask).await;
            let is_passing = match &answer {
                Ok(reply) => ask.again && matches!(reply.status.as_u16(), 408 | 500 | 502 | 503 | 504),
                Err(ForgeError::Unanswered { source, .. }) => {
                    source.is_passing() && (ask.again || source.is_unsent())
                }
                Err(_) => false,
            };
            // Not all at the same moment.
            let pause =
                pause.mul_f64(0.5 + self.rng.lock().unwrap_or_else(PoisonError::into_inner).f64() / 2.0);
            if !is_passing || tokio::time::Instant::now() + pause >= until {
                return answer;
            }
            tracing::debug!(forge = self.host(), what = ask.what, "a request is tried again");
            tokio::time::sleep(pause).await;
        }
        self.once(ask).await
    }

    async fn once(&self, ask: &Ask) -> Result<Reply, ForgeError> {
        let url =
            if ask.path.contains("://") { ask.path.clone() } else { format!("{}{}", self.base, ask.path) };
        let kept = if ask.poll { self.kept(&url) } else { None };
        let failed = |source| ForgeError::Unanswered { what: ask.what.clone(), source };
        let request = self.request(ask, &url, kept.as_ref().map(|(tag, _)| tag.as_str()))?;
        let response = self.access.client.send(request).await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let host = response.host().to_owned();
        let body = response.bytes().await.map_err(failed)?;
        if status == StatusCode::NOT_MODIFIED
            && let Some((_, reply)) = kept
        {
            return Ok(reply);
        }
        let reply = Reply { status, headers, body, what: ask.what.clone(), host };
        if ask.poll && status == StatusCode::OK {
            self.keep(url, &reply);
        }
        Ok(reply)
    }

    fn request(&self, ask: &Ask, url: &str, tag: Option<&str>) -> Result<Request, ForgeError> {
        let failed = |source| ForgeError::Unanswered { what: ask.what.clone(), source };
        let token = self.access.token.read()?;
        let mut request = Request::new(ask.method.clone(), url).map_err(failed)?;
        request = match self.scheme {
            Scheme::Bearer => request.bearer(&token),
            Scheme::Private => request.secret_header("private-token", &token),
            Scheme::Token => {
                request.secret_header("authorization", &Secret::new(format!("token {}", token.expose())))
            }
        }
        .map_err(failed)?;
        for (name, value) in self.headers {
            if *name != "accept" || ask.accept.is_none() {
                request = request.header(name, value).map_err(failed)?;
            }
        }
        if let Some(accept) = ask.accept {
            request = request.header("accept", accept).map_err(failed)?;
        }
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag).map_err(failed)?;
        }
        if let Some(body) = &ask.body {
            request = request.header("content-type", "application/json").map_err(failed)?;
            request = request.body(body.to_string());
        }
        // Tried again here, not by the client: a limit is no failure that passes, and all requests' affair.
        Ok(request.retry(Retry::NEVER).deadline(Some(DEADLINE)).redirects(Redirects::SameHost))
    }

    fn kept(&self, url: &str) -> Option<(String, Reply)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|one| one.url == url).map(|one| (one.tag.clone(), one.reply.clone()))
    }

    fn keep(&self, url: String, reply: &Reply) {
        let Some(tag) = reply.header("etag").filter(|_| reply.body.len() <= MAX_KEPT_BYTES) else { return };
        let tag = tag.to_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.url != url);
        kept.push_front(Kept { url, tag, reply: reply.clone() });
        kept.truncate(MAX_KEPT);
    }
}

/// A limit that an answer tells of.
struct Limit {
    until: Timestamp,
    which: &'static str,
    /// Whether the request was not done for it; else it was the last for a while.
    refused: bool,
}

/// The limit that an answer tells of. GitHub: `docs: rest/using-the-rest-api/rate-limits-for-the-rest-api` (403 or
/// 429; `retry-after`, or `x-ratelimit-remaining: 0` with `x-ratelimit-reset`, or a minute). GitLab: 429 with
/// `Retry-After`, and `RateLimit-Reset`.
fn limit(reply: &Reply, now: Timestamp, untold: Duration) -> Option<Limit> {
    let number = |name: &str| reply.header(name).and_then(|text| text.trim().parse::<i64>().ok());
    let left = number("x-ratelimit-remaining").or_else(|| number("ratelimit-remaining"));
    let reset = number("x-ratelimit-reset").or_else(|| number("ratelimit-reset")).map(Timestamp::from_secs);
    let used_up = left == Some(0);
    let is_refusal = matches!(reply.status.as_u16(), 403 | 429);
    if !is_refusal {
        let until = reset.filter(|reset| used_up && *reset > now)?;
        return Some(Limit { until, which: "hourly", refused: false });
    }
    if let Some(seconds) = number("retry-after") {
        let pause = Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1));
        return Some(Limit { until: now + pause, which: "short-term", refused: true });
    }
    if used_up {
        // A clock that goes ahead of the forge's must not make this a busy loop.
        let until = reset.unwrap_or(now + untold).max(now + Duration::from_secs(1));
        return Some(Limit { until, which: "hourly", refused: true });
    }
    let is_limit = reply.status == StatusCode::TOO_MANY_REQUESTS
        || reply.words().to_ascii_lowercase().contains("secondary rate limit");
    is_limit.then(|| Limit { until: now + untold, which: "short-term", refused: true })
}

/// What an error's body says in words: GitHub's and Gitea's `message` with `errors`, GitLab's `message` or `error`.
fn words(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body.get(..2_000).unwrap_or(body)).into_owned();
        // A page for people says nothing here.
        return if text.trim_start().starts_with('<') { "a page of HTML".into() } else { one_line(&text) };
    };
    let mut parts = Vec::new();
    for key in ["message", "error", "error_description"] {
        push(&mut parts, value.get(key));
    }
    for error in value.get("errors").and_then(Value::as_array).into_iter().flatten() {
        match error.get("message") {
            Some(message) => push(&mut parts, Some(message)),
            None => push(&mut parts, Some(error)),
        }
    }
    if parts.is_empty() { "it gives no reason".into() } else { one_line(&parts.join("; ")) }
}

fn push(parts: &mut Vec<String>, value: Option<&Value>) {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => return,
        Some(other) => other.to_string(),
    };
    if !text.is_empty() && !parts.contains(&text) {
        parts.push(text);
    }
}

fn one_line(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect();
    if text.is_empty() { "it gives no reason".into() } else { text }
}

/// A part of a path, or a value of a query: everything but what is always plain is escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A path: its parts escaped, the slashes as they are.
pub(super) fn escaped_path(path: &str) -> String {
    path.split('/').map(escaped).collect::<Vec<_>>().join("/")
}
