//! Checks of what the subresources `ephemeralcontainers` and `resize` change in a running pod.

use serde_json::Value;

use super::at::{At, dig, entries, field, list, text};
use super::cause::{Causes, quote};
use super::pod::{MIRROR, metadata_and_spec};
use super::pod_update::{annotation_changes, changes};
use super::same::same;
use crate::prepare::qos_class;

/// The path of what has none: Go prints an empty name as an empty subscript.
const NOWHERE: &str = "[]";

fn is_static(pod: &Value) -> bool {
    !field(dig(pod, "metadata.annotations"), MIRROR).is_null()
}

/// Containers that help to look into a pod come one after the other; those that are there stay.
pub(crate) fn ephemeral_containers(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    if is_static(old) {
        return out.forbidden(NOWHERE, "static pods do not support ephemeral containers");
    }
    metadata_and_spec(at, out);
    annotation_changes(old, at, out);
    let pod = at.get("spec");
    let containers = pod.get("ephemeralContainers");
    for before in list(dig(old, "spec.ephemeralContainers")) {
        let name = text(field(before, "name"));
        let detail = match list(containers.value).iter().find(|c| text(field(c, "name")) == name) {
            None => format!("existing ephemeral containers {} may not be removed\n", quote(name)),
            Some(now) if !same(now, before) => {
                let changes = changes(before, now);
                format!("existing ephemeral containers {} may not be changed\n{changes}", quote(name))
            }
            Some(_) => continue,
        };
        out.forbidden(containers, &detail);
    }
}

/// A running pod may get more or less processor time and memory, in the same class of service.
pub(crate) fn resize(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    metadata_and_spec(at, out);
    annotation_changes(old, at, out);
    if is_static(old) {
        return out.forbidden(NOWHERE, "static pods cannot be resized");
    }
    let (spec, before) = (at.get("spec"), field(old, "spec"));
    let stored = text(dig(old, "status.qosClass"));
    let class = if stored.is_empty() { qos_class(before) } else { stored };
    if class != qos_class(spec.value) {
        out.invalid(spec, class, "Pod QOS Class may not change as a result of resizing");
    }
    for name in ["containers", "initContainers"] {
        for (container, was) in spec.get(name).items().zip(list(field(before, name))) {
            let resources = container.get("resources");
            for (part, word) in [("limits", "resource limits"), ("requests", "resource requests")] {
                let now = resources.get(part);
                let gone = entries(dig(was, &format!("resources.{part}")))
                    .any(|(key, _)| matches!(key, "cpu" | "memory") && field(now.value, key).is_null());
                if gone {
                    out.forbidden(now, &format!("{word} cannot be removed"));
                }
            }
        }
    }
    let (was, is) = (fixed(before), fixed(spec.value));
    if !same(&was, &is) {
        let detail = format!("only cpu and memory resources are mutable\n{}", changes(&was, &is));
        out.forbidden(spec, &detail);
    }
}

/// A pod's spec without what a resize may change.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for name in ["containers", "initContainers"] {
        for container in spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            let starts_once = name == "initContainers" && text(field(container, "restartPolicy")) != "Always";
            let Some(container) = container.as_object_mut() else { continue };
            container.remove("resizePolicy");
            let Some(resources) = container.get_mut("resources").filter(|_| !starts_once) else { continue };
            for part in ["limits", "requests"] {
                if let Some(amounts) = resources.get_mut(part).and_then(Value::as_object_mut) {
                    amounts.retain(|key, _| !matches!(key.as_str(), "cpu" | "memory"));
                }
            }
        }
    }
    spec
}
