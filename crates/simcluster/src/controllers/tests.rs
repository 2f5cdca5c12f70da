//! Scenarios of the controllers with fake nodes, on a clock that the tests move.
#![allow(clippy::unwrap_used)]

mod budgets;
mod cronjobs;
mod daemons;
mod determinism;
mod endpoints;
mod garbage;
mod jobs;
mod namespaces;
mod outrun;
mod replicas;
mod rollout;
mod stateful;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::controllers;
use crate::engine::Engine;
use crate::kind::{KindId, kind_id, well_known::*};
use crate::nodes;
use crate::object::{Key, Stored};
use crate::registry::{Actor, Cluster, DeleteOptions, Part, Propagation};
use crate::server::Config;
use crate::status::ApiError;

/// A whole cluster but for its API: every controller, the scheduler, and fake nodes.
pub(crate) struct World {
    pub clock: Arc<ManualClock>,
    pub cluster: Cluster,
    engine: Engine,
    config: Config,
}

/// What stands for the cluster's certificate.
pub(super) const CA: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

impl World {
    /// A cluster with nodes whose pods take milliseconds.
    pub fn fast(nodes: usize) -> Self {
        Self::with(Config { nodes, seed: 7, fast: true, ..Config::default() })
    }

    /// A cluster with nodes whose pods take as long as real ones.
    pub fn realistic(nodes: usize) -> Self {
        Self::with(Config { nodes, seed: 7, fast: false, ..Config::default() })
    }

