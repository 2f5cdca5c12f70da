//! The writing half of an apply: does what the plan says and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;

use super::ledger::{after_waves, last_inventory, union};
use super::wait::{self, Goal, Target};
use crate::client::{ApiError, Cluster};
use crate::error::ApplyError;
use crate::inventory::Inventory;
use crate::lease::Turn;
use crate::migration::MIGRATIONS;
use crate::object::{ObjectId, WAVE_COUNT};
use crate::plan::{self, Item, Plan, Removal, Verdict, decided};
use crate::readiness::{blocks_apply, readiness};
use crate::report::{Event, Outcome, Progress};
use crate::request::{Options, Request};

/// True when the plan writes nothing at all.
pub(super) fn is_noop(plan: &Plan, request: &Request) -> bool {
    let settled = plan.items.iter().all(|i| i.verdict == Verdict::Unchanged) && plan.removals.is_empty();
    let last = last_inventory(plan, request);
    let migrated = request.hold.is_some() || pending_migrations(plan).next().is_none();
    settled && migrated && plan.inventory().map_or(last.objects.is_empty(), |known| *known == last)
}

/// The migrations that are not known to have run.
pub(super) fn pending_migrations(plan: &Plan) -> impl Iterator<Item = &Item> {
    let done = |i: &Item| {
        let known = plan.inventory().and_then(|inventory| inventory.migrations.get(&i.id.name));
        known.is_some_and(|k| i.migrates.as_ref().is_some_and(|m| m.images == k.images))
    };
    plan.items.iter().filter(move |i| i.migrates.is_some() && !done(i))
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
        configure: plan.count(|v| matches!(v, Verdict::Configure | Verdict::Replace)),
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
    let live = plan.items.iter().filter_map(|i| Some((i.id.clone(), i.live.clone()?))).collect();
    await_ready(cluster, plan, live, options, progress).await;
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
    let (recorder, writer) = (cluster.clone(), plan::writer(cluster, request));
    let run = Run { cluster, recorder, writer, request, options, progress };
    run.apply_one(plan, item).await.is_some()
}

/// Marks everything without a fate as not attempted.
pub(super) fn not_attempted(plan: &Plan, progress: &Progress<'_>) {
    let known = progress.report().outcomes;
    let rest = plan.items.iter().map(|i| &i.id).chain(plan.removals.iter().map(|r| &r.id));
    for id in rest.filter(|id| !known.contains_key(*id)) {
        progress.record(id, Outcome::NotAttempted);
    }
}

/// What the steps of the writing half have in common.
pub(super) struct Run<'a> {
    /// As whom things are read.
    pub(super) cluster: &'a Cluster,
    /// The same, for the inventory, within the turn.
    pub(super) recorder: Cluster,
    /// As whom objects are written, within the turn.
    pub(super) writer: Cluster,
    pub(super) request: &'a Request,
    pub(super) options: &'a Options,
    pub(super) progress: &'a Progress<'a>,
}

/// The states of objects as the server answered last, by identity.
pub(super) type Live = BTreeMap<ObjectId, Value>;

