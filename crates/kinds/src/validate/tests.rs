//! Cases for the value checks: an object, what is done to it, and what the API server says.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::{create, update};
use crate::{defaults, prepare};

mod cases;
mod charts;
mod messages;
mod random;

/// A good object of a kind, before defaults.
pub(crate) fn good(kind: &str) -> (&'static str, Value) {
    let pod = json!({"containers": [{"name": "app", "image": "nginx:1.27"}]});
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": pod});
    let once = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "nginx:1.27"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let spec = |group, spec: Value| (group, json!({"spec": spec}));
    let (group, mut object): (&str, Value) = match kind {
        "Pod" => spec("", pod),
        "Deployment" | "ReplicaSet" | "DaemonSet" => {
            spec("apps", json!({"selector": selector, "template": template}))
        }
        "StatefulSet" => {
            spec("apps", json!({"serviceName": "web", "selector": selector, "template": template}))
        }
        "ReplicationController" => spec("", json!({"selector": {"app": "web"}, "template": template})),
        "PodTemplate" => ("", json!({"template": template})),
        "Job" => spec("batch", json!({"template": once})),
        "CronJob" => {
            spec("batch", json!({"schedule": "15 3 * * *", "jobTemplate": {"spec": {"template": once}}}))
        }
        "Service" => spec("", json!({"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]})),
        "ConfigMap" => ("", json!({"data": {"a": "1"}})),
        "Secret" => ("", json!({"data": {"a": "MQ=="}})),
        "Namespace" | "Node" | "ServiceAccount" => ("", json!({})),
        "PersistentVolumeClaim" => spec("", claim),
        "PersistentVolume" => spec(
            "",
            json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}),
        ),
        "ResourceQuota" => spec("", json!({"hard": {"pods": "10", "requests.cpu": "4"}})),
        "LimitRange" => spec("", json!({"limits": [{"type": "Container", "max": {"cpu": "2"}}]})),
        "Endpoints" => {
            ("", json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}))
        }
        "EndpointSlice" => (
            "discovery.k8s.io",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        ),
        "Ingress" => spec(
            "networking.k8s.io",
            json!({"rules": [{"host": "a.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
            ]}}]}),
        ),
        "IngressClass" => spec("networking.k8s.io", json!({"controller": "example.com/ingress"})),
        "NetworkPolicy" => spec(
            "networking.k8s.io",
            json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]}),
        ),
        "HorizontalPodAutoscaler" => spec(
            "autoscaling",
            json!({"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
        ),
        "PodDisruptionBudget" => spec("policy", json!({"minAvailable": 1, "selector": selector})),
        "StorageClass" => ("storage.k8s.io", json!({"provisioner": "example.com/disk"})),
        "PriorityClass" => ("scheduling.k8s.io", json!({"value": 1000})),
        "Role" | "ClusterRole" => (
            "rbac.authorization.k8s.io",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ),
        "RoleBinding" | "ClusterRoleBinding" => (
            "rbac.authorization.k8s.io",
            json!({
                "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "default"}],
            }),
        ),
        "Lease" => spec("coordination.k8s.io", json!({"holderIdentity": "a", "leaseDurationSeconds": 15})),
        "RuntimeClass" => ("node.k8s.io", json!({"handler": "runc"})),
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => (
            "admissionregistration.k8s.io",
            json!({"webhooks": [{
                "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "hook", "namespace": "default"}},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            }]}),
        ),
        "CustomResourceDefinition" => (
            "apiextensions.k8s.io",
            json!({"metadata": {"name": "things.example.com"}, "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
            }}),
        ),
        "APIService" => (
            "apiregistration.k8s.io",
            json!({"metadata": {"name": "v1.example.com"}, "spec": {
                "group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
                "service": {"name": "api", "namespace": "default"}, "insecureSkipTLSVerify": true,
            }}),
        ),
        "CSIDriver" => ("storage.k8s.io", json!({"metadata": {"name": "disk.example.com"}, "spec": {}})),
        "CSINode" => {
            spec("storage.k8s.io", json!({"drivers": [{"name": "disk.example.com", "nodeID": "n1"}]}))
        }
        "VolumeAttachment" => spec(
            "storage.k8s.io",
            json!({"attacher": "disk.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv"}}),
        ),
        "CertificateSigningRequest" => spec(
            "certificates.k8s.io",
            json!({"request": "YQ==", "signerName": "example.com/signer", "usages": ["digital signature"]}),
        ),
        "Event" => ("", json!({"involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"}})),
        "ControllerRevision" => ("apps", json!({"revision": 1, "data": {"a": 1}})),
        "ServiceCIDR" => spec("networking.k8s.io", json!({"cidrs": ["10.0.0.0/16"]})),
        "IPAddress" => (
            "networking.k8s.io",
            json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "a", "namespace": "b"}}}),
        ),
        other => panic!("no good {other} at hand"),
    };
    let namespaced = super::is_namespaced(group, kind) == Some(true);
    let meta = object.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({"name": "web"}));
    meta["uid"] = json!("0b5f2f4e-7c0a-4a43-9f0e-1d2c3b4a5968");
    meta["resourceVersion"] = json!("1");
    if namespaced {
        meta["namespace"] = json!("default");
    }
    (group, object)
}

