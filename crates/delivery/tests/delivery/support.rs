//! A repository, an embedded cluster and the reconciler between them, in virtual time.
//!
//! Time stands still while anything happens, and goes on by itself once nothing does: a test waits for what
//! becomes true, never for how long that takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiban_base::clock::{Clock, Timestamp};
use kiban_delivery::drift::{self, DriftWatch, Drifts};
use kiban_delivery::environment::Environment;
use kiban_delivery::known::{self, Known};
use kiban_delivery::notify::{State, Threads};
use kiban_delivery::pods::{self, Pods};
use kiban_delivery::reconcile::{self, Figures, Follow};
use kiban_delivery::rollout::Rollouts;
use kiban_delivery::source::Source;
use kiban_git::{
    Cancel, Depth, Edit, Fetch, Limits, Local, NewCommit, Oid, Push, Pushed, Remote, Store, Task, Want, Who,
};
use kiban_kube::apply::Options;
use kiban_kube::cache::{Cache, Interest, Options as CacheOptions, Subscription};
use kiban_kube::client::{Cluster, ConnectOptions, RetryPolicy};
use kiban_kube::inventory::Inventory;
use kiban_kube::lease::LeaseTimes;
use kiban_kube::object::Gvk;
use kiban_runtime::clock::SystemClock;
use kiban_runtime::metrics::Registry;
use kiban_runtime::readiness::Readiness;
use kiban_runtime::shutdown::{self, Trigger};
use kiban_simcluster::api::Api;
use kiban_simcluster::object::Key;
use kiban_simcluster::registry::DeleteOptions;
use kiban_simcluster::registry::{Actor, Part};
use kiban_testkit::Sim;
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::front::Front;

pub const ENV: &str = "dev";
pub const BRANCH: &str = "main";
pub const NAMESPACE: &str = "checkout-dev";

/// How far time goes when nothing happens any more.
const STEP: Duration = Duration::from_secs(4);
/// Looks at the machine without news after which nothing happens any more.
const QUIET: u32 = 40;
/// Looks after which a test gives up waiting.
const PATIENCE: u32 = 100_000;

/// The profile of most tests.
pub const DIRECT: &str = "{ delivery: direct, production: false, watch: 1m }";

type Files = BTreeMap<String, Option<String>>;

pub struct World {
    pub sim: Sim,
    pub front: Arc<Front>,
    pub repo: PathBuf,
    store: Store,
    remote: Remote,
    kubeconfig: PathBuf,
    runtime: Option<Runtime>,
    /// Where the cluster works.
    cluster: Handle,
    stop: Trigger,
    /// Keeps time from going on by itself.
    time: Option<std::sync::mpsc::SyncSender<()>>,
    commits: Mutex<i64>,
    now: Arc<VirtualClock>,
}

#[derive(Debug)]
pub struct VirtualClock {
    start: Timestamp,
    began: tokio::time::Instant,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.start + self.began.elapsed()
    }
}

/// A reconciler that runs.
pub struct Running {
    pub threads: Threads,
    pub registry: Registry,
    pub wake: Arc<Notify>,
    pub drifts: Drifts,
    stop: Trigger,
    tasks: Vec<JoinHandle<()>>,
    main: JoinHandle<()>,
}

