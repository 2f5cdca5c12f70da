//! Defaults of what extends the API.

use serde_json::{Value, json};

use super::fill::Default::{self, All, Int, Object, Text, TextIfAbsent, With};
use crate::validate::at::{field, text};

type Rows = &'static [(&'static str, Default)];

const HOOK: Rows = &[
    ("failurePolicy", TextIfAbsent("Fail")),
    ("matchPolicy", TextIfAbsent("Equivalent")),
    ("namespaceSelector", Object),
    ("objectSelector", Object),
    ("timeoutSeconds", Int(10)),
    ("clientConfig?.service?.port", Int(443)),
    ("rules[].scope", TextIfAbsent("*")),
];

/// A ValidatingWebhookConfiguration.
pub(crate) const VALIDATING: Rows = &[("webhooks[]", All(HOOK))];

/// A MutatingWebhookConfiguration.
pub(crate) const MUTATING: Rows =
    &[("webhooks[]", All(HOOK)), ("webhooks[].reinvocationPolicy", TextIfAbsent("Never"))];

const MATCH: Rows = &[
    ("matchPolicy", TextIfAbsent("Equivalent")),
    ("namespaceSelector", Object),
    ("objectSelector", Object),
    ("resourceRules[].scope", TextIfAbsent("*")),
    ("excludeResourceRules[].scope", TextIfAbsent("*")),
];

/// A ValidatingAdmissionPolicy.
pub(crate) const POLICY: Rows =
    &[("spec.failurePolicy", TextIfAbsent("Fail")), ("spec.matchConstraints?", All(MATCH))];

/// A MutatingAdmissionPolicy.
pub(crate) const MUTATING_POLICY: Rows = &[
    ("spec.failurePolicy", TextIfAbsent("Fail")),
    ("spec.matchConstraints?", All(MATCH)),
    ("spec.reinvocationPolicy", Text("Never")),
];

/// A binding of either policy.
pub(crate) const POLICY_BINDING: Rows = &[("spec.matchResources?", All(MATCH))];

/// A CustomResourceDefinition.
pub(crate) const DEFINITION: Rows = &[
    ("spec.names", With(names)),
    ("spec", With(conversion)),
    ("spec.conversion?.webhook?.clientConfig?.service?.port", Int(443)),
];

fn names(names: &mut Value) {
    let kind = text(field(names, "kind")).to_string();
    let Some(map) = names.as_object_mut() else { return };
    let mut set = |name: &str, value: String| {
        let is_unset = map.get(name).is_none_or(|v| v.is_null() || v == "");
        if is_unset && !kind.is_empty() {
            map.insert(name.to_string(), json!(value));
        }
    };
    set("singular", kind.to_lowercase());
    set("listKind", format!("{kind}List"));
}

fn conversion(spec: &mut Value) {
    if let Some(map) = spec.as_object_mut()
        && map.get("conversion").is_none_or(Value::is_null)
    {
        map.insert("conversion".to_string(), json!({"strategy": "None"}));
    }
}

/// An APIService.
pub(crate) const API_SERVICE: Rows = &[("spec.service?.port", Int(443))];
