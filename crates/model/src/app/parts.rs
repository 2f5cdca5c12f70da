//! The smaller sections of an `App`: ports, scale, size, objectives, files, secrets.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::short::{Never, Short, short_form};
use crate::text::{
    Duration, FilePath, Host, Name, Percent, PortName, Quantity, RelativePath, UrlPath, source_text,
};

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 in clear text.
    Http2,
    /// gRPC.
    Grpc,
    /// TLS that the app itself ends.
    Https,
    /// Any protocol over TCP.
    Tcp,
    /// Any protocol over UDP.
    Udp,
}

impl Protocol {
    /// What a port's name says about its protocol: `grpc…`, `http…` and `metrics` are known, the rest is TCP.
    pub fn of_name(name: &str) -> Self {
        let first = name.split('-').next().unwrap_or(name);
        match first {
            "grpc" => Self::Grpc,
            "http2" => Self::Http2,
            "https" => Self::Https,
            "http" | "metrics" | "web" | "admin" => Self::Http,
            "udp" | "dns" => Self::Udp,
            _ => Self::Tcp,
        }
    }

    /// Kubernetes' transport protocol.
    pub fn transport(self) -> &'static str {
        if self == Self::Udp { "UDP" } else { "TCP" }
    }

    /// The Service's `appProtocol`, where there is one.
    pub fn app_protocol(self) -> Option<&'static str> {
        match self {
            Self::Http => Some("http"),
            Self::Http2 => Some("kubernetes.io/h2c"),
            Self::Grpc => Some("grpc"),
            Self::Https => Some("https"),
            Self::Tcp => Some("tcp"),
            Self::Udp => None,
        }
    }

    /// Whether requests over it are HTTP, in clear text, of any version.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc)
    }
}

/// A port that the app listens on: its number, or `{ port, protocol, nodePort }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The number, 1 to 65535.
    pub port: u16,
    /// What it speaks; `None`: by its name ([`Protocol::of_name`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The port on each node, for a platform whose Services are of type NodePort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
}

impl Port {
    /// What the port named `name` speaks.
    pub fn protocol(&self, name: &str) -> Protocol {
        self.protocol.unwrap_or_else(|| Protocol::of_name(name))
    }
}

/// A port that the app listens on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "PortLong")]
pub(crate) struct PortLong {
    /// The number, 1 to 65535.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 65535>")]
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// What it speaks; by its name unless said.
    #[serde(default)]
    protocol: Option<Protocol>,
    /// The port on each node, 30000 to 32767, where the platform's Services are of type NodePort.
    #[serde(default, deserialize_with = "crate::range::opt::<_, _, 30000, 32767>")]
    #[schemars(range(min = 30000, max = 32767))]
    node_port: Option<u16>,
}

pub(crate) fn port_schema() -> Schema {
    json_schema!({"type": "integer", "minimum": 1, "maximum": 65535})
}

fn port_number(text: &str) -> Result<u16, String> {
    match text.parse::<u32>() {
        Ok(n @ 1..=65535) => u16::try_from(n).map_err(|e| e.to_string()),
        Ok(n) => Err(format!("{n} is out of range: 1 to 65535")),
        Err(_) => Err(format!("{text:?} is no port number")),
    }
}

impl Short for Port {
    type Long = PortLong;
    type Item = Never;
    const EXPECTING: &'static str = "a port number or a map with port and protocol";

    fn from_long(long: PortLong) -> Result<Self, String> {
        Ok(Self { port: long.port, protocol: long.protocol, node_port: long.node_port })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(port_number(text).map(|port| Self { port, protocol: None, node_port: None }))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![port_schema()]
    }
}
short_form!(Port);

/// A reference to a port: by name or by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By name.
    Name(PortName),
}

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Name(n) => write!(f, "{n}"),
        }
    }
}

impl<'de> Deserialize<'de> for PortRef {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = source_text(d)?;
        let number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let parsed =
            if number { port_number(&text).map(Self::Number) } else { PortName::new(&text).map(Self::Name) };
        parsed.map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PortRef {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PortRef".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [port_schema(), generator.subschema_for::<PortName>()]})
    }
}

/// One way in from outside: a host and the paths below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicRoute {
    /// The host name.
    pub host: Host,
    /// The prefix of the paths that are routed; `/` is all.
    pub path: UrlPath,
    /// The port that answers; `None`: the main port ([`crate::app::App::main_port`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortRef>,
}

