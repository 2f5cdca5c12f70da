//! Decoding a request body as the API server's Go types would: unknown and repeated fields, wrong
//! types, nulls, and the canonical form of what stands.
//!
//! [`decode`] is what a round trip through the typed Go struct does. The result has no field that
//! the type lacks; a zero value stands only where Go writes it (`resources: {}`,
//! `creationTimestamp` not); quantities, times and base64 are in canonical form. Texts of errors
//! are those of the real decoder, which clients show to people.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use crate::json::Document;
use crate::table::{Field, Schema, Shape, Type, TypeId};

mod base64;
mod scalar;
mod time;

pub(crate) use base64::encode as encode_base64;
pub(crate) use time::{GO_ZERO, format_micro_time, format_time};

/// Levels of nesting that are walked; [`crate::json::parse`] allows fewer.
const MAX_DEPTH: usize = 200;
/// Objects that one body may hold. Each costs far more than the two bytes (`{}`) that it may
/// take on the wire.
const MAX_OBJECTS: usize = 200_000;
/// Findings that are kept, as in the real decoder.
const MAX_FINDINGS: usize = 100;

/// A body that decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object in canonical form.
    pub value: Value,
    /// What strict decoding objects to (`unknown field "spec.foo"`, `duplicate field "spec.x"`):
    /// with `fieldValidation=Strict` an error ([`strict_error`]), with `Warn` one warning each.
    pub findings: Vec<String>,
}

/// A body that does not decode, in the words of the real API server's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// `strict decoding error: unknown field "a", duplicate field "b"`.
pub fn strict_error(findings: &[String]) -> DecodeError {
    DecodeError(format!("strict decoding error: {}", findings.join(", ")))
}

/// The message of the 400 that a body of this kind gets when it does not decode.
pub fn cannot_be_handled(kind: &str, version: &str, error: &DecodeError) -> String {
    format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}")
}

/// Decodes a document as a type of the table.
pub fn decode(schema: &Schema, id: TypeId, document: Document) -> Result<Decoded, DecodeError> {
    let root = Shape::Object(id);
    let mut walk = Walk {
        schema,
        duplicates: document.duplicates.into_iter().collect(),
        path: String::new(),
        trail: Vec::new(),
        findings: Vec::new(),
        saved: None,
        silent: false,
        depth: 0,
        objects: 0,
    };
    let value = walk.value(&root, None, document.value)?;
    match walk.saved {
        Some(error) => Err(error),
        None => Ok(Decoded { value, findings: walk.findings }),
    }
}

/// Brings a value that is known to be sound into canonical form; what does not fit its type is
/// an error, and unknown fields go without a word.
pub fn normalise(schema: &Schema, id: TypeId, value: Value) -> Result<Value, DecodeError> {
    decode(schema, id, value.into()).map(|d| d.value)
}

/// Drops the fields that the type lacks, at any depth, and changes nothing else. Returns one
/// finding each, for warnings.
pub fn prune(schema: &Schema, id: TypeId, value: &mut Value) -> Vec<String> {
    let mut findings = Vec::new();
    prune_shape(schema, &Shape::Object(id), value, &mut String::new(), &mut findings, 0);
    findings
}

fn prune_shape(
    schema: &Schema,
    shape: &Shape,
    value: &mut Value,
    path: &mut String,
    findings: &mut Vec<String>,
    depth: usize,
) {
    if depth > MAX_DEPTH {
        return;
    }
    let start = path.len();
    match (shape, value) {
        (Shape::Object(id), Value::Object(map)) => {
            let of = schema.get(*id);
            map.retain(|key, child| {
                push_key(path, key);
                let known = of.field(key);
                match known {
                    Some(f) => prune_shape(schema, &f.shape, child, path, findings, depth + 1),
                    None => findings.push(format!("unknown field {path:?}")),
                }
                path.truncate(start);
                known.is_some()
            });
        }
        (Shape::List(item), Value::Array(items)) => {
            for (i, child) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{i}]"));
                prune_shape(schema, item, child, path, findings, depth + 1);
                path.truncate(start);
            }
        }
        (Shape::Map(item), Value::Object(map)) => {
            for (key, child) in map {
                push_key(path, key);
                prune_shape(schema, item, child, path, findings, depth + 1);
                path.truncate(start);
            }
        }
        _ => {}
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// What a type's zero value is in JSON.
pub fn zero(schema: &Schema, shape: &Shape) -> Value {
    match shape {
        Shape::String => Value::String(String::new()),
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Duration => Value::from("0s"),
        Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Any => Value::Null,
        Shape::List(_) | Shape::Map(_) => Value::Null,
        Shape::Object(id) => {
            let mut out = Map::new();
            fill(schema, schema.get(*id), &mut out);
            Value::Object(out)
        }
    }
}

