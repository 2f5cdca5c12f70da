//! Patches and applies compared with what Kubernetes' own libraries answered: the golden files
//! that `tools/oracle/merge` writes. `KIBAN_MERGE_CASES` names a folder with others, of another seed.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use kiban_base::clock::Timestamp;
use kiban_schema::patch::{PatchError, apply_json_patch, apply_merge_patch};
use kiban_schema::smp;
use kiban_schema::ssa::{self, ApplyError, Ctx, scale};
use kiban_schema::table::{Kind, Schema};
use serde_json::{Value, json};

fn cases(file: &str) -> Vec<Value> {
    let folder = std::env::var_os("KIBAN_MERGE_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/merge"), PathBuf::from);
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Counts cases, shows the first that fail, and fails the test where any does.
struct Tally {
    file: &'static str,
    passed: usize,
    failed: Vec<String>,
}

impl Tally {
    fn new(file: &'static str) -> Self {
        Self { file, passed: 0, failed: Vec::new() }
    }

    fn check(&mut self, label: impl Fn() -> String, expected: &Value, actual: &Value) -> bool {
        if expected == actual {
            self.passed += 1;
            return true;
        }
        if self.failed.len() < 4 {
            self.failed.push(format!("{}\n{}", label(), difference("", expected, actual)));
        } else {
            self.failed.push(String::new());
        }
        false
    }

    fn finish(self) {
        println!("{}: {} passed, {} failed", self.file, self.passed, self.failed.len());
        assert!(
            self.failed.is_empty(),
            "{}: {} of {} differ\n{}",
            self.file,
            self.failed.len(),
            self.failed.len() + self.passed,
            self.failed.join("\n")
        );
        assert!(self.passed > 100, "{}: hardly any cases", self.file);
    }
}

/// Where two values differ, one line a place.
fn difference(path: &str, expected: &Value, actual: &Value) -> String {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let lines: Vec<String> = keys
                .into_iter()
                .filter(|k| a.get(*k) != b.get(*k))
                .map(|k| match (a.get(k), b.get(k)) {
                    (Some(x), Some(y)) => difference(&format!("{path}/{k}"), x, y),
                    (x, y) => format!("  {path}/{k}: expected {x:?}, got {y:?}\n"),
                })
                .collect();
            lines.concat()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => (0..a.len())
            .filter(|i| a[*i] != b[*i])
            .map(|i| difference(&format!("{path}/{i}"), &a[i], &b[i]))
            .collect(),
        _ => format!("  {path}:\n    expected {expected}\n    got      {actual}\n"),
    }
}

/// The value that a case describes by how it differs from `from`.
fn after(case: &Value, prefix: &str, from: &Value) -> Value {
    if let Some(patch) = case.get(format!("{prefix}d")) {
        let mut out = packed(from);
        apply_merge_patch(&mut out, patch.clone()).unwrap();
        return unpacked(out);
    }
    unpacked(case[format!("{prefix}o")].clone())
}

/// The form of an object that differences refer to: managedFields as a map of entries and a list of
/// its keys.
fn packed(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(list @ Value::Array(_)) = object.pointer_mut("/metadata/managedFields") else { return object };
    let mut keys = Vec::new();
    let mut entries = serde_json::Map::new();
    for entry in list.as_array().unwrap() {
        let part = |field: &str| format!("{} ", entry[field].as_str().unwrap_or_default());
        let key: String = ["manager", "operation", "apiVersion", "subresource"].map(part).concat();
        keys.push(key.clone());
        if entries.insert(key, entry.clone()).is_some() {
            return object;
        }
    }
    *list = json!({"keys": keys, "entries": entries});
    object
}

fn unpacked(mut object: Value) -> Value {
    if let Some(packed @ Value::Object(_)) = object.pointer_mut("/metadata/managedFields") {
        let keys = packed["keys"].as_array().unwrap();
        *packed = keys.iter().map(|k| packed["entries"][k.as_str().unwrap()].clone()).collect();
    }
    object
}

fn kind_of(case: &Value) -> (&str, &str) {
    case["kind"].as_str().unwrap().split_once(' ').unwrap()
}

fn kind(schema: &'static Schema, api_version: &str, kind: &str) -> &'static Kind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema.kind(group, version, kind).unwrap_or_else(|| panic!("no kind {api_version} {kind}"))
}

fn result<T>(outcome: Result<T, PatchError>, to_value: impl FnOnce(T) -> Value) -> Value {
    match outcome {
        Ok(v) => to_value(v),
        Err(e) => json!({"error": e.to_string()}),
    }
}

