//! The differences of two forms of one object, by field.

use serde_json::Value;

use crate::fields::Step;

/// The fields that lists of Kubernetes' objects are keyed by, the more telling first. Where a list has
/// none of them it is one value.
const KEYS: &[&str] = &[
    "name",
    "containerPort",
    "port",
    "mountPath",
    "devicePath",
    "key",
    "type",
    "ip",
    "topologyKey",
    "uid",
    "host",
];

/// What is told of each difference: the path, and the two values.
type Tell<'a, 'b> = &'b mut dyn FnMut(&[Step<'a>], Option<&'a Value>, Option<&'a Value>);

/// How deep objects are compared; below, they are one value.
const MAX_DEPTH: usize = 100;

/// Tells every difference of two objects, at the deepest field that holds it.
pub(super) fn differences<'a>(left: &'a Value, right: &'a Value, tell: Tell<'a, '_>) {
    walk(&mut Vec::new(), Some(left), Some(right), tell);
}

fn walk<'a>(path: &mut Vec<Step<'a>>, left: Option<&'a Value>, right: Option<&'a Value>, tell: Tell<'a, '_>) {
    if left == right {
        return;
    }
    match (left, right) {
        _ if path.len() >= MAX_DEPTH => tell(path, left, right),
        (Some(Value::Object(l)), Some(Value::Object(r))) => {
            let added = r.keys().filter(|k| !l.contains_key(*k));
            for key in l.keys().chain(added) {
                path.push(Step::Field(key));
                walk(path, l.get(key), r.get(key), tell);
                path.pop();
            }
        }
        (Some(Value::Array(l)), Some(Value::Array(r))) => match key_of(l, r) {
            None => tell(path, left, right),
            Some(key) => walk_list(path, key, l, r, tell),
        },
        _ => tell(path, left, right),
    }
}

fn walk_list<'a>(
    path: &mut Vec<Step<'a>>,
    key: &str,
    left: &'a [Value],
    right: &'a [Value],
    tell: Tell<'a, '_>,
) {
    let find = |list: &'a [Value], like: &Value| list.iter().find(|e| e.get(key) == like.get(key));
    let added = right.iter().filter(|e| find(left, e).is_none());
    for element in left.iter().chain(added) {
        path.push(Step::Element(element));
        walk(path, find(left, element), find(right, element), tell);
        path.pop();
    }
}

/// The field by which the elements of both lists are told apart.
fn key_of(left: &[Value], right: &[Value]) -> Option<&'static str> {
    let keyed = |list: &[Value], key: &str| {
        let values: Vec<_> = list.iter().map(|e| e.get(key)).collect();
        let all = values.iter().all(|v| v.is_some_and(|v| !v.is_object() && !v.is_array()));
        all && values.iter().enumerate().all(|(i, v)| !values.iter().skip(i + 1).any(|other| other == v))
    };
    KEYS.iter().find(|key| keyed(left, key) && keyed(right, key)).copied()
}

/// A path in the words that API servers use for conflicts:
/// `.spec.template.spec.containers[name="orders"].image`.
pub(super) fn text(path: &[Step<'_>]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Field(name) if name.contains(['.', '/']) => out.push_str(&format!("[{name:?}]")),
            Step::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Step::Element(element) => {
                let key = KEYS.iter().find_map(|k| Some((k, element.get(*k)?)));
                match key {
                    Some((key, value)) => out.push_str(&format!("[{key}={value}]")),
                    None => out.push_str(&format!("[{element}]")),
                }
            }
        }
    }
    out
}
