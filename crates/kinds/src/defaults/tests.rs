//! Goldens: what each kind looks like with its defaults.

use serde_json::{Value, json};

use super::apply;
use crate::validate::tests::{KINDS, good, written};

fn defaulted(group: &str, kind: &str, mut object: Value) -> Value {
    apply(group, kind, &mut object);
    object
}

/// Each case: what is written, what is stored.
fn defaults(group: &str, kind: &str, cases: &[(Value, Value)]) {
    for (before, after) in cases {
        assert_eq!(defaulted(group, kind, before.clone()), *after, "{kind} {before}");
    }
}

fn pod_spec(extra: Value) -> Value {
    let mut spec = json!({
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    });
    merge(&mut spec, extra);
    spec
}

fn container(extra: Value) -> Value {
    let mut container = json!({
        "name": "a", "image": "a:1", "imagePullPolicy": "IfNotPresent", "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    });
    merge(&mut container, extra);
    container
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// A template of one plain container, as written and as stored.
fn template() -> (Value, Value) {
    let written =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}});
    let stored = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": pod_spec(json!({"containers": [container(json!({}))]})),
    });
    (written, stored)
}

#[test]
fn pods_get_their_defaults() {
    let (before, _) = template();
    let stored = pod_spec(json!({"containers": [container(json!({}))], "enableServiceLinks": true}));
    defaults("", "Pod", &[(json!({"spec": before["spec"]}), json!({"spec": stored}))]);
}

/// Each case: a container as written, and what it has beside the usual.
#[test]
fn containers_get_their_defaults() {
    let cases = [
        (json!({"image": "a"}), json!({"image": "a", "imagePullPolicy": "Always"})),
        (json!({"image": "a:latest"}), json!({"image": "a:latest", "imagePullPolicy": "Always"})),
        (json!({"image": "host:5000/a"}), json!({"image": "host:5000/a", "imagePullPolicy": "Always"})),
        (
            json!({"image": "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}),
            json!({"image": "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}),
        ),
        (json!({"imagePullPolicy": "Never"}), json!({"imagePullPolicy": "Never"})),
        (
            json!({"ports": [{"containerPort": 80}]}),
            json!({"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
        ),
        (
            json!({"resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}),
            json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}}),
        ),
        (
            json!({"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": 0.5}}}),
            json!({"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}}}),
        ),
        (
            json!({"livenessProbe": {"httpGet": {"port": 80}}}),
            json!({"livenessProbe": {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
            }}),
        ),
        (
            json!({"readinessProbe": {"grpc": {"port": 80}, "periodSeconds": 5}}),
            json!({"readinessProbe": {
                "grpc": {"port": 80, "service": ""},
                "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3,
            }}),
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}]}),
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}),
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}]}),
        ),
        (
            json!({"lifecycle": {"preStop": {"httpGet": {"port": "web"}}}}),
            json!({"lifecycle": {"preStop": {"httpGet": {"port": "web", "path": "/", "scheme": "HTTP"}}}}),
        ),
        (json!({"command": [], "args": null, "tty": false}), json!({})),
    ];
    for (extra, stored) in cases {
        let mut before = json!({"name": "a", "image": "a:1"});
        merge(&mut before, extra.clone());
        let pod = defaulted("", "Pod", json!({"spec": {"containers": [before]}}));
        assert_eq!(pod["spec"]["containers"][0], container(stored), "{extra}");
    }
}

/// Each case: a volume as written and as stored.
#[test]
fn volumes_get_their_defaults() {
    let cases = [
        (json!({}), json!({"emptyDir": {}})),
        (json!({"emptyDir": {"sizeLimit": "1024Mi"}}), json!({"emptyDir": {"sizeLimit": "1Gi"}})),
        (json!({"hostPath": {"path": "/a"}}), json!({"hostPath": {"path": "/a", "type": ""}})),
        (json!({"configMap": {"name": "a"}}), json!({"configMap": {"name": "a", "defaultMode": 420}})),
        (
            json!({"secret": {"secretName": "a", "defaultMode": 256}}),
            json!({"secret": {"secretName": "a", "defaultMode": 256}}),
        ),
        (
            json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
            json!({"downwardAPI": {"defaultMode": 420, "items": [
                {"path": "a", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}},
            ]}}),
        ),
        (
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            json!({"projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
            ]}}),
        ),
        (
            json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
            json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}}}}),
        ),
        (
            json!({"image": {"reference": "a:1"}}),
            json!({"image": {"reference": "a:1", "pullPolicy": "IfNotPresent"}}),
        ),
        (
            json!({"iscsi": {"targetPortal": "a", "iqn": "iqn.a", "lun": 0}}),
            json!({"iscsi": {"targetPortal": "a", "iqn": "iqn.a", "lun": 0, "iscsiInterface": "default"}}),
        ),
    ];
    for (mut before, mut after) in cases {
        merge(&mut before, json!({"name": "v"}));
        merge(&mut after, json!({"name": "v"}));
        let pod = defaulted("", "Pod", json!({"spec": {"volumes": [before]}}));
        assert_eq!(pod["spec"]["volumes"][0], after);
    }
}

