//! HorizontalPodAutoscalers, whose targets come in five sorts, and the Scale subresource.

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::cell::{age, at, cells, items, number, quantity_or_nil, text};
use super::{AGE, Column, NAME, Printer, integer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        group: "autoscaling",
        kind: "HorizontalPodAutoscaler",
        columns: &[
            NAME,
            string("Reference", "Object that is scaled."),
            string("Targets", "Current value and target of each metric."),
            string("MinPods", "Fewest pods."),
            string("MaxPods", "Most pods."),
            string("Replicas", "Pods that the autoscaler last saw."),
            AGE,
        ],
        cells: autoscaler,
    },
    Printer {
        group: "autoscaling",
        kind: "Scale",
        columns: &[
            Column { format: "", ..NAME },
            integer("Desired", "Pods that are wanted."),
            integer("Available", "Pods that exist."),
            AGE,
        ],
        cells: |o, now| {
            cells![
                text(o, "metadata.name"),
                number(o, "spec.replicas"),
                number(o, "status.replicas"),
                age(o, now),
            ]
        },
    },
];

/// How many metrics are shown before the rest is only counted.
const SHOWN: usize = 2;

fn autoscaler(o: &Value, now: Timestamp) -> Vec<Value> {
    let min = at(o, "spec.minReplicas").as_i64().map_or_else(|| "<unset>".to_owned(), |n| n.to_string());
    cells![
        text(o, "metadata.name"),
        format!("{}/{}", text(o, "spec.scaleTargetRef.kind"), text(o, "spec.scaleTargetRef.name")),
        targets(o),
        min,
        number(o, "spec.maxReplicas"),
        number(o, "status.currentReplicas"),
        age(o, now),
    ]
}

fn targets(o: &Value) -> String {
    if let Some(target) = at(o, "spec.targetCPUUtilizationPercentage").as_i64() {
        return targets_of_v1(target, at(o, "status.currentCPUUtilizationPercentage"));
    }
    let metrics = items(o, "spec.metrics");
    let current = items(o, "status.currentMetrics");
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let shown: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, metric)| target(metric, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    let shown = shown.join(", ");
    match metrics.len() {
        count if count > SHOWN => format!("{shown} + {} more...", count - SHOWN),
        _ => shown,
    }
}

/// The one metric that an object of autoscaling/v1 can hold.
fn targets_of_v1(target: i64, current: &Value) -> String {
    let metric = json!({"name": "cpu", "target": {"averageUtilization": target}});
    resource(&metric, &json!({"current": {"averageUtilization": current}}))
}

fn target(metric: &Value, status: &Value) -> String {
    match text(metric, "type") {
        "External" => value_or_average(at(metric, "external"), at(status, "external")),
        "Object" => value_or_average(at(metric, "object"), at(status, "object")),
        "Pods" => {
            let status = at(status, "pods");
            let current = known(status, || quantity_or_nil(at(status, "current.averageValue")));
            format!("{current}/{}", quantity_or_nil(at(metric, "pods.target.averageValue")))
        }
        "Resource" => resource(at(metric, "resource"), at(status, "resource")),
        "ContainerResource" => resource(at(metric, "containerResource"), at(status, "containerResource")),
        _ => "<unknown type>".to_owned(),
    }
}

/// A metric whose target is a value, or one value a pod.
fn value_or_average(metric: &Value, status: &Value) -> String {
    let average = at(metric, "target.averageValue");
    if !average.is_null() {
        let current =
            known(at(status, "current.averageValue"), || quantity_or_nil(at(status, "current.averageValue")));
        return format!("{current}/{} (avg)", quantity_or_nil(average));
    }
    let current = known(status, || quantity_or_nil(at(status, "current.value")));
    format!("{current}/{}", quantity_or_nil(at(metric, "target.value")))
}

/// A metric of what containers use, against their requests or an absolute value.
fn resource(metric: &Value, status: &Value) -> String {
    let name = text(metric, "name");
    let average = at(metric, "target.averageValue");
    if !average.is_null() {
        let current = known(status, || quantity_or_nil(at(status, "current.averageValue")));
        return format!("{name}: {current}/{}", quantity_or_nil(average));
    }
    let percent = |value: &Value, absent: &str| match value.as_i64() {
        Some(n) => format!("{n}%"),
        None => absent.to_owned(),
    };
    let current = percent(at(status, "current.averageUtilization"), "<unknown>");
    format!("{name}: {current}/{}", percent(at(metric, "target.averageUtilization"), "<auto>"))
}

fn known(status: &Value, value: impl FnOnce() -> String) -> String {
    if status.is_null() { "<unknown>".to_owned() } else { value() }
}
