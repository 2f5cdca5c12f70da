//! Reading fields of a JSON object without surprises, and the small formats that cells share.

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// Builds the cells of a row from anything that converts to JSON.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(serde_json::Value::from($cell)),*] };
}
pub(super) use cells;

/// The value at a dotted path; null where the path ends early. Keys with dots need [`entry`].
pub(super) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(object, |value, key| value.get(key)).unwrap_or(&NULL)
}

/// The string at a path; empty where there is none.
pub(super) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or("")
}

/// The string at a path, or `default` where it is absent. An empty string is a string.
pub(super) fn text_or<'a>(object: &'a Value, path: &str, default: &'a str) -> &'a str {
    at(object, path).as_str().unwrap_or(default)
}

/// The string at a path, or `default` where it is absent or empty.
pub(super) fn filled_or<'a>(object: &'a Value, path: &str, default: &'a str) -> &'a str {
    or(text(object, path), default)
}

/// `value`, or `default` where it is empty.
pub(super) fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}

/// The integer at a path; 0 where there is none.
pub(super) fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

/// The boolean at a path, or `default`.
pub(super) fn flag(object: &Value, path: &str, default: bool) -> bool {
    at(object, path).as_bool().unwrap_or(default)
}

/// An optional boolean as the API prints it in words.
pub(super) fn flag_text(object: &Value, path: &str) -> &'static str {
    match at(object, path).as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// Whether there is a string at the path, which for a time field means that it is set.
pub(super) fn set(object: &Value, path: &str) -> bool {
    at(object, path).is_string()
}

/// The list at a path; empty where there is none.
pub(super) fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// The strings of the list at a path.
pub(super) fn strings<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    items(object, path).iter().filter_map(Value::as_str).collect()
}

/// The map at a path.
pub(super) fn map<'a>(object: &'a Value, path: &str) -> Option<&'a Map<String, Value>> {
    at(object, path).as_object()
}

/// The string under `key` of the map at a path, for keys that hold dots.
pub(super) fn entry<'a>(object: &'a Value, path: &str, key: &str) -> Option<&'a str> {
    map(object, path)?.get(key)?.as_str()
}

/// Number of entries of the map at a path.
pub(super) fn size(object: &Value, path: &str) -> usize {
    map(object, path).map_or(0, Map::len)
}

/// The first condition of a type.
pub(super) fn condition<'a>(object: &'a Value, path: &str, type_: &str) -> Option<&'a Value> {
    items(object, path).iter().find(|c| text(c, "type") == type_)
}

/// Whether the first condition of a type has the status `True`.
pub(super) fn condition_true(object: &Value, path: &str, type_: &str) -> bool {
    condition(object, path, type_).is_some_and(|c| text(c, "status") == "True")
}

/// `name.group`, or `name` alone in the core group.
pub(super) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// A time field; the API's zero time counts as absent.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    const ZERO: i64 = -62_135_596_800;
    Timestamp::parse(value.as_str()?).filter(|t| t.secs() != ZERO)
}

/// Time since a time field, or `<unknown>`.
pub(super) fn since(value: &Value, now: Timestamp) -> String {
    time(value).map_or_else(|| "<unknown>".to_owned(), |t| human_duration(now.0.saturating_sub(t.0)))
}

/// Time since the object was created.
pub(super) fn age(object: &Value, now: Timestamp) -> String {
    since(at(object, "metadata.creationTimestamp"), now)
}

/// kubectl's short form of a duration, in microseconds: two units at most, fewer the longer it is
/// (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`). Up to two seconds in the future are
/// taken for clock skew.
pub(super) fn human_duration(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    let two = |a: i64, unit: char, b: i64, small: char| match b {
        0 => format!("{a}{unit}"),
        _ => format!("{a}{unit}{b}{small}"),
    };
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () if days < 365 * 2 => format!("{days}d"),
        () if days < 365 * 8 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

/// A quantity as it is stored; an absent one is zero.
pub(super) fn quantity(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => n.to_string(),
        _ => "0".to_owned(),
    }
}

/// An optional quantity. Go's word for a missing one reaches the user in a few places.
pub(super) fn quantity_or_nil(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { quantity(value) }
}

/// An `IntOrString`.
pub(super) fn int_or_string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Names and images of containers, comma-separated.
pub(super) fn containers(object: &Value, path: &str) -> (String, String) {
    let list = items(object, path);
    let join = |key| list.iter().map(|c| text(c, key)).collect::<Vec<_>>().join(",");
    (join("name"), join("image"))
}

/// The first `max` values, and how many more there are; `<unset>` for none.
pub(super) fn some_of<S: AsRef<str>>(values: impl IntoIterator<Item = S>, max: usize) -> String {
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
