//! Checks of roles and of bindings to them.

use kiban_base::names;
use serde_json::Value;

use super::at::{At, field};
use super::cause::{Causes, in_order};
use super::meta::label_selector;
use super::rule::{Check, one_of, rule as r, run};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role.
pub(crate) fn role(at: &At<'_, '_>, out: &mut Causes) {
    for item in at.get("rules").items() {
        policy_rule(&item, true, out);
    }
}

/// A ClusterRole.
pub(crate) fn cluster_role(at: &At<'_, '_>, out: &mut Causes) {
    for item in at.get("rules").items() {
        policy_rule(&item, false, out);
    }
    let aggregation = at.get("aggregationRule");
    if !aggregation.is_set() {
        return;
    }
    let selectors = aggregation.get("clusterRoleSelectors");
    if selectors.is_empty() {
        out.required(selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for selector in selectors.items() {
        label_selector(&selector, out);
    }
}

fn policy_rule(at: &At<'_, '_>, namespaced: bool, out: &mut Causes) {
    run(&[r("verbs", Check::RequiredAs("verbs must contain at least one value"))], at, out);
    let urls = at.get("nonResourceURLs");
    if !urls.is_empty() {
        if namespaced {
            out.invalid(urls, &urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|name| !at.get(name).is_empty()) {
            out.invalid(urls, &urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    run(
        &[
            r("apiGroups", Check::RequiredAs("resource rules must supply at least one api group")),
            r("resources", Check::RequiredAs("resource rules must supply at least one resource")),
        ],
        at,
        out,
    );
}

/// A RoleBinding.
pub(crate) fn role_binding(at: &At<'_, '_>, out: &mut Causes) {
    binding(at, true, &["Role", "ClusterRole"], out);
}

/// A ClusterRoleBinding.
pub(crate) fn cluster_role_binding(at: &At<'_, '_>, out: &mut Causes) {
    binding(at, false, &["ClusterRole"], out);
}

fn binding(at: &At<'_, '_>, namespaced: bool, kinds: &[&str], out: &mut Causes) {
    let role = at.get("roleRef");
    one_of(&role.get("apiGroup"), &[GROUP], out);
    one_of(&role.get("kind"), kinds, out);
    run(&[r("name", Check::RequiredText(names::check_path_segment))], &role, out);
    for subject in at.get("subjects").items() {
        binding_subject(&subject, namespaced, out);
    }
}

fn binding_subject(at: &At<'_, '_>, namespaced: bool, out: &mut Causes) {
    let (name, group, namespace) = (at.get("name"), at.get("apiGroup"), at.get("namespace"));
    if name.is_empty() {
        out.required(name, "");
    }
    match at.get("kind").str() {
        "ServiceAccount" => {
            if !name.is_empty() {
                out.invalid_each(name, name.str(), names::check_dns1123_subdomain(name.str()));
            }
            if !group.is_empty() {
                out.unsupported(group, group.str(), &[""]);
            }
            if !namespaced && namespace.is_empty() {
                out.required(namespace, "");
            }
        }
        "User" => one_of(&group, &[GROUP], out),
        "Group" => one_of(&group, &[GROUP], out),
        other => out.unsupported(at.get("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

/// The role of a binding stays.
pub(crate) fn binding_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let role = at.get("roleRef");
    if field(old, "roleRef") != role.value {
        out.invalid(role, in_order(role.value, &["apiGroup", "kind", "name"]), "cannot change roleRef");
    }
}
