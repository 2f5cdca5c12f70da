//! JSON Patch, with the leniencies of the library that the API server uses: `replace` creates a
//! missing member, a missing `value` is null, negative indices count from the end.

use serde_json::{Map, Value};

use super::{PatchError, gofmt, within_depth};

/// The API server refuses patches of more operations than this.
pub const MAX_OPERATIONS: usize = 10_000;

/// The `copy` operations of one patch may add this many bytes of JSON.
const MAX_COPIED: usize = 3 << 20;

/// Applies the operations of `patch`, in order, to `doc`. On error `doc` is in an undefined state.
///
/// # Errors
/// 400 for a patch that is no list of objects, 413 for too many operations, 422 for one that does
/// not apply (a failed `test` is one).
pub fn apply_json_patch(doc: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = decode(patch)?;
    let mut copied = 0;
    for operation in operations {
        let Some(operation) = operation else {
            return Err(PatchError::Unprocessable("Unexpected kind: unknown".to_owned()));
        };
        apply(doc, operation, &mut copied).map_err(PatchError::Unprocessable)?;
    }
    if within_depth(doc, 0) { Ok(()) } else { Err(PatchError::too_deep()) }
}

/// The operations; a null stands where one ought to be.
fn decode(patch: &Value) -> Result<Vec<Option<&Map<String, Value>>>, PatchError> {
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => return Err(PatchError::BadRequest(wrong_type(other, "jsonpatch.Patch"))),
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    operations
        .iter()
        .map(|operation| match operation {
            Value::Object(operation) => Ok(Some(operation)),
            Value::Null => Ok(None),
            other => Err(PatchError::BadRequest(wrong_type(other, "jsonpatch.Operation"))),
        })
        .collect()
}

fn wrong_type(v: &Value, wanted: &str) -> String {
    let have = match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {have} into Go value of type {wanted}")
}

const MISSING: &str = "missing value";

fn apply(doc: &mut Value, operation: &Map<String, Value>, copied: &mut usize) -> Result<(), String> {
    match operation.get("op").and_then(Value::as_str) {
        Some("add") => add(doc, operation),
        Some("remove") => remove(doc, operation),
        Some("replace") => replace(doc, operation),
        Some("move") => relocate(doc, operation),
        Some("test") => test(doc, operation),
        Some("copy") => copy(doc, operation, copied),
        other => Err(format!("Unexpected kind: {}", other.unwrap_or("unknown"))),
    }
}

fn add(doc: &mut Value, operation: &Map<String, Value>) -> Result<(), String> {
    let path =
        pointer(operation, "path").map_err(|_| format!("add operation failed to decode path: {MISSING}"))?;
    let (parent, key) = find(doc, path)
        .ok_or_else(|| format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
    insert(parent, &key, value(operation)).map_err(|e| format!("error in add for path: '{path}': {e}"))
}

fn remove(doc: &mut Value, operation: &Map<String, Value>) -> Result<(), String> {
    let path = pointer(operation, "path")
        .map_err(|_| format!("remove operation failed to decode path: {MISSING}"))?;
    let (parent, key) = find(doc, path).ok_or_else(|| {
        format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}")
    })?;
    take(parent, &key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
}

fn replace(doc: &mut Value, operation: &Map<String, Value>) -> Result<(), String> {
    let path =
        pointer(operation, "path").map_err(|e| format!("replace operation failed to decode path: {e}"))?;
    if path.is_empty() {
        return match value(operation) {
            v @ (Value::Object(_) | Value::Array(_)) => {
                *doc = v;
                Ok(())
            }
            _ => Err("replace operation value must be object or array: %!w(<nil>)".to_owned()),
        };
    }
    let (parent, key) = find(doc, path)
        .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
    match parent {
        Value::Array(list) => {
            let at = existing_index(list, &key).map_err(|_| {
                format!("replace operation does not apply: doc is missing key: {path}: {MISSING}")
            })?;
            list[at] = value(operation);
        }
        Value::Object(map) => drop(map.insert(key, value(operation))),
        _ => {}
    }
    Ok(())
}

fn relocate(doc: &mut Value, operation: &Map<String, Value>) -> Result<(), String> {
    let from =
        pointer(operation, "from").map_err(|e| format!("move operation failed to decode from: {e}"))?;
    let (parent, key) = find(doc, from).ok_or_else(|| {
        format!("move operation does not apply: doc is missing from path: {from}: {MISSING}")
    })?;
    let moved = take(parent, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
    let path =
        pointer(operation, "path").map_err(|e| format!("move operation failed to decode path: {e}"))?;
    let (parent, key) = find(doc, path).ok_or_else(|| {
        format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}")
    })?;
    insert(parent, &key, moved).map_err(|e| format!("error in move for path: '{path}': {e}"))
}

fn test(doc: &mut Value, operation: &Map<String, Value>) -> Result<(), String> {
    let path =
        pointer(operation, "path").map_err(|e| format!("test operation failed to decode path: {e}"))?;
    let wanted = operation.get("value").unwrap_or(&Value::Null);
    let equal = if path.is_empty() {
        doc == wanted
    } else {
        let (parent, key) = find(doc, path)
            .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
        get(parent, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))? == wanted
    };
    if equal { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
}

fn copy(doc: &mut Value, operation: &Map<String, Value>, total: &mut usize) -> Result<(), String> {
    let from =
        pointer(operation, "from").map_err(|e| format!("copy operation failed to decode from: {e}"))?;
    let (parent, key) = find(doc, from).ok_or_else(|| {
        format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}")
    })?;
    let copied = get(parent, &key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?.clone();
    let path =
        pointer(operation, "path").map_err(|_| format!("copy operation failed to decode path: {MISSING}"))?;
    let (parent, key) = find(doc, path).ok_or_else(|| {
        format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}")
    })?;
    *total += gofmt::json(&copied).len();
    if *total > MAX_COPIED {
        return Err(format!(
            "Unable to complete the copy, the accumulated size increase of copy is {total}, exceeding the limit {MAX_COPIED}"
        ));
    }
    insert(parent, &key, copied).map_err(|e| format!("error while adding value during copy: {e}"))
}

