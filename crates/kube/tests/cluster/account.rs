//! Objects are written as the app's service account, on a cluster that enforces its roles.

use kiban_kube::apply::{Outcome, Scope, ServiceAccount};
use kiban_simcluster::server::Config;

use super::*;

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name), "data": {"a": "1"}})
}

#[test]
fn an_app_is_written_by_its_account_and_not_beyond_what_that_may() {
    let sim = Sim::with(Config { nodes: 1, fast: true, rbac: true, ..Config::default() });
    let cluster = connect(&sim);
    let role = |verbs: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta("deployer"),
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]})
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("deployer")});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("deployer"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": NAMESPACE}]});
    let platform = |verbs: Value| Request {
        app: "platform".into(),
        ..request("c1", vec![namespace(), account.clone(), binding.clone(), role(verbs)])
    };
    assert!(put(&sim, &cluster, &platform(json!(["create"])), &patient()).unwrap().is_success());

    let acting = |objects: Vec<Value>| Request {
        act_as: Some(ServiceAccount { namespace: NAMESPACE.into(), name: "deployer".into() }),
        scope: Scope::Namespaces([].into()),
        ..request("c1", objects)
    };
    // It may not patch yet: refused before the first write, with what grants it.
    let error = put(&sim, &cluster, &acting(vec![map("a")]), &patient()).unwrap_err();
    let told =
        error.report().unwrap().outcomes.values().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(told.contains("bind ServiceAccount deployer of namespace shop"), "{told}");
    assert!(told.contains("resources: [configmaps], verbs: [patch]"), "{told}");
    assert!(!all(&sim, &cluster, "", "ConfigMap").keys().any(|name| name.contains("inventory-orders")));

    let may = platform(json!(["create", "patch", "delete"]));
    assert!(put(&sim, &cluster, &may, &patient()).unwrap().is_success());
    let report =
        put(&sim, &cluster, &acting(vec![map("a"), map("b"), map("c"), map("d")]), &patient()).unwrap();
    assert!(report.is_success(), "{report:?}");
    let report = put(&sim, &cluster, &acting(vec![map("a"), map("b"), map("c")]), &patient()).unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Pruned), 1, "{report:?}");
    // What its account may not touch, it does not.
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("s"), "spec": {"ports": [{"port": 80}]}});
    let error =
        put(&sim, &cluster, &acting(vec![map("a"), map("b"), map("c"), service]), &patient()).unwrap_err();
    let told =
        error.report().unwrap().outcomes.values().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(told.contains("resources: [services]"), "{told}");
}
