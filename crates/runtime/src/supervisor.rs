//! The supervisor: builds and runs components, starts anew what failed, switches them, ends them in order.
//!
//! Each component has one task that watches over it. A panic, an error or a return of its work ends nothing
//! but itself: it is built anew after a pause that doubles. Its routes answer 503 meanwhile.

mod life;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiban_base::clock::Clock;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::component::{Component, Context, Failure};
use crate::cpu::Pool;
use crate::metrics::{CounterVec, GaugeVec, Registry};
use crate::readiness::{self, Readiness};
use crate::router::Router;
use crate::shutdown::{self, Trigger};

/// What all components share.
#[derive(Clone)]
pub struct Base {
    /// Where metrics are registered.
    pub metrics: Registry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Seed of all randomness.
    pub seed: u64,
    /// The data folder, below which each component has its own.
    pub data: Option<PathBuf>,
    /// The CPU pool.
    pub cpu: Pool,
}

/// Where in its life a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It is being built.
    Starting,
    /// It works.
    Running,
    /// It failed, and is built anew soon.
    Waiting {
        /// Why it failed.
        why: String,
    },
    /// It puts its work in order.
    Draining,
    /// It is gone.
    Ended,
}

impl Phase {
    /// A word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting { .. } => "failed",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }
}

/// What a component is doing.
#[derive(Debug, Clone)]
pub struct State {
    /// Its name.
    pub name: &'static str,
    /// Where in its life it is.
    pub phase: Phase,
    /// Whether it says that it is ready; never before it works.
    pub readiness: readiness::State,
    /// Whether it was ready once since it was switched on.
    pub came_up: bool,
    /// How often it was built anew.
    pub restarts: u64,
}

/// What the task of a component and its onlookers share.
#[derive(Clone)]
struct Status(Arc<Mutex<Inner>>);

struct Inner {
    phase: Phase,
    readiness: Readiness,
    came_up: bool,
    restarts: u64,
}

impl Status {
    fn new(readiness: Readiness) -> Self {
        let inner = Inner { phase: Phase::Starting, readiness, came_up: false, restarts: 0 };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn phase(&self, phase: Phase) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &phase {
            Phase::Waiting { why } => {
                inner.restarts += 1;
                inner.readiness.unset(format!("failed: {why}"));
            }
            Phase::Starting => inner.readiness.unset("starting"),
            Phase::Draining | Phase::Ended => inner.readiness.unset("ending"),
            Phase::Running => {}
        }
        inner.phase = phase;
    }

    fn state(&self, name: &'static str) -> State {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let readiness = inner.readiness.state();
        inner.came_up |= inner.phase == Phase::Running && readiness == readiness::State::Ready;
        let (phase, came_up, restarts) = (inner.phase.clone(), inner.came_up, inner.restarts);
        State { name, phase, readiness, came_up, restarts }
    }
}

/// A component that is switched on.
struct Member {
    component: Arc<dyn Component>,
    settings: String,
    status: Status,
    trigger: Trigger,
    task: JoinHandle<()>,
}

/// What a change of the list did, by names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Switched on.
    pub on: Vec<&'static str>,
    /// Switched off.
    pub off: Vec<&'static str>,
    /// Started anew, with other settings.
    pub anew: Vec<&'static str>,
}

/// Runs components.
pub struct Supervisor {
    base: Base,
    router: Router,
    metrics: Metrics,
    members: tokio::sync::Mutex<Vec<Member>>,
    /// The same, for who only looks and must not wait.
    seen: Mutex<Vec<(&'static str, Status)>>,
}

#[derive(Clone)]
struct Metrics {
    failures: CounterVec,
    up: GaugeVec,
    forced: CounterVec,
}

impl Metrics {
    fn of(registry: &Registry) -> Self {
        Self {
            failures: registry.counter_vec(
                "kiban_component_failures_total",
                "Times that a component failed and was built anew, by how it failed.",
                &["component", "how"],
            ),
            up: registry.gauge_vec(
                "kiban_component_up",
                "Whether a component that is switched on works (1) or not (0).",
                &["component"],
            ),
            forced: registry.counter_vec(
                "kiban_component_forced_ends_total",
                "Times that a component did not come to order in time and was cut off.",
                &["component"],
            ),
        }
    }
}

impl Supervisor {
    /// A supervisor of nothing yet.
    pub fn new(base: Base, router: Router) -> Self {
        let metrics = Metrics::of(&base.metrics);
        Self { base, router, metrics, members: tokio::sync::Mutex::default(), seen: Mutex::default() }
    }

