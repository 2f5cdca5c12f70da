//! Which kinds a cluster serves, and under which paths: its aggregated discovery document, or the one
//! document a group and version of servers that do not offer it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::{ApiError, Call, Cluster, JSON, encode};
use crate::object::{Gvk, text_at};

/// The form of the aggregated document that clients ask for, with the plain form to fall back to.
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// How one kind is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Group and version with the kind.
    pub gvk: Gvk,
    /// Name in paths, as in `deployments`.
    pub plural: String,
    /// False for cluster-scoped kinds.
    pub namespaced: bool,
}

impl Resource {
    /// The path of all objects: of a namespace, or of the whole cluster with an empty one.
    pub(crate) fn collection(&self, namespace: &str) -> String {
        let Gvk { group, version, .. } = &self.gvk;
        let mut path = match group.as_str() {
            "" => format!("/api/{}", encode(version)),
            group => format!("/apis/{}/{}", encode(group), encode(version)),
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(&encode(namespace));
        }
        path.push('/');
        path.push_str(&encode(&self.plural));
        path
    }

    /// The path of one object.
    pub(crate) fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), encode(name))
    }
}

/// The kinds of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    kinds: BTreeMap<Gvk, Resource>,
    /// Versions by group and kind, the preferred one first.
    versions: BTreeMap<(String, String), Vec<String>>,
    /// Group versions whose own server does not answer, so that what they serve is not known.
    stale: Vec<String>,
}

impl Kinds {
    /// How a kind is reached; none where the cluster does not know it.
    pub fn find(&self, gvk: &Gvk) -> Option<&Resource> {
        self.kinds.get(gvk)
    }

    /// A kind in the version that the cluster prefers.
    pub fn preferred(&self, group: &str, kind: &str) -> Option<&Resource> {
        let version = self.versions_of(group, kind).first()?;
        self.find(&Gvk { group: group.into(), version: version.clone(), kind: kind.into() })
    }

    /// The versions in which the cluster serves a kind.
    pub fn versions_of(&self, group: &str, kind: &str) -> &[String] {
        self.versions.get(&(group.to_string(), kind.to_string())).map_or(&[], Vec::as_slice)
    }

    /// Group versions whose server (an aggregated API) does not answer.
    pub fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Adds a kind that is about to exist: a CustomResourceDefinition that is applied along.
    pub(crate) fn add(&mut self, resource: Resource) {
        let Gvk { group, version, kind } = resource.gvk.clone();
        if self.kinds.insert(resource.gvk.clone(), resource).is_none() {
            self.versions.entry((group, kind)).or_default().push(version);
        }
    }

    fn read_aggregated(&mut self, document: &Value) {
        for group in items(document, "items") {
            let name = text_at(group, &["metadata", "name"]).unwrap_or("");
            for version in items(group, "versions") {
                let Some(v) = text_at(version, &["version"]) else { continue };
                if text_at(version, &["freshness"]) == Some("Stale") {
                    self.stale.push(if name.is_empty() { v.into() } else { format!("{name}/{v}") });
                }
                for resource in items(version, "resources") {
                    let Some(kind) = text_at(resource, &["responseKind", "kind"]) else { continue };
                    let Some(plural) = text_at(resource, &["resource"]) else { continue };
                    let gvk = Gvk { group: name.into(), version: v.into(), kind: kind.into() };
                    let namespaced = text_at(resource, &["scope"]) == Some("Namespaced");
                    self.add(Resource { gvk, plural: plural.into(), namespaced });
                }
            }
        }
    }

