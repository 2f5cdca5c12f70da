//! What the rest of the crate needs to know about an object: its content hash, the order in which kinds
//! are applied, and the form in which two states are compared.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use kiban_base::object::{BadObject, Gvk, ObjectId};

/// SHA-256 of the canonical JSON (sorted keys, no spaces), in hex.
///
/// Of a Secret only the names of its entries count, never their values: a hash of a short password
/// that everyone may read gives the password away. Who holds the ciphertext states its hash instead
/// (`apply::Request::hashes`).
pub fn content_hash(object: &Value) -> String {
    let bytes = if is_secret(object) {
        let mut names = object.clone();
        for field in ["data", "stringData"] {
            if let Some(Value::Object(entries)) = names.get_mut(field) {
                entries.values_mut().for_each(|v| *v = Value::Null);
            }
        }
        serde_json::to_vec(&names)
    } else {
        serde_json::to_vec(object)
    };
    let digest = Sha256::digest(bytes.unwrap_or_default());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// True for a core Secret.
pub fn is_secret(object: &Value) -> bool {
    group_of(object).is_empty() && text_at(object, &["kind"]) == Some("Secret")
}

/// Kinds by the wave in which they are applied: what others refer to comes first. Pruning goes the
/// other way.
///
/// As in Helm's, Argo CD's and kustomize's orders, Services come before workloads (a pod's environment
/// holds the Services that were there when it began), and routes and autoscalers after them. Budgets come
/// last, as in kustomize's: before its first pods, one has nothing to keep.
const WAVES: &[(&str, &str, u8)] = &[
    ("", "Namespace", 0),
    ("apiextensions.k8s.io", "CustomResourceDefinition", 1),
    ("scheduling.k8s.io", "PriorityClass", 1),
    ("storage.k8s.io", "StorageClass", 1),
    ("", "ServiceAccount", 2),
    ("", "ConfigMap", 2),
    ("", "Secret", 2),
    ("", "PersistentVolumeClaim", 2),
    ("", "LimitRange", 2),
    ("", "ResourceQuota", 2),
    ("rbac.authorization.k8s.io", "Role", 2),
    ("rbac.authorization.k8s.io", "RoleBinding", 2),
    ("", "Service", 3),
    ("networking.k8s.io", "NetworkPolicy", 3),
    // 4 is the wave of migrations: Jobs that must complete before the rest.
    ("", "Pod", 5),
    ("", "ReplicationController", 5),
    ("apps", "Deployment", 5),
    ("apps", "StatefulSet", 5),
    ("apps", "DaemonSet", 5),
    ("apps", "ReplicaSet", 5),
    ("batch", "Job", 5),
    ("batch", "CronJob", 5),
];

/// The number of waves.
pub const WAVE_COUNT: u8 = 7;

/// The wave of a kind: the table above; else 1 for what is cluster-scoped, and the last for the rest
/// (HPA, PDB, routes, custom resources).
pub fn wave(group: &str, kind: &str, namespaced: bool) -> u8 {
    let row = WAVES.iter().find(|(g, k, _)| *g == group && *k == kind);
    row.map_or(if namespaced { WAVE_COUNT - 1 } else { 1 }, |(_, _, wave)| *wave)
}

/// The label or annotation that keeps an object from being pruned. Any value but `false` counts.
pub const KEEP: &str = "kiban.dev/keep";

/// True when the object carries [`KEEP`] as a label or an annotation.
pub fn says_keep(object: &Value) -> bool {
    ["annotations", "labels"].iter().any(|place| {
        let value = object.get("metadata").and_then(|m| m.get(place)).and_then(|m| m.get(KEEP));
        value.is_some_and(|v| v.as_str() != Some("false"))
    })
}

/// The object without what the server alone writes and no reader of a difference wants:
/// `status`, managed fields, uid, revision, generation and creation time.
pub fn normalised(object: &Value) -> Value {
    let mut out = object.clone();
    let Some(map) = out.as_object_mut() else { return out };
    map.remove("status");
    if let Some(Value::Object(meta)) = map.get_mut("metadata") {
        for field in
            ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"]
        {
            meta.remove(field);
        }
    }
    out
}

/// The entry of `metadata.managedFields` that says what `manager` applied, without its time.
pub fn applied_fields(object: &Value, manager: &str) -> Option<Map<String, Value>> {
    let entries = object.get("metadata")?.get("managedFields")?.as_array()?;
    let ours = entries.iter().filter_map(Value::as_object).find(|e| {
        let text = |field: &str| e.get(field).and_then(Value::as_str).unwrap_or("");
        text("manager") == manager && text("operation") == "Apply" && text("subresource").is_empty()
    })?;
    let mut ours = ours.clone();
    ours.remove("time");
    Some(ours)
}

/// The managers that `metadata.managedFields` names, sorted, each once; those of subresources are
/// left out.
pub fn managers(object: &Value) -> Vec<String> {
    let entries = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter(|e| text_at(e, &["subresource"]).unwrap_or("").is_empty())
        .filter_map(|e| text_at(e, &["manager"]).map(String::from))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A text field by path.
pub(crate) fn text_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(object, |at, step| at.get(step)).and_then(Value::as_str)
}

/// The API group that the object states; empty for the core group and for anything malformed.
pub(crate) fn group_of(object: &Value) -> &str {
    match text_at(object, &["apiVersion"]).and_then(|v| v.split_once('/')) {
        Some((group, version)) if !version.contains('/') => group,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secrets_hash_tells_nothing_about_its_values() {
        let secret = |v: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": v}});
        assert_eq!(content_hash(&secret("YQ==")), content_hash(&secret("Yg==")));
        let map = |v: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"k": v}});
        assert_ne!(content_hash(&map("a")), content_hash(&map("b")));
        assert_eq!(content_hash(&map("a")).len(), 64);
    }

    #[test]
    fn waves_put_first_what_others_refer_to() {
        for (group, kind, namespaced, expected) in [
            ("", "Namespace", false, 0),
            ("apiextensions.k8s.io", "CustomResourceDefinition", false, 1),
            ("rbac.authorization.k8s.io", "ClusterRole", false, 1),
            ("", "Secret", true, 2),
            ("networking.k8s.io", "NetworkPolicy", true, 3),
            ("apps", "Deployment", true, 5),
            ("autoscaling", "HorizontalPodAutoscaler", true, 6),
            ("policy", "PodDisruptionBudget", true, 6),
            ("gateway.networking.k8s.io", "HTTPRoute", true, 6),
            ("example.com", "Deployment", true, 6),
        ] {
            assert_eq!(wave(group, kind, namespaced), expected, "{group} {kind}");
        }
    }

    #[test]
    fn keep_is_read_from_labels_and_annotations() {
        for (meta, expected) in [
            (json!({}), false),
            (json!({"annotations": {KEEP: "true"}}), true),
            (json!({"annotations": {KEEP: ""}}), true),
            (json!({"labels": {KEEP: "yes"}}), true),
            (json!({"labels": {KEEP: "false"}}), false),
            (json!({"labels": 7, "annotations": null}), false),
        ] {
            assert_eq!(says_keep(&json!({"metadata": meta.clone()})), expected, "{meta}");
        }
    }
}
