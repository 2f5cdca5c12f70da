//! Defaults of workloads and of what scales them.

use serde_json::{Value, json};

use super::amounts::amount;
use super::claims::CLAIM;
use super::fill::Default::{self, All, Bool, Int, Object, Text, TextIfAbsent, With};
use super::pod::SPEC;
use crate::validate::at::{dig, field, list, text};

type Rows = &'static [(&'static str, Default)];

/// A PodTemplate.
pub(crate) const POD_TEMPLATE: Rows = &[("template.spec", All(SPEC))];

/// A Deployment.
pub(crate) const DEPLOYMENT: Rows = &[
    ("spec.replicas", Int(1)),
    ("spec.strategy.type", Text("RollingUpdate")),
    ("spec.strategy", With(rolling_update)),
    ("spec.revisionHistoryLimit", Int(10)),
    ("spec.progressDeadlineSeconds", Int(600)),
    ("spec.template.spec", All(SPEC)),
    ("spec.template.metadata", Object),
];

fn rolling_update(strategy: &mut Value) {
    if text(field(strategy, "type")) == "RollingUpdate" {
        let rows = [
            ("rollingUpdate.maxUnavailable", TextIfAbsent("25%")),
            ("rollingUpdate.maxSurge", TextIfAbsent("25%")),
        ];
        super::fill::fill(strategy, &rows);
    }
}

/// A ReplicaSet.
pub(crate) const REPLICA_SET: Rows =
    &[("spec.replicas", Int(1)), ("spec.template.spec", All(SPEC)), ("spec.template.metadata", Object)];

/// A ReplicationController, which selects by its template's labels unless it says otherwise.
pub(crate) const REPLICATION_CONTROLLER: Rows = &[
    ("spec.replicas", Int(1)),
    ("", With(controller_labels)),
    ("spec.template?.spec", All(SPEC)),
    ("spec.template?.metadata", Object),
];

fn controller_labels(controller: &mut Value) {
    let labels = dig(controller, "spec.template.metadata.labels").clone();
    if !labels.is_object() {
        return;
    }
    for (part, name) in [("spec", "selector"), ("metadata", "labels")] {
        copy_if_empty(controller, part, name, &labels);
    }
}

fn copy_if_empty(object: &mut Value, part: &str, name: &str, labels: &Value) {
    if let Some(map) = object.get_mut(part).and_then(Value::as_object_mut)
        && map.get(name).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty)
    {
        map.insert(name.to_string(), labels.clone());
    }
}

/// A DaemonSet.
pub(crate) const DAEMON_SET: Rows = &[
    ("spec.updateStrategy.type", Text("RollingUpdate")),
    ("spec.updateStrategy", With(daemon_rolling_update)),
    ("spec.revisionHistoryLimit", Int(10)),
    ("spec.template.spec", All(SPEC)),
    ("spec.template.metadata", Object),
];

fn daemon_rolling_update(strategy: &mut Value) {
    if text(field(strategy, "type")) == "RollingUpdate" {
        let rows = [("rollingUpdate.maxUnavailable", Int(1)), ("rollingUpdate.maxSurge", Int(0))];
        super::fill::fill(strategy, &rows);
    }
}

/// A StatefulSet.
pub(crate) const STATEFUL_SET: Rows = &[
    ("spec.podManagementPolicy", Text("OrderedReady")),
    ("spec.updateStrategy", With(stateful_strategy)),
    ("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", Text("Retain")),
    ("spec.persistentVolumeClaimRetentionPolicy.whenScaled", Text("Retain")),
    ("spec.replicas", Int(1)),
    ("spec.revisionHistoryLimit", Int(10)),
    ("spec.template.spec", All(SPEC)),
    ("spec.template.metadata", Object),
    ("spec.volumeClaimTemplates[]", All(CLAIM)),
    ("spec.volumeClaimTemplates[].apiVersion", Text("v1")),
    ("spec.volumeClaimTemplates[].kind", Text("PersistentVolumeClaim")),
];