    fn read_legacy(&mut self, group: &str, version: &str, document: &Value) {
        for resource in items(document, "resources") {
            let Some(kind) = text_at(resource, &["kind"]) else { continue };
            // Subresources (`deployments/scale`) are listed beside the kinds.
            let Some(plural) = text_at(resource, &["name"]).filter(|n| !n.contains('/')) else { continue };
            let gvk = Gvk { group: group.into(), version: version.into(), kind: kind.into() };
            let namespaced = resource.get("namespaced").and_then(Value::as_bool).unwrap_or(false);
            self.add(Resource { gvk, plural: plural.into(), namespaced });
        }
    }
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Asks the cluster.
pub(crate) async fn discover(cluster: &Cluster) -> Result<Kinds, ApiError> {
    let mut kinds = Kinds::default();
    for root in ["/api", "/apis"] {
        let mut call = Call::get(root.into());
        call.accept = AGGREGATED;
        call.patient = false;
        let answer = cluster.call(&call).await?;
        if text_at(&answer.body, &["kind"]) == Some("APIGroupDiscoveryList") {
            kinds.read_aggregated(&answer.body);
        } else {
            walk(cluster, root, &answer.body, &mut kinds).await?;
        }
    }
    if kinds.kinds.is_empty() {
        return Err(cluster.garbled("/apis", "it lists no kind at all".into()));
    }
    Ok(kinds)
}

/// The legacy way: a document a group and version. A group whose server is down is noted, not fatal.
async fn walk(cluster: &Cluster, root: &str, document: &Value, kinds: &mut Kinds) -> Result<(), ApiError> {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for version in items(document, "versions").filter_map(Value::as_str) {
        wanted.push((String::new(), version.into()));
    }
    for group in items(document, "groups") {
        let preferred = text_at(group, &["preferredVersion", "version"]).unwrap_or("");
        let name = text_at(group, &["name"]).unwrap_or("");
        let mut versions: Vec<&str> =
            items(group, "versions").filter_map(|v| text_at(v, &["version"])).collect();
        versions.sort_by_key(|v| *v != preferred);
        wanted.extend(versions.into_iter().map(|v| (name.to_string(), v.to_string())));
    }
    for (group, version) in wanted {
        let name = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        let mut call = Call::get(format!("{root}/{name}"));
        call.accept = JSON;
        match cluster.call(&call).await {
            Ok(answer) => kinds.read_legacy(&group, &version, &answer.body),
            Err(ApiError::Refused(refusal)) if refusal.code >= 500 || refusal.code == 404 => {
                kinds.stale.push(name);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The kinds that a CustomResourceDefinition brings, one a served version.
pub(crate) fn kinds_of_definition(definition: &Value) -> Vec<Resource> {
    let spec = |path: &[&str]| text_at(&definition["spec"], path).map(String::from);
    let (Some(group), Some(kind), Some(plural)) =
        (spec(&["group"]), spec(&["names", "kind"]), spec(&["names", "plural"]))
    else {
        return Vec::new();
    };
    let namespaced = spec(&["scope"]).as_deref() == Some("Namespaced");
    let served = items(&definition["spec"], "versions")
        .filter(|v| v.get("served").and_then(Value::as_bool).unwrap_or(false))
        .filter_map(|v| text_at(v, &["name"]));
    served
        .map(|version| Resource {
            gvk: Gvk { group: group.clone(), version: version.into(), kind: kind.clone() },
            plural: plural.clone(),
            namespaced,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn gvk(group: &str, version: &str, kind: &str) -> Gvk {
        Gvk { group: group.into(), version: version.into(), kind: kind.into() }
    }

    #[test]
    fn the_aggregated_document_gives_paths_and_preferred_versions() {
        let mut kinds = Kinds::default();
        kinds.read_aggregated(&json!({"items": [
            {"versions": [{"version": "v1", "resources": [{"resource": "pods", "responseKind": {"group": "", "version": "v1", "kind": "Pod"}, "scope": "Namespaced"},
                {"resource": "namespaces", "responseKind": {"kind": "Namespace"}, "scope": "Cluster"}]}]},
            {"metadata": {"name": "autoscaling"}, "versions": [
                {"version": "v2", "resources": [{"resource": "horizontalpodautoscalers", "responseKind": {"kind": "HorizontalPodAutoscaler"}, "scope": "Namespaced"}]},
                {"version": "v1", "resources": [{"resource": "horizontalpodautoscalers", "responseKind": {"kind": "HorizontalPodAutoscaler"}, "scope": "Namespaced"}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]},
            {"bad": true}, 7]}));
        let pod = kinds.find(&gvk("", "v1", "Pod")).unwrap();
        assert_eq!(pod.object("a", "b:c"), "/api/v1/namespaces/a/pods/b%3Ac");
        assert_eq!(pod.collection(""), "/api/v1/pods");
        assert_eq!(
            kinds.find(&gvk("", "v1", "Namespace")).unwrap().object("ignored", "n"),
            "/api/v1/namespaces/n"
        );
        let hpa = kinds.preferred("autoscaling", "HorizontalPodAutoscaler").unwrap();
        assert_eq!(hpa.gvk.version, "v2");
        assert_eq!(hpa.collection("n"), "/apis/autoscaling/v2/namespaces/n/horizontalpodautoscalers");
        assert_eq!(kinds.stale(), ["metrics.k8s.io/v1beta1"]);
        assert_eq!(kinds.find(&gvk("autoscaling", "v3", "HorizontalPodAutoscaler")), None);
        assert_eq!(kinds.versions_of("autoscaling", "HorizontalPodAutoscaler"), ["v2", "v1"]);
    }

    #[test]
    fn legacy_documents_leave_subresources_out() {
        let mut kinds = Kinds::default();
        kinds.read_legacy(
            "apps",
            "v1",
            &json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true}]}),
        );
        assert_eq!(kinds.kinds.len(), 1);
        assert!(kinds.find(&gvk("apps", "v1", "Deployment")).unwrap().namespaced);
    }

    #[test]
    fn a_definition_brings_its_served_versions() {
        let found = kinds_of_definition(&json!({"spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true}, {"name": "v0", "served": false}]}}));
        assert_eq!(
            found,
            [Resource { gvk: gvk("example.com", "v1", "Thing"), plural: "things".into(), namespaced: true }]
        );
        assert!(kinds_of_definition(&json!({})).is_empty());
    }
}
