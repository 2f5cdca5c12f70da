//! What concerns a workload as a whole: which pods are of its new revision, and what its controller says.

use serde_json::Value;

use super::{Cause, Evidence, Finding, Gravity, event, short};
use crate::object::{group_of, text_at};

/// The parts of a workload that count.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    /// The pods of the new revision.
    pub(super) pods: Vec<&'a Value>,
    /// The ReplicaSet of the new revision, for a Deployment.
    pub(super) replica_set: Option<&'a Value>,
    /// False where the controller has not looked at the spec yet, so that the new revision is not known.
    pub(super) known: bool,
}

/// What the kinds have in common: who makes the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Deployment,
    StatefulSet,
    DaemonSet,
    /// A ReplicaSet or a Job: every pod is of the one revision.
    Direct,
    Pod,
    Other,
}

fn sort(workload: &Value) -> Sort {
    match (group_of(workload), text_at(workload, &["kind"]).unwrap_or("")) {
        ("apps", "Deployment") => Sort::Deployment,
        ("apps", "StatefulSet") => Sort::StatefulSet,
        ("apps", "DaemonSet") => Sort::DaemonSet,
        ("apps", "ReplicaSet") | ("batch", "Job") => Sort::Direct,
        ("", "Pod") => Sort::Pod,
        _ => Sort::Other,
    }
}

fn int(object: &Value, path: &[&str]) -> Option<i64> {
    path.iter().try_fold(object, |at, step| at.get(step)).and_then(Value::as_i64)
}

fn count(object: &Value, path: &[&str], default: usize) -> usize {
    int(object, path).map_or(default, |n| usize::try_from(n).unwrap_or(0))
}

/// How many pods the spec asks for.
pub(super) fn wanted(workload: &Value) -> usize {
    match sort(workload) {
        Sort::DaemonSet => count(workload, &["status", "desiredNumberScheduled"], 0),
        Sort::Pod => 1,
        _ if text_at(workload, &["kind"]) == Some("Job") => count(workload, &["spec", "parallelism"], 1),
        _ => count(workload, &["spec", "replicas"], 1),
    }
}

fn uid(object: &Value) -> &str {
    text_at(object, &["metadata", "uid"]).unwrap_or("")
}

/// True where `owner` is the controller of `object`.
fn owns(owner: &Value, object: &Value) -> bool {
    let owners = object.get("metadata").and_then(|m| m.get("ownerReferences")).and_then(Value::as_array);
    let by = |o: &Value| {
        o.get("controller").and_then(Value::as_bool) == Some(true) && text_at(o, &["uid"]) == Some(uid(owner))
    };
    !uid(owner).is_empty() && owners.into_iter().flatten().any(by)
}

fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    text_at(object, &["metadata", "labels", name])
}

/// True where the controller has seen the spec as it is.
fn is_observed(workload: &Value) -> bool {
    match int(workload, &["metadata", "generation"]) {
        None => true,
        Some(generation) => {
            int(workload, &["status", "observedGeneration"]).is_some_and(|observed| observed >= generation)
        }
    }
}

/// The parts of the new revision.
pub(super) fn members<'a>(evidence: &Evidence<'a>) -> Members<'a> {
    let Evidence { workload, revisions, pods, .. } = *evidence;
    let of = |keep: &dyn Fn(&Value) -> bool| pods.iter().filter(|p| keep(p)).collect::<Vec<_>>();
    match sort(workload) {
        Sort::Deployment => {
            let replica_set = new_replica_set(workload, revisions);
            let pods = replica_set.map(|set| of(&|p| owns(set, p))).unwrap_or_default();
            Members { pods, replica_set, known: replica_set.is_some() }
        }
        Sort::StatefulSet => {
            let revision = text_at(workload, &["status", "updateRevision"]).filter(|r| !r.is_empty());
            let known = is_observed(workload) && revision.is_some();
            let new = |p: &Value| owns(workload, p) && label(p, "controller-revision-hash") == revision;
            Members { pods: if known { of(&new) } else { Vec::new() }, replica_set: None, known }
        }
        Sort::DaemonSet => {
            let newest = revisions
                .iter()
                .filter(|r| text_at(r, &["kind"]) == Some("ControllerRevision") && owns(workload, r))
                .max_by_key(|r| int(r, &["revision"]));
            let hash = newest.and_then(|r| label(r, "controller-revision-hash"));
            let known = is_observed(workload) && hash.is_some();
            let new = |p: &Value| owns(workload, p) && label(p, "controller-revision-hash") == hash;
            Members { pods: if known { of(&new) } else { Vec::new() }, replica_set: None, known }
        }
        Sort::Direct => {
            Members { pods: of(&|p| owns(workload, p)), replica_set: None, known: is_observed(workload) }
        }
        Sort::Pod => Members { pods: vec![workload], replica_set: None, known: true },
        Sort::Other => Members { known: true, ..Members::default() },
    }
}

/// The ReplicaSet that has the Deployment's template: as the deployment controller finds it, the oldest
/// of equal ones.
fn new_replica_set<'a>(deployment: &Value, sets: &'a [Value]) -> Option<&'a Value> {
    let wanted = bare_template(deployment);
    let created = |s: &&Value| text_at(s, &["metadata", "creationTimestamp"]).map(String::from);
    sets.iter()
        .filter(|s| text_at(s, &["kind"]) == Some("ReplicaSet") && owns(deployment, s))
        .filter(|s| bare_template(s) == wanted)
        .min_by_key(created)
}