/// Adds the fields that Go writes even when they are zero.
fn fill(schema: &Schema, of: &Type, out: &mut Map<String, Value>) {
    for field in of.fields.iter().filter(|f| f.always) {
        if !out.contains_key(&field.name) {
            let value = if field.pointer { Value::Null } else { zero(schema, &field.shape) };
            out.insert(field.name.clone(), value);
        }
    }
}

/// Whether `omitempty` drops this value of a field that is no pointer.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Go's name of a type, as its errors print it.
fn go_name<'a>(schema: &Schema, shape: &Shape, go: Option<&'a str>) -> Cow<'a, str> {
    if let Some(name) = go {
        return name.into();
    }
    match shape {
        Shape::String => "string".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Bool => "bool".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Float => "float64".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::IntOrString => "intstr.IntOrString".into(),
        Shape::Time => "v1.Time".into(),
        Shape::MicroTime => "v1.MicroTime".into(),
        Shape::Duration => "v1.Duration".into(),
        Shape::Any => "runtime.RawExtension".into(),
        Shape::Object(id) => {
            let name = &schema.get(*id).name;
            let mut parts = name.rsplitn(3, '.');
            let (last, package) = (parts.next().unwrap_or(name), parts.next().unwrap_or("v1"));
            format!("{package}.{last}").into()
        }
        Shape::List(item) => format!("[]{}", go_name(schema, item, None)).into(),
        Shape::Map(item) => format!("map[string]{}", go_name(schema, item, None)).into(),
    }
}

/// Go's name of a list's items or a map's values, where the table states the container's.
fn go_item(go: Option<&str>) -> Option<&str> {
    let go = go?;
    let item = match go.strip_prefix("[]") {
        Some(item) => item,
        None => go.strip_prefix("map[")?.split_once(']')?.1,
    };
    Some(item.trim_start_matches('*'))
}

/// The word that Go's decoder has for a JSON value of the wrong type.
pub(crate) fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Appends a field's name as Go's errors have it: embedded structs that hold it come before it.
fn push_names<'a>(schema: &'a Schema, of: &'a Type, field: &'a Field, names: &mut Vec<&'a str>) {
    if of.inline.is_empty() && field.proto == 0 && matches!(field.name.as_str(), "apiVersion" | "kind") {
        names.push("TypeMeta");
    }
    let mut level = of;
    // Embedding is a few levels deep at most; the bound keeps a strange table from looping.
    for _ in 0..8 {
        let own = level.field(&field.name).is_some_and(|f| f.proto > 0);
        let mut inner = level.inline.iter().map(|i| schema.get(i.type_id));
        match inner.find(|t| t.field(&field.name).is_some()) {
            Some(inner) if !own => {
                names.push(inner.short_name());
                level = inner;
            }
            _ => break,
        }
    }
    names.push(&field.name);
}

struct Walk<'a> {
    schema: &'a Schema,
    /// Paths of the repeated keys.
    duplicates: BTreeSet<String>,
    /// Where the walk is, as strict findings print it.
    path: String,
    /// The fields that the walk is in, each with its type: where type errors say that it is.
    trail: Vec<(&'a Type, &'a Field)>,
    findings: Vec<String>,
    /// The first value of a wrong type: the decoder goes on, and reports it at the end.
    saved: Option<DecodeError>,
    /// Inside a type that the real API decodes without strictness.
    silent: bool,
    depth: usize,
    objects: usize,
}

impl<'a> Walk<'a> {
    fn finding(&mut self, what: &str, start: usize) {
        if self.findings.len() < MAX_FINDINGS && !self.silent {
            self.findings.push(format!("{what} {:?}", self.path));
        }
        self.path.truncate(start);
    }

