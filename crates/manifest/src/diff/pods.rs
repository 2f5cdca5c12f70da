//! Pods of any kind of object: when they are replaced, what they may do on their node, what they ask for.

use std::collections::BTreeSet;

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::{FieldChange, Reason, Risk};
use crate::quantity;

/// More fields than this are not listed in a reason.
const MAX_ABOUT: usize = 8;

/// Fields of a bare Pod whose change restarts a container; the API takes no others that matter here.
const POD_RESTARTS: &str = "image";

/// The spec of the pods that an object makes, or is.
pub(super) fn spec<'a>(id: &ObjectId, object: &'a Value) -> Option<&'a Value> {
    let path = match (id.group.as_str(), id.kind.as_str()) {
        ("", "Pod") => "/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    object.pointer(path).filter(|spec| spec["containers"].is_array())
}

/// Whether pods are replaced when their template changes. Unknown kinds that hold a template of pods are taken
/// for workloads.
pub(super) fn is_replaced_with_template(id: &ObjectId, object: &Value) -> bool {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    match (id.group.as_str(), id.kind.as_str()) {
        ("apps", "Deployment") => object.pointer("/spec/paused") != Some(&Value::Bool(true)),
        ("apps", "StatefulSet" | "DaemonSet") => text("/spec/updateStrategy/type") != "OnDelete",
        // A ReplicaSet uses its template for new pods only; a Job's cannot change.
        ("" | "apps" | "batch", _) => false,
        _ => spec(id, object).is_some(),
    }
}

/// Why pods are replaced.
pub(super) fn restarts(id: &ObjectId, after: &Value, fields: &[FieldChange]) -> Option<Reason> {
    let about: Vec<String> = if id.kind == "Pod" && id.group.is_empty() {
        let images =
            fields.iter().filter(|f| f.path.starts_with(&["spec"]) && f.path.ends_with(&[POD_RESTARTS]));
        return Reason::of(Risk::RestartsPods, "restarts a container", images.map(|f| f.path.to_string()));
    } else if is_replaced_with_template(id, after) {
        let inside = fields.iter().filter(|f| f.path.starts_with(&["spec", "template"]));
        inside.map(|f| f.path.below(2).to_string()).collect()
    } else {
        return None;
    };
    let more = about.len().saturating_sub(MAX_ABOUT);
    let mut shown: Vec<String> = about.into_iter().take(MAX_ABOUT).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    Reason::of(Risk::RestartsPods, "replaces its pods", shown)
}

fn containers(spec: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let all = lists.into_iter().flat_map(move |list| spec[list].as_array().into_iter().flatten());
    all.filter_map(|container| Some((container["name"].as_str()?, container)))
}

fn container<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    containers(spec).find(|(other, _)| *other == name).map(|(_, container)| container)
}

/// What pods may reach, or be reached at, on their node, that they could not before.
pub(super) fn opened(before: &Value, after: &Value) -> Option<Reason> {
    let ways = |spec: &Value| {
        let mut ways = BTreeSet::new();
        if spec["hostNetwork"] == true {
            ways.insert("the node's network".to_owned());
        }
        for (_, container) in containers(spec) {
            for port in container["ports"].as_array().into_iter().flatten() {
                if let Some(number) = port["hostPort"].as_u64().filter(|n| *n > 0) {
                    ways.insert(format!("port {number} of its node"));
                }
            }
        }
        ways
    };
    let new: Vec<String> = ways(after).difference(&ways(before)).cloned().collect();
    Reason::of(Risk::OpensNetwork, "listens on", new)
}

/// What pods may do that they could not before; `before` is null for new ones.
pub(super) fn granted(before: &Value, after: &Value) -> Vec<Reason> {
    let new: Vec<String> = powers(after).difference(&powers(before)).cloned().collect();
    let mut reasons: Vec<Reason> =
        Reason::of(Risk::GrantsRights, "gives its pods", new).into_iter().collect();
    if before.is_null() {
        return reasons;
    }
    let mut lost = Vec::new();
    for (name, is) in containers(after) {
        if let Some(was) = container(before, name) {
            let now = limits(after, is);
            lost.extend(
                limits(before, was).into_iter().filter(|l| !now.contains(l)).map(|l| format!("{name}: {l}")),
            );
        }
    }
    reasons.extend(Reason::of(Risk::GrantsRights, "no longer limits its pods", lost));
    let account = |spec: &Value| {
        let named = spec["serviceAccountName"].as_str().or_else(|| spec["serviceAccount"].as_str());
        named.filter(|name| !name.is_empty()).unwrap_or("default").to_owned()
    };
    let (was, is) = (account(before), account(after));
    if was != is {
        let about = [format!("{was} -> {is}")];
        reasons.push(Reason::new(Risk::GrantsRights, "runs as another service account", about));
    }
    reasons
}

