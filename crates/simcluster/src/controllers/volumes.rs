//! Volumes: claims are bound to a volume that is there, or to one made for them at once.
//!
//! Contract: the states of Kubernetes pkg/controller/volume/persistentvolume; there is no storage
//! behind it. Volumes are made only for classes of the embedded provisioner, so that a claim of an
//! unknown class stays Pending as it would on a real cluster.

mod matching;

use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// The provisioner whose classes are served.
pub const PROVISIONER: &str = "sim.kiban.dev/instant";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Who reports about claims.
const REPORTER: &str = "persistentvolume-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The finalizer that holds a claim while a pod uses it, and a volume while a claim is bound to it.
pub fn protection(kind: KindId) -> Option<&'static str> {
    match kind {
        k if k == *PERSISTENT_VOLUME_CLAIM => Some("kubernetes.io/pvc-protection"),
        k if k == *PERSISTENT_VOLUME => Some("kubernetes.io/pv-protection"),
        _ => None,
    }
}

/// Binds claims, and removes volumes whose claim is gone.
#[derive(Debug, Default)]
pub struct Volumes;

impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "persistentvolume-binder"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*PERSISTENT_VOLUME_CLAIM, *PERSISTENT_VOLUME, *POD, *STORAGE_CLASS]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        let claim = |key: Key| Item { kind: *PERSISTENT_VOLUME_CLAIM, key };
        if object.kind == *PERSISTENT_VOLUME_CLAIM {
            items.push(claim(object.key.clone()));
            if change.deleted {
                items.extend(
                    state
                        .objects(*PERSISTENT_VOLUME)
                        .keys()
                        .map(|k| Item { kind: *PERSISTENT_VOLUME, key: k.clone() }),
                );
            }
        } else if object.kind == *PERSISTENT_VOLUME {
            items.push(Item { kind: *PERSISTENT_VOLUME, key: object.key.clone() });
            // A volume that somebody made may be what a claim waits for.
            if change.old.is_none()
                && object.value()["metadata"]["annotations"][PROVISIONED_BY] != PROVISIONER
            {
                items.extend(state.objects(*PERSISTENT_VOLUME_CLAIM).keys().map(|k| claim(k.clone())));
            }
        } else if object.kind == *STORAGE_CLASS {
            items.extend(state.objects(*PERSISTENT_VOLUME_CLAIM).keys().map(|k| claim(k.clone())));
        } else if (change.old.is_none() || change.deleted)
            && !state.objects(*PERSISTENT_VOLUME_CLAIM).is_empty()
        {
            let claims = claims_of(&object.value());
            items.extend(claims.into_iter().map(|n| claim(Key::new(object.key.namespace.clone(), n))));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(item.kind, &item.key) else { return Ok(None) };
        let actor = Actor::new(self.name());
        if object.deleting {
            return let_go(ctx, &state, object).map(|()| None);
        }
        if item.kind == *PERSISTENT_VOLUME {
            reclaim(ctx, &state, object, &actor)?;
        } else {
            bind(ctx, &state, object, &actor)?;
        }
        Ok(None)
    }
}

/// Takes the protection from a deleted claim or volume that nothing uses.
///
/// Contract: Kubernetes pkg/controller/volume/pvcprotection and pvprotection: a pod without a node
/// does not count, for no kubelet will start it.
fn let_go(ctx: &Ctx<'_>, state: &State, object: &Stored) -> Result<(), ApiError> {
    let Some(finalizer) = protection(object.kind).filter(|_| object.finalizers) else { return Ok(()) };
    let used = if object.kind == *PERSISTENT_VOLUME {
        object.value()["spec"]["claimRef"]["uid"].as_str().is_some_and(|uid| state.by_uid(uid).is_some())
    } else {
        users(state, object).any(|p| p.pod.is_some_and(|d| d.bound))
    };
    if used {
        return Ok(());
    }
    let actor = Actor::new("persistentvolume-protection-controller");
    ctx.cluster.modify(object.kind, &object.key, Part::Sub("protection"), &actor, |value| {
        if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
            all.retain(|f| f != finalizer);
        }
    })?;
    Ok(())
}

/// The pods that mount a claim.
fn users<'a>(state: &'a State, claim: &'a Stored) -> impl Iterator<Item = &'a std::sync::Arc<Stored>> {
    // Most pods can be passed over without reading them whole.
    let named = format!("\"claimName\":{}", Value::from(&*claim.key.name));
    state
        .range(*POD, &claim.key.namespace, None)
        .filter(move |p| std::str::from_utf8(&p.json).is_ok_and(|text| text.contains(&named)))
        .filter(|p| claims_of(&p.value()).iter().any(|c| **c == *claim.key.name))
}

