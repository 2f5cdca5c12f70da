//! What servers refuse, in words that say what to do; and credentials, which no word repeats.

use std::time::Duration;

use kiban_git::{Address, Credential, Depth, Error};

use crate::support::{Answer, MOST, Repo, Web, client, has_git, main_branch, remote, runtime, store, task};

const SECRET: &str = "ghp_verysecrettoken";

#[test]
fn the_credential_opens_what_is_closed_and_is_never_repeated() {
    if !has_git("the_credential_opens_what_is_closed_and_is_never_repeated") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    // kiban:ghp_verysecrettoken, x-access-token:ghp_verysecrettoken
    web.judge(|request| match request.headers.get("authorization").map(String::as_str) {
        Some(
            "Basic a2liYW46Z2hwX3ZlcnlzZWNyZXR0b2tlbg=="
            | "Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3ZlcnlzZWNyZXR0b2tlbg=="
            | "Bearer ghp_verysecrettoken",
        ) => Answer::Git,
        _ => Answer::Fixed(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
    });
    let file = repo.root.path().join("token");
    let from_file = |text: &str, user: Option<&str>| {
        std::fs::write(&file, text).unwrap();
        Credential::from_file(&file, user).unwrap()
    };
    let good = [
        Credential::basic("MANIFESTS_TOKEN", "kiban", SECRET).unwrap(),
        Credential::bearer("MANIFESTS_TOKEN", SECRET).unwrap(),
        Credential::token("MANIFESTS_TOKEN", SECRET).unwrap(),
        from_file("ghp_verysecrettoken\n", None),
        from_file("kiban:ghp_verysecrettoken\r\n", None),
        from_file("ghp_verysecrettoken\n", Some("kiban")),
    ];
    for credential in good {
        assert_eq!(format!("{credential:?}"), format!("Credential({})", credential.name()));
        let remote = remote(&web, Some(credential));
        remote.fetch(&store(), &main_branch(Depth::Follow(1)), &task()).unwrap();
        assert!(!format!("{remote:?}").contains("secret"));
    }
    let wrong = Credential::basic("file /run/token", "kiban", "ghp_oldsecret\n").unwrap();
    let why = remote(&web, Some(wrong)).fetch(&store(), &main_branch(Depth::Follow(1)), &task()).unwrap_err();
    let said = format!("{why} {why:?}");
    assert!(
        said.contains(
            "does not accept the credential file /run/token (HTTP 401): it is wrong, expired or revoked"
        ),
        "{said}"
    );
    assert!(!said.contains("secret") && !said.contains("Basic "));
    let why =
        remote(&web, None).fetch(&store(), &main_branch(Depth::Follow(1)), &task()).unwrap_err().to_string();
    assert!(
        why.contains("a request without a credential (HTTP 401): give a token that may read this repository"),
        "{why}"
    );
}

#[test]
fn a_server_that_says_the_credential_back_is_not_quoted_with_it() {
    let root = tempfile::tempdir().unwrap();
    let web = Web::new(root.path());
    // kiban:ghp_verysecrettoken, and the token alone
    let (pair, alone) = ("a2liYW46Z2hwX3ZlcnlzZWNyZXR0b2tlbg", "Z2hwX3ZlcnlzZWNyZXR0b2tlbg");
    let remote = remote(&web, Some(Credential::basic("TOKEN", "kiban", SECRET).unwrap()));
    let long = format!("{}{SECRET}", "x ".repeat(243));
    let echoes = [
        (format!("Authorization: Basic {pair}==, kiban:{SECRET}."), "Authorization: Basic ***, kiban:***."),
        (format!("{alone} {SECRET}{SECRET}"), "*** ******"),
        // Cut to its length inside of the token.
        (long, "x ***"),
    ];
    for (status, page) in [("500 Internal Server Error", false), ("403 Forbidden", false), ("200 OK", true)] {
        for (echo, shown) in &echoes {
            let kind = if page { echo.as_str() } else { "text/plain" };
            let body = if page { "" } else { echo };
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            web.judge(move |_| Answer::Fixed(text.clone()));
            let why = remote.refs(&[], &task()).unwrap_err();
            let said = format!("{why} {why:?}");
            assert!(
                !said.contains("ghp_very") && !said.contains(&pair[..12]) && !said.contains(&alone[..12]),
                "{said}"
            );
            assert!(page || why.to_string().ends_with(shown), "{why}");
        }
    }
    let line = format!("ERR no {SECRET} here");
    let packets = format!("001e# service=git-upload-pack\n0000{:04x}{line}", line.len() + 4);
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: {}\r\n\r\n{packets}",
        packets.len()
    );
    web.judge(move |_| Answer::Fixed(text.clone()));
    let why = remote.refs(&[], &task()).unwrap_err().to_string();
    assert!(why.ends_with("says: no *** here"), "{why}");
}

