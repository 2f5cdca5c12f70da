//! Field sets brought in line with the type table.

use super::node::{Atom, MapAtom, Node};
use super::path::PathElement;
use super::set::{FieldSet, Node as SetNode};
use crate::table::Schema;

impl FieldSet {
    /// The set with every declared field a member that has members below it.
    ///
    /// A value is removed only with its last member; declared fields go with their object.
    pub(super) fn with_named_fields<'a>(&self, schema: &'a Schema, node: Option<Node<'a>>) -> Self {
        let atom = node.map(|n| n.atom(schema, None));
        let nodes = self.nodes.iter().map(|n| {
            let (declared, child) = match (&atom, &n.element) {
                (Some(Atom::Map(map)), PathElement::Field(name)) => {
                    (map.field(name).is_some(), map.member(name))
                }
                (Some(Atom::List(list)), PathElement::Key(_)) => (false, Some(list.item)),
                _ => (false, None),
            };
            SetNode {
                element: n.element.clone(),
                member: n.member || (declared && !n.below.is_empty()),
                below: n.below.with_named_fields(schema, child),
            }
        });
        Self { nodes: nodes.collect() }
    }

    /// Replaces members below what is owned whole by the whole: sets that were written by clients,
    /// or when the type was another.
    pub(super) fn reconciled<'a>(mut self, schema: &'a Schema, node: Node<'a>) -> Self {
        reconcile(schema, node, &mut self);
        self
    }
}

fn reconcile<'a>(schema: &'a Schema, node: Node<'a>, set: &mut FieldSet) {
    match node.atom(schema, None) {
        Atom::Map(map) if map.is_deduced() => {}
        Atom::Map(map) => set.nodes.iter_mut().for_each(|n| {
            if let Some(child) = child_of_map(map, &n.element) {
                reconcile_node(schema, child, n);
            }
        }),
        Atom::List(list) => {
            set.nodes.iter_mut().for_each(|n| reconcile_node(schema, list.item, n));
        }
        Atom::Scalar(_) => {}
    }
}

fn child_of_map<'a>(map: MapAtom<'a>, element: &PathElement) -> Option<Node<'a>> {
    match element {
        PathElement::Field(name) => map.member(name),
        _ => map.element,
    }
}

fn reconcile_node<'a>(schema: &'a Schema, node: Node<'a>, n: &mut SetNode) {
    let whole = match node.atom(schema, None) {
        Atom::Map(map) => map.atomic && !map.is_deduced(),
        Atom::List(list) => list.is_atomic(),
        Atom::Scalar(_) => false,
    };
    if !whole {
        reconcile(schema, node, &mut n.below);
    } else if !n.below.is_empty() {
        n.member = true;
        n.below = FieldSet::default();
    }
}
