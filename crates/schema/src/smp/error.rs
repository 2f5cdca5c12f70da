//! The errors of strategic merge patch, in upstream's words.

use serde_json::{Map, Value};

use crate::patch::{PatchError, gofmt};

pub(super) fn bad_primitive_list() -> PatchError {
    PatchError::BadRequest("invalid patch format of primitive list".to_owned())
}

pub(super) fn bad_retain_keys() -> PatchError {
    PatchError::BadRequest("invalid patch format of retainKeys".to_owned())
}

pub(super) fn bad_element_order() -> PatchError {
    PatchError::BadRequest("invalid patch format of setElementOrder list".to_owned())
}

pub(super) fn list_of_lists() -> PatchError {
    PatchError::Unprocessable("lists of lists are not supported".to_owned())
}

pub(super) fn no_merge_key(item: &Map<String, Value>, key: &str) -> PatchError {
    let item = gofmt::plain_map(item);
    PatchError::Internal(format!("map: {item} does not contain declared merge key: {key}"))
}

pub(super) fn bad_type(expected: &str, actual: &Value) -> PatchError {
    PatchError::Internal(format!("expected a {expected}, but received a {}", gofmt::type_name(actual)))
}

pub(super) fn bad_directive(directive: &Value, map: &Map<String, Value>) -> PatchError {
    PatchError::Internal(format!(
        "unknown patch type: {} in map: {}",
        gofmt::as_string(directive),
        gofmt::plain_map(map)
    ))
}

/// Go's type name of an object, which [`bad_type`] expects.
pub(super) const OBJECT: &str = "map[string]interface {}";
/// Go's type name of a list.
pub(super) const LIST: &str = "[]interface {}";
