//! Follows a repository of many apps: the first reconcile, one that changes nothing, and one changed app.
//!
//! ```text
//! reconcile_bench [APPS]     # 1000 unless said; 12 objects each
//! ```
//!
//! The embedded cluster is a process of its own, so that memory and CPU are the reconciler's alone. Rollouts are
//! watched for no time: what is measured is the work. Prints a line a figure, as `name: number unit`.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use kiban_base::clock::Clock;
use kiban_delivery::drift::{self, DriftWatch, Drifts};
use kiban_delivery::environment::Environment;
use kiban_delivery::known;
use kiban_delivery::notify::{State, ThreadId, Threads};
use kiban_delivery::pods::{self, Pods};
use kiban_delivery::reconcile::{Figures, Follow, follow};
use kiban_delivery::rollout::Rollouts;
use kiban_delivery::source::Source;
use kiban_git::{Cancel, Edit, Limits, Local, NewCommit, Oid, Push, Remote, Store, Task, Who};
use kiban_kube::apply::Options;
use kiban_kube::cache::{Cache, Interest, Options as CacheOptions};
use kiban_kube::client::{Cluster, ConnectOptions};
use kiban_kube::object::Gvk;
use kiban_runtime::clock::SystemClock;
use kiban_runtime::http::{Body, Handler};
use kiban_runtime::metrics::Registry;
use kiban_runtime::readiness::Readiness;
use kiban_runtime::shutdown;
use kiban_simcluster::api::Api;
use kiban_simcluster::server::{self, Config};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

const OBJECTS: usize = 12;
const TEAMS: usize = 20;
const NODES: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("cluster") => cluster(&arguments.next().unwrap()),
        apps => measure(apps.map_or(1_000, |text| text.parse().unwrap())),
    }
}

/// Counts what the reconciler asks.
struct Counting {
    api: Arc<Api>,
    requests: AtomicU64,
    /// Watches, and the lists that they begin with.
    watches: AtomicU64,
}

impl Handler for Counting {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        let is_watch =
            request.method() == Method::GET && (query.contains("watch=") || query.contains("limit="));
        let counter = if is_watch { &self.watches } else { &self.requests };
        counter.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.api).handle(request).await
    }
}

/// The embedded cluster. Writes a kubeconfig, and answers each line on its input with its counts.
fn cluster(kubeconfig: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let running =
        runtime.block_on(server::start(Config { nodes: NODES, fast: true, ..Config::default() })).unwrap();
    let (stop, shutdown) = shutdown::channel();
    let api = Arc::new(Api::new(running.cluster.clone(), "token".into(), shutdown.clone()));
    let counting = Arc::new(Counting { api, requests: AtomicU64::new(0), watches: AtomicU64::new(0) });
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(kiban_runtime::http::serve(listener, None, Arc::clone(&counting), shutdown));
        address
    });
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\nclusters:\n- name: bench\n  cluster: {{ server: \"http://{address}\" }}\ncontexts:\n- name: bench\n  context: {{ cluster: bench, user: bench }}\nusers:\n- name: bench\n  user: {{ token: token }}\n"
    );
    std::fs::write(kubeconfig, text).unwrap();
    println!("ready");
    for line in std::io::stdin().lines() {
        if line.is_err() {
            break;
        }
        let (requests, watches) = (&counting.requests, &counting.watches);
        println!("{} {}", requests.load(Ordering::Relaxed), watches.load(Ordering::Relaxed));
    }
    stop.fire();
}

