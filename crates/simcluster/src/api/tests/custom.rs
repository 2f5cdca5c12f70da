//! Custom kinds over the API, with the controllers that establish and clean them up.

use hyper::Method;
use serde_json::{Value, json};

use super::Client;
use crate::controllers::tests::World;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";
const OLDER: &str = "/apis/example.com/v1beta1/namespaces/default/things";

fn definition(spec: &Value) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false, "schema": schema},
                {"name": "v1", "served": true, "storage": true, "schema": schema},
            ],
        },
    })
}

fn thing(version: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

fn established() -> (World, Client) {
    let mut world = World::fast(0);
    let client = Client::new(&world);
    let spec = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    assert_eq!(client.call(Method::POST, DEFINITIONS, &definition(&spec)).0, 201);
    world.secs(1);
    (world, client)
}

#[test]
fn an_object_is_the_same_in_every_version() {
    let (_world, client) = established();
    let (code, made) = client.call(Method::POST, OLDER, &thing("v1beta1", "one", &json!({"a": "x"})));
    assert_eq!((code, &made["apiVersion"]), (201, &json!("example.com/v1beta1")));
    let (_, shown) = client.call(Method::GET, &format!("{THINGS}/one"), &Value::Null);
    assert_eq!((&shown["apiVersion"], &shown["spec"]["a"]), (&json!("example.com/v1"), &json!("x")));
    let owner = &shown["metadata"]["managedFields"][0];
    assert_eq!((&owner["apiVersion"], &owner["manager"]), (&json!("example.com/v1beta1"), &json!("test")));
    let (_, list) = client.call(Method::GET, OLDER, &Value::Null);
    assert_eq!(
        (&list["kind"], &list["items"][0]["apiVersion"]),
        (&json!("ThingList"), &json!("example.com/v1beta1"))
    );
    let mut next = shown.clone();
    next["spec"]["a"] = "y".into();
    let (code, next) = client.call(Method::PUT, &format!("{THINGS}/one"), &next);
    assert_eq!((code, &next["metadata"]["generation"]), (200, &json!(2)));
    let mut stale = next.clone();
    stale["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let (code, refused) = client.call(Method::PUT, &format!("{THINGS}/one"), &stale);
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("metadata.resourceVersion: Invalid value: 0: must be specified")
    );
}

#[test]
fn a_changed_schema_shows_in_what_was_stored_before() {
    let (mut world, client) = established();
    client.call(Method::POST, THINGS, &thing("v1", "one", &json!({"a": "x"})));
    let (_, mut changed) =
        client.call(Method::GET, &format!("{DEFINITIONS}/things.example.com"), &Value::Null);
    let properties = json!({"b": {"type": "integer", "default": 7}});
    for version in changed["spec"]["versions"].as_array_mut().unwrap() {
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] = properties.clone();
    }
    let (code, answer) = client.call(Method::PUT, &format!("{DEFINITIONS}/things.example.com"), &changed);
    assert_eq!(code, 200, "{answer}");
    world.secs(1);
    let (_, shown) = client.call(Method::GET, &format!("{THINGS}/one"), &Value::Null);
    assert_eq!(shown["spec"], json!({"b": 7}));
    let (_, list) = client.call(Method::GET, THINGS, &Value::Null);
    assert_eq!(list["items"][0]["spec"], json!({"b": 7}));
}

#[test]
fn a_definition_takes_its_objects_with_it_and_waits_for_their_finalizers() {
    let (mut world, client) = established();
    let mut held = thing("v1", "held", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(client.call(Method::POST, THINGS, &held).0, 201);
    assert_eq!(client.call(Method::POST, THINGS, &thing("v1", "free", &json!({}))).0, 201);
    let name = format!("{DEFINITIONS}/things.example.com");
    client.call(Method::DELETE, &name, &Value::Null);
    world.secs(1);
    let (_, list) = client.call(Method::GET, THINGS, &Value::Null);
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["held"]);
    let (code, refused) = client.call(Method::POST, THINGS, &thing("v1", "new", &json!({})));
    assert_eq!((code, &refused["reason"]), (405, &json!("MethodNotAllowed")));
    client.patch(
        &format!("{THINGS}/held"),
        "application/merge-patch+json",
        &json!({"metadata": {"finalizers": null}}),
    );
    world.secs(1);
    assert_eq!(client.call(Method::GET, &name, &Value::Null).0, 404);
    assert_eq!(world.cluster.customs().served().count(), 0);
}

#[test]
fn a_fork_serves_the_kinds_of_its_origin() {
    let (world, client) = established();
    client.call(Method::POST, THINGS, &thing("v1", "one", &json!({"a": "x"})));
    let fork = world.cluster.fork(world.clock.clone(), 1);
    assert_eq!(fork.customs().served().count(), 2);
    let kept = fork.customs().kept().next().unwrap();
    assert_eq!(fork.snapshot().objects(kept).len(), 1);
}
