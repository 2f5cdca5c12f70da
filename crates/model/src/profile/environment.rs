//! One environment of a platform: where it is, how changes reach it, what differs in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{Duration, ObjectName, Uid};

/// How a change reaches an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMode {
    /// By a pull request that somebody reviews.
    #[default]
    Review,
    /// By a direct commit.
    Direct,
}

/// What happens when an object differs from what git says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    /// It is reported.
    #[default]
    Report,
    /// It is reported and put right.
    Correct,
    /// Nothing.
    Ignore,
}

/// One environment that apps run in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// The branch of the manifest repository that holds what runs here; the default branch unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// How a change gets in: by reviewed pull request, or directly.
    pub delivery: DeliveryMode,
    /// UID of the kube-system namespace of the cluster, so that nothing is applied to another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Uid>,
    /// Whether people depend on it: the tiers' least numbers of replicas and the laws of production hold.
    pub production: bool,
    /// How long a rollout is watched before it counts as good; 5m unless said.
    #[serde(deserialize_with = "crate::range::span::<_, 0, { 31 * crate::range::DAY }>")]
    pub watch: Duration,
    /// Whether a rollout that fails is taken back.
    pub rollback: bool,
    /// What happens when an object differs from what git says.
    pub drift: Drift,
    /// The keys of an app's file that `env/<env>.yaml` may set: `[scale, env, public]`; all but its identity
    /// unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// What apps need not say in this environment: keys of an app's file, overridden by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::delta_ref")]
    pub defaults: Option<Value>,
    /// What differs from the platform's profile in this environment: its keys but `environments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::profile_ref")]
    pub profile: Option<Value>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            branch: None,
            delivery: DeliveryMode::Review,
            cluster: None,
            production: true,
            watch: Duration::secs(300),
            rollback: true,
            drift: Drift::Report,
            allow: None,
            defaults: None,
            profile: None,
        }
    }
}

/// The service account as which a server writes an app's objects: in each namespace one, with rights in that
/// namespace alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deployer {
    /// Its name.
    pub account: ObjectName,
    /// The ClusterRoles that it has in its namespace.
    pub roles: Vec<ObjectName>,
}

impl Default for Deployer {
    fn default() -> Self {
        Self {
            account: ObjectName::from_static("kiban-deployer"),
            roles: vec![ObjectName::from_static("admin")],
        }
    }
}
