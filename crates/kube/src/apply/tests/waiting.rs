//! Waiting for readiness.

use super::*;
use crate::fake::make_ready;
use crate::readiness::Status;

async fn apply_while<F: Future<Output = ()>>(
    fake: &Fake,
    options: Options,
    during: F,
) -> (Report, Vec<Event>) {
    let wanted = request("c1", shop());
    let never = Cancel::never();
    let ((result, events), ()) = tokio::join!(run_with(fake, &wanted, &options, &never), during);
    (result.unwrap(), events)
}

async fn until_exists(fake: &Fake, path: &str) {
    while fake.get(path).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn patient() -> Options {
    Options { timeout: Duration::from_secs(30), ..options() }
}

fn states(events: &[Event]) -> Vec<String> {
    let state = |e: &Event| match e {
        Event::Waiting { object, readiness } => Some(format!("{} {}", object.short(), readiness.message)),
        Event::Ready { object } => Some(format!("{} ready", object.short())),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

#[tokio::test]
async fn a_rollout_is_followed_by_watch_until_it_is_over() {
    let fake = Fake::new();
    fake.ready_at_once(false);
    let during = async {
        until_exists(&fake, DEPLOYMENT).await;
        for replicas in [1, 2] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            fake.edit(DEPLOYMENT, |d| d["status"] = json!({"observedGeneration": 1, "replicas": replicas}));
        }
        // The server forgets the past in the middle of it.
        fake.forget();
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.edit(DEPLOYMENT, make_ready);
    };
    let (report, events) = apply_while(&fake, patient(), during).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(
        states(&events),
        [
            "deployment.apps/orders Replicas: 0/2",
            "deployment.apps/orders Replicas: 1/2",
            "deployment.apps/orders Updated: 0/2",
            "deployment.apps/orders ready",
        ]
    );
    let looks = fake.take_requests().into_iter().filter(|r| r.contains("watch=true")).count();
    assert!(looks >= 1, "it watches");
}

#[tokio::test]
async fn a_failed_rollout_ends_the_wait_at_once_and_prunes_nothing() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    fake.ready_at_once(false);
    let mut objects = shop();
    objects[0] = deployment("orders", "broken");
    objects.pop();
    let during = async {
        while fake.get(DEPLOYMENT).unwrap()["metadata"]["generation"] != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fake.edit(DEPLOYMENT, |d| {
            d["status"] = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
        });
    };
    let (wanted, never, patient) = (request("c2", objects.clone()), Cancel::never(), patient());
    let ((result, _), ()) = tokio::join!(run_with(&fake, &wanted, &patient, &never), during);
    let report = result.unwrap();
    assert!(!report.is_success());
    assert_eq!(report.not_ready[&id("Deployment", "orders")].status, Status::Failed);
    assert_eq!(report.outcomes[&id("ConfigMap", "two")], Outcome::NotAttempted);
    assert!(fake.get("/api/v1/namespaces/shop-dev/configmaps/two").is_some(), "old pods may still need it");
    assert_eq!((inventory(&fake).revision.commit.as_str(), inventory(&fake).objects.len()), ("c2", 4));
    // Once it is ready, the next apply does the rest.
    fake.edit(DEPLOYMENT, make_ready);
    let report = run(&fake, "c2", objects).await.unwrap();
    assert_eq!(report.outcomes[&id("ConfigMap", "two")], Outcome::Pruned);
}

#[tokio::test]
async fn the_deadline_ends_the_wait_with_the_last_state() {
    let fake = Fake::new();
    fake.ready_at_once(false);
    let options = Options { timeout: Duration::from_millis(30), ..options() };
    let (report, _) = apply_while(&fake, options, async {}).await;
    assert_eq!(report.not_ready[&id("Deployment", "orders")].message, "Replicas: 0/2");
    assert!(!report.is_success());
    // Running it again writes nothing and waits again.
    fake.take_requests();
    let again = Options { timeout: Duration::from_millis(30), ..self::options() };
    let (result, _) = run_with(&fake, &request("c1", shop()), &again, &Cancel::never()).await;
    assert!(!result.unwrap().is_success());
    assert_eq!(writes(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn without_the_wish_to_wait_nothing_is_waited_for() {
    let fake = Fake::new();
    fake.ready_at_once(false);
    let options = Options { wait: false, ..patient() };
    let (report, events) = apply_while(&fake, options, async {}).await;
    assert!(report.is_success());
    assert_eq!(states(&events), Vec::<String>::new());
}

#[tokio::test]
async fn unbound_claims_block_nothing() {
    let fake = Fake::new();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop-dev"}});
    let mut objects = shop();
    objects.push(claim);
    let (result, events) = run_with(&fake, &request("c1", objects), &patient(), &Cancel::never()).await;
    assert!(result.unwrap().is_success());
    assert_eq!(states(&events), Vec::<String>::new());
}

#[tokio::test]
async fn who_may_not_watch_looks_again() {
    let fake = Fake::new();
    fake.ready_at_once(false);
    let (_, refusal) = status(403, "Forbidden", "cannot watch");
    fake.fault(&["watch=true"], 100, Fault::Refuse(403, refusal, None));
    let during = async {
        until_exists(&fake, DEPLOYMENT).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.edit(DEPLOYMENT, make_ready);
    };
    let (report, _) = apply_while(&fake, patient(), during).await;
    assert!(report.is_success());
}

#[tokio::test]
async fn an_object_that_vanishes_ends_the_wait() {
    let fake = Fake::new();
    fake.ready_at_once(false);
    let during = async {
        until_exists(&fake, DEPLOYMENT).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.remove(DEPLOYMENT);
    };
    let (report, _) = apply_while(&fake, patient(), during).await;
    assert_eq!(report.not_ready[&id("Deployment", "orders")].status, Status::NotFound);
}

#[tokio::test]
async fn many_objects_of_a_kind_share_one_watch() {
    let fake = Fake::new();
    fake.ready_at_once(false);
    let objects: Vec<Value> = (0..20).map(|i| deployment(&format!("d{i}"), "a:1")).collect();
    let paths: Vec<String> = objects.iter().map(crate::fake::path_of).collect();
    let during = async {
        for path in &paths {
            until_exists(&fake, path).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        for path in &paths {
            fake.edit(path, make_ready);
        }
    };
    let (wanted, never, patient) = (request("c1", objects), Cancel::never(), patient());
    let ((result, _), ()) = tokio::join!(run_with(&fake, &wanted, &patient, &never), during);
    assert!(result.unwrap().is_success());
    let watches = fake.take_requests().into_iter().filter(|r| r.contains("watch=true")).count();
    assert_eq!(watches, 1);
}

#[tokio::test]
async fn a_deadline_that_was_over_before_the_change_does_not_end_the_wait_for_it() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": "2026-01-01T00:00:00Z"}]);
    fake.ready_at_once(false);
    fake.edit(DEPLOYMENT, |d| d["status"]["conditions"] = late.clone());
    let mut objects = shop();
    objects[0] = deployment("orders", "mended");
    let during = async {
        while fake.get(DEPLOYMENT).unwrap()["metadata"]["generation"] != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The controller has seen the new spec, and the condition is still the old rollout's.
        fake.edit(DEPLOYMENT, |d| d["status"] = json!({"observedGeneration": 2, "conditions": late.clone()}));
        tokio::time::sleep(Duration::from_millis(50)).await;
        fake.edit(DEPLOYMENT, make_ready);
    };
    let (wanted, never, patient) = (request("c2", objects), Cancel::never(), patient());
    let ((result, events), ()) = tokio::join!(run_with(&fake, &wanted, &patient, &never), during);
    assert!(result.unwrap().is_success());
    let told = states(&events);
    assert!(told.iter().any(|s| s.contains("has not progressed yet")), "{told:?}");
}
