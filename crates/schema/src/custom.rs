//! Type tables and OpenAPI documents of kinds that a CustomResourceDefinition describes.
//!
//! What server-side apply asks of a type (which fields, how lists merge) is read from the definition's
//! structural schema into a [`Schema`] of its own, with ObjectMeta taken over from the built-in table.
//!
//! Contract: kube-openapi `pkg/schemaconv`, and apiextensions-apiserver `pkg/controller/openapi/builder`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::json::Document;
use crate::strict::{self, DecodeError, Decoded};
use crate::table::{Field, Kind, ListKind, Open, Schema, Shape, Type, TypeId};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Levels of a schema that are read; what lies deeper may hold anything.
const MAX_DEPTH: usize = 100;

/// The table of one version of a custom kind: its kinds are all served versions of it, the given one
/// first, and all have the type of `schema` (the version's `openAPIV3Schema`).
pub fn table(kinds: Vec<Kind>, schema: &Value) -> Schema {
    let mut tables = Tables::default();
    let meta = tables.import(OBJECT_META);
    let root = tables.object(schema, true, meta, 0);
    let kinds = kinds.into_iter().map(|k| Kind { type_id: root, ..k }).collect();
    Schema::new(tables.types, kinds)
}

#[derive(Default)]
struct Tables {
    types: Vec<Type>,
    imported: BTreeMap<String, TypeId>,
    /// The type that may hold anything.
    anything: Option<TypeId>,
}

impl Tables {
    fn add(&mut self, type_: Type) -> TypeId {
        self.types.push(type_);
        TypeId(u32::try_from(self.types.len() - 1).unwrap_or(u32::MAX))
    }

    /// Takes over a built-in type with those that it refers to.
    fn import(&mut self, name: &str) -> TypeId {
        if let Some(id) = self.imported.get(name) {
            return *id;
        }
        let builtin = Schema::builtin();
        let own = builtin.type_named(name).map(|id| builtin.get(id).clone()).unwrap_or_default();
        let id = self.add(Type { inline: Vec::new(), ..own.clone() });
        self.imported.insert(name.to_owned(), id);
        let fields = own.fields.into_iter().map(|f| Field { shape: self.moved(f.shape), ..f }).collect();
        self.types[id.0 as usize].fields = fields;
        id
    }

    fn moved(&mut self, shape: Shape) -> Shape {
        match shape {
            Shape::Object(id) => Shape::Object(self.import(&Schema::builtin().get(id).name)),
            Shape::List(item) => Shape::List(Box::new(self.moved(*item))),
            Shape::Map(item) => Shape::Map(Box::new(self.moved(*item))),
            other => other,
        }
    }

    fn anything(&mut self) -> Shape {
        let id = match self.anything {
            Some(id) => id,
            None => self.add(Type { open: Open::Whole, ..Type::default() }),
        };
        self.anything = Some(id);
        Shape::Object(id)
    }

