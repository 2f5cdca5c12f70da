//! Which layer may set what.

use crate::origin::child;
use crate::problem::{Kind, Problem};
use crate::yaml::{Node, Tree};

/// Keys that say which app it is.
const IDENTITY: [&str; 5] = ["apiVersion", "kind", "name", "team", "image"];

/// The profile's defaults hold for many apps: they cannot say which one it is.
pub(super) fn check_defaults(defaults: &Node, problems: &mut Vec<Problem>) {
    for entry in defaults.entries().iter().filter(|e| IDENTITY.contains(&e.name())) {
        let message = format!("defaults cannot set {}: it says which app it is", entry.name());
        problems.push(Problem::at(&entry.key.mark, Kind::Value, message));
    }
}

/// Keys that an environment's file may repeat, if they say the same as the app's.
const REPEATED: [&str; 4] = ["apiVersion", "kind", "name", "team"];

/// Checks what an environment's file sets, and takes away what it only repeats.
pub(super) fn check_delta(
    delta: &Node,
    app: &Node,
    allow: Option<&[String]>,
    problems: &mut Vec<Problem>,
) -> Node {
    let mut kept = Vec::new();
    for entry in delta.entries() {
        let name = entry.name();
        if REPEATED.contains(&name) {
            if app.get(name).and_then(Node::text) != entry.value.text() {
                let message = format!("an environment cannot change {name}");
                problems.push(Problem::at(&entry.key.mark, Kind::Value, message));
            }
            continue;
        }
        if let Some(allow) = allow {
            check_allowed(&entry.value, &entry.key, &child("", name), allow, problems);
        }
        kept.push(entry.clone());
    }
    Node { mark: delta.mark.clone(), tree: Tree::Map(kept) }
}

/// Descends until a path is allowed, or nothing below it can be.
fn check_allowed(value: &Node, key: &Node, path: &str, allow: &[String], problems: &mut Vec<Problem>) {
    if allow.iter().any(|a| a == path) {
        return;
    }
    let inside = |a: &String| a.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
    if allow.iter().any(inside) && !value.entries().is_empty() {
        for entry in value.entries() {
            check_allowed(&entry.value, &entry.key, &child(path, entry.name()), allow, problems);
        }
        return;
    }
    let message =
        format!("{path} cannot be set in this environment; platform.yaml allows {}", allow.join(", "));
    problems.push(Problem::at(&key.mark, Kind::Value, message));
}