/// One way in from outside.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicLong {
    /// The host name.
    host: Host,
    /// The prefix of the paths that are routed; all unless said.
    #[serde(default)]
    path: Option<UrlPath>,
    /// The port that answers; the one called http unless said.
    #[serde(default)]
    port: Option<PortRef>,
}

impl Short for PublicRoute {
    type Long = PublicLong;
    type Item = Never;
    const EXPECTING: &'static str = "a host name or a map with host and path";

    fn from_long(long: PublicLong) -> Result<Self, String> {
        let path = long.path.map_or_else(|| UrlPath::new("/"), Ok)?;
        Ok(Self { host: long.host, path, port: long.port })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let read = || Ok(Self { host: Host::new(text)?, path: UrlPath::new("/")?, port: None });
        Some(read())
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Host>()]
    }
}
short_form!(PublicRoute);

/// Where the outside reaches the app: a host, `{ host, path, port }`, or a list of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Public(pub Vec<PublicRoute>);

impl Public {
    /// Whether the app is reachable from inside only.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Short for Public {
    type Long = PublicLong;
    type Item = PublicRoute;
    const HAS_LIST: bool = true;
    const EXPECTING: &'static str = "a host name, a map with host and path, or a list of these";

    fn from_long(long: PublicLong) -> Result<Self, String> {
        Ok(Self(vec![PublicRoute::from_long(long)?]))
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        PublicRoute::from_text(text).map(|route| Ok(Self(vec![route?])))
    }
    fn from_list(items: Vec<PublicRoute>) -> Option<Result<Self, String>> {
        Some(Ok(Self(items)))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Host>()]
    }
}
short_form!(Public);

/// How many replicas run: a number, or `{ from, to, cpu, memory }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scale {
    /// The least number of replicas.
    pub from: u32,
    /// The greatest number of replicas; equal to `from`: the number is fixed.
    pub to: u32,
    /// The mean CPU use, as a share of what is requested, that the autoscaler aims at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// The mean memory use, as a share of what is requested, that the autoscaler aims at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Percent>,
}

/// The greatest number of replicas that is believed to be meant.
pub const MAX_REPLICAS: u32 = 5000;

/// How many replicas run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleLong {
    /// The least number of replicas.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 5000>")]
    #[schemars(range(min = 1, max = 5000))]
    from: u32,
    /// The greatest number of replicas.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 5000>")]
    #[schemars(range(min = 1, max = 5000))]
    to: u32,
    /// The mean CPU use, as a share of what is requested, that the autoscaler aims at.
    #[serde(default)]
    cpu: Option<Percent>,
    /// The mean memory use, as a share of what is requested, that the autoscaler aims at.
    #[serde(default)]
    memory: Option<Percent>,
}

fn replicas(n: u32) -> Result<u32, String> {
    if (1..=MAX_REPLICAS).contains(&n) {
        return Ok(n);
    }
    Err(format!("{n} is out of range: 1 to {MAX_REPLICAS}"))
}

impl Short for Scale {
    type Long = ScaleLong;
    type Item = Never;
    const EXPECTING: &'static str = "a number of replicas or a map with from and to";

    fn from_long(long: ScaleLong) -> Result<Self, String> {
        let (from, to) = (long.from, long.to);
        if from > to {
            return Err(format!("from {from} to {to}: from must not exceed to"));
        }
        for (key, share) in [("cpu", long.cpu), ("memory", long.memory)] {
            if share.is_some_and(|s| s.rounded() == 0) {
                return Err(format!("a target of less than 1% {key} is never reached"));
            }
        }
        Ok(Self { from, to, cpu: long.cpu, memory: long.memory })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let n = text.parse::<u32>().map_err(|_| format!("{text:?} is no number of replicas"));
        Some(n.and_then(replicas).map(|n| Self { from: n, to: n, cpu: None, memory: None }))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_REPLICAS})]
    }
}
short_form!(Scale);

/// CPU, memory and disk of one replica. Memory's request is its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU that is requested: `250m` is a quarter of a core.
    #[serde(deserialize_with = "amounts::cpu")]
    pub cpu: Quantity,
    /// Memory that is requested and the limit.
    #[serde(deserialize_with = "amounts::bytes")]
    pub memory: Quantity,
    /// Disk for logs, writable folders and the container's own layer; the platform's default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<Quantity>,
}

/// Amounts that are believed to be meant.
mod amounts {
    use serde::de::{Deserialize, Deserializer, Error};

