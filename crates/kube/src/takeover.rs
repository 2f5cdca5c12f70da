//! Objects that kubectl applied from the client's side: their fields become this program's own, so that
//! a field that is no longer rendered goes away.
//!
//! kubectl's client-side apply owns fields as an *update* of `kubectl-client-side-apply`. A server-side
//! apply beside it shares them, and nobody can then remove one by leaving it out
//! (kubernetes/kubernetes#99003). kubectl moves the ownership itself when it changes sides; this is the
//! same step, taken only where the caller asks to take over what others own.

use serde_json::{Map, Value, json};

use crate::apply::MANAGER;

/// The manager of kubectl's client-side apply.
const CLIENT_SIDE: &str = "kubectl-client-side-apply";

/// True for an object that kubectl applied from the client's side.
pub(crate) fn is_client_side(object: &Value) -> bool {
    entries(object).any(is_update_of_kubectl)
}

/// The JSON patch that moves the ownership, upon the revision of `object`; none where there is nothing
/// to move.
pub(crate) fn patch(object: &Value) -> Option<Value> {
    if !is_client_side(object) {
        return None;
    }
    let mut fields = Map::new();
    let mut api_version = Value::Null;
    let mut rest = Vec::new();
    for entry in entries(object) {
        if !is_update_of_kubectl(entry) && !is_ours(entry) {
            rest.push(entry.clone());
            continue;
        }
        if api_version.is_null() || is_ours(entry) {
            api_version = entry["apiVersion"].clone();
        }
        if let Some(more) = entry["fieldsV1"].as_object() {
            unite(&mut fields, more, 0);
        }
    }
    rest.push(json!({
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }));
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": rest},
        // A replace and no test: then a changed object is a conflict, and no invalid request.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
    ]))
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    let list = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn is_update_of_kubectl(entry: &Value) -> bool {
    is(entry, CLIENT_SIDE, "Update")
}

fn is_ours(entry: &Value) -> bool {
    is(entry, MANAGER, "Apply")
}

fn is(entry: &Value, manager: &str, operation: &str) -> bool {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or("");
    text("manager") == manager && text("operation") == operation && text("subresource").is_empty()
}

/// How deep sets of fields are followed; no schema goes so far.
const MAX_DEPTH: usize = 100;

/// The union of two sets of fields in their JSON form: tries of maps.
fn unite(into: &mut Map<String, Value>, more: &Map<String, Value>, depth: usize) {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(value)) if depth < MAX_DEPTH => {
                unite(known, value, depth + 1);
            }
            (Some(_), _) => {}
            (None, _) => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object(entries: Value) -> Value {
        json!({"metadata": {"resourceVersion": "7", "managedFields": entries}})
    }

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "time": "t", "fieldsV1": fields})
    }

    #[test]
    fn the_fields_of_client_side_apply_become_our_own() {
        let status =
            json!({"manager": "kcm", "operation": "Update", "subresource": "status", "fieldsV1": {}});
        let before = object(json!([
            entry(CLIENT_SIDE, "Update", json!({"f:spec": {"f:a": {}, "f:c": {".": {}}}})),
            status,
            entry(MANAGER, "Apply", json!({"f:spec": {"f:a": {}, "f:b": {}}})),
        ]));
        let patch = patch(&before).unwrap();
        assert_eq!(patch[1]["value"], "7");
        let after = &patch[0]["value"];
        assert_eq!(after.as_array().unwrap().len(), 2);
        assert_eq!(after[0], status);
        assert_eq!(after[1]["manager"], MANAGER);
        assert_eq!(after[1]["fieldsV1"], json!({"f:spec": {"f:a": {}, "f:b": {}, "f:c": {".": {}}}}));
    }

    #[test]
    fn other_objects_are_left_alone() {
        for entries in [
            json!(null),
            json!("x"),
            json!([7, {}]),
            json!([entry("helm", "Apply", json!({}))]),
            json!([entry(CLIENT_SIDE, "Apply", json!({}))]),
            json!([{"manager": CLIENT_SIDE, "operation": "Update", "subresource": "scale"}]),
        ] {
            assert_eq!(patch(&object(entries)), None);
        }
    }
}
