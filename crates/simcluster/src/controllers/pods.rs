//! What the workload controllers share: whose pods, which are ready, how one is made.

use std::sync::Arc;

use kiban_base::clock::Timestamp;
use kiban_base::selector::LabelSelector;
use serde_json::{Map, Value, json};

use super::Ctx;
use super::events::Event;
use crate::kind::{KindId, well_known::POD};
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::State;

/// Pods without a controller, found in passing: what a selector may adopt.
#[derive(Debug, Default)]
pub struct Orphans(std::collections::BTreeSet<Key>);

impl Orphans {
    /// Takes note of a pod.
    pub fn see(&mut self, pod: &Stored, deleted: bool) {
        if deleted || pod.deleting || pod.controller().is_some() {
            self.0.remove(&pod.key);
        } else {
            self.0.insert(pod.key.clone());
        }
    }

    /// Those in a namespace that `selector` matches.
    pub fn matching(&self, state: &State, namespace: &str, selector: &LabelSelector) -> Vec<Arc<Stored>> {
        let start = Key::new(namespace, "");
        self.0
            .range(start..)
            .take_while(|k| &*k.namespace == namespace)
            .filter_map(|k| state.get(*POD, k))
            .filter(|p| p.controller().is_none() && !p.deleting && selector.matches(&***p))
            .cloned()
            .collect()
    }
}

/// The pods of a controller, after it let go those that its selector matches no more and took the
/// orphans that it does match and that are `member`s (controller_ref_manager.go, ClaimPods).
///
/// # Errors
/// What the API answers, apart from 404.
pub fn claim(
    ctx: &Ctx<'_>,
    state: &State,
    owner: &Stored,
    selector: &LabelSelector,
    (orphans, member): (&Orphans, &dyn Fn(&Stored) -> bool),
    actor: &Actor,
) -> Result<Vec<Arc<Stored>>, ApiError> {
    let mut mine = Vec::new();
    for pod in owned(state, owner) {
        if selector.matches(&**pod) {
            mine.push(pod.clone());
        } else if !owner.deleting {
            release(ctx, owner, pod, actor)?;
        }
    }
    if !owner.deleting {
        for orphan in orphans.matching(state, &owner.key.namespace, selector) {
            if member(&orphan) {
                mine.extend(adopt(ctx, owner, &orphan, actor)?);
            }
        }
    }
    Ok(mine)
}

/// Gives an orphan to a controller; `None` where it is gone, going, or another's by now.
///
/// # Errors
/// What the API answers, apart from 404.
pub fn adopt(
    ctx: &Ctx<'_>,
    owner: &Stored,
    orphan: &Stored,
    actor: &Actor,
) -> Result<Option<Arc<Stored>>, ApiError> {
    let reference = owner_reference(owner);
    let adopted = ctx.cluster.modify(orphan.kind, &orphan.key, Part::Main, actor, |object| {
        let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let free = owners.iter().all(|o| o["controller"] != true);
        if free && object["metadata"]["deletionTimestamp"].is_null() {
            owners.push(reference.clone());
            object["metadata"]["ownerReferences"] = json!(owners);
        }
    })?;
    Ok(adopted.filter(|o| o.controller().is_some_and(|c| c.uid == owner.uid)))
}

/// Takes a controller's name off an object that is its own no more.
///
/// # Errors
/// What the API answers, apart from 404.
pub fn release(ctx: &Ctx<'_>, owner: &Stored, object: &Stored, actor: &Actor) -> Result<(), ApiError> {
    ctx.cluster.modify(object.kind, &object.key, Part::Main, actor, |object| {
        let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        owners.retain(|o| o["uid"].as_str() != Some(&*owner.uid));
        if !owners.is_empty() {
            object["metadata"]["ownerReferences"] = json!(owners);
        } else if let Some(meta) = object["metadata"].as_object_mut() {
            meta.remove("ownerReferences");
        }
    })?;
    Ok(())
}

/// The pods that `owner` controls.
pub fn owned<'a>(state: &'a State, owner: &'a Stored) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
    owned_of(state, owner, *POD)
}

/// The objects of a kind that `owner` controls.
pub fn owned_of<'a>(
    state: &'a State,
    owner: &'a Stored,
    kind: KindId,
) -> impl Iterator<Item = &'a Arc<Stored>> + 'a {
    state
        .children(&owner.uid)
        .filter(move |o| o.kind == kind && o.controller().is_some_and(|c| c.uid == owner.uid))
}

/// The pod counts towards its controller: it neither ended nor is it going away.
pub fn is_active(pod: &Stored) -> bool {
    !pod.deleting && pod.pod.is_some_and(|p| !p.phase.is_terminal())
}

/// The pod is ready.
pub fn is_ready(pod: &Stored) -> bool {
    pod.pod.is_some_and(|p| p.ready)
}

