//! The writing half of an apply: does what the plan says and decides nothing.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use super::event::{Event, Outcome, Progress};
use super::{ApplyError, MANAGER, Options, Request, wait};
use crate::client::{APPLY_PATCH, ApiError, Call, Cluster, JSON, JSON_PATCH};
use crate::inventory::Inventory;
use crate::object::{ObjectId, WAVE_COUNT, text_at, wave};
use crate::plan::{Item, Plan, Removal, Verdict, apply_call, conflicts, decided, inventory_path, takes_over};
use crate::readiness::{blocks_apply, readiness};
use crate::takeover;

/// True when the plan writes nothing at all.
pub(super) fn is_noop(plan: &Plan, request: &Request) -> bool {
    let settled = plan.items.iter().all(|i| i.verdict == Verdict::Unchanged) && plan.removals.is_empty();
    let last = last_inventory(plan, request);
    settled && plan.inventory.as_ref().map_or(last.objects.is_empty(), |known| *known == last)
}

/// Refuses before the first write what could not be recorded later.
pub(super) fn fits(plan: &Plan, request: &Request) -> Result<(), ApplyError> {
    union(plan, request).write(&request.namespace)?;
    Ok(())
}

/// Tells what the plan is, and the fate of what it leaves alone.
pub(super) fn tell_plan(plan: &Plan, progress: &Progress<'_>) {
    progress.tell(Event::Planned {
        create: plan.count(|v| matches!(v, Verdict::Create | Verdict::Deferred(_))),
        configure: plan.count(|v| *v == Verdict::Configure),
        unchanged: plan.count(|v| *v == Verdict::Unchanged),
        prune: plan.removals.len(),
    });
    for (id, _) in &plan.skipped {
        progress.done(id, Outcome::SkippedMissingKind);
    }
    for (id, (_, why)) in &plan.kept {
        progress.done(id, Outcome::Kept(why.clone()));
    }
    for item in &plan.items {
        if let Some(outcome) = decided(&item.verdict) {
            progress.done(&item.id, outcome);
        }
    }
}

/// What is left to do where nothing is written.
pub(super) async fn wait_only(cluster: &Cluster, plan: &Plan, options: &Options, progress: &Progress<'_>) {
    let now = plan.items.iter().filter_map(|i| Some((i, i.live.clone()?))).collect();
    await_ready(cluster, now, options, progress).await;
}

/// Creates the app's own Namespace, in which lease and inventory will live. False where that fails.
pub(super) async fn make_namespace(
    cluster: &Cluster,
    request: &Request,
    plan: &Plan,
    options: &Options,
    progress: &Progress<'_>,
) -> bool {
    let ours =
        |i: &&Item| i.id.group.is_empty() && i.id.kind == "Namespace" && i.id.name == request.namespace;
    let Some(item) = plan.items.iter().find(ours) else { return true };
    apply_one(cluster, plan, item, options, progress).await.is_some()
}

/// Marks everything without a fate as not attempted.
pub(super) fn not_attempted(plan: &Plan, progress: &Progress<'_>) {
    let known = progress.report().outcomes;
    let rest = plan.items.iter().map(|i| &i.id).chain(plan.removals.iter().map(|r| &r.id));
    for id in rest.filter(|id| !known.contains_key(*id)) {
        progress.record(id, Outcome::NotAttempted);
    }
}

/// True when somebody wrote the inventory since the plan was made.
pub(super) async fn inventory_changed(
    cluster: &Cluster,
    request: &Request,
    plan: &Plan,
) -> Result<bool, ApplyError> {
    match cluster.call(&Call::get(inventory_path(request))).await {
        Ok(answer) => {
            let revision = text_at(&answer.body, &["metadata", "resourceVersion"]).unwrap_or("");
            Ok(revision != plan.inventory_revision)
        }
        Err(e) if e.is_not_found() => Ok(plan.inventory.is_some()),
        Err(e) => Err(e.into()),
    }
}

/// Writes what the plan says.
pub(super) async fn run(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    plan: &Plan,
    progress: &Progress<'_>,
) -> Result<(), ApplyError> {
    let mut record = Record::new(cluster, request, plan);
    record.write(union(plan, request)).await?;
    let mut live: Vec<(&Item, Value)> =
        plan.items.iter().filter_map(|i| Some((i, i.live.clone()?))).collect();
    for wave in 0..WAVE_COUNT {
        let items = plan.items.iter().filter(|i| i.wave == wave && i.verdict != Verdict::Unchanged);
        let writes = items.map(|item| {
            let applied = apply_one(cluster, plan, item, options, progress);
            async move { Some((item, applied.await?)) }.boxed()
        });
        let applied = side_by_side(writes.collect(), options.concurrency).await;
        for (item, object) in applied.into_iter().flatten() {
            live.retain(|(known, _)| known.id != item.id);
            live.push((item, object));
        }
        if progress.failed() {
            not_attempted(plan, progress);
            return Ok(());
        }
        if wave == 1 && !plan.kinds_to_come.is_empty() {
            let definitions = live.iter().filter(|(i, _)| i.id.kind == "CustomResourceDefinition");
            await_ready(cluster, definitions.cloned().collect(), options, progress).await;
            cluster.forget_kinds().await;
        }
    }
    record.write(after_waves(plan, request)).await?;
    await_ready(cluster, live, options, progress).await;
    if !progress.report().not_ready.is_empty() {
        not_attempted(plan, progress);
        return Ok(());
    }
    let gone = prune(cluster, request, plan, options, progress).await;
    if plan.removals.iter().any(|r| is_own_namespace(r, request)) {
        return Ok(());
    }
    let mut last = after_waves(plan, request);
    last.objects.retain(|id, _| !gone.contains(id));
    record.write(last).await
}

