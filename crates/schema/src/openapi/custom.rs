//! Documents of group versions that custom resource definitions make.

use serde_json::{Map, Value, json};

use super::components::{Components, gvk};
use super::paths;
use crate::builtin::RELEASE;
use crate::table::{Kind, Schema};

/// A version of a custom kind, and the schema of its objects.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// The kind in this version; its `type_id` does not matter.
    pub kind: &'a Kind,
    /// `openAPIV3Schema`.
    pub schema: &'a Value,
}

/// The document of one group version that these kinds make up.
pub fn custom_document(described: &[Described<'_>]) -> Value {
    let builtin = Schema::builtin();
    let mut components = Components::new(builtin);
    let mut kinds = Vec::new();
    for one in described {
        let schema = resource(one, &mut components);
        let type_id = components.add(name(one.kind), schema);
        kinds.push(Kind { type_id, ..one.kind.clone() });
    }
    let paths = paths::of(builtin, kinds.iter(), &mut components);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": format!("v{RELEASE}.0")},
        "paths": paths,
        "components": {"schemas": components.finish()},
    })
}

/// `com.example.stable.v1.CronTab`: the group backwards, version and kind.
fn name(kind: &Kind) -> String {
    let group: Vec<&str> = kind.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
}

/// The schema with what every resource has.
fn resource(described: &Described<'_>, components: &mut Components<'_>) -> Value {
    let mut schema = match described.schema {
        Value::Object(map) => map.clone(),
        _ => Map::new(),
    };
    let metadata = components.meta("ObjectMeta");
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(map) = properties {
        for name in ["apiVersion", "kind"] {
            map.entry(name).or_insert_with(|| json!({"type": "string"}));
        }
        let text = "Name, labels and what else every object has.";
        map.insert("metadata".into(), json!({"description": text, "allOf": [metadata]}));
    }
    schema.insert("type".into(), "object".into());
    schema.insert("x-kubernetes-group-version-kind".into(), json!([gvk(described.kind)]));
    Value::Object(schema)
}
