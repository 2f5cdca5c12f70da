//! Takes fields out of a value.

use serde_json::{Map, Value};

use super::node::{Atom, ListAtom, MapAtom, Node};
use super::path::PathElement;
use super::set::FieldSet;
use crate::table::Schema;

/// `value` without the fields in `items`. What is left without members or items becomes null, as
/// upstream leaves it: decoding into the type drops it.
pub(super) fn remove_items<'a>(schema: &'a Schema, node: Node<'a>, value: Value, items: &FieldSet) -> Value {
    match (node.atom(schema, Some(&value)), value) {
        (Atom::Scalar(_), value) => value,
        (Atom::List(list), Value::Array(list_items)) if !list.is_atomic() => {
            non_empty(from_list(schema, list, list_items, items)).map_or(Value::Null, Value::Array)
        }
        (Atom::Map(map), Value::Object(members)) if !map.atomic => {
            let out = from_map(schema, map, members, items);
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        _ => Value::Null,
    }
}

fn non_empty(list: Vec<Value>) -> Option<Vec<Value>> {
    (!list.is_empty()).then_some(list)
}

fn from_list<'a>(schema: &'a Schema, list: ListAtom<'a>, values: Vec<Value>, items: &FieldSet) -> Vec<Value> {
    let mut out = Vec::with_capacity(values.len());
    for value in values {
        let node = list.element(schema, &value).ok().and_then(|e| items.get(&e));
        match node {
            Some(n) if n.member => {}
            Some(n) => out.push(remove_items(schema, list.item, value, &n.below)),
            None => out.push(value),
        }
    }
    out
}

fn from_map<'a>(
    schema: &'a Schema,
    map: MapAtom<'a>,
    members: Map<String, Value>,
    items: &FieldSet,
) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in members {
        match items.get(&PathElement::Field(name.clone())) {
            Some(n) if n.member => {}
            Some(n) => {
                let node = map.member(&name).unwrap_or(Node::Deduced);
                let value = remove_items(schema, node, value, &n.below);
                out.insert(name, value);
            }
            None => drop(out.insert(name, value)),
        }
    }
    out
}
