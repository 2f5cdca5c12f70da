//! Every way in which a pod's status, readiness and restarts are worded.

use serde_json::{Value, json};

use super::{ago, check, named};

/// A pod of `containers` containers with the given status.
fn pod(containers: usize, status: Value) -> Value {
    let containers: Vec<Value> = (0..containers).map(|n| json!({"name": format!("c{n}")})).collect();
    named("p", json!({"spec": {"containers": containers}, "status": status}))
}

/// A pod with the given init containers, one app container and a status.
fn pod_with_init(init: Value, status: Value) -> Value {
    named("p", json!({"spec": {"initContainers": init, "containers": [{"name": "app"}]}, "status": status}))
}

#[track_caller]
fn says(object: Value, ready: &str, status: &str, restarts: &str) {
    check("", "Pod", &object, json!({"Name": "p", "Ready": ready, "Status": status, "Restarts": restarts}));
}

fn running(ready: bool) -> Value {
    json!({"ready": ready, "state": {"running": {}}})
}

fn ended(reason: &str, code: i64) -> Value {
    json!({"state": {"terminated": {"reason": reason, "exitCode": code}}})
}

fn waiting(reason: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason}}})
}

fn ready_condition(status: &str) -> Value {
    json!([{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}])
}

#[test]
fn a_pod_without_containers_says_its_phase_or_its_reason() {
    says(pod(1, json!({"phase": "Pending"})), "0/1", "Pending", "0");
    says(pod(2, json!({"phase": "Failed", "reason": "Evicted"})), "0/2", "Evicted", "0");
    says(pod(1, json!({})), "0/1", "", "0");
    let gated = json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]);
    says(pod(1, json!({"phase": "Pending", "conditions": gated})), "0/1", "SchedulingGated", "0");
    let unschedulable = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
    says(pod(1, json!({"phase": "Pending", "conditions": unschedulable})), "0/1", "Pending", "0");
}

#[test]
fn containers_decide_the_status_word() {
    let cases: Vec<(Vec<Value>, &str, &str, &str)> = vec![
        (vec![running(true)], "True", "1/1", "Running"),
        (vec![running(false)], "False", "0/1", "Running"),
        (vec![waiting("ContainerCreating")], "False", "0/1", "ContainerCreating"),
        (vec![waiting("CrashLoopBackOff")], "False", "0/1", "CrashLoopBackOff"),
        (vec![waiting("ImagePullBackOff"), running(true)], "False", "1/2", "ImagePullBackOff"),
        // The first container has the last word.
        (vec![waiting("ErrImagePull"), waiting("CrashLoopBackOff")], "False", "0/2", "ErrImagePull"),
        (vec![running(true), waiting("CrashLoopBackOff")], "False", "1/2", "CrashLoopBackOff"),
        // A waiting state that gives no reason says nothing.
        (vec![waiting("")], "False", "0/1", "Running"),
        (vec![ended("OOMKilled", 137)], "False", "0/1", "OOMKilled"),
        (vec![ended("Error", 1)], "False", "0/1", "Error"),
        (vec![ended("", 3)], "False", "0/1", "ExitCode:3"),
        (vec![json!({"state": {"terminated": {"signal": 9, "exitCode": 137}}})], "False", "0/1", "Signal:9"),
        (vec![ended("Completed", 0)], "False", "0/1", "Completed"),
        // The condition lags behind: nothing runs any more.
        (vec![ended("Completed", 0)], "True", "0/1", "Completed"),
        // One is done, the pod as a whole still serves.
        (vec![ended("Completed", 0), running(true)], "True", "1/2", "Running"),
        (vec![ended("Completed", 0), running(true)], "False", "1/2", "NotReady"),
        (vec![ended("Completed", 0), running(false)], "False", "0/2", "Completed"),
        // One is done, another failed.
        (vec![ended("Completed", 0), ended("Error", 2)], "False", "0/2", "Error"),
        (vec![ended("Completed", 0), ended("Error", 2), running(true)], "False", "1/3", "Error"),
        (vec![ended("Completed", 0), ended("Error", 2), running(true)], "True", "1/3", "Running"),
        (vec![ended("Error", 2), ended("Completed", 0)], "False", "0/2", "Error"),
    ];
    for (statuses, ready_status, ready, status) in cases {
        let conditions = ready_condition(ready_status);
        let count = statuses.len();
        let object =
            pod(count, json!({"phase": "Running", "conditions": conditions, "containerStatuses": statuses}));
        says(object, ready, status, "0");
    }
}

