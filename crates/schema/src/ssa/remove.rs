//! Takes fields out of a value.

use serde_json::{Map, Value};

use super::node::{Atom, ListAtom, MapAtom, Node};
use super::path::PathElement;
use super::set::FieldSet;
use crate::table::Schema;

/// `value` without the fields in `items`. What is left without members or items becomes null, as
/// upstream leaves it: decoding into the type drops it.
pub(super) fn remove_items<'a>(schema: &'a Schema, node: Node<'a>, value: &Value, items: &FieldSet) -> Value {
    match (node.atom(schema, Some(value)), value) {
        (Atom::Scalar(_), value) => value.clone(),
        (Atom::List(list), Value::Array(values)) if !list.is_atomic() => {
            let out = from_list(schema, list, values, items);
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Atom::Map(map), Value::Object(members)) if !map.atomic => {
            let out = from_map(schema, map, members, items);
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        _ => Value::Null,
    }
}

fn from_list<'a>(schema: &'a Schema, list: ListAtom<'a>, values: &[Value], items: &FieldSet) -> Vec<Value> {
    let mut out = Vec::with_capacity(values.len());
    for value in values {
        let node = list.element(schema, value).ok().and_then(|e| items.get(&e));
        match node {
            Some(n) if n.member => {}
            Some(n) => out.push(remove_items(schema, list.item, value, &n.below)),
            None => out.push(value.clone()),
        }
    }
    out
}

fn from_map<'a>(
    schema: &'a Schema,
    map: MapAtom<'a>,
    members: &Map<String, Value>,
    items: &FieldSet,
) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in members {
        match items.get(&PathElement::Field(name.clone())) {
            Some(n) if n.member => {}
            Some(n) => {
                let node = map.member(name).unwrap_or(Node::Deduced);
                out.insert(name.clone(), remove_items(schema, node, value, &n.below));
            }
            None => drop(out.insert(name.clone(), value.clone())),
        }
    }
    out
}
