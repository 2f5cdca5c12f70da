//! FieldsV1, the JSON form of field sets.
//!
//! A key per element; an empty object is a member without members below, `"."` marks a member that
//! has some. The API's objects hold it as a value; [`FieldSet::to_json`] writes it in upstream's
//! order of elements, which JSON readers do not see.

use serde_json::{Map, Value};

use super::path::PathElement;
use super::set::{FieldSet, Node};
use crate::patch::{MAX_DEPTH, gofmt};

impl FieldSet {
    /// Reads FieldsV1.
    ///
    /// # Errors
    /// Where a key is no path element, or something other than an object stands below one.
    pub fn from_fields_v1(fields: &Value) -> Result<Self, String> {
        Ok(read(fields, 0)?.0)
    }

    /// Writes FieldsV1.
    pub fn to_fields_v1(&self) -> Value {
        Value::Object(write(self, false, &mut String::new()))
    }

    /// FieldsV1 as text, in upstream's order.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        write_text(self, &mut out, &mut String::new());
        out.push('}');
        out
    }
}

/// A set, and whether the path that it stands at is a member.
fn read(fields: &Value, depth: usize) -> Result<(FieldSet, bool), String> {
    if depth > MAX_DEPTH {
        return Err("exceeded max depth".to_owned());
    }
    let map = match fields {
        Value::Object(map) => map,
        Value::Null => return Ok((FieldSet::default(), true)),
        _ => return Err("ReadMapCB: expect { or n".to_owned()),
    };
    let mut set = FieldSet { nodes: Vec::with_capacity(map.len()) };
    let mut is_member = false;
    for (key, value) in map {
        if key == "." {
            is_member = true;
            continue;
        }
        let Some(element) = PathElement::parse(key)? else { continue };
        let (below, member) = read(value, depth + 1)?;
        set.attach(element, member, below);
    }
    let is_member = is_member || set.is_empty();
    Ok((set, is_member))
}

fn write(set: &FieldSet, member: bool, key: &mut String) -> Map<String, Value> {
    let mut map = Map::new();
    if member && !set.is_empty() {
        map.insert(".".to_owned(), Value::Object(Map::new()));
    }
    for Node { element, member, below } in &set.nodes {
        key.clear();
        element.write(key);
        let name = key.clone();
        map.insert(name, Value::Object(write(below, *member, key)));
    }
    map
}

fn write_text(set: &FieldSet, out: &mut String, key: &mut String) {
    for (i, Node { element, member, below }) in set.nodes.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        key.clear();
        element.write(key);
        gofmt::write_json_string(out, key, false);
        out.push_str(":{");
        if *member && !below.is_empty() {
            out.push_str("\".\":{},");
        }
        write_text(below, out, key);
        out.push('}');
    }
}
