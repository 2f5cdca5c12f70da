//! Reading fields of a JSON object without surprises, and the small formats that cells share.

use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::duration::human;
use kiban_base::quantity::Quantity;
use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// Builds the cells of a row from anything that converts to JSON.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(serde_json::Value::from($cell)),*] };
}
pub(crate) use cells;

/// The value at a dotted path; null where the path ends early. Keys with dots need [`entry`].
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(object, |value, key| value.get(key)).unwrap_or(&NULL)
}

/// The string at a path; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or("")
}

/// The string at a path, or `default` where it is absent. An empty string is a string.
pub(crate) fn text_or<'a>(object: &'a Value, path: &str, default: &'a str) -> &'a str {
    at(object, path).as_str().unwrap_or(default)
}

/// The string at a path, or `default` where it is absent or empty.
pub(crate) fn filled_or<'a>(object: &'a Value, path: &str, default: &'a str) -> &'a str {
    or(text(object, path), default)
}

/// `value`, or `default` where it is empty.
pub(crate) fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}

/// The integer at a path; 0 where there is none.
pub(crate) fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

/// The boolean at a path, or `default`.
pub(crate) fn flag(object: &Value, path: &str, default: bool) -> bool {
    at(object, path).as_bool().unwrap_or(default)
}

/// An optional boolean as the API prints it in words.
pub(crate) fn flag_text(object: &Value, path: &str) -> &'static str {
    match at(object, path).as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// Whether there is a string at the path, which for a time field means that it is set.
pub(crate) fn set(object: &Value, path: &str) -> bool {
    at(object, path).is_string()
}

/// The list at a path; empty where there is none.
pub(crate) fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// The strings of the list at a path.
pub(crate) fn strings<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    items(object, path).iter().filter_map(Value::as_str).collect()
}

/// The map at a path.
pub(crate) fn map<'a>(object: &'a Value, path: &str) -> Option<&'a Map<String, Value>> {
    at(object, path).as_object()
}

/// The string under `key` of the map at a path, for keys that hold dots.
pub(crate) fn entry<'a>(object: &'a Value, path: &str, key: &str) -> Option<&'a str> {
    map(object, path)?.get(key)?.as_str()
}

/// Number of entries of the map at a path.
pub(crate) fn size(object: &Value, path: &str) -> usize {
    map(object, path).map_or(0, Map::len)
}

/// The first condition of a type.
pub(crate) fn condition<'a>(object: &'a Value, path: &str, type_: &str) -> Option<&'a Value> {
    items(object, path).iter().find(|c| text(c, "type") == type_)
}

/// Whether the first condition of a type has the status `True`.
pub(crate) fn condition_true(object: &Value, path: &str, type_: &str) -> bool {
    condition(object, path, type_).is_some_and(|c| text(c, "status") == "True")
}

/// `name.group`, or `name` alone in the core group.
pub(crate) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// A time field; the API's zero time counts as absent.
pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    const ZERO: i64 = -62_135_596_800;
    Timestamp::parse(value.as_str()?).filter(|t| t.secs() != ZERO)
}

/// Time since a time field, or `<unknown>`.
pub(crate) fn since(value: &Value, now: Timestamp) -> String {
    time(value).map_or_else(|| "<unknown>".to_owned(), |t| human_duration(now.0.saturating_sub(t.0)))
}

/// Time since the object was created.
pub(crate) fn age(object: &Value, now: Timestamp) -> String {
    since(at(object, "metadata.creationTimestamp"), now)
}

/// A duration in microseconds as kubectl prints ages. Up to two seconds in the future are taken for
/// clock skew (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`).
pub(crate) fn human_duration(micros: i64) -> String {
    match u64::try_from(micros) {
        Ok(micros) => human(Duration::from_micros(micros)),
        Err(_) if micros / 1_000_000 < -1 => "<invalid>".to_owned(),
        Err(_) => "0s".to_owned(),
    }
}

/// A quantity in its canonical form; an absent one is zero, one that cannot be read stays as it is.
pub(crate) fn quantity(value: &Value) -> String {
    match (Quantity::from_json(value), value) {
        (Ok(quantity), _) => quantity.to_string(),
        (Err(_), Value::String(text)) => text.clone(),
        (Err(_), _) => "0".to_owned(),
    }
}

/// An optional quantity. Go's word for a missing one reaches the user in a few places.
pub(crate) fn quantity_or_nil(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { quantity(value) }
}

/// An `IntOrString`.
pub(crate) fn int_or_string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Names and images of containers, comma-separated.
pub(crate) fn containers(object: &Value, path: &str) -> (String, String) {
    let list = items(object, path);
    let join = |key| list.iter().map(|c| text(c, key)).collect::<Vec<_>>().join(",");
    (join("name"), join("image"))
}

/// The first `max` values, and how many more there are; `<unset>` for none.
pub(crate) fn some_of<S: AsRef<str>>(values: impl IntoIterator<Item = S>, max: usize) -> String {
    let mut shown = Vec::new();
    let mut count = 0;
    for value in values {
        if shown.len() < max {
            shown.push(value.as_ref().to_owned());
        }
        count += 1;
    }
    let shown = shown.join(",");
    match count {
        _ if count > max => format!("{shown} + {} more...", count - max),
        _ if shown.is_empty() => "<unset>".to_owned(),
        _ => shown,
    }
}
