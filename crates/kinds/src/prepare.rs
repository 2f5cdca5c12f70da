//! What the API server does to an object between its defaults and its checks: which parts a request may
//! write at all, what it fills in from the object's identity, and how generations count.
//!
//! The order of a create is defaults, admission ([`admission`]), [`create`], addresses and ports
//! ([`service::allocate`]), checks ([`crate::validate`]); of an update defaults, [`update`], allocation,
//! checks. `metadata.uid` is set before [`create`] runs.

use serde_json::{Map, Value, json};

pub mod admission;
mod job;
mod pod;
pub mod service;
mod subresource;
mod table;

use crate::validate::at::{dig, field, list, text};
use crate::validate::same::same;
use table::{Counts, Strategy, strategy};

pub use pod::qos_class;
pub use subresource::{ephemeral_containers_update, resize_update};

/// Whether a kind has a status subresource, so that plain writes leave the status alone.
pub fn has_status(group: &str, kind: &str) -> bool {
    strategy(group, kind).status.is_some()
}

/// Makes a new object what the API server would store: no status of the client's, generation 1, and what
/// the kind derives from its identity.
pub fn create(group: &str, kind: &str, object: &mut Value) {
    let strategy = strategy(group, kind);
    if let (Some(status), Some(map)) = (strategy.status, object.as_object_mut())
        && !strategy.keeps_status_on_create
    {
        map.insert("status".to_string(), status());
    }
    match (group, kind) {
        ("", "Pod") => pod::create(object),
        ("", "Namespace") => namespace_finalizer(object),
        ("", "Service") => service::sync_cluster_ips(None, object),
        ("batch", "Job") => job::create(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => stored_version(object),
        _ => {}
    }
    if strategy.counts != Counts::Nothing {
        set_generation(object, 1);
    } else if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("generation");
    }
}

/// Makes a written object one that may take `old`'s place: status as it was, values that the server gave
/// kept, generation one more if the kind counts what changed.
pub fn update(group: &str, kind: &str, old: &Value, new: &mut Value) {
    let strategy = strategy(group, kind);
    if strategy.status.is_some() {
        keep(old, new, "status");
    }
    match (group, kind) {
        ("", "Namespace") => keep(old, new, "spec"),
        ("", "Service") => service::update(old, new),
        ("", "Pod") => pod::update(old, new),
        ("certificates.k8s.io", "CertificateSigningRequest") => keep(old, new, "spec"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => stored_version(new),
        _ => {}
    }
    keep_identity(old, new);
    let generation = dig(old, "metadata.generation").as_i64().unwrap_or(0);
    let bump = i64::from(counts(strategy, old, new));
    if strategy.counts != Counts::Nothing {
        set_generation(new, generation + bump);
    } else if let Some(meta) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("generation");
    }
}

/// Makes an object written to the status subresource one that may take `old`'s place: all but the status
/// and what metadata may change stays.
pub fn status_update(group: &str, kind: &str, old: &Value, new: &mut Value) {
    let (Some(before), Some(after)) = (old.as_object(), new.as_object_mut()) else { return };
    let kept: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| !matches!(name.as_str(), "status" | "metadata"))
        .cloned()
        .collect();
    for name in kept {
        match before.get(&name) {
            Some(value) => after.insert(name, value.clone()),
            None => after.remove(&name),
        };
    }
    keep_identity(old, new);
    let fixed: &[&str] = match (group, kind) {
        ("apps", "Deployment") => &["generation", "labels"],
        ("", "Pod") => &["generation", "ownerReferences"],
        _ => &["generation"],
    };
    for name in fixed {
        keep_meta(old, new, name);
    }
}

/// Parts of metadata that no client writes.
fn keep_identity(old: &Value, new: &mut Value) {
    for name in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        keep_meta(old, new, name);
    }
    let has_uid = !text(dig(new, "metadata.uid")).is_empty();
    if !has_uid {
        keep_meta(old, new, "uid");
    }
}

fn keep_meta(old: &Value, new: &mut Value, name: &str) {
    let value = field(field(old, "metadata"), name).clone();
    let Some(meta) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if value.is_null() {
        meta.remove(name);
    } else {
        meta.insert(name.to_string(), value);
    }
}

fn keep(old: &Value, new: &mut Value, name: &str) {
    let Some(map) = new.as_object_mut() else { return };
    match old.get(name) {
        Some(value) => map.insert(name.to_string(), value.clone()),
        None => map.remove(name),
    };
}

fn set_generation(object: &mut Value, generation: i64) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("generation".to_string(), json!(generation));
    }
}

/// Whether what changed counts as a new generation.
fn counts(strategy: &Strategy, old: &Value, new: &Value) -> bool {
    match strategy.counts {
        Counts::Nothing | Counts::Never => false,
        Counts::Field(name) => !same(field(old, name), field(new, name)),
        Counts::SpecAndAnnotations => {
            !same(field(old, "spec"), field(new, "spec"))
                || !same(dig(old, "metadata.annotations"), dig(new, "metadata.annotations"))
        }
        Counts::AllButMetadata => {
            let body = |value: &Value| -> Value {
                let mut map: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
                map.remove("metadata");
                Value::Object(map)
            };
            !same(&body(old), &body(new))
        }
    }
}

const KUBERNETES: &str = "kubernetes";

/// A Namespace is removed only after what is in it.
fn namespace_finalizer(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    let spec = map.entry("spec").or_insert(Value::Null);
    if !spec.is_object() {
        *spec = json!({});
    }
    let Some(spec) = spec.as_object_mut() else { return };
    let finalizers = spec.entry("finalizers").or_insert(Value::Null);
    match finalizers {
        Value::Array(list) if list.iter().any(|name| name == KUBERNETES) => {}
        Value::Array(list) => list.push(json!(KUBERNETES)),
        other => *other = json!([KUBERNETES]),
    }
}

/// The version in which objects are stored from now on joins those in which some may lie.
fn stored_version(definition: &mut Value) {
    let stored = list(dig(definition, "spec.versions"))
        .iter()
        .find(|version| field(version, "storage").as_bool() == Some(true))
        .map(|version| text(field(version, "name")).to_string());
    let (Some(name), Some(status)) = (stored, definition.get_mut("status").and_then(Value::as_object_mut))
    else {
        return;
    };
    let versions = status.entry("storedVersions").or_insert(Value::Null);
    match versions {
        Value::Array(known) if known.iter().any(|known| *known == name) => {}
        Value::Array(known) => known.push(json!(name)),
        other => *other = json!([name]),
    }
}

#[cfg(test)]
mod tests;