/// Kinds that [`good`] knows.
pub(crate) const KINDS: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "HorizontalPodAutoscaler",
    "IPAddress",
    "Ingress",
    "IngressClass",
    "Job",
    "Lease",
    "LimitRange",
    "MutatingWebhookConfiguration",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "PodTemplate",
    "PriorityClass",
    "ReplicaSet",
    "ReplicationController",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceCIDR",
    "StatefulSet",
    "StorageClass",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// Does `path=json` edits, separated by ` ; `, to an object. Parts on the way are made; `-` takes away.
pub(crate) fn edit(object: &mut Value, edits: &str) {
    for edit in edits.split(" ; ").filter(|e| !e.is_empty()) {
        let (path, value) = edit.split_once('=').unwrap();
        let mut place = &mut *object;
        let steps: Vec<&str> = path.split('.').collect();
        let (last, way) = steps.split_last().unwrap();
        for step in way {
            place = step_into(place, &step.replace('|', "."));
        }
        let last = last.replace('|', ".");
        if value == "-" {
            place.as_object_mut().unwrap().remove(&last);
        } else {
            *step_into(place, &last) =
                serde_json::from_str(value).unwrap_or_else(|why| panic!("{edit}: {why}"));
        }
    }
}

fn step_into<'v>(place: &'v mut Value, step: &str) -> &'v mut Value {
    if let Ok(index) = step.parse::<usize>() {
        if !place.is_array() {
            *place = json!([]);
        }
        let items = place.as_array_mut().unwrap();
        while items.len() <= index {
            items.push(json!({}));
        }
        return &mut items[index];
    }
    if !place.is_object() {
        *place = json!({});
    }
    place.as_object_mut().unwrap().entry(step).or_insert(Value::Null)
}

/// An object as it stands before the checks of a create.
pub(crate) fn written(kind: &str, edits: &str) -> (&'static str, Value) {
    let (group, mut object) = good(kind);
    edit(&mut object, edits);
    defaults::apply(group, kind, &mut object);
    prepare::create(group, kind, &mut object);
    (group, object)
}

/// What is said, one sentence per cause.
pub(crate) fn sentences(causes: &[super::Cause]) -> Vec<String> {
    causes.iter().map(ToString::to_string).collect()
}

#[test]
fn good_objects_of_all_kinds_pass() {
    for kind in KINDS {
        let (group, object) = written(kind, "");
        assert_eq!(sentences(&create(group, kind, &object)), Vec::<String>::new(), "{kind}");
        let mut new = object.clone();
        prepare::update(group, kind, &object, &mut new);
        assert_eq!(sentences(&update(group, kind, &object, &new)), Vec::<String>::new(), "{kind}");
        assert_eq!(object, new, "{kind}");
    }
}
