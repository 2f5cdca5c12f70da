//! Bodies of requests: JSON, strict decoding, protobuf.

use kiban_schema::table::{Schema, TypeId};
use kiban_schema::{json, proto, strict};
use serde_json::Value;

/// The type of the table that an object says it is.
pub(super) fn type_of(value: &Value) -> Option<TypeId> {
    let meta = json::type_meta(value).ok()?;
    Schema::builtin().type_of(&meta.api_version, &meta.kind)
}

/// A document: what it holds can be written and read again.
pub(super) fn json(data: &[u8]) -> bool {
    let Ok(document) = json::parse(data) else { return false };
    let _ = json::type_meta(&document.value);
    let written = document.value.to_string();
    let again = json::parse(written.as_bytes());
    assert_eq!(again.ok().map(|d| d.value).as_ref(), Some(&document.value), "{written}");
    true
}

/// A body of a built-in kind: canonical form is a fixed point.
pub(super) fn strict(data: &[u8]) -> bool {
    let Ok(document) = json::parse(data) else { return false };
    let Some(id) = type_of(&document.value) else { return false };
    let mut pruned = document.value.clone();
    let _ = strict::prune(Schema::builtin(), id, &mut pruned);
    let Ok(decoded) = strict::decode(Schema::builtin(), id, document) else { return false };
    let again = strict::normalise(Schema::builtin(), id, decoded.value.clone());
    assert_eq!(again.as_ref(), Ok(&decoded.value), "canonical form is no fixed point");
    true
}

/// A protobuf envelope: what it holds is what strict decoding takes.
pub(super) fn proto(data: &[u8]) -> bool {
    let Ok(envelope) = proto::decode_envelope(Schema::builtin(), data) else { return false };
    let id = type_of(&envelope.value).expect("a decoded envelope is of a built-in kind");
    let _ = strict::normalise(Schema::builtin(), id, envelope.value);
    true
}
