//! How requests travel: entry, services, mesh, access log, network policies.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::problem::did_you_mean;
use crate::short::{Never, Short, short_form};
use crate::text::{Cidr, Duration, LabelKey, LabelValue, ObjectName, Percent};

/// What brings requests from outside to apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Gateway API: an HTTPRoute for each app.
    #[default]
    Gateway,
    /// An Ingress for each app.
    Ingress,
    /// A port on every node; the load balancer lies outside the cluster's life.
    NodePort,
    /// Nothing that Kiban renders.
    None,
}

impl EntryKind {
    fn of(text: &str) -> Result<Self, String> {
        match text {
            "gateway" => Ok(Self::Gateway),
            "ingress" => Ok(Self::Ingress),
            "nodeport" => Ok(Self::NodePort),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is no entry; there are gateway, ingress, nodeport and none")),
        }
    }
}

/// The Gateway that HTTPRoutes attach to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayRef {
    /// Its name.
    pub name: ObjectName,
    /// Its namespace.
    pub namespace: ObjectName,
    /// The listener's name; all listeners whose host fits unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

impl Default for GatewayRef {
    fn default() -> Self {
        Self {
            name: ObjectName::from_static("public"),
            namespace: ObjectName::from_static("gateway-system"),
            listener: None,
        }
    }
}

/// Where the certificates of public hosts come from, for an Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The Secret with the certificate; `<app>-tls` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectName>,
    /// The cert-manager ClusterIssuer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<ObjectName>,
}

/// How requests from outside reach apps: `gateway`, `ingress`, `nodeport`, `none`, or a map with details.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What brings them.
    pub kind: EntryKind,
    /// The Gateway that HTTPRoutes attach to.
    pub gateway: GatewayRef,
    /// The IngressClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ObjectName>,
    /// Where an Ingress' certificates come from; `None`: TLS ends before the cluster or at the Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Annotations of the HTTPRoutes or Ingresses, for the controller that reads them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<LabelKey, String>,
}

/// How requests from outside reach apps.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct EntryLong {
    /// What brings them: a Gateway, an Ingress, a port on every node, or nothing that Kiban renders.
    kind: EntryKind,
    /// The Gateway that HTTPRoutes attach to; gateway-system/public unless said.
    gateway: Option<GatewayRef>,
    /// The IngressClass.
    class: Option<ObjectName>,
    /// Where an Ingress' certificates come from.
    tls: Option<Tls>,
    /// Annotations of the HTTPRoutes or Ingresses.
    annotations: BTreeMap<LabelKey, String>,
}

impl Short for Entry {
    type Long = EntryLong;
    type Item = Never;
    const EXPECTING: &'static str = "gateway, ingress, nodeport or none, or a map with kind";

    fn from_long(long: EntryLong) -> Result<Self, String> {
        Ok(Self {
            kind: long.kind,
            gateway: long.gateway.unwrap_or_default(),
            class: long.class,
            tls: long.tls,
            annotations: long.annotations,
        })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(EntryKind::of(text).map(|kind| Self { kind, ..Self::default() }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<EntryKind>()]
    }
}
short_form!(Entry);

/// The type of the apps' Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    ClusterIp,
    /// Also on a port of every node.
    NodePort,
}

/// Which mesh there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MeshKind {
    /// None.
    #[default]
    None,
    /// Istio.
    Istio,
}

/// The service mesh, and what it does unless an app says otherwise: `none`, `istio`, or a map with details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// Which mesh there is.
    pub kind: MeshKind,
    /// The longest time a call may take, its retries included.
    pub timeout: Duration,
    /// How often a failed call is tried again.
    pub retries: u32,
    /// What counts as worth another try, in Envoy's words.
    pub retry_on: String,
    /// Bounds of what one caller may have under way at one callee.
    pub pool: Pool,
    /// When a replica that answers badly is left out.
    pub outliers: Outliers,
    /// Namespace of the mesh's control plane.
    pub namespace: ObjectName,
}

