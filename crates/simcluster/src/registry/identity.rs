//! Metadata that the server owns: names, uids, times, what an update may not touch.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Cluster;
use crate::kind::{KindId, well_known};
use crate::object::{Key, Stored};
use crate::status::ApiError;

/// Longest generated prefix: the API server cuts `generateName` so that the name stays within 63.
const MAX_GENERATED_PREFIX: usize = 58;

/// The name is to be drawn.
pub(super) fn is_generated(value: &Value) -> bool {
    let meta = &value["metadata"];
    meta["name"].as_str().unwrap_or_default().is_empty()
        && meta["generateName"].as_str().is_some_and(|g| !g.is_empty())
}

/// Namespace and name of an object.
pub(super) fn key_of(value: &Value) -> Key {
    let text = |k: &str| value["metadata"][k].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

/// Gives a new object what the server gives: type, namespace, name, uid, time, generation.
pub(super) fn stamp(
    cluster: &Cluster,
    kind: KindId,
    namespace: &str,
    value: &mut Value,
) -> Result<(), ApiError> {
    let info = kind.info();
    let Some(object) = value.as_object_mut() else {
        return Err(ApiError::bad_request("the request body is not an object"));
    };
    // A custom object says itself which version it is in.
    if !kind.is_custom() {
        object.insert("apiVersion".into(), kind.api_version().into());
    }
    object.insert("kind".into(), info.kind.clone().into());
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    if meta.is_null() {
        *meta = json!({});
    }
    let Some(meta) = meta.as_object_mut() else {
        return Err(ApiError::bad_request("metadata is not an object"));
    };
    place(info.namespaced, namespace, meta)?;
    if meta.get("resourceVersion").and_then(Value::as_str).is_some_and(|v| !v.is_empty()) {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    for server_owned in
        ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"]
    {
        meta.remove(server_owned);
    }
    let name = meta.get("name").and_then(Value::as_str).unwrap_or_default();
    let prefix = meta.get("generateName").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() && !prefix.is_empty() {
        let cut: String = prefix.chars().take(MAX_GENERATED_PREFIX).collect();
        let name = format!("{cut}{}", cluster.random(|r| r.suffix(5)));
        meta.insert("name".into(), name.into());
    }
    meta.insert("uid".into(), cluster.random(|r| r.uuid_v4()).into());
    meta.insert("creationTimestamp".into(), cluster.now().rfc3339().into());
    Ok(())
}

fn place(
    namespaced: bool,
    namespace: &str,
    meta: &mut serde_json::Map<String, Value>,
) -> Result<(), ApiError> {
    let given = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if !namespaced {
        meta.remove("namespace");
        return Ok(());
    }
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request ({given} vs {namespace})"
        )));
    }
    meta.insert("namespace".into(), namespace.into());
    Ok(())
}

/// Holds an update to what it may change, and to the version that it was made from.
pub(super) fn keep(kind: KindId, live: &Arc<Stored>, old: &Value, value: &mut Value) -> Result<(), ApiError> {
    let Some(object) = value.as_object_mut() else {
        return Err(ApiError::bad_request("the object is not a map"));
    };
    if !(kind.is_custom() && object.get("apiVersion").is_some_and(Value::is_string)) {
        object.insert("apiVersion".into(), old["apiVersion"].clone());
    }
    object.insert("kind".into(), old["kind"].clone());
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else {
        return Err(ApiError::bad_request("metadata is not an object"));
    };
    let text = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    if !name.is_empty() && name != &*live.key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            live.key.name
        )));
    }
    let namespace = text("namespace");
    if !namespace.is_empty() && namespace != &*live.key.namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            live.key.namespace
        )));
    }
    let uid = text("uid");
    if !uid.is_empty() && uid != &*live.uid {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", live.uid);
        return Err(ApiError::conflict(kind, &live.key.name, &why));
    }
    let revision = text("resourceVersion");
    if !revision.is_empty() && revision != live.revision.to_string() {
        return Err(ApiError::stale(kind, &live.key.name));
    }
    for server_owned in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "selfLink",
    ] {
        match old["metadata"].get(server_owned) {
            Some(kept) => meta.insert(server_owned.into(), kept.clone()),
            None => meta.remove(server_owned),
        };
    }
    Ok(())
}

/// A deleted object that nothing holds any more: no finalizer, and its time of grace is over.
pub(super) fn is_finished(kind: KindId, value: &Value) -> bool {
    let meta = &value["metadata"];
    let held = |list: &Value| list.as_array().is_some_and(|f| !f.is_empty());
    meta["deletionTimestamp"].is_string()
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !held(&meta["finalizers"])
        && !(kind == *well_known::NAMESPACE && held(&value["spec"]["finalizers"]))
}
