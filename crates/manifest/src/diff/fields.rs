//! The fields in which two values differ.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::object::ObjectId;
use kiban_schema::table::{Schema, Shape};
use serde_json::Value;

use super::pods;
use crate::{check, quantity};

/// How deep a value may nest before it is compared as a whole.
const MAX_DEPTH: usize = 64;

/// More items without names than this are compared as a whole: each would be compared with each.
const MAX_NAMELESS: usize = 2000;

/// Keys that tell list items apart, in the order in which they are tried.
const ITEM_KEYS: [&str; 9] =
    ["name", "mountPath", "topologyKey", "containerPort", "port", "type", "key", "ip", "host"];

/// Lists whose order means nothing although their items have no names: by their last map key, and where.
const SETS: [(&str, &[&str]); 5] = [
    ("NetworkPolicy", &["from", "to", "ingress", "egress", "policyTypes", "except"]),
    ("Role", &["rules", "apiGroups", "resources", "verbs", "resourceNames"]),
    ("ClusterRole", &["rules", "apiGroups", "resources", "verbs", "resourceNames", "nonResourceURLs"]),
    ("Service", &["loadBalancerSourceRanges", "externalIPs"]),
    ("", &["finalizers", "accessModes", "hostnames", "subjects", "values", "tls", "hosts"]),
];

/// A step to a field as it is shown: a map key, or the name or position of a list item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A map key.
    Key(String),
    /// A list item: what it is called, or its position.
    Item(String),
}

/// Where a field is, as people read it: `spec.containers[orders].image`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    /// Whether the path starts with these map keys.
    pub fn starts_with(&self, keys: &[&str]) -> bool {
        let mut steps = self.0.iter();
        keys.iter().all(|key| matches!(steps.next(), Some(Step::Key(k)) if k == key))
    }

    /// Whether the path ends with these map keys.
    pub fn ends_with(&self, keys: &[&str]) -> bool {
        let mut steps = self.0.iter().rev();
        keys.iter().rev().all(|key| matches!(steps.next(), Some(Step::Key(k)) if k == key))
    }

    /// The path without its first steps.
    pub fn below(&self, steps: usize) -> FieldPath {
        FieldPath(self.0.iter().skip(steps).cloned().collect())
    }

    /// Whether a map key occurs anywhere in the path.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Key(k) if k == key))
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if key.contains(['.', '/']) => write!(f, "[\"{key}\"]")?,
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// Where it is.
    pub path: FieldPath,
    /// The value before; `None` when it was not set.
    pub old: Option<Value>,
    /// The value after; `None` when it is no longer set.
    pub new: Option<Value>,
    /// Whether it is only the order of a list that differs.
    pub order: Order,
}

/// Whether a difference is one of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is not: a value differs.
    No,
    /// Items that have names are in another order; the values are the names.
    Named,
    /// Items without names are in another order.
    Nameless,
}

/// The fields in which two values differ, in reading order. The order of items that have names does not count.
pub fn values(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut out = all(old, new);
    out.retain(|field| field.order != Order::Named);
    out
}

/// The fields in which two objects differ, as their API means it: quantities by their amounts, lists that are
/// sets without their order. In the template of pods, order counts: pods are replaced for it.
pub(super) fn of_object(id: &ObjectId, before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut fields = all(before, after);
    fields.retain(|field| {
        let in_template =
            pods::is_replaced_with_template(id, after) && field.path.starts_with(&["spec", "template"]);
        match field.order {
            Order::Named => in_template,
            Order::Nameless => in_template || !is_set(&id.kind, &field.path),
            Order::No => !is_same_amount(after, field),
        }
    });
    fields
}

fn all(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut out = Vec::new();
    compare(&mut FieldPath::default(), Some(old), Some(new), 0, &mut out);
    out
}

fn is_set(kind: &str, path: &FieldPath) -> bool {
    let last = path.0.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item(_) => None,
    });
    SETS.iter()
        .any(|(of, keys)| (of.is_empty() || *of == kind) && last.is_some_and(|last| keys.contains(&last)))
}

/// Whether both values are the same amount, where the type table says that the field is one.
fn is_same_amount(object: &Value, field: &FieldChange) -> bool {
    let (Some(old), Some(new)) = (&field.old, &field.new) else { return false };
    quantity::is_same(old, new) && is_quantity(object, &field.path)
}

fn is_quantity(object: &Value, path: &FieldPath) -> bool {
    let schema = Schema::builtin();
    let Some(id) = check::type_of(object) else { return false };
    let mut at = &Shape::Object(id);
    for step in &path.0 {
        let below = match (at, step) {
            (Shape::Object(id), Step::Key(key)) => schema.get(*id).field(key).map(|field| &field.shape),
            (Shape::Map(item), Step::Key(_)) | (Shape::List(item), Step::Item(_)) => Some(item.as_ref()),
            _ => None,
        };
        match below {
            Some(below) => at = below,
            None => return false,
        }
    }
    matches!(at, Shape::Quantity)
}

