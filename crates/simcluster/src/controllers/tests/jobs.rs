//! Jobs: pods counted once each, whatever happens to them, and how a Job ends.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn job(spec: &Value, annotations: &Value) -> Value {
    let mut all = json!({"template": {
        "metadata": {"annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "shop/job:1"}]},
    }});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": "work"}, "spec": all})
}

fn run_for(duration: &str) -> Value {
    json!({"sim.kiban.dev/run-for": duration})
}

fn fails() -> Value {
    json!({"sim.kiban.dev/run-for": "1s", "sim.kiban.dev/exit-code": "3"})
}

fn work(world: &World) -> Value {
    world.get(*JOB, "work")
}

const COUNTS: [&str; 4] = ["active", "succeeded", "failed", "terminating"];

/// Types of the conditions that are true.
fn conditions(job: &Value) -> Vec<&str> {
    let all = job["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|c| c["status"] == "True").map(|c| c["type"].as_str().unwrap()).collect()
}

fn tracked(world: &World) -> usize {
    world.list(*POD).iter().filter(|p| p["metadata"]["finalizers"].is_array()).count()
}

#[test]
fn a_job_completes() {
    let mut world = World::realistic(2);
    world.create(*JOB, job(&json!({"completions": 5, "parallelism": 2}), &run_for("10s")));
    world.secs(5);
    assert_eq!(counts(&work(&world), COUNTS), [2, 0, 0, 0]);
    let mut most = 0;
    for _ in 0..30 {
        world.secs(5);
        most = most.max(world.active_pods().len());
    }
    assert_eq!(most, 2);
    let job = work(&world);
    assert_eq!(counts(&job, COUNTS), [0, 5, 0, 0]);
    assert_eq!(conditions(&job), ["SuccessCriteriaMet", "Complete"]);
    assert_eq!(
        condition(&job, "Complete"),
        "Complete=True CompletionsReached: Reached expected number of succeeded pods"
    );
    assert!(job["status"]["completionTime"].is_string() && job["status"]["startTime"].is_string());
    assert_eq!(job["status"]["uncountedTerminatedPods"], json!({}));
    assert_eq!(job["status"]["ready"], 0);
    assert_eq!(world.messages("Job", "SuccessfulCreate").len(), 5);
    assert_eq!(world.messages("Job", "Completed"), ["Job completed"]);
    assert_eq!(tracked(&world), 0, "no pod is held");
}

#[test]
fn a_work_queue_is_done_with_its_first_success_once_all_ended() {
    let mut world = World::realistic(2);
    world.create(*JOB, job(&json!({"parallelism": 3}), &run_for("10s")));
    world.secs(60);
    assert_eq!(counts(&work(&world), COUNTS), [0, 3, 0, 0]);
    assert_eq!(conditions(&work(&world)), ["SuccessCriteriaMet", "Complete"]);
}

#[test]
fn an_indexed_job_runs_each_index_and_tells_its_pods() {
    let mut world = World::fast(2);
    let spec = json!({"completions": 4, "parallelism": 2, "completionMode": "Indexed"});
    world.create(*JOB, job(&spec, &run_for("1s")));
    world.settle();
    let pod = world.list(*POD)[0].clone();
    assert!(name_of(&pod).starts_with("work-0-"));
    assert_eq!(pod["spec"]["hostname"], "work-0");
    for place in ["labels", "annotations"] {
        assert_eq!(pod["metadata"][place]["batch.kubernetes.io/job-completion-index"], "0");
    }
    let env = &pod["spec"]["containers"][0]["env"][0];
    assert_eq!(env["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(
        env["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.labels['batch.kubernetes.io/job-completion-index']"
    );
    world.secs(2);
    let job = work(&world);
    assert_eq!(job["status"]["completedIndexes"], "0-3");
    assert_eq!(counts(&job, COUNTS), [0, 4, 0, 0]);
}

#[test]
fn failures_are_replaced_after_a_back_off_until_the_limit() {
    let mut world = World::realistic(2);
    world.create(*JOB, job(&json!({"backoffLimit": 2}), &fails()));
    let mut starts = Vec::new();
    for second in 0..200 {
        if world.list(*POD).len() > starts.len() {
            starts.push(second);
        }
        world.secs(1);
    }
    assert_eq!(starts.len(), 3);
    assert!((10..20).contains(&(starts[1] - starts[0])), "{starts:?}");
    assert!((20..30).contains(&(starts[2] - starts[1])), "{starts:?}");
    let job = work(&world);
    assert_eq!(counts(&job, COUNTS), [0, 0, 3, 0]);
    assert_eq!(conditions(&job), ["FailureTarget", "Failed"]);
    assert_eq!(
        condition(&job, "Failed"),
        "Failed=True BackoffLimitExceeded: Job has reached the specified backoff limit"
    );
    assert_eq!(
        world.messages("Job", "BackoffLimitExceeded"),
        ["Job has reached the specified backoff limit"]
    );
    assert_eq!(tracked(&world), 0);
}

#[test]
fn restarts_in_place_count_as_failures() {
    let mut world = World::realistic(2);
    let mut object = job(&json!({"backoffLimit": 2}), &json!({"sim.kiban.dev/crash-loop": "1s"}));
    object["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure".into();
    world.create(*JOB, object);
    world.secs(300);
    let job = work(&world);
    assert_eq!(conditions(&job), ["FailureTarget", "Failed"]);
    assert!(condition(&job, "Failed").contains("BackoffLimitExceeded"));
    assert!(world.active_pods().is_empty());
}

#[test]
fn a_deadline_ends_a_job_and_it_fails_when_its_pods_are_gone() {
    let mut world = World::realistic(2);
    let slow = json!({"sim.kiban.dev/run-for": "1000s", "sim.kiban.dev/stop-for": "20s"});
    world.create(*JOB, job(&json!({"activeDeadlineSeconds": 60, "parallelism": 2}), &slow));
    world.secs(61);
    let job = work(&world);
    assert_eq!(conditions(&job), ["FailureTarget"], "pods are on their way out");
    assert_eq!(counts(&job, COUNTS), [0, 0, 2, 2]);
    world.secs(30);
    let job = work(&world);
    assert_eq!(
        condition(&job, "Failed"),
        "Failed=True DeadlineExceeded: Job was active longer than specified deadline"
    );
    assert_eq!(counts(&job, COUNTS), [0, 0, 2, 0]);
    assert!(job["status"]["completionTime"].is_null());
    assert!(world.names(*POD).is_empty());
}

#[test]
fn suspending_takes_pods_away_uncounted_and_resuming_starts_the_clock_anew() {
    let mut world = World::realistic(2);
    world.create(*JOB, job(&json!({"suspend": true, "activeDeadlineSeconds": 100}), &run_for("60s")));
    world.secs(500);
    let job = work(&world);
    assert_eq!(condition(&job, "Suspended"), "Suspended=True JobSuspended: Job suspended");
    assert!(job["status"]["startTime"].is_null() && world.names(*POD).is_empty());
    world.change(*JOB, "work", |j| j["spec"]["suspend"] = false.into());
    world.secs(30);
    assert_eq!(condition(&work(&world), "Suspended"), "Suspended=False JobResumed: Job resumed");
    assert_eq!(counts(&work(&world), COUNTS), [1, 0, 0, 0]);
    world.change(*JOB, "work", |j| j["spec"]["suspend"] = true.into());
    world.secs(300);
    assert_eq!(counts(&work(&world), COUNTS), [0, 0, 0, 0], "no failure");
    world.change(*JOB, "work", |j| j["spec"]["suspend"] = false.into());
    world.secs(90);
    assert_eq!(conditions(&work(&world)), ["SuccessCriteriaMet", "Complete"]);
    assert_eq!(world.messages("Job", "Suspended"), ["Job suspended"]);
    assert_eq!(world.messages("Job", "Resumed"), ["Job resumed"]);
}

#[test]
fn a_finished_job_goes_after_its_time_to_live_with_its_pods() {
    let mut world = World::realistic(2);
    world.create(*JOB, job(&json!({"ttlSecondsAfterFinished": 100}), &run_for("1s")));
    world.secs(60);
    assert!(!conditions(&work(&world)).is_empty());
    world.secs(100);
    assert!(!world.exists(*JOB, "work"));
    assert!(world.names(*POD).is_empty());
}

#[test]
fn pods_that_disappear_are_counted_and_replaced() {
    let mut world = World::realistic(2);
    world.create(*JOB, job(&json!({"completions": 2, "parallelism": 2}), &run_for("60s")));
    world.secs(20);
    let name = world.names(*POD)[0].clone();
    world.delete_with(*POD, &name, &DeleteOptions::now());
    world.secs(5);
    assert!(!world.exists(*POD, &name));
    assert_eq!(counts(&work(&world), COUNTS), [1, 0, 1, 0], "waits before it makes another");
    world.secs(200);
    assert_eq!(counts(&work(&world), COUNTS), [0, 2, 1, 0]);
    assert_eq!(conditions(&work(&world)), ["SuccessCriteriaMet", "Complete"]);
}

#[test]
fn replacement_waits_for_the_end_of_a_pod_where_the_policy_says_so() {
    for (policy, pods) in [("TerminatingOrFailed", 2), ("Failed", 1)] {
        let mut world = World::realistic(2);
        let slow = json!({
            "sim.kiban.dev/run-for": "1000s", "sim.kiban.dev/stop-for": "25s",
        });
        world.create(*JOB, job(&json!({"podReplacementPolicy": policy}), &slow));
        world.secs(20);
        let name = world.names(*POD)[0].clone();
        world.delete(*POD, &name);
        world.secs(15);
        assert_eq!(world.names(*POD).len(), pods, "{policy}");
        assert_eq!(work(&world)["status"]["terminating"], 1, "{policy}");
        world.secs(60);
        assert_eq!(counts(&work(&world), COUNTS), [1, 0, 1, 0], "{policy}");
    }
}

#[test]
fn a_failure_policy_ignores_counts_or_ends_the_job() {
    let rule = |action: &str, codes: &[i64]| json!({"action": action, "onExitCodes": {"operator": "In", "values": codes}});
    let table = [
        (json!([rule("FailJob", &[3])]), "Failed=True PodFailurePolicy", 1),
        (json!([rule("FailJob", &[4])]), "Failed=True BackoffLimitExceeded", 2),
        (json!([rule("Count", &[3]), rule("FailJob", &[3])]), "Failed=True BackoffLimitExceeded", 2),
        (json!([rule("Ignore", &[3])]), "", 0),
    ];
    for (rules, text, failed) in table {
        let mut world = World::fast(2);
        let spec = json!({"backoffLimit": 1, "podFailurePolicy": {"rules": rules}});
        world.create(*JOB, job(&spec, &fails()));
        world.secs(3);
        let job = work(&world);
        assert!(
            condition(&job, "Failed").starts_with(text)
                && (text.is_empty() == condition(&job, "Failed").is_empty()),
            "{job:#}"
        );
        assert_eq!(job["status"]["failed"].as_i64().unwrap_or(0), failed, "{rules}");
        if failed == 1 {
            let pod = world.names(*POD)[0].clone();
            let why = format!(
                "Container main for pod default/{pod} failed with exit code 3 matching FailJob rule at index 0"
            );
            assert_eq!(condition(&job, "Failed"), format!("Failed=True PodFailurePolicy: {why}"));
        }
        if failed == 0 {
            assert!(world.names(*POD).len() > 2, "ignored failures are replaced");
        }
    }
}

#[test]
fn each_index_has_its_own_limit() {
    let mut world = World::fast(2);
    let spec = json!({
        "completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1,
    });
    world.create(*JOB, job(&spec, &fails()));
    world.secs(3);
    let job = work(&world);
    assert_eq!(job["status"]["failedIndexes"], "0-2");
    assert_eq!(condition(&job, "Failed"), "Failed=True FailedIndexes: Job has failed indexes");
    assert_eq!(counts(&job, COUNTS), [0, 0, 6, 0]);
    let mut noted: Vec<_> = world
        .list(*POD)
        .iter()
        .map(|p| {
            p["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    noted.sort();
    assert_eq!(noted, ["0", "0", "0", "1", "1", "1"]);
    assert_eq!(tracked(&world), 0);
}

#[test]
fn too_many_failed_indexes_end_the_job() {
    let mut world = World::fast(2);
    let spec = json!({
        "completions": 5, "parallelism": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 1,
    });
    world.create(*JOB, job(&spec, &fails()));
    world.secs(3);
    let job = work(&world);
    assert_eq!(job["status"]["failedIndexes"], "0,1");
    assert!(condition(&job, "Failed").starts_with("Failed=True MaxFailedIndexesExceeded: Job has exceeded"));
}

#[test]
fn a_success_policy_ends_a_job_early() {
    let mut world = World::realistic(3);
    let spec = json!({
        "completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "1-2", "succeededCount": 1}]},
    });
    world.create(*JOB, job(&spec, &run_for("1000s")));
    world.secs(30);
    let pod = world.names(*POD).into_iter().find(|p| p.starts_with("work-1-")).unwrap();
    world.change(*POD, &pod, |p| p["metadata"]["annotations"]["sim.kiban.dev/run-for"] = "1s".into());
    world.change_status(*POD, &pod, |p| p["status"]["phase"] = "Succeeded".into());
    world.secs(60);
    let job = work(&world);
    assert_eq!(condition(&job, "Complete"), "Complete=True SuccessPolicy: Matched rules at index 0");
    assert_eq!(job["status"]["completedIndexes"], "1");
    assert_eq!(counts(&job, COUNTS), [0, 1, 0, 0], "pods that were stopped did not fail");
    assert!(world.active_pods().is_empty());
}

#[test]
fn jobs_of_other_managers_are_left_alone() {
    let mut world = World::fast(1);
    world.create(*JOB, job(&json!({"managedBy": "example.com/queue"}), &run_for("1s")));
    world.secs(2);
    assert!(world.names(*POD).is_empty());
    assert!(work(&world)["status"]["startTime"].is_null());
}

#[test]
fn deletion_never_leaves_a_pod_that_its_finalizer_holds() {
    for propagation in
        [None, Some(Propagation::Background), Some(Propagation::Foreground), Some(Propagation::Orphan)]
    {
        let mut world = World::realistic(2);
        world.create(*JOB, job(&json!({"parallelism": 2}), &run_for("1000s")));
        world.secs(20);
        world.delete_with(*JOB, "work", &DeleteOptions { propagation, ..DeleteOptions::default() });
        world.secs(60);
        assert!(!world.exists(*JOB, "work"), "{propagation:?}");
        assert_eq!(tracked(&world), 0, "{propagation:?}");
        let stays = matches!(propagation, None | Some(Propagation::Orphan));
        assert_eq!(world.names(*POD).len(), if stays { 2 } else { 0 }, "{propagation:?}");
    }
}

#[test]
fn a_restart_between_naming_and_counting_counts_once() {
    // The status names a pod; its finalizer is still there, or gone already, or so is the pod.
    for gone in ["finalizer there", "finalizer gone", "pod gone"] {
        let mut world = World::fast(2);
        world.create(
            *JOB,
            job(&json!({"completions": 3, "parallelism": 1, "backoffLimit": 9}), &run_for("1s")),
        );
        world.settle();
        let pod = world.list(*POD)[0].clone();
        let (name, uid) = (name_of(&pod), pod["metadata"]["uid"].clone());
        world.change_status(*POD, &name, |p| p["status"]["phase"] = "Succeeded".into());
        world.change_status(*JOB, "work", |j| {
            j["status"]["uncountedTerminatedPods"] = json!({"succeeded": [uid]})
        });
        if gone != "finalizer there" {
            world.change(*POD, &name, |p| p["metadata"]["finalizers"] = json!([]));
        }
        if gone == "pod gone" {
            world.delete_with(*POD, &name, &DeleteOptions::now());
        }
        world.restart();
        world.secs(2);
        let job = work(&world);
        assert_eq!(counts(&job, COUNTS), [0, 3, 0, 0], "{gone}");
        assert_eq!(job["status"]["uncountedTerminatedPods"], json!({}), "{gone}");
        let total = world.list(*POD).len() + usize::from(gone == "pod gone");
        assert_eq!(total, 3, "{gone}: no pod too many");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Pods are deleted, fail and vanish at any moment, and the controllers are restarted: every pod that
    /// was made is counted exactly once.
    #[test]
    fn every_pod_is_counted_once(
        completions in 1_i64..6, parallelism in 1_i64..4, indexed in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut rng = kiban_base::rng::Rng::new(seed);
        let mut world = World::fast(2);
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let spec = json!({
            "completions": completions, "parallelism": parallelism, "completionMode": mode, "backoffLimit": 1_000,
        });
        world.create(*JOB, job(&spec, &run_for("20s")));
        for _ in 0..12 {
            let steps = rng.below(4);
            for _ in 0..steps {
                world.step();
            }
            let names = world.names(*POD);
            if let Some(name) = rng.pick(&names).cloned() {
                match rng.below(4) {
                    0 => world.delete(*POD, &name),
                    1 => world.delete_with(*POD, &name, &DeleteOptions::now()),
                    2 => world.change_status(*POD, &name, |p| {
                        if p["status"]["phase"] != "Succeeded" {
                            p["status"]["phase"] = "Failed".into();
                        }
                    }),
                    _ => {}
                }
            }
            if rng.chance(0.3) {
                world.restart();
            }
            if rng.chance(0.5) {
                let millis = rng.below(15);
                world.millis(millis);
            }
        }
        world.secs(60);
        let job = work(&world);
        prop_assert_eq!(conditions(&job), vec!["SuccessCriteriaMet", "Complete"]);
        let [active, succeeded, failed, terminating] = counts(&job, COUNTS);
        prop_assert_eq!((active, terminating), (0, 0));
        let made = world.cluster.store().changes(*POD, 0, usize::MAX).unwrap();
        let made = i64::try_from(made.iter().filter(|c| c.old.is_none()).count()).unwrap();
        if indexed {
            prop_assert_eq!(succeeded, completions);
            // Two pods of one index may both have succeeded.
            prop_assert!(succeeded + failed <= made);
        } else {
            prop_assert!(succeeded >= completions);
            prop_assert_eq!(succeeded + failed, made, "{:#}", job);
        }
        prop_assert_eq!(tracked(&world), 0);
    }
}
