//! An encoder for the tests: the table's messages from JSON in canonical form.

use ::base64::Engine;
use serde_json::Value;

use super::special::{SCHEMA_PROPS, Union};
use crate::table::{Schema, Shape, TypeId};

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(super) fn bytes_field(number: u32, bytes: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn int_field(number: u32, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value as u64)].concat()
}

pub(super) fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes_field(1, api_version.as_bytes()), bytes_field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), bytes_field(1, &meta), bytes_field(2, raw)].concat()
}

pub(super) fn message(schema: &Schema, id: TypeId, value: &Value) -> Vec<u8> {
    let of = schema.get(id);
    let mut out = Vec::new();
    for inline in &of.inline {
        out.extend(bytes_field(inline.proto, &message(schema, inline.type_id, value)));
    }
    for f in of.fields.iter().filter(|f| f.proto > 0) {
        let go = f.go_type.as_deref().unwrap_or_default();
        match (&f.shape, &value[&f.name]) {
            (_, Value::Null) => {}
            (Shape::List(item), Value::Array(items)) => {
                for v in items {
                    out.extend(single(schema, item, go, f.proto, v));
                }
            }
            (Shape::Map(item), Value::Object(map)) => {
                for (k, v) in map {
                    let entry = [bytes_field(1, k.as_bytes()), single(schema, item, "", 2, v)];
                    out.extend(bytes_field(f.proto, &entry.concat()));
                }
            }
            (shape, v) => out.extend(single(schema, shape, go, f.proto, v)),
        }
    }
    out
}

/// Seconds and nanoseconds of the times that [`super::random`] makes.
fn moment(text: &str) -> (i64, i64) {
    match text {
        "2026-01-02T03:04:05Z" => (1_767_323_045, 0),
        "1969-12-31T23:59:59Z" => (-1, 0),
        "2026-01-02T03:04:05.000006Z" => (1_767_323_045, 6_000),
        "1960-12-31T23:59:59.500000Z" => (-283_996_801, 500_000_000),
        other => unreachable!("{other}"),
    }
}

fn single(schema: &Schema, shape: &Shape, go: &str, number: u32, v: &Value) -> Vec<u8> {
    let text = v.as_str().unwrap_or_default();
    match shape {
        Shape::String => bytes_field(number, text.as_bytes()),
        Shape::Bytes => {
            let bytes = ::base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            bytes_field(number, &bytes)
        }
        Shape::Bool => int_field(number, i64::from(v.as_bool().unwrap())),
        Shape::Int32 | Shape::Int64 => int_field(number, v.as_i64().unwrap()),
        Shape::Float => {
            let bits = v.as_f64().unwrap().to_le_bytes();
            [varint(u64::from(number) << 3 | 1), bits.to_vec()].concat()
        }
        Shape::Quantity => bytes_field(number, &bytes_field(1, text.as_bytes())),
        Shape::IntOrString => {
            let inner = match v {
                Value::String(s) => [int_field(1, 1), bytes_field(3, s.as_bytes())].concat(),
                v => [int_field(1, 0), int_field(2, v.as_i64().unwrap())].concat(),
            };
            bytes_field(number, &inner)
        }
        Shape::Time | Shape::MicroTime if v.is_null() => bytes_field(number, b""),
        Shape::Time => bytes_field(number, &int_field(1, moment(text).0)),
        Shape::MicroTime => {
            let (seconds, nanos) = moment(text);
            let inner = [int_field(1, seconds), int_field(2, nanos)].concat();
            bytes_field(number, &inner)
        }
        Shape::Duration => {
            let nanos = kiban_base::duration::parse_go_nanos(text).unwrap();
            bytes_field(number, &int_field(1, nanos))
        }
        Shape::Any => bytes_field(number, &any(schema, go, v)),
        Shape::Object(id) => bytes_field(number, &message(schema, *id, v)),
        Shape::List(item) | Shape::Map(item) => {
            let items = v.as_array().into_iter().flatten();
            let inner: Vec<u8> = items.flat_map(|i| single(schema, item, "", 1, i)).collect();
            bytes_field(number, &inner)
        }
    }
}

fn any(schema: &Schema, go: &str, v: &Value) -> Vec<u8> {
    let id = schema.type_named(SCHEMA_PROPS).unwrap();
    match (Union::of(go), v) {
        (None, v) => bytes_field(1, v.to_string().as_bytes()),
        (Some(Union::Bool), Value::Bool(b)) => int_field(1, i64::from(*b)),
        (Some(Union::Bool), v) => [int_field(1, 1), bytes_field(2, &message(schema, id, v))].concat(),
        (Some(_), Value::Array(items)) => items
            .iter()
            .flat_map(|i| match i {
                Value::String(s) => bytes_field(2, s.as_bytes()),
                i => bytes_field(2, &message(schema, id, i)),
            })
            .collect(),
        (Some(_), v) => bytes_field(1, &message(schema, id, v)),
    }
}