/// The pod template without the label that the controller adds to it.
fn bare_template(owner: &Value) -> Value {
    let mut template = owner.get("spec").and_then(|s| s.get("template")).cloned().unwrap_or_default();
    if let Some(Value::Object(labels)) = template.get_mut("metadata").and_then(|m| m.get_mut("labels")) {
        labels.remove("pod-template-hash");
    }
    if let Some(Value::Object(meta)) = template.get_mut("metadata") {
        meta.retain(|_, v| !v.is_null());
    }
    template
}

/// A condition of the workload that has this type and status: its reason and message.
fn condition<'a>(object: &'a Value, kind: &str, status: &str) -> Option<(&'a str, &'a str)> {
    let list = object.get("status").and_then(|s| s.get("conditions")).and_then(Value::as_array);
    let found = list
        .into_iter()
        .flatten()
        .find(|c| text_at(c, &["type"]) == Some(kind) && text_at(c, &["status"]) == Some(status))?;
    Some((text_at(found, &["reason"]).unwrap_or(""), text_at(found, &["message"]).unwrap_or("")))
}

/// A finding about a workload.
fn finding(object: &Value, gravity: Gravity, cause: Cause, message: impl Into<String>) -> Finding {
    Finding {
        gravity,
        cause,
        subject: short(object),
        container: None,
        message: message.into(),
        event: None,
        log: None,
        lines: Vec::new(),
    }
}

/// What the workload and its controller say.
pub(super) fn findings(evidence: &Evidence<'_>, members: &Members<'_>) -> Vec<Finding> {
    let workload = evidence.workload;
    let mut out = Vec::new();
    let deployment = sort(workload) == Sort::Deployment;
    if deployment && workload["spec"]["paused"].as_bool() == Some(true) {
        let text = "the rollout is paused; spec.paused: false lets it go on";
        out.push(finding(workload, Gravity::Stuck, Cause::Paused, text));
    }
    if !is_observed(workload) || !members.known {
        let text = "its controller has not looked at the new spec yet";
        out.push(finding(workload, Gravity::Slow, Cause::NotObserved, text));
        return out;
    }
    out.extend(refused_pods(evidence, members));
    if let Some((reason, message)) = condition(workload, "Failed", "True")
        && text_at(workload, &["kind"]) == Some("Job")
    {
        out.push(finding(workload, Gravity::Stuck, Cause::JobFailed, format!("{reason}: {message}")));
    }
    if let Some((reason, message)) = condition(workload, "Progressing", "False")
        && deployment
        && reason == "ProgressDeadlineExceeded"
    {
        out.push(finding(workload, Gravity::Stuck, Cause::Deadline, message));
    }
    out.extend(settling(workload));
    out
}

/// Pods that the API server does not let the controller make: from the conditions of the ReplicaSet
/// and its Deployment, else from the newest Event.
fn refused_pods(evidence: &Evidence<'_>, members: &Members<'_>) -> Option<Finding> {
    let makers: Vec<&Value> = members.replica_set.into_iter().chain([evidence.workload]).collect();
    let (maker, message) = makers
        .iter()
        .find_map(|maker| {
            let (reason, message) = condition(maker, "ReplicaFailure", "True")?;
            (reason == "FailedCreate").then(|| (*maker, message.to_string()))
        })
        .or_else(|| {
            // Those kinds have no such condition: the Event says it, while pods are still missing.
            let maker = *makers.first()?;
            let missing = count(maker, &["status", "replicas"], members.pods.len()) < wanted(maker)
                || matches!(sort(maker), Sort::DaemonSet | Sort::Direct)
                    && members.pods.len() < wanted(maker);
            let told = event::newest(evidence.events, maker, &["FailedCreate"])?;
            missing.then(|| (maker, told.to_string()))
        })?;
    let quota = message.contains("exceeded quota");
    let cause = if quota { Cause::Quota } else { Cause::Refused };
    // Some refusals pass by themselves: a webhook that does not answer, an object that is still to come.
    let passing = ["failed calling webhook", "i/o timeout", "connection refused", "try again"];
    let gravity = match passing.iter().any(|p| message.contains(p)) {
        true => Gravity::Slow,
        false => Gravity::Stuck,
    };
    Some(finding(maker, gravity, cause, message))
}

/// What is under way where nothing is wrong.
fn settling(workload: &Value) -> Option<Finding> {
    let status = |field: &str| count(workload, &["status", field], 0);
    if sort(workload) != Sort::Deployment {
        return None;
    }
    let wanted = wanted(workload);
    let slow = |text: String| Some(finding(workload, Gravity::Slow, Cause::Settling, text));
    if status("updatedReplicas") == wanted && status("replicas") > wanted {
        return slow(format!("{} old pods are still to go", status("replicas") - wanted));
    }
    let patience = count(workload, &["spec", "minReadySeconds"], 0);
    if patience > 0 && status("readyReplicas") > status("availableReplicas") {
        return slow(format!("pods count as available {patience}s after they are ready (minReadySeconds)"));
    }
    None
}
