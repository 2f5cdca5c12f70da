//! Create, replace, delete.

use hyper::Response;
use kiban_runtime::http::Body;
use serde_json::{Value, json};

use super::list::Filter;
use super::path::Target;
use super::{Api, Call, body, custom, params, respond, twin};
use crate::kind::{KindId, well_known};
use crate::object::Stored;
use crate::registry::{Actor, DeleteOptions, Deleted, Desired, Part, Propagation};
use crate::status::ApiError;

/// Longest name of a field manager.
const MAX_MANAGER: usize = 128;

impl Call {
    /// Who writes: `fieldManager`, or the start of the User-Agent as the API server takes it.
    pub(super) fn actor(&self) -> Result<Actor, ApiError> {
        let given = self.params.field_manager.as_str();
        if given.len() > MAX_MANAGER {
            let why = format!("Too long: may not be more than {MAX_MANAGER} bytes");
            return Err(ApiError::new(422, "Invalid", format!("fieldManager: {why}")).cause(
                "FieldValueTooLong",
                why,
                Some("fieldManager"),
            ));
        }
        let agent = self.user_agent.split('/').next().unwrap_or_default();
        let agent: String = agent.chars().filter(|c| !c.is_control()).take(MAX_MANAGER).collect();
        let manager = if given.is_empty() { agent } else { given.to_owned() };
        let manager = if manager.is_empty() { "unknown".to_owned() } else { manager };
        Ok(Actor { manager, dry_run: self.params.dry_run })
    }
}

impl Api {
    pub(super) fn create(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let mut decoded = body::object(call, target.kind)?;
        decoded.warnings.extend(custom::definition_warnings(target.kind, &decoded.value));
        if target.kind.is_custom() {
            decoded.warnings.extend(kiban_kinds::custom::object::warnings(None, &decoded.value));
        }
        let kind = target.kind;
        let value = twin::kept(kind, decoded.value);
        self.check_grant(call, kind, &target.namespace, None, &value)?;
        let made = self.cluster.create(twin::kept_kind(kind), &target.namespace, value, &call.actor()?);
        let made = custom::view(
            &call.customs,
            kind,
            made.map_err(|e| twin::blame(kind, e).warned(&decoded.warnings))?,
        );
        Ok(respond::warn(self.respond(201, &made, call)?, &decoded.warnings))
    }

    pub(super) fn replace(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        self.put(target, Part::Main, call)
    }

    /// PUT on an object or a part of it.
    pub(super) fn put(&self, target: &Target, part: Part, call: &Call) -> Result<Response<Body>, ApiError> {
        let mut decoded = body::object(call, target.kind)?;
        decoded.warnings.extend(custom::definition_warnings(target.kind, &decoded.value));
        let name = target.name.as_deref().unwrap_or_default();
        let given = decoded.value["metadata"]["name"].as_str().unwrap_or_default();
        if given.is_empty() {
            return Err(ApiError::bad_request("the name of the object must be given"));
        }
        if given != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        if part == Part::Main || part == Part::Status {
            custom::require_revision(target.kind, name, &decoded.value)?;
        }
        let actor = call.actor()?;
        let (kind, value) = (twin::kept_kind(target.kind), twin::kept(target.kind, decoded.value));
        let stored = self.cluster.update(kind, &target.key(), part, &actor, |live| {
            self.check_grant(call, kind, &target.namespace, Some(live), &value)?;
            Ok(Desired::Update(value.clone()))
        });
        let (code, stored) = match stored {
            // Leases and the like may be created by PUT (AllowCreateOnUpdate).
            Err(e) if e.code == 404 && part == Part::Main && creates_on_update(kind) => {
                self.permit_create(target, call)?;
                (201, self.cluster.create(kind, &target.namespace, value.clone(), &actor))
            }
            other => (200, other),
        };
        let stored = custom::view(
            &call.customs,
            target.kind,
            stored.map_err(|e| twin::blame(target.kind, e).warned(&decoded.warnings))?,
        );
        Ok(respond::warn(self.respond(code, &stored, call)?, &decoded.warnings))
    }

