//! Pods that are deleted, or run out of time.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_deleted_pod_ends_within_its_grace() {
    let mut sim = Sim::realistic();
    let spec =
        with(|s| s["containers"][0]["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", "5"]}}}));
    sim.pod(json!({}), spec);
    sim.secs(10);
    sim.delete(None);
    sim.secs(4);
    assert!(state(&sim.p())["running"].is_object(), "the hook sleeps");
    sim.secs(6);
    assert_eq!(sim.p(), Value::Null);
    assert_eq!(sim.messages("Killing"), ["Stopping container app"]);
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_at_the_end_of_its_grace() {
    let mut sim = Sim::realistic();
    // A finalizer keeps the pod, so that its last status can be read.
    let notes = json!({"sim.kiban.dev/stop-for": "10m"});
    let spec = with(|s| s["terminationGracePeriodSeconds"] = 20.into());
    sim.create(
        *POD,
        json!({"metadata": {"name": "p", "annotations": notes, "finalizers": ["x/y"]}, "spec": spec}),
    );
    sim.secs(10);
    sim.delete(None);
    sim.secs(19);
    assert!(state(&sim.p())["running"].is_object());
    sim.secs(3);
    let pod = sim.p();
    assert_eq!(state(&pod)["terminated"]["exitCode"], 137);
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(condition(&pod, "Ready"), "False");
}

#[test]
fn grace_can_be_shortened_and_force_is_at_once() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/stop-for": "10m"}), app());
    sim.secs(10);
    sim.delete(None);
    sim.secs(5);
    sim.delete(Some(2));
    sim.secs(4);
    assert_eq!(sim.p(), Value::Null);

    sim.pod(json!({}), app());
    sim.secs(10);
    sim.delete(Some(0));
    assert_eq!(sim.p(), Value::Null);
    // Its successor of the same name is a pod of its own.
    sim.pod(json!({}), app());
    sim.secs(10);
    assert_eq!(sim.p()["status"]["phase"], "Running");
}

#[test]
fn a_pod_that_never_started_is_gone_soon() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/image-missing": "true"}), app());
    sim.secs(60);
    sim.delete(None);
    sim.secs(2);
    assert_eq!(sim.p(), Value::Null);
    assert_eq!(sim.messages("Killing"), Vec::<String>::new());
}

#[test]
fn sidecars_stop_after_the_others_the_last_first() {
    let mut sim = Sim::realistic();
    let side = |name: &str| json!({"name": name, "image": "side", "restartPolicy": "Always"});
    let spec = with(|s| s["initContainers"] = json!([side("one"), side("two")]));
    sim.create(*POD, json!({"metadata": {"name": "p", "finalizers": ["x/y"]}, "spec": spec}));
    sim.secs(20);
    assert_eq!(condition(&sim.p(), "Ready"), "True");
    sim.delete(None);
    sim.secs(20);
    let pod = sim.p();
    let end = |status: &Value| {
        Timestamp::parse(status["state"]["terminated"]["finishedAt"].as_str().unwrap()).unwrap()
    };
    let init = &pod["status"]["initContainerStatuses"];
    let order = [end(&pod["status"]["containerStatuses"][0]), end(&init[1]), end(&init[0])];
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(pod["status"]["phase"], "Succeeded", "all ended well");
}

#[test]
fn a_pod_that_runs_longer_than_it_may_fails() {
    let mut sim = Sim::realistic();
    let spec = with(|s| {
        s["activeDeadlineSeconds"] = 30.into();
        s["restartPolicy"] = "Never".into();
    });
    sim.pod(json!({}), spec);
    sim.secs(29);
    assert_eq!(sim.p()["status"]["phase"], "Running");
    sim.secs(5);
    let pod = sim.p();
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["reason"]),
        (&json!("Failed"), &json!("DeadlineExceeded"))
    );
    assert_eq!(condition(&pod, "Ready"), "False");
    sim.secs(600);
    assert_eq!(sim.p(), pod, "that was its last word");
}

#[test]
fn fast_mode_ends_in_milliseconds_whatever_a_pod_asks_for() {
    let mut sim = Sim::fast();
    let spec = with(|s| {
        s["terminationGracePeriodSeconds"] = 3_600.into();
        s["containers"][0]["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", "900"]}}});
    });
    sim.pod(json!({"sim.kiban.dev/stop-for": "30m"}), spec);
    assert_eq!(condition(&sim.p(), "Ready"), "True");
    sim.delete(None);
    sim.run(Duration::from_millis(200));
    assert_eq!(sim.p(), Value::Null);
}

#[test]
fn work_that_is_cut_short_has_failed_and_a_server_has_not() {
    for (policy, exit, phase) in
        [("Never", 143, "Failed"), ("OnFailure", 143, "Failed"), ("Always", 0, "Succeeded")]
    {
        let mut sim = Sim::realistic();
        let spec = with(|s| s["restartPolicy"] = policy.into());
        let notes = json!({"sim.kiban.dev/run-for": "1h"});
        sim.create(
            *POD,
            json!({"metadata": {"name": "p", "annotations": notes, "finalizers": ["x/y"]}, "spec": spec}),
        );
        sim.secs(10);
        sim.delete(None);
        sim.secs(5);
        let pod = sim.p();
        assert_eq!(state(&pod)["terminated"]["exitCode"], exit, "{policy}");
        assert_eq!(pod["status"]["phase"], phase, "{policy}");
    }
}
