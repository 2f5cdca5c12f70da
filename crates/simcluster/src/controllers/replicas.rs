//! ReplicaSets and ReplicationControllers: as many pods as asked for.
//!
//! Contract: Kubernetes pkg/controller/replicaset.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::pods::{self, Orphans};
use super::{Again, Controller, Ctx, Item, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Phase, Stored};
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// Pods created or deleted in one go (burstReplicas).
const BURST: usize = 500;

/// Keeps the number of pods.
#[derive(Debug, Default)]
pub struct Replicas {
    orphans: Orphans,
}

impl Controller for Replicas {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*REPLICA_SET, *REPLICATION_CONTROLLER, *POD]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind != *POD {
            items.push(Item { kind: object.kind, key: object.key.clone() });
            return;
        }
        self.orphans.see(object, change.deleted);
        workload::wake_owner(&[*REPLICA_SET, *REPLICATION_CONTROLLER], change, items);
        if workload::may_be_adopted(change) {
            workload::wake_selectors(*REPLICA_SET, state, object, items);
            workload::wake_selectors(*REPLICATION_CONTROLLER, state, object, items);
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(owner) = state.get(item.kind, &item.key) else { return Ok(None) };
        let value = owner.value();
        let name = if item.kind == *REPLICA_SET { self.name() } else { "replication-controller" };
        let actor = Actor::new(name);
        let selector = workload::selector_of(item.kind, &value);
        let mine = pods::claim(ctx, &state, owner, &selector, (&self.orphans, &|_| true), &actor)?;
        let active: Vec<_> = mine.iter().filter(|p| pods::is_active(p)).cloned().collect();
        let outcome =
            if owner.deleting { Ok(()) } else { scale(ctx, &state, owner, &value, &active, &actor) };
        let failure = outcome.as_ref().err().map(|e| (wanted(&value) > active.len(), e));
        let going = |p: &&Arc<Stored>| p.deleting && !p.pod.is_some_and(|d| d.phase.is_terminal());
        let terminating = mine.iter().filter(going).count();
        update_status(ctx, owner, &value, (&active, terminating), failure, &actor)?;
        outcome?;
        let min_ready = value["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        Ok(active.iter().filter_map(|p| pods::becomes_available(p, min_ready, ctx.now)).min())
    }
}

fn wanted(value: &Value) -> usize {
    usize::try_from(value["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0)
}

fn scale(
    ctx: &Ctx<'_>,
    state: &State,
    owner: &Stored,
    value: &Value,
    active: &[Arc<Stored>],
    actor: &Actor,
) -> Result<(), ApiError> {
    let wanted = wanted(value);
    for _ in 0..wanted.saturating_sub(active.len()).min(BURST) {
        pods::create(ctx, owner, pods::from_template(owner, &value["spec"]["template"]), actor)?;
    }
    if active.len() > wanted {
        let neighbours = neighbours(state, owner, active);
        let mut ranked: Vec<_> = active.iter().map(|p| (rank(p, &neighbours, ctx.now), p)).collect();
        ranked.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, pod) in ranked.into_iter().take((active.len() - wanted).min(BURST)) {
            pods::delete(ctx, owner, pod, actor)?;
        }
    }
    Ok(())
}

/// How many active pods of the same Deployment each node has (getPodsRankedByRelatedPodsOnSameNode).
fn neighbours(state: &State, owner: &Stored, active: &[Arc<Stored>]) -> BTreeMap<Box<str>, usize> {
    let mut nodes = BTreeMap::new();
    let mut see = |pod: &Stored| {
        if let Some(node) = pod.field("spec.nodeName").filter(|_| pods::is_active(pod)) {
            *nodes.entry(Box::from(node)).or_insert(0) += 1;
        }
    };
    let Some(top) = owner.controller() else {
        active.iter().for_each(|p| see(p));
        return nodes;
    };
    for sibling in state.children(&top.uid).filter(|s| s.kind == owner.kind) {
        pods::owned(state, sibling).for_each(|p| see(p));
    }
    nodes
}

/// The order in which pods go: unbound, pending, unready, cheap, then from the fullest node, then the
/// youngest by powers of two, then the oftenest restarted (controller_utils.go ActivePodsWithRanks).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    bound: bool,
    phase: u8,
    ready: bool,
    cost: i64,
    neighbours: Reverse<usize>,
    ready_age: i64,
    restarts: Reverse<i64>,
    age: i64,
    uid: Arc<str>,
}

