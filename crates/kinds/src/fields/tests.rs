//! What each kind can be selected by, and what is said of the rest.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use kiban_base::selector::FieldSelector;
use serde_json::{Value, json};

use super::{FIELDS, extract, resolve, supported};

/// The object's fields as one JSON map.
fn fields(group: &str, kind: &str, object: &Value) -> Value {
    extract(group, kind, object).into_iter().map(|(k, v)| (k.to_owned(), Value::from(v))).collect()
}

#[test]
fn objects_give_the_fields_of_their_kind() {
    let meta = json!({"name": "x", "namespace": "ns"});
    let cases = [
        ("", "ConfigMap", json!({"metadata": meta, "type": "no"}), json!({})),
        (
            "",
            "Pod",
            json!({
                "metadata": meta,
                "spec": {"nodeName": "n", "restartPolicy": "Always", "schedulerName": "s", "serviceAccountName": "a",
                         "hostNetwork": true},
                "status": {"phase": "Running", "podIP": "1.1.1.1", "podIPs": [{"ip": "1.1.1.1"}, {"ip": "fd00::1"}],
                           "nominatedNodeName": "m"},
            }),
            json!({"spec.nodeName": "n", "spec.restartPolicy": "Always", "spec.schedulerName": "s",
                   "spec.serviceAccountName": "a", "spec.hostNetwork": "true", "status.phase": "Running",
                   "status.podIP": "1.1.1.1", "status.nominatedNodeName": "m"}),
        ),
        (
            "",
            "Node",
            json!({"metadata": meta, "spec": {"unschedulable": true}}),
            json!({"spec.unschedulable": "true"}),
        ),
        ("", "Node", json!({"metadata": meta}), json!({"spec.unschedulable": "false"})),
        (
            "",
            "Namespace",
            json!({"metadata": meta, "status": {"phase": "Active"}}),
            json!({"status.phase": "Active"}),
        ),
        ("", "Secret", json!({"metadata": meta, "type": "Opaque"}), json!({"type": "Opaque"})),
        (
            "",
            "Service",
            json!({"metadata": meta, "spec": {"clusterIP": "None", "type": "ClusterIP"}}),
            json!({"spec.clusterIP": "None", "spec.type": "ClusterIP"}),
        ),
        (
            "",
            "ReplicationController",
            json!({"metadata": meta, "status": {"replicas": 3}}),
            json!({"status.replicas": "3"}),
        ),
        (
            "batch",
            "Job",
            json!({"metadata": meta, "status": {"succeeded": 2}}),
            json!({"status.successful": "2"}),
        ),
        ("batch", "Job", json!({"metadata": meta}), json!({"status.successful": "0"})),
        (
            "certificates.k8s.io",
            "CertificateSigningRequest",
            json!({"metadata": meta, "spec": {"signerName": "s"}}),
            json!({"spec.signerName": "s"}),
        ),
        (
            "certificates.k8s.io",
            "PodCertificateRequest",
            json!({"metadata": meta, "spec": {"signerName": "s", "podName": "p", "nodeName": "n"}}),
            json!({"spec.signerName": "s", "spec.podName": "p", "spec.nodeName": "n"}),
        ),
        (
            "resource.k8s.io",
            "ResourceSlice",
            json!({"metadata": meta, "spec": {"driver": "d"}}),
            json!({"spec.driver": "d", "spec.nodeName": ""}),
        ),
    ];
    for (group, kind, object, want) in cases {
        let mut want = want;
        let map = want.as_object_mut().unwrap();
        map.insert("metadata.name".into(), "x".into());
        map.insert("metadata.namespace".into(), "ns".into());
        assert_eq!(fields(group, kind, &object), want, "{kind}");
    }
}

#[test]
fn both_forms_of_an_event_have_the_same_fields() {
    let about = json!({"kind": "Pod", "namespace": "ns", "name": "p", "uid": "u", "apiVersion": "v1",
                       "resourceVersion": "5", "fieldPath": "spec"});
    let old = json!({"involvedObject": about, "reason": "R", "type": "Normal", "source": {"component": "kubelet"},
                     "reportingComponent": "c"});
    let new = json!({"regarding": about, "reason": "R", "type": "Normal", "deprecatedSource": {"component": "kubelet"},
                     "reportingController": "c"});
    let want = json!({
        "involvedObject.kind": "Pod", "involvedObject.namespace": "ns", "involvedObject.name": "p",
        "involvedObject.uid": "u", "involvedObject.apiVersion": "v1", "involvedObject.resourceVersion": "5",
        "involvedObject.fieldPath": "spec", "reason": "R", "type": "Normal", "source": "kubelet",
        "reportingComponent": "c",
    });
    assert_eq!(fields("", "Event", &old), want);
    assert_eq!(fields("events.k8s.io", "Event", &new), want);
    let bare = fields("", "Event", &json!({"reportingComponent": "c"}));
    assert_eq!(bare["source"], "c");
}

