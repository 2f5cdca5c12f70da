//! JSON Schemas of the files, for editors: `# yaml-language-server: $schema=…/app.json`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::pin::Pin;
use crate::profile::Platform;

/// File names and contents of all schemas: `app.json`, `env.json`, `pin.json`, `platform.json`. They refer to each
/// other by these names.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![("app.json", app()), ("env.json", env()), ("pin.json", root::<Pin>()), ("platform.json", platform())]
}

/// A schema as it is written to a file.
pub fn to_text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

/// What `defaults` takes: an environment's file.
pub(crate) fn delta_ref(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"$ref": "env.json"})
}

/// What an environment's `profile` takes: the platform's keys, all optional.
pub(crate) fn profile_ref(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"$ref": "#/$defs/ProfileDelta"})
}

fn root<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    smooth(&mut schema);
    schema
}

/// Takes away what is of no use to an editor: Rust's number formats, defaults of null, line ends of comments.
fn smooth(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, value| {
                !(key == "default" && value.is_null() || key == "format" && value.is_string())
            });
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if key == "description" => {
                        *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
                    }
                    other => smooth(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(smooth),
        _ => {}
    }
}

fn app() -> Value {
    root::<App>()
}

fn env() -> Value {
    let mut schema = root::<App>();
    loosen(&mut schema);
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".into(), "App in an environment".into());
        map.insert(
            "description".into(),
            "What differs in one environment: the keys of an app's file, all optional. Maps merge key by key, lists and \
             scalars replace, null removes."
                .into(),
        );
    }
    schema
}

fn platform() -> Value {
    let mut schema = root::<Platform>();
    let mut delta = Map::new();
    for key in ["properties", "additionalProperties", "type"] {
        if let Some(value) = schema.get(key) {
            delta.insert(key.into(), value.clone());
        }
    }
    if let Some(properties) = delta.get_mut("properties").and_then(Value::as_object_mut) {
        for key in ["apiVersion", "kind", "environments", "renderer"] {
            properties.remove(key);
        }
    }
    if let Some(defs) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        defs.insert("ProfileDelta".into(), Value::Object(delta));
    }
    schema
}

/// Makes every key optional and every value removable.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("required");
            for key in ["properties", "patternProperties", "$defs"] {
                let Some(Value::Object(inner)) = map.get_mut(key) else { continue };
                for value in inner.values_mut() {
                    loosen(value);
                    if key != "$defs" {
                        nullable(value);
                    }
                }
            }
            if let Some(value @ Value::Object(_)) = map.get_mut("additionalProperties") {
                loosen(value);
                nullable(value);
            }
            for key in ["anyOf", "oneOf", "allOf"] {
                map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(loosen);
            }
            map.get_mut("items").into_iter().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

fn nullable(schema: &mut Value) {
    let mut inner = schema.take();
    let description = inner.as_object_mut().and_then(|map| map.remove("description"));
    let mut outer = json!({"anyOf": [inner, {"type": "null"}]});
    if let (Some(description), Some(map)) = (description, outer.as_object_mut()) {
        map.insert("description".into(), description);
    }
    *schema = outer;
}

#[cfg(test)]
mod tests;
