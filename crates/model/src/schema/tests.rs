//! Tests of the committed schemas: current, and of one mind with the reader.
#![allow(clippy::unwrap_used)]

use jsonschema::{Retrieve, Uri, Validator};

use super::*;
use crate::origin::Layer;
use crate::resolve::tests::{FILES, fixed_keys, full};
use crate::yaml::parse_one;

#[test]
fn the_committed_schemas_are_current() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
    for (name, schema) in all() {
        let path = folder.join(name);
        let text = to_text(&schema);
        if std::env::var_os("KIBAN_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{name} is not current: run the tests with KIBAN_BLESS=1");
    }
}

/// Schemas refer to each other by file name.
struct Siblings;

impl Retrieve for Siblings {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let found = all().into_iter().find(|(name, _)| uri.as_str().ends_with(name));
        found.map(|(_, schema)| schema).ok_or_else(|| format!("no schema {uri}").into())
    }
}

fn validator(name: &str) -> Validator {
    let (_, schema) = all().into_iter().find(|(n, _)| *n == name).unwrap();
    jsonschema::options().with_retriever(Siblings).build(&schema).unwrap()
}

fn schema_of(path: &str) -> &'static str {
    match path {
        "platform.yaml" => "platform.json",
        path if path.ends_with(".pin.yaml") => "pin.json",
        path if path.contains("/env/") => "env.json",
        _ => "app.json",
    }
}

fn json(path: &str, text: &str) -> Value {
    parse_one(path, text.as_bytes(), Layer::App).unwrap().to_json()
}

#[test]
fn the_full_example_is_good_to_the_schemas() {
    for path in FILES {
        let text = String::from_utf8(full().0[path].clone()).unwrap();
        let errors: Vec<String> = validator(schema_of(path))
            .iter_errors(&json(path, &text))
            .map(|e| format!("{path} {}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[test]
fn a_typo_of_any_key_is_bad_to_the_schemas() {
    for path in FILES {
        let validator = validator(schema_of(path));
        let text = String::from_utf8(full().0[path].clone()).unwrap();
        let mut keys = Vec::new();
        fixed_keys(&parse_one(path, text.as_bytes(), Layer::App).unwrap(), "", &mut keys);
        for (key, line, column) in keys {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let at = column as usize - 1;
            lines[line as usize - 1].replace_range(at..at + key.len(), &format!("{key}x"));
            assert!(!validator.is_valid(&json(path, &lines.join("\n"))), "{path}:{line}:{column} {key}");
        }
    }
}

#[test]
fn values_are_held_to_the_same_rules_by_the_schemas() {
    let app = |line: &str| {
        let head = "apiVersion: kiban.dev/v1\nkind: App\nname: a\nteam: b\ntier: 1\nimage: c\n";
        json("app.yaml", &format!("{head}{line}\n"))
    };
    let (strict, delta) = (validator("app.json"), validator("env.json"));
    for good in [
        "scale: 3",
        "size: { cpu: 1, memory: 1Gi }",
        "shutdown: 30s",
        "public: [a.example.com]",
        "env: { A: 1 }",
    ] {
        assert!(strict.is_valid(&app(good)), "{good}");
    }
    for bad in [
        "scale: 0",
        "scale: { from: 1 }",
        "ports: { http: 0 }",
        "ports: { HTTP: 80 }",
        "health: { ready: ready }",
        "health: { startup: 60 }",
        "size: { cpu: 1, memory: 1GB }",
        "slo: { availability: 99.9 }",
        "shutdown: 30",
        "public: https://a.example.com",
        "jobs: { a: { schedule: nightly } }",
        "callers: [' ']",
        "labels: { a: 'b c' }",
    ] {
        assert!(!strict.is_valid(&app(bad)), "{bad}");
    }
    for good in [
        "scale: { to: 5 }",
        "env: { A: null }",
        "calls: { a: null }",
        "ports: { http: { nodePort: 30000 } }",
        "slo: null",
    ] {
        assert!(delta.is_valid(&json("env.yaml", good)), "{good}");
    }
    assert!(!delta.is_valid(&json("env.yaml", "scael: 1")));
}
