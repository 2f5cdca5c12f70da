//! Checks of what may change in a pod, and of the status that its kubelet reports.

use std::collections::BTreeSet;

use kiban_base::names;
use serde_json::{Map, Value, json};

use super::at::{At, dig, field, list, text};
use super::cause::Causes;
use super::pod::{APP_ARMOR, MIRROR, metadata_and_spec};
use super::same::same;
use super::{meta, net, rule, scheduling};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                         `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A pod in an old one's place: little of its spec may change.
pub(crate) fn update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    metadata_and_spec(at, out);
    annotation_changes(old, at, out);
    let (pod, before) = (at.get("spec"), field(old, "spec"));
    for name in ["containers", "initContainers"] {
        let containers = pod.get(name);
        if containers.len() != list(field(before, name)).len() {
            return out.forbidden(containers, "pod updates may not add or remove containers");
        }
    }
    if !deadline(field(before, "activeDeadlineSeconds"), &pod.get("activeDeadlineSeconds"), out) {
        return;
    }
    scheduling::only_added_tolerations(field(before, "tolerations"), &pod.get("tolerations"), out);
    scheduling::only_deleted_gates(field(before, "schedulingGates"), &pod.get("schedulingGates"), out);
    let mut munged = pod.value.clone();
    if let Some(map) = munged.as_object_mut() {
        restore_updatable(map, before);
        if !list(field(before, "schedulingGates")).is_empty() {
            gated(map, before, &pod, out);
        }
    }
    if !same(&munged, before) {
        let changes = changes(before, &munged);
        out.forbidden(pod, &format!("{UPDATABLE}\n{changes}"));
    }
}

/// Annotations that say what a pod is stay with it.
pub(crate) fn annotation_changes(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let meta = at.get("metadata");
    let (now, before) = (meta.get("annotations"), dig(old, "metadata.annotations"));
    let words = |key: &str| {
        if key.starts_with(APP_ARMOR) {
            Some("AppArmor annotations")
        } else {
            (key == MIRROR).then_some("mirror pod annotation")
        }
    };
    for (key, value) in super::at::entries(before) {
        if let Some(words) = words(key)
            && field(now.value, key) != value
        {
            out.forbidden(now.path.key(key), &format!("may not remove or update {words}"));
        }
    }
    for (key, place) in now.entries() {
        if let Some(words) = words(key)
            && field(before, key).is_null()
        {
            out.forbidden(place, &format!("may not add {words}"));
        }
    }
}

/// False where nothing more needs to be checked.
fn deadline(before: &Value, at: &At<'_, '_>, out: &mut Causes) -> bool {
    match (before.as_i64(), at.int()) {
        (_, Some(now)) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            out.invalid(at, now, &rule::range_error(0, i64::from(i32::MAX)));
            false
        }
        (Some(before), Some(now)) if before < now => {
            out.invalid(at, now, "must be less than or equal to previous value");
            false
        }
        (Some(_), None) => {
            out.invalid(at, at, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

/// Puts the old values of what may change into a copy of the new spec.
fn restore_updatable(map: &mut Map<String, Value>, before: &Value) {
    for name in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = map.get_mut(name) else { continue };
        for (container, old) in containers.iter_mut().zip(list(field(before, name))) {
            if let Some(container) = container.as_object_mut() {
                container.insert("image".to_string(), field(old, "image").clone());
            }
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        map.insert(name.to_string(), field(before, name).clone());
    }
    let grace = |value: &Value| value.as_i64();
    if grace(field(before, "terminationGracePeriodSeconds")).is_some_and(|g| g < 0)
        && map.get("terminationGracePeriodSeconds").and_then(grace) == Some(1)
    {
        map.insert(
            "terminationGracePeriodSeconds".to_string(),
            field(before, "terminationGracePeriodSeconds").clone(),
        );
    }
}

/// A pod that is held back may still narrow where it can go.
fn gated(map: &mut Map<String, Value>, before: &Value, pod: &At<'_, '_>, out: &mut Causes) {
    let old_selector = field(before, "nodeSelector");
    let selector = pod.get("nodeSelector");
    if super::at::entries(old_selector).any(|(key, value)| field(selector.value, key) != value) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        out.invalid(selector, &selector, detail);
    }
    map.insert("nodeSelector".to_string(), old_selector.clone());
    const TERMS: &str = "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let affinity = pod.get("affinity");
    let old_terms = list(dig(before, &format!("affinity.{TERMS}")));
    let terms = At { value: dig(affinity.value, TERMS), path: affinity.path.child(TERMS) };
    if !old_terms.is_empty() && old_terms.len() != terms.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        out.invalid(terms, &terms, detail);
    } else {
        for (old, term) in old_terms.iter().zip(terms.items()) {
            if !only_additions(old, term.value) {
                out.invalid(term, &term, "only additions are allowed (no mutations or deletions)");
            }
        }
    }
    let old_affinity = field(field(before, "affinity"), "nodeAffinity").clone();
    match map.get_mut("affinity") {
        Some(Value::Object(affinity)) => {
            affinity.insert("nodeAffinity".to_string(), old_affinity);
        }
        _ => {
            map.insert("affinity".to_string(), json!({ "nodeAffinity": old_affinity }));
        }
    }
}

fn only_additions(old: &Value, new: &Value) -> bool {
    let lists =
        ["matchExpressions", "matchFields"].map(|name| (list(field(old, name)), list(field(new, name))));
    let was_empty = lists.iter().all(|(old, _)| old.is_empty());
    let is_empty = lists.iter().all(|(_, new)| new.is_empty());
    (!was_empty || is_empty)
        && lists
            .iter()
            .all(|(old, new)| new.len() >= old.len() && old.iter().zip(*new).all(|(o, n)| same(o, n)))
}

/// The fields in which two specs differ, one a line: `  containers[0].command: ["a"] -> ["b"]`.
pub(crate) fn changes(old: &Value, new: &Value) -> String {
    let mut lines = Vec::new();
    diff(old, new, &super::at::Path::ROOT, 0, &mut lines);
    lines.join("\n")
}

const DIFF_DEPTH: usize = 24;

fn diff(old: &Value, new: &Value, path: &super::at::Path<'_>, depth: usize, lines: &mut Vec<String>) {
    if same(old, new) {
        return;
    }
    match (old, new) {
        (Value::Object(left), Value::Object(right)) if depth < DIFF_DEPTH => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                diff(field(old, key), field(new, key), &path.child(key), depth + 1, lines);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() && depth < DIFF_DEPTH => {
            for (index, (l, r)) in left.iter().zip(right).enumerate() {
                diff(l, r, &path.index(index), depth + 1, lines);
            }
        }
        _ => lines.push(format!("  {path}: {old} -> {new}")),
    }
}

/// The status that a kubelet or a scheduler writes.
pub(crate) fn status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    annotation_changes(old, at, out);
    let (now, before) = (at.get("status"), field(old, "status"));
    for condition in now.get("conditions").items() {
        let kind = condition.get("type").str();
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            out.invalid_each(condition.path.child("Type"), kind, names::check_qualified_name(kind));
        }
    }
    if dig(at.value, "spec.nodeName") != dig(old, "spec.nodeName") {
        out.forbidden(now.path.child("nodeName"), "may not be changed directly");
    }
    let nominated = now.get("nominatedNodeName");
    if !nominated.is_empty() && nominated.value != field(before, "nominatedNodeName") {
        rule::dns_subdomain(&nominated, out);
    }
    meta::immutable(field(before, "qosClass"), &now.get("qosClass"), out);
    let policy = text(dig(old, "spec.restartPolicy"));
    for (name, policy) in [
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        stays_ended(field(before, name), &now.get(name), policy, dig(old, "spec.initContainers"), out);
    }
    net::ip_list(&now.get("podIPs"), out);
    host_ips(&now, out);
}

fn stays_ended(before: &Value, at: &At<'_, '_>, policy: &str, init: &Value, out: &mut Causes) {
    if policy == "Always" {
        return;
    }
    let restarts = |name: &str| {
        list(init)
            .iter()
            .any(|c| text(field(c, "name")) == name && text(field(c, "restartPolicy")) == "Always")
    };
    for (index, old) in list(before).iter().enumerate() {
        let (name, ended) = (text(field(old, "name")), dig(old, "state.terminated"));
        let failed = field(ended, "exitCode").as_i64().unwrap_or(0) != 0;
        if ended.is_null() || (failed && policy == "OnFailure") || restarts(name) {
            continue;
        }
        let lives = list(at.value)
            .iter()
            .any(|new| text(field(new, "name")) == name && dig(new, "state.terminated").is_null());
        if lives {
            out.forbidden(
                at.path.index(index).child("state"),
                "may not be transitioned to non-terminated state",
            );
        }
    }
}

fn host_ips(status: &At<'_, '_>, out: &mut Causes) {
    let ips = status.get("hostIPs");
    if let Some(first) = ips.items().next() {
        let ip = first.get("ip");
        if ip.str() != status.get("hostIP").str() {
            out.invalid(ip, ip.str(), "must be equal to `hostIP`");
        }
    }
    net::ip_list(&ips, out);
}
