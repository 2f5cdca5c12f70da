//! The merge rules of a field: where the walk stands in the type table.

use crate::patch::PatchError;
use crate::table::{Field, PatchStrategy, Schema, Shape, TypeId};

/// A position in the type table.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a> {
    schema: &'a Schema,
    at: At<'a>,
}

#[derive(Clone, Copy)]
enum At<'a> {
    Type(TypeId),
    Shape(&'a Shape),
}

/// The merge rules of one field.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules<'a> {
    /// How it merges.
    pub strategy: PatchStrategy,
    /// Key of its items, empty where it has none.
    pub merge_key: &'a str,
}

impl<'a> Lookup<'a> {
    pub(super) fn root(schema: &'a Schema, type_id: TypeId) -> Self {
        Self { schema, at: At::Type(type_id) }
    }

    /// The rules of a field that holds an object, and the position below it.
    pub(super) fn object(self, name: &str) -> Result<(Self, Rules<'a>), PatchError> {
        let field = self.field(name)?;
        Ok((Self { schema: self.schema, at: At::Shape(&field.shape) }, rules(field)))
    }

    /// The rules of a field that holds a list, and the position of its items.
    pub(super) fn list(self, name: &str) -> Result<(Self, Rules<'a>), PatchError> {
        let field = self.field(name)?;
        let Shape::List(item) = &field.shape else {
            return Err(PatchError::Internal("expected slice or array type, but got: struct".to_owned()));
        };
        if matches!(**item, Shape::List(_)) {
            return Err(PatchError::Internal("unexpected slice of slice".to_owned()));
        }
        Ok((Self { schema: self.schema, at: At::Shape(item) }, rules(field)))
    }

    /// What Go calls this kind of type.
    pub(super) fn kind(self) -> &'static str {
        match self.at {
            At::Type(_) => "struct",
            At::Shape(shape) => match shape {
                Shape::Map(_) => "map",
                Shape::List(_) | Shape::Bytes => "slice",
                Shape::String => "string",
                Shape::Bool => "bool",
                Shape::Int32 => "int32",
                Shape::Int64 => "int64",
                Shape::Float => "float64",
                _ => "struct",
            },
        }
    }

    fn field(self, name: &str) -> Result<&'a Field, PatchError> {
        let at = match self.at {
            At::Shape(Shape::Object(id)) => At::Type(*id),
            at => at,
        };
        let (type_name, field) = match at {
            At::Type(id) => {
                let ty = self.schema.get(id);
                let field = ty.field(name).or_else(|| {
                    // Upstream falls back to a match that ignores case.
                    ty.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name))
                });
                (ty.short_name(), field)
            }
            At::Shape(Shape::Any) => ("RawExtension", None),
            At::Shape(Shape::Time) => ("Time", None),
            At::Shape(Shape::MicroTime) => ("MicroTime", None),
            At::Shape(Shape::Quantity) => ("Quantity", None),
            At::Shape(Shape::IntOrString) => ("IntOrString", None),
            At::Shape(_) => {
                return Err(PatchError::Internal(format!(
                    "merging an object in json but data type is not struct, instead is: {}",
                    self.kind()
                )));
            }
        };
        field.ok_or_else(|| {
            PatchError::Internal(format!(
                "unable to find api field in struct {type_name} for the json field {}",
                crate::patch::gofmt::quote(name)
            ))
        })
    }
}

fn rules(field: &Field) -> Rules<'_> {
    Rules { strategy: field.patch, merge_key: field.merge_key.as_deref().unwrap_or("") }
}