/// Names of the claims that a pod mounts.
fn claims_of(pod: &Value) -> Vec<String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned)).collect()
}

fn class_of(state: &State, claim: &Value) -> Option<std::sync::Arc<Stored>> {
    let classes = state.objects(*STORAGE_CLASS);
    match claim["spec"]["storageClassName"].as_str() {
        Some("") => None,
        Some(name) => classes.get(&Key::new("", name)).cloned(),
        None => classes
            .values()
            .rev()
            .find(|c| c.value()["metadata"]["annotations"][DEFAULT_CLASS] == "true")
            .cloned(),
    }
}

fn bind(ctx: &Ctx<'_>, state: &State, claim: &Stored, actor: &Actor) -> Result<(), ApiError> {
    let value = claim.value();
    if value["status"]["phase"] == "Bound" {
        return Ok(());
    }
    let class = class_of(state, &value);
    let class_value = class.as_ref().map(|c| c.value()).unwrap_or_default();
    let consumer = users(state, claim).next();
    let named = value["spec"]["volumeName"].as_str().is_some_and(|n| !n.is_empty());
    if !named && class_value["volumeBindingMode"] == "WaitForFirstConsumer" && consumer.is_none() {
        let text = "waiting for first consumer to be created before binding";
        Event::normal(REPORTER, "WaitForFirstConsumer", text).record(ctx.cluster, claim);
        return Ok(());
    }
    let wanted = value["spec"]["storageClassName"].as_str().map(str::to_owned);
    let class_name =
        wanted.clone().or_else(|| class.as_ref().map(|c| c.key.name.to_string())).unwrap_or_default();
    match matching::find(state, claim, &value, &class_name) {
        matching::Found::Volume(volume) => return bind_to(ctx, claim, &value, &volume, actor),
        matching::Found::Waits => return Ok(()),
        matching::Found::Taken(name) => {
            let text = format!("volume \"{name}\" already bound to a different claim.");
            Event::warning(REPORTER, "FailedBinding", &text).record(ctx.cluster, claim);
            return Ok(());
        }
        matching::Found::None => {}
    }
    let Some(class) = class.filter(|_| class_value["provisioner"] == PROVISIONER) else {
        report_unserved(ctx, claim, &class_name, &class_value);
        return Ok(());
    };
    let name = format!("pvc-{}", claim.uid);
    provision(ctx, claim, &value, &class, &class_value, &name)?;
    let capacity = value["spec"]["resources"]["requests"]["storage"].clone();
    let node = consumer.and_then(|p| p.field("spec.nodeName")).filter(|n| !n.is_empty());
    ctx.cluster.modify(*PERSISTENT_VOLUME_CLAIM, &claim.key, Part::Sub("bind"), actor, |claim| {
        mark_bound(claim, &name, &capacity);
        claim["spec"]["storageClassName"] = class.key.name.to_string().into();
        claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] = PROVISIONER.into();
        if let Some(node) = node {
            claim["metadata"]["annotations"][SELECTED_NODE] = node.into();
        }
    })?;
    Ok(())
}

/// Says why a claim stays without a volume.
fn report_unserved(ctx: &Ctx<'_>, claim: &Stored, class: &str, found: &Value) {
    let (type_, reason, text) = if class.is_empty() {
        let text = "no persistent volumes available for this claim and no storage class is set";
        ("Normal", "FailedBinding", text.to_owned())
    } else if let Some(provisioner) = found["provisioner"].as_str() {
        let text = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        ("Normal", "ExternalProvisioning", text)
    } else {
        ("Warning", "ProvisioningFailed", format!("storageclass.storage.k8s.io \"{class}\" not found"))
    };
    Event { type_, ..Event::normal(REPORTER, reason, &text) }.record(ctx.cluster, claim);
}

