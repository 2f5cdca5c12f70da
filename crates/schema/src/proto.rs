//! Protobuf request bodies: Kubernetes' envelope and its messages, decoded to JSON by the table.
//!
//! Typed Go clients send these and nothing else. The wire format is protobuf's; numbers come from
//! the table, embedded Go structs are messages of their own ([`Type::inline`]), and a handful of
//! types have a form of their own (times, quantities, raw JSON). The result is in the canonical
//! form of [`crate::strict`]: Go sends zero values that its JSON leaves out.

use serde_json::{Map, Value};

use crate::strict::{self, DecodeError};
use crate::table::{Field, Schema, Shape, Type, TypeId};

mod special;
mod wire;

pub use wire::WireError;
use wire::{Payload, Reader};

/// The bytes that every body starts with.
pub const PREFIX: [u8; 4] = *b"k8s\0";
/// Messages within messages; the deepest real one (a CRD's schema) stays far below.
const MAX_DEPTH: usize = 100;

/// Why a body does not decode; all are the client's fault (400).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProtoError {
    /// No bytes.
    #[error("empty data")]
    Empty,
    /// The prefix alone.
    #[error("empty body")]
    EmptyBody,
    /// It does not start with [`PREFIX`].
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// The envelope names no kind and the caller has none to assume.
    #[error("Object 'Kind' is missing in the protobuf envelope")]
    MissingKind,
    /// The table has no such kind.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// What the envelope says.
        api_version: String,
        /// What the envelope says.
        kind: String,
    },
    /// The bytes break the wire format.
    #[error("proto: {0}")]
    Wire(#[from] WireError),
    /// Messages are nested too deep.
    #[error("proto: exceeded max depth")]
    Depth,
    /// A value inside is none of its type.
    #[error("{0}")]
    Value(#[from] DecodeError),
}

/// An envelope that is open: `runtime.Unknown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown<'b> {
    /// `v1` or `apps/v1`; may be empty.
    pub api_version: String,
    /// CamelCase kind; may be empty.
    pub kind: String,
    /// The object's message.
    pub raw: &'b [u8],
}

/// An object out of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// `v1` or `apps/v1`.
    pub api_version: String,
    /// CamelCase kind.
    pub kind: String,
    /// The object with `apiVersion` and `kind`, in canonical form.
    pub value: Value,
}

/// Opens the envelope: prefix, then type and bytes of the object.
pub fn open(bytes: &[u8]) -> Result<Unknown<'_>, ProtoError> {
    if bytes.is_empty() {
        return Err(ProtoError::Empty);
    }
    let message = bytes.strip_prefix(&PREFIX).ok_or(ProtoError::Prefix)?;
    if message.is_empty() {
        return Err(ProtoError::EmptyBody);
    }
    let mut out = Unknown { api_version: String::new(), kind: String::new(), raw: &[] };
    let mut reader = Reader::new(message);
    while let Some((number, payload)) = reader.next()? {
        match number {
            1 => {
                let mut meta = Reader::new(payload.bytes(1)?);
                while let Some((number, payload)) = meta.next()? {
                    match number {
                        1 => out.api_version = payload.text(1)?,
                        2 => out.kind = payload.text(2)?,
                        _ => {}
                    }
                }
            }
            2 => out.raw = payload.bytes(2)?,
            _ => {}
        }
    }
    Ok(out)
}

/// Decodes a body of any built-in kind. Total: any bytes give a value or an error.
pub fn decode_envelope(schema: &Schema, bytes: &[u8]) -> Result<Envelope, ProtoError> {
    decode_envelope_or(schema, bytes, None)
}

/// Decodes a body; where its envelope leaves apiVersion and kind open, those of `default` hold
/// (what the URL says), as in the real API server.
pub fn decode_envelope_or(
    schema: &Schema,
    bytes: &[u8],
    default: Option<(&str, &str)>,
) -> Result<Envelope, ProtoError> {
    let Unknown { mut api_version, mut kind, raw } = open(bytes)?;
    if let Some((default_version, default_kind)) = default {
        if api_version.is_empty() {
            default_version.clone_into(&mut api_version);
        }
        if kind.is_empty() {
            default_kind.clone_into(&mut kind);
        }
    }
    if kind.is_empty() {
        return Err(ProtoError::MissingKind);
    }
    let Some(id) = schema.type_of(&api_version, &kind) else {
        return Err(ProtoError::UnknownKind { api_version, kind });
    };
    let mut value = decode(schema, id, raw)?;
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".to_owned(), api_version.clone().into());
        map.insert("kind".to_owned(), kind.clone().into());
    }
    Ok(Envelope { api_version, kind, value })
}

/// Decodes one message of a type, in canonical form.
pub fn decode(schema: &Schema, id: TypeId, bytes: &[u8]) -> Result<Value, ProtoError> {
    let decoder = Decoder { schema };
    let mut out = Map::new();
    decoder.message(schema.get(id), bytes, &mut out, 0)?;
    Ok(strict::normalise(schema, id, Value::Object(out))?)
}

#[derive(Clone, Copy)]
struct Decoder<'s> {
    schema: &'s Schema,
}

impl<'s> Decoder<'s> {
    /// Adds a message's fields to `out`: what came before merges with it, as protobuf has it.
    fn message(
        self,
        of: &'s Type,
        bytes: &[u8],
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        if depth > MAX_DEPTH {
            return Err(ProtoError::Depth);
        }
        let mut reader = Reader::new(bytes);
        while let Some((number, payload)) = reader.next()? {
            if let Some(inline) = of.inline.iter().find(|i| i.proto == number) {
                let inner = self.schema.get(inline.type_id);
                self.message(inner, payload.bytes(number)?, out, depth + 1)?;
                continue;
            }
            // Numbers that the table lacks are a newer client's fields: dropped, as Go does.
            if let Some(field) = of.fields.iter().find(|f| f.proto == number) {
                self.field(field, payload, out, depth)?;
            }
        }
        Ok(())
    }

