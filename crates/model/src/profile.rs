//! `Platform`: what the platform's team decides for all apps, in `platform.yaml`.
//!
//! Every key has a default; a profile with nothing but environments is fit for production.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::{ApiVersion, CallTarget, Resources};
use crate::text::{Cidr, Host, LabelKey, LabelValue, Name, ObjectName};

mod environment;
mod network;
mod runtime;
mod tables;

pub use environment::{DeliveryMode, Deployer, Drift, Environment};
pub(crate) use network::ACCESS_LOG_FIELDS;
pub use network::{
    AccessLog, Entry, EntryKind, GatewayRef, Mesh, MeshKind, Network, Outliers, Peer, Pool, ServiceType, Tls,
};
pub use runtime::{
    CpuLimit, Jobs, Nodes, PodSecurity, Probes, PullPolicy, Registry, Rollout, Scaling, Security, Spread,
    TaintEffect, Toleration, WhenUnsatisfiable,
};
pub use tables::{Disruption, IntOrPercent, Tier, default_sizes, default_tiers};

/// The `kind` of a platform's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlatformKind {
    /// A platform's profile.
    #[default]
    Platform,
}

/// What the platform's team decides for all apps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Platform {
    /// Version of the file's format.
    pub api_version: ApiVersion,
    /// Kind of the file.
    pub kind: PlatformKind,
    /// The version of Kiban that writes `rendered/`; another one refuses to. Any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Pattern of the namespaces' names, with `{team}`, `{env}` and `{app}` in it.
    #[serde(default = "namespace_pattern")]
    pub namespace: String,
    /// The environments that apps run in, by name.
    pub environments: BTreeMap<Name, Environment>,
    /// What apps need not say: keys of an app's file, overridden by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::delta_ref")]
    pub defaults: Option<Value>,
    /// Sizes that apps may name. s, m, l and xl exist unless redefined.
    #[serde(default = "default_sizes", deserialize_with = "tables::sizes")]
    pub sizes: BTreeMap<Name, Resources>,
    /// What each tier means, 1 to 4.
    #[serde(default = "default_tiers", deserialize_with = "tables::tiers")]
    #[schemars(schema_with = "tables::tiers_schema")]
    pub tiers: BTreeMap<u8, Tier>,
    /// How much CPU a replica may use beyond its request.
    #[serde(default)]
    pub cpu_limit: CpuLimit,
    /// How requests from outside reach apps that are `public`.
    #[serde(default)]
    pub entry: Entry,
    /// The type of the apps' Services.
    #[serde(default)]
    pub service: ServiceType,
    /// The service mesh, and what it does unless an app says otherwise.
    #[serde(default)]
    pub mesh: Mesh,
    /// The one format of access logs.
    #[serde(default)]
    pub access_log: AccessLog,
    /// Network policies, and whom they let through for the platform's own needs.
    #[serde(default)]
    pub network: Network,
    /// How images are pulled.
    #[serde(default)]
    pub registry: Registry,
    /// Under which rights containers run.
    #[serde(default)]
    pub security: Security,
    /// How replicas are spread over zones and nodes.
    #[serde(default)]
    pub spread: Spread,
    /// On which nodes apps run.
    #[serde(default)]
    pub nodes: Nodes,
    /// How a new version takes the place of the old one, and how a replica ends.
    #[serde(default)]
    pub rollout: Rollout,
    /// How often and patiently probes ask.
    #[serde(default)]
    pub probes: Probes,
    /// How the autoscaler behaves.
    #[serde(default)]
    pub scaling: Scaling,
    /// What batch jobs need not say.
    #[serde(default)]
    pub jobs: Jobs,
    /// Where services outside the platform are, by the name that `calls` uses: `pg:orders-db`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub externals: BTreeMap<CallTarget, External>,
    /// Identities that apps may name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<Name, IdentitySpec>,
    /// Labels of all objects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Annotations of all objects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<LabelKey, String>,
    /// The service account as which a server writes apps' objects; none unless said: then Kiban's own
    /// rights decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployer: Option<Deployer>,
    /// Labels of all namespaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_labels: BTreeMap<LabelKey, LabelValue>,
}

/// The pattern of namespaces' names unless the profile says otherwise.
pub const NAMESPACE_PATTERN: &str = "{team}-{env}";

fn namespace_pattern() -> String {
    NAMESPACE_PATTERN.to_owned()
}

impl Platform {
    /// The name of the namespace in which an app of `team` runs in `env`.
    pub fn namespace(&self, team: &str, app: &str, env: &str) -> String {
        self.namespace.replace("{team}", team).replace("{env}", env).replace("{app}", app)
    }

    /// Where the target `target` of `calls` is, if the profile says so.
    pub fn external(&self, target: &CallTarget) -> Option<&External> {
        self.externals.get(target)
    }
}

/// Where a service outside the platform is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Its host name, for the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Its port; the usual one of its kind unless said.
    #[serde(
        default,
        deserialize_with = "crate::range::opt::<_, _, 1, 65535>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Its addresses; all unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<Cidr>,
}

/// An identity that apps may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IdentitySpec {
    /// Annotations of the app's service account: `eks.amazonaws.com/role-arn` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<LabelKey, String>,
    /// Labels of the app's pods: `azure.workload.identity/use` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<LabelKey, LabelValue>,
    /// Teams that may use it; all unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Name>,
}

/// A name of an object, with its namespace where it is in another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// The object's name.
    pub name: ObjectName,
    /// Its namespace; the app's own unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<ObjectName>,
}
