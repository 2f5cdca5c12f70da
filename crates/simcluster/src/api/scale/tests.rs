//! Scales applied, replaced and patched: replicas, owners, conflicts, dry runs.
#![allow(clippy::unwrap_used)]

use hyper::Method;
use serde_json::{Value, json};

use crate::api::tests::Client;
use crate::controllers::tests::{World, workload};
use crate::kind::KindId;
use crate::kind::well_known::*;

const KINDS: [(&str, &str, &str); 4] = [
    ("/apis/apps/v1", "deployments", "apps/v1"),
    ("/apis/apps/v1", "replicasets", "apps/v1"),
    ("/apis/apps/v1", "statefulsets", "apps/v1"),
    ("/api/v1", "replicationcontrollers", "v1"),
];

fn kind(plural: &str) -> KindId {
    match plural {
        "deployments" => *DEPLOYMENT,
        "replicasets" => *REPLICA_SET,
        "statefulsets" => *STATEFUL_SET,
        _ => *REPLICATION_CONTROLLER,
    }
}

/// A workload `web` with 3 replicas that `creator` applied, and a client.
fn applied(root: &str, plural: &str) -> (World, Client, String) {
    let world = World::fast(0);
    let client = Client::new(&world);
    let path = format!("{root}/namespaces/default/{plural}/web");
    let mut object = workload("web", 3, &json!({}));
    if plural == "replicationcontrollers" {
        object["spec"]["selector"] = object["spec"]["selector"]["matchLabels"].clone();
    }
    if plural == "statefulsets" {
        object["spec"]["serviceName"] = "web".into();
    }
    object["apiVersion"] = root.trim_start_matches("/apis/").trim_start_matches("/api/").into();
    object["kind"] = kind(plural).info().kind.clone().into();
    let (code, answer) = client.apply(&path, "fieldManager=creator", &object);
    assert_eq!(code, 201, "{answer}");
    (world, client, path)
}

fn scale(replicas: i64) -> Value {
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": replicas}})
}

/// Manager, operation, version and subresource of all who own the replicas.
fn owners(world: &World, plural: &str) -> Vec<String> {
    let object = world.get(kind(plural), "web");
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let of = |e: &Value, key: &str| e[key].as_str().unwrap_or_default().to_owned();
    let mut owners: Vec<_> = entries
        .iter()
        .filter(|e| e.pointer("/fieldsV1/f:spec/f:replicas").is_some())
        .map(|e| ["manager", "operation", "apiVersion", "subresource"].map(|key| of(e, key)).join(" "))
        .collect();
    owners.sort();
    owners
}

#[test]
fn an_applied_scale_conflicts_with_the_owner_of_the_replicas_until_it_is_forced() {
    for (root, plural, version) in KINDS {
        let (world, client, path) = applied(root, plural);
        let path = format!("{path}/scale");
        assert_eq!(owners(&world, plural), [format!("creator Apply {version} ")]);

        let (code, status) = client.apply(&path, "fieldManager=scaler", &scale(5));
        assert_eq!(code, 409, "{status}");
        assert_eq!(
            status["message"],
            "Apply failed with 1 conflict: conflict with \"creator\": .spec.replicas"
        );
        let cause = &status["details"]["causes"][0];
        assert_eq!(
            (&cause["reason"], &cause["field"]),
            (&json!("FieldManagerConflict"), &json!(".spec.replicas"))
        );
        assert_eq!(world.get(kind(plural), "web")["spec"]["replicas"], 3);

        let (code, answer) = client.apply(&path, "fieldManager=scaler&force=true", &scale(5));
        assert_eq!((code, &answer["kind"], &answer["spec"]["replicas"]), (200, &json!("Scale"), &json!(5)));
        assert_eq!(answer["metadata"].get("managedFields"), None, "a Scale does not tell its owners");
        assert_eq!(world.get(kind(plural), "web")["spec"]["replicas"], 5);
        assert_eq!(owners(&world, plural), [format!("scaler Apply {version} scale")]);

        // The other way around: the object's applier meets the scaler.
        let object = world.get(kind(plural), "web");
        let mut config =
            json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": "web"}});
        config["spec"] = json!({"replicas": 4});
        let (code, status) = client.apply(path.trim_end_matches("/scale"), "fieldManager=creator", &config);
        let told = "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\"";
        assert_eq!(code, 409, "{status}");
        assert!(status["message"].as_str().unwrap().starts_with(told), "{status}");
    }
}

