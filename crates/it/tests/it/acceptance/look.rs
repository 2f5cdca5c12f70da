//! Looking: get in all its forms, describe, explain, discovery, who am I.

use std::collections::BTreeSet;

use kiban_testkit::Sim;
use serde_json::{Value, json};

use super::{APP, cells, cluster, holds};
use crate::kinds::table;

#[test]
fn nodes_and_everything_are_listed() {
    let Some((_sim, kubectl)) = cluster("look: get") else { return };
    let nodes = kubectl.run("get nodes -o wide").ok();
    holds(
        &nodes,
        &["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "OS-IMAGE", "CONTAINER-RUNTIME"],
    );
    let first = cells(&nodes, "sim-node-1");
    assert_eq!((first[1].as_str(), first[4].as_str()), ("Ready", "v1.37.1"));
    assert_eq!(nodes.lines().count(), 4);

    let all = kubectl.run("get all -A").ok();
    assert_eq!(cells(&all, "default")[1], "service/kubernetes");
    assert_eq!(kubectl.run("get pods").err, "No resources found in default namespace.\n");
    assert_eq!(kubectl.run("get pods -n nowhere").err, "No resources found in nowhere namespace.\n");
    let error = kubectl.run("get pod nothing").fails(1);
    assert_eq!(error, "Error from server (NotFound): pods \"nothing\" not found\n");
    let error = kubectl.run("get nothings").fails(1);
    assert_eq!(error, "error: the server doesn't have a resource type \"nothings\"\n");
}

#[test]
fn discovery_lists_every_group_version_and_kind() {
    let Some((_sim, kubectl)) = cluster("look: discovery") else { return };
    let resources = kubectl.run("api-resources --verbs=list").ok();
    let row = cells(&resources, "deployments");
    assert_eq!(row, ["deployments", "deploy", "apps/v1", "true", "Deployment"]);
    assert_eq!(cells(&resources, "nodes"), ["nodes", "no", "v1", "false", "Node"]);
    let named = kubectl.run("api-resources --verbs=list --namespaced -o name").ok();
    assert!(named.lines().any(|l| l == "horizontalpodautoscalers.autoscaling"), "{named}");
    assert!(!named.lines().any(|l| l == "nodes"));
    let grouped = kubectl.run("api-resources --api-group=policy --no-headers").ok();
    assert_eq!(grouped.lines().count(), 1);
    let everything = kubectl.run("get all -o name --ignore-not-found").ok();
    assert_eq!(everything, "service/kubernetes\n");

    let versions: Vec<String> = kubectl.run("api-versions").ok().lines().map(str::to_owned).collect();
    for version in ["v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"] {
        assert!(versions.iter().any(|v| v == version), "{version} is not in {versions:?}");
    }
    holds(&kubectl.run("version").ok(), &["Client Version: v1.37", "Server Version: v1.37"]);
    holds(
        &kubectl.run("cluster-info").ok(),
        &["Kubernetes control plane", "is running at", "https://127.0.0.1:"],
    );
    assert_eq!(kubectl.run("get --raw /healthz").ok(), "ok");
    assert_eq!(kubectl.run("get --raw /livez").ok(), "ok");
    holds(&kubectl.run("get --raw /readyz?verbose").ok(), &["[+]ping ok", "readyz check passed"]);
    holds(&kubectl.run("get --raw /").ok(), &["\"/api/v1\"", "\"/apis/apps/v1\"", "\"/openapi/v3\""]);
    let version: Value = serde_json::from_str(&kubectl.run("get --raw /version").ok()).unwrap();
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("37")));
    let error = kubectl.run("get --raw /nothing").fails(1);
    assert_eq!(error, "Error from server (NotFound): the server could not find the requested resource\n");
}

