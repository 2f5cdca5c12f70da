//! A token realm: gives tokens that a real registry checks, for what is open to all and, with name and password, for
//! the rest.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kiban_base::clock::Clock as _;
use kiban_runtime::clock::SystemClock;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub struct Realm {
    /// `127.0.0.1:port`.
    pub host: String,
    /// What the registry trusts, PEM.
    pub certificate: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Signer {
    key: EcdsaKeyPair,
    chain: String,
}

impl Realm {
    pub async fn start(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["kiban-issuer".to_owned()]).unwrap();
        let certificate = folder.join("issuer.pem");
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        let der = made.signing_key.serialize_der();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new()).unwrap();
        let signer = Arc::new(Signer { key, chain: STANDARD.encode(made.cert.der()) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (signer, log) = (Arc::clone(&signer), Arc::clone(&log));
                tokio::spawn(async move { serve(stream, &signer, &log).await });
            }
        });
        Self { host, certificate, asked }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, signer: &Signer, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(target.clone());
    let query = target.split_once('?').map(|(_, q)| q).unwrap_or_default();
    let scope = query.split('&').find_map(|p| p.strip_prefix("scope=")).unwrap_or_default();
    let scope = scope.replace("%3A", ":").replace("%2F", "/");
    let name = scope.split(':').nth(1).unwrap_or_default().to_owned();
    let proof = head.lines().find_map(|l| l.strip_prefix("authorization: "));
    let known = proof == Some("Basic Y2k6aHVudGVyMg==");
    let (status, body) = if proof.is_some() && !known {
        (401, json!({"errors": [{"code": "UNAUTHORIZED", "message": "wrong name or password"}]}))
    } else {
        // As the specification has it: a token with less than was asked for, not an error.
        let actions: &[&str] = if known || !name.starts_with("secret/") { &["pull"] } else { &[] };
        (200, json!({"token": signer.token(&name, actions), "expires_in": 60}))
    };
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl Signer {
    /// distribution/distribution, `docs/spec/auth/jwt.md`.
    fn token(&self, name: &str, actions: &[&str]) -> String {
        let now = SystemClock.now().secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.chain]});
        let claims = json!({
            "iss": "kiban-issuer", "sub": "", "aud": "kiban-test", "jti": format!("{now}-{name}"),
            "iat": now, "nbf": now - 10, "exp": now + 60,
            "access": [{"type": "repository", "name": name, "actions": actions}],
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
