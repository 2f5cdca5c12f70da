//! Tests of reading and writing YAML.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use super::*;
use crate::origin::Layer;

fn kube(text: &str) -> Value {
    let mut all = manifests("x.yaml", text.as_bytes()).unwrap();
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0).value
}

fn own(text: &str) -> Value {
    parse("x.yaml", text.as_bytes(), Layer::App).unwrap().first().map_or(Value::Null, Node::to_json)
}

fn problem(text: &str) -> String {
    parse_one("x.yaml", text.as_bytes(), Layer::App).unwrap_err().to_string()
}

/// What kubectl 1.37.1 makes of `v: <text>`: `kubectl label --local -f - -o json a=b` on an object of an unknown
/// kind. Whole numbers beyond 63 bits come out of it as doubles; there it is sigs.k8s.io/yaml's own answer.
const KUBECTL: [(&str, &str); 79] = [
    ("y", "true"),
    ("Y", "true"),
    ("n", "false"),
    ("yes", "true"),
    ("on", "true"),
    ("Off", "false"),
    ("true", "true"),
    ("True", "true"),
    ("TRUE", "true"),
    ("null", "null"),
    ("Null", "null"),
    ("~", "null"),
    ("0777", "511"),
    ("0o777", "511"),
    ("0O17", "15"),
    ("0b101", "5"),
    ("-0b101", "-5"),
    ("0x1F", "31"),
    ("-0x1f", "-31"),
    ("0X1F", "31"),
    ("1_000", "1000"),
    ("1_000.5", "1000.5"),
    ("_1", "\"_1\""),
    ("1__0", "10"),
    (".5", "0.5"),
    ("5.", "5"),
    ("1e3", "1000"),
    ("1E+3", "1000"),
    ("1.5e-3", "0.0015"),
    ("1e", "\"1e\""),
    ("+1", "1"),
    ("-1", "-1"),
    ("+.5", "0.5"),
    ("12:30", "\"12:30\""),
    ("12:30:45.5", "\"12:30:45.5\""),
    ("190:20:30", "\"190:20:30\""),
    ("2001-12-14", "\"2001-12-14\""),
    ("2001-12-14t21:59:43.10-05:00", "\"2001-12-14t21:59:43.10-05:00\""),
    ("=", "\"=\""),
    ("0", "0"),
    ("00", "0"),
    ("08", "8"),
    ("09.5", "9.5"),
    ("1.2.3", "\"1.2.3\""),
    ("10.0.0.1", "\"10.0.0.1\""),
    ("9223372036854775807", "9223372036854775807"),
    ("9223372036854775808", "9223372036854775808"),
    ("18446744073709551615", "18446744073709551615"),
    ("18446744073709551616", "1.8446744073709552e19"),
    ("-9223372036854775809", "-9.223372036854776e18"),
    ("0.1", "0.1"),
    ("1.0", "1"),
    ("-0", "0"),
    ("-0.0", "0"),
    ("1e100", "1e100"),
    ("0x", "\"0x\""),
    ("0b", "\"0b\""),
    ("0b2", "\"0b2\""),
    ("0o8", "\"0o8\""),
    ("+0x1f", "31"),
    ("+", "\"+\""),
    (".", "\".\""),
    (".e5", "\".e5\""),
    ("1.e5", "100000"),
    (".5e", "\".5e\""),
    ("1,000", "\"1,000\""),
    ("0.", "0"),
    ("1_e3", "1000"),
    ("0_7", "7"),
    ("1e999", "\"1e999\""),
    ("0x8000000000000000", "9223372036854775808"),
    ("-0x8000000000000000", "-9223372036854775808"),
    ("1:2", "\"1:2\""),
    ("--1", "\"--1\""),
    ("+-1", "\"+-1\""),
    ("1e+_3", "1000"),
    ("_.5", "\"_.5\""),
    ("._5", "\"._5\""),
    ("5_.5", "5.5"),
];

