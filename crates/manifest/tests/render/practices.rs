//! Every rule of the three linters: kept by the rendered prod environment, and broken by a change.

use kiban_manifest::practices::{self, Default, Linter, Practice, Stance, World};
use kiban_model::origin::Layer;
use kiban_model::yaml::{Node, parse};
use serde_json::{Map, Value, json};

use crate::support::shop;

type Mutation = fn(&mut Vec<Value>);

fn world<'a>(practice: &Practice, objects: &'a [Value]) -> World<'a> {
    let files = if practice.id == "sorted-keys" { unsorted(objects) } else { Vec::new() };
    World { objects: objects.iter().collect(), unsorted: files }
}

/// Objects whose file would not have its keys sorted. JSON maps are sorted already, so an object
/// that carries the text of a file under `$text` is judged by it.
fn unsorted(objects: &[Value]) -> Vec<String> {
    let text = |object: &Value| match object.get("$text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => kiban_model::yaml::to_yaml(object),
    };
    objects
        .iter()
        .map(text)
        .filter(|text| {
            let nodes = parse("file", text.as_bytes(), Layer::App).unwrap();
            !nodes.iter().all(is_sorted)
        })
        .collect()
}

fn is_sorted(node: &Node) -> bool {
    let names: Vec<&str> = node.entries().iter().map(|entry| entry.name()).collect();
    names.is_sorted()
        && node.entries().iter().all(|entry| is_sorted(&entry.value))
        && node.items().iter().all(is_sorted)
}

// --- ways to break an environment -------------------------------------------------------------

fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"))
}

fn map<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Map<String, Value> {
    at(value, pointer).as_object_mut().unwrap()
}

/// Sets or (`null`) removes a key at a pointer.
fn put(value: &mut Value, pointer: &str, key: &str, new: Value) {
    let map = map(value, pointer);
    if new.is_null() {
        map.remove(key).unwrap_or_else(|| panic!("no {key}"));
    } else {
        map.insert(key.to_owned(), new);
    }
}

fn first<'a>(objects: &'a mut [Value], kind: &str) -> &'a mut Value {
    objects.iter_mut().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn set(objects: &mut [Value], kind: &str, pointer: &str, key: &str, new: Value) {
    put(first(objects, kind), pointer, key, new);
}

const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

fn pod(objects: &mut [Value], key: &str, new: Value) {
    set(objects, "Deployment", POD, key, new);
}

fn container(objects: &mut [Value], key: &str, new: Value) {
    set(objects, "Deployment", CONTAINER, key, new);
}

fn security(objects: &mut [Value], key: &str, new: Value) {
    set(objects, "Deployment", "/spec/template/spec/containers/0/securityContext", key, new);
}

fn pod_security(objects: &mut [Value], key: &str, new: Value) {
    set(objects, "Deployment", "/spec/template/spec/securityContext", key, new);
}

fn drop_kind(objects: &mut Vec<Value>, kind: &str) {
    objects.retain(|object| object["kind"] != kind);
}

fn rbac(objects: &mut Vec<Value>, role: &str, binding: &str, rule: Value) {
    let api = "rbac.authorization.k8s.io/v1";
    objects.push(json!({"apiVersion": api, "kind": role,
        "metadata": {"name": "extra", "namespace": "checkout-prod"}, "rules": [rule]}));
    if !binding.is_empty() {
        objects.push(json!({"apiVersion": api, "kind": binding,
            "metadata": {"name": "extra", "namespace": "checkout-prod"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "extra"}}));
    }
}

fn exec() -> Value {
    json!({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]})
}

fn everything() -> Value {
    json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
}

fn cluster_admin(objects: &mut Vec<Value>, binding: &str) {
    objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": binding,
        "metadata": {"name": "extra", "namespace": "checkout-prod"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}}));
}

