//! Defaults of the smaller kinds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::amounts::{copy_missing, resource_list};
use super::fill::Default::{self, Count, Int, Text, TextIfAbsent, With};
use crate::validate::at::{dig, field, text};

type Rows = &'static [(&'static str, Default)];

/// The label by which selectors find a Namespace under its name.
pub(crate) const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// A Namespace.
pub(crate) const NAMESPACE: Rows = &[("", With(name_label)), ("status.phase", Text("Active"))];

fn name_label(namespace: &mut Value) {
    let name = text(dig(namespace, "metadata.name")).to_string();
    let Some(meta) = namespace.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if name.is_empty() {
        return;
    }
    let labels = meta.entry("labels").or_insert(Value::Null);
    if labels.is_null() {
        *labels = json!({});
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(NAME_LABEL.to_string(), json!(name));
    }
}

/// A Node.
pub(crate) const NODE: Rows = &[
    ("status?", With(allocatable)),
    ("status?.capacity?", With(resource_list)),
    ("status?.allocatable?", With(resource_list)),
    ("spec", With(pod_cidrs)),
];

fn allocatable(status: &mut Value) {
    let capacity = field(status, "capacity").clone();
    if let Some(map) = status.as_object_mut()
        && !capacity.is_null()
        && map.get("allocatable").is_none_or(Value::is_null)
    {
        map.insert("allocatable".to_string(), capacity);
    }
}

/// The old field for one block of pod addresses beside the new one for several.
fn pod_cidrs(spec: &mut Value) {
    let Some(map) = spec.as_object_mut() else { return };
    let first = map.get("podCIDRs").and_then(Value::as_array).and_then(|l| l.first()).cloned();
    match (map.get("podCIDR").cloned(), first) {
        (Some(Value::String(one)), None) if !one.is_empty() => {
            map.insert("podCIDRs".to_string(), json!([one]));
        }
        (_, Some(first)) => {
            map.insert("podCIDR".to_string(), first);
        }
        _ => {}
    }
}

/// A Secret: texts of `stringData` become values of `data`.
pub(crate) const SECRET: Rows = &[("type", Text("Opaque")), ("", With(string_data))];

fn string_data(secret: &mut Value) {
    let Some(map) = secret.as_object_mut() else { return };
    let Some(texts) = map.remove("stringData") else { return };
    let Some(texts) = texts.as_object().filter(|texts| !texts.is_empty()) else { return };
    let data = map.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = json!({});
    }
    if let Some(data) = data.as_object_mut() {
        for (key, value) in texts {
            data.insert(key.clone(), json!(STANDARD.encode(text(value))));
        }
    }
}

/// A ResourceQuota.
pub(crate) const RESOURCE_QUOTA: Rows = &[
    ("spec?.hard?", With(resource_list)),
    ("status?.hard?", With(resource_list)),
    ("status?.used?", With(resource_list)),
];

/// A LimitRange.
pub(crate) const LIMIT_RANGE: Rows = &[("spec.limits[]", With(limit))];

fn limit(item: &mut Value) {
    if text(field(item, "type")) == "Container" {
        copy_missing(item, "max", "default");
        copy_missing(item, "default", "defaultRequest");
        copy_missing(item, "min", "defaultRequest");
    }
    for name in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        if let Some(part) = item.get_mut(name) {
            resource_list(part);
        }
    }
}

/// A RoleBinding or a ClusterRoleBinding.
pub(crate) const ROLE_BINDING: Rows =
    &[("roleRef.apiGroup", Text(RBAC_GROUP)), ("subjects[]", With(subject))];

fn subject(subject: &mut Value) {
    let is_person = matches!(text(field(subject, "kind")), "User" | "Group");
    if is_person
        && text(field(subject, "apiGroup")).is_empty()
        && let Some(map) = subject.as_object_mut()
    {
        map.insert("apiGroup".to_string(), json!(RBAC_GROUP));
    }
}

/// A PriorityClass.
pub(crate) const PRIORITY_CLASS: Rows =
    &[("value", Int(0)), ("preemptionPolicy", TextIfAbsent("PreemptLowerPriority"))];

/// A RuntimeClass.
pub(crate) const RUNTIME_CLASS: Rows = &[("overhead?.podFixed?", With(resource_list))];

/// A PodCertificateRequest.
pub(crate) const POD_CERTIFICATE_REQUEST: Rows = &[("spec.maxExpirationSeconds", Int(86400))];

/// A FlowSchema.
pub(crate) const FLOW_SCHEMA: Rows = &[("spec.matchingPrecedence", Count(1000))];

/// A PriorityLevelConfiguration.
pub(crate) const PRIORITY_LEVEL: Rows = &[
    ("spec.limited?.nominalConcurrencyShares", Int(30)),
    ("spec.limited?.lendablePercent", Int(0)),
    ("spec.limited?.limitResponse?.queuing?.queues", Count(64)),
    ("spec.limited?.limitResponse?.queuing?.handSize", Count(8)),
    ("spec.limited?.limitResponse?.queuing?.queueLengthLimit", Count(50)),
    ("spec.exempt?.nominalConcurrencyShares", Int(0)),
    ("spec.exempt?.lendablePercent", Int(0)),
];
