//! The reconciler as a component of the server: every environment of its cluster, in each repository.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use kiban_base::clock::Clock;
use kiban_git::{Credential, SshKey};
use kiban_kube::apply::{Options, ServiceAccount};
use kiban_kube::cache::{Cache, Interest};
use kiban_kube::client::Cluster;
use kiban_kube::object::Gvk;
use kiban_model::text::Name;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::{Client, Options as ClientOptions, Tcp};
use kiban_runtime::component::{Built, Component, Context, Failure, Permission};
use kiban_runtime::metrics::CounterVec;
use kiban_runtime::readiness::Readiness;
use kiban_runtime::route::{Answer, Answers, Asked, Class, Route};
use kiban_runtime::shutdown::{self, Shutdown, Trigger};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::config::{DeliverySection, RepositorySection};
use crate::drift::{self, DriftWatch, Drifts};
use crate::environment::{Accounts, Environment};
use crate::forge::Forge;
use crate::forge::hook::{Event, HookError, MAX_BODY};
use crate::known;
use crate::layout::{self, PlainFolder};
use crate::notify::{Notifier, Threads};
use crate::pods::{self, Pods};
use crate::reconcile::{self, Figures, Follow, METRICS};
use crate::rollout::Rollouts;
use crate::source::{Access, Source};

/// Its name.
pub const NAME: &str = "delivery";

/// All names of its metrics.
const ALL_METRICS: &[&str] = &[
    METRICS[0],
    METRICS[1],
    METRICS[2],
    METRICS[3],
    METRICS[4],
    METRICS[5],
    "kiban_delivery_notifications_total",
    HOOKS_METRIC,
    drift::METRICS[0],
    drift::METRICS[1],
    drift::METRICS[2],
];