#[test]
fn pods_name_their_service_account_twice_and_their_host_ports() {
    let pod = defaulted("", "Pod", json!({"spec": {"serviceAccount": "a"}}));
    assert_eq!(pod["spec"]["serviceAccountName"], "a");
    let spec = json!({"hostNetwork": true, "containers": [{"name": "a", "ports": [{"containerPort": 80}]}]});
    let pod = defaulted("", "Pod", json!({"spec": spec}));
    assert_eq!(
        pod["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}])
    );
    let template = defaulted("apps", "Deployment", json!({"spec": {"template": {"spec": spec}}}));
    let ports = &template["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert_eq!(*ports, json!([{"containerPort": 80, "protocol": "TCP"}]));
}

#[test]
fn workloads_get_their_defaults() {
    let (written, stored) = template();
    let rolling =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}});
    defaults(
        "apps",
        "Deployment",
        &[
            (
                json!({"spec": {"template": written}}),
                json!({"spec": {
                    "template": stored, "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                    "strategy": rolling,
                }}),
            ),
            (
                json!({"spec": {"template": written, "replicas": 0, "strategy": {"type": "Recreate"}}}),
                json!({"spec": {
                    "template": stored, "replicas": 0, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                    "strategy": {"type": "Recreate"},
                }}),
            ),
        ],
    );
    defaults(
        "apps",
        "ReplicaSet",
        &[(json!({"spec": {"template": written}}), json!({"spec": {"template": stored, "replicas": 1}}))],
    );
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    defaults(
        "apps",
        "DaemonSet",
        &[(
            json!({"spec": {"template": written}}),
            json!({"spec": {"template": stored, "revisionHistoryLimit": 10, "updateStrategy": rolling}}),
        )],
    );
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}});
    let claim = json!({"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    let stored_claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "d"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}, "status": {"phase": "Pending"},
    });
    defaults(
        "apps",
        "StatefulSet",
        &[(
            json!({"spec": {"template": written, "volumeClaimTemplates": [claim]}}),
            json!({"spec": {
                "template": stored, "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
                "updateStrategy": rolling, "volumeClaimTemplates": [stored_claim],
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            }}),
        )],
    );
    defaults(
        "",
        "ReplicationController",
        &[(
            json!({"metadata": {}, "spec": {"template": written}}),
            json!({
                "metadata": {"labels": {"a": "b"}},
                "spec": {"template": stored, "replicas": 1, "selector": {"a": "b"}},
            }),
        )],
    );
    defaults("", "PodTemplate", &[(json!({"template": written}), json!({"template": stored}))]);
}

#[test]
fn jobs_and_their_schedules_get_their_defaults() {
    let (written, stored) = template();
    let job = |extra: Value| {
        let mut spec = json!({
            "template": stored, "parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": false,
            "completionMode": "NonIndexed", "manualSelector": false, "podReplacementPolicy": "TerminatingOrFailed",
        });
        merge(&mut spec, extra);
        spec
    };
    let labels = json!({"labels": {"a": "b"}});
    let mut parallel = job(json!({"parallelism": 3}));
    parallel.as_object_mut().map(|spec| spec.remove("completions"));
    defaults(
        "batch",
        "Job",
        &[
            (
                json!({"metadata": {}, "spec": {"template": written}}),
                json!({"metadata": labels, "spec": job(json!({}))}),
            ),
            (
                json!({"metadata": {}, "spec": {"template": written, "parallelism": 3}}),
                json!({"metadata": labels, "spec": parallel}),
            ),
            (
                json!({"metadata": {}, "spec": {"template": written, "completions": 2, "backoffLimitPerIndex": 1}}),
                json!({"metadata": labels, "spec": job(json!({"completions": 2, "backoffLimitPerIndex": 1, "backoffLimit": 2147483647}))}),
            ),
        ],
    );
    defaults(
        "batch",
        "CronJob",
        &[(
            json!({"spec": {"schedule": "0 1 * * *", "jobTemplate": {"spec": {"template": written}}}}),
            json!({"spec": {
                "schedule": "0 1 * * *", "concurrencyPolicy": "Allow", "suspend": false,
                "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
                "jobTemplate": {"metadata": {}, "spec": {"template": stored}},
            }}),
        )],
    );
}

