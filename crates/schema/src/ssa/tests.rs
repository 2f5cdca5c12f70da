//! Server-side apply by hand-made cases; what upstream's library answers to many more is in
//! `tests/golden/merge`.
#![allow(clippy::unwrap_used)]

mod laws;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

pub(crate) use laws::any_json;

use super::*;

fn ctx(group: &str, kind: &str, subresource: &str) -> Ctx<'static> {
    let schema = Schema::builtin();
    Ctx::new(schema, schema.kind(group, "v1", kind).unwrap(), subresource)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + second)
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

fn stored(ctx: &Ctx<'_>, mut object: Value) -> Value {
    normalize(ctx.schema, ctx.type_id.unwrap(), &mut object);
    object
}

fn owners(object: &Value) -> &Vec<Value> {
    object["metadata"]["managedFields"].as_array().unwrap()
}

fn owner<'a>(object: &'a Value, manager: &str) -> &'a Value {
    owners(object).iter().find(|e| e["manager"] == manager).unwrap_or(&Value::Null)
}

#[test]
fn a_conflict_answers_as_a_real_api_server_does() {
    let ctx = ctx("", "ConfigMap", "");
    let live = apply(&ctx, None, &config_map(json!({"a": "1"})), "ma", false, at(0)).unwrap();
    assert_eq!(
        owners(&live),
        &vec![json!({
            "manager": "ma", "operation": "Apply", "apiVersion": "v1", "time": "2023-11-14T22:13:20Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}
        })]
    );
    let error = apply(&ctx, Some(&live), &config_map(json!({"a": "2"})), "mb", false, at(1)).unwrap_err();
    assert_eq!(error.status(), 409);
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"ma\": .data.a");
    let ApplyError::Conflict(conflicts) = error else { panic!("not a conflict") };
    assert_eq!(conflicts[0].message(), "conflict with \"ma\"");
    assert_eq!(conflicts[0].field, ".data.a");
}

