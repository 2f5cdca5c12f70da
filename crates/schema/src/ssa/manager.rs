//! The apply of a request: checks, owners for unowned objects, kubectl's hand-over, times.

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value};

use super::managed::{self, Managed, Operation};
use super::track::{STRIPPED, before_first_apply, id, reconcile};
use super::updater::{self, Applied};
use super::validate::{Validator, describe};
use super::{ApplyError, Conflict, Ctx, last_applied, normalize};
use crate::patch::within_depth;

/// The manager whose last-applied annotation is kept up to date.
const KUBECTL: &str = "kubectl";

/// Applies `config` as `manager` to the live object, or creates one from it.
///
/// The result is what to store, managedFields included, in the form that [`normalize`] gives for
/// types of the table. It equals `live` but for managedFields where the apply changes nothing.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(
    ctx: &Ctx<'_>,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
    now: Timestamp,
) -> Result<Value, ApplyError> {
    check_request(ctx, config)?;
    let mut object = live.cloned().unwrap_or_else(|| empty(ctx));
    let managed = match managed::take_list(&mut object) {
        Some(Value::Array(list)) => Managed::decode(list)
            .map_err(|e| ApplyError::Invalid(format!("failed to decode managed fields: {e}")))?,
        _ => Managed::default(),
    };
    let managed = if managed.entries.is_empty() && live.is_some() {
        check_type(ctx, &object, true, |object, problems| {
            format!(
                "failed to create manager for existing fields: failed to convert new object ({object}) to smd typed: {problems}"
            )
        })?;
        before_first_apply(ctx, &object, now)
    } else {
        managed
    };
    check_types(ctx, &object, config)?;
    let managed = reconcile(ctx, managed);
    let id = id(ctx, manager, Operation::Apply);
    let applied = match updater::apply(ctx, &object, config, managed.clone(), &id, force) {
        Err(conflicts) if manager == KUBECTL => {
            permit_last_applied(ctx, &object, conflicts)?;
            updater::apply(ctx, &object, config, managed, &id, true)
        }
        other => other,
    };
    let Applied { object: changed, mut managed } = applied?;
    if let Some(entry) = managed.get(&id) {
        let set = entry.set().into_owned().difference(&STRIPPED);
        managed.set(&id, set);
    }
    if let Some(mut changed) = changed {
        if let Some(type_id) = ctx.type_id {
            normalize(ctx.schema, type_id, &mut changed);
        }
        object = changed;
        managed.set_time(&id, now);
    }
    if manager == KUBECTL && last_applied::of(&object).is_some_and(|text| !text.is_empty()) {
        last_applied::set(&mut object, config);
    }
    managed::put_list(&mut object, managed.encode());
    Ok(object)
}

/// kubectl may overwrite what it wrote itself before it changed to server-side apply: conflicts in
/// fields that the last-applied annotation has, with the values that it has.
fn permit_last_applied(ctx: &Ctx<'_>, live: &Value, conflicts: Vec<Conflict>) -> Result<(), Vec<Conflict>> {
    let Some(permitted) = last_applied::unchanged_fields(ctx, live) else { return Err(conflicts) };
    let permitted = permitted.paths();
    let left: Vec<Conflict> = conflicts.into_iter().filter(|c| !permitted.contains(&c.field)).collect();
    if left.is_empty() { Ok(()) } else { Err(left) }
}

/// What a new object starts as.
fn empty(ctx: &Ctx<'_>) -> Value {
    let mut object = Value::Object(Map::new());
    if let Some(type_id) = ctx.type_id {
        normalize(ctx.schema, type_id, &mut object);
    }
    if let Value::Object(members) = &mut object {
        members.insert("apiVersion".to_owned(), Value::String(ctx.api_version()));
        members.insert("kind".to_owned(), Value::String(ctx.kind.clone()));
    }
    object
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The object's place and type, as upstream's messages name it.
fn describe_object(ctx: &Ctx<'_>, object: &Value) -> String {
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    format!("{namespace}/{name}; {}", type_name(&ctx.api_version(), &ctx.kind))
}

fn type_name(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

fn check_request(ctx: &Ctx<'_>, config: &Value) -> Result<(), ApplyError> {
    if !within_depth(config, 0) {
        return Err(ApplyError::BadRequest("error decoding patch: exceeded max depth".to_owned()));
    }
    let (api_version, kind) = (text(config, "/apiVersion"), text(config, "/kind"));
    if api_version != ctx.api_version() || kind != ctx.kind {
        let name = type_name(api_version, kind);
        return Err(ApplyError::BadRequest(format!("invalid object type: {name}")));
    }
    if managed::list_of(config).is_some_and(Value::is_array) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    Ok(())
}

fn check_types(ctx: &Ctx<'_>, live: &Value, config: &Value) -> Result<(), ApplyError> {
    let untyped = |what: &'static str| {
        move |object: &str, problems: &str| {
            format!("failed to create typed {what} object ({object}): {problems}")
        }
    };
    check_type(ctx, config, false, untyped("patch"))?;
    check_type(ctx, live, true, untyped("live"))
}

/// Holds a value to its type; `say` makes the message of what it is and of its problems.
fn check_type(
    ctx: &Ctx<'_>,
    value: &Value,
    allow_duplicates: bool,
    say: impl Fn(&str, &str) -> String,
) -> Result<(), ApplyError> {
    let problems = Validator { schema: ctx.schema, allow_duplicates }.check(ctx.node(), value);
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApplyError::Invalid(say(&describe_object(ctx, value), &describe(&problems))))
}
