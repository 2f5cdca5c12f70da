//! Turns: who holds the Lease, who waits, who takes over.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fake::{Fake, Fault, status};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/shop-dev/leases/turn";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn lease(holder: &str, renewed: i64) -> Value {
    json!({"spec": {"holderIdentity": holder, "renewTime": at(renewed).rfc3339_micro(), "leaseDurationSeconds": 15}})
}

#[test]
fn a_holder_is_gone_when_its_lease_stood_still_for_its_duration_as_seen_from_here() {
    let mut observer = Observer::default();
    let held = |until| Standing::Held { holder: "a".into(), until: at(until) };
    // The renew time lies far in the past or future: another machine's clock proves nothing.
    assert_eq!(observer.look(&lease("a", -9000), at(100)), held(115));
    assert_eq!(observer.look(&lease("a", -9000), at(114)), held(115));
    assert_eq!(observer.look(&lease("a", 9000), at(114)), held(129));
    assert_eq!(observer.look(&lease("a", 9000), at(129)), Standing::Free);
    // A new holder starts anew.
    assert_eq!(
        observer.look(&lease("b", 9000), at(129)),
        Standing::Held { holder: "b".into(), until: at(144) }
    );
}

#[test]
fn a_lease_without_a_holder_is_free_and_nonsense_is_survived() {
    let mut observer = Observer::default();
    assert_eq!(observer.look(&lease("", 0), at(1)), Standing::Free);
    assert_eq!(observer.look(&json!({}), at(1)), Standing::Free);
    assert_eq!(observer.look(&json!({"spec": 7}), at(1)), Standing::Free);
    let forever = json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": u64::MAX}});
    assert!(matches!(observer.look(&forever, at(1)), Standing::Held { until, .. } if until == at(3601)));
    let negative = json!({"spec": {"holderIdentity": "b", "leaseDurationSeconds": -1}});
    assert!(matches!(observer.look(&negative, at(1)), Standing::Held { until, .. } if until == at(16)));
}

fn request(holder: &str) -> LeaseRequest<'_> {
    LeaseRequest {
        namespace: "shop-dev",
        name: "turn",
        holder,
        times: LeaseTimes {
            duration: Duration::from_secs(1),
            renew: Duration::from_millis(5),
            look: Duration::from_millis(2),
        },
        patience: Duration::from_secs(10),
    }
}

#[tokio::test]
async fn a_dead_holders_lease_is_taken_over_and_counted() {
    let fake = Fake::new();
    let cluster = fake.cluster();
    let first = Lease::acquire(&cluster, &request("a"), &|_, _| {}).await.unwrap();
    assert!(!first.waited());
    drop(first);
    let told = std::sync::Mutex::new(Vec::new());
    let second =
        Lease::acquire(&cluster, &request("b"), &|who, _| told.lock().unwrap().push(who.to_string()))
            .await
            .unwrap();
    assert!(second.waited());
    assert_eq!(*told.lock().unwrap(), ["a"]);
    let spec = fake.get(PATH).unwrap()["spec"].clone();
    assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("b"), &json!(1)));
    second.release().await;
    assert_eq!(fake.get(PATH), None);
}

#[tokio::test]
async fn lost_answers_to_our_own_writes_are_recognised() {
    let fake = Fake::new();
    let cluster = fake.cluster();
    fake.fault(&["POST", "leases"], 1, Fault::DropAfter);
    let mut lease = Lease::acquire(&cluster, &request("a"), &|_, _| {}).await.unwrap();
    assert!(!lease.waited());
    fake.fault(&["PUT", "leases"], 1, Fault::DropAfter);
    lease.renew().await.unwrap();
    lease.renew().await.unwrap();
    // A renewal that went through behind our back does not keep the lease from being given back.
    fake.edit(PATH, |l| l["spec"]["renewTime"] = json!("2026-01-01T00:00:00.000000Z"));
    lease.release().await;
    assert_eq!(fake.get(PATH), None);
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_given_up_before_it_runs_out() {
    let fake = Fake::new();
    let cluster = fake.cluster();
    let mut lease = Lease::acquire(&cluster, &request("a"), &|_, _| {}).await.unwrap();
    let taken = cluster.clock().now();
    let (_, busy) = status(503, "ServiceUnavailable", "etcd is down");
    fake.fault(&["PUT"], 100_000, Fault::Refuse(503, busy, None));
    let error = lease.keep().await.to_string();
    assert_eq!(error, "lost the lease shop-dev/turn: it could not be renewed in time");
    assert!(cluster.clock().now().since(taken) < Duration::from_secs(1), "the margin is kept");
}

#[tokio::test]
async fn a_lease_that_another_took_or_deleted_is_lost_at_once() {
    let fake = Fake::new();
    let cluster = fake.cluster();
    let mut lease = Lease::acquire(&cluster, &request("a"), &|_, _| {}).await.unwrap();
    fake.edit(PATH, |l| l["spec"]["holderIdentity"] = json!("b"));
    assert_eq!(lease.keep().await.to_string(), "lost the lease shop-dev/turn: b has it now");
    fake.remove(PATH);
    let mut lease = Lease::acquire(&cluster, &request("a"), &|_, _| {}).await.unwrap();
    fake.remove(PATH);
    assert_eq!(lease.keep().await.to_string(), "lost the lease shop-dev/turn: it was deleted");
}

#[tokio::test]
async fn of_many_who_want_it_one_has_it_at_a_time() {
    let fake = Fake::new();
    let held = std::sync::atomic::AtomicUsize::new(0);
    let one = |n: usize| {
        let (cluster, held) = (fake.cluster(), &held);
        async move {
            let holder = format!("h{n}");
            let lease = Lease::acquire(&cluster, &request(&holder), &|_, _| {}).await.unwrap();
            assert_eq!(held.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
            tokio::time::sleep(Duration::from_millis(3)).await;
            held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            lease.release().await;
        }
    };
    futures_util::future::join_all((0..10).map(one)).await;
    assert_eq!(fake.get(PATH), None);
}

#[tokio::test]
async fn a_refusal_is_told_with_the_leases_name() {
    let fake = Fake::new();
    let (_, refusal) = status(403, "Forbidden", "leases is forbidden");
    fake.fault(&["leases"], 1, Fault::Refuse(403, refusal, None));
    let error = Lease::acquire(&fake.cluster(), &request("a"), &|_, _| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "lease shop-dev/turn: Forbidden: leases is forbidden");
}
