//! What the difference says and what it leaves out.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn deployment(image: &str, memory: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "orders", "namespace": "checkout-prod"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "orders", "image": image, "resources": {"requests": {"memory": memory}},
             "ports": [{"name": "http", "containerPort": 8080}]},
        ]}}},
    })
}

fn policy(ingress: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "orders", "namespace": "checkout-prod"}, "spec": {"ingress": ingress}})
}

fn hpa(min: u32, max: u32) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "orders", "namespace": "checkout-prod"},
        "spec": {"minReplicas": min, "maxReplicas": max}})
}

fn config(hash: &str, level: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("orders-config-{hash}"), "namespace": "checkout-prod"},
        "data": {"LOG_LEVEL": level}})
}

/// Old objects, new objects, the printed difference.
fn check(old: &[Value], new: &[Value], expect: &str) {
    let changes = objects(old, new);
    assert_eq!(text(&changes).trim(), expect.trim());
}

#[test]
fn equal_sets_have_no_changes() {
    check(&[deployment("a:1", "1Gi")], &[deployment("a:1", "1Gi")], "");
    assert_eq!(markdown(&[]), "No changes.\n");
}

#[test]
fn a_field_of_a_pod_template_restarts_pods_and_items_go_by_name() {
    check(
        &[deployment("a:1", "1Gi")],
        &[deployment("a:2", "1Gi")],
        "~ deployment.apps/orders in checkout-prod  [restarts pods]\n    \
         spec.template.spec.containers[orders].image: a:1 -> a:2\n0 added, 1 changed, 0 removed",
    );
}

#[test]
fn lower_requests_drop_capacity_and_higher_ones_do_not() {
    let risk = |a: &str, b: &str| risks(&objects(&[deployment("a:1", a)], &[deployment("a:1", b)]));
    assert_eq!(risk("1Gi", "512Mi"), BTreeSet::from([Risk::DropsCapacity, Risk::RestartsPods]));
    assert_eq!(risk("512Mi", "1Gi"), BTreeSet::from([Risk::RestartsPods]));
}

#[test]
fn fewer_replicas_drop_capacity() {
    let risk = |a: Value, b: Value| risks(&objects(&[a], &[b]));
    assert_eq!(risk(hpa(3, 20), hpa(2, 20)), BTreeSet::from([Risk::DropsCapacity]));
    assert_eq!(risk(hpa(3, 20), hpa(3, 10)), BTreeSet::from([Risk::DropsCapacity]));
    assert_eq!(risk(hpa(3, 20), hpa(4, 20)), BTreeSet::from([Risk::Other]));
}