#[test]
fn services_get_their_defaults() {
    let port = json!({"port": 80, "protocol": "TCP", "targetPort": 80});
    defaults(
        "",
        "Service",
        &[
            (
                json!({"spec": {"ports": [{"port": 80}]}}),
                json!({"spec": {
                    "ports": [port], "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                }}),
            ),
            (
                json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "targetPort": "web"}]}}),
                json!({"spec": {
                    "ports": [{"port": 80, "protocol": "TCP", "targetPort": "web"}], "type": "NodePort",
                    "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster",
                }}),
            ),
            (
                json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}}),
                json!({"spec": {
                    "ports": [port], "type": "LoadBalancer", "sessionAffinity": "ClientIP",
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}, "internalTrafficPolicy": "Cluster",
                    "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true,
                }}),
            ),
            (
                json!({"spec": {"type": "ExternalName", "externalName": "a.example.com"}}),
                json!({"spec": {"type": "ExternalName", "externalName": "a.example.com", "sessionAffinity": "None"}}),
            ),
        ],
    );
}

#[test]
fn network_kinds_get_their_defaults() {
    defaults(
        "",
        "Endpoints",
        &[(
            json!({"subsets": [{"ports": [{"port": 80}]}]}),
            json!({"subsets": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}),
        )],
    );
    defaults(
        "discovery.k8s.io",
        "EndpointSlice",
        &[(
            json!({"ports": [{"port": 80}]}),
            json!({"ports": [{"name": "", "port": 80, "protocol": "TCP"}]}),
        )],
    );
    let group = "networking.k8s.io";
    defaults(
        group,
        "IngressClass",
        &[(
            json!({"spec": {"parameters": {"kind": "A"}}}),
            json!({"spec": {"parameters": {"kind": "A", "scope": "Cluster"}}}),
        )],
    );
    defaults(
        group,
        "NetworkPolicy",
        &[
            (
                json!({"spec": {"ingress": [{"ports": [{"port": 80}]}]}}),
                json!({"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}], "policyTypes": ["Ingress"]}}),
            ),
            (
                json!({"spec": {"podSelector": {}, "egress": [{}]}}),
                json!({"spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]}}),
            ),
        ],
    );
    let unchanged = json!({"spec": {"rules": [{"http": {"paths": [{"path": "/"}]}}]}});
    defaults(group, "Ingress", &[(unchanged.clone(), unchanged)]);
}

#[test]
fn configuration_and_storage_get_their_defaults() {
    defaults(
        "",
        "Secret",
        &[
            (json!({}), json!({"type": "Opaque"})),
            (
                json!({"data": {"a": "MQ==", "b": "MQ=="}, "stringData": {"b": "2"}}),
                json!({"data": {"a": "MQ==", "b": "Mg=="}, "type": "Opaque"}),
            ),
        ],
    );
    defaults("", "ConfigMap", &[(json!({"data": {"a": "1"}}), json!({"data": {"a": "1"}}))]);
    defaults(
        "",
        "PersistentVolumeClaim",
        &[(
            json!({"spec": {"resources": {"requests": {"storage": "1024Mi"}}}}),
            json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        )],
    );
    defaults(
        "",
        "PersistentVolume",
        &[(
            json!({"spec": {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}}),
            json!({
                "spec": {
                    "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a", "type": ""},
                    "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem",
                },
                "status": {"phase": "Pending"},
            }),
        )],
    );
    defaults(
        "storage.k8s.io",
        "StorageClass",
        &[(json!({}), json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}))],
    );
    defaults(
        "storage.k8s.io",
        "CSIDriver",
        &[(
            json!({"spec": {}}),
            json!({"spec": {
                "attachRequired": true, "podInfoOnMount": false, "storageCapacity": false, "requiresRepublish": false,
                "seLinuxMount": false, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"],
            }}),
        )],
    );
    defaults(
        "",
        "ResourceQuota",
        &[(json!({"spec": {"hard": {"cpu": 1000}}}), json!({"spec": {"hard": {"cpu": "1k"}}}))],
    );
    defaults(
        "",
        "LimitRange",
        &[(
            json!({"spec": {"limits": [
                {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}},
                {"type": "Container", "default": {"cpu": "1"}},
                {"type": "Pod", "max": {"cpu": "2"}},
            ]}}),
            json!({"spec": {"limits": [
                {
                    "type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}, "default": {"cpu": "2"},
                    "defaultRequest": {"cpu": "2", "memory": "1Mi"},
                },
                {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}},
                {"type": "Pod", "max": {"cpu": "2"}},
            ]}}),
        )],
    );
}

