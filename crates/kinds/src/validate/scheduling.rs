//! Checks of where pods may run: affinities, tolerations, spread constraints, taints.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::names;
use serde_json::Value;

use super::at::{At, entries, field, list, text, texts};
use super::cause::Causes;
use super::meta::label_selector;
use super::rule::{self, dns_label, qualified_name};
use super::same::same;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const NO_EMPTY_KEY: &str = "can not be empty";
const NO_SELECTOR: &str = "must not be specified when labelSelector is not set";
const IN_BOTH: &str = "exists in both matchLabelKeys and labelSelector";

/// A pod's affinities.
pub(crate) fn affinity(at: &At<'_, '_>, out: &mut Causes) {
    let node = at.get("nodeAffinity");
    let required = node.get("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        node_selector(&required, out);
    }
    for term in node.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
        weight(&term, out);
        node_term(&term.get("preference"), false, out);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let pods = at.get(name);
        for term in pods.get("requiredDuringSchedulingIgnoredDuringExecution").items() {
            pod_term(&term, out);
        }
        for term in pods.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
            weight(&term, out);
            pod_term(&term.get("podAffinityTerm"), out);
        }
    }
}

fn weight(at: &At<'_, '_>, out: &mut Causes) {
    let weight = at.get("weight");
    if !(1..=100).contains(&weight.int_or_zero()) {
        out.invalid(weight, weight.int_or_zero(), "must be in the range 1-100");
    }
}

