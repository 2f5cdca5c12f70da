//! Patches: an object on one line, what is done to it on the next.

use kiban_base::clock::Timestamp;
use kiban_schema::table::{Kind, Schema};
use kiban_schema::{json, patch, smp, ssa, strict};
use serde_json::Value;

use super::schema::type_of;

/// Two documents, on a line each.
pub(super) fn two(data: &[u8]) -> Option<(Value, Value)> {
    let cut = data.iter().position(|b| *b == b'\n')?;
    let (first, second) = data.split_at(cut);
    Some((json::parse(first).ok()?.value, json::parse(second.get(1..)?).ok()?.value))
}

/// JSON patch.
pub(super) fn json(data: &[u8]) -> bool {
    let Some((mut object, patch)) = two(data) else { return false };
    match patch::apply_json_patch(&mut object, &patch) {
        Ok(()) => true,
        Err(error) => {
            let _ = (error.status(), error.client_message());
            false
        }
    }
}

/// JSON merge patch: done again it changes nothing, and it gives what RFC 7386 says. Kubernetes' library
/// strays from both for nulls in lists alone: an object in a list loses its null members, but where the
/// list takes the place of an object, which the second time it does not
/// (`crates/schema/tests/golden/merge/again.jsonl` has the library's answers).
pub(super) fn merge(data: &[u8]) -> bool {
    let Some((original, patch)) = two(data) else { return false };
    let mut once = original.clone();
    if patch::apply_merge_patch(&mut once, patch.clone()).is_err() {
        return false;
    }
    let mut twice = once.clone();
    assert!(patch::apply_merge_patch(&mut twice, patch.clone()).is_ok(), "a merge patch is refused again");
    if list_takes_over(Some(&original), &patch) {
        assert_eq!(twice, settled(once.clone(), &patch), "more than nulls in lists changed");
    } else {
        assert_eq!(twice, once, "a merge patch is not idempotent");
    }
    if patch.is_object() && !holds_null_members(&patch) {
        assert_eq!(once, rfc7386(original, &patch), "a merge patch gives something else than RFC 7386");
    }
    true
}

/// The algorithm of RFC 7386, section 2.
fn rfc7386(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        let before = target.remove(name);
        if !value.is_null() {
            target.insert(name.clone(), rfc7386(before.unwrap_or_default(), value));
        }
    }
    Value::Object(target)
}

/// Whether a list with null members takes the place of an object.
fn list_takes_over(doc: Option<&Value>, patch: &Value) -> bool {
    match (doc, patch) {
        (Some(Value::Object(doc)), Value::Object(patch)) => {
            patch.iter().any(|(name, value)| list_takes_over(doc.get(name), value))
        }
        (Some(Value::Object(_)), Value::Array(_)) => holds_null_members(patch),
        _ => false,
    }
}

/// A patched document whose lists have lost the null members that the patch brought.
fn settled(doc: Value, patch: &Value) -> Value {
    match (doc, patch) {
        (Value::Object(doc), Value::Object(patch)) => doc
            .into_iter()
            .map(|(name, value)| match patch.get(&name) {
                Some(change) => (name, settled(value, change)),
                None => (name, value),
            })
            .collect(),
        (Value::Array(_), patch @ Value::Array(_)) => without_null_members(patch),
        (doc, _) => doc,
    }
}

/// Whether a list somewhere in a value holds an object with a null member.
fn holds_null_members(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(holds_null_members),
        Value::Array(_) => without_null_members(value) != *value,
        _ => false,
    }
}

/// Members of objects that are null are taken away, at any depth.
fn without_null_members(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, v)| !v.is_null());
            kept.map(|(k, v)| (k.clone(), without_null_members(v))).collect()
        }
        Value::Array(items) => items.iter().map(without_null_members).collect(),
        other => other.clone(),
    }
}

/// Strategic merge patch.
pub(super) fn strategic(data: &[u8]) -> bool {
    let Some((object, patch)) = two(data) else { return false };
    let Some(id) = type_of(&object) else { return false };
    smp::apply(Schema::builtin(), id, object, patch).is_ok()
}

fn kind_of(value: &Value) -> Option<&'static Kind> {
    let meta = json::type_meta(value).ok()?;
    let (group, version) = meta.api_version.split_once('/').unwrap_or(("", &meta.api_version));
    // Others are bodies of subresources and options, which have no metadata.
    Schema::builtin().kind(group, version, &meta.kind).filter(|kind| kind.is_resource())
}

/// Server-side apply: over an object, then again, then by somebody else, then an update.
pub(super) fn apply(data: &[u8]) -> bool {
    let Some((live, config)) = two(data) else { return false };
    let Some(kind) = kind_of(&live) else { return false };
    let Ok(mut live) = strict::normalise(Schema::builtin(), kind.type_id, live) else { return false };
    ssa::normalize(Schema::builtin(), kind.type_id, &mut live);
    let (ctx, now) = (ssa::Ctx::new(Schema::builtin(), kind, ""), Timestamp::default());
    let _ = ssa::apply(&ctx, None, &config, "first", false, now);
    let Ok(once) = ssa::apply(&ctx, Some(&live), &config, "first", true, now) else { return false };
    let twice = ssa::apply(&ctx, Some(&once), &config, "first", false, now);
    // `comes_to_rest` names what upstream is not idempotent on either.
    if ssa::comes_to_rest(&ctx, &config) {
        assert_eq!(twice.as_ref(), Ok(&once), "an apply is not idempotent");
    }
    let _ = ssa::apply(&ctx, Some(&once), &config, "second", false, now);
    let _ = ssa::track_update(&ctx, Some(&once), live, "third", now);
    true
}

/// The sets of fields in managedFields: what is written is what was read.
pub(super) fn fields(data: &[u8]) -> bool {
    let Ok(document) = json::parse(data) else { return false };
    let Ok(set) = ssa::FieldSet::from_fields_v1(&document.value) else { return false };
    let again = ssa::FieldSet::from_fields_v1(&set.to_fields_v1());
    assert_eq!(again.as_ref(), Ok(&set), "{}", set.to_json());
    let _ = (set.paths(), set.leaves());
    true
}
