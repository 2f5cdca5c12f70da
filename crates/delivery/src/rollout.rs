//! One app, from the decision to the verdict: apply, watch, judge, take back.
//!
//! Everything that must outlive this process is in the app's inventory on the cluster: what is being applied,
//! what was found of it, what is held back. Whoever comes after a kill decides again from there
//! ([`crate::decide`]) and goes on.

mod ended;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiban_base::clock::Clock;
use kiban_base::object::ObjectId;
use kiban_kube::apply::{ApplyError, Event, Hold, Options, Report, Request, Revision, apply};
use kiban_kube::cancel::{Cancel, Canceller};
use kiban_kube::client::Cluster;
use kiban_kube::diagnose::fetch::{self, Surroundings};
use kiban_kube::diagnose::{Finding, Gravity, diagnose};
use kiban_kube::inventory::{Inventory, PruneOptions, Told};
use kiban_kube::object::Gvk;
use kiban_kube::record;
use kiban_runtime::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::decide::{BAD, GOOD, GOOD_ENTRY, Step, last_good};
use crate::notify::{State, Thread, Threads};
use crate::pods::Pods;
use crate::verdict::{Fault, SHORTFALL, Verdict, Watch};

/// What a rollout needs of the repository.
pub trait Repository: Send + Sync {
    /// What `commit` asks for of an app.
    fn request<'a>(&'a self, app: &'a str, commit: &'a str) -> BoxFuture<'a, Result<Request, String>>;

    /// Takes the change of `bad` back in the repository. Says in words what was done.
    fn revert<'a>(&'a self, revert: Revert<'a>) -> BoxFuture<'a, Result<String, String>>;
}

/// A change that is to be taken back in the repository.
#[derive(Clone, Copy, Debug)]
pub struct Revert<'a> {
    /// The app.
    pub app: &'a str,
    /// The commit that brought the change.
    pub bad: &'a str,
    /// The commit that was good.
    pub good: &'a str,
    /// What was wrong, in one line.
    pub cause: &'a str,
}

/// What is to be rolled out, in short: the objects are read from the repository when they are needed.
#[derive(Clone, Debug, Default)]
pub struct Brief {
    /// The app.
    pub app: String,
    /// The environment.
    pub env: String,
    /// The app's namespace.
    pub namespace: String,
    /// The commit that asks for it.
    pub revision: Revision,
    /// The digest of what it asks for.
    pub digest: String,
    /// Its workloads, whose pods are watched.
    pub workloads: Vec<(Gvk, ObjectId)>,
}

impl Brief {
    /// A request in short.
    pub fn of(request: &Request) -> Self {
        let workload = |object: &Value| {
            let mut id = ObjectId::of(object).ok().filter(|_| words::is_workload(object))?;
            if id.namespace.is_empty() {
                id.namespace.clone_from(&request.namespace);
            }
            Some((Gvk::of(object)?, id))
        };
        Self {
            app: request.app.clone(),
            env: request.env.clone(),
            namespace: request.namespace.clone(),
            revision: request.revision.clone(),
            digest: request.digest(),
            workloads: request.objects.iter().filter_map(workload).collect(),
        }
    }
}

/// A rollout that is to be done.
#[derive(Clone)]
pub struct Job {
    /// What is asked for.
    pub brief: Brief,
    /// What is to be done.
    pub step: Step,
    /// The commit, for people.
    pub about: Thread,
    /// For how long it is watched once it is ready.
    pub watch: Duration,
    /// Whether a bad one is taken back.
    pub rollback: bool,
    /// The commit that the branch had before the one that brought this, where that is known.
    pub before: Option<String>,
    /// Where objects come from, and reverts go.
    pub repository: Arc<dyn Repository>,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There was nothing to do.
    Nothing,
    /// It runs, and was watched to its end.
    Good,
    /// It is gone from the cluster.
    Removed,
    /// It is bad.
    Bad {
        /// What is wrong.
        faults: Vec<Fault>,
        /// What was done about it, in words.
        then: String,
    },
    /// It is bad since earlier, and held back.
    Held {
        /// In words.
        why: String,
    },
    /// It could not be done.
    Failed {
        /// Why, in words.
        why: String,
        /// Whether trying again may help without a new commit.
        again: bool,
    },
    /// It was told to stop: a newer commit comes, or the process ends.
    Stopped,
}