/// The service mesh, and what it does unless an app says otherwise.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct MeshLong {
    /// Which mesh there is.
    kind: MeshKind,
    /// The longest time a call may take, its retries included.
    #[serde(deserialize_with = "crate::range::span::<_, 1, { crate::range::DAY }>")]
    timeout: Duration,
    /// How often a failed call is tried again.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 10>")]
    #[schemars(range(max = 10))]
    retries: u32,
    /// What counts as worth another try, in Envoy's words.
    #[serde(deserialize_with = "retry_on")]
    retry_on: String,
    /// Bounds of what one caller may have under way at one callee.
    pool: Pool,
    /// When a replica that answers badly is left out.
    outliers: Outliers,
    /// Namespace of the mesh's control plane.
    namespace: ObjectName,
}

/// Retried by default: what surely did not reach the app, or what the app says may be tried again.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,reset-before-request,503";

impl Default for Mesh {
    fn default() -> Self {
        Self {
            kind: MeshKind::None,
            timeout: Duration::secs(5),
            retries: 2,
            retry_on: RETRY_ON.to_owned(),
            pool: Pool::default(),
            outliers: Outliers::default(),
            namespace: ObjectName::from_static("istio-system"),
        }
    }
}

impl Default for MeshLong {
    fn default() -> Self {
        let Mesh { kind, timeout, retries, retry_on, pool, outliers, namespace } = Mesh::default();
        Self { kind, timeout, retries, retry_on, pool, outliers, namespace }
    }
}

impl Short for Mesh {
    type Long = MeshLong;
    type Item = Never;
    const EXPECTING: &'static str = "none or istio, or a map with kind";

    fn from_long(long: MeshLong) -> Result<Self, String> {
        let MeshLong { kind, timeout, retries, retry_on, pool, outliers, namespace } = long;
        Ok(Self { kind, timeout, retries, retry_on, pool, outliers, namespace })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let kind = match text {
            "none" => Ok(MeshKind::None),
            "istio" => Ok(MeshKind::Istio),
            _ => Err(format!("{text:?} is no mesh; there are none and istio")),
        };
        Some(kind.map(|kind| Self { kind, ..Self::default() }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<MeshKind>()]
    }
}
short_form!(Mesh);

/// Bounds of what one caller may have under way at one callee; the mesh's own are no bounds at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Pool {
    /// TCP connections.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 2_147_483_647>")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub connections: u32,
    /// Time to connect.
    #[serde(deserialize_with = "crate::range::span::<_, 1, { crate::range::HOUR }>")]
    pub connect_timeout: Duration,
    /// Requests that wait for a connection.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 2_147_483_647>")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub pending: u32,
    /// Requests under way.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 2_147_483_647>")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub requests: u32,
    /// Requests over one connection before it is closed; 0: no bound.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 2_147_483_647>")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub per_connection: u32,
    /// Retries under way.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 2_147_483_647>")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub retries: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            connections: 1024,
            connect_timeout: Duration::secs(1),
            pending: 256,
            requests: 1024,
            per_connection: 0,
            retries: 16,
        }
    }
}

/// When a replica that answers badly is left out for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Outliers {
    /// Server errors in a row.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 2_147_483_647>")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub errors: u32,
    /// Time between two looks.
    #[serde(deserialize_with = "crate::range::span::<_, 1, { crate::range::DAY }>")]
    pub interval: Duration,
    /// How long it is left out the first time.
    #[serde(deserialize_with = "crate::range::span::<_, 1, { crate::range::DAY }>")]
    pub ejection: Duration,
    /// The most replicas that are left out at once.
    #[serde(deserialize_with = "crate::range::part")]
    pub max_ejected: Percent,
    /// Below this share of healthy replicas nobody is left out.
    #[serde(deserialize_with = "crate::range::part")]
    pub min_healthy: Percent,
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            errors: 5,
            interval: Duration::secs(10),
            ejection: Duration::secs(30),
            max_ejected: Percent::whole(50),
            min_healthy: Percent::whole(50),
        }
    }
}

