//! Stopping in the middle, and taking turns.

use std::sync::Arc;

use super::*;

/// The state of an app at `c1`, and what changes to `c2`: one of each sort of write.
async fn at_c1() -> Fake {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    fake.take_requests();
    fake
}

fn c2() -> Vec<Value> {
    let mut objects = shop();
    objects.pop();
    objects[0] = deployment("orders", "a:2");
    objects.push(config_map("three", "3"));
    objects
}

#[tokio::test]
async fn stopping_before_any_write_and_running_again_ends_in_the_same_state() {
    let reference = at_c1().await;
    run(&reference, "c2", c2()).await.unwrap();
    let total = writes(&reference).len();
    assert!(total >= 8, "{total}");
    for n in 0..total {
        for through in [false, true] {
            let fake = at_c1().await;
            let (canceller, cancel) = Canceller::new();
            let mut seen = 0;
            fake.rule(move |request| {
                if !is_write(request) {
                    return None;
                }
                seen += 1;
                if seen != n + 1 {
                    return None;
                }
                canceller.cancel();
                // The request may or may not have reached the server when the work is dropped.
                Some(if through { Fault::DropAfter } else { Fault::Hang })
            });
            let (result, _) = run_with(&fake, &request("c2", c2()), &options(), &cancel).await;
            match result {
                Err(ApplyError::Cancelled { .. }) => {}
                // The last write gives the turn back; nothing is left to cancel then.
                other => assert!(n + 1 == total && other.is_ok(), "write {n}: {other:?}"),
            }
            let report = run(&fake, "c2", c2()).await.unwrap();
            assert!(report.is_success(), "write {n}: {report:?}");
            assert_eq!(content(&fake), content(&reference), "write {n}, through {through}");
        }
    }
}

#[tokio::test]
async fn dying_without_a_word_and_running_again_ends_in_the_same_state() {
    let reference = at_c1().await;
    run(&reference, "c2", c2()).await.unwrap();
    let total = writes(&reference).len();
    // Each of these waits until the dead one's lease runs out; they do so side by side.
    let runs = (1..total).map(|n| {
        let wanted = content(&reference);
        async move {
            let fake = at_c1().await;
            let mut seen = 0;
            fake.rule(move |request| {
                seen += usize::from(is_write(request));
                (seen > n && is_write(request) && seen == n + 1).then_some(Fault::Hang)
            });
            let first = {
                let fake = fake.clone();
                tokio::spawn(async move { run(&fake, "c2", c2()).await })
            };
            while writes_seen(&fake) <= n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            first.abort();
            let report = run(&fake, "c2", c2()).await.unwrap();
            assert!(report.is_success(), "write {n}: {report:?}");
            assert_eq!(content(&fake), wanted, "write {n}");
        }
    });
    futures_util::future::join_all(runs).await;
}

fn writes_seen(fake: &Fake) -> usize {
    fake.peek_requests(is_write)
}

#[tokio::test]
async fn a_cancelled_apply_says_what_it_did_and_gives_its_turn_back() {
    let fake = Fake::new();
    let (canceller, cancel) = Canceller::new();
    let mut canceller = Some(canceller);
    fake.rule(move |request| {
        if request.contains("PATCH") && is_write(request) && request.contains("deployments") {
            canceller.take().unwrap().cancel();
            return Some(Fault::Hang);
        }
        None
    });
    let (result, _) = run_with(&fake, &request("c1", shop()), &options(), &cancel).await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "stopped before its end; applying again goes on from here");
    assert_eq!(error.report().unwrap().count(|o| *o == Outcome::Created), 3);
    assert!(!fake.paths().iter().any(|p| p.contains("/leases/")));
    let inventory = inventory(&fake);
    assert_eq!((inventory.revision.commit.as_str(), applying(&inventory)), ("", Some("c1")));
    assert_eq!(inventory.objects.len(), 4, "what was to come is listed before it comes");
}

