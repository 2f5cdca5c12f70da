//! Follows one environment: what its branch asks for is made so, app by app, again and again.
//!
//! One task decides, and is woken by what changes: the branch, an inventory, a rollout that ended, a time to try
//! again. Each app's rollout is a task of its own, so that a broken one blocks no other. An app whose files did
//! not change costs nothing, and one whose render did not change costs no request.

mod app;
mod branch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kiban_kube::cache::{Delta, Subscription};
use kiban_kube::cancel::Canceller;
use kiban_kube::inventory::Inventory;
use kiban_runtime::metrics::{Counter, CounterVec, Gauge, GaugeVec, Registry};
use kiban_runtime::readiness::Readiness;
use kiban_runtime::shutdown::Shutdown;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::decide::{self, Step};
use crate::environment::{Environment, Snapshot};
use crate::known::{self, Known};
use crate::layout::PLATFORM;
use crate::notify::{State, Thread, ThreadId};
use crate::rollout::{Brief, End, Job, Repository, Rollouts};
use app::{App, Running};
use branch::Look;

/// The first pause after a failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);
/// The longest pause after failures.
const LONGEST: Duration = Duration::from_secs(300);

/// What the component publishes of itself.
#[derive(Clone)]
pub struct Figures {
    rollouts: CounterVec,
    apps: GaugeVec,
    polls: CounterVec,
    head: Gauge,
    held: Gauge,
    resyncs: Counter,
}

/// Names of the metrics of [`Figures`].
pub const METRICS: &[&str] = &[
    "kiban_delivery_rollouts_total",
    "kiban_delivery_apps",
    "kiban_delivery_polls_total",
    "kiban_delivery_last_poll_timestamp_seconds",
    "kiban_delivery_prune_held",
    "kiban_delivery_resyncs_total",
];

impl Figures {
    /// Registers them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            rollouts: registry.counter_vec(
                "kiban_delivery_rollouts_total",
                "Rollouts that ended, by how they ended.",
                &["env", "end"],
            ),
            apps: registry.gauge_vec(
                "kiban_delivery_apps",
                "Apps of an environment, by how they are.",
                &["env", "state"],
            ),
            polls: registry.counter_vec(
                "kiban_delivery_polls_total",
                "Times that the repository was asked for the branch of an environment.",
                &["env", "result"],
            ),
            head: registry.gauge(
                "kiban_delivery_last_poll_timestamp_seconds",
                "When a repository was last asked with success, as Unix time.",
            ),
            held: registry.gauge(
                "kiban_delivery_prune_held",
                "Apps that nothing asks for any more and whose removal waits for a word.",
            ),
            resyncs: registry.counter(
                "kiban_delivery_resyncs_total",
                "Times that the inventories were read again as a whole.",
            ),
        }
    }
}

/// How an environment is followed.
pub struct Follow {
    /// The environment.
    pub environment: Arc<Environment>,
    /// What rolls its apps out.
    pub rollouts: Rollouts,
    /// Its inventories ([`known::selector`]).
    pub inventories: Subscription<Known>,
    /// How often its branch is looked at.
    pub poll: Duration,
    /// Looks at the branch at once.
    pub wake: Arc<Notify>,
    /// Figures.
    pub figures: Figures,
    /// Set once the first commit was decided on.
    pub readiness: Readiness,
}

/// Follows it until `shutdown`.
pub async fn follow(follow: Follow, shutdown: Shutdown) {
    let Follow { environment, rollouts, inventories, poll, wake, figures, readiness } = follow;
    let mut reconciler = Reconciler {
        environment,
        rollouts,
        inventories,
        figures,
        apps: BTreeMap::new(),
        snapshot: None,
        tasks: JoinSet::new(),
        removals_wait: false,
        removal_told: None,
        trouble: None,
    };
    let (sender, looks) = mpsc::channel(1);
    let branch = branch::watch(Arc::clone(&reconciler.environment), poll, wake, sender);
    // The branch is looked at as long as somebody listens: both end together.
    tokio::join!(branch, reconciler.run(looks, &readiness, shutdown));
}

struct Reconciler {
    environment: Arc<Environment>,
    rollouts: Rollouts,
    inventories: Subscription<Known>,
    figures: Figures,
    apps: BTreeMap<String, App>,
    snapshot: Option<Arc<Snapshot>>,
    tasks: JoinSet<(String, String, End)>,
    /// Something is to be removed once a rollout has come to its end.
    removals_wait: bool,
    /// What was said last of apps that are gone and held.
    removal_told: Option<String>,
    /// What was said last of a branch that cannot be followed.
    trouble: Option<String>,
}