impl Running {
    /// Ends it as SIGTERM does.
    pub async fn stop(self) {
        self.stop.fire();
        self.main.await.unwrap();
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Ends it as SIGKILL does.
    pub async fn kill(self) {
        self.main.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
        let _ = self.main.await;
    }

    pub fn poke(&self) {
        self.wake.notify_one();
    }

    /// How an app's last rollout of a commit stands.
    pub fn state(&self, commit: &str, app: &str) -> Option<State> {
        self.threads.all().into_iter().find(|t| t.id.commit == commit)?.apps.get(app).cloned()
    }

    pub fn is_good(&self, commit: &str, app: &str) -> bool {
        self.state(commit, app) == Some(State::Good)
    }

    /// A line of the metrics.
    pub fn metric(&self, name: &str) -> Option<String> {
        let text = self.registry.text();
        text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
    }
}

fn task() -> Task {
    Task::new(Limits::default(), Cancel::default())
}

fn bare(path: &Path) {
    for folder in ["objects/pack", "refs/heads"] {
        std::fs::create_dir_all(path.join(folder)).unwrap();
    }
    std::fs::write(path.join("HEAD"), format!("ref: refs/heads/{BRANCH}\n")).unwrap();
    std::fs::write(path.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n").unwrap();
}

impl World {
    /// A cluster of three nodes and a repository whose profile says this of its one environment.
    pub fn new(environment: &str) -> Self {
        let sim = Sim::start(3);
        let (stop, shutdown) = shutdown::channel();
        let front = Front::new(Api::new(sim.running.cluster.clone(), "token".into(), shutdown.clone()));
        let address = sim.block_on(async {
            let listener =
                tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(kiban_runtime::http::serve(listener, None, Arc::clone(&front), shutdown));
            address
        });
        let kubeconfig = sim.file("front.yaml", &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: front\nclusters:\n- name: front\n  cluster: {{ server: \"http://{address}\" }}\ncontexts:\n- name: front\n  context: {{ cluster: front, user: front }}\nusers:\n- name: front\n  user: {{ token: token }}\n"
        ));
        let cluster = sim.block_on(async { Handle::current() });
        let repo = sim.folder().join("repo.git");
        bare(&repo);
        let remote = Remote::folder(Local::open(&repo, 64 << 20).unwrap()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let now = {
            let _inside = runtime.enter();
            Arc::new(VirtualClock { start: SystemClock.now(), began: tokio::time::Instant::now() })
        };
        let (time, held) = std::sync::mpsc::sync_channel::<()>(0);
        runtime.spawn_blocking(move || held.recv());
        let world = Self {
            kubeconfig: PathBuf::from(kubeconfig),
            store: Store::temporary(64 << 20).unwrap(),
            runtime: Some(runtime),
            time: Some(time),
            commits: Mutex::new(0),
            cluster,
            sim,
            front,
            repo,
            remote,
            stop,
            now,
        };
        world.commit(
            "a repository",
            &[
                (
                    "platform.yaml",
                    &format!(
                        "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: {{ {ENV}: {environment} }}\n"
                    ),
                ),
                (
                    "rendered/dev/platform/namespace-checkout-dev.yaml",
                    &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {NAMESPACE} }}\n"),
                ),
            ],
        );
        world
    }

    /// Runs async test code in virtual time.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(work)
    }

    /// Where the branch is.
    pub fn tip(&self) -> Option<Oid> {
        self.remote.find(&format!("refs/heads/{BRANCH}"), &task()).unwrap()
    }

    /// A file at the tip of a branch.
    pub fn read(&self, branch: &str, path: &str) -> Option<String> {
        let fetch = Fetch { want: Want::Ref(format!("refs/heads/{branch}")), depth: Depth::All, into: None };
        let fetched = self.remote.fetch(&self.store, &fetch, &task()).unwrap();
        let bytes = self.store.objects().read_path(fetched.commit, path, 1 << 20).unwrap()?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The first line of the message of the commit at the tip.
    pub fn title(&self) -> String {
        let commit = self.fetched().unwrap();
        self.store.objects().commit(commit).unwrap().title().to_owned()
    }

    /// Branches of the repository.
    pub fn branches(&self) -> Vec<String> {
        let refs = self.remote.refs(&["refs/heads/"], &task()).unwrap();
        refs.into_iter().map(|r| r.name.trim_start_matches("refs/heads/").to_owned()).collect()
    }

    fn fetched(&self) -> Option<Oid> {
        self.tip()?;
        let into = Some("refs/heads/main".to_owned());
        let fetch = Fetch { want: Want::Ref(format!("refs/heads/{BRANCH}")), depth: Depth::All, into };
        Some(self.remote.fetch(&self.store, &fetch, &task()).unwrap().commit)
    }

    /// Commits files to the branch; an empty text removes one. Returns the commit's id.
    pub fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        let text = |t: &str| Some(t.to_owned()).filter(|t| !t.is_empty());
        let files = files.iter().map(|(path, t)| ((*path).to_owned(), text(t))).collect();
        self.commit_on(self.fetched(), message, &files)
    }

    /// The same upon any commit: history may be rewritten by it.
    pub fn commit_on(&self, base: Option<Oid>, message: &str, files: &Files) -> String {
        let seconds = {
            let mut count = self.commits.lock().unwrap();
            *count += 1;
            1_700_000_000 + *count
        };
        let who = Who { name: "Ada".into(), email: "ada@example.com".into(), seconds, offset: 0 };
        let edit =
            |text: &Option<String>| text.clone().map_or(Edit::Delete, |t| Edit::Write(t.into_bytes().into()));
        let edits = files.iter().map(|(path, text)| (path.clone(), edit(text))).collect();
        let new = NewCommit { base, edits, author: who.clone(), committer: who, message: message.into() };
        let made = self.store.commit(&new, None).unwrap().expect("it changes something");
        let push = Push { name: format!("refs/heads/{BRANCH}"), expected: self.tip(), new: Some(made.id()) };
        assert_eq!(self.remote.push(&self.store, &push, &task()).unwrap(), Pushed::Done);
        made.id().to_string()
    }

    /// Moves the branch to a commit that was there before.
    pub fn move_to(&self, commit: Option<Oid>) {
        let push = Push { name: format!("refs/heads/{BRANCH}"), expected: self.tip(), new: commit };
        assert_eq!(self.remote.push(&self.store, &push, &task()).unwrap(), Pushed::Done);
    }

    /// A client of the cluster, by the way on which everything is written down.
    pub async fn connect(&self) -> Cluster {
        // Time goes on in leaps here: nobody may run out of patience by one.
        let retry = RetryPolicy { deadline: Duration::from_secs(36_000), ..RetryPolicy::default() };
        let options =
            ConnectOptions { kubeconfig: Some(self.kubeconfig.clone()), retry, ..ConnectOptions::default() };
        let clock: Arc<dyn Clock> = self.now.clone();
        Cluster::connect(&options, clock).await.unwrap()
    }

    pub fn environment(&self) -> Arc<Environment> {
        let source = Source::local(&self.repo).unwrap();
        let clock: Arc<dyn Clock> = self.now.clone();
        Arc::new(Environment::new(source, ENV, BRANCH, clock))
    }

    /// Starts a reconciler.
    pub async fn start(&self) -> Running {
        self.start_as("test").await
    }

    /// Starts a reconciler by a name.
    pub async fn start_as(&self, holder: &str) -> Running {
        let cluster = self.connect().await;
        let cache = Cache::new(cluster.clone(), CacheOptions::default());
        let core = |kind: &str| Gvk { group: String::new(), version: "v1".into(), kind: kind.into() };
        let pods = Pods::default();
        let subscription = cache.subscribe(Interest::in_all(core("Pod"), "pods"), pods::health);
        let following = {
            let pods = pods.clone();
            tokio::spawn(async move { pods.follow(subscription).await })
        };
        let interest =
            Interest::in_all(core("ConfigMap"), "inventories").with_labels(&known::selector(ENV)).unwrap();
        let inventories: Subscription<Known> = cache.subscribe(interest, known::project);
        let threads = Threads::new(|_, _| {});
        let registry = Registry::new();
        let environment = self.environment();
        let options = Options {
            ancestry: Some(environment.clone()),
            holder: holder.into(),
            timeout: Duration::from_secs(600),
            lease: LeaseTimes { duration: Duration::from_secs(120), ..LeaseTimes::default() },
            ..Options::default()
        };
        let clock: Arc<dyn Clock> = self.now.clone();
        let rollouts = Rollouts {
            cluster: cluster.clone(),
            clock,
            pods,
            threads: threads.clone(),
            options,
            turns: Arc::new(Semaphore::new(8)),
            patience: Duration::from_secs(60),
        };
        let wake = Arc::new(Notify::new());
        let (stop, ended) = shutdown::channel();
        let drifts = Drifts::default();
        let watch = DriftWatch {
            environment: environment.clone(),
            rollouts: rollouts.clone(),
            cache,
            drifts: drifts.clone(),
            figures: drift::Figures::new(&registry),
        };
        let watching = tokio::spawn(watch.run(ended.clone()));
        let follow = reconcile::follow(
            Follow {
                environment,
                rollouts,
                inventories,
                poll: Duration::from_secs(60),
                wake: wake.clone(),
                figures: Figures::new(&registry),
                readiness: Readiness::default(),
            },
            ended,
        );
        let main = tokio::spawn(follow);
        Running { threads, registry, wake, drifts, stop, tasks: vec![following, watching], main }
    }

    /// Lets the machine work for a moment, and time go on where nothing happens.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let (mut last, mut quiet) = (None, 0);
        for _ in 0..PATIENCE {
            if holds() {
                return;
            }
            breathe().await;
            // A machine that is busy with other work keeps the cluster's threads waiting just as long.
            self.cluster.spawn(tokio::task::yield_now()).await.unwrap();
            let (asked, under_way) = self.front.activity();
            let seen = (asked, under_way, self.sim.running.cluster.snapshot().revision);
            quiet = if last == Some(seen) && under_way == 0 { quiet + 1 } else { 0 };
            last = Some(seen);
            if quiet >= QUIET {
                quiet = 0;
                tokio::time::advance(STEP).await;
            }
        }
        panic!("waited in vain for: {what}");
    }

