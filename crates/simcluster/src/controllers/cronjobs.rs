//! CronJobs: Jobs on a schedule.
//!
//! Contract: Kubernetes pkg/controller/cronjob (cronjob_controllerv2.go).

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::cron::Schedule;
use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item, pods, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::Stored;
use crate::registry::{Actor, DeleteOptions, Part, Propagation};
use crate::status::ApiError;
use crate::store::{Change, State};

/// More missed starts than this are reported and passed over.
const MANY_MISSED: usize = 100;

/// Starts Jobs when their time comes.
#[derive(Debug, Default)]
pub struct CronJobs;

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*CRON_JOB, *JOB]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        if change.new.kind == *CRON_JOB {
            items.push(Item { kind: *CRON_JOB, key: change.new.key.clone() });
        } else {
            workload::wake_owner(&[*CRON_JOB], change, items);
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*CRON_JOB, &item.key) else { return Ok(None) };
        if object.deleting {
            return Ok(None);
        }
        let mut jobs: Vec<_> = pods::owned_of(&state, object, *JOB).cloned().collect();
        jobs.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let cron = Cron { ctx, object: object.clone(), value: object.value(), actor: Actor::new(self.name()) };
        cron.sync(&jobs)
    }
}

/// One CronJob being looked at.
struct Cron<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    value: Value,
    actor: Actor,
}

/// A finished Job's condition type, if it has ended.
fn ended(job: &Value) -> Option<&'static str> {
    ["Complete", "Failed"]
        .into_iter()
        .find(|t| pods::condition(job, t).is_some_and(|c| c["status"] == "True"))
}

