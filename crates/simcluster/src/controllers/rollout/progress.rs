//! The status of a Deployment: counts, availability, progress and its deadline.
//!
//! Contract: Kubernetes pkg/controller/deployment (progress.go) and its util/deployment_util.go.

use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::sets::Sets;
use super::{Look, Rollout};
use crate::controllers::{Again, pods};

/// `spec.progressDeadlineSeconds`; the largest number means none.
pub(super) fn deadline(deployment: &Value) -> Option<Duration> {
    let seconds =
        deployment["spec"]["progressDeadlineSeconds"].as_i64().filter(|d| *d < i64::from(i32::MAX))?;
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

/// The status as it should be.
pub(super) fn status(rollout: &Rollout<'_>, sets: &Sets, look: Look) -> Value {
    let old = &rollout.value["status"];
    let now = rollout.ctx.now;
    let mut status = if old.is_object() { old.clone() } else { json!({}) };
    let sum = |of: fn(&super::Set) -> i64| sets.all().map(of).sum::<i64>();
    let available = sum(|s| s.available);
    for (field, number) in [
        ("replicas", sum(|s| s.observed_replicas)),
        ("updatedReplicas", sets.new.as_ref().map_or(0, |n| n.observed_replicas)),
        ("readyReplicas", sum(|s| s.ready)),
        ("availableReplicas", available),
        ("unavailableReplicas", (sets.total() - available).max(0)),
    ] {
        if number == 0 {
            status.as_object_mut().map(|s| s.remove(field));
        } else {
            status[field] = number.into();
        }
    }
    status["terminatingReplicas"] = sum(|s| s.terminating).into();
    status["observedGeneration"] = rollout.value["metadata"]["generation"].clone();
    let (_, unavailable) = rollout.bounds();
    let availability = if available >= rollout.replicas() - unavailable {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, condition("Available", availability), now);
    if look == Look::Progress {
        progress(rollout, sets, &mut status);
        failure(&mut status, sets, now);
    }
    status
}

/// The rollout is over: all pods are of the new template, and available.
pub(super) fn is_complete(rollout: &Rollout<'_>, status: &Value) -> bool {
    let replicas = rollout.replicas();
    let full = |field: &str| count(status, field) == replicas;
    full("updatedReplicas")
        && full("replicas")
        && full("availableReplicas")
        && status["observedGeneration"].as_i64() >= rollout.value["metadata"]["generation"].as_i64()
}

/// Repeats a set's failure to make pods, the new one's first.
fn failure(status: &mut Value, sets: &Sets, now: Timestamp) {
    let failing =
        sets.new.iter().chain(sets.old.iter()).find_map(|s| pods::condition(&s.value, "ReplicaFailure"));
    match failing {
        Some(c) => {
            let text = |key: &str| c[key].as_str().unwrap_or_default();
            set(status, condition("ReplicaFailure", (text("status"), text("reason"), text("message"))), now);
        }
        None => pods::drop_condition(status, "ReplicaFailure"),
    }
}

fn progress(rollout: &Rollout<'_>, sets: &Sets, status: &mut Value) {
    let Some(limit) = deadline(&rollout.value) else {
        pods::drop_condition(status, "Progressing");
        return;
    };
    let now = rollout.ctx.now;
    let old = pods::condition(&rollout.value, "Progressing").cloned();
    let was = |reason: &str| old.as_ref().is_some_and(|c| c["reason"] == reason);
    // All pods are of one set, which was available once: no rollout, nothing to estimate.
    if was("NewReplicaSetAvailable") && count(status, "replicas") == count(status, "updatedReplicas") {
        return;
    }
    let name = &rollout.object.key.name;
    let about = sets.new.as_ref().map_or_else(
        || format!("Deployment \"{name}\""),
        |s| format!("ReplicaSet \"{}\"", s.object.key.name),
    );
    if is_complete(rollout, status) {
        let text = format!("{about} has successfully progressed.");
        set(status, condition("Progressing", ("True", "NewReplicaSetAvailable", &text)), now);
    } else if progressed(&rollout.value["status"], status) {
        let text = format!("{about} is progressing.");
        let next = condition("Progressing", ("True", "ReplicaSetUpdated", &text));
        // Each step moves the time from which the deadline counts, whatever the reason was.
        replace(status, next, now);
    } else if timed_out(old.as_ref(), limit, now) {
        let text = format!("{about} has timed out progressing.");
        set(status, condition("Progressing", ("False", "ProgressDeadlineExceeded", &text)), now);
    }
}

/// Pods were made, became ready or went since the last look.
fn progressed(old: &Value, new: &Value) -> bool {
    let old_pods = |v: &Value| count(v, "replicas") - count(v, "updatedReplicas");
    count(new, "updatedReplicas") > count(old, "updatedReplicas")
        || old_pods(new) < old_pods(old)
        || count(new, "readyReplicas") > count(old, "readyReplicas")
        || count(new, "availableReplicas") > count(old, "availableReplicas")
}

fn timed_out(condition: Option<&Value>, limit: Duration, now: Timestamp) -> bool {
    let Some(condition) = condition else { return false };
    match condition["reason"].as_str() {
        // A finished rollout has no deadline until the next one begins.
        Some("NewReplicaSetAvailable") => false,
        Some("ProgressDeadlineExceeded") => true,
        _ => updated(condition).is_some_and(|since| since + limit < now),
    }
}

/// When to look again because the deadline may have passed.
pub(super) fn recheck(rollout: &Rollout<'_>, status: &Value) -> Again {
    let limit = deadline(&rollout.value)?;
    let wrapped = json!({"status": status});
    let condition = pods::condition(&wrapped, "Progressing")?;
    let settled =
        matches!(condition["reason"].as_str(), Some("NewReplicaSetAvailable" | "ProgressDeadlineExceeded"));
    if settled || rollout.is_paused() || is_complete(rollout, status) {
        return None;
    }
    Some((updated(condition)? + limit).since(rollout.ctx.now) + Duration::from_secs(1))
}

fn updated(condition: &Value) -> Option<Timestamp> {
    condition["lastUpdateTime"].as_str().and_then(Timestamp::parse)
}

fn count(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or(0)
}

fn condition(type_: &str, (status, reason, message): (&str, &str, &str)) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message})
}

/// Sets a condition whose status or reason is another; one that says the same stays as it is.
pub(super) fn set(status: &mut Value, condition: Value, now: Timestamp) {
    let same = |c: &Value| ["type", "status", "reason"].iter().all(|k| c[*k] == condition[*k]);
    if !status["conditions"].as_array().is_some_and(|all| all.iter().any(same)) {
        replace(status, condition, now);
    }
}

/// Puts a condition last; its transition time moves only when its status does.
fn replace(status: &mut Value, mut condition: Value, now: Timestamp) {
    let mut all = status["conditions"].as_array().cloned().unwrap_or_default();
    let old = all.iter().position(|c| c["type"] == condition["type"]).map(|i| all.remove(i));
    let kept = old.filter(|c| c["status"] == condition["status"]);
    condition["lastTransitionTime"] =
        kept.map_or_else(|| now.rfc3339().into(), |c| c["lastTransitionTime"].clone());
    condition["lastUpdateTime"] = now.rfc3339().into();
    all.push(condition);
    status["conditions"] = json!(all);
}
