//! Namespaces: what each has from the start, and how one empties before it goes.
//!
//! Contract: Kubernetes pkg/controller/namespace and serviceaccount.

use std::collections::BTreeMap;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::json;

use super::{Again, Controller, Ctx, Item, pods};
use crate::kind::{KindId, well_known::*};
use crate::object::Key;
use crate::registry::{Actor, DeleteOptions, Part, Propagation};
use crate::status::ApiError;
use crate::store::{Change, State};

/// How soon a namespace that still holds something is looked at again.
const RECHECK: Duration = Duration::from_millis(50);

/// How long a deleted namespace is left alone, so that who deletes it along with what is in it finds
/// all of it (`namespaceDeletionGracePeriod`); and how long with `--timing fast`.
const GRACE: Duration = Duration::from_secs(5);
const FAST_GRACE: Duration = Duration::from_millis(500);

/// Gives each namespace its default service account, and empties those that are deleted.
#[derive(Debug, Default)]
pub struct Namespaces {
    /// Deleted namespaces, with the time from which on each is emptied.
    due: BTreeMap<Key, Timestamp>,
}

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*NAMESPACE, *SERVICE_ACCOUNT]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *NAMESPACE {
            items.push(Item { kind: *NAMESPACE, key: object.key.clone() });
        } else if change.deleted && &*object.key.name == "default" {
            items.push(Item { kind: *NAMESPACE, key: Key::new("", object.key.namespace.clone()) });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(namespace) = state.get(*NAMESPACE, &item.key) else {
            self.due.remove(&item.key);
            return Ok(None);
        };
        if !namespace.deleting {
            return furnish(ctx, &state, &item.key.name);
        }
        let grace = if ctx.fast { FAST_GRACE } else { GRACE };
        let due = *self.due.entry(item.key.clone()).or_insert(ctx.now + grace);
        if due > ctx.now { Ok(Some(due.since(ctx.now))) } else { empty(ctx, &state, &item.key) }
    }
}

fn furnish(ctx: &Ctx<'_>, state: &State, namespace: &str) -> Result<Again, ApiError> {
    let account = Key::new(namespace, "default");
    if state.get(*SERVICE_ACCOUNT, &account).is_none() {
        let actor = Actor::new("service-account-controller");
        accept_existing(ctx.cluster.create(
            *SERVICE_ACCOUNT,
            namespace,
            json!({"metadata": {"name": "default"}}),
            &actor,
        ))?;
    }
    Ok(None)
}

pub(super) fn accept_existing<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(e) if e.code == 409 || e.code == 403 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// What a namespace that is going away still holds.
#[derive(Debug, Default)]
struct Left {
    /// Objects by kind, as `pods.` or `deployments.apps`.
    objects: BTreeMap<String, usize>,
    /// Objects by the finalizer that holds them.
    finalizers: BTreeMap<String, usize>,
}

/// Deletes everything in a namespace; when nothing is left, lets it go.
fn empty(ctx: &Ctx<'_>, state: &State, key: &Key) -> Result<Again, ApiError> {
    let actor = Actor::new("namespace-controller");
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    let all = ctx.cluster.kinds();
    let kinds = || all.iter().copied().filter(|k| k.info().namespaced);
    for id in kinds() {
        for object in state.range(id, &key.name, None).filter(|o| !o.deleting) {
            match ctx.cluster.delete(id, &object.key, &options, &actor) {
                Err(e) if e.code != 404 => return Err(e),
                _ => {}
            }
        }
    }
    let now = ctx.state();
    let mut left = Left::default();
    for object in kinds().flat_map(|id| now.range(id, &key.name, None)) {
        *left.objects.entry(object.kind.resource_name_dotted()).or_default() += 1;
        if object.finalizers {
            for finalizer in object.value()["metadata"]["finalizers"].as_array().into_iter().flatten() {
                *left.finalizers.entry(finalizer.as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
    }
    if left.objects.is_empty() {
        ctx.cluster.modify(*NAMESPACE, key, Part::Sub("finalize"), &actor, |namespace| {
            // Finalizers of others hold it on.
            if let Some(all) = namespace["spec"]["finalizers"].as_array_mut() {
                all.retain(|f| f != "kubernetes");
            }
        })?;
        return Ok(None);
    }
    report(ctx, key, &left, &actor)?;
    Ok(Some(RECHECK))
}

/// Says in the namespace's conditions what still holds it
/// (namespace/deletion/status_condition_utils.go).
fn report(ctx: &Ctx<'_>, key: &Key, left: &Left, actor: &Actor) -> Result<(), ApiError> {
    let list = |all: &BTreeMap<String, usize>, verb: &str| {
        all.iter()
            .map(|(what, n)| format!("{what} {verb} {n} resource instances"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let finalizers = if left.finalizers.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let text = format!(
            "Some content in the namespace has finalizers remaining: {}",
            list(&left.finalizers, "in")
        );
        ("True", "SomeFinalizersRemain", text)
    };
    let content = format!("Some resources are remaining: {}", list(&left.objects, "has"));
    let conditions = [
        (
            "NamespaceDeletionDiscoveryFailure",
            ("False", "ResourcesDiscovered", "All resources successfully discovered".to_owned()),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            ("False", "ParsedGroupVersions", "All legacy kube types successfully parsed".to_owned()),
        ),
        (
            "NamespaceDeletionContentFailure",
            (
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization".to_owned(),
            ),
        ),
        ("NamespaceContentRemaining", ("True", "SomeResourcesRemain", content)),
        ("NamespaceFinalizersRemaining", finalizers),
    ];
    let now = ctx.now;
    ctx.cluster.modify(*NAMESPACE, key, Part::Status, actor, |namespace| {
        for (type_, (status, reason, message)) in &conditions {
            let condition = json!({"type": type_, "status": status, "reason": reason, "message": message});
            pods::set_condition(&mut namespace["status"], condition, now);
        }
    })?;
    Ok(())
}
