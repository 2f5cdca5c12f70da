//! The life of a pod on its node, as a state machine on a clock that others hold.
//!
//! ```text
//!   Volumes ──► Sandbox ──► Running ──► Stopping ──► Over
//!                              │ each container: Idle ► Pull ► Create ► Run ► Ended ─┐
//!                              │                  ▲     └► PullFailed ► PullHeld      │
//!                              └                  └──────────── CrashLoop ◄──────────┘
//! ```
//!
//! [`Machine::advance`] goes through every step that is due by `now`, at the time at which each was due,
//! so that one look after an hour ends where a look every second does. It writes nothing: it returns what
//! a kubelet would record as Events, and [`super::status`] prints what it would report.
//!
//! Contract: Kubernetes pkg/kubelet (kuberuntime, images, prober, status).

mod probes;
mod restore;
mod start;
mod stop;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use kiban_base::clock::Timestamp;

use super::needs::Need;
use super::script::{Role, Script};
use super::timing::Timing;
pub use probes::Watch;

/// Steps in one call; a pod that still has more is called again.
const STEPS: usize = 1_000;

/// First and last back-off of failing containers and image pulls (`MaxContainerBackOff`).
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_LAST: Duration = Duration::from_secs(300);

/// In fast mode back-offs go on doubling to an hour, which is 3.6 s there, or a handful of broken pods
/// would be most of the load.
const BACKOFF_LAST_FAST: Duration = Duration::from_secs(3_600);

/// A container that ran this long starts from the first back-off again.
const STABLE: Duration = Duration::from_secs(600);

/// First and last wait before volumes are mounted again.
const MOUNT_FIRST: Duration = Duration::from_millis(500);
const MOUNT_LAST: Duration = Duration::from_secs(122);

/// What the machine asks of its surroundings.
pub trait World {
    /// Whether all needs are met, or the first that is not.
    ///
    /// # Errors
    /// What is wrong, in the kubelet's words.
    fn check(&mut self, needs: &[Need]) -> Result<(), String>;

    /// The pod's address, for texts.
    fn address(&self) -> String;

    /// The node has the image.
    fn has_image(&self, image: &str) -> bool;

    /// The node has fetched the image.
    fn keep_image(&mut self, image: &str);
}

/// An Event to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// Its reason.
    pub reason: &'static str,
    /// Its text.
    pub message: String,
    /// The container that it is about.
    pub part: Option<usize>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which run it was, from zero.
    pub run: u32,
    /// Exit code.
    pub exit: i64,
    /// `Completed`, `Error`, `OOMKilled`.
    pub reason: Cow<'static, str>,
    /// Its start.
    pub since: Timestamp,
    /// Its end.
    pub at: Timestamp,
}

/// A planned end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Exit code.
    pub exit: i64,
    /// `Completed`, `Error`, `OOMKilled`.
    pub reason: &'static str,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Since when.
    pub since: Timestamp,
    /// Its startup probe has passed.
    pub started: bool,
    /// Its readiness probe passes.
    pub ready: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// When and how it ends.
    pub end: Option<End>,
    /// Probes whose next verdict can change something.
    pub watches: [Option<Watch>; 3],
}

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Not its turn yet.
    Idle,
    /// Its image is being fetched.
    Pull {
        /// Since when.
        since: Timestamp,
        /// Until when.
        done: Timestamp,
    },
    /// The fetch failed just now.
    PullFailed {
        /// Why.
        message: String,
        /// When the back-off shows.
        next: Timestamp,
        /// When it is tried again.
        retry: Timestamp,
    },
    /// Waits before the next fetch.
    PullHeld {
        /// What went wrong.
        message: String,
        /// Until when.
        retry: Timestamp,
    },
    /// Something that its environment refers to is missing.
    Held {
        /// What.
        message: String,
        /// When it is tried again, though nothing changes.
        retry: Option<Timestamp>,
    },
    /// It is being created and started.
    Create {
        /// Until when.
        done: Timestamp,
    },
    /// It runs.
    Run(Running),
    /// It ended; `next` is when the kubelet acts on that.
    Ended {
        /// The run.
        run: Ended,
        /// When it is looked at again, where it runs again.
        next: Option<Timestamp>,
    },
    /// It waits before it runs again.
    CrashLoop {
        /// The back-off as it is told.
        wait: Duration,
        /// Until when.
        retry: Timestamp,
    },
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Where it is.
    pub step: Step,
    /// The number of its run; the same as its restart count.
    pub run: u32,
    /// It has run.
    pub ran: bool,
    /// The run before the current one.
    pub last: Option<Ended>,
    /// Back-offs so far.
    level: u32,
    /// Fetches that failed in a row.
    pulls: u32,
}

