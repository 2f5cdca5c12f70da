//! `override`: fields of rendered objects that an app sets itself, checked against the type table.

use kiban_model::origin::child;
use kiban_model::problem::did_you_mean;
use kiban_schema::table::{Field, Schema, Shape};
use serde_json::Value;

use crate::check;
use crate::facts::Facts;
use crate::laws::{Finding, Severity};
use crate::node::{Node, Source};
use crate::path::{self, Path, Segment, Step};
use crate::render::{Made, Object, Owner};
use crate::rules;

const LAW: &str = "override";
/// Lists are not padded: an override may append one item, not leave holes.
const PROTECTED: [&str; 6] =
    ["apiVersion", "kind", "metadata.name", "metadata.namespace", "spec.selector", "spec.podSelector"];
/// Labels and annotations of these domains are the identity of objects.
const OWN_DOMAINS: [&str; 2] = ["app.kubernetes.io/", "kiban.dev/"];

/// Applies the overrides of one app to its objects; returns how many there are.
pub(crate) fn apply(f: &Facts<'_>, objects: &mut [Object], findings: &mut Vec<Finding>) -> usize {
    for (key, value) in &f.r.app.overrides {
        if let Err(wrong) = apply_one(f, objects, key, value) {
            let mut way = vec!["override", key];
            way.extend(wrong.below.iter().map(String::as_str));
            let problem = f.r.problem(&way, wrong.message);
            findings.push(Finding { law: LAW, severity: Severity::Error, problem });
        }
    }
    f.r.app.overrides.len()
}

/// What is wrong with an override, and where below its value.
struct Wrong {
    message: String,
    below: Vec<String>,
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { message, below: Vec::new() }
    }
}

fn apply_one(f: &Facts<'_>, objects: &mut [Object], key: &str, value: &Value) -> Result<(), Wrong> {
    let (target, field_path) =
        key.split_once('.').ok_or_else(|| format!("{key:?} names no field: Kind.path is needed"))?;
    let object = pick(f, objects, target)?;
    let steps = path::parse(field_path).map_err(|error| error.to_string())?;
    let id = Schema::builtin().type_of(object.api_version(), object.kind());
    let root = id.map(Shape::Object);
    let place = locate(&object.node, root.as_ref(), &steps)?;
    protected(&place.path)?;
    let origin = f.origin(&child("override", key)).cloned();
    let source = Source { rule: &rules::OVERRIDE, origin };
    if value.is_null() {
        return remove(&mut object.node, &place.path.0)
            .ok_or_else(|| format!("{} is not set: there is nothing to remove", place.path).into());
    }
    if let Some(shape) = &place.shape {
        let found = check::value_against(shape, place.field.as_ref(), place.path.clone(), value);
        if let Some(found) = found.first() {
            let below = found.path.0.iter().skip(place.path.0.len()).map(Segment::text).collect();
            return Err(Wrong { message: format!("{}: {}", found.path, found.message), below });
        }
    }
    let written = f.r.tree.get("override").and_then(|all| all.get(key));
    let new = match written {
        Some(at) => Node::written(&rules::OVERRIDE, at, value.clone(), at.mark.source.layer),
        None => Node::with_source(&source, value.clone()),
    };
    set(&mut object.node, &place.path.0, new, &source)
        .ok_or_else(|| format!("{} cannot be set: a list on the way is shorter", place.path).into())
}

/// The one object that `Kind` or `Kind/name` means.
fn pick<'o>(f: &Facts<'_>, objects: &'o mut [Object], target: &str) -> Result<&'o mut Object, String> {
    let (kind, name) = target.split_once('/').map_or((target, None), |(kind, name)| (kind, Some(name)));
    let is_own = |object: &Object| {
        object.made == Made::Derived && matches!(&object.owner, Owner::App(app) if app == f.name())
    };
    let full = name.map(|name| format!("{}-{name}", f.name()));
    let is_named = |object: &Object| {
        let short = name.is_none_or(|name| object.name() == name);
        short || full.as_deref() == Some(object.name())
    };
    let kinds: Vec<String> = objects.iter().filter(|o| is_own(o)).map(|o| o.kind().to_owned()).collect();
    if !kinds.iter().any(|known| known == kind) {
        let hint = did_you_mean(kind, kinds.iter().map(String::as_str));
        return Err(format!("{} renders no {kind}{hint}", f.name()));
    }
    let names: Vec<String> =
        objects.iter().filter(|o| is_own(o) && o.kind() == kind).map(|o| o.name().to_owned()).collect();
    let mut found: Vec<&mut Object> =
        objects.iter_mut().filter(|o| is_own(o) && o.kind() == kind && is_named(o)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(object), true) => Ok(object),
        (Some(_), false) => Err(format!("which {kind}? There are {}; write {kind}/<name>", names.join(", "))),
        (None, _) => {
            let wanted = name.unwrap_or_default();
            let hint = did_you_mean(wanted, names.iter().map(String::as_str));
            Err(format!("no {kind} is called {wanted:?}{hint} (there are: {})", names.join(", ")))
        }
    }
}

