//! A minimal object of every built-in kind that can be listed.

use serde_json::{Value, json};

/// One kind with an object that the API takes.
pub struct Row {
    /// `v1`, `apps/v1`.
    pub api_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The object apart from apiVersion, kind and its name.
    pub body: Value,
}

impl Row {
    /// The whole object under a name that the kind allows.
    pub fn object(&self) -> Value {
        let mut object = self.body.clone();
        object["apiVersion"] = self.api_version.into();
        object["kind"] = self.kind.into();
        if object["metadata"]["name"].is_null() {
            object["metadata"]["name"] = "sample".into();
        }
        object
    }
}

fn row(api_version: &'static str, kind: &'static str, body: Value) -> Row {
    Row { api_version, kind, body }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "sample"}}, "spec": {"containers": [{"name": "main", "image": "sample:1"}]}})
}

fn job_template() -> Value {
    json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "sample:1"}]}})
}

/// Every kind.
pub fn rows() -> Vec<Row> {
    [core(), workloads(), network(), policy(), storage(), devices(), machinery()]
        .into_iter()
        .flatten()
        .collect()
}

fn core() -> Vec<Row> {
    vec![
        row("v1", "ConfigMap", json!({"data": {"a": "b"}})),
        row(
            "v1",
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]}),
        ),
        row(
            "v1",
            "Event",
            json!({
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": "sample"},
                "reason": "Sample", "message": "seen", "type": "Normal",
            }),
        ),
        row(
            "v1",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}),
        ),
        row("v1", "Namespace", json!({})),
        row("v1", "Node", json!({})),
        row(
            "v1",
            "PersistentVolume",
            json!({"spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/sample"},
            }}),
        ),
        row(
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}),
        ),
        row("v1", "Pod", json!({"spec": {"containers": [{"name": "main", "image": "sample:1"}]}})),
        row("v1", "PodTemplate", json!({"template": template()})),
        row(
            "v1",
            "ReplicationController",
            json!({"spec": {"replicas": 1, "selector": {"app": "sample"}, "template": template()}}),
        ),
        row("v1", "ResourceQuota", json!({"spec": {"hard": {"pods": "100"}}})),
        row("v1", "Secret", json!({"stringData": {"a": "b"}})),
        row("v1", "Service", json!({"spec": {"ports": [{"port": 80}], "selector": {"app": "sample"}}})),
        row("v1", "ServiceAccount", json!({})),
    ]
}

fn workloads() -> Vec<Row> {
    let selector = json!({"matchLabels": {"app": "sample"}});
    vec![
        row("apps/v1", "ControllerRevision", json!({"revision": 1, "data": {"a": "b"}})),
        row("apps/v1", "DaemonSet", json!({"spec": {"selector": selector, "template": template()}})),
        row("apps/v1", "Deployment", json!({"spec": {"selector": selector, "template": template()}})),
        row("apps/v1", "ReplicaSet", json!({"spec": {"selector": selector, "template": template()}})),
        row(
            "apps/v1",
            "StatefulSet",
            json!({"spec": {
                "serviceName": "sample", "selector": selector, "template": template(),
            }}),
        ),
        row(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"spec": {
                "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "sample"},
            }}),
        ),
        row(
            "batch/v1",
            "CronJob",
            json!({"spec": {
                "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": job_template()}},
            }}),
        ),
        row("batch/v1", "Job", json!({"spec": {"template": job_template()}})),
    ]
}

fn network() -> Vec<Row> {
    let rule = json!({"host": "sample.example", "http": {"paths": [{
        "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "sample", "port": {"number": 80}}},
    }]}});
    vec![
        row(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({
                "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"port": 80}],
            }),
        ),
        row("networking.k8s.io/v1", "Ingress", json!({"spec": {"rules": [rule]}})),
        row(
            "networking.k8s.io/v1",
            "IngressClass",
            json!({"spec": {"controller": "sample.example/ingress"}}),
        ),
        row(
            "networking.k8s.io/v1",
            "IPAddress",
            json!({
                "metadata": {"name": "10.97.0.1"},
                "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "sample"}},
            }),
        ),
        row("networking.k8s.io/v1", "NetworkPolicy", json!({"spec": {"podSelector": {}}})),
        row("networking.k8s.io/v1", "ServiceCIDR", json!({"spec": {"cidrs": ["10.97.0.0/16"]}})),
    ]
}

