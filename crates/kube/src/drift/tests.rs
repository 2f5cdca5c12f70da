//! Drift: found by digest, named by field and owner.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn object(image: &str, replicas: i64, paused: Option<bool>) -> Value {
    let mut spec =
        json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": "a", "image": image}]}}});
    if let Some(paused) = paused {
        spec["paused"] = json!(paused);
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "resourceVersion": "1", "generation": 2, "managedFields": [
            {"manager": "kiban", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:paused": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}}},
            {"manager": "hpa", "operation": "Update", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-03T00:00:00Z", "fieldsV1":
                {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}}}}}},
        ]},
        "spec": spec, "status": {"replicas": replicas}})
}

#[test]
fn a_digest_sees_our_fields_and_no_others() {
    let of = |o: &Value| Digest::of(o).unwrap();
    let before = object("x:1", 2, Some(false));
    assert_eq!(of(&before), of(&object("x:1", 9, Some(false))), "an autoscaler's replicas");
    assert_ne!(of(&before), of(&object("x:2", 2, Some(false))), "our image");
    assert_ne!(of(&before), of(&object("x:1", 2, None)), "a field of ours that is gone");
    let mut status = before.clone();
    status["status"] = json!({"anything": 1});
    status["metadata"]["resourceVersion"] = json!("99");
    assert_eq!(of(&before), of(&status));
    let mut forced = before.clone();
    forced["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"].as_object_mut().unwrap().remove("f:paused");
    assert_ne!(of(&before), of(&forced), "ownership that was taken from us");
    assert_eq!(Digest::of(&json!({"metadata": {}})), None);
}

#[test]
fn drift_names_the_field_both_values_and_the_owner() {
    let (live, would_be) = (object("evil:1", 9, None), object("x:1", 9, Some(true)));
    let found = drift(&live, &would_be);
    let told: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.owner.as_deref())).collect();
    assert_eq!(
        told,
        [
            (".spec.template.spec.containers[name=\"a\"].image", Some("kubectl-edit")),
            (".spec.paused", Some("kubectl-edit")),
        ]
    );
    assert_eq!((found[0].ours.clone(), found[0].theirs.clone()), (Some(json!("x:1")), Some(json!("evil:1"))));
    assert_eq!((found[1].ours.clone(), found[1].theirs.clone()), (Some(json!(true)), None));
    assert!(drift(&live, &live).is_empty());
}

#[test]
fn lists_are_compared_by_their_keys_and_whole_where_they_have_none() {
    let form = |env: Value, args: Value| json!({"spec": {"env": env, "args": args}});
    let live = form(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]), json!(["x"]));
    let wanted = form(json!([{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]), json!(["x", "y"]));
    let mut paths: Vec<_> = drift(&live, &wanted).into_iter().map(|d| d.path).collect();
    paths.sort();
    assert_eq!(paths, [".spec.args", ".spec.env[name=\"A\"]", ".spec.env[name=\"C\"]"]);
    let odd = json!({"metadata": {"annotations": {"a.b/c": "1"}}});
    assert_eq!(
        drift(&odd, &json!({"metadata": {"annotations": {}}}))[0].path,
        ".metadata.annotations[\"a.b/c\"]"
    );
}
