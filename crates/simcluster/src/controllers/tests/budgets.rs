//! PodDisruptionBudgets: what is expected, what is healthy, what may go.

use serde_json::{Value, json};

use super::*;

fn budget(spec: &Value) -> Value {
    let mut all = json!({"selector": {"matchLabels": {"app": "web"}}});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": "web"}, "spec": all})
}

fn web(world: &World) -> Value {
    world.get(*PDB, "web")
}

const COUNTS: [&str; 4] = ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"];

#[test]
fn the_arithmetic_of_budgets() {
    // Replicas, of them unready by annotation (all or none), the budget, and what it comes to.
    let table = [
        (4, false, json!({"minAvailable": 3}), [4, 4, 3, 1]),
        (4, false, json!({"minAvailable": 5}), [4, 4, 5, 0]),
        (4, false, json!({"minAvailable": "50%"}), [4, 4, 2, 2]),
        (5, false, json!({"minAvailable": "50%"}), [5, 5, 3, 2]),
        (4, false, json!({"maxUnavailable": 1}), [4, 4, 3, 1]),
        (4, false, json!({"maxUnavailable": 9}), [4, 4, 0, 4]),
        (5, false, json!({"maxUnavailable": "30%"}), [5, 5, 3, 2]),
        (4, false, json!({"maxUnavailable": 0}), [4, 4, 4, 0]),
        (4, true, json!({"maxUnavailable": 1}), [4, 0, 3, 0]),
        (4, true, json!({"minAvailable": 0}), [4, 0, 0, 0]),
        (0, false, json!({"minAvailable": 1}), [0, 0, 1, 0]),
        (0, false, json!({"maxUnavailable": 1}), [0, 0, 0, 0]),
    ];
    for (replicas, unready, spec, wanted) in table {
        let mut world = World::fast(2);
        let annotations = if unready { json!({"sim.kiban.dev/unready": "true"}) } else { json!({}) };
        world.create(
            *DEPLOYMENT,
            workload("web", replicas, &json!({"template": template("web", &annotations)})),
        );
        world.create(*PDB, budget(&spec));
        world.secs(1);
        let web = web(&world);
        assert_eq!(counts(&web, COUNTS), wanted, "{replicas} pods, {spec}");
        assert_eq!(web["status"]["observedGeneration"], 1);
        let text = if wanted[3] > 0 { "True SufficientPods: " } else { "False InsufficientPods: " };
        assert_eq!(condition(&web, "DisruptionAllowed"), format!("DisruptionAllowed={text}"), "{spec}");
    }
}

#[test]
fn every_scalable_controller_counts_by_its_own_size() {
    let bare = |kind: KindId| {
        let selector = if kind == *REPLICATION_CONTROLLER {
            json!({"app": "web"})
        } else {
            json!({"matchLabels": {"app": "web"}})
        };
        workload("web", 3, &json!({"selector": selector}))
    };
    for kind in [*DEPLOYMENT, *REPLICA_SET, *REPLICATION_CONTROLLER, *STATEFUL_SET] {
        let mut world = World::fast(2);
        world.create(kind, bare(kind));
        world.create(*PDB, budget(&json!({"maxUnavailable": 1})));
        world.secs(1);
        assert_eq!(counts(&web(&world), COUNTS), [3, 3, 2, 1], "{}", kind.resource_name());
        world.change(kind, "web", |w| w["spec"]["replicas"] = 5.into());
        world.secs(1);
        assert_eq!(counts(&web(&world), COUNTS), [5, 5, 4, 1], "{}", kind.resource_name());
    }
}

#[test]
fn pods_without_a_controller_count_for_numbers_and_not_for_percentages() {
    for (spec, wanted) in
        [(json!({"minAvailable": 1}), [2, 2, 1, 1]), (json!({"maxUnavailable": 1}), [0, 2, 0, 0])]
    {
        let mut world = World::fast(1);
        for name in ["a", "b"] {
            let mut pod = template("web", &json!({}));
            pod["metadata"]["name"] = name.into();
            world.create(*POD, pod);
        }
        world.create(*PDB, budget(&spec));
        world.secs(1);
        assert_eq!(counts(&web(&world), COUNTS), wanted, "{spec}");
    }
}

