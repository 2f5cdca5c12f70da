//! Defaults as data: a path and what stands there when nothing else does.
//!
//! A path is a list of field names joined by dots. A plain name is a part that is always there and is
//! made when it is not; `name?` is one that may be absent and then stays so, with all below it; `name[]`
//! goes through the elements of a list, `name{}` through the entries of a map.

use serde_json::{Map, Value, json};

/// What a field gets.
pub(crate) enum Default {
    /// This text, when absent or empty.
    Text(&'static str),
    /// This text, when absent; an empty one stays.
    TextIfAbsent(&'static str),
    /// This number, when absent.
    Int(i64),
    /// This number, when absent or zero.
    Count(i64),
    /// This truth, when absent.
    Bool(bool),
    /// An empty object, when absent.
    Object,
    /// A list of one text, when absent or empty.
    List(&'static str),
    /// What a function makes of the place.
    With(fn(&mut Value)),
    /// More rows, with paths from here.
    All(&'static [(&'static str, Default)]),
}

/// Applies all rows in their order.
pub(crate) fn fill(value: &mut Value, rows: &[(&str, Default)]) {
    for (path, default) in rows {
        walk(value, path, default);
    }
}

fn walk(value: &mut Value, path: &str, default: &Default) {
    if path.is_empty() {
        return match default {
            Default::With(change) => change(value),
            Default::All(rows) => fill(value, rows),
            _ => {}
        };
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(name) = step.strip_suffix("[]") {
        if let Some(items) = value.get_mut(name).and_then(Value::as_array_mut) {
            items.iter_mut().for_each(|item| walk(item, rest, default));
        }
    } else if let Some(name) = step.strip_suffix("{}") {
        if let Some(entries) = value.get_mut(name).and_then(Value::as_object_mut) {
            entries.values_mut().for_each(|entry| walk(entry, rest, default));
        }
    } else if let Some(name) = step.strip_suffix('?') {
        match value.get_mut(name) {
            None | Some(Value::Null) => {}
            Some(part) => walk(part, rest, default),
        }
    } else if rest.is_empty() && !matches!(default, Default::With(_) | Default::All(_)) {
        if let Some(map) = value.as_object_mut() {
            set(map, step, default);
        }
    } else if let Some(part) = part(value, step) {
        walk(part, rest, default);
    }
}

/// The object at `name`, made if it is not there; `None` where something else stands.
fn part<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    let slot = value.as_object_mut()?.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!({});
    }
    slot.is_object().then_some(slot)
}

fn set(map: &mut Map<String, Value>, name: &str, default: &Default) {
    let old = map.get(name).unwrap_or(&Value::Null);
    let is_unset = match default {
        Default::Text(_) => old.is_null() || old == "",
        Default::Count(_) => old.is_null() || old.as_i64() == Some(0),
        Default::List(_) => old.is_null() || old.as_array().is_some_and(Vec::is_empty),
        _ => old.is_null(),
    };
    if !is_unset {
        return;
    }
    let value = match default {
        Default::Text(text) | Default::TextIfAbsent(text) => json!(text),
        Default::Int(number) | Default::Count(number) => json!(number),
        Default::Bool(truth) => json!(truth),
        Default::List(text) => json!([text]),
        Default::Object => json!({}),
        Default::With(_) | Default::All(_) => return,
    };
    map.insert(name.to_string(), value);
}

/// Drops fields of the object at `name` that hold nothing, as encoders that leave out empty values do.
pub(crate) fn drop_empty(value: &mut Value, name: &str, fields: &[&str]) {
    if let Some(map) = value.get_mut(name).and_then(Value::as_object_mut) {
        drop_fields(map, fields);
    }
}

/// Drops those of the fields that are null, empty, false or zero in length.
pub(crate) fn drop_fields(map: &mut Map<String, Value>, fields: &[&str]) {
    for name in fields {
        let is_nothing = match map.get(*name) {
            Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(entries)) => entries.is_empty(),
            Some(Value::String(text)) => text.is_empty(),
            _ => false,
        };
        if is_nothing {
            map.remove(*name);
        }
    }
}
