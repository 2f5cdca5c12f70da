//! Volume claims of pods that wait for a node.
//!
//! Contract: the messages of Kubernetes pkg/scheduler/framework/plugins/volumebinding.

use serde_json::Value;

use crate::controllers::volumes::PROVISIONER;
use crate::kind::well_known::*;
use crate::object::Key;
use crate::store::State;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// How a pod's claims stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claims {
    /// All are bound.
    Ready,
    /// One is being bound.
    Soon,
    /// One is missing or will not be bound: why.
    Missing(String),
}

/// Names of the claims that a pod mounts; an ephemeral volume's claim has a name made of both.
pub(super) fn names(pod: &Value) -> Vec<String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    volumes
        .filter_map(|v| match v["persistentVolumeClaim"]["claimName"].as_str() {
            Some(claim) => Some(claim.to_owned()),
            None => v["ephemeral"]
                .is_object()
                .then(|| format!("{name}-{}", v["name"].as_str().unwrap_or_default())),
        })
        .collect()
}

/// How the claims with these names stand.
pub(super) fn look(state: &State, namespace: &str, names: &[String]) -> Claims {
    let mut soon = false;
    for name in names {
        let Some(claim) = state.get(*PERSISTENT_VOLUME_CLAIM, &Key::new(namespace, name.as_str())) else {
            return Claims::Missing(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if claim.deleting {
            return Claims::Missing(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        let value = claim.value();
        match value["status"]["phase"].as_str() {
            Some("Bound") => {}
            Some("Lost") => {
                let volume = value["spec"]["volumeName"].as_str().unwrap_or_default();
                let text = format!(
                    "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
                );
                return Claims::Missing(text);
            }
            _ if is_served(state, &value) => soon = true,
            _ => return Claims::Missing("pod has unbound immediate PersistentVolumeClaims".to_owned()),
        }
    }
    if soon { Claims::Soon } else { Claims::Ready }
}

/// The claim's class has a provisioner that works here.
fn is_served(state: &State, claim: &Value) -> bool {
    let classes = state.objects(*STORAGE_CLASS);
    let class = match claim["spec"]["storageClassName"].as_str() {
        Some("") => None,
        Some(name) => classes.get(&Key::new("", name)).map(|c| c.value()),
        None => classes
            .values()
            .map(|c| c.value())
            .find(|c| c["metadata"]["annotations"][DEFAULT_CLASS] == "true"),
    };
    class.is_some_and(|c| c["provisioner"] == PROVISIONER)
}
