//! Amounts in the form in which the API server stores them.

use kiban_base::quantity::Quantity;
use serde_json::Value;

/// One amount, in canonical form; what is none stays for the checks to refuse.
pub(crate) fn amount(value: &mut Value) {
    let text = match value {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Ok(stored) = Quantity::stored_text(&text) {
        *value = Value::String(stored);
    }
}

/// A list of resources: each amount in canonical form and no finer than a thousandth.
pub(crate) fn resource_list(value: &mut Value) {
    let Some(entries) = value.as_object_mut() else { return };
    for entry in entries.values_mut() {
        let Ok(exact) = Quantity::from_json(entry) else { continue };
        let rounded = Quantity::from_milli(exact.milli()).with_format(exact.format());
        if entry.is_null() || exact == rounded || exact.milli().unsigned_abs() >= i64::MAX.unsigned_abs() {
            amount(entry);
        } else {
            *entry = Value::String(rounded.to_string());
        }
    }
}

/// Copies what `from` has and `to` lacks.
pub(crate) fn copy_missing(object: &mut Value, from: &str, to: &str) {
    let Some(source) = object.get(from).and_then(Value::as_object).cloned() else { return };
    let Some(map) = object.as_object_mut() else { return };
    let slot = map.entry(to).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(serde_json::Map::new());
    }
    if let Some(target) = slot.as_object_mut() {
        for (name, value) in source {
            target.entry(name).or_insert(value);
        }
    }
}
