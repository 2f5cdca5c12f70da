//! The roles and bindings that every cluster has.
//!
//! Facts: Kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go, without the roles of
//! components that this cluster runs inside itself.

use serde_json::{Map, Value, json};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Groups and resources, parted by spaces, with the verbs on them.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// What may be seen by those who may view.
const VIEW: &[Row] = &[
    (
        "",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
        READ,
    ),
    (
        "",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
        READ,
    ),
    ("", "namespaces", READ),
    ("discovery.k8s.io", "endpointslices", READ),
    (
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    ("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
];

/// What may be written by those who may edit, and what only they may see.
const EDIT: &[Row] = &[
    ("", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
    ("", "serviceaccounts", &["impersonate"]),
    ("", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
    ("", "pods/eviction", &["create"]),
    (
        "",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
        WRITE,
    ),
    ("", "serviceaccounts/token", &["create"]),
    (
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
        WRITE,
    ),
    ("autoscaling", "horizontalpodautoscalers", WRITE),
    ("batch", "cronjobs jobs", WRITE),
    ("policy", "poddisruptionbudgets", WRITE),
    ("networking.k8s.io", "ingresses networkpolicies", WRITE),
    ("coordination.k8s.io", "leases", ALL),
];

/// What only those may do who administer a namespace.
const ADMIN: &[Row] = &[
    ("authorization.k8s.io", "localsubjectaccessreviews", &["create"]),
    ("rbac.authorization.k8s.io", "rolebindings roles", ALL),
];

const DISCOVERY: &[&str] = &[
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];
const ISSUER: &[&str] = &[
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/",
    "/openid/v1/jwks",
    "/openid/v1/jwks/",
];

/// A role that others are gathered into, or one that has rules of its own.
fn role(name: &str, labels: &[(&str, &str)], rules: Value) -> Value {
    let mut all: Map<String, Value> =
        Map::from_iter([("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".into())]);
    all.extend(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())));
    json!({
        "metadata": {
            "name": name, "labels": all,
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "rules": rules,
    })
}

fn resources(rows: &[Row]) -> Value {
    let rule = |(group, resources, verbs): &Row| json!({"apiGroups": [group], "resources": resources.split(' ').collect::<Vec<_>>(), "verbs": verbs});
    rows.iter().map(rule).collect()
}

fn urls(paths: &[&str]) -> Value {
    json!([{"nonResourceURLs": paths, "verbs": ["get"]}])
}

/// The ClusterRoles, in the order of their names.
pub fn cluster_roles() -> Vec<Value> {
    const TO: [&str; 4] = [
        "rbac.authorization.k8s.io/aggregate-to-admin",
        "rbac.authorization.k8s.io/aggregate-to-edit",
        "rbac.authorization.k8s.io/aggregate-to-view",
        "rbac.authorization.k8s.io/aggregate-to-cluster-reader",
    ];
    let gathered = |name: &str, label: &str, labels: &[(&str, &str)]| {
        let mut out = role(name, labels, Value::Null);
        out["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        out
    };
    let review =
        |group: &str, kinds: &[&str]| json!({"apiGroups": [group], "resources": kinds, "verbs": ["create"]});
    vec![
        gathered("admin", TO[0], &[]),
        role(
            "cluster-admin",
            &[],
            json!([
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
                {"nonResourceURLs": ["*"], "verbs": ["*"]},
            ]),
        ),
        gathered("edit", TO[1], &[(TO[0], "true")]),
        role("system:aggregate-to-admin", &[(TO[0], "true")], resources(ADMIN)),
        role("system:aggregate-to-edit", &[(TO[1], "true")], resources(EDIT)),
        role("system:aggregate-to-view", &[(TO[2], "true")], resources(VIEW)),
        role(
            "system:auth-delegator",
            &[],
            json!([
                review("authentication.k8s.io", &["tokenreviews"]),
                review("authorization.k8s.io", &["subjectaccessreviews"]),
            ]),
        ),
        role(
            "system:basic-user",
            &[],
            json!([
                review("authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                review("authentication.k8s.io", &["selfsubjectreviews"]),
            ]),
        ),
        role("system:discovery", &[], urls(DISCOVERY)),
        role("system:public-info-viewer", &[], urls(PUBLIC)),
        role("system:service-account-issuer-discovery", &[], urls(ISSUER)),
        gathered("view", TO[2], &[(TO[1], "true")]),
    ]
}

/// The ClusterRoleBindings.
pub fn cluster_role_bindings() -> Vec<Value> {
    let binding = |name: &str, groups: &[&str]| {
        let subject = |g: &&str| json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": g});
        let mut out = role(name, &[], Value::Null);
        if let Some(map) = out.as_object_mut() {
            map.remove("rules");
        }
        out["roleRef"] =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        out["subjects"] = groups.iter().map(subject).collect();
        out
    };
    vec![
        binding("cluster-admin", &["system:masters"]),
        binding("system:basic-user", &["system:authenticated"]),
        binding("system:discovery", &["system:authenticated"]),
        binding("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
        binding("system:service-account-issuer-discovery", &["system:serviceaccounts"]),
    ]
}
