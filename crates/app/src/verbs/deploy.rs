//! `kiban deploy`: what a commit asks for onto a cluster, watched to a verdict.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kiban_base::clock::Clock;
use kiban_delivery::content::Content;
use kiban_delivery::decide::{self, Step};
use kiban_delivery::environment::{Accounts, Environment, Snapshot};
use kiban_delivery::known;
use kiban_delivery::layout::{self, PLATFORM, PlainFolder};
use kiban_delivery::notify::{Moment, NotTold, Notifier, Thread, ThreadId, Threads};
use kiban_delivery::pods::{self, Pods};
use kiban_delivery::rollout::{Brief, End, Job, Repository, Rollouts};
use kiban_delivery::source::{Access, Head, Source, SourceError};
use kiban_kube::apply::{Adopt, Options};
use kiban_kube::cache::{Cache, Interest, Options as CacheOptions};
use kiban_kube::cancel::{Cancel, Canceller};
use kiban_kube::client::Cluster;
use kiban_kube::inventory::{Inventory, PruneOptions};
use kiban_kube::object::Gvk;
use kiban_runtime::BoxFuture;
use kiban_runtime::clock::SystemClock;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::target::Target;
use crate::note;
use crate::{Exit, terminal};

/// Arguments of `kiban deploy`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban deploy -e prod\n  kiban deploy -e prod --commit 4f2a9c1e5b7d8f60a1b2c3d4e5f60718293a4b5c\n  kiban deploy -e dev --repo https://git.example/shop/manifests.git --token-file token\n\nWhat is deployed is what the commit holds below rendered/<env>/, not the files as they lie in the folder.\n\nExit codes: 0 everything runs and was watched to its end; 1 something is bad, held or refused; 2 wrong usage or files; 3 it could not be done."
)]
pub struct Arguments {
    /// The environment
    #[arg(short, long = "env", value_name = "ENV")]
    env: String,
    /// The manifest repository: an address, or a folder of this machine
    #[arg(long, value_name = "URL|DIR", default_value = ".")]
    repo: String,
    /// The commit; without, the tip of the environment's branch (of a folder: what is checked out)
    #[arg(long, value_name = "SHA")]
    commit: Option<String>,
    /// This app only; may be given more than once
    #[arg(long, value_name = "APP")]
    app: Vec<String>,
    /// A folder of plain manifests to deploy besides: its path, name and namespace
    #[arg(long, value_name = "PATH:APP:NAMESPACE", value_parser = plain_folder)]
    folder: Vec<PlainFolder>,
    /// Watch for this long once everything is ready, instead of what platform.yaml says
    #[arg(long, value_name = "DURATION", value_parser = super::apply::duration)]
    watch: Option<Duration>,
    /// How long to wait until everything is ready
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = super::apply::duration)]
    timeout: Duration,
    /// How long something may stand in the way, without hope, before an app is given up
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = super::apply::duration)]
    patience: Duration,
    /// Leave a bad app as it is, whatever platform.yaml says
    #[arg(long)]
    no_rollback: bool,
    /// Take objects over from kubectl, Helm, Flux or Argo CD; `even-if-live` also from one that still points at them
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "yes", value_parser = ["yes", "even-if-live"])]
    adopt: Option<String>,
    /// Take over fields that other managers own
    #[arg(long)]
    force_conflicts: bool,
    /// Deploy although something newer was deployed
    #[arg(long)]
    allow_older: bool,
    /// Deploy what is held back after a rollback all the same
    #[arg(long)]
    release_hold: bool,
    /// Run a migration again that failed with the same images
    #[arg(long)]
    retry_migrations: bool,
    /// Leave out objects whose kind the cluster does not know, and list them, instead of stopping
    #[arg(long)]
    skip_missing_kinds: bool,
    /// Prune even where that takes more than a third of what was deployed last, or all of it
    #[arg(long)]
    prune_all: bool,
    /// Prune Namespaces, claims, CustomResourceDefinitions and objects marked kiban.dev/keep too
    #[arg(long)]
    prune_protected: bool,
    /// Write each app's objects as this service account of its namespace
    #[arg(long, value_name = "NAME")]
    act_as: Option<String>,
    /// Deploy to a cluster whose UID platform.yaml does not name for this environment
    #[arg(long)]
    any_cluster: bool,
    /// A file with the token for the repository
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with certificates that are trusted for the repository besides the machine's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    /// Whether fields are taken from others although nothing else changes.
    fn takes_over(&self) -> bool {
        self.adopt.is_some() || self.force_conflicts
    }
}

