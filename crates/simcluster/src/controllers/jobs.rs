//! Jobs: pods that run to their end, counted once each.
//!
//! Contract: Kubernetes pkg/controller/job (job_controller.go). Every pod carries a finalizer until it is
//! counted, so that a pod that disappears is not forgotten; a status names the pods that it is about to
//! count, so that a restart between two writes counts none twice.

mod finish;
mod indexes;
mod policy;
mod tally;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::events::Event;
use super::pods::Orphans;
use super::{Again, Controller, Ctx, Item, pods, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Phase, Stored};
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};
use tally::{Failure, Tally, index_of};

const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Jobs of this manager, or of none, are ours.
const MANAGER: &str = "kubernetes.io/job-controller";

/// Pods made or deleted in one go (MaxPodCreateDeletePerSync).
const BURST: usize = 500;

/// Runs Jobs, and removes finished ones after their time to live.
#[derive(Debug, Default)]
pub struct Jobs {
    orphans: Orphans,
    noticed: RefCell<Noticed>,
}

/// When pods were first seen to have failed, by Job and pod. It only makes waits right: statuses tell
/// times in whole seconds, and of pods that are gone nothing. After a restart they are shorter.
type Noticed = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Timestamp>>;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*JOB, *POD]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *JOB {
            items.push(Item { kind: *JOB, key: object.key.clone() });
            if change.deleted {
                self.noticed.borrow_mut().remove(&object.uid);
                let left = state.children(&object.uid).filter(|p| p.kind == *POD);
                items.extend(left.map(|p| Item { kind: *POD, key: p.key.clone() }));
            }
            return;
        }
        self.orphans.see(object, change.deleted);
        workload::wake_owner(&[*JOB], change, items);
        if workload::may_be_adopted(change) {
            workload::wake_selectors(*JOB, state, object, items);
        }
        // Nobody counts a pod without a Job any more: its finalizer would hold it for ever.
        let job = object.controller().filter(|o| JOB.is(&o.group, &o.kind));
        let lost = |o: &crate::object::Owner| state.by_uid(&o.uid).is_none();
        let unowned = object.controller().is_none() && object.label("batch.kubernetes.io/job-name").is_some();
        if object.finalizers && !change.deleted && (unowned || job.is_some_and(lost)) {
            items.push(Item { kind: *POD, key: object.key.clone() });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let actor = Actor::new(self.name());
        let Some(object) = state.get(item.kind, &item.key) else { return Ok(None) };
        if item.kind == *POD {
            return forget_orphan(ctx, &state, object, &actor).map(|()| None);
        }
        let value = object.value();
        if value["spec"]["managedBy"].as_str().is_some_and(|m| m != MANAGER) {
            return Ok(None);
        }
        let run = Run { ctx, object: object.clone(), actor, value, noticed: &self.noticed };
        if run.finished().is_some() {
            self.noticed.borrow_mut().remove(&object.uid);
            run.let_go(&pods::owned(&state, object).cloned().collect::<Vec<_>>())?;
            return if object.deleting { Ok(None) } else { run.expire() };
        }
        let selector = workload::selector_of(*JOB, &run.value);
        let owned = pods::claim(ctx, &state, object, &selector, (&self.orphans, &|_| true), &run.actor)?;
        run.sync(&owned)
    }
}

/// Takes the finalizer off a pod that no Job counts any more.
fn forget_orphan(ctx: &Ctx<'_>, state: &State, pod: &Stored, actor: &Actor) -> Result<(), ApiError> {
    let has_job = pod.controller().is_some_and(|o| state.by_uid(&o.uid).is_some());
    if has_job || !pod.finalizers { Ok(()) } else { untrack(ctx, pod, actor) }
}

/// Takes the finalizer off a pod.
fn untrack(ctx: &Ctx<'_>, pod: &Stored, actor: &Actor) -> Result<(), ApiError> {
    ctx.cluster.modify(*POD, &pod.key, Part::Main, actor, |value| {
        // Another pod of the same name is not ours.
        if value["metadata"]["uid"].as_str() != Some(&*pod.uid) {
            return;
        }
        if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
            all.retain(|f| f != TRACKING);
        }
        if value["metadata"]["finalizers"].as_array().is_some_and(Vec::is_empty) {
            value["metadata"].as_object_mut().map(|m| m.remove("finalizers"));
        }
    })?;
    Ok(())
}