/// The cluster's process.
struct Far {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Far {
    fn start(kubeconfig: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("cluster").arg(kubeconfig).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut far = Self { child, output };
        assert_eq!(far.line(), "ready");
        far
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Requests, and watches, so far.
    fn counts(&mut self) -> (u64, u64) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let line = self.line();
        let (requests, watches) = line.split_once(' ').unwrap();
        (requests.parse().unwrap(), watches.parse().unwrap())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

struct Repository {
    path: PathBuf,
    store: Store,
    remote: Remote,
    tip: Option<Oid>,
}

impl Repository {
    fn new(path: PathBuf) -> Self {
        for folder in ["objects/pack", "refs/heads"] {
            std::fs::create_dir_all(path.join(folder)).unwrap();
        }
        std::fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(path.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
            .unwrap();
        let remote = Remote::folder(Local::open(&path, 64 << 20).unwrap()).unwrap();
        Self { path, store: Store::temporary(64 << 20).unwrap(), remote, tip: None }
    }

    fn commit(&mut self, files: Vec<(String, String)>) -> String {
        let who =
            Who { name: "Ada".into(), email: "ada@example.com".into(), seconds: 1_700_000_000, offset: 0 };
        let edits =
            files.into_iter().map(|(path, text)| (path, Edit::Write(text.into_bytes().into()))).collect();
        let new =
            NewCommit { base: self.tip, edits, author: who.clone(), committer: who, message: "bench".into() };
        let made = self.store.commit(&new, None).unwrap().unwrap();
        let push = Push { name: "refs/heads/main".into(), expected: self.tip, new: Some(made.id()) };
        self.remote.push(&self.store, &push, &Task::new(Limits::default(), Cancel::default())).unwrap();
        self.store.set_ref("refs/heads/main", Some(made.id())).unwrap();
        self.tip = Some(made.id());
        made.id().to_string()
    }
}

fn team(app: usize) -> String {
    format!("team-{}", app % TEAMS)
}

fn profile() -> Vec<(String, String)> {
    let text = "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { dev: { delivery: direct, production: false, watch: 0s } }\n";
    let mut files = vec![("platform.yaml".to_owned(), text.to_owned())];
    for team in 0..TEAMS {
        files.push((
            format!("rendered/dev/platform/namespace-team-{team}-dev.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: team-{team}-dev }}\n"),
        ));
    }
    files
}

/// Twelve objects, and what says whose they are.
fn app(index: usize, image: &str) -> Vec<(String, String)> {
    let name = format!("app-{index}");
    let object = |kind: &str, api: &str, named: &str, rest: &str| {
        let text = format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {named}\n  labels:\n    app.kubernetes.io/managed-by: kiban\n    app.kubernetes.io/name: {name}\n    app.kubernetes.io/part-of: {team}\n    kiban.dev/env: dev\n    kiban.dev/team: {team}\n{rest}",
            team = team(index)
        );
        (format!("rendered/dev/{name}/{}-{named}.yaml", kind.to_lowercase()), text)
    };
    let labels = format!("{{ app.kubernetes.io/name: {name} }}");
    let pod = format!(
        "metadata: {{ labels: {labels} }}\n    spec:\n      serviceAccountName: {name}\n      automountServiceAccountToken: false\n      securityContext: {{ runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{ type: RuntimeDefault }} }}\n      containers:\n      - name: {name}\n        image: {image}\n        ports: [{{ name: http, containerPort: 8080 }}]\n        envFrom: [{{ configMapRef: {{ name: {name} }} }}]\n        resources: {{ requests: {{ cpu: 10m, memory: 32Mi }}, limits: {{ memory: 64Mi }} }}\n        readinessProbe: {{ httpGet: {{ path: /ready, port: http }} }}\n        livenessProbe: {{ httpGet: {{ path: /live, port: http }} }}\n"
    );
    let mut files = vec![
        (
            format!("{name}/app.yaml"),
            format!(
                "apiVersion: kiban.dev/v1\nkind: App\nname: {name}\nteam: {}\nimage: registry.example/{name}\n",
                team(index)
            ),
        ),
        (format!("{name}/env/dev.pin.yaml"), format!("image: {image}\n")),
        object("ServiceAccount", "v1", &name, ""),
        object("ConfigMap", "v1", &name, &format!("data: {{ LOG_LEVEL: info, NAME: {name} }}\n")),
        object(
            "ConfigMap",
            "v1",
            &format!("{name}-files"),
            &format!(
                "data:\n  config.json: |\n    {{\"name\": \"{name}\", \"text\": \"{}\"}}\n",
                "x".repeat(600)
            ),
        ),
        object(
            "Service",
            "v1",
            &name,
            &format!(
                "spec: {{ selector: {labels}, ports: [{{ name: http, port: 80, targetPort: http }}] }}\n"
            ),
        ),
        object(
            "Deployment",
            "apps/v1",
            &name,
            &format!("spec:\n  selector: {{ matchLabels: {labels} }}\n  template:\n    {pod}"),
        ),
        object(
            "PodDisruptionBudget",
            "policy/v1",
            &name,
            &format!("spec: {{ maxUnavailable: 1, selector: {{ matchLabels: {labels} }} }}\n"),
        ),
        object(
            "NetworkPolicy",
            "networking.k8s.io/v1",
            &name,
            &format!(
                "spec: {{ podSelector: {{ matchLabels: {labels} }}, policyTypes: [Ingress], ingress: [{{ ports: [{{ port: 8080 }}] }}] }}\n"
            ),
        ),
        object(
            "HorizontalPodAutoscaler",
            "autoscaling/v2",
            &name,
            &format!(
                "spec: {{ minReplicas: 1, maxReplicas: 3, scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: {name} }}, metrics: [{{ type: Resource, resource: {{ name: cpu, target: {{ type: Utilization, averageUtilization: 60 }} }} }}] }}\n"
            ),
        ),
        object(
            "Role",
            "rbac.authorization.k8s.io/v1",
            &name,
            "rules: [{ apiGroups: [\"\"], resources: [configmaps], verbs: [get] }]\n",
        ),
        object(
            "RoleBinding",
            "rbac.authorization.k8s.io/v1",
            &name,
            &format!(
                "roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name} }}\nsubjects: [{{ kind: ServiceAccount, name: {name} }}]\n"
            ),
        ),
        object(
            "Ingress",
            "networking.k8s.io/v1",
            &name,
            &format!(
                "spec: {{ rules: [{{ host: {name}.example.com, http: {{ paths: [{{ path: /, pathType: Prefix, backend: {{ service: {{ name: {name}, port: {{ name: http }} }} }} }}] }} }}] }}\n"
            ),
        ),
        object(
            "CronJob",
            "batch/v1",
            &name,
            &format!(
                "spec:\n  schedule: \"15 3 * * *\"\n  jobTemplate: {{ spec: {{ template: {{ spec: {{ restartPolicy: Never, containers: [{{ name: job, image: {image}, command: [cleanup] }}] }} }} }} }}\n"
            ),
        ),
    ];
    files.sort();
    assert_eq!(files.len(), OBJECTS + 2);
    files
}

/// A value of /proc/self/status, in MB.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes =
        line.and_then(|l| l.trim_matches([':', '\t', ' ']).split(' ').next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) * 1_024.0 / 1e6
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

fn measure(apps: usize) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut repository = Repository::new(folder.path().join("repo.git"));
    let all = (0..apps).flat_map(|index| app(index, &format!("registry.example/app-{index}:1")));
    let first = repository.commit(profile().into_iter().chain(all).collect());
    let mut far = Far::start(&kubeconfig);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // Whatever comes once for the process alone is there before: the measure is what the apps take.
        let (before, cpu_before) = (memory("VmRSS"), cpu());
        let began = Instant::now();
        let running = start(&kubeconfig, &repository.path).await;
        running.all_good(&first, apps + 1).await;
        let (seconds, peak) = (began.elapsed().as_secs_f64(), memory("VmHWM"));
        let (requests, watches) = far.counts();
        println!("first: time: {seconds:.2} s");
        println!("first: memory that it grew by: {:.1} MB", peak - before);
        println!("first: CPU: {:.2} s", cpu() - cpu_before);
        println!("first: requests: {requests}");
        println!("first: watches: {watches}");

        // What drift does after a rollout belongs to it, and is over within seconds.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (requests, watches) = far.counts();
        let cpu_before = cpu();
        let head = repository.commit(vec![("README.md".into(), "words".into())]);
        let began = Instant::now();
        running.wake.notify_one();
        running.is_taken(&head).await;
        println!("no change: time: {:.4} s", began.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (after, watches_after) = far.counts();
        println!("no change: requests: {}", after - requests);
        println!("no change: watches: {}", watches_after - watches);
        println!("no change: CPU: {:.2} s", cpu() - cpu_before);
        println!("idle: memory: {:.1} MB", memory("VmRSS"));

        let (requests, _) = far.counts();
        let changed = repository.commit(app(apps / 2, "registry.example/changed:2"));
        let began = Instant::now();
        running.wake.notify_one();
        running.all_good(&changed, 1).await;
        println!(
            "one app: time from the commit until its pods are ready: {:.4} s",
            began.elapsed().as_secs_f64()
        );
        println!("one app: requests: {}", far.counts().0 - requests);
    });
    drop(far);
    runtime.shutdown_background();
}

struct Running {
    threads: Threads,
    registry: Registry,
    environment: Arc<Environment>,
    wake: Arc<Notify>,
}

impl Running {
    /// Until so many apps of a commit came to their end, each of them a good one.
    async fn all_good(&self, commit: &str, apps: usize) {
        let id = ThreadId { env: "dev".into(), commit: commit.to_owned() };
        loop {
            if let Some(thread) = self.threads.get(&id) {
                let bad = thread.apps.iter().find(|(_, state)| state.is_bad());
                assert!(bad.is_none(), "{bad:?}");
                if thread.apps.values().filter(|state| **state == State::Good).count() >= apps {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(if apps > 1 { 50 } else { 2 })).await;
        }
    }

    /// Until the reconciler decided on a commit.
    async fn is_taken(&self, commit: &str) {
        let polls = r#"kiban_delivery_polls_total{env="dev",result="ok"}"#;
        let count = || {
            let text = self.registry.text();
            text.lines().find_map(|l| l.strip_prefix(polls)?.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let before = count();
        while count() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (_, tip) = self.environment.source.tip(Some("main")).await.unwrap();
        assert_eq!(tip.to_string(), commit);
    }
}

async fn start(kubeconfig: &Path, repository: &Path) -> Running {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), ..ConnectOptions::default() };
    let cluster = Cluster::connect(&options, clock.clone()).await.unwrap();
    let cache = Cache::new(cluster.clone(), CacheOptions::default());
    let core = |kind: &str| Gvk { group: String::new(), version: "v1".into(), kind: kind.into() };
    let pods = Pods::default();
    let subscription = cache.subscribe(Interest::in_all(core("Pod"), "pods"), pods::health);
    let followed = pods.clone();
    tokio::spawn(async move { followed.follow(subscription).await });
    let interest = Interest::in_all(core("ConfigMap"), "inventories");
    let inventories = cache.subscribe(interest.with_labels(&known::selector("dev")).unwrap(), known::project);
    let (threads, registry) = (Threads::new(|_, _| {}), Registry::new());
    let source = Source::local(repository).unwrap();
    let environment = Arc::new(Environment::new(source, "dev", "main", clock.clone()));
    let options = Options { ancestry: Some(environment.clone()), ..Options::default() };
    let rollouts = Rollouts {
        cluster,
        clock,
        pods,
        threads: threads.clone(),
        options,
        turns: Arc::new(Semaphore::new(8)),
        patience: Duration::from_secs(60),
    };
    let wake = Arc::new(Notify::new());
    let (stop, shutdown) = shutdown::channel();
    let watch = DriftWatch {
        environment: environment.clone(),
        rollouts: rollouts.clone(),
        cache,
        drifts: Drifts::default(),
        figures: drift::Figures::new(&registry),
    };
    tokio::spawn(watch.run(shutdown.clone()));
    let figures = Figures::new(&registry);
    let follow = follow(
        Follow {
            environment: environment.clone(),
            rollouts,
            inventories,
            poll: Duration::from_secs(600),
            wake: wake.clone(),
            figures,
            readiness: Readiness::default(),
        },
        shutdown,
    );
    tokio::spawn(async move {
        follow.await;
        drop(stop);
    });
    Running { threads, registry, environment, wake }
}