fn plain_folder(text: &str) -> Result<PlainFolder, String> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [path, app, namespace] if ![path, app, namespace].iter().any(|t| t.is_empty()) => Ok(PlainFolder {
            path: path.trim_matches('/').to_owned(),
            app: (*app).to_owned(),
            namespace: (*namespace).to_owned(),
        }),
        _ => Err("write it like k8s/legacy:legacy:legacy-prod (path, name, namespace)".to_owned()),
    }
}

/// Deploys.
pub fn run(arguments: &Arguments) -> Exit {
    super::block_on(deploy(arguments)).into()
}

async fn deploy(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (environment, head) = match open(arguments).await {
        Ok(opened) => opened,
        Err(error) => return Ok(why_not_opened(error)),
    };
    let environment = Arc::new(environment);
    let snapshot = match environment.snapshot(head).await {
        Ok(snapshot) => snapshot,
        Err(why) => return Ok(Exit::Usage(anyhow::anyhow!(why))),
    };
    let cluster = arguments.target.connect().await?;
    check_cluster(&cluster, &snapshot, arguments.any_cluster).await?;
    let commit = snapshot.head.id().to_string();
    note!("deploying {} at {} to {}", arguments.env, &commit.get(..12).unwrap_or(&commit), cluster.target());
    let inventories = inventories(&cluster, &arguments.env).await?;
    let jobs = match jobs(arguments, &environment, &snapshot, &inventories) {
        Ok(jobs) => jobs,
        Err(exit) => return Ok(exit),
    };
    roll_out(arguments, &cluster, environment, jobs).await
}

/// A repository that does not answer may answer later; one that is named wrongly never will.
fn why_not_opened(error: anyhow::Error) -> Exit {
    let is_wrong = |error: &kiban_git::Error| {
        matches!(
            error,
            kiban_git::Error::Address { .. }
                | kiban_git::Error::Given { .. }
                | kiban_git::Error::NotARepository { .. }
        )
    };
    match error.downcast_ref::<SourceError>() {
        Some(SourceError::Git(why)) if !is_wrong(why) => Exit::Failed(error),
        Some(SourceError::Stopped) => Exit::Failed(error),
        _ => Exit::Usage(error),
    }
}

