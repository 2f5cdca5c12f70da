//! What the index of OpenAPI documents says of them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_index_names_each_document_by_its_content() {
    let index = openapi::index(Schema::builtin(), content_hash);
    let paths = index["paths"].as_object().unwrap();
    let mut hashes = BTreeSet::new();
    for (path, entry) in paths {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let (at, hash) = url.split_once("?hash=").unwrap();
        assert_eq!(at, format!("/openapi/v3/{path}"));
        assert_eq!(hash.len(), 128, "{path}: a SHA-512");
        assert!(hash.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()), "{hash}");
        assert!(hashes.insert(hash.to_owned()), "{path} is named as another");
    }
    assert_eq!(paths.len(), Schema::builtin().group_versions().len());
    for (group, version) in [("", "v1"), ("apps", "v1")] {
        let bytes = Documents::default().openapi(group, version).unwrap();
        let hash: String = Sha512::digest(&bytes).iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(hash, content_hash(group, version), "what is served has the hash that was told");
    }
}
