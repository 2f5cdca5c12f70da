//! The schemas of a document: the types that its paths refer to, and theirs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::COMPONENTS;
use crate::docs;
use crate::strict;
use crate::table::{Field, Kind, ListKind, Schema, Shape, Type, TypeId};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const CRD: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// Collects schemas by name; asking for a reference adds what it refers to.
pub(super) struct Components<'s> {
    schema: &'s Schema,
    /// Schemas that are not of the table, by the ids behind its last one.
    others: Vec<(String, Value)>,
    done: BTreeMap<String, Value>,
    todo: Vec<TypeId>,
}

impl<'s> Components<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Components { schema, others: Vec::new(), done: BTreeMap::new(), todo: Vec::new() }
    }

    /// Adds a schema that is not of the table; the id refers to it.
    pub(super) fn add(&mut self, name: String, schema: Value) -> TypeId {
        let id = self.schema.types.len() + self.others.len();
        self.others.push((name, schema));
        TypeId(u32::try_from(id).unwrap_or(u32::MAX))
    }

    /// The type is one of the table.
    pub(super) fn is_of_table(&self, id: TypeId) -> bool {
        self.other(id).is_none()
    }

    fn other(&self, id: TypeId) -> Option<&(String, Value)> {
        (id.0 as usize).checked_sub(self.schema.types.len()).and_then(|i| self.others.get(i))
    }

    /// A reference to a type of the table.
    pub(super) fn reference(&mut self, id: TypeId) -> Value {
        if let Some((name, schema)) = self.other(id).cloned() {
            let place = reference(&name);
            self.done.entry(name).or_insert(schema);
            return place;
        }
        let name = &self.schema.get(id).name;
        if !self.done.contains_key(name) {
            // The place is taken at once: types may refer to themselves.
            self.done.insert(name.clone(), Value::Null);
            self.todo.push(id);
        }
        reference(name)
    }

    /// A reference to a type by its name in [`META`].
    pub(super) fn meta(&mut self, name: &str) -> Value {
        let full = format!("{META}{name}");
        match self.schema.type_named(&full) {
            Some(id) => self.reference(id),
            None => self.simple(&full),
        }
    }

    /// A reference to a kind's list type.
    pub(super) fn list_of(&mut self, kind: &Kind) -> Value {
        let own = self.other(kind.type_id).map_or_else(|| &self.schema.get(kind.type_id).name, |(n, _)| n);
        let name = format!("{own}List");
        let item = self.reference(kind.type_id);
        let metadata = self.meta("ListMeta");
        self.done.entry(name.clone()).or_insert_with(|| {
            json!({
                "type": "object",
                "description": format!("A list of {} objects.", kind.kind),
                "required": ["items"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"allOf": [metadata], "default": {}},
                    "items": {"type": "array", "items": {"allOf": [item], "default": {}}},
                },
                "x-kubernetes-group-version-kind": [
                    {"group": kind.group, "version": kind.version, "kind": format!("{}List", kind.kind)}
                ],
            })
        });
        reference(&name)
    }

    /// All schemas that were referred to.
    pub(super) fn finish(mut self) -> Value {
        while let Some(id) = self.todo.pop() {
            let of = self.schema.get(id);
            let value = self.object(id, of);
            self.done.insert(of.name.clone(), value);
        }
        Value::Object(self.done.into_iter().collect())
    }

    fn object(&mut self, id: TypeId, of: &'s Type) -> Value {
        let mut out = Map::new();
        out.insert("type".to_owned(), "object".into());
        if let Some(text) = docs::of_type(of.short_name()) {
            out.insert("description".to_owned(), text.into());
        }
        let fields = of.fields.iter().map(|f| (f.name.clone(), self.field(of, f)));
        let fields: Map<String, Value> = fields.collect();
        if !fields.is_empty() {
            out.insert("properties".to_owned(), fields.into());
        }
        let required: Vec<&str> = of.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
        if !required.is_empty() {
            out.insert("required".to_owned(), required.into());
        }
        if of.atomic {
            out.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        let kinds: Vec<Value> = self.schema.kinds.iter().filter(|k| k.type_id == id).map(gvk).collect();
        if !kinds.is_empty() {
            out.insert("x-kubernetes-group-version-kind".to_owned(), kinds.into());
        }
        Value::Object(out)
    }

    fn field(&mut self, of: &Type, f: &Field) -> Value {
        let mut extra = Map::new();
        let mut add = |key: &str, value: Value| {
            extra.insert(key.to_owned(), value);
        };
        let text = docs::of_field(of.short_name(), f);
        if !text.is_empty() {
            add("description", text.into());
        }
        if let Some(default) = &f.default {
            add("default", default.clone());
        } else if f.always && !f.pointer {
            match &f.shape {
                Shape::Object(_) => add("default", json!({})),
                Shape::String | Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float => {
                    add("default", strict::zero(self.schema, &f.shape));
                }
                _ => {}
            }
        }
        let is_list = matches!(f.shape, Shape::List(_));
        if !f.values.is_empty() && !is_list {
            add("enum", f.values.clone().into());
        }
        if is_list {
            let (kind, keys) = match &f.list {
                ListKind::Atomic => ("atomic", None),
                ListKind::Set => ("set", None),
                ListKind::Map { keys } => ("map", Some(keys.clone())),
            };
            add("x-kubernetes-list-type", kind.into());
            if let Some(keys) = keys {
                add("x-kubernetes-list-map-keys", keys.into());
            }
        } else if f.atomic {
            add("x-kubernetes-map-type", "atomic".into());
        }
        let strategy: Vec<&str> =
            [(f.patch.merge, "merge"), (f.patch.retain_keys, "retainKeys"), (f.patch.replace, "replace")]
                .into_iter()
                .filter_map(|(is, word)| is.then_some(word))
                .collect();
        if !strategy.is_empty() {
            add("x-kubernetes-patch-strategy", strategy.join(",").into());
        }
        if let Some(key) = &f.merge_key {
            add("x-kubernetes-patch-merge-key", key.as_str().into());
        }
        let mut base = self.shape(&f.shape, f.go_type.as_deref());
        if is_list && !f.values.is_empty() {
            base["items"]["enum"] = f.values.clone().into();
        }
        with(base, extra)
    }

    fn shape(&mut self, shape: &Shape, go: Option<&str>) -> Value {
        match shape {
            Shape::String => json!({"type": "string"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Float => json!({"type": "number", "format": "double"}),
            Shape::Quantity => self.simple(QUANTITY),
            Shape::IntOrString => self.simple(INT_OR_STRING),
            Shape::Time => self.simple(&format!("{META}Time")),
            Shape::MicroTime => self.simple(&format!("{META}MicroTime")),
            Shape::Duration => self.simple(&format!("{META}Duration")),
            Shape::Any => match go.and_then(|g| g.rsplit('.').next()) {
                Some("FieldsV1") => self.simple(&format!("{META}FieldsV1")),
                Some(name) if name.starts_with("JSON") => self.simple(&format!("{CRD}{name}")),
                _ => self.simple(RAW_EXTENSION),
            },
            Shape::Object(id) => self.reference(*id),
            Shape::List(item) => json!({"type": "array", "items": self.inner(item, go)}),
            Shape::Map(item) => {
                json!({"type": "object", "additionalProperties": self.inner(item, go)})
            }
        }
    }

    /// An item of a list or a value of a map, with its zero value as default, as upstream has it.
    fn inner(&mut self, shape: &Shape, go: Option<&str>) -> Value {
        let go = go.map(|g| g.trim_start_matches("[]"));
        let base = self.shape(shape, go);
        let mut extra = Map::new();
        match shape {
            Shape::Object(_) => extra.insert("default".to_owned(), json!({})),
            Shape::String | Shape::Bool | Shape::Int32 | Shape::Int64 => {
                extra.insert("default".to_owned(), strict::zero(self.schema, shape))
            }
            _ => None,
        };
        with(base, extra)
    }

    /// A schema that stands for no Go struct.
    fn simple(&mut self, name: &str) -> Value {
        self.done.entry(name.to_owned()).or_insert_with(|| {
            let mut value = match name.rsplit('.').next().unwrap_or_default() {
                "Quantity" => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
                "IntOrString" => {
                    json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
                }
                "Time" | "MicroTime" => json!({"type": "string", "format": "date-time"}),
                "Duration" => json!({"type": "string"}),
                "FieldsV1" | "RawExtension" | "Patch" => json!({"type": "object"}),
                _ => json!({}),
            };
            if let Some(text) = docs::of_type(name.rsplit('.').next().unwrap_or_default()) {
                value["description"] = text.into();
            }
            value
        });
        reference(name)
    }
}

/// `{"group", "version", "kind"}`.
pub(super) fn gvk(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{COMPONENTS}{name}")})
}

/// Adds keys to a schema; a reference may have none beside it, so it moves into `allOf`.
fn with(mut base: Value, extra: Map<String, Value>) -> Value {
    if extra.is_empty() {
        return base;
    }
    if base.get("$ref").is_some() {
        base = json!({"allOf": [base]});
    }
    if let Value::Object(map) = &mut base {
        map.extend(extra);
    }
    base
}
