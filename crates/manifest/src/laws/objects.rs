//! Laws on rendered objects, those of the escape hatches included.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::names;
use kiban_model::origin::Origin;
use kiban_model::profile::DeliveryMode;
use kiban_model::resolve::Resolution;
use serde_json::Value;

use super::{Finding, Severity, at, at_origin, values};
use crate::check;
use crate::facts::Graph;
use crate::node::{Node, Source};
use crate::path::{Path, Segment};
use crate::quantity;
use crate::render::{Made, Object, Owner};

/// Kubernetes' limit for most names.
const MAX_NAME: usize = 253;

pub(super) fn check(graph: &Graph<'_>, resolution: &Resolution, all: &[Object], findings: &mut Vec<Finding>) {
    duplicates(graph, resolution, all, findings);
    let scaled = scaled(all);
    for object in all {
        values::check(graph, object, findings);
        lengths(graph, object, findings);
        if object.made != Made::Platform {
            containers(graph, resolution, object, findings);
        }
        if object.made == Made::Derived {
            replicas(graph, object, &scaled, findings);
            schema(graph, object, findings);
        }
    }
}

/// A finding at the line that set a part of an object; else at the app's name.
pub(super) fn find(
    graph: &Graph<'_>,
    object: &Object,
    path: &[Segment],
    law: &'static str,
    message: String,
) -> Finding {
    // What an escape hatch leaves out has no line: the object's own stands for it.
    let way = (0..=path.len()).rev().take(if object.made == Made::Derived { 1 } else { usize::MAX });
    let origin = way.filter_map(|length| path.get(..length)).find_map(|path| origin_of(&object.node, path));
    let app = match &object.owner {
        Owner::App(name) => graph.app(name),
        Owner::Platform => None,
    };
    match (origin, app) {
        (None, Some(f)) => at(f, &["name"], law, Severity::Error, message),
        (origin, _) => at_origin(origin.as_ref(), law, Severity::Error, message),
    }
}

/// The line behind a node: the first leaf's at or below the path.
fn origin_of(root: &Node, path: &[Segment]) -> Option<Origin> {
    let mut found = None;
    root.at(path)?.leaves(&mut |_: &Path, _: &Value, source: &Source| {
        if found.is_none() {
            found.clone_from(&source.origin);
        }
    });
    found
}

fn keys(names: &[&str]) -> Vec<Segment> {
    names.iter().map(|name| Segment::Key((*name).to_owned())).collect()
}

fn duplicates(graph: &Graph<'_>, resolution: &Resolution, all: &[Object], findings: &mut Vec<Finding>) {
    let mut ids = BTreeMap::new();
    let mut files = BTreeMap::new();
    for object in all {
        let path = object.path(&resolution.env);
        let twice = ids.insert(object.id(), path.clone()).map(|other| (object.id().to_string(), other));
        let same_file =
            files.insert(path.clone(), object.id()).map(|other| (path.clone(), other.to_string()));
        if let Some((what, other)) = twice.or(same_file) {
            let message = format!("{what} is there already ({other})");
            findings.push(find(graph, object, &keys(&["metadata", "name"]), "duplicate", message));
        }
    }
}

fn lengths(graph: &Graph<'_>, object: &Object, findings: &mut Vec<Finding>) {
    if object.name().len() > MAX_NAME {
        let message =
            format!("the name {} has {} characters, at most {MAX_NAME}", object.name(), object.name().len());
        findings.push(find(graph, object, &keys(&["metadata", "name"]), "name-length", message));
    }
    let path = keys(&["metadata", "labels"]);
    let Some(Node::Map(labels)) = object.node.at(&path) else { return };
    for (key, node) in labels {
        let value = node.value();
        let text = value.as_str().unwrap_or_default();
        if let Some(problem) = names::check_label_value(text).first() {
            let mut path = path.clone();
            path.push(Segment::Key(key.clone()));
            findings.push(find(graph, object, &path, "name-length", format!("label {key}: {problem}")));
        }
    }
}

/// Where the kinds with pods have their containers.
fn pod_spec(kind: &str) -> Option<Vec<Segment>> {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => Some(keys(&["spec", "template", "spec"])),
        "CronJob" => Some(keys(&["spec", "jobTemplate", "spec", "template", "spec"])),
        "Pod" => Some(keys(&["spec"])),
        _ => None,
    }
}

