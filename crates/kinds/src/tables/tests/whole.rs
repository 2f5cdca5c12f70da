//! Whole tables: headers, rows, what rows carry, and that nothing panics.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::cell::human_duration;
use super::super::{
    IncludeObject, ListMeta, MetaVersion, PRINTERS, TableOptions, columns, has_printer,
    partial_object_metadata, partial_object_metadata_list, render, render_one, row,
};
use super::{NOW, ago, named};

#[test]
fn durations_are_as_short_as_kubectl_prints_them() {
    const M: i64 = 60;
    const H: i64 = 3600;
    const D: i64 = 86_400;
    const Y: i64 = 365 * D;
    let cases = [
        (-3, "<invalid>"),
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (45, "45s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (10 * M - 1, "9m59s"),
        (10 * M + 30, "10m"),
        (3 * H - 1, "179m"),
        (3 * H, "3h"),
        (3 * H + 5 * M, "3h5m"),
        (8 * H - 1, "7h59m"),
        (8 * H + 5 * M, "8h"),
        (48 * H - 1, "47h"),
        (2 * D, "2d"),
        (2 * D + 3 * H, "2d3h"),
        (8 * D - 1, "7d23h"),
        (8 * D + 3 * H, "8d"),
        (400 * D, "400d"),
        (2 * Y - 1, "729d"),
        (2 * Y, "2y"),
        (2 * Y + 10 * D, "2y10d"),
        (8 * Y - 1, "7y364d"),
        (8 * Y + 100 * D, "8y"),
        (25 * Y, "25y"),
    ];
    for (seconds, want) in cases {
        assert_eq!(human_duration(seconds * 1_000_000), want, "{seconds} s");
    }
    // Up to two whole seconds ahead is clock skew, not an error.
    assert_eq!(human_duration(-1_999_999), "0s");
    assert_eq!(human_duration(i64::MAX), "292471y");
    assert_eq!(human_duration(i64::MIN), "<invalid>");
}

/// Kinds of Kubernetes 1.37 that are printed with name and creation time alone.
const DEFAULT_KINDS: &[(&str, &str)] = &[
    ("", "LimitRange"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("storage.k8s.io", "CSIStorageCapacity"),
];

/// Every kind of Kubernetes 1.37 that can be listed.
const KINDS: &[(&str, &str)] = &[
    ("", "ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume"),
    (
        "",
        "PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount",
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("apps", "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler Scale"),
    ("batch", "CronJob Job"),
    ("certificates.k8s.io", "CertificateSigningRequest ClusterTrustBundle PodCertificateRequest"),
    ("coordination.k8s.io", "Lease LeaseCandidate"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("events.k8s.io", "Event"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema PriorityLevelConfiguration"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("lifecycle.k8s.io", "Eviction EvictionRequest"),
    ("networking.k8s.io", "IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "ClusterRole ClusterRoleBinding Role RoleBinding"),
    ("resource.k8s.io", "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate"),
    ("resource.k8s.io", "ResourcePoolStatusRequest ResourceSlice"),
    ("scheduling.k8s.io", "CompositePodGroup PodGroup PriorityClass Workload"),
    (
        "storage.k8s.io",
        "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass",
    ),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
];

fn kinds() -> BTreeSet<(&'static str, &'static str)> {
    KINDS.iter().flat_map(|(group, kinds)| kinds.split(' ').map(move |kind| (*group, kind))).collect()
}

#[test]
fn every_kind_has_a_printer_or_is_known_to_have_none() {
    for (group, kind) in kinds() {
        let default = DEFAULT_KINDS.contains(&(group, kind));
        assert_eq!(has_printer(group, kind), !default, "{group}/{kind}");
    }
    let printed: BTreeSet<_> = PRINTERS.iter().copied().flatten().map(|p| (p.group, p.kind)).collect();
    assert_eq!(printed.difference(&kinds()).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new());
    assert_eq!(printed.len(), PRINTERS.iter().map(|p| p.len()).sum::<usize>(), "a kind is printed twice");
}

#[test]
fn every_kind_of_the_type_table_is_listed_here() {
    let schema = kiban_schema::table::Schema::builtin();
    let listed = schema.resources().filter(|k| k.verbs.iter().any(|v| v == "list"));
    let missing: Vec<String> = listed
        .filter(|k| !kinds().contains(&(k.group.as_str(), k.kind.as_str())))
        .map(|k| format!("{}/{}", k.group, k.kind))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    assert!(schema.resources().any(|k| k.kind == "Pod"));
}

#[test]
fn columns_are_well_formed() {
    for (group, kind) in kinds() {
        let columns = columns(group, kind);
        let names: BTreeSet<_> = columns.iter().map(|c| c.name).collect();
        assert_eq!(names.len(), columns.len(), "{kind}: a column twice");
        for c in columns {
            assert!(matches!(c.type_, "string" | "integer" | "boolean" | "date"), "{kind}: {c:?}");
            assert!(matches!(c.format, "" | "name"), "{kind}: {c:?}");
            assert!(c.priority <= 1 && c.description.ends_with('.'), "{kind}: {c:?}");
        }
        // The one kind whose row is longer than its header upstream.
        let extra = usize::from(kind == "IPAddress");
        assert_eq!(row(group, kind, &json!({}), NOW).len(), columns.len() + extra, "{kind}");
    }
}

fn list_meta() -> ListMeta {
    ListMeta { resource_version: "42".into(), continue_token: "next".into(), remaining_item_count: Some(7) }
}

#[test]
fn a_list_becomes_a_table() {
    let objects = [named("a", json!({"data": {"k": "v"}})), named("b", json!({}))];
    let table = render("", "ConfigMap", &objects, &list_meta(), TableOptions::default(), NOW);
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(
        table["metadata"],
        json!({"resourceVersion": "42", "continue": "next", "remainingItemCount": 7})
    );
    let definition = &table["columnDefinitions"][0];
    assert_eq!(definition["name"], "Name");
    assert_eq!(definition["format"], "name");
    assert_eq!(definition["priority"], 0);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 1, "60m"]));
    assert_eq!(table["rows"][1]["cells"], json!(["b", 0, "60m"]));
    let carried = &table["rows"][0]["object"];
    assert_eq!(carried["kind"], "PartialObjectMetadata");
    assert_eq!(carried["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(carried["metadata"]["name"], "a");
    assert!(carried.get("data").is_none());

    let none: [Value; 0] = [];
    let empty = render("", "ConfigMap", &none, &ListMeta::default(), TableOptions::default(), NOW);
    assert_eq!(empty["rows"], json!([]));
    assert_eq!(empty["metadata"], json!({}));
}

#[test]
fn rows_carry_what_was_asked_for() {
    let object = named("a", json!({"kind": "ConfigMap", "apiVersion": "v1"}));
    let with = |include, version| {
        let options = TableOptions { include, no_headers: false, version };
        render_one("", "ConfigMap", &object, options, NOW)
    };
    assert_eq!(with(IncludeObject::None, MetaVersion::V1)["rows"][0]["object"], Value::Null);
    assert_eq!(with(IncludeObject::Object, MetaVersion::V1)["rows"][0]["object"], object);
    let old = with(IncludeObject::Metadata, MetaVersion::V1Beta1);
    assert_eq!(old["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(old["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
}

#[test]
fn only_the_first_event_of_a_watch_has_headers() {
    let object = named("a", json!({"metadata": {"resourceVersion": "9"}}));
    let first = render_one("", "Secret", &object, TableOptions::default(), NOW);
    assert_eq!(first["columnDefinitions"].as_array().unwrap().len(), 4);
    assert_eq!(first["metadata"], json!({"resourceVersion": "9"}));
    let later = TableOptions { no_headers: true, ..TableOptions::default() };
    assert_eq!(render_one("", "Secret", &object, later, NOW)["columnDefinitions"], Value::Null);
    // The aggregator prints its own kind and always sends them.
    let api = render_one("apiregistration.k8s.io", "APIService", &object, later, NOW);
    assert_eq!(api["columnDefinitions"].as_array().unwrap().len(), 4);
}

#[test]
fn ended_pods_are_marked_so_that_clients_can_fold_them() {
    let conditions = |phase: &str| {
        let pod = named("p", json!({"status": {"phase": phase}}));
        render_one("", "Pod", &pod, TableOptions::default(), NOW)["rows"][0]["conditions"].clone()
    };
    assert_eq!(conditions("Running"), Value::Null);
    for phase in ["Succeeded", "Failed"] {
        let condition = &conditions(phase)[0];
        assert_eq!(condition["type"], "Completed");
        assert_eq!(condition["status"], "True");
        assert_eq!(condition["reason"], phase);
    }
}

#[test]
fn flow_schemas_are_sorted_by_precedence_and_name() {
    let schema = |name: &str, n: i64| named(name, json!({"spec": {"matchingPrecedence": n}}));
    let objects = [schema("z", 10), schema("b", 900), schema("a", 900), schema("c", 1)];
    let meta = ListMeta::default();
    let table =
        render("flowcontrol.apiserver.k8s.io", "FlowSchema", &objects, &meta, TableOptions::default(), NOW);
    let names: Vec<_> = table["rows"].as_array().unwrap().iter().map(|r| r["cells"][0].clone()).collect();
    assert_eq!(names, ["c", "z", "a", "b"]);
}

#[test]
fn a_list_marks_the_one_storage_class_that_is_the_default() {
    let class = |name: &str, key: &str, age: i64| json!({"metadata": {"name": name, "creationTimestamp": ago(age), "annotations": {key: "true"}}});
    let names = |objects: &[Value]| -> Vec<String> {
        let meta = ListMeta::default();
        let table = render("storage.k8s.io", "StorageClass", objects, &meta, TableOptions::default(), NOW);
        let rows = table["rows"].as_array().unwrap();
        rows.iter().map(|r| r["cells"][0].as_str().unwrap().to_owned()).collect()
    };
    let ga = "storageclass.kubernetes.io/is-default-class";
    let beta = "storageclass.beta.kubernetes.io/is-default-class";
    assert_eq!(names(&[class("a", ga, 50), class("b", "other", 1)]), ["a (default)", "b"]);
    assert_eq!(names(&[class("a", ga, 50), class("b", beta, 1)]), ["a", "b (default)"]);
    assert_eq!(names(&[class("b", ga, 5), class("a", ga, 5)]), ["b", "a (default)"]);
    assert_eq!(names(&[class("a", "other", 5)]), ["a"]);
    // Alone, an object does not know.
    let cells = row("storage.k8s.io", "StorageClass", &class("a", ga, 50), NOW);
    assert_eq!(cells[0], "a");
}

#[test]
fn metadata_can_be_had_alone() {
    let object = named("a", json!({"kind": "Pod", "apiVersion": "v1", "spec": {"x": 1}}));
    let partial = partial_object_metadata(&object, MetaVersion::V1);
    assert_eq!(
        partial,
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
    );
    assert_eq!(partial_object_metadata(&json!([1]), MetaVersion::V1)["metadata"], json!({}));
    let list = partial_object_metadata_list(std::slice::from_ref(&object), &list_meta(), MetaVersion::V1);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["metadata"]["continue"], "next");
    assert_eq!(list["items"], json!([partial]));
}

#[test]
fn include_object_is_read_or_refused() {
    assert_eq!(IncludeObject::parse("").unwrap(), IncludeObject::Metadata);
    assert_eq!(IncludeObject::parse("Metadata").unwrap(), IncludeObject::Metadata);
    assert_eq!(IncludeObject::parse("Object").unwrap(), IncludeObject::Object);
    assert_eq!(IncludeObject::parse("None").unwrap(), IncludeObject::None);
    assert_eq!(
        IncludeObject::parse("all").unwrap_err().to_string(),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"all\": must be 'Metadata', \
         'Object', 'None', or empty"
    );
}

/// Field names that printers read, so that random objects reach into them.
const KEYS: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "name",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "ownerReferences",
    "controller",
    "conditions",
    "type",
    "reason",
    "phase",
    "containers",
    "initContainers",
    "containerStatuses",
    "initContainerStatuses",
    "state",
    "lastState",
    "terminated",
    "waiting",
    "running",
    "exitCode",
    "signal",
    "restartCount",
    "finishedAt",
    "restartPolicy",
    "ready",
    "started",
    "metrics",
    "currentMetrics",
    "resource",
    "external",
    "pods",
    "object",
    "target",
    "current",
    "averageValue",
    "averageUtilization",
    "template",
    "selector",
    "matchLabels",
    "matchExpressions",
    "values",
    "operator",
    "key",
    "hard",
    "used",
    "capacity",
    "storage",
    "accessModes",
    "rules",
    "tls",
    "host",
    "loadBalancer",
    "ingress",
    "ip",
    "clusterIPs",
    "externalIPs",
    "ports",
    "port",
    "nodePort",
    "subsets",
    "addresses",
    "endpoints",
    "subjects",
    "kind",
    "roleRef",
    "involvedObject",
    "series",
    "count",
    "eventTime",
    "firstTimestamp",
    "lastTimestamp",
    "startTime",
    "completionTime",
    "completions",
    "parallelism",
    "readinessGates",
    "podIPs",
    "targetResponders",
    "responders",
    "requesters",
    "pools",
    "poolCount",
    "totalDevices",
    "items",
    "data",
    "limited",
    "limitResponse",
    "queuing",
    "parentRef",
    "parameters",
    "paramRef",
    "storageVersions",
    "expirationSeconds",
    "deviceTaint",
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        Just(json!(ago(100))),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("-009999-01-01T00:00:00Z")),
        Just(json!("Resource")),
        Just(json!("LoadBalancer")),
        Just(json!("Active")),
        Just(json!("True")),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 80, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_object_makes_a_printer_panic(metadata in any_value(), spec in any_value(), status in any_value(),
                                       rest in any_value()) {
        let object = json!({
            "metadata": metadata, "spec": spec, "status": status, "subsets": rest, "subjects": rest,
            "endpoints": rest, "ports": rest, "conditions": rest, "data": rest, "template": rest,
        });
        for (group, kind) in kinds() {
            for object in [&object, &rest] {
                let cells = row(group, kind, object, NOW);
                prop_assert!(cells.len() >= columns(group, kind).len());
                prop_assert!(cells.iter().all(|c| !c.is_array() && !c.is_object() && !c.is_null()));
            }
            let table = render(group, kind, [&object, &rest], &ListMeta::default(), TableOptions::default(), NOW);
            prop_assert_eq!(table["rows"].as_array().map(Vec::len), Some(2));
        }
    }
}