impl Reconciler {
    async fn run(&mut self, mut looks: mpsc::Receiver<Look>, readiness: &Readiness, mut shutdown: Shutdown) {
        // Without what the cluster remembers, everything would look new.
        tokio::select! {
            () = self.inventories.synced() => {}
            () = shutdown.fired() => return,
        }
        loop {
            let retry = self.apps.values().filter_map(|app| app.retry_at).min();
            tokio::select! {
                () = shutdown.fired() => break,
                Some(look) = looks.recv() => match self.on_look(look) {
                    Ok(()) => readiness.set(),
                    Err(why) => readiness.unset(why),
                },
                delta = self.inventories.next() => self.on_inventory(&delta),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Ok((name, digest, end)) = ended {
                        self.on_end(&name, &digest, end);
                    }
                }
                () = sleep_until(retry) => self.retry(),
            }
            self.count();
        }
        self.stop().await;
    }

    /// Takes in what a look at the branch brought.
    ///
    /// # Errors
    /// Where it cannot be followed, in words.
    fn on_look(&mut self, look: Look) -> Result<(), String> {
        let env = self.environment.env.clone();
        if let Look::Failed(why) = look {
            self.figures.polls.with(&[&env, "failed"]).inc();
            if self.trouble.as_ref() != Some(&why) {
                tracing::error!(env, "the branch cannot be followed: {why}");
                self.trouble = Some(why);
            }
            return Err(format!("the branch of {env} cannot be followed; the log says why"));
        }
        self.figures.polls.with(&[&env, "ok"]).inc();
        self.figures.head.set(self.rollouts.clock.now().0 as f64 / 1e6);
        if self.trouble.take().is_some() {
            tracing::info!(env, "the branch can be followed again");
        }
        if let Look::New(commit) = look {
            self.take(*commit);
        }
        Ok(())
    }

    /// Takes in a commit: what changed is decided on again.
    fn take(&mut self, commit: branch::Commit) {
        let branch::Commit { snapshot, changed } = commit;
        let env = &self.environment.env;
        tracing::info!(
            env,
            commit = %snapshot.head.id(),
            changed = changed.len(),
            apps = snapshot.units.len(),
            "a new commit"
        );
        for app in self.apps.values_mut() {
            app.is_asked = false;
        }
        let about = self.thread(&snapshot);
        for unit in &snapshot.units {
            self.apps.entry(unit.app.clone()).or_default().is_asked = true;
        }
        // What nothing asks for any more is not rolled out to its end.
        for app in self.apps.values().filter(|app| !app.is_asked && app.wanted.is_some()) {
            if let Some(running) = &app.running {
                running.canceller.cancel();
            }
        }
        // All at once, so that the thread is not over before its last app has begun.
        for (unit, brief) in &changed {
            let is_news = brief.as_ref().is_ok_and(|brief| self.is_news(&unit.app, brief));
            if is_news {
                self.rollouts.threads.report(&about, &unit.app, State::Applying { waiting: String::new() });
            }
        }
        let before = self.snapshot.as_ref().map(|snapshot| snapshot.head.id().to_string());
        for (unit, brief) in changed {
            let Some(app) = self.apps.get_mut(&unit.app) else { continue };
            match brief {
                Ok(brief) => app.want(brief, about.clone(), before.clone()),
                Err(why) => {
                    tracing::warn!(env, app = unit.app, "cannot be deployed: {why}");
                    app.broken = Some(why.clone());
                    self.rollouts.threads.report(&about, &unit.app, State::Failed { why });
                }
            }
        }
        let drift = Some(snapshot.settings.environment.drift);
        self.environment.drift.send_if_modified(|known| std::mem::replace(known, drift) != drift);
        self.snapshot = Some(snapshot);
        self.decide_all();
    }

    /// Whether something will be done about what an app asks for now.
    fn is_news(&self, app: &str, brief: &Brief) -> bool {
        let is_same =
            self.apps.get(app).and_then(|a| a.wanted.as_ref()).is_some_and(|w| w.digest == brief.digest);
        if is_same {
            return false;
        }
        let known = self.inventories.get(&brief.namespace, &inventory_name(brief));
        let known = match known.as_deref() {
            Some(Known::Good { inventory, .. }) => Some(inventory.as_ref()),
            _ => None,
        };
        matches!(decide::next(Some(&brief.digest), known), Step::Deploy | Step::Watch)
    }

    fn thread(&self, snapshot: &Snapshot) -> Thread {
        let commit = &snapshot.head.commit;
        Thread {
            id: ThreadId { env: self.environment.env.clone(), commit: snapshot.head.id().to_string() },
            author: commit.author.name.clone(),
            subject: commit.title().to_owned(),
            link: String::new(),
            apps: BTreeMap::new(),
        }
    }

    fn decide_all(&mut self) {
        // What belongs to all comes first: namespaces, above all. Others wait for its end, good or bad.
        self.decide(PLATFORM);
        if self.apps.get(PLATFORM).is_some_and(|app| app.running.is_some()) {
            return;
        }
        let names: Vec<String> = self.apps.keys().filter(|name| *name != PLATFORM).cloned().collect();
        for name in names {
            self.decide(&name);
        }
        self.decide_removals();
    }

    /// Starts what is to be done about an app, unless it is under way.
    fn decide(&mut self, name: &str) {
        if name != PLATFORM && self.apps.get(PLATFORM).is_some_and(|app| app.running.is_some()) {
            return;
        }
        let Some(app) = self.apps.get_mut(name) else { return };
        let Some(brief) = app.wanted.clone().filter(|_| app.is_asked) else { return };
        if let Some(running) = &app.running {
            if running.digest != brief.digest || running.namespace != brief.namespace {
                running.canceller.cancel();
            }
            return;
        }
        if app.done.as_ref() == Some(&brief.digest) || app.retry_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let inventory = match self.inventories.get(&brief.namespace, &inventory_name(&brief)).as_deref() {
            None => None,
            Some(Known::Good { inventory, .. }) => Some(inventory.as_ref().clone()),
            Some(Known::Bad(why)) => {
                app.broken = Some(why.clone());
                return;
            }
        };
        let mut step = decide::next(Some(&brief.digest), inventory.as_ref());
        // What a rollout that was cut short wrote may not have been seen yet: whatever there is, is applied upon.
        if app.was_cut && matches!(step, Step::Nothing | Step::Watch) {
            step = Step::Deploy;
        }
        if std::mem::take(&mut app.is_doubted) && step == Step::Nothing {
            step = Step::Check;
        }
        let is_idle = match step {
            Step::Nothing | Step::Bad | Step::Remove | Step::Held => true,
            Step::Check | Step::Deploy | Step::Watch | Step::TakeBack => false,
        };
        app.state = app::word(&step);
        if is_idle {
            app.done = Some(brief.digest.clone());
            return;
        }
        self.start(name, brief, step, inventory);
    }

    fn start(&mut self, name: &str, brief: Brief, step: Step, known: Option<Inventory>) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        let Some(app) = self.apps.get_mut(name) else { return };
        let repository: Arc<dyn Repository> = Arc::clone(&self.environment) as _;
        let about = app.about.clone().unwrap_or_else(|| Thread {
            id: ThreadId { env: brief.env.clone(), commit: brief.revision.commit.clone() },
            author: String::new(),
            subject: String::new(),
            link: String::new(),
            apps: BTreeMap::new(),
        });
        let (digest, namespace) = (brief.digest.clone(), brief.namespace.clone());
        let settings = &snapshot.settings.environment;
        let (canceller, cancel) = Canceller::new();
        app.running = Some(Running { canceller, digest: digest.clone(), namespace, about: about.clone() });
        let job = Job {
            brief,
            step,
            about,
            watch: settings.watch.get(),
            rollback: settings.rollback,
            before: app.before.clone(),
            repository,
        };
        app.retry_at = None;
        app.was_cut = false;
        app.state = "rolling-out";
        let (rollouts, name) = (self.rollouts.clone(), name.to_owned());
        self.tasks.spawn(async move {
            let end = rollouts.run(&job, known.as_ref(), &cancel).await;
            (name, digest, end)
        });
    }

    /// Prunes apps that nothing asks for any more.
    fn decide_removals(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        let snapshot_apps: BTreeMap<&str, ()> = snapshot.units.iter().map(|u| (u.app.as_str(), ())).collect();
        let repository = self.environment.source.name();
        let mut inventories = Vec::new();
        let mut found = BTreeMap::new();
        for (key, known) in self.inventories.snapshot().iter() {
            let Known::Good { inventory, objects } = known.as_ref() else { continue };
            if inventory.revision.repository != repository || inventory.app == PLATFORM {
                continue;
            }
            let namespace = key.namespace().to_owned();
            found.insert((inventory.app.clone(), namespace.clone()), inventory.as_ref().clone());
            inventories.push((inventory.app.clone(), namespace, *objects));
        }
        let waits = std::cell::Cell::new(false);
        let asked = |app: &str, namespace: &str| {
            let known = self.apps.get(app);
            let is_under_way = known.is_some_and(|a| a.running.is_some());
            // An app whose files are broken is still asked for.
            let is_asked = snapshot_apps.contains_key(app)
                && known.and_then(|a| a.wanted.as_ref()).is_none_or(|brief| brief.namespace == namespace);
            // One that moves to another namespace leaves the old one once it has come to an end in the new.
            let has_moved = snapshot_apps.contains_key(app) && known.is_some_and(App::is_settled);
            let waits_on = is_under_way || (snapshot_apps.contains_key(app) && !has_moved);
            waits.set(waits.get() || (!is_asked && waits_on));
            is_asked || waits_on
        };
        let gone = known::gone(&inventories, &asked, !snapshot.units.is_empty());
        self.removals_wait = waits.get();
        self.figures.held.set(if gone.held.is_some() { gone.apps.len() as f64 } else { 0.0 });
        if gone.held != self.removal_told {
            if let Some(why) = &gone.held {
                tracing::warn!(env = self.environment.env, "{why}");
            }
            self.removal_told.clone_from(&gone.held);
        }
        if gone.held.is_some() {
            return;
        }
        let about = self.thread(&snapshot);
        for (app, namespace) in gone.apps {
            let name = format!("{app} in {namespace}");
            let entry = self.apps.entry(name.clone()).or_default();
            if entry.running.is_some()
                || entry.done.is_some()
                || entry.retry_at.is_some_and(|at| at > Instant::now())
            {
                continue;
            }
            entry.about = Some(about.clone());
            let brief = Brief {
                app: app.clone(),
                env: self.environment.env.clone(),
                namespace: namespace.clone(),
                revision: kiban_kube::apply::Revision {
                    commit: snapshot.head.id().to_string(),
                    repository: self.environment.source.name().to_owned(),
                    branch: self.environment.branch.clone(),
                    position: None,
                },
                ..Brief::default()
            };
            let known = found.remove(&(app, namespace));
            self.start(&name, brief, Step::Remove, known);
        }
    }

    fn on_inventory(&mut self, delta: &Delta<Known>) {
        match delta {
            Delta::Set { new, .. } => {
                let Known::Good { inventory, .. } = new.as_ref() else { return };
                let name = inventory.app.clone();
                if let Some(app) = self.apps.get_mut(&name) {
                    app.seen(inventory);
                }
                self.decide(&name);
            }
            Delta::Gone { key, old } => {
                let Known::Good { inventory, .. } = old.as_ref() else { return };
                let name = inventory.app.clone();
                self.apps.remove(&format!("{name} in {}", key.namespace()));
                // Somebody deleted it: what is asked for is there again soon.
                let is_ours = |app: &&mut App| {
                    app.running.is_none()
                        && app.wanted.as_ref().is_some_and(|b| b.namespace == key.namespace())
                };
                if let Some(app) = self.apps.get_mut(&name).filter(is_ours) {
                    app.done = None;
                }
                self.decide(&name);
            }
            Delta::Resync(_) => self.figures.resyncs.inc(),
            Delta::Synced => {}
        }
    }

    fn on_end(&mut self, name: &str, digest: &str, end: End) {
        let env = self.environment.env.clone();
        self.figures.rollouts.with(&[&env, app::end_word(&end)]).inc();
        match &end {
            End::Bad { faults, then } => {
                for fault in faults {
                    tracing::error!(env, app = name, "bad: {fault}");
                }
                tracing::error!(env, app = name, "{then}");
            }
            End::Failed { why, .. } | End::Held { why } => tracing::error!(env, app = name, "{why}"),
            End::Good | End::Removed | End::Nothing | End::Stopped => {
                tracing::info!(env, app = name, "{}", app::end_word(&end));
            }
        }
        if let Some(app) = self.apps.get_mut(name) {
            if let (End::Stopped, Some(running)) = (&end, &app.running) {
                self.rollouts.threads.report(&running.about, name, State::Superseded);
            }
            app.ended(digest, &end);
        }
        // A namespace or an account that somebody removed makes apps fail, and only the platform's objects bring
        // it back.
        if name != PLATFORM
            && matches!(end, End::Failed { again: true, .. })
            && let Some(platform) = self.apps.get_mut(PLATFORM)
        {
            platform.is_doubted = true;
            platform.done = None;
            self.decide(PLATFORM);
        }
        if name == PLATFORM {
            self.decide_all();
        } else {
            self.decide(name);
        }
        if self.removals_wait {
            self.decide_removals();
        }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        for app in self.apps.values_mut() {
            if app.retry_at.is_some_and(|at| at <= now) {
                app.retry_at = None;
            }
        }
        self.decide_all();
    }

    fn count(&self) {
        let mut counts: BTreeMap<&str, f64> = app::STATES.iter().map(|state| (*state, 0.0)).collect();
        for app in self.apps.values().filter(|app| app.is_asked) {
            *counts.entry(app.shown()).or_default() += 1.0;
        }
        for (state, count) in counts {
            self.figures.apps.with(&[&self.environment.env, state]).set(count);
        }
    }

    /// Tells all rollouts to stop where another run goes on, and waits for them.
    async fn stop(&mut self) {
        for app in self.apps.values() {
            if let Some(running) = &app.running {
                running.canceller.cancel();
            }
        }
        self.environment.source.stop();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn inventory_name(brief: &Brief) -> String {
    kiban_kube::inventory::name_of(&brief.app, &brief.env)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