impl Cron<'_> {
    fn sync(&self, jobs: &[Arc<Stored>]) -> Result<Again, ApiError> {
        self.trim(jobs)?;
        let running: Vec<_> = jobs.iter().filter(|j| ended(&j.value()).is_none()).cloned().collect();
        let mut status = self.observe(jobs, &running);
        let again = self.start_due(&running, &mut status)?;
        if status != self.value["status"] {
            self.ctx.cluster.modify(*CRON_JOB, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(again)
    }

    /// Status from what runs and what ended since the last look.
    fn observe(&self, jobs: &[Arc<Stored>], running: &[Arc<Stored>]) -> Value {
        let mut status = if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
        let was_active = |uid: &str| {
            let mut active = self.value["status"]["active"].as_array().into_iter().flatten();
            active.any(|a| a["uid"] == *uid)
        };
        for job in jobs.iter().filter(|j| was_active(&j.uid)) {
            let value = job.value();
            let Some(how) = ended(&value) else { continue };
            let text = format!("Saw completed job: {}, condition: {how}", job.key.name);
            Event::normal(&self.actor.manager, "SawCompletedJob", &text).record(self.ctx.cluster, &self.object);
            let at = value["status"]["completionTime"].as_str().filter(|_| how == "Complete");
            if let Some(at) = at.filter(|a| status["lastSuccessfulTime"].as_str().is_none_or(|last| last < *a)) {
                status["lastSuccessfulTime"] = at.into();
            }
        }
        set_active(&mut status, running.iter().map(|j| reference(j)).collect());
        status
    }

    fn schedule(&self) -> Option<(Schedule, Option<&str>)> {
        let text = self.value["spec"]["schedule"].as_str()?;
        match Schedule::parse(text) {
            Ok(schedule) => Some((schedule, self.value["spec"]["timeZone"].as_str())),
            Err(e) => {
                let text = format!("unparseable schedule: {text} : {e}");
                Event::warning(&self.actor.manager, "UnparseableSchedule", &text).record(self.ctx.cluster, &self.object);
                None
            }
        }
    }

    fn start_due(&self, running: &[Arc<Stored>], status: &mut Value) -> Result<Again, ApiError> {
        let spec = &self.value["spec"];
        if spec["suspend"] == true {
            return Ok(None);
        }
        let Some((schedule, zone)) = self.schedule() else { return Ok(None) };
        let now = self.ctx.now;
        let next = |after: Timestamp| schedule.next_after(after, zone);
        let again = next(now).map(|t| t.since(now) + Duration::from_millis(1));
        let Some(due) = self.latest_due(&next) else { return Ok(again) };
        if let Some(limit) = spec["startingDeadlineSeconds"].as_i64()
            && now > due + Duration::from_secs(limit.unsigned_abs())
        {
            let text = format!("Missed scheduled time to start a job: {}", due.rfc3339());
            Event::warning(&self.actor.manager, "MissSchedule", &text).record(self.ctx.cluster, &self.object);
            return Ok(again);
        }
        match spec["concurrencyPolicy"].as_str() {
            Some("Forbid") if !running.is_empty() => {
                let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
                Event::normal(&self.actor.manager, "JobAlreadyActive", text).record(self.ctx.cluster, &self.object);
                return Ok(again);
            }
            Some("Replace") => {
                for job in running {
                    self.delete(job)?;
                }
                set_active(status, Vec::new());
            }
            _ => {}
        }
        if let Some(job) = self.start(due)? {
            let mut active = status["active"].as_array().cloned().unwrap_or_default();
            active.push(reference(&job));
            set_active(status, active);
        }
        status["lastScheduleTime"] = due.rfc3339().into();
        Ok(again)
    }

    /// The last time at which a Job should have started and has not.
    fn latest_due(&self, next: &dyn Fn(Timestamp) -> Option<Timestamp>) -> Option<Timestamp> {
        let last = self.value["status"]["lastScheduleTime"].as_str().and_then(Timestamp::parse);
        let mut earliest = last.unwrap_or(self.object.created);
        if let Some(limit) = self.value["spec"]["startingDeadlineSeconds"].as_i64() {
            earliest = earliest.max(self.ctx.now - Duration::from_secs(limit.unsigned_abs()));
        }
        let mut due = None;
        let mut at = next(earliest);
        let mut missed = 0;
        while let Some(time) = at.filter(|t| *t <= self.ctx.now) {
            due = Some(time);
            missed += 1;
            if missed > MANY_MISSED {
                let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                Event::warning(&self.actor.manager, "TooManyMissedTimes", text).record(self.ctx.cluster, &self.object);
                // Go on from close to now instead of walking through every missed time.
                at = next((self.ctx.now - Duration::from_secs(3_600)).max(time));
                missed = 0;
            } else {
                at = next(time);
            }
        }
        due
    }

    fn start(&self, due: Timestamp) -> Result<Option<Arc<Stored>>, ApiError> {
        let template = &self.value["spec"]["jobTemplate"];
        // One name a scheduled minute: a second start of the same one is refused by its name.
        let name = format!("{}-{}", self.object.key.name, due.secs() / 60);
        let mut annotations = template["metadata"]["annotations"].clone();
        annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] = due.rfc3339().into();
        let job = json!({
            "metadata": {
                "name": name, "labels": template["metadata"]["labels"], "annotations": annotations,
                "ownerReferences": [pods::owner_reference(&self.object)],
            },
            "spec": template["spec"],
        });
        match self.ctx.cluster.create(*JOB, &self.object.key.namespace, job, &self.actor) {
            Ok(job) => {
                let text = format!("Created job {name}");
                Event::normal(&self.actor.manager, "SuccessfulCreate", &text).record(self.ctx.cluster, &self.object);
                Ok(Some(job))
            }
            Err(e) if e.reason == "AlreadyExists" => Ok(None),
            Err(e) => {
                let text = format!("Error creating job: {e}");
                Event::warning(&self.actor.manager, "FailedCreate", &text).record(self.ctx.cluster, &self.object);
                Err(e)
            }
        }
    }

    /// Deletes the oldest ended Jobs beyond the history limits.
    fn trim(&self, jobs: &[Arc<Stored>]) -> Result<(), ApiError> {
        for (how, field, default) in
            [("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)]
        {
            let limit = usize::try_from(self.value["spec"][field].as_i64().unwrap_or(default)).unwrap_or(0);
            let of_kind: Vec<_> = jobs.iter().filter(|j| ended(&j.value()) == Some(how) && !j.deleting).collect();
            for job in of_kind.iter().take(of_kind.len().saturating_sub(limit)) {
                self.delete(job)?;
            }
        }
        Ok(())
    }

    fn delete(&self, job: &Stored) -> Result<(), ApiError> {
        let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        match self.ctx.cluster.delete(*JOB, &job.key, &options, &self.actor) {
            Ok(_) => {
                let text = format!("Deleted job {}", job.key.name);
                Event::normal(&self.actor.manager, "SuccessfulDelete", &text).record(self.ctx.cluster, &self.object);
                Ok(())
            }
            Err(e) if e.code == 404 => Ok(()),
            Err(e) => Err(e),
        }
    }
}

fn reference(job: &Stored) -> Value {
    json!({
        "kind": "Job", "apiVersion": "batch/v1", "namespace": &*job.key.namespace, "name": &*job.key.name,
        "uid": &*job.uid, "resourceVersion": job.revision.to_string(),
    })
}

fn set_active(status: &mut Value, active: Vec<Value>) {
    // References keep the revision at which they were made; a Job's later changes are no news here.
    let known = status["active"].as_array().cloned().unwrap_or_default();
    let keep = |new: Value| known.iter().find(|k| k["uid"] == new["uid"]).cloned().unwrap_or(new);
    let active: Vec<_> = active.into_iter().map(keep).collect();
    if active.is_empty() {
        status.as_object_mut().map(|s| s.remove("active"));
    } else {
        status["active"] = json!(active);
    }
}
