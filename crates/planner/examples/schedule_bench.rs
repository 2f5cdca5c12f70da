//! Measures how long the scheduler takes to place many pods on many nodes.
//!
//! `cargo run --release -p kiban-planner --example schedule_bench [nodes] [pods]` prints one line a case.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

use std::time::Instant;

use kiban_planner::{Node, Options, Pod, Scheduler};
use serde_json::{Value, json};

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse().ok());
    let (nodes, pods) = (args.next().unwrap_or(1000), args.next().unwrap_or(20_000));
    run("simple", nodes, pods, &|_| json!({}));
    run("spread", nodes, pods, &|app| {
        let selector = json!({"matchLabels": {"app": app}});
        json!({
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname", "labelSelector": selector}}]}},
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]
        })
    });
}

/// Places pods of deployments of twenty; `extra` adds to the spec of an app's pods.
fn run(name: &str, nodes: usize, pods: usize, extra: &dyn Fn(&str) -> Value) {
    let mut scheduler = Scheduler::new(Options::default());
    for n in 0..nodes {
        scheduler.set_node(Node::from_json(&json!({
            "metadata": {"name": format!("node-{n}"), "labels": {
                "kubernetes.io/hostname": format!("node-{n}"),
                "topology.kubernetes.io/zone": format!("zone-{}", n % 3)}},
            "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}}
        })));
    }
    let objects: Vec<Value> = (0..pods).map(|p| pod(p, extra)).collect();
    let start = Instant::now();
    let mut pending = 0;
    for object in &objects {
        let pod = Pod::from_json(object);
        match scheduler.schedule(&pod) {
            Ok(decision) => scheduler.set_pod(pod.on(&decision.node)),
            Err(_) => pending += 1,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("schedule/{name} nodes={nodes} pods={pods} pending={pending} seconds={seconds:.3}");
}

fn pod(n: usize, extra: &dyn Fn(&str) -> Value) -> Value {
    let app = format!("app-{}", n / 20);
    let mut spec = json!({
        "containers": [{"name": "app", "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}}}]
    });
    if let (Some(spec), Value::Object(extra)) = (spec.as_object_mut(), extra(&app)) {
        spec.extend(extra);
    }
    json!({
        "metadata": {"name": format!("pod-{n}"), "namespace": "default", "labels": {"app": app}},
        "spec": spec
    })
}