    pub fn with(config: Config) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-03-01T00:00:00Z").unwrap()));
        let cluster = Cluster::new(clock.clone(), config.seed);
        Self::over(clock, cluster, config)
    }

    /// A fast cluster whose logs are so short that the controllers are outrun all the time.
    pub fn outrun(nodes: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-03-01T00:00:00Z").unwrap()));
        let cluster = Cluster::with_short_logs(clock.clone(), 7);
        Self::over(clock, cluster, Config { nodes, seed: 7, fast: true, ..Config::default() })
    }

    fn over(clock: Arc<ManualClock>, cluster: Cluster, config: Config) -> Self {
        crate::bootstrap::install(&cluster, ([127, 0, 0, 1], 6443).into()).unwrap();
        nodes::register(&cluster, &config).unwrap();
        let engine = engine(&cluster, &config);
        let mut world = Self { clock, cluster, engine, config };
        world.settle();
        world
    }

    /// Another engine on the same store, as after a restart of the process: nothing is remembered.
    pub fn restart(&mut self) {
        self.engine = engine(&self.cluster, &self.config);
    }

    pub fn settle(&mut self) {
        assert!(self.engine.settle(5_000), "the controllers come to rest");
    }

    /// One round of the controllers.
    pub fn step(&mut self) -> bool {
        self.engine.step()
    }

    /// Moves the clock to each timer on the way.
    pub fn run(&mut self, span: Duration) {
        self.settle();
        let end = self.clock.now() + span;
        while let Some(next) = self.engine.next_timer().filter(|t| *t <= end) {
            self.clock.set(next.max(self.clock.now()));
            self.settle();
        }
        self.clock.set(end);
        self.settle();
    }

    pub fn secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    pub fn millis(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    pub fn try_create(&self, kind: KindId, object: Value) -> Result<Arc<Stored>, ApiError> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let namespace = if kind.info().namespaced { namespace } else { String::new() };
        self.cluster.create(kind, &namespace, object, &Actor::new("test"))
    }

    pub fn create(&self, kind: KindId, object: Value) -> Arc<Stored> {
        self.try_create(kind, object).unwrap()
    }

    /// An object of the default namespace, or a cluster-scoped one; `Null` where there is none.
    pub fn get(&self, kind: KindId, name: &str) -> Value {
        self.cluster.get(kind, &key(kind, name)).map_or(Value::Null, |o| o.value())
    }

    pub fn stored(&self, kind: KindId, name: &str) -> Arc<Stored> {
        self.cluster.get(kind, &key(kind, name)).unwrap()
    }

    pub fn exists(&self, kind: KindId, name: &str) -> bool {
        self.cluster.get(kind, &key(kind, name)).is_some()
    }

    pub fn change(&self, kind: KindId, name: &str, change: impl FnMut(&mut Value)) {
        self.cluster
            .modify(kind, &key(kind, name), Part::Main, &Actor::new("test"), change)
            .unwrap()
            .unwrap();
    }

    pub fn change_status(&self, kind: KindId, name: &str, change: impl FnMut(&mut Value)) {
        self.cluster
            .modify(kind, &key(kind, name), Part::Status, &Actor::new("test"), change)
            .unwrap()
            .unwrap();
    }

    pub fn delete(&self, kind: KindId, name: &str) {
        self.delete_with(kind, name, &DeleteOptions::default());
    }

    pub fn delete_as(&self, kind: KindId, name: &str, propagation: Propagation) {
        self.delete_with(
            kind,
            name,
            &DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() },
        );
    }

    pub fn delete_with(&self, kind: KindId, name: &str, options: &DeleteOptions) {
        self.cluster.delete(kind, &key(kind, name), options, &Actor::new("test")).unwrap();
    }

    /// All objects of a kind in the default namespace (or cluster-scoped), in key order.
    pub fn list(&self, kind: KindId) -> Vec<Value> {
        let state = self.cluster.snapshot();
        let namespace = if kind.info().namespaced { "default" } else { "" };
        state.range(kind, namespace, None).map(|o| o.value()).collect()
    }

    pub fn names(&self, kind: KindId) -> Vec<String> {
        self.list(kind).iter().map(name_of).collect()
    }

    /// Pods that run or will.
    pub fn active_pods(&self) -> Vec<Value> {
        let state = self.cluster.snapshot();
        let pods = state.range(*POD, "default", None).filter(|p| controllers::pods::is_active(p));
        pods.map(|p| p.value()).collect()
    }

    /// Messages of events of a reason about objects of a kind, oldest first.
    pub fn messages(&self, kind: &str, reason: &str) -> Vec<String> {
        let state = self.cluster.snapshot();
        let mut all: Vec<_> = state.objects(*EVENT).values().map(|e| (e.revision, e.value())).collect();
        all.sort_by_key(|(revision, _)| *revision);
        let wanted = |e: &Value| e["involvedObject"]["kind"] == kind && e["reason"] == reason;
        all.into_iter()
            .filter(|(_, e)| wanted(e))
            .map(|(_, e)| e["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn engine(cluster: &Cluster, config: &Config) -> Engine {
    let mut all = controllers::all();
    all.push(Box::new(controllers::root_ca::RootCa::new(CA)));
    all.extend(nodes::controllers(config));
    Engine::new(cluster.clone(), all, config.fast)
}

pub(super) fn key(kind: KindId, name: &str) -> Key {
    Key::new(if kind.info().namespaced { "default" } else { "" }, name)
}

pub(super) fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// A pod template with labels `app: NAME` and annotations.
pub(super) fn template(app: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"labels": {"app": app}, "annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": "shop/app:1"}]},
    })
}

/// A Deployment, ReplicaSet, StatefulSet or DaemonSet named `app` with selector `app: NAME`.
pub(crate) fn workload(app: &str, replicas: i64, spec: &Value) -> Value {
    let mut all = json!({
        "replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(app, &json!({})),
    });
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": app}, "spec": all})
}

/// `Type=Status Reason: message` of a condition; empty where there is none.
pub(super) fn condition(object: &Value, type_: &str) -> String {
    let text = |c: &Value, k: &str| c[k].as_str().unwrap_or_default().to_owned();
    controllers::pods::condition(object, type_).map_or_else(String::new, |c| {
        format!("{}={} {}: {}", text(c, "type"), text(c, "status"), text(c, "reason"), text(c, "message"))
    })
}

/// The numbers of a status, absent ones as zero.
pub(crate) fn counts<const N: usize>(object: &Value, fields: [&str; N]) -> [i64; N] {
    fields.map(|f| object["status"][f].as_i64().unwrap_or(0))
}
