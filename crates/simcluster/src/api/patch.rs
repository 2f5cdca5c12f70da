//! PATCH: JSON patch, merge patch, strategic merge patch, server-side apply.

use std::borrow::Cow;

use hyper::Response;
use kiban_runtime::http::Body;
use kiban_schema::json::{self, Document};
use kiban_schema::table::Schema;
use kiban_schema::{patch, smp, ssa};
use serde_json::Value;

use super::path::Target;
use super::{Api, Call, body, custom, respond, twin};
use crate::kind::KindId;
use crate::registry::{Actor, Desired, Part};
use crate::status::ApiError;

/// How a patch changes an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchType {
    /// Reads a Content-Type.
    ///
    /// # Errors
    /// 415 for what is none.
    pub(super) fn parse(content_type: &str) -> Result<Self, ApiError> {
        match body::media_type(content_type) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(ApiError::unsupported_media(
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }
}

/// A patch that was read and can be put to an object, more than once.
pub(super) struct Patch {
    type_: PatchType,
    document: Document,
}

impl Patch {
    /// Reads the patch of a call.
    pub(super) fn read(call: &Call) -> Result<Self, ApiError> {
        let type_ = PatchType::parse(&call.content_type)?;
        let p = &call.params;
        if type_ != PatchType::Apply && p.force {
            let why = "Forbidden: may not be specified for non-apply patch";
            return Err(ApiError::new(
                422,
                "Invalid",
                format!("PatchOptions.meta.k8s.io \"\" is invalid: force: {why}"),
            )
            .cause("FieldValueForbidden", why, Some("force")));
        }
        if type_ == PatchType::Apply && p.field_manager.is_empty() {
            let why = "Required value: is required for apply patch";
            return Err(ApiError::new(
                422,
                "Invalid",
                format!("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: {why}"),
            )
            .cause("FieldValueRequired", why, Some("fieldManager")));
        }
        let document = match type_ {
            // JSON is YAML too; reading it as JSON first is faster and keeps duplicates.
            PatchType::Apply => match body::from_json(&call.body) {
                Ok(read) => read,
                Err(_) => body::from_yaml(&call.body)?.into(),
            },
            _ => json::parse(&call.body)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?,
        };
        Ok(Self { type_, document })
    }

    /// Whether this is a configuration to apply.
    pub(super) fn is_apply(&self) -> bool {
        self.type_ == PatchType::Apply
    }

    /// A patched object, with the keys that the patch states twice.
    pub(super) fn with(&self, value: Value) -> Document {
        Document { value, duplicates: self.document.duplicates.clone() }
    }

    /// The value that the patch makes of `live`, before any check.
    pub(super) fn put(&self, kind: KindId, live: &Value) -> Result<Value, ApiError> {
        let refusal = |e: patch::PatchError| {
            let (code, reason) = match e.status() {
                413 => (413, "RequestEntityTooLarge"),
                422 => (422, "Invalid"),
                // Some of what is wrong with a patch upstream answers with 500; it is the client's all the same.
                _ => (400, "BadRequest"),
            };
            ApiError::new(code, reason, e.client_message())
        };
        let mut next = live.clone();
        match self.type_ {
            PatchType::Json => patch::apply_json_patch(&mut next, &self.document.value),
            PatchType::Merge => patch::apply_merge_patch(&mut next, self.document.value.clone()),
            PatchType::Strategic => {
                return smp::apply(Schema::builtin(), kind.info().type_id, next, self.document.value.clone())
                    .map_err(refusal);
            }
            PatchType::Apply => {
                return Err(ApiError::unsupported_media("apply patches are not supported here"));
            }
        }
        .map_err(refusal)?;
        Ok(next)
    }
}

impl Api {
    pub(super) fn patch(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        self.patch_part(target, Part::Main, call)
    }

    /// PATCH on an object or a part of it.
    pub(super) fn patch_part(
        &self,
        target: &Target,
        part: Part,
        call: &Call,
    ) -> Result<Response<Body>, ApiError> {
        custom::refuse_strategic(target.kind, call)?;
        let patch = Patch::read(call)?;
        let actor = call.actor()?;
        let mut warnings = Vec::new();
        let written = if patch.type_ == PatchType::Apply {
            self.apply(target, part, call, patch, &actor, &mut warnings)
        } else {
            let kind = target.kind;
            let stored = self.cluster.update(twin::kept_kind(kind), &target.key(), part, &actor, |live| {
                let next = patch.put(kind, &custom::shown(&call.customs, kind, live))?;
                let checked = body::check_of(call, patch.with(next), kind)?;
                warnings = checked.warnings;
                self.check_grant(call, kind, &target.namespace, Some(live), &checked.value)?;
                Ok(Desired::Update(twin::kept(kind, checked.value)))
            });
            stored.map(|stored| (200, stored)).map_err(|e| twin::blame(kind, e))
        };
        let (code, stored) = written.map_err(|e| e.warned(&warnings))?;
        let stored = custom::view(&call.customs, target.kind, stored);
        Ok(respond::warn(self.respond(code, &stored, call)?, &warnings))
    }

    fn apply(
        &self,
        target: &Target,
        part: Part,
        call: &Call,
        patch: Patch,
        actor: &Actor,
        warnings: &mut Vec<String>,
    ) -> Result<(u16, std::sync::Arc<crate::object::Stored>), ApiError> {
        let kind = twin::kept_kind(target.kind);
        let config = twin::kept(target.kind, applied_config(target.kind, target, call, &patch, warnings)?);
        let version = call.customs.version(target.kind);
        let ctx = match version {
            Some(version) => ssa::Ctx::custom(&version.table, &version.info, part.subresource()),
            None => self.cluster.ownership(kind, part),
        };
        let apply = |live: Option<&Value>| {
            let live = live.map(|live| match version {
                Some(_) => custom::shown(&call.customs, target.kind, live),
                None => Cow::Borrowed(live),
            });
            let (live, now) = (live.as_deref(), self.cluster.now());
            let next =
                ssa::apply(&ctx, live, &config, &actor.manager, call.params.force, now).map_err(refusal)?;
            self.check_grant(call, kind, &target.namespace, live, &next)?;
            Ok(Desired::Applied(next))
        };
        // The object may come or go in between; each turn of the loop sees one of the two.
        loop {
            let changed = self.cluster.update(kind, &target.key(), part, actor, |live| apply(Some(live)));
            match changed {
                Err(e)
                    if e.code == 404
                        && part == Part::Main
                        && self.cluster.get(kind, &target.key()).is_none() => {}
                other => return other.map(|o| (200, o)),
            }
            self.permit_create(target, call)?;
            let made = self.cluster.create_as(kind, &target.namespace, apply(None)?, actor);
            match made {
                Err(e) if e.reason == "AlreadyExists" => {}
                other => return other.map(|o| (201, o)),
            }
        }
    }
}

/// The configuration that a patch applies to an object of `kind` or to a part of one that has a kind of
/// its own, held to that kind.
pub(super) fn applied_config(
    kind: KindId,
    target: &Target,
    call: &Call,
    patch: &Patch,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let info = kind.info();
    let mut config = patch.document.value.clone();
    let given = |key: &str| config[key].as_str().unwrap_or_default();
    if given("apiVersion").is_empty() || given("kind").is_empty() {
        return Err(ApiError::bad_request(
            "invalid object type: apiVersion and kind must be set in an applied object",
        ));
    }
    if given("apiVersion") != kind.api_version() || given("kind") != info.kind {
        return Err(ApiError::bad_request(format!(
            "invalid object type: {}, Kind={} (the path is of {}, Kind={})",
            given("apiVersion"),
            given("kind"),
            kind.api_version(),
            info.kind
        )));
    }
    if !config["metadata"]["managedFields"].as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    // Metadata of another shape is refused by the check below, in the decoder's words.
    let fits = matches!(config.get("metadata"), None | Some(Value::Null | Value::Object(_)));
    if fits && config["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        config["metadata"]["name"] = target.name.clone().unwrap_or_default().into();
    }
    if fits && info.namespaced && config["metadata"]["namespace"].as_str().is_none_or(str::is_empty) {
        config["metadata"]["namespace"] = target.namespace.clone().into();
    }
    // Checked as its type, and merged as it was written: a partial configuration stays partial.
    let checked = body::check_of(call, patch.with(config.clone()), kind)?;
    warnings.extend(checked.warnings);
    let wanted = target.name.as_deref().unwrap_or_default();
    if let Some(name) = config["metadata"]["name"].as_str().filter(|name| *name != wanted) {
        let why = format!("the name of the object ({name}) does not match the name on the URL ({wanted})");
        return Err(ApiError::bad_request(why));
    }
    Ok(config)
}
/// Why an apply was refused, as a Status.
pub(super) fn refusal(error: ssa::ApplyError) -> ApiError {
    let reason = match error.status() {
        409 => "Conflict",
        400 => "BadRequest",
        _ => "InternalError",
    };
    let mut refusal = ApiError::new(error.status(), reason, error.to_string());
    if let ssa::ApplyError::Conflict(conflicts) = &error {
        for conflict in conflicts {
            refusal = refusal.cause("FieldManagerConflict", conflict.message(), Some(&conflict.field));
        }
    }
    refusal
}
