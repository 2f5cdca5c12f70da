//! StatefulSets: order, identity, updates, claims.

use serde_json::{Value, json};

use super::*;

fn db(replicas: i64, spec: &Value) -> Value {
    let mut object = workload("db", replicas, spec);
    if object["spec"]["serviceName"].is_null() {
        object["spec"]["serviceName"] = "db".into();
    }
    object
}

fn set(world: &World) -> Value {
    world.get(*STATEFUL_SET, "db")
}

fn image(world: &World, tag: &str) {
    let image = format!("shop/app:{tag}");
    world.change(*STATEFUL_SET, "db", |s| {
        s["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone().into()
    });
}

/// The image tag of each pod, by ordinal.
fn tags(world: &World) -> Vec<String> {
    let tag = |p: &Value| {
        p["spec"]["containers"][0]["image"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    };
    world.active_pods().iter().map(tag).collect()
}

fn scale(world: &World, replicas: i64) {
    world.change(*STATEFUL_SET, "db", |s| s["spec"]["replicas"] = replicas.into());
}

const COUNTS: [&str; 5] =
    ["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"];

#[test]
fn pods_have_an_identity() {
    let mut world = World::fast(2);
    world.create(*STATEFUL_SET, db(2, &json!({})));
    world.secs(1);
    let pod = world.get(*POD, "db-1");
    let set = set(&world);
    assert_eq!(pod["spec"]["hostname"], "db-1");
    assert_eq!(pod["spec"]["subdomain"], "db");
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(
        labels["controller-revision-hash"], set["status"]["currentRevision"],
        "the revision's whole name"
    );
    let revision = world.list(*CONTROLLER_REVISION).remove(0);
    assert_eq!(revision["metadata"]["name"], set["status"]["updateRevision"]);
    let hash = revision["metadata"]["labels"]["controller.kubernetes.io/hash"].as_str().unwrap().to_owned();
    assert_eq!(name_of(&revision), format!("db-{hash}"));
    assert_eq!(revision["data"]["spec"]["template"]["$patch"], "replace");
    assert_eq!(counts(&set, COUNTS), [2, 2, 2, 2, 2]);
    assert_eq!(set["status"]["collisionCount"], 0);
    let text = "create Pod db-0 in StatefulSet db successful";
    assert_eq!(world.messages("StatefulSet", "SuccessfulCreate")[0], text);
}

#[test]
fn pods_come_and_go_one_by_one_in_order() {
    let mut world = World::realistic(2);
    world.create(*STATEFUL_SET, db(3, &json!({})));
    let mut seen = Vec::new();
    for _ in 0..200 {
        let names = world.names(*POD);
        if seen.last() != Some(&names) {
            // Whenever a pod comes, those before it are ready.
            let pods = world.list(*POD);
            let before = pods.len().saturating_sub(1);
            assert!(pods.iter().take(before).all(|p| condition(p, "Ready").starts_with("Ready=True")));
            seen.push(names);
        }
        world.millis(500);
    }
    let names = |n: usize| (0..n).map(|i| format!("db-{i}")).collect::<Vec<_>>();
    assert_eq!(seen, [names(0), names(1), names(2), names(3)]);
    scale(&world, 0);
    let mut seen = Vec::new();
    for _ in 0..300 {
        let names = world.names(*POD);
        if seen.last() != Some(&names) {
            seen.push(names);
        }
        world.millis(500);
    }
    assert_eq!(seen, [names(3), names(2), names(1), names(0)]);
}

#[test]
fn in_parallel_all_come_and_go_at_once() {
    let mut world = World::realistic(2);
    world.create(*STATEFUL_SET, db(3, &json!({"podManagementPolicy": "Parallel"})));
    world.settle();
    assert_eq!(world.names(*POD).len(), 3);
    world.secs(60);
    scale(&world, 1);
    world.settle();
    assert_eq!(world.active_pods().len(), 1);
}

#[test]
fn an_update_goes_from_the_last_to_the_first_and_counts_revisions() {
    let mut world = World::realistic(2);
    world.create(*STATEFUL_SET, db(3, &json!({})));
    world.secs(120);
    let first = set(&world)["status"]["currentRevision"].clone();
    image(&world, "2");
    let mut seen = vec![tags(&world)];
    for _ in 0..600 {
        world.millis(500);
        let tags = tags(&world);
        if tags.len() == 3 && seen.last() != Some(&tags) {
            seen.push(tags);
        }
        if world.names(*POD).len() == 3 && seen.len() == 2 {
            let now = set(&world);
            assert_eq!(now["status"]["currentRevision"], first);
            assert_ne!(now["status"]["updateRevision"], first);
        }
    }
    assert_eq!(seen, [["1", "1", "1"], ["1", "1", "2"], ["1", "2", "2"], ["2", "2", "2"]]);
    let now = set(&world);
    assert_eq!(now["status"]["currentRevision"], now["status"]["updateRevision"]);
    assert_eq!(counts(&now, COUNTS), [3, 3, 3, 3, 3]);
}

#[test]
fn a_partition_holds_the_first_ordinals_back_even_when_they_are_made_again() {
    let mut world = World::fast(2);
    let spec = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    world.create(*STATEFUL_SET, db(3, &spec));
    world.secs(1);
    image(&world, "2");
    world.secs(1);
    assert_eq!(tags(&world), ["1", "1", "2"]);
    assert_eq!(counts(&set(&world), COUNTS), [3, 3, 3, 2, 1]);
    world.delete(*POD, "db-0");
    world.delete(*POD, "db-2");
    world.secs(1);
    assert_eq!(tags(&world), ["1", "1", "2"]);
    world.change(*STATEFUL_SET, "db", |s| {
        s["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into()
    });
    world.secs(1);
    assert_eq!(tags(&world), ["2", "2", "2"]);
}

#[test]
fn ordinals_may_start_elsewhere_and_the_partition_counts_from_there() {
    let mut world = World::fast(2);
    let spec = json!({
        "ordinals": {"start": 5}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
    });
    world.create(*STATEFUL_SET, db(2, &spec));
    world.secs(1);
    assert_eq!(world.names(*POD), ["db-5", "db-6"]);
    image(&world, "2");
    world.secs(1);
    assert_eq!(tags(&world), ["1", "2"]);
}

#[test]
fn on_delete_replaces_what_somebody_deletes() {
    let mut world = World::fast(2);
    world.create(*STATEFUL_SET, db(2, &json!({"updateStrategy": {"type": "OnDelete"}})));
    world.secs(1);
    image(&world, "2");
    world.secs(1);
    assert_eq!(tags(&world), ["1", "1"]);
    world.delete(*POD, "db-0");
    world.secs(1);
    assert_eq!(tags(&world), ["2", "1"]);
    let now = set(&world);
    assert_ne!(now["status"]["currentRevision"], now["status"]["updateRevision"]);
    assert_eq!(now["status"]["updatedReplicas"], 1);
}

#[test]
fn max_unavailable_replaces_several_at_once() {
    let mut world = World::realistic(2);
    let spec = json!({
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}},
    });
    world.create(*STATEFUL_SET, db(4, &spec));
    world.secs(60);
    image(&world, "2");
    world.settle();
    let going = world
        .list(*POD)
        .iter()
        .filter(|p| p["metadata"]["deletionTimestamp"].is_string())
        .map(name_of)
        .collect::<Vec<_>>();
    assert_eq!(going, ["db-2", "db-3"]);
    let mut least = 4;
    for _ in 0..200 {
        least = least.min(counts(&set(&world), ["readyReplicas"])[0]);
        world.millis(500);
    }
    assert_eq!(least, 2);
    assert_eq!(tags(&world), ["2", "2", "2", "2"]);
}

#[test]
fn in_parallel_an_update_goes_past_old_pods_that_are_broken() {
    let mut world = World::realistic(2);
    let mut object = db(3, &json!({"podManagementPolicy": "Parallel"}));
    object["spec"]["template"]["metadata"]["annotations"] = json!({"sim.kiban.dev/image-missing": "true"});
    world.create(*STATEFUL_SET, object);
    world.secs(60);
    assert_eq!(counts(&set(&world), COUNTS), [3, 0, 0, 3, 3]);
    world.change(*STATEFUL_SET, "db", |s| s["spec"]["template"]["metadata"]["annotations"] = json!({}));
    world.secs(60);
    assert_eq!(counts(&set(&world), COUNTS), [3, 3, 3, 3, 3]);
}

#[test]
fn a_broken_pod_blocks_those_after_it_until_it_is_deleted() {
    let mut world = World::realistic(2);
    world.create(*STATEFUL_SET, db(3, &json!({})));
    world.secs(120);
    world.change(*STATEFUL_SET, "db", |s| {
        s["spec"]["template"]["metadata"]["annotations"]["sim.kiban.dev/image-missing"] = "true".into()
    });
    world.secs(120);
    assert_eq!(counts(&set(&world), COUNTS), [3, 2, 2, 2, 1], "the first updated pod never gets ready");
    // Even the old template does not replace it: that is how it is (issue 67250).
    world.change(*STATEFUL_SET, "db", |s| s["spec"]["template"]["metadata"]["annotations"] = json!({}));
    world.secs(120);
    assert_eq!(set(&world)["status"]["readyReplicas"], 2);
    world.delete(*POD, "db-2");
    world.secs(120);
    assert_eq!(counts(&set(&world), COUNTS), [3, 3, 3, 3, 3]);
}

#[test]
fn ended_and_deleted_pods_come_back_under_their_name() {
    let mut world = World::fast(2);
    world.create(*STATEFUL_SET, db(2, &json!({})));
    world.secs(1);
    for phase in ["Failed", "Succeeded"] {
        let uid = world.stored(*POD, "db-0").uid.clone();
        world.change_status(*POD, "db-0", |p| p["status"]["phase"] = phase.into());
        world.secs(1);
        assert_ne!(world.stored(*POD, "db-0").uid, uid, "{phase}");
        assert_eq!(counts(&set(&world), COUNTS), [2, 2, 2, 2, 2]);
    }
}

fn with_claims(policy: &Value) -> Value {
    json!({
        "volumeClaimTemplates": [{
            "metadata": {"name": "data", "labels": {"kept": "yes"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }],
        "persistentVolumeClaimRetentionPolicy": policy,
    })
}

#[test]
fn each_pod_has_its_claims_and_finds_them_again() {
    let mut world = World::fast(2);
    world.create(*STATEFUL_SET, db(2, &with_claims(&json!({}))));
    world.secs(1);
    assert_eq!(world.names(*PERSISTENT_VOLUME_CLAIM), ["data-db-0", "data-db-1"]);
    let claim = world.get(*PERSISTENT_VOLUME_CLAIM, "data-db-0");
    assert_eq!(claim["metadata"]["labels"], json!({"app": "db", "kept": "yes"}));
    assert_eq!(claim["status"]["phase"], "Bound");
    let volume = &world.get(*POD, "db-1")["spec"]["volumes"][0];
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "data-db-1");
    let uid = claim["metadata"]["uid"].clone();
    scale(&world, 0);
    world.secs(1);
    scale(&world, 2);
    world.secs(1);
    assert_eq!(world.get(*PERSISTENT_VOLUME_CLAIM, "data-db-0")["metadata"]["uid"], uid);
    let text = "create Claim data-db-0 Pod db-0 in StatefulSet db success";
    assert!(world.messages("StatefulSet", "SuccessfulCreate").contains(&text.to_owned()));
}

#[test]
fn claims_go_as_the_retention_policy_says() {
    // (whenDeleted, whenScaled), claims after scaling to one, claims after deletion.
    let table = [
        ("Retain", "Retain", vec!["data-db-0", "data-db-1"], vec!["data-db-0", "data-db-1"]),
        ("Delete", "Retain", vec!["data-db-0", "data-db-1"], vec!["data-db-1"]),
        ("Retain", "Delete", vec!["data-db-0"], vec!["data-db-0"]),
        ("Delete", "Delete", vec!["data-db-0"], vec![]),
    ];
    for (deleted, scaled, after_scaling, after_deletion) in table {
        let mut world = World::fast(2);
        world.create(
            *STATEFUL_SET,
            db(2, &with_claims(&json!({"whenDeleted": deleted, "whenScaled": scaled}))),
        );
        world.secs(1);
        scale(&world, 1);
        world.secs(1);
        assert_eq!(world.names(*PERSISTENT_VOLUME_CLAIM), after_scaling, "{deleted}, {scaled}");
        world.delete(*STATEFUL_SET, "db");
        world.secs(1);
        assert!(world.names(*POD).is_empty());
        let left = world.names(*PERSISTENT_VOLUME_CLAIM);
        if deleted == "Delete" && scaled == "Retain" {
            // The claim of a pod that went before stays the set's.
            assert!(left.is_empty() || left == after_deletion, "{left:?}");
        } else {
            assert_eq!(left, after_deletion, "{deleted}, {scaled}");
        }
    }
}

#[test]
fn a_retention_policy_that_changes_is_followed() {
    let mut world = World::fast(2);
    world.create(*STATEFUL_SET, db(1, &with_claims(&json!({}))));
    world.secs(1);
    let owners = |world: &World| {
        world.get(*PERSISTENT_VOLUME_CLAIM, "data-db-0")["metadata"]["ownerReferences"].clone()
    };
    assert!(owners(&world).is_null());
    for (when, has) in [("Delete", true), ("Retain", false)] {
        world.change(*STATEFUL_SET, "db", |s| {
            s["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] = when.into()
        });
        world.secs(1);
        assert_eq!(owners(&world).as_array().is_some_and(|o| !o.is_empty()), has);
    }
}

#[test]
fn a_pod_with_the_right_name_and_labels_is_adopted() {
    let mut world = World::fast(2);
    world.create(*STATEFUL_SET, db(2, &json!({})));
    world.secs(1);
    let uid = world.stored(*POD, "db-1").uid.clone();
    world.delete_as(*STATEFUL_SET, "db", Propagation::Orphan);
    world.secs(1);
    let owner = world.create(*STATEFUL_SET, db(2, &json!({})));
    world.secs(1);
    let pod = world.stored(*POD, "db-1");
    assert_eq!(pod.uid, uid);
    assert_eq!(pod.controller().unwrap().uid, owner.uid);
}

#[test]
fn revisions_beyond_the_limit_go_and_a_rollback_renumbers() {
    let mut world = World::fast(1);
    world.create(*STATEFUL_SET, db(1, &json!({"revisionHistoryLimit": 1})));
    world.secs(1);
    for tag in ["2", "3", "4"] {
        image(&world, tag);
        world.secs(1);
    }
    let numbers = |world: &World| {
        let mut all: Vec<_> =
            world.list(*CONTROLLER_REVISION).iter().map(|r| r["revision"].as_i64().unwrap()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(numbers(&world), [3, 4]);
    image(&world, "3");
    world.secs(1);
    assert_eq!(numbers(&world), [4, 5]);
    assert_eq!(tags(&world), ["3"]);
}
