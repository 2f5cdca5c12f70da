//! OpenAPI v3 documents of the built-in group versions, made from the type table.
//!
//! kubectl asks for one to learn whether the server validates fields, which patches it takes, how
//! lists merge, and to `explain`. A document is large; callers make it when it is first asked for
//! and keep its bytes.

use serde_json::{Map, Value, json};

use crate::builtin::RELEASE;
use crate::table::Schema;

mod components;
mod custom;
mod paths;

pub use custom::{Described, custom_document};

/// Where the schemas of a document live.
const COMPONENTS: &str = "#/components/schemas/";

/// The document of a group version (`""`, `v1` for core), or nothing where the table has no
/// resource in it.
pub fn document(schema: &Schema, group: &str, version: &str) -> Option<Value> {
    schema.kinds_in(group, version).next()?;
    let mut components = components::Components::new(schema);
    let paths = paths::of(schema, schema.kinds_in(group, version), &mut components);
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": format!("v{RELEASE}.0")},
        "paths": paths,
        "components": {"schemas": components.finish()},
    }))
}

/// The index at `/openapi/v3`. `hash` names the content of a group version's document
/// ([`content_hash`] of its bytes): clients keep a document for as long as its hash stays.
pub fn index(schema: &Schema, mut hash: impl FnMut(&str, &str) -> String) -> Value {
    let mut paths = Map::new();
    for (group, version) in schema.group_versions() {
        let path = path_of(group, version);
        let url = format!("/openapi/v3/{path}?hash={}", hash(group, version));
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// `api/v1` or `apis/apps/v1`: a group version's place below `/` and `/openapi/v3/`.
pub fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Names content in an index: FNV-1a of 128 bits, in hex.
pub fn content_hash(bytes: &[u8]) -> String {
    let (offset, prime) = (0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, (1u128 << 88) + 0x13b);
    let hash = bytes.iter().fold(offset, |h, b| (h ^ u128::from(*b)).wrapping_mul(prime));
    format!("{hash:032X}")
}

#[cfg(test)]
mod tests;
