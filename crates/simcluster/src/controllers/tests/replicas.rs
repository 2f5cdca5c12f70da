//! ReplicaSets and ReplicationControllers: whose pods, which go first, what fails.

use serde_json::{Value, json};

use super::*;

fn set(replicas: i64) -> Value {
    workload("web", replicas, &json!({}))
}

fn controller(replicas: i64) -> Value {
    workload("web", replicas, &json!({"selector": {"app": "web"}}))
}

fn owner_of(pod: &Value) -> Option<&str> {
    pod["metadata"]["ownerReferences"][0]["uid"].as_str()
}

#[test]
fn a_pod_whose_labels_match_no_more_is_let_go_and_replaced() {
    for (kind, object) in [(*REPLICA_SET, set(2)), (*REPLICATION_CONTROLLER, controller(2))] {
        let mut world = World::fast(1);
        let owner = world.create(kind, object);
        world.secs(1);
        let name = world.names(*POD)[0].clone();
        world.change(*POD, &name, |p| p["metadata"]["labels"]["app"] = "debug".into());
        world.secs(1);
        assert_eq!(world.names(*POD).len(), 3);
        let pod = world.get(*POD, &name);
        assert_eq!(pod["metadata"]["ownerReferences"], Value::Null, "let go");
        assert_eq!(counts(&world.get(kind, "web"), ["replicas", "readyReplicas"]), [2, 2]);
        // Back under its old label it is one too many: adopted, and then somebody goes.
        world.change(*POD, &name, |p| p["metadata"]["labels"]["app"] = "web".into());
        world.secs(1);
        let pods = world.active_pods();
        assert_eq!(pods.len(), 2);
        assert!(pods.iter().all(|p| owner_of(p) == Some(&*owner.uid)));
    }
}

#[test]
fn orphans_are_adopted_up_to_the_number_and_the_others_deleted() {
    let mut world = World::fast(1);
    for name in ["a", "b", "c"] {
        let mut pod = template("web", &json!({}));
        pod["metadata"]["name"] = name.into();
        world.create(*POD, pod);
    }
    world.secs(1);
    let owner = world.create(*REPLICA_SET, set(2));
    world.secs(1);
    let pods = world.active_pods();
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|p| owner_of(p) == Some(&*owner.uid)));
    assert!(pods.iter().all(|p| p["metadata"]["ownerReferences"][0]["controller"] == true));
}

#[test]
fn a_pod_of_another_controller_is_left_alone() {
    let mut world = World::fast(1);
    world.create(*REPLICA_SET, set(1));
    world.secs(1);
    let mut rival = set(0);
    rival["metadata"]["name"] = "rival".into();
    world.create(*REPLICA_SET, rival);
    world.secs(1);
    assert_eq!(world.active_pods().len(), 1);
    assert_eq!(world.get(*REPLICA_SET, "rival")["status"]["replicas"], 0);
}

#[test]
fn pods_go_in_the_order_of_their_loss() {
    // Annotations of pods, made in this order, and which of them is the first to go.
    let slow = json!({"sim.kiban.dev/slow-start": "100s"});
    let missing = json!({"sim.kiban.dev/image-missing": "true"});
    let cheap = json!({"controller.kubernetes.io/pod-deletion-cost": "-5"});
    let dear = json!({"controller.kubernetes.io/pod-deletion-cost": "5"});
    let none = json!({});
    let cases: [(&str, [&Value; 3], usize); 4] = [
        ("unready before ready", [&none, &slow, &none], 1),
        ("pending before running", [&slow, &missing, &none], 1),
        ("cheap before dear", [&none, &dear, &cheap], 2),
        ("unready before cheap", [&cheap, &slow, &dear], 1),
    ];
    for (what, pods, first) in cases {
        let mut world = World::realistic(3);
        for (i, annotations) in pods.iter().enumerate() {
            let mut pod = template("web", annotations);
            pod["metadata"]["name"] = format!("p{i}").into();
            world.create(*POD, pod);
        }
        world.secs(60);
        world.create(*REPLICA_SET, set(2));
        world.secs(60);
        let left = world.names(*POD);
        assert!(!left.contains(&format!("p{first}")), "{what}: {left:?}");
    }
}

