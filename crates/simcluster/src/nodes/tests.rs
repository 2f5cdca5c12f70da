//! Lifecycles of pods on fake nodes, on a clock that the tests move.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::StandIn;
use crate::engine::Engine;
use crate::kind::KindId;
use crate::kind::well_known::*;
use crate::nodes;
use crate::object::Key;
use crate::registry::{Actor, Cluster, DeleteOptions, Part};
use crate::server::Config;

/// A cluster with nodes and their kubelets, and nothing else.
struct Sim {
    clock: Arc<ManualClock>,
    cluster: Cluster,
    engine: Engine,
}

impl Sim {
    fn new(fast: bool, nodes: usize, stand_ins: Vec<StandIn>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-03-01T00:00:00Z").unwrap()));
        let cluster = Cluster::new(clock.clone(), 7);
        let actor = Actor::new("test");
        for name in ["default", "kube-system", "kube-node-lease"] {
            cluster.create(*NAMESPACE, "", json!({"metadata": {"name": name}}), &actor).unwrap();
            let account = json!({"metadata": {"name": "default"}, "automountServiceAccountToken": false});
            cluster.create(*SERVICE_ACCOUNT, name, account, &actor).unwrap();
        }
        let config = Config { nodes, seed: 7, fast, stand_ins, ..Config::default() };
        nodes::register(&cluster, &config).unwrap();
        let engine = Engine::new(cluster.clone(), nodes::controllers(&config), fast);
        let mut sim = Self { clock, cluster, engine };
        sim.settle();
        sim
    }

    fn realistic() -> Self {
        Self::new(false, 2, Vec::new())
    }

    fn fast() -> Self {
        Self::new(true, 2, Vec::new())
    }

    fn settle(&mut self) {
        assert!(self.engine.settle(1_000), "the controllers come to rest");
    }

    /// Moves the clock to each timer on the way.
    fn run(&mut self, span: Duration) {
        use kiban_base::clock::Clock;
        self.settle();
        let end = self.clock.now() + span;
        while let Some(next) = self.engine.next_timer().filter(|t| *t <= end) {
            self.clock.set(next.max(self.clock.now()));
            self.settle();
        }
        self.clock.set(end);
        self.settle();
    }

    fn secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    fn create(&mut self, kind: KindId, object: Value) {
        self.cluster.create(kind, "default", object, &Actor::new("test")).unwrap();
        self.settle();
    }

    /// Creates a pod named `p` from a spec with container `app` completed.
    fn pod(&mut self, annotations: Value, spec: Value) {
        self.create(*POD, json!({"metadata": {"name": "p", "annotations": annotations}, "spec": spec}));
    }

    fn get(&self, name: &str) -> Value {
        self.cluster.get(*POD, &Key::new("default", name)).map_or(Value::Null, |p| p.value())
    }

    fn p(&self) -> Value {
        self.get("p")
    }

    fn delete(&mut self, grace: Option<i64>) {
        let options = DeleteOptions { grace, ..DeleteOptions::default() };
        self.cluster.delete(*POD, &Key::new("default", "p"), &options, &Actor::new("test")).unwrap();
        self.settle();
    }

    /// Reasons of all events about pods, oldest first.
    fn events(&self) -> Vec<String> {
        let state = self.cluster.snapshot();
        let events = state.objects(*EVENT).values().map(|e| (e.revision, e.value()));
        let mut all: Vec<_> = events.filter(|(_, e)| e["involvedObject"]["kind"] == "Pod").collect();
        all.sort_by_key(|(revision, _)| *revision);
        all.into_iter().map(|(_, e)| e["reason"].as_str().unwrap().to_owned()).collect()
    }

    fn messages(&self, reason: &str) -> Vec<String> {
        let state = self.cluster.snapshot();
        let all = state.objects(*EVENT).values().map(|e| e.value()).filter(|e| e["reason"] == reason);
        all.map(|e| e["message"].as_str().unwrap().to_owned()).collect()
    }
}

fn app() -> Value {
    json!({"containers": [{"name": "app", "image": "shop/app:1"}]})
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = app();
    change(&mut spec);
    spec
}

fn condition(pod: &Value, type_: &str) -> String {
    let found = pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == type_);
    found.map_or_else(String::new, |c| c["status"].as_str().unwrap().to_owned())
}

fn state(pod: &Value) -> Value {
    pod["status"]["containerStatuses"][0]["state"].clone()
}

mod holds;
mod hosts;
mod runs;
mod stops;

