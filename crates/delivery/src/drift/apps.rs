//! One environment's apps: which of them a watch told something of, what is to be asked, what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use kiban_base::clock::Timestamp;
use kiban_base::object::Gvk;
use kiban_kube::cache::{Delta, Interest, Key, Subscription};
use kiban_kube::cancel::{Cancel, Canceller};
use kiban_kube::record;
use kiban_model::profile::Drift;
use kiban_runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::check::{self, Found};
use super::marks::{self, ENTRY, Listed, Looks, Mark};
use super::{AppDrift, BUDGET, DriftWatch, Place};
use crate::known;

/// How long after a change an app is looked at: what belongs together comes together.
const QUIET: Duration = Duration::from_secs(2);
/// When a dry run that failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// Apps that are asked about at a time.
const CHECKS: usize = 4;
/// The time in which [`BUDGET`] counts.
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) struct Apps {
    watch: DriftWatch,
    apps: BTreeMap<Place, App>,
    /// The app of each object.
    owners: HashMap<Gvk, HashMap<Key, Place>>,
    tasks: JoinSet<Checked>,
    turns: Arc<Semaphore>,
    canceller: Canceller,
    cancel: Cancel,
}

#[derive(Default)]
struct App {
    listed: Option<Arc<Listed>>,
    /// When it is looked at.
    look_at: Option<Instant>,
    /// How it looked when it was as it is rendered.
    clean: Option<String>,
    /// How it looked, with the fields of others, when it was found to differ.
    differs: Option<u64>,
    is_checking: bool,
    /// When it was put right in the last hour.
    corrections: VecDeque<Timestamp>,
    /// What was said last of a dry run that failed.
    trouble: Option<String>,
}

/// What came of a check.
struct Checked {
    place: Place,
    /// How the app looked before.
    looks: Looks,
    result: Result<Found, String>,
    /// Whether it was put right; none where that was not tried.
    corrected: Option<Result<(), String>>,
    then: String,
}

enum News {
    Stop,
    Inventory(Delta<Listed>),
    Object(Gvk, Delta<Mark>),
    Checked(Box<Checked>),
    Policy,
    Time,
}

impl Apps {
    pub(super) fn new(watch: DriftWatch) -> Self {
        let (canceller, cancel) = Canceller::new();
        let turns = Arc::new(Semaphore::new(CHECKS));
        let (apps, owners, tasks) = (BTreeMap::new(), HashMap::new(), JoinSet::new());
        Self { watch, apps, owners, tasks, turns, canceller, cancel }
    }

    pub(super) async fn run(mut self, mut shutdown: Shutdown) {
        let env = self.watch.environment.env.clone();
        let kind = Gvk { group: String::new(), version: "v1".into(), kind: "ConfigMap".into() };
        let interest = match Interest::in_all(kind, "drift").with_labels(&known::selector(&env)) {
            Ok(interest) => interest,
            Err(error) => return tracing::error!(env, "{error}"),
        };
        let mut inventories = self.watch.cache.subscribe(interest, marks::list);
        let mut kinds: BTreeMap<Gvk, Subscription<Mark>> = BTreeMap::new();
        let mut policy = self.watch.environment.drift.subscribe();
        loop {
            let at = self.apps.values().filter_map(|app| app.look_at).min();
            let news = tokio::select! {
                () = shutdown.fired() => News::Stop,
                delta = inventories.next() => News::Inventory(delta),
                (gvk, delta) = next(&mut kinds) => News::Object(gvk, delta),
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(checked) => News::Checked(Box::new(checked)),
                    Err(_) => continue,
                },
                Ok(()) = policy.changed() => News::Policy,
                () = until(at) => News::Time,
            };
            match news {
                News::Stop => break,
                News::Inventory(delta) => self.on_inventory(delta),
                News::Object(gvk, delta) => self.on_object(&gvk, &delta),
                News::Checked(checked) => self.on_checked(*checked),
                News::Policy => self.look_at_all(),
                News::Time => self.look(&kinds),
            }
            self.subscribe(&mut kinds);
        }
        self.canceller.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Watches the kinds that the inventories list, and no others.
    fn subscribe(&self, kinds: &mut BTreeMap<Gvk, Subscription<Mark>>) {
        let is_ignored = matches!(*self.watch.environment.drift.borrow(), None | Some(Drift::Ignore));
        kinds.retain(|gvk, _| !is_ignored && self.owners.contains_key(gvk));
        for gvk in self.owners.keys().filter(|_| !is_ignored) {
            if !kinds.contains_key(gvk) {
                let interest = Interest::in_all(gvk.clone(), "drift");
                kinds.insert(gvk.clone(), self.watch.cache.subscribe(interest, marks::mark));
            }
        }
    }

    fn place(&self, namespace: &str, app: &str) -> Place {
        let env = self.watch.environment.env.clone();
        Place { env, namespace: namespace.to_owned(), app: app.to_owned() }
    }

