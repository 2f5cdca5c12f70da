//! Tests of the server as one thing, on port 0.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::BoxFuture;
use crate::client::{Client, Options, Request, Roots, Tcp};
use crate::clock::SystemClock;
use crate::component::{Built, Context, Failure};
use crate::config::{Address, ClassName, FilePath, RoleName, TokenSection, WebhookSection};
use crate::route::{Answer, Answers, Asked};

#[test]
fn what_can_be_reached_from_elsewhere_needs_tls_and_authentication_or_a_word() {
    let tls = || Some(TlsSection { certificate: FilePath::new("c"), key: FilePath::new("k") });
    let token = || TokenSection { name: "a".into(), file: FilePath::new("t"), roles: vec![RoleName::Read] };
    let section = |listen: &str, secure: bool, known: bool| ServerSection {
        listen: Address::new(listen).unwrap(),
        tls: if secure { tls() } else { None },
        tokens: if known { vec![token()] } else { Vec::new() },
        ..ServerSection::default()
    };
    // Address, TLS, tokens, authenticators, --insecure; what is said.
    for (listen, secure, known, others, insecure, said) in [
        ("127.0.0.1:1", false, false, false, false, ""),
        ("127.9.9.9:1", false, false, false, false, ""),
        ("[::1]:1", false, false, false, false, ""),
        ("localhost:1", false, false, false, false, ""),
        ("0.0.0.0:1", true, true, false, false, ""),
        ("0.0.0.0:1", true, false, true, false, ""),
        ("0.0.0.0:1", false, false, false, true, ""),
        (
            "0.0.0.0:1",
            false,
            false,
            false,
            false,
            "without TLS and authentication: set server.tls and server.tokens in",
        ),
        (":1", false, false, false, false, "server.listen 0.0.0.0:1 can be reached from other machines"),
        ("[::]:1", true, false, false, false, "without authentication: set server.tokens in kiban.yaml"),
        ("10.0.0.1:1", false, true, false, false, "without TLS: set server.tls in kiban.yaml"),
        ("10.0.0.1:1", false, false, true, false, "without TLS: set server.tls in kiban.yaml"),
        (
            "169.254.1.1:1",
            true,
            false,
            false,
            false,
            "or pass --insecure where something else protects the port",
        ),
    ] {
        let outcome = check_exposure(&section(listen, secure, known), others, insecure);
        match outcome {
            Ok(()) => assert_eq!(said, "", "{listen}"),
            Err(words) => assert!(!said.is_empty() && words.contains(said), "{listen}: {words}"),
        }
    }
    let mut hooked = section("127.0.0.1:1", false, false);
    hooked.webhooks =
        Some(WebhookSection { listen: Address::new(":2").unwrap(), hosts: Vec::new(), tls: None });
    let words = check_exposure(&hooked, false, false).unwrap_err();
    assert!(
        words.starts_with("server.webhooks.listen 0.0.0.0:2 ")
            && words.contains("set server.webhooks.tls in"),
        "{words}"
    );
    hooked.webhooks.as_mut().unwrap().tls = tls();
    assert_eq!(check_exposure(&hooked, false, false), Ok(()), "webhooks prove themselves");
}

/// Answers at a path of its own.
struct Hello(&'static str, &'static str, Class);

impl Component for Hello {
    fn name(&self) -> &'static str {
        self.0
    }
    fn about(&self) -> &'static str {
        "says hello"
    }
    fn routes(&self) -> Vec<Route> {
        vec![Route::new(&[http::Method::GET, http::Method::POST], self.1, self.2, "a greeting")]
    }
    fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>> {
        Box::pin(async move {
            let (ready, name) = (context.readiness.clone(), self.0);
            let run = move |mut shutdown: Shutdown| async move {
                ready.set();
                shutdown.fired().await;
                Ok(())
            };
            Ok(Built::new(run).route(self.1, move |_: Asked| Answer::text(name)))
        })
    }
}

fn setup(section: ServerSection) -> Setup {
    Setup {
        section,
        insecure: false,
        authenticators: Vec::new(),
        data: None,
        metrics: Registry::new(),
        clock: Arc::new(SystemClock),
        seed: 1,
        version: "1.2.3",
    }
}

fn on_port_0() -> ServerSection {
    ServerSection {
        listen: Address::new("127.0.0.1:0").unwrap(),
        threads: Some(1),
        webhooks: Some(WebhookSection {
            listen: Address::new("127.0.0.1:0").unwrap(),
            hosts: Vec::new(),
            tls: None,
        }),
        ..ServerSection::default()
    }
}

fn client(pem: &str) -> Client {
    let options =
        Options { roots: Roots { system: false, extra: pem.as_bytes().to_vec() }, ..Options::default() };
    Client::new(options, Arc::new(Tcp), Arc::new(SystemClock)).unwrap()
}

