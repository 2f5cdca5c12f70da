//! Schemas and objects as tables.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::{Value, json};

use super::object::{Rules, validate_create, validate_update};
use super::*;
use crate::{defaults, prepare, validate as checks};

/// A definition whose spec has these properties.
fn definition(spec: Value) -> Value {
    let mut out = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": spec},
            }}}],
        },
    });
    complete(&mut out);
    out
}

fn complete(definition: &mut Value) {
    const KIND: (&str, &str) = ("apiextensions.k8s.io", "CustomResourceDefinition");
    defaults::apply(KIND.0, KIND.1, definition);
    prepare::create(KIND.0, KIND.1, definition);
}

fn causes_of(definition: &Value) -> Vec<String> {
    let causes = checks::create("apiextensions.k8s.io", "CustomResourceDefinition", definition);
    causes.iter().map(ToString::to_string).collect()
}

#[test]
fn schemas_that_are_not_structural_are_refused_by_their_place() {
    let at = "spec.validation.openAPIV3Schema.properties[spec]";
    for (spec, cause) in [
        (json!({}), ".type: Required value: must not be empty for specified object fields"),
        (
            json!({"type": "list"}),
            ".type: Unsupported value: \"list\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (json!({"type": "array"}), ".items: Required value: must be specified"),
        (
            json!({"type": "object", "anyOf": [{"type": "string"}]}),
            ".anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "string", "pattern": "(?=a)"}),
            ".pattern: Invalid value: \"(?=a)\": must be a valid regular expression, but isn't: error parsing regexp: look-around, including look-ahead and look-behind, is not supported: `(?=a)`",
        ),
        (
            json!({"type": "string", "default": 1}),
            ".default: Invalid value: \"integer\": spec.validation.openAPIV3Schema.properties[spec].default in body must be of type string: \"integer\"",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}}),
            ".default: Invalid value: {\"b\":1}: must not have unknown fields",
        ),
        (
            json!({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}),
            ".items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
            ".x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self =="}]}),
            ".x-kubernetes-validations[0].rule: Invalid value: \"self ==\": compilation failed: ERROR: <input>: Syntax error: the expression ends early",
        ),
    ] {
        let found = causes_of(&definition(spec.clone()));
        let wanted = format!("{at}{cause}");
        assert!(found.contains(&wanted), "{spec}\nwanted {wanted}\nfound  {found:#?}");
    }
    let mut root = definition(json!({"type": "object"}));
    let schema = &mut root["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["oneOf"] = json!([{"properties": {"a": {}}}]);
    let wanted = "spec.validation.openAPIV3Schema.properties[a]: Required value: because it is defined in spec.validation.openAPIV3Schema.oneOf[0].properties[a]";
    assert_eq!(causes_of(&root), [wanted]);
}

#[test]
fn definitions_that_cannot_be_served_are_refused() {
    for (path, value, cause) in [
        (
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            "spec.conversion.strategy: Forbidden: conversion by webhook is not supported by the embedded cluster",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "A", "type": "text", "jsonPath": ".a"}]),
            "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "A", "type": "string", "jsonPath": "a"}]),
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with .",
        ),
        (
            "/spec/versions/0/subresources",
            json!({"scale": {"specReplicasPath": ".a", "statusReplicasPath": ".status.r"}}),
            "spec.subresources.scale.specReplicasPath: Invalid value: \".a\": should be a json path under .spec",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec"}]),
            "spec.selectableFields[0].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
        ),
    ] {
        let mut definition = definition(json!({"type": "object"}));
        let (parent, name) = path.rsplit_once('/').unwrap();
        definition.pointer_mut(parent).unwrap()[name] = value;
        let found = causes_of(&definition);
        assert!(found.iter().any(|c| c.starts_with(cause)), "{cause}\n{found:#?}");
    }
    let mut protected = definition(json!({"type": "object"}));
    protected["spec"]["group"] = "x.k8s.io".into();
    protected["metadata"]["name"] = "things.x.k8s.io".into();
    assert!(causes_of(&protected)[0].starts_with("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation"));
    protected["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a test"});
    assert_eq!(causes_of(&protected), Vec::<String>::new());
}

fn object(spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "spec": spec,
        "metadata": {"name": "a", "namespace": "b", "resourceVersion": "1", "generation": 1},
    })
}

fn rules(schema: &Node) -> Rules<'_> {
    Rules { schema, status: false, scale: None, namespaced: true }
}

