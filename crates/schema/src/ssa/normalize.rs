//! The form in which the API stores and returns an object of a known type.

use serde_json::{Map, Value};

use super::node::zero;
use crate::patch::MAX_DEPTH;
use crate::table::{Field, Schema, Shape, Type, TypeId};

/// Brings an object into the form that decoding it into the API's type and encoding it again gives:
/// nulls and empty optional fields go, fields that are always written come (`resources: {}`).
///
/// Unknown fields stay; finding them is strict decoding's work.
pub fn normalize(schema: &Schema, type_id: TypeId, object: &mut Value) {
    if let Value::Object(members) = object {
        object_members(schema, schema.get(type_id), members, 0);
    }
}

fn object_members(schema: &Schema, ty: &Type, members: &mut Map<String, Value>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    members.retain(|name, value| match ty.field(name) {
        Some(field) => {
            let is_empty = value.is_null() || (!field.pointer && is_zero(&field.shape, value));
            if is_empty && field.always && value.is_null() {
                *value = zero(field).clone();
            }
            (!is_empty || field.always) && {
                nested(schema, &field.shape, value, depth);
                true
            }
        }
        None => true,
    });
    for field in ty.fields.iter().filter(|f| f.always) {
        if !members.contains_key(&field.name) {
            let mut value = zero(field).clone();
            nested(schema, &field.shape, &mut value, depth);
            members.insert(field.name.clone(), value);
        }
    }
}

fn nested(schema: &Schema, shape: &Shape, value: &mut Value, depth: usize) {
    match (shape, value) {
        (Shape::Object(id), Value::Object(members)) => {
            object_members(schema, schema.get(*id), members, depth + 1);
        }
        (Shape::List(item), Value::Array(items)) => {
            items.iter_mut().for_each(|v| element(schema, item, v, depth));
        }
        (Shape::Map(item), Value::Object(members)) => {
            members.values_mut().for_each(|v| element(schema, item, v, depth));
        }
        _ => {}
    }
}

/// A null among items or values is the zero of their type.
fn element(schema: &Schema, shape: &Shape, value: &mut Value, depth: usize) {
    if value.is_null() {
        *value = zero(&Field { shape: shape.clone(), ..Field::default() }).clone();
    }
    nested(schema, shape, value, depth);
}

fn is_zero(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Bool, Value::Bool(b)) => !b,
        (Shape::Int32 | Shape::Int64 | Shape::Float, Value::Number(n)) => n.as_f64() == Some(0.0),
        (Shape::String | Shape::Bytes, Value::String(s)) => s.is_empty(),
        (Shape::List(_), Value::Array(items)) => items.is_empty(),
        (Shape::Map(_), Value::Object(members)) => members.is_empty(),
        _ => false,
    }
}
