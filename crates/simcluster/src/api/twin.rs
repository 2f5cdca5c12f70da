//! Events have two APIs over the same objects: `v1` and `events.k8s.io/v1`.
//!
//! They are kept as `v1`; here they are shown and taken in the newer form. Contract: Kubernetes
//! pkg/apis/events/v1/conversion.go.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::kind::{KindId, kind_id, well_known::EVENT};
use crate::object::Stored;
use crate::status::ApiError;

/// The kind whose objects are kept as another one.
static NEWER: LazyLock<Option<KindId>> = LazyLock::new(|| kind_id("events.k8s.io", "Event"));

/// Names of the same fields: as kept, as shown.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The kind as which objects of `kind` are kept.
pub(super) fn kept_kind(kind: KindId) -> KindId {
    if is_newer(kind) { *EVENT } else { kind.kept() }
}

fn is_newer(kind: KindId) -> bool {
    *NEWER == Some(kind)
}

/// A kept object in the form of `kind`.
pub(super) fn shown(kind: KindId, value: &Value) -> Cow<'_, Value> {
    if is_newer(kind) {
        Cow::Owned(renamed(value.clone(), kind, |(kept, shown)| (kept, shown)))
    } else {
        Cow::Borrowed(value)
    }
}

/// An object of `kind` in the form in which it is kept.
pub(super) fn kept(kind: KindId, value: Value) -> Value {
    if is_newer(kind) { renamed(value, *EVENT, |(kept, shown)| (shown, kept)) } else { value }
}

fn renamed(
    value: Value,
    to: KindId,
    direction: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let Value::Object(mut map) = value else { return value };
    let mut out = Map::new();
    for (from, to) in NAMES.map(direction) {
        if let Some(field) = map.remove(from) {
            out.insert(to.to_owned(), field);
        }
    }
    out.extend(map);
    for (key, text) in [("apiVersion", to.api_version()), ("kind", to.info().kind.clone())] {
        if out.contains_key(key) {
            out.insert(key.to_owned(), text.into());
        }
    }
    out.into()
}

/// A stored object as one of `kind`.
pub(super) fn view(kind: KindId, object: Arc<Stored>) -> Arc<Stored> {
    if !is_newer(kind) || object.kind == kind {
        return object;
    }
    let value = shown(kind, &object.value()).into_owned();
    let json = serde_json::to_vec(&value).unwrap_or_default();
    Arc::new(Stored::new(kind, &value, object.revision, json.into(), Some(&object)))
}

/// A refusal that names the kind as the client does.
pub(super) fn blame(kind: KindId, mut error: ApiError) -> ApiError {
    if is_newer(kind) {
        let (kept, shown) = (EVENT.resource_name(), kind.resource_name());
        error.message = error.message.replacen(&format!("{kept} \""), &format!("{shown} \""), 1);
        if error.details.contains_key("kind") {
            error.details.insert("group".into(), kind.info().group.clone().into());
        }
    }
    error
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_the_same_after_there_and_back() {
        let newer = NEWER.unwrap();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"},
            "message": "m", "source": {"component": "c"}, "firstTimestamp": "t", "lastTimestamp": "t", "count": 2,
            "reportingComponent": "r", "reportingInstance": "i", "reason": "R", "type": "Normal", "eventTime": null,
        });
        let there = shown(newer, &event).into_owned();
        assert_eq!(there["apiVersion"], "events.k8s.io/v1");
        assert_eq!((&there["note"], &there["regarding"]["kind"]), (&json!("m"), &json!("Pod")));
        assert!(there.get("message").is_none());
        assert_eq!(kept(newer, there), event);
        assert_eq!(*shown(*EVENT, &event), event);
    }

    #[test]
    fn refusals_name_the_kind_that_was_asked_for() {
        let refusal = blame(NEWER.unwrap(), ApiError::not_found(*EVENT, "x"));
        assert_eq!(refusal.message, "events.events.k8s.io \"x\" not found");
        assert_eq!(refusal.details["group"], "events.k8s.io");
    }
}
