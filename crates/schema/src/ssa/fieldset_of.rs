//! The field set of a value: everything that an applied configuration names.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::node::{Atom, ListAtom, MapAtom, Node};
use super::path::PathElement;
use super::set::FieldSet;
use crate::table::Schema;

/// Stands for an item that has no identity. Only what a removal leaves behind has such items.
const NAMELESS: PathElement = PathElement::Index(-1);

/// The fields that `value` sets.
pub(super) fn field_set<'a>(schema: &'a Schema, node: Node<'a>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(schema, node, value, &mut set);
    set
}

/// Collects what lies below a value; the result says whether the value itself is a member.
fn collect<'a>(schema: &'a Schema, node: Node<'a>, value: &Value, set: &mut FieldSet) -> bool {
    match (node.atom(schema, Some(value)), value) {
        (Atom::Scalar(_), _) => return true,
        (Atom::List(list), _) if list.is_atomic() => return true,
        (Atom::Map(map), _) if map.atomic => return true,
        (Atom::List(list), Value::Array(items)) => collect_items(schema, list, items, set),
        (Atom::Map(map), Value::Object(members)) => collect_members(schema, map, members, set),
        _ => {}
    }
    false
}

fn collect_items<'a>(schema: &'a Schema, list: ListAtom<'a>, items: &[Value], set: &mut FieldSet) {
    let elements: Vec<Option<PathElement>> =
        items.iter().map(|item| list.element(schema, item).ok()).collect();
    let mut seen = BTreeSet::new();
    let repeated: BTreeSet<&PathElement> = elements.iter().flatten().filter(|e| !seen.insert(*e)).collect();
    for (element, item) in elements.iter().zip(items) {
        let Some(element) = element else {
            // What a removal emptied: it has no name, but the list is not empty for it.
            set.attach(NAMELESS, true, FieldSet::default());
            continue;
        };
        let mut below = FieldSet::default();
        // A repeated item is owned, but nothing inside it: there is no telling which.
        if !repeated.contains(element) {
            collect(schema, list.item, item, &mut below);
        }
        set.attach(element.clone(), true, below);
    }
}

fn collect_members<'a>(
    schema: &'a Schema,
    map: MapAtom<'a>,
    members: &Map<String, Value>,
    set: &mut FieldSet,
) {
    for (name, value) in members {
        let mut below = FieldSet::default();
        let leaf = map.member(name).is_some_and(|node| collect(schema, node, value, &mut below));
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        let undeclared = map.field(name).is_none();
        set.attach(PathElement::Field(name.clone()), leaf || empty || undeclared, below);
    }
}