/// The pod has been ready for at least `min_ready` seconds.
pub fn is_available(pod: &Stored, min_ready: i64, now: Timestamp) -> bool {
    pod.pod.is_some_and(|p| p.ready && (min_ready <= 0 || now >= available_at(p.ready_since, min_ready)))
}

/// When a pod that is ready now becomes available, if that lies ahead.
pub fn becomes_available(pod: &Stored, min_ready: i64, now: Timestamp) -> Option<std::time::Duration> {
    let digest = pod.pod.filter(|p| p.ready && min_ready > 0)?;
    let at = available_at(digest.ready_since, min_ready);
    (at > now).then(|| at.since(now))
}

fn available_at(since: Timestamp, min_ready: i64) -> Timestamp {
    since + std::time::Duration::from_secs(u64::try_from(min_ready).unwrap_or(0))
}

/// `metadata.ownerReferences` entry of a managing controller.
pub fn owner_reference(owner: &Stored) -> Value {
    json!({
        "apiVersion": owner.kind.api_version(), "kind": owner.kind.info().kind,
        "name": &*owner.key.name, "uid": &*owner.uid, "controller": true, "blockOwnerDeletion": true,
    })
}

/// A pod made from a template, for `owner`.
pub fn from_template(owner: &Stored, template: &Value) -> Value {
    let mut meta = Map::new();
    for copied in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][copied].is_null() {
            meta.insert(copied.into(), template["metadata"][copied].clone());
        }
    }
    meta.insert("generateName".into(), format!("{}-", owner.key.name).into());
    meta.insert("ownerReferences".into(), json!([owner_reference(owner)]));
    json!({"metadata": meta, "spec": template["spec"]})
}

/// Creates a pod and records the event that `kubectl describe` shows of it.
///
/// In a namespace that is going away nothing is made, and nobody is told: the result is `None`.
///
/// # Errors
/// What the API answers; it is recorded as `FailedCreate`.
pub fn create(
    ctx: &Ctx<'_>,
    owner: &Stored,
    pod: Value,
    actor: &Actor,
) -> Result<Option<Arc<Stored>>, ApiError> {
    match ctx.cluster.create(*POD, &owner.key.namespace, pod, actor) {
        Ok(pod) => {
            let text = format!("Created pod: {}", pod.key.name);
            Event::normal(&actor.manager, "SuccessfulCreate", &text).record(ctx.cluster, owner);
            Ok(Some(pod))
        }
        Err(e) if is_terminating(&e) => Ok(None),
        Err(e) => {
            let text = format!("Error creating: {e}");
            Event::warning(&actor.manager, "FailedCreate", &text).record(ctx.cluster, owner);
            Err(e)
        }
    }
}

/// The refusal says that the namespace is going away.
pub fn is_terminating(error: &ApiError) -> bool {
    error.causes.iter().any(|c| c.reason == "NamespaceTerminating")
}

/// Deletes a pod with its grace period and records the event.
///
/// # Errors
/// What the API answers, apart from 404.
pub fn delete(ctx: &Ctx<'_>, owner: &Stored, pod: &Stored, actor: &Actor) -> Result<(), ApiError> {
    let options = DeleteOptions { uid: Some(pod.uid.to_string()), ..DeleteOptions::default() };
    match ctx.cluster.delete(*POD, &pod.key, &options, actor) {
        Ok(_) => {
            let text = format!("Deleted pod: {}", pod.key.name);
            Event::normal(&actor.manager, "SuccessfulDelete", &text).record(ctx.cluster, owner);
            Ok(())
        }
        // Gone, or another pod of the same name: either way this one is no more.
        Err(e) if e.code == 404 || e.reason == "Conflict" => Ok(()),
        Err(e) => Err(e),
    }
}

/// Sets or replaces a condition; its transition time moves only when its status does.
pub fn set_condition(status: &mut Value, mut condition: Value, now: Timestamp) {
    let mut all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().position(|c| c["type"] == condition["type"]);
    let kept = found.filter(|i| all[*i]["status"] == condition["status"]);
    condition["lastTransitionTime"] =
        kept.map_or_else(|| now.rfc3339().into(), |i| all[i]["lastTransitionTime"].clone());
    match found {
        Some(i) => all[i] = condition,
        None => all.push(condition),
    }
    status["conditions"] = json!(all);
}

/// Removes a condition.
pub fn drop_condition(status: &mut Value, type_: &str) {
    if let Some(all) = status["conditions"].as_array_mut() {
        all.retain(|c| c["type"] != type_);
    }
}

/// The condition of a type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == type_)
}

/// `IntOrString` against a total: a percentage is rounded up or down.
pub fn scaled(value: &Value, total: i64, round_up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let product = percent.saturating_mul(total);
    Some(if round_up { product.saturating_add(99).div_euclid(100) } else { product.div_euclid(100) })
}
