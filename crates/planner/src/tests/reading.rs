//! Reading objects: requests in all their forms, and garbage.

use proptest::prelude::*;

use super::*;

#[test]
fn requests_add_up_as_kubernetes_adds_them() {
    let c = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
    let sidecar = |cpu: &str| json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
    let table = [
        (json!({"containers": [c("1"), c("500m")]}), 1500),
        (json!({"containers": [c("1")], "initContainers": [c("3")]}), 3000),
        (json!({"containers": [c("1"), c("1")], "initContainers": [c("1500m")]}), 2000),
        (json!({"containers": [c("1")], "initContainers": [sidecar("1")]}), 2000),
        (json!({"containers": [c("1")], "initContainers": [sidecar("1"), c("3")]}), 4000),
        (json!({"containers": [c("1")], "initContainers": [c("3"), sidecar("1")]}), 3000),
        (json!({"containers": [c("1")], "overhead": {"cpu": "250m"}}), 1250),
        (json!({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}), 2000),
        (json!({"containers": [{"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]}), 1000),
        (json!({"containers": [c("1")], "resources": {"requests": {"cpu": "3"}}}), 3000),
        (json!({"containers": [c("1")], "resources": {"limits": {"cpu": "3"}}}), 3000),
        (json!({"containers": [{}]}), 0),
        (json!({"containers": [c("-1")]}), 0),
        (json!({"containers": [c("lots")]}), 0),
        (json!({}), 0),
    ];
    for (spec, want) in table {
        let mut s = scheduler(&[node("n1").allocatable("cpu", "100")]);
        let object = json!({"metadata": {"name": "p", "namespace": "d"}, "spec": spec});
        s.set_pod(Pod::from_json(&object).on("n1"));
        assert_eq!(s.requested("n1").unwrap().milli_cpu, want, "{spec}");
    }
}

#[test]
fn siblings_share_their_template_in_the_index() {
    let mut s = scheduler(&[node("n1")]);
    for i in 0..50 {
        s.set_pod(pod(&format!("p{i}")).app("web").away_from("db", HOST).on("n1"));
    }
    assert_eq!(s.cluster.classes.len(), 1);
    let first = pod("p0").app("web").build();
    assert_eq!(first.sibling("p1"), pod("p1").app("web").build());
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut s = scheduler(&[node("n1").zone("a")]);
    for i in 0..5_000 {
        let app = format!("app-{i}");
        let p = pod("p")
            .app(&app)
            .away_from(&app, HOST)
            .near("base", ZONE)
            .spread(ZONE, 1, "DoNotSchedule", &app)
            .affinity(
                "nodeAffinity",
                "required",
                json!({"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "never", "operator": "NotIn", "values": [app]}]}]}),
            );
        s.set_pod(p.on("n1"));
        s.set_node(node(&format!("spot-{i}")).zone(&format!("z{i}")).build());
        s.remove_node(&format!("spot-{i}"));
    }
    s.remove_pod(&PodKey::new("default", "p"));
    let c = &s.cluster;
    assert!(c.classes.len() < 400, "{}", c.classes.len());
    assert!(c.trackers.len() < 1500 && c.owners.len() < 900 && c.filters.len() < 400);
    assert_eq!(c.nodes.len(), 1);
}

#[test]
fn garbage_is_read_as_nothing() {
    for object in [json!(null), json!([]), json!("x"), json!({"metadata": 5, "spec": [], "status": "no"})] {
        let (p, n) = (Pod::from_json(&object), Node::from_json(&object));
        assert_eq!((&*p.key.name, &*n.name), ("", ""));
        let mut s = scheduler(&[node("n1")]);
        s.set_node(n);
        assert!(s.schedule(&p).is_ok());
        s.set_pod(p.on("n1"));
    }
    let huge = json!({"metadata": {"name": "h"}, "spec": {"containers": [
        {"resources": {"requests": {"memory": "8Ei", "cpu": "8Ei", "a/b": "9E"}}}]}});
    let mut s = scheduler(&[node("n1")]);
    for i in 0..10 {
        s.set_pod(Pod::from_json(&huge).sibling(&format!("h{i}")).on("n1"));
    }
    assert!(s.schedule(&pod("p").cpu("1").build()).is_err());
    for i in 0..10 {
        s.remove_pod(&PodKey::new("", &format!("h{i}")));
    }
    assert!(s.requested("n1").unwrap().memory == 0 && s.schedule(&pod("p").cpu("1").build()).is_ok());
}

/// JSON with the names that matter and values of any kind.
fn wild() -> impl Strategy<Value = serde_json::Value> {
    let names = [
        "metadata",
        "spec",
        "status",
        "labels",
        "name",
        "containers",
        "initContainers",
        "resources",
        "requests",
        "cpu",
        "affinity",
        "podAffinity",
        "podAntiAffinity",
        "nodeAffinity",
        "topologySpreadConstraints",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
        "labelSelector",
        "matchLabels",
        "matchExpressions",
        "nodeSelectorTerms",
        "topologyKey",
        "maxSkew",
        "tolerations",
        "taints",
        "allocatable",
        "weight",
        "values",
        "operator",
        "key",
        "ports",
        "hostPort",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        "[a-zA-Z0-9./-]{0,8}".prop_map(|s| json!(s)),
        Just(json!("In")),
        Just(json!("Exists")),
    ];
    leaf.prop_recursive(7, 80, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
            proptest::collection::vec((proptest::sample::select(names.to_vec()), inner), 0..6).prop_map(
                |v| v.into_iter().map(|(k, v)| (k.to_string(), v)).collect::<serde_json::Map<_, _>>().into()
            ),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_is_read_and_scheduled(p in wild(), n in wild()) {
        let mut s = scheduler(&[node("n1").zone("a")]);
        s.set_node(Node::from_json(&n));
        let p = Pod::from_json(&p);
        let _ = s.run(&p, &[]);
        s.set_pod(p.clone().on("n1"));
        s.set_node(Node::from_json(&n));
        let _ = s.run(&p.sibling("other"), &[]);
        s.remove_pod(&p.key);
        prop_assert_eq!(s.pods(), 0);
    }
}
