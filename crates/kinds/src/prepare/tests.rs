//! What a write may change, what the server adds, and how generations count.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::admission::{PriorityClass, Refused, default_tolerations, priority, service_account};
use super::service::{ServicePool, allocate, held};
use super::{
    create, ephemeral_containers_update, has_status, qos_class, resize_update, status_update, update,
};
use crate::defaults;
use crate::validate::tests::{edit, good, written};

/// Each case: kind, edits, the generation after the change.
#[test]
fn generations_count_what_a_kind_wants_counted() {
    let cases = [
        ("Deployment", "spec.replicas=3", Some(2)),
        ("Deployment", "metadata.annotations.a=\"b\"", Some(2)),
        ("Deployment", "metadata.labels.a=\"b\"", Some(1)),
        ("Deployment", "status.replicas=3", Some(1)),
        ("DaemonSet", "spec.minReadySeconds=3", Some(2)),
        ("DaemonSet", "metadata.annotations.a=\"b\"", Some(1)),
        ("StatefulSet", "spec.replicas=2", Some(2)),
        ("ReplicaSet", "spec.replicas=2", Some(2)),
        ("ReplicaSet", "metadata.annotations.a=\"b\"", Some(1)),
        ("Job", "spec.parallelism=2", Some(2)),
        ("CronJob", "spec.suspend=true", Some(2)),
        ("Pod", "spec.activeDeadlineSeconds=5", Some(2)),
        ("Ingress", "spec.ingressClassName=\"a\"", Some(2)),
        ("NetworkPolicy", "spec.podSelector.matchLabels.a=\"b\"", Some(2)),
        ("PodDisruptionBudget", "spec.minAvailable=2", Some(2)),
        ("PriorityClass", "description=\"a\"", Some(1)),
        ("ValidatingWebhookConfiguration", "webhooks.0.timeoutSeconds=3", Some(2)),
        ("EndpointSlice", "endpoints.0.addresses=[\"10.0.0.2\"]", Some(2)),
        ("EndpointSlice", "metadata.labels.a=\"b\"", Some(1)),
        ("CustomResourceDefinition", "spec.names.shortNames=[\"th\"]", Some(2)),
        ("Service", "spec.ports.0.port=81", None),
        ("ConfigMap", "data.a=\"2\"", None),
        ("Secret", "data.a=\"Mg==\"", None),
        ("Namespace", "metadata.labels.a=\"b\"", None),
        ("Node", "spec.unschedulable=true", None),
        ("HorizontalPodAutoscaler", "spec.maxReplicas=6", None),
        ("PersistentVolumeClaim", "spec.resources.requests.storage=\"2Gi\"", None),
        ("Role", "rules=[]", None),
        ("ServiceAccount", "automountServiceAccountToken=false", None),
    ];
    for (kind, edits, generation) in cases {
        let (group, old) = written(kind, "");
        let mut new = old.clone();
        edit(&mut new, edits);
        defaults::apply(group, kind, &mut new);
        update(group, kind, &old, &mut new);
        assert_eq!(new["metadata"]["generation"].as_i64(), generation, "{kind} {edits}");
    }
}

#[test]
fn clients_do_not_write_generations() {
    let (group, old) = written("Deployment", "metadata.generation=7");
    assert_eq!(old["metadata"]["generation"], 1);
    let mut new = old.clone();
    new["metadata"]["generation"] = json!(9);
    update(group, "Deployment", &old, &mut new);
    assert_eq!(new["metadata"]["generation"], 1);
    let (_, map) = written("ConfigMap", "metadata.generation=7");
    assert_eq!(map["metadata"].get("generation"), None);
}

#[test]
fn amounts_that_are_the_same_make_no_generation() {
    let (group, old) = written("Deployment", "spec.template.spec.containers.0.resources.limits.cpu=\"1\"");
    let mut new = old.clone();
    edit(&mut new, "spec.template.spec.containers.0.resources.limits.cpu=\"1000m\"");
    defaults::apply(group, "Deployment", &mut new);
    update(group, "Deployment", &old, &mut new);
    assert_eq!(old, new);
}

