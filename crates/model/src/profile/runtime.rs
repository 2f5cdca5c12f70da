//! How containers run: limits, rights, placement, rollout, probes, scaling, jobs.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::IntOrPercent;
use crate::text::{Duration, LabelKey, LabelValue, ObjectName, Percent, TimeZone, source_text};

/// How much CPU a replica may use: so many times its request, or without limit (`none`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuLimit {
    /// No limit: spare CPU of the node is used, and the throttling of bursts is avoided.
    None,
    /// The request times this.
    Times(u32),
}

impl Default for CpuLimit {
    /// Four times: a burst (a start, a garbage collection) passes, a runaway does not take the node.
    fn default() -> Self {
        Self::Times(4)
    }
}

impl Serialize for CpuLimit {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => s.serialize_str("none"),
            Self::Times(n) => s.collect_str(&format_args!("{n}x")),
        }
    }
}

impl<'de> Deserialize<'de> for CpuLimit {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = source_text(d)?;
        let times =
            text.strip_suffix('x').and_then(|n| n.parse::<u32>().ok()).filter(|n| (1..=100).contains(n));
        match (text.as_str(), times) {
            ("none", _) => Ok(Self::None),
            (_, Some(n)) => Ok(Self::Times(n)),
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} is no CPU limit: none, or 1x to 100x the request"
            ))),
        }
    }
}

impl JsonSchema for CpuLimit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CpuLimit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(none|[1-9][0-9]?x|100x)$",
            "description": "Times the request (4x), or none"
        })
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start; layers that are there are not pulled again, the right to pull is asked for each time.
    #[default]
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// How images are pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Registry {
    /// When an image is pulled.
    pub pull_policy: PullPolicy,
    /// Secrets with credentials, in the apps' namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<ObjectName>,
}

/// Under which rights containers run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Security {
    /// User id, 10000 or more so that it is nobody of the node.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 2_147_483_647>")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub user: u32,
    /// Group id, 10000 or more.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 2_147_483_647>")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub group: u32,
    /// Whether the container's own file system is read-only.
    pub read_only_root: bool,
    /// The Pod Security Standard that namespaces enforce.
    pub standard: PodSecurity,
}

/// A Pod Security Standard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// Everything is allowed.
    Privileged,
    /// Known ways to more rights are closed.
    Baseline,
    /// Best practice.
    #[default]
    Restricted,
}

impl PodSecurity {
    /// The value of the namespace's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self { user: 10_001, group: 10_001, read_only_root: true, standard: PodSecurity::Restricted }
    }
}

/// What happens to a pod for which a spread cannot be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// It is scheduled where the spread suffers least.
    #[default]
    ScheduleAnyway,
    /// It waits.
    DoNotSchedule,
}

impl WhenUnsatisfiable {
    /// Kubernetes' word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScheduleAnyway => "ScheduleAnyway",
            Self::DoNotSchedule => "DoNotSchedule",
        }
    }
}

/// How replicas are spread over zones and nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spread {
    /// Whether and how strictly they are spread over zones.
    pub zones: WhenUnsatisfiable,
    /// Whether and how strictly they are spread over nodes.
    pub hosts: WhenUnsatisfiable,
    /// The greatest difference between two zones.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub skew: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Self { zones: WhenUnsatisfiable::default(), hosts: WhenUnsatisfiable::default(), skew: 1 }
    }
}

/// A taint that pods bear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Toleration {
    /// The taint's key.
    pub key: LabelKey,
    /// The taint's value; any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// The taint's effect; any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New pods do not come.
    NoSchedule,
    /// New pods come if they must.
    PreferNoSchedule,
    /// Pods go.
    NoExecute,
}

/// On which nodes apps run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nodes {
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<LabelKey, LabelValue>,
    /// Taints that apps bear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// How a new version takes the place of the old one, and how a replica ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollout {
    /// New replicas that start at once; none ends before its successor is ready.
    #[serde(deserialize_with = "surge")]
    pub surge: IntOrPercent,
    /// Time without progress after which a rollout counts as failed.
    #[serde(deserialize_with = "crate::range::seconds::<_, 1000, { crate::range::DAY }>")]
    pub deadline: Duration,
    /// Old versions that are kept.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 1000>")]
    #[schemars(range(min = 0, max = 1000))]
    pub history: u32,
    /// Time that a new replica must stay ready before it counts.
    #[serde(deserialize_with = "crate::range::seconds::<_, 0, { crate::range::DAY }>")]
    pub settle: Duration,
    /// Time between a replica's removal from its Service and the signal to end: every node and proxy must have
    /// heard of it.
    #[serde(deserialize_with = "crate::range::span::<_, 0, { crate::range::HOUR }>")]
    pub delay: Duration,
    /// Time that a replica has for the requests it holds, unless its app says otherwise.
    #[serde(deserialize_with = "crate::range::span::<_, 0, { crate::range::HOUR }>")]
    pub drain: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            surge: IntOrPercent::Percent(25),
            deadline: Duration::secs(600),
            history: 5,
            settle: Duration::secs(5),
            delay: Duration::secs(10),
            drain: Duration::secs(30),
        }
    }
}

