//! What a profile's names and patterns must keep to.

use std::sync::OnceLock;

use kiban_base::names::is_dns1123_label;
use schemars::SchemaGenerator;

use crate::app::{App, CallTarget};
use crate::problem::{Kind, Problem, did_you_mean};
use crate::profile::{ACCESS_LOG_FIELDS, Platform};
use crate::yaml::Node;

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
    check_access_log(platform, root, problems);
    check_pattern(platform, root, problems);
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