#[test]
fn a_plain_write_leaves_the_status_and_a_status_write_leaves_the_rest() {
    for kind in ["Deployment", "Pod", "Job", "Service", "PersistentVolumeClaim", "Node", "Ingress"] {
        let (group, mut old) = written(kind, "");
        old["status"] = json!({"phase": "was"});
        let mut new = old.clone();
        new["status"] = json!({"phase": "is"});
        new["metadata"]["annotations"] = json!({"a": "b"});
        let mut plain = new.clone();
        update(group, kind, &old, &mut plain);
        assert_eq!(plain["status"], old["status"], "{kind}");
        assert_eq!(plain["metadata"]["annotations"], json!({"a": "b"}), "{kind}");
        new["spec"] = json!({"changed": true});
        new["metadata"]["generation"] = json!(9);
        status_update(group, kind, &old, &mut new);
        assert_eq!(new["status"], json!({"phase": "is"}), "{kind}");
        assert_eq!(new["spec"], old["spec"], "{kind}");
        assert_eq!(new["metadata"]["generation"], old["metadata"]["generation"], "{kind}");
    }
    assert!(has_status("apps", "Deployment") && !has_status("", "ConfigMap"));
    let (group, old) = written("Deployment", "");
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    status_update(group, "Deployment", &old, &mut new);
    assert_eq!(new, old);
}

/// Each case: kind, status of a new object.
#[test]
fn new_objects_start_with_the_status_of_their_kind() {
    let cases = [
        ("Pod", json!({"phase": "Pending", "qosClass": "BestEffort"})),
        ("Namespace", json!({"phase": "Active"})),
        ("PersistentVolumeClaim", json!({"phase": "Pending"})),
        ("PersistentVolume", json!({"phase": "Pending"})),
        ("Deployment", json!({})),
        ("ReplicaSet", json!({"replicas": 0})),
        ("StatefulSet", json!({"replicas": 0, "availableReplicas": 0})),
        ("Service", json!({"loadBalancer": {}})),
        ("Ingress", json!({"loadBalancer": {}})),
        (
            "CustomResourceDefinition",
            json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]}),
        ),
    ];
    for (kind, status) in cases {
        let (_, object) = written(kind, "status={\"phase\":\"Running\",\"replicas\":5}");
        assert_eq!(object["status"], status, "{kind}");
    }
    let (_, node) = written("Node", "status={\"capacity\":{\"cpu\":\"4\"}}");
    assert_eq!(node["status"]["allocatable"], json!({"cpu": "4"}));
}

#[test]
fn a_new_version_to_store_in_joins_the_old_ones() {
    let (group, old) = written("CustomResourceDefinition", "");
    let mut new = old.clone();
    edit(
        &mut new,
        "spec.versions.0.storage=false ; spec.versions.1={\"name\":\"v2\",\"served\":true,\"storage\":true}",
    );
    update(group, "CustomResourceDefinition", &old, &mut new);
    assert_eq!(new["status"]["storedVersions"], json!(["v1", "v2"]));
}

#[test]
fn identities_stay() {
    let (group, mut old) = written("ConfigMap", "");
    old["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut new = old.clone();
    edit(
        &mut new,
        "metadata.uid=- ; metadata.creationTimestamp=null ; metadata.deletionTimestamp=\"2026-01-01T00:00:00Z\"",
    );
    update(group, "ConfigMap", &old, &mut new);
    assert_eq!(new, old);
}

#[test]
fn jobs_select_by_their_uid() {
    let (_, job) = written("Job", "");
    let uid = "0b5f2f4e-7c0a-4a43-9f0e-1d2c3b4a5968";
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"],
        json!({
            "app": "web", "controller-uid": uid, "job-name": "web",
            "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "web",
        })
    );
    let (_, job) = written("Job", "spec.manualSelector=true ; spec.selector.matchLabels.app=\"web\"");
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"app": "web"}}));
    assert_eq!(job["spec"]["template"]["metadata"]["labels"], json!({"app": "web"}));
}

#[test]
fn namespaces_end_only_after_what_is_in_them() {
    let (group, old) = written("Namespace", "");
    assert_eq!(old["spec"], json!({"finalizers": ["kubernetes"]}));
    let mut new = old.clone();
    new["spec"] = json!({});
    update(group, "Namespace", &old, &mut new);
    assert_eq!(new["spec"], old["spec"]);
}