impl<'a> Run<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        request: &'a Request,
        options: &'a Options,
        progress: &'a Progress<'a>,
        turn: &Turn,
    ) -> Self {
        let (recorder, writer) = (cluster.within(turn), plan::writer(cluster, request).within(turn));
        Self { cluster, recorder, writer, request, options, progress }
    }

    /// Writes what the plan says.
    pub(super) async fn all(&self, plan: &mut Plan) -> Result<(), ApplyError> {
        let (request, progress, recorder) = (self.request, self.progress, &self.recorder);
        let mut record = plan.record.clone();
        if plan.items.iter().any(|i| i.verdict != Verdict::Unchanged) || !plan.removals.is_empty() {
            record.write(recorder, union(plan, request)).await?;
        }
        let mut live: Live =
            plan.items.iter().filter_map(|i| Some((i.id.clone(), i.live.clone()?))).collect();
        for wave in 0..WAVE_COUNT {
            let done = match wave {
                MIGRATIONS => self.migrate(plan, &mut record, &mut live).await?,
                _ => self.wave(plan, wave, &mut live).await,
            };
            if !done {
                not_attempted(plan, progress);
                return self.within_turn();
            }
            if wave == 1 && !self.second_look(plan, &live).await? {
                not_attempted(plan, progress);
                return Ok(());
            }
        }
        let migrations = record.inventory.as_ref().map(|i| i.migrations.clone()).unwrap_or_default();
        let with_migrations =
            |inventory: Inventory| Inventory { migrations: migrations.clone(), ..inventory };
        record.write(recorder, with_migrations(after_waves(plan, request))).await?;
        await_ready(self.cluster, plan, live, self.options, progress).await;
        if !progress.report().not_ready.is_empty() {
            not_attempted(plan, progress);
            return Ok(());
        }
        let gone = self.prune(plan).await;
        self.within_turn()?;
        if plan.removals.iter().any(|r| is_own_namespace(r, request)) {
            return Ok(());
        }
        let mut last = with_migrations(after_waves(plan, request));
        last.objects.retain(|id, _| !gone.contains(id));
        Ok(record.write(recorder, last).await?)
    }

    /// An error where the turn ended: then what failed did so for that.
    fn within_turn(&self) -> Result<(), ApplyError> {
        match self.writer.turn_is_over() {
            Some(lease) => Err(ApiError::TurnIsOver { lease }.into()),
            None => Ok(()),
        }
    }

    /// Writes the objects of a wave that change. False where something failed.
    async fn wave(&self, plan: &Plan, wave: u8, live: &mut Live) -> bool {
        let items = plan.items.iter().filter(|i| i.wave == wave && i.verdict != Verdict::Unchanged);
        let writes = items.map(|item| {
            let applied = self.apply_one(plan, item);
            async move { Some((item.id.clone(), applied.await?)) }.boxed()
        });
        let applied = side_by_side(writes.collect(), self.options.concurrency).await;
        live.extend(applied.into_iter().flatten());
        !self.progress.failed() && self.writer.turn_is_over().is_none()
    }

    /// After the Namespaces and definitions: waits until they serve, and tries out what could not be
    /// tried out before. False where something of it is refused: then none of it is written.
    async fn second_look(&self, plan: &mut Plan, live: &Live) -> Result<bool, ApplyError> {
        let deferred: BTreeSet<ObjectId> = plan
            .items
            .iter()
            .filter(|i| i.wave > 1 && matches!(i.verdict, Verdict::Deferred(_)))
            .map(|i| i.id.clone())
            .collect();
        if deferred.is_empty() && plan.kinds_to_come.is_empty() {
            return Ok(true);
        }
        if !plan.kinds_to_come.is_empty() {
            let definitions = live.iter().filter(|(id, _)| id.kind == "CustomResourceDefinition");
            let definitions = definitions.map(|(id, object)| (id.clone(), object.clone())).collect();
            let options = Options { wait: true, ..self.options.clone() };
            await_ready(self.cluster, plan, definitions, &options, self.progress).await;
            if !self.progress.report().not_ready.is_empty() {
                return Ok(false);
            }
            self.until_served(plan).await?;
        }
        plan::try_deferred(self.cluster, self.request, self.options, plan, self.progress).await?;
        let problems: Vec<&Item> = plan.problems().filter(|i| deferred.contains(&i.id)).collect();
        for item in &problems {
            if let Some(outcome) = decided(&item.verdict) {
                self.progress.done(&item.id, outcome);
            }
        }
        Ok(problems.is_empty())
    }

    /// Asks for the kinds again until those that were defined are served; a moment, most often.
    async fn until_served(&self, plan: &Plan) -> Result<(), ApplyError> {
        const LOOKS: u32 = 20;
        for look in 1..=LOOKS {
            self.cluster.forget_kinds().await;
            let kinds = self.cluster.kinds().await?;
            if plan.kinds_to_come.iter().all(|gvk| kinds.find(gvk).is_some()) {
                break;
            }
            tokio::time::sleep(self.cluster.pause(look.min(3), None)).await;
        }
        Ok(())
    }
}

pub(super) fn is_own_namespace(removal: &Removal, request: &Request) -> bool {
    removal.id.group.is_empty() && removal.id.kind == "Namespace" && removal.id.name == request.namespace
}

/// Runs all to their end, so many at a time.
pub(super) async fn side_by_side<T>(work: Vec<BoxFuture<'_, T>>, at_a_time: usize) -> Vec<T> {
    stream::iter(work).buffer_unordered(at_a_time.max(1)).collect().await
}

/// Waits for those that are not ready yet.
async fn await_ready(cluster: &Cluster, plan: &Plan, live: Live, options: &Options, progress: &Progress<'_>) {
    if !options.wait {
        return;
    }
    let now = cluster.clock().now();
    let mut targets = Vec::new();
    for item in plan.items.iter().filter(|i| i.migrates.is_none()) {
        let Some(object) = live.get(&item.id) else { continue };
        if !blocks_apply(object, &readiness(object, now)) {
            continue;
        }
        // A deadline that was over before this change says nothing about this change.
        let before = item.live.as_ref().filter(|_| item.verdict == Verdict::Configure);
        let stale = before.and_then(wait::progressing);
        let (id, resource, last) = (item.id.clone(), item.resource.clone(), Some(object.clone()));
        targets.push(Target { id, resource, last, goal: Goal::Ready, stale });
    }
    let left = wait::until_ready(cluster, targets, options.timeout, progress).await;
    progress.not_ready(left);
}