/// The repository's environment, and the commit that is deployed.
async fn open(arguments: &Arguments) -> anyhow::Result<(Environment, Head)> {
    let is_address = arguments.repo.contains("://");
    let source = if is_address {
        let credential =
            arguments.token_file.as_deref().map(kiban_delivery::source::credential).transpose()?;
        let ca =
            arguments.ca_file.as_ref().map(std::fs::read).transpose().context("cannot read --ca-file")?;
        let access = Access { credential, ca, ..Access::default() };
        Source::open(&arguments.repo, access, None, tokio::runtime::Handle::current())?
    } else {
        Source::local(&PathBuf::from(&arguments.repo))?
    };
    let checked_out = if is_address { None } else { source.checked_out().await? };
    let head = match (&arguments.commit, checked_out) {
        (Some(commit), _) => source.at(commit).await?,
        (None, Some(commit)) => source.at(&commit).await?,
        (None, None) => {
            let (branch, _) = source.tip(None).await?;
            let default = source.head(&branch).await?;
            match layout::settings(default.content.as_ref(), &arguments.env)?.environment.branch {
                Some(named) if named != branch => source.head(&named).await?,
                _ => default,
            }
        }
    };
    let content: &dyn Content = head.content.as_ref();
    let settings = layout::settings(content, &arguments.env)?;
    let branch = match settings.environment.branch {
        Some(branch) => branch,
        None => source.tip(None).await?.0,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut environment = Environment::new(source, &arguments.env, &branch, clock);
    environment.plain.clone_from(&arguments.folder);
    environment.accounts = Accounts { app: arguments.act_as.clone(), platform: None };
    Ok((environment, head))
}

async fn check_cluster(cluster: &Cluster, snapshot: &Snapshot, any: bool) -> anyhow::Result<()> {
    let Some(wanted) = snapshot.settings.environment.cluster.as_ref().filter(|_| !any) else { return Ok(()) };
    let found = cluster.uid().await?;
    if found != wanted.as_str() {
        bail!(
            "platform.yaml says that {} is the cluster {wanted}, this one is {found}: wrong context? (--any-cluster deploys all the same)",
            snapshot.settings.env
        );
    }
    Ok(())
}

type Inventories = BTreeMap<(String, String), Inventory>;

/// The inventories of an environment, by app and namespace.
async fn inventories(cluster: &Cluster, env: &str) -> anyhow::Result<Inventories> {
    let kinds = cluster.kinds().await?;
    let resource = kinds.preferred("", "ConfigMap").context("the cluster serves no ConfigMaps")?;
    let listed = cluster
        .list(resource, "", &known::selector(env))
        .await
        .context("cannot list what was deployed last")?;
    let mut found = Inventories::new();
    for config_map in &listed {
        let inventory = Inventory::read(config_map)?;
        let namespace = config_map["metadata"]["namespace"].as_str().unwrap_or_default();
        found.insert((inventory.app.clone(), namespace.to_owned()), inventory);
    }
    Ok(found)
}

/// What is to be done, the platform's own first.
fn jobs(
    arguments: &Arguments,
    environment: &Arc<Environment>,
    snapshot: &Arc<Snapshot>,
    inventories: &Inventories,
) -> Result<Vec<(Job, Option<Inventory>)>, Exit> {
    let settings = &snapshot.settings.environment;
    let about = Thread {
        id: ThreadId { env: arguments.env.clone(), commit: snapshot.head.id().to_string() },
        author: snapshot.head.commit.author.name.clone(),
        subject: snapshot.head.commit.title().to_owned(),
        link: String::new(),
        apps: BTreeMap::new(),
    };
    let job = |brief: Brief, step: Step| Job {
        brief,
        step,
        about: about.clone(),
        watch: arguments.watch.unwrap_or_else(|| settings.watch.get()),
        rollback: settings.rollback && !arguments.no_rollback,
        before: None,
        repository: Arc::clone(environment) as Arc<dyn Repository>,
    };
    let known: Vec<&str> = snapshot.units.iter().map(|u| u.app.as_str()).collect();
    if let Some(unknown) = arguments.app.iter().find(|app| !known.contains(&app.as_str())) {
        return Err(Exit::Usage(anyhow::anyhow!(
            "the commit asks for no app \"{unknown}\" in {} (there are: {})",
            arguments.env,
            known.join(", ")
        )));
    }
    let is_wanted =
        |app: &str| arguments.app.is_empty() || app == PLATFORM || arguments.app.iter().any(|a| a == app);
    let (name, branch) = (environment.source.name(), environment.branch.as_str());
    let mut jobs = Vec::new();
    let mut places = BTreeMap::new();
    for unit in &snapshot.units {
        let request = snapshot.request(unit, name, branch, &environment.accounts);
        let request = request.map_err(|why| Exit::Usage(anyhow::Error::msg(why)))?;
        places.insert(unit.app.clone(), request.namespace.clone());
        if !is_wanted(&unit.app) {
            continue;
        }
        let known = inventories.get(&(request.app.clone(), request.namespace.clone()));
        let brief = Brief::of(&request);
        match decide::next(Some(&brief.digest), known) {
            // What an inventory remembers may be gone: by hand it is tried.
            Step::Nothing if !arguments.takes_over() => jobs.push((job(brief, Step::Check), known.cloned())),
            Step::Nothing => jobs.push((job(brief, Step::Deploy), known.cloned())),
            // By hand is on purpose: what was bad or held is tried again, and apply says what it thinks of it.
            Step::Bad | Step::Held => jobs.push((job(brief, Step::Deploy), known.cloned())),
            step => jobs.push((job(brief, step), known.cloned())),
        }
    }
    for ((app, namespace), inventory) in inventories {
        let repository = &inventory.revision.repository;
        if !places.contains_key(app) && app != PLATFORM && repository != name && !repository.is_empty() {
            note!("{app} in {namespace} was deployed from {repository}, not from {name}: left alone");
        }
    }
    let ours: Vec<_> = inventories
        .iter()
        .filter(|((app, _), inventory)| {
            app != PLATFORM
                && (inventory.revision.repository == name || inventory.revision.repository.is_empty())
        })
        .map(|((app, namespace), inventory)| (app.clone(), namespace.clone(), inventory.objects.len()))
        .collect();
    let gone = known::gone(
        &ours,
        &|app, namespace| places.get(app).is_some_and(|n| n == namespace),
        !places.is_empty(),
    );
    if let Some(why) = gone.held.filter(|_| !arguments.prune_all && arguments.app.is_empty()) {
        note!("{why}");
        return Err(Exit::Found);
    }
    for (app, namespace) in gone.apps.into_iter().filter(|_| arguments.app.is_empty()) {
        let known = inventories.get(&(app.clone(), namespace.clone())).cloned();
        let brief = Brief {
            app,
            namespace,
            env: arguments.env.clone(),
            revision: revision(environment, snapshot),
            ..Brief::default()
        };
        jobs.push((job(brief, Step::Remove), known));
    }
    Ok(jobs)
}

fn revision(environment: &Environment, snapshot: &Snapshot) -> kiban_kube::apply::Revision {
    kiban_kube::apply::Revision {
        commit: snapshot.head.id().to_string(),
        repository: environment.source.name().to_owned(),
        branch: environment.branch.clone(),
        position: None,
    }
}

async fn roll_out(
    arguments: &Arguments,
    cluster: &Cluster,
    environment: Arc<Environment>,
    jobs: Vec<(Job, Option<Inventory>)>,
) -> anyhow::Result<Exit> {
    let pods = Pods::default();
    let namespaces: Vec<String> = jobs.iter().map(|(job, _)| job.brief.namespace.clone()).collect();
    let cache = Cache::new(cluster.clone(), CacheOptions::default());
    let kind = Gvk { group: String::new(), version: "v1".into(), kind: "Pod".into() };
    let subscription = cache.subscribe(Interest::in_all(kind, "deploy").within(namespaces), pods::health);
    let follower = tokio::spawn({
        let pods = pods.clone();
        async move { pods.follow(subscription).await }
    });
    let threads = Threads::new(|_, _| {});
    let (stop_telling, stopped) = mpsc::channel(1);
    let teller = tokio::spawn({
        let threads = threads.clone();
        async move { threads.run(&[Arc::new(Printer::default()) as Arc<dyn Notifier>], stopped).await }
    });
    let rollouts = Rollouts {
        cluster: cluster.clone(),
        clock: Arc::new(SystemClock),
        pods,
        threads,
        options: options(arguments, environment),
        turns: Arc::new(Semaphore::new(8)),
        patience: arguments.patience,
    };
    let (canceller, cancel) = Canceller::new();
    let signal = tokio::spawn(async move {
        if kiban_runtime::shutdown::signal().await.is_ok() {
            note!("stopping; deploying again goes on from here");
            canceller.cancel();
        }
        // Whoever was told to stop keeps hearing so.
        std::future::pending::<()>().await;
    });
    let ends = run_all(&rollouts, jobs, &cancel).await;
    drop(stop_telling);
    let _ = teller.await;
    follower.abort();
    signal.abort();
    Ok(conclude(&ends))
}

fn options(arguments: &Arguments, environment: Arc<Environment>) -> Options {
    Options {
        force_conflicts: arguments.force_conflicts,
        adopt: match arguments.adopt.as_deref() {
            None => Adopt::No,
            Some("even-if-live") => Adopt::EvenIfLive,
            Some(_) => Adopt::Yes,
        },
        skip_missing_kinds: arguments.skip_missing_kinds,
        prune: PruneOptions { all: arguments.prune_all, protected: arguments.prune_protected },
        allow_older: arguments.allow_older,
        ancestry: Some(environment),
        release_hold: arguments.release_hold,
        retry_migrations: arguments.retry_migrations,
        timeout: arguments.timeout,
        holder: super::apply::holder(),
        ..Options::default()
    }
}

/// The platform's own first, then the apps side by side, and last what goes.
async fn run_all(
    rollouts: &Rollouts,
    jobs: Vec<(Job, Option<Inventory>)>,
    cancel: &Cancel,
) -> Vec<(String, End)> {
    let stage = |job: &Job| match (&job.step, job.brief.app == PLATFORM) {
        (Step::Remove, _) => 2,
        (_, true) => 0,
        (_, false) => 1,
    };
    let mut ends = Vec::new();
    for now in 0..=2 {
        let mut running = JoinSet::new();
        for (job, known) in jobs.iter().filter(|(job, _)| stage(job) == now).cloned() {
            let (rollouts, cancel) = (rollouts.clone(), cancel.clone());
            running.spawn(async move {
                let end = rollouts.run(&job, known.as_ref(), &cancel).await;
                (job.brief.app, end)
            });
        }
        while let Some(end) = running.join_next().await {
            ends.extend(end);
        }
    }
    ends.sort_by(|a, b| a.0.cmp(&b.0));
    ends
}

fn conclude(ends: &[(String, End)]) -> Exit {
    let mut exit = Exit::Done;
    if ends.iter().all(|(_, end)| *end == End::Nothing) {
        terminal::line("everything runs as it is asked for");
    }
    for (app, end) in ends {
        match end {
            End::Nothing => {}
            End::Good => terminal::line(&format!("{app}: good")),
            End::Removed => terminal::line(&format!("{app}: removed")),
            End::Bad { faults, then } => {
                for fault in faults {
                    terminal::line(&format!("{app}: BAD: {fault}"));
                    fault.lines.iter().for_each(|line| terminal::line(&format!("    {line}")));
                }
                terminal::line(&format!("{app}: {then}"));
                exit = Exit::Found;
            }
            End::Held { why } | End::Failed { why, .. } => {
                terminal::line(&format!("{app}: FAILED: {why}"));
                exit = Exit::Found;
            }
            End::Stopped => {
                terminal::line(&format!("{app}: stopped before its end"));
                exit = Exit::Found;
            }
        }
    }
    exit
}

/// Prints how far each app has come, once each.
#[derive(Default)]
struct Printer(std::sync::Mutex<BTreeMap<String, String>>);

impl Notifier for Printer {
    fn name(&self) -> &str {
        "terminal"
    }

    fn tell<'a>(&'a self, thread: &'a Thread, _: Moment) -> BoxFuture<'a, Result<(), NotTold>> {
        let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (app, state) in thread.apps.iter().filter(|(_, state)| !state.is_final()) {
            let text = state.to_string();
            if told.get(app) != Some(&text) {
                terminal::line(&format!("{app}: {text}"));
                told.insert(app.clone(), text);
            }
        }
        Box::pin(async { Ok(()) })
    }
}
