//! Checks of HorizontalPodAutoscalers and PodDisruptionBudgets.

use kiban_base::names;
use kiban_base::quantity::Quantity;
use serde_json::Value;

use super::apps::{at_most_all, int_or_percent};
use super::at::{At, field};
use super::cause::{Causes, in_order};
use super::meta::label_selector;
use super::resources::{amount, container_resource};
use super::rule::{self, Check, Rule, rule as r, run};

const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const METRIC_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const WINDOW_MAX: i64 = 3600;
const PERIOD_MAX: i64 = 1800;
const REFERENCE: &[Rule] = &[
    r("kind", Check::RequiredText(names::check_path_segment)),
    r("name", Check::RequiredText(names::check_path_segment)),
];

/// A HorizontalPodAutoscaler as autoscaling/v2 has it.
pub(crate) fn autoscaler(at: &At<'_, '_>, out: &mut Causes) {
    autoscaler_spec(&at.get("spec"), 1, out);
}

/// An autoscaler in an old one's place; one that scaled to zero may go on.
pub(crate) fn autoscaler_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let had_zero = field(field(old, "spec"), "minReplicas").as_i64() == Some(0);
    autoscaler_spec(&at.get("spec"), i64::from(!had_zero), out);
}

fn autoscaler_spec(at: &At<'_, '_>, lowest: i64, out: &mut Causes) {
    let (min, max) = (at.get("minReplicas"), at.get("maxReplicas"));
    if let Some(number) = min.int()
        && number < lowest
    {
        out.invalid(min, number, &format!("must be greater than or equal to {lowest}"));
    }
    let most = max.int_or_zero();
    if most < 1 {
        out.invalid(max, most, "must be greater than 0");
    }
    if min.int().is_some_and(|min| most < min) {
        out.invalid(max, most, "must be greater than or equal to `minReplicas`");
    }
    run(REFERENCE, &at.get("scaleTargetRef"), out);
    let metrics = at.get("metrics");
    for metric in metrics.items() {
        metric_spec(&metric, out);
    }
    let wakes = metrics.items().any(|m| matches!(m.get("type").str(), "Object" | "External"));
    if min.int() == Some(0) && !wakes {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        out.forbidden(metrics, detail);
    }
    let behavior = at.get("behavior");
    for name in ["scaleUp", "scaleDown"] {
        scaling_rules(&behavior.get(name), out);
    }
}

