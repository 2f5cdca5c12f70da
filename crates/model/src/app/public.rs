//! `public`: where the outside reaches the app.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::PortRef;
use crate::short::{Never, Short, short_form};
use crate::text::{Host, UrlPath};

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
