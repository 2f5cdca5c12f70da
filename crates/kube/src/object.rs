//! What the rest of the crate needs to know about an object: its identity, its content hash, the
//! order in which kinds are applied, and the form in which two states are compared.

use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Identity of an object on a cluster. The version is no part of it: `apps/v1` and `apps/v1beta1`
/// name the same Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, as in `Deployment`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Group, version and kind: what the target API is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, as in `v1`.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// Why an object cannot be applied, whatever the cluster says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct BadObject {
    /// The object, as far as it can be named.
    pub what: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Gvk {
    /// From `apiVersion` and `kind`.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = text_at(object, &["apiVersion"]).filter(|v| !v.is_empty())?;
        let kind = text_at(object, &["kind"]).filter(|k| !k.is_empty())?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if version.is_empty() || version.contains('/') {
            return None;
        }
        Some(Self { group: group.into(), version: version.into(), kind: kind.into() })
    }

    /// `apps/v1` or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

impl ObjectId {
    /// The identity that the object states. Whether its kind is namespaced is known to the target API
    /// alone, so an absent namespace stays empty here.
    ///
    /// # Errors
    /// An object without `apiVersion`, `kind` or `metadata.name`.
    pub fn of(object: &Value) -> Result<Self, BadObject> {
        let name = text_at(object, &["metadata", "name"]).filter(|n| !n.is_empty());
        let Some(gvk) = Gvk::of(object) else {
            let what = name.map_or_else(|| "an object without a name".into(), |n| format!("object {n:?}"));
            return Err(BadObject { what, problem: "apiVersion and kind must name an API's kind".into() });
        };
        let Some(name) = name else {
            let problem = "metadata.name is missing; generateName cannot be applied, only created".into();
            return Err(BadObject { what: gvk.to_string(), problem });
        };
        let namespace = text_at(object, &["metadata", "namespace"]).unwrap_or("");
        Ok(Self { group: gvk.group, kind: gvk.kind, namespace: namespace.into(), name: name.into() })
    }

    /// `deployment.apps/orders`: the name that kubectl takes and prints, without the namespace.
    pub fn short(&self) -> String {
        let kind = self.kind.to_lowercase();
        match self.group.as_str() {
            "" => format!("{kind}/{}", self.name),
            group => format!("{kind}.{group}/{}", self.name),
        }
    }
}

/// `deployment.apps/orders in checkout-dev`.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())?;
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        Ok(())
    }
}

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
    ("", "Pod", 4),
    ("", "ReplicationController", 4),
    ("apps", "Deployment", 4),
    ("apps", "StatefulSet", 4),
    ("apps", "DaemonSet", 4),
    ("apps", "ReplicaSet", 4),
    ("batch", "Job", 4),
    ("batch", "CronJob", 4),
];

/// The number of waves.
pub const WAVE_COUNT: u8 = 6;

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
    fn identity_ignores_the_version_and_prints_as_kubectl_does() {
        let id = |v: &str| {
            ObjectId::of(
                &json!({"apiVersion": v, "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}}),
            )
        };
        assert_eq!(id("apps/v1"), id("apps/v1beta1"));
        assert_eq!(id("apps/v1").unwrap().to_string(), "deployment.apps/a in n");
        let ns = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
        assert_eq!(ObjectId::of(&ns).unwrap().to_string(), "namespace/n");
    }

    #[test]
    fn an_object_without_identity_is_refused_by_what_is_known_of_it() {
        let of = |v: Value| ObjectId::of(&v).unwrap_err().to_string();
        assert_eq!(
            of(json!({"metadata": {"name": "a"}})),
            "object \"a\": apiVersion and kind must name an API's kind"
        );
        assert!(
            of(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}))
                .starts_with("v1 Pod: metadata.name")
        );
        assert!(
            of(json!({"apiVersion": "a/b/c", "kind": "Pod", "metadata": {"name": "x"}}))
                .contains("apiVersion")
        );
        assert!(of(json!(7)).starts_with("an object without a name"));
    }

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
            ("apps", "Deployment", true, 4),
            ("autoscaling", "HorizontalPodAutoscaler", true, 5),
            ("policy", "PodDisruptionBudget", true, 5),
            ("gateway.networking.k8s.io", "HTTPRoute", true, 5),
            ("example.com", "Deployment", true, 5),
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