#[test]
fn label_keys_of_pods_become_expressions() {
    let spread =
        "[{\"maxSkew\":1,\"topologyKey\":\"a\",\"labelSelector\":{},\"matchLabelKeys\":[\"app\",\"none\"]}]";
    let term = "[{\"topologyKey\":\"a\",\"labelSelector\":{},\"mismatchLabelKeys\":[\"app\"]}]";
    let edits = format!(
        "metadata.labels.app=\"web\" ; spec.topologySpreadConstraints={spread} ; \
         spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution={term}"
    );
    let (_, pod) = written("Pod", &edits);
    let expression = |operator: &str| json!([{"key": "app", "operator": operator, "values": ["web"]}]);
    let spread = &pod["spec"]["topologySpreadConstraints"][0]["labelSelector"];
    assert_eq!(spread["matchExpressions"], expression("In"));
    let term =
        &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(term["labelSelector"]["matchExpressions"], expression("NotIn"));
}

/// Each case: resources of the containers, class of service.
#[test]
fn classes_of_service_follow_from_resources() {
    let both = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    let cases = [
        (json!([{}]), "BestEffort"),
        (json!([{"resources": {}}, {"resources": {"requests": {"cpu": "0"}}}]), "BestEffort"),
        (json!([{"resources": {"requests": {"cpu": "1"}}}]), "Burstable"),
        (json!([{"resources": {"limits": {"example.com/gpu": "1"}}}]), "BestEffort"),
        (json!([{"resources": both}]), "Guaranteed"),
        (json!([{"resources": both}, {}]), "Burstable"),
        (
            json!([{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}}]),
            "Burstable",
        ),
    ];
    for (containers, class) in cases {
        assert_eq!(qos_class(&json!({"containers": containers})), class, "{containers}");
    }
    assert_eq!(qos_class(&json!({"resources": both, "containers": [{}]})), "Guaranteed");
    assert_eq!(qos_class(&Value::Null), "BestEffort");
}

/// A pool that hands out the same numbers one after the other.
struct Pool {
    next: u16,
    taken: Vec<String>,
}

impl ServicePool for Pool {
    fn cluster_ip(&mut self, wanted: Option<&str>) -> Result<String, String> {
        let ip = wanted.map_or_else(|| format!("10.0.0.{}", self.next), str::to_string);
        self.next += 1;
        if self.taken.contains(&ip) {
            return Err("provided IP is already allocated".to_string());
        }
        self.taken.push(ip.clone());
        Ok(ip)
    }

    fn node_port(&mut self, _protocol: &str, wanted: Option<u16>) -> Result<u16, String> {
        self.next += 1;
        match wanted {
            Some(port) if port < 30000 => {
                Err("provided port is not in the valid range. The range of valid ports is 30000-32767"
                    .to_string())
            }
            Some(port) => Ok(port),
            None => Ok(30000 + self.next),
        }
    }
}

fn pool() -> Pool {
    Pool { next: 1, taken: Vec::new() }
}

fn made(edits: &str) -> Value {
    let (_, mut service) = written("Service", edits);
    assert_eq!(allocate(None, &mut service, &mut pool()), Vec::new());
    service
}

fn changed(old: &Value, edits: &str) -> Value {
    let mut new = old.clone();
    edit(&mut new, edits);
    defaults::apply("", "Service", &mut new);
    update("", "Service", old, &mut new);
    assert_eq!(allocate(Some(old), &mut new, &mut Pool { next: 50, taken: Vec::new() }), Vec::new());
    new
}

