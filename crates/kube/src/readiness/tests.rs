//! Readiness, held against recorded answers of kstatus.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};
use serde::Deserialize;
use serde_json::{Map, json};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_502_241);

#[derive(Deserialize)]
struct Golden {
    object: Value,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    conditions: Vec<Value>,
}

#[test]
fn readiness_is_what_kstatus_says() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/kstatus.jsonl");
    let path = std::env::var("KIBAN_KSTATUS_GOLDEN").unwrap_or_else(|_| default.into());
    let text = std::fs::read_to_string(path).unwrap();
    let mut seen = 0;
    for line in text.lines() {
        let golden: Golden = serde_json::from_str(line).unwrap();
        let ours = readiness(&golden.object, NOW);
        seen += 1;
        if golden.error {
            assert_eq!(ours.status, Status::Unknown, "{line}\n{ours:?}");
            continue;
        }
        let conditions = serde_json::to_value(&ours.conditions).unwrap();
        assert_eq!(ours.status.to_string(), golden.status, "{line}");
        assert_eq!(ours.message, golden.message, "{line}");
        assert_eq!(conditions, Value::Array(golden.conditions), "{line}");
    }
    assert!(seen > 3000, "{seen} cases");
}

#[test]
fn an_unbound_claim_does_not_hold_an_apply_up_but_a_lost_one_does() {
    for (phase, blocks) in
        [(json!(null), false), (json!("Pending"), false), (json!("Bound"), false), (json!("Lost"), true)]
    {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x"}, "status": {"phase": phase}});
        assert_eq!(blocks_apply(&claim, &readiness(&claim, NOW)), blocks, "{claim}");
    }
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "status": {"phase": "Pending"}});
    assert!(blocks_apply(&pod, &readiness(&pod, NOW)));
    assert!(blocks_apply(&pod, &Readiness::not_found()));
}

#[test]
fn real_objects_of_many_states_get_a_verdict() {
    let data = std::env::var("KIBAN_TESTDATA").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        Into::into,
    );
    let folder = data.join("health/argocd");
    if !folder.is_dir() {
        println!("skipped: no test data in {}", folder.display());
        return;
    }
    let expected = [
        ("deployment-degraded.yaml", Status::Failed),
        ("deployment-progressing.yaml", Status::InProgress),
        ("statefulset.yaml", Status::Current),
        ("pvc-pending.yaml", Status::InProgress),
        ("pvc-bound.yaml", Status::Current),
        ("job-failed.yaml", Status::Failed),
        ("job-succeeded.yaml", Status::Current),
        ("pod-crashloop.yaml", Status::Failed),
        ("pod-running-not-ready.yaml", Status::InProgress),
        ("pod-deletion.yaml", Status::Terminating),
    ];
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let object = read_yaml(&path);
        let verdict = readiness(&object, NOW);
        assert_ne!(verdict.status, Status::Unknown, "{}: {}", path.display(), verdict.message);
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some((_, status)) = expected.iter().find(|(n, _)| *n == name) {
            assert_eq!(verdict.status, *status, "{name}: {}", verdict.message);
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len(), "a file that is expected is missing");
}

/// Enough YAML for the test data: one document, no anchors.
fn read_yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let mut stack: Vec<(Value, Option<String>)> = Vec::new();
    let mut done = Value::Null;
    for event in Parser::new_from_str(&text) {
        let finished = match event.unwrap().0 {
            Event::MappingStart(..) => {
                stack.push((Value::Object(Map::new()), None));
                continue;
            }
            Event::SequenceStart(..) => {
                stack.push((Value::Array(Vec::new()), None));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => stack.pop().unwrap().0,
            Event::Scalar(text, style, ..) => scalar(&text, style == saphyr_parser::ScalarStyle::Plain),
            _ => continue,
        };
        match stack.last_mut() {
            None => done = finished,
            Some((Value::Array(list), _)) => list.push(finished),
            Some((Value::Object(map), key)) => match key.take() {
                Some(key) => drop(map.insert(key, finished)),
                None => {
                    *key = Some(finished.as_str().map_or_else(|| finished.to_string(), String::from));
                }
            },
            Some(_) => unreachable!(),
        }
    }
    done
}

fn scalar(text: &str, plain: bool) -> Value {
    match text {
        _ if !plain => Value::String(text.into()),
        "" | "null" | "~" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.into()), Value::from),
    }
}

proptest::proptest! {
    #[test]
    fn no_object_makes_readiness_panic(object in any_json()) {
        let _ = readiness(&object, NOW);
    }
}

/// Objects that hold the field names of the rules with values of any type.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(1.5)),
        prop_oneof!["Pod", "Deployment", "StatefulSet", "Job", "Running", "v1", "apps/v1", "True"]
            .prop_map(Value::from),
    ];
    let key = prop_oneof![
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "status",
        "conditions",
        "type",
        "replicas",
        "containerStatuses",
        "generation",
        "observedGeneration",
        "phase",
        "partition",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}
