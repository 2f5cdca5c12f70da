//! One seed on one clock: the same cluster, object by object.

use serde_json::{Value, json};

use super::*;

/// Every object of every kind, as stored.
fn dump(world: &World) -> Vec<String> {
    let state = world.cluster.snapshot();
    let kinds = (0..crate::kind::kind_count()).map(|i| KindId(u16::try_from(i).unwrap()));
    kinds
        .flat_map(|k| {
            state.objects(k).values().map(|o| String::from_utf8(o.json.to_vec()).unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

fn play(seed: u64, fast: bool) -> Vec<String> {
    let mut world = World::with(Config { nodes: 3, seed, fast, ..Config::default() });
    world.create(*DEPLOYMENT, workload("web", 4, &json!({})));
    world.create(*STATEFUL_SET, workload("db", 2, &json!({"serviceName": "db"})));
    world.create(
        *SERVICE,
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
    );
    world.create(
        *JOB,
        json!({"metadata": {"name": "work"}, "spec": {"completions": 3, "template": {
            "metadata": {"annotations": {"sim.kiban.dev/run-for": "2s"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "shop/job:1"}]},
        }}}),
    );
    world.secs(30);
    world.change(*DEPLOYMENT, "web", |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "shop/app:2".into()
    });
    world.secs(10);
    let name = world.names(*NODE)[0].clone();
    world.change(*NODE, &name, |n| n["spec"]["taints"] = json!([{"key": "x", "effect": "NoExecute"}]));
    world.delete_as(*STATEFUL_SET, "db", Propagation::Foreground);
    world.secs(60);
    dump(&world)
}

#[test]
fn two_runs_with_one_seed_are_identical() {
    for fast in [true, false] {
        let (first, second) = (play(11, fast), play(11, fast));
        assert_eq!(first.len(), second.len());
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a, b);
        }
    }
}

#[test]
fn another_seed_is_another_cluster() {
    let uid = |dump: &[String]| serde_json::from_str::<Value>(&dump[0]).unwrap()["metadata"]["uid"].clone();
    assert_ne!(uid(&play(11, true)), uid(&play(12, true)));
}