    /// `into Go struct field Owner.path of type T`, with the context of the walk.
    fn type_error(&self, what: &str, go_type: &str) -> DecodeError {
        let place = match self.trail.last() {
            Some((owner, _)) => {
                let mut names = Vec::new();
                self.trail.iter().for_each(|(of, field)| push_names(self.schema, of, field, &mut names));
                format!("struct field {}.{}", owner.short_name(), names.join("."))
            }
            None => "value".to_owned(),
        };
        DecodeError(format!("json: cannot unmarshal {what} into Go {place} of type {go_type}"))
    }

    /// Notes a value of the wrong type and goes on with the type's zero value.
    fn mismatch(&mut self, what: &str, shape: &Shape, go: Option<&str>) -> Value {
        let error = self.type_error(what, &go_name(self.schema, shape, go));
        self.saved.get_or_insert(error);
        zero(self.schema, shape)
    }

    /// One value that is no nil pointer. `Err` ends the whole decoding, as errors of Go's own
    /// unmarshallers do.
    fn value(&mut self, shape: &'a Shape, go: Option<&'a str>, value: Value) -> Result<Value, DecodeError> {
        if value.is_null() {
            self.count()?;
            return Ok(zero(self.schema, shape));
        }
        if self.depth >= MAX_DEPTH {
            return Err(DecodeError("exceeded max depth".to_owned()));
        }
        self.depth += 1;
        let out = match shape {
            Shape::Object(id) => self.object(*id, shape, go, value),
            Shape::List(item) => self.list(item, shape, go, value),
            Shape::Map(item) => self.map(item, shape, go, value),
            Shape::Any => self.any(go, value),
            _ => self.scalar(shape, go, value),
        };
        self.depth -= 1;
        out
    }

    fn object(
        &mut self,
        id: TypeId,
        shape: &Shape,
        go: Option<&str>,
        value: Value,
    ) -> Result<Value, DecodeError> {
        let Value::Object(mut map) = value else {
            return Ok(self.mismatch(word(&value), shape, go));
        };
        self.count()?;
        let schema = self.schema;
        let of = schema.get(id);
        let start = self.path.len();
        let mut failed = None;
        map.retain(|key, child| {
            if failed.is_some() {
                return false;
            }
            push_key(&mut self.path, key);
            let Some(field) = of.field(key) else {
                self.finding("unknown field", start);
                return false;
            };
            self.note_duplicate();
            self.trail.push((of, field));
            let decoded = self.field(field, std::mem::take(child));
            self.trail.pop();
            self.path.truncate(start);
            match decoded {
                Ok(Some(value)) => *child = value,
                Ok(None) => return false,
                Err(error) => failed = Some(error),
            }
            true
        });
        if let Some(error) = failed {
            return Err(error);
        }
        fill(schema, of, &mut map);
        Ok(Value::Object(map))
    }

    fn count(&mut self) -> Result<(), DecodeError> {
        self.objects += 1;
        let fits = self.objects <= MAX_OBJECTS;
        if fits { Ok(()) } else { Err(DecodeError("too many objects in one body".to_owned())) }
    }

    fn note_duplicate(&mut self) {
        if !self.duplicates.is_empty() && self.duplicates.contains(&self.path) {
            let here = self.path.len();
            self.finding("duplicate field", here);
        }
    }

    /// A field's value, or nothing where Go writes nothing.
    fn field(&mut self, field: &'a Field, value: Value) -> Result<Option<Value>, DecodeError> {
        if field.pointer && value.is_null() {
            return Ok(None);
        }
        let out = self.value(&field.shape, field.go_type.as_deref(), value)?;
        if field.always || field.pointer {
            return Ok(Some(out));
        }
        let dropped = match &field.shape {
            Shape::Object(_) => out == zero(self.schema, &field.shape),
            _ => is_empty(&out),
        };
        Ok((!dropped).then_some(out))
    }

