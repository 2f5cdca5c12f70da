//! Starting containers: images, environment, runs, restarts.

use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::duration::format_go;

use super::{BACKOFF_LAST, End, Ended, Live, Running, STABLE, Step, Turn, Watch, backoff};
use crate::nodes::image;
use crate::nodes::script::{Part, ProbeKind, Pull, Role, Run};

impl Turn<'_> {
    fn part(&self, i: usize) -> Option<&Part> {
        self.script.parts.get(i)
    }

    pub(super) fn live(&mut self, i: usize) -> Option<&mut Live> {
        self.m.live.get_mut(i)
    }

    pub(super) fn set(&mut self, i: usize, step: Step) {
        if let Some(live) = self.live(i) {
            live.step = step;
        }
    }

    /// A duration of the machinery for a step of a container's current run.
    fn latency(&self, i: usize, step: &str, millis: std::ops::Range<u64>) -> Duration {
        let (name, run) = (self.part(i).map_or("", |p| &p.name), self.m.live.get(i).map_or(0, |l| l.run));
        self.timing.latency(&format!("{}/{name}/{run}/{step}", self.script.uid), millis)
    }

    fn is_missing(&self, i: usize, t: Timestamp) -> bool {
        let missing = self.part(i).and_then(|p| p.missing);
        missing.is_some_and(|span| span.is_none_or(|s| t < self.m.start + self.timing.asked(s)))
    }

    /// Begins a run: the image first.
    pub(super) fn start(&mut self, i: usize, t: Timestamp) {
        let Some(part) = self.part(i) else { return };
        let (image, policy, asked) = (part.image.clone(), part.pull, part.pull_for);
        let here = self.world.has_image(&image);
        let pulls =
            self.is_missing(i, t) || policy == Pull::Always || (policy == Pull::IfNotPresent && !here);
        if !pulls {
            let text = format!(
                "Container image \"{image}\" already present on machine and can be accessed by the pod"
            );
            self.note(false, "Pulled", text, Some(i));
            return self.check_environment(i, t);
        }
        self.note(false, "Pulling", format!("Pulling image \"{image}\""), Some(i));
        let millis = if here || self.is_missing(i, t) { 300..1_500 } else { 1_000..5_000 };
        let took = asked.map_or_else(|| self.latency(i, "pull", millis), |d| self.timing.asked(d));
        self.set(i, Step::Pull { since: t, done: t + took });
    }

    /// A fetch is over.
    pub(super) fn pulled(&mut self, i: usize, since: Timestamp, t: Timestamp) {
        let Some(image) = self.part(i).map(|p| p.image.clone()) else { return };
        if self.is_missing(i, t) {
            return self.pull_failed(i, &image, t);
        }
        self.world.keep_image(&image);
        if let Some(live) = self.live(i) {
            live.pulls = 0;
        }
        let took = t.since(since);
        let took = format_go(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(0).max(1)));
        let size = image::size(&image);
        let text = format!(
            "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {size} bytes."
        );
        self.note(false, "Pulled", text, Some(i));
        self.check_environment(i, t);
    }

    fn pull_failed(&mut self, i: usize, image: &str, t: Timestamp) {
        let Some(live) = self.live(i) else { return };
        live.pulls = live.pulls.saturating_add(1);
        let pulls = live.pulls;
        let full = image::full_name(image);
        let message = format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\": {full}: not found"
        );
        self.note(true, "Failed", format!("Failed to pull image \"{image}\": {message}"), Some(i));
        self.note(true, "Failed", "Error: ErrImagePull".to_owned(), Some(i));
        let retry = t + self.timing.backoff(backoff(pulls, self.timing.fast));
        let next = (t + self.latency(i, "sync", 1_000..3_000)).min(retry);
        self.set(i, Step::PullFailed { message, next, retry });
    }

    pub(super) fn hold_pull(&mut self, i: usize, message: String, retry: Timestamp) {
        let image = self.part(i).map_or_else(String::new, |p| p.image.clone());
        self.note(false, "BackOff", format!("Back-off pulling image \"{image}\""), Some(i));
        self.note(true, "Failed", "Error: ImagePullBackOff".to_owned(), Some(i));
        self.set(i, Step::PullHeld { message, retry });
    }

    /// The image is here: looks whether the environment is, too.
    pub(super) fn check_environment(&mut self, i: usize, t: Timestamp) {
        let Some(part) = self.script.parts.get(i) else { return };
        match self.world.check(&part.needs) {
            Ok(()) => self.create(i, t),
            Err(message) => {
                self.note(true, "Failed", format!("Error: {message}"), Some(i));
                let wait = self.latency(i, "sync", 10_000..15_000);
                let retry = (!self.timing.fast).then(|| t + wait);
                self.set(i, Step::Held { message, retry });
            }
        }
    }

    pub(super) fn create(&mut self, i: usize, t: Timestamp) {
        let took = self.latency(i, "create", 300..1_200);
        self.set(i, Step::Create { done: t + took });
    }

    /// The container starts.
    pub(super) fn run(&mut self, i: usize, t: Timestamp) {
        self.note(false, "Created", "Container created".to_owned(), Some(i));
        self.note(false, "Started", "Container started".to_owned(), Some(i));
        let Some(part) = self.script.parts.get(i) else { return };
        let running = running(part, t, self.timing.fast);
        let Some(live) = self.live(i) else { return };
        live.run += u32::from(live.ran);
        live.ran = true;
        live.step = Step::Run(running);
        self.begin(i, t);
    }

    /// A run is over.
    pub(super) fn end(&mut self, i: usize, running: &Running, end: &End) {
        let Some(part) = self.script.parts.get(i) else { return };
        let restarts = !self.m.is_stopping()
            && part.restart.after(end.exit)
            && !(part.role == Role::Init && end.exit == 0);
        let wait = self.latency(i, "sync", 500..1_500);
        let Some(live) = self.live(i) else { return };
        if end.at.since(running.since) >= STABLE {
            live.level = 0;
        }
        let run = Ended {
            run: live.run,
            exit: end.exit,
            reason: end.reason.into(),
            since: running.since,
            at: end.at,
        };
        live.step = Step::Ended { run, next: restarts.then(|| end.at + wait) };
    }

    /// A container that ended is to run again: the first time at once, then after a back-off.
    pub(super) fn again(&mut self, i: usize, ended: Ended, t: Timestamp) {
        let (fast, name) = (self.timing.fast, self.part(i).map_or_else(String::new, |p| p.name.clone()));
        let Some(live) = self.live(i) else { return };
        let level = live.level;
        live.level = live.level.saturating_add(1);
        let at = ended.at;
        live.last = Some(ended);
        if level == 0 {
            return self.start(i, t);
        }
        let wait = backoff(level, fast);
        let retry = (at + self.timing.backoff(wait)).max(t);
        self.set(i, Step::CrashLoop { wait: wait.min(BACKOFF_LAST), retry });
        let text = format!("Back-off restarting failed container {name} in pod {}", self.script.full_name);
        self.note(true, "BackOff", text, Some(i));
    }
}

/// A container that runs since `since`.
pub(super) fn running(part: &Part, since: Timestamp, fast: bool) -> Running {
    let end = match part.run {
        Run::Forever => None,
        Run::Ends { after, exit, oom } => {
            let reason = if oom { "OOMKilled" } else { reason_of(exit) };
            // A program takes a moment even to do nothing.
            let least = Duration::from_millis(if fast { 5 } else { 50 });
            Some(End { at: since + after.max(least), exit, reason })
        }
    };
    let has = |kind: ProbeKind| part.probes.get(kind as usize).is_some_and(Option::is_some);
    let startup = has(ProbeKind::Startup);
    let held = has(ProbeKind::Readiness) || !part.slow.is_zero() || part.unready;
    let mut running = Running {
        since,
        started: !startup,
        ready: !startup && !held,
        stopping: false,
        end,
        watches: [None; 3],
    };
    if startup {
        running.watches[ProbeKind::Startup as usize] = Some(Watch::at(since));
    }
    running
}

/// What a container's end is called.
pub(super) fn reason_of(exit: i64) -> &'static str {
    if exit == 0 { "Completed" } else { "Error" }
}
