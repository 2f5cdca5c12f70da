//! Merging of lists, and the order in which their items end up.
//!
//! Items that the patch (or its `$setElementOrder`) names come in the patch's order; the others
//! keep theirs; the two are interleaved by the positions that both have in the original list.

use std::collections::HashMap;

use serde_json::Value;

use super::error::{LIST, OBJECT, bad_directive, bad_type, list_of_lists, no_merge_key};
use super::lookup::{Lookup, Rules};
use super::merge::{DIRECTIVE, merge_map};
use crate::patch::{PatchError, gofmt};

/// The keys of the original list, as upstream sees them when it arranges the result: its list
/// shares memory with the one that it merges, so deletions shift it and additions overwrite its
/// tail. Which order comes out depends on that.
pub(super) struct Order {
    keys: Vec<Value>,
    used: usize,
    /// Said where items turn out to be objects: the first one without a key.
    unkeyed: Option<PatchError>,
}

impl Order {
    pub(super) fn of(list: &[Value], rules: Rules<'_>) -> Self {
        let keys: Vec<Value> = list.iter().map(|v| item_key(v, rules.merge_key).clone()).collect();
        let used = keys.len();
        let unkeyed = list.iter().find_map(|v| keyed(v, rules.merge_key).err());
        Self { keys, used, unkeyed }
    }

    fn delete(&mut self, at: usize) {
        let end = self.used.min(self.keys.len());
        if at < end {
            self.keys[at..end].rotate_left(1);
            // The slot behind the shrunk list keeps the item that was last.
            if end >= at + 2 {
                self.keys[end - 1] = self.keys[end - 2].clone();
            }
            self.used -= 1;
        }
    }

    fn append(&mut self, key: &Value) {
        if let Some(slot) = self.keys.get_mut(self.used) {
            *slot = key.clone();
        }
        self.used += 1;
    }
}

/// Merges `patch` into `original` by key, or as a set where items are scalars.
pub(super) fn merge(
    order: &mut Order,
    original: Vec<Value>,
    patch: Vec<Value>,
    item: Lookup<'_>,
    merge_key: &str,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    if !holds_objects(&[&original, &patch])? {
        if deletes {
            return Ok(original.into_iter().filter(|v| !patch.contains(v)).collect());
        }
        let server = Order::of(&original, Rules { merge_key, ..Rules::default() });
        let merged = without_duplicates(original.into_iter().chain(patch.iter().cloned()).collect());
        return arrange(merged, &patch, &server, merge_key, Ok(false));
    }
    if merge_key.is_empty() {
        return Err(PatchError::Internal(format!(
            "cannot merge lists without merge key for {}",
            item.kind()
        )));
    }
    let (original, patch) = apply_directives(order, original, patch, merge_key)?;
    let server = Order::of(&original, Rules { merge_key, ..Rules::default() });
    // Arranging needs no more of the patch than its keys.
    let wanted: Vec<Value> = patch
        .iter()
        .map(|v| {
            Value::Object([(merge_key.to_owned(), item_key(v, merge_key).clone())].into_iter().collect())
        })
        .collect();
    let merged = merge_by_key(order, original, patch, item, merge_key)?;
    arrange(merged, &wanted, &server, merge_key, Ok(true))
}

/// Carries out the items with a directive, and returns the original and the items that remain.
fn apply_directives(
    order: &mut Order,
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for value in patch {
        let Value::Object(map) = &value else { continue };
        match map.get(DIRECTIVE) {
            None => plain.push(value),
            Some(Value::String(s)) if s == "delete" => {
                let key = map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))?;
                while let Some(at) = original.iter().position(|v| v.get(merge_key) == Some(key)) {
                    original.remove(at);
                    order.delete(at);
                }
            }
            Some(Value::String(s)) if s == "replace" => replace = true,
            Some(Value::String(s)) if s == "merge" => {
                return Err(PatchError::Internal(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            Some(other) => return Err(bad_directive(other, map)),
        }
    }
    if replace { Ok((plain, Vec::new())) } else { Ok((original, plain)) }
}

fn merge_by_key(
    order: &mut Order,
    mut original: Vec<Value>,
    patch: Vec<Value>,
    item: Lookup<'_>,
    merge_key: &str,
) -> Result<Vec<Value>, PatchError> {
    for value in patch {
        let Value::Object(change) = value else { continue };
        let key = change.get(merge_key).ok_or_else(|| no_merge_key(&change, merge_key))?;
        match original.iter_mut().find(|v| v.get(merge_key) == Some(key)) {
            Some(Value::Object(current)) => {
                *current = merge_map(std::mem::take(current), change, item)?;
            }
            _ => {
                order.append(key);
                original.push(Value::Object(change));
            }
        }
    }
    Ok(original)
}

/// Drops repeated scalars as upstream does: the last item takes the place of a dropped one.
fn without_duplicates(mut list: Vec<Value>) -> Vec<Value> {
    let mut i = 0;
    while i + 1 < list.len() {
        let mut j = i + 1;
        while j < list.len() {
            if list[i] == list[j] {
                list.swap_remove(j);
            } else {
                j += 1;
            }
        }
        i += 1;
    }
    list
}

/// Checks that the items of a patch come in the order that its `$setElementOrder` gives.
pub(super) fn check_order(patch: &[Value], wanted: &[Value], merge_key: &str) -> Result<(), PatchError> {
    if wanted.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let mut items = Vec::with_capacity(patch.len());
    for value in patch {
        if !merge_key.is_empty() && !value.is_object() {
            return Err(bad_type(OBJECT, value));
        }
        if merge_key.is_empty() || value.get(DIRECTIVE).is_none_or(|d| d != "delete") {
            items.push(value);
        }
    }
    let mut rest = items.as_slice();
    let mut entries = wanted.iter().peekable();
    while let (Some((first, others)), Some(entry)) = (rest.split_first(), entries.peek()) {
        if first.get(DIRECTIVE).is_some() {
            rest = others;
            continue;
        }
        if key_of(first, merge_key)? == key_of(entry, merge_key)? {
            rest = others;
        }
        entries.next();
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(PatchError::Internal(format!(
        "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
        gofmt::plain_list(patch),
        gofmt::plain_list(wanted)
    )))
}

/// What an item is told by: its key, or all of it where its list has none.
fn key_of<'a>(value: &'a Value, merge_key: &str) -> Result<&'a Value, PatchError> {
    if merge_key.is_empty() { Ok(value) } else { keyed(value, merge_key) }
}

