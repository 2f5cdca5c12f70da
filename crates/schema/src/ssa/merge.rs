//! Merges an applied configuration into a live object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::node::{Atom, ListAtom, MapAtom, Node};
use super::path::PathElement;
use crate::table::Schema;

/// The live value with the configuration's values in it. The caller has validated both.
pub(super) fn merge<'a>(schema: &'a Schema, node: Node<'a>, live: &Value, config: &Value) -> Value {
    Walk { schema }.merge(node, Some(live), Some(config)).unwrap_or(Value::Null)
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    schema: &'a Schema,
}

impl<'a> Walk<'a> {
    /// The merged value; nothing where neither side has members or items to give.
    fn merge(self, node: Node<'a>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
        match node.atom(self.schema, config.or(live)) {
            Atom::Map(map) if !map.atomic => {
                let (live, config) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
                if live.into_iter().chain(config).any(|m| !m.is_empty()) {
                    let out = self.members(map, live, config);
                    return (!out.is_empty()).then_some(Value::Object(out));
                }
            }
            Atom::List(list) if !list.is_atomic() => {
                let live = live.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let config = config.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                if !(live.is_empty() && config.is_empty()) {
                    let out = self.items(list, live, config);
                    return (!out.is_empty()).then_some(Value::Array(out));
                }
            }
            _ => {}
        }
        config.or(live).cloned()
    }

    fn members(
        self,
        map: MapAtom<'a>,
        live: Option<&Map<String, Value>>,
        config: Option<&Map<String, Value>>,
    ) -> Map<String, Value> {
        let names: BTreeSet<&String> =
            live.into_iter().chain(config).flat_map(|members| members.keys()).collect();
        names
            .into_iter()
            .filter_map(|name| {
                let node = map.member(name).unwrap_or(Node::Deduced);
                let (live, config) = (live.and_then(|m| m.get(name)), config.and_then(|m| m.get(name)));
                Some((name.clone(), self.merge(node, live, config)?))
            })
            .collect()
    }

    /// Items keep the order of the configuration; items that only the live list has stay where they
    /// are, relative to the ones that both have.
    fn items(self, list: ListAtom<'a>, live: &[Value], config: &[Value]) -> Vec<Value> {
        let config = Indexed::of(self.schema, list, config);
        let live = Indexed::of(self.schema, list, live);
        let mut shared = config.order.iter().filter(|(e, _)| live.by_element.contains_key(e)).map(|(e, _)| e);
        let mut next_shared = shared.next();
        let mut merged: BTreeSet<&PathElement> = BTreeSet::new();
        let mut out = Vec::with_capacity(live.order.len().max(config.order.len()));
        let (mut l, mut c) = (0, 0);
        while l < live.order.len() || c < config.order.len() {
            if let (Some((left, _)), Some((right, _))) = (live.order.get(l), config.order.get(c)) {
                if left == right {
                    merged.insert(left);
                    out.extend(self.merge(list.item, live.get(left), config.get(left)));
                    l += 1;
                    c += 1;
                    next_shared = shared.next();
                    continue;
                }
                if config.by_element.contains_key(left) && next_shared.is_some_and(|s| s != left) {
                    // Its turn comes where the configuration has it.
                    l += 1;
                    continue;
                }
            }
            if let Some((left, item)) = live.order.get(l) {
                if !config.by_element.contains_key(left) {
                    out.extend(self.merge(list.item, Some(item), None));
                    l += 1;
                    continue;
                }
                if merged.contains(left) {
                    l += 1;
                }
            }
            if let Some((right, _)) = config.order.get(c) {
                merged.insert(right);
                out.extend(self.merge(list.item, live.get(right), config.get(right)));
                c += 1;
                if next_shared == Some(right) {
                    next_shared = shared.next();
                }
            }
        }
        out
    }
}

/// The items of a list in order and by identity.
struct Indexed<'v> {
    order: Vec<(PathElement, &'v Value)>,
    /// A repeated item counts as null: nothing of it merges.
    by_element: BTreeMap<PathElement, &'v Value>,
}

static NULL: Value = Value::Null;

impl<'v> Indexed<'v> {
    fn of<'a>(schema: &'a Schema, list: ListAtom<'a>, items: &'v [Value]) -> Self {
        let mut order = Vec::with_capacity(items.len());
        let mut by_element = BTreeMap::new();
        for item in items {
            let Ok(element) = list.element(schema, item) else { continue };
            let first = !by_element.contains_key(&element);
            by_element.insert(element.clone(), if first { item } else { &NULL });
            order.push((element, item));
        }
        Self { order, by_element }
    }

    fn get(&self, element: &PathElement) -> Option<&'v Value> {
        self.by_element.get(element).copied()
    }
}
