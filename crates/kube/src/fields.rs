//! Sets of fields as `metadata.managedFields` holds them (`fieldsV1`), laid over an object.
//!
//! Contract: structured-merge-diff's FieldsV1: `f:name` is a field, `k:{…}` the element of a list with
//! these keys, `v:…` an element of a set, `i:n` an element by place, `.` the thing itself.

use serde_json::{Map, Value};

use crate::object::text_at;

/// A set of fields.
pub(crate) type Set = Map<String, Value>;

/// How deep sets are followed; no schema goes so far.
const MAX_DEPTH: usize = 100;

/// One step of a path through an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step<'a> {
    /// A field of a map.
    Field(&'a str),
    /// An element of a list, itself.
    Element(&'a Value),
}

/// The entries of `managedFields`.
pub(crate) fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    let list = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// What `manager` applied.
pub(crate) fn owned(object: &Value, manager: &str) -> Option<Set> {
    let ours = entries(object).find(|e| {
        let text = |field: &str| text_at(e, &[field]).unwrap_or("");
        text("manager") == manager && text("operation") == "Apply" && text("subresource").is_empty()
    })?;
    ours.get("fieldsV1")?.as_object().cloned()
}

/// The member of a map or list that a key of a set names.
fn member<'a>(of: &'a Value, key: &str) -> Option<&'a Value> {
    let (sort, rest) = key.split_once(':')?;
    match sort {
        "f" => of.get(rest),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            of.as_array()?.iter().find(|e| has_keys(e, &keys))
        }
        "v" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            of.as_array()?.iter().find(|e| **e == value)
        }
        "i" => of.as_array()?.get(rest.parse::<usize>().ok()?),
        _ => None,
    }
}

/// True for an element with these keys. A key that the element lacks was a default when it was applied.
fn has_keys(element: &Value, keys: &Map<String, Value>) -> bool {
    element.is_object() && keys.iter().all(|(k, v)| element.get(k).is_none_or(|have| have == v))
}

/// The values of the fields of a set: a tree of the set's own form with values at its leaves; null where
/// the object lacks a field.
pub(crate) fn pick(object: &Value, set: &Set) -> Value {
    pick_at(Some(object), set, 0)
}

