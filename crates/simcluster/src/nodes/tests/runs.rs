//! Runs of containers: restarts, ends, order, probes.
#![allow(clippy::unwrap_used)]

use super::*;

fn container(pod: &Value) -> Value {
    pod["status"]["containerStatuses"][0].clone()
}

#[test]
fn a_crash_loop_backs_off_longer_each_time() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/crash-loop": "2s", "sim.kiban.dev/exit-code": "3"}), app());
    // First run, restarted at once; the second waits 10 s, the third 20 s, and so on up to 5 min.
    let looping = |sim: &Sim| container(&sim.p())["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    for _ in 0..30 {
        if !looping(&sim) {
            sim.secs(1);
        }
    }
    assert!(looping(&sim));
    let one = container(&sim.p());
    let uid = sim.p()["metadata"]["uid"].as_str().unwrap().to_owned();
    let text = format!("back-off 10s restarting failed container=app pod=p_default({uid})");
    assert_eq!(one["state"]["waiting"]["message"], text);
    assert_eq!(one["restartCount"], 1);
    let last = &one["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(3), &json!("Error")));
    assert_eq!(sim.p()["status"]["phase"], "Running");
    assert_eq!(condition(&sim.p(), "Ready"), "False");
    sim.secs(3_600);
    let later = container(&sim.p());
    let restarts = later["restartCount"].as_i64().unwrap();
    assert!((14..=18).contains(&restarts), "{restarts}");
    let text = format!("Back-off restarting failed container app in pod p_default({uid})");
    assert_eq!(sim.messages("BackOff"), [text]);
}

#[test]
fn one_look_after_an_hour_ends_where_many_looks_do() {
    let end = |many: bool| {
        let mut sim = Sim::realistic();
        sim.pod(json!({"sim.kiban.dev/crash-loop": "2s"}), app());
        if many {
            sim.secs(3_000);
        } else {
            sim.clock.advance(Duration::from_secs(3_000));
            sim.settle();
            sim.settle();
        }
        container(&sim.p())
    };
    assert_eq!(end(true), end(false));
}

#[test]
fn a_run_that_lasts_long_starts_the_back_off_anew() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/run-for": "15m"}), app());
    sim.secs(4 * 900 + 30);
    let one = container(&sim.p());
    assert_eq!(one["restartCount"], 4);
    assert_eq!(one["lastState"]["terminated"]["reason"], "Completed");
    assert_eq!(sim.messages("BackOff"), Vec::<String>::new());
}

#[test]
fn running_out_of_memory_is_told_as_the_kernel_does() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/oom-after": "1m"}), app());
    sim.secs(70);
    let last = container(&sim.p())["lastState"]["terminated"].clone();
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(137), &json!("OOMKilled")));
}

#[test]
fn pods_that_run_to_their_end() {
    // annotations, restart policy, command, owner kind → phase after two minutes, restarts at least
    let table = [
        (json!({}), "Never", json!(["sh", "-c", "sleep 5; exit 0"]), "", "Succeeded", 0),
        (json!({}), "Never", json!(["sh", "-c", "sleep 5; exit 7"]), "", "Failed", 0),
        (json!({}), "OnFailure", json!(["false"]), "", "Running", 2),
        (json!({}), "OnFailure", json!(["true"]), "", "Succeeded", 0),
        (json!({}), "Always", json!(["sleep", "10"]), "", "Running", 2),
        (json!({}), "Always", json!(["my-server"]), "", "Running", 0),
        (json!({}), "Never", json!(["curl", "web"]), "", "Succeeded", 0),
        (json!({}), "Never", json!(null), "", "Running", 0),
        (json!({}), "Never", json!(null), "Job", "Succeeded", 0),
        (json!({"sim.kiban.dev/exit-code": "2"}), "Never", json!(["orders", "cleanup"]), "Job", "Failed", 0),
        (json!({"sim.kiban.dev/run-for": "10m"}), "Never", json!(null), "Job", "Running", 0),
    ];
    for (notes, policy, command, owner, phase, restarts) in table {
        let mut sim = Sim::realistic();
        let mut pod = json!({"metadata": {"name": "p", "annotations": notes}, "spec": app()});
        pod["spec"]["restartPolicy"] = policy.into();
        if command.is_array() {
            pod["spec"]["containers"][0]["command"] = command.clone();
        }
        if !owner.is_empty() {
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": owner, "name": "j", "uid": "u", "controller": true}]);
        }
        sim.create(*POD, pod);
        sim.secs(120);
        let pod = sim.p();
        let row = format!("{policy} {command} {owner}");
        assert_eq!(pod["status"]["phase"], phase, "{row}");
        let count = container(&pod)["restartCount"].as_i64().unwrap();
        assert!(count >= restarts, "{row}: {count}");
        if phase == "Succeeded" {
            let ready = pod["status"]["conditions"]
                .as_array()
                .unwrap()
                .iter()
                .find(|c| c["type"] == "Ready")
                .unwrap();
            assert_eq!(
                (&ready["status"], &ready["reason"]),
                (&json!("False"), &json!("PodCompleted")),
                "{row}"
            );
        }
    }
}

