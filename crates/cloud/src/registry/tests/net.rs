//! A network in memory: hosts over TLS whose answers a test writes byte by byte, and images to serve.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use kiban_base::clock::{Clock, Timestamp};
use kiban_base::image::Reference;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::{Client, Connect, Options as ClientOptions, Roots, Stream};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::digest;
use super::super::{Keychain, Options, Registries, RegistryError, Resolved};

/// 2026-11-24T10:00:00Z.
pub const NOW: i64 = 1_795_514_400;

pub struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW)
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub host: String,
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// What follows the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Close,
    Endless,
    Silence,
}

pub type Reply = (Vec<u8>, After);
type Handler = Arc<dyn Fn(&Asked, usize) -> Reply + Send + Sync>;

/// A whole answer.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    (bytes, After::Close)
}

#[derive(Clone)]
pub struct Net {
    hosts: HashMap<String, Handler>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    acceptor: TlsAcceptor,
    pem: String,
}

const NAMES: [&str; 7] = [
    "r.example",
    "auth.r.example",
    "cdn.other",
    "evil.other",
    "auth.docker.io",
    "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "api.ecr.eu-central-1.amazonaws.com",
];

impl Net {
    pub fn new() -> Self {
        let names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self { hosts: HashMap::new(), asked: Arc::default(), acceptor, pem: made.cert.pem() }
    }

    /// A host. The handler is told how many requests with the same method and target came before.
    pub fn host(
        mut self,
        name: &str,
        handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.hosts.insert(name.to_owned(), Arc::new(handler));
        self
    }

    pub fn client(&self, trusted: bool) -> Client {
        let extra = if trusted { self.pem.clone().into_bytes() } else { other_authority() };
        let roots = Roots { system: false, extra };
        let options = ClientOptions { roots, ..ClientOptions::default() };
        Client::new(options, Arc::new(self.clone()), Arc::new(At)).unwrap()
    }

    pub fn registries(&self, keychain: Keychain) -> Registries {
        Registries::new(self.client(true), Arc::new(At), keychain, Options::default())
    }

    pub async fn resolve(&self, image: &str, platforms: &[&str]) -> Result<Resolved, RegistryError> {
        resolve(&self.registries(Keychain::new()), image, platforms).await
    }

    pub fn seen(&self, host: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|a| a.host == host).cloned().collect()
    }
}

pub async fn resolve(
    registries: &Registries,
    image: &str,
    platforms: &[&str],
) -> Result<Resolved, RegistryError> {
    let platforms: Vec<_> = platforms.iter().map(|p| p.parse().unwrap()).collect();
    registries.resolve(&Reference::parse(image).unwrap(), &platforms).await
}

fn other_authority() -> Vec<u8> {
    rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap().cert.pem().into_bytes()
}

