//! Situations, and what is said of them.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

/// A Deployment of two, its new ReplicaSet and one pod of it, to be bent into each situation.
struct Case {
    workload: Value,
    revisions: Vec<Value>,
    pods: Vec<Value>,
    events: Vec<Value>,
    claims: Vec<Value>,
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "o"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn set(name: &str, image: &str) -> Value {
    let mut template = template(image);
    template["metadata"]["labels"]["pod-template-hash"] = json!(name);
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": "n", "uid": name,
        "ownerReferences": [{"uid": "d", "controller": true}]}, "spec": {"replicas": 2, "template": template}, "status": {"replicas": 2}})
}

fn pod(name: &str, owner: &str, status: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": name,
        "ownerReferences": [{"uid": owner, "controller": true}]}, "spec": {"containers": [{"name": "c", "image": "r/o:2"}]}, "status": status})
}

/// A pod's status with one container in this state.
fn state(state: Value, restarts: u64, last: Value) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "c", "image": "r/o:2", "ready": false, "restartCount": restarts, "state": state, "lastState": last}]})
}

fn waiting(reason: &str, message: &str) -> Value {
    state(json!({"waiting": {"reason": reason, "message": message}}), 0, json!({}))
}

fn ended(code: i64, reason: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason}})
}

fn event(about: &str, kind: &str, reason: &str, message: &str, second: i64) -> Value {
    json!({"involvedObject": {"kind": kind, "name": about}, "type": if reason == "Killing" || reason == "TriggeredScaleUp" { "Normal" } else { "Warning" },
        "reason": reason, "message": message, "lastTimestamp": Timestamp::from_secs(second).rfc3339()})
}

fn unscheduled(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

impl Case {
    fn new(status: Value) -> Self {
        let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "o", "namespace": "n", "uid": "d", "generation": 2},
            "spec": {"replicas": 2, "template": template("r/o:2")}, "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2}});
        let pods = vec![pod("o-new", "new", status)];
        Self {
            workload,
            revisions: vec![set("old", "r/o:1"), set("new", "r/o:2")],
            pods,
            events: vec![],
            claims: vec![],
        }
    }

    fn event(mut self, reason: &str, message: &str) -> Self {
        let second = i64::try_from(self.events.len()).unwrap();
        self.events.push(event("o-new", "Pod", reason, message, second));
        self
    }

    fn on(mut self, path: &str, value: Value) -> Self {
        *self.workload.pointer_mut(path).unwrap() = value;
        self
    }

    fn condition(mut self, kind: &str, status: &str, reason: &str, message: &str) -> Self {
        self.workload["status"]["conditions"] =
            json!([{"type": kind, "status": status, "reason": reason, "message": message}]);
        self
    }

    fn with_pod(mut self, pod: Value) -> Self {
        self.pods = vec![pod];
        self
    }

    fn diagnosis(&self) -> Diagnosis {
        diagnose(&Evidence {
            workload: &self.workload,
            revisions: &self.revisions,
            pods: &self.pods,
            events: &self.events,
            claims: &self.claims,
            now: Timestamp::from_secs(100),
        })
    }
}

fn claim(phase: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "n", "uid": "data"}, "status": {"phase": phase}})
}

