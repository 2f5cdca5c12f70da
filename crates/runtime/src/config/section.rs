//! The sections of `kiban.yaml` that belong to the process itself: `server` and `log`.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration as StdDuration;

use kiban_model::text::{Duration, source_text};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Complaint, Replaced};
use crate::log::Level;
use crate::route::{Class, Role};
use crate::secret::{Secret, SecretError};

/// An address with its port: `127.0.0.1:8480`, `[::]:0`; `localhost:8480` and `:8480` are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn new(text: &str) -> Result<Self, String> {
        let filled = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            // As Prometheus and Go's servers read it: on all addresses.
            None if text.starts_with(':') => format!("0.0.0.0{text}"),
            None => text.to_owned(),
        };
        let bad =
            || format!("{text:?} is no address with a port, such as 127.0.0.1:8480, [::1]:8480 or :8480");
        filled.parse().map(Self).map_err(|_| bad())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&source_text(d)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(localhost|[0-9.]*|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$"})
    }
}

/// A path of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct FilePath(String);

impl FilePath {
    /// The path `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::ops::Deref for FilePath {
    type Target = Path;
    fn deref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Where the server listens, who may call it, and where it keeps what it must not lose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ServerSection {
    /// The address of the one port that serves everything but webhooks.
    pub listen: Address,
    /// Names under which it may be called, besides addresses, localhost and names of services in the
    /// cluster; `*.` in front stands for any part. A request for another name is refused.
    pub hosts: Vec<String>,
    /// Its certificate; plain HTTP unless said.
    pub tls: Option<TlsSection>,
    /// Who may call it, by bearer tokens; anyone who reaches it unless said.
    pub tokens: Vec<TokenSection>,
    /// Classes of routes that are off unless asked for.
    pub enable: Vec<ClassName>,
    /// The port that the internet calls: signed webhooks and nothing else; none unless said.
    pub webhooks: Option<WebhookSection>,
    /// The folder in which it keeps its data; nothing is kept unless said.
    pub data: Option<FilePath>,
    /// Threads for work that takes long; as many as there are processors unless said.
    pub threads: Option<u16>,
    /// How long its components may take in all to put their work in order at the end.
    pub drain: Duration,
}

/// The address unless the configuration says another one.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8480);

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: Address(LISTEN.into()),
            hosts: Vec::new(),
            tls: None,
            tokens: Vec::new(),
            enable: Vec::new(),
            webhooks: None,
            data: None,
            threads: None,
            // Kubernetes gives a pod 30 seconds.
            drain: Duration::secs(25),
        }
    }
}

/// A certificate and its key in files, read again when they change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate, and those between it and the authority, PEM.
    pub certificate: FilePath,
    /// The certificate's key, PEM.
    pub key: FilePath,
}

/// A bearer token that a file holds, read again when that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// Whom it stands for, in logs.
    pub name: String,
    /// The file that holds it.
    pub file: FilePath,
    /// What its holder may do.
    pub roles: Vec<RoleName>,
}

/// The port for webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// Its address.
    pub listen: Address,
    /// Names under which it may be called; see the server's.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Its certificate.
    #[serde(default)]
    pub tls: Option<TlsSection>,
}

/// A class of routes that is off unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClassName {
    /// What takes data in: remote write, pushed logs.
    Ingest,
    /// What changes the server: reload, silences, snapshots.
    Admin,
}

impl From<ClassName> for Class {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Ingest => Self::Ingest,
            ClassName::Admin => Self::Admin,
        }
    }
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Look.
    Read,
    /// Bring data in.
    Ingest,
    /// Change what the server does; and look.
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Read => Self::Read,
            RoleName::Ingest => Self::Ingest,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl ServerSection {
    /// What values contradict each other.
    pub fn check(&self) -> Vec<Complaint> {
        let mut all = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            check_host(&format!("server.hosts.{index}"), host, &mut all);
        }
        check_tls("server.tls", self.tls.as_ref(), &mut all);
        for (index, token) in self.tokens.iter().enumerate() {
            let at = |key: &str| format!("server.tokens.{index}.{key}");
            if token.name.is_empty() || token.name.chars().any(char::is_control) {
                all.push(Complaint::new(&at("name"), "a token needs a name, for logs"));
            }
            if self.tokens.iter().take(index).any(|other| other.name == token.name) {
                let words = format!("another token is called {:?} already", token.name);
                all.push(Complaint::new(&at("name"), words));
            }
            if token.roles.is_empty() {
                all.push(Complaint::new(
                    &at("roles"),
                    "without a role a token opens nothing: read, ingest, admin",
                ));
            }
            check_path(&at("file"), &token.file, &mut all);
        }
        if let Some(webhooks) = &self.webhooks {
            for (index, host) in webhooks.hosts.iter().enumerate() {
                check_host(&format!("server.webhooks.hosts.{index}"), host, &mut all);
            }
            check_tls("server.webhooks.tls", webhooks.tls.as_ref(), &mut all);
            if webhooks.listen == self.listen && webhooks.listen.0.port() != 0 {
                let words = "is server.listen too; webhooks have a port of their own";
                all.push(Complaint::new("server.webhooks.listen", words));
            }
        }
        if let Some(data) = &self.data {
            check_path("server.data", data, &mut all);
        }
        if self.threads.is_some_and(|threads| threads == 0 || threads > 1024) {
            all.push(Complaint::new("server.threads", "1 to 1024 threads are possible"));
        }
        if self.drain.get() > StdDuration::from_secs(3_600) {
            all.push(Complaint::new("server.drain", format!("{} is longer than an hour", self.drain)));
        }
        all
    }

    /// What its values take the place of.
    pub const REPLACES: &'static [Replaced] = &[
        ("server.listen", "prometheus", "--web.listen-address"),
        ("server.listen", "alertmanager", "--web.listen-address"),
        ("server.listen", "kube-state-metrics", "--port"),
        ("server.hosts", "prometheus", "--web.external-url"),
        ("server.hosts", "alertmanager", "--web.external-url"),
        ("server.tls.certificate", "web.config.file", "tls_server_config.cert_file"),
        ("server.tls.key", "web.config.file", "tls_server_config.key_file"),
        ("server.tokens", "web.config.file", "basic_auth_users"),
        ("server.enable", "prometheus", "--web.enable-remote-write-receiver"),
        ("server.enable", "prometheus", "--web.enable-admin-api"),
        ("server.enable", "prometheus", "--web.enable-lifecycle"),
        ("server.data", "prometheus", "--storage.tsdb.path"),
        ("server.data", "alertmanager", "--storage.path"),
        ("server.webhooks.listen", "flux notification-controller", "--receiverAddr"),
        ("server.threads", "prometheus", "--query.max-concurrency"),
    ];
}

