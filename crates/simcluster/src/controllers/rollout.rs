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
        if object.deleting {
            return Ok(None);
        }
        let rollout = Rollout {
            ctx,
            object: object.clone(),
            value: object.value(),
            actor: Actor::new(self.name()),
        };
        rollout.sync(&state)
    }
}

/// One Deployment being looked at.
struct Rollout<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    value: Value,
    actor: Actor,
}

impl Rollout<'_> {
    fn sync(&self, state: &State) -> Result<Again, ApiError> {
        self.adopt(state)?;
        let mut sets = Sets::of(state, &self.object, &self.value);
        if self.value["spec"]["paused"] == true || self.is_scaling(&sets) {
            self.scale_proportionally(&mut sets)?;
            if self.value["spec"]["paused"] == true {
                self.trim(&sets)?;
            }
            return self.finish(&sets);
        }
        if self.value["spec"]["strategy"]["type"] == "Recreate" {
            self.recreate(state, &mut sets)?;
        } else {
            self.roll(&mut sets)?;
        }
        if sets.complete(self.replicas()) {
            self.trim(&sets)?;
        }
        self.finish(&sets)
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

    fn adopt(&self, state: &State) -> Result<(), ApiError> {
        let selector = workload::selector_of(*DEPLOYMENT, &self.value);
        for set in state.range(*REPLICA_SET, &self.object.key.namespace, None) {
            if set.controller().is_none() && !set.deleting && selector.matches(&**set) {
                pods::adopt(self.ctx, &self.object, set, &self.actor)?;
            }
        }
        Ok(())
    }

    /// The number asked for changed while sets exist: they keep their proportions.
    fn is_scaling(&self, sets: &Sets) -> bool {
        sets.all().filter(|s| s.replicas > 0).any(|s| s.annotation("desired-replicas").is_some_and(|d| d != self.replicas()))
    }

    fn roll(&self, sets: &mut Sets) -> Result<(), ApiError> {
        self.ensure_new(sets)?;
        let (surge, unavailable) = self.bounds();
        let replicas = self.replicas();
        // Up first, one step a round; then down as far as availability allows.
        if let Some(new) = sets.new.as_ref() {
            let wanted = new_replicas(new.replicas, sets.total(), replicas, surge);
            if wanted != new.replicas {
                let set = new.clone();
                let scaled = self.scale(&set, wanted)?;
                sets.replace(scaled);
                return Ok(());
            }
        }
        self.scale_down_old(sets, replicas - unavailable)
    }

    fn scale_down_old(&self, sets: &mut Sets, min_available: i64) -> Result<(), ApiError> {
        let new_unavailable = sets.new.as_ref().map_or(0, |n| n.replicas - n.available);
        let mut budget = sets.total() - min_available - new_unavailable;
        if budget <= 0 || sets.old_total() == 0 {
            return Ok(());
        }
        let mut old: Vec<Set> = sets.old.clone();
        old.sort_by_key(|s| s.object.created);
        // Pods that are not available cost nothing to lose.
        for set in &mut old {
            let broken = (set.replicas - set.available).min(budget).max(0);
            if set.replicas > 0 && broken > 0 {
                *set = self.scale(set, set.replicas - broken)?;
                budget -= broken;
            }
        }
        let mut spare = old.iter().chain(sets.new.iter()).map(|s| s.available.min(s.replicas)).sum::<i64>() - min_available;
        for set in &mut old {
            let down = set.replicas.min(spare).max(0);
            if down > 0 {
                *set = self.scale(set, set.replicas - down)?;
                spare -= down;
            }
        }
        for set in old {
            sets.replace(set);
        }
        Ok(())
    }

    fn recreate(&self, state: &State, sets: &mut Sets) -> Result<(), ApiError> {
        let mut scaled_down = false;
        for set in sets.old.clone().iter().filter(|s| s.replicas > 0) {
            sets.replace(self.scale(set, 0)?);
            scaled_down = true;
        }
        let running = sets.old.iter().any(|s| {
            pods::owned(state, &s.object).any(|p| p.pod.is_some_and(|d| !d.phase.is_terminal()))
        });
        if scaled_down || running {
            return Ok(());
        }
        self.ensure_new(sets)?;
        if let Some(new) = sets.new.clone().filter(|n| n.replicas != self.replicas()) {
            sets.replace(self.scale(&new, self.replicas())?);
        }
        Ok(())
    }

    fn scale_proportionally(&self, sets: &mut Sets) -> Result<(), ApiError> {
        let replicas = self.replicas();
        let active: Vec<Set> = sets.all().filter(|s| s.replicas > 0).cloned().collect();
        let newest = sets.new.clone().or_else(|| sets.old.iter().max_by_key(|s| s.object.created).cloned());
        // One set, or all pods in the newest: it takes the whole number.
        let only = if active.len() <= 1 { active.first().cloned().or(newest) } else { None };
        if let Some(set) = only {
            if set.replicas != replicas || set.annotation("desired-replicas") != Some(replicas) {
                sets.replace(self.scale(&set, replicas)?);
            }
            return Ok(());
        }
        let (surge, _) = self.bounds();
        let allowed = if replicas > 0 { replicas + surge } else { 0 };
        let total = sets.total();
        let mut rest = allowed - total;
        let mut by_size = active;
        by_size.sort_by_key(|s| (-s.replicas, s.object.created));
        for (i, set) in by_size.iter().enumerate() {
            let share = if i == 0 { None } else { Some(set.share(replicas, allowed)) };
            let change = share.unwrap_or(set.share(replicas, allowed));
            let change = if rest > 0 { change.clamp(0, rest) } else { change.clamp(rest, 0) };
            rest -= change;
            sets.replace(self.scale(set, (set.replicas + change).max(0))?);
        }
        if rest != 0
            && let Some(largest) = sets.all().max_by_key(|s| s.replicas).cloned()
        {
            sets.replace(self.scale(&largest, (largest.replicas + rest).max(0))?);
        }
        Ok(())
    }

    /// Sets a set's size, with the event and the annotations that go with it.
    fn scale(&self, set: &Set, to: i64) -> Result<Set, ApiError> {
        let (surge, _) = self.bounds();
        let (desired, max) = (self.replicas().to_string(), (self.replicas() + surge).to_string());
        let updated = self.ctx.cluster.modify(*REPLICA_SET, &set.object.key, Part::Main, &self.actor, |value| {
            value["spec"]["replicas"] = to.into();
            sets::annotate(value, "deployment.kubernetes.io/desired-replicas", &desired);
            sets::annotate(value, "deployment.kubernetes.io/max-replicas", &max);
        })?;
        if to != set.replicas {
            let direction = if to > set.replicas { "up" } else { "down" };
            let text = format!("Scaled {direction} replica set {} from {} to {to}", set.object.key.name, set.replicas);
            Event::normal(&self.actor.manager, "ScalingReplicaSet", &text).record(self.ctx.cluster, &self.object);
        }
        Ok(updated.map_or_else(|| set.clone(), Set::of))
    }

    /// Deletes the oldest empty sets beyond the history limit.
    fn trim(&self, sets: &Sets) -> Result<(), ApiError> {
        let limit = usize::try_from(self.value["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10)).unwrap_or(0);
        let mut empty: Vec<&Set> =
            sets.old.iter().filter(|s| s.replicas == 0 && s.observed_replicas == 0 && !s.object.deleting).collect();
        empty.sort_by_key(|s| s.revision());
        for set in empty.iter().take(empty.len().saturating_sub(limit)) {
            match self.ctx.cluster.delete(*REPLICA_SET, &set.object.key, &DeleteOptions::default(), &self.actor) {
                Err(e) if e.code != 404 => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(&self, sets: &Sets) -> Result<Again, ApiError> {
        let (status, again) = progress::status(self, sets);
        if status != self.value["status"] {
            self.ctx.cluster.modify(*DEPLOYMENT, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(again)
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

/// The status fields of a condition.
fn condition(type_: &str, status: bool, reason: &str, message: String) -> Value {
    json!({"type": type_, "status": if status { "True" } else { "False" }, "reason": reason, "message": message})
}