    /// Makes `wanted` what runs: switches off what is not in it (the last first), on what is new (in order),
    /// and starts anew what has other settings.
    pub async fn apply(&self, wanted: Vec<Arc<dyn Component>>) -> Changes {
        let mut members = self.members.lock().await;
        let mut changes = Changes::default();
        let settings_of = |name: &str| wanted.iter().find(|c| c.name() == name).map(|c| c.settings());
        let mut index = members.len();
        while index > 0 {
            index -= 1;
            let Some(member) = members.get(index) else { continue };
            let name = member.component.name();
            match settings_of(name) {
                Some(settings) if settings == member.settings => continue,
                Some(_) => changes.anew.push(name),
                None => changes.off.push(name),
            }
            let member = members.remove(index);
            self.end(member, None).await;
            self.show(&members);
        }
        let mut running: Vec<Option<Member>> = members.drain(..).map(Some).collect();
        for component in wanted {
            let name = component.name();
            let same = |m: &&mut Option<Member>| m.as_ref().is_some_and(|m| m.component.name() == name);
            if let Some(member) = running.iter_mut().find(same).and_then(Option::take) {
                members.push(member);
            } else if !members.iter().any(|member| member.component.name() == name) {
                if !changes.anew.contains(&name) {
                    changes.on.push(name);
                }
                members.push(self.begin(component));
            }
        }
        self.show(&members);
        changes
    }

    /// What each component that is on is doing, in order.
    pub fn states(&self) -> Vec<State> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().map(|(name, status)| status.state(name)).collect()
    }

    /// Ends all, the last first, each within its own time and all before `until`. Gives back the names of
    /// those that had to be cut off.
    pub async fn drain(&self, until: Instant) -> Vec<&'static str> {
        let mut members = self.members.lock().await;
        let mut forced = Vec::new();
        while let Some(member) = members.pop() {
            let name = member.component.name();
            if !self.end(member, Some(until)).await {
                forced.push(name);
            }
        }
        forced
    }

    fn show(&self, members: &[Member]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = members.iter().map(|m| (m.component.name(), m.status.clone())).collect();
    }

    fn begin(&self, component: Arc<dyn Component>) -> Member {
        let (trigger, shutdown) = shutdown::channel();
        let mut context = Context::new(component.name(), self.base.clock.clone(), self.base.cpu.clone());
        context.metrics = self.base.metrics.scope();
        context.seed = self.base.seed;
        context.data = self.base.data.as_ref().map(|data| data.join(component.name()));
        let status = Status::new(context.readiness.clone());
        let life = life::Life {
            component: component.clone(),
            context,
            router: self.router.clone(),
            status: status.clone(),
            metrics: self.metrics.clone(),
        };
        let settings = component.settings();
        let task = tokio::spawn(life.live(shutdown));
        Member { component, settings, status, trigger, task }
    }

    /// Ends one. False: it was cut off.
    async fn end(&self, member: Member, until: Option<Instant>) -> bool {
        let name = member.component.name();
        let drain = member.component.drain();
        tracing::info!(component = name, "switching off");
        member.status.phase(Phase::Draining);
        let began = Instant::now();
        member.trigger.fire();
        let at = until.map_or(began + drain, |until| until.min(began + drain));
        let mut task = member.task;
        let in_time = tokio::time::timeout_at(at, &mut task).await.is_ok();
        if !in_time {
            task.abort();
            self.metrics.forced.with(&[name]).inc();
            let after = kiban_base::duration::format(began.elapsed());
            tracing::error!(component = name, after, "did not come to order in time, and was cut off");
        }
        self.router.remove(name);
        self.metrics.up.remove(&[name]);
        member.status.phase(Phase::Ended);
        in_time
    }
}

/// The longest that a component may take to be built.
const BUILD: Duration = Duration::from_secs(60);

/// The pause after the first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A component that worked this long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(600);

/// How one life of a component ended.
enum End {
    /// As it was told to.
    Told,
    /// By itself: a word for how, and why.
    Failed(&'static str, Failure),
}