    fn object(&mut self, schema: &Value, resource: bool, meta: TypeId, depth: usize) -> TypeId {
        let mut fields: Vec<Field> = Vec::new();
        for (name, below) in members(&schema["properties"]) {
            if !(resource && name == "metadata") {
                fields.push(self.field(name, below, meta, depth));
            }
        }
        if resource {
            let shapes =
                [("apiVersion", Shape::String), ("kind", Shape::String), ("metadata", Shape::Object(meta))];
            for (name, shape) in shapes {
                if !fields.iter().any(|f| f.name == name) {
                    fields.push(Field { name: name.to_owned(), shape, pointer: true, ..Field::default() });
                }
            }
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let open =
            if flag(schema, "x-kubernetes-preserve-unknown-fields") { Open::Members } else { Open::No };
        self.add(Type { name: String::new(), fields, inline: Vec::new(), atomic: is_atomic(schema), open })
    }

    fn field(&mut self, name: &str, schema: &Value, meta: TypeId, depth: usize) -> Field {
        let default = Some(&schema["default"]).filter(|d| !d.is_null()).cloned();
        let shape = self.shape(schema, meta, depth + 1);
        let list = list_kind(schema);
        Field {
            name: name.to_owned(),
            shape,
            pointer: true,
            list,
            atomic: is_atomic(schema),
            default,
            ..Field::default()
        }
    }

    fn shape(&mut self, schema: &Value, meta: TypeId, depth: usize) -> Shape {
        if depth > MAX_DEPTH {
            return self.anything();
        }
        if flag(schema, "x-kubernetes-int-or-string") {
            return Shape::IntOrString;
        }
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        match schema["type"].as_str().unwrap_or_default() {
            "string" => Shape::String,
            "boolean" => Shape::Bool,
            "integer" => Shape::Int64,
            "number" => Shape::Float,
            "array" => match &schema["items"] {
                items @ Value::Object(_) => Shape::List(Box::new(self.shape(items, meta, depth + 1))),
                _ => Shape::List(Box::new(self.anything())),
            },
            "object" => match &schema["additionalProperties"] {
                values @ Value::Object(_) => Shape::Map(Box::new(self.shape(values, meta, depth + 1))),
                Value::Bool(true) => Shape::Map(Box::new(self.anything())),
                _ => Shape::Object(self.object(schema, embedded, meta, depth)),
            },
            _ => self.anything(),
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name].as_bool().unwrap_or(false)
}

fn is_atomic(schema: &Value) -> bool {
    schema["x-kubernetes-map-type"] == "atomic"
}

fn list_kind(schema: &Value) -> ListKind {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListKind::Map { keys: keys.filter_map(Value::as_str).map(str::to_owned).collect() }
        }
        _ => ListKind::Atomic,
    }
}

/// The type of what every resource has: `apiVersion`, `kind`, `metadata`.
static FRAME: LazyLock<Schema> = LazyLock::new(|| {
    let mut tables = Tables::default();
    let meta = tables.import(OBJECT_META);
    let string = |name: &str| Field { name: name.to_owned(), shape: Shape::String, ..Field::default() };
    let metadata = Field { name: "metadata".to_owned(), shape: Shape::Object(meta), ..Field::default() };
    let fields = vec![string("apiVersion"), string("kind"), metadata];
    tables.add(Type { fields, ..Type::default() });
    Schema::new(tables.types, Vec::new())
});

/// Decodes the frame of a custom object strictly, and leaves the rest as it stands: what the rest may
/// be, the definition's schema says.
///
/// # Errors
/// Metadata of a wrong type, in the words of the real decoder.
pub fn decode_frame(document: Document) -> Result<Decoded, DecodeError> {
    let Value::Object(mut members) = document.value else {
        return Err(DecodeError(
            "json: cannot unmarshal into Go value of type map[string]interface {}".to_owned(),
        ));
    };
    let frame: Map<String, Value> =
        ["apiVersion", "kind", "metadata"].iter().filter_map(|name| members.remove_entry(*name)).collect();
    let root = TypeId(u32::try_from(FRAME.types.len().saturating_sub(1)).unwrap_or(0));
    let in_frame = |path: &String| {
        let first = path.split(['.', '[']).next().unwrap_or_default();
        matches!(first, "apiVersion" | "kind" | "metadata")
    };
    let (own, rest): (Vec<String>, Vec<String>) = document.duplicates.into_iter().partition(in_frame);
    let decoded = strict::decode(&FRAME, root, Document { value: Value::Object(frame), duplicates: own })?;
    let Value::Object(frame) = decoded.value else { return Err(DecodeError("no object".to_owned())) };
    members.extend(frame);
    let rest: BTreeSet<String> = rest.into_iter().collect();
    let mut findings: Vec<String> = rest.iter().map(|path| format!("duplicate field {path:?}")).collect();
    findings.extend(decoded.findings);
    Ok(Decoded { value: Value::Object(members), findings })
}

#[cfg(test)]
mod tests;