    /// Waits until nothing happens any more for so much virtual time.
    pub async fn settle(&self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        self.until("time to pass", || tokio::time::Instant::now() >= until).await;
    }

    /// An object as it is stored.
    pub fn object(&self, kind: (&str, &str), namespace: &str, name: &str) -> Option<Value> {
        let kind = kiban_simcluster::kind_id(kind.0, kind.1).unwrap();
        let key = Key::new(namespace, name);
        self.sim.running.cluster.get(kind, &key).map(|stored| stored.value())
    }

    /// Objects of a namespace.
    pub fn objects(&self, kind: (&str, &str), namespace: &str) -> Vec<Value> {
        let kind = kiban_simcluster::kind_id(kind.0, kind.1).unwrap();
        let state = self.sim.running.cluster.snapshot();
        state
            .objects(kind)
            .iter()
            .filter(|(k, _)| &*k.namespace == namespace)
            .map(|(_, o)| o.value())
            .collect()
    }

    /// What the cluster remembers of an app.
    pub fn inventory(&self, app: &str) -> Option<Inventory> {
        self.inventory_in(app, NAMESPACE)
    }

    pub fn inventory_in(&self, app: &str, namespace: &str) -> Option<Inventory> {
        let name = kiban_kube::inventory::name_of(app, ENV);
        Some(Inventory::read(&self.object(("", "ConfigMap"), namespace, &name)?).unwrap())
    }

