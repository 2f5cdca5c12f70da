//! Rollouts: what is tried out when, and what is said while they do not get ready.

use std::sync::Mutex;

use kiban_kube::apply::{Event, Outcome};
use kiban_kube::diagnose::Cause;
use kiban_kube::drift::{Digest, drift};

use super::*;

fn brief() -> Options {
    Options { timeout: Duration::from_secs(8), ..Options::default() }
}

#[test]
fn what_stands_in_the_way_is_told_while_it_is_waited_for() {
    let sim = Sim::start(2);
    let cluster = connect(&sim);
    for (commit, annotations, cause, words) in [
        ("c1", json!({"sim.kiban.dev/image-missing": "true"}), Cause::ImagePull, "r/orders:1"),
        (
            "c2",
            json!({"sim.kiban.dev/crash-loop": "1s", "sim.kiban.dev/exit-code": "3"}),
            Cause::CrashLoop,
            "exit code 3",
        ),
        ("c3", json!({"sim.kiban.dev/unready": "true"}), Cause::Readiness, "Readiness probe failed"),
    ] {
        let mut app = deployment(json!({"app": "orders"}), annotations);
        app["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] =
            json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1});
        // What crashes after a moment is never available in between.
        app["spec"]["minReadySeconds"] = json!(30);
        let events = Mutex::new(Vec::new());
        let sink = |event: Event| events.lock().unwrap().push(event);
        let wanted = request(commit, vec![namespace(), app]);
        let report = sim.block_on(apply(&cluster, &wanted, &brief(), &Cancel::never(), &sink)).unwrap();
        assert!(!report.is_success(), "{commit}");
        let findings: Vec<_> = report.findings.values().flatten().collect();
        let found = findings.iter().find(|f| f.cause == cause);
        let found = found.unwrap_or_else(|| panic!("{commit}: {cause:?} is not among {findings:?}"));
        assert!(found.to_string().contains(words), "{commit}: {found}");
        let told = events.lock().unwrap().iter().any(|e| matches!(e, Event::Blocked { .. }));
        assert!(told, "{commit}");
        if cause == Cause::CrashLoop {
            assert!(found.log.is_some(), "{found:?}");
        }
    }
    // It gets well without a word from before in its way.
    let well = request("c4", vec![namespace(), deployment(json!({"app": "orders"}), json!({}))]);
    let report = put(&sim, &cluster, &well, &patient()).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn what_could_not_be_tried_out_before_is_tried_out_before_any_of_it_is_written() {
    let sim = Sim::start(1);
    let cluster = connect(&sim);
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name), "data": {"a": "1"}});
    let events = Mutex::new(Vec::new());
    let sink = |event: Event| events.lock().unwrap().push(event);
    let wanted = request("c1", vec![namespace(), map("a"), map("b")]);
    let report = sim.block_on(apply(&cluster, &wanted, &patient(), &Cancel::never(), &sink)).unwrap();
    assert!(report.is_success(), "{report:?}");
    let deferred = events.lock().unwrap().iter().filter(|e| matches!(e, Event::Deferred { .. })).count();
    assert_eq!(deferred, 2);
    assert_eq!(report.count(|o| *o == Outcome::Created), 3);
}

#[test]
fn drift_is_seen_by_digest_and_named_by_field_and_owner() {
    let sim = Sim::start(2);
    let Some(kubectl) = sim.kubectl("drift_is_seen_by_digest_and_named_by_field_and_owner") else { return };
    let cluster = connect(&sim);
    let wanted = request("c1", vec![namespace(), deployment(json!({"app": "orders"}), json!({}))]);
    assert!(put(&sim, &cluster, &wanted, &patient()).unwrap().is_success());
    let live = || all(&sim, &cluster, "apps", "Deployment")["orders"].clone();
    let digest = Digest::of(&live());
    kubectl.run(&format!("annotate deployment orders -n {NAMESPACE} note=theirs")).ok();
    assert_eq!(Digest::of(&live()), digest, "what is not ours is no drift");
    kubectl.run(&format!("set image deployment/orders -n {NAMESPACE} c=r/orders:evil")).ok();
    assert_ne!(Digest::of(&live()), digest);
    let forced = Options { force_conflicts: true, ..patient() };
    let plan = sim.block_on(kiban_kube::plan::plan(&cluster, &wanted, &forced, &|_| {})).unwrap();
    let item = plan.items.iter().find(|i| i.id.kind == "Deployment").unwrap();
    let found = drift(item.live.as_ref().unwrap(), item.would_be.as_ref().unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, ".spec.template.spec.containers[name=\"c\"].image");
    assert_eq!(
        (found[0].ours.clone(), found[0].theirs.clone()),
        (Some(json!("r/orders:1")), Some(json!("r/orders:evil")))
    );
    assert_eq!(found[0].owner.as_deref(), Some("kubectl-set"));
    // Healed.
    assert!(put(&sim, &cluster, &wanted, &forced).unwrap().is_success());
    assert_eq!(Digest::of(&live()), digest);
}

#[test]
fn a_migration_that_fails_says_why_and_stops_the_app() {
    let sim = Sim::start(2);
    let cluster = connect(&sim);
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("migrate"),
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "m", "image": "r/orders:1", "command": ["sh", "-c", "exit 3"]}]}}}});
    job["metadata"]["annotations"] = json!({"kiban.dev/migration": "true"});
    let objects = vec![namespace(), job.clone(), deployment(json!({"app": "orders"}), json!({}))];
    let report = put(&sim, &cluster, &request("c1", objects.clone()), &patient()).unwrap();
    let failed: Vec<String> = report
        .outcomes
        .values()
        .filter(|o| matches!(o, Outcome::Failed(_)))
        .map(ToString::to_string)
        .collect();
    assert_eq!(failed.len(), 1, "{report:?}");
    assert!(failed[0].contains("the migration failed: BackoffLimitExceeded"), "{failed:?}");
    assert!(failed[0].contains("exit code 3"), "{failed:?}");
    assert!(all(&sim, &cluster, "apps", "Deployment").is_empty());
    // Mended by a new image, which has its Job replaced.
    let mut mended = objects;
    mended[1]["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "m", "image": "r/orders:2", "command": ["sh", "-c", "sleep 1"]}]);
    let report = put(&sim, &cluster, &request("c2", mended.clone()), &patient()).unwrap();
    assert!(report.is_success(), "{report:?}");
    let revision = revisions(&sim, &cluster, "batch", "Job");
    assert!(put(&sim, &cluster, &request("c3", mended), &patient()).unwrap().is_success());
    assert_eq!(revisions(&sim, &cluster, "batch", "Job"), revision, "it ran once");
}
