//! What it costs to follow all pods of a cluster: this crate's cache beside kube-rs' watcher.
//!
//! `cargo run --release -p kiban-kube --example watch_bench -- [pods …]` (20,000 and 150,000 without)
//!
//! A server of synthetic pods (4 to 6 KB each, managedFields included) and each client run as processes
//! of their own, one client at a time. A client reads what there is, then 20,000 events, and keeps of
//! each pod the same small value; `reflector` keeps the typed pod without managedFields, as controllers
//! do. Figures: seconds until all is there, CPU seconds for that and for the events, the peak of resident
//! memory over that of the empty process, and resident bytes a pod once all is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hyper::body::Incoming;
use hyper::{Request, Response};
use k8s_openapi::api::core::v1::Pod;
use kiban_base::intern::Interner;
use kiban_kube::cache::{Cache, Delta, Footprint, Interest, Object, Options};
use kiban_kube::client::{Cluster, ConnectOptions};
use kiban_kube::object::Gvk;
use kiban_runtime::clock::SystemClock;
use kiban_runtime::http::{Body, Handler, serve};
use kiban_runtime::shutdown;
use kube::runtime::{reflector, watcher};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use tokio::sync::mpsc;

const EVENTS: usize = 20_000;
const CLIENTS: &[&str] = &[
    "ours",
    "ours, paged",
    "kube-rs trimmed",
    "kube-rs trimmed, streamed",
    "kube-rs dynamic",
    "kube-rs reflector of pods",
];

// --- the pods

/// A pod as a real one looks: three containers' worth of fields, and who manages them.
fn pod(out: &mut String, number: usize, revision: usize, phase: &str) {
    let (namespace, app, node) = (number % 200, number % 1_500, number % 5_000);
    let _ = write!(
        out,
        r#"{{"metadata":{{"name":"app-{app}-6c9f7d8b5c-{number:06}","generateName":"app-{app}-6c9f7d8b5c-","namespace":"team-{namespace}","uid":"5f1c6a52-0d5e-4a53-9d58-{number:012}","resourceVersion":"{revision}","generation":1,"creationTimestamp":"2026-11-24T06:37:21Z","labels":{{"app.kubernetes.io/name":"app-{app}","app.kubernetes.io/instance":"app-{app}","app.kubernetes.io/part-of":"shop","kiban.dev/team":"team-{namespace}","kiban.dev/env":"prod","pod-template-hash":"6c9f7d8b5c"}},"annotations":{{"kubectl.kubernetes.io/restartedAt":"2026-11-20T10:00:00Z","prometheus.io/scrape":"true"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-{app}-6c9f7d8b5c","uid":"11111111-2222-4333-8444-{app:012}","controller":true,"blockOwnerDeletion":true}}],"managedFields":["#
    );
    for (i, manager) in ["kube-controller-manager", "kubelet"].iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            r#"{comma}{{"manager":"{manager}","operation":"Update","apiVersion":"v1","time":"2026-11-24T06:37:21Z","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:annotations":{{".":{{}},"f:kubectl.kubernetes.io/restartedAt":{{}}}},"f:labels":{{".":{{}},"f:app.kubernetes.io/name":{{}},"f:pod-template-hash":{{}}}},"f:ownerReferences":{{".":{{}},"k:{{\"uid\":\"11111111-2222-4333-8444-{app:012}\"}}":{{}}}}}},"f:spec":{{"f:containers":{{"k:{{\"name\":\"app\"}}":{{".":{{}},"f:image":{{}},"f:imagePullPolicy":{{}},"f:name":{{}},"f:ports":{{".":{{}},"k:{{\"containerPort\":8080,\"protocol\":\"TCP\"}}":{{".":{{}},"f:containerPort":{{}},"f:name":{{}}}}}},"f:readinessProbe":{{".":{{}},"f:httpGet":{{".":{{}},"f:path":{{}},"f:port":{{}}}}}},"f:resources":{{".":{{}},"f:limits":{{".":{{}},"f:memory":{{}}}},"f:requests":{{".":{{}},"f:cpu":{{}},"f:memory":{{}}}}}}}}}},"f:dnsPolicy":{{}},"f:restartPolicy":{{}},"f:schedulerName":{{}},"f:serviceAccount":{{}},"f:terminationGracePeriodSeconds":{{}}}}}}}}"#
        );
    }
    out.push_str(r#"]},"spec":{"volumes":[{"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}],"containers":["#);
    for (i, name) in ["app", "proxy"].iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            r#"{comma}{{"name":"{name}","image":"registry.example/team-{namespace}/{name}@sha256:aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff{app:016}","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"LOG_LEVEL","value":"info"}},{{"name":"POD_NAME","valueFrom":{{"fieldRef":{{"apiVersion":"v1","fieldPath":"metadata.name"}}}}}}],"resources":{{"limits":{{"memory":"512Mi"}},"requests":{{"cpu":"250m","memory":"256Mi"}}}},"volumeMounts":[{{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"readinessProbe":{{"httpGet":{{"path":"/ready","port":"http","scheme":"HTTP"}},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","securityContext":{{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"runAsNonRoot":true}}}}"#
        );
    }
    let _ = write!(
        out,
        r#"],"restartPolicy":"Always","terminationGracePeriodSeconds":45,"dnsPolicy":"ClusterFirst","serviceAccountName":"app-{app}","serviceAccount":"app-{app}","nodeName":"node-{node}","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":false}},"status":{{"phase":"{phase}","conditions":["#
    );
    for (i, kind) in ["Initialized", "Ready", "ContainersReady", "PodScheduled"].iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            r#"{comma}{{"type":"{kind}","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-24T06:37:25Z"}}"#
        );
    }
    let restarts = revision % 7;
    let _ = write!(
        out,
        r#"],"hostIP":"10.0.1.2","podIP":"10.1.{}.{}","startTime":"2026-11-24T06:37:21Z","containerStatuses":[{{"name":"app","state":{{"running":{{"startedAt":"2026-11-24T06:37:23Z"}}}},"lastState":{{}},"ready":true,"restartCount":{restarts},"image":"registry.example/app","imageID":"registry.example/app@sha256:aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff{app:016}","containerID":"containerd://aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff{number:016}","started":true}}],"qosClass":"Burstable"}}}}"#,
        number / 256 % 256,
        number % 256
    );
}