/// What goes beyond an ordinary pod.
fn powers(spec: &Value) -> BTreeSet<String> {
    let mut powers = BTreeSet::new();
    for (key, words) in [("hostPID", "the node's processes"), ("hostIPC", "the node's shared memory")] {
        if spec[key] == true {
            powers.insert(words.to_owned());
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            powers.insert(format!("the node's folder {path}"));
        }
    }
    if spec["securityContext"]["runAsUser"] == 0 {
        powers.insert("user 0".to_owned());
    }
    for (name, container) in containers(spec) {
        let context = &container["securityContext"];
        if context["privileged"] == true {
            powers.insert(format!("{name}: privileged"));
        }
        if context["runAsUser"] == 0 {
            powers.insert(format!("{name}: user 0"));
        }
        if context["procMount"] == "Unmasked" {
            powers.insert(format!("{name}: all of /proc"));
        }
        for capability in context["capabilities"]["add"].as_array().into_iter().flatten() {
            powers.insert(format!("{name}: capability {}", capability.as_str().unwrap_or("?")));
        }
    }
    powers
}

/// What holds a container back, its pod's settings included.
fn limits(spec: &Value, container: &Value) -> BTreeSet<String> {
    let mut limits = BTreeSet::new();
    let own = &container["securityContext"];
    let effective = |key: &str| own.get(key).or_else(|| spec["securityContext"].get(key));
    if own["allowPrivilegeEscalation"] == false {
        limits.insert("no more privileges than at its start".to_owned());
    }
    if own["readOnlyRootFilesystem"] == true {
        limits.insert("read-only file system".to_owned());
    }
    if effective("runAsNonRoot") == Some(&Value::Bool(true)) {
        limits.insert("no user 0".to_owned());
    }
    let confined = |key: &str| {
        effective(key).is_some_and(|p| matches!(p["type"].as_str(), Some("RuntimeDefault" | "Localhost")))
    };
    for (key, words) in [("seccompProfile", "system calls filtered"), ("appArmorProfile", "AppArmor")] {
        if confined(key) {
            limits.insert(words.to_owned());
        }
    }
    if spec["automountServiceAccountToken"] == false {
        limits.insert("no token of the API".to_owned());
    }
    for capability in own["capabilities"]["drop"].as_array().into_iter().flatten() {
        limits.insert(format!("without capability {}", capability.as_str().unwrap_or("?")));
    }
    limits
}

/// Less CPU, memory or other resources for a container that is there before and after.
pub(super) fn lowered(before: &Value, after: &Value) -> Option<Reason> {
    let mut about = less("", &before["resources"], &after["resources"]);
    for (name, is) in containers(after) {
        if let Some(was) = container(before, name) {
            about.extend(less(&format!("{name}: "), &was["resources"], &is["resources"]));
        }
    }
    Reason::of(Risk::DropsCapacity, "gives its pods less", about)
}

fn less(whose: &str, before: &Value, after: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for (section, word) in [("requests", "request"), ("limits", "limit")] {
        let empty = serde_json::Map::new();
        let of = |side: &Value| side[section].as_object().unwrap_or(&empty).clone();
        let (was, is) = (of(before), of(after));
        for key in was.keys().chain(is.keys().filter(|key| !was.contains_key(*key))) {
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            match (was.get(key), is.get(key)) {
                (Some(old), Some(new)) if quantity::is_less(new, old) == Some(true) => {
                    out.push(format!("{whose}{key} {word} {} -> {}", text(old), text(new)));
                }
                (Some(old), None) if section == "requests" => {
                    out.push(format!("{whose}{key} {word} {} -> none", text(old)));
                }
                (None, Some(new)) if section == "limits" => {
                    out.push(format!("{whose}{key} {word} none -> {}", text(new)));
                }
                _ => {}
            }
        }
    }
    out
}
