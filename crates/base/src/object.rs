//! The identity of an object of a cluster, across versions of its API.

use std::fmt;

use serde_json::Value;

/// Identity of an object. The version is no part of it: `apps/v1` and `apps/v1beta1` name the same
/// Deployment. Sorted by namespace, kind and name, as people look for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Kind, as in `Deployment`.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
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

/// Why something names no object that could be applied, whatever the cluster says.
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

/// The group of an `apiVersion` (`apps/v1` is `apps`, `v1` the core group).
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The version of an `apiVersion`.
pub fn version_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or(api_version, |(_, version)| version)
}

/// A text field by path.
fn text_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(object, |at, step| at.get(step)).and_then(Value::as_str)
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
}