impl Live {
    fn new() -> Self {
        Self { step: Step::Idle, run: 0, ran: false, last: None, level: 0, pulls: 0 }
    }

    /// The run, where the container runs.
    pub fn running(&self) -> Option<&Running> {
        if let Step::Run(running) = &self.step { Some(running) } else { None }
    }

    /// The run that the container ended with, unless it runs or waits to.
    pub fn ended(&self) -> Option<&Ended> {
        if let Step::Ended { run, .. } = &self.step { Some(run) } else { None }
    }

    fn due(&self, stopping: bool) -> Option<Timestamp> {
        match &self.step {
            Step::Run(r) if stopping => r.end.as_ref().map(|e| e.at),
            _ if stopping => None,
            Step::Idle => None,
            Step::Pull { done, .. } | Step::Create { done } => Some(*done),
            Step::PullFailed { next, .. } => Some(*next),
            Step::PullHeld { retry, .. } | Step::CrashLoop { retry, .. } => Some(*retry),
            Step::Held { retry, .. } => *retry,
            Step::Ended { next, .. } => *next,
            Step::Run(r) => {
                let watches = r.watches.iter().flatten().map(|w| w.next);
                watches.chain(r.end.as_ref().map(|e| e.at)).min()
            }
        }
    }
}

/// Why a pod's containers are being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was deleted.
    Deleted,
    /// It ran longer than it may.
    Deadline,
    /// All its containers ended by themselves.
    Complete,
}

/// Where a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its volumes are being mounted.
    Volumes {
        /// When to try again, though nothing changes.
        retry: Option<Timestamp>,
        /// The wait after that.
        wait: Duration,
    },
    /// Its network is being made.
    Sandbox {
        /// Until when.
        done: Timestamp,
    },
    /// Its containers have their life.
    Running,
    /// Its containers are being stopped.
    Stopping {
        /// Why.
        why: Why,
        /// When they are killed.
        deadline: Timestamp,
    },
    /// Nothing runs any more, and by this time all is cleaned up.
    Over {
        /// When.
        at: Timestamp,
    },
}

/// A pod's life on its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// When the kubelet took it.
    pub start: Timestamp,
    /// Where it is.
    pub stage: Stage,
    /// Its containers, in the script's order.
    pub live: Vec<Live>,
    /// The kubelet ended it: reason and message of its status.
    pub verdict: Option<(&'static str, &'static str)>,
}

impl Machine {
    /// A pod that was just bound.
    pub fn new(script: &Script, now: Timestamp) -> Self {
        Self {
            start: now,
            stage: Stage::Volumes { retry: Some(now), wait: MOUNT_FIRST },
            live: script.parts.iter().map(|_| Live::new()).collect(),
            verdict: None,
        }
    }

    /// Its network is up.
    pub fn has_sandbox(&self) -> bool {
        match self.stage {
            Stage::Volumes { .. } | Stage::Sandbox { .. } => false,
            Stage::Running => true,
            Stage::Stopping { .. } | Stage::Over { .. } => self.live.iter().any(|l| l.ran),
        }
    }

