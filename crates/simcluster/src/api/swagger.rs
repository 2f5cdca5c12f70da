//! OpenAPI v2 (Swagger): what kubectl reads to check a `List` in a file, and what older clients read.
//!
//! Made from the v3 documents: the same facts in the older form, all groups in one document.

mod proto;
#[cfg(test)]
mod tests;

use kiban_schema::openapi;
use kiban_schema::table::Schema;
use serde_json::{Map, Value, json};

pub(super) use proto::encode;

/// Where v3 documents keep their schemas, and where v2 does.
const COMPONENTS: &str = "#/components/schemas/";
const DEFINITIONS: &str = "#/definitions/";

/// Methods of a path, in the older form the same.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The document of all built-in kinds.
pub(super) fn document(schema: &Schema) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    let mut info = Value::Null;
    for (group, version) in schema.group_versions() {
        let Some(mut document) = openapi::document(schema, group, version) else { continue };
        info = document["info"].take();
        for (path, item) in object(document["paths"].take()) {
            paths.insert(path, path_item(item));
        }
        for (name, value) in object(document["components"]["schemas"].take()) {
            definitions.insert(name, older(value));
        }
    }
    json!({"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions})
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A schema in the older form: references stand alone, and a choice of types becomes its first.
fn older(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(older).collect(),
        Value::Object(mut map) => {
            if let Some(Value::String(name)) = map.get("$ref") {
                return json!({"$ref": name.replacen(COMPONENTS, DEFINITIONS, 1)});
            }
            if let Some(Value::Array(choices)) = map.remove("oneOf") {
                // Quantities and int-or-strings: both are written as strings here.
                let text = choices.iter().any(|c| c["type"] == "string");
                map.insert("type".into(), if text { "string" } else { "object" }.into());
            }
            let single = matches!(map.get("allOf"), Some(Value::Array(all)) if all.len() == 1);
            let inner = if single { map.remove("allOf") } else { None };
            let mut map: Map<String, Value> = map.into_iter().map(|(k, v)| (k, older(v))).collect();
            if let Some(inner) = inner.map(|mut all| older(all[0].take())) {
                map.extend(object(inner));
            }
            Value::Object(map)
        }
        other => other,
    }
}

fn path_item(mut item: Value) -> Value {
    let mut out = Map::new();
    for method in METHODS {
        if item[method].is_object() {
            out.insert(method.into(), operation(item[method].take()));
        }
    }
    if item["parameters"].is_array() {
        out.insert("parameters".into(), parameters(&item["parameters"]).into());
    }
    out.into()
}

fn operation(mut given: Value) -> Value {
    let mut out = Map::new();
    let mut all = parameters(&given["parameters"]);
    let body = object(given["requestBody"]["content"].take());
    if let Some(first) = body.values().next() {
        let schema = older(first["schema"].clone());
        all.push(json!({"in": "body", "name": "body", "required": true, "schema": schema}));
        let consumes: Vec<_> = body.keys().cloned().collect();
        out.insert("consumes".into(), consumes.into());
    }
    let mut responses = Map::new();
    for (code, mut response) in object(given["responses"].take()) {
        let content = object(response["content"].take());
        let mut answer = json!({"description": response["description"]});
        if let Some(first) = content.values().next() {
            answer["schema"] = older(first["schema"].clone());
            let produces: Vec<_> = content.keys().cloned().collect();
            out.insert("produces".into(), produces.into());
        }
        responses.insert(code, answer);
    }
    out.insert("parameters".into(), all.into());
    out.insert("responses".into(), responses.into());
    for (key, value) in object(given) {
        if key.starts_with("x-") || matches!(key.as_str(), "operationId" | "tags") {
            out.insert(key, value);
        }
    }
    out.into()
}

/// Parameters carry their type themselves in the older form.
fn parameters(given: &Value) -> Vec<Value> {
    let all = given.as_array().into_iter().flatten();
    all.map(|p| {
        let mut out = json!({"in": p["in"], "name": p["name"]});
        if p["required"] == true {
            out["required"] = true.into();
        }
        for key in ["type", "uniqueItems"] {
            if !p["schema"][key].is_null() {
                out[key] = p["schema"][key].clone();
            }
        }
        out
    })
    .collect()
}
