//! Deployments: one ReplicaSet a template, scaled against each other.
//!
//! Contract: Kubernetes pkg/controller/deployment.

mod progress;
mod sets;

use std::sync::Arc;

use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item, pods, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::Stored;
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};
use sets::{Set, Sets};

/// Rolls Deployments out.
#[derive(Debug, Default)]
pub struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*DEPLOYMENT, *REPLICA_SET, *POD]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *DEPLOYMENT {
            items.push(Item { kind: *DEPLOYMENT, key: object.key.clone() });
        } else if object.kind == *REPLICA_SET {
            workload::wake_owner(&[*DEPLOYMENT], change, items);
            if object.controller().is_none() && !change.deleted {
                workload::wake_selectors(*DEPLOYMENT, state, object, items);
            }
        } else if change.deleted {
            // A Recreate rollout waits for the last old pod to go.
            let set = object.controller().and_then(|o| state.by_uid(&o.uid));
            let owner = set.and_then(|s| s.controller());
            if let Some(owner) = owner.filter(|o| DEPLOYMENT.is(&o.group, &o.kind)) {
                let key = crate::object::Key::new(object.key.namespace.clone(), owner.name.clone());
                items.push(Item { kind: *DEPLOYMENT, key });
            }
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*DEPLOYMENT, &item.key) else { return Ok(None) };
        let value = object.value();
        let before = value["status"].clone();
        let mut rollout =
            Rollout { ctx, object: object.clone(), value, before, actor: Actor::new(self.name()) };
        rollout.sync(&state)
    }
}

/// One Deployment being looked at.
struct Rollout<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    /// The Deployment; its conditions change on the way and are written at the end.
    value: Value,
    /// Its status as it was found.
    before: Value,
    actor: Actor,
}

/// Which parts of the status a sync sees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Counts and availability: the Deployment is paused, scaled or deleted.
    Counts,
    /// Progress and failures too.
    Progress,
}