    fn list(
        &mut self,
        item: &'a Shape,
        shape: &Shape,
        go: Option<&'a str>,
        value: Value,
    ) -> Result<Value, DecodeError> {
        let Value::Array(mut items) = value else {
            return Ok(self.mismatch(word(&value), shape, go));
        };
        let start = self.path.len();
        for (i, child) in items.iter_mut().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(self.path, "[{i}]");
            *child = self.value(item, go_item(go), std::mem::take(child))?;
            self.path.truncate(start);
        }
        Ok(Value::Array(items))
    }

    fn map(
        &mut self,
        item: &'a Shape,
        shape: &Shape,
        go: Option<&'a str>,
        value: Value,
    ) -> Result<Value, DecodeError> {
        let Value::Object(mut map) = value else {
            return Ok(self.mismatch(word(&value), shape, go));
        };
        let start = self.path.len();
        for (key, child) in &mut map {
            push_key(&mut self.path, key);
            self.note_duplicate();
            *child = self.value(item, go_item(go), std::mem::take(child))?;
            self.path.truncate(start);
        }
        Ok(Value::Object(map))
    }

    /// JSON that the API keeps as it is; a JSON schema inside loses its unknown fields quietly.
    fn any(&mut self, go: Option<&str>, value: Value) -> Result<Value, DecodeError> {
        let is_schema = go.is_some_and(|g| g.contains("JSONSchemaPropsOr"));
        if !is_schema {
            return Ok(value);
        }
        if go.is_some_and(|g| g.ends_with("OrBool")) && !value.is_boolean() && !value.is_object() {
            return Err(DecodeError("boolean or JSON schema expected".to_owned()));
        }
        const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
        let Some(id) = self.schema.type_named(SCHEMA) else { return Ok(value) };
        let silent = std::mem::replace(&mut self.silent, true);
        let out = match value {
            Value::Object(_) => self.object(id, &Shape::Object(id), None, value),
            Value::Array(items) if go.is_some_and(|g| g.ends_with("OrArray")) => {
                let items = items.into_iter().map(|i| self.object(id, &Shape::Object(id), None, i));
                items.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            other => Ok(other),
        };
        self.silent = silent;
        out
    }

    fn scalar(&mut self, shape: &Shape, go: Option<&str>, value: Value) -> Result<Value, DecodeError> {
        match (shape, value) {
            (Shape::String, v @ Value::String(_)) | (Shape::Bool, v @ Value::Bool(_)) => Ok(v),
            (Shape::Float, v @ Value::Number(_)) => Ok(v),
            (Shape::Int32, Value::Number(n)) => Ok(self.int(n, shape, go, true)),
            (Shape::Int64, Value::Number(n)) => Ok(self.int(n, shape, go, false)),
            (Shape::Quantity, v) => scalar::quantity(&v),
            (Shape::Bytes, Value::String(s)) => Ok(self.bytes(&s)),
            (Shape::Bytes, Value::Array(items)) => Ok(self.byte_list(&items)),
            (Shape::IntOrString, v @ Value::String(_)) => Ok(v),
            (Shape::IntOrString, Value::Number(n)) if scalar::is_int32(&n) => Ok(n.into()),
            (Shape::IntOrString, Value::Number(n)) => Err(self.type_error(&format!("number {n}"), "int32")),
            (Shape::IntOrString, v) => Err(self.type_error(word(&v), "int32")),
            (Shape::Time, Value::String(s)) => time::time(&s),
            (Shape::MicroTime, Value::String(s)) => time::micro_time(&s),
            (Shape::Duration, Value::String(s)) => scalar::duration(&s),
            (Shape::Time | Shape::MicroTime | Shape::Duration, v) => Err(self.type_error(word(&v), "string")),
            (_, v) => Ok(self.mismatch(word(&v), shape, go)),
        }
    }

    fn int(&mut self, n: Number, shape: &Shape, go: Option<&str>, narrow: bool) -> Value {
        let fits = if narrow { scalar::is_int32(&n) } else { n.is_i64() };
        if fits { n.into() } else { self.mismatch(&format!("number {n}"), shape, go) }
    }

    fn bytes(&mut self, text: &str) -> Value {
        match base64::decode(text) {
            Ok(bytes) => Value::String(base64::encode(&bytes)),
            Err(error) => {
                self.saved.get_or_insert(error);
                Value::Null
            }
        }
    }

    /// Go takes a list of numbers for bytes, too.
    fn byte_list(&mut self, items: &[Value]) -> Value {
        let mut bytes = Vec::with_capacity(items.len());
        for item in items {
            let error = match item {
                Value::Null => {
                    bytes.push(0);
                    continue;
                }
                Value::Number(n) => match n.as_u64().and_then(|n| u8::try_from(n).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        continue;
                    }
                    None => self.type_error(&format!("number {n}"), "uint8"),
                },
                other => self.type_error(word(other), "uint8"),
            };
            self.saved.get_or_insert(error);
        }
        Value::String(base64::encode(&bytes))
    }
}

#[cfg(test)]
mod tests;
