//! Jobs: pods that run to their end, counted once each.
//!
//! Contract: Kubernetes pkg/controller/job. Every pod carries a finalizer until it is counted, so that
//! a pod that disappears is not forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item, pods, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Phase, Stored};
use crate::registry::{Actor, DeleteOptions, Part, Propagation};
use crate::status::ApiError;
use crate::store::{Change, State};

const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// First and last wait before failed pods are replaced (10 s doubling to 10 min).
const BACKOFF: Duration = Duration::from_secs(10);
const BACKOFF_LAST: Duration = Duration::from_secs(600);

/// Pods made in one go.
const BURST: usize = 500;

/// Runs Jobs, and removes finished ones after their time to live.
#[derive(Debug, Default)]
pub struct Jobs;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*JOB, *POD]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        if change.new.kind == *JOB {
            items.push(Item { kind: *JOB, key: change.new.key.clone() });
        } else {
            workload::wake_owner(&[*JOB], change, items);
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*JOB, &item.key) else { return Ok(None) };
        let value = object.value();
        let owned: Vec<_> = pods::owned(&state, object).cloned().collect();
        let run = Run { ctx, object: object.clone(), actor: Actor::new(self.name()), value };
        if object.deleting {
            return run.let_go(&owned).map(|()| None);
        }
        if run.finished().is_some() {
            run.let_go(&owned)?;
            return run.expire();
        }
        run.sync(&owned)
    }
}

/// One Job being looked at.
struct Run<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    value: Value,
    actor: Actor,
}

/// How a Job's pods stand.
#[derive(Debug, Default)]
struct Tally {
    active: Vec<Arc<Stored>>,
    ready: i64,
    terminating: i64,
    succeeded: i64,
    failed: i64,
    indexes: BTreeSet<i64>,
    last_failure: Option<Timestamp>,
}

