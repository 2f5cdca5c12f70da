//! Checks of what extends the API: webhooks, custom resource definitions, API services.

use std::collections::BTreeSet;

use kiban_base::names;
use serde_json::Value;

use super::at::{At, dig, field, text, texts};
use super::cause::Causes;
use super::meta::{immutable_paths, label_selector};
use super::rule::{self, Check, Rule, rule as r, run};
use crate::custom;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const WEBHOOK: &[Rule] = &[
    r("failurePolicy", Check::MayBe(&["Fail", "Ignore"])),
    r("matchPolicy", Check::MayBe(&["Equivalent", "Exact"])),
];
const MATCH_CONDITIONS_MAX: usize = 64;

/// A ValidatingWebhookConfiguration.
pub(crate) fn validating(at: &At<'_, '_>, out: &mut Causes) {
    webhooks(at, false, out);
}

/// A MutatingWebhookConfiguration.
pub(crate) fn mutating(at: &At<'_, '_>, out: &mut Causes) {
    webhooks(at, true, out);
}

fn webhooks(at: &At<'_, '_>, may_reinvoke: bool, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for hook in at.get("webhooks").items() {
        let name = hook.get("name");
        qualified(&name, out);
        for item in hook.get("rules").items() {
            operations(&item, out);
        }
        run(WEBHOOK, &hook, out);
        let effects = hook.get("sideEffects");
        if effects.is_set() {
            rule::one_of(&effects, &["None", "NoneOnDryRun"], out);
        } else {
            out.required(effects, "must specify one of None, NoneOnDryRun");
        }
        let seconds = hook.get("timeoutSeconds");
        if seconds.int().is_some_and(|s| !(1..=30).contains(&s)) {
            let detail = "the timeout value must be between 1 and 30 seconds";
            out.invalid(seconds, &seconds, detail);
        }
        label_selector(&hook.get("namespaceSelector"), out);
        label_selector(&hook.get("objectSelector"), out);
        if may_reinvoke {
            run(&[r("reinvocationPolicy", Check::MayBe(&["IfNeeded", "Never"]))], &hook, out);
        }
        client_config(&hook.get("clientConfig"), out);
        match_conditions(&hook.get("matchConditions"), out);
        review_versions(&hook.get("admissionReviewVersions"), out);
        if !name.is_empty() && !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
    }
}

fn qualified(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        return out.required(at, "");
    }
    let wrong = names::check_dns1123_subdomain(at.str());
    if !wrong.is_empty() {
        out.invalid(at, at.str(), &wrong.join(","));
    } else if at.str().split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        out.invalid(at, at.str(), detail);
    }
}

fn operations(at: &At<'_, '_>, out: &mut Causes) {
    let operations = at.get("operations");
    if operations.is_empty() {
        out.required(operations, "");
    }
    only_star(&operations, "operations", out);
    for operation in operations.items() {
        rule::one_of(&operation, OPERATIONS, out);
    }
    for name in ["apiGroups", "apiVersions", "resources"] {
        let list = at.get(name);
        if list.is_empty() {
            out.required(list, "");
        }
        if name != "resources" {
            only_star(&list, if name == "apiGroups" { "API groups" } else { "API versions" }, out);
        }
        for item in list.items() {
            if item.is_empty() && name != "apiGroups" {
                out.required(item, "");
            }
        }
    }
    resource_names(&at.get("resources"), out);
    let scope = at.get("scope");
    if scope.is_set() {
        rule::one_of(&scope, &["*", "Cluster", "Namespaced"], out);
    }
}

fn only_star(at: &At<'_, '_>, what: &str, out: &mut Causes) {
    if at.len() > 1 && texts(at.value).any(|item| item == "*") {
        out.invalid(at, at, &format!("if '*' is present, must not specify other {what}"));
    }
}

fn resource_names(at: &At<'_, '_>, out: &mut Causes) {
    let all: BTreeSet<&str> = texts(at.value).collect();
    for item in at.items() {
        if item.str() == "*/*" && at.len() > 1 {
            return out.invalid(at, at, "if '*/*' is present, must not specify other resources");
        }
        if let Some((resource, sub)) = item.str().split_once('/') {
            let covered = format!("*/{sub}");
            if resource != "*"
                && sub != "*"
                && (all.contains(format!("{resource}/*").as_str()) || all.contains(covered.as_str()))
            {
                let detail = format!(
                    "if '{}' is present, must not specify {}",
                    if all.contains(covered.as_str()) { covered } else { format!("{resource}/*") },
                    item.str()
                );
                out.invalid(item, item.str(), &detail);
            }
        } else if item.str() == "*" && all.iter().any(|r| !r.contains('/') && *r != "*") {
            let detail = "if '*' is present, must not specify other resources without subresources";
            out.invalid(at, at, detail);
        }
    }
}

