//! Strategic merge patch by hand-made cases; what upstream's library answers to many more is in
//! `tests/golden/merge`.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::apply;
use crate::patch::{MAX_DEPTH, PatchError};
use crate::ssa::tests::any_json;
use crate::table::{Schema, TypeId};

fn type_of(group: &str, kind: &str) -> TypeId {
    Schema::builtin().kind(group, "v1", kind).unwrap().type_id
}

fn patched(group: &str, kind: &str, object: Value, patch: Value) -> Result<Value, PatchError> {
    apply(Schema::builtin(), type_of(group, kind), object, patch)
}

#[test]
fn set_image_changes_one_container_of_two() {
    let pod = |image: &str| {
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": image, "ports": [{"containerPort": 80}]},
            {"name": "side", "image": "side:1"}
        ]}}}})
    };
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "web"}, {"name": "side"}],
        "containers": [{"name": "web", "image": "web:2"}]
    }}}});
    assert_eq!(patched("apps", "Deployment", pod("web:1"), patch), Ok(pod("web:2")));
}

#[test]
fn ports_merge_by_number_and_leave_by_directive() {
    let service = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}]}});
    let patch = json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}, {"port": 8080, "name": "c"}]}});
    let expected = json!({"spec": {"ports": [{"port": 8080, "name": "c"}, {"port": 443, "name": "b"}]}});
    assert_eq!(patched("", "Service", service, patch), Ok(expected));
}

#[test]
fn taints_are_replaced_whole() {
    let node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    let patch = json!({"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}});
    assert_eq!(patched("", "Node", node, patch.clone()), Ok(patch));
}

#[test]
fn retained_keys_drop_the_rest_of_a_union() {
    let deployment =
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let expected = json!({"spec": {"strategy": {"type": "Recreate"}}});
    assert_eq!(patched("apps", "Deployment", deployment, patch), Ok(expected));
}

#[test]
fn the_selector_of_a_budget_is_replaced_whole() {
    let budget = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}});
    let patch = json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}});
    let expected = json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}});
    assert_eq!(patched("policy", "PodDisruptionBudget", budget, patch), Ok(expected));
}

#[test]
fn finalizers_leave_a_set_one_by_one() {
    let object = json!({"metadata": {"finalizers": ["a", "b"]}});
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    let expected = json!({"metadata": {"finalizers": ["b"]}});
    assert_eq!(patched("", "ConfigMap", object, patch), Ok(expected));
}

#[test]
fn errors_have_upstreams_words_and_status() {
    let pod = || json!({"spec": {"containers": [{"name": "a"}]}});
    let cases = [
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"$retainKeys": ["containers"], "nodeName": "n"}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (
            json!({"$patch": "merge", "kind": "Pod"}),
            500,
            "unknown patch type: merge in map: map[$patch:merge kind:Pod]",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": "a"}}),
            500,
            "expected a []interface {}, but received a string",
        ),
        (json!([]), 400, "invalid JSON document"),
    ];
    for (patch, status, message) in cases {
        let error = patched("", "Pod", pod(), patch.clone()).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (status, message), "{patch}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let mut deep = json!({});
    for _ in 0..=MAX_DEPTH {
        deep = json!({"a": deep});
    }
    assert_eq!(patched("", "ConfigMap", json!({}), deep).unwrap_err().status(), 400);
}

proptest! {
    #[test]
    fn no_patch_makes_it_panic(object in any_json(), patch in any_json()) {
        let _ = patched("", "Pod", object, patch);
    }

    #[test]
    fn an_empty_patch_changes_nothing(object in any_json()) {
        if object.is_object() {
            prop_assert_eq!(patched("apps", "Deployment", object.clone(), json!({})), Ok(object));
        }
    }
}
