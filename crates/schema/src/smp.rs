//! Strategic merge patch, the server's side: applies a patch to an object by the merge rules of
//! its type.
//!
//! The result, the order of lists and the errors are those of apimachinery's
//! `strategicpatch.StrategicMergeMapPatch`; `tools/oracle/merge` records what that answers.

mod error;
mod lists;
mod lookup;
mod merge;

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::patch::{PatchError, within_depth};
use crate::table::{Schema, TypeId};

/// Applies a strategic merge patch to an object of type `type_id`.
///
/// Like upstream, the result may hold nulls and unknown fields that the patch brought: decoding
/// into the type drops them.
///
/// # Errors
/// 400 for a malformed patch, 422 for lists of lists, 500 where upstream has no mapping for its
/// error (a missing merge key, an unknown field).
pub fn apply(schema: &Schema, type_id: TypeId, object: Value, patch: Value) -> Result<Value, PatchError> {
    if !within_depth(&object, 0) || !within_depth(&patch, 0) {
        return Err(PatchError::too_deep());
    }
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err(PatchError::BadRequest("invalid JSON document".to_owned()));
    };
    let lookup = lookup::Lookup::root(schema, type_id);
    Ok(Value::Object(merge::merge_map(object, patch, lookup)?))
}