// --- the server

struct Server {
    pods: usize,
}

impl Handler for Server {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
        let number = |name: &str| {
            let value = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|v| v.parse::<usize>().ok())
        };
        let body = match path {
            "/api" => Body::full(
                r#"{"kind":"APIGroupDiscoveryList","items":[{"versions":[{"version":"v1","resources":[{"resource":"pods","responseKind":{"group":"","version":"v1","kind":"Pod"},"scope":"Namespaced"}]}]}]}"#,
            ),
            "/apis" => Body::full(r#"{"kind":"APIGroupDiscoveryList","items":[]}"#),
            _ if query.contains("watch=true") => {
                let (sender, receiver) = mpsc::channel(4);
                tokio::spawn(watch(self.pods, query.contains("sendInitialEvents=true"), sender));
                Body::Stream(receiver)
            }
            _ => Body::full(page(
                self.pods,
                number("limit").unwrap_or(self.pods),
                number("continue").unwrap_or(0),
            )),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        response
    }
}

fn page(pods: usize, limit: usize, from: usize) -> String {
    let to = pods.min(from + limit);
    let next = if to < pods { to.to_string() } else { String::new() };
    let mut out = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{pods}","continue":"{next}"}},"items":["#
    );
    for number in from..to {
        if number > from {
            out.push(',');
        }
        pod(&mut out, number, number + 1, "Running");
    }
    out.push_str("]}");
    out
}