#[test]
fn a_pod_is_scheduled_pulled_started_and_ready() {
    let mut sim = Sim::realistic();
    sim.pod(json!({}), app());
    let pod = sim.p();
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(state(&pod)["waiting"]["reason"], "ContainerCreating");
    assert_eq!(condition(&pod, "PodScheduled"), "True");
    sim.secs(10);
    let pod = sim.p();
    assert_eq!(pod["status"]["phase"], "Running", "{pod:#}");
    for type_ in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, type_), "True", "{type_}");
    }
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["image"], "docker.io/shop/app:1");
    assert!(container["imageID"].as_str().unwrap().starts_with("docker.io/shop/app@sha256:"));
    assert!(container["containerID"].as_str().unwrap().starts_with("containerd://"));
    assert_eq!((&container["ready"], &container["started"]), (&json!(true), &json!(true)));
    assert!(pod["status"]["podIP"].as_str().unwrap().starts_with("10.128."));
    assert_eq!(pod["status"]["podIPs"][0]["ip"], pod["status"]["podIP"]);
    assert_eq!(pod["status"]["qosClass"], "BestEffort");
    assert_eq!(sim.events(), ["Scheduled", "Pulling", "Pulled", "Created", "Started"]);
    let revision = sim.cluster.get(*POD, &Key::new("default", "p")).unwrap().revision;
    sim.secs(3_600);
    assert_eq!(sim.cluster.get(*POD, &Key::new("default", "p")).unwrap().revision, revision, "it is at rest");
}

#[test]
fn fast_mode_takes_a_pod_up_in_two_writes_and_down_in_one() {
    let mut sim = Sim::fast();
    let spec = with(|s| {
        s["terminationGracePeriodSeconds"] = 300.into();
        s["containers"][0]["readinessProbe"] =
            json!({"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 300});
        s["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 200}}});
    });
    let before = sim.cluster.snapshot().revision;
    sim.pod(json!({}), spec);
    let pod = sim.p();
    assert_eq!(condition(&pod, "Ready"), "True");
    let changes = sim.cluster.store().changes(*POD, before, 100).unwrap();
    assert_eq!(changes.len(), 3, "created, bound, running");
    sim.delete(None);
    sim.run(Duration::from_millis(150));
    assert_eq!(sim.p(), Value::Null);
}

/// Everything that is stored, apart from the history of its changes.
fn dump(sim: &Sim) -> Vec<String> {
    let state = sim.cluster.snapshot();
    let kinds = [*NODE, *POD, *EVENT, *LEASE, *CONFIG_MAP];
    kinds
        .iter()
        .flat_map(|k| state.objects(*k).values().map(|o| String::from_utf8_lossy(&o.json).into_owned()))
        .collect()
}

#[test]
fn two_runs_from_one_seed_are_the_same() {
    let run = || {
        let mut sim = Sim::realistic();
        sim.pod(json!({"sim.kiban.dev/crash-loop": "3s"}), app());
        for name in ["a", "b", "c"] {
            sim.create(*POD, json!({"metadata": {"name": name}, "spec": app()}));
        }
        sim.secs(120);
        sim.delete(None);
        sim.secs(40);
        dump(&sim)
    };
    let (first, second) = (run(), run());
    assert!(first.len() > 10);
    assert_eq!(first, second);
}

#[test]
fn a_kubelet_that_starts_anew_carries_on_and_pods_at_rest_stay_at_rest() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/crash-loop.side": "2s"}), json!({"containers": [
        {"name": "app", "image": "a", "resources": {"requests": {"cpu": "10m"}}}, {"name": "side", "image": "b"},
    ]}));
    sim.create(*POD, json!({"metadata": {"name": "calm"}, "spec": app()}));
    sim.secs(30);
    let before = sim.p();
    let config = Config { nodes: 2, seed: 7, ..Config::default() };
    sim.engine = Engine::new(sim.cluster.clone(), nodes::controllers(&config), false);
    let calm = sim.cluster.get(*POD, &Key::new("default", "calm")).unwrap().revision;
    sim.settle();
    assert_eq!(sim.cluster.get(*POD, &Key::new("default", "calm")).unwrap().revision, calm);
    assert_eq!(sim.p()["status"]["podIP"], before["status"]["podIP"]);
    sim.secs(60);
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][1]["restartCount"].as_i64().unwrap();
    assert!(restarts(&sim.p()) > restarts(&before));
    // A change that is none of the kubelet's business makes it write nothing.
    let touched =
        sim.cluster.modify(*POD, &Key::new("default", "calm"), Part::Main, &Actor::new("test"), |p| {
            p["metadata"]["labels"]["x"] = "y".into();
        });
    sim.settle();
    let now = sim.cluster.get(*POD, &Key::new("default", "calm")).unwrap().revision;
    assert_eq!(now, touched.unwrap().unwrap().revision);
}
