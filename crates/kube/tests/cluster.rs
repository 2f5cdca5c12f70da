//! Applies against the embedded cluster as a user has them: beside real kubectl and helm.
#![allow(clippy::unwrap_used)]

#[path = "cluster/account.rs"]
mod account;
#[path = "cluster/adopt.rs"]
mod adopt;
#[path = "cluster/rollout.rs"]
mod rollout;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kiban_kube::apply::{ApplyError, Options, Report, Request, apply};
use kiban_kube::cancel::Cancel;
use kiban_kube::client::{Cluster, ConnectOptions};
use kiban_runtime::clock::SystemClock;
use kiban_testkit::Sim;
use serde_json::{Value, json};

const NAMESPACE: &str = "shop";

fn connect(sim: &Sim) -> Cluster {
    let options = ConnectOptions { kubeconfig: Some(sim.kubeconfig()), ..ConnectOptions::default() };
    sim.block_on(Cluster::connect(&options, Arc::new(SystemClock))).unwrap()
}

fn request(commit: &str, objects: Vec<Value>) -> Request {
    Request {
        app: "orders".into(),
        env: "dev".into(),
        namespace: NAMESPACE.into(),
        revision: commit.into(),
        objects,
        ..Request::default()
    }
}

fn put(sim: &Sim, cluster: &Cluster, wanted: &Request, options: &Options) -> Result<Report, ApplyError> {
    sim.block_on(apply(cluster, wanted, options, &Cancel::never(), &|_| {}))
}

fn patient() -> Options {
    Options { timeout: Duration::from_secs(60), ..Options::default() }
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
}

fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": NAMESPACE, "labels": {"app": "orders"}})
}

/// A Deployment with these labels and annotations on its pods.
fn deployment(labels: Value, annotations: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("orders"), "spec": {"replicas": 2,
        "selector": {"matchLabels": {"app": "orders"}},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [{"name": "c", "image": "r/orders:1"}]}}}})
}

/// All objects of a kind, by name.
fn all(sim: &Sim, cluster: &Cluster, group: &str, kind: &str) -> BTreeMap<String, Value> {
    let kinds = sim.block_on(cluster.kinds()).unwrap();
    let found = sim.block_on(cluster.list(kinds.preferred(group, kind).unwrap(), NAMESPACE, "")).unwrap();
    found.into_iter().map(|o| (o["metadata"]["name"].as_str().unwrap().to_owned(), o)).collect()
}

fn revisions(sim: &Sim, cluster: &Cluster, group: &str, kind: &str) -> BTreeMap<String, Value> {
    let objects = all(sim, cluster, group, kind);
    objects.into_iter().map(|(name, o)| (name, o["metadata"]["resourceVersion"].clone())).collect()
}