impl Run<'_> {
    fn number(&self, field: &str) -> Option<i64> {
        self.value["spec"][field].as_i64()
    }

    fn is_indexed(&self) -> bool {
        self.value["spec"]["completionMode"] == "Indexed"
    }

    /// The finished condition, if the Job has one.
    fn finished(&self) -> Option<&Value> {
        ["Complete", "Failed"].iter().find_map(|t| pods::condition(&self.value, t)).filter(|c| c["status"] == "True")
    }

    fn started(&self) -> Option<Timestamp> {
        self.value["status"]["startTime"].as_str().and_then(Timestamp::parse)
    }

    fn sync(&self, owned: &[Arc<Stored>]) -> Result<Again, ApiError> {
        let tally = self.count(owned);
        let suspended = self.value["spec"]["suspend"] == true;
        let verdict = self.verdict(&tally);
        let mut status = self.value["status"].clone();
        if !status.is_object() {
            status = json!({});
        }
        if self.started().is_none() && !suspended {
            status["startTime"] = self.ctx.now.rfc3339().into();
        }
        if let Some((type_, reason, message)) = &verdict {
            return self.end(owned, &tally, status, type_, reason, message);
        }
        self.note_suspension(&mut status, suspended);
        let mut again = self.deadline();
        if suspended {
            for pod in &tally.active {
                pods::delete(self.ctx, &self.object, pod, &self.actor)?;
            }
        } else {
            match self.wait_after_failure(&tally) {
                Some(wait) => again = Some(again.map_or(wait, |a| a.min(wait))),
                None => self.fill(&tally)?,
            }
        }
        self.write(&tally, status)?;
        // Counted in the status first: only then may a finished pod go.
        self.release_counted(owned)?;
        Ok(again)
    }

    fn count(&self, owned: &[Arc<Stored>]) -> Tally {
        let status = &self.value["status"];
        let mut tally = Tally {
            succeeded: status["succeeded"].as_i64().unwrap_or(0),
            failed: status["failed"].as_i64().unwrap_or(0),
            indexes: parse_indexes(status["completedIndexes"].as_str().unwrap_or_default()),
            ..Tally::default()
        };
        for pod in owned {
            let Some(digest) = pod.pod else { continue };
            let uncounted = pod.finalizers && has_tracking(&pod.value());
            match digest.phase {
                Phase::Succeeded if uncounted => {
                    tally.succeeded += 1;
                    if let Some(index) = index_of(pod) {
                        tally.indexes.insert(index);
                    }
                }
                Phase::Failed if uncounted => {
                    tally.failed += 1;
                    tally.last_failure = tally.last_failure.max(Some(digest.ready_since));
                }
                Phase::Succeeded | Phase::Failed => {}
                _ if pod.deleting => tally.terminating += 1,
                _ => {
                    tally.ready += i64::from(digest.ready);
                    tally.active.push(pod.clone());
                }
            }
        }
        if self.is_indexed() {
            tally.succeeded = i64::try_from(tally.indexes.len()).unwrap_or(0);
        }
        tally
    }

    /// Whether the Job has ended: condition, reason, message.
    fn verdict(&self, tally: &Tally) -> Option<(&'static str, &'static str, String)> {
        if tally.failed > self.number("backoffLimit").unwrap_or(6) {
            return Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit".into()));
        }
        if self.value["spec"]["suspend"] != true
            && let (Some(limit), Some(start)) = (self.number("activeDeadlineSeconds"), self.started())
            && self.ctx.now >= start + Duration::from_secs(limit.unsigned_abs())
        {
            return Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline".into()));
        }
        let done = match self.number("completions") {
            Some(wanted) => tally.succeeded >= wanted,
            // A work queue: one success and nothing running.
            None => tally.succeeded > 0 && tally.active.is_empty() && tally.terminating == 0,
        };
        done.then(|| ("Complete", "CompletionsReached", "Reached expected number of succeeded pods".into()))
    }

    fn end(
        &self,
        owned: &[Arc<Stored>],
        tally: &Tally,
        mut status: Value,
        type_: &str,
        reason: &str,
        message: &str,
    ) -> Result<Again, ApiError> {
        let before = if type_ == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
        for name in [before, type_] {
            let condition = json!({
                "type": name, "status": "True", "reason": reason, "message": message,
                "lastProbeTime": self.ctx.now.rfc3339(),
            });
            pods::set_condition(&mut status, condition, self.ctx.now);
        }
        for pod in &tally.active {
            pods::delete(self.ctx, &self.object, pod, &self.actor)?;
        }
        let counted = if type_ == "Complete" {
            status["completionTime"] = self.ctx.now.rfc3339().into();
            Tally { active: Vec::new(), ready: 0, terminating: 0, indexes: tally.indexes.clone(), ..*tally }
        } else {
            let ended = i64::try_from(tally.active.len()).unwrap_or(0);
            Tally { active: Vec::new(), ready: 0, failed: tally.failed + ended, indexes: tally.indexes.clone(), ..*tally }
        };
        self.write(&counted, status)?;
        self.let_go(owned)?;
        let event = if type_ == "Complete" {
            Event::normal(&self.actor.manager, "Completed", "Job completed")
        } else {
            Event::warning(&self.actor.manager, reason, message)
        };
        event.record(self.ctx.cluster, &self.object);
        // The status just written wakes this Job again, which sees to its time to live.
        Ok(None)
    }

    fn note_suspension(&self, status: &mut Value, suspended: bool) {
        let before = pods::condition(&self.value, "Suspended").is_some_and(|c| c["status"] == "True");
        if suspended == before {
            return;
        }
        let (reason, message) =
            if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
        let condition = json!({
            "type": "Suspended", "status": if suspended { "True" } else { "False" }, "reason": reason,
            "message": message, "lastProbeTime": self.ctx.now.rfc3339(),
        });
        pods::set_condition(status, condition, self.ctx.now);
        if suspended {
            status.as_object_mut().map(|s| s.remove("startTime"));
            Event::normal(&self.actor.manager, "Suspended", message).record(self.ctx.cluster, &self.object);
        } else {
            status["startTime"] = self.ctx.now.rfc3339().into();
            Event::normal(&self.actor.manager, "Resumed", message).record(self.ctx.cluster, &self.object);
        }
    }

    fn deadline(&self) -> Again {
        let limit = Duration::from_secs(self.number("activeDeadlineSeconds")?.unsigned_abs());
        let start = self.started().unwrap_or(self.ctx.now);
        Some((start + limit).since(self.ctx.now) + Duration::from_millis(1))
    }

    fn wait_after_failure(&self, tally: &Tally) -> Again {
        let last = tally.last_failure?;
        let doublings = u32::try_from((tally.failed - 1).clamp(0, 16)).unwrap_or(0);
        let wait = BACKOFF.saturating_mul(1 << doublings).min(BACKOFF_LAST);
        let wait = if self.ctx.fast { wait / 1_000 } else { wait };
        let due = last + wait;
        (due > self.ctx.now).then(|| due.since(self.ctx.now))
    }

    /// Makes the pods that are missing, or removes those that are too many.
    fn fill(&self, tally: &Tally) -> Result<(), ApiError> {
        let parallelism = self.number("parallelism").unwrap_or(1);
        let active = i64::try_from(tally.active.len()).unwrap_or(i64::MAX);
        let wanted = match self.number("completions") {
            Some(completions) => parallelism.min(completions - tally.succeeded).max(0),
            None if tally.succeeded > 0 => active,
            None => parallelism,
        };
        if active > wanted {
            let excess = usize::try_from(active - wanted).unwrap_or(0);
            for pod in tally.active.iter().rev().take(excess) {
                pods::delete(self.ctx, &self.object, pod, &self.actor)?;
            }
            return Ok(());
        }
        let replace_only_failed = self.value["spec"]["podReplacementPolicy"] == "Failed";
        let held = if replace_only_failed { tally.terminating } else { 0 };
        let missing = usize::try_from(wanted - active - held).unwrap_or(0).min(BURST);
        let mut taken: BTreeSet<i64> = tally.active.iter().filter_map(|p| index_of(p)).collect();
        for _ in 0..missing {
            let mut pod = pods::from_template(&self.object, &self.value["spec"]["template"]);
            add_tracking(&mut pod);
            if self.is_indexed() {
                let all = 0..self.number("completions").unwrap_or(0);
                let Some(index) = all.into_iter().find(|i| !tally.indexes.contains(i) && !taken.contains(i)) else { break };
                taken.insert(index);
                set_index(&mut pod, &self.object.key.name, index);
            }
            pods::create(self.ctx, &self.object, pod, &self.actor)?;
        }
        Ok(())
    }

    fn write(&self, tally: &Tally, mut status: Value) -> Result<(), ApiError> {
        let active = i64::try_from(tally.active.len()).unwrap_or(0);
        for (field, number) in [("active", active), ("succeeded", tally.succeeded), ("failed", tally.failed)] {
            if number == 0 {
                status.as_object_mut().map(|s| s.remove(field));
            } else {
                status[field] = number.into();
            }
        }
        status["ready"] = tally.ready.into();
        status["terminating"] = tally.terminating.into();
        status["uncountedTerminatedPods"] = json!({});
        if self.is_indexed() {
            let text = print_indexes(&tally.indexes);
            if text.is_empty() {
                status.as_object_mut().map(|s| s.remove("completedIndexes"));
            } else {
                status["completedIndexes"] = text.into();
            }
        }
        if status != self.value["status"] {
            self.ctx.cluster.modify(*JOB, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(())
    }

    /// Takes the finalizer off pods that ended.
    fn release_counted(&self, owned: &[Arc<Stored>]) -> Result<(), ApiError> {
        for pod in owned.iter().filter(|p| p.finalizers && p.pod.is_some_and(|d| d.phase.is_terminal())) {
            self.untrack(pod)?;
        }
        Ok(())
    }

    /// Takes the finalizer off all pods: nothing counts them any more.
    fn let_go(&self, owned: &[Arc<Stored>]) -> Result<(), ApiError> {
        for pod in owned.iter().filter(|p| p.finalizers) {
            self.untrack(pod)?;
        }
        Ok(())
    }

    fn untrack(&self, pod: &Stored) -> Result<(), ApiError> {
        self.ctx.cluster.modify(*POD, &pod.key, Part::Main, &self.actor, |value| {
            if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
                all.retain(|f| f != TRACKING);
            }
            if value["metadata"]["finalizers"].as_array().is_some_and(Vec::is_empty) {
                value["metadata"].as_object_mut().map(|m| m.remove("finalizers"));
            }
        })?;
        Ok(())
    }

    fn expire(&self) -> Result<Again, ApiError> {
        let Some(ttl) = self.number("ttlSecondsAfterFinished") else { return Ok(None) };
        let at = self.finished().and_then(|c| c["lastTransitionTime"].as_str()).and_then(Timestamp::parse);
        let due = at.unwrap_or(self.ctx.now) + Duration::from_secs(ttl.unsigned_abs());
        if self.ctx.now < due {
            return Ok(Some(due.since(self.ctx.now)));
        }
        let options = DeleteOptions {
            propagation: Some(Propagation::Foreground),
            uid: Some(self.object.uid.to_string()),
            ..DeleteOptions::default()
        };
        match self.ctx.cluster.delete(*JOB, &self.object.key, &options, &Actor::new("ttl-after-finished-controller")) {
            Err(e) if e.code != 404 => Err(e),
            _ => Ok(None),
        }
    }
}