/// The key of an object; objects have none in a list without a key.
fn keyed<'a>(value: &'a Value, merge_key: &str) -> Result<&'a Value, PatchError> {
    let Value::Object(map) = value else { return Err(bad_type(OBJECT, value)) };
    map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))
}

/// What an item is identified by when lists are arranged; null where it has no key.
fn item_key<'a>(value: &'a Value, merge_key: &str) -> &'a Value {
    if merge_key.is_empty() { value } else { value.get(merge_key).unwrap_or(&Value::Null) }
}

/// Brings the items of `merged` into their final order. `objects` is what [`holds_objects`] said:
/// upstream looks at it late.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    server: &Order,
    merge_key: &str,
    objects: Result<bool, PatchError>,
) -> Result<Vec<Value>, PatchError> {
    let wanted_at = Positions::of(wanted.iter().map(|v| item_key(v, merge_key)));
    let server_at = Positions::of(server.keys.iter());
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for value in merged {
        let key = key_of(&value, merge_key)?;
        if wanted_at.get(key).is_some() { named.push(value) } else { others.push(value) }
    }
    let objects = objects?;
    if objects {
        for value in named.iter().chain(wanted).chain(&others) {
            keyed(value, merge_key)?;
        }
        if let Some(problem) = &server.unkeyed {
            return Err(problem.clone());
        }
    }
    let by_key = if objects { merge_key } else { "" };
    let named = sort(named, &wanted_at, by_key);
    let others = sort(others, &server_at, by_key);
    Ok(interleave(others, named, &server_at, by_key))
}

/// Positions of keys in a list; the first of equal ones counts.
struct Positions(HashMap<String, usize>);

impl Positions {
    fn of<'a>(keys: impl Iterator<Item = &'a Value>) -> Self {
        let mut map = HashMap::new();
        for (i, key) in keys.enumerate() {
            map.entry(gofmt::json(key)).or_insert(i);
        }
        Self(map)
    }

    fn get(&self, key: &Value) -> Option<usize> {
        self.0.get(&gofmt::json(key)).copied()
    }
}

/// Stable sort by position. An item without one sorts before everything it is compared with, which
/// is what upstream's comparison says; items that ask to be deleted go last.
fn sort(list: Vec<Value>, positions: &Positions, merge_key: &str) -> Vec<Value> {
    let is_deletion = |v: &Value| !merge_key.is_empty() && v.get(DIRECTIVE).is_some_and(|d| d == "delete");
    let (deletions, list): (Vec<Value>, Vec<Value>) = list.into_iter().partition(is_deletion);
    let mut placed: Vec<(Option<usize>, Value)> = Vec::with_capacity(list.len());
    for value in list {
        let at = positions.get(item_key(&value, merge_key));
        let before = |other: &Option<usize>| match (at, other) {
            (Some(a), Some(b)) => a < *b,
            _ => true,
        };
        let stays_after = placed.iter().rposition(|(other, _)| !before(other));
        placed.insert(stays_after.map_or(0, |i| i + 1), (at, value));
    }
    placed.into_iter().map(|(_, v)| v).chain(deletions).collect()
}

/// Merges the two sorted lists: an item of the server goes first only where both have a position
/// and its own is smaller.
fn interleave(others: Vec<Value>, named: Vec<Value>, positions: &Positions, merge_key: &str) -> Vec<Value> {
    let mut out = Vec::with_capacity(others.len() + named.len());
    let mut others = others.into_iter().peekable();
    let mut named = named.into_iter().peekable();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (Some(other), Some(name)) => {
                let other = positions.get(item_key(other, merge_key));
                let name = positions.get(item_key(name, merge_key));
                other.zip(name).is_some_and(|(o, n)| o < n)
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        out.extend(if other_first { others.next() } else { named.next() });
    }
}

/// Whether the items of these lists are objects; an error where they are not all of one type.
pub(super) fn holds_objects(lists: &[&[Value]]) -> Result<bool, PatchError> {
    let mut types = lists.iter().flat_map(|l| l.iter()).map(gofmt::type_name);
    let Some(first) = types.next() else {
        return Err(PatchError::Internal("no elements in any of the given slices".to_owned()));
    };
    if first == LIST {
        return Err(list_of_lists());
    }
    if types.any(|t| t != first) {
        let lists: Vec<String> = lists.iter().map(|l| gofmt::plain_list(l)).collect();
        return Err(PatchError::Internal(format!(
            "list element types are not identical: [{}]",
            lists.join(" ")
        )));
    }
    Ok(first == OBJECT)
}
