//! An OpenAPI v2 document as protobuf, the only form in which kubectl asks for it.
//!
//! Contract: the messages of gnostic's openapiv2/OpenAPIv2.proto; the numbers below are its fields'.

use serde_json::{Map, Value};

/// One message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A string field, where the value is one.
    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(field, text.as_bytes());
        }
    }

    /// A repeated string field.
    fn texts(&mut self, field: u64, values: &Value) {
        for value in values.as_array().into_iter().flatten() {
            self.text(field, value);
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if value == true {
            self.varint(field << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// `Any`: a value as YAML, which JSON is.
    fn any(&mut self, field: u64, value: &Value) {
        if !value.is_null() {
            let mut any = Self::default();
            any.bytes(2, value.to_string().as_bytes());
            self.message(field, &any);
        }
    }

    /// A repeated `Named…` message: name and value.
    fn named<'a>(&mut self, field: u64, entries: impl Iterator<Item = (&'a String, Self)>) {
        for (name, value) in entries {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, &value);
            self.message(field, &entry);
        }
    }

    /// Everything that starts with `x-`, as `NamedAny`.
    fn extensions(&mut self, field: u64, value: &Value) {
        for (name, value) in entries(value).filter(|(name, _)| name.starts_with("x-")) {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.any(2, value);
            self.message(field, &entry);
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The bytes of a document as [`super::document`] makes it.
pub(in crate::api) fn encode(document: &Value) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]);
    info.text(2, &document["info"]["version"]);
    let mut paths = Message::default();
    paths.named(2, entries(&document["paths"]).map(|(name, item)| (name, path_item(item))));
    let mut definitions = Message::default();
    definitions.named(1, entries(&document["definitions"]).map(|(name, value)| (name, schema(value))));
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, &info);
    out.message(8, &paths);
    out.message(9, &definitions);
    out.0
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if item[method].is_object() {
            out.message(field, &operation(&item[method]));
        }
    }
    parameters(&mut out, 9, &item["parameters"]);
    out
}

fn operation(given: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, &given["tags"]);
    out.text(5, &given["operationId"]);
    out.texts(6, &given["produces"]);
    out.texts(7, &given["consumes"]);
    parameters(&mut out, 8, &given["parameters"]);
    let mut responses = Message::default();
    responses.named(
        1,
        entries(&given["responses"]).map(|(code, given)| {
            let (mut response, mut value) = (Message::default(), Message::default());
            response.text(1, &given["description"]);
            if given["schema"].is_object() {
                let mut item = Message::default();
                item.message(1, &schema(&given["schema"]));
                response.message(2, &item);
            }
            value.message(1, &response);
            (code, value)
        }),
    );
    out.message(9, &responses);
    out.extensions(13, given);
    out
}

fn parameters(out: &mut Message, field: u64, all: &Value) {
    for given in all.as_array().into_iter().flatten() {
        let (mut parameter, mut item) = (Message::default(), Message::default());
        if given["in"] == "body" {
            let mut body = Message::default();
            body.text(2, &given["name"]);
            body.text(3, &given["in"]);
            body.flag(4, &given["required"]);
            body.message(5, &schema(&given["schema"]));
            parameter.message(1, &body);
        } else {
            let query = given["in"] == "query";
            let mut simple = Message::default();
            simple.flag(1, &given["required"]);
            simple.text(2, &given["in"]);
            simple.text(4, &given["name"]);
            // Queries may be empty, which takes a number; from there on paths' numbers are one lower.
            simple.text(if query { 6 } else { 5 }, &given["type"]);
            simple.flag(if query { 20 } else { 19 }, &given["uniqueItems"]);
            let mut other = Message::default();
            other.message(if query { 3 } else { 4 }, &simple);
            parameter.message(2, &other);
        }
        item.message(1, &parameter);
        out.message(field, &item);
    }
}

fn schema(given: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, &given["$ref"]);
    out.text(2, &given["format"]);
    out.text(4, &given["description"]);
    out.any(5, &given["default"]);
    out.texts(19, &given["required"]);
    for value in given["enum"].as_array().into_iter().flatten() {
        out.any(20, value);
    }
    if given["additionalProperties"].is_object() {
        let mut item = Message::default();
        item.message(1, &schema(&given["additionalProperties"]));
        out.message(21, &item);
    }
    if given["type"].is_string() {
        let mut item = Message::default();
        item.text(1, &given["type"]);
        out.message(22, &item);
    }
    if given["items"].is_object() {
        let mut item = Message::default();
        item.message(1, &schema(&given["items"]));
        out.message(23, &item);
    }
    for value in given["allOf"].as_array().into_iter().flatten() {
        out.message(24, &schema(value));
    }
    if given["properties"].is_object() {
        let mut all = Message::default();
        all.named(1, entries(&given["properties"]).map(|(name, value)| (name, schema(value))));
        out.message(25, &all);
    }
    out.extensions(31, given);
    out
}