/// The kinds that are rendered, and watched for drift; never Secrets. One that may not be watched is left out.
const DELIVERED: &[(&str, &[&str])] = &[
    ("", &["namespaces", "serviceaccounts", "services"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("gateway.networking.k8s.io", &["httproutes"]),
    ("networking.istio.io", &["destinationrules", "serviceentries", "virtualservices"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
    ("rbac.authorization.k8s.io", &["clusterroles", "rolebindings", "roles"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("telemetry.istio.io", &["telemetries"]),
];

/// Where a forge's webhooks are taken.
const HOOKS: &str = "/hooks/{forge}";

/// How many webhooks came, and what became of them.
const HOOKS_METRIC: &str = "kiban_delivery_webhooks_total";

/// Forges by name.
type Forges = BTreeMap<Name, Arc<dyn Forge>>;

/// The reconciler.
pub struct Delivery {
    section: DeliverySection,
    /// The cluster and its cache; none: it can only be listed.
    cluster: Option<(Cluster, Cache)>,
    notifiers: Vec<Arc<dyn Notifier>>,
    threads: Threads,
    drifts: Drifts,
    /// What each attempt to tell was, until it is counted.
    told: Arc<Mutex<Option<CounterVec>>>,
    /// Looks at all branches at once: what a webhook does.
    wake: Arc<Notify>,
}

impl Delivery {
    /// The reconciler of `section` on a cluster; without one, it can only be listed.
    pub fn new(section: DeliverySection, cluster: Option<(Cluster, Cache)>) -> Self {
        let told: Arc<Mutex<Option<CounterVec>>> = Arc::default();
        let counted = Arc::clone(&told);
        let threads = Threads::new(move |name, went_well| {
            if let Some(told) = counted.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                told.with(&[name, if went_well { "ok" } else { "failed" }]).inc();
            }
        });
        Self {
            section,
            cluster,
            notifiers: Vec::new(),
            threads,
            drifts: Drifts::default(),
            told,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Tells these of rollouts.
    #[must_use]
    pub fn telling(mut self, notifiers: Vec<Arc<dyn Notifier>>) -> Self {
        self.notifiers = notifiers;
        self
    }

    /// How far its rollouts have come.
    pub fn threads(&self) -> Threads {
        self.threads.clone()
    }

    /// What differs from what git says.
    pub fn drifts(&self) -> Drifts {
        self.drifts.clone()
    }

    /// Whoever is told: those of the configuration, and those that were given.
    fn notifiers(&self, context: &Context, client: &Client) -> Vec<Arc<dyn Notifier>> {
        let built = self.section.notify.iter().filter_map(|(name, section)| {
            section.build(name, client.clone(), Arc::clone(&context.clock), context.data.as_deref())
        });
        self.notifiers.iter().cloned().chain(built).collect()
    }

    /// The forges of the configuration.
    fn forges(&self, context: &Context, client: &Client) -> Forges {
        let built = self.section.forges.iter().filter_map(|(name, section)| {
            Some((name.clone(), section.build(client.clone(), Arc::clone(&context.clock))?))
        });
        built.collect()
    }

    /// Takes webhooks. They only wake a look at the branches: what they say is not believed.
    fn hooks(&self, context: &Context) -> Result<impl Fn(Asked) -> Answer + use<>, Failure> {
        let mut all = BTreeMap::new();
        for (name, section) in &self.section.forges {
            let taken = section
                .hooks()
                .map_err(|why| Failure::new(format!("delivery.forges.{name}.webhookSecret: {why}")))?;
            all.extend(taken.map(|taken| (name.to_string(), taken)));
        }
        let count = context.metrics.counter_vec(
            HOOKS_METRIC,
            "Webhooks of forges, by what became of them.",
            &["result"],
        );
        let (wake, clock) = (Arc::clone(&self.wake), Arc::clone(&context.clock));
        Ok(move |asked: Asked| {
            let Some(hooks) = all.get(asked.param("forge")) else {
                return Answer::error(
                    StatusCode::NOT_FOUND,
                    "no forge of this name has a secret for webhooks",
                );
            };
            let (result, answer) = match hooks.take(&asked.headers, &asked.body, clock.now()) {
                Ok(Event::Push { .. }) => {
                    wake.notify_waiters();
                    let words = "looking at the branches\n";
                    ("taken", Answer::of(StatusCode::ACCEPTED, "text/plain; charset=utf-8", words))
                }
                Ok(_) => ("other", Answer::text("nothing to do\n")),
                Err(why @ HookError::Seen) => ("again", Answer::error(StatusCode::OK, &why.to_string())),
                Err(why @ HookError::Unreadable) => {
                    ("refused", Answer::error(StatusCode::BAD_REQUEST, &why.to_string()))
                }
                Err(why) => ("refused", Answer::error(StatusCode::UNAUTHORIZED, &why.to_string())),
            };
            count.with(&[result]).inc();
            answer
        })
    }

    /// What makes it look at all branches at once.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

impl Component for Delivery {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "makes what repositories ask for run, watches it, and takes back what is bad"
    }

    fn settings(&self) -> String {
        serde_json::to_string(&self.section).unwrap_or_default()
    }

    fn permissions(&self) -> Vec<Permission> {
        let read = &["get", "list", "watch"];
        let mut all = vec![
            Permission::new(
                "",
                &["configmaps"],
                &["get", "list", "watch", "create", "update", "delete"],
                "inventories say what was deployed",
            ),
            Permission::new(
                "",
                &["pods", "events", "persistentvolumeclaims"],
                read,
                "why a rollout is not ready, and whether its pods stay well",
            ),
            Permission::new("", &["pods/log"], &["get"], "the last lines of what ended"),
            Permission::new(
                "apps",
                &["deployments", "statefulsets", "daemonsets", "replicasets", "controllerrevisions"],
                read,
                "which pods are a rollout's new ones",
            ),
            Permission::new(
                "coordination.k8s.io",
                &["leases"],
                &["get", "create", "update", "delete"],
                "one deployer for each app and environment",
            ),
            Permission::new(
                "",
                &["namespaces"],
                &["get"],
                "whether a namespace is there, and which cluster this is",
            ),
            Permission::new("", &["events"], &["get", "create", "update"], "drift is published"),
        ];
        all.extend(DELIVERED.iter().map(|(group, resources)| {
            Permission::new(group, resources, read, "what differs from what git says is found by watching it")
        }));
        if self.section.deployer.is_some() || self.section.platform_deployer.is_some() {
            all.push(Permission::new(
                "",
                &["serviceaccounts"],
                &["impersonate"],
                "objects are written as a service account of their namespace",
            ));
        } else {
            all.push(Permission::new(
                "*",
                &["*"],
                &["get", "list", "watch", "create", "patch", "delete"],
                "objects are written with its own rights, because delivery.deployer is not set",
            ));
        }
        all
    }

    fn routes(&self) -> Vec<Route> {
        let about = "a forge says that something was pushed: branches are looked at now";
        vec![Route::post(HOOKS, Class::Webhook, about).max_body(MAX_BODY as u64)]
    }

    fn watches(&self) -> Vec<Cow<'static, str>> {
        vec!["v1 ConfigMap".into(), "v1 Pod".into()]
    }

    fn metrics(&self) -> &'static [&'static str] {
        ALL_METRICS
    }

    fn drain(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>> {
        Box::pin(async move {
            let (cluster, cache) =
                self.cluster.clone().ok_or_else(|| Failure::new("there is no cluster to deploy to"))?;
            let told = context.metrics.counter_vec(
                "kiban_delivery_notifications_total",
                "What was told to people, by whom and whether it went well.",
                &["notifier", "result"],
            );
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
            let threads = self.threads.clone();
            let pods = Pods::default();
            let options = ClientOptions { seed: context.seed, ..ClientOptions::default() };
            let client = Client::new(options, Arc::new(Tcp), Arc::clone(&context.clock))?;
            let server = Server {
                rollouts: Rollouts {
                    cluster: cluster.clone(),
                    clock: Arc::clone(&context.clock),
                    pods,
                    threads,
                    options: Options {
                        timeout: self.section.timeout.get(),
                        skip_missing_kinds: self.section.skip_missing_kinds,
                        holder: holder(),
                        ..Options::default()
                    },
                    turns: Arc::new(Semaphore::new(usize::from(self.section.concurrency))),
                    patience: self.section.patience.get(),
                },
                cache,
                section: self.section.clone(),
                clock: Arc::clone(&context.clock),
                data: context.data.clone(),
                figures: Figures::new(&context.metrics),
                drifts: self.drifts.clone(),
                drift_figures: drift::Figures::new(&context.metrics),
                readiness: context.readiness.clone(),
                notifiers: self.notifiers(context, &client),
                forges: self.forges(context, &client),
                wake: Arc::clone(&self.wake),
            };
            let hooks = self.hooks(context)?;
            Ok(Built::new(move |shutdown| server.run(shutdown)).route(HOOKS, hooks))
        })
    }
}

/// Who applies, for the eyes of those who wait.
fn holder() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|h| !h.is_empty());
    format!("kiban server@{}/{}", host.as_deref().unwrap_or("localhost"), std::process::id())
}

#[derive(Clone)]
struct Server {
    rollouts: Rollouts,
    cache: Cache,
    section: DeliverySection,
    clock: Arc<dyn Clock>,
    data: Option<PathBuf>,
    figures: Figures,
    drifts: Drifts,
    drift_figures: drift::Figures,
    readiness: Readiness,
    notifiers: Vec<Arc<dyn Notifier>>,
    forges: Forges,
    wake: Arc<Notify>,
}

impl Server {
    async fn run(self, mut shutdown: Shutdown) -> Result<(), Failure> {
        if self.section.repositories.is_empty() {
            self.readiness.set();
            shutdown.fired().await;
            return Ok(());
        }
        let kind = Gvk { group: String::new(), version: "v1".into(), kind: "Pod".into() };
        let subscription = self.cache.subscribe(Interest::in_all(kind, NAME), pods::health);
        let followed = self.rollouts.pods.clone();
        let pods = tokio::spawn(async move { followed.follow(subscription).await });
        let (stop_telling, stopped) = mpsc::channel(1);
        let (threads, notifiers) = (self.rollouts.threads.clone(), self.notifiers.clone());
        let telling = tokio::spawn(async move { threads.run(&notifiers, stopped).await });
        let mut repositories = JoinSet::new();
        for (name, section) in &self.section.repositories {
            let source = self.source(name, section)?;
            repositories.spawn(self.clone().follow(
                name.to_string(),
                section.clone(),
                source,
                shutdown.clone(),
            ));
        }
        while repositories.join_next().await.is_some() {}
        drop(stop_telling);
        let _ = telling.await;
        pods.abort();
        Ok(())
    }

    fn source(&self, name: &str, section: &RepositorySection) -> Result<Source, Failure> {
        let read = |path: &kiban_runtime::config::FilePath| {
            std::fs::read(&**path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
        };
        let user = section.user.as_deref();
        let credential =
            section.token_file.as_ref().map(|path| Credential::from_file(path, user)).transpose()?;
        let key = section.signing_key_file.as_ref().map(|path| SshKey::load(path)).transpose()?;
        let access = Access {
            credential,
            ca: section.ca_file.as_ref().map(read).transpose()?,
            key: key.map(Arc::new),
            allow_http: section.insecure,
        };
        let data = self.data.as_ref().map(|folder| folder.join("git").join(name));
        Ok(Source::open(&section.url, access, data.as_deref(), Handle::current())?)
    }

    /// Follows a repository: which environments it has here, and each of them.
    async fn follow(self, name: String, section: RepositorySection, source: Source, mut shutdown: Shutdown) {
        let mut running: BTreeMap<String, (String, Trigger)> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut trouble = None;
        loop {
            match self.environments(&section, &source).await {
                Ok(wanted) => {
                    trouble = None;
                    running.retain(|env, (branch, trigger)| {
                        let stays = wanted.get(env) == Some(branch);
                        if !stays {
                            trigger.fire();
                        }
                        stays
                    });
                    for (env, branch) in wanted {
                        if running.contains_key(&env) {
                            continue;
                        }
                        let (trigger, stop) = shutdown::channel();
                        tracing::info!(repository = name, env, branch, "follows");
                        tasks.spawn(self.clone().environment(
                            env.clone(),
                            branch.clone(),
                            section.clone(),
                            source.clone(),
                            stop,
                        ));
                        running.insert(env, (branch, trigger));
                    }
                }
                Err(why) if trouble.as_ref() != Some(&why) => {
                    tracing::error!(repository = name, "cannot be followed: {why}");
                    self.readiness
                        .unset(format!("the repository {name} cannot be followed; the log says why"));
                    trouble = Some(why);
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.fired() => break,
                () = tokio::time::sleep(section.poll.get()) => {}
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        running.values().for_each(|(_, trigger)| trigger.fire());
        while tasks.join_next().await.is_some() {}
    }

    /// The environments of the repository that this server deploys, with their branches.
    async fn environments(
        &self,
        section: &RepositorySection,
        source: &Source,
    ) -> Result<BTreeMap<String, String>, String> {
        let (default, _) = source.tip(None).await.map_err(|e| e.to_string())?;
        let head = source.head(&default).await.map_err(|e| e.to_string())?;
        let content = Arc::clone(&head.content);
        let read = move || layout::all_settings(content.as_ref()).map_err(|e| e.to_string());
        let all = tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())??;
        let uid = self.rollouts.cluster.uid().await.map_err(|e| e.to_string())?;
        let mut wanted = BTreeMap::new();
        for settings in all {
            let is_named = section.environments.iter().any(|name| name.as_str() == settings.env);
            let cluster = settings.environment.cluster.as_ref().map(|uid| uid.as_str());
            if is_named && cluster.is_some_and(|cluster| cluster != uid) {
                return Err(format!(
                    "platform.yaml says that {} is another cluster, not this one ({uid})",
                    settings.env
                ));
            }
            if is_named || (section.environments.is_empty() && cluster == Some(&uid)) {
                wanted.insert(settings.env, settings.environment.branch.unwrap_or_else(|| default.clone()));
            }
        }
        if let Some(missing) = section.environments.iter().find(|name| !wanted.contains_key(name.as_str())) {
            return Err(format!(
                "platform.yaml names no environment {missing:?}",
                missing = missing.as_str()
            ));
        }
        if wanted.is_empty() {
            return Err(format!(
                "no environment of platform.yaml is this cluster: set its key cluster to {uid}, or environments in kiban.yaml"
            ));
        }
        Ok(wanted)
    }

    async fn environment(
        self,
        env: String,
        branch: String,
        section: RepositorySection,
        source: Source,
        shutdown: Shutdown,
    ) {
        let mut environment = Environment::new(source, &env, &branch, Arc::clone(&self.clock));
        environment.author = (section.author.name.clone(), section.author.email.clone());
        if let Some(forge) = section.forge.as_ref().and_then(|name| self.forges.get(name)) {
            environment.forge = section.path_on_forge().ok().map(|repo| (Arc::clone(forge), repo));
        }
        environment.accounts = Accounts {
            app: self.section.deployer.as_ref().map(|name| name.to_string()),
            platform: self.section.platform_deployer.as_ref().map(|account| ServiceAccount {
                namespace: account.namespace.to_string(),
                name: account.name.to_string(),
            }),
        };
        environment.plain = section
            .folders
            .iter()
            .filter(|folder| folder.env.as_str() == env)
            .map(|folder| PlainFolder {
                path: folder.path.trim_matches('/').to_owned(),
                app: folder.app.to_string(),
                namespace: folder.namespace.to_string(),
            })
            .collect();
        let environment = Arc::new(environment);
        let kind = Gvk { group: String::new(), version: "v1".into(), kind: "ConfigMap".into() };
        let interest =
            match Interest::in_all(kind, &format!("{NAME} {env}")).with_labels(&known::selector(&env)) {
                Ok(interest) => interest,
                Err(error) => return tracing::error!(env, "{error}"),
            };
        let mut rollouts = self.rollouts.clone();
        rollouts.options.ancestry = Some(Arc::clone(&environment) as _);
        let drift = DriftWatch {
            environment: Arc::clone(&environment),
            rollouts: rollouts.clone(),
            cache: self.cache.clone(),
            drifts: self.drifts.clone(),
            figures: self.drift_figures.clone(),
        };
        let follow = Follow {
            environment,
            rollouts,
            inventories: self.cache.subscribe(interest, known::project),
            poll: section.poll.get(),
            wake: Arc::clone(&self.wake),
            figures: self.figures.clone(),
            readiness: self.readiness.clone(),
        };
        tokio::join!(drift.run(shutdown.clone()), reconcile::follow(follow, shutdown));
    }
}
