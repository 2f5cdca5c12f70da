//! Volumes: claims are bound to a volume made for them, at once.
//!
//! Contract: the states of Kubernetes pkg/controller/volume/persistentvolume; there is no storage
//! behind it. Only classes of the embedded provisioner are served, so that a claim of an unknown
//! class stays Pending as it would on a real cluster.

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
                items.extend(state.objects(*PERSISTENT_VOLUME).keys().map(|k| Item { kind: *PERSISTENT_VOLUME, key: k.clone() }));
            }
        } else if object.kind == *PERSISTENT_VOLUME {
            items.push(Item { kind: *PERSISTENT_VOLUME, key: object.key.clone() });
        } else if object.kind == *STORAGE_CLASS {
            items.extend(state.objects(*PERSISTENT_VOLUME_CLAIM).keys().map(|k| claim(k.clone())));
        } else if (change.old.is_none() || change.deleted) && !state.objects(*PERSISTENT_VOLUME_CLAIM).is_empty() {
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
        None => classes.values().rev().find(|c| c.value()["metadata"]["annotations"][DEFAULT_CLASS] == "true").cloned(),
    }
}

fn bind(ctx: &Ctx<'_>, state: &State, claim: &Stored, actor: &Actor) -> Result<(), ApiError> {
    let value = claim.value();
    if value["status"]["phase"] == "Bound" {
        return Ok(());
    }
    let Some(class) = class_of(state, &value) else { return Ok(()) };
    let class_value = class.value();
    if class_value["provisioner"] != PROVISIONER {
        return Ok(());
    }
    let waits = class_value["volumeBindingMode"] == "WaitForFirstConsumer";
    let consumer = users(state, claim).next();
    if waits && consumer.is_none() {
        let text = "waiting for first consumer to be created before binding";
        Event::normal("persistentvolume-controller", "WaitForFirstConsumer", text).record(ctx.cluster, claim);
        return Ok(());
    }
    let name = format!("pvc-{}", claim.uid);
    provision(ctx, claim, &value, &class, &class_value, &name)?;
    ctx.cluster.modify(*PERSISTENT_VOLUME_CLAIM, &claim.key, Part::Sub("bind"), actor, |claim| {
        claim["spec"]["volumeName"] = name.clone().into();
        claim["spec"]["storageClassName"] = class.key.name.to_string().into();
        let notes = &mut claim["metadata"]["annotations"];
        for (key, text) in [
            ("pv.kubernetes.io/bind-completed", "yes"),
            ("pv.kubernetes.io/bound-by-controller", "yes"),
            ("volume.kubernetes.io/storage-provisioner", PROVISIONER),
        ] {
            notes[key] = text.into();
        }
        if let Some(node) = consumer.and_then(|p| p.field("spec.nodeName")).filter(|n| !n.is_empty()) {
            notes[SELECTED_NODE] = node.into();
        }
        claim["status"]["phase"] = "Bound".into();
        claim["status"]["accessModes"] = claim["spec"]["accessModes"].clone();
        claim["status"]["capacity"] = json!({"storage": claim["spec"]["resources"]["requests"]["storage"]});
    })?;
    Ok(())
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
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
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
    let Some(uid) = claim["uid"].as_str() else { return Ok(()) };
    if state.by_uid(uid).is_some() {
        return Ok(());
    }
    if value["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        return match ctx.cluster.delete(*PERSISTENT_VOLUME, &volume.key, &DeleteOptions::default(), actor) {
            Err(e) if e.code != 404 => Err(e),
            _ => Ok(()),
        };
    }
    ctx.cluster.modify(*PERSISTENT_VOLUME, &volume.key, Part::Status, actor, |v| {
        v["status"]["phase"] = "Released".into();
    })?;
    Ok(())
}
