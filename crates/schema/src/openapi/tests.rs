//! The documents hold together, and say what kubectl looks for.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

fn references(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(name)) = map.get("$ref") {
                out.insert(name.clone());
                assert_eq!(map.len(), 1, "a reference has nothing beside it");
            }
            map.values().for_each(|v| references(v, out));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, out)),
        _ => {}
    }
}

#[test]
fn every_reference_of_every_document_is_in_it() {
    let schema = Schema::builtin();
    for (group, version) in schema.group_versions() {
        let document = document(schema, group, version).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for name in found {
            let name = name.strip_prefix(COMPONENTS).unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{group}/{version}: {name}");
        }
        println!("{group}/{version}: {} bytes", document.to_string().len());
    }
    assert!(document(schema, "nothing", "v1").is_none());
}

#[test]
fn every_kind_has_a_patch_that_takes_field_validation() {
    let schema = Schema::builtin();
    for kind in schema.resources().filter(|k| k.verbs.iter().any(|v| v == "patch")) {
        let document = document(schema, &kind.group, &kind.version).unwrap();
        let wanted = components::gvk(kind);
        let operations = document["paths"].as_object().unwrap().values().map(|p| &p["patch"]);
        let found = operations.filter(|o| o["x-kubernetes-group-version-kind"] == wanted).any(|o| {
            o["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation")
                && o["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object()
        });
        assert!(found, "{}", kind.kind);
    }
}

#[test]
fn a_deployment_reads_as_upstream_writes_it() {
    let document = document(Schema::builtin(), "apps", "v1").unwrap();
    let schemas = &document["components"]["schemas"];
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["required"], json!(["selector", "template"]));
    assert_eq!(spec["properties"]["replicas"]["type"], "integer");
    assert_eq!(spec["properties"]["strategy"]["x-kubernetes-patch-strategy"], "retainKeys");
    assert_eq!(
        spec["properties"]["template"]["allOf"],
        json!([{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec"}])
    );
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    let protocol = &schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
    assert_eq!((&protocol["default"], &protocol["enum"]), (&json!("TCP"), &json!(["SCTP", "TCP", "UDP"])));
    assert_eq!(
        schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}

#[test]
fn the_index_names_every_group_version_by_its_content() {
    let schema = Schema::builtin();
    let index = index(schema, |group, version| content_hash(format!("{group}/{version}").as_bytes()));
    let paths = index["paths"].as_object().unwrap();
    assert_eq!(paths.len(), schema.group_versions().len());
    let apps = paths["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(apps.starts_with("/openapi/v3/apis/apps/v1?hash="), "{apps}");
    assert!(paths.contains_key("api/v1"));
    // FNV-1a's published test vector.
    assert_eq!(content_hash(b"a"), "D228CB696F1A8CAF78912B704E4A8964");
}