    /// Nothing runs any more and all is cleaned up.
    pub fn is_over(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Over { at } if at <= now)
    }

    /// Its containers are being stopped because it is deleted.
    pub fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. })
    }

    /// The status tells all there is to know: [`Machine::restore`] makes the same machine of it.
    pub fn is_settled(&self, script: &Script) -> bool {
        let settled = |l: &Live| matches!(l.step, Step::Run(_) | Step::Ended { .. });
        let staged = matches!(self.stage, Stage::Running | Stage::Over { .. });
        self.due(script).is_none() && staged && self.live.iter().all(settled)
    }

    /// When the next step is due.
    pub fn due(&self, script: &Script) -> Option<Timestamp> {
        let stopping = self.is_stopping();
        let staged = match self.stage {
            Stage::Volumes { retry, .. } => retry,
            Stage::Sandbox { done } => Some(done),
            Stage::Over { .. } => return None,
            Stage::Running | Stage::Stopping { .. } => None,
        };
        let containers = self.live.iter().filter_map(|l| l.due(stopping));
        let limit = script.deadline.filter(|_| !stopping && self.verdict.is_none()).map(|d| self.start + d);
        containers.chain(staged).chain(limit).min()
    }

    /// Takes every step that is due by `now`; `stop` is the grace that a deleted pod has left.
    pub fn advance(
        &mut self,
        script: &Script,
        timing: Timing,
        world: &mut dyn World,
        stop: Option<Duration>,
        now: Timestamp,
    ) -> Vec<Note> {
        // `kubectl debug` adds containers to pods that run.
        while self.live.len() < script.parts.len() {
            self.live.push(Live::new());
        }
        let mut turn = Turn { m: self, script, timing, world, notes: Vec::new() };
        turn.run_until(now);
        turn.poke(now);
        if let Some(grace) = stop {
            turn.stop_pod(Why::Deleted, grace, now);
        }
        turn.run_until(now);
        turn.notes
    }
}

/// One call of [`Machine::advance`].
struct Turn<'a> {
    m: &'a mut Machine,
    script: &'a Script,
    timing: Timing,
    world: &'a mut dyn World,
    notes: Vec<Note>,
}

