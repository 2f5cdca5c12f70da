//! Nodes: what they register, renew, and leave behind.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

fn node(sim: &Sim, name: &str) -> Value {
    sim.cluster.get(*NODE, &Key::new("", name)).map_or(Value::Null, |n| n.value())
}

#[test]
fn a_node_registers_ready_with_all_that_a_kubelet_tells() {
    let sim = Sim::new(false, 4, Vec::new());
    let one = node(&sim, "sim-node-1");
    assert_eq!(condition(&one, "Ready"), "True");
    assert_eq!(one["metadata"]["labels"]["kubernetes.io/hostname"], "sim-node-1");
    assert_eq!(one["status"]["nodeInfo"]["kubeletVersion"], "v1.37.1");
    assert_eq!(one["status"]["capacity"]["cpu"], "8");
    assert!(one["spec"]["podCIDR"].as_str().unwrap().ends_with(".0/24"));
    let zones: BTreeSet<_> = (1..=3)
        .map(|i| {
            node(&sim, &format!("sim-node-{i}"))["metadata"]["labels"]["topology.kubernetes.io/zone"]
                .to_string()
        })
        .collect();
    assert_eq!(zones.len(), 3);
    assert_ne!(one["status"]["addresses"], node(&sim, "sim-node-2")["status"]["addresses"]);
    assert!(sim.messages("NodeReady").contains(&"Node sim-node-1 status is now: NodeReady".to_owned()));
}

#[test]
fn leases_are_renewed_and_heartbeats_told() {
    let mut sim = Sim::realistic();
    let lease =
        |sim: &Sim| sim.cluster.get(*LEASE, &Key::new("kube-node-lease", "sim-node-1")).unwrap().value();
    let first = lease(&sim);
    assert_eq!(first["spec"]["leaseDurationSeconds"], 40);
    let beat = node(&sim, "sim-node-1")["status"]["conditions"][0]["lastHeartbeatTime"].clone();
    sim.secs(11);
    assert_ne!(lease(&sim)["spec"]["renewTime"], first["spec"]["renewTime"]);
    sim.secs(300);
    let later = node(&sim, "sim-node-1");
    assert_ne!(later["status"]["conditions"][0]["lastHeartbeatTime"], beat);
    assert_eq!(later["status"]["conditions"][0]["lastTransitionTime"], beat, "nothing changed");
}

#[test]
fn pods_have_addresses_of_their_own() {
    let mut sim = Sim::fast();
    for i in 0..100 {
        sim.create(*POD, json!({"metadata": {"name": format!("p{i}")}, "spec": app()}));
    }
    let ip = |i: usize| sim.get(&format!("p{i}"))["status"]["podIP"].as_str().unwrap().to_owned();
    assert_eq!((0..100).map(ip).collect::<BTreeSet<_>>().len(), 100);
    sim.create(*POD, json!({"metadata": {"name": "host"}, "spec": with(|s| s["hostNetwork"] = true.into())}));
    let host = sim.get("host");
    assert_eq!(host["status"]["podIP"], host["status"]["hostIP"]);
}

#[test]
fn a_node_that_somebody_creates_gets_a_kubelet_unless_it_says_no() {
    let mut sim = Sim::new(true, 0, Vec::new());
    sim.pod(json!({}), app());
    assert_eq!(sim.messages("FailedScheduling"), ["no nodes available to schedule pods"]);
    let named = |name: &str, notes: Value| json!({"metadata": {"name": name, "annotations": notes}});
    sim.create(*NODE, named("other", json!({"sim.kiban.dev/kubelet": "none"})));
    sim.secs(1);
    assert!(node(&sim, "other")["status"]["capacity"].is_null());
    let mut small = named("mine", json!({}));
    small["status"] = json!({"capacity": {"cpu": "1", "memory": "1Gi", "pods": "5"}});
    sim.cluster.create(*NODE, "", small, &Actor::new("test")).unwrap();
    sim.settle();
    let mine = node(&sim, "mine");
    assert_eq!(condition(&mine, "Ready"), "True");
    assert_eq!(mine["metadata"]["labels"]["kubernetes.io/hostname"], "mine");
    sim.secs(2);
    assert_eq!(sim.p()["status"]["phase"], "Running");
    assert_eq!(sim.p()["spec"]["nodeName"], "mine");
}

#[test]
fn pods_of_a_node_that_is_gone_are_removed_after_a_while() {
    let mut sim = Sim::new(false, 1, Vec::new());
    sim.pod(json!({}), app());
    sim.secs(10);
    sim.cluster
        .delete(*NODE, &Key::new("", "sim-node-1"), &DeleteOptions::default(), &Actor::new("test"))
        .unwrap();
    sim.secs(30);
    assert_eq!(sim.p()["status"]["phase"], "Running", "the node may come back");
    sim.secs(15);
    assert_eq!(sim.p(), Value::Null);
}

#[test]
fn a_pod_that_names_its_node_needs_no_scheduler() {
    let mut sim = Sim::fast();
    sim.pod(json!({}), with(|s| s["nodeName"] = "sim-node-2".into()));
    assert_eq!(condition(&sim.p(), "Ready"), "True");
    assert_eq!(condition(&sim.p(), "PodScheduled"), "True");
    assert!(!sim.events().contains(&"Scheduled".to_owned()));
    sim.create(
        *POD,
        json!({"metadata": {"name": "lost"}, "spec": with(|s| s["nodeName"] = "nowhere".into())}),
    );
    assert_eq!(sim.get("lost")["status"]["phase"], "Pending");
    sim.secs(1);
    assert_eq!(sim.get("lost"), Value::Null);
}

#[test]
fn a_no_execute_taint_drives_pods_away_that_do_not_tolerate_it() {
    let mut sim = Sim::new(false, 1, Vec::new());
    for (name, tolerations) in [
        ("none", json!([])),
        (
            "while",
            json!([{"key": "maintenance", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]),
        ),
        ("always", json!([{"operator": "Exists"}])),
    ] {
        let spec = with(|s| s["tolerations"] = tolerations);
        sim.create(*POD, json!({"metadata": {"name": name}, "spec": spec}));
    }
    sim.secs(10);
    let taint = |sim: &mut Sim, taints: Value| {
        let actor = Actor::new("test");
        sim.cluster
            .modify(*NODE, &Key::new("", "sim-node-1"), Part::Main, &actor, |n| {
                n["spec"]["taints"] = taints.clone()
            })
            .unwrap();
        sim.settle();
    };
    taint(&mut sim, json!([{"key": "maintenance", "effect": "NoExecute"}]));
    assert!(sim.get("none")["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(condition(&sim.get("none"), "DisruptionTarget"), "True");
    sim.secs(30);
    assert_eq!(sim.get("none"), Value::Null);
    assert!(sim.get("while")["metadata"]["deletionTimestamp"].is_null());
    // The taint goes in time, and comes back.
    taint(&mut sim, json!([]));
    sim.secs(120);
    assert_eq!(sim.get("while")["status"]["phase"], "Running");
    taint(&mut sim, json!([{"key": "maintenance", "effect": "NoExecute"}]));
    sim.secs(70);
    assert_eq!(sim.get("while"), Value::Null);
    assert_eq!(sim.get("always")["status"]["phase"], "Running");
    let mut told = sim.messages("TaintManagerEviction");
    told.sort();
    told.dedup();
    assert_eq!(
        told,
        [
            "Cancelling deletion of Pod default/while",
            "Marking for deletion Pod default/none",
            "Marking for deletion Pod default/while"
        ]
    );
}
