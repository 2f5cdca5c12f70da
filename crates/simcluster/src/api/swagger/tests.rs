//! The older document says what the newer ones say.
#![allow(clippy::unwrap_used)]

use kiban_schema::table::Schema;
use serde_json::json;

use super::{document, encode};

#[test]
fn references_stand_alone_and_lead_somewhere() {
    let document = document(Schema::builtin());
    let text = document.to_string();
    // As keywords they hold lists; JSONSchemaProps has properties of these names too.
    for keyword in ["#/components/", "\"oneOf\":[", "\"allOf\":["] {
        assert!(!text.contains(keyword), "{keyword}");
    }
    let definitions = document["definitions"].as_object().unwrap();
    for piece in text.split("\"#/definitions/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(definitions.contains_key(name), "{name}");
    }
}

#[test]
fn kinds_keep_their_names_and_operations_their_parameters() {
    let document = document(Schema::builtin());
    let deployment = &document["definitions"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    assert_eq!(deployment["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
    let quantity = &document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(quantity["type"], "string");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let parameters = patch["parameters"].as_array().unwrap();
    let found = parameters.iter().find(|p| p["name"] == "fieldValidation").unwrap();
    assert_eq!((&found["in"], &found["type"]), (&json!("query"), &json!("string")));
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
}

#[test]
fn messages_are_tag_length_and_content() {
    let bytes = encode(&json!({
        "swagger": "2.0", "info": {"title": "K", "version": "v1"},
        "definitions": {"a": {"type": "string", "x-b": 1}},
    }));
    let definition: &[u8] = &[
        0xb2, 1, 8, 0x0a, 6, b's', b't', b'r', b'i', b'n', b'g', // type (22)
        0xfa, 1, 10, 0x0a, 3, b'x', b'-', b'b', 0x12, 3, 0x12, 1, b'1', // vendor_extension (31)
    ];
    let mut expected = vec![0x0a, 3, b'2', b'.', b'0', 0x12, 7, 0x0a, 1, b'K', 0x12, 2, b'v', b'1', 0x42, 0];
    let length = u8::try_from(definition.len()).unwrap();
    expected.extend([0x4a, length + 7, 0x0a, length + 5, 0x0a, 1, b'a', 0x12, length]);
    expected.extend(definition);
    assert_eq!(bytes, expected);
}
