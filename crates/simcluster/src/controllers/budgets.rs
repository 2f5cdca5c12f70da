//! PodDisruptionBudgets: how many pods may be evicted now.
//!
//! Contract: Kubernetes pkg/controller/disruption.

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::selector::LabelSelector;
use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item, pods};
use crate::kind::{KindId, well_known::*};
use crate::object::Stored;
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// An eviction that was granted and did not happen within this time is forgotten.
const GRANTED_FOR: Duration = Duration::from_secs(120);

/// Keeps budgets' status.
#[derive(Debug, Default)]
pub struct Budgets;

impl Controller for Budgets {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*PDB, *POD, *DEPLOYMENT, *REPLICA_SET, *STATEFUL_SET, *REPLICATION_CONTROLLER]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *PDB {
            items.push(Item { kind: *PDB, key: object.key.clone() });
            return;
        }
        let unchanged = |old: &Arc<Stored>| {
            object.kind == *POD
                && !change.deleted
                && old.pod == object.pod
                && old.labels == object.labels
                && old.deleting == object.deleting
        };
        if change.old.as_ref().is_some_and(unchanged) {
            return;
        }
        if state.range(*PDB, &object.key.namespace, None).next().is_none() {
            return;
        }
        // A workload's size is all that matters of it.
        let size = |o: &Stored| o.value()["spec"]["replicas"].as_i64();
        if object.kind != *POD
            && !change.deleted
            && change.old.as_ref().is_some_and(|o| size(o) == size(object))
        {
            return;
        }
        for budget in state.range(*PDB, &object.key.namespace, None) {
            // A workload's size matters to budgets by percentage; which one covers it is found there.
            let covers = |o: &Stored, selector: &LabelSelector| selector.matches(o);
            let selector = if object.kind == *POD { Some(selector_of(&budget.value())) } else { None };
            let before = change.old.as_deref().filter(|o| o.labels != object.labels);
            if selector.is_none_or(|s| covers(object, &s) || before.is_some_and(|o| covers(o, &s))) {
                items.push(Item { kind: *PDB, key: budget.key.clone() });
            }
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(budget) = state.get(*PDB, &item.key) else { return Ok(None) };
        let value = budget.value();
        let selector = selector_of(&value);
        let covered: Vec<_> = state
            .range(*POD, &budget.key.namespace, None)
            .filter(|p| selector.matches(&***p))
            .cloned()
            .collect();
        let expected = expected(&state, &value, &covered);
        self.report(ctx, budget, &covered, expected.as_ref().err());
        let (status, again) = status(ctx, &value, &covered, expected);
        if status != value["status"] {
            ctx.cluster.modify(*PDB, &budget.key, Part::Status, &Actor::new(self.name()), |v| {
                v["status"] = status.clone();
            })?;
        }
        Ok(again)
    }
}

impl Budgets {
    fn report(&self, ctx: &Ctx<'_>, budget: &Stored, covered: &[Arc<Stored>], failure: Option<&String>) {
        if covered.is_empty() {
            Event::normal(self.name(), "NoPods", "No matching pods found").record(ctx.cluster, budget);
        }
        if let Some(why) = failure {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            Event::warning(self.name(), "CalculateExpectedPodCountFailed", &text).record(ctx.cluster, budget);
        }
    }
}

fn selector_of(budget: &Value) -> LabelSelector {
    LabelSelector::from_object(&budget["spec"]["selector"]).unwrap_or_else(|_| LabelSelector::nothing())
}

/// Pods expected, and how many of them must stay healthy; the error is why that cannot be told.
fn expected(state: &State, budget: &Value, covered: &[Arc<Stored>]) -> Result<(i64, i64), String> {
    let spec = &budget["spec"];
    let alive = i64::try_from(covered.len()).unwrap_or(i64::MAX);
    if !spec["maxUnavailable"].is_null() {
        let total = controllers_size(state, covered)?;
        let may = pods::scaled(&spec["maxUnavailable"], total, true).unwrap_or(0);
        return Ok((total, (total - may).max(0)));
    }
    if spec["minAvailable"].is_string() {
        let total = controllers_size(state, covered)?;
        return Ok((total, pods::scaled(&spec["minAvailable"], total, true).unwrap_or(0)));
    }
    Ok((alive, spec["minAvailable"].as_i64().unwrap_or(1)))
}

