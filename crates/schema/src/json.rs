//! A JSON reader that keeps what strict decoding needs and `serde_json` drops: duplicate keys.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::strict::DecodeError;

/// A document nested deeper than this is refused. The real API server's limit is 10,000; this
/// one is what every walk over a value, and dropping it, can afford on a small stack.
pub const MAX_DEPTH: usize = 120;

/// A document and the keys that it states twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// The value; of a key that is stated twice, the last statement.
    pub value: Value,
    /// Paths of the repeated keys as the API server writes them (`spec.containers[0].image`),
    /// in the order of the text, each once.
    pub duplicates: Vec<String>,
}

impl From<Value> for Document {
    fn from(value: Value) -> Document {
        Document { value, duplicates: Vec::new() }
    }
}

/// Text that is no JSON document, or too deep a one. Of a request body, the API server's message
/// has `couldn't get version/kind; ` before it.
#[derive(Debug, thiserror::Error)]
#[error("json parse error: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads one JSON document. Never panics, and takes no more memory than a small multiple of the
/// text.
pub fn parse(text: &[u8]) -> Result<Document, JsonError> {
    let mut reader = Reader::default();
    let mut from = serde_json::Deserializer::from_slice(text);
    let value = Node { reader: &mut reader, depth: 0 }.deserialize(&mut from)?;
    from.end()?;
    Ok(Document { value, duplicates: reader.duplicates })
}

/// What a body says that it is; empty where it says nothing, and the URL's kind holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeMeta {
    /// `v1` or `apps/v1`.
    pub api_version: String,
    /// CamelCase kind.
    pub kind: String,
}

/// Reads `apiVersion` and `kind` of a body, before anything else of it is looked at. Their case
/// does not matter here, as in the real API server, but to strict decoding later.
pub fn type_meta(value: &Value) -> Result<TypeMeta, DecodeError> {
    const GO_TYPE: &str = concat!(
        r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; "#,
        r#"Kind string "json:\"kind,omitempty\"" }"#
    );
    let error = |what: &Value, place: &str| {
        let what = crate::strict::word(what);
        DecodeError(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go {place}"
        ))
    };
    let mut out = TypeMeta::default();
    let map = match value {
        Value::Null => return Ok(out),
        Value::Object(map) => map,
        other => return Err(error(other, &format!("value of type {GO_TYPE}"))),
    };
    for (key, value) in map {
        let (name, slot) = if key.eq_ignore_ascii_case("apiVersion") {
            ("apiVersion", &mut out.api_version)
        } else if key.eq_ignore_ascii_case("kind") {
            ("kind", &mut out.kind)
        } else {
            continue;
        };
        match value {
            Value::Null => {}
            Value::String(text) => text.clone_into(slot),
            other => return Err(error(other, &format!("struct field .{name} of type string"))),
        }
    }
    if out.api_version.matches('/').count() > 1 {
        return Err(DecodeError(format!("unexpected GroupVersion string: {}", out.api_version)));
    }
    Ok(out)
}

#[derive(Default)]
struct Reader {
    path: Vec<Step>,
    duplicates: Vec<String>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Reader {
    fn report(&mut self, key: &str) {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Key(k) => join(&mut text, k),
                Step::Index(i) => text.push_str(&format!("[{i}]")),
            }
        }
        join(&mut text, key);
        if !self.duplicates.contains(&text) && self.duplicates.len() < 100 {
            self.duplicates.push(text);
        }
    }
}

/// Appends `.key`, or `key` at the root.
fn join(text: &mut String, key: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(key);
}

/// One value at a depth.
struct Node<'r> {
    reader: &'r mut Reader,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = deeper::<A::Error>(self.depth)?;
        let mut out = Vec::new();
        loop {
            self.reader.path.push(Step::Index(out.len()));
            let item = items.next_element_seed(Node { reader: self.reader, depth })?;
            self.reader.path.pop();
            match item {
                Some(item) => out.push(item),
                None => return Ok(Value::Array(out)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = deeper::<A::Error>(self.depth)?;
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if out.contains_key(&key) {
                self.reader.report(&key);
            }
            self.reader.path.push(Step::Key(key));
            let value = entries.next_value_seed(Node { reader: self.reader, depth })?;
            if let Some(Step::Key(key)) = self.reader.path.pop() {
                out.insert(key, value);
            }
        }
        Ok(Value::Object(out))
    }
}

fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth >= MAX_DEPTH { Err(E::custom("exceeded max depth")) } else { Ok(depth + 1) }
}

#[cfg(test)]
mod tests;
