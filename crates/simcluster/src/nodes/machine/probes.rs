//! Probes: when a container counts as started, alive and ready.
//!
//! A fake container is healthy from its start, unless its pod says how slow it is. Only probes whose next
//! verdict can change something are simulated: a container that is ready costs nothing.

use std::time::Duration;

use kiban_base::clock::Timestamp;

use super::{Running, Step, Turn};
use crate::nodes::script::{Part, Probe, ProbeKind, Target};

/// Failures of one probe in a row that are recorded one by one; later ones only now and then, as client-go's
/// spam filter lets them through.
const TOLD: u32 = 20;
const TOLD_LATER: u32 = 30;

/// A probe that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// When it is made next.
    pub next: Timestamp,
    passes: u32,
    failures: u32,
}

impl Watch {
    pub(super) fn at(next: Timestamp) -> Self {
        Self { next, passes: 0, failures: 0 }
    }
}

impl Turn<'_> {
    fn running(&self, i: usize) -> Option<&Running> {
        self.m.live.get(i).and_then(|l| l.running())
    }

    fn running_mut(&mut self, i: usize) -> Option<&mut Running> {
        match self.m.live.get_mut(i).map(|l| &mut l.step) {
            Some(Step::Run(running)) => Some(running),
            _ => None,
        }
    }

    /// Sets up the probes that matter now: at the start, after a pass, when annotations changed.
    pub(super) fn review(&mut self, i: usize, t: Timestamp) {
        let (Some(part), Some(running)) = (self.script.parts.get(i), self.running(i).cloned()) else {
            return;
        };
        if running.stopping {
            return;
        }
        let slow_until = running.since + self.timing.asked(part.slow);
        for kind in ProbeKind::ALL {
            let wanted = match kind {
                ProbeKind::Startup => !running.started,
                ProbeKind::Liveness => running.started && t < slow_until,
                ProbeKind::Readiness => running.started && !running.ready,
            };
            let armed = running.watches.get(kind as usize).copied().flatten().is_some();
            let Some(probe) = probe_of(part, kind).filter(|_| wanted && !armed) else { continue };
            // What cannot pass is not asked again and again in fast mode; a change of the pod asks.
            if kind == ProbeKind::Readiness && part.unready && self.timing.fast {
                continue;
            }
            let first = (running.since + self.first_delay(part, &probe)).max(t);
            self.arm(i, kind, Some(Watch::at(first)));
        }
        if running.ready && part.unready {
            if let Some(running) = self.running_mut(i) {
                running.ready = false;
            }
            self.unhealthy(i, ProbeKind::Readiness, false);
        }
    }

    /// Reviews a container that has just started, and tells once that it says it is not ready where nothing
    /// will probe it.
    pub(super) fn begin(&mut self, i: usize, t: Timestamp) {
        let unready = self.script.parts.get(i).is_some_and(|p| p.unready);
        if self.timing.fast && unready && self.running(i).is_some_and(|r| r.started) {
            self.unhealthy(i, ProbeKind::Readiness, false);
        }
        self.review(i, t);
    }

    /// Wait before the first probe: the first tick of its period after the initial delay.
    fn first_delay(&self, part: &Part, probe: &Probe) -> Duration {
        if self.timing.fast {
            return if part.slow.is_zero() { Duration::ZERO } else { self.timing.asked(probe.delay) };
        }
        let ticks = probe.delay.as_millis().div_ceil(probe.period.as_millis().max(1));
        probe.period.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    fn arm(&mut self, i: usize, kind: ProbeKind, watch: Option<Watch>) {
        if let Some(slot) = self.running_mut(i).and_then(|r| r.watches.get_mut(kind as usize)) {
            *slot = watch;
        }
    }

    /// Makes the probes of a container that are due.
    pub(super) fn probe(&mut self, i: usize, t: Timestamp) {
        for kind in ProbeKind::ALL {
            let watch = self.running(i).and_then(|r| r.watches.get(kind as usize).copied().flatten());
            let Some(watch) = watch.filter(|w| w.next <= t) else { continue };
            let Some(part) = self.script.parts.get(i) else { continue };
            let Some(probe) = probe_of(part, kind) else {
                self.arm(i, kind, None);
                continue;
            };
            let warm = self.running(i).is_some_and(|r| t >= r.since + self.timing.asked(part.slow));
            if warm && !(kind == ProbeKind::Readiness && part.unready) {
                self.passed(i, kind, &probe, watch, t);
            } else {
                self.failed(i, kind, &probe, watch, t);
            }
        }
    }

    fn passed(&mut self, i: usize, kind: ProbeKind, probe: &Probe, watch: Watch, t: Timestamp) {
        let passes = watch.passes + 1;
        if passes < probe.passes {
            let next = t + self.timing.asked(probe.period);
            return self.arm(i, kind, Some(Watch { next, passes, failures: 0 }));
        }
        self.arm(i, kind, None);
        let holds = self.script.parts.get(i).is_some_and(|p| probe_of(p, ProbeKind::Readiness).is_some());
        if let Some(running) = self.running_mut(i) {
            match kind {
                ProbeKind::Startup => {
                    running.started = true;
                    running.ready = !holds;
                }
                ProbeKind::Readiness => running.ready = true,
                ProbeKind::Liveness => {}
            }
        }
        if kind == ProbeKind::Startup { self.begin(i, t) } else { self.review(i, t) }
    }

    fn failed(&mut self, i: usize, kind: ProbeKind, probe: &Probe, watch: Watch, t: Timestamp) {
        let failures = watch.failures.saturating_add(1);
        if failures <= TOLD || failures.is_multiple_of(TOLD_LATER) {
            self.unhealthy(i, kind, true);
        }
        let period = self.timing.asked(probe.period).max(Duration::from_millis(1));
        let next = Watch { next: t + period, passes: 0, failures };
        let unready = self.script.parts.get(i).is_some_and(|p| p.unready);
        let rests = self.timing.fast && kind == ProbeKind::Readiness && unready;
        self.arm(i, kind, (!rests).then_some(next));
        if failures < probe.failures {
            return;
        }
        if kind == ProbeKind::Readiness {
            if let Some(running) = self.running_mut(i) {
                running.ready = false;
            }
            return;
        }
        let name = self.script.parts.get(i).map_or("", |p| &p.name);
        let text = format!("Container {name} failed {} probe, will be restarted", kind.names().1);
        self.note(false, "Killing", text, Some(i));
        self.kill(i, self.script.grace, t);
    }

    fn unhealthy(&mut self, i: usize, kind: ProbeKind, starting: bool) {
        // A hold without a probe of the pod's own is silent.
        let part = self.script.parts.get(i);
        let Some(probe) = part.and_then(|p| p.probes.get(kind as usize)?.as_ref()) else { return };
        let name = match kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        };
        let unready = part.is_some_and(|p| p.unready);
        let why = symptom(&probe.target, &self.world.address(), starting && !unready);
        self.note(true, "Unhealthy", format!("{name} probe failed: {why}"), Some(i));
    }
}