#[test]
fn the_holder_of_the_token_is_known_and_may_do_everything() {
    let Some((sim, kubectl)) = cluster("look: auth") else { return };
    let list = kubectl.run("auth can-i --list").ok();
    assert_eq!(cells(&list, "*.*"), ["*.*", "[]", "[]", "[*]"]);
    assert_eq!(kubectl.run("auth can-i create deployments").ok(), "yes\n");
    assert_eq!(kubectl.run("auth can-i create deployments --subresource=scale -n kube-system").ok(), "yes\n");
    let me = kubectl.run("auth whoami").ok();
    assert_eq!(cells(&me, "Username"), ["Username", "kubernetes-admin"]);
    holds(&me, &["[system:masters system:authenticated]"]);
    holds(&kubectl.run("auth whoami --as=bob --as-group=dev").ok(), &["bob", "[dev system:authenticated]"]);
    let token = kubectl.run("create token default --duration=20m").ok();
    assert_eq!(token.split('.').count(), 3, "{token}");
    let error = kubectl.run("create token default --bound-object-kind=Pod --bound-object-name=none").fails(1);
    assert_eq!(error, "error: failed to create token: pods \"none\" not found\n");
    let error = kubectl.run("create token nobody").fails(1);
    assert_eq!(error, "error: failed to create token: serviceaccounts \"nobody\" not found\n");
    let error = kubectl.run("get nodes --token=wrong").fails(1);
    assert_eq!(error, "error: You must be logged in to the server (Unauthorized)\n");
    drop(sim);
}

#[test]
fn a_workload_is_shown_in_every_form() {
    let Some((sim, kubectl)) = cluster("look: output") else { return };
    kubectl.feed("apply -f -", APP).ok();
    kubectl.run("rollout status deploy/web -n shop --timeout=60s").ok();
    kubectl.run("config set-context --current --namespace=shop").ok();
    let row = cells(&kubectl.run("get deploy -o wide").ok(), "web");
    let replicas = ["3/3", "3", "3"];
    assert_eq!(row[1..4], replicas);
    assert_eq!(row[5..], ["web", "registry.example/web:1", "app=web"]);

    assert_eq!(kubectl.run("get deploy web -o jsonpath={.spec.replicas}").ok(), "3");
    assert_eq!(kubectl.run("get pods -o 'go-template={{len .items}}'").ok(), "3");
    let names = kubectl.run("get pods -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'").ok();
    let sorted: Vec<_> =
        kubectl.run("get pods --sort-by=.metadata.name -o name").ok().lines().map(str::to_owned).collect();
    assert_eq!(names.lines().map(|n| format!("pod/{n}")).collect::<Vec<_>>(), sorted);
    let columns = kubectl.run("get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName").ok();
    assert_eq!(columns.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["NAME", "NODE"]);
    assert!(columns.lines().skip(1).all(|l| l.contains("sim-node-")), "{columns}");
    let labelled = kubectl.run("get pods -L app --show-labels").ok();
    holds(&labelled, &["APP", "LABELS", "app=web,pod-template-hash="]);
    let yaml = kubectl.run("get svc web -o yaml").ok();
    holds(&yaml, &["apiVersion: v1\n", "kind: Service\n", "  type: ClusterIP\n", "clusterIP: 10.96."]);
    let object: Value = serde_json::from_str(&kubectl.run("get svc web -o json").ok()).unwrap();
    assert_eq!(object["spec"]["ports"][0]["targetPort"], "http");
    assert_eq!(kubectl.run("get deploy,svc -o name").ok(), "deployment.apps/web\nservice/web\n");
    let row = cells(&kubectl.run("get hpa").ok(), "web");
    assert_eq!(
        row[1..],
        ["Deployment/web", "cpu:", "<unknown>/60%", "2", "5", row[6].as_str(), row[7].as_str()]
    );
    let row = cells(&kubectl.run("get pdb").ok(), "web");
    assert_eq!(row[1..4], ["2", "N/A", "1"]);
    let scale = cells(&kubectl.run("get deploy web --subresource=scale").ok(), "web");
    assert_eq!(scale[1..3], ["3", "3"]);
    let slices = kubectl.run("get endpointslices -l kubernetes.io/service-name=web").ok();
    holds(&slices, &["IPv4", "80"]);
    sim.wait("ready endpoints", || {
        let ready =
            kubectl.run("get endpointslices -o jsonpath={.items[*].endpoints[*].conditions.ready}").ok();
        ready == "true true true"
    });

    selects(&kubectl);
}