#[test]
fn values_are_refused_in_the_api_servers_words() {
    let schema = Node::read(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": true, "maximum": 9, "multipleOf": 2},
            "s": {"type": "string", "minLength": 2, "maxLength": 3},
            "t": {"type": "string", "format": "date-time"},
            "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "m": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
            "i": {"x-kubernetes-int-or-string": true, "pattern": "^[0-9]+%$"},
            "o": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "z": {"type": "string", "nullable": true},
            "r": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "only grows"}]},
            "w": {"type": "object", "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}, "x-kubernetes-validations": [
                {"rule": "!has(self.min) || self.min <= self.max", "messageExpression": "'min is ' + string(self.min)", "fieldPath": ".min", "reason": "FieldValueForbidden"},
            ]},
        }}}}),
    );
    for (spec, wanted) in [
        (
            json!({"n": 4, "s": "ab", "t": "2026-01-02T03:04:05Z", "l": ["a"], "m": {"k": true}, "i": 5, "z": null}),
            "",
        ),
        (json!({"n": 0}), "spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1"),
        (
            json!({"n": 9}),
            "spec.n: Invalid value: 9: spec.n in body should be a multiple of 2; spec.n: Invalid value: 9: spec.n in body should be less than 9",
        ),
        (
            json!({"n": 2.5}),
            "spec.n: Invalid value: \"number\": spec.n in body must be of type integer: \"number\"; spec.n: Invalid value: 2.5: spec.n in body should be a multiple of 2",
        ),
        (json!({"s": "a"}), "spec.s: Invalid value: \"a\": spec.s in body should be at least 2 chars long"),
        (json!({"s": "abcd"}), "spec.s: Too long: may not be more than 3 bytes"),
        (
            json!({"t": "now"}),
            "spec.t: Invalid value: \"now\": spec.t in body must be of type date-time: \"now\"",
        ),
        (json!({"l": ["a", "b", "c"]}), "spec.l: Too many: 3: must have at most 2 items"),
        (json!({"l": ["a", "a"]}), "spec.l[1]: Duplicate value: \"a\""),
        (
            json!({"m": {"k": "v"}}),
            "spec.m.k: Invalid value: \"string\": spec.m.k in body must be of type boolean: \"string\"",
        ),
        (json!({"i": "5"}), "spec.i: Invalid value: \"5\": spec.i in body should match '^[0-9]+%$'"),
        (
            json!({"i": true}),
            "spec.i: Invalid value: \"boolean\": spec.i in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"o": {}}),
            "<nil>: Invalid value: \"\": \"spec.o\" must validate one and only one schema (oneOf). Found none valid; spec.o.a: Required value",
        ),
        (
            json!({"o": {"a": "1", "b": "2"}}),
            "<nil>: Invalid value: \"\": \"spec.o\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (json!({"w": {"min": 3, "max": 2}}), "spec.w.min: Forbidden: min is 3"),
        (
            json!({"w": {"min": 3}}),
            "spec.w: Invalid value: \"object\": no such key: max evaluating rule: !has(self.min) || self.min <= self.max",
        ),
    ] {
        let causes = validate_create(&rules(&schema), &object(spec.clone()));
        let found: Vec<String> = causes
            .iter()
            .map(ToString::to_string)
            .filter(|c| !c.contains("some validation rules were not checked"))
            .collect();
        assert_eq!(found.join("; "), wanted, "{spec}");
    }
    let change = |old: Value, new: Value| -> Vec<String> {
        validate_update(&rules(&schema), &object(old), &object(new)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(change(json!({"r": 2}), json!({"r": 1})), ["spec.r: Invalid value: 1: only grows"]);
    assert_eq!(change(json!({"r": 2}), json!({"r": 3})), Vec::<String>::new());
    assert_eq!(change(json!({}), json!({"r": 1})), Vec::<String>::new());
    // What was wrong before and is not touched is left alone.
    assert_eq!(change(json!({"n": 0}), json!({"n": 0, "r": 1})), Vec::<String>::new());
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    let schema = Node::read(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "default": {}, "properties": {
            "a": {"type": "string", "default": "x"},
            "n": {"type": "string", "nullable": true, "default": "y"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "integer", "default": 1}}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"shut": {"type": "object"}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        }}}}),
    );
    let mut value = json!({
        "apiVersion": "v", "kind": "K", "metadata": {"name": "n", "odd": 1}, "top": 1,
        "spec": {"a": null, "n": null, "z": 1, "list": [{"c": 1}], "open": {"x": {"y": 1}, "shut": {"w": 1}}, "pod": {"metadata": {"k": 1}, "spec": {}}},
    });
    assert_eq!(prune(&mut value, &schema), ["spec.list[0].c", "spec.open.shut.w", "spec.z", "top"]);
    fill(&mut value, &schema);
    assert_eq!(
        value["spec"],
        json!({"a": "x", "n": null, "list": [{"b": 1}], "open": {"x": {"y": 1}, "shut": {}}, "pod": {"metadata": {"k": 1}, "spec": {}}})
    );
    assert_eq!(value["metadata"], json!({"name": "n", "odd": 1}));
    let mut empty = json!({});
    fill(&mut empty, &schema);
    assert_eq!(empty, json!({"spec": {"a": "x", "n": "y"}}));
}