#[test]
fn the_youngest_pod_goes_before_an_old_one() {
    let mut world = World::realistic(3);
    world.create(*REPLICA_SET, set(2));
    world.secs(10_000);
    let old = world.names(*POD);
    world.change(*REPLICA_SET, "web", |s| s["spec"]["replicas"] = 3.into());
    world.secs(60);
    world.change(*REPLICA_SET, "web", |s| s["spec"]["replicas"] = 2.into());
    world.secs(60);
    assert_eq!(world.names(*POD), old);
}

#[test]
fn a_pod_from_the_fullest_node_goes_first() {
    let mut world = World::realistic(2);
    let nodes = world.names(*NODE);
    for (i, node) in [0, 1, 1].into_iter().enumerate() {
        let mut pod = template("web", &json!({}));
        pod["metadata"]["name"] = format!("p{i}").into();
        pod["spec"]["nodeName"] = nodes[node].clone().into();
        world.create(*POD, pod);
    }
    world.secs(60);
    world.create(*REPLICA_SET, set(2));
    world.secs(60);
    assert!(world.names(*POD).contains(&"p0".to_owned()));
}

#[test]
fn ended_pods_are_replaced() {
    let mut world = World::fast(1);
    world.create(*REPLICA_SET, set(2));
    world.secs(1);
    let name = world.names(*POD)[0].clone();
    world.change_status(*POD, &name, |p| p["status"]["phase"] = "Failed".into());
    world.secs(1);
    assert_eq!(world.active_pods().len(), 2);
    assert_eq!(world.get(*REPLICA_SET, "web")["status"]["replicas"], 2);
}

#[test]
fn a_refused_pod_is_a_failure_until_it_is_taken() {
    let mut world = World::fast(1);
    let mut spec = template("web", &json!({}));
    spec["spec"]["priorityClassName"] = "high".into();
    world.create(*REPLICA_SET, workload("web", 1, &json!({"template": spec})));
    world.secs(1);
    let text = condition(&world.get(*REPLICA_SET, "web"), "ReplicaFailure");
    assert!(text.starts_with("ReplicaFailure=True FailedCreate: pods \"web-"), "{text}");
    let events = world.messages("ReplicaSet", "FailedCreate");
    assert!(
        !events.is_empty() && events.iter().all(|m| m.starts_with("Error creating: pods \"web-")),
        "{events:?}"
    );
    world.create(
        kind_id("scheduling.k8s.io", "PriorityClass").unwrap(),
        json!({"metadata": {"name": "high"}, "value": 1}),
    );
    world.secs(60);
    assert_eq!(condition(&world.get(*REPLICA_SET, "web"), "ReplicaFailure"), "");
    assert_eq!(world.active_pods().len(), 1);
}

#[test]
fn deletion_takes_its_pods_along_or_leaves_them() {
    let cases = [(Propagation::Background, 0), (Propagation::Foreground, 0), (Propagation::Orphan, 2)];
    for (propagation, left) in cases {
        let mut world = World::fast(1);
        world.create(*REPLICA_SET, set(2));
        world.secs(1);
        world.delete_as(*REPLICA_SET, "web", propagation);
        if propagation == Propagation::Foreground {
            assert!(world.exists(*REPLICA_SET, "web"), "it goes last");
        }
        world.secs(2);
        assert!(!world.exists(*REPLICA_SET, "web"));
        assert_eq!(world.active_pods().len(), left, "{propagation:?}");
        assert!(world.active_pods().iter().all(|p| owner_of(p).is_none()));
    }
}

#[test]
fn a_replication_controller_leaves_its_pods_unless_told_otherwise() {
    let mut world = World::fast(1);
    world.create(*REPLICATION_CONTROLLER, controller(2));
    world.secs(1);
    world.delete(*REPLICATION_CONTROLLER, "web");
    world.secs(1);
    assert!(!world.exists(*REPLICATION_CONTROLLER, "web"));
    assert_eq!(world.active_pods().len(), 2);
}
