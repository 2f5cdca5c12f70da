//! Checks of LimitRanges and ResourceQuotas.

use std::collections::BTreeSet;

use kiban_base::names;
use kiban_base::quantity::Quantity;
use serde_json::Value;

use super::at::{At, field, list, texts};
use super::cause::Causes;
use super::resources::{
    amount, container_resource, is_quota, overcommit_allowed, quantity, quota_resource, resource,
};

const LIMIT_TYPES: &[&str] = &["Pod", "Container", "PersistentVolumeClaim"];
const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
const POD_RESOURCES: &[&str] = &[
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

/// A LimitRange.
pub(crate) fn limit_range(at: &At<'_, '_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    let spec = at.get("spec");
    for limit in spec.get("limits").items() {
        let kind = limit.get("type");
        let wrong = names::check_qualified_name(kind.str());
        if wrong.is_empty() && !kind.str().contains('/') && !LIMIT_TYPES.contains(&kind.str()) {
            out.invalid(kind, kind.str(), "must be a standard limit type or fully qualified");
        }
        out.invalid_each(kind, kind.str(), wrong);
        if !seen.insert(kind.str()) {
            out.duplicate(kind, kind.str());
        }
        limit_names(&limit, out);
        let storage = |name| !field(field(limit.value, name), "storage").is_null();
        if kind.str() == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            out.required(limit.path.child("limits"), detail);
        }
        limit_amounts(&limit, out);
    }
}

fn limit_names(limit: &At<'_, '_>, out: &mut Causes) {
    let is_pod = limit.get("type").str() == "Pod";
    let of_containers = matches!(limit.get("type").str(), "Pod" | "Container");
    for name in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let part = limit.get(name);
        if is_pod && name.starts_with("default") {
            if !part.is_empty() {
                out.forbidden(part, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (key, place) in part.entries() {
            if of_containers { container_resource(key, &place, out) } else { resource(key, &place, out) }
        }
    }
}

fn limit_amounts(limit: &At<'_, '_>, out: &mut Causes) {
    let parts = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let keys: BTreeSet<&str> = parts
        .iter()
        .flat_map(|part| super::at::entries(field(limit.value, part)).map(|(key, _)| key))
        .collect();
    for key in keys {
        let get = |part: &str| -> Option<Quantity> {
            let value = field(field(limit.value, part), key);
            (!value.is_null()).then(|| amount(value))
        };
        let (max, min, default, request) = (get("max"), get("min"), get("default"), get("defaultRequest"));
        let mut ordered = |part: &str,
                           low: (&str, Option<Quantity>),
                           high: (&str, Option<Quantity>),
                           shown: Option<Quantity>| {
            if let (Some(l), Some(h), Some(shown)) = (low.1, high.1, shown)
                && l > h
            {
                let detail = format!("{} value {l} is greater than {} value {h}", low.0, high.0);
                out.invalid(limit.get(part).path.key(key), shown.to_string(), &detail);
            }
        };
        ordered("min", ("min", min), ("max", max), min);
        ordered("defaultRequest", ("min", min), ("default request", request), request);
        ordered("defaultRequest", ("default request", request), ("max", max), request);
        ordered("defaultRequest", ("default request", request), ("default limit", default), request);
        ordered("default", ("min", min), ("default", default), min);
        ordered("default", ("default", default), ("max", max), max);
        ratio(limit, key, get("maxLimitRequestRatio"), min, max, out);
        if let (Some(default), Some(request)) = (default, request)
            && !overcommit_allowed(key)
            && default != request
        {
            let detail =
                format!("default value {default} must equal to defaultRequest value {request} in {key}");
            out.invalid(limit.get("defaultRequest").path.key(key), request.to_string(), &detail);
        }
    }
}

fn ratio(
    limit: &At<'_, '_>,
    key: &str,
    ratio: Option<Quantity>,
    min: Option<Quantity>,
    max: Option<Quantity>,
    out: &mut Causes,
) {
    let Some(ratio) = ratio else { return };
    let part = limit.get("maxLimitRequestRatio");
    let place = part.path.key(key);
    if ratio < Quantity::from_int(1) {
        out.invalid(place, ratio.to_string(), &format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.as_f64() / min.as_f64();
        if ratio.as_f64() > most {
            let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
            out.invalid(place, ratio.to_string(), &detail);
        }
    }
}

fn hard(at: &At<'_, '_>, out: &mut Causes) {
    for (key, place) in at.entries() {
        quota_resource(key, &place, out);
        quantity(key, &place, out);
    }
}

/// A ResourceQuota.
pub(crate) fn resource_quota(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    hard(&spec.get("hard"), out);
    scopes(&spec, out);
    scope_selector(&spec, out);
    quota_status(&Value::Null, at, out);
}

/// The status of a ResourceQuota.
pub(crate) fn quota_status(_old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    hard(&status.get("hard"), out);
    hard(&status.get("used"), out);
}

/// The scopes of a quota do not change.
pub(crate) fn resource_quota_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let scopes = spec.get("scopes");
    let set = |value| -> BTreeSet<String> { texts(value).map(str::to_string).collect() };
    if set(field(field(old, "spec"), "scopes")) != set(scopes.value) {
        out.invalid(scopes, &scopes, "field is immutable");
    }
}

fn scope_fits(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => POD_RESOURCES.contains(&resource),
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn unfit<'v>(spec: &At<'v, '_>, scope: &'v str) -> impl Iterator<Item = &'v str> {
    super::at::entries(field(spec.value, "hard"))
        .map(|(key, _)| key)
        .filter(move |key| is_quota(key) && !scope_fits(scope, key))
}

fn conflicts(scopes: &BTreeSet<&str>) -> usize {
    [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")]
        .iter()
        .filter(|(a, b)| scopes.contains(a) && scopes.contains(b))
        .count()
}

fn scopes(spec: &At<'_, '_>, out: &mut Causes) {
    let at = spec.get("scopes");
    for scope in texts(at.value) {
        if !SCOPES.contains(&scope) {
            out.invalid(at, &at, "unsupported scope");
        }
        for _ in unfit(spec, scope) {
            out.invalid(at, &at, "unsupported scope applied to resource");
        }
    }
    for _ in 0..conflicts(&texts(at.value).collect()) {
        out.invalid(at, &at, "conflicting scopes");
    }
}

fn scope_selector(spec: &At<'_, '_>, out: &mut Causes) {
    let selector = spec.get("scopeSelector");
    let at = selector.get("matchExpressions");
    for expression in list(at.value) {
        let get = |name| At { value: field(expression, name), path: at.path.child(name) };
        let (scope, operator, values) = (get("scopeName"), get("operator"), get("values"));
        if !SCOPES.contains(&scope.str()) {
            out.invalid(scope, scope.str(), "unsupported scope");
        }
        for _ in unfit(spec, scope.str()) {
            out.invalid(at, &selector, "unsupported scope applied to resource");
        }
        let exists_only = !matches!(scope.str(), "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope.str());
        if exists_only && operator.str() != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            out.invalid(operator, operator.str(), detail);
        }
        match operator.str() {
            "In" | "NotIn" if values.is_empty() => {
                out.required(
                    values,
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail =
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                out.invalid(values, &values, detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => out.invalid(operator, other, "not a valid selector operator"),
        }
    }
    let named: BTreeSet<&str> =
        list(at.value).iter().map(|e| super::at::text(field(e, "scopeName"))).collect();
    for _ in 0..conflicts(&named) {
        out.invalid(at, &spec.get("scopes"), "conflicting scopes");
    }
}