/// What there is where it is asked for, then events over pods here and there; the last one is told apart.
async fn watch(pods: usize, all: bool, sender: mpsc::Sender<Bytes>) {
    let mut out = String::new();
    let first = if all { pods } else { 0 };
    for i in 0..first + EVENTS {
        let (kind, number, revision) = match i.checked_sub(first) {
            None => ("ADDED", i, i + 1),
            Some(e) => ("MODIFIED", e * 7_919 % pods, pods + 1 + e),
        };
        let phase = if i + 1 == first + EVENTS { "Succeeded" } else { "Running" };
        let _ = write!(out, r#"{{"type":"{kind}","object":"#);
        pod(&mut out, number, revision, phase);
        out.push_str("}\n");
        if i + 1 == first {
            let _ = writeln!(
                out,
                r#"{{"type":"BOOKMARK","object":{{"kind":"Pod","apiVersion":"v1","metadata":{{"resourceVersion":"{pods}","annotations":{{"k8s.io/initial-events-end":"true"}}}}}}}}"#
            );
        }
        if out.len() > 60_000 || i + 1 == first || i + 1 == first + EVENTS {
            if sender.send(Bytes::from(std::mem::take(&mut out))).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
    sender.closed().await;
}

async fn run_server(pods: usize) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let (_trigger, shutdown) = shutdown::channel();
    serve(listener, None, Arc::new(Server { pods }), shutdown).await;
}

// --- what all clients keep

/// The small value.
#[derive(PartialEq)]
struct Small {
    node: Arc<str>,
    app: Arc<str>,
    running: bool,
    ready: bool,
    restarts: u32,
    cpu: Arc<str>,
    memory: Arc<str>,
}

impl Footprint for Small {}

/// A text of the fields that it takes: borrowed by our loop, `String` where kube-rs wants that.
#[derive(Deserialize, Default)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
struct Spec<S> {
    node_name: S,
    containers: Vec<Container<S>>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
struct Container<S> {
    resources: Resources<S>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
struct Resources<S> {
    requests: Requests<S>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
struct Requests<S> {
    cpu: S,
    memory: S,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
struct Status<S> {
    phase: S,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    ready: bool,
    restart_count: u32,
}

fn small<S: AsRef<str>>(texts: &Interner, app: &str, spec: &Spec<S>, status: &Status<S>) -> Small {
    let first = spec.containers.first().map(|c| &c.resources.requests);
    Small {
        node: texts.intern(spec.node_name.as_ref()),
        app: texts.intern(app),
        running: status.phase.as_ref() == "Running",
        ready: status.container_statuses.iter().all(|c| c.ready),
        restarts: status.container_statuses.iter().map(|c| c.restart_count).sum(),
        cpu: texts.intern(first.map_or("", |r| r.cpu.as_ref())),
        memory: texts.intern(first.map_or("", |r| r.memory.as_ref())),
    }
}

// --- the clients

async fn ours(url: &str, pods: usize, streamed: bool, meter: &mut Meter) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("apiVersion: v1\nkind: Config\ncurrent-context: b\nclusters:\n- name: b\n  cluster: {{server: '{url}'}}\ncontexts:\n- name: b\n  context: {{cluster: b, user: b}}\nusers:\n- name: b\n  user: {{}}\n")).unwrap();
    let options = ConnectOptions { kubeconfig: Some(file.path().into()), ..ConnectOptions::default() };
    let cluster = Cluster::connect(&options, Arc::new(SystemClock)).await.unwrap();
    let cache = Cache::new(cluster, Options { streamed, ..Options::default() });
    let kind = Gvk { group: String::new(), version: "v1".into(), kind: "Pod".into() };
    let texts = Interner::default();
    let project = move |object: &Object<'_>| {
        let spec: Spec<Text<'_>> = object.part(&["spec"]).map_err(|e| e.to_string())?;
        let status: Status<Text<'_>> = object.part(&["status"]).map_err(|e| e.to_string())?;
        let app = object.labels().iter().find(|(k, _)| k == "app.kubernetes.io/name").map_or("", |(_, v)| v);
        Ok(Some(small(&texts, app, &spec, &status)))
    };
    let mut subscription = cache.subscribe(Interest::in_all(kind, "bench").queue(EVENTS), project);
    subscription.synced().await;
    meter.synced();
    loop {
        match subscription.next().await {
            Delta::Set { new, .. } if !new.running => break,
            Delta::Resync(snapshot) if snapshot.iter().any(|(_, s)| !s.running) => break,
            _ => {}
        }
    }
    assert_eq!(subscription.snapshot().len(), pods);
    eprintln!("    (its own estimate: {} bytes a pod)", cache.stats().kinds[0].total_bytes() / pods as u64);
}

fn client(url: &str) -> kube::Client {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.read_timeout = None;
    kube::Client::try_from(config).unwrap()
}

type Trimmed = kube::api::Object<Spec<String>, Status<String>>;

/// Follows a watcher, and keeps the small values.
async fn follow<K: kube::Resource + Send>(
    pods: usize,
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    project: impl Fn(&K) -> Small,
    meter: &mut Meter,
) {
    let mut events = pin!(events);
    let mut kept: HashMap<(String, String), Arc<Small>> = HashMap::new();
    loop {
        let (pod, live) = match events.next().await.unwrap().unwrap() {
            watcher::Event::InitDone => {
                meter.synced();
                continue;
            }
            watcher::Event::InitApply(pod) => (pod, false),
            watcher::Event::Apply(pod) => (pod, true),
            _ => continue,
        };
        let small = project(&pod);
        let last = live && !small.running;
        kept.insert((pod.namespace().unwrap_or_default(), pod.name_any()), Arc::new(small));
        if last {
            break;
        }
    }
    assert_eq!(kept.len(), pods);
}

async fn trimmed(url: &str, pods: usize, streamed: bool, meter: &mut Meter) {
    let resource = kube::api::ApiResource::erase::<Pod>(&());
    let api: Api<Trimmed> = Api::all_with(client(url), &resource);
    let config = watcher::Config::default();
    let config = if streamed { config.streaming_lists() } else { config };
    let texts = Interner::default();
    let project = |pod: &Trimmed| {
        let app = pod.labels().get("app.kubernetes.io/name").map_or("", String::as_str);
        small(&texts, app, &pod.spec, pod.status.as_ref().unwrap())
    };
    follow(pods, watcher(api, config), project, meter).await;
}

async fn dynamic(url: &str, pods: usize, meter: &mut Meter) {
    let resource = kube::api::ApiResource::erase::<Pod>(&());
    let api: Api<kube::api::DynamicObject> = Api::all_with(client(url), &resource);
    let texts = Interner::default();
    let project = |pod: &kube::api::DynamicObject| {
        let app = pod.labels().get("app.kubernetes.io/name").map_or("", String::as_str);
        let spec = Spec::<String>::deserialize(&pod.data["spec"]).unwrap();
        small(&texts, app, &spec, &Status::deserialize(&pod.data["status"]).unwrap())
    };
    follow(pods, watcher(api, watcher::Config::default()), project, meter).await;
}

async fn whole(url: &str, pods: usize, meter: &mut Meter) {
    let (store, writer) = reflector::store::<Pod>();
    let events = watcher(Api::<Pod>::all(client(url)), watcher::Config::default())
        .map(|event| event.map(|event| event.modify(|pod| pod.managed_fields_mut().clear())));
    let mut events = pin!(reflector::reflector(writer, events));
    loop {
        match events.next().await.unwrap().unwrap() {
            watcher::Event::InitDone => meter.synced(),
            watcher::Event::Apply(pod)
                if pod.status.as_ref().unwrap().phase.as_deref() != Some("Running") =>
            {
                break;
            }
            _ => {}
        }
    }
    assert_eq!(store.len(), pods);
}

// --- the meter

struct Meter {
    pods: usize,
    begun: Instant,
    empty: f64,
    synced: Option<(f64, f64, f64)>,
}

fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

impl Meter {
    fn synced(&mut self) {
        self.synced = Some((self.begun.elapsed().as_secs_f64(), cpu(), memory("VmRSS:") - self.empty));
    }

    fn print(&self) {
        let (seconds, first, kept) = self.synced.unwrap();
        let peak = (memory("VmHWM:") - self.empty) / 1e6;
        println!("{seconds} {first} {} {peak} {}", cpu() - first, kept / self.pods as f64);
    }
}

fn run_client(which: &str, url: &str, pods: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut meter = Meter { pods, begun: Instant::now(), empty: memory("VmRSS:"), synced: None };
        match which {
            "ours" => ours(url, pods, true, &mut meter).await,
            "ours, paged" => ours(url, pods, false, &mut meter).await,
            "kube-rs trimmed" => trimmed(url, pods, false, &mut meter).await,
            "kube-rs trimmed, streamed" => trimmed(url, pods, true, &mut meter).await,
            "kube-rs dynamic" => dynamic(url, pods, &mut meter).await,
            _ => whole(url, pods, &mut meter).await,
        }
        meter.print();
    });
}

// --- all of it

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn this(arguments: &[&str]) -> (Process, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Process(child), line.trim().to_string())
}