    /// The image that a Deployment runs.
    pub fn image(&self, app: &str) -> Option<String> {
        let object = self.object(("apps", "Deployment"), NAMESPACE, app)?;
        Some(object["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?.to_owned())
    }

    /// Changes an object as somebody else.
    pub fn change(&self, kind: (&str, &str), name: &str, change: impl FnMut(&mut Value)) {
        let kind = kiban_simcluster::kind_id(kind.0, kind.1).unwrap();
        let (key, actor) = (Key::new(NAMESPACE, name), Actor::new("kubectl-edit"));
        let changed = self.sim.running.cluster.modify(kind, &key, Part::Main, &actor, change).unwrap();
        assert!(changed.is_some(), "{name} is there");
    }

    /// Deletes an object as somebody else.
    pub fn delete(&self, kind: (&str, &str), name: &str) {
        let kind = kiban_simcluster::kind_id(kind.0, kind.1).unwrap();
        let (key, actor) = (Key::new(NAMESPACE, name), Actor::new("kubectl-delete"));
        self.sim.running.cluster.delete(kind, &key, &DeleteOptions::default(), &actor).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.fire();
        drop(self.time.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A moment of the machine's time, without any of the test's.
async fn breathe() {
    let moment = tokio::task::spawn_blocking(|| {
        #[allow(clippy::disallowed_methods)] // The test's time stands still; the machine's does not.
        std::thread::sleep(Duration::from_millis(1));
    });
    moment.await.unwrap();
}

/// An app of the repository: what says whose it is, and what is rendered of it.
pub fn app(name: &str, image: &str, more: &str) -> Vec<(String, String)> {
    vec![
        (
            format!("{name}/app.yaml"),
            format!(
                "apiVersion: kiban.dev/v1\nkind: App\nname: {name}\nteam: checkout\nimage: registry.example/{name}\n"
            ),
        ),
        (format!("{name}/env/dev.pin.yaml"), format!("image: {image}\n")),
        (
            format!("rendered/dev/{name}/configmap-{name}.yaml"),
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, labels: {{ app.kubernetes.io/managed-by: kiban, app.kubernetes.io/name: {name}, kiban.dev/env: dev }} }}\ndata: {{ for: {name} }}\n"
            ),
        ),
        (format!("rendered/dev/{name}/deployment-{name}.yaml"), deployment(name, image, more)),
    ]
}

/// A Deployment; `more` are annotations of its pods.
pub fn deployment(name: &str, image: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  labels: {{ app.kubernetes.io/managed-by: kiban, app.kubernetes.io/name: {name}, kiban.dev/env: dev }}\nspec:\n  replicas: 2\n  selector: {{ matchLabels: {{ app.kubernetes.io/name: {name} }} }}\n  template:\n    metadata:\n      labels: {{ app.kubernetes.io/name: {name} }}\n      annotations: {{ {more} }}\n    spec:\n      containers:\n      - name: {name}\n        image: {image}\n        readinessProbe: {{ httpGet: {{ path: /ready, port: 8080 }}, periodSeconds: 1 }}\n"
    )
}

/// Borrowed, as a commit takes it.
pub fn files(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}
