//! What admission adds to pods: a service account and its token, a priority, tolerations of dead nodes.

use std::collections::BTreeMap;

use kiban_base::quantity::Quantity;
use serde_json::{Value, json};

use crate::validate::SYSTEM_PRIORITIES;
use crate::validate::at::{dig, field, list, text};

/// Where containers find the token of their service account.
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_VOLUME: &str = "kube-api-access-";
/// Tokens are renewed well before an hour is over; the seven seconds mark those that a server added.
const TOKEN_SECONDS: i64 = 3607;
const EVICTION_SECONDS: i64 = 300;
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why admission refuses a pod: 403 with this message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The service account is not there.
    #[error("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found")]
    NoServiceAccount {
        /// The pod's namespace.
        namespace: String,
        /// The account that it names.
        name: String,
    },
    /// The class is not there.
    #[error("no PriorityClass with name {0} was found")]
    NoPriorityClass(String),
    /// The pod states a priority other than its class's.
    #[error(
        "the integer value of priority ({stated}) must not be provided in pod spec; priority admission controller computed {class} from the given PriorityClass name"
    )]
    PriorityDiffers {
        /// What the pod states.
        stated: i64,
        /// What its class gives.
        class: i64,
    },
    /// The runtime class is not there.
    #[error("pod rejected: RuntimeClass {0:?} not found")]
    NoRuntimeClass(String),
    /// The pod states what it costs beside its containers, and its runtime class says otherwise.
    #[error("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")]
    OverheadDiffers,
    /// The pod states what it costs beside its containers, and no runtime class does.
    #[error("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")]
    OverheadWithoutClass,
    /// The pod and its runtime class ask for different nodes.
    #[error(
        "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {class}; pod.spec.nodeSelector[{key}] = {stated}"
    )]
    NodesDiffer {
        /// The label.
        key: String,
        /// What the class asks for.
        class: String,
        /// What the pod asks for.
        stated: String,
    },
}

/// A class of priorities, as much as pods need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityClass {
    /// Its name; empty for the priority of pods without class.
    pub name: String,
    /// Its priority.
    pub value: i64,
    /// `PreemptLowerPriority` or `Never`.
    pub preemption: String,
}

impl PriorityClass {
    /// Reads a stored PriorityClass.
    pub fn from_object(object: &Value) -> Self {
        let preemption = text(field(object, "preemptionPolicy"));
        Self {
            name: text(dig(object, "metadata.name")).to_string(),
            value: field(object, "value").as_i64().unwrap_or(0),
            preemption: if preemption.is_empty() { "PreemptLowerPriority" } else { preemption }.to_string(),
        }
    }
}

/// Gives a pod the service account that it names or `default`, and mounts a token for it into each
/// container unless the pod or the account says not to.
///
/// `account` finds an account by name in the pod's namespace, `suffix` gives the five letters that end
/// the token volume's name.
///
/// # Errors
/// The account does not exist.
pub fn service_account(
    pod: &mut Value,
    account: &dyn Fn(&str) -> Option<Value>,
    suffix: &mut dyn FnMut() -> String,
) -> Result<(), Refused> {
    if !dig(pod, "metadata.annotations").get(MIRROR).unwrap_or(&Value::Null).is_null() {
        return Ok(());
    }
    let namespace = text(dig(pod, "metadata.namespace")).to_string();
    let Some(spec) = pod.get_mut("spec") else { return Ok(()) };
    let named = text(field(spec, "serviceAccountName"));
    let name = if named.is_empty() { "default" } else { named }.to_string();
    if let Some(map) = spec.as_object_mut() {
        map.insert("serviceAccountName".to_string(), json!(name));
        map.insert("serviceAccount".to_string(), json!(name));
    }
    let Some(found) = account(&name) else { return Err(Refused::NoServiceAccount { namespace, name }) };
    let mounts = field(spec, "automountServiceAccountToken")
        .as_bool()
        .or(field(&found, "automountServiceAccountToken").as_bool())
        .unwrap_or(true);
    if mounts {
        mount_token(spec, suffix);
    }
    let secrets = field(&found, "imagePullSecrets");
    if let Some(map) = spec.as_object_mut()
        && list(map.get("imagePullSecrets").unwrap_or(&Value::Null)).is_empty()
        && !list(secrets).is_empty()
    {
        map.insert("imagePullSecrets".to_string(), secrets.clone());
    }
    Ok(())
}

fn mount_token(spec: &mut Value, suffix: &mut dyn FnMut() -> String) {
    let existing = list(field(spec, "volumes"))
        .iter()
        .map(|v| text(field(v, "name")))
        .find(|n| n.starts_with(TOKEN_VOLUME));
    let is_new = existing.is_none();
    let volume = existing.map_or_else(|| format!("{TOKEN_VOLUME}{}", suffix()), str::to_string);
    let mut mounted = false;
    for name in ["initContainers", "containers"] {
        for container in spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            let has = list(field(container, "volumeMounts"))
                .iter()
                .any(|m| text(field(m, "mountPath")) == TOKEN_PATH);
            if has {
                continue;
            }
            push(
                container,
                "volumeMounts",
                json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}),
            );
            mounted = true;
        }
    }
    if mounted && is_new {
        push(spec, "volumes", token_volume(&volume));
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                ]}},
            ],
        },
    })
}