fn pick_at(object: Option<&Value>, set: &Set, depth: usize) -> Value {
    let mut out = Map::new();
    for (key, below) in set.iter().filter(|(key, _)| *key != ".") {
        let found = object.and_then(|o| member(o, key));
        let value = match below.as_object() {
            Some(below) if below.keys().any(|k| k != ".") && depth < MAX_DEPTH => {
                pick_at(found, below, depth + 1)
            }
            // Owned itself and nothing in it: whether it is there counts, what others put in does not.
            Some(below)
                if below.contains_key(".") && found.is_some_and(|f| f.is_object() || f.is_array()) =>
            {
                Value::Bool(true)
            }
            _ => found.cloned().unwrap_or(Value::Null),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// Who owns the field at a path, this program left out: the newest entry that names it. Where the field
/// is gone from the object, the newest entry that owns the map or list it was in.
pub(crate) fn owner(object: &Value, path: &[Step<'_>], present: bool) -> Option<String> {
    let mut found: Option<(&str, String)> = None;
    for entry in entries(object).filter(|e| text_at(e, &["manager"]) != Some(crate::request::MANAGER)) {
        let Some(set) = entry.get("fieldsV1").and_then(Value::as_object) else { continue };
        let depth = reach(set, path);
        let fits = if present { depth == path.len() } else { depth + 1 >= path.len() };
        let time = text_at(entry, &["time"]).unwrap_or("");
        if fits && found.as_ref().is_none_or(|(newest, _)| time >= *newest) {
            found = Some((time, text_at(entry, &["manager"]).unwrap_or("").to_owned()));
        }
    }
    found.map(|(_, manager)| manager).filter(|m| !m.is_empty())
}

/// How many steps of the path the set names.
fn reach(set: &Set, path: &[Step<'_>]) -> usize {
    let mut at = set;
    for (done, step) in path.iter().enumerate() {
        let below = match step {
            Step::Field(name) => at.get(&format!("f:{name}")),
            Step::Element(element) => at.iter().find(|(key, _)| names(key, element)).map(|(_, below)| below),
        };
        match below.and_then(Value::as_object) {
            Some(below) if below.keys().any(|k| k != ".") => at = below,
            // It owns the whole of what lies below.
            Some(below) if below.is_empty() => return path.len(),
            Some(_) => return done + 1,
            None => return done,
        }
    }
    path.len()
}

/// True where a key of a set names this element of a list.
fn names(key: &str, element: &Value) -> bool {
    match key.split_once(':') {
        Some(("k", keys)) => serde_json::from_str(keys).is_ok_and(|keys| has_keys(element, &keys)),
        Some(("v", value)) => serde_json::from_str::<Value>(value).is_ok_and(|v| v == *element),
        _ => false,
    }
}

/// The union of two sets.
pub(crate) fn unite(into: &mut Set, more: &Set) {
    unite_at(into, more, 0);
}

fn unite_at(into: &mut Set, more: &Set, depth: usize) {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(value)) if depth < MAX_DEPTH => {
                unite_at(known, value, depth + 1);
            }
            (Some(_), _) => {}
            (None, _) => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// Takes out of a set what `object` does not state, and returns that.
pub(crate) fn split_missing(set: &mut Set, object: Option<&Value>) -> Set {
    split_at(set, object, 0)
}

fn split_at(set: &mut Set, object: Option<&Value>, depth: usize) -> Set {
    let mut missing = Set::new();
    let keys: Vec<String> = set.keys().filter(|k| *k != ".").cloned().collect();
    for key in keys {
        let found = object.and_then(|o| member(o, &key));
        if found.is_none() {
            missing.extend(set.remove(&key).map(|below| (key, below)));
        } else if let Some(Value::Object(below)) = set.get_mut(&key).filter(|_| depth < MAX_DEPTH) {
            let left = split_at(below, found, depth + 1);
            let emptied = !left.is_empty() && below.is_empty();
            if !left.is_empty() {
                missing.insert(key.clone(), Value::Object(left));
            }
            // An empty set would say that the whole of the field is owned.
            if emptied {
                set.remove(&key);
            }
        }
    }
    missing
}

/// True for a set that names no field but the maps that held some.
pub(crate) fn is_hollow(set: &Set) -> bool {
    set.iter().all(|(key, below)| key == "." || hollow_at(below, 1))
}

/// An empty set is a field that is owned whole; one whose members are all hollow is none.
fn hollow_at(below: &Value, depth: usize) -> bool {
    match below.as_object() {
        Some(map) if map.is_empty() || depth > MAX_DEPTH => false,
        Some(map) => map.iter().all(|(key, below)| key == "." || hollow_at(below, depth + 1)),
        None => false,
    }
}

/// The paths of a set's leaves, for people: `.metadata.labels.helm.sh/chart`.
pub(crate) fn leaves(set: &Set, at: &str, out: &mut Vec<String>) {
    for (key, below) in set.iter().filter(|(key, _)| *key != ".") {
        let step = key.split_once(':').map_or(key.as_str(), |(_, rest)| rest);
        let path = if key.starts_with("f:") { format!("{at}.{step}") } else { format!("{at}[{step}]") };
        match below.as_object() {
            Some(below) if below.keys().any(|k| k != ".") && path.len() < 1000 => leaves(below, &path, out),
            _ => out.push(path),
        }
    }
}

/// Takes a path of fields out of a set, and what becomes empty by it.
pub(crate) fn remove(set: &mut Set, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = format!("f:{first}");
    if rest.is_empty() {
        set.remove(&key);
    } else if let Some(Value::Object(below)) = set.get_mut(&key) {
        remove(below, rest);
        if below.is_empty() {
            set.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn set(value: Value) -> Set {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn values_are_picked_by_field_key_value_and_place() {
        let object = json!({"spec": {"replicas": 2, "containers": [{"name": "a", "image": "x"}, {"name": "b"}],
            "ports": [{"port": 80}], "list": [1, 2]}, "finalizers": ["f", "g"], "empty": {"theirs": 1}});
        let wanted = set(json!({
            "f:spec": {"f:replicas": {}, "f:gone": {}, "f:list": {"i:1": {}},
                "f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}, "f:name": {}}},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:port": {}}}},
            "f:finalizers": {"v:\"g\"": {}}, "f:empty": {".": {}}}));
        assert_eq!(
            pick(&object, &wanted),
            json!({
            "f:spec": {"f:replicas": 2, "f:gone": null, "f:list": {"i:1": 2},
                "f:containers": {"k:{\"name\":\"a\"}": {"f:image": "x", "f:name": "a"}},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:port": 80}}},
            "f:finalizers": {"v:\"g\"": "g"}, "f:empty": true})
        );
    }

    #[test]
    fn the_owner_of_a_field_is_whoever_wrote_it_last_but_us() {
        let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields});
        let element = json!({"name": "a", "image": "x"});
        let object = json!({"metadata": {"managedFields": [
            entry("kiban", "9", json!({"f:spec": {"f:replicas": {}}})),
            entry("old", "1", json!({"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}}})),
            entry("new", "2", json!({"f:spec": {"f:replicas": {}}})),
            entry("whole", "3", json!({"f:data": {}})),
        ]}});
        let f = Step::Field;
        let image = [f("spec"), f("containers"), Step::Element(&element), f("image")];
        assert_eq!(owner(&object, &[f("spec"), f("replicas")], true).as_deref(), Some("new"));
        assert_eq!(owner(&object, &image, true).as_deref(), Some("old"));
        assert_eq!(owner(&object, &[f("data"), f("x")], true).as_deref(), Some("whole"));
        assert_eq!(owner(&object, &[f("spec"), f("paused")], true), None);
        assert_eq!(owner(&object, &[f("spec"), f("paused")], false).as_deref(), Some("new"));
        assert_eq!(owner(&json!({}), &[f("spec")], true), None);
    }

    #[test]
    fn a_removed_path_takes_its_empty_parents_along() {
        let mut fields = set(json!({"f:metadata": {"f:annotations": {"f:a": {}}}, "f:spec": {}}));
        remove(&mut fields, &["metadata", "annotations", "a"]);
        assert_eq!(fields, set(json!({"f:spec": {}})));
        remove(&mut fields, &["nothing", "here"]);
        assert_eq!(fields, set(json!({"f:spec": {}})));
    }
}