    pub(super) fn delete(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let (options, dry_run) = delete_options(call)?;
        let actor = Actor { dry_run: call.params.dry_run || dry_run, ..call.actor()? };
        let kind = twin::kept_kind(target.kind);
        let deleted = self.cluster.delete(kind, &target.key(), &options, &actor);
        let deleted = deleted.map_err(|e| twin::blame(target.kind, e))?;
        match deleted {
            Deleted::Gone(object) if target.kind == *well_known::POD => self.respond(200, &object, call),
            Deleted::Gone(object) => Ok(respond::value(200, &success(target.kind, &object))),
            Deleted::Marked(object) => {
                self.respond(200, &custom::view(&call.customs, target.kind, object), call)
            }
        }
    }

    pub(super) fn delete_all(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let filter = Filter::of(target, call)?;
        let (options, dry_run) = delete_options(call)?;
        let actor = Actor { dry_run: call.params.dry_run || dry_run, ..call.actor()? };
        let (state, kind) = (self.cluster.snapshot(), twin::kept_kind(target.kind));
        let chosen: Vec<_> =
            state.range(kind, &target.namespace, None).filter(|o| filter.matches(o)).cloned().collect();
        let mut items = Vec::new();
        for object in &chosen {
            match self.cluster.delete(kind, &object.key, &options, &actor) {
                Ok(Deleted::Gone(o) | Deleted::Marked(o)) => {
                    items.push(custom::view(&call.customs, target.kind, o).value())
                }
                // Somebody else was faster: that is what was asked for.
                Err(e) if e.code == 404 => {}
                Err(e) => return Err(e),
            }
        }
        let info = target.kind.info();
        Ok(respond::value(
            200,
            &json!({
                "kind": format!("{}List", info.kind), "apiVersion": target.kind.api_version(),
                "metadata": {"resourceVersion": self.cluster.store().with(|s| s.revision).to_string()},
                "items": items,
            }),
        ))
    }
}

fn creates_on_update(kind: KindId) -> bool {
    const KINDS: [(&str, &str); 4] = [
        ("coordination.k8s.io", "Lease"),
        ("", "Endpoints"),
        ("", "Event"),
        ("discovery.k8s.io", "EndpointSlice"),
    ];
    KINDS.iter().any(|(group, name)| kind.is(group, name))
}

/// The answer to a deletion that left nothing.
pub(super) fn success(kind: KindId, object: &Stored) -> Value {
    let info = kind.info();
    let mut details = json!({"name": &*object.key.name, "kind": info.plural, "uid": &*object.uid});
    if !info.group.is_empty() {
        details["group"] = info.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// Reads DeleteOptions from the body and the query; the body wins, as in the API server.
pub(super) fn delete_options(call: &Call) -> Result<(DeleteOptions, bool), ApiError> {
    let body = if call.body.is_empty() { json!({}) } else { body::plain(call, None)?.value };
    read_delete_options(&body, call)
}

/// Reads DeleteOptions from a value.
pub(super) fn read_delete_options(body: &Value, call: &Call) -> Result<(DeleteOptions, bool), ApiError> {
    let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
    let propagation = text(&body["propagationPolicy"]).unwrap_or_else(|| call.params.propagation.clone());
    let propagation = match propagation.as_str() {
        "" if body["orphanDependents"] == true => Some(Propagation::Orphan),
        "" => None,
        given => Some(Propagation::parse(given).ok_or_else(|| {
            let why = format!(
                "Unsupported value: \"{given}\": supported values: \"Background\", \"Foreground\", \"Orphan\""
            );
            ApiError::new(
                422,
                "Invalid",
                format!("DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: {why}"),
            )
            .cause("FieldValueNotSupported", why, Some("propagationPolicy"))
        })?),
    };
    let mut dry_run = false;
    for entry in body["dryRun"].as_array().into_iter().flatten() {
        dry_run |= params::dry_run(entry.as_str().unwrap_or_default())?;
    }
    let options = DeleteOptions {
        grace: body["gracePeriodSeconds"].as_i64().or(call.params.grace_period),
        propagation,
        uid: text(&body["preconditions"]["uid"]),
        revision: text(&body["preconditions"]["resourceVersion"]),
    };
    Ok((options, dry_run))
}
