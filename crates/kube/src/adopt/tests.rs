//! Taking over: what moves, what goes, what stays.
#![allow(clippy::unwrap_used)]

use super::*;

const ALL: Policy = Policy { all: true };
const KUBECTL: Policy = Policy { all: false };

fn entry(manager: &str, operation: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "time": "t", "fieldsV1": fields})
}

fn object(entries: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "resourceVersion": "7", "managedFields": entries}})
}

#[test]
fn the_fields_of_client_side_apply_become_our_own() {
    let status = json!({"manager": "kcm", "operation": "Update", "subresource": "status", "fieldsV1": {}});
    let before = object(json!([
        entry("kubectl-client-side-apply", "Update", json!({"f:spec": {"f:a": {}, "f:c": {".": {}}}})),
        status,
        entry(MANAGER, "Apply", json!({"f:spec": {"f:a": {}, "f:b": {}}})),
    ]));
    for policy in [ALL, KUBECTL] {
        let Migration { patch, adopted } = migration(policy, &before, &json!({})).unwrap();
        assert_eq!(patch[1]["value"], "7");
        let after = &patch[0]["value"];
        assert_eq!(after.as_array().unwrap().len(), 2);
        assert_eq!(after[0], status);
        assert_eq!(after[1]["manager"], MANAGER);
        assert_eq!(after[1]["fieldsV1"], json!({"f:spec": {"f:a": {}, "f:b": {}, "f:c": {".": {}}}}));
        assert_eq!(adopted.from, ["kubectl-client-side-apply"]);
    }
}

#[test]
fn each_tool_is_known_by_its_manager() {
    for (manager, operation, with_adopt) in [
        ("kubectl-client-side-apply", "Update", true),
        ("kubectl", "Apply", true),
        ("kubectl-create", "Update", true),
        ("kubectl-edit", "Update", false),
        ("kubectl-rollout", "Update", false),
        ("helm", "Update", true),
        ("helm", "Apply", true),
        ("kustomize-controller", "Apply", true),
        ("helm-controller", "Apply", true),
        ("argocd-controller", "Apply", true),
        ("kube-controller-manager", "Update", false),
        ("horizontal-pod-autoscaler", "Update", false),
    ] {
        let live = object(json!([entry(manager, operation, json!({"f:spec": {"f:a": {}}}))]));
        assert_eq!(migration(ALL, &live, &json!({})).is_some(), with_adopt, "{manager} {operation}");
        let alone = manager == "kubectl-client-side-apply";
        assert_eq!(migration(KUBECTL, &live, &json!({})).is_some(), alone, "{manager} {operation}");
    }
}

#[test]
fn what_is_malformed_or_already_ours_is_left_alone() {
    for entries in [
        json!(null),
        json!("x"),
        json!([7, {}]),
        json!([entry(MANAGER, "Apply", json!({"f:spec": {}}))]),
        json!([{"manager": "helm", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:a": {}}}]),
    ] {
        assert_eq!(migration(ALL, &object(entries.clone()), &json!({})), None, "{entries}");
    }
}

#[test]
fn what_a_tool_put_into_the_pod_template_stays_its_own_unless_it_is_rendered() {
    let labels = json!({"f:labels": {"f:app": {}, "f:helm.sh/chart": {}}});
    let live = object(json!([entry(
        "helm",
        "Update",
        json!({"f:metadata": labels, "f:spec": {"f:replicas": {}, "f:template": {"f:metadata": labels}}})
    )]));
    let desired = json!({"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}});
    let Migration { patch, adopted } = migration(ALL, &live, &desired).unwrap();
    let after = &patch[0]["value"];
    assert_eq!(after[0]["manager"], "helm");
    let left = json!({"f:spec": {"f:template": {"f:metadata": {"f:labels": {"f:helm.sh/chart": {}}}}}});
    assert_eq!(after[0]["fieldsV1"], left);
    assert_eq!(
        after[1]["fieldsV1"],
        json!({"f:metadata": labels, "f:spec": {"f:replicas": {}, "f:template": {"f:metadata": {"f:labels": {"f:app": {}}}}}})
    );
    assert_eq!(
        adopted.remains,
        [".spec.template.metadata.labels.helm.sh/chart stays Helm's: to take it away would restart the pods"]
    );
    // And then there is nothing more to take.
    let mut next = live.clone();
    next["metadata"]["managedFields"] = after.clone();
    assert_eq!(migration(ALL, &next, &desired), None);
}

#[test]
fn what_a_tool_finds_its_objects_by_goes_unless_it_is_rendered() {
    let mut live = object(json!([entry(
        "helm",
        "Update",
        json!({"f:metadata": {"f:annotations": {"f:meta.helm.sh/release-name": {}, "f:theirs": {}}}})
    )]));
    live["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "shop", "argocd.argoproj.io/tracking-id": "a:b", "theirs": "x"});
    let desired = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "a:b"}}});
    let Migration { patch, adopted } = migration(ALL, &live, &desired).unwrap();
    assert_eq!(patch[2], json!({"op": "remove", "path": "/metadata/annotations/meta.helm.sh~1release-name"}));
    assert_eq!(patch.as_array().unwrap().len(), 3);
    assert_eq!(patch[0]["value"][0]["fieldsV1"], json!({"f:metadata": {"f:annotations": {"f:theirs": {}}}}));
    assert_eq!(adopted.removed, ["meta.helm.sh/release-name"]);
    assert!(adopted.remains[0].contains("-l owner=helm,name=shop"), "{:?}", adopted.remains);
}

#[test]
fn pointers_are_read_from_what_the_tools_write() {
    let live = json!({"metadata": {
        "labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            "helm.toolkit.fluxcd.io/name": "chart"},
        "annotations": {"argocd.argoproj.io/tracking-id": "team_orders:apps/Deployment:shop/orders"}}});
    let found = live::pointers(&live);
    assert_eq!(found.len(), 3);
    let text = format!("{found:?}");
    assert!(text.contains("Kustomization") && text.contains("flux-system") && text.contains("HelmRelease"));
    assert!(text.contains("namespace: \"team\", name: \"orders\""), "{text}");
    assert!(live::pointers(&json!({})).is_empty());
}