impl Connect for Net {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let handler = self.hosts.get(host).cloned();
        let (net, host) = (self.clone(), host.to_owned());
        Box::pin(async move {
            let Some(handler) = handler else {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"));
            };
            let (ours, theirs) = duplex(64 << 10);
            tokio::spawn(async move {
                if port == 443 {
                    if let Ok(stream) = net.acceptor.clone().accept(theirs).await {
                        net.serve(host, handler, stream).await;
                    }
                } else {
                    net.serve(host, handler, theirs).await;
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

impl Net {
    async fn serve(self, host: String, handler: Handler, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(asked) = read(&host, &mut stream).await else { return };
        let before = {
            let mut all = self.asked.lock().unwrap();
            let same = |a: &&Asked| (&a.host, &a.method, &a.target) == (&host, &asked.method, &asked.target);
            let before = all.iter().filter(same).count();
            all.push(asked.clone());
            before
        };
        let (mut bytes, after) = handler(&asked, before);
        if asked.method == "HEAD"
            && let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n")
        {
            bytes.truncate(end + 4);
        }
        let _ = stream.write_all(&bytes).await;
        match after {
            After::Close => {}
            After::Endless => while stream.write_all(&[b' '; 4096]).await.is_ok() {},
            After::Silence => std::future::pending().await,
        }
        let _ = stream.shutdown().await;
    }
}

async fn read(host: &str, stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        if head == [0x16] {
            // A TLS handshake, where plain HTTP is spoken.
            return None;
        }
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let mut asked = Asked {
        host: host.to_owned(),
        method: first.next()?.to_owned(),
        target: first.next()?.to_owned(),
        ..Asked::default()
    };
    for (name, value) in lines.filter_map(|l| l.split_once(": ")) {
        asked.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length: usize = asked.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

/// A repository of images, by path below it.
#[derive(Clone, Default)]
pub struct Images(pub BTreeMap<String, (String, Vec<u8>)>);

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl Images {
    /// Adds a document; gives its descriptor.
    pub fn put(&mut self, kind: &str, folder: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let (digest, size) = (digest::sha256(&bytes), bytes.len());
        self.0.insert(format!("{folder}/{digest}"), (kind.to_owned(), bytes));
        json!({"mediaType": kind, "digest": digest, "size": size})
    }

    /// Adds an image for a platform; gives its descriptor.
    pub fn image(&mut self, platform: &str, labels: &Value) -> Value {
        let parts: Vec<&str> = platform.split('/').collect();
        let mut config = json!({"os": parts[0], "architecture": parts[1], "created": "2026-11-24T09:00:00Z", "config": {"Labels": labels}});
        let mut named = json!({"os": parts[0], "architecture": parts[1]});
        if let Some(variant) = parts.get(2) {
            config["variant"] = json!(variant);
            named["variant"] = json!(variant);
        }
        let config = self.put(CONFIG, "blobs", &config);
        let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1000});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut descriptor = self.put(MANIFEST, "manifests", &manifest);
        descriptor["platform"] = named;
        descriptor
    }

    pub fn index(&mut self, entries: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.put(INDEX, "manifests", &index)
    }

    pub fn tag(&mut self, tag: &str, descriptor: &Value) -> String {
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        let document = self.0[&format!("manifests/{digest}")].clone();
        self.0.insert(format!("manifests/{tag}"), document);
        digest
    }

    /// The answer for a path of `/v2/team/app/`.
    pub fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.target.strip_prefix("/v2/team/app/").unwrap_or_default();
        if path.starts_with("tags/list") {
            let tags: Vec<&str> = self
                .0
                .keys()
                .filter_map(|k| k.strip_prefix("manifests/"))
                .filter(|t| !t.contains(':'))
                .collect();
            return reply(200, &[], json!({"name": "team/app", "tags": tags}).to_string().as_bytes());
        }
        match self.0.get(path) {
            Some((kind, bytes)) => {
                let digest = digest::sha256(bytes);
                reply(200, &[("content-type", kind), ("docker-content-digest", &digest)], bytes)
            }
            None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        }
    }
}

/// An error as registries write it.
pub fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    reply(status, &[("content-type", "application/json")], body.as_bytes())
}

/// One image `1.0` for two platforms, with an attestation beside it, and `single` for one.
pub fn images() -> Images {
    let mut images = Images::default();
    let labels = |built: &str| {
        json!({
            "org.opencontainers.image.revision": "4f2a9c1e5b7d8f60a1b2c3d4e5f60718293a4b5c",
            "org.opencontainers.image.source": "https://git.example/team/app",
            "org.opencontainers.image.version": "1.0",
            "built": built,
        })
    };
    let amd = images.image("linux/amd64", &labels("amd64"));
    let arm = images.image("linux/arm64/v8", &labels("arm64"));
    let mut attestation = images.image("linux/amd64", &json!({"proof": "x"}));
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index = images.index(&[attestation, amd.clone(), arm]);
    images.tag("1.0", &index);
    images.tag("single", &amd);
    images
}