    use super::{Percent, Quantity};

    /// More cores than a node has.
    const MAX_CORES: i64 = 512;
    /// Less memory than any process takes.
    const MIN_BYTES: i64 = 1 << 20;

    pub(super) fn cpu<'de, D: Deserializer<'de>>(d: D) -> Result<Quantity, D::Error> {
        let quantity = Quantity::deserialize(d)?;
        if quantity.amount().value() > MAX_CORES {
            let hint = if quantity.chars().all(|c| c.is_ascii_digit()) {
                format!("; did you mean \"{quantity}m\"?")
            } else {
                String::new()
            };
            return Err(D::Error::custom(format!("{quantity} is more CPU than a node has{hint}")));
        }
        Ok(quantity)
    }

    pub(super) fn bytes<'de, D: Deserializer<'de>>(d: D) -> Result<Quantity, D::Error> {
        let quantity = Quantity::deserialize(d)?;
        if quantity.amount().value() < MIN_BYTES {
            let number = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let message = format!("{quantity} is less than 1Mi of memory; did you mean \"{number}Mi\"?");
            return Err(D::Error::custom(message));
        }
        Ok(quantity)
    }

    pub(super) fn objective<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Percent>, D::Error> {
        let share = Option::<Percent>::deserialize(d)?;
        if let Some(share) = share.filter(|s| s.ppm() == 0 || s.ppm() >= 1_000_000) {
            return Err(D::Error::custom(format!("{share}: an objective lies between 0% and 100%")));
        }
        Ok(share)
    }
}

/// The size of one replica: a name of the platform's table, or amounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Size {
    /// A row of the platform's `sizes`.
    Named(Name),
    /// Amounts.
    Explicit(Resources),
}

impl Short for Size {
    type Long = Resources;
    type Item = Never;
    const EXPECTING: &'static str = "a size of the platform such as s, m, l, or a map with cpu and memory";

    fn from_long(long: Resources) -> Result<Self, String> {
        Ok(Self::Explicit(long))
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Name::new(text).map(Self::Named))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "string", "examples": ["s", "m", "l", "xl"]})]
    }
}
short_form!(Size);

/// What users can count on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// The share of requests that succeed: `99.9%`.
    #[serde(default, deserialize_with = "amounts::objective", skip_serializing_if = "Option::is_none")]
    pub availability: Option<Percent>,
    /// The share of requests that are answered in time: `95% < 300ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyObjective>,
    /// The span over which the objectives hold; 30 days unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

/// `95% < 300ms`: the share of requests that are answered within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyObjective {
    /// The share of requests.
    pub share: Percent,
    /// The time within which they are answered.
    pub within: Duration,
}

impl LatencyObjective {
    /// Parses `95% < 300ms`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let (share, within) = text
            .split_once('<')
            .ok_or_else(|| format!("{text:?} is no latency objective such as 95% < 300ms"))?;
        let share = Percent::new(share.trim())?;
        if share.ppm() == 0 || share.ppm() >= 1_000_000 {
            return Err(format!("{share}: an objective lies between 0% and 100%"));
        }
        Ok(Self { share, within: Duration::new(within.trim())? })
    }
}

impl std::fmt::Display for LatencyObjective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} < {}", self.share, self.within)
    }
}

impl Serialize for LatencyObjective {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LatencyObjective {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&source_text(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for LatencyObjective {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LatencyObjective".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{1,2}(\\.[0-9]{1,4})?% *< *([0-9]+(ms|s|m|h|d|w))+$",
            "description": "Share of requests and time: 95% < 300ms"
        })
    }
}

/// The value of an environment variable: a text, a key of a secret, or a field of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// The text itself, exactly as written.
    Text(String),
    /// A key of one of the app's secrets.
    Secret {
        /// The secret's name, one of `secrets`.
        secret: Name,
        /// The key in it.
        key: String,
    },
    /// A field of the pod, as Kubernetes' downward API names it.
    Field {
        /// `metadata.name`, `status.podIP` and the like.
        field: String,
    },
}

/// A key of a secret, or a field of the pod.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvLong {
    /// The secret's name, one of secrets.
    #[serde(default)]
    secret: Option<Name>,
    /// The key in the secret.
    #[serde(default)]
    key: Option<String>,
    /// A field of the pod: metadata.name, metadata.namespace, metadata.uid, spec.nodeName, spec.serviceAccountName,
    /// status.hostIP, status.podIP.
    #[serde(default)]
    field: Option<String>,
}

