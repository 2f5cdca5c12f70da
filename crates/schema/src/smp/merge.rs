//! Merging of objects: directives, nulls, and the choice of a rule per field.

use serde_json::{Map, Value};

use super::error::{LIST, bad_directive, bad_element_order, bad_primitive_list, bad_retain_keys, bad_type};
use super::lists::{self, Order};
use super::lookup::{Lookup, Rules};
use crate::patch::{PatchError, gofmt};

/// The directive of an object or a list item.
pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Merges `patch` into `original`.
pub(super) fn merge_map(
    mut original: Object,
    mut patch: Object,
    lookup: Lookup<'_>,
) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(bad_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(&mut original, &mut patch, lookup)?;
    for (key, value) in patch {
        merge_field(&mut original, key, value, lookup)?;
    }
    Ok(original)
}

fn merge_field(
    original: &mut Object,
    mut key: String,
    value: Value,
    lookup: Lookup<'_>,
) -> Result<(), PatchError> {
    let deletes = key.starts_with(DELETE_FROM_LIST);
    if deletes {
        let list = directive_field(&key, DELETE_FROM_LIST).ok_or_else(bad_primitive_list)?;
        if !list.is_empty() {
            key = list.to_owned();
        }
    }
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let merged = match (original.remove(&key), value) {
        (Some(Value::Object(current)), Value::Object(value)) => {
            let (below, rules) = lookup.object(&key)?;
            Value::Object(if rules.strategy.replace { value } else { merge_map(current, value, below)? })
        }
        (Some(Value::Array(current)), Value::Array(value)) => {
            let (item, rules) = lookup.list(&key)?;
            Value::Array(merge_list_field(
                &mut Order::of(&current, rules),
                current,
                value,
                item,
                rules,
                deletes,
            )?)
        }
        // A deletion from what is not there, or is no list, does nothing.
        (current, _) if deletes => match current {
            Some(current) => current,
            None => return Ok(()),
        },
        (current, mut value) => {
            if current.is_none_or(|c| is_other_type(&c, &value)) {
                discard_nulls(&mut value);
            }
            match without_directives(value) {
                Some(value) => value,
                None => return Ok(()),
            }
        }
    };
    original.insert(key, merged);
    Ok(())
}

/// A list field merges by its strategy, or is replaced by what the patch has.
fn merge_list_field(
    order: &mut Order,
    original: Vec<Value>,
    patch: Vec<Value>,
    item: Lookup<'_>,
    rules: Rules<'_>,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    if rules.strategy.merge || deletes {
        lists::merge(order, original, patch, item, rules.merge_key, deletes)
    } else {
        Ok(patch)
    }
}

fn is_other_type(a: &Value, b: &Value) -> bool {
    gofmt::type_name(a) != gofmt::type_name(b)
}

/// `$retainKeys` lists the keys to keep; whatever the patch sets must be among them.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(bad_retain_keys()) };
    let kept = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let unlisted = patch.iter().any(|(key, value)| {
        let is_directive = key.starts_with(DELETE_FROM_LIST) || key.starts_with(ELEMENT_ORDER);
        !value.is_null() && !is_directive && !kept(key)
    });
    if unlisted {
        return Err(bad_retain_keys());
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

/// Merges the lists for which the patch gives an order, and takes them out of the patch.
fn merge_ordered_lists(
    original: &mut Object,
    patch: &mut Object,
    lookup: Lookup<'_>,
) -> Result<(), PatchError> {
    let keys: Vec<String> = patch.keys().filter(|k| k.starts_with(ELEMENT_ORDER)).cloned().collect();
    for key in keys {
        let wanted = match patch.remove(&key) {
            Some(Value::Array(wanted)) => wanted,
            Some(other) => return Err(bad_type(LIST, &other)),
            None => continue,
        };
        let field = directive_field(&key, ELEMENT_ORDER).ok_or_else(bad_element_order)?;
        let current = expect_list(original.get(field))?;
        let change = expect_list(patch.get(field))?;
        let (item, rules) = lookup.list(field)?;
        lists::check_order(change.unwrap_or(&[]), &wanted, rules.merge_key)?;
        let mut order = Order::of(current.unwrap_or(&[]), rules);
        let (has_current, has_change) = (current.is_some(), change.is_some());
        let objects = lists::holds_objects(&[current.unwrap_or(&[]), change.unwrap_or(&[])]);
        let merged = match (has_current, has_change) {
            (false, false) => continue,
            (true, false) => take_list(original, field),
            (false, true) => take_list(patch, field).into_iter().filter_map(without_directives).collect(),
            (true, true) => {
                let (current, change) = (take_list(original, field), take_list(patch, field));
                merge_list_field(&mut order, current, change, item, rules, false)?
            }
        };
        let sorted = lists::arrange(merged, &wanted, &order, rules.merge_key, objects)?;
        original.insert(field.to_owned(), Value::Array(sorted));
        patch.remove(field);
    }
    Ok(())
}

fn expect_list(value: Option<&Value>) -> Result<Option<&[Value]>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(other) => Err(bad_type(LIST, other)),
    }
}

fn take_list(map: &mut Object, field: &str) -> Vec<Value> {
    match map.get_mut(field) {
        Some(Value::Array(list)) => std::mem::take(list),
        _ => Vec::new(),
    }
}

/// The field that `<directive>/<field>` speaks of.
fn directive_field<'a>(key: &'a str, directive: &str) -> Option<&'a str> {
    key.strip_prefix(directive)?.strip_prefix('/')
}

/// What a patch brings where the object has nothing loses its nulls: there is nothing to delete.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// A value without the objects that carry a directive; nothing where it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter().filter_map(|(k, v)| Some((k, without_directives(v)?))).collect(),
        )),
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(without_directives).collect())),
        value => Some(value),
    }
}
