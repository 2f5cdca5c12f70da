//! JSON Schemas of the files, for editors.

use schemars::{Schema, SchemaGenerator, json_schema};

pub(crate) fn delta_ref(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object"})
}

pub(crate) fn profile_ref(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object"})
}