fn check_host(path: &str, host: &str, all: &mut Vec<Complaint>) {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let good = |part: &str| {
        (1..=63).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if name.len() > 253 || !name.split('.').all(good) {
        let words = format!("{host:?} is no host name; one has no scheme and no port: kiban.example.com");
        all.push(Complaint::new(path, words));
    }
}

fn check_tls(path: &str, tls: Option<&TlsSection>, all: &mut Vec<Complaint>) {
    if let Some(tls) = tls {
        check_path(&format!("{path}.certificate"), &tls.certificate, all);
        check_path(&format!("{path}.key"), &tls.key, all);
    }
}

fn check_path(path: &str, value: &Path, all: &mut Vec<Complaint>) {
    if value.as_os_str().is_empty() {
        all.push(Complaint::new(path, "an empty path names nothing"));
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// From which level on.
    pub level: LevelName,
    /// How lines look.
    pub format: LogFormat,
}

impl LogSection {
    /// What its values take the place of.
    pub const REPLACES: &'static [Replaced] = &[
        ("log.level", "prometheus", "--log.level"),
        ("log.format", "prometheus", "--log.format"),
        ("log.level", "flux", "--log-level"),
        ("log.format", "flux", "--log-encoding"),
        ("log.level", "argocd", "--loglevel"),
        ("log.format", "argocd", "--logformat"),
    ];
}

/// A level of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LevelName {
    /// Something failed that needs someone.
    Error,
    /// Something is odd.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Every step, those of libraries too.
    Trace,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Error => Self::Error,
            LevelName::Warn => Self::Warn,
            LevelName::Info => Self::Info,
            LevelName::Debug => Self::Debug,
            LevelName::Trace => Self::Trace,
        }
    }
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for a person at a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where a secret comes from: `{ file: PATH }` or `{ env: NAME }`. It never stands in the file itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretFrom {
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FilePath>,
    /// The environment variable that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<String>,
}

/// Where a secret comes from: `{ file: PATH }` or `{ env: NAME }`. It never stands in the file itself.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecretLong {
    /// The file that holds it.
    file: Option<FilePath>,
    /// The environment variable that holds it.
    env: Option<String>,
}

/// What is said of a secret that stands in the file: such a line is not shown.
pub(super) const NOT_HERE: &str =
    "a secret does not stand in a configuration; it comes from { file: PATH } or { env: NAME }";

impl<'de> Deserialize<'de> for SecretFrom {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Long;
        impl<'de> Visitor<'de> for Long {
            type Value = SecretFrom;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ file: PATH } or { env: NAME }")
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretFrom, E> {
                Err(E::custom(NOT_HERE))
            }
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<SecretFrom, E> {
                Err(E::custom(NOT_HERE))
            }
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<SecretFrom, E> {
                Err(E::custom(NOT_HERE))
            }
            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<SecretFrom, E> {
                Err(E::custom(NOT_HERE))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretFrom, A::Error> {
                let SecretLong { file, env } = SecretLong::deserialize(MapAccessDeserializer::new(map))?;
                let empty = file.as_ref().is_some_and(|f| f.as_os_str().is_empty())
                    || env.as_ref().is_some_and(String::is_empty);
                if empty || file.is_some() == env.is_some() {
                    let words = "a secret comes from one place: { file: PATH } or { env: NAME }";
                    return Err(A::Error::custom(words));
                }
                Ok(SecretFrom { file, env })
            }
        }
        d.deserialize_any(Long)
    }
}

impl JsonSchema for SecretFrom {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretFrom".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SecretLong::json_schema(generator)
    }
}

impl SecretFrom {
    /// A secret in a file.
    pub fn file(path: impl Into<String>) -> Self {
        Self { file: Some(FilePath::new(path)), env: None }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match (&self.file, &self.env) {
            (Some(path), _) => Secret::from_file(path),
            (None, name) => Secret::from_env(name.as_deref().unwrap_or_default()),
        }
    }
}