fn stateful_set(objects: &mut Vec<Value>) {
    objects.push(json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "extra", "namespace": "checkout-prod", "labels": {"app.kubernetes.io/instance": "extra"}},
        "spec": {"replicas": 3, "serviceName": "nowhere", "selector": {"matchLabels": {"app": "other"}},
            "template": {"metadata": {"labels": {"app": "extra"}}, "spec": {"containers": []}}}}));
}

fn ingress(objects: &mut Vec<Value>) {
    objects.push(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "extra", "namespace": "checkout-prod"},
        "spec": {"rules": [{"host": "x.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "nobody", "port": {"number": 80}}}}]}}]}}));
}

fn host_path(objects: &mut [Value], path: &str) {
    let volume = json!({"name": "host", "hostPath": {"path": path}});
    at(first(objects, "Deployment"), "/spec/template/spec/volumes").as_array_mut().unwrap().push(volume);
}

fn resource(objects: &mut [Value], kind: &str, resource: &str, new: Value) {
    set(objects, "Deployment", &format!("{CONTAINER}/resources/{kind}"), resource, new);
}

fn env(objects: &mut [Value], items: Value) {
    container(objects, "env", items);
}

fn budget(objects: &mut [Value], key: &str, new: Value) {
    set(objects, "PodDisruptionBudget", "/spec", "maxUnavailable", Value::Null);
    if !new.is_null() {
        set(objects, "PodDisruptionBudget", "/spec", key, new);
    }
}

fn probe_port(objects: &mut [Value], probe: &str) {
    container(objects, probe, json!({"httpGet": {"path": "/x", "port": 9999}}));
}

/// One change a rule that makes the rendered environment break it.
fn mutation(linter: Linter, id: &str) -> Option<Mutation> {
    match linter {
        Linter::KubeScore => kube_score(id),
        Linter::KubeLinter => kube_linter(id),
        Linter::Polaris => polaris(id),
    }
}

fn kube_score(id: &str) -> Option<Mutation> {
    Some(match id {
        "deployment-strategy" => |o| set(o, "Deployment", "/spec/strategy", "type", json!("Recreate")),
        "deployment-replicas" => |o| drop_kind(o, "HorizontalPodAutoscaler"),
        "ingress-targets-service" => ingress,
        "cronjob-has-deadline" => |o| set(o, "CronJob", "/spec", "startingDeadlineSeconds", Value::Null),
        "cronjob-restartpolicy" => {
            |o| set(o, "CronJob", "/spec/jobTemplate/spec/template/spec", "restartPolicy", json!("Always"))
        }
        "container-resources" => |o| resource(o, "limits", "memory", Value::Null),
        "container-memory-requests-equal-limits" => |o| resource(o, "limits", "memory", json!("9Gi")),
        "container-image-tag" => |o| container(o, "image", json!("registry.example/a/b:latest")),
        "container-image-pull-policy" => |o| container(o, "imagePullPolicy", json!("IfNotPresent")),
        "container-ephemeral-storage-request-and-limit" => {
            |o| resource(o, "limits", "ephemeral-storage", Value::Null)
        }
        "container-ephemeral-storage-request-equals-limit" => {
            |o| resource(o, "limits", "ephemeral-storage", json!("99Gi"))
        }
        "container-ports-check" => |o| {
            container(
                o,
                "ports",
                json!([{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]),
            )
        },
        "environment-variable-key-duplication" => {
            |o| env(o, json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]))
        }
        "statefulset-has-poddisruptionbudget"
        | "statefulset-has-host-podantiaffinity"
        | "statefulset-has-servicename"
        | "statefulset-pod-selector-labels-match-template-metadata-labels" => stateful_set,
        "deployment-has-poddisruptionbudget" => |o| drop_kind(o, "PodDisruptionBudget"),
        "poddisruptionbudget-has-policy" => |o| budget(o, "", Value::Null),
        "pod-networkpolicy" => |o| set(o, "NetworkPolicy", "/spec", "policyTypes", json!(["Ingress"])),
        "networkpolicy-targets-pod" => {
            |o| set(o, "NetworkPolicy", "/spec", "podSelector", json!({"matchLabels": {"app": "nobody"}}))
        }
        "pod-probes" => |o| container(o, "livenessProbe", Value::Null),
        "pod-probes-identical" => |o| {
            let same = at(first(o, "Deployment"), &format!("{CONTAINER}/readinessProbe")).clone();
            container(o, "livenessProbe", same);
        },
        "container-security-context-user-group-id" => |o| pod_security(o, "runAsUser", json!(1000)),
        "container-security-context-privileged" => |o| security(o, "privileged", json!(true)),
        "container-security-context-readonlyrootfilesystem" => {
            |o| security(o, "readOnlyRootFilesystem", json!(false))
        }
        "container-seccomp-profile" => |o| pod_security(o, "seccompProfile", Value::Null),
        "service-targets-pod" => |o| set(o, "Service", "/spec", "selector", json!({"app": "nobody"})),
        "service-type" => |o| set(o, "Service", "/spec", "type", json!("NodePort")),
        "stable-version" => |o| set(o, "CronJob", "", "apiVersion", json!("batch/v1beta1")),
        "deployment-has-host-podantiaffinity" => |o| pod(o, "affinity", Value::Null),
        "deployment-targeted-by-hpa-does-not-have-replicas-configured" => {
            |o| set(o, "Deployment", "/spec", "replicas", json!(3))
        }
        "deployment-pod-selector-labels-match-template-metadata-labels" => {
            |o| set(o, "Deployment", "/spec/selector/matchLabels", "app", json!("other"))
        }
        "label-values" => |o| set(o, "Service", "/metadata/labels", "kiban.dev/team", json!("no good!")),
        "horizontalpodautoscaler-has-target" => {
            |o| set(o, "HorizontalPodAutoscaler", "/spec/scaleTargetRef", "name", json!("nobody"))
        }
        "horizontalpodautoscaler-replicas" => {
            |o| set(o, "HorizontalPodAutoscaler", "/spec", "minReplicas", json!(1))
        }
        "pod-topology-spread-constraints" => |o| {
            set(
                o,
                "Deployment",
                "/spec/template/spec/topologySpreadConstraints/0",
                "labelSelector",
                Value::Null,
            )
        },
        _ => return None,
    })
}

fn kube_linter(id: &str) -> Option<Mutation> {
    Some(match id {
        "access-to-create-pods" => {
            |o| rbac(o, "Role", "", json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}))
        }
        "access-to-secrets" => {
            |o| rbac(o, "Role", "", json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}))
        }
        "cluster-admin-role-binding" => |o| cluster_admin(o, "ClusterRoleBinding"),
        "dangling-horizontalpodautoscaler" => {
            |o| set(o, "HorizontalPodAutoscaler", "/spec/scaleTargetRef", "name", json!("nobody"))
        }
        "dangling-ingress" => ingress,
        "dangling-networkpolicy" => {
            |o| set(o, "NetworkPolicy", "/spec", "podSelector", json!({"matchLabels": {"app": "nobody"}}))
        }
        "dangling-networkpolicypeer-podselector" => |o| {
            let peer = json!([{"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}]);
            set(o, "NetworkPolicy", "/spec", "ingress", peer);
        },
        "dangling-service" => |o| set(o, "Service", "/spec", "selector", json!({"app": "nobody"})),
        "dangling-servicemonitor" => |o| {
            o.push(json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
                "metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"app": "nobody"}}}}));
        },
        "default-service-account" => |o| pod(o, "serviceAccountName", Value::Null),
        "deprecated-service-account-field" => |o| pod(o, "serviceAccount", json!("orders")),
        "dnsconfig-options" => |o| pod(o, "dnsConfig", Value::Null),
        "docker-sock" => |o| host_path(o, "/var/run/docker.sock"),
        "drop-net-raw-capability" => |o| security(o, "capabilities", json!({"drop": ["CHOWN"]})),
        "duplicate-env-var" => |o| env(o, json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])),
        "env-value-from" => |o| {
            let source = json!({"configMapKeyRef": {"name": "nobody", "key": "a"}});
            env(o, json!([{"name": "A", "valueFrom": source}]));
        },
        "env-var-secret" => |o| env(o, json!([{"name": "MY_SECRET", "value": "x"}])),
        "exposed-services" => |o| set(o, "Service", "/spec", "type", json!("LoadBalancer")),
        "host-ipc" => |o| pod(o, "hostIPC", json!(true)),
        "host-network" => |o| pod(o, "hostNetwork", json!(true)),
        "host-pid" => |o| pod(o, "hostPID", json!(true)),
        "hpa-minimum-three-replicas" => {
            |o| set(o, "HorizontalPodAutoscaler", "/spec", "minReplicas", json!(2))
        }
        "invalid-target-ports" => {
            |o| set(o, "Service", "/spec/ports/0", "targetPort", json!("no_such_name!"))
        }
        "latest-tag" => |o| container(o, "image", json!("registry.example/a/b")),
        "liveness-port" => |o| probe_port(o, "livenessProbe"),
        "mismatching-selector" => |o| set(o, "Deployment", "/spec/selector/matchLabels", "app", json!("x")),
        "no-anti-affinity" => |o| pod(o, "affinity", Value::Null),
        "no-extensions-v1beta" => |o| set(o, "Deployment", "", "apiVersion", json!("extensions/v1beta1")),
        "no-liveness-probe" => |o| container(o, "livenessProbe", Value::Null),
        "no-read-only-root-fs" => |o| security(o, "readOnlyRootFilesystem", Value::Null),
        "no-readiness-probe" => |o| container(o, "readinessProbe", Value::Null),
        "no-rolling-update-strategy" => |o| set(o, "Deployment", "/spec/strategy", "type", json!("Recreate")),
        "non-existent-service-account" => |o| drop_kind(o, "ServiceAccount"),
        "non-isolated-pod" => |o| drop_kind(o, "NetworkPolicy"),
        "pdb-max-unavailable" => |o| budget(o, "maxUnavailable", json!(0)),
        "pdb-min-available" => |o| budget(o, "minAvailable", json!(3)),
        "pdb-unhealthy-pod-eviction-policy" => {
            |o| set(o, "PodDisruptionBudget", "/spec", "unhealthyPodEvictionPolicy", Value::Null)
        }
        "privilege-escalation-container" => |o| security(o, "allowPrivilegeEscalation", Value::Null),
        "privileged-container" => |o| security(o, "privileged", json!(true)),
        "privileged-ports" => |o| container(o, "ports", json!([{"name": "http", "containerPort": 80}])),
        "read-secret-from-env-var" => |o| {
            let source = json!({"secretKeyRef": {"name": "orders-db", "key": "a"}});
            env(o, json!([{"name": "A", "valueFrom": source}]));
        },
        "readiness-port" => |o| probe_port(o, "readinessProbe"),
        "run-as-non-root" => |o| pod_security(o, "runAsUser", json!(0)),
        "scc-deny-privileged-container" => |o| {
            o.push(json!({"apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints",
                "metadata": {"name": "x"}, "allowPrivilegedContainer": true}));
        },
        "schema-validation" => |o| pod(o, "hostname", json!(7)),
        "sensitive-host-mounts" => |o| host_path(o, "/etc"),
        "sorted-keys" => |o| o.push(json!({"kind": "X", "$text": "kind: X\napiVersion: v1\n"})),
        "ssh-port" => |o| container(o, "ports", json!([{"name": "ssh", "containerPort": 22}])),
        "startup-port" => |o| probe_port(o, "startupProbe"),
        "unsafe-proc-mount" => |o| security(o, "procMount", json!("Unmasked")),
        "unsafe-sysctls" => |o| pod_security(o, "sysctls", json!([{"name": "kernel.msgmax", "value": "1"}])),
        "unset-cpu-requirements" => |o| resource(o, "requests", "cpu", Value::Null),
        "unset-memory-requirements" => |o| resource(o, "limits", "memory", Value::Null),
        "use-namespace" => |o| set(o, "Service", "/metadata", "namespace", json!("default")),
        "wildcard-in-rules" => |o| rbac(o, "Role", "", everything()),
        "writable-host-mount" => |o| host_path(o, "/var/log"),
        _ => return None,
    })
}