#[test]
fn manifests_are_read_as_kubectl_reads_them() {
    for (text, json) in KUBECTL {
        let expected: Value = serde_json::from_str(json).unwrap();
        assert_eq!(kube(&format!("v: {text}\n")), json!({"v": expected}), "{text}");
    }
}

#[test]
fn tags_merges_and_keys_of_manifests_are_read_as_kubectl_reads_them() {
    for (text, expected) in [
        ("v: !!str 1", json!({"v": "1"})),
        ("v: !!int \"3\"", json!({"v": 3})),
        ("v: !!float 1", json!({"v": 1})),
        ("v: !!binary aGVsbG8=", json!({"v": "hello"})),
        ("v: ! 1", json!({"v": "1"})),
        ("v: !foo 1", json!({"v": "1"})),
        ("v: !!bool yes", json!({"v": true})),
        ("v: !!bool \"yes\"", json!({"v": true})),
        ("v: !!timestamp 2001-01-01", json!({"v": "2001-01-01"})),
        ("v: !!null \"\"", json!({"v": null})),
        ("v: !!str", json!({"v": ""})),
        ("v: !!str null", json!({"v": "null"})),
        ("v: !foo {a: 1}", json!({"v": {"a": 1}})),
        ("v: !!set {a}", json!({"v": {"a": null}})),
        ("v: !!int 0x10", json!({"v": 16})),
        ("v: &a 1", json!({"v": 1})),
        ("b: &b {x: 1, z: 2}\nv: {<<: *b, x: 3}", json!({"b": {"x": 1, "z": 2}, "v": {"x": 3, "z": 2}})),
        ("b: &b {x: 1, z: 2}\nv:\n  x: 3\n  <<: *b", json!({"b": {"x": 1, "z": 2}, "v": {"x": 1, "z": 2}})),
        (
            "a: &a {x: 1}\nb: &b {x: 2, z: 3}\nv:\n  <<: [*a, *b]",
            json!({"a": {"x": 1}, "b": {"x": 2, "z": 3}, "v": {"x": 1, "z": 3}}),
        ),
        ("'<<': {a: 1}", json!({"<<": {"a": 1}})),
        ("1: a\ntrue: b\n1.5: c\nyep: d", json!({"1": "a", "true": "b", "1.5": "c", "yep": "d"})),
        ("0x10: a\n1.0: b\n2001-01-01: c", json!({"16": "a", "1": "b", "2001-01-01": "c"})),
        ("a: |2\n   x\n  y\n", json!({"a": " x\ny\n"})),
        ("a: >-\n  x\n  y\n\n  z\n", json!({"a": "x y\nz"})),
        ("v: {a:1}", json!({"v": {"a:1": null}})),
        ("v:\n- 1\n-\n- - 2\n", json!({"v": [1, null, [2]]})),
        ("{\"a\": [1, \"b\", null], \"c\": \"\\u00e9\"}", json!({"a": [1, "b", null], "c": "é"})),
        ("\u{feff}a: 1\r\nb: 2\r\n", json!({"a": 1, "b": 2})),
    ] {
        assert_eq!(kube(text), expected, "{text}");
    }
}

#[test]
fn documents_are_told_apart_and_empty_ones_left_out() {
    let all = manifests("x.yaml", b"---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n").unwrap();
    let found: Vec<(Value, u32)> = all.into_iter().map(|m| (m.value, m.mark.line)).collect();
    assert_eq!(found, [(json!({"a": 1}), 3), (json!({"b": 2}), 7)]);
}

