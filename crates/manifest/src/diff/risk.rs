//! What a change risks, and why: for objects that come, go, and stay.

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::context::Context;
use super::{FieldChange, Reason, Risk, capacity, network, pods, rights, routes};

/// Objects with which others go: what goes with them.
const WITH: [(&str, &str, &str); 4] = [
    ("", "Namespace", "goes away with everything in it"),
    ("", "PersistentVolumeClaim", "goes away, and its data with it"),
    ("", "PersistentVolume", "goes away"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "goes away with all objects of its kind"),
];

/// Fields whose value decides that data goes when what holds it goes.
const KEEPING: [(&str, &str); 3] = [
    ("PersistentVolume", "/spec/persistentVolumeReclaimPolicy"),
    ("StatefulSet", "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted"),
    ("StatefulSet", "/spec/persistentVolumeClaimRetentionPolicy/whenScaled"),
];

/// Why a new object is a risk.
pub(super) fn of_added(id: &ObjectId, object: &Value, context: &Context<'_>) -> Vec<Reason> {
    let mut reasons = routes::opened(id, &Value::Null, object);
    if is_policy(id) {
        reasons.extend(network::added(id, object, context));
    }
    if let Some(spec) = pods::spec(id, object) {
        reasons.extend(pods::opened(&Value::Null, spec));
        reasons.extend(pods::granted(&Value::Null, spec));
    }
    reasons.extend(rights::granted(id, &Value::Null, object));
    reasons
}

/// Why an object that goes is a risk.
pub(super) fn of_removed(id: &ObjectId, object: &Value, context: &Context<'_>) -> Vec<Reason> {
    let row = WITH.iter().find(|(group, kind, _)| *group == id.group && *kind == id.kind);
    let mut reasons = vec![Reason::new(Risk::Deletes, row.map_or("goes away", |(_, _, what)| *what), [])];
    if is_policy(id) {
        reasons.extend(network::removed(id, object, context));
    }
    if matches!(id.kind.as_str(), "AuthorizationPolicy" | "PeerAuthentication" | "RequestAuthentication") {
        reasons.push(Reason::new(Risk::OpensNetwork, "no longer restricts who is let in", []));
    }
    reasons.extend(rights::unforbidden(id));
    let lost = match (id.group.as_str(), id.kind.as_str()) {
        ("autoscaling", "HorizontalPodAutoscaler") | (_, "ScaledObject") => {
            Some("no longer scales its workload")
        }
        ("policy", "PodDisruptionBudget") => Some("lets a drain take all pods away"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => Some("its pods go away"),
        _ => None,
    };
    reasons.extend(lost.map(|what| Reason::new(Risk::DropsCapacity, what, [])));
    reasons
}

/// Why a change of an object is a risk.
pub(super) fn of_changed(
    id: &ObjectId,
    before: &Value,
    after: &Value,
    fields: &[FieldChange],
    context: &Context<'_>,
) -> Vec<Reason> {
    let mut reasons = deleted(id, before, after, fields);
    reasons.extend(routes::opened(id, before, after));
    if is_policy(id) {
        reasons.extend(network::changed(id, before, after, context));
    }
    reasons.extend(network::mesh(id, before, after, fields));
    reasons.extend(rights::granted(id, before, after));
    reasons.extend(capacity::dropped(id, before, after, fields, context));
    if let (Some(was), Some(is)) = (pods::spec(id, before), pods::spec(id, after)) {
        reasons.extend(pods::opened(was, is));
        reasons.extend(pods::granted(was, is));
        reasons.extend(pods::lowered(was, is));
    }
    reasons.extend(pods::restarts(id, after, fields));
    reasons
}

fn is_policy(id: &ObjectId) -> bool {
    id.kind == "NetworkPolicy" && matches!(id.group.as_str(), "networking.k8s.io" | "extensions")
}

/// What goes although the object stays: keys, versions of a kind, data that was kept.
fn deleted(id: &ObjectId, before: &Value, after: &Value, fields: &[FieldChange]) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say =
        |what: &'static str, about: Vec<String>| reasons.extend(Reason::of(Risk::Deletes, what, about));
    if matches!((id.group.as_str(), id.kind.as_str()), ("", "ConfigMap" | "Secret")) {
        let is_data = |f: &&FieldChange| {
            ["data", "binaryData", "stringData"].iter().any(|key| f.path.starts_with(&[key]))
        };
        let gone = fields.iter().filter(is_data).filter(|f| f.new.is_none());
        say("loses keys", gone.map(|f| f.path.to_string()).collect());
    }
    if id.kind == "CustomResourceDefinition" {
        let versions = |of: &Value| -> Vec<String> {
            let list = of.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
            list.filter(|v| v["served"] == true)
                .filter_map(|v| v["name"].as_str().map(str::to_owned))
                .collect()
        };
        let now = versions(after);
        say("no longer serves", versions(before).into_iter().filter(|v| !now.contains(v)).collect());
    }
    for (kind, path) in KEEPING {
        let deletes = |of: &Value| of.pointer(path).and_then(Value::as_str) == Some("Delete");
        if id.kind == kind && deletes(after) && !deletes(before) {
            say("no longer keeps data", vec![path.trim_start_matches('/').replace('/', ".")]);
        }
    }
    reasons
}
