//! Whether another tool still points at an object: a Flux Kustomization or HelmRelease, an Argo CD
//! Application.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{LiveController, Tool};
use crate::client::{ApiError, Call, Cluster};
use crate::discovery::Kinds;
use crate::object::{ObjectId, text_at};

/// A controller's object that an object names as its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    pub(crate) tool: Tool,
    group: &'static str,
    kind: &'static str,
    /// Empty where it is not stated.
    namespace: String,
    name: String,
}

/// Labels of Flux: group, kind, label prefix.
const FLUX: &[(&str, &str)] =
    &[("kustomize.toolkit.fluxcd.io", "Kustomization"), ("helm.toolkit.fluxcd.io", "HelmRelease")];

/// What an object says of who applies it.
pub(crate) fn pointers(object: &Value) -> Vec<Pointer> {
    let meta = |place: &str, key: &str| text_at(object, &["metadata", place, key]).filter(|t| !t.is_empty());
    let mut out = Vec::new();
    for (group, kind) in FLUX {
        if let Some(name) = meta("labels", &format!("{group}/name")) {
            let namespace = meta("labels", &format!("{group}/namespace")).unwrap_or("").to_owned();
            out.push(Pointer { tool: Tool::Flux, group, kind, namespace, name: name.to_owned() });
        }
    }
    // Contract: `app:group/Kind:namespace/name`; an app outside of Argo CD's own namespace is
    // `namespace_app`.
    if let Some(app) = meta("annotations", "argocd.argoproj.io/tracking-id").and_then(|t| t.split(':').next())
    {
        let (namespace, name) = app.split_once('_').unwrap_or(("", app));
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        out.push(Pointer { tool: Tool::ArgoCd, group: "argoproj.io", kind: "Application", namespace, name });
    }
    out
}

/// Of what the objects point at, what exists and is at work. Asked once for each controller.
pub(crate) async fn at_work(
    cluster: &Cluster,
    kinds: &Kinds,
    objects: impl Iterator<Item = (&ObjectId, &Value)>,
) -> Result<Vec<LiveController>, ApiError> {
    let mut wanted: BTreeMap<Pointer, ObjectId> = BTreeMap::new();
    for (id, object) in objects {
        for pointer in pointers(object) {
            wanted.entry(pointer).or_insert_with(|| id.clone());
        }
    }
    let mut out = Vec::new();
    for (pointer, object) in wanted {
        // A kind that the cluster does not know has no controller.
        let Some(resource) = kinds.preferred(pointer.group, pointer.kind) else { continue };
        let found = if pointer.namespace.is_empty() {
            let all = cluster.list(resource, "", "").await?;
            all.into_iter().find(|o| text_at(o, &["metadata", "name"]) == Some(&pointer.name))
        } else {
            match cluster.call(&Call::get(resource.object(&pointer.namespace, &pointer.name))).await {
                Ok(answer) => Some(answer.body),
                Err(e) if e.is_not_found() => None,
                Err(e) => return Err(e),
            }
        };
        let suspended = |o: &Value| o["spec"]["suspend"].as_bool() == Some(true);
        let Some(found) = found.filter(|o| !suspended(o)) else { continue };
        let namespace = text_at(&found, &["metadata", "namespace"]).unwrap_or("");
        let (kind, name) = (pointer.kind.to_lowercase(), &pointer.name);
        let controller = format!("{kind}.{}/{name} in {namespace}", pointer.group);
        out.push(LiveController { tool: pointer.tool, controller, object });
    }
    Ok(out)
}