async fn ask(client: &Client, url: &str) -> (u16, String) {
    let request = Request::get(url).unwrap().retry(crate::client::Retry::NEVER);
    let response = client.send(request).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_server_starts_serves_changes_and_ends_in_order() {
    let running = start(setup(on_port_0())).await.unwrap();
    let (client, url) = (client(""), running.url().to_owned());
    assert_eq!(ask(&client, &format!("{url}/livez")).await, (200, "ok".into()));
    let early = ask(&client, &format!("{url}/readyz")).await;
    assert_eq!(
        early,
        (503, "[-]listeners failed: not all are bound\n[+]shutdown ok\nreadyz check failed\n".into())
    );
    let hello = || Arc::new(Hello("hello", "/hello", Class::Read)) as Arc<dyn Component>;
    let hook = || Arc::new(Hello("hook", "/hook", Class::Webhook)) as Arc<dyn Component>;
    running.apply(vec![hello(), hook()]).await;
    while running.states().iter().any(|state| !state.came_up) {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&client, &format!("{url}/readyz")).await, (200, "ok".into()));
    let verbose = "[+]listeners ok\n[+]shutdown ok\n[+]hello ok\n[+]hook ok\nreadyz check passed\n";
    assert_eq!(ask(&client, &format!("{url}/readyz?verbose")).await, (200, verbose.into()));
    assert_eq!(ask(&client, &format!("{url}/readyz/hook")).await, (200, "ok".into()));
    let none = ask(&client, &format!("{url}/readyz/nobody")).await;
    assert_eq!(none, (404, "no component of this name is on; on are: hello, hook\n".into()));
    assert_eq!(ask(&client, &format!("{url}/hello")).await, (200, "hello".into()));
    assert_eq!(ask(&client, &format!("{url}/hook")).await.0, 404);
    let hooks = running.webhooks().unwrap().to_owned();
    assert_eq!(ask(&client, &format!("{hooks}/hook")).await, (200, "hook".into()));
    assert_eq!(ask(&client, &format!("{hooks}/readyz")).await.0, 404);
    let (code, metrics) = ask(&client, &format!("{url}/metrics")).await;
    assert!(code == 200 && metrics.contains("kiban_build_info{version=\"1.2.3\"} 1"), "{metrics}");

    running.apply(vec![hook()]).await;
    assert_eq!(ask(&client, &format!("{url}/hello")).await.0, 404);
    assert_eq!(running.stop().await, Vec::<&str>::new());
    let gone =
        client.send(Request::get(&format!("{url}/livez")).unwrap().retry(crate::client::Retry::NEVER)).await;
    assert!(gone.is_err());
}

#[tokio::test]
async fn tls_and_tokens_are_asked_for_where_they_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        FilePath::new(folder.path().join(name).display().to_string())
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let section = ServerSection {
        tls: Some(TlsSection {
            certificate: file("tls.crt", &certificate.pem()),
            key: file("tls.key", &key.serialize_pem()),
        }),
        tokens: vec![TokenSection {
            name: "me".into(),
            file: file("token", "t0p\n"),
            roles: vec![RoleName::Read],
        }],
        enable: vec![ClassName::Admin],
        ..on_port_0()
    };
    let running = start(setup(section)).await.unwrap();
    let port = running.url().rsplit(':').next().unwrap();
    let (client, url) = (client(&certificate.pem()), format!("https://localhost:{port}/metrics"));
    assert_eq!(ask(&client, &url).await.0, 401);
    let request = Request::get(&url).unwrap().bearer(&crate::secret::Secret::new("t0p")).unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 200);
    running.stop().await;
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let start =
        async |section| start(setup(section)).await.err().map(|error| crate::client::chain(&error)).unwrap();
    let section = ServerSection { listen: Address(address), ..on_port_0() };
    let words = start(section).await;
    assert!(
        words.starts_with(&format!("cannot listen on {address} (server.listen): Address already in use")),
        "{words}"
    );
    let missing = TlsSection { certificate: FilePath::new("/nowhere/tls.crt"), key: FilePath::new("k") };
    let words = start(ServerSection { tls: Some(missing), ..on_port_0() }).await;
    assert!(words.starts_with("server.tls: cannot read /nowhere/tls.crt: "), "{words}");
    let token =
        TokenSection { name: "a".into(), file: FilePath::new("/nowhere/token"), roles: vec![RoleName::Read] };
    let words = start(ServerSection { tokens: vec![token], ..on_port_0() }).await;
    assert!(words.starts_with("server.tokens: cannot read the secret in /nowhere/token: "), "{words}");
}

#[test]
fn every_route_of_the_server_itself_has_a_row_that_says_what_it_is_for() {
    for route in health::routes() {
        assert!(!route.about.is_empty() && !route.methods.is_empty(), "{route:?}");
    }
}