fn push(object: &mut Value, name: &str, item: Value) {
    let Some(map) = object.as_object_mut() else { return };
    let slot = map.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!([]);
    }
    if let Some(items) = slot.as_array_mut() {
        items.push(item);
    }
}

/// Gives a pod the priority of the class that it names, or of the default class, or zero.
///
/// `class` finds a class by name; for `None` it gives the one that is the default of the cluster.
///
/// # Errors
/// The class does not exist, or the pod states another priority than its class has.
pub fn priority(
    pod: &mut Value,
    class: &dyn Fn(Option<&str>) -> Option<PriorityClass>,
) -> Result<(), Refused> {
    let Some(spec) = pod.get_mut("spec") else { return Ok(()) };
    let named = text(field(spec, "priorityClassName")).to_string();
    let none =
        PriorityClass { name: String::new(), value: 0, preemption: "PreemptLowerPriority".to_string() };
    let found = if named.is_empty() {
        class(None).unwrap_or(none)
    } else {
        let system = SYSTEM_PRIORITIES.iter().find(|(name, _)| *name == named);
        let known = class(Some(&named));
        match (known, system) {
            (Some(known), _) => known,
            (None, Some((name, value))) => PriorityClass { name: (*name).to_string(), value: *value, ..none },
            (None, None) => return Err(Refused::NoPriorityClass(named)),
        }
    };
    if let Some(stated) = field(spec, "priority").as_i64()
        && stated != found.value
    {
        return Err(Refused::PriorityDiffers { stated, class: found.value });
    }
    let Some(map) = spec.as_object_mut() else { return Ok(()) };
    if !found.name.is_empty() {
        map.insert("priorityClassName".to_string(), json!(found.name));
    }
    map.insert("priority".to_string(), json!(found.value));
    if map.get("preemptionPolicy").is_none_or(Value::is_null) {
        map.insert("preemptionPolicy".to_string(), json!(found.preemption));
    }
    Ok(())
}

/// Pods stay five minutes on a node that is not ready or cannot be reached, unless they say otherwise.
pub fn default_tolerations(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = list(field(spec, "tolerations")).iter().any(|toleration| {
            let (own, effect) = (text(field(toleration, "key")), text(field(toleration, "effect")));
            (own == key || own.is_empty()) && matches!(effect, "NoExecute" | "")
        });
        if !tolerated {
            let toleration = json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": EVICTION_SECONDS,
            });
            push(spec, "tolerations", toleration);
        }
    }
}

/// Gives a pod the overhead, the nodes and the tolerations of the runtime class that it names; `class` finds one.
///
/// # Errors
/// The class does not exist, or it and the pod contradict each other.
pub fn runtime_class(pod: &mut Value, class: &dyn Fn(&str) -> Option<Value>) -> Result<(), Refused> {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    let stated = spec.get("overhead").filter(|o| o.as_object().is_some_and(|o| !o.is_empty())).cloned();
    let Some(name) = spec.get("runtimeClassName").and_then(Value::as_str).map(str::to_owned) else {
        return if stated.is_some() { Err(Refused::OverheadWithoutClass) } else { Ok(()) };
    };
    let Some(found) = class(&name) else { return Err(Refused::NoRuntimeClass(name)) };
    let overhead = dig(&found, "overhead.podFixed");
    match stated {
        Some(_) if field(&found, "overhead").is_null() => return Err(Refused::OverheadWithoutClass),
        Some(stated) if !same_amounts(&stated, overhead) => return Err(Refused::OverheadDiffers),
        None if !overhead.is_null() => drop(spec.insert("overhead".to_owned(), overhead.clone())),
        _ => {}
    }
    let mut nodes = spec.get("nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in dig(&found, "scheduling.nodeSelector").as_object().into_iter().flatten() {
        if let Some(own) = nodes.insert(key.clone(), value.clone()).filter(|own| own != value) {
            let (class, stated) = (text(value).to_owned(), text(&own).to_owned());
            return Err(Refused::NodesDiffer { key: key.clone(), class, stated });
        }
    }
    if !nodes.is_empty() {
        spec.insert("nodeSelector".to_owned(), nodes.into());
    }
    for toleration in list(dig(&found, "scheduling.tolerations")) {
        let Some(spec) = pod.get_mut("spec") else { break };
        if !list(field(spec, "tolerations")).contains(toleration) {
            push(spec, "tolerations", toleration.clone());
        }
    }
    Ok(())
}

/// Whether two maps of amounts say the same, however they are written.
fn same_amounts(one: &Value, other: &Value) -> bool {
    let read = |map: &Value| -> BTreeMap<String, Option<Quantity>> {
        let entries = map.as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.clone(), Quantity::from_json(value).ok())).collect()
    };
    read(one) == read(other)
}
