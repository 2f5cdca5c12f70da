//! Migrations: before the workloads, once for their images, told when they fail.

use super::*;

const JOB: &str = "/apis/batch/v1/namespaces/shop-dev/jobs/migrate";

fn job(image: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "migrate", "namespace": "shop-dev", "annotations": {"kiban.dev/migration": "true"}},
        "spec": {"template": {"spec": {"containers": [{"name": "m", "image": image}]}}}})
}

fn with_job(image: &str) -> Vec<Value> {
    let mut objects = shop();
    objects[0] = deployment("orders", image);
    objects.push(job(image));
    objects
}

fn patient() -> Options {
    Options { timeout: Duration::from_secs(30), ..options() }
}

fn finish(fake: &Fake, condition: &str) {
    fake.edit(JOB, |j| {
        j["status"] = json!({"startTime": "t", "conditions": [{"type": condition, "status": "True", "reason": "BackoffLimitExceeded", "message": "no more"}]});
    });
}

/// Applies while its Job, as soon as it is there anew, ends in this way.
async fn apply_ending(fake: &Fake, commit: &str, image: &str, condition: &str) -> Report {
    let uid = |fake: &Fake| fake.get(JOB).map(|j| j["metadata"]["uid"].clone());
    let before = uid(fake);
    let during = async {
        while uid(fake).is_none() || uid(fake) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(
            fake.get(DEPLOYMENT).is_none_or(|d| d["spec"]["template"]["image"] != image),
            "the workload waits for the migration"
        );
        finish(fake, condition);
    };
    let (wanted, never, options) = (request(commit, with_job(image)), Cancel::never(), patient());
    let ((result, _), ()) = tokio::join!(run_with(fake, &wanted, &options, &never), during);
    result.unwrap()
}

#[tokio::test]
async fn a_migration_completes_before_the_workloads_change_and_runs_once_for_its_images() {
    let fake = Fake::new();
    let report = apply_ending(&fake, "c1", "a:1", "Complete").await;
    assert!(report.is_success(), "{report:?}");
    let known = &inventory(&fake).migrations["migrate"];
    assert_eq!((known.images.as_str(), known.commit.as_str(), known.reversible), ("a:1", "c1", false));
    assert_eq!(inventory(&fake).irreversible("c1"), ["migrate"]);
    // Its time to live is over: it does not run again.
    fake.remove(JOB);
    fake.take_requests();
    assert!(run(&fake, "c1", with_job("a:1")).await.unwrap().is_success());
    assert_eq!(writes(&fake), Vec::<String>::new());
    assert_eq!(fake.get(JOB), None);
    // Other images are another migration.
    let report = apply_ending(&fake, "c2", "a:2", "Complete").await;
    assert!(report.is_success(), "{report:?}");
    let report = apply_ending(&fake, "c3", "a:3", "Complete").await;
    assert!(report.is_success(), "the Job of before is replaced: {report:?}");
    assert_eq!(inventory(&fake).migrations["migrate"].commit, "c3");
}

#[tokio::test]
async fn a_migration_that_fails_stops_the_app_and_is_not_run_again_unasked() {
    let fake = Fake::new();
    apply_ending(&fake, "c1", "a:1", "Complete").await;
    let report = apply_ending(&fake, "c2", "a:2", "Failed").await;
    assert!(!report.is_success());
    let told = report.outcomes[&ObjectId { group: "batch".into(), ..id("Job", "migrate") }].to_string();
    assert!(told.contains("the migration failed: BackoffLimitExceeded: no more"), "{told}");
    assert_eq!(report.outcomes[&id("Deployment", "orders")], Outcome::NotAttempted);
    assert_eq!(fake.get(DEPLOYMENT).unwrap()["spec"]["template"]["image"], "a:1");
    assert_eq!(inventory(&fake).migrations["migrate"].images, "a:1");
    let error = run(&fake, "c2", with_job("a:2")).await.unwrap_err();
    let told = format!("{:?}", error.report().unwrap().outcomes);
    assert!(told.contains("--retry-migrations"), "{told}");
    // On the way back none runs.
    let hold = Some(Hold { bad: "c2".into(), ..Hold::default() });
    let back = Request { hold, ..request("c1", with_job("a:1")) };
    let (result, _) = run_with(&fake, &back, &patient(), &Cancel::never()).await;
    assert!(result.unwrap().is_success());
    assert_eq!(fake.get(JOB).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"], "a:2");
}

#[tokio::test]
async fn stopped_at_any_write_and_run_again_a_migration_runs_once_and_the_end_is_the_same() {
    let reference = Fake::new();
    apply_ending(&reference, "c1", "a:1", "Complete").await;
    apply_ending(&reference, "c2", "a:2", "Complete").await;
    let wanted = content(&reference);
    for n in 0..12 {
        let fake = Fake::new();
        apply_ending(&fake, "c1", "a:1", "Complete").await;
        let (canceller, cancel) = Canceller::new();
        let mut seen = 0;
        fake.rule(move |r| {
            seen += usize::from(is_write(r));
            if seen != n + 1 || !is_write(r) {
                return None;
            }
            canceller.cancel();
            Some(Fault::DropAfter)
        });
        // The Job ends as soon as there is one with the new image, whoever made it.
        let ends = async {
            loop {
                let new = fake.get(JOB).is_some_and(|j| {
                    j["spec"]["template"]["spec"]["containers"][0]["image"] == "a:2"
                        && j.get("status").is_none()
                });
                if new {
                    finish(&fake, "Complete");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let both = async {
            let _ = run_with(&fake, &request("c2", with_job("a:2")), &patient(), &cancel).await;
            run_with(&fake, &request("c2", with_job("a:2")), &patient(), &Cancel::never()).await.0
        };
        let report = tokio::select! {
            () = ends => unreachable!(),
            report = both => report.unwrap(),
        };
        assert!(report.is_success(), "write {n}: {report:?}");
        assert_eq!(content(&fake), wanted, "write {n}");
    }
}