impl Rollout<'_> {
    fn sync(&mut self, state: &State) -> Result<Again, ApiError> {
        if self.object.deleting {
            let sets = Sets::of(state, &self.object, &self.value);
            return self.finish(&sets, Look::Counts);
        }
        self.claim(state)?;
        let state = &self.ctx.state();
        let mut sets = Sets::of(state, &self.object, &self.value);
        self.note_pause();
        if self.is_paused() || self.is_scaling(&sets) {
            self.refresh_new(&mut sets)?;
            self.scale_all(&mut sets)?;
            if self.is_paused() {
                self.trim(&sets)?;
            }
            return self.finish(&sets, Look::Counts);
        }
        let moved = if self.value["spec"]["strategy"]["type"] == "Recreate" {
            self.recreate(state, &mut sets)?
        } else {
            self.roll(&mut sets)?
        };
        if !moved && progress::is_complete(self, &self.value["status"]) {
            self.trim(&sets)?;
        }
        self.finish(&sets, Look::Progress)
    }

    fn is_paused(&self) -> bool {
        self.value["spec"]["paused"] == true
    }

    /// Says in the conditions that the rollout was paused or resumed, which stops and starts its deadline.
    fn note_pause(&mut self) {
        if progress::deadline(&self.value).is_none() {
            return;
        }
        let reason =
            pods::condition(&self.value, "Progressing").map(|c| c["reason"].clone()).unwrap_or_default();
        // A failure to progress is not papered over.
        if reason == "ProgressDeadlineExceeded" {
            return;
        }
        if self.is_paused() && reason != "DeploymentPaused" {
            self.note("Unknown", "DeploymentPaused", "Deployment is paused".into());
        } else if !self.is_paused() && reason == "DeploymentPaused" {
            self.note("Unknown", "DeploymentResumed", "Deployment is resumed".into());
        }
    }

    /// Sets the Progressing condition.
    fn note(&mut self, status: &str, reason: &str, message: String) {
        let condition =
            json!({"type": "Progressing", "status": status, "reason": reason, "message": message});
        progress::set(&mut self.value["status"], condition, self.ctx.now);
    }

    fn replicas(&self) -> i64 {
        self.value["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    /// How many pods may be above and below the number asked for.
    fn bounds(&self) -> (i64, i64) {
        let strategy = &self.value["spec"]["strategy"];
        if strategy["type"] == "Recreate" {
            return (0, 0);
        }
        let rolling = &strategy["rollingUpdate"];
        let replicas = self.replicas();
        let surge = pods::scaled(&rolling["maxSurge"], replicas, true).unwrap_or(1);
        let unavailable = pods::scaled(&rolling["maxUnavailable"], replicas, false).unwrap_or(1);
        // With both at zero nothing could ever move.
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(replicas)) }
    }

    /// Takes orphaned sets that the selector matches, lets those go that it matches no more.
    fn claim(&self, state: &State) -> Result<(), ApiError> {
        let selector = workload::selector_of(*DEPLOYMENT, &self.value);
        for set in state.range(*REPLICA_SET, &self.object.key.namespace, None) {
            match set.controller() {
                None if !set.deleting && selector.matches(&**set) => {
                    pods::adopt(self.ctx, &self.object, set, &self.actor)?;
                }
                Some(owner) if owner.uid == self.object.uid && !selector.matches(&**set) => {
                    pods::release(self.ctx, &self.object, set, &self.actor)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The number asked for changed while sets exist: they keep their proportions.
    fn is_scaling(&self, sets: &Sets) -> bool {
        sets.all()
            .filter(|s| s.replicas > 0)
            .any(|s| s.annotation("desired-replicas").is_some_and(|d| d != self.replicas()))
    }

    /// One step of a rolling update; whether a set was scaled.
    fn roll(&mut self, sets: &mut Sets) -> Result<bool, ApiError> {
        self.ensure_new(sets)?;
        let (surge, unavailable) = self.bounds();
        let replicas = self.replicas();
        // Up first, one step a round; then down as far as availability allows.
        if let Some(new) = sets.new.clone() {
            let wanted = new_replicas(new.replicas, sets.live_total(), replicas, surge);
            if wanted != new.replicas {
                sets.replace(self.scale(&new, wanted)?);
                return Ok(true);
            }
        }
        self.scale_down_old(sets, replicas - unavailable)
    }

    fn scale_down_old(&self, sets: &mut Sets, min_available: i64) -> Result<bool, ApiError> {
        let new_unavailable = sets.new.as_ref().map_or(0, |n| n.replicas - n.available);
        let mut budget = sets.total() - min_available - new_unavailable;
        if budget <= 0 || sets.old_total() == 0 {
            return Ok(false);
        }
        let mut moved = false;
        let mut old: Vec<Set> = sets.old.clone();
        old.sort_by_key(|s| s.object.created);
        // Pods that are not available cost nothing to lose.
        for set in &mut old {
            let broken = (set.replicas - set.available).min(budget).max(0);
            if set.replicas > 0 && broken > 0 {
                *set = self.scale(set, set.replicas - broken)?;
                budget -= broken;
                moved = true;
            }
        }
        let available = old.iter().chain(sets.new.iter()).map(|s| s.available.min(s.replicas)).sum::<i64>();
        let mut spare = available - min_available;
        for set in &mut old {
            let down = set.replicas.min(spare).max(0);
            if down > 0 {
                *set = self.scale(set, set.replicas - down)?;
                spare -= down;
                moved = true;
            }
        }
        for set in old {
            sets.replace(set);
        }
        Ok(moved)
    }

    fn recreate(&mut self, state: &State, sets: &mut Sets) -> Result<bool, ApiError> {
        self.refresh_new(sets)?;
        let mut scaled_down = false;
        for set in sets.old.clone().iter().filter(|s| s.replicas > 0) {
            sets.replace(self.scale(set, 0)?);
            scaled_down = true;
        }
        let running = sets
            .old
            .iter()
            .any(|s| pods::owned(state, &s.object).any(|p| p.pod.is_some_and(|d| !d.phase.is_terminal())));
        if scaled_down || running {
            return Ok(true);
        }
        self.ensure_new(sets)?;
        if let Some(new) = sets.new.clone().filter(|n| n.replicas != self.replicas()) {
            sets.replace(self.scale(&new, self.replicas())?);
            return Ok(true);
        }
        Ok(false)
    }

    /// Brings the sets to the number asked for without a step of the rollout
    /// (deployment/sync.go, scale).
    fn scale_all(&self, sets: &mut Sets) -> Result<(), ApiError> {
        let replicas = self.replicas();
        let active: Vec<Set> = sets.all().filter(|s| s.replicas > 0).cloned().collect();
        // One set with pods, or none: it, or the newest, takes the whole number.
        if active.len() <= 1 {
            let latest = || sets.new.clone().or_else(|| sets.old.last().cloned());
            if let Some(set) = active.into_iter().next().or_else(latest) {
                sets.replace(self.scale(&set, replicas)?);
            }
            return Ok(());
        }
        let saturated = |n: &Set| {
            n.replicas == replicas
                && n.available == replicas
                && n.annotation("desired-replicas") == Some(replicas)
        };
        if sets.new.as_ref().is_some_and(saturated) {
            for set in sets.old.clone().iter().filter(|s| s.replicas > 0) {
                sets.replace(self.scale(set, 0)?);
            }
            return Ok(());
        }
        if self.value["spec"]["strategy"]["type"] == "Recreate" {
            return Ok(());
        }
        self.scale_proportionally(sets, active)
    }

    fn scale_proportionally(&self, sets: &mut Sets, mut active: Vec<Set>) -> Result<(), ApiError> {
        let replicas = self.replicas();
        let (surge, _) = self.bounds();
        let allowed = if replicas > 0 { replicas + surge } else { 0 };
        let change = allowed - active.iter().map(|s| s.replicas).sum::<i64>();
        // From the largest on; among equals the newest grows and the oldest shrinks first.
        active.sort_by_key(|s| s.object.created);
        if change > 0 {
            active.reverse();
        }
        active.sort_by_key(|s| -s.replicas);
        let before = self.value["status"]["replicas"].as_i64().unwrap_or(0);
        let mut rest = change;
        let mut sizes = Vec::with_capacity(active.len());
        for set in &active {
            let share = if rest == 0 { 0 } else { set.share(replicas, allowed, before) };
            let share = if change > 0 { share.min(rest) } else { share.max(rest) };
            rest -= share;
            sizes.push(set.replicas + share);
        }
        if let Some(largest) = sizes.first_mut() {
            *largest = (*largest + rest).max(0);
        }
        for (set, size) in active.iter().zip(sizes) {
            sets.replace(self.scale(set, size)?);
        }
        Ok(())
    }

    /// Sets a set's size, with the event and the annotations that go with it.
    fn scale(&self, set: &Set, to: i64) -> Result<Set, ApiError> {
        let (surge, _) = self.bounds();
        let (desired, max) = (self.replicas(), self.replicas() + surge);
        let noted = set.annotation("desired-replicas") == Some(desired)
            && set.annotation("max-replicas") == Some(max);
        if to == set.replicas && noted {
            return Ok(set.clone());
        }
        let updated =
            self.ctx.cluster.modify(*REPLICA_SET, &set.object.key, Part::Main, &self.actor, |value| {
                value["spec"]["replicas"] = to.into();
                sets::annotate(value, "deployment.kubernetes.io/desired-replicas", &desired.to_string());
                sets::annotate(value, "deployment.kubernetes.io/max-replicas", &max.to_string());
            })?;
        if to != set.replicas {
            let direction = if to > set.replicas { "up" } else { "down" };
            let text = format!(
                "Scaled {direction} replica set {} from {} to {to}",
                set.object.key.name, set.replicas
            );
            Event::normal(&self.actor.manager, "ScalingReplicaSet", &text)
                .record(self.ctx.cluster, &self.object);
        }
        Ok(updated.map_or_else(|| set.clone(), Set::of))
    }

    /// Deletes the oldest empty sets beyond the history limit.
    fn trim(&self, sets: &Sets) -> Result<(), ApiError> {
        let Some(limit) =
            self.value["spec"]["revisionHistoryLimit"].as_i64().filter(|l| *l < i64::from(i32::MAX))
        else {
            return Ok(());
        };
        let mut kept: Vec<&Set> = sets.old.iter().filter(|s| !s.object.deleting).collect();
        kept.sort_by_key(|s| s.revision());
        let excess = kept.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for set in kept.into_iter().take(excess).filter(|s| s.is_empty()) {
            match self.ctx.cluster.delete(
                *REPLICA_SET,
                &set.object.key,
                &DeleteOptions::default(),
                &self.actor,
            ) {
                Err(e) if e.code != 404 => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(&self, sets: &Sets, look: Look) -> Result<Again, ApiError> {
        let status = progress::status(self, sets, look);
        let again = progress::recheck(self, &status);
        self.write(&status)?;
        Ok(again)
    }

    /// Writes the status; the collision count is no part of it, which only grows.
    fn write(&self, status: &Value) -> Result<(), ApiError> {
        if *status == self.before {
            return Ok(());
        }
        self.ctx.cluster.modify(*DEPLOYMENT, &self.object.key, Part::Status, &self.actor, |value| {
            let collisions = value["status"]["collisionCount"].clone();
            value["status"] = status.clone();
            if !collisions.is_null() {
                value["status"]["collisionCount"] = collisions;
            }
        })?;
        Ok(())
    }
}

/// How large the new set may be now (deploymentutil.NewRSNewReplicas).
fn new_replicas(current: i64, total: i64, replicas: i64, surge: i64) -> i64 {
    if current > replicas {
        return replicas;
    }
    let room = (replicas + surge - total).max(0);
    (current + room.min(replicas - current)).max(current)
}