fn with_claim(status: Value) -> Value {
    let mut pod = pod("o-new", "new", status);
    pod["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    pod
}

fn running(ready: bool, started: bool, restarts: u64, last: Value) -> Value {
    let mut status = state(json!({"running": {}}), restarts, last);
    status["containerStatuses"][0]["ready"] = json!(ready);
    status["containerStatuses"][0]["started"] = json!(started);
    status["conditions"][1]["status"] = json!(if ready { "True" } else { "False" });
    status
}

/// What the first finding must be: gravity, cause, words of its line.
type Expected = Option<(Gravity, Cause, &'static str)>;

#[test]
fn each_situation_is_told_by_its_cause() {
    use Gravity::{Slow, Stuck};
    let pull = |words: &str| {
        waiting("ImagePullBackOff", &format!("Back-off pulling image \"r/o:2\": ErrImagePull: {words}"))
    };
    let quota =
        "pods \"o-x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5";
    let full = "0/3 nodes are available: 3 Insufficient cpu.";
    let crash = |n: u64, last: Value| {
        state(json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}), n, last)
    };
    let mut init = waiting("PodInitializing", "");
    init["initContainerStatuses"] = json!([{"name": "wait", "ready": false, "state": {"running": {}}}]);
    let mut bad_init = waiting("PodInitializing", "");
    bad_init["initContainerStatuses"] = json!([{"name": "migrate", "restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(2, "Error")}]);
    let overfull = json!({"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume \"tmp\" exceeds the limit \"1Gi\". "});
    let table: Vec<(&str, Case, Expected)> = vec![
        (
            "a tag that is not there",
            Case::new(pull("rpc error: code = NotFound: r/o:2: not found")),
            Some((Stuck, Cause::ImagePull, "r/o:2: not found")),
        ),
        (
            "a registry that wants a login",
            Case::new(pull("pull access denied, authorization failed")),
            Some((Stuck, Cause::ImagePull, "denied")),
        ),
        (
            "a registry that is away for a while",
            Case::new(pull("dial tcp 10.0.0.1:443: i/o timeout")),
            Some((Slow, Cause::ImagePull, "i/o timeout")),
        ),
        (
            "a wrong platform",
            Case::new(pull("no match for platform in manifest: not found")),
            Some((Stuck, Cause::ImagePull, "no match for platform")),
        ),
        (
            "an older kubelet says why in an Event alone",
            Case::new(waiting("ImagePullBackOff", "Back-off pulling image \"r/o:2\""))
                .event("Failed", "Failed to pull image \"r/o:2\": manifest unknown")
                .event("Failed", "Error: ErrImagePull"),
            Some((Stuck, Cause::ImagePull, "manifest unknown")),
        ),
        (
            "an image name that is none",
            Case::new(waiting("InvalidImageName", "couldn't parse image name \"r/O:2\"")),
            Some((Stuck, Cause::ImageName, "r/O:2")),
        ),
        (
            "a crash loop",
            Case::new(crash(4, ended(1, "Error"))),
            Some((Stuck, Cause::CrashLoop, "exit code 1, restarted 4 times")),
        ),
        (
            "a first crash",
            Case::new(crash(1, ended(1, "Error"))),
            Some((Slow, Cause::CrashLoop, "restarted once")),
        ),
        (
            "a crash by a signal",
            Case::new(crash(3, ended(139, "Error"))),
            Some((Stuck, Cause::CrashLoop, "exit code 139 (SIGSEGV)")),
        ),
        (
            "memory",
            Case::new(crash(3, ended(137, "OOMKilled"))),
            Some((Stuck, Cause::OutOfMemory, "OOMKilled")),
        ),
        (
            "a loop that a liveness probe keeps going",
            Case::new(crash(3, ended(143, "Error")))
                .event("Killing", "Container c failed liveness probe, will be restarted"),
            Some((Stuck, Cause::Liveness, "failed liveness probe")),
        ),
        (
            "between two crashes",
            Case::new(running(false, true, 2, ended(1, "Error"))),
            Some((Slow, Cause::CrashLoop, "it runs again and is not ready yet")),
        ),
        (
            "just crashed",
            Case::new(state(ended(3, "Error"), 0, json!({}))),
            Some((Slow, Cause::Exited, "exit code 3")),
        ),
        (
            "a command that is not there",
            Case::new(waiting("RunContainerError", "exec: \"orders\": executable file not found in $PATH")),
            Some((Stuck, Cause::Start, "executable file not found")),
        ),
        (
            "a missing Secret",
            Case::new(waiting("CreateContainerConfigError", "secret \"orders-db\" not found")),
            Some((Stuck, Cause::Config, "secret \"orders-db\" not found")),
        ),
        (
            "a missing volume source",
            Case::new(waiting("ContainerCreating", "")).event(
                "FailedMount",
                "MountVolume.SetUp failed for volume \"c\" : configmap \"c\" not found",
            ),
            Some((Stuck, Cause::Mount, "configmap \"c\" not found")),
        ),
        (
            "a volume that takes its time",
            Case::new(waiting("ContainerCreating", ""))
                .event("FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\""),
            Some((Slow, Cause::Mount, "Multi-Attach")),
        ),
        (
            "no network yet",
            Case::new(waiting("ContainerCreating", ""))
                .event("FailedCreatePodSandBox", "plugin type=\"cni\" failed"),
            Some((Slow, Cause::Sandbox, "cni")),
        ),
        (
            "being started",
            Case::new(waiting("ContainerCreating", "")),
            Some((Slow, Cause::Starting, "being started")),
        ),
        (
            "an init container at work",
            Case::new(init),
            Some((Slow, Cause::Starting, "(container wait): its init container runs")),
        ),
        (
            "an init container in a loop",
            Case::new(bad_init),
            Some((
                Stuck,
                Cause::CrashLoop,
                "(container migrate): CrashLoopBackOff: it ended with exit code 2",
            )),
        ),
        ("no room", Case::new(unscheduled(full)), Some((Stuck, Cause::Unschedulable, "3 Insufficient cpu"))),
        (
            "no room, and nodes come",
            Case::new(unscheduled(full)).event("TriggeredScaleUp", "pod triggered scale-up: [{pool 3->4}]"),
            Some((Slow, Cause::Unschedulable, "scale-up")),
        ),
        (
            "a gate",
            Case::new(
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gates"}]}),
            ),
            Some((Slow, Cause::Unschedulable, "SchedulingGated")),
        ),
        (
            "a claim that nothing provides",
            Case {
                claims: vec![claim("Pending")],
                events: vec![event(
                    "data",
                    "PersistentVolumeClaim",
                    "ProvisioningFailed",
                    "storageclass \"fast\" not found",
                    1,
                )],
                ..Case::new(json!({}))
            }
            .with_pod(with_claim(unscheduled("pod has unbound immediate PersistentVolumeClaims."))),
            Some((
                Stuck,
                Cause::Claim,
                "persistentvolumeclaim/data, which is not bound: storageclass \"fast\" not found",
            )),
        ),
        (
            "a claim under way",
            Case { claims: vec![claim("Pending")], ..Case::new(json!({})) }
                .with_pod(with_claim(unscheduled("unbound"))),
            Some((Slow, Cause::Claim, "not bound")),
        ),
        (
            "a claim that is not there",
            Case::new(unscheduled("persistentvolumeclaim \"data\" not found")),
            Some((Stuck, Cause::Claim, "\"data\" not found")),
        ),
        (
            "a full quota",
            Case { pods: vec![], ..Case::new(json!({})) }.condition(
                "ReplicaFailure",
                "True",
                "FailedCreate",
                quota,
            ),
            Some((Stuck, Cause::Quota, "exceeded quota: q")),
        ),
        (
            "a policy",
            Case { pods: vec![], ..Case::new(json!({})) }.condition(
                "ReplicaFailure",
                "True",
                "FailedCreate",
                "pods \"o-x\" is forbidden: violates PodSecurity \"restricted:latest\"",
            ),
            Some((Stuck, Cause::Refused, "violates PodSecurity")),
        ),
        (
            "a webhook that is away",
            Case { pods: vec![], ..Case::new(json!({})) }.condition(
                "ReplicaFailure",
                "True",
                "FailedCreate",
                "failed calling webhook \"w\": connection refused",
            ),
            Some((Slow, Cause::Refused, "failed calling webhook")),
        ),
        (
            "not ready by its probe",
            Case::new(running(false, true, 0, json!({})))
                .event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
            Some((Slow, Cause::Readiness, "statuscode: 503")),
        ),
        (
            "not started by its probe",
            Case::new(running(false, false, 0, json!({})))
                .event("Unhealthy", "Startup probe failed: connection refused"),
            Some((Slow, Cause::Liveness, "Startup probe failed")),
        ),
        (
            "paused",
            Case::new(running(true, true, 0, json!({})))
                .on("/spec", json!({"replicas": 2, "paused": true, "template": template("r/o:2")})),
            Some((Stuck, Cause::Paused, "paused")),
        ),
        (
            "a spec that nobody has seen",
            Case::new(json!({})).on("/metadata/generation", json!(3)),
            Some((Slow, Cause::NotObserved, "has not looked")),
        ),
        (
            "a deadline, and nothing says why",
            Case::new(running(true, true, 0, json!({}))).condition(
                "Progressing",
                "False",
                "ProgressDeadlineExceeded",
                "ReplicaSet \"new\" has timed out progressing.",
            ),
            Some((Stuck, Cause::Deadline, "timed out progressing")),
        ),
        (
            "a deadline, and something says why",
            Case::new(crash(5, ended(1, "Error"))).condition(
                "Progressing",
                "False",
                "ProgressDeadlineExceeded",
                "timed out",
            ),
            Some((Stuck, Cause::CrashLoop, "exit code 1")),
        ),
        ("its own disk is full", Case::new(overfull), Some((Stuck, Cause::Storage, "exceeds the limit"))),
        (
            "old pods that take their leave",
            Case::new(running(true, true, 0, json!({})))
                .on("/status", json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 2})),
            Some((Slow, Cause::Settling, "2 old pods")),
        ),
        ("all is well", Case::new(running(true, true, 0, json!({}))), None),
    ];
    assert!(table.len() >= 25);
    for (name, case, expected) in table {
        let diagnosis = case.diagnosis();
        let first = diagnosis.findings.first();
        match expected {
            None => assert_eq!(first, None, "{name}"),
            Some((gravity, cause, words)) => {
                let first = first.unwrap_or_else(|| panic!("{name}: nothing was found"));
                assert_eq!((first.gravity, first.cause), (gravity, cause), "{name}: {first}");
                assert!(first.to_string().contains(words), "{name}: {first}");
                assert_eq!(diagnosis.is_stuck(), gravity == Gravity::Stuck, "{name}");
            }
        }
    }
}

#[test]
fn pods_of_the_old_revision_say_nothing() {
    let mut case = Case::new(running(true, true, 0, json!({})));
    case.pods.push(pod("o-old", "old", waiting("CreateContainerConfigError", "secret \"x\" not found")));
    case.pods.push(pod("other", "else", waiting("InvalidImageName", "x")));
    let diagnosis = case.diagnosis();
    assert_eq!((diagnosis.findings.len(), diagnosis.pods, diagnosis.ready), (0, 1, 1));
}

#[test]
fn pods_that_were_lost_to_their_surroundings_count_for_nothing() {
    let crashed = || state(json!({"waiting": {"reason": "CrashLoopBackOff"}}), 7, ended(137, "Error"));
    let disrupted = |reason: &str| {
        let mut status = crashed();
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason});
        status["conditions"].as_array_mut().unwrap().push(condition);
        status
    };
    let failed =
        |reason: &str, message: &str| json!({"phase": "Failed", "reason": reason, "message": message});
    for (name, status) in [
        ("a drain", disrupted("EvictionByEvictionAPI")),
        ("a preemption", disrupted("PreemptionByScheduler")),
        ("a taint", disrupted("DeletionByTaintManager")),
        ("a node that is gone", disrupted("DeletionByPodGC")),
        ("a node under pressure", failed("Evicted", "The node was low on resource: memory.")),
        (
            "a node that shuts down",
            failed("Terminated", "Pod was terminated in response to imminent node shutdown."),
        ),
        ("a node that would not take it", failed("OutOfcpu", "Node didn't have enough resource: cpu")),
        ("a critical pod", failed("Preempting", "Preempted in order to admit critical pod")),
    ] {
        let diagnosis = Case::new(status).diagnosis();
        assert_eq!(diagnosis.lost, ["o-new"], "{name}");
        assert_eq!((diagnosis.restarts, diagnosis.pods, diagnosis.findings.len()), (0, 0, 0), "{name}");
    }
    // One that is scaled down is neither lost nor counted.
    let mut leaving = Case::new(crashed());
    leaving.pods[0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let diagnosis = leaving.diagnosis();
    assert_eq!((diagnosis.lost.len(), diagnosis.pods, diagnosis.restarts), (0, 0, 0));
    let diagnosis = Case::new(crashed()).diagnosis();
    assert_eq!((diagnosis.restarts, diagnosis.faults().count()), (7, 1));
}

