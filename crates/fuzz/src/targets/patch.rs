//! Patches: an object on one line, what is done to it on the next.

use kiban_base::clock::Timestamp;
use kiban_kinds::validate;
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

/// JSON merge patch. It is not idempotent, for Kubernetes' library is not: nulls in a list stay when the
/// list is new, and go when it takes the place of another.
pub(super) fn merge(data: &[u8]) -> bool {
    let Some((mut object, patch)) = two(data) else { return false };
    if patch::apply_merge_patch(&mut object, patch.clone()).is_err() {
        return false;
    }
    let mut second = object;
    if patch::apply_merge_patch(&mut second, patch.clone()).is_ok() {
        let mut third = second.clone();
        assert!(
            patch::apply_merge_patch(&mut third, patch).is_ok(),
            "a patch is taken twice and not a third time"
        );
        assert_eq!(third, second, "a merge patch does not come to rest");
    }
    true
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
    // What no cluster would store need not come to rest. What it would, it may still refuse the next time,
    // as upstream does with keys that are null; but it must not change.
    if validate::create(&kind.group, &kind.kind, &once).is_empty()
        && let Ok(twice) = ssa::apply(&ctx, Some(&once), &config, "first", false, now)
    {
        assert_eq!(twice, once, "an apply is not idempotent");
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
