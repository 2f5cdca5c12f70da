//! Deployments: steps, pauses, scaling, history, deadlines, adoption.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::controllers::pods;
use crate::store::Change;

const REVISION: &str = "deployment.kubernetes.io/revision";

fn deployment(replicas: i64, spec: &Value) -> Value {
    workload("web", replicas, spec)
}

fn rolling(surge: &Value, unavailable: &Value) -> Value {
    json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}})
}

fn set_image(world: &World, tag: &str) {
    let image = format!("shop/app:{tag}");
    world.change(*DEPLOYMENT, "web", |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone().into()
    });
}

fn annotate_pods(world: &World, key: &str, value: &str) {
    world
        .change(*DEPLOYMENT, "web", |d| d["spec"]["template"]["metadata"]["annotations"][key] = value.into());
}

fn web(world: &World) -> Value {
    world.get(*DEPLOYMENT, "web")
}

/// (image tag, size, revision) of each set, by revision.
fn sets(world: &World) -> Vec<(String, i64, String)> {
    let mut all: Vec<_> = world
        .list(*REPLICA_SET)
        .iter()
        .map(|s| {
            let image = s["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
            let revision = s["metadata"]["annotations"][REVISION].as_str().unwrap_or_default();
            let tag = image.rsplit(':').next().unwrap().to_owned();
            (tag, s["spec"]["replicas"].as_i64().unwrap(), revision.to_owned())
        })
        .collect();
    all.sort_by_key(|s| s.2.parse::<i64>().unwrap_or(0));
    all
}

fn set_of(tag: &str, size: i64, revision: &str) -> (String, i64, String) {
    (tag.to_owned(), size, revision.to_owned())
}

const COUNTS: [&str; 5] =
    ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"];

#[test]
fn a_deployment_comes_up_and_says_so() {
    let mut world = World::fast(2);
    world.create(*DEPLOYMENT, deployment(3, &json!({})));
    world.settle();
    world.secs(1);
    let web = web(&world);
    assert_eq!(counts(&web, COUNTS), [3, 3, 3, 3, 0]);
    assert_eq!(web["status"]["observedGeneration"], web["metadata"]["generation"]);
    assert_eq!(web["metadata"]["annotations"][REVISION], "1");
    let set = name_of(&world.list(*REPLICA_SET)[0]);
    assert_eq!(
        condition(&web, "Available"),
        "Available=True MinimumReplicasAvailable: Deployment has minimum availability."
    );
    let text =
        format!("Progressing=True NewReplicaSetAvailable: ReplicaSet \"{set}\" has successfully progressed.");
    assert_eq!(condition(&web, "Progressing"), text);
    assert_eq!(
        world.messages("Deployment", "ScalingReplicaSet"),
        [format!("Scaled up replica set {set} from 0 to 3")]
    );
    let at_rest = world.stored(*DEPLOYMENT, "web").revision;
    world.secs(3_600);
    assert_eq!(world.stored(*DEPLOYMENT, "web").revision, at_rest, "nothing is written at rest");
}

#[test]
fn a_rollback_by_template_takes_the_old_set_up_again_with_a_new_revision() {
    let mut world = World::fast(2);
    world.create(*DEPLOYMENT, deployment(2, &json!({})));
    world.secs(1);
    set_image(&world, "2");
    world.secs(1);
    assert_eq!(sets(&world), [set_of("1", 0, "1"), set_of("2", 2, "2")]);
    set_image(&world, "1");
    world.secs(1);
    assert_eq!(sets(&world), [set_of("2", 0, "2"), set_of("1", 2, "3")]);
    let old =
        world.list(*REPLICA_SET).into_iter().find(|s| s["metadata"]["annotations"][REVISION] == "3").unwrap();
    assert_eq!(old["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(web(&world)["metadata"]["annotations"][REVISION], "3");
    assert!(condition(&web(&world), "Progressing").starts_with("Progressing=True NewReplicaSetAvailable"));
}

#[test]
fn history_is_trimmed_to_its_limit() {
    for (limit, left) in [(0, vec!["6"]), (2, vec!["4", "5", "6"]), (10, vec!["1", "2", "3", "4", "5", "6"])]
    {
        let mut world = World::fast(1);
        world.create(*DEPLOYMENT, deployment(1, &json!({"revisionHistoryLimit": limit})));
        for tag in 1..=6 {
            set_image(&world, &tag.to_string());
            world.secs(1);
        }
        let revisions: Vec<_> = sets(&world).into_iter().map(|s| s.2).collect();
        assert_eq!(revisions, left, "limit {limit}");
    }
}

#[test]
fn annotations_go_to_the_sets_and_change_causes_stay_with_their_revision() {
    let mut world = World::fast(1);
    world.create(*DEPLOYMENT, deployment(1, &json!({})));
    world.settle();
    let cause = "kubernetes.io/change-cause";
    world.change(*DEPLOYMENT, "web", |d| d["metadata"]["annotations"][cause] = "first".into());
    world.secs(1);
    world.change(*DEPLOYMENT, "web", |d| {
        d["metadata"]["annotations"][cause] = "second".into();
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "shop/app:2".into();
    });
    world.secs(1);
    let mut causes: Vec<_> = world
        .list(*REPLICA_SET)
        .iter()
        .map(|s| {
            (s["metadata"]["annotations"][REVISION].clone(), s["metadata"]["annotations"][cause].clone())
        })
        .collect();
    causes.sort_by_key(|c| c.0.to_string());
    assert_eq!(causes, [(json!("1"), json!("first")), (json!("2"), json!("second"))]);
}

#[test]
fn a_paused_deployment_scales_but_rolls_nothing_out() {
    let mut world = World::fast(2);
    world.create(*DEPLOYMENT, deployment(2, &json!({})));
    world.secs(1);
    world.change(*DEPLOYMENT, "web", |d| d["spec"]["paused"] = true.into());
    world.secs(1);
    assert_eq!(
        condition(&web(&world), "Progressing"),
        "Progressing=Unknown DeploymentPaused: Deployment is paused"
    );
    set_image(&world, "2");
    world.change(*DEPLOYMENT, "web", |d| d["spec"]["replicas"] = 4.into());
    world.secs(1);
    assert_eq!(sets(&world), [set_of("1", 4, "1")]);
    assert_eq!(counts(&web(&world), COUNTS), [4, 0, 4, 4, 0]);
    world.change(*DEPLOYMENT, "web", |d| d["spec"]["paused"] = false.into());
    world.secs(1);
    assert_eq!(sets(&world), [set_of("1", 0, "1"), set_of("2", 4, "2")]);
    assert!(condition(&web(&world), "Progressing").starts_with("Progressing=True NewReplicaSetAvailable"));
}

#[test]
fn resuming_starts_the_deadline_anew() {
    let mut world = World::realistic(2);
    world.create(*DEPLOYMENT, deployment(1, &json!({"progressDeadlineSeconds": 600})));
    world.secs(60);
    world.change(*DEPLOYMENT, "web", |d| d["spec"]["paused"] = true.into());
    world.secs(10_000);
    annotate_pods(&world, "sim.kiban.dev/image-missing", "true");
    world.change(*DEPLOYMENT, "web", |d| d["spec"]["paused"] = false.into());
    world.secs(590);
    assert!(!condition(&web(&world), "Progressing").contains("ProgressDeadlineExceeded"));
    world.secs(30);
    assert!(condition(&web(&world), "Progressing").contains("ProgressDeadlineExceeded"));
}

#[test]
fn a_rollout_that_makes_no_progress_is_given_up() {
    let slow = [("slow-start", "10000"), ("image-missing", "true"), ("unready", "true")];
    for (key, value) in slow {
        let mut world = World::realistic(2);
        world.create(*DEPLOYMENT, deployment(2, &json!({"progressDeadlineSeconds": 60})));
        world.secs(60);
        set_image(&world, "2");
        annotate_pods(&world, &format!("sim.kiban.dev/{key}"), value);
        world.secs(50);
        let set = name_of(
            world.list(*REPLICA_SET).iter().find(|s| s["metadata"]["annotations"][REVISION] != "1").unwrap(),
        );
        assert!(condition(&web(&world), "Progressing").starts_with("Progressing=True"), "{key}");
        world.secs(60);
        let text = format!(
            "Progressing=False ProgressDeadlineExceeded: ReplicaSet \"{set}\" has timed out progressing."
        );
        assert_eq!(condition(&web(&world), "Progressing"), text, "{key}");
        // The pods that work stay.
        assert!(condition(&web(&world), "Available").starts_with("Available=True"), "{key}");
        // Going back ends the failure.
        set_image(&world, "1");
        world.change(*DEPLOYMENT, "web", |d| d["spec"]["template"]["metadata"]["annotations"] = json!({}));
        world.secs(120);
        assert!(
            condition(&web(&world), "Progressing").starts_with("Progressing=True NewReplicaSetAvailable"),
            "{key}"
        );
    }
}

#[test]
fn a_crash_loop_runs_into_the_deadline_when_its_back_off_outgrows_it() {
    let mut world = World::realistic(2);
    world.create(*DEPLOYMENT, deployment(2, &json!({"progressDeadlineSeconds": 100, "minReadySeconds": 20})));
    world.secs(100);
    let old = world.names(*POD);
    set_image(&world, "2");
    annotate_pods(&world, "sim.kiban.dev/crash-loop", "5s");
    // Each start is ready for a moment, which counts as progress.
    world.secs(100);
    assert!(condition(&web(&world), "Progressing").starts_with("Progressing=True ReplicaSetUpdated"));
    let mut given_up = false;
    for _ in 0..60 {
        world.secs(10);
        given_up |=
            condition(&web(&world), "Progressing").starts_with("Progressing=False ProgressDeadlineExceeded");
    }
    assert!(given_up);
    assert!(condition(&web(&world), "Available").starts_with("Available=True"));
    assert!(old.iter().all(|p| world.exists(*POD, p)));
}

#[test]
fn without_a_deadline_there_is_no_progress_condition() {
    let mut world = World::fast(1);
    world.create(*DEPLOYMENT, deployment(1, &json!({"progressDeadlineSeconds": i32::MAX})));
    world.secs(1);
    assert_eq!(condition(&web(&world), "Progressing"), "");
    assert_eq!(counts(&web(&world), COUNTS), [1, 1, 1, 1, 0]);
}

#[test]
fn pods_count_after_min_ready_seconds() {
    let mut world = World::realistic(2);
    world.create(*DEPLOYMENT, deployment(1, &json!({"minReadySeconds": 100})));
    world.secs(60);
    assert_eq!(counts(&web(&world), COUNTS), [1, 1, 1, 0, 1]);
    assert!(condition(&web(&world), "Available").starts_with("Available=False MinimumReplicasUnavailable"));
    world.secs(100);
    assert_eq!(counts(&web(&world), COUNTS), [1, 1, 1, 1, 0]);
}

#[test]
fn pods_on_their_way_out_are_told_apart() {
    let mut world = World::realistic(2);
    let slow = template("web", &json!({"sim.kiban.dev/stop-for": "20s"}));
    world.create(*DEPLOYMENT, deployment(3, &json!({"template": slow})));
    world.secs(60);
    assert_eq!(web(&world)["status"]["terminatingReplicas"], 0);
    world.change(*DEPLOYMENT, "web", |d| d["spec"]["replicas"] = 1.into());
    world.secs(5);
    assert_eq!(counts(&web(&world), ["replicas", "terminatingReplicas"]), [1, 2]);
    world.secs(60);
    assert_eq!(web(&world)["status"]["terminatingReplicas"], 0);
}

#[test]
fn recreate_starts_when_the_last_old_pod_is_gone() {
    let mut world = World::realistic(2);
    world.create(*DEPLOYMENT, deployment(2, &json!({"strategy": {"type": "Recreate"}})));
    world.secs(60);
    let start = world.cluster.snapshot().revision;
    set_image(&world, "2");
    world.settle();
    assert_eq!(sets(&world), [set_of("1", 0, "1")], "no new set while old pods end");
    world.secs(120);
    assert_eq!(sets(&world), [set_of("1", 0, "1"), set_of("2", 2, "2")]);
    let changes = world.cluster.store().changes(*POD, start, usize::MAX).unwrap();
    let first_new = changes.iter().find(|c| c.old.is_none()).unwrap().revision;
    let runs =
        |c: &&Change| !c.deleted && c.new.pod.is_some_and(|p| !p.phase.is_terminal()) && c.new.deleting;
    let last_old = changes.iter().rfind(runs).unwrap().revision;
    assert!(last_old < first_new);
    assert!(condition(&web(&world), "Progressing").starts_with("Progressing=True NewReplicaSetAvailable"));
}

#[test]
fn an_orphaned_set_is_adopted_instead_of_made_again() {
    let mut world = World::fast(1);
    world.create(*DEPLOYMENT, deployment(2, &json!({})));
    world.secs(1);
    let (set, pods) = (world.names(*REPLICA_SET), world.names(*POD));
    world.delete_as(*DEPLOYMENT, "web", Propagation::Orphan);
    world.secs(1);
    assert!(!world.exists(*DEPLOYMENT, "web"));
    assert_eq!((world.names(*REPLICA_SET), world.names(*POD)), (set.clone(), pods.clone()));
    world.create(*DEPLOYMENT, deployment(2, &json!({})));
    world.secs(1);
    assert_eq!((world.names(*REPLICA_SET), world.names(*POD)), (set, pods));
    assert_eq!(counts(&web(&world), COUNTS), [2, 2, 2, 2, 0]);
}

#[test]
fn a_name_that_is_taken_salts_the_hash() {
    let mut world = World::fast(1);
    world.create(*DEPLOYMENT, deployment(1, &json!({})));
    world.secs(1);
    let name = world.names(*REPLICA_SET)[0].clone();
    world.delete_as(*DEPLOYMENT, "web", Propagation::Foreground);
    world.secs(1);
    // Another's set under the name that the Deployment would take.
    let mut other = workload("other", 0, &json!({}));
    other["metadata"]["name"] = name.clone().into();
    world.create(*REPLICA_SET, other);
    world.create(*DEPLOYMENT, deployment(1, &json!({})));
    world.secs(1);
    assert_eq!(web(&world)["status"]["collisionCount"], 1);
    assert_eq!(counts(&web(&world), COUNTS), [1, 1, 1, 1, 0]);
    assert_eq!(world.list(*REPLICA_SET).len(), 2);
}

#[test]
fn pods_that_are_refused_are_a_replica_failure() {
    let mut world = World::fast(1);
    let mut spec = template("web", &json!({}));
    spec["spec"]["serviceAccountName"] = "nobody".into();
    world.create(*DEPLOYMENT, deployment(2, &json!({"template": spec})));
    world.secs(1);
    let text = condition(&web(&world), "ReplicaFailure");
    assert!(text.starts_with("ReplicaFailure=True FailedCreate: pods \"web-"), "{text}");
    assert!(
        text.ends_with(
            "error looking up service account default/nobody: serviceaccount \"nobody\" not found"
        ),
        "{text}"
    );
    world.create(*SERVICE_ACCOUNT, json!({"metadata": {"name": "nobody"}}));
    world.secs(60);
    assert_eq!(condition(&web(&world), "ReplicaFailure"), "");
    assert_eq!(counts(&web(&world), COUNTS), [2, 2, 2, 2, 0]);
}

/// A change in the middle of whatever is going on.
#[derive(Debug, Clone)]
enum Step {
    Image(u8),
    Slow(u8),
    Scale(i64),
    Pause(bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u8..4).prop_map(Step::Image),
        1 => (0_u8..3).prop_map(Step::Slow),
        2 => (0_i64..9).prop_map(Step::Scale),
        1 => any::<bool>().prop_map(Step::Pause),
        3 => (1_u64..30).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..10)
}

fn bound() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(2)),
        Just(json!(5)),
        Just(json!("0%")),
        Just(json!("25%")),
        Just(json!("50%")),
        Just(json!("100%")),
    ]
}

