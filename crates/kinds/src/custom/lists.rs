//! Lists whose items are told apart: no two may be the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schema::{ListKind, MAX_DEPTH, Node};
use crate::validate::at::Path;
use crate::validate::cause::Causes;

/// What is there twice in the sets and keyed lists of a value.
pub(crate) fn check(value: &Value, node: &Node, path: &Path<'_>, out: &mut Causes, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, child) in members {
                if let Some(below) = node.child(name) {
                    let at =
                        if node.properties.contains_key(name) { path.child(name) } else { path.key(name) };
                    check(child, below, &at, out, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            repeated(items, node, path, out);
            let Some(item) = &node.items else { return };
            for (i, child) in items.iter().enumerate() {
                check(child, item, &path.index(i), out, depth + 1);
            }
        }
        _ => {}
    }
}

fn repeated(items: &[Value], node: &Node, path: &Path<'_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    match &node.list {
        ListKind::Atomic => {}
        ListKind::Set => {
            for (i, item) in items.iter().enumerate() {
                if !seen.insert(item.to_string()) {
                    out.duplicate(path.index(i), item);
                }
            }
        }
        ListKind::Map(keys) => {
            for (i, item) in items.iter().enumerate() {
                let key: Map<String, Value> =
                    keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone()))).collect();
                let key = Value::Object(key);
                if !seen.insert(key.to_string()) {
                    out.duplicate(path.index(i), &key);
                }
            }
        }
    }
}
