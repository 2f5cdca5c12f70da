//! The rows of the server's routes: path, methods, class, what each demands of its caller; and who answers.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use crate::BoxFuture;
use crate::http::Body;

/// What a route is for. The class decides who may call it, and how large a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Whether the process works: for probes, without authentication.
    Health,
    /// Shows something.
    Read,
    /// Takes data in.
    Ingest,
    /// Changes what the server does.
    Admin,
    /// Pages for a browser.
    Console,
    /// What the internet calls: on a listener of its own, proved by a signature that the handler checks.
    Webhook,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Health, Self::Read, Self::Ingest, Self::Admin, Self::Console, Self::Webhook];

    /// Its name, in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Read => "read",
            Self::Ingest => "ingest",
            Self::Admin => "admin",
            Self::Console => "console",
            Self::Webhook => "webhook",
        }
    }

    /// The largest body of a request, in bytes, unless the row says otherwise.
    pub fn max_body(self) -> u64 {
        match self {
            Self::Health => 0,
            Self::Read | Self::Console => 1 << 20,
            Self::Admin => 4 << 20,
            Self::Ingest | Self::Webhook => 32 << 20,
        }
    }

    /// What a caller must show.
    pub fn demands(self) -> Demands {
        match self {
            Self::Health => Demands::Nothing,
            Self::Read | Self::Console => Demands::Role(Role::Read),
            Self::Ingest => Demands::Role(Role::Ingest),
            Self::Admin => Demands::Role(Role::Admin),
            Self::Webhook => Demands::Signature,
        }
    }
}

/// What a route demands of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demands {
    /// Nothing.
    Nothing,
    /// That it has this role; anyone has it where no authentication is configured.
    Role(Role),
    /// A signature over the body, which the handler checks.
    Signature,
}

/// What a caller may do. Admin may read; nobody else may do what is not theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Read,
    /// Bring data in.
    Ingest,
    /// Change what the server does.
    Admin,
}

impl Role {
    /// Its name, in configuration and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Ingest => "ingest",
            Self::Admin => "admin",
        }
    }
}

/// A row: one path, and what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The path; `{name}` stands for one part, `{*name}` at the end for all that follows.
    pub path: &'static str,
    /// Methods; HEAD comes with GET.
    pub methods: &'static [Method],
    /// What it is for.
    pub class: Class,
    /// The largest body of a request, in bytes.
    pub max_body: u64,
    /// What it answers, in a few words.
    pub about: &'static str,
}

impl Route {
    /// A row.
    pub fn new(methods: &'static [Method], path: &'static str, class: Class, about: &'static str) -> Self {
        Self { path, methods, class, max_body: class.max_body(), about }
    }

    /// A row for GET.
    pub fn get(path: &'static str, class: Class, about: &'static str) -> Self {
        Self::new(&[Method::GET], path, class, about)
    }

    /// A row for POST.
    pub fn post(path: &'static str, class: Class, about: &'static str) -> Self {
        Self::new(&[Method::POST], path, class, about)
    }

    /// Takes bodies up to this many bytes.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }
}

/// A request as a handler gets it: allowed, its body whole and within the row's bound.
#[derive(Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// Path and query as they came.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What stood where the row's path has `{…}`, decoded, in order.
    pub params: Vec<(Cow<'static, str>, String)>,
    /// Who calls.
    pub caller: Caller,
    /// Names the request in logs; the answer carries it as `X-Request-Id`.
    pub id: Arc<str>,
}

impl Asked {
    /// A request, for a test of a handler.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            params: Vec::new(),
            caller: Caller::default(),
            id: "test".into(),
        }
    }

    /// What stood where the row's path has `{name}`.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The first value of a parameter of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        query(self.uri.query().unwrap_or_default()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A header as text; `None` where it is not there or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The name that goes with the credential; `None`: none was asked for.
    pub name: Option<Arc<str>>,
    /// The other end of the connection, where it has an address.
    pub address: Option<SocketAddr>,
}

/// An answer on its way out.
pub type Answer = Response<Body>;

/// Answers in common forms.
pub trait Answers {
    /// 200 with a text.
    fn text(text: impl Into<Bytes>) -> Answer {
        Self::of(StatusCode::OK, "text/plain; charset=utf-8", text)
    }

    /// 200 with JSON.
    fn json(text: impl Into<Bytes>) -> Answer {
        Self::of(StatusCode::OK, "application/json", text)
    }

    /// An error in words: one line of text.
    fn error(status: StatusCode, words: &str) -> Answer {
        Self::of(status, "text/plain; charset=utf-8", format!("{words}\n"))
    }

    /// Any status, type and body.
    fn of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        let mut answer = Response::new(Body::full(body));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer
    }

    /// 405, with the methods that are allowed.
    fn not_allowed(method: &Method, path: &str, allowed: &[Method]) -> Answer {
        let mut list: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        if list.contains(&"GET") {
            list.push("HEAD");
        }
        let list = list.join(", ");
        let words = format!("{method} is not possible on {path}; it takes {list}");
        with(Self::error(StatusCode::METHOD_NOT_ALLOWED, &words), ALLOW, &list)
    }
}

impl Answers for Answer {}

/// An answer with one more header; a value that no header may hold is left out.
pub fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Who answers a route. Any `Fn(Asked) -> Answer` is one, for what needs no waiting.
pub trait Respond: Send + Sync + 'static {
    /// Answers; errors are answers too.
    fn respond(&self, asked: Asked) -> BoxFuture<'_, Answer>;
}

impl<F: Fn(Asked) -> Answer + Send + Sync + 'static> Respond for F {
    fn respond(&self, asked: Asked) -> BoxFuture<'_, Answer> {
        let answer = self(asked);
        Box::pin(async move { answer })
    }
}

/// Pairs of a query or of a form, decoded: `a=1&b=x+y`.
pub fn query(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true), decode(value, true))
    })
}

/// A text without its `%XX`; what is none stays, bytes that are no UTF-8 become U+FFFD.
pub fn decode(text: &str, plus_is_space: bool) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = (byte == b'%').then(|| Some((hex(bytes.get(at + 1))?, hex(bytes.get(at + 2))?))).flatten();
        match pair {
            Some((high, low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            None => {
                out.push(if byte == b'+' && plus_is_space { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
