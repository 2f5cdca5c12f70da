//! The identity of an object across versions of its API: group, kind, namespace, name.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names one object of a cluster. Sorted by namespace, kind and name, as people look for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// Namespace; empty for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// CamelCase kind.
    pub kind: String,
    /// API group; empty for core.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Object name.
    pub name: String,
}

impl ObjectId {
    /// The id of an object, if it has a kind and a name.
    pub fn of(object: &Value) -> Option<ObjectId> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        Some(ObjectId {
            namespace: text("/metadata/namespace").unwrap_or_default().to_owned(),
            kind: text("/kind")?.to_owned(),
            group: group_of(text("/apiVersion")?).to_owned(),
            name: text("/metadata/name")?.to_owned(),
        })
    }
}

/// The group of an `apiVersion` (`apps/v1` is `apps`, `v1` the core group).
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The version of an `apiVersion`.
pub fn version_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or(api_version, |(_, version)| version)
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}
