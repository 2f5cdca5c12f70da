//! Custom kinds as server-side apply and the decoder see them.
#![allow(clippy::unwrap_used)]

use kiban_base::clock::Timestamp;
use serde_json::json;

use super::*;
use crate::json;
use crate::ssa;

fn kind() -> Kind {
    Kind {
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Thing".into(),
        plural: "things".into(),
        singular: "thing".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        verbs: vec!["get".into()],
        subresources: vec!["status".into()],
        type_id: TypeId(0),
    }
}

fn schema() -> Schema {
    table(
        vec![kind()],
        &json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "ports": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {"type": "object", "properties": {
                        "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
                        "name": {"type": "string"}}}},
                "words": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "plain": {"type": "array", "items": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "any": {"x-kubernetes-preserve-unknown-fields": true},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic",
                    "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "size": {"x-kubernetes-int-or-string": true},
            }},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}),
    )
}

fn apply(live: Option<&Value>, spec: Value, manager: &str) -> Result<Value, ssa::ApplyError> {
    let schema = schema();
    let ctx = ssa::Ctx::custom(&schema, &schema.kinds[0], "");
    let config =
        json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec});
    ssa::apply(&ctx, live, &config, manager, false, Timestamp::from_secs(0))
}

#[test]
fn apply_merges_lists_and_maps_as_the_definition_says() {
    let one = apply(
        None,
        json!({
            "ports": [{"port": 1, "name": "a"}], "words": ["x"], "plain": ["x"], "free": {"a": {"b": 1}},
            "any": {"x": 1}, "labels": {"k": "v"}, "size": "1%",
        }),
        "one",
    )
    .unwrap();
    let two = apply(
        Some(&one),
        json!({
            "ports": [{"port": 1, "protocol": "UDP", "name": "b"}], "words": ["y"], "free": {"a": {"c": 2}},
            "any": {"y": 2}, "labels": {"l": "w"},
        }),
        "two",
    )
    .unwrap();
    let spec = &two["spec"];
    assert_eq!(spec["ports"], json!([{"port": 1, "name": "a"}, {"port": 1, "protocol": "UDP", "name": "b"}]));
    assert_eq!(spec["words"], json!(["x", "y"]));
    assert_eq!(spec["free"], json!({"a": {"b": 1, "c": 2}}));
    assert_eq!(spec["any"], json!({"x": 1, "y": 2}));
    assert_eq!(spec["labels"], json!({"k": "v", "l": "w"}));
    // What its owner leaves out goes, and what another one owns stays.
    let three = apply(Some(&two), json!({"labels": {"k": "v"}}), "one").unwrap();
    assert_eq!(three["spec"]["free"], json!({"a": {"c": 2}}));
    assert_eq!(three["spec"]["plain"], Value::Null);
}

#[test]
fn apply_refuses_to_take_what_another_one_owns() {
    let one = apply(None, json!({"whole": {"a": "1"}, "plain": ["x"], "size": 1}), "one").unwrap();
    for (spec, field) in [
        (json!({"whole": {"b": "2"}}), ".spec.whole"),
        (json!({"plain": ["y"]}), ".spec.plain"),
        (json!({"size": "2"}), ".spec.size"),
    ] {
        let refused = apply(Some(&one), spec, "two").unwrap_err();
        let ssa::ApplyError::Conflict(conflicts) = refused else { panic!("{refused}") };
        assert_eq!(conflicts[0].field, field);
    }
}

#[test]
fn a_field_that_is_not_in_the_definition_is_not_applied() {
    let refused = apply(None, json!({"nothing": 1}), "one").unwrap_err().to_string();
    assert!(refused.contains("field not declared in schema"), "{refused}");
}

#[test]
fn metadata_is_decoded_strictly_and_the_rest_is_left() {
    let text = br#"{"kind":"Thing","metadata":{"name":"a","foo":1,"labels":{"a":"b"}},"spec":{"x":1,"x":2}}"#;
    let decoded = decode_frame(json::parse(text).unwrap()).unwrap();
    assert_eq!(decoded.findings, ["duplicate field \"spec.x\"", "unknown field \"metadata.foo\""]);
    assert_eq!(decoded.value["spec"], json!({"x": 2}));
    let wrong = decode_frame(json!({"metadata": {"labels": {"a": 1}}}).into()).unwrap_err();
    assert!(wrong.0.starts_with("json: cannot unmarshal number into Go struct field"), "{wrong}");
}