fn stateful_strategy(strategy: &mut Value) {
    if text(field(strategy, "type")).is_empty() {
        super::fill::fill(strategy, &[("type", Text("RollingUpdate")), ("rollingUpdate", Object)]);
    }
    if text(field(strategy, "type")) == "RollingUpdate" {
        let rows = [("rollingUpdate?.partition", Int(0)), ("rollingUpdate?.maxUnavailable", Int(1))];
        super::fill::fill(strategy, &rows);
    }
}

/// A Job.
pub(crate) const JOB: Rows = &[
    ("spec", With(job_counts)),
    ("", With(job_labels)),
    ("spec.completionMode", TextIfAbsent("NonIndexed")),
    ("spec.suspend", Bool(false)),
    ("spec.podFailurePolicy?.rules[].onPodConditions[].status", Text("True")),
    ("spec.manualSelector", Bool(false)),
    ("spec.template.spec", All(SPEC)),
    ("spec.template.metadata", Object),
];

fn job_counts(spec: &mut Value) {
    let is_unset = |name: &str| field(spec, name).is_null();
    let has_neither = is_unset("completions") && is_unset("parallelism");
    let per_index = !is_unset("backoffLimitPerIndex");
    let has_policy = !is_unset("podFailurePolicy");
    if has_neither {
        super::fill::fill(spec, &[("completions", Int(1))]);
    }
    let limit = if per_index { i64::from(i32::MAX) } else { 6 };
    let replacement = if has_policy { "Failed" } else { "TerminatingOrFailed" };
    let rows = [
        ("parallelism", Int(1)),
        ("backoffLimit", Int(limit)),
        ("podReplacementPolicy", TextIfAbsent(replacement)),
    ];
    super::fill::fill(spec, &rows);
}

fn job_labels(job: &mut Value) {
    let labels = dig(job, "spec.template.metadata.labels").clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        copy_if_empty(job, "metadata", "labels", &labels);
    }
}

/// A CronJob. The Jobs it makes get their own defaults when they are made.
pub(crate) const CRON_JOB: Rows = &[
    ("spec.concurrencyPolicy", Text("Allow")),
    ("spec.suspend", Bool(false)),
    ("spec.successfulJobsHistoryLimit", Int(3)),
    ("spec.failedJobsHistoryLimit", Int(1)),
    ("spec.jobTemplate.spec.template.spec", All(SPEC)),
    ("spec.jobTemplate.metadata", Object),
    ("spec.jobTemplate.spec.template.metadata", Object),
];

/// A HorizontalPodAutoscaler as autoscaling/v2 has it.
pub(crate) const AUTOSCALER: Rows = &[
    ("spec.minReplicas", Int(1)),
    ("spec", With(default_metric)),
    ("spec.behavior?", With(behavior)),
    ("spec.metrics[].resource?.target?", All(TARGET)),
    ("spec.metrics[].containerResource?.target?", All(TARGET)),
    ("spec.metrics[].pods?.target?", All(TARGET)),
    ("spec.metrics[].object?.target?", All(TARGET)),
    ("spec.metrics[].external?.target?", All(TARGET)),
];

const TARGET: Rows = &[("value?", With(amount)), ("averageValue?", With(amount))];

fn default_metric(spec: &mut Value) {
    if !list(field(spec, "metrics")).is_empty() {
        return;
    }
    if let Some(map) = spec.as_object_mut() {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        map.insert("metrics".to_string(), json!([metric]));
    }
}

fn behavior(behavior: &mut Value) {
    let rules = [
        (
            "scaleUp",
            json!({
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [
                    {"type": "Pods", "value": 4, "periodSeconds": 15},
                    {"type": "Percent", "value": 100, "periodSeconds": 15},
                ],
            }),
        ),
        (
            "scaleDown",
            json!({
                "selectPolicy": "Max",
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
            }),
        ),
    ];
    let Some(map) = behavior.as_object_mut() else { return };
    for (name, mut usual) in rules {
        if let (Some(own), Some(usual)) = (map.get(name).and_then(Value::as_object), usual.as_object_mut()) {
            for (key, value) in own.iter().filter(|(_, value)| !value.is_null()) {
                usual.insert(key.clone(), value.clone());
            }
        }
        map.insert(name.to_string(), usual);
    }
}