/// How often and patiently probes ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Probes {
    /// Time between two questions.
    #[serde(deserialize_with = "crate::range::seconds::<_, 1000, { crate::range::HOUR }>")]
    pub every: Duration,
    /// Time within which a replica must answer.
    #[serde(deserialize_with = "crate::range::seconds::<_, 1000, { crate::range::HOUR }>")]
    pub timeout: Duration,
    /// Failures in a row after which a replica is not ready.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub ready_failures: u32,
    /// Failures in a row after which a replica is restarted.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub live_failures: u32,
    /// The time within which a new replica must answer for the first time.
    #[serde(deserialize_with = "crate::range::span::<_, 1000, { crate::range::DAY }>")]
    pub startup: Duration,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            every: Duration::secs(10),
            timeout: Duration::secs(2),
            ready_failures: 3,
            live_failures: 6,
            startup: Duration::secs(60),
        }
    }
}

/// How the autoscaler behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scaling {
    /// The mean CPU use, as a share of what is requested, that it aims at unless an app says otherwise.
    #[serde(deserialize_with = "cpu_target")]
    pub cpu: Percent,
    /// In production an app that says nothing may grow to so many times its least number of replicas.
    #[serde(deserialize_with = "crate::range::int::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub headroom: u32,
    /// How long less load must last before replicas go.
    #[serde(deserialize_with = "crate::range::span::<_, 0, { crate::range::HOUR }>")]
    pub down: Duration,
    /// How long more load must last before replicas come.
    #[serde(deserialize_with = "crate::range::span::<_, 0, { crate::range::HOUR }>")]
    pub up: Duration,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { cpu: Percent::whole(70), headroom: 3, down: Duration::secs(300), up: Duration::secs(0) }
    }
}

/// What batch jobs need not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// The time zone of schedules.
    pub timezone: TimeZone,
    /// How late a run may still start.
    #[serde(deserialize_with = "crate::range::span::<_, 1000, { 31 * crate::range::DAY }>")]
    pub deadline: Duration,
    /// How long a run may take, its retries included.
    #[serde(deserialize_with = "crate::range::span::<_, 1000, { 31 * crate::range::DAY }>")]
    pub timeout: Duration,
    /// How often a failed run is tried again.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 20>")]
    #[schemars(range(min = 0, max = 20))]
    pub retries: u32,
    /// How long a finished run is kept.
    #[serde(deserialize_with = "crate::range::span::<_, 0, { 366 * crate::range::DAY }>")]
    pub ttl: Duration,
    /// Good runs that are kept.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 100>")]
    #[schemars(range(min = 0, max = 100))]
    pub succeeded: u32,
    /// Failed runs that are kept.
    #[serde(deserialize_with = "crate::range::int::<_, _, 0, 100>")]
    #[schemars(range(min = 0, max = 100))]
    pub failed: u32,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            timezone: TimeZone::from_static("Etc/UTC"),
            deadline: Duration::secs(600),
            timeout: Duration::secs(3600),
            retries: 2,
            ttl: Duration::secs(86_400),
            succeeded: 3,
            failed: 3,
        }
    }
}

/// More than nothing: without a surge, and with no pod to miss, nothing could be rolled out.
fn surge<'de, D: serde::Deserializer<'de>>(d: D) -> Result<IntOrPercent, D::Error> {
    let surge = IntOrPercent::deserialize(d)?;
    match surge {
        IntOrPercent::Int(0) | IntOrPercent::Percent(0) => Err(serde::de::Error::custom(format!(
            "a surge of {surge} rolls out nothing: no pod may be missing meanwhile"
        ))),
        IntOrPercent::Int(n) if n > 5000 => {
            Err(serde::de::Error::custom(format!("{n} is out of range: 1 to 5000")))
        }
        _ => Ok(surge),
    }
}

fn cpu_target<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Percent, D::Error> {
    let share = Percent::deserialize(d)?;
    if share.rounded() == 0 {
        return Err(serde::de::Error::custom("a target of less than 1% cpu is never reached"));
    }
    Ok(share)
}
