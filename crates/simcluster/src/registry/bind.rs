//! Binding: which node a pod runs on.
//!
//! Contract: Kubernetes pkg/registry/core/pod/storage (assignPod).

use serde_json::json;

use super::{Actor, Cluster, Desired, Part};
use crate::kind::well_known;
use crate::object::Key;
use crate::status::ApiError;

/// Binds a pod to a node, as the scheduler and the binding subresource do.
///
/// # Errors
/// 404, and 409 where the pod has a node or is being deleted.
pub fn bind_pod(cluster: &Cluster, key: &Key, node: &str, actor: &Actor) -> Result<(), ApiError> {
    let pod = *well_known::POD;
    let now = cluster.now().rfc3339();
    cluster.update(pod, key, Part::Sub("binding"), actor, |live| {
        let bound = live["spec"]["nodeName"].as_str().unwrap_or_default();
        if !bound.is_empty() {
            let why = format!("pod {} is already assigned to node \"{bound}\"", key.name);
            return Err(ApiError::conflict(pod, &key.name, &why));
        }
        if live["metadata"]["deletionTimestamp"].is_string() {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", key.name);
            return Err(ApiError::conflict(pod, &key.name, &why));
        }
        let mut next = live.clone();
        next["spec"]["nodeName"] = node.into();
        let scheduled = json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
            "observedGeneration": live["metadata"]["generation"],
        });
        let conditions = next["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let mut conditions: Vec<_> = conditions.into_iter().filter(|c| c["type"] != "PodScheduled").collect();
        conditions.push(scheduled);
        next["status"]["conditions"] = json!(conditions);
        Ok(Desired::Update(next))
    })?;
    Ok(())
}
