//! What a profile's names and patterns must keep to.

use std::sync::OnceLock;

use kiban_base::names::{is_dns1123_label, is_dns1123_subdomain};
use schemars::SchemaGenerator;

use crate::app::{App, CallTarget};
use crate::problem::{Kind, Problem, did_you_mean};
use crate::profile::{ACCESS_LOG_FIELDS, Platform};
use crate::yaml::{Entry, Node, find};

/// Names of environments that would be taken for something else.
const RESERVED: [&str; 5] = ["all", "default", "none", "platform", "rendered"];

pub(super) fn check_platform(platform: &Platform, root: &Node, problems: &mut Vec<Problem>) {
    let entries = root.get("environments").map(Node::entries).unwrap_or_default();
    let known = app_keys();
    for entry in entries {
        if RESERVED.contains(&entry.name()) || entry.name().starts_with("kube-") {
            let message = format!("an environment cannot be called {:?}", entry.name());
            problems.push(Problem::at(&entry.key.mark, Kind::Value, message));
        }
        for item in entry.value.get("allow").map(Node::items).unwrap_or_default() {
            let path = item.text().unwrap_or_default();
            let first = path.split(['.', '[']).next().unwrap_or_default();
            if !known.iter().any(|k| k == first) {
                let hint = did_you_mean(first, known.iter().map(String::as_str));
                problems.push(Problem::at(
                    &item.mark,
                    Kind::Value,
                    format!("{first:?} is no key of an app{hint}"),
                ));
            }
        }
    }
    if let Some(entry) = root.entry("environments").filter(|e| e.value.entries().is_empty()) {
        problems.push(Problem::at(&entry.key.mark, Kind::Value, "at least one environment is needed"));
    }
    for entry in root.get("externals").map(Node::entries).unwrap_or_default() {
        if !matches!(CallTarget::new(entry.name()), Ok(CallTarget::Resource { .. }) | Err(_)) {
            let message =
                format!("{:?} is no service outside the platform such as pg:orders-db", entry.name());
            problems.push(Problem::at(&entry.key.mark, Kind::Value, message));
        }
    }
    check_defaults(platform, root, problems);
    let rollout = &platform.rollout;
    if rollout.settle >= rollout.deadline && root.get("rollout").is_some() {
        let message = format!(
            "a pod counts as good after {} (settle), and the rollout has failed after {}: raise deadline",
            rollout.settle, rollout.deadline
        );
        problems.push(Problem::at(find(root, &["rollout", "settle"], false), Kind::Law, message));
    }
    check_texts(platform, root, problems);
    check_access_log(platform, root, problems);
    check_pattern(platform, root, problems);
}

/// The size that defaults name is one of the platform's.
fn check_defaults(platform: &Platform, root: &Node, problems: &mut Vec<Problem>) {
    let mut sizes: Vec<&str> = platform.sizes.keys().map(|name| name.as_str()).collect();
    let environments = root.get("environments").map(Node::entries).unwrap_or_default();
    for environment in environments {
        let own = environment.value.get("profile").and_then(|profile| profile.get("sizes"));
        sizes.extend(own.map(Node::entries).unwrap_or_default().iter().map(Entry::name));
    }
    for holder in environments.iter().map(|e| &e.value).chain([root]) {
        let Some(node) = holder.get("defaults").and_then(|defaults| defaults.get("size")) else { continue };
        let Some(name) = node.text().filter(|name| !node.is_null() && !sizes.contains(name)) else {
            continue;
        };
        let hint = did_you_mean(name, sizes.iter().copied());
        let message = format!("no size {name:?}{hint} (there are: {})", sizes.join(", "));
        problems.push(Problem::at(&node.mark, Kind::Law, message));
    }
}

/// Texts that are names elsewhere: branches, listeners, namespaces.
fn check_texts(platform: &Platform, root: &Node, problems: &mut Vec<Problem>) {
    let mut report = |path: &[&str], message: String| {
        problems.push(Problem::at(find(root, path, false), Kind::Value, message));
    };
    for (env, environment) in &platform.environments {
        if let Some(branch) = environment.branch.as_ref().filter(|branch| !is_branch(branch)) {
            report(&["environments", env, "branch"], format!("{branch:?} is no name of a branch"));
        }
    }
    if let Some(listener) =
        platform.entry.gateway.listener.as_ref().filter(|name| !is_dns1123_subdomain(name))
    {
        let message = format!("{listener:?} is no name of a gateway's listener such as https");
        report(&["entry", "gateway", "listener"], message);
    }
    let network = &platform.network;
    for (key, peers) in
        [("dns", &network.dns), ("entry", &network.entry), ("monitoring", &network.monitoring)]
    {
        for (index, peer) in peers.iter().enumerate() {
            for (label, _) in peer.namespace.iter().filter(|(_, value)| value.is_empty()) {
                let message = format!("{label} is empty: no namespace has such a label");
                report(&["network", key, &index.to_string(), "namespace", label], message);
            }
        }
    }
}

/// What `git check-ref-format --branch` takes.
fn is_branch(name: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let parts = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
        && name != "HEAD"
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(bad)
        && name.split('/').all(parts)
}

/// What is dropped is a field of the log, and no more than all of it is sampled.
fn check_access_log(platform: &Platform, root: &Node, problems: &mut Vec<Problem>) {
    let Some(log) = root.get("accessLog") else { return };
    let own = platform.access_log.fields.keys().map(String::as_str);
    let known: Vec<&str> = own.chain(ACCESS_LOG_FIELDS.iter().map(|(name, _)| *name)).collect();
    for item in log.get("drop").map(Node::items).unwrap_or_default() {
        let name = item.text().unwrap_or_default();
        if !known.contains(&name) {
            let hint = did_you_mean(name, known.iter().copied());
            let message = format!("{name:?} is no field of the access log{hint}");
            problems.push(Problem::at(&item.mark, Kind::Value, message));
        }
    }
    if platform.access_log.sample.ppm() > 1_000_000
        && let Some(node) = log.get("sample")
    {
        let message = "accessLog.sample: there is no more than 100% of the requests";
        problems.push(Problem::at(&node.mark, Kind::Value, message));
    }
}

fn check_pattern(platform: &Platform, root: &Node, problems: &mut Vec<Problem>) {
    let Some(node) = root.get("namespace") else { return };
    let mut bare = platform.namespace.clone();
    for known in ["{team}", "{env}", "{app}"] {
        bare = bare.replace(known, "x");
    }
    if let Some(at) = bare.find('{') {
        let end = bare.get(at..).and_then(|rest| rest.find('}')).map_or(bare.len(), |n| at + n + 1);
        let unknown = bare.get(at..end).unwrap_or_default();
        let message = format!("{unknown} is none of {{team}}, {{env}} and {{app}}");
        problems.push(Problem::at(&node.mark, Kind::Value, message));
    } else if !is_dns1123_label(&bare) {
        let message = format!("{:?} makes no names of namespaces", platform.namespace);
        problems.push(Problem::at(&node.mark, Kind::Value, message));
    }
}

/// The keys of an app's file.
fn app_keys() -> &'static [String] {
    static KEYS: OnceLock<Vec<String>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let schema = SchemaGenerator::default().into_root_schema_for::<App>();
        let properties = schema.get("properties").and_then(|p| p.as_object());
        properties.map(|p| p.keys().cloned().collect()).unwrap_or_default()
    })
}