    fn field(
        self,
        field: &'s Field,
        payload: Payload<'_>,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        let slot = out.entry(field.name.as_str()).or_insert(Value::Null);
        let go = field.go_type.as_deref().unwrap_or_default();
        match &field.shape {
            Shape::List(item) => {
                if !slot.is_array() {
                    *slot = Value::Array(Vec::new());
                }
                if let Value::Array(items) = slot {
                    self.item(item, go, field.proto, payload, items, depth)?;
                }
            }
            Shape::Map(item) => {
                let (key, value) = self.entry(item, field.proto, payload, depth)?;
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(map) = slot {
                    map.insert(key, value);
                }
            }
            Shape::Object(id) => {
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(map) = slot {
                    self.message(self.schema.get(*id), payload.bytes(field.proto)?, map, depth + 1)?;
                }
            }
            shape => *slot = self.single(shape, go, field.proto, payload, depth)?,
        }
        Ok(())
    }

    /// One occurrence of a repeated field: an item, or a run of packed numbers.
    fn item(
        self,
        shape: &'s Shape,
        go: &str,
        number: u32,
        payload: Payload<'_>,
        items: &mut Vec<Value>,
        depth: usize,
    ) -> Result<(), ProtoError> {
        let packs = matches!(shape, Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float);
        if let (true, Payload::Bytes(bytes)) = (packs, payload) {
            let mut reader = Reader::new(bytes);
            let float = matches!(shape, Shape::Float);
            while let Some(payload) = reader.packed(float)? {
                items.push(self.single(shape, go, number, payload, depth)?);
            }
            return Ok(());
        }
        items.push(self.single(shape, go, number, payload, depth)?);
        Ok(())
    }

    /// A map's entry: a message with key 1 and value 2.
    fn entry(
        self,
        shape: &'s Shape,
        number: u32,
        payload: Payload<'_>,
        depth: usize,
    ) -> Result<(String, Value), ProtoError> {
        let mut reader = Reader::new(payload.bytes(number)?);
        let (mut key, mut value) = (String::new(), None);
        while let Some((number, payload)) = reader.next()? {
            match number {
                1 => key = payload.text(1)?,
                2 => value = Some(self.single(shape, "", 2, payload, depth + 1)?),
                _ => {}
            }
        }
        Ok((key, value.unwrap_or_else(|| strict::zero(self.schema, shape))))
    }

    /// A value that stands alone: a scalar, a message, or a list within a list or a map, which
    /// Kubernetes wraps in a message of its own (`ExtraValue`).
    fn single(
        self,
        shape: &'s Shape,
        go: &str,
        number: u32,
        payload: Payload<'_>,
        depth: usize,
    ) -> Result<Value, ProtoError> {
        Ok(match shape {
            Shape::String => payload.text(number)?.into(),
            Shape::Bytes => strict::encode_base64(payload.bytes(number)?).into(),
            Shape::Bool => (payload.varint(number)? != 0).into(),
            Shape::Int32 => (payload.varint(number)? as i32).into(),
            Shape::Int64 => (payload.varint(number)? as i64).into(),
            Shape::Float => payload.float(number)?.into(),
            Shape::Quantity => special::quantity(payload.bytes(number)?)?,
            Shape::IntOrString => special::int_or_string(payload.bytes(number)?)?,
            Shape::Time => special::time(payload.bytes(number)?, false)?,
            Shape::MicroTime => special::time(payload.bytes(number)?, true)?,
            Shape::Duration => special::duration(payload.bytes(number)?)?,
            Shape::Any => self.any(go, payload.bytes(number)?, depth)?,
            Shape::Object(id) => {
                let mut map = Map::new();
                let of = self.schema.get(*id);
                self.message(of, payload.bytes(number)?, &mut map, depth + 1)?;
                Value::Object(map)
            }
            Shape::List(item) | Shape::Map(item) => {
                let mut items = Vec::new();
                let mut reader = Reader::new(payload.bytes(number)?);
                while let Some((number, payload)) = reader.next()? {
                    if number == 1 {
                        self.item(item, "", 1, payload, &mut items, depth + 1)?;
                    }
                }
                Value::Array(items)
            }
        })
    }

    /// Raw JSON, or one of the three unions of the CRD API.
    fn any(self, go: &str, bytes: &[u8], depth: usize) -> Result<Value, ProtoError> {
        let Some(union) = special::Union::of(go) else {
            return special::raw_json(bytes);
        };
        let mut reader = Reader::new(bytes);
        let mut out = union.zero();
        while let Some((number, payload)) = reader.next()? {
            match union.member(number) {
                special::Member::Schema => {
                    let mut map = Map::new();
                    if let Some(id) = self.schema.type_named(special::SCHEMA_PROPS) {
                        let of = self.schema.get(id);
                        self.message(of, payload.bytes(number)?, &mut map, depth + 1)?;
                    }
                    special::Union::set_schema(&mut out, union, number, Value::Object(map));
                }
                special::Member::Allows if out.is_boolean() => {
                    out = (payload.varint(number)? != 0).into();
                }
                special::Member::Text => {
                    special::Union::push(&mut out, payload.text(number)?.into());
                }
                _ => {}
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