#[test]
fn services_get_addresses_and_ports() {
    let service = made("");
    assert_eq!(service["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(service["spec"]["clusterIPs"], json!(["10.0.0.1"]));
    assert_eq!(service["spec"]["ipFamilies"], json!(["IPv4"]));
    assert_eq!(service["spec"]["ipFamilyPolicy"], "SingleStack");
    let service = made("spec.type=\"NodePort\"");
    assert_eq!(service["spec"]["ports"][0]["nodePort"], 30003);
    assert_eq!(held(&service), (vec!["10.0.0.1".to_string()], vec![("TCP".to_string(), 30003)]));
    let service = made("spec.type=\"LoadBalancer\" ; spec.externalTrafficPolicy=\"Local\"");
    assert_eq!(service["spec"]["healthCheckNodePort"], 30004);
    let service = made("spec.type=\"LoadBalancer\" ; spec.allocateLoadBalancerNodePorts=false");
    assert_eq!(service["spec"]["ports"][0].get("nodePort"), None);
    let service = made("spec.clusterIP=\"None\"");
    assert_eq!(service["spec"]["clusterIPs"], json!(["None"]));
    assert_eq!(held(&service), (vec![], vec![]));
    let service = made("spec.clusterIP=\"None\" ; spec.selector=-");
    assert_eq!(service["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    let service = made("spec.type=\"ExternalName\" ; spec.externalName=\"a.example.com\"");
    assert_eq!(service["spec"].get("clusterIP"), None);
}

#[test]
fn what_cannot_be_given_is_a_cause() {
    let (_, mut service) = written("Service", "spec.clusterIP=\"10.0.0.9\"");
    let mut full = Pool { next: 1, taken: vec!["10.0.0.9".to_string()] };
    let causes = allocate(None, &mut service, &mut full);
    assert_eq!(
        causes[0].to_string(),
        "spec.clusterIPs: Invalid value: [\"10.0.0.9\"]: failed to allocate IP 10.0.0.9: provided IP is already allocated"
    );
    let (_, mut service) = written("Service", "spec.type=\"NodePort\" ; spec.ports.0.nodePort=80");
    let causes = allocate(None, &mut service, &mut pool());
    assert_eq!(
        causes[0].to_string(),
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"
    );
}

#[test]
fn services_keep_what_they_were_given() {
    let old = made("spec.type=\"NodePort\"");
    let new = changed(
        &old,
        "spec.clusterIP=- ; spec.clusterIPs=- ; spec.ipFamilies=- ; spec.ipFamilyPolicy=- ; spec.ports=[{\"name\":\"http\",\"port\":80}]",
    );
    assert_eq!(new, old);
    let new = changed(&old, "spec.type=\"ClusterIP\" ; spec.externalTrafficPolicy=-");
    assert_eq!(new["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    let new = changed(&old, "spec.type=\"ExternalName\" ; spec.externalName=\"a.example.com\"");
    for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        assert_eq!(new["spec"].get(name), None, "{name}");
    }
    let new = changed(&made(""), "spec.type=\"NodePort\"");
    assert!(new["spec"]["ports"][0]["nodePort"].is_i64());
}

fn admitted(edits: &str, account: Option<Value>) -> (Value, Result<(), Refused>) {
    let (_, mut pod) = written("Pod", edits);
    let result = service_account(&mut pod, &|_| account.clone(), &mut || "x7k2p".to_string());
    (pod, result)
}

#[test]
fn pods_get_a_service_account_and_its_token() {
    let (pod, result) = admitted("", Some(json!({})));
    assert_eq!(result, Ok(()));
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(pod["spec"]["serviceAccount"], "default");
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"],
        json!([{"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]}}])
    );
    assert_eq!(crate::validate::create("", "Pod", &pod), Vec::new());
    let (pod, _) = admitted("spec.automountServiceAccountToken=false", Some(json!({})));
    assert_eq!(pod["spec"].get("volumes"), None);
    let (pod, _) = admitted(
        "",
        Some(json!({"automountServiceAccountToken": false, "imagePullSecrets": [{"name": "a"}]})),
    );
    assert_eq!(pod["spec"].get("volumes"), None);
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "a"}]));
    let (_, result) = admitted("spec.serviceAccountName=\"robot\"", None);
    assert_eq!(
        result.unwrap_err().to_string(),
        "error looking up service account default/robot: serviceaccount \"robot\" not found"
    );
}

#[test]
fn pods_get_the_priority_of_their_class() {
    let class = |name: Option<&str>| match name {
        Some("high") => Some(PriorityClass::from_object(
            &json!({"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"}),
        )),
        _ => None,
    };
    let with = |edits: &str| {
        let (_, mut pod) = written("Pod", edits);
        let result = priority(&mut pod, &class).map_err(|why| why.to_string());
        (pod, result)
    };
    let (pod, _) = with("");
    assert_eq!(pod["spec"]["priority"], 0);
    assert_eq!(pod["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    let (pod, _) = with("spec.priorityClassName=\"high\"");
    assert_eq!((&pod["spec"]["priority"], &pod["spec"]["preemptionPolicy"]), (&json!(7), &json!("Never")));
    let (pod, _) = with("spec.priorityClassName=\"system-node-critical\"");
    assert_eq!(pod["spec"]["priority"], 2_000_001_000);
    let (_, result) = with("spec.priorityClassName=\"low\"");
    assert_eq!(result, Err("no PriorityClass with name low was found".to_string()));
    let (_, result) = with("spec.priorityClassName=\"high\" ; spec.priority=8");
    assert_eq!(
        result,
        Err("the integer value of priority (8) must not be provided in pod spec; priority admission controller computed 7 from the given PriorityClass name".to_string())
    );
}

#[test]
fn pods_wait_five_minutes_for_their_node() {
    let tolerations = |edits: &str| {
        let (_, mut pod) = written("Pod", edits);
        default_tolerations(&mut pod);
        pod["spec"]["tolerations"].clone()
    };
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let (ready, reach) =
        (toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable"));
    assert_eq!(tolerations(""), json!([ready, reach]));
    let own = json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
    assert_eq!(tolerations(&format!("spec.tolerations=[{own}]")), json!([own, reach]));
    assert_eq!(tolerations("spec.tolerations=[{\"operator\":\"Exists\"}]"), json!([{"operator": "Exists"}]));
}

fn said(causes: &[crate::validate::Cause]) -> Vec<String> {
    causes.iter().map(ToString::to_string).collect()
}

#[test]
fn ephemeral_containers_come_but_do_not_go() {
    let (_, old) = written("Pod", "");
    let write = |old: &Value, edits: &str| {
        let mut new = old.clone();
        edit(&mut new, edits);
        defaults::apply("", "Pod", &mut new);
        ephemeral_containers_update(old, &mut new);
        let causes = said(&crate::validate::ephemeral_containers(old, &new));
        (new, causes)
    };
    let (with, causes) = write(
        &old,
        "spec.ephemeralContainers=[{\"name\":\"debug\",\"image\":\"a:1\"}] ; spec.hostNetwork=true",
    );
    assert_eq!(causes, Vec::<String>::new());
    assert_eq!(with["spec"].get("hostNetwork"), None);
    assert_eq!(with["metadata"]["generation"], 2);
    let (_, causes) = write(&with, "spec.ephemeralContainers=[]");
    let gone = "existing ephemeral containers \"debug\" may not be removed\n";
    assert_eq!(causes, [format!("spec.ephemeralContainers: Forbidden: {gone}")]);
    let (_, causes) = write(&with, "spec.ephemeralContainers.0.image=\"b:1\"");
    assert!(causes[0].contains("existing ephemeral containers \"debug\" may not be changed\n"), "{causes:?}");
    let (_, causes) = write(&old, "spec.ephemeralContainers=[{\"name\":\"app\",\"image\":\"a:1\"}]");
    assert_eq!(causes, ["spec.ephemeralContainers[0].name: Duplicate value: \"app\""]);
}

#[test]
fn resizes_change_amounts_and_nothing_else() {
    let resources = "spec.containers.0.resources";
    let amounts = "{\"requests\":{\"cpu\":\"1\"},\"limits\":{\"cpu\":\"2\",\"memory\":\"1Gi\"}}";
    let (_, old) = written("Pod", &format!("{resources}={amounts}"));
    let write = |edits: &str| {
        let mut new = old.clone();
        edit(&mut new, edits);
        defaults::apply("", "Pod", &mut new);
        resize_update(&old, &mut new);
        let causes = said(&crate::validate::resize(&old, &new));
        (new, causes)
    };
    let (new, causes) =
        write(&format!("{resources}.requests.cpu=\"1500m\" ; spec.containers.0.image=\"b:1\""));
    assert_eq!(causes, Vec::<String>::new());
    assert_eq!(new["spec"]["containers"][0]["image"], "nginx:1.27");
    assert_eq!(new["spec"]["containers"][0]["resources"]["requests"]["cpu"], "1500m");
    assert_eq!(new["metadata"]["generation"], 2);
    let (_, causes) = write(&format!("{resources}.requests.cpu=\"2\""));
    assert_eq!(
        causes,
        ["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"]
    );
    let (_, causes) = write(&format!("{resources}.limits={{\"memory\":\"1Gi\"}}"));
    assert_eq!(causes, ["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]);
    let (_, causes) = write(&format!("{resources}.limits.ephemeral-storage=\"1Gi\""));
    assert!(
        causes[0].starts_with("spec: Forbidden: only cpu and memory resources are mutable\n"),
        "{causes:?}"
    );
    let (_, causes) = write(&format!("{resources}.requests.cpu=\"3\""));
    assert_eq!(
        causes,
        [
            "spec.containers[0].resources.requests: Invalid value: \"3\": must be less than or equal to cpu limit of 2"
        ]
    );
}

#[test]
fn kinds_without_a_row_are_written_as_they_are() {
    let (_, mut object) = good("ConfigMap");
    object["metadata"]["generation"] = Value::Null;
    let before = object.clone();
    create("example.com", "Thing", &mut object);
    assert_eq!(object["data"], before["data"]);
    assert!(!has_status("example.com", "Thing"));
}