#[test]
fn strategic_merge_patches_give_upstreams_results() {
    let schema = Schema::builtin();
    let mut tally = Tally::new("strategic.jsonl");
    for (i, case) in cases("strategic.jsonl").iter().enumerate() {
        let (api_version, name) = kind_of(case);
        let type_id = kind(schema, api_version, name).type_id;
        let expected = match case.get("error") {
            Some(e) => json!({"error": e}),
            None => after(case, "", &case["original"]),
        };
        let actual =
            result(smp::apply(schema, type_id, case["original"].clone(), case["patch"].clone()), |v| v);
        tally.check(
            || format!("case {i} {name}\n  original {}\n  patch {}", case["original"], case["patch"]),
            &expected,
            &actual,
        );
    }
    tally.finish();
}

#[test]
fn json_and_merge_patches_give_upstreams_results() {
    let mut tally = Tally::new("json.jsonl");
    for (i, case) in cases("json.jsonl").iter().enumerate() {
        let expected = match case.get("error") {
            Some(e) => json!({"error": e}),
            None => case["o"].clone(),
        };
        let mut doc = case["doc"].clone();
        let outcome = if case["merge"] == true {
            apply_merge_patch(&mut doc, case["patch"].clone())
        } else {
            apply_json_patch(&mut doc, &case["patch"])
        };
        let actual = result(outcome, |()| doc);
        tally.check(
            || format!("case {i}\n  doc {}\n  patch {}", case["doc"], case["patch"]),
            &expected,
            &actual,
        );
    }
    tally.finish();
}

/// Runs the steps of a scenario; stops at the first that differs.
fn run(tally: &mut Tally, i: usize, case: &Value, ctx: impl Fn(&str) -> Ctx<'static>) {
    let mut live: Option<Value> = None;
    for (n, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let ctx = ctx(step["sub"].as_str().unwrap_or(""));
        let now = Timestamp::parse(&format!("2001-01-01T00:00:{n:02}Z")).unwrap();
        let before = live.clone().unwrap_or_else(|| json!({}));
        let manager = step["manager"].as_str().unwrap();
        let actual = if step["op"] == "apply" {
            let force = step["force"] == true;
            match ssa::apply(&ctx, live.as_ref(), &step["config"], manager, force, now) {
                Ok(object) => json!({"object": object}),
                Err(e) => failure(&e),
            }
        } else {
            let new = after(step, "new", &before);
            json!({"object": ssa::track_update(&ctx, live.as_ref(), new, manager, now)})
        };
        let expected = match step.get("error") {
            Some(e) => json!({"error": e, "code": step["code"], "causes": step["causes"]}),
            None => json!({"object": after(step, "", &before)}),
        };
        let (expected, actual) = (comparable(expected), comparable(actual));
        if !tally.check(|| format!("case {i} step {n}\n  live {before}\n  step {step}"), &expected, &actual) {
            return;
        }
        if step.get("error").is_none() {
            let mut object = expected["object"].clone();
            if step["created"] == true {
                object["metadata"]["uid"] = json!("u1");
            }
            live = Some(object);
        }
    }
}

fn failure(e: &ApplyError) -> Value {
    let (code, causes) = match e {
        ApplyError::Conflict(conflicts) => {
            let mut causes: Vec<String> = conflicts
                .iter()
                .map(|c| format!("FieldManagerConflict|{}|{}", c.field, c.message()))
                .collect();
            causes.sort();
            (json!(e.status()), json!(causes))
        }
        ApplyError::BadRequest(_) => (json!(e.status()), Value::Null),
        ApplyError::Invalid(_) => (Value::Null, Value::Null),
    };
    json!({"error": e.to_string(), "code": code, "causes": causes})
}

/// Upstream lists several problems in no order.
fn comparable(mut outcome: Value) -> Value {
    if let Some(Value::String(text)) = outcome.get_mut("error")
        && let Some((head, problems)) = text.split_once("errors:\n")
    {
        let mut lines: Vec<&str> = problems.lines().collect();
        lines.sort_unstable();
        *text = format!("{head}errors:\n{}", lines.join("\n"));
    }
    outcome
}

#[test]
fn applies_and_updates_of_built_in_kinds_give_upstreams_objects_and_owners() {
    let schema = Schema::builtin();
    let mut tally = Tally::new("apply.jsonl");
    for (i, case) in cases("apply.jsonl").iter().enumerate() {
        let (api_version, name) = kind_of(case);
        let kind = kind(schema, api_version, name);
        run(&mut tally, i, case, |subresource| Ctx::new(schema, kind, subresource));
    }
    tally.finish();
}