#[test]
fn init_containers_run_in_order_and_sidecars_stay() {
    let mut sim = Sim::realistic();
    let spec = with(|s| {
        s["initContainers"] = json!([
            {"name": "first", "image": "i", "command": ["sleep", "10"]},
            {"name": "side", "image": "i", "restartPolicy": "Always"},
            {"name": "last", "image": "i", "command": ["sleep", "10"]},
        ]);
    });
    sim.pod(json!({}), spec);
    sim.secs(8);
    let pod = sim.p();
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(container(&pod)["state"]["waiting"]["reason"], "PodInitializing");
    assert!(pod["status"]["initContainerStatuses"][0]["state"]["running"].is_object());
    assert!(pod["status"]["initContainerStatuses"][1]["state"]["waiting"].is_object());
    let initialized =
        pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Initialized").unwrap();
    assert_eq!(initialized["message"], "containers with incomplete status: [first side last]");
    sim.secs(40);
    let pod = sim.p();
    assert_eq!(condition(&pod, "Ready"), "True", "{:#}", pod["status"]);
    let init = &pod["status"]["initContainerStatuses"];
    assert_eq!(init[0]["state"]["terminated"]["reason"], "Completed");
    assert!(init[1]["state"]["running"].is_object());
    assert_eq!(init[2]["ready"], true);
}

#[test]
fn a_failing_init_container_fails_the_pod_or_runs_again() {
    for (policy, phase, reason) in [("Never", "Failed", "Error"), ("Always", "Pending", "CrashLoopBackOff")] {
        let mut sim = Sim::realistic();
        let spec = with(|s| {
            s["restartPolicy"] = policy.into();
            s["initContainers"] = json!([{"name": "init", "image": "i", "command": ["false"]}]);
        });
        sim.pod(json!({}), spec);
        sim.secs(60);
        let pod = sim.p();
        assert_eq!(pod["status"]["phase"], phase, "{policy}");
        let state = &pod["status"]["initContainerStatuses"][0]["state"];
        let told = state["terminated"]["reason"].as_str().or_else(|| state["waiting"]["reason"].as_str());
        assert_eq!(told, Some(reason), "{policy}");
    }
}

#[test]
fn a_job_with_a_sidecar_ends_when_its_work_does() {
    let mut sim = Sim::realistic();
    let spec = with(|s| {
        s["restartPolicy"] = "Never".into();
        s["containers"][0]["command"] = json!(["sleep", "5"]);
        s["initContainers"] = json!([{"name": "side", "image": "i", "restartPolicy": "Always"}]);
    });
    sim.pod(json!({}), spec);
    sim.secs(60);
    assert_eq!(sim.p()["status"]["phase"], "Succeeded");
    assert_eq!(sim.messages("Killing"), ["Stopping container side"]);
}

