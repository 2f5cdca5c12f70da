//! Tests of the HTTP client, against servers at the other end of in-memory streams.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use kiban_base::clock::{Clock, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::BoxFuture;
use crate::http::Body;

/// 2026-11-24T10:00:00Z.
const NOW: i64 = 1_795_514_400;

struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW)
    }
}

type Handler = Arc<dyn Fn(usize, http::Request<Seen>) -> http::Response<Body> + Send + Sync>;
type Seen = Bytes;
type Raw = Arc<dyn Fn(DuplexStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// Hosts by `name:port`, each with what takes its connections.
#[derive(Default, Clone)]
struct Net {
    hosts: HashMap<String, Raw>,
    opened: Arc<Mutex<Vec<String>>>,
}

impl Net {
    fn raw<F>(mut self, at: &str, take: impl Fn(DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.hosts.insert(at.to_owned(), Arc::new(move |stream| Box::pin(take(stream))));
        self
    }

    /// Plain HTTP; the handler is told how many requests came before.
    fn http(
        self,
        at: &str,
        handler: impl Fn(usize, http::Request<Seen>) -> http::Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let (count, handler): (_, Handler) = (Arc::new(AtomicUsize::new(0)), Arc::new(handler));
        self.raw(at, move |stream| answer(stream, count.clone(), handler.clone()))
    }

    /// The same over TLS.
    fn https(
        self,
        at: &str,
        tls: Arc<rustls::ServerConfig>,
        handler: impl Fn(usize, http::Request<Seen>) -> http::Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let (count, handler): (_, Handler) = (Arc::new(AtomicUsize::new(0)), Arc::new(handler));
        self.raw(at, move |stream| {
            let (tls, count, handler) = (TlsAcceptor::from(tls.clone()), count.clone(), handler.clone());
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, count, handler).await;
                }
            }
        })
    }

    fn client(&self, options: Options) -> Client {
        Client::new(options, Arc::new(self.clone()), Arc::new(At)).unwrap()
    }

    fn opened(&self) -> Vec<String> {
        self.opened.lock().unwrap().clone()
    }
}

