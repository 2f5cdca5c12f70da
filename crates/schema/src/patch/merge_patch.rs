//! JSON merge patch.

use serde_json::{Map, Value};

use super::{MAX_DEPTH, PatchError};

/// Applies a merge patch to `doc`.
///
/// # Errors
/// 400 where the patch is neither an object nor an array, or nests too deeply.
pub fn apply_merge_patch(doc: &mut Value, patch: Value) -> Result<(), PatchError> {
    if !within_depth(&patch, 0) {
        return Err(PatchError::too_deep());
    }
    match (patch, &mut *doc) {
        (Value::Object(patch), Value::Object(doc)) => merge(doc, patch),
        // Upstream lets an array take the document's place; decoding the object fails on it later.
        (patch @ (Value::Object(_) | Value::Array(_)), doc) => *doc = without_nulls(patch),
        _ => return Err(PatchError::BadRequest("Invalid JSON Patch".to_owned())),
    }
    Ok(())
}

fn merge(doc: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match (value, doc.get_mut(&key)) {
            (Value::Null, _) => drop(doc.remove(&key)),
            (Value::Object(value), Some(Value::Object(current))) => merge(current, value),
            // Upstream prunes nulls from all but what replaces an object by something else.
            (value, Some(current @ Value::Object(_))) => *current = value,
            (value, _) => drop(doc.insert(key, without_nulls(value))),
        }
    }
}

/// A value that is new or replaces another loses its null members, inside lists too; null items
/// of lists stay.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(m) => Value::Object(
            m.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(l) => Value::Array(l.into_iter().map(without_nulls).collect()),
        v => v,
    }
}

/// Whether a value nests no deeper than [`MAX_DEPTH`].
pub(crate) fn within_depth(v: &Value, depth: usize) -> bool {
    match v {
        _ if depth > MAX_DEPTH => false,
        Value::Object(m) => m.values().all(|v| within_depth(v, depth + 1)),
        Value::Array(l) => l.iter().all(|v| within_depth(v, depth + 1)),
        _ => true,
    }
}
