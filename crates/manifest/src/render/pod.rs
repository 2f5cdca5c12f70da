//! The pod template that Deployments and CronJobs share: rights, resources, image, settings.

use kiban_base::quantity::Quantity;
use kiban_model::app::{Resources, Run};
use kiban_model::profile::{CpuLimit, PullPolicy};
use serde_json::{Value, json};

use super::config::Config;
use super::{config, meta, probe};
use crate::facts::{DEFAULT_DISK, Facts};
use crate::node::Node;
use crate::rules;

/// What differs between the pods of an app.
pub(super) struct Pod<'a> {
    /// The workload that the pods belong to: their `app.kubernetes.io/instance`.
    pub(super) instance: &'a str,
    /// What the container runs instead of the image's own command, and the key that says so.
    pub(super) run: Option<(&'a Run, String)>,
    /// CPU, memory and disk, and the key that says so.
    pub(super) resources: (Resources, String),
    /// Further items of the container's `env`.
    pub(super) env: Vec<Node>,
    /// Ports and probes: the pods serve.
    pub(super) serves: bool,
}

/// A pod template without what only one of Deployment and CronJob has.
pub(super) fn template(f: &Facts<'_>, config: &Config, pod: Pod<'_>) -> Node {
    let (volumes, mounts) = config.volumes(f);
    let instance = pod.instance.to_owned();
    let container = container(f, config, pod, mounts);
    let mut spec = Node::map([
        ("containers", Node::List(vec![container])),
        ("serviceAccountName", Node::new(&rules::SERVICE_ACCOUNT, f.name())),
        ("automountServiceAccountToken", token(f)),
        ("enableServiceLinks", Node::new(&rules::NO_SERVICE_LINKS, false)),
        (
            "priorityClassName",
            Node::from(&rules::PRIORITY_NAME, f.origin("tier"), priority_class(f.r.app.tier)),
        ),
        ("dnsConfig", Node::new(&rules::NDOTS, json!({"options": [{"name": "ndots", "value": "2"}]}))),
        ("securityContext", pod_security(f)),
    ]);
    if !volumes.is_empty() {
        spec.put("volumes", Node::List(volumes));
    }
    let pull_secrets = &f.r.platform.registry.pull_secrets;
    if !pull_secrets.is_empty() {
        let names: Vec<Value> = pull_secrets.iter().map(|name| json!({"name": name.as_str()})).collect();
        let origin = f.profile_origin("registry.pullSecrets");
        spec.put("imagePullSecrets", Node::from(&rules::PULL_SECRET, origin, names));
    }
    placement(f, &mut spec);
    Node::map([("metadata", pod_metadata(f, &instance)), ("spec", spec)])
}

/// The name of a tier's priority class.
pub(super) fn priority_class(tier: u8) -> String {
    format!("kiban-tier-{tier}")
}

fn token(f: &Facts<'_>) -> Node {
    if f.r.app.identity.as_ref().is_some_and(|identity| identity.token) {
        Node::from(&rules::API_TOKEN, f.origin("identity.token"), true)
    } else {
        Node::new(&rules::NO_TOKEN, false)
    }
}

fn pod_metadata(f: &Facts<'_>, instance: &str) -> Node {
    let mut labels = meta::labels(f, instance);
    let role = f.r.app.identity.as_ref().and_then(|identity| identity.role.as_ref());
    if let Some(spec) = role.and_then(|role| f.r.platform.identities.get(role)) {
        for (key, value) in &spec.pod_labels {
            labels.put(key, Node::from(&rules::CLOUD_IDENTITY, f.origin("identity"), value.as_str()));
        }
    }
    let mut annotations = meta::platform_annotations(f).unwrap_or_else(Node::empty_map);
    annotations
        .put("kubectl.kubernetes.io/default-container", Node::new(&rules::DEFAULT_CONTAINER, f.name()));
    for (key, value) in &f.r.app.annotations {
        let origin = f.origin(&kiban_model::origin::child("annotations", key));
        annotations.put(key, Node::from(&rules::OWN_ANNOTATIONS, origin, value.as_str()));
    }
    Node::map([("labels", labels), ("annotations", annotations)])
}

fn pod_security(f: &Facts<'_>) -> Node {
    let security = &f.r.platform.security;
    let id = |key: &str, id: u32| Node::from(&rules::NON_ROOT, f.profile_origin(key), id);
    Node::map([
        ("runAsNonRoot", Node::new(&rules::NON_ROOT, true)),
        ("runAsUser", id("security.user", security.user)),
        ("runAsGroup", id("security.group", security.group)),
        ("fsGroup", Node::from(&rules::VOLUME_GROUP, f.profile_origin("security.group"), security.group)),
        ("fsGroupChangePolicy", Node::new(&rules::VOLUME_GROUP, "OnRootMismatch")),
        ("seccompProfile", Node::new(&rules::SECCOMP, json!({"type": "RuntimeDefault"}))),
    ])
}