const FIGURES: &[(&str, &str)] = &[
    ("until all is there", "s"),
    ("CPU for what there is", "s"),
    ("CPU for 20,000 events", "s"),
    ("peak of memory", "MB"),
    ("kept a pod", "B"),
];

fn compare(pods: usize) {
    let mut one = String::new();
    pod(&mut one, 1, 1, "Running");
    println!("{pods} pods of {} bytes", one.len());
    let count = pods.to_string();
    let (_server, url) = this(&["serve", &count]);
    let mut first: Vec<f64> = Vec::new();
    for which in CLIENTS {
        let (_client, line) = this(&["client", which, &url, &count]);
        let figures: Vec<f64> = line.split(' ').map(|f| f.parse().unwrap()).collect();
        if first.is_empty() {
            first.clone_from(&figures);
        }
        for (i, (name, unit)) in FIGURES.iter().enumerate() {
            let (mine, theirs) = (first[i], figures[i]);
            println!(
                "  {name:22} ours {mine:9.2} {unit:2}  {which:26} {theirs:9.2} {unit:2}  ratio {:6.2}",
                theirs / mine
            );
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", pods] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(run_server(pods.parse().unwrap()));
        }
        ["client", which, url, pods] => run_client(which, url, pods.parse().unwrap()),
        [] => [20_000, 150_000].into_iter().for_each(compare),
        sizes => sizes.iter().for_each(|pods| compare(pods.parse().unwrap())),
    }
}
