//! What a rollout says of itself, in words.

use kiban_base::object::{ObjectId, group_of};
use kiban_kube::apply::{ApplyError, Outcome, Report};
use kiban_kube::diagnose::Finding;
use serde_json::Value;

use super::{End, Job};
use crate::verdict::Fault;

/// How many objects a message names.
const MOST: usize = 5;

/// Kinds whose pods are watched after they got ready. A Job ends by itself.
pub(super) fn is_workload(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    match group_of(object["apiVersion"].as_str().unwrap_or_default()) {
        "apps" => matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"),
        "" => kind == "Pod",
        _ => false,
    }
}

/// The first twelve characters of a commit's id.
pub(super) fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}

/// An apply's failures.
pub(super) fn of_report(report: &Report) -> String {
    let failed =
        report.outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Failed(_) | Outcome::Conflict(_)));
    let waiting = report.not_ready.iter().map(|(id, r)| format!("{id} is not ready: {}", r.message));
    some(failed.map(|(id, outcome)| format!("{id} {outcome}")).chain(waiting).collect())
}

pub(super) fn of_error(error: &ApplyError) -> String {
    match error.report() {
        Some(report) if !of_report(report).is_empty() => format!("{error}: {}", of_report(report)),
        _ => error.to_string(),
    }
}

fn some(mut texts: Vec<String>) -> String {
    let mut seen = std::collections::BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    let more = texts.len().saturating_sub(MOST);
    texts.truncate(MOST);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

/// What is wrong with the objects that did not get ready in time.
pub(super) fn faults(report: &Report) -> Vec<Fault> {
    let of = |(id, readiness): (&ObjectId, &kiban_kube::readiness::Readiness)| {
        let found = report.findings.get(id).and_then(|findings| fault(id, findings));
        found.unwrap_or_else(|| Fault {
            object: id.clone(),
            message: format!("did not get ready in time: {}", readiness.message),
            lines: Vec::new(),
        })
    };
    report.not_ready.iter().map(of).collect()
}

/// The most telling finding of an object.
pub(super) fn fault(id: &ObjectId, findings: &[Finding]) -> Option<Fault> {
    let first = findings.first()?;
    Some(Fault { object: id.clone(), message: first.to_string(), lines: first.lines.clone() })
}

/// All faults in one line.
pub(super) fn cause(faults: &[Fault]) -> String {
    some(faults.iter().map(ToString::to_string).collect())
}

pub(super) fn as_fault(job: &Job, reason: &str) -> Vec<Fault> {
    let object = ObjectId {
        namespace: job.brief.namespace.clone(),
        kind: "App".into(),
        group: "kiban.dev".into(),
        name: job.brief.app.clone(),
    };
    vec![Fault { object, message: reason.to_owned(), lines: Vec::new() }]
}

pub(super) fn not_taken_back(end: &End) -> String {
    match end {
        End::Failed { why, .. } | End::Held { why } => format!("could not be taken back: {why}"),
        _ => "could not be taken back".into(),
    }
}