fn rank(pod: &Stored, neighbours: &BTreeMap<Box<str>, usize>, now: Timestamp) -> Rank {
    let value = pod.value();
    let cost = value["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
    let restarts = value["status"]["containerStatuses"].as_array().into_iter().flatten();
    let ready = pods::is_ready(pod);
    Rank {
        bound: pod.pod.is_some_and(|p| p.bound),
        phase: match pod.pod.map(|p| p.phase) {
            Some(Phase::Pending) => 0,
            Some(Phase::Unknown) => 1,
            _ => 2,
        },
        ready,
        cost: cost.and_then(|t| t.parse().ok()).unwrap_or(0),
        neighbours: Reverse(pod.field("spec.nodeName").and_then(|n| neighbours.get(n)).copied().unwrap_or(0)),
        ready_age: if ready { magnitude(pod.pod.map_or(now, |p| p.ready_since), now) } else { 0 },
        restarts: Reverse(restarts.filter_map(|c| c["restartCount"].as_i64()).max().unwrap_or(0)),
        age: magnitude(pod.created, now),
        uid: pod.uid.clone(),
    }
}

/// The binary logarithm of an age: pods of about the same age are taken at random.
fn magnitude(since: Timestamp, now: Timestamp) -> i64 {
    let nanos = now.since(since).as_nanos();
    if nanos == 0 { -1 } else { i64::from(nanos.ilog2()) }
}

fn update_status(
    ctx: &Ctx<'_>,
    owner: &Stored,
    value: &Value,
    (active, terminating): (&[Arc<Stored>], usize),
    failure: Option<(bool, &ApiError)>,
    actor: &Actor,
) -> Result<(), ApiError> {
    let min_ready = value["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let template = &value["spec"]["template"]["metadata"]["labels"];
    let labelled = |p: &&Arc<Stored>| {
        let mut pairs = template.as_object().into_iter().flatten();
        pairs.all(|(k, v)| p.label(k) == v.as_str())
    };
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut status = value["status"].clone();
    for (field, number) in [
        ("replicas", active.len()),
        ("fullyLabeledReplicas", active.iter().filter(labelled).count()),
        ("readyReplicas", active.iter().filter(|p| pods::is_ready(p)).count()),
        ("availableReplicas", active.iter().filter(|p| pods::is_available(p, min_ready, ctx.now)).count()),
    ] {
        set_count(&mut status, field, count(number));
    }
    if owner.kind == *REPLICA_SET {
        status["terminatingReplicas"] = count(terminating).into();
    }
    status["observedGeneration"] = value["metadata"]["generation"].clone();
    match failure {
        // The first failure stays until all is well.
        Some(_) if pods::condition(value, "ReplicaFailure").is_some() => {}
        Some((creating, error)) => {
            let reason = if creating { "FailedCreate" } else { "FailedDelete" };
            let condition = json!({"type": "ReplicaFailure", "status": "True", "reason": reason, "message": error.message});
            pods::set_condition(&mut status, condition, ctx.now);
        }
        None => pods::drop_condition(&mut status, "ReplicaFailure"),
    }
    if status["conditions"].as_array().is_some_and(Vec::is_empty) {
        status.as_object_mut().map(|s| s.remove("conditions"));
    }
    if status == value["status"] {
        return Ok(());
    }
    ctx.cluster.modify(owner.kind, &owner.key, Part::Status, actor, |object| {
        object["status"] = status.clone();
    })?;
    Ok(())
}

/// Sets a count; zero is left out but for `replicas`, as Go's omitempty does.
fn set_count(status: &mut Value, field: &str, number: i64) {
    if !status.is_object() {
        *status = json!({});
    }
    if number == 0 && field != "replicas" {
        status.as_object_mut().map(|s| s.remove(field));
    } else {
        status[field] = number.into();
    }
}
