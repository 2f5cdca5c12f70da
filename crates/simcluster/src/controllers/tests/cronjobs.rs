//! CronJobs: schedules, zones, overlaps, missed starts, history.

use serde_json::{Value, json};

use super::*;

fn cron(schedule: &str, spec: &Value, run_for: &str) -> Value {
    let mut all = json!({"schedule": schedule, "jobTemplate": {
        "metadata": {"labels": {"of": "tick"}},
        "spec": {"template": {
            "metadata": {"annotations": {"sim.kiban.dev/run-for": run_for}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "shop/job:1"}]},
        }},
    }});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": "tick"}, "spec": all})
}

fn tick(world: &World) -> Value {
    world.get(*CRON_JOB, "tick")
}

fn scheduled(job: &Value) -> String {
    job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// When the Jobs that were ever made were due.
fn starts(world: &World) -> Vec<String> {
    let changes = world.cluster.store().changes(*JOB, 0, usize::MAX).unwrap();
    changes.iter().filter(|c| c.old.is_none()).map(|c| scheduled(&c.new.value())).collect()
}

#[test]
fn jobs_start_on_the_minute_and_are_named_by_it() {
    let mut world = World::realistic(1);
    world.create(*CRON_JOB, cron("*/5 * * * *", &json!({}), "10s"));
    world.secs(299);
    assert!(world.names(*JOB).is_empty());
    world.secs(2);
    let job = world.list(*JOB).remove(0);
    assert_eq!(scheduled(&job), "2026-03-01T00:05:00Z");
    assert_eq!(name_of(&job), format!("tick-{}", 1_772_323_500 / 60));
    assert_eq!(job["metadata"]["labels"]["of"], "tick");
    let now = tick(&world);
    assert_eq!(now["status"]["lastScheduleTime"], "2026-03-01T00:05:00Z");
    assert_eq!(now["status"]["active"][0]["name"], job["metadata"]["name"]);
    world.secs(60);
    let now = tick(&world);
    assert!(now["status"]["active"].is_null());
    assert!(now["status"]["lastSuccessfulTime"].as_str().unwrap() > "2026-03-01T00:05:10Z");
    let name = name_of(&job);
    assert_eq!(world.messages("CronJob", "SuccessfulCreate"), [format!("Created job {name}")]);
    assert_eq!(
        world.messages("CronJob", "SawCompletedJob"),
        [format!("Saw completed job: {name}, condition: Complete")]
    );
}

#[test]
fn zones_move_the_hour() {
    for (zone, due) in [
        ("Asia/Tokyo", "2026-03-01T18:00:00Z"),
        ("America/New_York", "2026-03-01T08:00:00Z"),
        ("Etc/UTC", "2026-03-01T03:00:00Z"),
    ] {
        let mut world = World::realistic(0);
        world.create(*CRON_JOB, cron("0 3 * * *", &json!({"timeZone": zone}), "10s"));
        world.secs(86_400);
        assert_eq!(starts(&world), [due], "{zone}");
    }
}

#[test]
fn an_hour_that_the_clock_leaves_out_has_no_start() {
    let mut world = World::realistic(0);
    world.clock.set(Timestamp::parse("2026-03-07T12:00:00Z").unwrap());
    world.create(*CRON_JOB, cron("30 2 * * *", &json!({"timeZone": "America/New_York"}), "10s"));
    world.secs(3 * 86_400);
    // Clocks go from 02:00 to 03:00 on 8 March.
    assert_eq!(starts(&world), ["2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]);
}

#[test]
fn overlaps_are_as_the_policy_says() {
    let minute = |n: u32| format!("2026-03-01T00:0{n}:00Z");
    let table = [
        ("Allow", vec![minute(1), minute(2), minute(3), minute(4)], 2),
        // A start that was held up is made up for as soon as it may be.
        ("Forbid", vec![minute(1), minute(2), minute(3)], 1),
        ("Replace", vec![minute(1), minute(2), minute(3), minute(4)], 1),
    ];
    for (policy, due, most) in table {
        let mut world = World::realistic(1);
        world.create(*CRON_JOB, cron("* * * * *", &json!({"concurrencyPolicy": policy}), "75s"));
        let mut at_once = 0;
        for _ in 0..27 {
            world.secs(10);
            at_once = at_once.max(tick(&world)["status"]["active"].as_array().map_or(0, Vec::len));
        }
        assert_eq!(starts(&world), due, "{policy}");
        assert_eq!(at_once, most, "{policy}");
        if policy == "Forbid" {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            assert!(world.messages("CronJob", "JobAlreadyActive").contains(&text.to_owned()));
        }
        if policy == "Replace" {
            assert_eq!(world.messages("CronJob", "SuccessfulDelete").len(), 3);
            assert!(world.messages("CronJob", "MissingJob").is_empty());
        }
    }
}

#[test]
fn a_suspended_cron_job_starts_nothing_and_catches_up_once() {
    let mut world = World::realistic(0);
    world.create(*CRON_JOB, cron("*/10 * * * *", &json!({"suspend": true}), "10s"));
    world.secs(3_650);
    assert!(starts(&world).is_empty());
    world.change(*CRON_JOB, "tick", |c| c["spec"]["suspend"] = false.into());
    world.settle();
    assert_eq!(starts(&world), ["2026-03-01T01:00:00Z"], "the last missed one");
}

#[test]
fn a_start_missed_by_more_than_the_deadline_is_let_go() {
    for (deadline, started) in [(60, false), (600, true)] {
        let mut world = World::realistic(0);
        world.create(
            *CRON_JOB,
            cron("0 * * * *", &json!({"suspend": true, "startingDeadlineSeconds": deadline}), "10s"),
        );
        world.secs(3_600 + 300);
        world.change(*CRON_JOB, "tick", |c| c["spec"]["suspend"] = false.into());
        world.secs(10);
        assert_eq!(!starts(&world).is_empty(), started, "{deadline}");
        world.secs(3_600);
        assert!(starts(&world).contains(&"2026-03-01T02:00:00Z".to_owned()), "the next one is in time");
    }
}

#[test]
fn too_many_missed_starts_are_reported_and_the_last_one_is_made_up_for() {
    for (schedule, last) in [("* * * * *", "2026-06-09T00:00:00Z"), ("0 4 * * *", "2026-06-08T04:00:00Z")] {
        let mut world = World::realistic(0);
        world.create(*CRON_JOB, cron(schedule, &json!({"suspend": true}), "10s"));
        world.settle();
        world.clock.advance(Duration::from_secs(100 * 86_400));
        world.settle();
        world.change(*CRON_JOB, "tick", |c| c["spec"]["suspend"] = false.into());
        world.settle();
        assert_eq!(starts(&world), [last], "{schedule}");
        let many = if schedule == "* * * * *" { 1 } else { 0 };
        assert_eq!(world.messages("CronJob", "TooManyMissedTimes").len(), many);
    }
}

#[test]
fn history_is_kept_to_its_limits() {
    let mut world = World::realistic(1);
    let mut object =
        cron("* * * * *", &json!({"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 1}), "1s");
    world.create(*CRON_JOB, object.clone());
    world.secs(600);
    assert_eq!(world.names(*JOB).len(), 2);
    world.delete_as(*CRON_JOB, "tick", Propagation::Background);
    world.secs(60);
    assert!(world.names(*JOB).is_empty() && world.names(*POD).is_empty());
    let template = &mut object["spec"]["jobTemplate"]["spec"];
    template["backoffLimit"] = 0.into();
    template["template"]["metadata"]["annotations"]["sim.kiban.dev/exit-code"] = "1".into();
    world.create(*CRON_JOB, object);
    world.secs(600);
    assert_eq!(world.names(*JOB).len(), 1);
    assert!(tick(&world)["status"]["lastSuccessfulTime"].is_null());
}

#[test]
fn a_restart_starts_no_minute_twice() {
    let mut world = World::realistic(1);
    world.create(*CRON_JOB, cron("* * * * *", &json!({}), "10s"));
    for _ in 0..30 {
        world.secs(10);
        world.restart();
    }
    world.secs(1);
    let mut all = starts(&world);
    assert_eq!(all.len(), 5);
    all.dedup();
    assert_eq!(all.len(), 5);
}

#[test]
fn a_job_that_was_deleted_is_reported_missing_and_one_made_by_hand_unexpected() {
    let mut world = World::realistic(1);
    let owner = world.create(*CRON_JOB, cron("0 * * * *", &json!({}), "1000s"));
    world.secs(3_610);
    let name = world.names(*JOB)[0].clone();
    world.delete_as(*JOB, &name, Propagation::Background);
    world.secs(1);
    assert_eq!(world.messages("CronJob", "MissingJob"), [format!("Active job went missing: {name}")]);
    let mut job = json!({"metadata": {"name": "by-hand", "ownerReferences": [controllers::pods::owner_reference(&owner)]}});
    job["spec"] = tick(&world)["spec"]["jobTemplate"]["spec"].clone();
    world.create(*JOB, job);
    world.secs(1);
    let text = "Saw a job that the controller did not create or forgot: by-hand";
    assert!(world.messages("CronJob", "UnexpectedJob").iter().all(|m| m == text));
    assert!(!world.messages("CronJob", "UnexpectedJob").is_empty());
    assert!(tick(&world)["status"]["active"].is_null());
}
