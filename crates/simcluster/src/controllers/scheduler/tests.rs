//! Scheduling through the API: binding, waiting, order, preemption.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::DefaultScheduler;
use crate::controllers::pods::condition;
use crate::controllers::volumes::Volumes;
use crate::controllers::{Controller, Ctx, Item};
use crate::engine::Engine;
use crate::kind::KindId;
use crate::kind::well_known::*;
use crate::object::Key;
use crate::registry::{Actor, Cluster, DeleteOptions, Part};

/// A cluster with a scheduler and no kubelets.
struct Sim {
    clock: Arc<ManualClock>,
    cluster: Cluster,
    engine: Engine,
}

impl Sim {
    fn new(nodes: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-03-01T00:00:00Z").unwrap()));
        let cluster = Cluster::new(clock.clone(), 1);
        let engine =
            Engine::new(cluster.clone(), vec![Box::new(DefaultScheduler::new(1)), Box::new(Volumes)], false);
        let mut sim = Self { clock, cluster, engine };
        sim.create(*NAMESPACE, json!({"metadata": {"name": "default"}}));
        sim.create(
            *SERVICE_ACCOUNT,
            json!({"metadata": {"name": "default"}, "automountServiceAccountToken": false}),
        );
        for (name, cpu) in nodes {
            sim.node(name, cpu);
        }
        sim
    }

    fn node(&mut self, name: &str, cpu: &str) {
        self.create(*NODE, json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}));
        let all = json!({"cpu": cpu, "memory": "8Gi", "pods": "10"});
        self.change(*NODE, name, Part::Status, |n| {
            n["status"] = json!({"capacity": all, "allocatable": all})
        });
    }

    fn create(&mut self, kind: KindId, object: Value) {
        let namespace = if kind.info().namespaced { "default" } else { "" };
        self.cluster.create(kind, namespace, object, &Actor::new("test")).unwrap();
        self.settle();
    }

    fn change(&mut self, kind: KindId, name: &str, part: Part, change: impl Fn(&mut Value)) {
        let namespace = if kind.info().namespaced { "default" } else { "" };
        self.cluster
            .modify(kind, &Key::new(namespace, name), part, &Actor::new("test"), &change)
            .unwrap()
            .unwrap();
        self.settle();
    }

    fn pod(&mut self, name: &str, cpu: &str, change: impl FnOnce(&mut Value)) {
        let mut pod = json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", "image": "app", "resources": {"requests": {"cpu": cpu}}}]},
        });
        change(&mut pod);
        self.create(*POD, pod);
    }

    fn settle(&mut self) {
        assert!(self.engine.settle(100));
    }

    fn secs(&mut self, secs: u64) {
        for _ in 0..secs {
            self.clock.advance(Duration::from_secs(1));
            self.settle();
        }
    }

    fn get(&self, name: &str) -> Value {
        self.cluster.get(*POD, &Key::new("default", name)).map_or(Value::Null, |p| p.value())
    }

    fn node_of(&self, name: &str) -> String {
        self.get(name)["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
    }

    fn messages(&self, reason: &str) -> Vec<String> {
        let state = self.cluster.snapshot();
        let all = state.objects(*EVENT).values().map(|e| e.value()).filter(|e| e["reason"] == reason);
        all.map(|e| e["message"].as_str().unwrap().to_owned()).collect()
    }

    fn waits(&self, name: &str) -> (String, String) {
        let pod = self.get(name);
        let found = condition(&pod, "PodScheduled").cloned().unwrap_or_default();
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }
}

#[test]
fn a_pod_is_bound_and_the_event_says_where() {
    let mut sim = Sim::new(&[("n1", "2")]);
    sim.pod("p", "1", |_| {});
    assert_eq!(sim.node_of("p"), "n1");
    assert_eq!(sim.messages("Scheduled"), ["Successfully assigned default/p to n1"]);
    assert_eq!(condition(&sim.get("p"), "PodScheduled").unwrap()["status"], "True");
    sim.pod("mine", "1", |p| p["spec"]["schedulerName"] = "another".into());
    assert_eq!(sim.node_of("mine"), "");
    assert!(condition(&sim.get("mine"), "PodScheduled").is_none());
}

#[test]
fn a_pod_that_fits_nowhere_is_told_once_and_goes_where_room_is_made() {
    let mut sim = Sim::new(&[("n1", "1"), ("n2", "1")]);
    sim.pod("a", "800m", |_| {});
    sim.pod("b", "800m", |_| {});
    sim.pod("c", "800m", |_| {});
    let text = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    assert_eq!(sim.waits("c"), ("Unschedulable".to_owned(), text.to_owned()));
    assert_eq!(sim.messages("FailedScheduling"), [text]);
    let revision = |sim: &Sim| sim.cluster.get(*POD, &Key::new("default", "c")).unwrap().revision;
    let before = revision(&sim);
    sim.secs(100);
    assert_eq!(revision(&sim), before, "nothing new to say");
    sim.cluster.delete(*POD, &Key::new("default", "a"), &DeleteOptions::now(), &Actor::new("test")).unwrap();
    sim.secs(11);
    assert_ne!(sim.node_of("c"), "");
}