/// What the Deployment allowed at a revision: size, pods above, pods below.
fn limits(deployment: &Value) -> (i64, i64, i64) {
    let replicas = deployment["spec"]["replicas"].as_i64().unwrap();
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    let surge = pods::scaled(&rolling["maxSurge"], replicas, true).unwrap();
    let unavailable = pods::scaled(&rolling["maxUnavailable"], replicas, false).unwrap();
    if (surge, unavailable) == (0, 0) {
        (replicas, 0, 1)
    } else {
        (replicas, surge, unavailable.min(replicas))
    }
}

/// Walks every change of pods beside the Deployment's spec of that moment.
fn check_every_revision(world: &World) -> Result<(), TestCaseError> {
    let read = |kind| world.cluster.store().changes(kind, 0, usize::MAX).unwrap();
    let mut changes: Vec<Change> = read(*POD);
    changes.extend(read(*DEPLOYMENT));
    changes.sort_by_key(|c| c.revision);
    let (mut active, mut available) = (BTreeMap::new(), BTreeMap::new());
    let mut limit = (0, 0, 0);
    // Scaling down in the middle of a rollout rounds each set's share, whatever is available in it: that is
    // no step of the rollout, which goes on when the next pod comes.
    let mut shrinks = false;
    for change in changes {
        let object = &change.new;
        if object.kind == *DEPLOYMENT {
            let next = limits(&object.value());
            shrinks |= next.0 < limit.0;
            limit = next;
            continue;
        }
        let (replicas, surge, unavailable) = limit;
        let alive = !change.deleted && pods::is_active(object);
        let was_available = available.remove(&object.uid).is_some();
        active.remove(&object.uid);
        if alive {
            active.insert(object.uid.clone(), ());
            if pods::is_ready(object) {
                available.insert(object.uid.clone(), ());
            }
        }
        let count = |m: &BTreeMap<_, ()>| i64::try_from(m.len()).unwrap();
        shrinks &= change.old.is_some() && (was_available || !available.contains_key(&object.uid));
        if change.old.is_none() {
            prop_assert!(
                count(&active) <= replicas + surge,
                "{} pods of {replicas}+{surge} at {}",
                count(&active),
                change.revision
            );
        } else if was_available && !alive && !shrinks {
            let least = replicas - unavailable;
            prop_assert!(
                count(&available) >= least,
                "{} available of {least} at {}",
                count(&available),
                change.revision
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_revision_has_too_many_or_too_few_pods(
        replicas in 0_i64..9, surge in bound(), unavailable in bound(), steps in steps(),
    ) {
        let zero = |v: &Value| *v == json!(0) || *v == json!("0%");
        prop_assume!(!(zero(&surge) && zero(&unavailable)));
        let mut world = World::fast(2);
        world.create(*DEPLOYMENT, deployment(replicas, &rolling(&surge, &unavailable)));
        world.millis(200);
        for step in steps {
            match step {
                Step::Image(tag) => set_image(&world, &tag.to_string()),
                Step::Slow(n) => annotate_pods(&world, "sim.kiban.dev/slow-start", &format!("{}ms", u32::from(n) * 10_000)),
                Step::Scale(n) => world.change(*DEPLOYMENT, "web", |d| d["spec"]["replicas"] = n.into()),
                Step::Pause(on) => world.change(*DEPLOYMENT, "web", |d| d["spec"]["paused"] = on.into()),
                Step::Wait(millis) => world.millis(millis),
            }
            world.settle();
        }
        world.change(*DEPLOYMENT, "web", |d| d["spec"]["paused"] = false.into());
        world.secs(5);
        check_every_revision(&world)?;
        let web = web(&world);
        let wanted = web["spec"]["replicas"].as_i64().unwrap();
        prop_assert_eq!(counts(&web, COUNTS), [wanted, wanted, wanted, wanted, 0]);
        prop_assert_eq!(world.active_pods().len(), usize::try_from(wanted).unwrap());
        prop_assert_eq!(&web["status"]["observedGeneration"], &web["metadata"]["generation"]);
        let text = condition(&web, "Progressing");
        prop_assert!(text.starts_with("Progressing=True NewReplicaSetAvailable"), "{}", text);
    }
}