    fn on_inventory(&mut self, delta: Delta<Listed>) {
        match delta {
            Delta::Set { key, new, .. } => self.list(key.namespace(), Some(new), None),
            Delta::Gone { key, old } => self.list(key.namespace(), None, Some(&old)),
            Delta::Resync(snapshot) => {
                let there: BTreeSet<Place> =
                    snapshot.iter().map(|(key, listed)| self.place(key.namespace(), &listed.app)).collect();
                let gone: Vec<Place> = self.apps.keys().filter(|p| !there.contains(p)).cloned().collect();
                for place in gone {
                    if let Some(listed) = self.apps.get(&place).and_then(|app| app.listed.clone()) {
                        self.list(&place.namespace, None, Some(&listed));
                    }
                }
                for (key, listed) in snapshot.iter() {
                    self.list(key.namespace(), Some(Arc::clone(listed)), None);
                }
            }
            Delta::Synced => {}
        }
    }

    /// Takes in what an inventory lists now.
    fn list(&mut self, namespace: &str, new: Option<Arc<Listed>>, old: Option<&Listed>) {
        let Some(name) = new.as_deref().or(old).map(|listed| listed.app.clone()) else { return };
        let place = self.place(namespace, &name);
        let repository = self.watch.environment.source.name();
        // What others brought is none of this environment's business.
        let new = new.filter(|listed| listed.repository == repository);
        let old = self.apps.get(&place).and_then(|app| app.listed.clone());
        for (gvk, keys) in old.iter().flat_map(|listed| &listed.objects) {
            let Some(owners) = self.owners.get_mut(gvk) else { continue };
            for key in keys {
                if owners.get(key) == Some(&place) {
                    owners.remove(key);
                }
            }
            if owners.is_empty() {
                self.owners.remove(gvk);
            }
        }
        let Some(new) = new else {
            self.apps.remove(&place);
            return self.told(&place, None);
        };
        for (gvk, keys) in &new.objects {
            let owners = self.owners.entry(gvk.clone()).or_default();
            owners.extend(keys.iter().map(|key| (key.clone(), place.clone())));
        }
        let app = self.apps.entry(place).or_default();
        app.listed = Some(new);
        app.soon();
    }

    fn on_object(&mut self, gvk: &Gvk, delta: &Delta<Mark>) {
        let Some(owners) = self.owners.get(gvk) else { return };
        match delta {
            Delta::Set { key, .. } | Delta::Gone { key, .. } => {
                if let Some(app) = owners.get(key).and_then(|place| self.apps.get_mut(place)) {
                    app.soon();
                }
            }
            Delta::Resync(_) | Delta::Synced => {
                let places: BTreeSet<Place> = owners.values().cloned().collect();
                for place in places {
                    if let Some(app) = self.apps.get_mut(&place) {
                        app.soon();
                    }
                }
            }
        }
    }

    fn look_at_all(&mut self) {
        self.apps.values_mut().for_each(App::soon);
    }

    /// Looks at the apps whose time has come.
    fn look(&mut self, kinds: &BTreeMap<Gvk, Subscription<Mark>>) {
        let now = Instant::now();
        let due = |app: &App| app.look_at.is_some_and(|at| at <= now);
        let places: Vec<Place> =
            self.apps.iter().filter(|(_, app)| due(app)).map(|(place, _)| place.clone()).collect();
        let policy = *self.watch.environment.drift.borrow();
        for place in places {
            if let Some(app) = self.apps.get_mut(&place) {
                app.look_at = None;
            }
            match policy {
                None => {}
                Some(Drift::Ignore) => {
                    if let Some(app) = self.apps.get_mut(&place) {
                        (app.clean, app.differs) = (None, None);
                    }
                    self.told(&place, None);
                }
                Some(policy) => self.consider(&place, policy, kinds),
            }
        }
    }

    fn consider(&mut self, place: &Place, policy: Drift, kinds: &BTreeMap<Gvk, Subscription<Mark>>) {
        let Some(app) = self.apps.get_mut(place) else { return };
        let Some(listed) = app.listed.clone().filter(|listed| listed.is_settled) else { return };
        if app.is_checking {
            return;
        }
        let Some(looks) = marks::looks(&listed, kinds) else { return };
        let is_known = app.clean.as_ref() == Some(&looks.digest)
            || listed.sure.as_ref() == Some(&looks.digest)
            // Of this render nothing is known yet, and nobody but us wrote its objects.
            || (looks.is_ours && !app.clean.as_ref().is_some_and(|clean| is_same_render(clean, &looks.digest)));
        if is_known {
            app.clean = Some(looks.digest);
            app.differs = None;
            return self.told(place, None);
        }
        if app.differs == Some(looks.all) {
            return;
        }
        app.is_checking = true;
        self.check(place.clone(), listed, looks, policy);
    }

