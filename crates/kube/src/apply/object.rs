//! The writing of single objects: applied, migrated, deleted.

use http::Method;
use serde_json::{Value, json};

use futures_util::FutureExt;

use super::execute::{Live, Run, is_own_namespace, not_attempted, pending_migrations, side_by_side};
use super::wait::{self, Goal, Target};
use crate::adopt;
use crate::client::{Answer, ApiError, Call, JSON, JSON_PATCH};
use crate::diagnose::Cause;
use crate::error::ApplyError;
use crate::inventory::Migration;
use crate::object::{ObjectId, WAVE_COUNT, text_at, wave};
use crate::plan::{Item, Plan, Removal, Verdict, apply_call, conflicts, takes_over};
use crate::readiness::Status;
use crate::record::Record;
use crate::report::Outcome;
use crate::request::MANAGER;

impl Run<'_> {
    /// Applies one object and records its fate. The object as the server has it, or none.
    pub(super) async fn apply_one(&self, plan: &Plan, item: &Item) -> Option<Value> {
        let progress = self.progress;
        let mut seen = item.live.clone().filter(|_| item.verdict != Verdict::Replace);
        if item.verdict != Verdict::Replace
            && let Some(taken) = takes_over(item, self.options)
        {
            match self.take_over(item, taken).await {
                Ok(object) => seen = Some(object),
                Err(error) => return self.fail(item, &error),
            }
        }
        let answer = match self.send(plan, item, seen.as_ref()).await {
            Ok(answer) => answer,
            Err(error) => return self.fail(item, &error),
        };
        let revision = |v: &Value| text_at(v, &["metadata", "resourceVersion"]).map(String::from);
        let before = item.live.as_ref().and_then(revision);
        let outcome = match (answer.code, before) {
            (201, _) | (_, None) => Outcome::Created,
            (_, before) if before == revision(&answer.body) => Outcome::Unchanged,
            _ => Outcome::Configured,
        };
        progress.done(&item.id, outcome);
        Some(answer.body)
    }

    fn fail(&self, item: &Item, error: &ApiError) -> Option<Value> {
        let conflicts = error.refusal().map(conflicts).unwrap_or_default();
        let outcome = match error {
            // It says more about the turn than about the object.
            ApiError::TurnIsOver { .. } => Outcome::NotAttempted,
            _ if conflicts.is_empty() => Outcome::Failed(error.to_string()),
            _ => Outcome::Conflict(conflicts),
        };
        self.progress.done(&item.id, outcome);
        None
    }

    /// Sends an object, upon the revision that was seen of it. Where it is another by now, whether the
    /// turn is still ours is asked before the next try.
    async fn send(&self, plan: &Plan, item: &Item, seen: Option<&Value>) -> Result<Answer, ApiError> {
        const TRIES: u32 = 8;
        let note = self.progress.retries(item.id.to_string());
        let revision = |v: &Value| text_at(v, &["metadata", "resourceVersion"]).map(String::from);
        let mut upon = seen.and_then(revision);
        // A kind that was just defined takes the server a moment to serve.
        let mut patience = if plan.kinds_to_come.contains(&item.resource.gvk) { 8 } else { 0 };
        let mut failed = 0;
        loop {
            let mut call = apply_call(item, false, self.options.force_conflicts);
            if let (Some(revision), Some(body)) = (&upon, &mut call.body) {
                body["metadata"]["resourceVersion"] = json!(revision);
            }
            let error = match self.writer.call_noting(&call, &note).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let moved = upon.is_some() && (error.is_conflict() || error.is_not_found());
            if moved && failed < TRIES && error.refusal().is_none_or(|r| conflicts(r).is_empty()) {
                failed += 1;
                self.recorder.still_my_turn().await?;
                upon = self.look(item).await?.as_ref().and_then(revision);
            } else if error.is_not_found() && patience > 0 {
                patience -= 1;
                tokio::time::sleep(self.cluster.pause(3, None)).await;
            } else {
                return Err(error);
            }
        }
    }

    async fn look(&self, item: &Item) -> Result<Option<Value>, ApiError> {
        self.cluster.get(&item.resource, &item.id.namespace, &item.id.name).await
    }

    /// Moves what other tools own to this program. An object that changes meanwhile is read and tried
    /// again. The object as it is then.
    async fn take_over(&self, item: &Item, mut taken: adopt::Migration) -> Result<Value, ApiError> {
        const TRIES: u32 = 5;
        let path = item.resource.object(&item.id.namespace, &item.id.name);
        let mut failed = 0;
        loop {
            let query = format!("{path}?fieldManager={MANAGER}");
            let call = Call::new(Method::PATCH, query, Some(taken.patch.clone()), JSON_PATCH);
            match self.writer.call(&call).await {
                Ok(answer) => {
                    self.progress.adopted(&item.id, taken.adopted);
                    return Ok(answer.body);
                }
                Err(e) if e.is_conflict() && failed < TRIES => {
                    failed += 1;
                    tokio::time::sleep(self.cluster.pause(failed, None)).await;
                    self.recorder.still_my_turn().await?;
                    let object = self.cluster.call(&Call::get(path.clone())).await?.body;
                    let again = Item { live: Some(object.clone()), ..item.clone() };
                    let Some(next) = takes_over(&again, self.options) else { return Ok(object) };
                    taken = next;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the migrations that have not run, one after another. False where one fails.
    pub(super) async fn migrate(
        &self,
        plan: &Plan,
        record: &mut Record,
        live: &mut Live,
    ) -> Result<bool, ApplyError> {
        if self.request.hold.is_some() {
            return Ok(true);
        }
        for item in pending_migrations(plan) {
            let Some(object) = self.start(plan, item, live).await? else { return Ok(false) };
            live.insert(item.id.clone(), object);
            if !self.finish(item, live).await {
                return Ok(false);
            }
            let (Some(migrates), Some(known)) = (&item.migrates, record.inventory.clone()) else { continue };
            let mut inventory = known;
            inventory.migrated(
                &item.id.name,
                Migration {
                    images: migrates.images.clone(),
                    commit: self.request.revision.commit.clone(),
                    reversible: migrates.reversible,
                },
            );
            record.write(&self.recorder, inventory).await?;
        }
        Ok(true)
    }

    /// Sees to it that the migration's Job is there. None where it cannot be.
    async fn start(&self, plan: &Plan, item: &Item, live: &Live) -> Result<Option<Value>, ApplyError> {
        if item.verdict == Verdict::Unchanged {
            return Ok(live.get(&item.id).cloned());
        }
        if let (Verdict::Replace, Some(old)) = (&item.verdict, &item.live) {
            let uid = text_at(old, &["metadata", "uid"]).unwrap_or("").to_owned();
            let (id, resource) = (item.id.clone(), item.resource.clone());
            if let Err(why) = self.delete(&Removal { id, resource, uid, live: old.clone() }).await {
                self.progress.done(&item.id, Outcome::Failed(why));
                return Ok(None);
            }
        }
        Ok(self.apply_one(plan, item).await)
    }

    /// Waits until the migration has ended; one that fails is told with its last log lines.
    async fn finish(&self, item: &Item, live: &mut Live) -> bool {
        let target = Target {
            id: item.id.clone(),
            resource: item.resource.clone(),
            last: live.get(&item.id).cloned(),
            goal: Goal::Finished,
            stale: None,
        };
        let left = wait::until_ready(self.cluster, vec![target], self.options.timeout, self.progress).await;
        let Some(state) = left.get(&item.id) else { return true };
        let mut why = match state.status {
            Status::Failed => format!("the migration failed: {}", state.message),
            Status::NotFound => "the migration's Job is gone".to_owned(),
            _ => {
                format!("the migration did not complete within {:?}: {}", self.options.timeout, state.message)
            }
        };
        let findings = self.progress.report().findings.remove(&item.id).unwrap_or_default();
        for finding in &findings {
            if finding.cause != Cause::JobFailed {
                why.push_str(&format!("; {finding}"));
            }
            for line in &finding.lines {
                why.push_str("\n    ");
                why.push_str(line);
            }
        }
        self.progress.done(&item.id, Outcome::Failed(why));
        false
    }

    /// Deletes what is to go, wave by wave in the opposite order, and waits until it is gone. Returns what
    /// the inventory need not list any more.
    pub(super) async fn prune(&self, plan: &Plan) -> Vec<ObjectId> {
        let progress = self.progress;
        let mut gone = Vec::new();
        let wave_of = |r: &Removal| wave(&r.id.group, &r.id.kind, r.resource.namespaced);
        for wave in (0..WAVE_COUNT).rev() {
            let removals = plan.removals.iter().filter(|r| wave_of(r) == wave);
            if removals.clone().any(|r| is_own_namespace(r, self.request)) {
                progress.leave();
            }
            let deletes = removals.map(|removal| {
                let deleted = self.delete(removal);
                async move { (removal, deleted.await) }.boxed()
            });
            for (removal, result) in side_by_side(deletes.collect(), self.options.concurrency).await {
                match result {
                    Ok(()) => {
                        progress.done(&removal.id, Outcome::Pruned);
                        gone.push(removal.id.clone());
                    }
                    Err(why) => progress.done(&removal.id, Outcome::Failed(why)),
                }
            }
            if progress.failed() {
                not_attempted(plan, progress);
                break;
            }
        }
        gone
    }

    async fn delete(&self, removal: &Removal) -> Result<(), String> {
        let mut body =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if !removal.uid.is_empty() {
            body["preconditions"] = json!({"uid": removal.uid});
        }
        let path = removal.resource.object(&removal.id.namespace, &removal.id.name);
        let call = Call::new(Method::DELETE, path, Some(body), JSON);
        match self.writer.call_noting(&call, &self.progress.retries(removal.id.to_string())).await {
            Ok(_) => {}
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(format!("it could not be deleted: {e}")),
        }
        wait::until_gone(self.cluster, removal, self.options.timeout, self.progress).await
    }
}
