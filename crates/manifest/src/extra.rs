//! Objects that apps and the platform bring themselves, passed through.

use kiban_base::object::{group_of, version_of};
use kiban_model::origin::Origin;
use kiban_model::problem::{Kind, Problem};
use kiban_model::resolve::Resolution;
use kiban_model::resolved::ExtraObject;
use kiban_model::yaml::find;
use kiban_schema::table::Schema;
use serde_json::Value;

use crate::check;
use crate::facts::Facts;
use crate::laws::{Finding, Severity};
use crate::node::Node;
use crate::path::Segment;
use crate::render::{LABEL_MANAGED_BY, MANAGER, Made, Object, Owner, identity_labels};
use crate::rules;

const LAW: &str = "extra-objects";

/// The objects of the app's folder `extra/`, in the app's namespace and with its identity.
pub(crate) fn of_app(f: &Facts<'_>, findings: &mut Vec<Finding>) -> Vec<Object> {
    let owner = Owner::App(f.name().to_owned());
    let mut objects = Vec::new();
    for extra in &f.r.extra {
        if let Err(message) = allowed_in_app(f, &extra.object) {
            findings.push(finding(&extra.origin, message));
            continue;
        }
        against_schema(extra, findings);
        let mut node = tree(&rules::EXTRA, extra);
        let instance = instance(f, &extra.object).to_owned();
        stamp(&mut node, |metadata| {
            let namespace = Node::from(&rules::NAMESPACE, f.origin("team"), f.namespace.as_str());
            metadata.put("namespace", namespace);
            let mut labels = metadata.get("labels").cloned().unwrap_or_else(Node::empty_map);
            for (key, value, origin) in identity_labels(f, &instance) {
                labels.put(&key, Node::from(&rules::LABELS, origin.as_ref(), value));
            }
            metadata.put("labels", labels);
        });
        objects.push(Object { owner: owner.clone(), made: Made::Extra, node });
    }
    objects
}

/// The objects of the folder `platform/`.
pub(crate) fn of_platform(resolution: &Resolution, findings: &mut Vec<Finding>) -> Vec<Object> {
    let mut objects = Vec::new();
    for extra in &resolution.platform_objects {
        if let Err(message) = is_object(&extra.object) {
            findings.push(finding(&extra.origin, message));
            continue;
        }
        against_schema(extra, findings);
        let mut node = tree(&rules::PLATFORM_OBJECT, extra);
        stamp(&mut node, |metadata| {
            let mut labels = metadata.get("labels").cloned().unwrap_or_else(Node::empty_map);
            labels.put(LABEL_MANAGED_BY, Node::new(&rules::LABELS, MANAGER));
            metadata.put("labels", labels);
        });
        objects.push(Object { owner: Owner::Platform, made: Made::Platform, node });
    }
    objects
}

fn tree(rule: &'static rules::Rule, extra: &ExtraObject) -> Node {
    Node::written(rule, &extra.node, extra.object.clone(), extra.origin.layer)
}

fn stamp(node: &mut Node, change: impl FnOnce(&mut Node)) {
    if let Node::Map(map) = node
        && let Some(metadata) = map.get_mut("metadata")
    {
        change(metadata);
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What an object is an instance of: a workload of itself, anything else of the app.
fn instance<'a>(f: &Facts<'a>, object: &'a Value) -> &'a str {
    const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod"];
    if WORKLOADS.contains(&text(object, "/kind")) { text(object, "/metadata/name") } else { f.name() }
}

fn is_object(object: &Value) -> Result<(), String> {
    for (pointer, key) in
        [("/apiVersion", "apiVersion"), ("/kind", "kind"), ("/metadata/name", "metadata.name")]
    {
        if text(object, pointer).is_empty() {
            return Err(format!("no object: {key} is missing"));
        }
    }
    if text(object, "/kind").ends_with("List") && object.get("items").is_some() {
        return Err("a list of objects: write one document an object".to_owned());
    }
    let name = text(object, "/metadata/name");
    match kiban_base::names::check_path_segment(name).first() {
        Some(problem) => Err(format!("metadata.name {name:?}: {problem}")),
        None => Ok(()),
    }
}

/// Kinds that an app must not bring, with the way to get what they are for.
const REFUSED: [(&str, &str); 2] = [
    (
        "Namespace",
        "namespaces follow from the platform's pattern; other objects of the cluster belong to platform/",
    ),
    ("Secret", "a Secret in clear text; encrypt it as secrets/<env>/<name>.enc.yaml"),
];

fn allowed_in_app(f: &Facts<'_>, object: &Value) -> Result<(), String> {
    is_object(object)?;
    let kind = text(object, "/kind");
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == kind) {
        return Err(format!("{kind} {}: {why}", text(object, "/metadata/name")));
    }
    let version = text(object, "/apiVersion");
    let known = Schema::builtin().kind(group_of(version), version_of(version), kind);
    if known.is_some_and(|known| known.is_resource() && !known.namespaced) {
        return Err(format!("{kind} belongs to no namespace: an object of the cluster lies in platform/"));
    }
    let namespace = text(object, "/metadata/namespace");
    if !namespace.is_empty() && namespace != f.namespace {
        return Err(format!(
            "namespace {namespace:?}: an app's objects lie in its own, {:?} here; leave the key out",
            f.namespace
        ));
    }
    let labels = identity_labels(f, instance(f, object));
    let taken = labels.iter().map(|(key, value, _)| (key, value)).find(|(key, value)| {
        let own = object.pointer("/metadata/labels").and_then(|labels| labels.get(key.as_str()));
        own.is_some_and(|own| own != *value)
    });
    match taken {
        Some((key, value)) => Err(format!("label {key:?} is Kiban's, {value} here; leave the key out")),
        None => Ok(()),
    }
}

fn against_schema(extra: &ExtraObject, findings: &mut Vec<Finding>) {
    for found in check::against_schema(&extra.object) {
        let id = format!("{} {}", text(&extra.object, "/kind"), text(&extra.object, "/metadata/name"));
        let way: Vec<String> = found.path.0.iter().map(Segment::text).collect();
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        let message = format!("{id}: {}: {}", found.path, found.message);
        let problem = Problem::at(find(&extra.node, &way, true), Kind::Law, message);
        findings.push(Finding { law: LAW, severity: Severity::Error, problem });
    }
}

fn finding(origin: &Origin, message: String) -> Finding {
    let problem = Problem {
        file: origin.file.clone(),
        line: origin.line,
        column: origin.column,
        kind: Kind::Law,
        message,
        excerpt: None,
    };
    Finding { law: LAW, severity: Severity::Error, problem }
}
