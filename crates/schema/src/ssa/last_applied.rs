//! The annotation in which `kubectl apply` keeps the last configuration that it applied.

use serde_json::{Map, Value};

use super::Ctx;
use super::compare::compare;
use super::fieldset_of::field_set;
use super::set::FieldSet;
use super::validate::Validator;
use crate::patch::{gofmt, within_depth};

/// Its name.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object together may have this many bytes, keys included.
const MAX_ANNOTATIONS: usize = 256 << 10;

pub(super) fn of(object: &Value) -> Option<&str> {
    annotations(object)?.get(LAST_APPLIED)?.as_str()
}

fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.get("annotations")?.as_object()
}

fn annotations_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()
}

/// Puts the applied configuration into the annotation, or drops it where that makes the annotations
/// too large.
pub(super) fn set(object: &mut Value, config: &Value) {
    let text = format(config);
    let Some(annotations) = annotations_mut(object) else { return };
    annotations.insert(LAST_APPLIED.to_owned(), Value::String(text));
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > MAX_ANNOTATIONS {
        annotations.remove(LAST_APPLIED);
    }
}

/// The configuration without the annotation itself, one line of JSON.
fn format(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = annotations_mut(&mut config) {
        annotations.remove(LAST_APPLIED);
    }
    let mut text = gofmt::json(&config);
    text.push('\n');
    text
}

/// The fields that the annotation has and that the live object still has as it says.
pub(super) fn unchanged_fields(ctx: &Ctx<'_>, live: &Value) -> Option<FieldSet> {
    let config: Value = serde_json::from_str(of(live)?).ok()?;
    let says = |field: &str| config.get(field).and_then(Value::as_str);
    if says("apiVersion") != Some(&ctx.api_version()) || says("kind") != Some(&ctx.kind) {
        return None;
    }
    let validator = Validator { schema: ctx.schema, allow_duplicates: false };
    if !within_depth(&config, 0) || !validator.check(ctx.node(), &config).is_empty() {
        return None;
    }
    let changes = compare(ctx.schema, ctx.node(), &config, live);
    Some(
        field_set(ctx.schema, ctx.node(), &config)
            .difference(&changes.modified)
            .difference(&changes.added)
            .difference(&changes.removed),
    )
}