#[test]
fn each_kind_knows_the_pods_of_its_new_revision() {
    let owned = |name: &str, hash: &str| {
        let mut pod = pod(name, "w", waiting("InvalidImageName", name));
        pod["metadata"]["labels"] = json!({"controller-revision-hash": hash});
        pod
    };
    let pods = [owned("w-0", "a"), owned("w-1", "b")];
    let workload = |kind: &str, status: Value| {
        json!({"apiVersion": if kind == "Job" { "batch/v1" } else { "apps/v1" }, "kind": kind,
        "metadata": {"name": "w", "namespace": "n", "uid": "w", "generation": 1}, "spec": {"replicas": 2}, "status": status})
    };
    let revision = |hash: &str, number: i64| {
        json!({"kind": "ControllerRevision", "revision": number,
        "metadata": {"labels": {"controller-revision-hash": hash}, "ownerReferences": [{"uid": "w", "controller": true}]}})
    };
    let revisions = [revision("a", 1), revision("b", 2)];
    for (kind, status, expected) in [
        ("StatefulSet", json!({"observedGeneration": 1, "updateRevision": "b"}), 1),
        ("StatefulSet", json!({"observedGeneration": 0, "updateRevision": "b"}), 0),
        ("DaemonSet", json!({"observedGeneration": 1, "desiredNumberScheduled": 2}), 1),
        ("ReplicaSet", json!({"observedGeneration": 1}), 2),
    ] {
        let workload = workload(kind, status);
        let found = diagnose(&Evidence {
            workload: &workload,
            revisions: &revisions,
            pods: &pods,
            events: &[],
            claims: &[],
            now: Timestamp::default(),
        });
        assert_eq!(found.pods, expected, "{kind}");
    }
    let alone = pod("p", "", waiting("InvalidImageName", "x"));
    let mut case = Case::new(json!({}));
    case.workload = alone;
    assert_eq!(case.diagnosis().findings[0].cause, Cause::ImageName);
    case.workload = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "m", "uid": "j"}, "spec": {},
        "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]}});
    case.pods = vec![pod("m-1", "j", state(ended(1, "Error"), 0, json!({})))];
    let found = case.diagnosis();
    let causes: Vec<_> = found.findings.iter().map(|f| f.cause).collect();
    assert_eq!(causes, [Cause::JobFailed, Cause::Exited]);
}

