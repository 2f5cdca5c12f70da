//! `health`: how the platform asks whether a replica is ready and alive.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::PortRef;
use crate::short::{Never, Short, short_form};
use crate::text::{Duration, UrlPath};

/// How the platform asks whether a replica is ready and alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Answers whether the replica can take requests now. A path, or `{ path, port }`, `{ tcp }`, `{ grpc }`,
    /// `{ exec }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Probe>,
    /// Answers whether the replica works at all; one that does not is restarted. It must not depend on what the
    /// app calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Probe>,
    /// The time within which a new replica must answer for the first time; 60s unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt_span::<_, 1000, { crate::range::DAY }>",
        skip_serializing_if = "Option::is_none"
    )]
    pub startup: Option<Duration>,
}

/// One question to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// What is asked.
    #[serde(flatten)]
    pub check: Check,
    /// Time between two questions; `None`: the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// Time within which it must answer; `None`: the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Failures in a row that count; `None`: the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Check {
    /// GET of a path, answered by 200 to 399.
    Http {
        /// The path.
        path: UrlPath,
        /// The port; `None`: the main port.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<PortRef>,
    },
    /// A TCP connection.
    Tcp {
        /// The port.
        tcp: PortRef,
    },
    /// gRPC's health protocol.
    Grpc {
        /// The port.
        grpc: PortRef,
        /// The service that is asked about.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// A command in the container, ended by 0.
    Exec {
        /// The command and its arguments.
        exec: Vec<String>,
    },
}

/// One question to a replica: exactly one of path, tcp, grpc and exec.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeLong {
    /// GET of this path, answered by 200 to 399.
    #[serde(default)]
    path: Option<UrlPath>,
    /// The path's port; the one called http unless said.
    #[serde(default)]
    port: Option<PortRef>,
    /// A TCP connection to this port.
    #[serde(default)]
    tcp: Option<PortRef>,
    /// gRPC's health protocol on this port.
    #[serde(default)]
    grpc: Option<PortRef>,
    /// The gRPC service that is asked about.
    #[serde(default)]
    service: Option<String>,
    /// A command in the container, ended by 0.
    #[serde(default)]
    exec: Option<Vec<String>>,
    /// Time between two questions, whole seconds.
    #[serde(default, deserialize_with = "whole_seconds")]
    every: Option<Duration>,
    /// Time within which it must answer, whole seconds.
    #[serde(default, deserialize_with = "whole_seconds")]
    timeout: Option<Duration>,
    /// Failures in a row that count.
    #[serde(default, deserialize_with = "crate::range::opt::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    failures: Option<u32>,
}

/// Kubernetes counts a probe's times in seconds.
fn whole_seconds<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    let value = Option::<Duration>::deserialize(d)?;
    match value {
        Some(v) if v > Duration::secs(3600) => {
            Err(serde::de::Error::custom(format!("{v} is out of range: 1s to 1h")))
        }
        Some(v) if v.as_millis() == 0 || v.as_millis() % 1000 != 0 => Err(serde::de::Error::custom(format!(
            "{v} must be whole seconds: Kubernetes counts a probe's times so"
        ))),
        _ => Ok(value),
    }
}

const PORT_OF_PATH: &str = "port belongs to path; tcp and grpc name their port themselves";
const SERVICE_OF_GRPC: &str = "service belongs to grpc";

fn check(long: &mut ProbeLong) -> Result<Check, String> {
    let forms = (long.path.take(), long.tcp.take(), long.grpc.take(), long.exec.take());
    if long.port.is_some() && forms.0.is_none() {
        return Err(PORT_OF_PATH.into());
    }
    if long.service.is_some() && forms.2.is_none() {
        return Err(SERVICE_OF_GRPC.into());
    }
    match forms {
        (Some(path), None, None, None) => Ok(Check::Http { path, port: long.port.take() }),
        (None, Some(tcp), None, None) => Ok(Check::Tcp { tcp }),
        (None, None, Some(grpc), None) => Ok(Check::Grpc { grpc, service: long.service.take() }),
        (None, None, None, Some(exec)) if exec.is_empty() => Err("exec needs a command".into()),
        (None, None, None, Some(exec)) => Ok(Check::Exec { exec }),
        _ => Err("give exactly one of path, tcp, grpc and exec".into()),
    }
}

impl Short for Probe {
    type Long = ProbeLong;
    type Item = Never;
    const EXPECTING: &'static str = "a path or a map with path, tcp, grpc or exec";

    fn lacks(long: &ProbeLong) -> Option<&'static str> {
        let has_form =
            long.path.is_some() || long.tcp.is_some() || long.grpc.is_some() || long.exec.is_some();
        match (has_form, long.port.is_some(), long.service.is_some()) {
            (true, ..) => None,
            (false, true, _) => Some(PORT_OF_PATH),
            (false, false, true) => Some(SERVICE_OF_GRPC),
            (false, false, false) => Some("give exactly one of path, tcp, grpc and exec"),
        }
    }
    fn from_long(mut long: ProbeLong) -> Result<Self, String> {
        let check = check(&mut long)?;
        Ok(Self { check, every: long.every, timeout: long.timeout, failures: long.failures })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let check = UrlPath::new(text).map(|path| Check::Http { path, port: None });
        Some(check.map(|check| Self { check, every: None, timeout: None, failures: None }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<UrlPath>()]
    }
}
short_form!(Probe);
