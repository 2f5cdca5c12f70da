//! How many pods there are, and how many of them stay up: replicas, autoscalers, rollouts, disruption budgets.

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::context::Context;
use super::{FieldChange, Reason, Risk};
use crate::quantity;

/// What a rollout may take away, and add, where a Deployment does not say.
const DEFAULT_SHARE: &str = "25%";

/// Why there is less of something than before.
pub(super) fn dropped(
    id: &ObjectId,
    before: &Value,
    after: &Value,
    fields: &[FieldChange],
    context: &Context<'_>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say =
        |what: &'static str, about: Vec<String>| reasons.extend(Reason::of(Risk::DropsCapacity, what, about));
    match id.kind.as_str() {
        "HorizontalPodAutoscaler" => {
            say("scales to less", lower(before, after, &["/spec/minReplicas", "/spec/maxReplicas"]));
            say("runs fewer pods under the same load", targets(fields));
        }
        "ScaledObject" => {
            say("scales to less", lower(before, after, &["/spec/minReplicaCount", "/spec/maxReplicaCount"]));
        }
        "PodDisruptionBudget" => say("lets a drain take more pods away", loosened(before, after)),
        "ResourceQuota" | "LimitRange" | "NodePool" => say("allows less", quota(id, fields)),
        "CronJob" if is_newly(before, after, "/spec/suspend") => {
            say("no longer runs", vec!["spec.suspend".into()])
        }
        "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" | "Rollout" => {
            say("runs fewer pods", replicas(id, before, after, context));
            say("keeps fewer pods up during a rollout", rollout(id, before, after));
        }
        "DaemonSet" => say("keeps fewer pods up during a rollout", rollout(id, before, after)),
        _ => {}
    }
    reasons
}

fn is_newly(before: &Value, after: &Value, path: &str) -> bool {
    after.pointer(path) == Some(&Value::Bool(true)) && before.pointer(path) != after.pointer(path)
}

fn text(of: Option<&Value>) -> String {
    match of {
        None => "unset".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// `spec.minReplicas 3 -> 2`.
fn arrow(path: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    let name = path.trim_start_matches('/').replace('/', ".");
    format!("{name} {} -> {}", text(before), text(after))
}

fn lower(before: &Value, after: &Value, paths: &[&str]) -> Vec<String> {
    let is_less = |path: &&&str| match (before.pointer(path), after.pointer(path)) {
        (Some(was), Some(is)) => quantity::is_less(is, was) == Some(true),
        // Without a least number it is one.
        (Some(was), None) => path.contains("min") && was.as_u64() > Some(1),
        _ => false,
    };
    let less = paths.iter().filter(is_less);
    less.map(|path| arrow(path, before.pointer(path), after.pointer(path))).collect()
}

/// Targets that are higher, and metrics that are gone.
fn targets(fields: &[FieldChange]) -> Vec<String> {
    let metrics = fields.iter().filter(|f| f.path.starts_with(&["spec", "metrics"]));
    let fewer = metrics.filter(|f| match (&f.old, &f.new) {
        (Some(was), Some(is)) => f.path.has("target") && quantity::is_less(was, is) == Some(true),
        (Some(_), None) => !f.path.has("target"),
        _ => false,
    });
    fewer.map(|f| format!("{} {} -> {}", f.path, text(f.old.as_ref()), text(f.new.as_ref()))).collect()
}

fn quota(id: &ObjectId, fields: &[FieldChange]) -> Vec<String> {
    let section = match id.kind.as_str() {
        "ResourceQuota" => "hard",
        "NodePool" => "limits",
        _ => "max",
    };
    let hits = fields.iter().filter(|f| f.path.has(section)).filter(|f| match (&f.old, &f.new) {
        (Some(was), Some(is)) => quantity::is_less(is, was) == Some(true),
        (None, Some(_)) => true,
        _ => false,
    });
    hits.map(|f| format!("{} {} -> {}", f.path, text(f.old.as_ref()), text(f.new.as_ref()))).collect()
}

fn replicas(id: &ObjectId, before: &Value, after: &Value, context: &Context<'_>) -> Vec<String> {
    let path = "/spec/replicas";
    let (was, is) = (before.pointer(path), after.pointer(path));
    let number = |of: Option<&Value>| of.map_or(Some(1), Value::as_u64);
    let fewer = match (number(was), number(is)) {
        (Some(was), Some(is)) => is < was,
        _ => false,
    };
    // An autoscaler decides where no number is stated.
    if fewer && !(is.is_none() && context.scaled(id).is_some()) {
        vec![arrow(path, was, is)]
    } else {
        Vec::new()
    }
}

/// What a rollout takes away before the new pods are there.
fn rollout(id: &ObjectId, before: &Value, after: &Value) -> Vec<String> {
    let field = if id.kind == "Deployment" || id.kind == "Rollout" { "strategy" } else { "updateStrategy" };
    let path = |below: &str| format!("/spec/{field}/{below}");
    let is = |of: &Value, value: &str| of.pointer(&path("type")).is_some_and(|t| t == value);
    if is(after, "Recreate") && !is(before, "Recreate") {
        return vec![arrow(&path("type"), before.pointer(&path("type")), after.pointer(&path("type")))];
    }
    if is(before, "Recreate") {
        return Vec::new();
    }
    let defaults = |key: &str| match (id.kind.as_str(), key) {
        ("Deployment" | "Rollout", _) => Value::from(DEFAULT_SHARE),
        (_, "maxUnavailable") => Value::from(1),
        _ => Value::from(0),
    };
    let mut out = Vec::new();
    for (key, more_is_worse) in [("maxUnavailable", true), ("maxSurge", false)] {
        let at = path(&format!("rollingUpdate/{key}"));
        let (old, new) = (before.pointer(&at), after.pointer(&at));
        let (was, is) =
            (old.cloned().unwrap_or_else(|| defaults(key)), new.cloned().unwrap_or_else(|| defaults(key)));
        let (less, more) = (quantity::is_less(&is, &was), quantity::is_less(&was, &is));
        // What cannot be compared (a share with a number) is taken for worse, unless it is nothing at all.
        let zero = |v: &Value| *v == 0 || *v == "0%" || *v == "0";
        let worse = match if more_is_worse { more } else { less } {
            Some(worse) => worse,
            None if more_is_worse => !zero(&is),
            None => !zero(&was),
        };
        if was != is && worse {
            out.push(arrow(&at, old, new));
        }
    }
    out
}

fn loosened(before: &Value, after: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for (path, more_is_worse) in [("/spec/maxUnavailable", true), ("/spec/minAvailable", false)] {
        let worse = match (before.pointer(path), after.pointer(path)) {
            (was, is) if was == is => false,
            (Some(was), Some(is)) => {
                let worse =
                    if more_is_worse { quantity::is_less(was, is) } else { quantity::is_less(is, was) };
                worse.unwrap_or(true)
            }
            (None, Some(_)) => more_is_worse,
            (Some(_), None) => !more_is_worse,
            (None, None) => false,
        };
        if worse {
            out.push(arrow(path, before.pointer(path), after.pointer(path)));
        }
    }
    let pods = |of: &Value| of.pointer("/spec/selector").cloned().unwrap_or_default();
    if !super::network::selects_all(&pods(after), &pods(before)) {
        out.push("spec.selector: not all the pods that it covered".to_owned());
    }
    out
}