/// Terms, one of which a node has to meet.
pub(crate) fn node_selector(at: &At<'_, '_>, out: &mut Causes) {
    let terms = at.get("nodeSelectorTerms");
    if terms.is_empty() {
        return out.required(terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_term(&term, true, out);
    }
}

fn node_term(at: &At<'_, '_>, check_values: bool, out: &mut Causes) {
    for expression in at.get("matchExpressions").items() {
        node_requirement(&expression, check_values, out);
    }
    for expression in at.get("matchFields").items() {
        node_field(&expression, out);
    }
}

fn node_requirement(at: &At<'_, '_>, check_values: bool, out: &mut Causes) {
    let (operator, values) = (at.get("operator"), at.get("values"));
    match operator.str() {
        "In" | "NotIn" if values.is_empty() => {
            out.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            out.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            out.required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => out.invalid(operator, other, "not a valid selector operator"),
    }
    qualified_name(&at.get("key"), out);
    if check_values {
        for value in values.items() {
            out.invalid_each(value, value.str(), names::check_label_value(value.str()));
        }
    }
}

fn node_field(at: &At<'_, '_>, out: &mut Causes) {
    let (operator, values, key) = (at.get("operator"), at.get("values"), at.get("key"));
    match operator.str() {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            out.required(values, detail);
        }
        "In" | "NotIn" => {}
        other => out.invalid(operator, other, "not a valid selector operator"),
    }
    if key.str() != "metadata.name" {
        return out.invalid(key, key.str(), "not a valid field selector key");
    }
    for value in values.items() {
        rule::dns_subdomain(&value, out);
    }
}

fn pod_term(at: &At<'_, '_>, out: &mut Causes) {
    label_selector(&at.get("labelSelector"), out);
    label_selector(&at.get("namespaceSelector"), out);
    for name in at.get("namespaces").items() {
        dns_label(&At { value: name.value, path: at.path.child("namespace") }, out);
    }
    match_label_keys(at, out);
    let key = at.get("topologyKey");
    if key.is_empty() {
        out.required(key, NO_EMPTY_KEY);
    }
    // An empty key is told three times, as upstream does (pkg/apis/core/validation, `validatePodAffinityTerm`):
    // its causes are not made fewer, only the message is.
    qualified_name(&key, out);
}

/// Labels by whose values siblings are told apart, for affinities and for spreading.
fn match_label_keys(at: &At<'_, '_>, out: &mut Causes) {
    let (wanted, unwanted, selector) =
        (at.get("matchLabelKeys"), at.get("mismatchLabelKeys"), at.get("labelSelector"));
    for keys in [&wanted, &unwanted] {
        if keys.is_empty() {
        } else if !selector.is_set() {
            out.forbidden(keys, NO_SELECTOR);
        } else {
            for key in keys.items() {
                qualified_name(&key, out);
            }
        }
    }
    // The server adds an expression for each key, so a key of the user's own shows as the second one.
    let mut selected: BTreeSet<&str> =
        entries(field(selector.value, "matchLabels")).map(|(k, _)| k).collect();
    for expression in list(field(selector.value, "matchExpressions")) {
        let key = text(field(expression, "key"));
        if selected.contains(key)
            && let Some(index) = texts(wanted.value).position(|k| k == key)
        {
            out.invalid(at.path.index(index), key, IN_BOTH);
        }
        selected.insert(key);
    }
    for key in wanted.items() {
        if texts(unwanted.value).any(|other| other == key.str()) {
            out.invalid(key, key.str(), "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// How a pod's siblings spread over topologies.
pub(crate) fn spread(at: &At<'_, '_>, out: &mut Causes) {
    for (index, constraint) in at.items().enumerate() {
        let skew = constraint.get("maxSkew");
        if skew.int_or_zero() <= 0 {
            out.invalid(skew, skew.int_or_zero(), "must be greater than zero");
        }
        let (key, action) = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"));
        if key.is_empty() {
            out.required(key, NO_EMPTY_KEY);
        }
        rule::one_of(&action, &["DoNotSchedule", "ScheduleAnyway"], out);
        let repeated = list(at.value).iter().skip(index + 1).any(|other| {
            text(field(other, "topologyKey")) == key.str()
                && text(field(other, "whenUnsatisfiable")) == action.str()
        });
        if repeated {
            let place = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            out.duplicate(place, format!("{{{}, {}}}", key.str(), action.str()));
        }
        min_domains(&constraint, action.str(), out);
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.get(name);
            if policy.is_set() {
                rule::one_of(&policy, &["Honor", "Ignore"], out);
            }
        }
        match_label_keys(&constraint, out);
        label_selector(&constraint.get("labelSelector"), out);
    }
}

fn min_domains(at: &At<'_, '_>, action: &str, out: &mut Causes) {
    let domains = at.get("minDomains");
    let Some(number) = domains.int() else { return };
    if number <= 0 {
        out.invalid(domains, number, "must be greater than zero");
    }
    if action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        out.invalid(domains, number, &detail);
    }
}

/// A pod's tolerations.
pub(crate) fn tolerations(at: &At<'_, '_>, out: &mut Causes) {
    for toleration in at.items() {
        let (key, operator) = (toleration.get("key"), toleration.get("operator"));
        let (value, effect) = (toleration.get("value"), toleration.get("effect"));
        if !key.is_empty() {
            qualified_name(&key, out);
        } else if operator.str() != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            out.invalid(operator, operator.str(), detail);
        }
        if toleration.get("tolerationSeconds").is_set() && effect.str() != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            out.invalid(effect, effect.str(), detail);
        }
        match operator.str() {
            "Equal" | "" => {
                let wrong = names::check_label_value(value.str());
                if !wrong.is_empty() {
                    out.invalid(operator, value.str(), &wrong.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    out.invalid(operator, value.str(), "value must be empty when `operator` is 'Exists'");
                }
            }
            "Lt" | "Gt" => {
                if value.str().parse::<i64>().is_err() {
                    let detail = "value must be a valid integer when operator is 'Lt' or 'Gt'";
                    out.invalid(value, value.str(), detail);
                }
            }
            other => out.unsupported(operator, other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            rule::one_of(&effect, EFFECTS, out);
        }
    }
}

/// On a pod that runs, tolerations may come and their seconds may change; nothing else.
pub(crate) fn only_added_tolerations(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let without_seconds = |toleration: &Value| {
        let mut copy = toleration.clone();
        if let Some(map) = copy.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        copy
    };
    let now: Vec<Value> = list(at.value).iter().map(without_seconds).collect();
    if list(old).iter().any(|toleration| !now.iter().any(|n| same(n, &without_seconds(toleration)))) {
        return out.forbidden(at, "existing toleration can not be modified except its tolerationSeconds");
    }
    tolerations(at, out);
}

/// Gates that hold a pod back: qualified names, each once.
pub(crate) fn scheduling_gates(at: &At<'_, '_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for gate in at.items() {
        let name = gate.get("name");
        out.invalid_each(gate, name.str(), names::check_qualified_name(name.str()));
        if !seen.insert(name.str()) {
            out.duplicate(gate, name.str());
        }
    }
}

/// Gates only ever open.
pub(crate) fn only_deleted_gates(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let before: BTreeSet<&str> = list(old).iter().map(|gate| text(field(gate, "name"))).collect();
    for gate in at.items() {
        let name = gate.get("name");
        if !before.contains(name.str()) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", name.str());
            out.forbidden(name, &detail);
        }
    }
}

/// A node's taints; causes name `metadata.taints`, as upstream's do.
pub(crate) fn taints(at: &At<'_, '_>, out: &mut Causes) {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for taint in at.items() {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        qualified_name(&key, out);
        let wrong = names::check_label_value(value.str());
        if !wrong.is_empty() {
            out.invalid(value, value.str(), &wrong.join(";"));
        }
        rule::must_be(&effect, EFFECTS, out);
        if !seen.entry(effect.str()).or_default().insert(key.str()) {
            out.duplicate_as(taint, &taint, "taints must be unique by key and effect pair");
        }
    }
}
