//! What happens to an object of a built-in kind once it is decoded.

use kiban_base::clock::Timestamp;
use kiban_kinds::{defaults, fields, prepare, tables, validate};
use kiban_schema::table::Schema;
use kiban_schema::{json, strict};
use serde_json::Value;

use super::patch::two;

/// An object in canonical form with its defaults, and its group and kind.
fn decoded(value: Value) -> Option<(String, String, Value)> {
    let meta = json::type_meta(&value).ok()?;
    let id = Schema::builtin().type_of(&meta.api_version, &meta.kind)?;
    let mut value = strict::normalise(Schema::builtin(), id, value).ok()?;
    let group = meta.api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    defaults::apply(&group, &meta.kind, &mut value);
    let once = value.clone();
    defaults::apply(&group, &meta.kind, &mut value);
    assert_eq!(value, once, "defaults of defaults differ");
    Some((group, meta.kind, value))
}

fn show(group: &str, kind: &str, value: &Value) {
    let _ = tables::render_one(group, kind, value, tables::TableOptions::default(), Timestamp::default());
    let _ = fields::extract(group, kind, value);
    let _ = tables::partial_object_metadata(value, tables::MetaVersion::default());
}

/// A create: defaults, strategy, checks, table.
pub(super) fn create(data: &[u8]) -> bool {
    let Ok(document) = json::parse(data) else { return false };
    let Some((group, kind, mut value)) = decoded(document.value) else { return false };
    show(&group, &kind, &value);
    prepare::create(&group, &kind, &mut value);
    let causes = validate::create(&group, &kind, &value);
    show(&group, &kind, &value);
    let _ = kiban_manifest::against_schema(&value);
    causes.is_empty()
}

/// An update, of the object and of its status.
pub(super) fn update(data: &[u8]) -> bool {
    let Some((old, new)) = two(data) else { return false };
    let (Some((group, kind, old)), Some((new_group, new_kind, mut new))) = (decoded(old), decoded(new))
    else {
        return false;
    };
    if (&group, &kind) != (&new_group, &new_kind) {
        return false;
    }
    let mut status = new.clone();
    prepare::status_update(&group, &kind, &old, &mut status);
    let _ = validate::status(&group, &kind, &old, &status);
    prepare::update(&group, &kind, &old, &mut new);
    let causes = validate::update(&group, &kind, &old, &new);
    if kind == "Pod" {
        let _ = (validate::ephemeral_containers(&old, &new), validate::resize(&old, &new));
    }
    causes.is_empty()
}