fn is_own_namespace(removal: &Removal, request: &Request) -> bool {
    removal.id.group.is_empty() && removal.id.kind == "Namespace" && removal.id.name == request.namespace
}

/// The inventory before the first change: what it listed, and what comes.
fn union(plan: &Plan, request: &Request) -> Inventory {
    let last = plan.inventory.clone().unwrap_or_else(|| Inventory::empty(&request.app, &request.env));
    let entries = plan.entries();
    if entries.keys().all(|id| last.objects.contains_key(id)) && plan.inventory.is_some() {
        return last;
    }
    let mut union = last.union(&entries);
    union.applying = Some(request.commit.clone());
    union
}

/// The inventory when everything is applied and nothing pruned.
fn after_waves(plan: &Plan, request: &Request) -> Inventory {
    let mut inventory = last_inventory(plan, request);
    let listed = plan.inventory.as_ref().map(|i| &i.objects);
    let pending = plan.removals.iter().filter_map(|r| Some((r.id.clone(), listed?.get(&r.id)?.clone())));
    inventory.objects.extend(pending);
    inventory
}

/// The inventory when all is done: what is rendered, what stays though it is not, and what was left out
/// because the target does not know its kind any more.
fn last_inventory(plan: &Plan, request: &Request) -> Inventory {
    let mut objects = plan.entries();
    let kept = plan.kept.iter().filter(|(_, (_, why))| !why.is_given_up());
    objects.extend(kept.map(|(id, (entry, _))| (id.clone(), entry.clone())));
    let listed = plan.inventory.as_ref().map(|i| &i.objects);
    for (id, _) in &plan.skipped {
        let placed = ObjectId { namespace: request.namespace.clone(), ..id.clone() };
        for id in [id, &placed] {
            if let Some(entry) = listed.and_then(|l| l.get(id)) {
                objects.insert(id.clone(), entry.clone());
            }
        }
    }
    Inventory {
        app: request.app.clone(),
        env: request.env.clone(),
        commit: request.commit.clone(),
        applying: None,
        objects,
    }
}

/// Writes the inventory, each time upon the revision that it wrote before: whoever else wrote it in
/// between is found out.
struct Record<'a> {
    cluster: &'a Cluster,
    request: &'a Request,
    written: Option<Inventory>,
    revision: String,
}

impl<'a> Record<'a> {
    fn new(cluster: &'a Cluster, request: &'a Request, plan: &Plan) -> Self {
        let (written, revision) = (plan.inventory.clone(), plan.inventory_revision.clone());
        Self { cluster, request, written, revision }
    }

    async fn write(&mut self, inventory: Inventory) -> Result<(), ApplyError> {
        if self.written.as_ref() == Some(&inventory) {
            return Ok(());
        }
        if inventory.objects.is_empty() {
            return self.remove().await;
        }
        let mut object = inventory.write(&self.request.namespace)?;
        if !self.revision.is_empty() {
            object["metadata"]["resourceVersion"] = json!(self.revision);
        }
        let path = inventory_path(self.request);
        let query = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict&force=true");
        let call = Call::new(Method::PATCH, query, Some(object), APPLY_PATCH);
        let body = match self.cluster.call(&call).await {
            Ok(answer) => answer.body,
            // The answer to our own write may have got lost, so that its repetition met itself.
            Err(e) if e.is_conflict() => self.find_own(&inventory, e).await?,
            Err(e) => return Err(e.into()),
        };
        self.revision = text_at(&body, &["metadata", "resourceVersion"]).unwrap_or("").into();
        self.written = Some(inventory);
        Ok(())
    }

