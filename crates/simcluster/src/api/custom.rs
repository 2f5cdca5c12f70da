//! Custom kinds at the API: which version is spoken, what of a body its schema knows, its scale.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::{Method, Response};
use kiban_kinds::custom as kinds;
use kiban_kinds::custom::object::ScalePaths;
use kiban_runtime::http::Body;
use kiban_schema::json::Document;
use kiban_schema::{custom, ssa, strict};
use serde_json::{Value, json};

use super::body::Decoded;
use super::path::Target;
use super::{Api, Call, body, patch, respond, twin};
use crate::custom::{Table, Version};
use crate::kind::{KindId, kind_id, well_known::DEFINITION};
use crate::object::Stored;
use crate::registry::{Desired, Part};
use crate::status::ApiError;

/// A stored object as its kind's API shows it.
pub(super) fn view(table: &Table, kind: KindId, object: Arc<Stored>) -> Arc<Stored> {
    if !kind.is_custom() {
        return twin::view(kind, object);
    }
    let found = table.custom(kind).zip(table.version(kind));
    match found.and_then(|(custom, version)| custom.shown(version, &object)) {
        Some(value) => {
            let json = serde_json::to_vec(&value).unwrap_or_default();
            Arc::new(Stored::new(kind, &value, object.revision, json.into(), Some(&object)))
        }
        None => Arc::new(object.as_kind(kind)),
    }
}

/// A stored value as its kind's API shows it.
pub(super) fn shown<'v>(table: &Table, kind: KindId, value: &'v Value) -> Cow<'v, Value> {
    let Some(version) = table.version(kind) else { return twin::shown(kind, value) };
    let mut value = value.clone();
    kinds::prune(&mut value, &version.schema);
    kinds::fill(&mut value, &version.schema);
    value["apiVersion"] = kind.api_version().into();
    Cow::Owned(value)
}

/// Checks a body against the schema of its version.
pub(super) fn check(version: &Version, document: Document, validation: &str) -> Result<Decoded, ApiError> {
    let info = &version.info;
    let refused = |e: &strict::DecodeError| {
        ApiError::bad_request(strict::cannot_be_handled(&info.kind, &info.version, e))
    };
    let decoded = custom::decode_frame(document).map_err(|e| refused(&e))?;
    let (mut value, mut findings) = (decoded.value, decoded.findings);
    let gone = kinds::prune(&mut value, &version.schema);
    findings.extend(gone.iter().map(|path| format!("unknown field {path:?}")));
    if validation == "Strict" && !findings.is_empty() {
        return Err(refused(&strict::strict_error(&findings)));
    }
    value["apiVersion"] = version.id.api_version().into();
    value["kind"] = info.kind.clone().into();
    let warnings = if validation == "Ignore" { Vec::new() } else { findings };
    Ok(Decoded { value, warnings })
}

/// What users of a kind are warned of at each request.
pub(super) fn warnings(table: &Table, kind: KindId) -> Vec<String> {
    table.version(kind).and_then(|v| v.warning.clone()).into_iter().collect()
}

/// What the writer of a definition is warned of: rules that are not run here.
pub(super) fn definition_warnings(kind: KindId, value: &Value) -> Vec<String> {
    if kind != *DEFINITION {
        return Vec::new();
    }
    let versions = value["spec"]["versions"].as_array().into_iter().flatten().enumerate();
    let schemas = versions.map(|(i, v)| (i, &v["schema"]["openAPIV3Schema"]));
    let all = schemas.flat_map(|(i, s)| {
        let own = kinds::rules::not_run(s).into_iter();
        own.map(move |w| format!("spec.versions[{i}].schema.openAPIV3Schema.{w}"))
    });
    all.take(20).collect()
}

/// An update of a custom object must say which version of it it replaces.
pub(super) fn require_revision(kind: KindId, name: &str, value: &Value) -> Result<(), ApiError> {
    let given = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !kind.is_custom() || !given.is_empty() {
        return Ok(());
    }
    let (info, why) = (kind.info(), "Invalid value: 0: must be specified for an update");
    let text = format!("{}.{} \"{name}\" is invalid: metadata.resourceVersion: {why}", info.kind, info.group);
    let mut error = ApiError::new(422, "Invalid", text).about(kind, name);
    error.details.insert("kind".into(), info.kind.clone().into());
    Err(error.cause("FieldValueInvalid", why, Some("metadata.resourceVersion")))
}

/// Custom kinds have no strategic merge.
pub(super) fn refuse_strategic(kind: KindId, call: &Call) -> Result<(), ApiError> {
    if !kind.is_custom() || body::media_type(&call.content_type) != "application/strategic-merge-patch+json" {
        return Ok(());
    }
    Err(ApiError::unsupported_media(
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    ))
}