    fn check(&mut self, place: Place, listed: Arc<Listed>, looks: Looks, policy: Drift) {
        let may_correct = policy == Drift::Correct && !listed.is_held && self.has_budget(&place);
        let then_not = match policy {
            Drift::Correct if listed.is_held => {
                "not put right while an older render runs in a bad one's place"
            }
            Drift::Correct => "not put right again: something fights over it",
            _ => "only reported, as the environment says",
        };
        let (rollouts, environment) = (self.watch.rollouts.clone(), Arc::clone(&self.watch.environment));
        let (turns, cancel) = (Arc::clone(&self.turns), self.cancel.clone());
        self.tasks.spawn(async move {
            let _turn = turns.acquire().await;
            let looked = tokio::select! {
                () = cancel.cancelled() => Err("stopped".to_owned()),
                looked = check::look(&rollouts, environment.as_ref(), &place.app, &listed.commit) => looked,
            };
            let (mut corrected, mut then) = (None, then_not.to_owned());
            if let Ok(found) = &looked
                && !found.fields.is_empty()
            {
                match (&found.bar, &found.request) {
                    (Some(why), _) => then = format!("not put right: {why}"),
                    (None, Some(request)) if may_correct => {
                        let done = check::put_right(&rollouts, request, &cancel).await;
                        then = match &done {
                            Ok(()) => "put right".to_owned(),
                            Err(why) => format!("could not be put right: {why}"),
                        };
                        corrected = Some(done);
                    }
                    _ => {}
                }
                check::publish(&rollouts, &found.fields, &then).await;
            }
            if let Ok(found) = &looked
                && found.fields.is_empty()
            {
                note(&rollouts, &place, &listed, &looks.digest).await;
            }
            Checked { place, looks, result: looked, corrected, then }
        });
    }

    fn has_budget(&mut self, place: &Place) -> bool {
        let now = self.watch.rollouts.clock.now();
        let Some(app) = self.apps.get_mut(place) else { return false };
        app.corrections.retain(|at| now.since(*at) < HOUR);
        app.corrections.len() < BUDGET
    }

    fn on_checked(&mut self, checked: Checked) {
        let Checked { place, looks, result, corrected, then } = checked;
        let env = place.env.clone();
        let now = self.watch.rollouts.clock.now();
        let Some(app) = self.apps.get_mut(&place) else { return };
        app.is_checking = false;
        // What came in between was not looked at.
        app.soon();
        // What was put right may be changed again to just what it was.
        let is_open = corrected.as_ref().is_none_or(Result::is_err);
        if let Some(done) = corrected {
            app.corrections.push_back(now);
            let word = if done.is_ok() { "ok" } else { "failed" };
            self.watch.figures.corrections.with(&[&env, word]).inc();
        }
        let word = match &result {
            Ok(found) if found.fields.is_empty() => "none",
            Ok(_) => "drift",
            Err(_) => "failed",
        };
        self.watch.figures.checks.with(&[&env, word]).inc();
        match result {
            Err(why) => {
                app.look_at = Some(Instant::now() + AGAIN);
                if app.trouble.as_ref() != Some(&why) {
                    tracing::warn!(env, app = place.app, "drift cannot be told: {why}");
                    app.trouble = Some(why);
                }
            }
            Ok(found) if found.fields.is_empty() => {
                (app.clean, app.differs, app.trouble) = (Some(looks.digest), None, None);
                self.told(&place, None);
            }
            Ok(found) => {
                (app.differs, app.trouble) = (is_open.then_some(looks.all), None);
                for field in &found.fields {
                    tracing::warn!(env, app = place.app, object = %field.object, "drift: {}; {then}", field.words());
                }
                let Place { env, namespace, app } = place.clone();
                let drift = AppDrift { env, app, namespace, since: now, fields: found.fields, then };
                self.told(&place, Some(drift));
            }
        }
    }

    fn told(&self, place: &Place, drift: Option<AppDrift>) {
        let labels = [place.env.as_str(), place.app.as_str()];
        match &drift {
            Some(drift) => self.watch.figures.fields.with(&labels).set(drift.fields.len() as f64),
            None => self.watch.figures.fields.remove(&labels),
        }
        self.watch.drifts.set(place, drift);
    }
}

impl App {
    fn soon(&mut self) {
        self.look_at.get_or_insert_with(|| Instant::now() + QUIET);
    }
}

/// Whether two looks are of one render.
fn is_same_render(one: &str, other: &str) -> bool {
    one.split_once(':').map(|(render, _)| render) == other.split_once(':').map(|(render, _)| render)
}

/// Notes on the cluster that somebody made sure of how an app looks: a start needs no request for it then.
async fn note(rollouts: &crate::rollout::Rollouts, place: &Place, listed: &Listed, looks: &str) {
    let (render, looks) = (listed.render.clone(), looks.to_owned());
    let change = move |inventory: &mut kiban_kube::inventory::Inventory| {
        if inventory.render == render && inventory.applying.is_none() {
            inventory.others.insert(ENTRY.to_owned(), looks.clone());
        }
    };
    if let Err(error) =
        record::amend(&rollouts.cluster, &place.namespace, &place.app, &place.env, &change).await
    {
        tracing::debug!(app = place.app, %error, "how it looks could not be noted");
    }
}

/// The next change of any kind.
async fn next(kinds: &mut BTreeMap<Gvk, Subscription<Mark>>) -> (Gvk, Delta<Mark>) {
    if kinds.is_empty() {
        return std::future::pending().await;
    }
    let each = kinds.iter_mut().map(|(gvk, kind)| Box::pin(async move { (gvk.clone(), kind.next().await) }));
    select_all(each).await.0
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