fn polaris(id: &str) -> Option<Mutation> {
    Some(match id {
        "priorityClassNotSet" => |o| pod(o, "priorityClassName", Value::Null),
        "tagNotSpecified" => |o| container(o, "image", json!("registry.example/a/b")),
        "pullPolicyNotAlways" => |o| container(o, "imagePullPolicy", Value::Null),
        "readinessProbeMissing" => |o| container(o, "readinessProbe", Value::Null),
        "livenessProbeMissing" => |o| container(o, "livenessProbe", Value::Null),
        "metadataAndInstanceMismatched" => {
            |o| set(o, "CronJob", "/metadata/labels", "app.kubernetes.io/instance", json!("other"))
        }
        "pdbDisruptionsIsZero" => |o| budget(o, "minAvailable", json!("100%")),
        "missingPodDisruptionBudget" => |o| drop_kind(o, "PodDisruptionBudget"),
        "topologySpreadConstraint" => |o| pod(o, "topologySpreadConstraints", Value::Null),
        "hpaMaxAvailability" => |o| set(o, "HorizontalPodAutoscaler", "/spec", "maxReplicas", json!(3)),
        "hpaMinAvailability" => |o| set(o, "HorizontalPodAutoscaler", "/spec", "minReplicas", json!(1)),
        "pdbMinAvailableGreaterThanHPAMinReplicas" => |o| budget(o, "minAvailable", json!(99)),
        "cpuRequestsMissing" => |o| resource(o, "requests", "cpu", Value::Null),
        "cpuLimitsMissing" => |o| resource(o, "limits", "cpu", Value::Null),
        "memoryRequestsMissing" => |o| resource(o, "requests", "memory", Value::Null),
        "memoryLimitsMissing" => |o| resource(o, "limits", "memory", Value::Null),
        "automountServiceAccountToken" => |o| pod(o, "automountServiceAccountToken", Value::Null),
        "hostIPCSet" => |o| pod(o, "hostIPC", json!(true)),
        "hostPathSet" => |o| host_path(o, "/var/log"),
        "hostProcess" => |o| pod_security(o, "windowsOptions", json!({"hostProcess": true})),
        "hostPIDSet" => |o| pod(o, "hostPID", json!(true)),
        "linuxHardening" => |o| {
            pod_security(o, "seccompProfile", Value::Null);
            security(o, "capabilities", Value::Null);
        },
        "missingNetworkPolicy" => |o| set(o, "NetworkPolicy", "/spec", "egress", json!([])),
        "notReadOnlyRootFilesystem" => |o| security(o, "readOnlyRootFilesystem", Value::Null),
        "privilegeEscalationAllowed" => |o| security(o, "allowPrivilegeEscalation", json!(true)),
        "procMount" => |o| security(o, "procMount", json!("Unmasked")),
        "runAsRootAllowed" => |o| security(o, "runAsUser", json!(0)),
        "runAsPrivileged" => |o| security(o, "privileged", json!(true)),
        "dangerousCapabilities" => {
            |o| security(o, "capabilities", json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]}))
        }
        "insecureCapabilities" => |o| security(o, "capabilities", json!({"drop": ["NET_RAW"]})),
        "hostNetworkSet" => |o| pod(o, "hostNetwork", json!(true)),
        "hostPortSet" => {
            |o| container(o, "ports", json!([{"name": "http", "containerPort": 8080, "hostPort": 80}]))
        }
        "tlsSettingsMissing" => ingress,
        "sensitiveContainerEnvVar" => |o| env(o, json!([{"name": "DB_PASSWORD", "value": "x"}])),
        "sensitiveConfigmapContent" => |o| set(o, "ConfigMap", "/data", "API_TOKEN", json!("x")),
        "clusterrolePodExecAttach" => |o| rbac(o, "ClusterRole", "", exec()),
        "rolePodExecAttach" => |o| rbac(o, "Role", "", exec()),
        "clusterrolebindingPodExecAttach" => |o| rbac(o, "ClusterRole", "ClusterRoleBinding", exec()),
        "rolebindingClusterRolePodExecAttach" => |o| rbac(o, "ClusterRole", "RoleBinding", exec()),
        "rolebindingRolePodExecAttach" => |o| rbac(o, "Role", "RoleBinding", exec()),
        "clusterrolebindingClusterAdmin" => |o| cluster_admin(o, "ClusterRoleBinding"),
        "rolebindingClusterAdminClusterRole" => |o| cluster_admin(o, "RoleBinding"),
        "rolebindingClusterAdminRole" => |o| rbac(o, "Role", "RoleBinding", everything()),
        _ => return None,
    })
}

