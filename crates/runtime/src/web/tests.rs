//! Tests of the listeners over in-memory streams and in virtual time: who gets in, what is let go.
#![allow(clippy::unwrap_used)]

use std::io;

use bytes::Bytes;
use http::{Method, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::client::{Client, Connect, Options, Request, Roots};
use crate::clock::SystemClock;
use crate::component::Failure;
use crate::http::Body;
use crate::route::{Answer, Answers, Asked, Respond, Role, Route};
use crate::secret::Secret;
use crate::shutdown::{self, Trigger};
use crate::{BoxFuture, tls};

/// A handler that takes its time.
struct Slow;

impl Respond for Slow {
    fn respond(&self, _: Asked) -> BoxFuture<'_, Answer> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Answer::text("at last")
        })
    }
}

fn routes() -> Vec<(Route, Arc<dyn Respond>)> {
    let echo = |asked: Asked| {
        let who = asked.caller.name.as_deref().unwrap_or("anyone");
        Answer::text(format!("{} {} {who} {}", asked.method, asked.uri, asked.body.len()))
    };
    let flood = |_: Asked| {
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move { while sender.send(Bytes::from(vec![b'x'; 64 << 10])).await.is_ok() {} });
        let mut answer = Answer::text("");
        *answer.body_mut() = Body::Stream(pieces);
        answer
    };
    vec![
        (Route::get("/livez", Class::Health, ""), Arc::new(|_: Asked| Answer::text("ok"))),
        (Route::new(&[Method::GET, Method::POST], "/read", Class::Read, "").max_body(10), Arc::new(echo)),
        (Route::post("/write", Class::Ingest, "").max_body(1 << 20), Arc::new(echo)),
        (Route::post("/-/quit", Class::Admin, ""), Arc::new(echo)),
        (Route::get("/slow", Class::Read, ""), Arc::new(Slow)),
        (Route::get("/panics", Class::Read, ""), Arc::new(|_: Asked| -> Answer { panic!("odd object") })),
        (Route::get("/flood", Class::Read, ""), Arc::new(flood)),
        (Route::post("/hook", Class::Webhook, ""), Arc::new(echo)),
    ]
}

struct World {
    streams: mpsc::Sender<DuplexStream>,
    router: Router,
    registry: Registry,
    trigger: Option<Trigger>,
    ended: tokio::task::JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Listener)) -> Self {
        let (router, registry) = (Router::new(), Registry::new());
        let rows = routes();
        router.install("test", rows.iter().map(|(route, _)| route.clone()).collect()).unwrap();
        router
            .serve("test", rows.into_iter().map(|(route, respond)| (route.path, respond)).collect())
            .unwrap();
        let serves = Class::ALL.into_iter().filter(|class| *class != Class::Webhook).collect();
        let mut listener = Listener {
            name: "main",
            tls: None,
            hosts: Hosts::new(&["kiban.example".into()]),
            auth: Auth::open(),
            serves,
            on: Class::ALL.into(),
            router: router.clone(),
            limits: Limits::default(),
            seed: 1,
            metrics: registry.clone(),
        };
        change(&mut listener);
        let (streams, accept) = mpsc::channel::<DuplexStream>(16);
        let (trigger, shutdown) = shutdown::channel();
        let ended = tokio::spawn(listener.serve(accept, shutdown));
        Self { streams, router, registry, trigger: Some(trigger), ended }
    }

    async fn open(&self) -> DuplexStream {
        let (ours, theirs) = duplex(4 << 10);
        self.streams.send(theirs).await.unwrap();
        ours
    }

    /// Sends bytes as they are and gives back all that comes.
    async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let (mut read, mut write) = tokio::io::split(self.open().await);
        let bytes = bytes.as_ref().to_vec();
        let sending = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        let mut answer = Vec::new();
        let _ = read.read_to_end(&mut answer).await;
        sending.abort();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One request: its status and the first line of its body.
    async fn ask(&self, head: &str, headers: &str, body: &str) -> (u16, String) {
        let text = self.raw(format!("{head} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n{body}")).await;
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (
            status.unwrap_or_else(|| panic!("no answer: {text:?}")),
            body.lines().next().unwrap_or_default().into(),
        )
    }

    fn metric(&self, row: &str) -> bool {
        self.registry.text().lines().any(|line| line == row)
    }
}

const LOCAL: &str = "Host: localhost\r\n";