#[test]
fn a_new_node_a_taint_that_goes_and_a_cordon_are_noticed() {
    let mut sim = Sim::new(&[]);
    sim.pod("p", "1", |_| {});
    assert_eq!(sim.waits("p").1, "no nodes available to schedule pods");
    sim.node("n1", "500m");
    sim.secs(11);
    assert!(sim.waits("p").1.contains("Insufficient cpu"), "{:?}", sim.waits("p"));
    sim.node("n2", "2");
    sim.change(*NODE, "n2", Part::Main, |n| n["spec"]["unschedulable"] = true.into());
    sim.pod("q", "1", |_| {});
    assert!(sim.waits("q").1.contains("1 node(s) were unschedulable"), "{:?}", sim.waits("q"));
    sim.change(*NODE, "n2", Part::Main, |n| n["spec"]["unschedulable"] = false.into());
    sim.secs(11);
    assert_eq!(sim.node_of("q"), "n2");
}

#[test]
fn gates_hold_a_pod_without_an_event() {
    let mut sim = Sim::new(&[("n1", "2")]);
    sim.pod("p", "1", |p| p["spec"]["schedulingGates"] = json!([{"name": "quota/check"}]));
    assert_eq!(sim.waits("p").0, "SchedulingGated");
    assert_eq!(sim.messages("FailedScheduling"), Vec::<String>::new());
    sim.change(*POD, "p", Part::Main, |p| p["spec"]["schedulingGates"] = json!([]));
    sim.secs(2);
    assert_eq!(sim.node_of("p"), "n1");
}

#[test]
fn a_pod_of_high_priority_makes_room_for_itself() {
    let mut sim = Sim::new(&[("n1", "1")]);
    for (name, value) in [("low", -10), ("high", 1_000)] {
        sim.create(*PRIORITY_CLASS, json!({"metadata": {"name": name}, "value": value}));
    }
    sim.pod("victim", "800m", |p| p["spec"]["priorityClassName"] = "low".into());
    assert_eq!(sim.node_of("victim"), "n1");
    sim.pod("urgent", "800m", |p| p["spec"]["priorityClassName"] = "high".into());
    let victim = sim.get("victim");
    assert!(victim["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(condition(&victim, "DisruptionTarget").unwrap()["reason"], "PreemptionByScheduler");
    let uid = sim.get("urgent")["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(sim.messages("Preempted"), [format!("Preempted by pod {uid} on node n1")]);
    assert_eq!(sim.get("urgent")["status"]["nominatedNodeName"], "n1");
    // Nobody else takes the room meanwhile.
    sim.pod("late", "100m", |_| {});
    sim.pod("greedy", "900m", |_| {});
    assert_eq!(sim.node_of("greedy"), "");
    let gone = DeleteOptions::now();
    sim.cluster.delete(*POD, &Key::new("default", "victim"), &gone, &Actor::new("test")).unwrap();
    sim.secs(11);
    assert_eq!(sim.node_of("urgent"), "n1");
}

#[test]
fn claims_are_waited_for() {
    let mut sim = Sim::new(&[("n1", "4")]);
    sim.create(*STORAGE_CLASS, json!({
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "sim.kiban.dev/instant", "volumeBindingMode": "WaitForFirstConsumer",
    }));
    let mount = |p: &mut Value| {
        p["spec"]["volumes"] = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
    };
    sim.pod("p", "1", mount);
    let text = "0/1 nodes are available: persistentvolumeclaim \"data\" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(sim.waits("p").1, text);
    let claim = |class: Value| {
        json!({
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}},
        })
    };
    sim.create(*PERSISTENT_VOLUME_CLAIM, claim(json!("unknown")));
    sim.secs(11);
    assert!(
        sim.waits("p").1.contains("pod has unbound immediate PersistentVolumeClaims"),
        "{:?}",
        sim.waits("p")
    );
    sim.cluster
        .delete(
            *PERSISTENT_VOLUME_CLAIM,
            &Key::new("default", "data"),
            &DeleteOptions::default(),
            &Actor::new("test"),
        )
        .unwrap();
    sim.settle();
    if sim.cluster.get(*PERSISTENT_VOLUME_CLAIM, &Key::new("default", "data")).is_some() {
        // Protected while a pod names it.
        sim.change(*PERSISTENT_VOLUME_CLAIM, "data", Part::Main, |c| c["metadata"]["finalizers"] = json!([]));
    }
    sim.create(*PERSISTENT_VOLUME_CLAIM, claim(json!("standard")));
    sim.secs(11);
    assert_eq!(sim.node_of("p"), "n1");
}

#[test]
fn a_deletion_that_nobody_told_of_is_found_while_a_pod_waits() {
    let mut sim = Sim::new(&[("n1", "1")]);
    sim.pod("a", "800m", |_| {});
    sim.pod("b", "800m", |_| {});
    // A scheduler of its own that hears of everything but the end of pod a.
    let mut scheduler = DefaultScheduler::new(1);
    let state = sim.cluster.snapshot();
    for kind in [*NODE, *POD] {
        for change in sim.cluster.store().changes(kind, 0, usize::MAX).unwrap() {
            scheduler.wakes(&state, &change, &mut Vec::new());
        }
    }
    let options = DeleteOptions::now();
    sim.cluster.delete(*POD, &Key::new("default", "a"), &options, &Actor::new("test")).unwrap();
    let item = Item { kind: *POD, key: Key::new("", "") };
    for _ in 0..3 {
        sim.clock.advance(Duration::from_secs(31));
        let ctx = Ctx { cluster: &sim.cluster, now: kiban_base::clock::Clock::now(&*sim.clock), fast: false };
        scheduler.reconcile(&ctx, &item).unwrap();
    }
    assert_eq!(sim.node_of("b"), "n1");
}