impl Connect for Net {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let at = format!("{host}:{port}");
        let taken = self.hosts.get(&at).cloned();
        self.opened.lock().unwrap().push(at);
        Box::pin(async move {
            let Some(take) = taken else {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"));
            };
            let (ours, theirs) = duplex(64 << 10);
            tokio::spawn(take(theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

async fn answer(stream: impl Stream, count: Arc<AtomicUsize>, handler: Handler) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (count, handler) = (count.clone(), handler.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.map(|b| b.to_bytes()).unwrap_or_default();
            let number = count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(handler(number, http::Request::from_parts(head, body)))
        }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn said(status: u16, text: &str) -> http::Response<Body> {
    http::Response::builder().status(status).body(Body::full(text.to_owned())).unwrap()
}

fn moved(status: u16, to: &str) -> http::Response<Body> {
    http::Response::builder().status(status).header(LOCATION, to).body(Body::full("")).unwrap()
}

fn plain() -> Options {
    Options { roots: Roots { system: false, extra: Vec::new() }, ..Options::default() }
}

fn trusting(pem: &str) -> Options {
    Options { roots: Roots { system: false, extra: pem.as_bytes().to_vec() }, ..Options::default() }
}

fn get(url: &str) -> Request {
    Request::get(url).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_says_who_asks_and_gets_the_answer_whatever_its_status() {
    let net = Net::default().http("a.example:80", |_, request| {
        let agent = request.headers().get("user-agent").unwrap().to_str().unwrap().to_owned();
        said(404, &format!("{} {} {agent}", request.method(), request.uri()))
    });
    let response = net.client(plain()).send(get("http://a.example/x?y=1")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.text().await.unwrap(), format!("GET /x?y=1 {AGENT}"));
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_and_http_2_is_spoken_where_the_host_does() {
    let tls = crate::tls::self_signed("test", &["a.example"], &[]).unwrap();
    let net = Net::default()
        .https("a.example:443", tls.server.clone(), |n, r| said(200, &format!("{n} {:?}", r.version())));
    let client = net.client(trusting(&tls.ca_pem));
    for number in 0..3 {
        let text = client.send(get("https://a.example/")).await.unwrap().text().await.unwrap();
        assert_eq!(text, format!("{number} HTTP/2.0"));
    }
    assert_eq!(net.opened(), ["a.example:443"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_prove_its_name_is_sent_nothing() {
    let tls = crate::tls::self_signed("test", &["other.example"], &[]).unwrap();
    let net = Net::default().https("a.example:443", tls.server.clone(), |_, _| panic!("asked"));
    let error =
        net.client(trusting(&tls.ca_pem)).send(get("https://a.example/?token=t0p")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("no trusted TLS connection to https://a.example: invalid peer certificate"),
        "{text}"
    );
    assert!(matches!(error, ClientError::Tls { .. }) && !text.contains("t0p"), "{text}");
    assert_eq!(net.opened().len(), 1, "what is not trusted now is not trusted later");
    let other = crate::tls::self_signed("other", &["a.example"], &[]).unwrap();
    let error = net.client(trusting(&other.ca_pem)).send(get("https://a.example/")).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let error = net.client(plain()).send(get("https://a.example/")).await.unwrap_err();
    assert!(error.to_string().ends_with(": no certificate authority is configured"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn credentials_never_go_to_another_host() {
    let tls = crate::tls::self_signed("test", &["reg.example", "blobs.example"], &[]).unwrap();
    let show = |r: &http::Request<Seen>| {
        let has = |n: &str| r.headers().contains_key(n);
        format!("{} {} {}", has("authorization"), has("private-token"), has("accept"))
    };
    let net = Net::default()
        .https("reg.example:443", tls.server.clone(), move |_, r| match r.uri().path() {
            "/away" => moved(307, "https://blobs.example/x?sig=s3cret"),
            "/here" => moved(302, "/end"),
            _ => said(200, &show(&r)),
        })
        .https("blobs.example:443", tls.server.clone(), move |_, r| match r.uri().path() {
            "/x" => moved(302, "https://reg.example/back"),
            _ => said(200, &show(&r)),
        });
    let client = net.client(trusting(&tls.ca_pem));
    let ask = |path: &str, redirects| {
        let token = Secret::new("t0p");
        let request = get(&format!("https://reg.example{path}")).bearer(&token).unwrap();
        let request = request.secret_header("Private-Token", &token).unwrap().header("accept", "x").unwrap();
        client.send(request.redirects(redirects))
    };
    let text = ask("/here", Redirects::SameHost).await.unwrap().text().await.unwrap();
    assert_eq!(text, "true true true");
    let error = ask("/away", Redirects::SameHost).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "https://reg.example redirects to https://blobs.example, another host, which is not followed"
    );
    let response = ask("/away", Redirects::Blob).await.unwrap();
    assert_eq!(response.url().path(), "/back");
    assert_eq!(response.text().await.unwrap(), "false false true", "what was left behind stays behind");
    let response = ask("/away", Redirects::No).await.unwrap();
    assert_eq!((response.status().as_u16(), response.header("location").is_some()), (307, true));
}

#[tokio::test(start_paused = true)]
async fn redirects_in_a_circle_end() {
    let net = Net::default().http("a.example:80", |_, _| moved(302, "/"));
    let request = get("http://a.example/").redirects(Redirects::SameHost);
    let error = net.client(plain()).send(request).await.unwrap_err().to_string();
    assert_eq!(error, "http://a.example redirects more than 5 times in a row");
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_if_twice_is_as_good_as_once() {
    // Method, whether the caller says that it may be repeated; tries that the host sees, the last answer.
    for (method, told, tries, last) in [
        (Method::GET, false, 3, 200),
        (Method::PUT, false, 3, 200),
        (Method::DELETE, false, 3, 200),
        (Method::POST, false, 1, 503),
        (Method::PATCH, false, 1, 503),
        (Method::POST, true, 3, 200),
    ] {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        let net = Net::default().http("a.example:80", move |number, request| {
            count.fetch_add(1, Ordering::SeqCst);
            assert_eq!(&request.into_body()[..], b"body");
            said(if number < 2 { 503 } else { 200 }, "")
        });
        let mut request = Request::new(method.clone(), "http://a.example/").unwrap().body("body");
        if told {
            request = request.idempotent();
        }
        let response = net.client(plain()).send(request).await.unwrap();
        assert_eq!(response.status().as_u16(), last, "{method} {told}");
        assert_eq!(seen.load(Ordering::SeqCst), tries, "{method} {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_pause_that_a_host_asks_for_is_kept_or_the_answer_given_back() {
    // Retry-After, the least and the longest pause in seconds; `None`: not tried again.
    for (after, pause) in [
        ("7", Some((7.0, 8.0))),
        ("Tue, 24 Nov 2026 10:00:20 GMT", Some((20.0, 22.1))),
        ("Tue, 24 Nov 2026 09:00:00 GMT", Some((0.125, 0.25))),
        ("soon", Some((0.125, 0.25))),
        ("61", None),
        ("29", None),
    ] {
        let net = Net::default().http("a.example:80", move |number, _| match number {
            0 => {
                http::Response::builder().status(429).header(RETRY_AFTER, after).body(Body::full("")).unwrap()
            }
            _ => said(200, ""),
        });
        let began = Instant::now();
        let deadline = if after == "29" { 20 } else { 120 };
        let request = get("http://a.example/").deadline(Some(Duration::from_secs(deadline)));
        let status = net.client(plain()).send(request).await.unwrap().status().as_u16();
        let took = began.elapsed().as_secs_f64();
        match pause {
            Some((least, most)) => assert!(status == 200 && least <= took && took <= most, "{after}: {took}"),
            None => assert!(status == 429 && took < 1.0, "{after}: {status} {took}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_is_said_after_all_tries_and_bears_only_so_many() {
    let net = Net::default();
    let client = net.client(plain());
    let error = client.send(Request::post("http://a.example/x?token=t0p").unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to http://a.example: connection refused");
    assert_eq!(net.opened().len(), 4, "nothing was sent, so that even a POST is tried again");
    for _ in 0..50 {
        let request = get("http://a.example/").retry(Retry { pause: Duration::ZERO, ..Retry::default() });
        client.send(request).await.unwrap_err();
    }
    let opened = net.opened().len();
    assert!((54 + 17..54 + 24).contains(&opened), "50 first tries, and what the budget holds: {opened}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_given_up_at_the_deadline() {
    let net = Net::default()
        .raw("silent.example:80", |stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .raw("slow.example:80", |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
            std::future::pending::<()>().await;
        })
        .raw("torn.example:80", |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
        })
        .raw("odd.example:80", |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        });
    let client = net.client(plain());
    let ask = async |host: &str, stall: u64, deadline| {
        let request = get(&format!("http://{host}.example/?q=s3cret")).retry(Retry::NEVER);
        let request = request.stall(Duration::from_secs(stall)).deadline(deadline);
        match client.send(request).await {
            Ok(response) => response.bytes().await.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    };
    let ten = Some(Duration::from_secs(10));
    assert_eq!(ask("silent", 1, ten).await, "http://silent.example did not answer within 10s");
    assert_eq!(ask("slow", 1, ten).await, "http://slow.example sent nothing for 1s");
    assert_eq!(ask("slow", 60, ten).await, "http://slow.example did not answer within 10s");
    assert_eq!(ask("slow", 60, None).await, "http://slow.example sent nothing for 1m");
    let torn = ask("torn", 1, ten).await;
    assert!(torn.starts_with("http://torn.example broke off: "), "{torn}");
    let odd = ask("odd", 1, ten).await;
    assert!(odd.starts_with("http://odd.example broke off: "), "{odd}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_no_larger_than_the_caller_takes() {
    let net = Net::default().http("sized.example:80", |_, _| said(200, &"x".repeat(11))).http(
        "pieces.example:80",
        |_, _| {
            let (sender, pieces) = mpsc::channel(1);
            tokio::spawn(async move { while sender.send(Bytes::from_static(b"xxxx")).await.is_ok() {} });
            http::Response::new(Body::Stream(pieces))
        },
    );
    let client = net.client(plain());
    for host in ["sized", "pieces"] {
        let request = get(&format!("http://{host}.example/")).limit(10);
        let error = client.send(request).await.unwrap().bytes().await.unwrap_err().to_string();
        assert_eq!(error, format!("the answer of http://{host}.example is larger than 10 bytes"));
    }
    let request = get("http://sized.example/").limit(11);
    assert_eq!(client.send(request).await.unwrap().bytes().await.unwrap().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_in_pieces_and_a_torn_one_is_no_whole_one() {
    let net = Net::default().http("a.example:80", |_, r| said(200, &format!("{}", r.body().len())));
    let client = net.client(plain());
    let ask = async |pieces: Vec<io::Result<Bytes>>, length| {
        let (sender, receiver) = mpsc::channel(8);
        for piece in pieces {
            sender.send(piece).await.unwrap();
        }
        drop(sender);
        let request = Request::new(Method::PUT, "http://a.example/").unwrap().stream(receiver, length);
        match client.send(request).await {
            Ok(response) => response.text().await.unwrap(),
            Err(error) => error.to_string(),
        }
    };
    let piece = || Ok(Bytes::from_static(b"12345"));
    assert_eq!(ask(vec![piece(), piece()], None).await, "10");
    assert_eq!(ask(vec![piece(), piece()], Some(10)).await, "10");
    let broke = "what was to be sent to http://a.example broke off: ";
    let torn = || Err(io::Error::other("the file is gone"));
    assert_eq!(ask(vec![piece(), torn()], None).await, format!("{broke}the file is gone"));
    assert_eq!(ask(vec![piece()], Some(10)).await, format!("{broke}it is shorter than was said"));
    assert_eq!(ask(vec![piece(), piece()], Some(7)).await, format!("{broke}it is longer than was said"));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_only_where_it_is_configured() {
    let tls = crate::tls::self_signed("test", &["a.example"], &[]).unwrap();
    let server = tls.server.clone();
    let net = Net::default().http("near.corp.example:80", |_, _| said(200, "near")).raw(
        "proxy.example:3128",
        move |mut stream| {
            let server = server.clone();
            async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let text = String::from_utf8(head).unwrap();
                assert!(text.contains("Basic dTpw\r\n"), "{text}");
                if text.starts_with("CONNECT a.example:443 HTTP/1.1\r\n") {
                    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                    let stream = TlsAcceptor::from(server).accept(stream).await.unwrap();
                    answer(stream, Arc::default(), Arc::new(|_, _| said(200, "through"))).await;
                } else if text.starts_with("GET http://b.example/x HTTP/1.1\r\n") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nby").await;
                } else {
                    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
                }
            }
        },
    );
    let proxy = Proxy {
        host: "proxy.example".into(),
        port: 3128,
        authorization: Some(basic("u", &Secret::new("p"))),
        bypass: vec!["corp.example".into()],
    };
    let client = net.client(Options { proxy: Some(proxy), ..trusting(&tls.ca_pem) });
    for (url, expect) in [
        ("https://a.example/", Ok("through")),
        ("http://b.example/x", Ok("by")),
        ("http://near.corp.example/", Ok("near")),
        (
            "https://c.example/",
            Err("cannot connect to https://c.example: the proxy proxy.example answered 403"),
        ),
    ] {
        let got = match client.send(get(url).retry(Retry::NEVER)).await {
            Ok(response) => Ok(response.text().await.unwrap()),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(got.as_deref().map_err(String::as_str), expect, "{url}");
    }
}

#[test]
fn urls_that_cannot_be_asked_are_refused_without_being_repeated() {
    for (url, words) in [
        ("https://user:hunter2@a.example/", "a URL holds no credentials"),
        ("https://hunter2@a.example/", "a URL holds no credentials"),
        ("ftp://a.example/hunter2", "ftp: is no scheme that can be asked"),
        ("/hunter2", "a URL begins with https:// or http://"),
        ("a.example:hunter2", "a URL begins with https:// or http://"),
        ("", "not a URL"),
        ("https:///hunter2", "not a URL"),
        ("https://a b/hunter2", "not a URL"),
    ] {
        let error = Request::get(url).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("hunter2"), "{url}: {error}");
    }
    let error = get("http://a/").bearer(&Secret::new("hunter2\r\nx: y")).unwrap_err().to_string();
    assert_eq!(error, "the header authorization holds what no header may");
    let debug = format!("{:?}", get("http://a/").bearer(&Secret::new("hunter2")).unwrap());
    assert!(!debug.contains("hunter2"), "{debug}");
    assert_eq!(get("http://a/").basic("u", &Secret::new("p")).unwrap().headers[AUTHORIZATION], "Basic dTpw");
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_host_and_outcome() {
    let net = Net::default().http("a.example:80", |number, _| said(if number == 0 { 503 } else { 200 }, ""));
    let registry = Registry::new();
    let client = net.client(Options { metrics: Some(registry.clone()), ..plain() });
    client.send(get("http://a.example/")).await.unwrap();
    client.send(get("http://b.example/").retry(Retry::NEVER)).await.unwrap_err();
    let text = registry.text();
    for row in [
        "kiban_client_requests_total{host=\"http://a.example\",code=\"200\"} 1",
        "kiban_client_requests_total{host=\"http://a.example\",code=\"503\"} 1",
        "kiban_client_requests_total{host=\"http://b.example\",code=\"connect\"} 1",
        "kiban_client_retries_total{host=\"http://a.example\"} 1",
        "kiban_client_request_duration_seconds_count{host=\"http://a.example\"} 2",
    ] {
        assert!(text.contains(row), "{row} is not in: {text}");
    }
}

#[test]
fn a_client_is_not_made_of_what_is_no_certificate() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (roots, words) in [
        ("hello", "the certificate authorities: no PEM certificate is in there"),
        (pem, "the certificate authorities: one is unusable"),
    ] {
        let error = Client::new(trusting(roots), Arc::new(Tcp), Arc::new(At)).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
    let identity = Identity { certificate: pem.into(), key: Secret::new("hunter2") };
    let error = Client::new(Options { identity: Some(identity), ..plain() }, Arc::new(Tcp), Arc::new(At));
    assert_eq!(error.unwrap_err().to_string(), "the client certificate's key is no PEM key");
}