#[tokio::test(start_paused = true)]
async fn requests_are_answered_by_the_table_and_refused_in_words() {
    let world = World::new();
    for (head, headers, body, status, words) in [
        ("GET /livez", LOCAL, "", 200, "ok"),
        ("GET /read?x=1", LOCAL, "", 200, "GET /read?x=1 anyone 0"),
        ("GET /read", "Host: kiban.example:8480\r\n", "", 200, "GET /read anyone 0"),
        ("GET http://localhost/read", LOCAL, "", 200, "GET http://localhost/read anyone 0"),
        (
            "POST /read",
            "Host: localhost\r\nContent-Length: 10\r\n",
            "0123456789",
            200,
            "POST /read anyone 10",
        ),
        ("GET /nothing", LOCAL, "", 404, "there is nothing at /nothing"),
        ("DELETE /read", LOCAL, "", 405, "DELETE is not possible on /read; it takes GET, POST, HEAD"),
        ("GET /write", LOCAL, "", 405, "GET is not possible on /write; it takes POST"),
        ("FROB /write", LOCAL, "", 405, "FROB is not possible on /write; it takes POST"),
        ("POST /hook", LOCAL, "", 404, "there is nothing at /hook"),
        ("GET /livez", "", "", 421, "the request has no Host header"),
        (
            "GET /livez",
            "Host: evil.example\r\n",
            "",
            421,
            "evil.example is none of this server's names; server.hosts in kiban.yaml lists the names that it has",
        ),
        (
            "GET /livez",
            "Host: localhost\r\nHost: evil.example\r\n",
            "",
            421,
            "the request has more than one Host header",
        ),
        (
            "GET http://evil.example/livez",
            LOCAL,
            "",
            421,
            "the request's Host header is no host, or another than its URL's",
        ),
        (
            "GET /livez",
            "Host: loc\u{e4}lhost\r\n",
            "",
            421,
            "the request's Host header is no host, or another than its URL's",
        ),
        (
            "POST /read",
            "Host: localhost\r\nContent-Length: 11\r\n",
            "0123456789a",
            413,
            "the body of the request is larger than 10 bytes, the most that this route takes",
        ),
        (
            "POST /read",
            "Host: localhost\r\nTransfer-Encoding: chunked\r\n",
            "b\r\n0123456789a\r\n0\r\n\r\n",
            413,
            "the body of the request is larger than 10 bytes, the most that this route takes",
        ),
        ("GET /livez", "Host: localhost\r\nContent-Length: 1\r\n", "x", 413, "this route takes no body"),
        (
            "POST /-/quit",
            "Host: localhost\r\nOrigin: https://evil.example\r\n",
            "",
            403,
            "a page of another site may not call this",
        ),
        (
            "POST /-/quit",
            "Host: localhost\r\nOrigin: null\r\n",
            "",
            403,
            "a page of another site may not call this",
        ),
        (
            "POST /-/quit",
            "Host: localhost\r\nOrigin: https://localhost\r\n",
            "",
            200,
            "POST /-/quit anyone 0",
        ),
        ("GET /panics", LOCAL, "", 500, "a fault in the program; the log says more (request r-1)"),
    ] {
        let headers = format!("{headers}X-Request-Id: r-1\r\n");
        let got = world.ask(head, &headers, body).await;
        assert_eq!(got, (status, words.to_owned()), "{head} {headers}");
    }
    for row in [
        "kiban_http_requests_total{listener=\"main\",route=\"/read\",method=\"GET\",code=\"200\"} 3",
        "kiban_http_requests_total{listener=\"main\",route=\"none\",method=\"other\",code=\"405\"} 1",
        "kiban_http_requests_total{listener=\"main\",route=\"none\",method=\"GET\",code=\"404\"} 1",
        "kiban_http_requests_total{listener=\"main\",route=\"/panics\",method=\"GET\",code=\"500\"} 1",
    ] {
        assert!(world.metric(row), "{row} is not in: {}", world.registry.text());
    }
}