/// One Job being looked at.
struct Run<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    value: Value,
    actor: Actor,
    noticed: &'a RefCell<Noticed>,
}

/// A condition that ends a Job: type, reason, message. The types are those that come before the pods are
/// gone, `FailureTarget` and `SuccessCriteriaMet`.
#[derive(Debug, Clone)]
struct End {
    type_: &'static str,
    reason: String,
    message: String,
}

impl End {
    fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self { type_: "FailureTarget", reason: reason.to_owned(), message: message.into() }
    }

    fn met(reason: &str, message: impl Into<String>) -> Self {
        Self { type_: "SuccessCriteriaMet", reason: reason.to_owned(), message: message.into() }
    }

    fn is_failure(&self) -> bool {
        self.type_ == "FailureTarget"
    }
}

impl Run<'_> {
    fn number(&self, field: &str) -> Option<i64> {
        self.value["spec"][field].as_i64()
    }

    fn completions(&self) -> i64 {
        self.number("completions").unwrap_or(0)
    }

    fn is_indexed(&self) -> bool {
        self.value["spec"]["completionMode"] == "Indexed"
    }

    /// A pod of an Indexed Job that has one of its indexes; any pod of another Job.
    fn has_index(&self, pod: &Stored) -> bool {
        !self.is_indexed() || index_of(pod).is_some_and(|i| i < self.completions())
    }

    fn is_suspended(&self) -> bool {
        self.value["spec"]["suspend"] == true
    }

    /// Pods on their way out are replaced only when they ended.
    fn replaces_failed_only(&self) -> bool {
        self.value["spec"]["podReplacementPolicy"] == "Failed"
    }

    fn is_true(&self, type_: &str) -> bool {
        pods::condition(&self.value, type_).is_some_and(|c| c["status"] == "True")
    }

    /// The finished condition, if the Job has one.
    fn finished(&self) -> Option<&Value> {
        ["Complete", "Failed"]
            .into_iter()
            .filter(|t| self.is_true(t))
            .find_map(|t| pods::condition(&self.value, t))
    }

    fn started(&self) -> Option<Timestamp> {
        self.value["status"]["startTime"].as_str().and_then(Timestamp::parse)
    }

    fn sync(&self, owned: &[Arc<Stored>]) -> Result<Again, ApiError> {
        let tally = Tally::of(self, owned);
        let mut status =
            if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
        if self.started().is_none() && !self.is_suspended() {
            status["startTime"] = self.ctx.now.rfc3339().into();
        }
        let mut again = None;
        let mut problem = Ok(());
        let mut end = self.end(&tally);
        if end.is_some() {
            for pod in &tally.active {
                pods::delete(self.ctx, &self.object, pod, &self.actor)?;
            }
        } else if !self.object.deleting {
            again = self.deadline();
            match self.manage(&tally) {
                Ok(wait) => again = [again, wait].into_iter().flatten().min(),
                // What is known is written all the same.
                Err(e) => problem = Err(e),
            }
            end = self.completion(&tally);
            if end.is_none() {
                self.note_suspension(&mut status);
            }
        }
        self.track(&tally, status, end)?;
        problem.map(|()| again)
    }

    /// Why the Job ends, its own pods' completion apart.
    fn end(&self, tally: &Tally) -> Option<End> {
        let noted = |type_| {
            let condition = pods::condition(&self.value, type_).filter(|c| c["status"] == "True")?;
            let text = |k: &str| condition[k].as_str().unwrap_or_default().to_owned();
            Some(End { type_, reason: text("reason"), message: text("message") })
        };
        if let Some(end) = noted("SuccessCriteriaMet").or_else(|| noted("FailureTarget")) {
            return Some(end);
        }
        if let Some(text) = tally.failures.iter().find_map(|f| f.verdict.fails_job.clone()) {
            return Some(End::failed("PodFailurePolicy", text));
        }
        let limit = self.number("backoffLimit").unwrap_or(6);
        if tally.failed > limit || self.restarts_exceed(tally, limit) {
            return Some(End::failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
        }
        if !self.is_suspended()
            && let (Some(limit), Some(start)) = (self.number("activeDeadlineSeconds"), self.started())
            && self.ctx.now >= start + Duration::from_secs(limit.unsigned_abs())
        {
            return Some(End::failed("DeadlineExceeded", "Job was active longer than specified deadline"));
        }
        if !self.is_indexed() {
            return None;
        }
        self.failed_indexes(tally).or_else(|| {
            let text = policy::enough(&self.value, &tally.succeeded_indexes, self.completions())?;
            Some(End::met("SuccessPolicy", text))
        })
    }

    fn failed_indexes(&self, tally: &Tally) -> Option<End> {
        let failed = i64::try_from(tally.failed_indexes.len()).unwrap_or(i64::MAX);
        if self.number("maxFailedIndexes").is_some_and(|max| failed > max) {
            let text = "Job has exceeded the specified maximal number of failed indexes";
            return Some(End::failed("MaxFailedIndexesExceeded", text));
        }
        let all = failed > 0 && failed + tally.succeeded >= self.completions();
        all.then(|| End::failed("FailedIndexes", "Job has failed indexes"))
    }

    /// With restarts in place, containers' restarts count as the failures.
    fn restarts_exceed(&self, tally: &Tally, limit: i64) -> bool {
        if self.value["spec"]["template"]["spec"]["restartPolicy"] != "OnFailure" {
            return false;
        }
        let restarts = |pod: &Arc<Stored>| {
            let value = pod.value();
            let lists = ["initContainerStatuses", "containerStatuses"];
            let all = lists.iter().flat_map(|l| value["status"][l].as_array().into_iter().flatten());
            all.filter_map(|c| c["restartCount"].as_i64()).sum::<i64>()
        };
        let alive = tally
            .active
            .iter()
            .filter(|p| matches!(p.pod.map(|d| d.phase), Some(Phase::Running | Phase::Pending)));
        let all: i64 = alive.map(restarts).sum();
        if limit == 0 { all > 0 } else { all >= limit }
    }

    /// The Job is complete: enough successes, and nothing runs.
    fn completion(&self, tally: &Tally) -> Option<End> {
        let done = match self.number("completions") {
            Some(wanted) => tally.succeeded >= wanted,
            // A work queue: one success is enough.
            None => tally.succeeded > 0,
        };
        let state = self.ctx.state();
        let idle = || !pods::owned(&state, &self.object).any(|p| pods::is_active(p));
        (done && idle()).then(|| End::met("CompletionsReached", "Reached expected number of succeeded pods"))
    }

    fn note_suspension(&self, status: &mut Value) {
        let suspended = self.is_suspended();
        if suspended == self.is_true("Suspended") {
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
        if self.is_suspended() {
            return None;
        }
        let limit = Duration::from_secs(self.number("activeDeadlineSeconds")?.unsigned_abs());
        let start = self.started().unwrap_or(self.ctx.now);
        Some((start + limit).since(self.ctx.now) + Duration::from_millis(1))
    }

    /// Makes the pods that are missing, or removes those that are too many; comes with how long to wait
    /// before more are made.
    fn manage(&self, tally: &Tally) -> Result<Again, ApiError> {
        let active = i64::try_from(tally.active.len()).unwrap_or(i64::MAX);
        let parallelism = self.number("parallelism").unwrap_or(1);
        let wanted = match self.number("completions") {
            _ if self.is_suspended() => 0,
            Some(completions) => parallelism.min(completions - tally.succeeded).max(0),
            None if tally.succeeded > 0 => active,
            None => parallelism,
        };
        let surplus = self.surplus(tally, usize::try_from(active - wanted).unwrap_or(0));
        if !surplus.is_empty() {
            for pod in surplus.into_iter().take(BURST) {
                // Not counted: it goes because of the Job itself.
                untrack(self.ctx, pod, &self.actor)?;
                pods::delete(self.ctx, &self.object, pod, &self.actor)?;
            }
            return Ok(None);
        }
        let held = if self.replaces_failed_only() { tally.terminating } else { 0 };
        let missing = usize::try_from(wanted - active - held).unwrap_or(0);
        if missing == 0 {
            return Ok(None);
        }
        if self.number("backoffLimitPerIndex").is_some() {
            return self.fill_by_index(tally, missing);
        }
        if let Some(wait) = tally.wait(self) {
            return Ok(Some(wait));
        }
        let indexes = self.pending_indexes(tally, missing);
        for n in 0..missing.min(BURST) {
            let index = indexes.get(n).copied();
            if self.is_indexed() && index.is_none() {
                break;
            }
            self.create(index, &[])?;
        }
        Ok(None)
    }

    /// Pods too many: a second one of an index, then those that are the least loss.
    fn surplus<'t>(&self, tally: &'t Tally, excess: usize) -> Vec<&'t Arc<Stored>> {
        let mut all: Vec<_> = tally.active.iter().collect();
        all.sort_by_key(|p| {
            let digest = p.pod;
            let running = digest.is_some_and(|d| d.phase == Phase::Running);
            (
                digest.is_some_and(|d| d.bound),
                running,
                digest.is_some_and(|d| d.ready),
                std::cmp::Reverse(p.created),
            )
        });
        let mut surplus = Vec::new();
        if self.is_indexed() {
            let mut seen = BTreeSet::new();
            let (keep, go): (Vec<_>, Vec<_>) =
                all.into_iter().rev().partition(|p| self.has_index(p) && seen.insert(index_of(p)));
            surplus = go;
            all = keep.into_iter().rev().collect();
        }
        let rest = excess.saturating_sub(surplus.len());
        surplus.extend(all.into_iter().take(rest));
        surplus
    }

    /// The first indexes that neither ended nor run.
    fn pending_indexes(&self, tally: &Tally, count: usize) -> Vec<i64> {
        if !self.is_indexed() {
            return Vec::new();
        }
        let state = self.ctx.state();
        // With replacement of failed pods only, one that is on its way out holds its index.
        let holds = |p: &Arc<Stored>| {
            pods::is_active(p) || self.replaces_failed_only() && !p.pod.is_some_and(|d| d.phase.is_terminal())
        };
        let taken: BTreeSet<i64> =
            pods::owned(&state, &self.object).filter(|p| holds(p)).filter_map(|p| index_of(p)).collect();
        let free = |i: &i64| {
            !tally.succeeded_indexes.contains(i) && !tally.failed_indexes.contains(i) && !taken.contains(i)
        };
        (0..self.completions()).filter(free).take(count).collect()
    }

    /// Each index waits by itself, and its replacement carries on the count of its failures.
    fn fill_by_index(&self, tally: &Tally, missing: usize) -> Result<Again, ApiError> {
        let delayed: BTreeMap<i64, &Failure> = tally.delayed(self);
        let mut again = None;
        for index in self.pending_indexes(tally, missing).into_iter().take(BURST) {
            let before = delayed.get(&index);
            if let Some(wait) = before.and_then(|f| f.wait(self)) {
                again = [again, Some(wait)].into_iter().flatten().min();
                continue;
            }
            self.create(Some(index), &before.map_or_else(tally::first_counts, |f| f.counts_of_next()))?;
        }
        Ok(again)
    }

    fn create(&self, index: Option<i64>, failures: &[(&str, i64)]) -> Result<(), ApiError> {
        let mut pod = pods::from_template(&self.object, &self.value["spec"]["template"]);
        let mut finalizers = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(TRACKING.into());
        pod["metadata"]["finalizers"] = json!(finalizers);
        if let Some(index) = index {
            set_index(&mut pod, &self.object.key.name, index);
        }
        for (annotation, count) in failures {
            // The count of ignored failures is there from the first one on.
            if *count > 0 || !annotation.contains("ignored") {
                pod["metadata"]["annotations"][*annotation] = count.to_string().into();
            }
        }
        pods::create(self.ctx, &self.object, pod, &self.actor).map(|_| ())
    }
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
            if env.iter().all(|e| e["name"] != "JOB_COMPLETION_INDEX") {
                env.push(json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": from}));
            }
            container["env"] = json!(env);
        }
    }
}