fn client_config(at: &At<'_, '_>, out: &mut Causes) {
    let (url, service) = (at.get("url"), at.get("service"));
    match (url.is_set(), service.is_set()) {
        (true, true) | (false, false) => out.required(at, "exactly one of url or service is required"),
        (true, false) => webhook_url(&url, out),
        (false, true) => {
            run(
                &[
                    r("name", Check::RequiredAs("service name is required")),
                    r("namespace", Check::RequiredAs("service namespace is required")),
                ],
                &service,
                out,
            );
            let port = service.get("port");
            if port.int().is_some_and(|p| !names::is_port_number(p)) {
                out.invalid(port, &port, "port is not valid: must be between 1 and 65535, inclusive");
            }
            let path = service.get("path");
            if path.is_set() && !path.str().starts_with('/') {
                out.invalid(path, path.str(), "must start with a '/'");
            }
        }
    }
}

fn webhook_url(at: &At<'_, '_>, out: &mut Causes) {
    const FORM: &str = "; desired format: https://host[/path]";
    let url = at.str();
    let Some(rest) = url.strip_prefix("https://") else {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        return out.invalid(at, scheme, &detail);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.is_empty() {
        out.invalid(at, authority, &format!("host must be specified{FORM}"));
    }
    if let Some((user, _)) = authority.split_once('@') {
        out.invalid(at, user, &format!("user information is not permitted in the URL{FORM}"));
    }
    for (mark, what) in [('#', "fragments are"), ('?', "query parameters are")] {
        if let Some((_, part)) = rest.split_once(mark) {
            out.invalid(at, part, &format!("{what} not permitted in the URL{FORM}"));
        }
    }
}

fn match_conditions(at: &At<'_, '_>, out: &mut Causes) {
    if at.len() > MATCH_CONDITIONS_MAX {
        out.too_many(at, at.len(), MATCH_CONDITIONS_MAX);
    }
    let mut seen = BTreeSet::new();
    for condition in at.items() {
        let (name, expression) = (condition.get("name"), condition.get("expression"));
        if expression.str().trim().is_empty() {
            out.required(expression, "");
        }
        if name.is_empty() {
            out.required(name, "");
            continue;
        }
        out.invalid_each(name, name.str(), names::check_qualified_name(name.str()));
        if !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
    }
}

fn review_versions(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        return out.required(at, &format!("must specify one of {}", REVIEW_VERSIONS.join(", ")));
    }
    let mut seen = BTreeSet::new();
    for version in at.items() {
        if !seen.insert(version.str()) {
            out.invalid(version, version.str(), "duplicate version");
        } else {
            out.invalid_each(version, version.str(), names::check_dns1035_label(version.str()));
        }
    }
    if !texts(at.value).any(|version| REVIEW_VERSIONS.contains(&version)) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        out.invalid(at, at, &detail);
    }
}

