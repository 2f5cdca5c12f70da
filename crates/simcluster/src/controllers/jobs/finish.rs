//! Counting pods that ended, and the end of a Job.
//!
//! Two writes: the first names the pods about to be counted, and why the Job ends if it does; then their
//! finalizers go; the second counts them, and finishes the Job once no pod is left.

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::tally::{Tally, index_of, uncounted};
use super::{End, Run, indexes, untrack};
use crate::controllers::events::Event;
use crate::controllers::{Again, pods};
use crate::kind::well_known::{JOB, POD};
use crate::object::Stored;
use crate::registry::{Actor, DeleteOptions, Part, Propagation};
use crate::status::ApiError;

/// How long a finished Job stays at least when Jobs take milliseconds: who made it and waits for its
/// end, as helm does for its hooks, has to get to look. Real Jobs last longer than that.
const SEEN: Duration = Duration::from_secs(2);

/// Pods that a status names at once (MaxUncountedPods).
const MAX_UNCOUNTED: usize = 500;

impl Run<'_> {
    /// Counts pods that ended, writes the status, and finishes the Job where `end` says so.
    pub(super) fn track(&self, tally: &Tally, mut status: Value, end: Option<End>) -> Result<(), ApiError> {
        self.settle_uncounted(&mut status);
        let ready_to_go = self.name_uncounted(tally, &mut status, end.as_ref());
        if self.is_indexed() {
            self.print_indexes(tally, &mut status);
        }
        if let Some(end) = &end {
            self.put(&mut status, end.type_, end);
        }
        self.observe(&mut status);
        self.write(&status)?;
        for pod in &ready_to_go {
            untrack(self.ctx, pod, &self.actor)?;
        }
        self.settle_uncounted(&mut status);
        self.observe(&mut status);
        let left = ["active", "terminating"].iter().any(|f| status[*f].as_i64().unwrap_or(0) > 0);
        let finished = end.filter(|_| !left && is_settled(&status) && ready_to_go.len() < MAX_UNCOUNTED);
        if let Some(end) = &finished {
            self.put(&mut status, if end.is_failure() { "Failed" } else { "Complete" }, end);
            if !end.is_failure() {
                status["completionTime"] = self.ctx.now.rfc3339().into();
            }
        }
        self.write(&status)?;
        match finished {
            Some(end) if end.is_failure() => {
                let event = Event::warning(&self.actor.manager, &end.reason, &end.message);
                event.record(self.ctx.cluster, &self.object);
            }
            Some(_) => {
                let event = Event::normal(&self.actor.manager, "Completed", "Job completed");
                event.record(self.ctx.cluster, &self.object);
            }
            None => {}
        }
        Ok(())
    }

    /// Moves pods that the status names and whose finalizer is gone into its counts.
    fn settle_uncounted(&self, status: &mut Value) {
        let state = self.ctx.state();
        for list in ["succeeded", "failed"] {
            let named = uncounted(status, list);
            let (kept, done): (Vec<_>, Vec<_>) = named.into_iter().partition(|uid| {
                state.by_uid(uid).is_some_and(|p| p.finalizers && super::tally::has_tracking(&p.value()))
            });
            let count = status[list].as_i64().unwrap_or(0) + i64::try_from(done.len()).unwrap_or(0);
            set_count(status, list, count);
            set_list(status, list, &kept);
        }
    }

    /// Names the pods about to be counted; comes with those whose finalizer may go afterwards.
    fn name_uncounted<'t>(
        &self,
        tally: &'t Tally,
        status: &mut Value,
        end: Option<&End>,
    ) -> Vec<&'t Arc<Stored>> {
        let mut go = Vec::new();
        let mut succeeded = uncounted(status, "succeeded");
        let mut failed = uncounted(status, "failed");
        let ends = end.is_some() || self.object.deleting;
        for pod in &tally.fresh_successes {
            if go.len() >= MAX_UNCOUNTED {
                break;
            }
            // The index is enough to count a success of an Indexed Job once.
            if !self.is_indexed() && !failed.contains(&*pod.uid) {
                succeeded.insert(pod.uid.to_string());
            }
            go.push(pod);
        }
        let delayed = if ends { std::collections::BTreeMap::new() } else { tally.delayed(self) };
        for failure in tally.failures.iter().filter(|f| f.tracked) {
            let held = index_of(&failure.pod)
                .and_then(|i| delayed.get(&i))
                .is_some_and(|d| d.pod.uid == failure.pod.uid);
            if held || go.len() >= MAX_UNCOUNTED {
                continue;
            }
            if !failure.verdict.ignored && self.has_index(&failure.pod) {
                failed.insert(failure.pod.uid.to_string());
            }
            go.push(&failure.pod);
        }
        // When a Job fails, so does everything that still ran.
        for pod in tally.active.iter().filter(|p| ends && p.finalizers) {
            if go.len() >= MAX_UNCOUNTED {
                break;
            }
            if end.is_some_and(End::is_failure) && self.has_index(pod) {
                failed.insert(pod.uid.to_string());
            }
            go.push(pod);
        }
        set_list(status, "succeeded", &succeeded.into_iter().collect::<Vec<_>>());
        set_list(status, "failed", &failed.into_iter().collect::<Vec<_>>());
        go
    }

    fn print_indexes(&self, tally: &Tally, status: &mut Value) {
        set_count(status, "succeeded", tally.succeeded);
        let text = indexes::print(&tally.succeeded_indexes);
        if text.is_empty() {
            status.as_object_mut().map(|s| s.remove("completedIndexes"));
        } else {
            status["completedIndexes"] = text.into();
        }
        if self.number("backoffLimitPerIndex").is_some() {
            status["failedIndexes"] = indexes::print(&tally.failed_indexes).into();
        }
    }

    /// Counts the pods that there are now.
    fn observe(&self, status: &mut Value) {
        let state = self.ctx.state();
        let (mut active, mut ready, mut terminating) = (0, 0, 0);
        for pod in pods::owned(&state, &self.object) {
            let ended = pod.pod.is_none_or(|d| d.phase.is_terminal());
            active += i64::from(!ended && !pod.deleting);
            ready += i64::from(!ended && !pod.deleting && pods::is_ready(pod));
            terminating += i64::from(!ended && pod.deleting);
        }
        set_count(status, "active", active);
        status["ready"] = ready.into();
        status["terminating"] = terminating.into();
    }

    fn put(&self, status: &mut Value, type_: &str, end: &End) {
        let has = status["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|c| c["type"] == type_ && c["status"] == "True"));
        if has {
            return;
        }
        let condition = json!({
            "type": type_, "status": "True", "reason": end.reason, "message": end.message,
            "lastProbeTime": self.ctx.now.rfc3339(),
        });
        pods::set_condition(status, condition, self.ctx.now);
    }

    fn write(&self, status: &Value) -> Result<(), ApiError> {
        let stored = self.ctx.cluster.get(*JOB, &self.object.key);
        if stored.is_some_and(|s| s.uid == self.object.uid && s.value()["status"] == *status) {
            return Ok(());
        }
        self.ctx.cluster.modify(*JOB, &self.object.key, Part::Status, &self.actor, |value| {
            value["status"] = status.clone();
        })?;
        Ok(())
    }

    /// Takes the finalizer off all pods: nothing counts them any more.
    pub(super) fn let_go(&self, owned: &[Arc<Stored>]) -> Result<(), ApiError> {
        for pod in owned.iter().filter(|p| p.kind == *POD && p.finalizers) {
            untrack(self.ctx, pod, &self.actor)?;
        }
        Ok(())
    }

    /// Deletes a finished Job after its time to live.
    pub(super) fn expire(&self) -> Result<Again, ApiError> {
        let Some(ttl) = self.number("ttlSecondsAfterFinished") else { return Ok(None) };
        let at = self.finished().and_then(|c| c["lastTransitionTime"].as_str()).and_then(Timestamp::parse);
        let ttl = Duration::from_secs(ttl.unsigned_abs());
        let ttl = if self.ctx.fast { ttl.max(SEEN) } else { ttl };
        let due = at.unwrap_or(self.ctx.now) + ttl;
        if self.ctx.now < due {
            return Ok(Some(due.since(self.ctx.now)));
        }
        let options = DeleteOptions {
            propagation: Some(Propagation::Foreground),
            uid: Some(self.object.uid.to_string()),
            ..DeleteOptions::default()
        };
        match self.ctx.cluster.delete(
            *JOB,
            &self.object.key,
            &options,
            &Actor::new("ttl-after-finished-controller"),
        ) {
            Err(e) if e.code != 404 => Err(e),
            _ => Ok(None),
        }
    }
}

/// No pod is named that has yet to be counted.
fn is_settled(status: &Value) -> bool {
    uncounted(status, "succeeded").is_empty() && uncounted(status, "failed").is_empty()
}

fn set_count(status: &mut Value, field: &str, number: i64) {
    if number == 0 {
        status.as_object_mut().map(|s| s.remove(field));
    } else {
        status[field] = number.into();
    }
}

fn set_list(status: &mut Value, list: &str, uids: &[String]) {
    if !status["uncountedTerminatedPods"].is_object() {
        status["uncountedTerminatedPods"] = json!({});
    }
    if uids.is_empty() {
        status["uncountedTerminatedPods"].as_object_mut().map(|u| u.remove(list));
    } else {
        status["uncountedTerminatedPods"][list] = json!(uids);
    }
}
