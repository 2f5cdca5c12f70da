//! What a structural schema drops from an object, and what it fills in.

use serde_json::Value;

use super::schema::{Additional, MAX_DEPTH, Node};

/// Fields that every resource has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Findings that are kept, as in the real decoder.
const MAX_FINDINGS: usize = 100;

/// Drops the fields that the schema does not know from an object, but not from its metadata. Returns the
/// paths of those that went, sorted, as strict decoding names them (`spec.items[0].foo`).
pub fn prune(object: &mut Value, schema: &Node) -> Vec<String> {
    let mut walk = Pruning { path: String::new(), gone: Vec::new() };
    walk.value(object, Some(schema), true, 0);
    walk.gone.sort();
    walk.gone
}

struct Pruning {
    path: String,
    gone: Vec<String>,
}

impl Pruning {
    fn value(&mut self, value: &mut Value, node: Option<&Node>, root: bool, depth: usize) {
        if depth > MAX_DEPTH * 2 {
            return;
        }
        let start = self.path.len();
        let keeps = node.is_some_and(|n| n.preserve);
        match value {
            Value::Object(members) => members.retain(|name, child| {
                let embedded = root || node.is_some_and(|n| n.embedded);
                if embedded && META.contains(&name.as_str()) {
                    return true;
                }
                self.push(name);
                let known = match node {
                    Some(n) => n.child(name).map(Some).or(match n.additional {
                        // Allowed, with nothing known about what is in it.
                        Additional::Any => Some(None),
                        _ => None,
                    }),
                    None => None,
                };
                let stays = match known {
                    Some(below) => {
                        self.value(child, below, false, depth + 1);
                        true
                    }
                    None if keeps => true,
                    None => {
                        if self.gone.len() < MAX_FINDINGS {
                            self.gone.push(self.path.clone());
                        }
                        false
                    }
                };
                self.path.truncate(start);
                stays
            }),
            Value::Array(items) => {
                let item = node.and_then(|n| n.items.as_deref());
                // What lies in a list of unknown things that are kept, is kept.
                if keeps && item.is_none() {
                    return;
                }
                for (i, child) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{i}]"));
                    self.value(child, item, false, depth + 1);
                    self.path.truncate(start);
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }
}

/// Fills in defaults, after nulls that stand for nothing went.
pub fn fill(object: &mut Value, schema: &Node) {
    drop_nulls(object, schema, 0);
    defaults(object, schema, 0);
}

/// Nulls where the schema has none, and no default either, are as if the field were not there.
fn drop_nulls(value: &mut Value, node: &Node, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(members) => members.retain(|name, child| {
            let Some(below) = node.child(name) else { return true };
            if child.is_null() {
                return below.nullable || below.default.is_some() || !node.properties.contains_key(name);
            }
            drop_nulls(child, below, depth + 1);
            true
        }),
        Value::Array(items) => {
            if let Some(item) = &node.items {
                items.iter_mut().for_each(|child| drop_nulls(child, item, depth + 1));
            }
        }
        _ => {}
    }
}

fn defaults(value: &mut Value, node: &Node, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, below) in &node.properties {
                let Some(default) = &below.default else { continue };
                let absent = members.get(name).is_none_or(|v| v.is_null() && !below.nullable);
                if absent {
                    members.insert(name.clone(), default.clone());
                }
            }
            for (name, child) in members.iter_mut() {
                let Some(below) = node.child(name) else { continue };
                replace_null(child, below);
                defaults(child, below, depth + 1);
            }
        }
        Value::Array(items) => {
            let Some(item) = &node.items else { return };
            for child in items {
                replace_null(child, item);
                defaults(child, item, depth + 1);
            }
        }
        _ => {}
    }
}

fn replace_null(value: &mut Value, node: &Node) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
}

/// [`prune`] for a value that is no whole resource.
pub(super) fn below(value: &mut Value, schema: &Node) {
    Pruning { path: String::new(), gone: Vec::new() }.value(value, Some(schema), false, 0);
}