#[test]
fn init_containers_hold_the_start_up() {
    let init = json!([{"name": "a"}, {"name": "b"}]);
    let cases = [
        (json!([{"name": "a", "state": {"running": {}}}]), "Init:0/2"),
        (json!([{"name": "a", "state": {"terminated": {"exitCode": 0}}}, {"name": "b"}]), "Init:1/2"),
        (
            json!([{"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
            "Init:CrashLoopBackOff",
        ),
        (
            json!([{"name": "a", "state": {"waiting": {"reason": "PodInitializing"}}}]),
            "Init:ContainerCreating",
        ),
        (json!([{"name": "a", "state": {"waiting": {}}}]), "Init:0/2"),
        (json!([{"name": "a", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]), "Init:Error"),
        (json!([{"name": "a", "state": {"terminated": {"exitCode": 7}}}]), "Init:ExitCode:7"),
        (json!([{"name": "a", "state": {"terminated": {"exitCode": 137, "signal": 9}}}]), "Init:Signal:9"),
    ];
    for (statuses, status) in cases {
        let object = pod_with_init(
            init.clone(),
            json!({
                "phase": "Pending",
                "conditions": [{"type": "Initialized", "status": "False"}],
                "initContainerStatuses": statuses,
                "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "PodInitializing"}}}],
            }),
        );
        says(object, "0/1", status, "0");
    }
}

#[test]
fn once_init_containers_are_done_the_containers_speak() {
    let done = json!([{"name": "a", "restartCount": 4, "state": {"terminated": {"exitCode": 0}}}]);
    let status = json!({
        "phase": "Pending",
        "initContainerStatuses": done,
        "containerStatuses": [waiting("PodInitializing")],
    });
    says(pod_with_init(json!([{"name": "a"}]), status), "0/1", "PodInitializing", "0");
    // An init container runs again, but the pod was initialised before: its restart does not count.
    let status = json!({
        "phase": "Running",
        "conditions": ready_condition("True"),
        "initContainerStatuses": [{"name": "a", "restartCount": 2, "state": {"running": {}}}],
        "containerStatuses": [running(true)],
    });
    says(pod_with_init(json!([{"name": "a"}]), status), "1/1", "Init:0/1", "0");
}

#[test]
fn sidecars_count_as_containers() {
    let init = json!([{"name": "mesh", "restartPolicy": "Always"}, {"name": "migrate"}]);
    let sidecar = |ready: bool| {
        json!({
            "name": "mesh", "ready": ready, "started": true, "restartCount": 2,
            "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": ago(600)}},
        })
    };
    let object = |init_statuses: Value, app: Value| {
        pod_with_init(
            init.clone(),
            json!({"phase": "Running", "initContainerStatuses": init_statuses, "containerStatuses": [app]}),
        )
    };
    let migrated = json!({"name": "migrate", "restartCount": 1, "state": {"terminated": {"exitCode": 0}}});
    says(object(json!([sidecar(true), migrated]), running(true)), "2/2", "Running", "2 (10m ago)");
    says(object(json!([sidecar(false), migrated]), running(true)), "1/2", "Running", "2 (10m ago)");
    // Not started yet: it holds the start up like any init container.
    let starting = json!({"name": "mesh", "started": false, "state": {"running": {}}});
    says(object(json!([starting]), waiting("PodInitializing")), "0/2", "Init:0/2", "0");
    // Started, and the next one at work.
    let migrating = json!({"name": "migrate", "state": {"running": {}}});
    says(
        object(json!([sidecar(true), migrating]), waiting("PodInitializing")),
        "1/2",
        "Init:1/2",
        "2 (10m ago)",
    );
}

#[test]
fn restarts_say_how_long_ago_the_last_one_was() {
    let restarted = |count: i64, finished: Option<String>| {
        json!({
            "ready": true, "restartCount": count, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": finished}},
        })
    };
    let cases = [
        (vec![restarted(0, None)], "0"),
        (vec![restarted(3, None)], "3"),
        (vec![restarted(3, Some(ago(300)))], "3 (5m ago)"),
        (vec![restarted(1, Some(ago(7200))), restarted(2, Some(ago(45)))], "3 (45s ago)"),
        // Never restarted, whatever the last state says.
        (vec![restarted(0, Some(ago(300)))], "0"),
    ];
    for (statuses, restarts) in cases {
        let count = statuses.len();
        let object = pod(count, json!({"phase": "Running", "containerStatuses": statuses}));
        says(object, &format!("{count}/{count}"), "Running", restarts);
    }
}

#[test]
fn a_pod_that_is_being_deleted_says_so_unless_it_has_ended() {
    let deleted = |phase: &str, reason: &str| {
        named(
            "p",
            json!({
                "metadata": {"deletionTimestamp": ago(3)},
                "spec": {"containers": [{}]},
                "status": {"phase": phase, "reason": reason, "containerStatuses": [running(true)]},
            }),
        )
    };
    says(deleted("Running", ""), "1/1", "Terminating", "0");
    says(deleted("Pending", ""), "1/1", "Terminating", "0");
    says(deleted("Running", "NodeLost"), "1/1", "Unknown", "0");
    says(deleted("Succeeded", ""), "1/1", "Succeeded", "0");
    says(deleted("Failed", "Evicted"), "1/1", "Evicted", "0");
}

#[test]
fn wide_columns_say_where_the_pod_is() {
    let bare = pod(1, json!({}));
    let none = json!({
        "IP": "<none>", "Node": "<none>", "Nominated Node": "<none>", "Readiness Gates": "<none>", "Age": "60m",
    });
    check("", "Pod", &bare, none);
    let object = named(
        "p",
        json!({
            "spec": {"nodeName": "n1", "readinessGates": [{"conditionType": "lb"}, {"conditionType": "dns"}]},
            "status": {
                "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}], "nominatedNodeName": "n2",
                "conditions": [{"type": "lb", "status": "True"}, {"type": "dns", "status": "False"}],
            },
        }),
    );
    check(
        "",
        "Pod",
        &object,
        json!({"IP": "10.0.0.7", "Node": "n1", "Nominated Node": "n2", "Readiness Gates": "1/2"}),
    );
    check("", "Pod", &pod(1, json!({"podIP": "10.0.0.9"})), json!({"IP": "10.0.0.9"}));
}
