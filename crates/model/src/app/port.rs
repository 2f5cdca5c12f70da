//! `ports`: what the app listens on, and references to that.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::short::{Never, Short, short_form};
use crate::text::{PortName, source_text};

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
