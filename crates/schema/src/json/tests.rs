//! The reader against `serde_json`, and what it adds.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn repeated_keys_are_reported_by_path_and_the_last_one_stands() {
    let text = br#"{"a":1,"b":[{"c":1,"c":2,"c":3},{"d":{"e":1,"e":2}}],"a":2}"#;
    let document = parse(text).unwrap();
    assert_eq!(document.value, json!({"a": 2, "b": [{"c": 3}, {"d": {"e": 2}}]}));
    assert_eq!(document.duplicates, ["b[0].c", "b[1].d.e", "a"]);
}

#[test]
fn garbage_is_an_error() {
    for text in ["", " ", "{", "[1,", "{\"a\"}", "nul", "1 2", "\"\\ud800\"", "{\"a\":1}x", "\u{1}"] {
        assert!(parse(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(parse(&[0xff, 0xfe]).is_err());
}

#[test]
fn a_bodys_type_is_read_with_the_real_errors() {
    const BEGIN: &str = "couldn't get version/kind; json parse error: json: cannot unmarshal ";
    let of = |text: &str| type_meta(&parse(text.as_bytes()).unwrap().value);
    let ok = |text: &str| of(text).map(|t| (t.api_version, t.kind)).unwrap();
    let pair = |v: &str, k: &str| (v.to_owned(), k.to_owned());
    assert_eq!(ok("null"), pair("", ""));
    assert_eq!(ok("{}"), pair("", ""));
    assert_eq!(ok(r#"{"apiVersion":"apps/v1","kind":"Deployment"}"#), pair("apps/v1", "Deployment"));
    assert_eq!(ok(r#"{"kind":null,"APIVERSION":"v1"}"#), pair("v1", ""));
    for (text, error) in [
        (r#"{"apiVersion":5}"#, format!("{BEGIN}number into Go struct field .apiVersion of type string")),
        (r#"{"kind":[]}"#, format!("{BEGIN}array into Go struct field .kind of type string")),
        (
            "[]",
            format!(
                r#"{BEGIN}array into Go value of type struct {{ APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }}"#
            ),
        ),
        (r#"{"apiVersion":"a/b/c"}"#, "unexpected GroupVersion string: a/b/c".to_owned()),
    ] {
        assert_eq!(of(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    let error = parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("exceeded max depth"), "{error}");
    assert!(parse(nested(1_000_000).as_bytes()).is_err());
    assert!(parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,5}", inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_back(value in any_json()) {
        let document = parse(value.to_string().as_bytes()).unwrap();
        prop_assert_eq!(document.value, value);
        prop_assert!(document.duplicates.is_empty());
    }

    #[test]
    fn it_agrees_with_serde_json_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let ours = parse(&bytes).ok().map(|d| d.value);
        prop_assert_eq!(ours, serde_json::from_slice::<Value>(&bytes).ok());
    }
}