fn compare(
    path: &mut FieldPath,
    old: Option<&Value>,
    new: Option<&Value>,
    depth: usize,
    out: &mut Vec<FieldChange>,
) {
    // A key with null is a key that is not set.
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(before)), Some(Value::Object(after))) if depth < MAX_DEPTH => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                path.0.push(Step::Key(key.clone()));
                compare(path, before.get(key), after.get(key), depth + 1, out);
                path.0.pop();
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if depth < MAX_DEPTH => {
            lists(path, before, after, depth + 1, out);
        }
        (Some(Value::String(before)), Some(Value::String(after))) if before.starts_with('{') => {
            // JSON in a text (the annotation kiban.dev/app): what changed in it is what a reader asks.
            match (json_map(before), json_map(after)) {
                (Some(before), Some(after)) => {
                    compare(path, Some(&before), Some(&after), MAX_DEPTH - 16, out)
                }
                _ => push(path, old, new, out),
            }
        }
        _ => push(path, old, new, out),
    }
}

fn push(path: &FieldPath, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<FieldChange>) {
    out.push(FieldChange { path: path.clone(), old: old.cloned(), new: new.cloned(), order: Order::No });
}

fn json_map(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

fn lists(path: &mut FieldPath, old: &[Value], new: &[Value], depth: usize, out: &mut Vec<FieldChange>) {
    match item_key(old, new) {
        Some(key) => keyed(path, key, old, new, depth, out),
        None if old.len().max(new.len()) > MAX_NAMELESS => {
            push(path, Some(&Value::from(old)), Some(&Value::from(new)), out);
        }
        None => unkeyed(path, old, new, depth, out),
    }
}

/// The first key that every item of both lists has, with different values within a list.
fn item_key(old: &[Value], new: &[Value]) -> Option<&'static str> {
    ITEM_KEYS.into_iter().find(|key| {
        [old, new].into_iter().all(|list| {
            let mut seen = BTreeSet::new();
            list.iter().all(|item| name_of(item, key).is_some_and(|name| seen.insert(name)))
        })
    })
}

fn name_of(item: &Value, key: &str) -> Option<String> {
    match item.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn keyed(
    path: &mut FieldPath,
    key: &str,
    old: &[Value],
    new: &[Value],
    depth: usize,
    out: &mut Vec<FieldChange>,
) {
    let by_name = |list: &[Value]| -> BTreeMap<String, Value> {
        list.iter().filter_map(|item| Some((name_of(item, key)?, item.clone()))).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let names = old.iter().chain(new).filter_map(|item| name_of(item, key));
    let in_order = |list: &[Value], others: &BTreeMap<String, Value>| {
        let names =
            list.iter().filter_map(|item| name_of(item, key)).filter(|name| others.contains_key(name));
        names.map(Value::from).collect::<Vec<_>>()
    };
    let (first, then) = (in_order(old, &after), in_order(new, &before));
    if first != then {
        let order = Order::Named;
        out.push(FieldChange { path: path.clone(), old: Some(first.into()), new: Some(then.into()), order });
    }
    let mut done = BTreeSet::new();
    for name in names {
        if !done.insert(name.clone()) {
            continue;
        }
        path.0.push(Step::Item(name.clone()));
        compare(path, before.get(&name), after.get(&name), depth, out);
        path.0.pop();
    }
}

/// Lists without a key: equal items pair off; what is left pairs by position where both sides have
/// as many, and is otherwise removed and added whole.
fn unkeyed(path: &mut FieldPath, old: &[Value], new: &[Value], depth: usize, out: &mut Vec<FieldChange>) {
    let mut left: Vec<(usize, &Value)> = old.iter().enumerate().collect();
    let mut right: Vec<(usize, &Value)> = Vec::new();
    for (position, item) in new.iter().enumerate() {
        match left.iter().position(|(_, other)| *other == item) {
            Some(found) => {
                left.remove(found);
            }
            None => right.push((position, item)),
        }
    }
    let pairs = left.len() == right.len();
    if pairs && left.is_empty() && old != new {
        // The same items in another order: order counts only where items have no key.
        out.push(FieldChange {
            path: path.clone(),
            old: Some(Value::Array(old.to_vec())),
            new: Some(Value::Array(new.to_vec())),
            order: Order::Nameless,
        });
        return;
    }
    let mut visit = |position: usize, before: Option<&Value>, after: Option<&Value>| {
        path.0.push(Step::Item(position.to_string()));
        compare(path, before, after, depth, out);
        path.0.pop();
    };
    if pairs {
        for ((position, before), (_, after)) in left.into_iter().zip(right) {
            visit(position, Some(before), Some(after));
        }
    } else {
        left.into_iter().for_each(|(position, before)| visit(position, Some(before), None));
        right.into_iter().for_each(|(position, after)| visit(position, None, Some(after)));
    }
}