fn pointer<'a>(operation: &'a Map<String, Value>, field: &str) -> Result<&'a str, String> {
    match operation.get(field) {
        Some(Value::String(path)) => Ok(path),
        None | Some(Value::Null) if field == "path" => {
            Err(format!("operation missing path field: {MISSING}"))
        }
        None | Some(Value::Null) => Err(format!("operation, missing {field} field: {MISSING}")),
        Some(other) => Err(wrong_type(other, "string")),
    }
}

fn value(operation: &Map<String, Value>) -> Value {
    operation.get("value").cloned().unwrap_or(Value::Null)
}

/// The container that holds the last segment of a path, and that segment. What stands before the
/// first slash is ignored, as upstream does.
fn find<'a>(doc: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (_, rest) = path.split_once('/')?;
    let (parents, last) = match rest.rsplit_once('/') {
        Some((parents, last)) => (Some(parents), last),
        None => (None, rest),
    };
    let mut at = doc;
    for part in parents.into_iter().flat_map(|p| p.split('/')) {
        at = match at {
            Value::Object(map) => map.get_mut(&unescape(part))?,
            Value::Array(list) => {
                let i = existing_index(list, &unescape(part)).ok()?;
                &mut list[i]
            }
            _ => return None,
        };
    }
    matches!(at, Value::Object(_) | Value::Array(_)).then(|| (at, unescape(last)))
}

fn unescape(segment: &str) -> String {
    // One pass: `~01` is `~1`, not a slash.
    let mut out = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (text, used) = if rest.starts_with("~1") {
            ("/", 2)
        } else if rest.starts_with("~0") {
            ("~", 2)
        } else {
            ("~", 1)
        };
        out.push_str(text);
        rest = &rest[used..];
    }
    out.push_str(rest);
    out
}

fn get<'a>(parent: &'a Value, key: &str) -> Result<&'a Value, String> {
    match parent {
        Value::Array(list) => existing_index(list, key).map(|i| &list[i]),
        Value::Object(map) => Ok(map.get(key).unwrap_or(&Value::Null)),
        _ => Ok(&Value::Null),
    }
}

fn insert(parent: &mut Value, key: &str, v: Value) -> Result<(), String> {
    match parent {
        Value::Array(list) if key == "-" => list.push(v),
        Value::Array(list) => {
            let i = index(key).map_err(|e| format!("value was not a proper array index: '{key}': {e}"))?;
            list.insert(within(i, list.len() + 1)?, v);
        }
        Value::Object(map) => drop(map.insert(key.to_owned(), v)),
        _ => {}
    }
    Ok(())
}

fn take(parent: &mut Value, key: &str) -> Result<Value, String> {
    match parent {
        Value::Array(list) => existing_index(list, key).map(|i| list.remove(i)),
        Value::Object(map) => {
            map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
        }
        _ => Ok(Value::Null),
    }
}

fn existing_index(list: &[Value], key: &str) -> Result<usize, String> {
    within(index(key)?, list.len())
}

fn index(key: &str) -> Result<i64, String> {
    key.parse().map_err(|e: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let what = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {what}", gofmt::quote(key))
    })
}

/// An index below `len`; negative ones count from the end.
fn within(index: i64, len: usize) -> Result<usize, String> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if index < 0 { index + len } else { index };
    usize::try_from(at)
        .ok()
        .filter(|_| at < len)
        .ok_or_else(|| format!("Unable to access invalid index: {index}: invalid index referenced"))
}
