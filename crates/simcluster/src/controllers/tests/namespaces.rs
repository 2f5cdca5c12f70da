//! Namespaces: what each has from the start, and how one empties before it goes.

use serde_json::json;

use super::*;

fn namespace(world: &World, name: &str) -> Value {
    world.get(*NAMESPACE, name)
}

#[test]
fn the_default_account_and_the_certificate_come_back() {
    let mut world = World::fast(1);
    for (kind, name) in [(*SERVICE_ACCOUNT, "default"), (*CONFIG_MAP, "kube-root-ca.crt")] {
        assert!(world.exists(kind, name));
        world.delete(kind, name);
        world.settle();
        assert!(world.exists(kind, name), "{name}");
    }
}

#[test]
fn every_namespace_holds_the_clusters_certificate_whatever_is_done_to_it() {
    let mut world = World::fast(1);
    world.create(*NAMESPACE, json!({"metadata": {"name": "shop"}}));
    world.settle();
    let state = world.cluster.snapshot();
    for namespace in ["default", "kube-system", "shop"] {
        let map = state.get(*CONFIG_MAP, &Key::new(namespace, "kube-root-ca.crt")).unwrap().value();
        assert_eq!(map["data"], json!({"ca.crt": CA}), "{namespace}");
        assert!(map["metadata"]["annotations"]["kubernetes.io/description"].is_string());
    }
    world.change(*CONFIG_MAP, "kube-root-ca.crt", |map| map["data"] = json!({"ca.crt": "mine", "x": "y"}));
    world.settle();
    assert_eq!(world.get(*CONFIG_MAP, "kube-root-ca.crt")["data"], json!({"ca.crt": CA}));
}

#[test]
fn a_namespace_empties_and_goes() {
    let mut world = World::fast(1);
    world.create(*NAMESPACE, json!({"metadata": {"name": "shop"}}));
    world.settle();
    for (kind, mut object) in [
        (*DEPLOYMENT, workload("web", 2, &json!({}))),
        (*STATEFUL_SET, workload("db", 1, &json!({}))),
        (
            *SERVICE,
            json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}),
        ),
    ] {
        object["metadata"]["namespace"] = "shop".into();
        world.create(kind, object);
    }
    world.secs(1);
    world.delete(*NAMESPACE, "shop");
    assert_eq!(namespace(&world, "shop")["status"]["phase"], "Terminating");
    let refused = world
        .try_create(*CONFIG_MAP, json!({"metadata": {"name": "late", "namespace": "shop"}}))
        .unwrap_err();
    assert_eq!(refused.code, 403);
    assert_eq!(refused.causes[0].reason, "NamespaceTerminating");
    world.secs(2);
    assert!(namespace(&world, "shop").is_null());
    let state = world.cluster.snapshot();
    let left = (0..crate::kind::kind_count())
        .map(|i| KindId(u16::try_from(i).unwrap()))
        .filter(|k| k.info().namespaced)
        .flat_map(|k| state.range(k, "shop", None).map(|o| o.key.to_string()).collect::<Vec<_>>());
    assert_eq!(left.count(), 0);
}

#[test]
fn what_holds_a_namespace_is_in_its_conditions() {
    let mut world = World::fast(1);
    world.create(*NAMESPACE, json!({"metadata": {"name": "shop"}}));
    for name in ["a", "b"] {
        world.create(
            *CONFIG_MAP,
            json!({
                "metadata": {"name": name, "namespace": "shop", "finalizers": ["example.com/hold"]},
            }),
        );
    }
    world.settle();
    world.delete(*NAMESPACE, "shop");
    world.secs(1);
    let object = namespace(&world, "shop");
    let table = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False ResourcesDiscovered: All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False ParsedGroupVersions: All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False ContentDeleted: All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            "True SomeResourcesRemain: Some resources are remaining: configmaps. has 2 resource instances",
        ),
        (
            "NamespaceFinalizersRemaining",
            "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances",
        ),
    ];
    for (type_, text) in table {
        assert_eq!(condition(&object, type_), format!("{type_}={text}"));
    }
    let revision = world.stored(*NAMESPACE, "shop").revision;
    world.secs(5);
    assert_eq!(world.stored(*NAMESPACE, "shop").revision, revision, "nothing new is nothing written");
    for name in ["a", "b"] {
        let key = Key::new("shop", name);
        let free = |m: &mut Value| m["metadata"]["finalizers"] = json!([]);
        world.cluster.modify(*CONFIG_MAP, &key, Part::Main, &Actor::new("test"), free).unwrap();
    }
    world.secs(1);
    assert!(namespace(&world, "shop").is_null());
}

#[test]
fn a_pod_in_a_dying_namespace_has_its_grace() {
    let mut world = World::realistic(1);
    world.create(*NAMESPACE, json!({"metadata": {"name": "shop"}}));
    world.settle();
    let mut pod = template("web", &json!({"sim.kiban.dev/stop-for": "20s"}));
    pod["metadata"]["name"] = "p".into();
    pod["metadata"]["namespace"] = "shop".into();
    world.create(*POD, pod);
    world.secs(30);
    world.delete(*NAMESPACE, "shop");
    world.secs(10);
    assert!(!namespace(&world, "shop").is_null());
    world.secs(30);
    assert!(namespace(&world, "shop").is_null());
}