fn policy() -> Vec<Row> {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let subjects = json!([{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]);
    let role = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "sample"});
    let any = json!({"resourceRules": [{
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"],
    }]});
    let webhooks = json!([{
        "name": "sample.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": "https://sample.example/hook"},
    }]);
    vec![
        row(
            "admissionregistration.k8s.io/v1",
            "MutatingAdmissionPolicy",
            json!({"spec": {
                "matchConstraints": any, "reinvocationPolicy": "Never", "failurePolicy": "Fail",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
            }}),
        ),
        row(
            "admissionregistration.k8s.io/v1",
            "MutatingAdmissionPolicyBinding",
            json!({"spec": {"policyName": "sample"}}),
        ),
        row("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", json!({"webhooks": webhooks})),
        row(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            json!({"spec": {
                "matchConstraints": any, "validations": [{"expression": "true"}],
            }}),
        ),
        row(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            json!({"spec": {
                "policyName": "sample", "validationActions": ["Deny"],
            }}),
        ),
        row(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            json!({"webhooks": webhooks}),
        ),
        row(
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {
                "minAvailable": 1, "selector": {"matchLabels": {"app": "sample"}},
            }}),
        ),
        row("rbac.authorization.k8s.io/v1", "ClusterRole", json!({"rules": rules})),
        row(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            json!({"roleRef": role("ClusterRole"), "subjects": subjects}),
        ),
        row("rbac.authorization.k8s.io/v1", "Role", json!({"rules": rules})),
        row(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            json!({"roleRef": role("Role"), "subjects": subjects}),
        ),
        row("scheduling.k8s.io/v1", "PriorityClass", json!({"value": 100})),
    ]
}

fn storage() -> Vec<Row> {
    vec![
        row("storage.k8s.io/v1", "CSIDriver", json!({"metadata": {"name": "sample.example"}, "spec": {}})),
        row("storage.k8s.io/v1", "CSINode", json!({"spec": {"drivers": []}})),
        row(
            "storage.k8s.io/v1",
            "CSIStorageCapacity",
            json!({"storageClassName": "standard", "capacity": "1Gi"}),
        ),
        row("storage.k8s.io/v1", "StorageClass", json!({"provisioner": "sample.example"})),
        row(
            "storage.k8s.io/v1",
            "VolumeAttachment",
            json!({"spec": {
                "attacher": "sample.example", "nodeName": "sim-node-1", "source": {"persistentVolumeName": "sample"},
            }}),
        ),
        row(
            "storage.k8s.io/v1",
            "VolumeAttributesClass",
            json!({
                "driverName": "sample.example", "parameters": {"iops": "1000"},
            }),
        ),
        row(
            "storagemigration.k8s.io/v1",
            "StorageVersionMigration",
            json!({"spec": {
                "resource": {"group": "apps", "resource": "deployments"},
            }}),
        ),
    ]
}

fn devices() -> Vec<Row> {
    let requests = json!({"requests": [{"name": "one", "exactly": {"deviceClassName": "sample"}}]});
    vec![
        row("node.k8s.io/v1", "RuntimeClass", json!({"handler": "sample"})),
        row("resource.k8s.io/v1", "DeviceClass", json!({"spec": {}})),
        row(
            "resource.k8s.io/v1",
            "DeviceTaintRule",
            json!({"spec": {
                "deviceSelector": {"driver": "sample.example"}, "taint": {"key": "sample.example/broken", "effect": "NoSchedule"},
            }}),
        ),
        row("resource.k8s.io/v1", "ResourceClaim", json!({"spec": {"devices": requests}})),
        row("resource.k8s.io/v1", "ResourceClaimTemplate", json!({"spec": {"spec": {"devices": requests}}})),
        row(
            "resource.k8s.io/v1",
            "ResourceSlice",
            json!({"spec": {
                "driver": "sample.example", "nodeName": "sim-node-1", "devices": [{"name": "one"}],
                "pool": {"name": "sample", "generation": 1, "resourceSliceCount": 1},
            }}),
        ),
    ]
}