/// Rolls apps out on one cluster.
#[derive(Clone)]
pub struct Rollouts {
    /// The cluster.
    pub cluster: Cluster,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Its pods.
    pub pods: Pods,
    /// Where progress is told.
    pub threads: Threads,
    /// How things are applied.
    pub options: Options,
    /// How many apps are applied at a time. Watching takes none of them.
    pub turns: Arc<Semaphore>,
    /// How long something must stand in the way, without hope, before the rollout is given up.
    pub patience: Duration,
}

impl Rollouts {
    /// Does what the job says. Stopped by `cancel`, it leaves what another run goes on from.
    pub async fn run(&self, job: &Job, known: Option<&Inventory>, cancel: &Cancel) -> End {
        let end = match job.step {
            Step::Nothing => End::Nothing,
            Step::Bad => End::Nothing,
            Step::Held => held(known),
            Step::TakeBack => self.take_back_again(job, known, cancel).await,
            Step::Remove => self.remove(job, cancel).await,
            Step::Check => self.check(job, known, cancel).await,
            Step::Deploy => self.deploy(job, known, cancel).await,
            Step::Watch => self.watch_and_judge(job, known, cancel).await,
        };
        let state = match &end {
            End::Nothing | End::Stopped => return end,
            End::Good | End::Removed => State::Good,
            End::Bad { faults, then } => State::bad(faults, then.clone()),
            End::Held { why } | End::Failed { why, .. } => State::Failed { why: why.clone() },
        };
        self.tell(job, state);
        end
    }

    async fn remove(&self, job: &Job, cancel: &Cancel) -> End {
        self.tell(job, State::Applying { waiting: String::new() });
        let options = Options {
            // That the app goes whole has been confirmed for the environment.
            prune: PruneOptions { all: true, ..self.options.prune },
            ..self.options.clone()
        };
        let Brief { app, env, namespace, revision, .. } = job.brief.clone();
        let request = Request { app, env, namespace, revision, ..Request::default() };
        let _turn = self.turns.acquire().await;
        match apply(&self.cluster, &request, &options, cancel, &|_| {}).await {
            Ok(report) if report.is_success() => End::Removed,
            Ok(report) => End::Failed { why: words::of_report(&report), again: true },
            Err(error) => failed(error),
        }
    }

    /// Applies what is known to run, and goes on only where that changed anything.
    async fn check(&self, job: &Job, known: Option<&Inventory>, cancel: &Cancel) -> End {
        match self.applied(job, cancel).await {
            Applied::Ready { wrote: false } => End::Nothing,
            Applied::Ready { wrote: true } => self.watch_and_judge(job, known, cancel).await,
            Applied::Faults(faults) => self.bad(job, known, faults, cancel).await,
            Applied::End(end) => end,
        }
    }

    async fn applied(&self, job: &Job, cancel: &Cancel) -> Applied {
        let _turn = self.turns.acquire().await;
        match job.repository.request(&job.brief.app, &job.brief.revision.commit).await {
            Ok(request) => self.apply(job, &request, cancel).await,
            Err(why) => Applied::End(End::Failed { why, again: true }),
        }
    }

    async fn deploy(&self, job: &Job, known: Option<&Inventory>, cancel: &Cancel) -> End {
        self.tell(job, State::Applying { waiting: String::new() });
        match self.applied(job, cancel).await {
            Applied::Ready { .. } => self.watch_and_judge(job, known, cancel).await,
            Applied::Faults(faults) => self.bad(job, known, faults, cancel).await,
            Applied::End(end) => end,
        }
    }

    /// Applies a request and waits until it is ready, or until nothing helps.
    async fn apply(&self, job: &Job, request: &Request, cancel: &Cancel) -> Applied {
        let stuck = Stuck::default();
        let (canceller, inner) = Canceller::new();
        let sink = |event: Event| self.follow(job, &stuck, &event);
        let work = apply(&self.cluster, request, &self.options, &inner, &sink);
        tokio::pin!(work);
        let result = tokio::select! {
            result = &mut work => result,
            () = cancel.cancelled() => { canceller.cancel(); work.await }
            () = stuck.for_as_long_as(self.patience) => { canceller.cancel(); work.await }
        };
        match result {
            Ok(report) if report.is_success() => {
                Applied::Ready { wrote: report.count(kiban_kube::apply::Outcome::is_write) > 0 }
            }
            Ok(report) if report.outcomes.values().any(kiban_kube::apply::Outcome::is_failure) => {
                Applied::End(End::Failed { why: words::of_report(&report), again: true })
            }
            Ok(report) => Applied::Faults(words::faults(&report)),
            Err(ApplyError::Cancelled { .. }) if cancel.is_cancelled() => Applied::End(End::Stopped),
            Err(ApplyError::Cancelled { report }) => Applied::Faults(stuck.faults(&report)),
            Err(error) => Applied::End(failed(error)),
        }
    }