fn containers(graph: &Graph<'_>, resolution: &Resolution, object: &Object, findings: &mut Vec<Finding>) {
    let Some(spec) = pod_spec(object.kind()) else { return };
    for list in ["initContainers", "containers"] {
        let mut path = spec.clone();
        path.push(Segment::Key(list.to_owned()));
        let Some(Node::List(items)) = object.node.at(&path) else { continue };
        for (index, item) in items.iter().enumerate() {
            let mut path = path.clone();
            path.push(Segment::Index(index));
            container(graph, resolution, object, &path, &item.value(), findings);
        }
    }
}

fn container(
    graph: &Graph<'_>,
    resolution: &Resolution,
    object: &Object,
    path: &[Segment],
    value: &Value,
    findings: &mut Vec<Finding>,
) {
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
    let with = |more: &[&str]| [path, &keys(more)].concat();
    let memory = |kind: &str| value.pointer(&format!("/resources/{kind}/memory"));
    let same = match (memory("requests"), memory("limits")) {
        (Some(request), Some(limit)) => quantity::is_same(request, limit),
        _ => false,
    };
    if !same {
        let message = format!(
            "{}: container {name:?} must have one memory request and limit: what exceeds its request is killed when the node is busy",
            object.id()
        );
        let origin = ["limits", "requests"].iter().map(|kind| with(&["resources", kind, "memory"]));
        let by_override = origin.into_iter().find(|path| is_override(&object.node, path));
        let path = by_override.unwrap_or_else(|| with(&["resources"]));
        findings.push(find(graph, object, &path, "memory-limit", message));
    }
    let image = value.get("image").and_then(Value::as_str).unwrap_or_default();
    let is_review = resolution.environment.delivery == DeliveryMode::Review;
    let is_escape = object.made == Made::Extra || is_override(&object.node, &with(&["image"]));
    if is_review && is_escape && !image.contains("@sha256:") {
        let message = format!("{}: container {name:?}: {image:?} is no digest", object.id());
        findings.push(find(graph, object, &with(&["image"]), "image-pin", message));
    }
}

fn is_override(root: &Node, path: &[Segment]) -> bool {
    matches!(root.at(path), Some(Node::Leaf(_, source)) if source.rule == &crate::rules::OVERRIDE)
}

/// Namespaces and names of the Deployments that an autoscaler owns.
fn scaled(all: &[Object]) -> BTreeSet<(String, String)> {
    let target = keys(&["spec", "scaleTargetRef", "name"]);
    let name = |object: &Object| Some(object.node.at(&target)?.value().as_str()?.to_owned());
    all.iter()
        .filter(|object| object.kind() == "HorizontalPodAutoscaler")
        .filter_map(|object| Some((object.namespace().to_owned(), name(object)?)))
        .collect()
}

fn replicas(
    graph: &Graph<'_>,
    object: &Object,
    scaled: &BTreeSet<(String, String)>,
    findings: &mut Vec<Finding>,
) {
    let path = keys(&["spec", "replicas"]);
    let is_scaled = scaled.contains(&(object.namespace().to_owned(), object.name().to_owned()));
    if object.kind() == "Deployment" && is_scaled && object.node.at(&path).is_some() {
        let message = "a number of replicas beside an autoscaler undoes its work at every apply; \
             change scale instead"
            .to_owned();
        findings.push(find(graph, object, &path, "replicas", message));
    }
}

/// What is derived is valid by construction, unless an override broke the whole.
fn schema(graph: &Graph<'_>, object: &Object, findings: &mut Vec<Finding>) {
    for found in check::against_schema(&object.value()) {
        let message = format!("{}: {}: {}", object.id(), found.path, found.message);
        let app = if let Owner::App(name) = &object.owner { graph.app(name) } else { None };
        findings.push(match app.filter(|f| !f.r.app.overrides.is_empty()) {
            Some(f) => at(f, &["override"], "schema", Severity::Error, message),
            None => find(graph, object, &found.path.0, "schema", message),
        });
    }
}
