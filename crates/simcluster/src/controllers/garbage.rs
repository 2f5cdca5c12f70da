//! Garbage collection by owner: what an object leaves behind when it goes.
//!
//! Contract: Kubernetes pkg/controller/garbagecollector.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, kind_count};
use crate::object::Stored;
use crate::registry::{Actor, DeleteOptions, Part, Propagation};
use crate::status::ApiError;
use crate::store::{Change, State};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// How soon an owner that waits for its dependents is looked at again; changes wake it earlier.
const RECHECK: Duration = Duration::from_millis(500);

/// Deletes dependents whose owners are gone, and holds owners whose dependents must go first.
#[derive(Debug, Default)]
pub struct Garbage;

impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn watches(&self) -> Vec<KindId> {
        (0..kind_count()).filter_map(|i| u16::try_from(i).ok()).map(KindId).collect()
    }

    fn watches_custom(&self) -> bool {
        true
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        let item = |o: &Stored| Item { kind: o.kind, key: o.key.clone() };
        if change.deleted {
            items.extend(state.children(&object.uid).map(|child| item(child)));
            // An owner that waits for its dependents may go now.
            for owner in object.owners.iter().filter_map(|o| state.by_uid(&o.uid)) {
                if owner.deleting && owner.finalizers {
                    items.push(item(owner));
                }
            }
            return;
        }
        let new_owners = change.old.as_ref().is_none_or(|o| o.owners != object.owners);
        if (new_owners && !object.owners.is_empty()) || (object.deleting && object.finalizers) {
            items.push(item(object));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(item.kind, &item.key) else { return Ok(None) };
        let actor = Actor::new(self.name());
        if object.deleting && object.finalizers {
            let value = object.value();
            if holds(&value, ORPHAN) {
                return orphan(ctx, &state, object, &actor);
            }
            if holds(&value, FOREGROUND) {
                return foreground(ctx, &state, object, &actor);
            }
        }
        collect(ctx, &state, object, &actor)
    }
}

fn holds(value: &Value, finalizer: &str) -> bool {
    value["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == finalizer))
}

/// How an owner of an object stands (garbagecollector.go, classifyReferences).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is there.
    Solid,
    /// It is there and waits for its dependents to go first.
    Waiting,
    /// It is gone, or of a namespace that the object may not refer to.
    Dangling,
}

fn standing(state: &State, object: &Stored, uid: &str) -> Standing {
    let here = |o: &&Arc<Stored>| o.key.namespace.is_empty() || o.key.namespace == object.key.namespace;
    match state.by_uid(uid).filter(here) {
        Some(owner) if is_waiting(owner) => Standing::Waiting,
        Some(_) => Standing::Solid,
        None => Standing::Dangling,
    }
}

/// The object is being deleted and goes after its dependents.
fn is_waiting(object: &Stored) -> bool {
    object.deleting && object.finalizers && holds(&object.value(), FOREGROUND)
}

/// Deletes an object that only dead owners name; forgets the dead ones where a live one remains.
fn collect(ctx: &Ctx<'_>, state: &State, object: &Arc<Stored>, actor: &Actor) -> Result<Again, ApiError> {
    if object.owners.is_empty() || object.deleting {
        return Ok(None);
    }
    let standings: Vec<_> =
        object.owners.iter().map(|o| (o.uid.clone(), standing(state, object, &o.uid))).collect();
    let any = |s: Standing| standings.iter().any(|(_, x)| *x == s);
    if any(Standing::Solid) {
        if any(Standing::Waiting) || any(Standing::Dangling) {
            // An owner that waits is not held up by what lives on with another.
            let solid = |uid: &str| standings.iter().any(|(u, s)| **u == *uid && *s == Standing::Solid);
            ctx.cluster
                .modify(object.kind, &object.key, Part::Main, actor, |value| retain_owners(value, solid))?;
        }
        return Ok(None);
    }
    let mut dependents = state.children(&object.uid).peekable();
    let propagation = if any(Standing::Waiting) && dependents.peek().is_some() {
        if dependents.any(|d| is_waiting(d)) {
            // Owners in a circle would wait for one another for ever.
            unblock(ctx, object, actor)?;
        }
        // Below an owner that goes last, dependents go in the foreground too.
        Propagation::Foreground
    } else if object.finalizers && holds(&object.value(), ORPHAN) {
        Propagation::Orphan
    } else if object.finalizers && holds(&object.value(), FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let options = DeleteOptions {
        propagation: Some(propagation),
        uid: Some(object.uid.to_string()),
        ..DeleteOptions::default()
    };
    ignore_gone(ctx.cluster.delete(object.kind, &object.key, &options, actor).map(|_| None))
}

/// Lets an object's owners go before it.
fn unblock(ctx: &Ctx<'_>, object: &Stored, actor: &Actor) -> Result<(), ApiError> {
    ctx.cluster.modify(object.kind, &object.key, Part::Main, actor, |value| {
        for owner in value["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
            owner["blockOwnerDeletion"] = false.into();
        }
    })?;
    Ok(())
}

/// Deletes what blocks an owner, and lets the owner go when nothing does.
fn foreground(ctx: &Ctx<'_>, state: &State, owner: &Arc<Stored>, actor: &Actor) -> Result<Again, ApiError> {
    let children: Vec<_> = state.children(&owner.uid).cloned().collect();
    for child in children.iter().filter(|c| !c.deleting) {
        collect(ctx, state, child, actor)?;
    }
    let blocked = ctx.cluster.store().with(|now| {
        now.children(&owner.uid).any(|c| c.owners.iter().any(|o| o.uid == owner.uid && o.blocks))
    });
    if blocked {
        return Ok(Some(RECHECK));
    }
    release(ctx, owner, FOREGROUND, actor)
}

/// Takes an owner's name off its dependents, then lets it go.
fn orphan(ctx: &Ctx<'_>, state: &State, owner: &Arc<Stored>, actor: &Actor) -> Result<Again, ApiError> {
    let children: Vec<_> = state.children(&owner.uid).cloned().collect();
    for child in children {
        ctx.cluster.modify(child.kind, &child.key, Part::Main, actor, |value| {
            retain_owners(value, |uid| uid != &*owner.uid);
        })?;
    }
    release(ctx, owner, ORPHAN, actor)
}

fn release(ctx: &Ctx<'_>, owner: &Stored, finalizer: &str, actor: &Actor) -> Result<Again, ApiError> {
    ctx.cluster.modify(owner.kind, &owner.key, Part::Main, actor, |value| {
        if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
            all.retain(|f| f != finalizer);
        }
    })?;
    Ok(None)
}

fn retain_owners(value: &mut Value, keep: impl Fn(&str) -> bool) {
    let mut owners = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    owners.retain(|o| keep(o["uid"].as_str().unwrap_or_default()));
    if owners.is_empty() {
        value["metadata"].as_object_mut().map(|m| m.remove("ownerReferences"));
    } else {
        value["metadata"]["ownerReferences"] = json!(owners);
    }
}

fn ignore_gone(result: Result<Again, ApiError>) -> Result<Again, ApiError> {
    match result {
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        other => other,
    }
}