#[test]
fn applies_of_items_with_odd_identities_give_upstreams_objects_and_owners() {
    let schema = Schema::builtin();
    let mut tally = Tally::new("odd.jsonl");
    for (i, case) in cases("odd.jsonl").iter().enumerate() {
        let (api_version, name) = kind_of(case);
        let kind = kind(schema, api_version, name);
        run(&mut tally, i, case, |subresource| Ctx::new(schema, kind, subresource));
    }
    tally.finish();
}

/// Two applies of one configuration by one manager, one after the other, as upstream answered them.
fn repeated_applies(file: &str) -> Vec<(Ctx<'static>, Value, bool)> {
    let schema = Schema::builtin();
    let mut out = Vec::new();
    for case in cases(file) {
        let (api_version, name) = kind_of(&case);
        let kind = kind(schema, api_version, name);
        let mut live = json!({});
        let mut last: Option<&Value> = None;
        for step in case["steps"].as_array().unwrap() {
            let before = live.clone();
            if step.get("error").is_none() {
                live = after(step, "", &before);
                if step["created"] == true {
                    live["metadata"]["uid"] = json!("u1");
                }
            }
            let again = last.is_some_and(|l| {
                l.get("error").is_none()
                    && ["op", "config", "manager", "sub"].iter().all(|k| l[*k] == step[*k])
            });
            // kubectl keeps what it applied in an annotation, which grows where it is applied itself.
            let kept = step["config"]["metadata"]["annotations"].get(ssa::LAST_APPLIED).is_some();
            if step["op"] == "apply" && again && !kept {
                let mut now = live.clone();
                let same = step.get("error").is_none() && ssa::settle(&before, &mut now);
                let ctx = Ctx::new(schema, kind, step["sub"].as_str().unwrap_or(""));
                out.push((ctx, step["config"].clone(), same));
            }
            last = Some(step);
        }
    }
    out
}

#[test]
fn upstreams_applies_come_to_rest_where_comes_to_rest_says_so() {
    let (mut at_rest, mut restless) = (0, 0);
    for file in ["apply.jsonl", "odd.jsonl"] {
        for (ctx, config, same) in repeated_applies(file) {
            let promised = ssa::comes_to_rest(&ctx, &config);
            assert!(same || !promised, "{file}: upstream is not idempotent on {config}");
            if same { at_rest += 1 } else { restless += 1 }
        }
    }
    assert!(at_rest > 100 && restless > 50, "{at_rest} at rest, {restless} not");
}

#[test]
fn merge_patches_applied_twice_give_upstreams_results() {
    let mut tally = Tally::new("again.jsonl");
    let mut changed = 0;
    for (i, case) in cases("again.jsonl").iter().enumerate() {
        let mut doc = case["doc"].clone();
        for expected in ["o", "again"] {
            apply_merge_patch(&mut doc, case["patch"].clone()).unwrap();
            tally.check(|| format!("case {i} {expected}\n  {case}"), &case[expected], &doc);
        }
        changed += usize::from(case["o"] != case["again"]);
    }
    assert!(changed > 20, "upstream is not idempotent where a list with nulls replaces an object");
    tally.finish();
}

#[test]
fn applies_and_updates_of_undeclared_kinds_give_upstreams_objects_and_owners() {
    let schema = Schema::builtin();
    let mut tally = Tally::new("untyped.jsonl");
    for (i, case) in cases("untyped.jsonl").iter().enumerate() {
        run(&mut tally, i, case, |subresource| {
            Ctx::untyped(schema, "example.dev", "v1", "Widget", subresource, true)
        });
    }
    tally.finish();
}

#[test]
fn owners_of_replicas_cross_the_scale_subresource_as_upstreams_do() {
    let mut tally = Tally::new("scale.jsonl");
    for (i, case) in cases("scale.jsonl").iter().enumerate() {
        let to_scale = scale::to_scale(Some(&case["parent"]), "apps/v1", &["spec", "replicas"]).unwrap();
        tally.check(|| format!("case {i} to scale"), &case["toScale"], &to_scale.unwrap_or(Value::Null));
        let to_parent =
            scale::to_parent(Some(&case["parent"]), Some(&case["scale"]), "apps/v1", &["spec", "replicas"])
                .unwrap();
        tally.check(
            || format!("case {i} to parent {} {}", case["parent"], case["scale"]),
            &case["toParent"],
            &to_parent.unwrap_or(Value::Null),
        );
    }
    tally.finish();
}
