//! Objects against the Kubernetes type table: unknown fields, wrong types, what is missing.

use kiban_base::quantity::Quantity;
use kiban_model::problem::did_you_mean;
use kiban_schema::table::{Field, Schema, Shape, TypeId};
use serde_json::Value;

use crate::path::{Path, Segment};

/// How deep an object may nest.
const MAX_DEPTH: usize = 64;
/// More findings than this in one object are not listed.
const MAX_FINDINGS: usize = 20;

/// What is wrong at a place of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFinding {
    /// Where it is.
    pub path: Path,
    /// What is wrong, and what was probably meant.
    pub message: String,
}

/// The type of an object, where the table knows its kind.
pub fn type_of(object: &Value) -> Option<TypeId> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    Schema::builtin().type_of(text("apiVersion")?, text("kind")?)
}

/// Checks an object. Kinds that the table does not know (custom resources) have no findings.
pub fn against_schema(object: &Value) -> Vec<SchemaFinding> {
    let Some(id) = type_of(object) else { return Vec::new() };
    let mut walk = Walk { schema: Schema::builtin(), path: Path::default(), findings: Vec::new() };
    walk.shape(&Shape::Object(id), None, object, 0);
    walk.findings
}

/// Checks one value against a shape, as at `path` of an object.
pub fn value_against(shape: &Shape, field: Option<&Field>, path: Path, value: &Value) -> Vec<SchemaFinding> {
    let mut walk = Walk { schema: Schema::builtin(), path, findings: Vec::new() };
    walk.shape(shape, field, value, 0);
    walk.findings
}

struct Walk<'s> {
    schema: &'s Schema,
    path: Path,
    findings: Vec<SchemaFinding>,
}

impl Walk<'_> {
    fn find(&mut self, message: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(SchemaFinding { path: self.path.clone(), message });
        }
    }

    fn within(&mut self, segment: Segment, visit: impl FnOnce(&mut Self)) {
        self.path.0.push(segment);
        visit(self);
        self.path.0.pop();
    }

    fn shape(&mut self, shape: &Shape, field: Option<&Field>, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            self.find(format!("nests deeper than {MAX_DEPTH} levels"));
            return;
        }
        match (shape, value) {
            (Shape::Any, _) => {}
            (_, Value::Null) => self.find("null is no value here; leave the key out".to_owned()),
            (Shape::Object(id), Value::Object(map)) => self.object(*id, map, depth),
            (Shape::List(item), Value::Array(items)) => {
                for (index, each) in items.iter().enumerate() {
                    self.within(Segment::Index(index), |walk| walk.shape(item, field, each, depth + 1));
                }
            }
            (Shape::Map(item), Value::Object(map)) => {
                for (key, each) in map {
                    self.within(Segment::Key(key.clone()), |walk| walk.shape(item, None, each, depth + 1));
                }
            }
            _ => self.scalar(shape, field, value),
        }
    }

    fn object(&mut self, id: TypeId, map: &serde_json::Map<String, Value>, depth: usize) {
        let schema = self.schema;
        let of = schema.get(id);
        for (key, value) in map {
            match of.field(key) {
                Some(field) => self.within(Segment::Key(key.clone()), |walk| {
                    walk.shape(&field.shape, Some(field), value, depth + 1);
                }),
                None => {
                    let hint = did_you_mean(key, of.fields.iter().map(|field| field.name.as_str()));
                    self.within(Segment::Key(key.clone()), |walk| {
                        walk.find(format!("{} has no field {key:?}{hint}", of.short_name()));
                    });
                }
            }
        }
        for field in of.fields.iter().filter(|field| field.required && !map.contains_key(&field.name)) {
            self.find(format!("{} needs {:?}", of.short_name(), field.name));
        }
    }

    fn scalar(&mut self, shape: &Shape, field: Option<&Field>, value: &Value) {
        if !fits(shape, value) {
            self.find(format!("{} is needed, not {}", expected(shape), described(value)));
            return;
        }
        let allowed = field.map_or(&[][..], |field| &field.values);
        if let Some(text) =
            value.as_str().filter(|text| !allowed.is_empty() && !allowed.iter().any(|v| v == text))
        {
            let hint = did_you_mean(text, allowed.iter().map(String::as_str));
            self.find(format!("{text:?} is none of {}{hint}", allowed.join(", ")));
        }
    }
}

fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration => value.is_string(),
        Shape::Bool => value.is_boolean(),
        Shape::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Shape::Int64 => value.is_i64() || value.is_u64(),
        Shape::Float => value.is_number(),
        Shape::IntOrString => value.is_string() || value.is_i64() || value.is_u64(),
        Shape::Quantity => Quantity::from_json(value).is_ok(),
        Shape::Any => true,
        Shape::Object(_) | Shape::List(_) | Shape::Map(_) => false,
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::String => "a text",
        Shape::Bytes => "base64 text",
        Shape::Bool => "true or false",
        Shape::Int32 | Shape::Int64 => "a whole number",
        Shape::Float => "a number",
        Shape::Quantity => "a quantity such as 250m or 512Mi",
        Shape::IntOrString => "a number or a text",
        Shape::Time | Shape::MicroTime => "a time such as 2026-01-31T12:00:00Z",
        Shape::Duration => "a duration such as 30s",
        Shape::Any => "anything",
        Shape::Object(_) | Shape::Map(_) => "a map",
        Shape::List(_) => "a list",
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("the text {text:?}"),
        other => other.to_string(),
    }
}