impl Turn<'_> {
    fn run_until(&mut self, now: Timestamp) {
        for _ in 0..STEPS {
            let due = self.m.due(self.script);
            match due.filter(|d| *d <= now) {
                Some(due) => self.fire(due),
                None => return,
            }
            self.settle(due.unwrap_or(now));
        }
    }

    /// What may have changed outside: objects that were missing, annotations.
    fn poke(&mut self, now: Timestamp) {
        match self.m.stage {
            Stage::Volumes { .. } if self.world.check(&self.script.volumes).is_ok() => self.mount(now),
            Stage::Running => {
                for i in 0..self.m.live.len() {
                    let Some(part) = self.script.parts.get(i) else { continue };
                    match self.m.live.get(i).map(|l| &l.step) {
                        Some(Step::Held { .. }) if self.world.check(&part.needs).is_ok() => {
                            self.create(i, now)
                        }
                        Some(Step::PullFailed { .. } | Step::PullHeld { .. }) if part.missing.is_none() => {
                            self.start(i, now);
                        }
                        Some(Step::Run(_)) => self.review(i, now),
                        _ => {}
                    }
                }
                self.settle(now);
            }
            _ => {}
        }
    }

    fn fire(&mut self, t: Timestamp) {
        match self.m.stage {
            Stage::Volumes { retry, .. } if retry == Some(t) => return self.mount(t),
            Stage::Sandbox { done } if done == t => {
                self.m.stage = Stage::Running;
                return;
            }
            _ => {}
        }
        let stopping = self.m.is_stopping();
        if let Some(i) = self.m.live.iter().position(|l| l.due(stopping) == Some(t)) {
            self.fire_part(i, t);
        } else if self.script.deadline.is_some() {
            let text = "Pod was active on the node longer than the specified deadline";
            self.note(false, "DeadlineExceeded", text.to_owned(), None);
            self.m.verdict = Some(("DeadlineExceeded", text));
            self.stop_pod(Why::Deadline, self.script.grace, t);
        }
    }

    fn fire_part(&mut self, i: usize, t: Timestamp) {
        let Some(live) = self.m.live.get_mut(i) else { return };
        match live.step.clone() {
            Step::Pull { since, .. } => self.pulled(i, since, t),
            Step::PullFailed { message, retry, .. } => self.hold_pull(i, message, retry),
            Step::PullHeld { .. } => self.start(i, t),
            Step::Held { .. } => self.check_environment(i, t),
            Step::Create { .. } => self.run(i, t),
            Step::Run(running) => match &running.end {
                Some(end) if end.at <= t => self.end(i, &running, end),
                _ => self.probe(i, t),
            },
            Step::Ended { run, .. } => self.again(i, run, t),
            Step::CrashLoop { .. } => self.start(i, t),
            Step::Idle => {}
        }
    }

    fn mount(&mut self, t: Timestamp) {
        let Stage::Volumes { wait, .. } = self.m.stage else { return };
        match self.world.check(&self.script.volumes) {
            Ok(()) => {
                let took = self.timing.latency(&format!("{}/sandbox", self.script.uid), 300..1_200);
                self.m.stage = Stage::Sandbox { done: t + took };
            }
            Err(message) => {
                self.note(true, "FailedMount", message, None);
                // In fast mode nothing is looked at again before something changes.
                let retry = (!self.timing.fast).then(|| t + wait);
                self.m.stage = Stage::Volumes { retry, wait: wait.saturating_mul(2).min(MOUNT_LAST) };
            }
        }
    }

    /// Starts what can start at `t`, and notices when nothing is left to do.
    fn settle(&mut self, t: Timestamp) {
        let running = self.m.stage == Stage::Running;
        if running && self.start_next(t) {
            self.complete(t);
        } else if self.m.is_stopping() {
            self.stop_next(t);
        }
    }

    /// Starts containers in their order; says whether the turn of the main ones has come or the pod
    /// failed before.
    fn start_next(&mut self, t: Timestamp) -> bool {
        for (i, part) in self.script.parts.iter().enumerate() {
            let Some(live) = self.m.live.get(i) else { continue };
            let is_idle = live.step == Step::Idle;
            let passed = match part.role {
                Role::Main | Role::Ephemeral => true,
                Role::Init => live.ended().is_some_and(|e| e.exit == 0),
                Role::Sidecar => live.running().is_some_and(|r| r.started),
            };
            let failed = part.role == Role::Init
                && live.ended().is_some_and(|e| !part.restart.after(e.exit) && e.exit != 0);
            if is_idle {
                self.start(i, t);
            }
            if failed {
                return true;
            }
            if !passed {
                return false;
            }
        }
        true
    }

    /// Ends the pod when all its containers have ended for good.
    fn complete(&mut self, t: Timestamp) {
        let gone = |i: usize, role: Role| {
            let (Some(part), Some(live)) = (self.script.parts.get(i), self.m.live.get(i)) else {
                return false;
            };
            part.role == role && live.ended().is_some_and(|e| !part.restart.after(e.exit))
        };
        let count = self.script.parts.len();
        let failed_init = (0..count).any(|i| {
            gone(i, Role::Init) && self.m.live.get(i).and_then(Live::ended).is_some_and(|e| e.exit != 0)
        });
        let mains = (0..count).filter(|i| self.script.parts.get(*i).is_some_and(|p| p.role == Role::Main));
        let all_main = mains.clone().count() > 0 && mains.clone().all(|i| gone(i, Role::Main));
        if failed_init || all_main {
            self.stop_pod(Why::Complete, self.script.grace, t);
        }
    }

    fn note(&mut self, warning: bool, reason: &'static str, message: String, part: Option<usize>) {
        self.notes.push(Note { warning, reason, message, part });
    }
}

/// The nth back-off, from one.
fn backoff(level: u32, fast: bool) -> Duration {
    let last = if fast { BACKOFF_LAST_FAST } else { BACKOFF_LAST };
    BACKOFF_FIRST.saturating_mul(1 << level.saturating_sub(1).min(16)).min(last)
}