fn name(practice: &Practice) -> String {
    format!("{} {}", practice.linter, practice.id)
}

#[test]
fn the_table_has_every_rule_of_the_three_linters_once() {
    let count = |linter| practices::all().filter(|practice| practice.linter == linter).count();
    assert_eq!(Linter::ALL.map(count), [39, 63, 44]);
    let mut names: Vec<String> = practices::all().map(name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 146);
}

#[test]
fn prod_keeps_every_rule_but_the_exempted_ones_which_it_breaks() {
    let objects = shop("prod").values();
    for practice in practices::all() {
        let found = (practice.check)(&world(practice, &objects));
        match practice.stance {
            Stance::Exempt(_) => {
                assert!(!found.is_empty(), "{} is kept: no exemption is needed", name(practice))
            }
            Stance::Kept | Stance::KeptUnless(_) => {
                assert!(found.is_empty(), "{}: {found:#?}", name(practice))
            }
        }
    }
}

#[test]
fn a_change_that_breaks_a_rule_is_found_by_it() {
    let rendered = shop("prod").values();
    for practice in practices::all().filter(|practice| !matches!(practice.stance, Stance::Exempt(_))) {
        let mutate = mutation(practice.linter, practice.id)
            .unwrap_or_else(|| panic!("no mutation for {}", name(practice)));
        let mut objects = rendered.clone();
        mutate(&mut objects);
        assert_ne!(objects, rendered, "{}: the mutation does nothing", name(practice));
        let found = (practice.check)(&world(practice, &objects));
        assert!(!found.is_empty(), "{} does not find the change", name(practice));
    }
}

/// What must change for an exempted rule to be kept: the exemption is about exactly that.
#[test]
fn an_exempted_rule_is_one_change_away() {
    let mut objects = shop("prod").values();
    for object in &mut objects {
        match object["kind"].as_str() {
            Some("CronJob") => put(object, "/spec/jobTemplate/spec", "ttlSecondsAfterFinished", Value::Null),
            Some("Deployment") => put(object, "/spec", "replicas", json!(3)),
            _ => {}
        }
    }
    for id in ["job-ttl-seconds-after-finished", "minimum-three-replicas", "deploymentMissingReplicas"] {
        let practice = practices::all().find(|practice| practice.id == id).unwrap();
        assert!((practice.check)(&world(practice, &objects)).is_empty(), "{id}");
    }
}

#[test]
fn exemptions_of_rules_that_are_on_by_default_are_two() {
    let exempt = practices::all()
        .filter(|practice| practice.default == Default::On && matches!(practice.stance, Stance::Exempt(_)));
    let ids: Vec<&str> = exempt.map(|practice| practice.id).collect();
    assert_eq!(ids, ["job-ttl-seconds-after-finished", "deploymentMissingReplicas"]);
}