#[test]
fn nothing_that_an_object_holds_is_too_odd() {
    let odd = [
        json!(null),
        json!(7),
        json!([]),
        json!({"status": {"containerStatuses": [1, null, {"state": 3}], "conditions": "x"}}),
    ];
    for workload in &odd {
        let evidence = Evidence {
            workload,
            revisions: &odd,
            pods: &odd,
            events: &odd,
            claims: &odd,
            now: Timestamp::default(),
        };
        let _ = diagnose(&evidence);
        let mut pod = workload.clone();
        if pod.is_object() {
            (pod["apiVersion"], pod["kind"]) = (json!("v1"), json!("Pod"));
            let _ = diagnose(&Evidence { workload: &pod, ..evidence });
        }
    }
}

#[test]
fn ten_pods_that_fail_alike_are_one_finding_with_its_event_and_log() {
    let mut case = Case::new(json!({}));
    let crash = state(json!({"waiting": {"reason": "CrashLoopBackOff"}}), 4, ended(1, "Error"));
    case.pods = (0..10).map(|n| pod(&format!("o-{n}"), "new", crash.clone())).collect();
    case.events = vec![
        event("o-0", "Pod", "BackOff", "Back-off restarting failed container c", 1),
        event("o-0", "Pod", "Unhealthy", "older", 0),
    ];
    let diagnosis = case.diagnosis();
    assert_eq!((diagnosis.findings.len(), diagnosis.restarts, diagnosis.pods), (1, 40, 10));
    let finding = &diagnosis.findings[0];
    assert_eq!(
        finding.to_string(),
        "pod/o-0 (container c): CrashLoopBackOff: it ended with exit code 1, restarted 4 times; BackOff: Back-off restarting failed container c"
    );
    let log = finding.log.clone().unwrap();
    assert_eq!((log.pod.as_str(), log.container.as_str(), log.previous), ("o-0", "c", true));
}
