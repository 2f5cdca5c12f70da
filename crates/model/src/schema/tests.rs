//! Tests of the committed schemas.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_committed_schemas_are_current() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
    for (name, schema) in all() {
        let path = folder.join(name);
        let text = to_text(&schema);
        if std::env::var_os("KIBAN_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{name} is not current: run the tests with KIBAN_BLESS=1");
    }
}