#[tokio::test]
async fn a_token_that_is_tripped_already_writes_nothing() {
    let fake = Fake::new();
    let (canceller, cancel) = Canceller::new();
    canceller.cancel();
    let (result, _) = run_with(&fake, &request("c1", shop()), &options(), &cancel).await;
    assert!(matches!(result, Err(ApplyError::Cancelled { .. })));
    assert_eq!(writes(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn two_applies_of_one_app_take_turns_and_the_later_plans_anew() {
    let fake = Fake::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let one = |who: &'static str, commit: &'static str, objects: Vec<Value>| {
        let (fake, told) = (fake.clone(), told.clone());
        async move {
            let options = Options { holder: who.into(), ..options() };
            let sink = |event: Event| told.lock().unwrap().push((who, event));
            apply(&fake.cluster(), &request(commit, objects), &options, &Cancel::never(), &sink).await
        }
    };
    let (a, b) = tokio::join!(one("a", "c1", shop()), one("b", "c2", c2()));
    assert!(a.unwrap().is_success());
    assert!(b.unwrap().is_success());
    let told = told.lock().unwrap();
    let waits = told.iter().filter(|(_, e)| matches!(e, Event::WaitingForTurn { .. })).count();
    assert!(waits <= 1, "{told:?}");
    // Nobody writes while the other's turn lasts.
    let (holder, _) = told.iter().find(|(_, e)| *e == Event::Started).unwrap();
    let second = told.iter().rposition(|(_, e)| *e == Event::Started).unwrap();
    assert_ne!(told[second].0, *holder);
    assert!(!told[second..].iter().any(|(who, _)| who == holder), "{told:?}");
    let last = told[second].0;
    let commit = if last == "a" { "c1" } else { "c2" };
    let inventory = inventory(&fake);
    assert_eq!(inventory.revision.commit, commit);
    // Whoever came last, the cluster holds what it rendered and nothing else.
    let maps = fake.paths().iter().filter(|p| p.contains("configmaps/")).count();
    assert_eq!(maps, 3);
    assert!(
        fake.get(&format!(
            "/api/v1/namespaces/shop-dev/configmaps/{}",
            if last == "a" { "two" } else { "three" }
        ))
        .is_some()
    );
}

#[tokio::test]
async fn losing_the_turn_stops_the_work() {
    let fake = Fake::new();
    let lease = "/apis/coordination.k8s.io/v1/namespaces/shop-dev/leases/kiban-apply-orders-dev";
    fake.ready_at_once(false);
    let thief = {
        let fake = fake.clone();
        async move {
            while fake.get(DEPLOYMENT).is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            fake.edit(lease, |l| l["spec"]["holderIdentity"] = json!("thief"));
        }
    };
    let options = Options { timeout: Duration::from_secs(30), ..options() };
    let wanted = request("c1", shop());
    let never = Cancel::never();
    let ((result, _), ()) = tokio::join!(run_with(&fake, &wanted, &options, &never), thief);
    let error = result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "lost the lease shop-dev/kiban-apply-orders-dev: thief has it now; applying again goes on from here"
    );
    assert_eq!(error.report().unwrap().count(|o| *o == Outcome::Created), 4);
    assert_eq!(fake.get(lease).unwrap()["spec"]["holderIdentity"], "thief", "it is not taken from the thief");
}

#[tokio::test]
async fn one_who_waits_too_long_is_told_for_whom() {
    let fake = Fake::new();
    let lease = |holder: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "kiban-apply-orders-dev", "namespace": "shop-dev"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": "2020-01-01T00:00:00.000000Z"}})
    };
    fake.put(lease("bob@desk"));
    let options = Options { turn_timeout: Duration::from_millis(30), ..options() };
    let (result, events) = run_with(&fake, &request("c1", shop()), &options, &Cancel::never()).await;
    let text = result.unwrap_err().to_string();
    assert!(text.starts_with("bob@desk holds the lease shop-dev/kiban-apply-orders-dev"), "{text}");
    let waited = |e: &Event| matches!(e, Event::WaitingForTurn { holder, until } if holder == "bob@desk" && until.secs() > 0);
    assert!(events.iter().any(waited), "{events:?}");
    assert_eq!(writes(&fake), Vec::<String>::new());
    // One that was given back is taken at once.
    fake.put(lease(""));
    assert!(run(&fake, "c1", shop()).await.unwrap().is_success());
}
