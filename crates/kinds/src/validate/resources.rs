//! Checks of resource names and amounts, and of requests against limits.

use std::collections::BTreeSet;

use kiban_base::names;
use kiban_base::quantity::Quantity;
use serde_json::Value;

use super::at::{At, field};
use super::cause::Causes;
use super::rule::dns_label;

const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whose resources they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A container's.
    Container,
    /// A whole pod's.
    Pod,
}

/// An amount; what is none counts as zero, since the decoder refuses it before.
pub(crate) fn amount(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or_default()
}

/// Limits and requests: names, amounts, and that no request exceeds its limit.
pub(crate) fn requirements(at: &At<'_, '_>, scope: Scope, claims: &BTreeSet<&str>, out: &mut Causes) {
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    for list in [&limits, &requests] {
        for (name, entry) in list.entries() {
            name_of(name, &entry, scope, out);
            quantity(name, &entry, out);
            let is_request = std::ptr::eq(list, &requests);
            if is_request {
                against_limit(name, &entry, &limits, &requests, out);
            }
            huge_pages(name, &entry, out);
        }
    }
    let has = |wanted: fn(&str) -> bool| {
        [&limits, &requests].iter().any(|list| list.entries().any(|(name, _)| wanted(name)))
    };
    if has(is_huge_pages) && !has(|name| name == "cpu" || name == "memory") {
        out.forbidden(at, "HugePages require cpu or memory");
    }
    claim_names(&at.get("claims"), claims, out);
}

fn against_limit(
    name: &str,
    entry: &At<'_, '_>,
    limits: &At<'_, '_>,
    requests: &At<'_, '_>,
    out: &mut Causes,
) {
    let limit = field(limits.value, name);
    let overcommits = overcommit_allowed(name);
    if limit.is_null() {
        if !overcommits {
            out.required(limits, "Limit must be set for non overcommitable resources");
        }
        return;
    }
    let (request, limit) = (amount(entry.value), amount(limit));
    if request != limit && !overcommits {
        out.invalid(requests, request.to_string(), &format!("must be equal to {name} limit of {limit}"));
    } else if request > limit {
        out.invalid(
            requests,
            request.to_string(),
            &format!("must be less than or equal to {name} limit of {limit}"),
        );
    }
}

fn huge_pages(name: &str, entry: &At<'_, '_>, out: &mut Causes) {
    let Some(size) = name.strip_prefix("hugepages-") else { return };
    let (amount, size) = (amount(entry.value), Quantity::parse(size).unwrap_or_default());
    let divides = size.value() > 0 && amount.value() % size.value() == 0;
    if !divides {
        out.invalid(
            entry,
            amount.to_string(),
            &format!("{amount} is not positive integer multiple of {name}"),
        );
    }
}

fn name_of(name: &str, at: &At<'_, '_>, scope: Scope, out: &mut Causes) {
    match scope {
        Scope::Container => container_resource(name, at, out),
        Scope::Pod => {
            let mark = out.len();
            resource(name, at, out);
            if out.len() == mark && !(matches!(name, "cpu" | "memory") || is_huge_pages(name)) {
                out.unsupported(at, name, &["cpu", "hugepages-", "memory"]);
            }
        }
    }
}

/// The name of a resource: qualified, or one that Kubernetes knows.
pub(crate) fn resource(name: &str, at: &At<'_, '_>, out: &mut Causes) {
    let wrong = names::check_qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && !is_standard(name) {
        out.invalid(at, name, "must be a standard resource type or fully qualified");
    }
    out.invalid_each(at, name, wrong);
}

/// The name of a resource that a container may have.
pub(crate) fn container_resource(name: &str, at: &At<'_, '_>, out: &mut Causes) {
    resource(name, at, out);
    if !name.contains('/') {
        if !(matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_pages(name)) {
            out.invalid(at, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        out.invalid(at, name, "doesn't follow extended resource name standard");
    }
}

/// The name of a resource that a quota may limit.
pub(crate) fn quota_resource(name: &str, at: &At<'_, '_>, out: &mut Causes) {
    resource(name, at, out);
    if !name.contains('/') && !is_quota(name) {
        out.invalid(at, name, "must be a standard resource for quota");
    }
}

/// An amount of a resource: not negative, and whole where the resource is counted.
pub(crate) fn quantity(name: &str, at: &At<'_, '_>, out: &mut Causes) {
    let amount = amount(at.value);
    if amount.is_negative() {
        out.invalid(at, amount.to_string(), "must be greater than or equal to 0");
    }
    if is_counted(name) && amount.milli() % 1000 != 0 {
        out.invalid(at, amount.to_string(), "must be an integer");
    }
}

fn claim_names(at: &At<'_, '_>, known: &BTreeSet<&str>, out: &mut Causes) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in at.items() {
        let (name, request) = (claim.get("name").str(), claim.get("request"));
        if name.is_empty() {
            out.required(claim, "");
            continue;
        }
        if seen.contains(name) {
            out.duplicate(claim, name);
        } else {
            let mut key = name.to_string();
            if !request.is_empty() {
                dns_label(&request, out);
                key = format!("{name}/{}", request.str());
            }
            let overlaps = request.is_empty() && seen.iter().any(|k| k.split('/').next() == Some(name));
            if seen.contains(&key) || overlaps {
                out.duplicate(claim, key.as_str());
            }
            seen.insert(key);
        }
        if !known.contains(name) {
            let names: Vec<&str> = known.iter().copied().collect();
            let rest = if names.is_empty() {
                " which is empty".to_string()
            } else {
                format!(": {}", names.join(", "))
            };
            out.not_found_as(
                claim,
                name,
                &format!("must be one of the names in pod.spec.resourceClaims{rest}"),
            );
        }
    }
}

fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_quota_huge_pages(name)
}

/// Whether a quota knows the resource by its plain name.
pub(crate) fn is_quota(name: &str) -> bool {
    STANDARD.contains(&name) && name != "storage" || is_quota_huge_pages(name)
}

fn is_quota_huge_pages(name: &str) -> bool {
    is_huge_pages(name) || name.starts_with("requests.hugepages-")
}

/// Whether a resource is memory pages of a certain size.
pub(crate) fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is counted rather than measured.
fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}"))
}

/// Whether more of a resource may be promised than there is.
pub(crate) fn overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}