#[test]
fn statuses_become_words_and_times() {
    let root = tempfile::tempdir().unwrap();
    let web = Web::new(root.path());
    let remote = remote(&web, Some(Credential::bearer("TOKEN", SECRET).unwrap()));
    let table = [
        (
            "403 Forbidden\r\nContent-Type: text/plain",
            "Resource not accessible\nby token",
            "forbids this to the credential TOKEN (HTTP 403): Resource not accessible by token",
            None,
        ),
        (
            "404 Not Found\r\nContent-Type: text/html",
            "<h1>404</h1>",
            "is not there (HTTP 404), or the credential TOKEN may not see it",
            None,
        ),
        (
            "429 Too Many Requests\r\nRetry-After: 17",
            "slow down",
            "asks to wait 17 s (HTTP 429): slow down",
            Some(17),
        ),
        (
            "429 Too Many Requests\r\nDate: Fri, 14 Jul 2017 02:40:00 GMT\r\nRetry-After: Fri, 14 Jul 2017 02:41:30 GMT",
            "",
            "asks to wait 90 s (HTTP 429)",
            Some(90),
        ),
        (
            "403 Forbidden\r\nDate: Fri, 14 Jul 2017 02:40:00 GMT\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1500000060",
            "",
            "asks to wait 60 s (HTTP 403)",
            Some(60),
        ),
        (
            "429 Too Many Requests\r\nRetry-After: 99999999999999999",
            "",
            "asks to wait 86400 s (HTTP 429)",
            Some(86_400),
        ),
        (
            "403 Forbidden\r\nRetry-After: 5",
            "secondary rate limit",
            "asks to wait 5 s (HTTP 403): secondary rate limit",
            Some(5),
        ),
        (
            "503 Service Unavailable\r\nRetry-After: 3\r\nContent-Type: text/html",
            "<h1>unicorn</h1>",
            "answered HTTP 503",
            Some(3),
        ),
        ("500 Internal Server Error", "oops", "answered HTTP 500: oops", None),
        ("204 No Content", "", "answered HTTP 204", None),
    ];
    for (head, body, words, wait) in table {
        let text = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        web.judge(move |_| Answer::Fixed(text.clone()));
        let why = remote.find("refs/heads/main", &task()).unwrap_err();
        assert!(why.to_string().ends_with(words), "{why}");
        assert_eq!(why.retry_after(), wait.map(Duration::from_secs), "{why}");
        assert_eq!(why.is_temporary(), head.starts_with('5') || words.contains("wait"), "{why}");
    }
}

