//! A server of a test or demo: in memory or on a port, which records what it hears and can be told to fail.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::{Connect, Stream};
use serde_json::Value;
use tokio::io::duplex;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// The largest body that is heard, in bytes.
const MAX_BODY: usize = 64 << 20;

/// Requests that are remembered; older ones are forgotten.
const MAX_HEARD: usize = 10_000;

/// A request that was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its method.
    pub method: Method,
    /// Its path, without the query, as it was sent.
    pub path: String,
    /// Its query, unescaped.
    pub query: Vec<(String, String)>,
    /// Its headers, the credential among them: this is no log.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The status that it was answered with; none where it was not answered.
    pub answered: Option<u16>,
}

impl Heard {
    /// Its body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A value of its query.
    pub fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// `GET /path`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Said {
    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
        Self { status, headers, body: body.to_string().into() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// What answers requests.
pub trait Answers: Send + Sync {
    /// Answers one.
    fn answer(&self, heard: &Heard) -> Said;
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// This is answered, and nothing is done.
    Say(Said),
    /// It is never answered, and nothing is done.
    Hang,
    /// The connection breaks, and nothing is done.
    Break,
    /// It is done, and the connection breaks before the answer.
    Lose,
}

/// Trouble that waits for its requests.
struct Waiting {
    method: Method,
    path: String,
    times: usize,
    trouble: Trouble,
}

/// A server; clones are the same one.
#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    answers: Box<dyn Answers>,
    heard: Mutex<Vec<Heard>>,
    waiting: Mutex<Vec<Waiting>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// A server on a port of this machine, until it is dropped.
#[derive(Debug)]
pub struct Listening {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its address.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// A server that answers so.
    pub fn new(answers: impl Answers + 'static) -> Self {
        let (heard, waiting) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { answers: Box::new(answers), heard, waiting }) }
    }

    /// The next `times` requests of this method whose path ends so go wrong.
    pub fn trouble(&self, method: Method, path: &str, times: usize, trouble: Trouble) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Waiting { method, path: path.to_owned(), times, trouble });
    }

    /// All that was heard, the oldest first.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what was heard.
    pub fn forget(&self) {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// `METHOD /path` of all that was heard, the oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.heard().iter().map(Heard::line).collect()
    }

    /// Serves on a port of this machine that is free.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn listen(&self) -> io::Result<Listening> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let line = self.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(line.clone().serve(stream));
            }
        });
        Ok(Listening { url: format!("http://{address}"), address, task })
    }

    async fn serve(self, stream: impl Stream) {
        let service = service_fn(move |request: Request<Incoming>| {
            let line = self.clone();
            async move { line.take(request).await }
        });
        // A connection that breaks is the client's affair.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Broken> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?.to_bytes();
        let heard = Heard {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: pairs(head.uri.query().unwrap_or_default()),
            headers: head.headers,
            body,
            answered: None,
        };
        let said = match self.due(&heard) {
            None => Some(self.shared.answers.answer(&heard)),
            Some(Trouble::Say(said)) => Some(said),
            Some(Trouble::Lose) => {
                self.shared.answers.answer(&heard);
                None
            }
            Some(Trouble::Break) => None,
            Some(Trouble::Hang) => {
                self.remember(heard, None);
                return std::future::pending().await;
            }
        };
        self.remember(heard, said.as_ref().map(|said| said.status));
        let said = said.ok_or(Broken)?;
        let mut response = Response::builder().status(said.status);
        for (name, value) in said.headers {
            response = response.header(name, value);
        }
        response.body(Full::new(said.body)).map_err(|_| Broken)
    }

    fn due(&self, heard: &Heard) -> Option<Trouble> {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|one| one.times > 0);
        let one = waiting.iter_mut().find(|w| w.method == heard.method && heard.path.ends_with(&w.path))?;
        one.times -= 1;
        Some(one.trouble.clone())
    }

    fn remember(&self, mut heard: Heard, answered: Option<u16>) {
        heard.answered = answered;
        let mut all = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_HEARD {
            all.remove(0);
        }
        all.push(heard);
    }
}

/// Ends a connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken off")]
struct Broken;

/// In memory all hosts lead to it.
impl Connect for Line {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (ours, theirs) = duplex(64 << 10);
            tokio::spawn(self.clone().serve(theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// The pairs of a query.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (unescaped(key), unescaped(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// A part of a URL without its escapes.
pub fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = || text.get(at + 1..at + 3).and_then(|two| u8::from_str_radix(two, 16).ok());
        match (byte, hex()) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
