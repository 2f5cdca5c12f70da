//! The values of rendered objects, judged as the API server judges a new object.

use kiban_base::object::group_of;
use kiban_kinds::{defaults, prepare, validate};
use kiban_model::origin::Origin;
use serde_json::Value;

use super::objects::find;
use super::{Finding, Severity, at, at_origin};
use crate::check;
use crate::facts::Graph;
use crate::node::{Node, Source};
use crate::path::{self, Path, Segment};
use crate::render::{Made, Object, Owner};
use crate::rules;

const LAW: &str = "values";

/// What the API server would say of an object whose fields have the right types.
pub(super) fn check(graph: &Graph<'_>, object: &Object, findings: &mut Vec<Finding>) {
    let mut value = object.value();
    if !check::against_schema(&value).is_empty() {
        return;
    }
    let group = group_of(object.api_version());
    let kind = object.kind();
    defaults::apply(group, kind, &mut value);
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        // The API server gives one before it looks at anything: a Job finds its pods by it.
        metadata.insert("uid".to_owned(), Value::from("00000000-0000-0000-0000-000000000000"));
    }
    prepare::create(group, kind, &mut value);
    let causes = validate::create(group, kind, &value);
    for cause in causes {
        let message = format!("{}: {cause}", object.id());
        let place = place(object, &cause.field);
        findings.push(finding(graph, object, &place, message));
    }
}

/// The part of the object that a path of the API server's means, as far as it is there.
fn place(object: &Object, field: &str) -> Path {
    let Ok(steps) = path::parse(field) else { return Path::default() };
    path::resolve(&object.value(), &steps).unwrap_or_else(|stuck| stuck.at)
}

/// What is derived is good by itself: of an object with overrides the nearest one is to blame.
fn finding(graph: &Graph<'_>, object: &Object, place: &Path, message: String) -> Finding {
    let app = match &object.owner {
        Owner::App(name) => graph.app(name).filter(|_| object.made == Made::Derived),
        Owner::Platform => None,
    };
    let overridden = app.filter(|f| !f.r.app.overrides.is_empty());
    let way = || (0..=place.0.len()).rev().filter_map(|length| place.0.get(..length));
    if let Some(f) = overridden {
        return match way().find_map(|path| overridden_at(&object.node, path)) {
            Some(origin) => at_origin(Some(&origin), LAW, Severity::Error, message),
            None if is_removed(f.r.app.overrides.values()) => {
                at(f, &["override"], LAW, Severity::Error, message)
            }
            None => find(graph, object, &place.0, LAW, message),
        };
    }
    find(graph, object, &place.0, LAW, message)
}

fn is_removed<'v>(mut overrides: impl Iterator<Item = &'v Value>) -> bool {
    overrides.any(Value::is_null)
}

/// The first override at or below a path.
fn overridden_at(root: &Node, path: &[Segment]) -> Option<Origin> {
    let mut found = None;
    root.at(path)?.leaves(&mut |_: &Path, _: &Value, source: &Source| {
        if found.is_none() && source.rule == &rules::OVERRIDE {
            found.clone_from(&source.origin);
        }
    });
    found
}