/// The sizes that the pods' controllers want, added up, each once; a pod without a controller adds nothing.
fn controllers_size(state: &State, covered: &[Arc<Stored>]) -> Result<i64, String> {
    let mut sizes = std::collections::BTreeMap::new();
    for pod in covered {
        let Some(owner) = pod.controller() else { continue };
        let Some(found) = state.by_uid(&owner.uid) else {
            return Err(format!("found no controllers for pod \"{}\"", pod.key.name));
        };
        // A ReplicaSet of a Deployment counts as the Deployment.
        let top = found
            .controller()
            .and_then(|o| state.by_uid(&o.uid))
            .filter(|o| o.kind == *DEPLOYMENT)
            .unwrap_or(found);
        if !top.kind.has_subresource("scale") {
            return Err(format!("{} does not implement the scale subresource", top.kind.resource_name()));
        }
        let size = top.value()["spec"]["replicas"].as_i64().unwrap_or(1);
        sizes.insert(top.uid.clone(), size);
    }
    Ok(sizes.values().sum())
}

fn status(
    ctx: &Ctx<'_>,
    budget: &Value,
    covered: &[Arc<Stored>],
    expected: Result<(i64, i64), String>,
) -> (Value, Again) {
    let now = ctx.now;
    let (granted, again) = still_granted(budget, covered, now);
    let healthy = covered
        .iter()
        .filter(|p| pods::is_ready(p) && !p.deleting && !granted.contains_key(&*p.key.name))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let mut status = if budget["status"].is_object() { budget["status"].clone() } else { json!({}) };
    let (condition, expected, desired, allowed) = match expected {
        Ok((expected, desired)) => {
            let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
            let (status, reason) =
                if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            (
                json!({"type": "DisruptionAllowed", "status": status, "reason": reason, "message": ""}),
                expected,
                desired,
                allowed,
            )
        }
        Err(why) => {
            let condition = json!({"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": why});
            let old = |key: &str| status[key].as_i64().unwrap_or(0);
            (condition, old("expectedPods"), old("desiredHealthy"), 0)
        }
    };
    for (field, number) in [
        ("currentHealthy", healthy),
        ("desiredHealthy", desired),
        ("disruptionsAllowed", allowed),
        ("expectedPods", expected),
    ] {
        status[field] = number.into();
    }
    let mut condition = condition;
    condition["observedGeneration"] = budget["metadata"]["generation"].clone();
    status["observedGeneration"] = budget["metadata"]["generation"].clone();
    if granted.is_empty() {
        status.as_object_mut().map(|s| s.remove("disruptedPods"));
    } else {
        status["disruptedPods"] = Value::Object(granted);
    }
    pods::set_condition(&mut status, condition, now);
    (status, again)
}

/// Evictions granted whose pod is still there and not yet going; and when the first is forgotten.
fn still_granted(
    budget: &Value,
    covered: &[Arc<Stored>],
    now: Timestamp,
) -> (serde_json::Map<String, Value>, Again) {
    let mut again = None;
    let granted = budget["status"]["disruptedPods"].as_object().cloned().unwrap_or_default();
    let kept = granted.into_iter().filter(|(name, at)| {
        let waits = covered.iter().any(|p| *p.key.name == **name && !p.deleting);
        let until = at.as_str().and_then(Timestamp::parse).map(|t| t + GRANTED_FOR);
        let open = waits && until.is_some_and(|u| u > now);
        if let (true, Some(until)) = (open, until) {
            let wait = until.since(now);
            again = Some(again.map_or(wait, |a: Duration| a.min(wait)));
        }
        open
    });
    let kept = kept.collect();
    (kept, again)
}