#[test]
fn a_controller_without_scale_fails_the_sync() {
    let mut world = World::fast(2);
    let mut set = workload("web", 0, &json!({}));
    set["spec"].as_object_mut().unwrap().remove("replicas");
    world.create(*DAEMON_SET, set);
    world.create(*PDB, budget(&json!({"maxUnavailable": 1})));
    world.secs(1);
    let text = "DisruptionAllowed=False SyncFailed: daemonsets.apps does not implement the scale subresource";
    assert_eq!(condition(&web(&world), "DisruptionAllowed"), text);
    assert_eq!(web(&world)["status"]["disruptionsAllowed"], 0);
    let event = "Failed to calculate the number of expected pods: daemonsets.apps does not implement the scale subresource";
    assert_eq!(world.messages("PodDisruptionBudget", "CalculateExpectedPodCountFailed"), [event]);
}

#[test]
fn selectors_choose_all_or_nothing() {
    for (selector, expected) in
        [(json!({}), 2), (json!({"matchLabels": {"app": "none"}}), 0), (Value::Null, 0)]
    {
        let mut world = World::fast(1);
        world.create(*REPLICA_SET, workload("web", 2, &json!({})));
        world.create(*PDB, budget(&json!({"minAvailable": 1, "selector": selector})));
        world.secs(1);
        assert_eq!(web(&world)["status"]["expectedPods"], expected, "{selector}");
        assert_eq!(world.messages("PodDisruptionBudget", "NoPods").is_empty(), expected > 0);
    }
}

#[test]
fn a_granted_disruption_is_taken_off_until_the_pod_goes_or_two_minutes_pass() {
    let mut world = World::realistic(2);
    world.create(*REPLICA_SET, workload("web", 3, &json!({})));
    world.create(*PDB, budget(&json!({"minAvailable": 2})));
    world.secs(60);
    assert_eq!(counts(&web(&world), COUNTS), [3, 3, 2, 1]);
    let pod = world.names(*POD)[0].clone();
    let now = world.clock.now().rfc3339();
    world.change_status(*PDB, "web", |b| {
        b["status"]["disruptedPods"] = json!({ pod.as_str(): now });
        b["status"]["disruptionsAllowed"] = 0.into();
    });
    world.secs(60);
    assert_eq!(counts(&web(&world), COUNTS), [3, 2, 2, 0], "the pod that may go is not counted");
    world.secs(70);
    assert_eq!(counts(&web(&world), COUNTS), [3, 3, 2, 1], "it did not go");
    assert!(web(&world)["status"]["disruptedPods"].is_null());
    world.change_status(*PDB, "web", |b| {
        b["status"]["disruptedPods"] = json!({ pod.as_str(): world.clock.now().rfc3339() })
    });
    world.delete(*POD, &pod);
    world.secs(60);
    assert_eq!(counts(&web(&world), COUNTS), [3, 3, 2, 1]);
    assert!(web(&world)["status"]["disruptedPods"].is_null());
}

#[test]
fn labels_that_leave_a_budget_are_noticed() {
    let mut world = World::fast(1);
    let mut pod = template("web", &json!({}));
    pod["metadata"]["name"] = "p".into();
    world.create(*POD, pod);
    world.create(*PDB, budget(&json!({"minAvailable": 0})));
    world.secs(1);
    assert_eq!(web(&world)["status"]["expectedPods"], 1);
    world.change(*POD, "p", |p| p["metadata"]["labels"]["app"] = "other".into());
    world.secs(1);
    assert_eq!(web(&world)["status"]["expectedPods"], 0);
}