/// Binds a claim to a volume that is there.
fn bind_to(
    ctx: &Ctx<'_>,
    claim: &Stored,
    value: &Value,
    volume: &Stored,
    actor: &Actor,
) -> Result<(), ApiError> {
    let reference = json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": &*claim.key.namespace,
        "name": &*claim.key.name, "uid": &*claim.uid, "resourceVersion": claim.revision.to_string(),
    });
    let bound = ctx.cluster.modify(*PERSISTENT_VOLUME, &volume.key, Part::Sub("bind"), actor, |v| {
        if v["spec"]["claimRef"].is_null() {
            v["metadata"]["annotations"][BOUND_BY_CONTROLLER] = "yes".into();
        }
        v["spec"]["claimRef"] = reference.clone();
        set_phase(v, "Bound", ctx);
    })?;
    let Some(volume) = bound.map(|v| v.value()) else { return Ok(()) };
    let name = volume["metadata"]["name"].as_str().unwrap_or_default();
    ctx.cluster.modify(*PERSISTENT_VOLUME_CLAIM, &claim.key, Part::Sub("bind"), actor, |claim| {
        mark_bound(claim, name, &volume["spec"]["capacity"]["storage"]);
        claim["status"]["accessModes"] = volume["spec"]["accessModes"].clone();
        if value["spec"]["volumeName"].as_str().is_some_and(|n| !n.is_empty()) {
            claim["metadata"]["annotations"].as_object_mut().map(|a| a.remove(BOUND_BY_CONTROLLER));
        }
    })?;
    Ok(())
}

fn mark_bound(claim: &mut Value, volume: &str, capacity: &Value) {
    claim["spec"]["volumeName"] = volume.into();
    for key in ["pv.kubernetes.io/bind-completed", BOUND_BY_CONTROLLER] {
        claim["metadata"]["annotations"][key] = "yes".into();
    }
    claim["status"]["phase"] = "Bound".into();
    claim["status"]["accessModes"] = claim["spec"]["accessModes"].clone();
    claim["status"]["capacity"] = json!({"storage": capacity});
}

fn set_phase(volume: &mut Value, phase: &str, ctx: &Ctx<'_>) {
    if volume["status"]["phase"] != phase {
        volume["status"]["phase"] = phase.into();
        volume["status"]["lastPhaseTransitionTime"] = ctx.now.rfc3339().into();
    }
}

fn provision(
    ctx: &Ctx<'_>,
    claim: &Stored,
    value: &Value,
    class: &Stored,
    class_value: &Value,
    name: &str,
) -> Result<(), ApiError> {
    let actor = Actor::new(PROVISIONER);
    let volume = json!({
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": value["spec"]["resources"]["requests"]["storage"]},
            "accessModes": value["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": class_value["reclaimPolicy"],
            "storageClassName": &*class.key.name, "volumeMode": value["spec"]["volumeMode"],
            "claimRef": {
                "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": &*claim.key.namespace,
                "name": &*claim.key.name, "uid": &*claim.uid,
            },
            "hostPath": {"path": format!("/var/lib/kiban-sim/{name}"), "type": "DirectoryOrCreate"},
        },
    });
    match ctx.cluster.create(*PERSISTENT_VOLUME, "", volume, &actor) {
        Ok(volume) => {
            ctx.cluster.modify(*PERSISTENT_VOLUME, &volume.key, Part::Status, &actor, |v| {
                v["status"]["phase"] = "Bound".into();
                v["status"]["lastPhaseTransitionTime"] = ctx.now.rfc3339().into();
            })?;
            let text = format!("Successfully provisioned volume {name}");
            Event::normal(PROVISIONER, "ProvisioningSucceeded", &text).record(ctx.cluster, claim);
            Ok(())
        }
        Err(e) if e.reason == "AlreadyExists" => Ok(()),
        Err(e) => Err(e),
    }
}

/// A volume whose claim is gone is deleted or released, as its policy says.
fn reclaim(ctx: &Ctx<'_>, state: &State, volume: &Stored, actor: &Actor) -> Result<(), ApiError> {
    let value = volume.value();
    let claim = &value["spec"]["claimRef"];
    let Some(uid) = claim["uid"].as_str().filter(|u| !u.is_empty()) else {
        // Not bound yet, though it may be kept for a claim.
        ctx.cluster.modify(*PERSISTENT_VOLUME, &volume.key, Part::Status, actor, |v| {
            set_phase(v, "Available", ctx)
        })?;
        return Ok(());
    };
    if state.by_uid(uid).is_some() {
        return Ok(());
    }
    if value["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        return match ctx.cluster.delete(*PERSISTENT_VOLUME, &volume.key, &DeleteOptions::default(), actor) {
            Err(e) if e.code != 404 => Err(e),
            _ => Ok(()),
        };
    }
    ctx.cluster
        .modify(*PERSISTENT_VOLUME, &volume.key, Part::Status, actor, |v| set_phase(v, "Released", ctx))?;
    Ok(())
}