#[test]
fn redirects_are_followed_on_the_same_host_alone() {
    if !has_git("redirects_are_followed_on_the_same_host_alone") {
        return;
    }
    let repo = Repo::new();
    std::os::unix::fs::symlink(&repo.bare, repo.root.path().join("renamed.git")).unwrap();
    let web = Web::new(repo.root.path());
    let other = Web::new(repo.root.path());
    let credential = || Some(Credential::bearer("TOKEN", SECRET).unwrap());
    let redirect =
        |to: &str| format!("HTTP/1.1 301 Moved Permanently\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let suffix = "/info/refs?service=git-upload-pack";
    for to in [format!("{}/renamed.git{suffix}", web.url), format!("/renamed.git{suffix}")] {
        let text = redirect(&to);
        web.judge(
            move |request| {
                if request.line.contains("/m.git") { Answer::Fixed(text.clone()) } else { Answer::Git }
            },
        );
        let remote = remote(&web, credential());
        remote.fetch(&store(), &main_branch(Depth::Follow(1)), &task()).unwrap();
        web.take();
        remote.find("refs/heads/main", &task()).unwrap();
        assert_eq!(web.take(), ["POST /renamed.git/git-upload-pack HTTP/1.1"], "the new place is remembered");
    }
    let table = [
        (format!("{}/m.git{suffix}", other.url), "only the same host is followed"),
        (format!("https://evil.example/m.git{suffix}"), "only the same host is followed"),
        (
            format!("http://user:pw@{}/m.git{suffix}", web.url.trim_start_matches("http://")),
            "only the same host is followed",
        ),
        (format!("{}/login?return=m.git", web.url), "a page to sign in?"),
        (format!("{}/m.git{suffix}", web.url), "it does not end"),
    ];
    for (to, words) in table {
        let text = redirect(&to);
        web.judge(move |_| Answer::Fixed(text.clone()));
        let why = remote(&web, credential()).find("refs/heads/main", &task()).unwrap_err();
        assert!(matches!(why, Error::Redirect { .. }), "{why}");
        assert!(why.to_string().contains(words) && !why.to_string().contains("pw@"), "{why}");
    }
    assert_eq!(other.take(), Vec::<String>::new(), "nothing was sent to the other host");
}

#[test]
fn nobody_there_is_said_with_the_place() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/m.git", listener.local_addr().unwrap());
    drop(listener);
    let address = Address::parse(&url, false).unwrap();
    let remote = kiban_git::Remote::new(address, None, client(), MOST).unwrap();
    let why = remote.find("refs/heads/main", &task()).unwrap_err();
    assert!(why.to_string().starts_with(&format!("cannot reach {url}: ")) && why.is_temporary(), "{why}");
}

#[test]
fn a_connection_that_the_server_closed_is_made_again() {
    if !has_git("a_connection_that_the_server_closed_is_made_again") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let remote = remote(&web, None);
    for _ in 0..5 {
        // Answers whole, and closes behind it.
        web.judge(|_| Answer::Cut(usize::MAX));
        assert_eq!(remote.find("refs/heads/main", &task()).unwrap(), Some(repo.head()));
    }
}

#[test]
fn certificates_are_checked_against_the_authority_that_is_given() {
    let name = "certificates_are_checked_against_the_authority_that_is_given";
    if !has_git(name) {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (ours, other) = (Identity::new(), Identity::new());
    let port = tunnel(ours.server, web.url.trim_start_matches("http://").to_owned());
    let fetch = |host: &str, ca: Option<&str>| {
        let address = Address::parse(&format!("https://{host}:{port}/m.git"), false).unwrap();
        let client = std::sync::Arc::new(
            kiban_git::http::Client::new(runtime().clone(), ca.map(str::as_bytes)).unwrap(),
        );
        let remote = kiban_git::Remote::new(address, None, client, MOST).unwrap();
        remote.fetch(&store(), &main_branch(Depth::Follow(1)), &task()).map(|got| got.commit)
    };
    assert_eq!(fetch("localhost", Some(&ours.pem)).unwrap(), repo.head());
    assert_eq!(fetch("127.0.0.1", Some(&ours.pem)).unwrap(), repo.head());
    for ca in [None, Some(other.pem.as_str())] {
        let why = fetch("localhost", ca).unwrap_err().to_string();
        assert!(why.contains("invalid peer certificate"), "{why}");
    }
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"] {
        assert!(kiban_git::http::Client::new(runtime().clone(), Some(pem.as_bytes())).is_err(), "{pem}");
    }
}

/// A server's certificate, which is its own authority.
struct Identity {
    pem: String,
    server: std::sync::Arc<rustls::ServerConfig>,
}

impl Identity {
    fn new() -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let server =
            config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        Self { pem: made.cert.pem(), server: std::sync::Arc::new(server) }
    }
}

/// TLS in front of a plain server; the port.
fn tunnel(config: std::sync::Arc<rustls::ServerConfig>, to: String) -> u16 {
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, to) = (acceptor.clone(), to.clone());
                tokio::spawn(async move {
                    // A client that does not trust it ends the handshake.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut plain = tokio::net::TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
                });
            }
        });
        port
    })
}