#[test]
fn a_new_peer_opens_the_network_and_a_lost_one_does_not() {
    let web = json!({"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]});
    let all = json!({});
    let risk = |a: Value, b: Value| risks(&objects(&[policy(a)], &[policy(b)]));
    assert_eq!(risk(json!([web]), json!([web, all])), BTreeSet::from([Risk::OpensNetwork]));
    assert_eq!(risk(json!([web, all]), json!([web])), BTreeSet::from([Risk::Other]));
    assert_eq!(risk(json!([web]), json!([{}])), BTreeSet::from([Risk::OpensNetwork]));
    let removed = objects(&[policy(json!([]))], &[]);
    assert_eq!(risks(&removed), BTreeSet::from([Risk::Deletes, Risk::OpensNetwork]));
}

#[test]
fn a_service_that_leaves_the_cluster_network_opens_it() {
    let service = |kind: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders"}, "spec": {"type": kind}});
    let changes = objects(&[service("ClusterIP")], &[service("NodePort")]);
    assert_eq!(risks(&changes), BTreeSet::from([Risk::OpensNetwork]));
    assert_eq!(
        risks(&objects(&[service("NodePort")], &[service("ClusterIP")])),
        BTreeSet::from([Risk::Other])
    );
}

#[test]
fn a_config_map_with_another_hash_is_the_same_one_changed() {
    check(
        &[config("0a1b2c3d4e", "info")],
        &[config("99aabbccdd", "debug")],
        "~ configmap/orders-config-99aabbccdd in checkout-prod (was orders-config-0a1b2c3d4e)\n    \
         data.LOG_LEVEL: info -> debug\n0 added, 1 changed, 0 removed",
    );
}

#[test]
fn the_order_of_named_items_does_not_count_and_that_of_nameless_ones_does() {
    let a = json!([{"name": "a", "v": 1}, {"name": "b", "v": 2}]);
    let b = json!([{"name": "b", "v": 2}, {"name": "a", "v": 1}]);
    assert!(values(&a, &b).is_empty());
    assert_eq!(values(&json!(["run", "now"]), &json!(["now", "run"])).len(), 1);
}

#[test]
fn markdown_puts_the_most_alarming_first_and_survives_backticks() {
    let changes = objects(&[deployment("a:1", "1Gi"), hpa(1, 2)], &[deployment("a:`2`", "1Gi")]);
    let page = markdown(&changes);
    let at = |needle: &str| page.find(needle).unwrap_or_else(|| panic!("{needle} in {page}"));
    assert!(at("#### Deletes (1)") < at("#### Restarts pods (1)"));
    assert!(
        page.contains("- `horizontalpodautoscaler.autoscaling/orders in checkout-prod`: goes away"),
        "{page}"
    );
    let fields = fields(&changes, 10_000);
    assert!(fields.contains("`` a:`2` ``"), "{fields}");
    assert!(fields.find("Remove").unwrap() < fields.find("Change").unwrap(), "{fields}");
}

#[test]
fn what_has_no_room_is_counted_and_headings_stay() {
    let configs: Vec<Value> = (0..500).map(|n| config(&format!("{n:010x}"), "info")).collect();
    let mut before = configs.clone();
    before.push(hpa(3, 9));
    let changes = objects(&before, &[hpa(2, 9)]);
    let page = grouped(&changes, 4000);
    assert!(page.len() < 4400, "{}", page.len());
    assert!(page.contains("#### Deletes (500)") && page.contains("#### Drops capacity (1)"), "{page}");
    let shown = page.matches("goes away").count();
    assert!(page.contains(&format!("and {} more, for which there is no room here", 500 - shown)), "{page}");
    assert_eq!(summary(&changes), "0 added, 1 changed, 500 removed: deletes (500), drops capacity (1)");
}

#[test]
fn code_shows_a_text_and_nothing_of_it_works() {
    for (text, expect) in [
        ("plain", "`plain`"),
        ("@team #1", "`@team #1`"),
        ("a`b", "`` a`b ``"),
        ("```", "```` ``` ````"),
        ("two\nlines", "`two\u{fffd}lines`"),
        ("turned \u{202e}round", "`turned \u{fffd}round`"),
        ("", "(empty)"),
    ] {
        assert_eq!(code(text), expect);
    }
}

#[test]
fn what_a_secret_holds_is_not_shown() {
    let secret = |token: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders"}, "data": {"token": token}});
    let changes = objects(&[secret("b2xk")], &[secret("bmV3")]);
    let shown = format!("{}{}{}", text(&changes), markdown(&changes), fields(&changes, 10_000));
    assert!(shown.contains("*** (before)") && shown.contains("data.token"), "{shown}");
    assert!(!shown.contains("b2xk") && !shown.contains("bmV3"), "{shown}");
}

#[test]
fn pods_that_are_replaced_are_counted_as_the_autoscaler_keeps_them() {
    let scaled = |image: &str| {
        let mut autoscaler = hpa(4, 9);
        autoscaler["spec"]["scaleTargetRef"] = json!({"kind": "Deployment", "name": "orders"});
        [deployment(image, "1Gi"), autoscaler]
    };
    let changes = objects(&scaled("a:1"), &scaled("a:2"));
    assert_eq!(blast(&changes), Blast { workloads: 1, pods: 4, every_node: false });
}

#[test]
fn manifests_that_are_no_manifests_do_no_harm() {
    let odd = [
        json!(null),
        json!({"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "a"},
            "spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "::/999", "except": [1]}}, 7], "ports": ["x"]}]}}),
        json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "a"}, "rules": 5}),
        json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "a"}, "spec": {"template": []}}),
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"type": 1, "ports": {}}}),
    ];
    for a in &odd {
        for b in &odd {
            let changes = objects([a], [b]);
            let _ = (grouped(&changes, 100), fields(&changes, 100), text(&changes));
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5i64).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]|name|type", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_does_not_differ_from_itself(a in any_json()) {
        prop_assert!(values(&a, &a).is_empty());
    }

    #[test]
    fn a_difference_backwards_names_the_same_number_of_fields(a in any_json(), b in any_json()) {
        prop_assert_eq!(values(&a, &b).len(), values(&b, &a).len());
    }
}