#[test]
fn cluster_kinds_get_their_defaults() {
    defaults(
        "",
        "Namespace",
        &[(
            json!({"metadata": {"name": "a", "labels": {"b": "c"}}}),
            json!({
                "metadata": {"name": "a", "labels": {"b": "c", "kubernetes.io/metadata.name": "a"}},
                "status": {"phase": "Active"},
            }),
        )],
    );
    defaults(
        "",
        "Node",
        &[(
            json!({"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {"cpu": 4}}}),
            json!({
                "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]},
                "status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}},
            }),
        )],
    );
    defaults(
        "scheduling.k8s.io",
        "PriorityClass",
        &[(json!({"value": 5}), json!({"value": 5, "preemptionPolicy": "PreemptLowerPriority"}))],
    );
    defaults(
        "node.k8s.io",
        "RuntimeClass",
        &[(
            json!({"overhead": {"podFixed": {"cpu": 0.25}}}),
            json!({"overhead": {"podFixed": {"cpu": "250m"}}}),
        )],
    );
    let group = "flowcontrol.apiserver.k8s.io";
    defaults(group, "FlowSchema", &[(json!({"spec": {}}), json!({"spec": {"matchingPrecedence": 1000}}))]);
    defaults(
        group,
        "PriorityLevelConfiguration",
        &[(
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}),
            json!({"spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 30, "lendablePercent": 0,
                "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
            }}}),
        )],
    );
}

#[test]
fn bindings_and_extensions_get_their_defaults() {
    let rbac = "rbac.authorization.k8s.io";
    defaults(
        rbac,
        "RoleBinding",
        &[(
            json!({"roleRef": {"kind": "Role", "name": "a"}, "subjects": [
                {"kind": "User", "name": "a"}, {"kind": "ServiceAccount", "name": "b"},
            ]}),
            json!({"roleRef": {"apiGroup": rbac, "kind": "Role", "name": "a"}, "subjects": [
                {"apiGroup": rbac, "kind": "User", "name": "a"}, {"kind": "ServiceAccount", "name": "b"},
            ]}),
        )],
    );
    let hook = json!({
        "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
        "timeoutSeconds": 10, "clientConfig": {"service": {"name": "a", "port": 443}}, "rules": [{"scope": "*"}],
    });
    let mut mutating = hook.clone();
    mutating["reinvocationPolicy"] = json!("Never");
    let written = json!({"webhooks": [{"clientConfig": {"service": {"name": "a"}}, "rules": [{}]}]});
    let group = "admissionregistration.k8s.io";
    defaults(group, "ValidatingWebhookConfiguration", &[(written.clone(), json!({"webhooks": [hook]}))]);
    defaults(group, "MutatingWebhookConfiguration", &[(written, json!({"webhooks": [mutating]}))]);
    defaults(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        &[(
            json!({"spec": {"names": {"kind": "Thing"}}}),
            json!({"spec": {
                "names": {"kind": "Thing", "singular": "thing", "listKind": "ThingList"},
                "conversion": {"strategy": "None"},
            }}),
        )],
    );
    defaults(
        "apiregistration.k8s.io",
        "APIService",
        &[(
            json!({"spec": {"service": {"name": "a"}}}),
            json!({"spec": {"service": {"name": "a", "port": 443}}}),
        )],
    );
}

#[test]
fn autoscalers_get_their_defaults() {
    let cpu = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    let down =
        json!({"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]});
    let up = json!({"selectPolicy": "Max", "stabilizationWindowSeconds": 30, "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]});
    defaults(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[
            (
                json!({"spec": {"maxReplicas": 3}}),
                json!({"spec": {"maxReplicas": 3, "minReplicas": 1, "metrics": cpu}}),
            ),
            (
                json!({"spec": {"maxReplicas": 3, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 30}}}}),
                json!({"spec": {"maxReplicas": 3, "minReplicas": 1, "metrics": cpu, "behavior": {"scaleUp": up, "scaleDown": down}}}),
            ),
        ],
    );
}

#[test]
fn other_kinds_and_other_values_stay_as_they_are() {
    for value in [json!(null), json!([]), json!("a"), json!({"spec": 3}), json!({"spec": {"replicas": "x"}})]
    {
        let object = defaulted("example.com", "Deployment", value.clone());
        assert_eq!(object, value);
    }
    assert_eq!(defaulted("apps", "Deployment", json!("a")), json!("a"));
}

#[test]
fn defaults_of_good_objects_hold_still() {
    for kind in KINDS {
        let (group, _) = good(kind);
        let (_, once) = written(kind, "");
        assert_eq!(defaulted(group, kind, once.clone()), once, "{kind}");
    }
}