/// A CustomResourceDefinition: names, versions and that one of them is stored.
pub(crate) fn definition(at: &At<'_, '_>, out: &mut Causes) {
    let (meta, spec) = (at.get("metadata"), at.get("spec"));
    let (name, group, words) = (meta.get("name"), spec.get("group"), spec.get("names"));
    let required = format!("{}.{}", words.get("plural").str(), group.str());
    if !name.is_empty() && name.str() != required {
        out.invalid(name, name.str(), "must be spec.names.plural+\".\"+spec.group");
    }
    if group.is_empty() {
        out.required(group, "");
    } else if !names::is_dns1123_subdomain(group.str()) {
        out.invalid_each(group, group.str(), names::check_dns1123_subdomain(group.str()));
    } else if !group.str().contains('.') {
        out.invalid(group, group.str(), "should be a domain with at least one dot");
    }
    rule::must_be(&spec.get("scope"), &["Cluster", "Namespaced"], out);
    definition_versions(&spec, out);
    custom::definition::approval(at, out);
    for part in ["plural", "singular", "kind", "listKind"] {
        let word = words.get(part);
        if word.is_empty() {
            if matches!(part, "plural" | "kind") {
                out.required(word, "");
            }
            continue;
        }
        let lower = word.str().to_lowercase();
        let wrong =
            names::check_dns1035_label(if matches!(part, "kind" | "listKind") { &lower } else { word.str() });
        if !wrong.is_empty() {
            let detail = wrong.join(",");
            let prefix = if part == "kind" || part == "listKind" {
                "may have mixed case, but should otherwise match: "
            } else {
                ""
            };
            out.invalid(word, word.str(), &format!("{prefix}{detail}"));
        }
    }
    let short = words.get("shortNames");
    for item in short.items() {
        let wrong = names::check_dns1035_label(item.str());
        if !wrong.is_empty() {
            out.invalid(item, item.str(), &wrong.join(","));
        }
    }
    if !words.get("kind").is_empty() && words.get("kind").str() == words.get("listKind").str() {
        out.invalid(
            words.get("listKind"),
            words.get("listKind").str(),
            "kind and listKind may not be the same",
        );
    }
}

fn definition_versions(spec: &At<'_, '_>, out: &mut Causes) {
    let versions = spec.get("versions");
    if versions.is_empty() {
        return out.required(versions, "must have exactly one version marked as storage version");
    }
    let (mut seen, mut stored, mut unique) = (BTreeSet::new(), 0, true);
    for version in versions.items() {
        let name = version.get("name");
        unique &= seen.insert(name.str());
        stored += usize::from(version.get("storage").is_true());
        let wrong = names::check_dns1035_label(name.str());
        if !wrong.is_empty() {
            out.invalid(name, name.str(), &wrong.join(","));
        }
    }
    custom::definition::check(spec, out);
    if !unique {
        out.invalid(versions, &versions, "must contain unique version names");
    }
    if stored != 1 {
        out.invalid(versions, &versions, "must have exactly one version marked as storage version");
    }
}

/// What a definition's objects are known by stays.
pub(crate) fn definition_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let established = super::at::list(dig(old, "status.conditions"))
        .iter()
        .any(|c| text(field(c, "type")) == "Established" && text(field(c, "status")) == "True");
    if established {
        immutable_paths(old, at, &["spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"], out);
    } else {
        immutable_paths(old, at, &["spec.group"], out);
    }
}

/// An APIService.
pub(crate) fn api_service(at: &At<'_, '_>, out: &mut Causes) {
    let (meta, spec) = (at.get("metadata"), at.get("spec"));
    let (group, version) = (spec.get("group"), spec.get("version"));
    let required = format!("{}.{}", version.str(), group.str());
    let name = meta.get("name");
    if !name.is_empty() && name.str().trim_end_matches('.') != required.trim_end_matches('.') {
        out.invalid(name, name.str(), "must be `spec.version+\".\"+spec.group`");
    }
    if !group.is_empty() && !names::is_dns1123_subdomain(group.str()) {
        out.invalid(group, group.str(), &names::check_dns1123_subdomain(group.str()).join(","));
    }
    if !names::is_dns1035_label(version.str()) {
        out.invalid(version, version.str(), &names::check_dns1035_label(version.str()).join(","));
    }
    for (name, high) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let number = spec.get(name);
        let value = number.int_or_zero();
        if value <= 0 || value > high {
            out.invalid(number, value, &format!("must be positive and less than {high}"));
        }
    }
    let (service, bundle) = (spec.get("service"), spec.get("caBundle"));
    let insecure = spec.get("insecureSkipTLSVerify");
    if !service.is_set() {
        if !bundle.is_empty() {
            out.invalid(
                bundle,
                format!("{} bytes", bundle.len()),
                "local APIServices may not have a caBundle",
            );
        }
        if insecure.is_true() {
            out.invalid(insecure, true, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    run(&[r("namespace", Check::Required), r("name", Check::Required)], &service, out);
    let port = service.get("port");
    if port.int().is_some_and(|p| !names::is_port_number(p)) {
        out.invalid(port, &port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    if insecure.is_true() && !bundle.is_empty() {
        out.invalid(insecure, true, "may not be true if caBundle is present");
    }
}