#[test]
fn what_manifests_cannot_be_is_refused_with_its_place() {
    for (text, expected) in [
        ("v: .inf", "x.yaml:1:4: \".inf\" is a number that JSON cannot hold"),
        ("v: !!int 1.5", "x.yaml:1:4: \"1.5\" is no !!int"),
        ("null: 1", "x.yaml:1:1: null is no key"),
        ("? [a]\n: 1", "x.yaml:1:3: expected a key, found a list"),
        ("x: 1\nx: 2", "x.yaml:2:1: key \"x\" is given twice; first in line 1"),
        ("a: &x [1, *x]", "x.yaml:1:11: the alias stands inside of what it names"),
        ("<<: 1", "x.yaml:1:5: map merge requires map or sequence of maps as the value"),
    ] {
        assert_eq!(manifests("x.yaml", text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let error = manifests("x.yaml", text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "x.yaml:6:25: more than 500000 values");
}

#[test]
fn own_files_are_read_by_the_core_schema() {
    let text = "a: 0o17\nb: 0777\nc: 1_000\nd: true\ne: yes\nf: ~\ng: 1e3\nh: 0xff\ni: .5\nj: '1'\nk:\n";
    let expected = json!({
        "a": 15, "b": 777, "c": "1_000", "d": true, "e": "yes", "f": null, "g": 1000.0, "h": 255, "i": 0.5, "j": "1",
        "k": null
    });
    assert_eq!(own(text), expected);
}

#[test]
fn what_own_files_cannot_be_is_refused_with_its_place() {
    for (text, expected) in [
        ("a: &x 1\n", "x.yaml:1:4: anchors (&) and aliases (*) are not read here; write the value itself"),
        ("a: &x [1]\n", "x.yaml:1:4: anchors (&) and aliases (*) are not read here; write the value itself"),
        ("a: !!str 1\n", "x.yaml:1:4: the tag !!str is not read here; write the value itself"),
        ("a: !x 1\n", "x.yaml:1:4: the tag !x is not read here; write the value itself"),
        ("a:\n\tb: 1\n", "x.yaml:2:1: a tab indents the line; YAML takes spaces only"),
        ("a:\n  b: 1\n\tc: 2\n", "x.yaml:3:1: a tab indents the line; YAML takes spaces only"),
        ("a: 1\n---\nb: 1\n", "x.yaml:3:1: a second document begins here; one is expected"),
        ("- a\n", "x.yaml:1:1: expected a map of keys and values, found a list"),
        ("", "x.yaml: the file is empty"),
        ("# only a comment\n", "x.yaml: the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: key \"a\" is given twice; first in line 1"),
        ("a: {b: 1, b: 2}\n", "x.yaml:1:11: key \"b\" is given twice; first in line 1"),
    ] {
        assert_eq!(problem(text), expected, "{text:?}");
    }
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(problem(&deep), "x.yaml:1:123: nested deeper than 120 levels");
    let big = format!("a: {}", "x".repeat(MAX_BYTES));
    assert_eq!(problem(&big), "x.yaml: the file has 4194307 bytes, at most 4194304 are read");
    let bytes = parse_one("x.yaml", b"a: 1\nb: \xff\n", Layer::App).unwrap_err();
    assert_eq!(bytes.to_string(), "x.yaml:2:4: the file is no UTF-8");
}

#[test]
fn bad_syntax_names_line_and_column() {
    for text in [
        "a: [1, 2\n",
        "a: b: c\n",
        "a: @x\n",
        "a: `x\n",
        "a: %x\n",
        "a: 'x\n",
        "a: \"\\q\"\n",
        "a: {\n",
        "a: ]\n",
        "a\nb: 1\n",
    ] {
        let found = problem(text);
        assert!(found.starts_with("x.yaml:") && found.contains("no valid YAML: "), "{text:?}: {found}");
    }
}

#[test]
fn the_excerpt_shows_the_line_with_carets_below() {
    let error = parse_one("x.yaml", "a: 1\nname: x\nbä: 2\nname: y\n".as_bytes(), Layer::App).unwrap_err();
    let expected = "x.yaml:4:1: key \"name\" is given twice; first in line 2\n 4 | name: y\n   | ^^^^";
    assert_eq!(format!("{error:#}"), expected);
}

#[test]
fn every_node_knows_its_place() {
    let node =
        parse_one("x.yaml", "a:\n  - b: é\n    c: [1, {d: 2}]\n  - |\n    text\ne:\n".as_bytes(), Layer::App)
            .unwrap();
    let origins = crate::resolve::origins_of(&node);
    let found: Vec<String> =
        origins.iter().map(|(path, o)| format!("{path} {}:{}", o.line, o.column)).collect();
    let expected = [
        " 1:1",
        "a 2:3",
        "a[0] 2:5",
        "a[0].b 2:8",
        "a[0].c 3:8",
        "a[0].c[0] 3:9",
        "a[0].c[1] 3:12",
        "a[0].c[1].d 3:16",
        "a[1] 5:5",
        "e 6:1",
    ];
    assert_eq!(found, expected);
}

#[test]
fn written_yaml_is_what_people_write() {
    let value = json!({
        "kind": "Deployment",
        "metadata": {"labels": {}, "name": "orders", "annotations": {"a/b": "true", "n": "007"}},
        "spec": {
            "replicas": 3,
            "args": ["--port", "8080", "on", "-x", "a: b", "a #b", "it's", "12:30", "2001-01-01", "1.2.3", "10.0.0.1"],
            "containers": [{"env": [], "name": "app", "command": [["a", ["b"]], {}]}, {"image": "x:y@sha256:0"}],
            "ratio": 0.5,
            "none": null,
            "text": "one\ntwo\n",
            "chomped": "one\n  two",
            "kept": "one\n\n",
            "led": "  one\ntwo\n",
            "odd": "\n a",
            "quotes": "say \"hi\"\\",
            "control": "a\u{7}b\tc",
            "schedule": "*/5 * * * *",
            "percent": "%x", "empty": "", "space": " a", "colon": "a:", "dash": "-", "octal": "0o17", "exp": "1e3",
            "under": "1_000", "dot": ".5", "hex": "0x1f", "tilde": "~", "no": "no", "y": 1
        }
    });
    let expected = r#"kind: Deployment
metadata:
  annotations:
    a/b: "true"
    "n": "007"
  labels: {}
  name: orders
spec:
  args:
  - --port
  - "8080"
  - "on"
  - -x
  - "a: b"
  - "a #b"
  - it's
  - "12:30"
  - "2001-01-01"
  - 1.2.3
  - 10.0.0.1
  chomped: |-
    one
      two
  colon: "a:"
  containers:
  - command:
    - - a
      - - b
    - {}
    env: []
    name: app
  - image: x:y@sha256:0
  control: "a\x07b\tc"
  dash: "-"
  dot: ".5"
  empty: ""
  exp: "1e3"
  hex: "0x1f"
  kept: |+
    one

  led: |2
      one
    two
  "no": "no"
  none: null
  octal: "0o17"
  odd: "\n a"
  percent: "%x"
  quotes: say "hi"\
  ratio: 0.5
  replicas: 3
  schedule: "*/5 * * * *"
  space: " a"
  text: |
    one
    two
  tilde: "~"
  under: "1_000"
  "y": 1
"#;
    assert_eq!(to_yaml(&value), expected);
}

/// Texts that some reader or writer got wrong once.
const NASTY: [&str; 60] = [
    "",
    " ",
    "\n",
    "\n\n",
    "a\n",
    "a\n\n",
    "\na",
    " a\nb",
    "a\n b\n",
    "a\n\n b",
    "a \nb",
    "a\n \nb",
    "a\n ",
    "\ta\nb",
    "a\n\tb",
    "a\tb",
    "\t",
    "a\r\nb",
    "a\u{85}b",
    "a\u{2028}b",
    "\u{feff}a",
    "a\u{0}b",
    "\u{1f600}",
    "é\nü",
    "---",
    "--- a",
    "...",
    "- a",
    "-",
    "?",
    "? a",
    ":",
    ": a",
    "a:",
    "a: b",
    "a:b",
    "a #b",
    "a#b",
    "#a",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "'",
    "\"",
    "%a",
    "@a",
    "`a",
    "[a]",
    "{a}",
    ",a",
    "<<",
    "=",
    "1:2",
    "0b1",
    "1,5",
    "0o7",
    "+.inf",
    "\\",
];

#[test]
fn nasty_texts_come_back_as_they_were() {
    for text in NASTY {
        for value in [
            json!(text),
            json!({"k": text}),
            json!([text]),
            json!([[text]]),
            json!({text: {text: [{text: text}]}}),
        ] {
            let yaml = to_yaml(&value);
            assert_eq!(own(&yaml), value, "{yaml}");
            assert_eq!(
                manifests("x.yaml", yaml.as_bytes()).unwrap().first().map(|m| &m.value),
                Some(&value),
                "{yaml}"
            );
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 :#'\"\\-?,\\[\\]{}&*!|>%@`.~+=_/\\\\<\n\t]{0,12}",
        "[0-9_.:eExob+-]{1,8}",
        proptest::sample::select(NASTY.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        "[ \n\tab]{0,8}",
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        (any::<f64>()).prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whole floats are JSON integers to Kubernetes' reader.
fn as_kubernetes(value: &Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => match n.as_f64() {
            Some(f) if f.fract() == 0.0 && f.abs() < 9e15 => json!(f as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(as_kubernetes).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), as_kubernetes(v))).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_reads_back_as_it_was(value in json_value()) {
        let yaml = to_yaml(&value);
        prop_assert_eq!(&own(&yaml), &value, "{}", yaml);
        let all = manifests("x.yaml", yaml.as_bytes()).unwrap();
        let read = all.into_iter().next().map_or(Value::Null, |m| m.value);
        prop_assert_eq!(read, as_kubernetes(&value), "{}", yaml);
        prop_assert_eq!(to_yaml(&own(&yaml)), yaml);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse("x.yaml", &bytes, Layer::App);
        let _ = manifests("x.yaml", &bytes);
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(text in "[a-c:\\-?,\\[\\]{}&*!|>%@'\"#<~. \n\t0-2]{0,60}") {
        let _ = parse("x.yaml", text.as_bytes(), Layer::App);
        let _ = manifests("x.yaml", text.as_bytes());
    }
}

const PYTHON: &str = r#"
import json, sys
import yaml
bad = 0
for case in json.load(sys.stdin):
    got = yaml.safe_load(case["yaml"])
    if got != case["value"] or json.dumps(got, sort_keys=True) != json.dumps(case["value"], sort_keys=True):
        bad += 1
        print(repr(case["yaml"]), "reads as", repr(got), file=sys.stderr)
sys.exit(1 if bad else 0)
"#;

#[test]
fn pyyaml_reads_what_is_written_as_it_was() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let has_yaml = Command::new("python3").args(["-c", "import yaml"]).stderr(Stdio::null()).status();
    if !has_yaml.is_ok_and(|status| status.success()) {
        println!("skipped: pyyaml_reads_what_is_written_as_it_was (python3 with PyYAML is not here)");
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = json_value();
    let mut values: Vec<Value> = NASTY.iter().map(|t| json!({*t: [t, {"k": t}]})).collect();
    values.extend(KUBECTL.iter().map(|(t, _)| json!({*t: t, "list": [t]})));
    values.extend((0..1500).map(|_| strategy.new_tree(&mut runner).unwrap().current()));
    let cases: Vec<Value> = values.into_iter().map(|v| json!({"yaml": to_yaml(&v), "value": v})).collect();
    let mut child = Command::new("python3").args(["-c", PYTHON]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&cases).unwrap().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_map_of_too_many_keys_is_refused_at_the_first_one_beyond() {
    let text = |keys: usize| (0..keys).map(|n| format!("k{n}: v\n")).collect::<String>();
    assert!(parse_one("f", text(MAX_KEYS).as_bytes(), Layer::App).is_ok());
    let problem = parse_one("f", text(MAX_KEYS + 1).as_bytes(), Layer::App).unwrap_err();
    assert_eq!(problem.to_string(), "f:5001:1: more than 5000 keys in one map");
    assert_eq!(manifests("f", text(MAX_KEYS + 1).as_bytes()).unwrap().len(), 1);
}
