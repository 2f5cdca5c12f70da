//! `shutdown`, `writable`, `metrics` and `identity`: how a replica lives with its node and the platform.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::PortRef;
use crate::short::{Never, Short, short_form};
use crate::text::{Duration, FilePath, Name, Quantity, UrlPath};

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

    fn lacks(long: &WritableLong) -> Option<&'static str> {
        let unbounded = long.memory && long.size.is_none();
        unbounded.then_some("a folder in memory needs a size: it counts as the app's memory")
    }
    fn from_long(long: WritableLong) -> Result<Self, String> {
        if let Some(size) = &long.size {
            super::scale::whole_bytes(size)?;
        }
        Ok(Self { size: long.size, memory: long.memory })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let read = || Self::from_long(WritableLong { size: Some(Quantity::new(text)?), memory: false });
        Some(read())
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Quantity>()]
    }
}
short_form!(Writable);

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
