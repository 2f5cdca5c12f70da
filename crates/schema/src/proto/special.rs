//! Messages whose JSON form is no object: times, quantities, raw JSON, the unions of the CRD API.

use kiban_base::duration;
use serde_json::Value;

use super::ProtoError;
use super::wire::{Reader, WireError};
use crate::strict::{DecodeError, format_micro_time, format_time};

/// The type that the CRD API's unions hold.
pub(super) const SCHEMA_PROPS: &str =
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// `Quantity { string = 1 }`; its text is made canonical later.
pub(super) fn quantity(bytes: &[u8]) -> Result<Value, WireError> {
    let mut text = "0".to_owned();
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.next()? {
        if number == 1 {
            text = payload.text(1)?;
        }
    }
    Ok(text.into())
}

/// `IntOrString { type = 1, intVal = 2, strVal = 3 }`.
pub(super) fn int_or_string(bytes: &[u8]) -> Result<Value, WireError> {
    let (mut is_text, mut int, mut text) = (false, 0i32, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.next()? {
        match number {
            1 => is_text = payload.varint(1)? != 0,
            2 => int = payload.varint(2)? as i32,
            3 => text = payload.text(3)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { int.into() })
}

/// `Timestamp { seconds = 1, nanos = 2 }`; without fields it is Go's zero time, null in JSON.
pub(super) fn time(bytes: &[u8], micro: bool) -> Result<Value, ProtoError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.next()? {
        match number {
            1 => seconds = payload.varint(1)? as i64,
            2 => nanos = payload.varint(2)? as i32,
            _ => {}
        }
    }
    // Times out of range would be refused when Go writes them as JSON.
    let text = if micro {
        let nanos = u32::try_from(nanos.clamp(0, 999_999_999)).unwrap_or(0) / 1000 * 1000;
        format_micro_time(seconds, nanos)
    } else {
        format_time(seconds)
    };
    match text {
        Some(text) => Ok(text.into()),
        None if seconds == crate::strict::GO_ZERO => Ok(Value::Null),
        None => Err(DecodeError("Time.MarshalJSON: year outside of range [0,9999]".to_owned()).into()),
    }
}

/// `Duration { duration = 1 }`, in nanoseconds.
pub(super) fn duration(bytes: &[u8]) -> Result<Value, WireError> {
    let mut nanos = 0i64;
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.next()? {
        if number == 1 {
            nanos = payload.varint(1)? as i64;
        }
    }
    Ok(duration::format_go_nanos(nanos).into())
}

/// `RawExtension`, `FieldsV1` and `JSON`: `{ raw = 1 }`, the bytes of a JSON document.
pub(super) fn raw_json(bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut raw: &[u8] = &[];
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.next()? {
        if number == 1 {
            raw = payload.bytes(1)?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    match crate::json::parse(raw) {
        Ok(document) => Ok(document.value),
        Err(error) => Err(DecodeError(error.to_string()).into()),
    }
}

/// The unions of the CRD API: a JSON schema, or something shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Union {
    /// `JSONSchemaPropsOrBool { allows = 1, schema = 2 }`.
    Bool,
    /// `JSONSchemaPropsOrArray { schema = 1, jSONSchemas = 2 }`.
    Array,
    /// `JSONSchemaPropsOrStringArray { schema = 1, property = 2 }`.
    StringArray,
}

/// What a number of a union's message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Schema,
    Allows,
    Text,
    Other,
}

impl Union {
    /// The union of this Go type.
    pub(super) fn of(go: &str) -> Option<Union> {
        Some(match go.rsplit('.').next()? {
            "JSONSchemaPropsOrBool" => Union::Bool,
            "JSONSchemaPropsOrArray" => Union::Array,
            "JSONSchemaPropsOrStringArray" => Union::StringArray,
            _ => return None,
        })
    }

    pub(super) fn zero(self) -> Value {
        if self == Union::Bool { Value::Bool(false) } else { Value::Null }
    }

    pub(super) fn member(self, number: u32) -> Member {
        match (self, number) {
            (Union::Bool, 1) => Member::Allows,
            (Union::Bool, 2) | (Union::Array, 1 | 2) | (Union::StringArray, 1) => Member::Schema,
            (Union::StringArray, 2) => Member::Text,
            _ => Member::Other,
        }
    }

    /// Puts a schema in its place: number 2 of an array union is one of several.
    pub(super) fn set_schema(out: &mut Value, union: Union, number: u32, schema: Value) {
        if union == Union::Array && number == 2 {
            Union::push(out, schema);
        } else if !out.is_array() {
            *out = schema;
        }
    }

    /// Adds to the list form, which wins over the single form.
    pub(super) fn push(out: &mut Value, item: Value) {
        match out {
            Value::Array(items) => items.push(item),
            _ => *out = Value::Array(vec![item]),
        }
    }
}
