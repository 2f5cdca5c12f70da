//! The `scale` subresource: the replicas of a workload, read and written as an autoscaling/v1 Scale.
//!
//! Contract: Kubernetes pkg/registry/apps/deployment/storage/storage.go, `ScaleREST` and
//! `scaleUpdatedObjectInfo`; the other workloads have the same. A write is one of the Scale, with owners of
//! its own, which are then carried over to the workload.

use std::sync::Arc;

use hyper::{Method, Response};
use kiban_base::selector::LabelSelector;
use kiban_runtime::http::Body;
use kiban_schema::ssa;
use serde_json::{Value, json};

use super::path::Target;
use super::{Api, Call, body, patch, respond};
use crate::kind::{KindId, kind_id, well_known};
use crate::object::Stored;
use crate::registry::{Actor, Desired, Part};
use crate::status::ApiError;

/// Where the replicas of a workload are, and of its Scale.
const REPLICAS: &[&str] = &["spec", "replicas"];

impl Api {
    pub(super) fn scale(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let kind = scale_kind(target.kind);
        let actor = call.actor()?;
        let ctx = self.cluster.ownership(kind, Part::Sub("scale"));
        let track =
            |old: &Value, new| ssa::track_update(&ctx, Some(old), new, &actor.manager, self.cluster.now());
        let mut warnings = Vec::new();
        let stored = match call.method {
            Method::GET => self.find(target.kind, &target.key()),
            Method::PUT => {
                let given = body::object(call, kind)?;
                check_name(&given.value, target)?;
                warnings = given.warnings;
                self.write_scale(target, &actor, |scale| Ok(track(scale, given.value.clone())))
            }
            Method::PATCH => {
                let patch = patch::Patch::read(call)?;
                if patch.is_apply() {
                    let config = patch::applied_config(kind, target, call, &patch, &mut warnings)?;
                    let (manager, force) = (&actor.manager, call.params.force);
                    self.write_scale(target, &actor, |scale| {
                        ssa::apply(&ctx, Some(scale), &config, manager, force, self.cluster.now())
                            .map_err(patch::refusal)
                    })
                } else {
                    self.write_scale(target, &actor, |scale| {
                        let next = patch.with(patch.put(kind, scale)?);
                        let checked = body::check(next, kind, &call.params.field_validation)?;
                        warnings = checked.warnings;
                        Ok(track(scale, checked.value))
                    })
                }
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        let stored = stored.map_err(|e| e.warned(&warnings))?;
        Ok(respond::warn(self.show_scale(&stored, call)?, &warnings))
    }

    /// Writes what `change` makes of the Scale, which comes and goes with its owners.
    fn write_scale(
        &self,
        target: &Target,
        actor: &Actor,
        mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
    ) -> Result<Arc<Stored>, ApiError> {
        let (kind, key) = (target.kind, target.key());
        let version = kind.api_version();
        let unreadable = |e: String| ApiError::new(500, "InternalError", e);
        self.cluster.update(kind, &key, Part::Sub("scale"), actor, |live| {
            let owners = live.pointer("/metadata/managedFields");
            let mut scale = view(kind, live);
            if let Some(list) = ssa::scale::to_scale(owners, &version, REPLICAS).map_err(unreadable)? {
                scale["metadata"]["managedFields"] = list;
            }
            let scale = change(&scale)?;
            check(kind, &key.name, live, &scale)?;
            let mut next = live.clone();
            next["spec"]["replicas"] = scale["spec"]["replicas"].as_i64().unwrap_or(0).into();
            let list = scale.pointer("/metadata/managedFields");
            let list = ssa::scale::to_parent(owners, list, &version, REPLICAS).map_err(unreadable)?;
            if let Some(metadata) = next["metadata"].as_object_mut() {
                metadata.remove("managedFields");
                metadata.extend(list.map(|list| ("managedFields".to_owned(), list)));
            }
            Ok(Desired::Applied(next))
        })
    }

    /// A workload's scale in the form that was asked for.
    fn show_scale(&self, object: &Stored, call: &Call) -> Result<Response<Body>, ApiError> {
        let kind = scale_kind(object.kind);
        let include = respond::include(&call.params.include_object)?;
        let scale = view(object.kind, &object.value());
        let shown = respond::converted(kind, &scale, &call.accept.form, include, self.cluster.now(), true);
        Ok(respond::value(200, &shown))
    }
}

fn scale_kind(workload: KindId) -> KindId {
    kind_id("autoscaling", "Scale").unwrap_or(workload)
}

fn check_name(scale: &Value, target: &Target) -> Result<(), ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    match scale["metadata"]["name"].as_str().unwrap_or_default() {
        "" => Err(ApiError::bad_request("the name of the object must be given")),
        given if given != name => Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

/// Whether a new Scale may be written over the workload.
fn check(kind: KindId, name: &str, live: &Value, scale: &Value) -> Result<(), ApiError> {
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    let wanted = text(scale, "resourceVersion");
    if !wanted.is_empty() && wanted != text(live, "resourceVersion") {
        return Err(ApiError::stale(kind, name));
    }
    let (given, uid) = (text(scale, "uid"), text(live, "uid"));
    if !given.is_empty() && given != uid {
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
        return Err(ApiError::conflict(kind, name, &why));
    }
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        let text = format!("Scale.autoscaling \"{name}\" is invalid: spec.replicas: {why}");
        return Err(ApiError::new(422, "Invalid", text).cause(
            "FieldValueInvalid",
            why,
            Some("spec.replicas"),
        ));
    }
    Ok(())
}

/// The Scale of a workload, without owners.
fn view(kind: KindId, object: &Value) -> Value {
    let meta = &object["metadata"];
    let selector = &object["spec"]["selector"];
    // ReplicationControllers select by a plain map.
    let plain = kind == *well_known::REPLICATION_CONTROLLER;
    let selector = if plain { json!({"matchLabels": selector}) } else { selector.clone() };
    let selector = LabelSelector::from_object(&selector).map(|s| s.to_string()).unwrap_or_default();
    let replicas =
        if object["status"]["replicas"].is_null() { json!(0) } else { object["status"]["replicas"].clone() };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": replicas, "selector": selector},
    })
}

#[cfg(test)]
mod tests;
