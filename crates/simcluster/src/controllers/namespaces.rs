//! Namespaces: what each has from the start, and how one empties before it goes.
//!
//! Contract: Kubernetes pkg/controller/namespace and serviceaccount.

use std::time::Duration;

use serde_json::json;

use super::{Again, Controller, Ctx, Item, pods};
use crate::kind::{KindId, kind_count, well_known::*};
use crate::object::Key;
use crate::registry::{Actor, DeleteOptions, Desired, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// How soon a namespace that still holds something is looked at again.
const RECHECK: Duration = Duration::from_millis(50);

/// Gives each namespace its default service account and the cluster's certificate, and empties
/// those that are deleted.
#[derive(Debug, Default)]
pub struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*NAMESPACE, *SERVICE_ACCOUNT, *CONFIG_MAP]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *NAMESPACE {
            items.push(Item { kind: *NAMESPACE, key: object.key.clone() });
        } else if change.deleted && matches!(&*object.key.name, "default" | "kube-root-ca.crt") {
            items.push(Item { kind: *NAMESPACE, key: Key::new("", object.key.namespace.clone()) });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(namespace) = state.get(*NAMESPACE, &item.key) else { return Ok(None) };
        if namespace.deleting { empty(ctx, &state, &item.key) } else { furnish(ctx, &state, &item.key.name) }
    }
}

fn furnish(ctx: &Ctx<'_>, state: &State, namespace: &str) -> Result<Again, ApiError> {
    let account = Key::new(namespace, "default");
    if state.get(*SERVICE_ACCOUNT, &account).is_none() {
        let actor = Actor::new("service-account-controller");
        accept_existing(ctx.cluster.create(*SERVICE_ACCOUNT, namespace, json!({"metadata": {"name": "default"}}), &actor))?;
    }
    let certificate = Key::new(namespace, "kube-root-ca.crt");
    if state.get(*CONFIG_MAP, &certificate).is_none() {
        let actor = Actor::new("root-ca-certificate-publisher");
        let map = json!({
            "metadata": {
                "name": "kube-root-ca.crt",
                "annotations": {"kubernetes.io/description": "Trust this to reach the API server from inside the cluster."},
            },
            "data": {"ca.crt": ""},
        });
        accept_existing(ctx.cluster.create(*CONFIG_MAP, namespace, map, &actor))?;
    }
    Ok(None)
}

fn accept_existing<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(e) if e.code == 409 || e.code == 403 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Deletes everything in a namespace; when nothing is left, lets it go.
fn empty(ctx: &Ctx<'_>, state: &State, key: &Key) -> Result<Again, ApiError> {
    let actor = Actor::new("namespace-controller");
    let mut left: Vec<(KindId, usize, usize)> = Vec::new();
    for id in (0..kind_count()).filter_map(|i| u16::try_from(i).ok()).map(KindId).filter(|k| k.info().namespaced) {
        let mut held = 0;
        let mut all = 0;
        for object in state.range(id, &key.name, None) {
            all += 1;
            held += usize::from(object.finalizers);
            if !object.deleting {
                match ctx.cluster.delete(id, &object.key, &DeleteOptions::default(), &actor) {
                    Err(e) if e.code != 404 => return Err(e),
                    _ => {}
                }
            }
        }
        if all > 0 {
            left.push((id, all, held));
        }
    }
    let remaining = ctx.cluster.store().with(|s| {
        left.iter().filter(|(id, ..)| s.range(*id, &key.name, None).next().is_some()).copied().collect::<Vec<_>>()
    });
    if remaining.is_empty() {
        ctx.cluster.modify(*NAMESPACE, key, Part::Sub("finalize"), &actor, |namespace| {
            namespace["spec"]["finalizers"] = json!([]);
        })?;
        return Ok(None);
    }
    report(ctx, key, &remaining, &actor)?;
    Ok(Some(RECHECK))
}

/// Says in the namespace's conditions what still holds it.
fn report(ctx: &Ctx<'_>, key: &Key, left: &[(KindId, usize, usize)], actor: &Actor) -> Result<(), ApiError> {
    let remaining: Vec<_> =
        left.iter().map(|(k, n, _)| format!("{} has {n} resource instances", k.resource_name_dotted())).collect();
    let held: usize = left.iter().map(|(_, _, held)| held).sum();
    let content = json!({
        "type": "NamespaceContentRemaining", "status": "True", "reason": "SomeResourcesRemain",
        "message": format!("Some resources are remaining: {}", remaining.join(", ")),
    });
    let finalizers = json!({
        "type": "NamespaceFinalizersRemaining", "status": if held > 0 { "True" } else { "False" },
        "reason": if held > 0 { "SomeFinalizersRemain" } else { "ContentHasNoFinalizers" },
        "message": format!("{held} objects in the namespace wait for their finalizers"),
    });
    let now = ctx.now;
    let result = ctx.cluster.update(*NAMESPACE, key, Part::Status, actor, |live| {
        let mut next = live.clone();
        pods::set_condition(&mut next["status"], content.clone(), now);
        pods::set_condition(&mut next["status"], finalizers.clone(), now);
        Ok(Desired::Update(next))
    });
    match result {
        Err(e) if e.code != 404 => Err(e),
        _ => Ok(()),
    }
}
