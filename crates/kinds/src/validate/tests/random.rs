//! Objects with anything anywhere: nothing panics, and defaults hold still.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::super::{create, ephemeral_containers, resize, scale, status, status_of, update};
use super::{KINDS, good, sentences, written};
use crate::{defaults, prepare};

/// Values that stand where others are expected.
fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, {}, [], "", 1])),
        Just(json!({"": null, "name": {}, "a/b": [1]})),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[ -~]{0,12}".prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        prop_oneof![
            "1",
            "-1",
            "100%",
            "1e999",
            "9223372036854775807",
            "1Ei",
            "Always",
            "None",
            "v1",
            "::1",
            "10.0.0.0/33"
        ]
        .prop_map(Value::from),
    ]
}

/// Puts a value at the place that the choices lead to, and says whether it found one.
fn put(place: &mut Value, choices: &mut std::slice::Iter<'_, Index>, value: &Value) {
    let Some(choice) = choices.next() else {
        *place = value.clone();
        return;
    };
    match place {
        Value::Object(map) if !map.is_empty() => {
            let at = choice.index(map.len());
            if let Some(next) = map.values_mut().nth(at) {
                put(next, choices, value);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = choice.index(items.len());
            put(&mut items[at], choices, value);
        }
        other => *other = value.clone(),
    }
}

type Edit = (Vec<Index>, Value);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((prop::collection::vec(any::<Index>(), 1..9), strange()), 1..5)
}

fn edited(mut object: Value, edits: &[Edit]) -> Value {
    for (choices, value) in edits {
        put(&mut object, &mut choices.iter(), value);
    }
    object
}

/// Like [`edited`], but what stands there keeps its type: a number becomes a number, a text a text.
fn varied(mut object: Value, edits: &[Edit]) -> Value {
    for (choices, value) in edits {
        let before = object.clone();
        put(&mut object, &mut choices.iter(), value);
        if !has_same_types(&before, &object) {
            object = before;
        }
    }
    object
}

fn has_same_types(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len()
                && l.iter().all(|(name, value)| r.get(name).is_some_and(|other| has_same_types(value, other)))
        }
        (Value::Array(l), Value::Array(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|(one, other)| has_same_types(one, other))
        }
        (Value::Number(_), Value::Number(r)) => r.is_i64(),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => true,
        _ => left == right,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_whatever_stands_in_an_object(
        kind in prop::sample::select(KINDS),
        before in edits(),
        after in edits(),
        defaulted in any::<bool>(),
    ) {
        let (group, base) = if defaulted { written(kind, "") } else { good(kind) };
        let mut old = edited(base.clone(), &before);
        prop_assert!(!status_of(group, kind, "a", &create(group, kind, &old)).is_null());
        defaults::apply(group, kind, &mut old);
        prepare::create(group, kind, &mut old);
        let _ = create(group, kind, &old);
        let mut new = edited(base, &after);
        let _ = update(group, kind, &old, &new);
        defaults::apply(group, kind, &mut new);
        let mut status_only = new.clone();
        prepare::update(group, kind, &old, &mut new);
        let _ = update(group, kind, &old, &new);
        prepare::status_update(group, kind, &old, &mut status_only);
        let _ = status(group, kind, &old, &status_only);
        let _ = scale(&new);
        let (mut debugged, mut resized) = (status_only.clone(), status_only);
        prepare::ephemeral_containers_update(&old, &mut debugged);
        let _ = ephemeral_containers(&old, &debugged);
        prepare::resize_update(&old, &mut resized);
        let _ = resize(&old, &resized);
    }

    #[test]
    fn defaults_of_defaulted_objects_change_nothing(
        kind in prop::sample::select(KINDS),
        changes in edits(),
    ) {
        let (group, object) = good(kind);
        let mut once = edited(object, &changes);
        defaults::apply(group, kind, &mut once);
        let mut twice = once.clone();
        defaults::apply(group, kind, &mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_passed_once_passes_as_an_unchanged_update(
        kind in prop::sample::select(KINDS),
        changes in edits(),
    ) {
        let (group, object) = good(kind);
        let mut stored = varied(object, &changes);
        defaults::apply(group, kind, &mut stored);
        prepare::create(group, kind, &mut stored);
        if create(group, kind, &stored).is_empty() {
            stored["metadata"]["resourceVersion"] = json!("1");
            let mut new = stored.clone();
            defaults::apply(group, kind, &mut new);
            prepare::update(group, kind, &stored, &mut new);
            prop_assert_eq!(sentences(&update(group, kind, &stored, &new)), Vec::<String>::new());
            prop_assert_eq!(&stored["metadata"]["generation"], &new["metadata"]["generation"]);
        }
    }

    #[test]
    fn admission_takes_any_pod(changes in edits()) {
        let (_, pod) = good("Pod");
        let mut pod = edited(pod, &changes);
        let account = |_: &str| Some(json!({"imagePullSecrets": [{"name": "a"}]}));
        let _ = prepare::admission::service_account(&mut pod, &account, &mut || "abcde".to_string());
        let _ = prepare::admission::priority(&mut pod, &|_| None);
        prepare::admission::default_tolerations(&mut pod);
        let _ = prepare::qos_class(&pod);
    }
}
