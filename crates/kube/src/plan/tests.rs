//! Plans: order, questions before the first write.
#![allow(clippy::unwrap_used)]

use super::verdict::{compare, judge_refusal};
use super::*;
use crate::client::{Cause, Refusal};

fn refusal(code: u16, message: &str, causes: &[(&str, &str, &str)]) -> Refusal {
    let causes = causes.iter().map(|(reason, field, message)| Cause {
        reason: (*reason).into(),
        field: (*field).into(),
        message: (*message).into(),
    });
    Refusal { code, message: message.into(), causes: causes.collect(), ..Refusal::default() }
}

#[test]
fn conflicts_are_read_from_the_servers_causes() {
    let refusal = refusal(
        409,
        "Apply failed with 3 conflicts",
        &[
            ("FieldManagerConflict", ".spec.replicas", "conflict with \"hpa\" using apps/v1"),
            (
                "FieldManagerConflict",
                ".spec.paused",
                "conflict with \"a b\" with subresource \"scale\" using v1",
            ),
            ("FieldManagerConflict", ".x", "no quotes here"),
            ("FieldValueInvalid", ".y", "something else"),
        ],
    );
    let found = conflicts(&refusal);
    let managers: Vec<&str> = found.iter().map(|c| c.manager.as_str()).collect();
    assert_eq!(managers, ["hpa", "a b", "no quotes here"]);
    assert_eq!(found[0].owner, "\"hpa\" using apps/v1");
}

#[test]
fn refusals_become_verdicts() {
    let webhook = "admission webhook \"w\" does not support dry run";
    assert!(
        matches!(judge_refusal(&refusal(400, webhook, &[])), Verdict::Deferred(why) if why.contains(webhook))
    );
    let invalid = judge_refusal(&refusal(422, "is invalid", &[("FieldValueInvalid", "spec", "bad")]));
    assert_eq!(invalid, Verdict::Refused("is invalid".into()));
}

#[test]
fn what_the_server_alone_writes_makes_no_difference() {
    let object = |rv: &str, status: i32, fields: Value, replicas: i32| {
        json!({"metadata": {"name": "x", "resourceVersion": rv, "generation": 3, "managedFields": [
            {"manager": "kiban", "operation": "Apply", "time": rv, "fieldsV1": fields},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "time": rv}]},
            "spec": {"replicas": replicas}, "status": {"replicas": status}})
    };
    let live = object("1", 1, json!({"f:a": {}}), 2);
    assert_eq!(compare(None, &live), Verdict::Create);
    assert_eq!(compare(Some(&live), &object("2", 2, json!({"f:a": {}}), 2)), Verdict::Unchanged);
    assert_eq!(compare(Some(&live), &object("2", 2, json!({"f:a": {}}), 3)), Verdict::Configure);
    assert_eq!(
        compare(Some(&live), &object("2", 2, json!({"f:a": {}, "f:b": {}}), 2)),
        Verdict::Configure,
        "ownership alone is worth a write"
    );
}
