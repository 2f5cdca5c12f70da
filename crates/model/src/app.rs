//! `App`: what a team states about its application, in one file of 10 to 25 lines.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{
    AppName, Duration, FilePath, GitUrl, ImageRepo, LabelValue, MetaKey, Name, PortName, VarName,
};

mod call;
mod config;
mod health;
mod job;
mod pod;
mod port;
mod public;
mod scale;
mod slo;

pub use call::{Call, CallTarget, ResourceKind};
pub use config::{EnvValue, File, SecretRef, SecretUse};
pub use health::{Check, Health, Probe};
pub use job::{Job, Run};
pub use pod::{Identity, Metrics, Shutdown, Writable};
pub use port::{Port, PortRef, Protocol};
pub use public::{Public, PublicRoute};
pub use scale::{MAX_REPLICAS, Resources, Scale, Size};
pub(crate) use slo::objective;
pub use slo::{LatencyObjective, Slo};

/// The version of all file formats of this crate.
pub const API_VERSION: &str = "kiban.dev/v1";

/// The only `apiVersion` there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[default]
    #[serde(rename = "kiban.dev/v1")]
    V1,
}

/// The `kind` of an app's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AppKind {
    /// An application.
    #[default]
    App,
}

/// An application: what its team states, nothing that can be derived.
///
/// An environment's file (`env/<env>.yaml`) has the same keys, all optional; maps merge key by key, lists and
/// scalars replace, `null` removes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct App {
    /// Version of the file's format.
    pub api_version: ApiVersion,
    /// Kind of the file.
    pub kind: AppKind,
    /// The app's name; its folder is called so, and its Service.
    pub name: AppName,
    /// The team that owns the app: labels, namespace, where alerts go.
    pub team: Name,
    /// How much the business depends on the app, 1 (most) to 4: decides priority, the least number of replicas
    /// and how disruptions are budgeted.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 4>")]
    #[schemars(range(min = 1, max = 4))]
    pub tier: u8,
    /// Image repository without tag; the environment's pin file says which image runs.
    pub image: ImageRepo,
    /// One sentence about what the app does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// URL of the git repository with the app's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<GitUrl>,
    /// Ports that the app listens on, by name. No ports: no Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<PortName, Port>,
    /// Where the outside reaches the app: a host, or a list of hosts and paths.
    #[serde(default, skip_serializing_if = "Public::is_empty")]
    pub public: Public,
    /// How the platform asks whether the app is ready and alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How many replicas run, and what moves their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// CPU, memory and disk of one replica: a size of the platform, or amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// What users can count on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// What the app calls: apps by name (`stock`, `team/stock`), databases and queues (`pg:orders-db`), hosts
    /// (`api.example.com:443`), blocks of addresses (`10.20.0.0/16`). Nothing else can be reached.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<CallTarget, Call>,
    /// Callers that no other app of this repository states: `team/app`, or a block of addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallTarget>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<VarName, EnvValue>,
    /// Configuration files, by their path in the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FilePath, File>,
    /// Secrets (`secrets/<env>/<name>.enc.yaml`), mounted as files at `/secrets/<name>` unless said otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
    /// Batch jobs of the same image, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<Name, Job>,
    /// What to run instead of the image's own command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// How a replica ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// Folders that the app may write to; the rest of its file system is read-only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pod::writable")]
    #[schemars(schema_with = "pod::writable::schema")]
    pub writable: BTreeMap<FilePath, Writable>,
    /// Where the app offers its own metrics; the port named `metrics` at `/metrics` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// The platform's identity (a cloud role, say) that the app acts as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Labels of all the app's objects, beside the platform's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<MetaKey, LabelValue>,
    /// Annotations of the app's pods, for add-ons that read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<MetaKey, String>,
    /// Fields of the rendered objects to set or (`null`) remove, by kind and path:
    /// `Deployment.spec.revisionHistoryLimit: 3`; for one object of several, `CronJob/cleanup.spec.…`. Each use
    /// is counted and shown in review.
    #[serde(default, rename = "override", skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Value>,
}

impl App {
    /// The port that requests go to when none is named: `http`, else the only one that is not for metrics.
    pub fn main_port(&self) -> Option<(&PortName, &Port)> {
        if let Some(found) = self.ports.get_key_value("http").or_else(|| self.ports.get_key_value("grpc")) {
            return Some(found);
        }
        let mut others = self.ports.iter().filter(|(name, _)| name.as_str() != "metrics");
        match (others.next(), others.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// The number of the port that `port` refers to, or of the main port without one.
    pub fn port_number(&self, port: Option<&PortRef>) -> Option<u16> {
        match port {
            Some(PortRef::Number(number)) => Some(*number),
            Some(PortRef::Name(name)) => self.ports.get(name).map(|p| p.port),
            None => self.main_port().map(|(_, p)| p.port),
        }
    }

    /// The declared port that `port` refers to, or the main port without one.
    pub fn find_port(&self, port: Option<&PortRef>) -> Option<(&PortName, &Port)> {
        match port {
            Some(PortRef::Number(number)) => self.ports.iter().find(|(_, p)| p.port == *number),
            Some(PortRef::Name(name)) => self.ports.get_key_value(name),
            None => self.main_port(),
        }
    }

    /// The port and path of the app's own metrics, if it has any.
    pub fn metrics_endpoint(&self) -> Option<(u16, &str)> {
        match &self.metrics {
            Some(m) => {
                Some((self.port_number(m.port.as_ref()).or_else(|| self.port_named("metrics"))?, &m.path))
            }
            None => Some((self.port_named("metrics")?, "/metrics")),
        }
    }

    fn port_named(&self, name: &str) -> Option<u16> {
        self.ports.get(name).map(|p| p.port)
    }
}

/// The default time within which a new replica must become healthy.
pub const DEFAULT_STARTUP: Duration = Duration::secs(60);