#[test]
fn the_same_scale_applied_by_two_is_shared_and_a_second_apply_writes_nothing() {
    for (root, plural, version) in KINDS {
        let (world, client, path) = applied(root, plural);
        let path = format!("{path}/scale");
        assert_eq!(client.apply(&path, "fieldManager=scaler", &scale(3)).0, 200);
        let both = [format!("creator Apply {version} "), format!("scaler Apply {version} scale")];
        assert_eq!(owners(&world, plural), both);
        let before = world.get(kind(plural), "web")["metadata"]["resourceVersion"].clone();
        assert_eq!(client.apply(&path, "fieldManager=scaler", &scale(3)).0, 200);
        assert_eq!(world.get(kind(plural), "web")["metadata"]["resourceVersion"], before);
    }
}

#[test]
fn a_dry_run_of_a_scale_answers_and_keeps_nothing() {
    for (root, plural, version) in KINDS {
        let (world, client, path) = applied(root, plural);
        let query = "fieldManager=scaler&force=true&dryRun=All";
        let (code, answer) = client.apply(&format!("{path}/scale"), query, &scale(9));
        assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(9)));
        assert_eq!(world.get(kind(plural), "web")["spec"]["replicas"], 3);
        assert_eq!(owners(&world, plural), [format!("creator Apply {version} ")]);
    }
}

#[test]
fn a_scale_that_is_put_or_patched_takes_the_replicas_over() {
    for (root, plural, version) in KINDS {
        let (world, client, path) = applied(root, plural);
        let path = format!("{path}/scale");
        let (code, answer) = client.call(Method::PUT, &format!("{path}?fieldManager=putter"), &scale(2));
        assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(2)), "{answer}");
        assert_eq!(owners(&world, plural), [format!("putter Update {version} scale")]);
        let patch = json!({"spec": {"replicas": 6}});
        let (code, _) =
            client.patch(&format!("{path}?fieldManager=patcher"), "application/merge-patch+json", &patch);
        assert_eq!(code, 200);
        assert_eq!(world.get(kind(plural), "web")["spec"]["replicas"], 6);
        assert_eq!(owners(&world, plural), [format!("patcher Update {version} scale")]);
    }
}

#[test]
fn what_is_no_scale_of_this_object_is_refused() {
    let (_world, client, path) = applied("/apis/apps/v1", "deployments");
    let path = format!("{path}/scale");
    let with = |change: fn(&mut Value)| {
        let mut scale = scale(4);
        change(&mut scale);
        client.apply(&path, "fieldManager=s&force=true", &scale)
    };
    let (code, status) = with(|s| s["spec"]["replicas"] = (-1).into());
    assert_eq!(code, 422);
    let text = "Scale.autoscaling \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0";
    assert_eq!(status["message"], text);
    assert_eq!(with(|s| s["kind"] = "Deployment".into()).0, 400);
    assert_eq!(with(|s| s["metadata"]["name"] = "other".into()).0, 400);
    assert_eq!(with(|s| s["metadata"]["resourceVersion"] = "1".into()).0, 409);
    let (code, status) = with(|s| s["metadata"]["uid"] = "1".into());
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert!(status["message"].as_str().unwrap().contains("Precondition failed: UID in precondition: 1"));
    let (code, _) = client.apply(&path.replace("web", "gone"), "fieldManager=s", &json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "gone"}, "spec": {"replicas": 1},
    }));
    assert_eq!(code, 404, "a scale does not make an object");
}
