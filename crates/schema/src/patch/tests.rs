//! Limits and errors of the patches that need no type; results are compared with upstream's in
//! `tests/merge_oracle.rs`.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ssa::tests::any_json;

fn json_patched(doc: Value, patch: &Value) -> Result<Value, PatchError> {
    let mut doc = doc;
    apply_json_patch(&mut doc, patch).map(|()| doc)
}

#[test]
fn a_failed_test_is_422_and_keeps_its_reason_from_clients() {
    let patch = json!([{"op": "test", "path": "/data/a", "value": "2"}]);
    let error = json_patched(json!({"data": {"a": "1"}}), &patch).unwrap_err();
    assert_eq!(error.status(), 422);
    assert_eq!(error.to_string(), "testing value /data/a failed: test failed");
    assert_eq!(error.client_message(), "the server rejected our request due to an error in our request");
}

#[test]
fn ten_thousand_operations_are_allowed_and_no_more() {
    let operations = |n: usize| Value::Array(vec![json!({"op": "add", "path": "/a", "value": 1}); n]);
    assert_eq!(json_patched(json!({}), &operations(MAX_OPERATIONS)), Ok(json!({"a": 1})));
    let error = json_patched(json!({}), &operations(MAX_OPERATIONS + 1)).unwrap_err();
    assert_eq!(error.status(), 413);
    assert_eq!(
        error.client_message(),
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
}

#[test]
fn copies_that_multiply_a_document_are_stopped() {
    let doubling: Vec<Value> =
        (0..60).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/{i}")})).collect();
    let error = json_patched(json!({"a": {"x": "y".repeat(1000)}}), &Value::Array(doubling)).unwrap_err();
    assert_eq!(error.status(), 422);
}

#[test]
fn moves_that_nest_without_end_are_stopped() {
    let nesting: Vec<Value> = (0..2 * MAX_DEPTH)
        .flat_map(|_| {
            [
                json!({"op": "add", "path": "/b", "value": {}}),
                json!({"op": "move", "from": "/a", "path": "/b/a"}),
                json!({"op": "move", "from": "/b", "path": "/a"}),
            ]
        })
        .collect();
    let error = json_patched(json!({"a": {}}), &Value::Array(nesting)).unwrap_err();
    assert_eq!(error.status(), 400);
}

#[test]
fn malformed_patches_are_400() {
    for (patch, message) in [
        (json!({}), "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (json!(["x"]), "json: cannot unmarshal string into Go value of type jsonpatch.Operation"),
    ] {
        let error = json_patched(json!({}), &patch).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (400, message));
    }
    let mut doc = json!({});
    let error = apply_merge_patch(&mut doc, json!("x")).unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (400, "Invalid JSON Patch"));
}

proptest! {
    #[test]
    fn no_patch_makes_it_panic(doc in any_json(), patch in any_json()) {
        let _ = json_patched(doc.clone(), &patch);
        let _ = apply_merge_patch(&mut doc.clone(), patch);
    }

    #[test]
    fn a_merge_patch_applied_twice_is_applied_once(doc in any_json(), patch in any_json()) {
        let mut once = doc;
        if apply_merge_patch(&mut once, patch.clone()).is_ok() {
            let mut twice = once.clone();
            apply_merge_patch(&mut twice, patch).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
