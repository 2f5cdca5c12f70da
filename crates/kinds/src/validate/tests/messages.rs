//! The Status that carries causes, and how values are quoted.

use serde_json::{Value, json};

use super::super::cause::quote;
use super::super::{create, status_of};
use super::written;

#[test]
fn one_cause_stands_alone_and_several_in_brackets() {
    let (_, object) = written("Deployment", "spec.replicas=-1");
    let status = status_of("apps", "Deployment", "web", &create("apps", "Deployment", &object));
    let body = "Invalid value: -1: must be greater than or equal to 0";
    assert_eq!(status["message"], format!("Deployment.apps \"web\" is invalid: spec.replicas: {body}"));
    assert_eq!(status["code"], 422);
    assert_eq!(status["reason"], "Invalid");
    let cause = json!({"reason": "FieldValueInvalid", "message": body, "field": "spec.replicas"});
    assert_eq!(
        status["details"],
        json!({"name": "web", "group": "apps", "kind": "Deployment", "causes": [cause]})
    );

    let (_, object) = written("Pod", "spec.containers.0.image=\"\" ; spec.containers.0.name=\"A\"");
    let status = status_of("", "Pod", "web", &create("", "Pod", &object));
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("Pod \"web\" is invalid: [spec.containers[0].name: Invalid value: \"A\": a low"),
        "{message}"
    );
    assert!(message.ends_with(", spec.containers[0].image: Required value]"), "{message}");
    assert_eq!(status["details"]["group"], Value::Null);
}

#[test]
fn a_sentence_is_said_once() {
    let cause = create("", "ConfigMap", &json!({"metadata": {"name": "a"}})).remove(0);
    let status = status_of("", "ConfigMap", "a", &[cause.clone(), cause]);
    assert_eq!(status["message"], "ConfigMap \"a\" is invalid: metadata.namespace: Required value");
    assert_eq!(status["details"]["causes"].as_array().unwrap().len(), 2);
}

#[test]
fn no_cause_still_makes_a_sentence() {
    assert_eq!(status_of("", "Pod", "a", &[])["message"], "Pod \"a\" is invalid");
}

#[test]
fn texts_are_quoted_as_go_quotes_them() {
    let cases = [
        ("a\"b\\c", r#""a\"b\\c""#),
        ("\n\t\r\u{7}\u{8}\u{b}\u{c}", r#""\n\t\r\a\b\v\f""#),
        ("\u{1}\u{7f}", r#""\x01\x7f""#),
        ("é日本", "\"é日本\""),
        ("\u{200b}\u{a0}", r#""\u200b\u00a0""#),
    ];
    for (text, expected) in cases {
        assert_eq!(quote(text), expected);
    }
}