impl Api {
    /// The scale subresource of a custom kind: three paths into its objects.
    pub(super) fn custom_scale(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let version = call.customs.version(target.kind).ok_or_else(ApiError::no_route)?.clone();
        let paths = version.scale.clone().ok_or_else(ApiError::no_route)?;
        refuse_strategic(target.kind, call)?;
        let scale_kind = kind_id("autoscaling", "Scale").ok_or_else(ApiError::no_route)?;
        let actor = call.actor()?;
        let ctx = self.cluster.ownership(scale_kind, Part::Sub("scale"));
        let track =
            |old: &Value, new| ssa::track_update(&ctx, Some(old), new, &actor.manager, self.cluster.now());
        let mut warnings = Vec::new();
        let stored = match call.method {
            Method::GET => self.find(target.kind, &target.key())?,
            Method::PUT => {
                let given = body::object(call, scale_kind)?;
                warnings = given.warnings;
                self.write_custom_scale(target, &version, &paths, call, |scale| {
                    Ok(track(scale, given.value.clone()))
                })?
            }
            Method::PATCH => {
                let patch = patch::Patch::read(call)?;
                if patch.is_apply() {
                    let config = patch::applied_config(scale_kind, target, call, &patch, &mut warnings)?;
                    self.write_custom_scale(target, &version, &paths, call, |scale| {
                        let now = self.cluster.now();
                        ssa::apply(&ctx, Some(scale), &config, &actor.manager, call.params.force, now)
                            .map_err(patch::refusal)
                    })?
                } else {
                    self.write_custom_scale(target, &version, &paths, call, |scale| {
                        let next = patch.with(patch.put(scale_kind, scale)?);
                        let checked = body::check(next, scale_kind, &call.params.field_validation)?;
                        Ok(track(scale, checked.value))
                    })?
                }
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        let include = respond::include(&call.params.include_object)?;
        let scale = scale_of(&paths, &stored.value());
        let shown =
            respond::converted(scale_kind, &scale, &call.accept.form, include, self.cluster.now(), true);
        Ok(respond::warn(respond::value(200, &shown), &warnings))
    }

    fn write_custom_scale(
        &self,
        target: &Target,
        version: &Version,
        paths: &ScalePaths,
        call: &Call,
        mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
    ) -> Result<Arc<Stored>, ApiError> {
        let key = target.key();
        let api_version = version.id.api_version();
        let replicas: Vec<&str> = paths.spec.iter().map(String::as_str).collect();
        let unreadable = |e: String| ApiError::new(500, "InternalError", e);
        self.cluster.update(target.kind.kept(), &key, Part::Sub("scale"), &call.actor()?, |live| {
            let mut next = shown(&call.customs, target.kind, live).into_owned();
            let owners = next.pointer("/metadata/managedFields").cloned();
            let mut scale = scale_of(paths, &next);
            let carried =
                ssa::scale::to_scale(owners.as_ref(), &api_version, &replicas).map_err(unreadable)?;
            if let Some(list) = carried {
                scale["metadata"]["managedFields"] = list;
            }
            let scale = change(&scale)?;
            let wanted = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            if !wanted.is_empty() && next["metadata"]["resourceVersion"] != wanted {
                return Err(ApiError::stale(target.kind, &key.name));
            }
            let count = scale["spec"]["replicas"].as_i64().unwrap_or(0);
            if count < 0 {
                let why = format!("Invalid value: {count}: should be a non-negative integer");
                let text = format!("Scale.autoscaling \"{}\" is invalid: spec.replicas: {why}", key.name);
                return Err(ApiError::new(422, "Invalid", text).cause(
                    "FieldValueInvalid",
                    why,
                    Some("spec.replicas"),
                ));
            }
            put(&mut next, &paths.spec, count.into());
            let list = scale.pointer("/metadata/managedFields");
            let list =
                ssa::scale::to_parent(owners.as_ref(), list, &api_version, &replicas).map_err(unreadable)?;
            if let Some(metadata) = next["metadata"].as_object_mut() {
                metadata.remove("managedFields");
                metadata.extend(list.map(|list| ("managedFields".to_owned(), list)));
            }
            Ok(Desired::Applied(next))
        })
    }
}

fn at<'v>(object: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

/// Sets a value below objects, which are made where they are missing.
fn put(object: &mut Value, path: &[String], value: Value) {
    let mut here = object;
    for name in path {
        if !here.is_object() {
            *here = json!({});
        }
        here = &mut here[name.as_str()];
    }
    *here = value;
}

fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let meta = &object["metadata"];
    let count = |path: &[String]| at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {"replicas": count(&paths.spec)},
        "status": {"replicas": count(&paths.status)},
    });
    if let Some(namespace) = meta.get("namespace") {
        scale["metadata"]["namespace"] = namespace.clone();
    }
    if let Some(selector) = paths.selector.as_ref().and_then(|p| at(object, p)).filter(|s| s.is_string()) {
        scale["status"]["selector"] = selector.clone();
    }
    scale
}
