//! Selectors against the grammar, sentences and matches of the API server.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn label_selectors_print_canonically() {
    let table = [
        ("", ""),
        ("   ", ""),
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("y=b,x=a", "x=a,y=b"),
        ("x==a", "x==a"),
        ("x!=a,y=b", "x!=a,y=b"),
        ("x=", "x="),
        ("x= ", "x="),
        ("x=,z= ", "x=,z="),
        ("x= ,z= ", "x=,z="),
        ("x", "x"),
        ("!x", "!x"),
        ("! x , y", "!x,y"),
        ("x in (a,b)", "x in (a,b)"),
        ("x  in\t(b , a,a)", "x in (a,b)"),
        ("x notin (a)", "x notin (a)"),
        ("x in ()", "x in ()"),
        ("x in (,a)", "x in (,a)"),
        ("x in (a,,b)", "x in (,a,b)"),
        ("x in (a,)", "x in (,a)"),
        ("x in(a)", "x in (a)"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("x>1", "x>1"),
        ("x < 7", "x<7"),
        ("example.com/a=b", "example.com/a=b"),
        ("x=a,x=b", "x=a,x=b"),
    ];
    for (text, want) in table {
        let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(selector.to_string(), want, "{text:?}");
    }
}

#[test]
fn bad_label_selectors_get_the_sentences_of_the_api_server() {
    let key = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let operators = "in, notin, =, ==, !=, gt, lt";
    let table = [
        (",", "found ',', expected: !, identifier, or 'end of string'".to_string()),
        ("x,", "found '', expected: identifier after ','".to_string()),
        ("x=a,,y=b", "found ',', expected: identifier after ','".to_string()),
        ("x=a b", "found 'b', expected: ',' or 'end of string'".to_string()),
        ("x y", format!("unable to parse requirement: found 'y', expected: {operators}")),
        ("x=a||y=b", format!("unable to parse requirement: values[0][x]: Invalid value: \"a||y\": {value}")),
        ("x==a==b", "found '==', expected: ',' or 'end of string'".to_string()),
        ("!x=a", "found '=', expected: ',' or 'end of string'".to_string()),
        ("!", "unable to parse requirement: found '', expected: identifier".to_string()),
        ("!(", "unable to parse requirement: found '(', expected: identifier".to_string()),
        ("x in a", "unable to parse requirement: found 'a' expected: '('".to_string()),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'".to_string()),
        ("x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier".to_string()),
        ("x in (a,", "unable to parse requirement: found '', expected: ',', or identifier".to_string()),
        ("x in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier".to_string()),
        ("x=(a)", "unable to parse requirement: found '(', expected: identifier".to_string()),
        ("a*b=c", format!("unable to parse requirement: <nil>: Invalid value: \"a*b\": {key}")),
        ("=a", "found '=', expected: !, identifier, or 'end of string'".to_string()),
        (
            "x>a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer".to_string(),
        ),
    ];
    for (text, want) in table {
        assert_eq!(LabelSelector::parse(text).unwrap_err().to_string(), want, "{text:?}");
    }
}

#[test]
fn label_selectors_match_as_the_api_server_does() {
    let labels = json!({"app": "web", "tier": "", "n": "5"});
    let table = [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        ("app=db", false),
        ("app!=db", true),
        ("none!=db", true),
        ("app", true),
        ("none", false),
        ("!none", true),
        ("!app", false),
        ("tier=", true),
        ("tier", true),
        ("none=", false),
        ("app in (db,web)", true),
        ("none in (web)", false),
        ("none notin (web)", true),
        ("app notin (web)", false),
        ("tier in ()", true),
        ("n>4", true),
        ("n>5", false),
        ("n<6", true),
        ("app>1", false),
        ("app=web,none", false),
    ];
    for (text, want) in table {
        assert_eq!(LabelSelector::parse(text).unwrap().matches(&labels), want, "{text}");
    }
    assert!(LabelSelector::parse("app=web").unwrap().matches(&[("app", "web")]));
    assert!(!LabelSelector::parse("app").unwrap().matches(&serde_json::Value::Null));
}

#[test]
fn selector_objects_mean_what_the_api_says() {
    let selector = LabelSelector::from_object(&json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["b", "a"]},
            {"key": "canary", "operator": "DoesNotExist"},
            {"key": "zone", "operator": "Exists", "values": []},
            {"key": "env", "operator": "NotIn", "values": ["dev"]}
        ]
    }))
    .unwrap();
    assert_eq!(selector.to_string(), "app=web,!canary,env notin (dev),tier in (a,b),zone");
    assert!(selector.matches(&json!({"app": "web", "tier": "a", "zone": "z"})));
    assert!(!selector.matches(&json!({"app": "web", "tier": "a", "zone": "z", "env": "dev"})));
    assert!(LabelSelector::from_object(&json!({})).unwrap().is_everything());
    let nothing = LabelSelector::from_object(&json!(null)).unwrap();
    assert!(nothing.is_nothing() && !nothing.matches(&json!({})));
    assert_eq!(selector.exact("app"), Some("web"));
    assert_eq!(selector.exact("tier"), None);

    for (object, want) in [
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}),
            "\"Near\" is not a valid label selector operator",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
            "values: Invalid value: [\"b\"]: values set must be empty for exists and does not exist",
        ),
    ] {
        assert_eq!(LabelSelector::from_object(&object).unwrap_err().to_string(), want);
    }
    let service = LabelSelector::from_map(&json!({"b": "2", "a": "1"}));
    assert_eq!(service.to_string(), "a=1,b=2");
}

#[test]
fn field_selectors_read_print_and_match() {
    let fields = [("metadata.name", "web"), ("status.phase", "Running"), ("odd", r"a,b=c\d")];
    let table = [
        ("", "", true),
        ("metadata.name=web", "metadata.name=web", true),
        ("status.phase!=Running,metadata.name==web", "metadata.name=web,status.phase!=Running", false),
        ("status.phase!=Failed", "status.phase!=Failed", true),
        ("none=", "none=", true),
        ("none!=x", "none!=x", true),
        (",metadata.name=web,", "metadata.name=web", true),
        (r"odd=a\,b\=c\\d", r"odd=a\,b\=c\\d", true),
    ];
    for (text, canonical, matches) in table {
        let selector = FieldSelector::parse(text).unwrap();
        assert_eq!(selector.to_string(), canonical, "{text}");
        assert_eq!(selector.matches(&fields), matches, "{text}");
    }
    let selector = FieldSelector::parse("spec.nodeName=n1,status.phase!=Failed").unwrap();
    assert_eq!(selector.exact("spec.nodeName"), Some("n1"));
    assert_eq!(selector.exact("status.phase"), None);
    for (text, want) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ] {
        assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), want, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[a-z=!(), <>\\\\é]{0,60}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let again = LabelSelector::parse(&selector.to_string()).unwrap();
            prop_assert_eq!(again, selector);
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            let again = FieldSelector::parse(&selector.to_string());
            // A field's name may hold what no text can express; the values always come back.
            prop_assert!(again.is_ok() || selector.requirements().iter().any(|r| r.field.contains('\\')));
        }
    }
}

#[test]
fn depth_and_size_cost_no_stack() {
    let deep = "(".repeat(1_000_000);
    assert!(LabelSelector::parse(&deep).is_err());
    let wide = format!("x in ({})", "a,".repeat(200_000));
    assert!(LabelSelector::parse(&wide).is_ok());
}
