//! Events about an object, the newest first.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use crate::object::text_at;

/// When an Event was seen last.
fn time(event: &Value) -> Timestamp {
    let at = |path: &[&str]| text_at(event, path).and_then(Timestamp::parse);
    at(&["series", "lastObservedTime"])
        .or_else(|| at(&["lastTimestamp"]))
        .or_else(|| at(&["eventTime"]))
        .or_else(|| at(&["metadata", "creationTimestamp"]))
        .unwrap_or_default()
}

/// True for an Event about this object: by uid where both state one, else by kind and name.
fn is_about(event: &Value, object: &Value) -> bool {
    let of = |field: &str| text_at(event, &["involvedObject", field]).filter(|t| !t.is_empty());
    let uid = text_at(object, &["metadata", "uid"]).filter(|t| !t.is_empty());
    match (of("uid"), uid) {
        (Some(a), Some(b)) => a == b,
        _ => {
            of("kind") == text_at(object, &["kind"])
                && of("name").is_some_and(|n| text_at(object, &["metadata", "name"]) == Some(n))
        }
    }
}

/// The Events about an object, the newest first.
pub(super) fn about<'a>(events: &'a [Value], object: &Value) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = events.iter().filter(|e| is_about(e, object)).collect();
    found.sort_by_key(|e| std::cmp::Reverse(time(e)));
    found
}

/// The newest Event about an object with one of these reasons: its message.
pub(super) fn newest<'a>(events: &'a [Value], object: &Value, reasons: &[&str]) -> Option<&'a str> {
    let of_reason = |e: &&&Value| reason(e).is_some_and(|r| reasons.contains(&r));
    about(events, object).iter().find(of_reason).and_then(|e| message(e))
}

/// The newest warning about an object as `Reason: message`; none where `known` says it already.
pub(super) fn warning(events: &[Value], object: &Value, known: &str) -> Option<String> {
    let found = about(events, object);
    let event = found.iter().find(|e| text_at(e, &["type"]) == Some("Warning"))?;
    let message = message(event)?;
    (!known.contains(message)).then(|| format!("{}: {message}", reason(event).unwrap_or("Warning")))
}

/// The Event's reason.
pub(super) fn reason(event: &Value) -> Option<&str> {
    text_at(event, &["reason"])
}

/// The Event's message, without line breaks around it.
pub(super) fn message(event: &Value) -> Option<&str> {
    text_at(event, &["message"]).map(str::trim).filter(|m| !m.is_empty())
}
