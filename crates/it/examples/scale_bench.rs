//! The embedded cluster at size: how fast pods run, how much memory it takes, whether watchers keep up.
//!
//! `cargo run --release -p kiban-it --example scale_bench -- [nodes] [pods] [watchers]`
//!
//! Starts the real `kiban sim` beside itself, applies Deployments until `pods` pods are asked for, and
//! holds `watchers` watches on pods. Every watcher must receive the same events, byte for byte.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::sync::Barrier;

const NAMESPACES: usize = 4;
const REPLICAS: usize = 500;
/// A run that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(300);

struct Sim(Child);

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sim {
    fn start(nodes: usize, kubeconfig: &std::path::Path) -> Self {
        let mut child = Command::new(kiban_testkit::kiban())
            .args(["sim", "--timing", "fast", "--nodes", &nodes.to_string(), "--kubeconfig"])
            .arg(kubeconfig)
            .stdout(Stdio::piped())
            .spawn()
            .expect("target/release/kiban is there: cargo build --release -p kiban");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{line}");
        Self(child)
    }

    /// A figure of /proc/PID/status in megabytes; `None` where there is no /proc.
    fn memory(&self, name: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|l| l.starts_with(name))?;
        let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes / 1024.0)
    }

    /// CPU seconds used so far.
    fn cpu(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }
}

async fn client(kubeconfig: &std::path::Path) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    config.read_timeout = None;
    Client::try_from(config).unwrap()
}

async fn post(client: &Client, path: &str, body: &Value) {
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(body).unwrap()).unwrap();
    client.request::<Value>(request).await.unwrap();
}

/// What one watcher saw: events, and a hash over every byte of them.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Seen {
    events: usize,
    hash: u64,
}

/// Watches until `pods` pods run.
async fn watch(client: Client, pods: usize, ready: Arc<Barrier>) -> Seen {
    let request =
        http::Request::get("/api/v1/pods?watch=true&resourceVersion=0").body(Body::empty()).unwrap();
    let mut body = client.send(request).await.unwrap().into_body();
    ready.wait().await;
    let (mut running, mut line) = (HashSet::new(), Vec::new());
    let mut seen = Seen { events: 0, hash: 0 };
    let mut hasher = DefaultHasher::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.unwrap().into_data() else { continue };
        let mut rest: &[u8] = &data;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            assert!(!line.starts_with(b"{\"type\":\"ERROR\""), "a watcher was left behind");
            hasher.write(&line);
            seen.events += 1;
            if find(&line, b"\"phase\":\"Running\"").is_some() {
                running.insert(uid_of(&line));
            }
            line.clear();
            if running.len() == pods {
                seen.hash = hasher.finish();
                return seen;
            }
        }
        line.extend_from_slice(rest);
    }
    panic!("the watch ended after {} events, {} pods running", seen.events, running.len());
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}

/// The last `"uid":"…"` of metadata: sorted keys put the pod's own behind its owner's.
fn uid_of(line: &[u8]) -> [u8; 36] {
    let spec = find(line, b"},\"spec\":").unwrap();
    let key = b"\"uid\":\"";
    let at = line[..spec].windows(key.len()).rposition(|w| w == key).unwrap() + key.len();
    line[at..at + 36].try_into().unwrap()
}

fn deployment(namespace: &str, name: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": name}},
                "spec": {
                    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                        "weight": 100, "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
                        },
                    }]}},
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
                    }],
                    "containers": [{
                        "name": "app", "image": "registry.example/app:1.0.0",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                        "resources": {
                            "requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "64Mi"},
                        },
                    }],
                },
            },
        },
    })
}

async fn run(nodes: usize, pods: usize, watchers: usize) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let sim = Sim::start(nodes, &kubeconfig);
    let mut watches = tokio::task::JoinSet::new();
    let ready = Arc::new(Barrier::new(watchers + 1));
    for _ in 0..watchers {
        watches.spawn(watch(client(&kubeconfig).await, pods, ready.clone()));
    }
    // Nothing is made before every watch is open, or they would start with different lists.
    ready.wait().await;
    let api = client(&kubeconfig).await;
    let started = Instant::now();
    for i in 0..NAMESPACES {
        post(&api, "/api/v1/namespaces", &json!({"metadata": {"name": format!("team-{i}")}})).await;
    }
    let mut left = pods;
    let mut number = 0;
    while left > 0 {
        let namespace = format!("team-{}", number % NAMESPACES);
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        post(&api, &path, &deployment(&namespace, &format!("app-{number}"), left.min(REPLICAS))).await;
        left -= left.min(REPLICAS);
        number += 1;
    }
    let mut seen = Vec::new();
    while let Some(one) = watches.join_next().await {
        seen.push(one.unwrap());
    }
    let took = started.elapsed();
    assert!(seen.windows(2).all(|w| w[0] == w[1]), "watchers saw different events");
    let label = format!("sim {nodes} nodes {pods} pods {watchers} watchers");
    println!("{label}: all running and seen by every watcher: {:.1} s", took.as_secs_f64());
    println!("{label}: events a watcher: {}", seen.first().map_or(0, |s| s.events));
    for (name, what) in [("VmHWM", "peak resident memory"), ("VmRSS", "resident memory after")] {
        if let Some(megabytes) = sim.memory(name) {
            println!("{label}: {what}: {megabytes:.0} MB");
        }
    }
    if let Some(cpu) = sim.cpu() {
        println!("{label}: CPU: {cpu:.1} s");
    }
}

#[tokio::main]
async fn main() {
    let number = |i: usize, default: usize| std::env::args().nth(i).map_or(default, |a| a.parse().unwrap());
    let (nodes, pods, watchers) = (number(1, 1_000), number(2, 20_000), number(3, 50));
    tokio::time::timeout(PATIENCE, run(nodes, pods, watchers)).await.expect("within five minutes");
}