/// The probe of a kind; a container that is slow or unready without a readiness probe is held all the same.
fn probe_of(part: &Part, kind: ProbeKind) -> Option<Probe> {
    let own = part.probes.get(kind as usize).cloned().flatten();
    let held = kind == ProbeKind::Readiness && (!part.slow.is_zero() || part.unready);
    let silent = || Probe {
        delay: Duration::ZERO,
        period: Duration::from_secs(1),
        passes: 1,
        failures: 1,
        target: Target::Exec,
    };
    own.or_else(|| held.then(silent))
}

/// What a failed probe says.
fn symptom(target: &Target, ip: &str, starting: bool) -> String {
    match target {
        Target::Http(scheme, port, path) if starting => {
            format!("Get \"{scheme}://{ip}:{port}{path}\": dial tcp {ip}:{port}: connect: connection refused")
        }
        Target::Http(..) => "HTTP probe failed with statuscode: 503".to_owned(),
        Target::Tcp(port) => format!("dial tcp {ip}:{port}: connect: connection refused"),
        Target::Grpc(port) if starting => {
            format!("timeout: failed to connect service \"{ip}:{port}\" within 1s: context deadline exceeded")
        }
        Target::Grpc(_) => "service unhealthy (responded with \"NOT_SERVING\")".to_owned(),
        Target::Exec => String::new(),
    }
}
