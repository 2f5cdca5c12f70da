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
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part, Propagation};
use crate::status::ApiError;
use crate::store::{Change, State};

/// More missed starts than this are reported.
const MANY_MISSED: usize = 100;

/// A look comes this long after its time, so that it is surely past (nextScheduleDelta).
const DELTA: Duration = Duration::from_millis(100);

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
        let cron =
            Cron { ctx, object: object.clone(), value: object.value(), actor: Actor::new(self.name()) };
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
        let mut status =
            if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
        let active = self.value["status"]["active"].as_array().cloned().unwrap_or_default();
        let was_active = |uid: &str| active.iter().any(|a| a["uid"] == *uid);
        for job in jobs {
            let value = job.value();
            let known = was_active(&job.uid);
            let Some(how) = ended(&value) else {
                if !known {
                    let text =
                        format!("Saw a job that the controller did not create or forgot: {}", job.key.name);
                    Event::warning(&self.actor.manager, "UnexpectedJob", &text)
                        .record(self.ctx.cluster, &self.object);
                }
                continue;
            };
            if known {
                let text = format!("Saw completed job: {}, condition: {how}", job.key.name);
                Event::normal(&self.actor.manager, "SawCompletedJob", &text)
                    .record(self.ctx.cluster, &self.object);
            }
            let at = value["status"]["completionTime"].as_str().filter(|_| how == "Complete");
            if let Some(at) =
                at.filter(|a| status["lastSuccessfulTime"].as_str().is_none_or(|last| last < *a))
            {
                status["lastSuccessfulTime"] = at.into();
            }
        }
        for lost in active.iter().filter(|a| !jobs.iter().any(|j| a["uid"] == *j.uid)) {
            let text = format!("Active job went missing: {}", lost["name"].as_str().unwrap_or_default());
            Event::normal(&self.actor.manager, "MissingJob", &text).record(self.ctx.cluster, &self.object);
        }
        let known = running.iter().filter(|j| was_active(&j.uid)).map(|j| reference(j)).collect();
        set_active(&mut status, known);
        status
    }

    /// The schedule and its zone; one that cannot be read is reported.
    fn schedule(&self) -> Option<(Schedule, Option<&str>)> {
        let zone = self.value["spec"]["timeZone"].as_str();
        if let Some((name, error)) = zone.and_then(|z| Some((z, kiban_base::cron::check_time_zone(z).err()?)))
        {
            let text = format!("invalid timeZone: {name:?}: {error}");
            Event::warning(&self.actor.manager, "UnknownTimeZone", &text)
                .record(self.ctx.cluster, &self.object);
            return None;
        }
        let text = self.value["spec"]["schedule"].as_str()?;
        // A zone inside the schedule is no longer taken, but honoured where an old one has it.
        match Schedule::parse_with_zone(text) {
            Ok(schedule) => Some((schedule, zone)),
            Err(e) => {
                let text = format!("unparseable schedule: {text:?} : {e}");
                Event::warning(&self.actor.manager, "UnparseableSchedule", &text)
                    .record(self.ctx.cluster, &self.object);
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
        let Some(due) = self.latest_due(&next) else {
            let first = next(self.last_scheduled().unwrap_or(self.object.created));
            return Ok(first.map(|t| t.since(now) + DELTA));
        };
        let again = next(due).map(|t| t.since(now) + DELTA);
        if let Some(limit) = spec["startingDeadlineSeconds"].as_i64()
            && now > due + Duration::from_secs(limit.unsigned_abs())
        {
            let text = format!("Missed scheduled time to start a job: {}", rfc1123(due));
            Event::warning(&self.actor.manager, "MissSchedule", &text).record(self.ctx.cluster, &self.object);
            return Ok(again);
        }
        let name = self.job_name(due);
        let active = status["active"].as_array().cloned().unwrap_or_default();
        if active.iter().any(|a| a["name"] == *name) || self.last_scheduled() == Some(due) {
            return Ok(again);
        }
        match spec["concurrencyPolicy"].as_str() {
            Some("Forbid") if !active.is_empty() => {
                let text =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                Event::normal(&self.actor.manager, "JobAlreadyActive", text)
                    .record(self.ctx.cluster, &self.object);
                return Ok(again);
            }
            Some("Replace") => {
                for job in running.iter().filter(|j| active.iter().any(|a| a["uid"] == *j.uid)) {
                    self.delete(job)?;
                }
                set_active(status, Vec::new());
            }
            _ => {}
        }
        let Some(job) = self.start(&name, due)? else { return Ok(again) };
        let mut active = status["active"].as_array().cloned().unwrap_or_default();
        active.push(reference(&job));
        set_active(status, active);
        status["lastScheduleTime"] = due.rfc3339().into();
        Ok(again)
    }

    fn last_scheduled(&self) -> Option<Timestamp> {
        self.value["status"]["lastScheduleTime"].as_str().and_then(Timestamp::parse)
    }

    /// One name a scheduled minute: a second start of the same one is refused by its name.
    fn job_name(&self, due: Timestamp) -> String {
        format!("{}-{}", self.object.key.name, due.secs() / 60)
    }

    /// The last time at which a Job should have started and has not.
    fn latest_due(&self, next: &dyn Fn(Timestamp) -> Option<Timestamp>) -> Option<Timestamp> {
        let now = self.ctx.now;
        let mut earliest = self.last_scheduled().unwrap_or(self.object.created);
        if let Some(limit) = self.value["spec"]["startingDeadlineSeconds"].as_i64() {
            earliest = earliest.max(now - Duration::from_secs(limit.unsigned_abs()));
        }
        let is_past = |t: &Timestamp| *t <= now;
        let mut due = next(earliest).filter(is_past)?;
        for _ in 0..MANY_MISSED {
            match next(due).filter(is_past) {
                Some(later) => due = later,
                None => return Some(due),
            }
        }
        let text =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        Event::warning(&self.actor.manager, "TooManyMissedTimes", text)
            .record(self.ctx.cluster, &self.object);
        // The next time after T is past exactly while T lies before the last one: found by halves.
        let (mut before, mut after) = (due.secs(), now.secs() + 1);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            match next(Timestamp::from_secs(middle)).filter(is_past) {
                Some(time) => (due, before) = (time, middle),
                None => after = middle,
            }
        }
        Some(due)
    }

    /// Makes the Job of a scheduled time; `None` where there is nothing more to note of it.
    fn start(&self, name: &str, due: Timestamp) -> Result<Option<Arc<Stored>>, ApiError> {
        let template = &self.value["spec"]["jobTemplate"];
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
                Event::normal(&self.actor.manager, "SuccessfulCreate", &text)
                    .record(self.ctx.cluster, &self.object);
                Ok(Some(job))
            }
            // Made before a restart and not yet in the status, or somebody else's.
            Err(e) if e.reason == "AlreadyExists" => {
                let key = Key::new(self.object.key.namespace.clone(), name);
                let found = self.ctx.cluster.get(*JOB, &key);
                Ok(found.filter(|j| j.controller().is_some_and(|c| c.uid == self.object.uid)))
            }
            Err(e) if pods::is_terminating(&e) => Ok(None),
            Err(e) => {
                let text = format!("Error creating job: {e}");
                Event::warning(&self.actor.manager, "FailedCreate", &text)
                    .record(self.ctx.cluster, &self.object);
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
            let of_kind: Vec<_> =
                jobs.iter().filter(|j| ended(&j.value()) == Some(how) && !j.deleting).collect();
            for job in of_kind.iter().take(of_kind.len().saturating_sub(limit)) {
                self.delete(job)?;
            }
        }
        Ok(())
    }

    fn delete(&self, job: &Stored) -> Result<(), ApiError> {
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        match self.ctx.cluster.delete(*JOB, &job.key, &options, &self.actor) {
            Ok(_) => {
                let text = format!("Deleted job {}", job.key.name);
                Event::normal(&self.actor.manager, "SuccessfulDelete", &text)
                    .record(self.ctx.cluster, &self.object);
                Ok(())
            }
            Err(e) if e.code == 404 => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// `Mon, 02 Jan 2006 15:04:05 +0000`.
fn rfc1123(time: Timestamp) -> String {
    let zoned =
        jiff::Timestamp::from_second(time.secs()).map(|t| t.to_zoned_datetime(jiff::tz::TimeZone::UTC));
    zoned.map_or_else(|_| time.rfc3339(), |t| t.strftime("%a, %d %b %Y %H:%M:%S %z").to_string())
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