fn scaling_rules(at: &At<'_, '_>, out: &mut Causes) {
    if !at.is_set() {
        return;
    }
    let window = at.get("stabilizationWindowSeconds");
    if let Some(seconds) = window.int() {
        if seconds < 0 {
            out.invalid(window, seconds, "must be greater than or equal to zero");
        }
        if seconds > WINDOW_MAX {
            out.invalid(window, seconds, &format!("must be less than or equal to {WINDOW_MAX}"));
        }
    }
    let select = at.get("selectPolicy");
    if select.is_set() {
        rule::one_of(&select, &["Disabled", "Max", "Min"], out);
    }
    let policies = at.get("policies");
    if policies.is_empty() {
        out.required(policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        rule::one_of(&policy.get("type"), &["Percent", "Pods"], out);
        for name in ["value", "periodSeconds"] {
            let number = policy.get(name);
            if number.int_or_zero() <= 0 {
                out.invalid(number, number.int_or_zero(), "must be greater than zero");
            }
        }
        let period = policy.get("periodSeconds");
        if period.int_or_zero() > PERIOD_MAX {
            out.invalid(period, period.int_or_zero(), &format!("must be less than or equal to {PERIOD_MAX}"));
        }
    }
    let tolerance = at.get("tolerance");
    if tolerance.is_set() && amount(tolerance.value).is_negative() {
        out.invalid(tolerance, amount(tolerance.value).to_string(), "must be greater than or equal to 0");
    }
}

fn metric_spec(at: &At<'_, '_>, out: &mut Causes) {
    let kind = at.get("type");
    if kind.is_empty() {
        out.required(kind, "must specify a metric source type");
    }
    rule::one_of(&kind, METRIC_TYPES, out);
    let mut present = Vec::new();
    for (_, name) in SOURCES {
        let source = at.get(name);
        if source.is_set() {
            present.push(*name);
            if present.len() == 1 {
                metric_source(name, &source, out);
            }
        }
    }
    let expected = SOURCES.iter().find(|(k, _)| *k == kind.str()).map(|(_, name)| *name);
    match expected {
        Some(name) if !at.get(name).is_set() => {
            out.required(at.get(name), "must populate information for the given metric source");
        }
        Some(_) => {}
        None => rule::one_of(&kind, METRIC_TYPES, out),
    }
    if present.len() != 1 {
        for name in present.iter().filter(|n| Some(**n) != expected) {
            out.forbidden(at.get(name), "must populate the given metric source only");
        }
    }
}

fn metric_source(name: &str, at: &At<'_, '_>, out: &mut Causes) {
    let target = at.get("target");
    match name {
        "object" => {
            run(REFERENCE, &at.get("describedObject"), out);
            metric_name(&at.get("metric"), out);
        }
        "external" | "pods" => metric_name(&at.get("metric"), out),
        _ => {
            let resource = at.get("name");
            if resource.is_empty() {
                out.required(resource, "must specify a resource name");
            } else if name == "containerResource" {
                container_resource(resource.str(), &resource, out);
            }
            let container = at.get("container");
            if name == "containerResource" && container.is_empty() {
                out.required(container, "must specify a container");
            } else if name == "containerResource" {
                rule::dns_label(&container, out);
            }
        }
    }
    metric_target(&target, out);
    target_fits(name, &target, out);
}

fn target_fits(name: &str, at: &At<'_, '_>, out: &mut Causes) {
    let (value, average, share) = (at.get("value"), at.get("averageValue"), at.get("averageUtilization"));
    match name {
        "object" | "external" if !value.is_set() && !average.is_set() => {
            let rest = if name == "object" {
                "value or averageValue"
            } else {
                "value for metric or a per-pod target"
            };
            out.required(average, &format!("must set either a target {rest}"));
        }
        "external" if value.is_set() && average.is_set() => {
            out.forbidden(value, "may not set both a target value for metric and a per-pod target");
        }
        "pods" if !average.is_set() => out.required(average, "must specify a positive target averageValue"),
        "resource" | "containerResource" if !share.is_set() && !average.is_set() => {
            out.required(share, "must set either a target raw value or a target utilization");
        }
        "resource" | "containerResource" if share.is_set() && average.is_set() => {
            out.forbidden(average, "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn metric_name(at: &At<'_, '_>, out: &mut Causes) {
    run(&[r("name", Check::RequiredAs("must specify a metric name"))], at, out);
    run(&[r("name", Check::Text(names::check_path_segment))], at, out);
    label_selector(&at.get("selector"), out);
}

fn metric_target(at: &At<'_, '_>, out: &mut Causes) {
    let kind = at.get("type");
    if kind.is_empty() {
        out.required(kind, "must specify a metric target type");
    }
    if !matches!(kind.str(), "Utilization" | "Value" | "AverageValue") {
        out.invalid(kind, kind.str(), "must be either Utilization, Value, or AverageValue");
    }
    for name in ["value", "averageValue"] {
        let place = at.get(name);
        if place.is_set() && amount(place.value) <= Quantity::ZERO {
            out.invalid(place, amount(place.value).to_string(), "must be positive");
        }
    }
    let share = at.get("averageUtilization");
    if let Some(percent) = share.int()
        && percent < 1
    {
        out.invalid(share, percent, "must be greater than 0");
    }
}

/// The status of an autoscaler.
pub(crate) fn autoscaler_status(_old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    run(&[r("currentReplicas", Check::NotNegative), r("desiredReplicas", Check::NotNegative)], &status, out);
}

/// A Scale, as the scale subresource takes it.
pub(crate) fn scale(at: &At<'_, '_>, out: &mut Causes) {
    run(&[r("spec.replicas", Check::NotNegative)], at, out);
}

/// A PodDisruptionBudget.
pub(crate) fn disruption_budget(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let (min, max) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if min.is_set() && max.is_set() {
        let order = ["minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy"];
        out.invalid(spec, in_order(spec.value, &order), "minAvailable and maxUnavailable cannot be both set");
    }
    for place in [&min, &max] {
        if place.is_set() {
            int_or_percent(place, out);
            at_most_all(place, out);
        }
    }
    label_selector(&spec.get("selector"), out);
    let policy = spec.get("unhealthyPodEvictionPolicy");
    if policy.is_set() {
        rule::one_of(&policy, &["AlwaysAllow", "IfHealthyBudget"], out);
    }
}

/// The status of a PodDisruptionBudget.
pub(crate) fn disruption_budget_status(_old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    run(
        &[
            r("disruptionsAllowed", Check::NotNegative),
            r("currentHealthy", Check::NotNegative),
            r("desiredHealthy", Check::NotNegative),
            r("expectedPods", Check::NotNegative),
        ],
        &status,
        out,
    );
}