#[test]
fn a_slow_start_fails_probes_until_it_is_over() {
    let mut sim = Sim::realistic();
    let spec = with(|s| {
        s["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
        s["containers"][0]["startupProbe"] =
            json!({"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 5, "failureThreshold": 12});
        s["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 8080}, "initialDelaySeconds": 3});
        s["containers"][0]["livenessProbe"] = json!({"httpGet": {"path": "/live", "port": "http"}});
    });
    sim.pod(json!({"sim.kiban.dev/slow-start": "40s"}), spec);
    sim.secs(30);
    let pod = sim.p();
    assert_eq!((&container(&pod)["started"], &container(&pod)["ready"]), (&json!(false), &json!(false)));
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let text = format!(
        "Startup probe failed: Get \"http://{ip}:8080/live\": dial tcp {ip}:8080: connect: connection refused"
    );
    assert_eq!(sim.messages("Unhealthy"), [text]);
    sim.secs(40);
    assert_eq!(condition(&sim.p(), "Ready"), "True");
    assert_eq!(container(&sim.p())["restartCount"], 0);
}

#[test]
fn a_liveness_probe_restarts_what_is_too_slow() {
    let mut sim = Sim::realistic();
    let spec = with(|s| {
        s["containers"][0]["livenessProbe"] = json!({"exec": {"command": ["x"]}, "periodSeconds": 5})
    });
    sim.pod(json!({"sim.kiban.dev/slow-start": "2m"}), spec);
    sim.secs(40);
    assert!(container(&sim.p())["restartCount"].as_i64().unwrap() >= 1);
    assert_eq!(sim.messages("Killing"), ["Container app failed liveness probe, will be restarted"]);
    assert_eq!(sim.messages("Unhealthy"), ["Liveness probe failed: "]);
}

#[test]
fn an_unready_pod_is_ready_when_the_annotation_goes() {
    for fast in [false, true] {
        let mut sim = Sim::new(fast, 1, Vec::new());
        let spec = with(|s| s["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 80}}));
        sim.pod(json!({"sim.kiban.dev/unready": "true"}), spec);
        sim.secs(60);
        assert_eq!(condition(&sim.p(), "Ready"), "False");
        assert_eq!(
            sim.messages("Unhealthy"),
            ["Readiness probe failed: HTTP probe failed with statuscode: 503"]
        );
        let note = |sim: &mut Sim, value: Value| {
            sim.cluster
                .modify(*POD, &Key::new("default", "p"), Part::Main, &Actor::new("test"), |p| {
                    p["metadata"]["annotations"] = value.clone();
                })
                .unwrap();
            sim.secs(11);
        };
        note(&mut sim, json!({}));
        assert_eq!(condition(&sim.p(), "Ready"), "True", "fast: {fast}");
        note(&mut sim, json!({"sim.kiban.dev/unready": "true"}));
        assert_eq!(condition(&sim.p(), "Ready"), "False", "fast: {fast}");
    }
}

#[test]
fn readiness_gates_wait_for_their_condition() {
    let mut sim = Sim::realistic();
    let spec = with(|s| s["readinessGates"] = json!([{"conditionType": "lb/ready"}]));
    sim.pod(json!({}), spec);
    sim.secs(10);
    assert_eq!(
        (condition(&sim.p(), "Ready"), condition(&sim.p(), "ContainersReady")),
        ("False".into(), "True".into())
    );
    sim.cluster
        .modify(*POD, &Key::new("default", "p"), Part::Status, &Actor::new("lb"), |p| {
            let all = p["status"]["conditions"].as_array_mut().unwrap();
            all.push(json!({"type": "lb/ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}));
        })
        .unwrap();
    sim.settle();
    assert_eq!(condition(&sim.p(), "Ready"), "True");
}

#[test]
fn containers_that_are_added_for_debugging_run() {
    let mut sim = Sim::realistic();
    sim.pod(json!({}), app());
    sim.secs(10);
    sim.cluster
        .modify(*POD, &Key::new("default", "p"), Part::Sub("ephemeralcontainers"), &Actor::new("test"), |p| {
            p["spec"]["ephemeralContainers"] = json!([{
                "name": "debug", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }]);
        })
        .unwrap();
    sim.secs(10);
    let pod = sim.p();
    assert!(
        pod["status"]["ephemeralContainerStatuses"][0]["state"]["running"].is_object(),
        "{:#}",
        pod["status"]
    );
    assert_eq!(condition(&pod, "Ready"), "True");
}

#[test]
fn annotations_that_make_no_sense_are_told_once() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/run-for": "soon"}), app());
    sim.secs(60);
    assert_eq!(sim.p()["status"]["phase"], "Running");
    assert_eq!(
        sim.messages("InvalidAnnotation"),
        ["annotation sim.kiban.dev/run-for: \"soon\" is not a duration"]
    );
}