/// The fields that the downward API offers to environment variables.
const POD_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

impl Short for EnvValue {
    type Long = EnvLong;
    type Item = Never;
    const EXPECTING: &'static str = "a text or a map with secret and key, or field";

    fn from_long(long: EnvLong) -> Result<Self, String> {
        match (long.secret, long.key, long.field) {
            (Some(secret), Some(key), None) => Ok(Self::Secret { secret, key }),
            (None, None, Some(field)) if POD_FIELDS.contains(&field.as_str()) => Ok(Self::Field { field }),
            (None, None, Some(field)) => {
                Err(format!("{field:?} is no field of a pod; there are {}", POD_FIELDS.join(", ")))
            }
            _ => Err("give a text, or secret and key, or field".into()),
        }
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self::Text(text.to_owned())))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": ["string", "number", "boolean"]})]
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = EnvValue;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(EnvValue::EXPECTING)
            }
            fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, d: D) -> Result<EnvValue, D::Error> {
                d.deserialize_any(self)
            }
            fn visit_str<E>(self, v: &str) -> Result<EnvValue, E> {
                Ok(EnvValue::Text(v.to_owned()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
                crate::short::read(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        d.deserialize_newtype_struct(crate::text::SOURCE_TEXT, Visit)
    }
}

impl JsonSchema for EnvValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EnvValue".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        crate::short::schema::<Self>(generator)
    }
}

/// A configuration file: its text, or `{ from: path }` for a file of the app's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum File {
    /// The text itself.
    Text(String),
    /// A file below the app's folder.
    From {
        /// Its path below the app's folder.
        from: RelativePath,
    },
}

/// A file of the app's folder.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileLong {
    /// Path below the app's folder.
    from: RelativePath,
}

impl Short for File {
    type Long = FileLong;
    type Item = Never;
    const EXPECTING: &'static str = "the file's text or a map with from";

    fn from_long(long: FileLong) -> Result<Self, String> {
        Ok(Self::From { from: long.from })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self::Text(text.to_owned())))
    }
    fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({"type": "string"})]
    }
}
short_form!(File);

/// How a secret reaches the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretUse {
    /// Each key is a file, mounted read-only.
    #[default]
    Files,
    /// Each key is an environment variable.
    Env,
}

/// A secret that the app uses: its name, or `{ name, as, path }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretRef {
    /// The secret's name: `secrets/<env>/<name>.enc.yaml`.
    pub name: Name,
    /// How it reaches the app.
    #[serde(rename = "as")]
    pub used_as: SecretUse,
    /// Where its files are mounted; `None`: `/secrets/<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<FilePath>,
}

impl SecretRef {
    /// The folder in which the secret's files are mounted.
    pub fn mount_path(&self) -> String {
        self.path.as_ref().map_or_else(|| format!("/secrets/{}", self.name), ToString::to_string)
    }
}

/// A secret that the app uses.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretLong {
    /// The secret's name.
    name: Name,
    /// How it reaches the app: as files unless said.
    #[serde(default, rename = "as")]
    used_as: SecretUse,
    /// Where its files are mounted; /secrets/<name> unless said.
    #[serde(default)]
    path: Option<FilePath>,
}

impl Short for SecretRef {
    type Long = SecretLong;
    type Item = Never;
    const EXPECTING: &'static str = "a secret's name or a map with name and as";

    fn from_long(long: SecretLong) -> Result<Self, String> {
        if long.used_as == SecretUse::Env && long.path.is_some() {
            return Err("a secret that is used as env has no path".into());
        }
        Ok(Self { name: long.name, used_as: long.used_as, path: long.path })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Name::new(text).map(|name| Self { name, used_as: SecretUse::Files, path: None }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Name>()]
    }
}
short_form!(SecretRef);

/// How a replica ends: the drain's duration, or `{ drain, delay }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shutdown {
    /// The longest time that the app needs for the requests it holds, after it was told to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// The time between removal from the Service and the signal to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
}

/// How a replica ends.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShutdownLong {
    /// The longest time that the app needs for the requests it holds, after it was told to end.
    #[serde(default)]
    drain: Option<Duration>,
    /// The time between removal from the Service and the signal to end; the platform's unless said.
    #[serde(default)]
    delay: Option<Duration>,
}

impl Short for Shutdown {
    type Long = ShutdownLong;
    type Item = Never;
    const EXPECTING: &'static str = "a duration or a map with drain and delay";