    fn follow(&self, job: &Job, stuck: &Stuck, event: &Event) {
        match event {
            Event::Blocked { object, findings } => {
                stuck.see(object, findings);
                if let Some(first) = findings.first() {
                    self.tell(job, State::Applying { waiting: format!("{object}: {first}") });
                }
            }
            Event::Ready { object } => stuck.forget(object),
            Event::WaitingForTurn { holder, .. } => {
                self.tell(job, State::Applying { waiting: format!("{holder}, who applies it now") });
            }
            Event::Retrying { what, reason, .. } => {
                tracing::info!(app = job.brief.app, what, reason, "trying again");
            }
            Event::Warning(text) => tracing::warn!(app = job.brief.app, "{text}"),
            _ => {}
        }
    }

    async fn watch_and_judge(&self, job: &Job, known: Option<&Inventory>, cancel: &Cancel) -> End {
        match self.watch(job, cancel).await {
            Ok(Verdict::Good) => self.good(job).await,
            Ok(Verdict::Bad(faults)) => self.bad(job, known, faults, cancel).await,
            Ok(Verdict::Superseded) => End::Stopped,
            Err(why) => End::Failed { why, again: true },
        }
    }

    /// Watches what got ready until its time is over, or something is wrong with it.
    async fn watch(&self, job: &Job, cancel: &Cancel) -> Result<Verdict, String> {
        if job.brief.workloads.is_empty() {
            return Ok(Verdict::Good);
        }
        let namespace = &job.brief.namespace;
        let mut worse = self.pods.worse(namespace);
        worse.mark_unchanged();
        let mut watch = Watch::default();
        self.tell(job, State::Watching { seconds: job.watch.as_secs() });
        let until = tokio::time::Instant::now() + job.watch;
        // Without any restart in the namespace there is none to be told from later ones.
        if self.pods.restarts(namespace) > 0 {
            self.look(job, &mut watch).await?;
        } else {
            job.brief.workloads.iter().for_each(|(_, id)| watch.begin(id));
        }
        loop {
            let next =
                if watch.is_short() { until.min(tokio::time::Instant::now() + SHORTFALL) } else { until };
            let over = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Verdict::Superseded),
                changed = worse.changed() => changed.is_err(),
                () = tokio::time::sleep_until(next) => next == until,
            };
            if over && !watch.is_short() && !worse.has_changed().unwrap_or(false) {
                return Ok(Verdict::Good);
            }
            let faults = self.look(job, &mut watch).await?;
            if !faults.is_empty() {
                return Ok(Verdict::Bad(faults));
            }
            if over && !watch.is_short() {
                return Ok(Verdict::Good);
            }
        }
    }

    /// Looks at all workloads once.
    async fn look(&self, job: &Job, watch: &mut Watch) -> Result<Vec<Fault>, String> {
        let mut faults = Vec::new();
        let kinds = self.cluster.kinds().await.map_err(|e| e.to_string())?;
        for (gvk, id) in &job.brief.workloads {
            let Some(resource) = kinds.find(gvk) else { continue };
            let live =
                self.cluster.get(resource, &id.namespace, &id.name).await.map_err(|e| e.to_string())?;
            let Some(live) = live else { continue };
            let around = Surroundings::fetch(&self.cluster, &live).await.map_err(|e| e.to_string())?;
            let mut diagnosis = diagnose(&around.evidence(&live, &self.cluster));
            fetch::logs(&self.cluster, &mut diagnosis).await;
            let Some(mut fault) = watch.see(id, self.clock.now(), &diagnosis) else { continue };
            if fault.lines.is_empty() {
                ended::add(&self.cluster, &mut fault, &around.pods).await;
            }
            faults.push(fault);
        }
        Ok(faults)
    }

    async fn good(&self, job: &Job) -> End {
        let (commit, digest) = (job.brief.revision.commit.clone(), job.brief.digest.clone());
        let told = self.told(&commit, GOOD, "");
        let replaced = std::sync::atomic::AtomicBool::new(false);
        let noted = self
            .amend(job, &|inventory| {
                // Another deployer may have brought something else meanwhile, of which nothing is known here.
                let is_other = inventory.render != digest || inventory.applying.is_some();
                replaced.store(is_other, std::sync::atomic::Ordering::Relaxed);
                if is_other {
                    return;
                }
                // The commit that was applied may be an older one, which asked for the same.
                inventory.verdict = Some(Told { commit: inventory.revision.commit.clone(), ..told.clone() });
                inventory.others.insert(GOOD_ENTRY.to_owned(), commit.clone());
            })
            .await;
        match noted {
            Ok(()) if replaced.into_inner() => {
                let why = "another deployer brought something else while this was watched".to_owned();
                End::Failed { why, again: false }
            }
            Ok(()) => End::Good,
            Err(why) => End::Failed { why, again: true },
        }
    }

    /// Takes back what is bad, where that may be done, and notes what became of it.
    async fn bad(&self, job: &Job, known: Option<&Inventory>, faults: Vec<Fault>, cancel: &Cancel) -> End {
        let hold = Hold {
            bad: job.brief.revision.clone(),
            render: job.brief.digest.clone(),
            reason: words::cause(&faults),
            since: self.clock.now(),
        };
        match self.good_commit(job, known).await {
            Ok(good) => self.take_back(job, &good, hold, faults, cancel).await,
            Err(then) => self.note_bad(job, &hold, faults, then).await,
        }
    }

    /// Goes on with what somebody began to take back and did not end.
    async fn take_back_again(&self, job: &Job, known: Option<&Inventory>, cancel: &Cancel) -> End {
        let Some((known, hold)) = known.and_then(|known| Some((known, known.held.clone()?))) else {
            return End::Nothing;
        };
        let faults = words::as_fault(job, &hold.reason);
        match last_good(known).map(str::to_owned) {
            Some(good) => self.take_back(job, &good, hold, faults, cancel).await,
            None => {
                let then = "left as it is: no earlier commit is known to be good".to_owned();
                self.note_bad(job, &hold, faults, then).await
            }
        }
    }

    async fn take_back(&self, job: &Job, good: &str, hold: Hold, faults: Vec<Fault>, cancel: &Cancel) -> End {
        let then = match self.roll_back(job, good, &hold, cancel).await {
            Ok(done) => done,
            Err(End::Stopped) => return End::Stopped,
            // It passes: no verdict is noted, so that whoever comes next, this one too, takes it back again.
            Err(End::Failed { why, again: true }) => {
                let why = format!("bad: {}; it could not be taken back yet: {why}", hold.reason);
                return End::Failed { why, again: true };
            }
            Err(end) => words::not_taken_back(&end),
        };
        self.note_bad(job, &hold, faults, then).await
    }

    /// The last thing that is noted of a bad rollout: who finds it knows that nothing is left to be done.
    async fn note_bad(&self, job: &Job, hold: &Hold, faults: Vec<Fault>, then: String) -> End {
        let told = self.told(&hold.bad.commit, BAD, &hold.reason);
        if let Err(why) = self.amend(job, &move |inventory| inventory.verdict = Some(told.clone())).await {
            tracing::warn!(app = job.brief.app, "the verdict could not be noted: {why}");
        }
        End::Bad { faults, then }
    }

    /// The commit to go back to; else why there is none, in words.
    async fn good_commit(&self, job: &Job, known: Option<&Inventory>) -> Result<String, String> {
        if !job.rollback {
            return Err("left as it is: this environment takes nothing back".into());
        }
        let Brief { namespace, app, env, .. } = &job.brief;
        let now = record::read(&self.cluster, namespace, app, env).await.map_err(|e| e.to_string())?;
        let good = now.as_ref().and_then(last_good).or_else(|| known.and_then(last_good));
        let Some(good) = good.filter(|good| *good != job.brief.revision.commit) else {
            return Err("left as it is: no earlier commit is known to be good".into());
        };
        let bars = now.as_ref().map(|i| i.irreversible(&job.brief.revision.commit)).unwrap_or_default();
        if bars.is_empty() {
            return Ok(good.to_owned());
        }
        Err(format!(
            "left as it is: the migration {} ran and is not declared reversible (kiban.dev/reversible)",
            bars.join(", ")
        ))
    }

    /// Applies the good render, holds the bad one back, and takes its change back in the repository.
    async fn roll_back(&self, job: &Job, good: &str, hold: &Hold, cancel: &Cancel) -> Result<String, End> {
        let cannot = |why: String| End::Failed { why, again: true };
        let app = &job.brief.app;
        let mut request = job.repository.request(app, good).await.map_err(cannot)?;
        request.hold = Some(hold.clone());
        self.tell(job, State::Applying { waiting: format!("the rollback to {}", words::short(good)) });
        let turn = self.turns.acquire().await;
        match self.apply(job, &request, cancel).await {
            Applied::Ready { .. } => {}
            // What was good is not any more: trying again mends nothing.
            Applied::Faults(faults) => {
                return Err(End::Failed { why: words::cause(&faults), again: false });
            }
            Applied::End(end) => return Err(end),
        }
        request.hold = None;
        let digest = request.digest();
        drop((turn, request));
        let (bad, cause) = (&hold.bad.commit, &hold.reason);
        let base = self.base(job, good, &digest).await;
        let reverted = job.repository.revert(Revert { app, bad, good: &base, cause }).await;
        Ok(match reverted {
            Ok(done) => format!("rolled back to {}; {done}", words::short(good)),
            Err(why) => {
                format!("rolled back to {}; its change stays in the repository: {why}", words::short(good))
            }
        })
    }

    /// The last commit before the bad one that asked for the good render: the files of the app go back to that,
    /// and what others changed in them since the good rollout stays.
    async fn base(&self, job: &Job, good: &str, digest: &str) -> String {
        if let Some(before) = &job.before
            && let Ok(request) = job.repository.request(&job.brief.app, before).await
            && request.digest() == digest
        {
            return before.clone();
        }
        good.to_owned()
    }

    fn told(&self, commit: &str, verdict: &str, cause: &str) -> Told {
        Told { commit: commit.into(), verdict: verdict.into(), cause: cause.into(), at: self.clock.now() }
    }

    async fn amend(&self, job: &Job, change: &(dyn Fn(&mut Inventory) + Sync)) -> Result<(), String> {
        let Brief { namespace, app, env, .. } = &job.brief;
        record::amend(&self.cluster, namespace, app, env, change).await.map(drop).map_err(|e| e.to_string())
    }

    fn tell(&self, job: &Job, state: State) {
        self.threads.report(&job.about, &job.brief.app, state);
    }
}