/// The one format of access logs: JSON with these fields, in each proxy's own words for their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// Whether access logs are written.
    #[serde(rename = "enabled")]
    pub on: bool,
    /// Field name to Envoy's format string.
    pub fields: BTreeMap<String, String>,
    /// Fields to leave out, such as those that identify people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// The share of requests that is logged; those that fail are logged always.
    pub sample: Percent,
}

/// What Envoy (and Istio, which adds statuses) retries on.
const RETRY_CONDITIONS: [&str; 16] = [
    "5xx",
    "cancelled",
    "connect-failure",
    "deadline-exceeded",
    "envoy-ratelimited",
    "gateway-error",
    "http3-post-connect-failure",
    "internal",
    "refused-stream",
    "reset",
    "reset-before-request",
    "resource-exhausted",
    "retriable-4xx",
    "retriable-headers",
    "retriable-status-codes",
    "unavailable",
];

/// A list of conditions and statuses, commas between them.
fn retry_on<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    for word in text.split(',').map(str::trim) {
        let is_status = word.len() == 3 && word.parse::<u16>().is_ok_and(|n| (100..600).contains(&n));
        if !is_status && !RETRY_CONDITIONS.contains(&word) {
            let hint = did_you_mean(word, RETRY_CONDITIONS);
            let known = RETRY_CONDITIONS.join(", ");
            return Err(serde::de::Error::custom(format!(
                "{word:?} is nothing to retry on{hint} (there are statuses and {known})"
            )));
        }
    }
    Ok(text)
}

/// Field name and Envoy's format string.
pub(crate) const ACCESS_LOG_FIELDS: [(&str, &str); 15] = [
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("duration_ms", "%DURATION%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("host", "%REQ(:AUTHORITY)%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("status", "%RESPONSE_CODE%"),
    ("time", "%START_TIME%"),
    ("trace", "%REQ(TRACEPARENT)%"),
    ("upstream", "%UPSTREAM_HOST%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
];

impl Default for AccessLog {
    fn default() -> Self {
        let fields = ACCESS_LOG_FIELDS.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { on: true, fields, drop: Vec::new(), sample: Percent::whole(100) }
    }
}

/// Pods of other namespaces, by labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Labels of the namespace.
    pub namespace: BTreeMap<LabelKey, LabelValue>,
    /// Labels of the pods; all pods of the namespace unless said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<LabelKey, LabelValue>,
}

impl Peer {
    /// All pods of the namespace called `name`.
    pub fn namespace(name: &'static str) -> Self {
        let key = LabelKey::from_static("kubernetes.io/metadata.name");
        Self { namespace: BTreeMap::from([(key, LabelValue::from_static(name))]), pods: BTreeMap::new() }
    }

    fn pods(mut self, key: &'static str, value: &'static str) -> Self {
        self.pods.insert(LabelKey::from_static(key), LabelValue::from_static(value));
        self
    }
}

/// Network policies, and whom they let through for the platform's own needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Network {
    /// Whether network policies are rendered.
    pub policies: bool,
    /// The cluster's name service, which every app may ask.
    pub dns: Vec<Peer>,
    /// Addresses of a name service on the node (a node-local cache), which every app may ask.
    pub node_dns: Vec<Cidr>,
    /// Where requests from outside come from: the gateways' or ingress controllers' pods.
    pub entry: Vec<Peer>,
    /// Who collects metrics.
    pub monitoring: Vec<Peer>,
    /// Addresses from which nodes and load balancers reach pods: needed with `nodeport`.
    pub nodes: Vec<Cidr>,
    /// Addresses that no app may call by a wide rule: the cloud's metadata service.
    pub forbidden: Vec<Cidr>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            policies: true,
            dns: vec![Peer::namespace("kube-system").pods("k8s-app", "kube-dns")],
            node_dns: vec![Cidr::from_static("169.254.20.10/32")],
            entry: vec![Peer::namespace("gateway-system")],
            monitoring: vec![Peer::namespace("kiban-system")],
            nodes: Vec::new(),
            forbidden: vec![Cidr::from_static("169.254.169.254/32")],
        }
    }
}