#[test]
fn paths_lead_where_kubectl_prints_from() {
    let value = json!({"a": {"b.c": [1, 2, 3]}, "list": [{"t": "Ready", "s": "True", "n": 5}, {"t": "Other", "s": "False", "n": 1}]});
    for (path, found) in [
        (".a['b.c'][0]", json!([1])),
        (".a.b\\.c[-1]", json!([3])),
        (".a.b\\.c[1:]", json!([2, 3])),
        (".list[?(@.t==\"Ready\")].s", json!(["True"])),
        (".list[?(@.n>2)].t", json!(["Ready"])),
        (".list[*].t", json!(["Ready", "Other"])),
        ("{.list[0].s}", json!(["True"])),
        ("..t", json!(["Ready", "Other"])),
        (".nothing.at.all", json!([])),
    ] {
        let parsed = jsonpath::JsonPath::parse(path).unwrap();
        assert_eq!(Value::from_iter(parsed.find(&value).into_iter().cloned()), found, "{path}");
    }
    for bad in ["a", ".a[", ".a[x]", ".a[?(b)]", ".a b"] {
        assert!(jsonpath::JsonPath::parse(bad).is_err(), "{bad}");
    }
}

/// Schemas from the descriptions of other projects lack what only their build adds; this adds it.
fn made_whole(definition: &mut Value) {
    let spec = &mut definition["spec"];
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_lowercase();
    let plural =
        definition["metadata"]["name"].as_str().and_then(|n| n.split('.').next()).unwrap_or(&kind).to_owned();
    let spec = &mut definition["spec"];
    spec["names"]["plural"] = plural.into();
    spec["scope"] = "Namespaced".into();
    let versions = spec["versions"].as_array_mut().unwrap();
    for (i, version) in versions.iter_mut().enumerate() {
        version["storage"] = (i == 0).into();
        typed(&mut version["schema"]["openAPIV3Schema"]);
        version["schema"]["openAPIV3Schema"]["type"] = "object".into();
    }
    definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "https://example.com"});
}

fn typed(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    if map.contains_key("properties") && !map.contains_key("type") {
        map.insert("type".into(), "object".into());
    }
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(typed);
    }
    for name in ["items", "additionalProperties"] {
        map.get_mut(name).map(typed);
    }
}

#[test]
fn definitions_of_the_gateway_api_and_istio_are_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/crds");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no definitions in {} (make tools)", folder.display());
        return;
    };
    let mut count = 0;
    for entry in entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")) {
        // They are JSON, which is YAML.
        let mut definition: Value = serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
        made_whole(&mut definition);
        complete(&mut definition);
        let causes = causes_of(&definition);
        assert_eq!(causes, Vec::<String>::new(), "{}", entry.display());
        count += 1;
    }
    assert!(count > 0);
}

mod random {
    //! Schemas and objects that nobody wrote.

    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3_i64..9).prop_map(Value::from),
            (-2.0_f64..2.0).prop_map(Value::from),
            "[a-c.(\\[*]{0,3}".prop_map(Value::from),
            prop::sample::select(vec![
                "object",
                "array",
                "string",
                "integer",
                "map",
                "set",
                "self.a == oldSelf",
                "date-time"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 4, |inner| {
            let keys = prop::sample::select(vec![
                "a",
                "b",
                "type",
                "properties",
                "items",
                "additionalProperties",
                "default",
                "nullable",
                "enum",
                "pattern",
                "required",
                "oneOf",
                "anyOf",
                "allOf",
                "not",
                "minimum",
                "maxLength",
                "minItems",
                "format",
                "rule",
                "x-kubernetes-list-type",
                "x-kubernetes-list-map-keys",
                "x-kubernetes-preserve-unknown-fields",
                "x-kubernetes-int-or-string",
                "x-kubernetes-embedded-resource",
                "x-kubernetes-validations",
                "metadata",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(keys.prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_schema_and_no_object_panics(schema in values(), object in values(), old in values()) {
            let _ = causes_of(&definition(schema.clone()));
            let node = Node::read(&schema);
            let mut value = object;
            prune(&mut value, &node);
            fill(&mut value, &node);
            let _ = validate_create(&rules(&node), &value);
            let _ = validate_update(&rules(&node), &old, &value);
            let _ = columns::Columns::read(&schema).cells(&value, kiban_base::clock::Timestamp::from_secs(0));
            let _ = crate::custom::rules::not_run(&schema);
        }

        #[test]
        fn pruning_and_filling_come_to_rest(schema in values(), object in values()) {
            let node = Node::read(&schema);
            let mut once = object;
            prune(&mut once, &node);
            fill(&mut once, &node);
            let mut twice = once.clone();
            fill(&mut twice, &node);
            prop_assert_eq!(&once, &twice);
        }

        #[test]
        fn no_expression_panics(text in "[a-z0-9 .()\\[\\]{}'\"!=<>&|?:+*/%,-]{0,60}") {
            let _ = cel::Program::new(&text);
            let _ = jsonpath::JsonPath::parse(&text);
            let _ = pattern::Pattern::new(&text);
        }
    }
}
