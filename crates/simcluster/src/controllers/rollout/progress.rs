//! The status of a Deployment: counts, availability, progress and its deadline.

use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::sets::Sets;
use super::{Rollout, condition};
use crate::controllers::{Again, pods};

/// The status as it should be, and when to look again because of the deadline.
pub(super) fn status(rollout: &Rollout<'_>, sets: &Sets) -> (Value, Again) {
    let old = &rollout.value["status"];
    let now = rollout.ctx.now;
    let replicas = rollout.replicas();
    let mut status = if old.is_object() { old.clone() } else { json!({}) };
    let sum = |of: fn(&super::Set) -> i64| sets.all().map(of).sum::<i64>();
    let (total, available) = (sum(|s| s.observed_replicas), sum(|s| s.available));
    let updated = sets.new.as_ref().map_or(0, |n| n.observed_replicas);
    for (field, number) in [
        ("replicas", total),
        ("updatedReplicas", updated),
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
    status["observedGeneration"] = rollout.value["metadata"]["generation"].clone();
    let (_, unavailable) = rollout.bounds();
    let enough = available >= replicas - unavailable;
    let available = if enough {
        condition("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.".into())
    } else {
        condition("Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.".into())
    };
    update(&mut status, available, now);
    failure(&mut status, sets, now);
    let again = progress(rollout, sets, &mut status);
    (status, again)
}

/// Repeats a set's failure to make pods.
fn failure(status: &mut Value, sets: &Sets, now: Timestamp) {
    let failing = sets.new.iter().chain(sets.old.iter()).find_map(|s| pods::condition(&s.value, "ReplicaFailure"));
    match failing {
        Some(c) => {
            let text = c["message"].as_str().unwrap_or_default().to_owned();
            update(status, condition("ReplicaFailure", true, "FailedCreate", text), now);
        }
        None => pods::drop_condition(status, "ReplicaFailure"),
    }
}

fn progress(rollout: &Rollout<'_>, sets: &Sets, status: &mut Value) -> Again {
    let spec = &rollout.value["spec"];
    let Some(limit) = spec["progressDeadlineSeconds"].as_i64().filter(|d| *d < i64::from(i32::MAX)) else {
        pods::drop_condition(status, "Progressing");
        return None;
    };
    let now = rollout.ctx.now;
    let old = pods::condition(&rollout.value, "Progressing").cloned();
    let was = |reason: &str| old.as_ref().is_some_and(|c| c["reason"] == reason);
    let name = rollout.object.key.name.clone();
    let set = sets.new.as_ref().map(|s| s.object.key.name.to_string());
    let about = set.clone().map_or_else(|| format!("Deployment \"{name}\""), |s| format!("ReplicaSet \"{s}\""));
    if spec["paused"] == true {
        if !was("DeploymentPaused") {
            let text = "Deployment is paused".to_owned();
            replace(status, unknown("DeploymentPaused", text), now);
        }
        return None;
    }
    if sets.complete(rollout.replicas()) {
        if !was("NewReplicaSetAvailable") || !was_about(old.as_ref(), &about) {
            let text = format!("{about} has successfully progressed.");
            replace(status, condition("Progressing", true, "NewReplicaSetAvailable", text), now);
        }
        return None;
    }
    // A finished rollout has no deadline until its template changes or pods are missing anew.
    let moved = old.is_none() || progressed(&rollout.value["status"], status);
    if moved || was("NewReplicaSetAvailable") && !was_about(old.as_ref(), &about) || was("DeploymentPaused") {
        let (reason, text) = match (&set, old.is_none()) {
            (Some(s), true) => ("NewReplicaSetCreated", format!("Created new replica set \"{s}\"")),
            _ => ("ReplicaSetUpdated", format!("{about} is progressing.")),
        };
        replace(status, condition("Progressing", true, reason, text), now);
        return Some(Duration::from_secs(limit.unsigned_abs()));
    }
    if was("NewReplicaSetAvailable") || was("ProgressDeadlineExceeded") {
        return None;
    }
    let since = old.as_ref().and_then(|c| c["lastUpdateTime"].as_str()).and_then(Timestamp::parse).unwrap_or(now);
    let due = since + Duration::from_secs(limit.unsigned_abs());
    if now >= due {
        let text = format!("{about} has timed out progressing.");
        replace(status, condition("Progressing", false, "ProgressDeadlineExceeded", text), now);
        return None;
    }
    Some(due.since(now) + Duration::from_secs(1))
}

fn was_about(condition: Option<&Value>, about: &str) -> bool {
    condition.and_then(|c| c["message"].as_str()).is_some_and(|m| m.starts_with(about))
}

/// Pods were made, became ready or went since the last look (deploymentutil.DeploymentProgressing).
fn progressed(old: &Value, new: &Value) -> bool {
    let n = |v: &Value, key: &str| v[key].as_i64().unwrap_or(0);
    let old_pods = |v: &Value| n(v, "replicas") - n(v, "updatedReplicas");
    n(new, "updatedReplicas") > n(old, "updatedReplicas")
        || old_pods(new) < old_pods(old)
        || n(new, "readyReplicas") > n(old, "readyReplicas")
        || n(new, "availableReplicas") > n(old, "availableReplicas")
}

fn unknown(reason: &str, message: String) -> Value {
    json!({"type": "Progressing", "status": "Unknown", "reason": reason, "message": message})
}

/// Replaces a condition where its status, reason or message is another.
fn update(status: &mut Value, condition: Value, now: Timestamp) {
    let same = |c: &Value| ["type", "status", "reason", "message"].iter().all(|k| c[*k] == condition[*k]);
    if !status["conditions"].as_array().is_some_and(|all| all.iter().any(same)) {
        replace(status, condition, now);
    }
}

fn replace(status: &mut Value, mut condition: Value, now: Timestamp) {
    condition["lastUpdateTime"] = now.rfc3339().into();
    pods::set_condition(status, condition, now);
}