fn selects(kubectl: &kiban_testkit::Kubectl) {
    let by_label =
        |selector: &str| kubectl.args(&["get", "pods", "-o", "name", "-l", selector]).ok().lines().count();
    assert_eq!(by_label("app in (web,other)"), 3);
    assert_eq!(by_label("app notin (web)"), 0);
    assert_eq!(by_label("!app"), 0);
    assert_eq!(by_label("app,app!=other"), 3);
    let on: usize = (1..=3)
        .map(|n| {
            let line =
                format!("get pods -l 'app in (web,b)' --field-selector spec.nodeName=sim-node-{n} -o name");
            kubectl.run(&line).ok().lines().count()
        })
        .sum();
    assert_eq!(on, 3);
    let running = kubectl
        .run("get pods -A --field-selector status.phase=Running,metadata.namespace!=default -o name")
        .ok();
    assert_eq!(running.lines().count(), 3);
    let error = kubectl.run("get pods --field-selector spec.nothing=x").fails(1);
    holds(&error, &["(BadRequest)", "field label not supported: spec.nothing"]);
    let error = kubectl.run("get pods -l 'a b'").fails(1);
    holds(&error, &["unable to parse requirement"]);
}

#[test]
fn long_lists_come_in_pages() {
    let Some((sim, kubectl)) = cluster("look: pages") else { return };
    let list: Vec<Value> = (0..203)
        .map(|n| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c-{n:03}")}}))
        .collect();
    let file = sim.file("many.json", &json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string());
    let made = kubectl.run(&format!("create -f {file}")).ok();
    assert_eq!(made.lines().count(), 203);
    let shown = kubectl.run("get cm --chunk-size=20 -o name").ok();
    let unique: BTreeSet<_> = shown.lines().filter(|l| l.contains("/c-")).collect();
    assert_eq!(unique.len(), 203);
    let page: Value =
        serde_json::from_str(&kubectl.run("get --raw /api/v1/namespaces/default/configmaps?limit=2").ok())
            .unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert_eq!(page["metadata"]["remainingItemCount"], 202);
    assert_eq!(kubectl.run("delete cm --all").ok().lines().count(), 204);
}

#[test]
fn every_kind_is_described_without_a_surprise() {
    let Some((sim, kubectl)) = cluster("look: describe") else { return };
    let objects: Vec<Value> = table::rows().iter().map(table::Row::object).collect();
    let file =
        sim.file("all.json", &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
    // Before there is a custom kind, of which there are no objects.
    let kinds = kubectl.run("api-resources --verbs=list,create -o name").ok();
    kubectl.run(&format!("create -f {file}")).ok();
    for kind in kinds.lines() {
        let said = kubectl.run(&format!("describe {kind}"));
        assert_eq!(said.code, 0, "{kind}: {}", said.err);
        assert!(said.err.is_empty() || kind == "endpoints", "{kind}: {}", said.err);
        holds(&said.out, &["Name:"]);
    }
    let wide = kubectl.run(&format!("get {} -o wide", kinds.lines().collect::<Vec<_>>().join(",")));
    wide.ok();
}

#[test]
fn every_kind_is_explained() {
    let Some((_sim, kubectl)) = cluster("look: explain") else { return };
    let strategy = kubectl.run("explain deployment.spec.strategy").ok();
    holds(
        &strategy,
        &["GROUP:      apps", "FIELD: strategy <DeploymentStrategy>", "enum: Recreate, RollingUpdate"],
    );
    let resources = kubectl.run("api-resources --verbs=list --no-headers").ok();
    for line in resources.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, version, kind) = (words[0], words[words.len() - 3], words[words.len() - 1]);
        let text = kubectl.run(&format!("explain {name} --api-version={version} --recursive")).ok();
        holds(&text, &[&format!("KIND:       {kind}"), "metadata\t<ObjectMeta>"]);
    }
    let error = kubectl.run("explain pod.spec.nothing").fails(1);
    assert_eq!(error, "error: field \"nothing\" does not exist\n");
}