#[test]
fn unsupported_fields_are_refused_in_the_words_of_the_api() {
    let cases = [
        ("", "v1", "Pod", "spec.foo", "field label not supported: spec.foo"),
        ("", "v1", "Node", "metadata.namespace", "field label not supported: metadata.namespace"),
        ("", "v1", "Namespace", "spec.x", "field label not supported: spec.x"),
        (
            "events.k8s.io",
            "v1",
            "Event",
            "involvedObject.name",
            "field label not supported: involvedObject.name",
        ),
        (
            "batch",
            "v1",
            "Job",
            "status.failed",
            "field label \"status.failed\" not supported for batchv1.Job",
        ),
        (
            "resource.k8s.io",
            "v1",
            "ResourceSlice",
            "spec.pool",
            "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.pool",
        ),
        (
            "apps",
            "v1",
            "ReplicaSet",
            "status.replicas",
            "\"status.replicas\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
    ];
    for (group, version, kind, field, want) in cases {
        assert_eq!(resolve(group, version, kind, field).unwrap_err().to_string(), want, "{kind}");
    }
}

#[test]
fn selectors_are_checked_and_renamed() {
    let selector = |text: &str| FieldSelector::parse(text).unwrap();
    let pod = supported("", "v1", "Pod", &selector("spec.host=n1,status.phase!=Running")).unwrap();
    assert_eq!(pod.to_string(), "spec.nodeName=n1,status.phase!=Running");
    let event = supported("events.k8s.io", "v1", "Event", &selector("regarding.name=a\\,b")).unwrap();
    assert_eq!(event.exact("involvedObject.name"), Some("a,b"));
    assert!(supported("", "v1", "Pod", &selector("metadata.name=x,spec.foo=bar")).is_err());
    assert!(
        supported("apps", "v1", "Deployment", &selector("metadata.name=x,metadata.namespace!=y")).is_ok()
    );
    assert!(supported("", "v1", "Pod", &FieldSelector::everything()).unwrap().is_everything());

    let object =
        json!({"metadata": {"name": "x"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Pending"}});
    assert!(pod.matches(&extract("", "Pod", &object)));
    // Accepted, but compared with nothing.
    let ips = supported("", "v1", "Pod", &selector("status.podIPs=1.1.1.1")).unwrap();
    assert!(!ips.matches(&extract("", "Pod", &json!({"status": {"podIPs": [{"ip": "1.1.1.1"}]}}))));
}

#[test]
fn every_field_that_is_given_can_be_selected_by() {
    for entry in FIELDS {
        let given: BTreeSet<&str> = (entry.values)(&json!({})).into_iter().map(|(name, _)| name).collect();
        let known: BTreeSet<&str> =
            entry.names.iter().copied().chain(entry.aliases.iter().map(|(_, name)| *name)).collect();
        assert!(given.is_subset(&known), "{}", entry.kind);
        let missing: Vec<&str> =
            known.difference(&given).copied().filter(|n| !n.starts_with("metadata.")).collect();
        let want: &[&str] = if entry.kind == "Pod" { &["status.podIPs"] } else { &[] };
        assert_eq!(missing, want, "{}", entry.kind);
    }
}

#[test]
fn fields_of_the_wrong_type_are_empty() {
    let garbage =
        json!({"metadata": 1, "spec": [], "status": {"podIPs": "x", "succeeded": "y"}, "involvedObject": 3});
    for entry in FIELDS {
        for (name, value) in extract(entry.group, entry.kind, &garbage) {
            assert!(matches!(value.as_str(), "" | "0" | "false"), "{} {name} {value}", entry.kind);
        }
    }
    assert!(extract("", "Pod", &Value::Null).iter().all(|(_, v)| v.is_empty() || v == "false"));
}