    /// An inventory of nothing is none: the app is gone from this environment.
    async fn remove(&mut self) -> Result<(), ApplyError> {
        if self.written.take().is_none() {
            return Ok(());
        }
        let preconditions = json!({"resourceVersion": std::mem::take(&mut self.revision)});
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
        let call = Call::new(Method::DELETE, inventory_path(self.request), Some(body), JSON);
        match self.cluster.call(&call).await {
            Ok(_) => Ok(()),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    async fn find_own(&self, inventory: &Inventory, conflict: ApiError) -> Result<Value, ApplyError> {
        let found = self.cluster.call(&Call::get(inventory_path(self.request))).await?.body;
        if Inventory::read(&found).as_ref() == Ok(inventory) { Ok(found) } else { Err(conflict.into()) }
    }
}

/// Applies one object and records its fate. The object as the server has it, or none.
async fn apply_one(
    cluster: &Cluster,
    plan: &Plan,
    item: &Item,
    options: &Options,
    progress: &Progress<'_>,
) -> Option<Value> {
    let call = apply_call(item, false, options.force_conflicts);
    let note = progress.retries(item.id.to_string());
    if takes_over(item, options)
        && let Err(error) = take_over(cluster, item).await
    {
        progress.done(&item.id, Outcome::Failed(error.to_string()));
        return None;
    }
    // A kind that was just defined takes the server a moment to serve.
    let mut patience = if plan.kinds_to_come.contains(&item.resource.gvk) { 8 } else { 0 };
    let answer = loop {
        match cluster.call_noting(&call, &note).await {
            Err(e) if e.is_not_found() && patience > 0 => {
                patience -= 1;
                tokio::time::sleep(cluster.pause(3, None)).await;
            }
            answer => break answer,
        }
    };
    match answer {
        Ok(answer) => {
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
        Err(error) => {
            let conflicts = error.refusal().map(conflicts).unwrap_or_default();
            let failed = if conflicts.is_empty() {
                Outcome::Failed(error.to_string())
            } else {
                Outcome::Conflict(conflicts)
            };
            progress.done(&item.id, failed);
            None
        }
    }
}

/// Moves what kubectl's client-side apply owns to this program. An object that changes meanwhile is read
/// and tried again.
async fn take_over(cluster: &Cluster, item: &Item) -> Result<(), ApiError> {
    const TRIES: u32 = 5;
    let path = item.resource.object(&item.id.namespace, &item.id.name);
    let mut object = item.live.clone().unwrap_or_default();
    for failed in 1.. {
        let Some(patch) = takeover::patch(&object) else { break };
        let query = format!("{path}?fieldManager={MANAGER}");
        match cluster.call(&Call::new(Method::PATCH, query, Some(patch), JSON_PATCH)).await {
            Err(e) if e.is_conflict() && failed < TRIES => {
                tokio::time::sleep(cluster.pause(failed, None)).await;
                object = cluster.call(&Call::get(path.clone())).await?.body;
            }
            other => return other.map(|_| ()),
        }
    }
    Ok(())
}

/// Runs all to their end, so many at a time.
async fn side_by_side<T>(work: Vec<BoxFuture<'_, T>>, at_a_time: usize) -> Vec<T> {
    stream::iter(work).buffer_unordered(at_a_time.max(1)).collect().await
}

/// Waits for those that are not ready yet.
async fn await_ready(
    cluster: &Cluster,
    live: Vec<(&Item, Value)>,
    options: &Options,
    progress: &Progress<'_>,
) {
    if !options.wait {
        return;
    }
    let now = cluster.clock().now();
    let pending = live.into_iter().filter(|(_, object)| blocks_apply(object, &readiness(object, now)));
    let pending = pending.map(|(item, object)| wait::Target {
        id: item.id.clone(),
        resource: item.resource.clone(),
        last: Some(object),
    });
    let left = wait::until_ready(cluster, pending.collect(), options.timeout, progress).await;
    progress.not_ready(left);
}

/// Deletes what is to go, wave by wave in the opposite order, and waits until it is gone. Returns what
/// the inventory need not list any more.
async fn prune(
    cluster: &Cluster,
    request: &Request,
    plan: &Plan,
    options: &Options,
    progress: &Progress<'_>,
) -> Vec<ObjectId> {
    let mut gone = Vec::new();
    let wave_of = |r: &Removal| wave(&r.id.group, &r.id.kind, r.resource.namespaced);
    for wave in (0..WAVE_COUNT).rev() {
        let removals = plan.removals.iter().filter(|r| wave_of(r) == wave);
        if removals.clone().any(|r| is_own_namespace(r, request)) {
            progress.leave();
        }
        let deletes = removals.map(|removal| {
            let deleted = delete(cluster, removal, options.timeout, progress);
            async move { (removal, deleted.await) }.boxed()
        });
        let done = side_by_side(deletes.collect(), options.concurrency).await;
        for (removal, result) in done {
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

async fn delete(
    cluster: &Cluster,
    removal: &Removal,
    timeout: Duration,
    progress: &Progress<'_>,
) -> Result<(), String> {
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    if !removal.uid.is_empty() {
        body["preconditions"] = json!({"uid": removal.uid});
    }
    let path = removal.resource.object(&removal.id.namespace, &removal.id.name);
    let call = Call::new(Method::DELETE, path, Some(body), JSON);
    match cluster.call_noting(&call, &progress.retries(removal.id.to_string())).await {
        Ok(_) => {}
        Err(e) if e.is_not_found() => return Ok(()),
        Err(e) => return Err(format!("it could not be deleted: {e}")),
    }
    wait::until_gone(cluster, removal, timeout, progress).await
}