    fn from_long(long: ShutdownLong) -> Result<Self, String> {
        for (key, value) in [("drain", long.drain), ("delay", long.delay)] {
            if value.is_some_and(|v| v > Duration::secs(3600)) {
                return Err(format!("a {key} of more than 1h blocks every rollout and every drained node"));
            }
        }
        Ok(Self { drain: long.drain, delay: long.delay })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let read = || Self::from_long(ShutdownLong { drain: Some(Duration::new(text)?), delay: None });
        Some(read())
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Duration>()]
    }
}
short_form!(Shutdown);

/// A folder that the app may write to: its size, or `{ size, memory }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Writable {
    /// The most it may hold; `None`: as much as the replica's ephemeral disk allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Whether it lies in memory (and counts as such).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub memory: bool,
}

/// A folder that the app may write to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WritableLong {
    /// The most it may hold.
    #[serde(default)]
    size: Option<Quantity>,
    /// Whether it lies in memory (and counts as such).
    #[serde(default)]
    memory: bool,
}

impl Short for Writable {
    type Long = WritableLong;
    type Item = Never;
    const EXPECTING: &'static str = "a quantity or a map with size and memory";

    fn from_long(long: WritableLong) -> Result<Self, String> {
        if long.memory && long.size.is_none() {
            return Err("a folder in memory needs a size: it counts as the app's memory".into());
        }
        Ok(Self { size: long.size, memory: long.memory })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Quantity::new(text).map(|size| Self { size: Some(size), memory: false }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Quantity>()]
    }
}
short_form!(Writable);

#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn no_writable(map: &BTreeMap<FilePath, Writable>) -> bool {
    map.is_empty()
}

/// `writable` is a list of folders, or a map from folder to size.
pub(crate) mod writable {
    use super::{
        BTreeMap, Deserialize, FilePath, JsonSchema, Schema, SchemaGenerator, Serialize, Short, Writable,
        short_form,
    };

    pub(crate) struct Folders(BTreeMap<FilePath, Writable>);

    impl Short for Folders {
        type Long = BTreeMap<FilePath, Writable>;
        type Item = FilePath;
        const HAS_LIST: bool = true;
        const EXPECTING: &'static str = "a list of folders or a map from folder to size";

        fn from_long(long: Self::Long) -> Result<Self, String> {
            Ok(Self(long))
        }
        fn from_list(items: Vec<FilePath>) -> Option<Result<Self, String>> {
            let mut map = BTreeMap::new();
            for path in items {
                if map.insert(path.clone(), Writable::default()).is_some() {
                    return Some(Err(format!("{path} is listed twice")));
                }
            }
            Some(Ok(Self(map)))
        }
        fn short_schemas(_: &mut SchemaGenerator) -> Vec<Schema> {
            Vec::new()
        }
    }
    short_form!(Folders);

    pub(crate) fn serialize<S: serde::Serializer>(
        map: &BTreeMap<FilePath, Writable>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        map.serialize(s)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        d: D,
    ) -> Result<BTreeMap<FilePath, Writable>, D::Error> {
        Folders::deserialize(d).map(|folders| folders.0)
    }

    pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
        Folders::json_schema(generator)
    }
}

/// Where the app offers its own metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The port; the one called metrics unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortRef>,
    /// The path; /metrics unless said.
    #[serde(default = "metrics_path")]
    #[schemars(extend("default" = "/metrics"))]
    pub path: UrlPath,
}

fn metrics_path() -> UrlPath {
    UrlPath::from_static("/metrics")
}

/// The identity that the app acts as: a name of the platform's `identities`, or `{ role, token }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// A row of the platform's `identities`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Name>,
    /// Whether the pod holds a token for Kubernetes' API.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub token: bool,
}

/// The identity that the app acts as.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityLong {
    /// A row of the platform's identities.
    #[serde(default)]
    role: Option<Name>,
    /// Whether the pod holds a token for Kubernetes' API; false unless said.
    #[serde(default)]
    token: bool,
}

impl Short for Identity {
    type Long = IdentityLong;
    type Item = Never;
    const EXPECTING: &'static str = "an identity of the platform or a map with role and token";

    fn from_long(long: IdentityLong) -> Result<Self, String> {
        Ok(Self { role: long.role, token: long.token })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Name::new(text).map(|role| Self { role: Some(role), token: false }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Name>()]
    }
}
short_form!(Identity);