fn container_security(f: &Facts<'_>) -> Node {
    let read_only = f.r.platform.security.read_only_root;
    let origin = f.profile_origin("security.readOnlyRoot");
    Node::map([
        ("allowPrivilegeEscalation", Node::new(&rules::NO_ESCALATION, false)),
        ("capabilities", Node::new(&rules::NO_CAPABILITIES, json!({"drop": ["ALL"]}))),
        ("privileged", Node::new(&rules::NO_ESCALATION, false)),
        ("readOnlyRootFilesystem", Node::from(&rules::READ_ONLY_ROOT, origin, read_only)),
    ])
}

fn container(f: &Facts<'_>, config: &Config, pod: Pod<'_>, mounts: Vec<Node>) -> Node {
    let mut container = Node::map([
        ("name", Node::new(&rules::CONTAINER_NAME, f.name())),
        ("image", image(f)),
        ("imagePullPolicy", pull_policy(f)),
        ("resources", resources(f, &pod.resources.0, &pod.resources.1)),
        ("securityContext", container_security(f)),
    ]);
    if let Some((run, path)) = &pod.run {
        let rule = if pod.serves { &rules::COMMAND } else { &rules::JOB_RUN };
        for (key, words) in [("command", &run.command), ("args", &run.args)] {
            if !words.is_empty() {
                container.put(key, Node::from(rule, f.origin(path), words.clone()));
            }
        }
    }
    // A job's own variable stands in the place of the app's.
    let name = |item: &Node| item.get("name").map(Node::value);
    let mut env = config::references(f);
    env.retain(|item| !pod.env.iter().any(|own| name(own) == name(item)));
    env.extend(pod.env);
    if !env.is_empty() {
        container.put("env", Node::List(env));
    }
    if let Some(sources) = config.env_from(f) {
        container.put("envFrom", sources);
    }
    if !mounts.is_empty() {
        container.put("volumeMounts", Node::List(mounts));
    }
    if pod.serves {
        probe::add(f, &mut container);
    }
    container
}

/// The pinned image. Without a pin (a law reports it where it matters) the repository's newest.
fn image(f: &Facts<'_>) -> Node {
    let repo = &f.r.app.image;
    match &f.r.image {
        Some(pinned) => {
            let origin = f.r.origins.get("pin").or_else(|| f.origin("image"));
            Node::from(&rules::IMAGE, origin, pinned.to_string())
        }
        None => Node::from(&rules::IMAGE, f.origin("image"), format!("{repo}:latest")),
    }
}

fn pull_policy(f: &Facts<'_>) -> Node {
    let policy = match f.r.platform.registry.pull_policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    };
    Node::from(&rules::PULL_ALWAYS, f.profile_origin("registry.pullPolicy"), policy)
}

fn resources(f: &Facts<'_>, resources: &Resources, path: &str) -> Node {
    let origin = f.origin(path);
    let amount = |rule, value: &str| Node::from(rule, origin, value);
    let disk = resources.ephemeral.as_ref().map_or(DEFAULT_DISK, |disk| disk.as_str());
    let mut requests = Node::map([
        ("memory", amount(&rules::MEMORY, &resources.memory)),
        ("ephemeral-storage", amount(&rules::DISK, disk)),
    ]);
    let mut limits = requests.clone();
    requests.put("cpu", amount(&rules::CPU, &resources.cpu));
    if let Some(limit) = cpu_limit(&resources.cpu, f.r.platform.cpu_limit) {
        let origin = f.profile_origin("cpuLimit").or(origin);
        limits.put("cpu", Node::from(&rules::CPU, origin, limit));
    }
    Node::map([("requests", requests), ("limits", limits)])
}

/// The CPU limit: the request times the platform's factor.
fn cpu_limit(request: &str, limit: CpuLimit) -> Option<String> {
    let CpuLimit::Times(times) = limit else { return None };
    let milli = Quantity::parse(request).ok()?.milli();
    Some(Quantity::from_milli(milli.saturating_mul(i64::from(times))).to_string())
}

/// On which nodes the pods may run.
fn placement(f: &Facts<'_>, spec: &mut Node) {
    let nodes = &f.r.platform.nodes;
    if !nodes.selector.is_empty() {
        let selector: serde_json::Map<String, Value> =
            nodes.selector.iter().map(|(k, v)| (k.to_string(), Value::from(v.as_str()))).collect();
        let origin = f.profile_origin("nodes.selector");
        spec.put("nodeSelector", Node::from(&rules::NODE_SELECTOR, origin, selector));
    }
    let tolerations: Vec<Value> = nodes.tolerations.iter().map(toleration).collect();
    if !tolerations.is_empty() {
        let origin = f.profile_origin("nodes.tolerations");
        spec.put("tolerations", Node::from(&rules::TOLERATIONS, origin, tolerations));
    }
}

fn toleration(toleration: &kiban_model::profile::Toleration) -> Value {
    let mut out = json!({"key": toleration.key.as_str()});
    let operator = if toleration.value.is_some() { "Equal" } else { "Exists" };
    if let Value::Object(map) = &mut out {
        map.insert("operator".to_owned(), operator.into());
        if let Some(value) = &toleration.value {
            map.insert("value".to_owned(), value.as_str().into());
        }
        if let Some(effect) = toleration.effect {
            map.insert("effect".to_owned(), serde_json::to_value(effect).unwrap_or(Value::Null));
        }
    }
    out
}
