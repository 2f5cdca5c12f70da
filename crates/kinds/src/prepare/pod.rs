//! What a pod gets when it is written: its status, its class of service, its label keys as expressions.

use kiban_base::quantity::Quantity;
use serde_json::{Value, json};

use crate::validate::at::{dig, entries, field, list, text, texts};

/// The class of service of a pod, by which nodes choose whom to end first when memory is short.
pub fn qos_class(spec: &Value) -> &'static str {
    let amount = |resources: &Value, part: &str, name: &str| -> Option<Quantity> {
        Quantity::from_json(field(field(resources, part), name)).ok().filter(|q| *q > Quantity::ZERO)
    };
    let own = field(spec, "resources");
    let has_own = ["requests", "limits"].iter().any(|part| entries(field(own, part)).next().is_some());
    let all: Vec<&Value> = if has_own {
        vec![own]
    } else {
        ["initContainers", "containers"]
            .iter()
            .flat_map(|name| list(field(spec, name)))
            .map(|container| field(container, "resources"))
            .collect()
    };
    let mut asks = false;
    let mut guaranteed = true;
    for resources in &all {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(resources, "requests", name), amount(resources, "limits", name));
            asks |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (asks, guaranteed && !all.is_empty()) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The status of a pod that was just written.
pub(crate) fn create(pod: &mut Value) {
    let class = qos_class(field(pod, "spec"));
    let labels = dig(pod, "metadata.labels").clone();
    if let Some(map) = pod.as_object_mut() {
        map.insert("status".to_string(), json!({"phase": "Pending", "qosClass": class}));
    }
    let spread = pod.pointer_mut("/spec/topologySpreadConstraints").and_then(Value::as_array_mut);
    for constraint in spread.into_iter().flatten() {
        label_keys(constraint, &labels);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = pod.pointer_mut(&format!("/spec/affinity/{name}")) else { continue };
        for (list, term) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", None),
            ("preferredDuringSchedulingIgnoredDuringExecution", Some("podAffinityTerm")),
        ] {
            for item in affinity.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                match term {
                    None => label_keys(item, &labels),
                    Some(term) => item.get_mut(term).into_iter().for_each(|item| label_keys(item, &labels)),
                }
            }
        }
    }
}

/// Keys that name the pod's own labels become expressions with their values.
fn label_keys(term: &mut Value, labels: &Value) {
    let wanted: Vec<(String, &str)> = [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")]
        .iter()
        .flat_map(|(name, operator)| texts(field(term, name)).map(move |key| (key.to_string(), *operator)))
        .collect();
    let Some(selector) = term.get_mut("labelSelector").and_then(Value::as_object_mut) else { return };
    let added: Vec<Value> = wanted
        .into_iter()
        .filter_map(|(key, operator)| {
            let value = labels.get(&key).and_then(Value::as_str)?;
            Some(json!({"key": key, "operator": operator, "values": [value]}))
        })
        .collect();
    if added.is_empty() {
        return;
    }
    let slot = selector.entry("matchExpressions").or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!([]);
    }
    if let Some(expressions) = slot.as_array_mut() {
        expressions.extend(added);
    }
}

/// A pod's node is given by a binding, not by an update.
pub(crate) fn update(old: &Value, new: &mut Value) {
    let old_account = text(dig(old, "spec.serviceAccountName"));
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    // A client that only knows the old name of the service account changes nothing.
    if text(spec.get("serviceAccountName").unwrap_or(&Value::Null)).is_empty() && !old_account.is_empty() {
        spec.insert("serviceAccountName".to_string(), json!(old_account));
        spec.insert("serviceAccount".to_string(), json!(old_account));
    }
}
