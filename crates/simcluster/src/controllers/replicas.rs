//! ReplicaSets and ReplicationControllers: as many pods as asked for.
//!
//! Contract: Kubernetes pkg/controller/replicaset.

use std::sync::Arc;

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
        if object.controller().is_none() && !change.deleted {
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
        let mut mine: Vec<_> = pods::owned(&state, owner).cloned().collect();
        if !owner.deleting {
            let selector = workload::selector_of(item.kind, &value);
            for orphan in self.orphans.matching(&state, &owner.key.namespace, &selector) {
                pods::adopt(ctx, owner, &orphan, &actor)?;
                mine.push(orphan);
            }
        }
        let active: Vec<_> = mine.iter().filter(|p| pods::is_active(p)).cloned().collect();
        let outcome = if owner.deleting { Ok(()) } else { scale(ctx, owner, &value, &active, &actor) };
        update_status(ctx, owner, &value, &active, outcome.as_ref().err(), &actor)?;
        outcome?;
        let min_ready = value["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        Ok(active.iter().filter_map(|p| pods::becomes_available(p, min_ready, ctx.now)).min())
    }
}

fn scale(
    ctx: &Ctx<'_>,
    owner: &Stored,
    value: &Value,
    active: &[Arc<Stored>],
    actor: &Actor,
) -> Result<(), ApiError> {
    let wanted = usize::try_from(value["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    for _ in 0..wanted.saturating_sub(active.len()).min(BURST) {
        pods::create(ctx, owner, pods::from_template(owner, &value["spec"]["template"]), actor)?;
    }
    if active.len() > wanted {
        let mut ranked: Vec<_> = active.iter().map(|p| (rank(p), p)).collect();
        ranked.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, pod) in ranked.into_iter().take((active.len() - wanted).min(BURST)) {
            pods::delete(ctx, owner, pod, actor)?;
        }
    }
    Ok(())
}

/// The order in which pods go: unbound, pending, unready, cheap, then the youngest
/// (controller_utils.go ActivePodsWithRanks).
fn rank(pod: &Stored) -> (bool, bool, bool, i64, std::cmp::Reverse<i64>, std::cmp::Reverse<i64>) {
    let digest = pod.pod;
    let cost = || {
        let value = pod.value();
        let text = value["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
        text.and_then(|t| t.parse().ok()).unwrap_or(0)
    };
    (
        digest.is_some_and(|p| p.bound),
        digest.is_some_and(|p| p.phase == Phase::Running),
        digest.is_some_and(|p| p.ready),
        cost(),
        std::cmp::Reverse(digest.map_or(0, |p| p.ready_since.secs())),
        std::cmp::Reverse(pod.created.secs()),
    )
}

fn update_status(
    ctx: &Ctx<'_>,
    owner: &Stored,
    value: &Value,
    active: &[Arc<Stored>],
    failure: Option<&ApiError>,
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
    status["observedGeneration"] = value["metadata"]["generation"].clone();
    match failure {
        Some(error) => {
            let condition = json!({
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": error.message,
            });
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