fn machinery() -> Vec<Row> {
    vec![
        row(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({
                "metadata": {"name": "samples.example.com"},
                "spec": {
                    "group": "example.com", "scope": "Namespaced", "names": {"plural": "samples", "kind": "Sample"},
                    "versions": [{
                        "name": "v1", "served": true, "storage": true,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }],
                },
            }),
        ),
        row(
            "apiregistration.k8s.io/v1",
            "APIService",
            json!({
                "metadata": {"name": "v1.sample.example.com"},
                "spec": {
                    "group": "sample.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
                    "service": {"namespace": "default", "name": "sample"}, "insecureSkipTLSVerify": true,
                },
            }),
        ),
        row(
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            json!({"spec": {
                "signerName": "example.com/sample", "usages": ["digital signature"], "request": CERTIFICATE_REQUEST,
            }}),
        ),
        row("certificates.k8s.io/v1", "ClusterTrustBundle", json!({"spec": {"trustBundle": TRUST_BUNDLE}})),
        row(
            "certificates.k8s.io/v1",
            "PodCertificateRequest",
            json!({"spec": {
                "signerName": "example.com/sample", "podName": "sample", "podUID": "7c1c2f4e-0001-4a33-9d1f-0123456789ab",
                "serviceAccountName": "default", "serviceAccountUID": "7c1c2f4e-0002-4a33-9d1f-0123456789ab",
                "nodeName": "sim-node-1", "nodeUID": "7c1c2f4e-0003-4a33-9d1f-0123456789ab",
                "stubPKCS10Request": CERTIFICATE_REQUEST,
            }}),
        ),
        row("coordination.k8s.io/v1", "Lease", json!({"spec": {"holderIdentity": "sample"}})),
        row(
            "events.k8s.io/v1",
            "Event",
            json!({
                // Events of both groups are the same objects: one name each.
                "metadata": {"name": "newer"},
                "eventTime": "2026-01-02T03:04:05.000006Z", "reason": "Sample", "action": "Sampling", "type": "Normal",
                "reportingController": "example.com/sample", "reportingInstance": "sample-1", "note": "seen",
                "regarding": {"kind": "Pod", "namespace": "default", "name": "sample"},
            }),
        ),
        row(
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            json!({"spec": {
                "priorityLevelConfiguration": {"name": "sample"},
            }}),
        ),
        row(
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            json!({"spec": {
                "type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}},
            }}),
        ),
    ]
}

/// A certificate request for `CN=sample`, as PEM in base64.
const CERTIFICATE_REQUEST: &str = concat!(
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIS01ITUNBUUF3RVRFUE1BMEdBMVVFQXd3R2MyRnRjR3hs",
    "TUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowRApBUWNEUWdBRUN0WjFWNXFYcDBuM2oyM0p6R05SRkNGMnQzbXhNUHNCeDQy",
    "UnBVUWJxM0lEVnFtTnBmYjVqb0dYCnVxRjlUeHlaYi9qdDJINkxTd2xnVFdSRXFWdkxBYUFBTUFvR0NDcUdTTTQ5QkFNQ0Ew",
    "Y0FNRVFDSUJqTUpyU2sKYzhCdThrSnhDN3hDTHEwVGhsaURkb3hjalBNYjFYY0tJT1FwQWlBbjdURXN0M1E2bGk3T2g0VEZh",
    "bWJITFEwSQptVnBnL1FWYmJsa3dFd1ZVZHc9PQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K",
);

/// A self-signed certificate for `CN=sample`.
const TRUST_BUNDLE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBeTCCAR+gAwIBAgIUW9nDDBLj/eR/ZpfGUORuKsqMj0MwCgYIKoZIzj0EAwIw\n\
ETEPMA0GA1UEAwwGc2FtcGxlMCAXDTI2MTEyNDA4MDYxN1oYDzIxMjYxMDMxMDgw\n\
NjE3WjARMQ8wDQYDVQQDDAZzYW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AASc7t/JbZzZOSsb2lATbrvITHMV7im71FvY8j2QWLd8cmfqiL3AYF/J0MiVcCb6\n\
ri15ffNEt87Ixws/D+iRwqUeo1MwUTAdBgNVHQ4EFgQUNdKpAYNnCwTWVcW51ucw\n\
tFTTbkkwHwYDVR0jBBgwFoAUNdKpAYNnCwTWVcW51ucwtFTTbkkwDwYDVR0TAQH/\n\
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAy0bEBoI0vXLl12vv7MStvixCqbEr\n\
3RTbYMHdaJi2sKsCIC9A5pyhxDW3yOXTot5GYFBhtiO9j19RaQ5QIGiaPXcJ\n\
-----END CERTIFICATE-----\n\
";
