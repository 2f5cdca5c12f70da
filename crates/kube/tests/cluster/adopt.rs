//! Taking over what kubectl applied and what helm installed, without restarting a pod.

use kiban_kube::apply::Adopt;

use super::*;

fn adopting() -> Options {
    Options { adopt: Adopt::Yes, ..patient() }
}

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("orders"), "data": data})
}

fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let controller = |e: &&Value| e["manager"] == "deployment-controller";
    let main = entries.iter().filter(|e| e.get("subresource").is_none() && !controller(e));
    let mut names: Vec<&str> = main.map(|e| e["manager"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What must not move when an app is taken over: its pods and their ReplicaSets.
fn pods(sim: &Sim, cluster: &Cluster) -> [BTreeMap<String, Value>; 2] {
    let sets = all(sim, cluster, "apps", "ReplicaSet");
    let sets = sets.into_iter().map(|(name, s)| (name, s["spec"].clone())).collect();
    [revisions(sim, cluster, "", "Pod"), sets]
}

fn until_ready(sim: &Sim, cluster: &Cluster) {
    sim.wait("the Deployment is available", || {
        let found = all(sim, cluster, "apps", "Deployment");
        found.get("orders").is_some_and(|d| {
            d["status"]["availableReplicas"] == 2
                && d["status"]["observedGeneration"] == d["metadata"]["generation"]
        })
    });
}

#[test]
fn what_kubectl_applied_is_taken_over_and_no_pod_restarts() {
    let sim = Sim::start(2);
    let Some(kubectl) = sim.kubectl("what_kubectl_applied_is_taken_over_and_no_pod_restarts") else { return };
    let cluster = connect(&sim);
    kubectl.run(&format!("create namespace {NAMESPACE}")).ok();
    let theirs = [
        deployment(json!({"app": "orders"}), json!({"theirs": "x"})),
        config(json!({"keep": "1", "drop": "1"})),
    ];
    for object in &theirs {
        kubectl.feed("apply -f -", &object.to_string()).ok();
    }
    until_ready(&sim, &cluster);
    let before = pods(&sim, &cluster);
    assert_eq!(before[0].len(), 2);

    // The template's annotation is not rendered, and a key of the ConfigMap is not either.
    let ours = vec![deployment(json!({"app": "orders"}), json!({})), config(json!({"keep": "1"}))];
    let wanted = request("c1", ours);
    let report = put(&sim, &cluster, &wanted, &adopting()).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.adopted.len(), 2, "{:?}", report.adopted);
    let remains: Vec<_> = report.adopted.values().flat_map(|a| &a.remains).collect();
    assert_eq!(
        remains,
        [
            ".spec.template.metadata.annotations.theirs stays kubectl's: to take it away would restart the pods"
        ]
    );
    let map = &all(&sim, &cluster, "", "ConfigMap")["orders"];
    assert_eq!(map["data"], json!({"keep": "1"}), "what is no longer rendered goes");
    assert_eq!(managers(map), ["kiban"]);
    assert_eq!(map["metadata"].get("annotations"), None, "{map}");
    let deployment = &all(&sim, &cluster, "apps", "Deployment")["orders"];
    assert_eq!(managers(deployment), ["kiban", "kubectl-client-side-apply"]);
    assert!(!deployment.to_string().contains("last-applied-configuration"));
    assert_eq!(pods(&sim, &cluster), before);

    // The second time there is nothing to do.
    let [maps, sets] =
        [revisions(&sim, &cluster, "", "ConfigMap"), revisions(&sim, &cluster, "apps", "Deployment")];
    let report = put(&sim, &cluster, &wanted, &adopting()).unwrap();
    assert!(report.is_success() && report.adopted.is_empty(), "{report:?}");
    assert_eq!(
        [revisions(&sim, &cluster, "", "ConfigMap"), revisions(&sim, &cluster, "apps", "Deployment")],
        [maps, sets]
    );
}

#[test]
fn what_helm_installed_is_taken_over_and_no_pod_restarts() {
    let sim = Sim::start(2);
    let Some(helm) = sim.helm("what_helm_installed_is_taken_over_and_no_pod_restarts") else { return };
    let cluster = connect(&sim);
    let chart = sim.folder().join("chart");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: orders\nversion: 1.0.0\n").unwrap();
    let labels = json!({"app": "orders", "helm.sh/chart": "orders-1.0.0"});
    for (file, object) in
        [("d.json", deployment(labels, json!({}))), ("c.json", config(json!({"keep": "1", "drop": "1"})))]
    {
        std::fs::write(chart.join("templates").join(file.replace("json", "yaml")), object.to_string())
            .unwrap();
    }
    helm.run(&format!("install orders {} -n {NAMESPACE} --create-namespace", chart.display())).ok();
    until_ready(&sim, &cluster);
    let before = pods(&sim, &cluster);

    let ours = vec![deployment(json!({"app": "orders"}), json!({})), config(json!({"keep": "1"}))];
    let report = put(&sim, &cluster, &request("c1", ours.clone()), &adopting()).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(pods(&sim, &cluster), before);
    let deployment = &all(&sim, &cluster, "apps", "Deployment")["orders"];
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["helm.sh/chart"], "orders-1.0.0");
    assert!(!deployment["metadata"].to_string().contains("meta.helm.sh"), "{}", deployment["metadata"]);
    let map = &all(&sim, &cluster, "", "ConfigMap")["orders"];
    assert_eq!((map["data"].clone(), managers(map)), (json!({"keep": "1"}), vec!["kiban"]));
    let remains = report.adopted.values().flat_map(|a| &a.remains).cloned().collect::<Vec<_>>().join("\n");
    assert!(remains.contains("helm.sh/chart stays Helm's"), "{remains}");
    assert!(remains.contains("kubectl delete secret -l owner=helm,name=orders"), "{remains}");
    // As it says: the record goes alone, and helm knows of nothing more.
    let Some(kubectl) = sim.kubectl("what_helm_installed_is_taken_over_and_no_pod_restarts") else { return };
    kubectl.run(&format!("delete secret -n {NAMESPACE} -l owner=helm,name=orders")).ok();
    assert!(!helm.run(&format!("list -n {NAMESPACE} -q")).ok().contains("orders"));
    assert_eq!(pods(&sim, &cluster), before);
    let report = put(&sim, &cluster, &request("c1", ours), &adopting()).unwrap();
    assert!(report.is_success() && report.adopted.is_empty(), "{report:?}");
}

