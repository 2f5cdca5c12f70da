//! From a request to its answer.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use futures_util::FutureExt;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::auth::Outcome;
use super::{Shared, body};
use crate::route::{Answer, Answers, Asked, Caller, Class, Demands, Role, Route, with};
use crate::router::Found;

/// The header that names a request in logs, here and at the caller's.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every answer says to browsers, unless it says something itself.
const HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// The row of requests that fit none.
const NO_ROUTE: &str = "none";

impl Shared {
    /// Answers one request, and counts it.
    pub(super) async fn answer(&self, request: Request<Incoming>, address: Option<SocketAddr>) -> Answer {
        let began = Instant::now();
        let id = self.id(request.headers());
        let method = method_word(request.method());
        let (route, mut answer) = self.route(request, address, &id).await;
        let code = answer.status();
        let headers = answer.headers_mut();
        for (name, value) in HEADERS {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if let Ok(value) = HeaderValue::try_from(&*id) {
            headers.insert(REQUEST_ID, value);
        }
        let took = began.elapsed();
        self.metrics.requests.with(&[self.name, route, method, code.as_str()]).inc();
        self.metrics.seconds.with(&[self.name, route]).observe(took.as_secs_f64());
        tracing::debug!(listener = self.name, route, method, code = code.as_u16(), took = ?took, id = &*id, "answered");
        answer
    }

    /// The row that it is about, and the answer.
    async fn route(
        &self,
        request: Request<Incoming>,
        address: Option<SocketAddr>,
        id: &Arc<str>,
    ) -> (&'static str, Answer) {
        if let Err(words) = self.check_host(&request) {
            return (NO_ROUTE, Answer::error(StatusCode::MISDIRECTED_REQUEST, &words));
        }
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let found = self.router.find(&method, &path, |route| self.serves.contains(&route.class));
        match found {
            Found::Nothing => {
                let words = format!("there is nothing at {}", shown(&path));
                (NO_ROUTE, Answer::error(StatusCode::NOT_FOUND, &words))
            }
            Found::Methods(methods) => (NO_ROUTE, Answer::not_allowed(&method, &shown(&path), &methods)),
            Found::Row { route, component, respond, params } => {
                let caller = match self.admit(&route, &request, address).await {
                    Ok(caller) => caller,
                    Err(answer) => return (route.path, answer),
                };
                let respond = match respond {
                    Ok(respond) => respond,
                    Err(why) => {
                        let answer =
                            Answer::error(StatusCode::SERVICE_UNAVAILABLE, &format!("{component}: {why}"));
                        return (route.path, with(answer, RETRY_AFTER, "5"));
                    }
                };
                let slot = self.requests.clone().try_acquire_owned();
                if slot.is_err() && route.class != Class::Health {
                    let words = "too many requests are under way; try again";
                    let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE, words);
                    return (route.path, with(answer, RETRY_AFTER, "1"));
                }
                let (head, body) = request.into_parts();
                let read = body::read(body, route.max_body, &self.bodies, self.limits.body).await;
                let (body, _permit) = match read {
                    Ok(read) => read,
                    Err((code, words)) => return (route.path, Answer::error(code, &words)),
                };
                let asked = Asked {
                    method,
                    uri: head.uri,
                    headers: head.headers,
                    body,
                    params,
                    caller,
                    id: id.clone(),
                };
                // A handler that panics is one failed request.
                let answering = AssertUnwindSafe(async { respond.respond(asked).await }).catch_unwind();
                let answer = answering.await.unwrap_or_else(|panic| {
                    let why = crate::panic_words(panic.as_ref());
                    tracing::error!(
                        component,
                        route = route.path,
                        why,
                        id = &**id,
                        "a request failed by a fault in the program"
                    );
                    let words = format!("a fault in the program; the log says more (request {id})");
                    Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &words)
                });
                (route.path, answer)
            }
        }
    }

    fn check_host(&self, request: &Request<Incoming>) -> Result<(), String> {
        let mut named = request.headers().get_all(HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err("the request has more than one Host header".to_owned());
        }
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = match (header.map(HeaderValue::to_str), authority) {
            (Some(Ok(host)), None) => host,
            (None, Some(host)) => host,
            (Some(Ok(host)), Some(other)) if host.eq_ignore_ascii_case(other) => host,
            (None, None) => return Err("the request has no Host header".to_owned()),
            _ => return Err("the request's Host header is no host, or another than its URL's".to_owned()),
        };
        self.hosts.check(host)
    }

    /// Whether the caller may have what the row is about.
    async fn admit(
        &self,
        route: &Route,
        request: &Request<Incoming>,
        address: Option<SocketAddr>,
    ) -> Result<Caller, Answer> {
        if !self.on.contains(&route.class) {
            let class = route.class.as_str();
            let words = format!(
                "{class} routes are off; server.enable in kiban.yaml (or --enable {class}) switches them on"
            );
            return Err(Answer::error(StatusCode::FORBIDDEN, &words));
        }
        if route.class != Class::Webhook && !is_same_site(request) {
            let words = "a page of another site may not call this";
            return Err(Answer::error(StatusCode::FORBIDDEN, words));
        }
        let Demands::Role(role) = route.class.demands() else { return Ok(Caller { name: None, address }) };
        self.check_role(role, request.headers(), address).await
    }

    async fn check_role(
        &self,
        role: Role,
        headers: &HeaderMap,
        address: Option<SocketAddr>,
    ) -> Result<Caller, Answer> {
        let unauthorized = |words: &str| {
            let answer = Answer::error(StatusCode::UNAUTHORIZED, words);
            with(answer, WWW_AUTHENTICATE, "Bearer realm=\"kiban\"")
        };
        match self.auth.check(headers).await {
            Outcome::Open => Ok(Caller { name: None, address }),
            Outcome::Known(identity) if identity.has(role) => {
                Ok(Caller { name: Some(identity.name), address })
            }
            Outcome::Known(identity) => {
                let (name, role) = (identity.name, role.as_str());
                let words = format!("{name} may not do this: it lacks the role {role}");
                Err(Answer::error(StatusCode::FORBIDDEN, &words))
            }
            Outcome::Missing => Err(unauthorized("a token is needed: Authorization: Bearer …")),
            Outcome::Wrong => Err(unauthorized("the credential is not known here")),
            Outcome::Unknown(why) => {
                tracing::warn!(why, "a caller cannot be authenticated");
                let words = "whether the credential is good cannot be told now; try again";
                let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE, words);
                Err(with(answer, RETRY_AFTER, "5"))
            }
        }
    }

    /// The caller's name for the request, if it is one that logs can hold; else one of our own.
    fn id(&self, headers: &HeaderMap) -> Arc<str> {
        let good = |text: &&str| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
        };
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(good);
        match given {
            Some(id) => id.into(),
            None => {
                let number = self.ids.lock().unwrap_or_else(PoisonError::into_inner).u64();
                format!("{number:016x}").into()
            }
        }
    }
}

/// Whether a browser says that a page of this very server asks, or nothing: then it is no page. The scheme
/// is not compared: TLS may end before the server.
fn is_same_site(request: &Request<Incoming>) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    let Some(origin) = request.headers().get(ORIGIN) else { return true };
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = header.or(request.uri().authority().map(|a| a.as_str())) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
}

/// A method as metrics name it: those that nobody knows are one.
fn method_word(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

/// A path for an answer: no longer than a line.
fn shown(path: &str) -> String {
    let mut text: String = path.chars().take(200).collect();
    if text.len() < path.len() {
        text.push('…');
    }
    text
}
