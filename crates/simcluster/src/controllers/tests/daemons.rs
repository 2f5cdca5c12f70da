//! DaemonSets: which nodes, what taints do, how an update goes.

use serde_json::{Value, json};

use super::*;

fn agent(spec: &Value) -> Value {
    let mut object = workload("agent", 0, spec);
    object["spec"].as_object_mut().unwrap().remove("replicas");
    object
}

fn set(world: &World) -> Value {
    world.get(*DAEMON_SET, "agent")
}

/// Names of the nodes that have an active pod.
fn nodes(world: &World) -> Vec<String> {
    let mut all: Vec<_> = world
        .active_pods()
        .iter()
        .map(|p| p["spec"]["nodeName"].as_str().unwrap_or_default().to_owned())
        .collect();
    all.sort();
    all
}

fn image(world: &World, tag: &str) {
    let image = format!("shop/app:{tag}");
    world.change(*DAEMON_SET, "agent", |s| {
        s["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone().into()
    });
}

fn taint(world: &World, node: &str, effect: &str) {
    world.change(*NODE, node, |n| {
        n["spec"]["taints"] = json!([{"key": "shop", "value": "x", "effect": effect}])
    });
}

const COUNTS: [&str; 7] = [
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberMisscheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
];

#[test]
fn every_node_has_a_pod() {
    let mut world = World::fast(3);
    world.create(*DAEMON_SET, agent(&json!({})));
    world.secs(1);
    assert_eq!(nodes(&world), world.names(*NODE));
    assert_eq!(counts(&set(&world), COUNTS), [3, 3, 0, 3, 3, 3, 0]);
    let pod = world.active_pods().remove(0);
    let hash = pod["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap().to_owned();
    let revision = world.list(*CONTROLLER_REVISION).remove(0);
    assert_eq!(name_of(&revision), format!("agent-{hash}"));
    let revision = world.stored(*DAEMON_SET, "agent").revision;
    world.secs(100);
    assert_eq!(world.stored(*DAEMON_SET, "agent").revision, revision, "at rest nothing is written");
}

#[test]
fn nodes_that_come_go_or_are_labelled_are_followed() {
    let mut world = World::fast(3);
    let names = world.names(*NODE);
    let mut object = agent(&json!({}));
    object["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    world.create(*DAEMON_SET, object);
    world.secs(1);
    assert!(nodes(&world).is_empty());
    world.change(*NODE, &names[1], |n| n["metadata"]["labels"]["disk"] = "ssd".into());
    world.secs(1);
    assert_eq!(nodes(&world), [names[1].clone()]);
    let mut node =
        json!({"metadata": {"name": "new", "labels": {"disk": "ssd", "kubernetes.io/hostname": "new"}}});
    node["spec"] = json!({});
    world.create(*NODE, node);
    world.secs(60);
    assert_eq!(counts(&set(&world), COUNTS)[0], 2);
    world.change(*NODE, &names[1], |n| n["metadata"]["labels"]["disk"] = "hdd".into());
    world.secs(1);
    assert!(!nodes(&world).contains(&names[1]));
    world.delete(*NODE, "new");
    world.secs(60);
    assert!(world.active_pods().is_empty());
}

#[test]
fn taints_keep_pods_off_or_drive_them_away() {
    // Effect, pods left of two, and how many of them the status counts as misplaced.
    for (effect, left, misplaced) in [("PreferNoSchedule", 2, 0), ("NoSchedule", 2, 1), ("NoExecute", 1, 0)] {
        let mut world = World::fast(2);
        world.create(*DAEMON_SET, agent(&json!({})));
        world.secs(1);
        let node = world.names(*NODE)[0].clone();
        taint(&world, &node, effect);
        world.secs(1);
        assert_eq!(world.active_pods().len(), left, "{effect}");
        assert_eq!(set(&world)["status"]["numberMisscheduled"], misplaced, "{effect}");
    }
}

#[test]
fn cordoned_and_unready_nodes_keep_and_get_their_pods() {
    let mut world = World::fast(2);
    let node = world.names(*NODE)[0].clone();
    world.change(*NODE, &node, |n| {
        n["spec"]["unschedulable"] = true.into();
        n["spec"]["taints"] = json!([
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
        ]);
    });
    world.create(*DAEMON_SET, agent(&json!({})));
    world.secs(1);
    assert_eq!(nodes(&world).len(), 2);
}

#[test]
fn ended_pods_are_replaced_and_said_so() {
    for (phase, reason) in [("Failed", "FailedDaemonPod"), ("Succeeded", "SucceededDaemonPod")] {
        let mut world = World::fast(1);
        world.create(*DAEMON_SET, agent(&json!({})));
        world.secs(1);
        let name = world.names(*POD)[0].clone();
        world.change_status(*POD, &name, |p| p["status"]["phase"] = phase.into());
        world.secs(2);
        assert!(!world.exists(*POD, &name));
        assert_eq!(counts(&set(&world), COUNTS), [1, 1, 0, 1, 1, 1, 0]);
        let text = &world.messages("DaemonSet", reason)[0];
        let verb = if phase == "Failed" { "kill" } else { "delete" };
        let node = world.names(*NODE)[0].clone();
        let what = phase.to_lowercase();
        assert_eq!(
            *text,
            format!("Found {what} daemon pod default/{name} on node {node}, will try to {verb} it")
        );
    }
}

/// Most nodes without an available pod, and most pods, during an update.
fn extremes(world: &mut World) -> (usize, usize) {
    let (mut unavailable, mut pods) = (0, 0);
    for _ in 0..600 {
        world.millis(500);
        let ready = world.list(*POD).into_iter().filter(|p| condition(p, "Ready").starts_with("Ready=True"));
        let served: std::collections::BTreeSet<_> =
            ready.map(|p| p["spec"]["nodeName"].to_string()).collect();
        unavailable = unavailable.max(world.names(*NODE).len() - served.len());
        pods = pods.max(world.active_pods().len());
    }
    (unavailable, pods)
}

#[test]
fn an_update_stays_within_its_bounds() {
    let rolling = |r: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": r}});
    let table = [
        (json!({}), 1, 4),
        (json!({"maxUnavailable": 2}), 2, 4),
        (json!({"maxUnavailable": "30%"}), 2, 4),
        (json!({"maxUnavailable": 0, "maxSurge": 1}), 0, 5),
        (json!({"maxUnavailable": 0, "maxSurge": "50%"}), 0, 6),
    ];
    for (bounds, unavailable, pods) in table {
        let mut world = World::realistic(4);
        world.create(*DAEMON_SET, agent(&rolling(bounds.clone())));
        world.secs(60);
        assert_eq!(counts(&set(&world), COUNTS), [4, 4, 0, 4, 4, 4, 0]);
        image(&world, "2");
        assert_eq!(extremes(&mut world), (unavailable, pods), "{bounds}");
        assert_eq!(counts(&set(&world), COUNTS), [4, 4, 0, 4, 4, 4, 0], "{bounds}");
        assert!(world.list(*POD).iter().all(|p| p["spec"]["containers"][0]["image"] == "shop/app:2"));
    }
}

#[test]
fn a_broken_update_stops_and_going_back_heals_it() {
    let mut world = World::realistic(3);
    world.create(*DAEMON_SET, agent(&json!({})));
    world.secs(60);
    let missing = |on: bool| {
        move |s: &mut Value| {
            s["spec"]["template"]["metadata"]["annotations"] =
                if on { json!({"sim.kiban.dev/image-missing": "true"}) } else { json!({}) };
        }
    };
    world.change(*DAEMON_SET, "agent", missing(true));
    world.secs(300);
    assert_eq!(counts(&set(&world), COUNTS), [3, 3, 0, 2, 1, 2, 1]);
    world.change(*DAEMON_SET, "agent", missing(false));
    world.secs(300);
    assert_eq!(counts(&set(&world), COUNTS), [3, 3, 0, 3, 3, 3, 0]);
    assert_eq!(world.list(*CONTROLLER_REVISION).len(), 2);
}

#[test]
fn on_delete_updates_what_somebody_deletes() {
    let mut world = World::fast(2);
    world.create(*DAEMON_SET, agent(&json!({"updateStrategy": {"type": "OnDelete"}})));
    world.secs(1);
    image(&world, "2");
    world.secs(1);
    assert_eq!(counts(&set(&world), COUNTS), [2, 2, 0, 2, 0, 2, 0]);
    let name = world.names(*POD)[0].clone();
    world.delete(*POD, &name);
    world.secs(1);
    assert_eq!(counts(&set(&world), COUNTS), [2, 2, 0, 2, 1, 2, 0]);
}

#[test]
fn a_second_pod_on_a_node_goes() {
    let mut world = World::fast(1);
    let owner = world.create(*DAEMON_SET, agent(&json!({})));
    world.secs(1);
    let first = world.names(*POD)[0].clone();
    world.millis(1_500);
    let mut pod = world.get(*POD, &first);
    pod["metadata"] = json!({
        "name": "second", "labels": pod["metadata"]["labels"],
        "ownerReferences": [controllers::pods::owner_reference(&owner)],
    });
    pod.as_object_mut().unwrap().remove("status");
    world.create(*POD, pod);
    world.secs(1);
    assert_eq!(world.names(*POD), [first]);
}

#[test]
fn orphans_are_adopted() {
    let mut world = World::fast(2);
    world.create(*DAEMON_SET, agent(&json!({})));
    world.secs(1);
    let pods = world.names(*POD);
    world.delete_as(*DAEMON_SET, "agent", Propagation::Orphan);
    world.secs(1);
    world.create(*DAEMON_SET, agent(&json!({})));
    world.secs(1);
    assert_eq!(world.names(*POD), pods);
    assert_eq!(counts(&set(&world), COUNTS), [2, 2, 0, 2, 2, 2, 0]);
}