fn protected(path: &Path) -> Result<(), String> {
    let text = path.to_string();
    let covers = |own: &&str| {
        text == **own || text.starts_with(&format!("{own}.")) || own.starts_with(&format!("{text}."))
    };
    let is_identity = path.0.iter().any(|segment| match segment {
        Segment::Key(key) => OWN_DOMAINS.iter().any(|domain| key.starts_with(domain)),
        Segment::Index(_) => false,
    });
    let whole_labels = text.ends_with("metadata.labels") || text.ends_with("metadata");
    if PROTECTED.iter().any(covers) || is_identity || whole_labels {
        return Err(format!("{text} is the object's identity: other parts of the system rely on it"));
    }
    Ok(())
}

/// Where steps lead, whether it is set already or not.
struct Place {
    path: Path,
    shape: Option<Shape>,
    field: Option<Field>,
}

/// Follows steps through the object and its type. Without a type (custom resources) any key goes.
fn locate(root: &Node, shape: Option<&Shape>, steps: &[Step]) -> Result<Place, String> {
    let schema = Schema::builtin();
    let mut place = Place { path: Path::default(), shape: shape.cloned(), field: None };
    let mut node = Some(root);
    let mut rest = steps;
    while let Some((step, more)) = rest.split_first() {
        let (Step::Name(text) | Step::Bracket(text)) = step;
        let (segment, shape, used) = match place.shape.clone() {
            Some(Shape::Object(id)) => {
                let of = schema.get(id);
                let Some(field) = of.field(text) else {
                    let hint = did_you_mean(text, of.fields.iter().map(|field| field.name.as_str()));
                    let at =
                        if place.path.0.is_empty() { String::new() } else { format!("{}: ", place.path) };
                    return Err(format!("{at}{} has no field {text:?}{hint}", of.short_name()));
                };
                let shape = Some(field.shape.clone());
                place.field = Some(field.clone());
                (Segment::Key(text.clone()), shape, 1)
            }
            Some(Shape::Map(value)) => {
                let (key, used) = map_key(step, more);
                (Segment::Key(key), Some(*value), used)
            }
            Some(Shape::List(item)) => (list_item(node, text, &place.path)?, Some(*item), 1),
            Some(Shape::Any) | None => match node {
                Some(Node::List(_)) => (list_item(node, text, &place.path)?, None, 1),
                _ => (Segment::Key(text.clone()), None, 1),
            },
            Some(_) => return Err(format!("{} has no parts", place.path)),
        };
        node = node.and_then(|node| node.at(std::slice::from_ref(&segment)));
        place.path.0.push(segment);
        place.shape = shape;
        rest = rest.get(used..).unwrap_or_default();
    }
    Ok(place)
}

/// The key of a free map: a quoted one as it is, dotted names as one key (`metadata.labels.a.b/c`).
fn map_key(step: &Step, more: &[Step]) -> (String, usize) {
    let Step::Name(first) = step else {
        let (Step::Name(text) | Step::Bracket(text)) = step;
        return (text.clone(), 1);
    };
    let mut key = first.clone();
    let mut used = 1;
    for step in more {
        let Step::Name(name) = step else { break };
        key.push('.');
        key.push_str(name);
        used += 1;
    }
    (key, used)
}

/// An item by its name or index; the index behind the last appends.
fn list_item(node: Option<&Node>, text: &str, at: &Path) -> Result<Segment, String> {
    let items: Vec<Value> = match node {
        Some(Node::List(items)) => items.iter().map(Node::value).collect(),
        _ => Vec::new(),
    };
    let steps = [Step::Bracket(text.to_owned())];
    match path::resolve(&Value::Array(items.clone()), &steps) {
        Ok(path) => path.0.first().cloned().ok_or_else(|| format!("{at} has no item {text:?}")),
        Err(_) if text.parse() == Ok(items.len()) => Ok(Segment::Index(items.len())),
        Err(stuck) => Err(format!("{at} has no item {text:?} (there are: {})", stuck.known.join(", "))),
    }
}

/// Sets the node at a path, making the maps on the way; `None` where a list is too short.
fn set(node: &mut Node, path: &[Segment], new: Node, source: &Source) -> Option<()> {
    let Some((first, rest)) = path.split_first() else {
        *node = new;
        return Some(());
    };
    match first {
        Segment::Key(key) => {
            if !matches!(node, Node::Map(_)) {
                *node = Node::empty_map();
            }
            let Node::Map(map) = node else { return None };
            let child = map.entry(key.clone()).or_insert_with(|| Node::Leaf(Value::Null, source.clone()));
            set(child, rest, new, source)
        }
        Segment::Index(index) => {
            if !matches!(node, Node::List(_)) {
                *node = Node::List(Vec::new());
            }
            let Node::List(list) = node else { return None };
            if *index == list.len() {
                list.push(Node::Leaf(Value::Null, source.clone()));
            }
            set(list.get_mut(*index)?, rest, new, source)
        }
    }
}

/// Removes the node at a path; `None` where there is none.
fn remove(node: &mut Node, path: &[Segment]) -> Option<()> {
    let (last, way) = path.split_last()?;
    let holder = way.iter().try_fold(node, |node, segment| match (node, segment) {
        (Node::Map(map), Segment::Key(key)) => map.get_mut(key),
        (Node::List(list), Segment::Index(index)) => list.get_mut(*index),
        _ => None,
    })?;
    match (holder, last) {
        (Node::Map(map), Segment::Key(key)) => map.remove(key).map(|_| ()),
        (Node::List(list), Segment::Index(index)) if *index < list.len() => {
            list.remove(*index);
            Some(())
        }
        _ => None,
    }
}
