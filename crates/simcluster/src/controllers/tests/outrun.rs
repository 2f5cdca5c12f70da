//! Controllers that miss changes: they look at what is, and come to the same end.

use serde_json::{Value, json};

use super::*;

/// More changes than a log holds, between two looks of the controllers.
fn at_once(world: &World, kind: KindId, names: &[String], act: impl Fn(&World, &str)) {
    let start = world.cluster.snapshot().revision;
    for name in names {
        act(world, name);
    }
    let lost = world.cluster.store().changes(kind, start, usize::MAX);
    assert!(names.len() < 20 || lost.is_err(), "the log was outrun");
}

#[test]
fn pods_that_went_unseen_are_missed_by_their_owners() {
    let mut world = World::outrun(3);
    world.create(*DEPLOYMENT, workload("web", 40, &json!({})));
    let mut agent = workload("agent", 0, &json!({}));
    agent["spec"].as_object_mut().unwrap().remove("replicas");
    world.create(*DAEMON_SET, agent);
    world.create(*STATEFUL_SET, workload("db", 2, &json!({"serviceName": "db"})));
    world.create(
        *SERVICE,
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
    );
    world.create(*PDB, json!({"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}));
    world.secs(3);
    assert_eq!(world.active_pods().len(), 45);
    let all = world.names(*POD);
    at_once(&world, *POD, &all, |w, name| w.delete_with(*POD, name, &DeleteOptions::now()));
    assert!(world.names(*POD).is_empty());
    world.secs(3);
    assert_eq!(world.active_pods().len(), 45);
    let web = world.get(*DEPLOYMENT, "web");
    assert_eq!(counts(&web, ["readyReplicas", "availableReplicas"]), [40, 40]);
    let slices = world.list(*ENDPOINT_SLICE).into_iter().filter(|s| name_of(s) != "kubernetes");
    let addresses: Vec<_> =
        slices.flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default()).collect();
    assert_eq!(addresses.len(), 40);
    assert!(
        addresses.iter().all(|e| world.exists(*POD, e["targetRef"]["name"].as_str().unwrap())),
        "{addresses:?}"
    );
    assert_eq!(counts(&world.get(*PDB, "web"), ["currentHealthy"]), [40]);
}

#[test]
fn dependents_of_owners_that_went_unseen_are_collected() {
    let mut world = World::outrun(1);
    for n in 0..30 {
        let owner = world.create(
            *CONFIG_MAP,
            json!({"metadata": {"name": format!("owner-{n}")}, "data": {"x": "y".repeat(2_000)}}),
        );
        let reference =
            json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": &*owner.key.name, "uid": &*owner.uid}]);
        world.create(*SECRET, json!({"metadata": {"name": format!("of-{n}"), "ownerReferences": reference}}));
    }
    world.settle();
    let owners: Vec<_> = world.names(*CONFIG_MAP).into_iter().filter(|n| n.starts_with("owner-")).collect();
    at_once(&world, *CONFIG_MAP, &owners, |w, name| w.delete(*CONFIG_MAP, name));
    world.secs(1);
    let left: Vec<_> = world.names(*SECRET).into_iter().filter(|n| n.starts_with("of-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_rollout_and_a_job_come_to_their_end() {
    let mut world = World::outrun(3);
    world.create(*DEPLOYMENT, workload("web", 30, &json!({})));
    let spec: Value = json!({"completions": 20, "parallelism": 10, "template": {
        "metadata": {"annotations": {"sim.kiban.dev/run-for": "2s"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "shop/job:1"}]},
    }});
    world.create(*JOB, json!({"metadata": {"name": "work"}, "spec": spec}));
    world.secs(3);
    world.change(*DEPLOYMENT, "web", |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "shop/app:2".into()
    });
    world.secs(10);
    let web = world.get(*DEPLOYMENT, "web");
    assert_eq!(counts(&web, ["replicas", "updatedReplicas", "availableReplicas"]), [30, 30, 30]);
    assert_eq!(counts(&world.get(*JOB, "work"), ["succeeded", "failed"]), [20, 0]);
    world.delete_as(*DEPLOYMENT, "web", Propagation::Foreground);
    world.delete_as(*JOB, "work", Propagation::Background);
    world.secs(5);
    assert!(world.names(*POD).is_empty() && world.names(*REPLICA_SET).is_empty());
}
