//! Stopping: hooks, SIGTERM, the end of grace, sidecars last.

use std::time::Duration;

use kiban_base::clock::Timestamp;

use super::{End, Stage, Step, Turn, Why};
use crate::nodes::script::{Restart, Role};

impl Turn<'_> {
    /// Stops the pod, or shortens its grace where it is stopping already.
    pub(super) fn stop_pod(&mut self, why: Why, grace: Duration, t: Timestamp) {
        let grace = self.timing.asked(grace);
        match self.m.stage {
            Stage::Over { .. } => return,
            Stage::Stopping { deadline, .. } => {
                // A pod that is deleted while it stops for another reason, or deleted with less grace.
                let deadline = deadline.min(t + grace);
                self.m.stage = Stage::Stopping { why, deadline };
                self.tighten(deadline);
            }
            Stage::Volumes { .. } | Stage::Sandbox { .. } | Stage::Running => {
                self.m.stage = Stage::Stopping { why, deadline: t + grace };
                let order = |role: Role| matches!(role, Role::Main | Role::Init | Role::Ephemeral);
                for i in 0..self.script.parts.len() {
                    if self.script.parts.get(i).is_some_and(|p| order(p.role)) {
                        self.stop_part(i, t);
                    }
                }
            }
        }
        self.stop_next(t);
    }

    /// Nothing runs on after the deadline.
    fn tighten(&mut self, deadline: Timestamp) {
        for live in &mut self.m.live {
            if let Step::Run(running) = &mut live.step
                && running.end.as_ref().is_none_or(|e| e.at > deadline)
            {
                running.end = Some(End { at: deadline, exit: 137, reason: "Error" });
            }
        }
    }

    /// Sidecars stop one by one, the last started first, when the others are gone; then all is cleaned up.
    pub(super) fn stop_next(&mut self, t: Timestamp) {
        let Stage::Stopping { .. } = self.m.stage else { return };
        if self.m.live.iter().any(|l| l.running().is_some_and(|r| r.stopping)) {
            return;
        }
        let last = self.m.live.iter().rposition(|l| l.running().is_some());
        if let Some(i) = last {
            return self.stop_part(i, t);
        }
        let took = self.timing.latency(&format!("{}/cleanup", self.script.uid), 200..1_000);
        self.m.stage = Stage::Over { at: t + took };
    }

    fn stop_part(&mut self, i: usize, t: Timestamp) {
        if self.m.live.get(i).is_none_or(|l| l.running().is_none()) {
            return;
        }
        let Stage::Stopping { deadline, .. } = self.m.stage else { return };
        let Some(part) = self.script.parts.get(i) else { return };
        self.note(false, "Killing", format!("Stopping container {}", part.name), Some(i));
        // Servers end in good order; work that is cut short has failed (128 + SIGTERM).
        let exit = if part.restart == Restart::Always { 0 } else { 143 };
        self.end_by(i, deadline, exit, t);
    }

    /// Ends a run that failed a probe.
    pub(super) fn kill(&mut self, i: usize, grace: Duration, t: Timestamp) {
        self.end_by(i, t + self.timing.asked(grace), 143, t);
    }

    /// Sends SIGTERM after the hook; the container ends with `exit` in its own time, or is killed.
    fn end_by(&mut self, i: usize, deadline: Timestamp, exit: i64, t: Timestamp) {
        let Some(part) = self.script.parts.get(i) else { return };
        let left = deadline.since(t);
        let name = format!("{}/{}/term", self.script.uid, part.name);
        // Programs that handle SIGTERM are done in a small share of their grace.
        let share = u64::try_from(left.as_millis() / 20).unwrap_or(0).clamp(100, 2_000);
        let own = self.timing.latency(&name, 50..share.max(51));
        let term = part.stop_for.map_or(own, |d| self.timing.asked(d));
        let pre_stop = self.timing.asked(part.pre_stop);
        let done = t + pre_stop.saturating_add(term);
        let end = if done > deadline {
            End { at: deadline, exit: 137, reason: "Error" }
        } else {
            End { at: done, exit, reason: super::start::reason_of(exit) }
        };
        let Some(live) = self.live(i) else { return };
        if let Step::Run(running) = &mut live.step {
            running.stopping = true;
            running.watches = [None; 3];
            // A program that was about to end anyway does.
            if running.end.as_ref().is_none_or(|e| e.at > end.at) {
                running.end = Some(end);
            }
        }
    }
}