/// How an apply ended, for who goes on from it.
enum Applied {
    /// All is ready. Whether anything had to be written.
    Ready {
        wrote: bool,
    },
    Faults(Vec<Fault>),
    End(End),
}

/// A bad render that is still asked for.
fn held(known: Option<&Inventory>) -> End {
    match known.and_then(|known| known.held.as_ref()) {
        Some(hold) => held_by(hold),
        None => End::Nothing,
    }
}

fn held_by(hold: &Hold) -> End {
    End::Held { why: format!("held back since {}: {}", hold.since, hold.reason) }
}

fn failed(error: ApplyError) -> End {
    match error {
        ApplyError::Held { hold, .. } => held_by(&hold),
        error => {
            let why = words::of_error(&error);
            // What is wrong with the files stays wrong until somebody changes them.
            let again = !matches!(
                error,
                ApplyError::BadObject(_) | ApplyError::OutOfScope { .. } | ApplyError::Older { .. }
            );
            End::Failed { why, again }
        }
    }
}

/// What stands in the way without hope, and since when.
#[derive(Default)]
struct Stuck {
    objects: Mutex<BTreeMap<ObjectId, (tokio::time::Instant, Vec<Finding>)>>,
    changed: tokio::sync::Notify,
}

impl Stuck {
    fn see(&self, object: &ObjectId, findings: &[Finding]) {
        let is_stuck = findings.first().is_some_and(|f| f.gravity == Gravity::Stuck);
        if !is_stuck {
            return self.forget(object);
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let since = objects.get(object).map_or_else(tokio::time::Instant::now, |(since, _)| *since);
        objects.insert(object.clone(), (since, findings.to_vec()));
        drop(objects);
        self.changed.notify_one();
    }

    fn forget(&self, object: &ObjectId) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        self.changed.notify_one();
    }

    /// Ends once something has been in the way for that long.
    async fn for_as_long_as(&self, patience: Duration) {
        loop {
            let first = {
                let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
                objects.values().map(|(since, _)| *since).min()
            };
            match first {
                None => self.changed.notified().await,
                Some(since) if since.elapsed() >= patience => return,
                Some(since) => tokio::select! {
                    () = tokio::time::sleep_until(since + patience) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    fn faults(&self, report: &Report) -> Vec<Fault> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults: Vec<Fault> =
            objects.iter().filter_map(|(id, (_, findings))| words::fault(id, findings)).collect();
        if faults.is_empty() {
            faults = words::faults(report);
        }
        faults
    }
}