fn has_tracking(pod: &Value) -> bool {
    pod["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == TRACKING))
}

fn add_tracking(pod: &mut Value) {
    let mut all = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    all.push(TRACKING.into());
    pod["metadata"]["finalizers"] = json!(all);
}

fn index_of(pod: &Stored) -> Option<i64> {
    pod.label(INDEX)?.parse().ok()
}

fn set_index(pod: &mut Value, job: &str, index: i64) {
    pod["metadata"]["labels"][INDEX] = index.to_string().into();
    pod["metadata"]["annotations"][INDEX] = index.to_string().into();
    pod["metadata"]["generateName"] = format!("{job}-{index}-").into();
    pod["spec"]["hostname"] = format!("{job}-{index}").into();
    let from = json!({"fieldRef": {"fieldPath": format!("metadata.labels['{INDEX}']")}});
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let mut env = container["env"].as_array().cloned().unwrap_or_default();
            env.push(json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": from}));
            container["env"] = json!(env);
        }
    }
}

/// Reads `1,3-5,7`.
fn parse_indexes(text: &str) -> BTreeSet<i64> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<i64>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    // The API allows 100,000 completions; a longer range is not ours.
    text.split(',').filter_map(range).flat_map(|r| r.take(100_000)).collect()
}

/// Prints `1,3-5,7`.
fn print_indexes(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *index => *end = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let print = |(from, to): &(i64, i64)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    runs.iter().map(print).collect::<Vec<_>>().join(",")
}
