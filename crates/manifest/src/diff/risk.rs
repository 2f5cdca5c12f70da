//! What a change risks: one function for whole objects, one for fields.

use std::collections::BTreeSet;

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::{Action, FieldChange, Risk};
use crate::quantity;

/// Kinds with a pod template under `spec.template`.
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];
/// Kinds that make something reachable from outside the cluster.
const ROUTES: [&str; 7] =
    ["Ingress", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "Gateway", "UDPRoute"];
/// Service types that listen beyond the cluster's network.
const OUTSIDE: [&str; 2] = ["NodePort", "LoadBalancer"];

/// The risks of adding or removing an object.
pub(super) fn of_object(id: &ObjectId, action: Action, object: &Value) -> BTreeSet<Risk> {
    let kind = id.kind.as_str();
    let mut risks = BTreeSet::new();
    if action == Action::Removed {
        risks.insert(Risk::Deletes);
        if matches!(kind, "NetworkPolicy" | "AuthorizationPolicy" | "PeerAuthentication") {
            risks.insert(Risk::OpensNetwork);
        }
        if matches!(kind, "HorizontalPodAutoscaler" | "PodDisruptionBudget") || WORKLOADS.contains(&kind) {
            risks.insert(Risk::DropsCapacity);
        }
        return risks;
    }
    let outside = object.pointer("/spec/type").and_then(Value::as_str).is_some_and(|t| OUTSIDE.contains(&t));
    if ROUTES.contains(&kind) || (kind == "Service" && outside) {
        risks.insert(Risk::OpensNetwork);
    }
    if risks.is_empty() {
        risks.insert(Risk::Other);
    }
    risks
}

/// The risk of changing one field. A field of a pod template that also lowers its resources
/// counts as a drop of capacity: the restart is plain from the object.
pub(super) fn of_field(id: &ObjectId, change: &FieldChange) -> Risk {
    let kind = id.kind.as_str();
    if opens_network(kind, change) {
        return Risk::OpensNetwork;
    }
    if drops_capacity(kind, change) {
        return Risk::DropsCapacity;
    }
    if WORKLOADS.contains(&kind) && change.path.starts_with(&["spec", "template"]) {
        return Risk::RestartsPods;
    }
    Risk::Other
}

fn opens_network(kind: &str, change: &FieldChange) -> bool {
    let path = &change.path;
    match kind {
        "NetworkPolicy" => {
            let rules = path.starts_with(&["spec", "ingress"]) || path.starts_with(&["spec", "egress"]);
            let types = path.starts_with(&["spec", "policyTypes"]);
            let selector = path.starts_with(&["spec", "podSelector"]);
            // A rule that gains a peer or a port opens; one that loses its last restriction
            // (`from`, `to`, `ports` gone) opens even more.
            let restriction_lost = change.new.is_none()
                && (path.ends_with(&["from"]) || path.ends_with(&["to"]) || path.ends_with(&["ports"]));
            (rules && (change.new.is_some() || restriction_lost))
                || (types && change.new.is_none())
                || selector
        }
        "Service" => {
            let outside =
                |v: &Option<Value>| v.as_ref().and_then(Value::as_str).is_some_and(|t| OUTSIDE.contains(&t));
            (path.ends_with(&["type"]) && outside(&change.new) && !outside(&change.old))
                || (path.ends_with(&["nodePort"]) && change.old.is_none())
                || (path.has("loadBalancerSourceRanges") && (change.new.is_none() || change.old.is_none()))
        }
        _ if ROUTES.contains(&kind) => {
            let hosts =
                path.has("hostnames") || path.has("host") || path.has("rules") || path.has("listeners");
            hosts && change.new.is_some() && change.old.is_none()
        }
        _ => path.ends_with(&["hostNetwork"]) || path.ends_with(&["hostPort"]),
    }
}

fn drops_capacity(kind: &str, change: &FieldChange) -> bool {
    let path = &change.path;
    let lower = match (&change.old, &change.new) {
        (Some(old), Some(new)) => quantity::is_less(new, old),
        _ => None,
    };
    match kind {
        "HorizontalPodAutoscaler" => {
            (path.ends_with(&["minReplicas"]) || path.ends_with(&["maxReplicas"])) && lower == Some(true)
        }
        "PodDisruptionBudget" => {
            let more_unavailable = path.ends_with(&["maxUnavailable"]) && lower != Some(true);
            let less_available = path.ends_with(&["minAvailable"]) && lower != Some(false);
            more_unavailable || less_available
        }
        _ if WORKLOADS.contains(&kind) => {
            let replicas = path.starts_with(&["spec", "replicas"]) && (lower == Some(true));
            let resources = path.has("resources")
                && (lower == Some(true) || (path.has("requests") && change.new.is_none()));
            let rollout = path.ends_with(&["rollingUpdate", "maxUnavailable"]) && lower != Some(true);
            replicas || resources || rollout
        }
        "ResourceQuota" | "LimitRange" => lower == Some(true),
        _ => false,
    }
}
