//! Golden answers of Kubernetes' own decoder (tools/schema/oracle), and what they do not reach.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::json;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    api_version: String,
    kind: String,
    #[serde(rename = "in")]
    body: String,
    out: Option<Value>,
    strict: Option<String>,
    err: Option<String>,
}

fn sorted(text: &str) -> Vec<&str> {
    let mut findings: Vec<&str> = text.trim_start_matches("strict decoding error: ").split(", ").collect();
    findings.sort_unstable();
    findings
}

/// What differs from the recorded answer.
fn difference(case: &Case) -> Option<String> {
    let schema = Schema::builtin();
    let id = schema.type_of(&case.api_version, &case.kind).unwrap();
    let ours = decode(schema, id, json::parse(case.body.as_bytes()).unwrap());
    match (ours, &case.err, &case.out) {
        (Err(e), Some(err), _) if e.to_string() == *err => None,
        (Ok(ours), None, Some(out)) => {
            let strict = case.strict.clone().unwrap_or_default();
            let findings = if ours.findings.is_empty() {
                String::new()
            } else {
                strict_error(&ours.findings).to_string()
            };
            // Our maps are sorted: findings in a body with unsorted keys come in another order.
            if sorted(&findings) != sorted(&strict) {
                return Some(format!("findings {findings}\n  want {strict}"));
            }
            (ours.value != *out).then(|| format!("out {}\n  want {out}", ours.value))
        }
        (ours, err, out) => Some(format!("{ours:?}\n  want {err:?} {out:?}")),
    }
}

fn deployment() -> TypeId {
    Schema::builtin().type_of("apps/v1", "Deployment").unwrap()
}

#[test]
fn pruning_drops_unknown_fields_and_changes_nothing_else() {
    let mut value = json!({
        "foo": {"bar": 1},
        "metadata": {"labels": {"any": "key"}, "Labels": {}},
        "spec": {"replicas": "x", "template": {"spec": {"containers": [{"nmae": "x", "name": "c"}]}}},
    });
    let findings = prune(Schema::builtin(), deployment(), &mut value);
    assert_eq!(
        findings,
        [
            "unknown field \"foo\"",
            "unknown field \"metadata.Labels\"",
            "unknown field \"spec.template.spec.containers[0].nmae\""
        ]
    );
    assert_eq!(
        value,
        json!({
            "metadata": {"labels": {"any": "key"}},
            "spec": {"replicas": "x", "template": {"spec": {"containers": [{"name": "c"}]}}},
        })
    );
}

#[test]
fn messages_are_the_api_servers() {
    let body = br#"{"spec":{"replicas":"3"}}"#;
    let error = decode(Schema::builtin(), deployment(), json::parse(body).unwrap()).unwrap_err();
    assert_eq!(
        cannot_be_handled("Deployment", "v1", &error),
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string \
         into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    let body = br#"{"spec":{"a":1,"b":2}}"#;
    let decoded = decode(Schema::builtin(), deployment(), json::parse(body).unwrap()).unwrap();
    assert_eq!(
        strict_error(&decoded.findings).to_string(),
        "strict decoding error: unknown field \"spec.a\", unknown field \"spec.b\""
    );
}

#[test]
fn what_is_canonical_stays_as_it_is() {
    let schema = Schema::builtin();
    for line in include_str!("../../tests/golden/json.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let Some(out) = case.out else { continue };
        let id = schema.type_of(&case.api_version, &case.kind).unwrap();
        // Apart from nulls inside lists and maps, where Go's zero value takes their place.
        assert_eq!(normalise(schema, id, out.clone()).unwrap(), out, "{}", case.body);
    }
}

#[test]
fn values_that_no_parser_made_cannot_overflow_the_stack() {
    let mut deep = json!({"type": "object"});
    for _ in 0..300 {
        deep = json!({"not": deep});
    }
    let body = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": deep}}]}});
    let schema = Schema::builtin();
    let id = schema.type_of("apiextensions.k8s.io/v1", "CustomResourceDefinition").unwrap();
    let mut pruned = body.clone();
    prune(schema, id, &mut pruned);
    assert_eq!(normalise(schema, id, body).unwrap_err().to_string(), "exceeded max depth");
}

#[test]
fn bodies_decode_as_kubernetes_decodes_them() {
    let text = include_str!("../../tests/golden/json.jsonl");
    let (mut total, mut wrong) = (0, Vec::new());
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        total += 1;
        if let Some(difference) = difference(&case) {
            wrong.push(format!("{} {}\n  {difference}", case.kind, case.body));
        }
    }
    assert!(total > 700);
    assert!(wrong.is_empty(), "{} of {total} differ:\n{}", wrong.len(), wrong.join("\n"));
}