#[test]
fn stopped_while_it_takes_over_and_run_again_it_ends_the_same() {
    let sim = Sim::start(2);
    let Some(kubectl) = sim.kubectl("stopped_while_it_takes_over_and_run_again_it_ends_the_same") else {
        return;
    };
    let cluster = connect(&sim);
    kubectl.run(&format!("create namespace {NAMESPACE}")).ok();
    let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    let map = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data});
    let list: Vec<Value> = names.iter().map(|n| map(n, json!({"keep": "1", "drop": "1"}))).collect();
    kubectl.feed("apply -f -", &json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string()).ok();
    let ours = request("c1", names.iter().map(|n| map(n, json!({"keep": "1"}))).collect());
    // Stopped after each of what it tells, which comes between its writes.
    for stop_at in 0..40 {
        let (canceller, cancel) = kiban_kube::cancel::Canceller::new();
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let one = Options { concurrency: 1, ..adopting() };
        let told = |_| {
            if seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == stop_at {
                canceller.cancel();
            }
        };
        let _ = sim.block_on(apply(&cluster, &ours, &one, &cancel, &told));
    }
    let report = put(&sim, &cluster, &ours, &adopting()).unwrap();
    assert!(report.is_success(), "{report:?}");
    let maps = all(&sim, &cluster, "", "ConfigMap");
    for name in &names {
        assert_eq!(
            (maps[name]["data"].clone(), managers(&maps[name])),
            (json!({"keep": "1"}), vec!["kiban"])
        );
    }
}
