//! Which applies change nothing when they are repeated.

use serde_json::{Map, Value};

use super::Ctx;
use super::fieldset_of::field_set;
use super::node::{Atom, ListAtom, MapAtom, Node};
use super::normalize::normalize;
use super::track::STRIPPED;
use crate::table::{Schema, Shape};

/// Whether an apply of `config` comes to rest: done again, it changes nothing.
///
/// Apply is idempotent, upstream's and this one, but for configurations that nothing can be owned by (the
/// next apply finds an object without owners, and makes `before-first-apply` one), and for items of lists
/// by key that the next apply does not find under the keys that they had in the configuration, and for emptied lists:
///
/// - a key is null: the stored item has the zero of its type, so the item is added again every time;
/// - a key is the zero that the API does not write (`secrets: [{name: ""}]` of a ServiceAccount): the
///   stored item has no identity, and every further apply is refused;
/// - the item is granular, empty and lives from the defaults of its keys (`webhooks: [{}]`): the next
///   apply takes the item's own keys for fields that were dropped, and removes it;
/// - a list that the API always writes is emptied (`containers: []`): the apply that drops the last item
///   leaves null, the next one the empty list.
///
/// Owners of the same items that were there before may save them; this looks at `config` alone.
/// `tests/golden/merge/odd.jsonl` has upstream's answers to all of it.
pub fn comes_to_rest(ctx: &Ctx<'_>, config: &Value) -> bool {
    let owned = ctx.filter(field_set(ctx.schema, ctx.node(), config)).difference(&STRIPPED);
    !owned.is_empty() && holds(ctx.schema, ctx.node(), config)
}

fn holds<'a>(schema: &'a Schema, node: Node<'a>, value: &Value) -> bool {
    match (node.atom(schema, Some(value)), value) {
        (Atom::Map(map), Value::Object(members)) if !map.atomic => members.iter().all(|(name, v)| {
            let emptied = is_emptied(schema, map, name, v);
            !emptied && holds(schema, map.member(name).unwrap_or(Node::Deduced), v)
        }),
        (Atom::List(list), Value::Array(items)) if !list.is_atomic() => {
            are_found_again(schema, list, items) && items.iter().all(|item| holds(schema, list.item, item))
        }
        _ => true,
    }
}

fn is_emptied<'a>(schema: &'a Schema, map: MapAtom<'a>, name: &str, value: &Value) -> bool {
    let Some(field) = map.field(name).filter(|f| f.always) else { return false };
    match Node::Field(field).atom(schema, Some(value)) {
        Atom::List(list) => !list.is_atomic() && value.as_array().is_some_and(Vec::is_empty),
        Atom::Map(map) => !map.atomic && map.fields.is_none() && value.as_object().is_some_and(Map::is_empty),
        Atom::Scalar(_) => false,
    }
}

fn are_found_again<'a>(schema: &'a Schema, list: ListAtom<'a>, items: &[Value]) -> bool {
    let Node::Item(Shape::Object(id)) = list.item else { return true };
    let granular = !schema.get(*id).atomic;
    let applied: Vec<_> = items.iter().map(|item| list.element(schema, item)).collect();
    items.iter().zip(&applied).all(|(item, element)| {
        let mut stored = item.clone();
        normalize(schema, *id, &mut stored);
        let stored = list.element(schema, &stored);
        let empty = item.as_object().is_none_or(Map::is_empty);
        // Where another item has the keys that this one is stored with, the two are one from then on.
        stored.is_ok() && applied.contains(&stored) && !(empty && granular && stored == *element)
    })
}
