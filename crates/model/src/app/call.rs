//! `calls`: what an app depends on, and how patiently.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::PortRef;
use crate::text::{AppName, Cidr, Duration, Host, Name};

/// How the app calls one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Call {
    /// The longest time a call may take, its retries included; the platform's unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt_span::<_, 1, { crate::range::DAY }>",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// How often a failed call is tried again; the platform's unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt::<_, _, 0, 10>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(max = 10))]
    pub retries: Option<u32>,
    /// The longest time one try may take; an equal part of the timeout unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt_span::<_, 1, { crate::range::DAY }>",
        skip_serializing_if = "Option::is_none"
    )]
    pub per_try: Option<Duration>,
    /// The target's port; an app's main port, or the usual one of a database, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortRef>,
}

/// A kind of service outside the platform, with its usual port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// PostgreSQL.
    Pg,
    /// MySQL.
    Mysql,
    /// Redis and its relatives.
    Redis,
    /// Memcached.
    Memcached,
    /// MongoDB.
    Mongo,
    /// Kafka.
    Kafka,
    /// AMQP: RabbitMQ and its relatives.
    Amqp,
    /// NATS.
    Nats,
    /// Elasticsearch and OpenSearch.
    Elastic,
    /// Cassandra's protocol.
    Cassandra,
    /// HTTPS.
    Https,
    /// HTTP.
    Http,
    /// SMTP with STARTTLS.
    Smtp,
}

/// Each kind's name and usual port.
const RESOURCE_KINDS: [(ResourceKind, &str, u16); 13] = [
    (ResourceKind::Pg, "pg", 5432),
    (ResourceKind::Mysql, "mysql", 3306),
    (ResourceKind::Redis, "redis", 6379),
    (ResourceKind::Memcached, "memcached", 11211),
    (ResourceKind::Mongo, "mongo", 27017),
    (ResourceKind::Kafka, "kafka", 9092),
    (ResourceKind::Amqp, "amqp", 5672),
    (ResourceKind::Nats, "nats", 4222),
    (ResourceKind::Elastic, "elastic", 9200),
    (ResourceKind::Cassandra, "cassandra", 9042),
    (ResourceKind::Https, "https", 443),
    (ResourceKind::Http, "http", 80),
    (ResourceKind::Smtp, "smtp", 587),
];

impl ResourceKind {
    fn parse(text: &str) -> Option<Self> {
        RESOURCE_KINDS.iter().find(|row| row.1 == text).map(|row| row.0)
    }

    fn row(self) -> (&'static str, u16) {
        RESOURCE_KINDS.iter().find(|row| row.0 == self).map_or(("", 0), |row| (row.1, row.2))
    }

    /// How files write it.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Its usual port.
    pub fn port(self) -> u16 {
        self.row().1
    }
}

/// What is called: the key of an entry of `calls`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallTarget {
    /// Another app: `stock`, or `team/stock` for one that this repository does not hold.
    App {
        /// The team, where it is written.
        team: Option<Name>,
        /// The app.
        app: AppName,
    },
    /// A database, queue or the like: `pg:orders-db`. The platform's `externals` may say where it is.
    Resource {
        /// What it is.
        kind: ResourceKind,
        /// Its name.
        name: Name,
    },
    /// A host outside: `api.example.com` (port 443), `api.example.com:8443`.
    Host {
        /// The host name.
        host: Host,
        /// The port.
        port: u16,
    },
    /// Addresses outside: `10.20.0.0/16`.
    Cidr(Cidr),
}

impl CallTarget {
    /// Reads a key of `calls`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Some((left, right)) = text.split_once('/') {
            if left.contains(['.', ':']) || right.chars().all(|c| c.is_ascii_digit()) {
                return Cidr::new(text).map(Self::Cidr);
            }
            return Ok(Self::App { team: Some(Name::new(left)?), app: AppName::new(right)? });
        }
        if let Some((left, right)) = text.split_once(':') {
            if !left.contains('.') {
                let kind = ResourceKind::parse(left).ok_or_else(|| {
                    let known: Vec<_> = RESOURCE_KINDS.iter().map(|row| row.1).collect();
                    format!("{left:?} is no kind of service; there are {}", known.join(", "))
                })?;
                return Ok(Self::Resource { kind, name: Name::new(right)? });
            }
            let port = right.parse::<u16>().ok().filter(|p| *p > 0);
            let port = port.ok_or_else(|| format!("{right:?} is no port number"))?;
            return Ok(Self::Host { host: Host::new(left)?, port });
        }
        if text.contains('.') {
            return Ok(Self::Host { host: Host::new(text)?, port: 443 });
        }
        Ok(Self::App { team: None, app: AppName::new(text)? })
    }
}

impl fmt::Display for CallTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App { team: Some(team), app } => write!(f, "{team}/{app}"),
            Self::App { team: None, app } => write!(f, "{app}"),
            Self::Resource { kind, name } => write!(f, "{}:{name}", kind.name()),
            Self::Host { host, port: 443 } => write!(f, "{host}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Cidr(cidr) => write!(f, "{cidr}"),
        }
    }
}

impl Serialize for CallTarget {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallTarget {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&crate::text::source_text(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for CallTarget {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CallTarget".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Za-z0-9*][A-Za-z0-9.:/_-]*$",
            "description": "An app (stock, team/stock), a service (pg:orders-db), a host (api.example.com:443) or addresses (10.20.0.0/16)"
        })
    }
}