#[tokio::test(start_paused = true)]
async fn answers_carry_a_request_id_and_what_browsers_need_to_know() {
    let world = World::new();
    let get = |id: &str| format!("GET /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{id}\r\n");
    let text = world.raw(get("X-Request-Id: from-there_1\r\n")).await;
    for line in [
        "x-request-id: from-there_1",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
        "content-type: text/plain; charset=utf-8",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} is not in {text}");
    }
    for id in [
        "",
        "X-Request-Id: a b\r\n",
        "X-Request-Id: \"\r\n",
        &format!("X-Request-Id: {}\r\n", "a".repeat(129)),
    ] {
        let text = world.raw(get(id)).await;
        let own = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
        assert!(own.len() == 16 && own.chars().all(|c| c.is_ascii_hexdigit()), "{own}");
    }
    let text = world.raw("HEAD /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(text.contains("content-length: 19\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    let text = world.raw("PUT /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(text.contains("allow: GET, POST, HEAD\r\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_route_asks_for_the_role_of_its_class() {
    let folder = tempfile::tempdir().unwrap();
    let token = |name: &str, roles: &[Role]| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{name}-t0p\n")).unwrap();
        TokenFile { identity: Identity { name: name.into(), roles: roles.iter().copied().collect() }, path }
    };
    let files =
        vec![token("reader", &[Role::Read]), token("writer", &[Role::Ingest]), token("boss", &[Role::Admin])];
    struct Review;
    impl Authenticate for Review {
        fn authenticate<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<Option<Identity>, Failure>> {
            Box::pin(async move {
                match token.expose() {
                    "cluster" => Ok(Some(Identity { name: "sa".into(), roles: [Role::Read].into() })),
                    "down" => Err(Failure::new("the API server does not answer")),
                    _ => Ok(None),
                }
            })
        }
    }
    let auth = Auth::new(files, vec![Arc::new(Review)]).unwrap();
    let world = World::with(|listener| listener.auth = auth.clone());
    let ask = async |head: &str, token: &str| {
        let header = match token {
            "" => String::new(),
            token if token.contains(' ') => format!("Authorization: {token}\r\n"),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        world.ask(head, &format!("{LOCAL}{header}"), "").await
    };
    for (head, token, status, words) in [
        ("GET /livez", "", 200, "ok"),
        ("GET /read", "", 401, "a token is needed: Authorization: Bearer …"),
        ("GET /read", "guess", 401, "the credential is not known here"),
        ("GET /read", "Basic dTpw", 401, "the credential is not known here"),
        ("GET /read", "bearer reader-t0p", 200, "GET /read reader 0"),
        ("GET /read", "reader-t0p", 200, "GET /read reader 0"),
        ("GET /read", "boss-t0p", 200, "GET /read boss 0"),
        ("GET /read", "cluster", 200, "GET /read sa 0"),
        ("GET /read", "down", 503, "whether the credential is good cannot be told now; try again"),
        ("GET /read", "writer-t0p", 403, "writer may not do this: it lacks the role read"),
        ("POST /write", "writer-t0p", 200, "POST /write writer 0"),
        ("POST /write", "boss-t0p", 403, "boss may not do this: it lacks the role ingest"),
        ("POST /-/quit", "reader-t0p", 403, "reader may not do this: it lacks the role admin"),
        ("POST /-/quit", "boss-t0p", 200, "POST /-/quit boss 0"),
        ("GET /nothing", "", 404, "there is nothing at /nothing"),
    ] {
        assert_eq!(ask(head, token).await, (status, words.to_owned()), "{head} {token}");
    }
    let path = folder.path().join("reader");
    std::fs::write(&path, "new-t0p").unwrap();
    auth.look();
    assert_eq!((ask("GET /read", "reader-t0p").await.0, ask("GET /read", "new-t0p").await.0), (401, 200));
    std::fs::remove_file(&path).unwrap();
    auth.look();
    assert_eq!(ask("GET /read", "new-t0p").await.0, 200, "a token that cannot be read stays");
}

#[tokio::test(start_paused = true)]
async fn classes_are_off_until_they_are_switched_on_and_webhooks_have_their_own_listener() {
    let world = World::with(|listener| listener.on = [Class::Health, Class::Read].into());
    for (head, status, words) in [
        ("GET /read", 200, "GET /read anyone 0"),
        (
            "POST /write",
            403,
            "ingest routes are off; server.enable in kiban.yaml (or --enable ingest) switches them on",
        ),
        (
            "POST /-/quit",
            403,
            "admin routes are off; server.enable in kiban.yaml (or --enable admin) switches them on",
        ),
    ] {
        assert_eq!(world.ask(head, LOCAL, "").await, (status, words.to_owned()), "{head}");
    }
    let world = World::with(|listener| listener.serves = [Class::Webhook].into());
    assert_eq!(world.ask("POST /hook", LOCAL, "").await.0, 200);
    for path in ["GET /read", "GET /livez", "POST /-/quit"] {
        assert_eq!(world.ask(path, LOCAL, "").await.0, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_component_that_does_not_run_is_said() {
    let world = World::new();
    world.router.unserve("test", "it is tired");
    let text = world.raw("GET /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 5\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\ntest: it is tired\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn floods_of_headers_are_refused() {
    let world = World::new();
    let many = "X: y\r\n".repeat(200);
    let long = format!("X: {}\r\n", "y".repeat(200 << 10));
    let target = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(200 << 10));
    for flood in [&many, &long] {
        let text = world.raw(format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{flood}\r\n")).await;
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    }
    let text = world.raw(target).await;
    assert!(text.starts_with("HTTP/1.1 414 ") || text.starts_with("HTTP/1.1 431 "), "{text}");
    for nonsense in
        ["\r\n\r\n\r\n", "SSH-2.0-x\r\n\r\n", "GET /read HTTP/9.9\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "GET"]
    {
        let mut stream = world.open().await;
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{nonsense:?}: {answer}");
    }
    assert_eq!(world.ask("GET /livez", LOCAL, "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn slow_clients_are_let_go() {
    let world = World::new();
    let limits = Limits::default();
    // A head that never ends, a byte a second.
    let mut stream = world.open().await;
    let began = Instant::now();
    stream.write_all(b"GET /read HTTP/1.1\r\nHost: localhost\r\nX: ").await.unwrap();
    while stream.write_all(b"y").await.is_ok() && began.elapsed() < 10 * limits.head {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() <= limits.head + Duration::from_secs(2), "{:?}", began.elapsed());
    // A body that stops, and one that comes byte by byte.
    for (pause, least, most) in [(1_000, 20, 21), (10, 300, 311)] {
        let mut stream = world.open().await;
        let began = Instant::now();
        let head = b"POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        let writing = tokio::spawn(async move {
            while write.write_all(b"y").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
        });
        let mut answer = vec![0; 1024];
        let length = read.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.ends_with("the body of the request came too slowly\n"), "{answer}");
        let took = began.elapsed().as_secs();
        assert!((least..=most).contains(&took), "{took}");
        writing.abort();
    }
    // An answer that is not taken.
    let mut stream = world.open().await;
    let began = Instant::now();
    stream.write_all(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!world.metric("kiban_http_connections{listener=\"main\"} 0"));
    while !world.metric("kiban_http_connections{listener=\"main\"} 0") {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(began.elapsed() < 10 * limits.write);
    }
    assert!(began.elapsed() >= limits.write, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_idle_connections_leave_room_and_are_let_go_in_time() {
    let world = World::new();
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        let (ours, theirs) = duplex(16);
        world.streams.send(theirs).await.unwrap();
        idle.push(ours);
    }
    assert_eq!(world.ask("GET /read", LOCAL, "").await.0, 200);
    assert!(world.metric("kiban_http_connections{listener=\"main\"} 10000"));
    for mut stream in idle {
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    }
    assert!(world.metric("kiban_http_connections_total{listener=\"main\"} 10001"));
    assert_eq!(world.ask("GET /read", LOCAL, "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_told_so_and_probes_are_answered() {
    let world = World::with(|listener| listener.limits.requests = 2);
    let slow = || world.ask("GET /slow", LOCAL, "");
    let third = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let busy = world.ask("GET /read", LOCAL, "").await;
        (busy, world.ask("GET /livez", LOCAL, "").await.0)
    };
    let (one, two, (busy, probe)) = tokio::join!(slow(), slow(), third);
    assert_eq!((one.0, two.0, probe), (200, 200, 200));
    assert_eq!(busy, (503, "too many requests are under way; try again".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_idle_connections_at_once_and_requests_under_way_in_time() {
    let mut world = World::new();
    let mut idle = world.open().await;
    let mut busy = world.open().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut hung = world.open().await;
    hung.write_all(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    world.trigger.take().unwrap().fire();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(1));
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("at last"), "{answer}");
    world.ended.await.unwrap();
    assert!(began.elapsed() <= Limits::default().drain + Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Connects a client to a world.
struct To(mpsc::Sender<DuplexStream>);

impl Connect for To {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (ours, theirs) = duplex(16 << 10);
            let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            self.0.send(theirs).await.map_err(gone)?;
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn http_2_over_tls_goes_the_same_way() {
    let own = tls::self_signed("test", &["kiban.example", "evil.example"], &[]).unwrap();
    let server = own.server.clone();
    let world = World::with(|listener| listener.tls = Some(server));
    let options = Options {
        roots: Roots { system: false, extra: own.ca_pem.clone().into_bytes() },
        ..Options::default()
    };
    let client = Client::new(options, Arc::new(To(world.streams.clone())), Arc::new(SystemClock)).unwrap();
    let ask = async |url: &str, size: usize| {
        let request =
            Request::post(url).unwrap().body(vec![b'x'; size]).deadline(Some(Duration::from_secs(60)));
        let response = client.send(request).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let url = "https://kiban.example/write";
    assert_eq!(ask(url, 1 << 20).await, (200, format!("POST {url} anyone 1048576")));
    assert_eq!(ask(url, (1 << 20) + 1).await.0, 413);
    assert_eq!(ask("https://evil.example/write", 1).await.0, 421);
    let _: Uri = url.parse().unwrap();
    // What speaks no TLS is let go.
    let text = world.raw("GET /read HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(!text.contains("HTTP/1.1 200"), "{text}");
    let began = Instant::now();
    let mut silent = world.open().await;
    let _ = silent.read(&mut [0; 16]).await;
    assert!(began.elapsed() <= Limits::default().handshake + Duration::from_secs(1));
}
