//! A machine from what the pod's status says: after a fork, and for pods that were at rest.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::start::running;
use super::{Ended, Live, Machine, Stage, Step, backoff};
use crate::nodes::script::{Part, Role, Script, items, text};
use crate::nodes::timing::Timing;

impl Machine {
    /// The machine that wrote this status, or a new one where none did.
    pub fn restore(script: &Script, status: &Value, timing: Timing, now: Timestamp) -> Self {
        let mut machine = Self::new(script, now);
        let Some(start) = time(&status["startTime"]) else { return machine };
        machine.start = start;
        let all: Vec<&Value> = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
            .iter()
            .flat_map(|list| items(&status[list]))
            .collect();
        for (part, live) in script.parts.iter().zip(&mut machine.live) {
            if let Some(status) = all.iter().find(|s| s["name"] == part.name.as_str()) {
                *live = restore_part(part, status, timing, now);
            }
        }
        if matches!(text(&status["phase"]), "Succeeded" | "Failed") {
            machine.stage = Stage::Over { at: now };
            if status["reason"] == "DeadlineExceeded" {
                machine.verdict = Some((
                    "DeadlineExceeded",
                    "Pod was active on the node longer than the specified deadline",
                ));
            }
        } else if status["podIP"].as_str().is_some_and(|ip| !ip.is_empty()) {
            machine.stage = Stage::Running;
        }
        machine
    }
}

fn restore_part(part: &Part, status: &Value, timing: Timing, now: Timestamp) -> Live {
    let mut live = Live::new();
    live.run = status["restartCount"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    live.level = live.run;
    let state = &status["state"];
    live.last = ended(&status["lastState"]["terminated"], live.run.saturating_sub(1));
    if let Some(since) = time(&state["running"]["startedAt"]) {
        live.ran = true;
        let mut run = running(part, since, timing.fast);
        run.started = status["started"].as_bool().unwrap_or(true);
        run.ready = status["ready"] == true;
        if run.started {
            run.watches = [None; 3];
        }
        live.step = Step::Run(run);
    } else if let Some(run) = ended(&state["terminated"], live.run) {
        live.ran = true;
        let again = part.restart.after(run.exit) && !(part.role == Role::Init && run.exit == 0);
        live.step = Step::Ended { run, next: again.then_some(now) };
    } else if let Some(last) = &mut live.last {
        // It waits to run again: the last run is the one that the restart count tells.
        last.run = live.run;
        live.ran = true;
        let wait = backoff(live.level.max(1), timing.fast);
        live.step = Step::CrashLoop { wait, retry: (last.at + timing.backoff(wait)).max(now) };
        live.level = live.level.saturating_add(1);
    }
    live
}

fn ended(state: &Value, run: u32) -> Option<Ended> {
    Some(Ended {
        run,
        exit: state["exitCode"].as_i64()?,
        reason: text(&state["reason"]).to_owned().into(),
        since: time(&state["startedAt"])?,
        at: time(&state["finishedAt"])?,
    })
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(Timestamp::parse)
}