#[test]
fn what_happened_is_told_in_describe_and_events() {
    let Some((sim, kubectl)) = cluster("look: events") else { return };
    kubectl.run("create deployment web --image=nginx:1 --replicas=2").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    let text = kubectl.run("describe deploy web").ok();
    holds(
        &text,
        &[
            "Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
            "StrategyType:           RollingUpdate",
            "RollingUpdateStrategy:  25% max unavailable, 25% max surge",
            "Available      True    MinimumReplicasAvailable",
            "Progressing    True    NewReplicaSetAvailable",
            "ScalingReplicaSet",
            "deployment-controller",
        ],
    );
    let name = kubectl.run("get pods -o jsonpath={.items[0].metadata.name}").ok();
    let pods = kubectl.run(&format!("describe pod {name}")).ok();
    holds(
        &pods,
        &[
            "Controlled By:  ReplicaSet/web-",
            "Status:           Running",
            "Ready:          True",
            "QoS Class:                   BestEffort",
            "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
            "Successfully assigned default/web-",
            "Pulling image \"nginx:1\"",
            "kube-api-access-",
        ],
    );
    let node = kubectl.run("describe node sim-node-1").ok();
    holds(
        &node,
        &[
            "KubeletReady",
            "Non-terminated Pods:",
            "Allocated resources:",
            "PodCIDR:",
            "HolderIdentity:  sim-node-1",
            "Starting kubelet.",
            "NodeReady",
        ],
    );
    let events = kubectl.run("events --for deploy/web").ok();
    holds(&events, &["LAST SEEN", "ScalingReplicaSet", "Scaled up replica set web-"]);
    let typed = kubectl.run("events --types=Warning").ok();
    assert!(!typed.contains("Normal"), "{typed}");
    let listed = kubectl
        .run("get events --field-selector involvedObject.kind=Pod,reason=Started --sort-by=.lastTimestamp")
        .ok();
    assert_eq!(listed.lines().count(), 3, "{listed}");

    let mut watch = kubectl.start("get events --watch-only");
    sim.wait("a new event", || {
        kubectl.run("scale deploy/web --replicas=3").ok();
        kubectl.run("scale deploy/web --replicas=2").ok();
        watch.out().contains("ScalingReplicaSet")
    });
    watch = kubectl.start("events --watch");
    sim.wait("the old ones", || watch.out().contains("Created pod: web-"));
}

/// Events of the newer API are the same objects.
#[test]
fn events_of_both_apis_are_one() {
    let Some((sim, kubectl)) = cluster("look: events.k8s.io") else { return };
    kubectl.run("create configmap thing").ok();
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "newer"},
        "eventTime": "2026-01-02T03:04:05.000006Z", "reason": "Reconciled", "action": "Reconciling", "type": "Normal",
        "reportingController": "example.com/controller", "reportingInstance": "controller-1", "note": "all well",
        "regarding": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": "thing"},
    });
    kubectl.feed("create -f -", &event.to_string()).ok();
    let old: Value =
        serde_json::from_str(&kubectl.run("get --raw /api/v1/namespaces/default/events/newer").ok()).unwrap();
    assert_eq!(
        (&old["message"], &old["involvedObject"]["name"]),
        (&json!("all well"), &json!("thing")),
        "{old}"
    );
    assert_eq!(
        (&old["apiVersion"], &old["reportingComponent"]),
        (&json!("v1"), &json!("example.com/controller"))
    );
    holds(&kubectl.run("get events").ok(), &["Reconciled", "configmap/thing", "all well"]);
    holds(
        &kubectl.run("get events.events.k8s.io -o yaml").ok(),
        &["note: all well", "regarding:", "apiVersion: events.k8s.io/v1"],
    );
    let same = kubectl.feed("create -f -", &event.to_string()).fails(1);
    holds(&same, &["events.events.k8s.io \"newer\" already exists"]);
    kubectl.run("delete events.events.k8s.io newer").ok();
    assert!(!kubectl.run("get events").ok().contains("Reconciled"));
    drop(sim);
}

#[test]
fn what_is_not_served_says_so() {
    let sim = Sim::start(1);
    let Some(kubectl) = sim.kubectl("look: not served") else { return };
    kubectl.run("run web --image=nginx:1").ok();
    kubectl.run("wait --for=condition=Ready pod/web --timeout=60s").ok();
    for line in ["exec web -- true", "attach web", "port-forward web 8080:80"] {
        let error = kubectl.run(line).fails(1);
        holds(&error, &["unable to upgrade connection: the server could not find the requested resource"]);
    }
    for line in ["top pods", "top nodes"] {
        assert_eq!(kubectl.run(line).fails(1), "error: Metrics API not available\n");
    }
    let old = kubectl.run("get endpoints kubernetes");
    holds(
        &old.err,
        &["Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"],
    );
    holds(&old.ok(), &["10.0.0.1:"]);
}
