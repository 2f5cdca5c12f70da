//! Cells and tables, kind by kind.
#![allow(clippy::unwrap_used)]

mod kinds;
mod pods;
mod whole;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::{columns, row};

/// The moment at which all tests print: 2026-11-24T12:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_521_600);

/// The time `seconds` before [`NOW`], as the API writes it.
fn ago(seconds: i64) -> String {
    Timestamp::from_secs(NOW.secs() - seconds).rfc3339()
}

/// Prints `object` and compares the cells that `want` names by their column.
#[track_caller]
fn check(group: &str, kind: &str, object: &Value, want: Value) {
    let columns = columns(group, kind);
    let cells = row(group, kind, object, NOW);
    assert!(cells.len() >= columns.len(), "{kind}: fewer cells than columns: {cells:?}");
    for (name, want) in want.as_object().unwrap() {
        let index = columns.iter().position(|c| c.name == name);
        let index = index.unwrap_or_else(|| panic!("{kind} has no column {name}"));
        assert_eq!(&cells[index], want, "{kind}, column {name}, of {object}");
    }
}

/// An object with the given name, created an hour ago, and further top-level fields.
fn named(name: &str, fields: Value) -> Value {
    let mut object = fields;
    let metadata = object.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
    let metadata = metadata.as_object_mut().unwrap();
    metadata.insert("name".into(), name.into());
    metadata.insert("creationTimestamp".into(), ago(3600).into());
    object
}