#[test]
fn several_conflicts_are_listed_by_manager() {
    let ctx = ctx("", "ConfigMap", "");
    let live = apply(&ctx, None, &config_map(json!({"a": "1", "b": "1"})), "ma", false, at(0)).unwrap();
    let live = apply(&ctx, Some(&live), &config_map(json!({"c": "1"})), "mc", false, at(1)).unwrap();
    let config = config_map(json!({"a": "2", "b": "2", "c": "2"}));
    let error = apply(&ctx, Some(&live), &config, "mb", false, at(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 3 conflicts: conflicts with \"ma\":\n- .data.a\n- .data.b\nconflicts with \"mc\":\n- .data.c"
    );
    let forced = apply(&ctx, Some(&live), &config, "mb", true, at(2)).unwrap();
    assert_eq!(forced["data"], json!({"a": "2", "b": "2", "c": "2"}));
    assert_eq!(owners(&forced).len(), 1);
}

#[test]
fn a_conflict_names_the_version_and_subresource_of_an_updater() {
    let main = ctx("apps", "Deployment", "");
    let live = track_update(
        &main,
        None,
        stored(&main, deployment(json!({"replicas": 1}))),
        "kubectl-client-side-apply",
        at(0),
    );
    let error =
        apply(&main, Some(&live), &deployment(json!({"replicas": 2})), "a", false, at(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );

    let scale = super::scale::to_parent(
        live.pointer("/metadata/managedFields"),
        Some(&json!([{
            "manager": "hpa", "operation": "Update", "apiVersion": "autoscaling/v1", "subresource": "scale",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}
        }])),
        "apps/v1",
        &["spec", "replicas"],
    );
    let mut scaled = live;
    scaled["spec"]["replicas"] = json!(5);
    scaled["metadata"]["managedFields"] = scale.unwrap().unwrap();
    let error =
        apply(&main, Some(&scaled), &deployment(json!({"replicas": 2})), "a", false, at(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn an_apply_that_changes_nothing_keeps_the_time_and_settles() {
    let ctx = ctx("", "ConfigMap", "");
    let config = config_map(json!({"a": "1"}));
    let live = apply(&ctx, None, &config, "ma", false, at(0)).unwrap();
    let mut again = apply(&ctx, Some(&live), &config, "ma", false, at(60)).unwrap();
    assert_eq!(again, live);
    assert!(settle(&live, &mut again));
}

#[test]
fn settling_gives_back_the_old_times_and_sees_every_other_change() {
    let object = |time: &str, value: &str| {
        let owners = json!([{"manager": "a", "operation": "Apply", "apiVersion": "v1", "time": time}]);
        json!({"metadata": {"managedFields": owners}, "data": {"a": value}})
    };
    let old = object("2020-01-01T00:00:00Z", "1");
    let mut new = object("2021-01-01T00:00:00Z", "1");
    assert!(settle(&old, &mut new));
    assert_eq!(old, new);
    assert!(!settle(&old, &mut object("2021-01-01T00:00:00Z", "2")));
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner() {
    let ctx = ctx("", "ConfigMap", "");
    let live = config_map(json!({"a": "1"}));
    let error = apply(&ctx, Some(&live), &config_map(json!({"a": "2"})), "ma", false, at(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"
    );
    let applied = apply(&ctx, Some(&live), &config_map(json!({"b": "2"})), "ma", false, at(0)).unwrap();
    assert_eq!(owner(&applied, "before-first-apply")["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}}}));
}

#[test]
fn kubectl_may_change_what_it_applied_from_the_client() {
    let ctx = ctx("", "ConfigMap", "");
    let mut live = config_map(json!({"a": "1", "b": "1"}));
    let last = config_map(json!({"a": "1", "b": "0"})).to_string();
    live["metadata"]["annotations"] = json!({LAST_APPLIED: last});
    let live = track_update(&ctx, None, live, "kubectl-client-side-apply", at(0));

    let applied =
        apply(&ctx, Some(&live), &config_map(json!({"a": "2", "b": "1"})), "kubectl", false, at(1)).unwrap();
    assert_eq!(applied["data"]["a"], "2");
    let annotation = applied["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert!(annotation.ends_with("\n"));
    assert_eq!(serde_json::from_str::<Value>(annotation).unwrap()["data"], json!({"a": "2", "b": "1"}));

    // Somebody changed b since.
    let error = apply(&ctx, Some(&live), &config_map(json!({"a": "2", "b": "2"})), "kubectl", false, at(1))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.b"
    );
}

#[test]
fn a_last_applied_annotation_that_grows_too_large_is_dropped() {
    let ctx = ctx("", "ConfigMap", "");
    let mut live = config_map(json!({}));
    live["metadata"]["annotations"] = json!({LAST_APPLIED: "{}"});
    let config = config_map(json!({"a": "x".repeat(300 << 10)}));
    let applied = apply(&ctx, Some(&live), &config, "kubectl", true, at(0)).unwrap();
    assert_eq!(applied["metadata"]["annotations"], json!({}));
}

#[test]
fn a_status_written_through_the_object_is_owned_by_nobody() {
    let main = ctx("apps", "Deployment", "");
    let mut object = deployment(json!({"replicas": 1}));
    object["status"] = json!({"replicas": 1});
    let created = track_update(&main, None, stored(&main, object), "a", at(0));
    assert_eq!(owner(&created, "a")["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));

    let status = ctx("apps", "Deployment", "status");
    let mut next = created.clone();
    next["status"]["readyReplicas"] = json!(1);
    next["spec"]["replicas"] = json!(3);
    let written = track_update(&status, Some(&created), next, "controller", at(1));
    let entry = owner(&written, "controller");
    assert_eq!(entry["fieldsV1"], json!({"f:status": {"f:readyReplicas": {}}}));
    assert_eq!(entry["subresource"], "status");
    assert_eq!(owner(&written, "a")["time"], owner(&created, "a")["time"]);
}

#[test]
fn managed_fields_that_clients_send_are_kept_ignored_or_reset() {
    let ctx = ctx("", "ConfigMap", "");
    let live = track_update(&ctx, None, config_map(json!({"a": "1"})), "a", at(0));
    let send = |owners: Value| {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = owners;
        track_update(&ctx, Some(&live), new, "b", at(1))
    };
    for reset in [json!([]), json!([{}])] {
        assert_eq!(send(reset).pointer("/metadata/managedFields"), None);
    }
    for ignored in [json!(null), json!("x"), json!([{"operation": "Sing"}]), json!([1])] {
        assert_eq!(send(ignored.clone()), live, "{ignored}");
    }
    let mut mine = owners(&live).clone();
    mine[0]["manager"] = json!("c");
    assert_eq!(owners(&send(json!(mine))), &mine);
}

#[test]
fn eleven_updaters_become_ten() {
    let ctx = ctx("", "ConfigMap", "");
    let mut live = track_update(&ctx, None, config_map(json!({"k0": "1"})), "m0", at(0));
    for i in 1..=10 {
        let mut new = live.clone();
        new["data"][format!("k{i}")] = json!("1");
        live = track_update(&ctx, Some(&live), new, &format!("m{i}"), at(i));
    }
    assert_eq!(owners(&live).len(), 10);
    let ancient = owner(&live, "ancient-changes");
    assert_eq!(ancient["fieldsV1"], json!({"f:data": {".": {}, "f:k0": {}, "f:k1": {}}}));
    assert_eq!(ancient["time"], "2023-11-14T22:13:21Z");
}

#[test]
fn wrong_configurations_are_refused_in_upstreams_words() {
    let ctx = ctx("apps", "Deployment", "");
    let containers = |list: Value| deployment(json!({"template": {"spec": {"containers": list}}}));
    let cases = [
        (
            containers(
                json!([{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}]),
            ),
            "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"a\"].ports: duplicate entries for key [containerPort=80,protocol=\"TCP\"]",
        ),
        (
            deployment(json!({"replica": 1})),
            "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema",
        ),
        (
            containers(json!([{"name": "a", "image": 5}])),
            "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.template.spec.containers[name=\"a\"].image: expected string, got &value.valueUnstructured{Value:5}",
        ),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}), "invalid object type: /v1, Kind=Pod"),
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"managedFields": []}}),
            "metadata.managedFields must be nil",
        ),
    ];
    for (config, message) in cases {
        let error = apply(&ctx, None, &config, "a", false, at(0)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn an_undeclared_kind_merges_objects_and_replaces_lists() {
    let ctx = Ctx::untyped(Schema::builtin(), "example.dev", "v1", "Widget", "", true);
    let widget = |spec: Value| json!({"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let live = apply(&ctx, None, &widget(json!({"a": 1, "list": [1]})), "ma", false, at(0)).unwrap();
    let live = apply(&ctx, Some(&live), &widget(json!({"b": 2})), "mb", false, at(1)).unwrap();
    assert_eq!(live["spec"], json!({"a": 1, "b": 2, "list": [1]}));
    let error = apply(&ctx, Some(&live), &widget(json!({"list": [2]})), "mb", false, at(2)).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"ma\": .spec.list");
}

#[test]
fn field_sets_are_written_in_upstreams_order() {
    let fields =
        json!({"f:b": {".": {}, "k:{\"port\":443}": {}, "k:{\"port\":80}": {}, "v:\"x\"": {}}, "f:a": {}});
    let set = FieldSet::from_fields_v1(&fields).unwrap();
    assert_eq!(set.to_fields_v1(), fields);
    assert_eq!(
        set.to_json(),
        r#"{"f:a":{},"f:b":{".":{},"k:{\"port\":80}":{},"k:{\"port\":443}":{},"v:\"x\"":{}}}"#
    );
    assert_eq!(set.paths(), [".a", ".b", ".b[port=80]", ".b[port=443]", ".b[=\"x\"]"]);
    for wrong in [json!({"x": {}}), json!({"fa:": {}}), json!({"k:[": {}}), json!({"f:a": 1}), json!([])] {
        assert!(FieldSet::from_fields_v1(&wrong).is_err(), "{wrong}");
    }
    assert!(FieldSet::from_fields_v1(&json!({"z:new": {}})).unwrap().is_empty());
}

#[test]
fn managers_are_named_by_parameter_or_user_agent() {
    let kubectl = "kubectl/v1.37.1 (linux/amd64) kubernetes/abc";
    assert_eq!(manager_name("", kubectl), "kubectl");
    assert_eq!(manager_name("me", kubectl), "me");
    assert_eq!(manager_name("", "a\u{7}b/1"), "ab");
    assert_eq!(manager_name("", &"ü".repeat(100)).len(), 128);
}

#[test]
fn stored_objects_have_what_is_always_written_and_no_empty_options() {
    let ctx = ctx("apps", "Deployment", "");
    let spec = json!({"paused": false, "replicas": 0, "template": {"spec": {"containers": [{"name": "a", "env": [], "image": ""}], "hostNetwork": null}}});
    assert_eq!(
        stored(&ctx, deployment(spec)),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 0, "selector": null, "strategy": {}, "template": {
                "metadata": {}, "spec": {"containers": [{"name": "a", "resources": {}}]}
            }},
            "status": {}
        })
    );
}

#[test]
fn each_endpoint_owns_only_what_it_can_write() {
    let pod = || {
        stored(
            &ctx("", "Pod", ""),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "labels": {"a": "1"}, "ownerReferences": [{"uid": "u"}]},
                "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
                "status": {"phase": "Running"}
            }),
        )
    };
    let key = "k:{\"name\":\"c\"}";
    let cases = [
        ("status", json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:status": {"f:phase": {}}})),
        (
            "resize",
            json!({"f:spec": {"f:containers": {key: {".": {}, "f:resources": {".": {}, "f:requests": {".": {}, "f:cpu": {}}}}}}}),
        ),
        ("ephemeralcontainers", Value::Null),
    ];
    for (subresource, expected) in cases {
        let written = track_update(&ctx("", "Pod", subresource), None, pod(), "a", at(0));
        let fields = written.pointer("/metadata/managedFields/0/fieldsV1").cloned().unwrap_or_default();
        assert_eq!(fields, expected, "{subresource}");
    }
}
