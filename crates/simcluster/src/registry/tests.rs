//! The one write path: what is kept, refused and given back.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::kind::well_known::*;

struct Lab {
    clock: Arc<ManualClock>,
    cluster: Cluster,
}

fn lab() -> Lab {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-03-01T00:00:00Z").unwrap()));
    let lab = Lab { cluster: Cluster::new(clock.clone(), 1), clock };
    lab.create(*NAMESPACE, json!({"metadata": {"name": "default"}})).unwrap();
    lab.create(*SERVICE_ACCOUNT, json!({"metadata": {"name": "default"}})).unwrap();
    lab
}

fn actor() -> Actor {
    Actor::new("test")
}

fn rehearsal() -> Actor {
    Actor { dry_run: true, ..actor() }
}

fn key(kind: KindId, name: &str) -> Key {
    Key::new(if kind.info().namespaced { "default" } else { "" }, name)
}

impl Lab {
    fn create(&self, kind: KindId, value: Value) -> Result<Arc<Stored>, ApiError> {
        self.create_by(kind, value, &actor())
    }

    fn create_by(&self, kind: KindId, value: Value, actor: &Actor) -> Result<Arc<Stored>, ApiError> {
        self.cluster.create(kind, if kind.info().namespaced { "default" } else { "" }, value, actor)
    }

    fn update(
        &self,
        kind: KindId,
        name: &str,
        part: Part,
        change: impl Fn(&mut Value),
    ) -> Result<Arc<Stored>, ApiError> {
        self.update_by(kind, name, part, &actor(), change)
    }

    fn update_by(
        &self,
        kind: KindId,
        name: &str,
        part: Part,
        actor: &Actor,
        change: impl Fn(&mut Value),
    ) -> Result<Arc<Stored>, ApiError> {
        self.cluster.update(kind, &key(kind, name), part, actor, |live| {
            let mut next = live.clone();
            change(&mut next);
            Ok(Desired::Update(next))
        })
    }

    fn delete(&self, kind: KindId, name: &str, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        self.cluster.delete(kind, &key(kind, name), options, &actor())
    }

    fn get(&self, kind: KindId, name: &str) -> Value {
        self.cluster.get(kind, &key(kind, name)).map_or(Value::Null, |o| o.value())
    }
}

fn service(name: &str, spec: &Value) -> Value {
    let mut all = json!({"ports": [{"port": 80}]});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": all})
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "shop/app:1"}]}})
}

fn deployment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod("x")["spec"]},
    }})
}

const IP: &str = "10.96.77.77";

#[test]
fn a_rehearsed_or_refused_service_takes_no_address_and_no_port() {
    let lab = lab();
    let wanted = json!({"type": "NodePort", "clusterIP": IP, "ports": [{"port": 80, "nodePort": 30_080}]});
    for _ in 0..2 {
        let seen = lab.create_by(*SERVICE, service("a", &wanted), &rehearsal()).unwrap().value();
        assert_eq!(seen["spec"]["clusterIP"], IP);
    }
    let mut bad = service("a", &wanted);
    bad["spec"]["ports"][0]["port"] = 70_000.into();
    assert_eq!(lab.create(*SERVICE, bad).unwrap_err().code, 422);
    let mut half = service("a", &wanted);
    half["spec"]["ports"][0]["nodePort"] = 99.into();
    assert_eq!(lab.create(*SERVICE, half).unwrap_err().code, 422);
    lab.create(*SERVICE, service("a", &wanted)).unwrap();
    let taken = lab.create(*SERVICE, service("b", &json!({"clusterIP": IP}))).unwrap_err();
    assert!(taken.message.contains("provided IP is already allocated"), "{}", taken.message);
    // The refusal above did not free what the first one holds.
    assert!(lab.create(*SERVICE, service("b", &wanted)).is_err());
}

#[test]
fn a_changed_service_gives_back_what_it_holds_no_more() {
    let lab = lab();
    let port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_081}]});
    lab.create(*SERVICE, service("a", &port)).unwrap();
    assert!(lab.create(*SERVICE, service("b", &port)).is_err());
    let to_cluster = |s: &mut Value| {
        s["spec"]["type"] = "ClusterIP".into();
        s["spec"]["ports"][0].as_object_mut().unwrap().remove("nodePort");
    };
    lab.update_by(*SERVICE, "a", Part::Main, &rehearsal(), to_cluster).unwrap();
    assert!(lab.create(*SERVICE, service("b", &port)).is_err(), "a rehearsal gives nothing back");
    lab.update(*SERVICE, "a", Part::Main, to_cluster).unwrap();
    lab.create(*SERVICE, service("b", &port)).unwrap();
    // A refused and a rehearsed change take nothing.
    let other = |s: &mut Value| {
        s["spec"]["type"] = "NodePort".into();
        s["spec"]["ports"][0]["nodePort"] = 30_082.into();
    };
    lab.update_by(*SERVICE, "a", Part::Main, &rehearsal(), other).unwrap();
    let refused = lab.update(*SERVICE, "a", Part::Main, |s| {
        other(s);
        s["spec"]["sessionAffinity"] = "Nobody".into();
    });
    assert_eq!(refused.unwrap_err().code, 422);
    let free = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_082}]});
    lab.create(*SERVICE, service("c", &free)).unwrap();
}

#[test]
fn a_service_holds_its_address_until_it_is_gone() {
    let lab = lab();
    let mut held = service("a", &json!({"clusterIP": IP}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    lab.create(*SERVICE, held).unwrap();
    lab.delete(*SERVICE, "a", &DeleteOptions::default()).unwrap();
    lab.update(*SERVICE, "a", Part::Main, |s| s["metadata"]["labels"] = json!({"x": "y"})).unwrap();
    assert!(lab.create(*SERVICE, service("b", &json!({"clusterIP": IP}))).is_err());
    lab.update(*SERVICE, "a", Part::Main, |s| s["metadata"]["finalizers"] = json!([])).unwrap();
    assert!(lab.get(*SERVICE, "a").is_null());
    lab.create(*SERVICE, service("b", &json!({"clusterIP": IP}))).unwrap();
    lab.delete(*SERVICE, "b", &DeleteOptions::default()).unwrap();
    lab.create(*SERVICE, service("c", &json!({"clusterIP": IP}))).unwrap();
}

#[test]
fn graceful_deletion_by_table() {
    // Bound, phase, grace asked for, finalizer; then the grace in the object, or that it is gone.
    let table = [
        (false, "Pending", None, false, None),
        (true, "Pending", None, false, Some(30)),
        (true, "Running", None, false, Some(30)),
        (true, "Running", Some(5), false, Some(5)),
        (true, "Running", Some(-1), false, Some(1)),
        (true, "Running", Some(0), false, None),
        (true, "Succeeded", None, false, None),
        (true, "Failed", Some(99), false, None),
        (false, "Pending", None, true, Some(0)),
        (true, "Running", Some(0), true, Some(0)),
        (true, "Running", None, true, Some(30)),
    ];
    for (bound, phase, grace, finalizer, wanted) in table {
        let lab = lab();
        let mut object = pod("p");
        if bound {
            object["spec"]["nodeName"] = "n".into();
        }
        if finalizer {
            object["metadata"]["finalizers"] = json!(["example.com/hold"]);
        }
        lab.create(*POD, object).unwrap();
        lab.update(*POD, "p", Part::Status, |p| p["status"]["phase"] = phase.into()).unwrap();
        lab.delete(*POD, "p", &DeleteOptions { grace, ..DeleteOptions::default() }).unwrap();
        let left = lab.get(*POD, "p");
        let case = format!("{bound} {phase} {grace:?} {finalizer}");
        assert_eq!(left["metadata"]["deletionGracePeriodSeconds"].as_i64(), wanted, "{case}");
        if let Some(seconds) = wanted {
            let due = lab.cluster.now() + Duration::from_secs(seconds.unsigned_abs());
            assert_eq!(left["metadata"]["deletionTimestamp"], due.rfc3339(), "{case}");
        }
    }
}

#[test]
fn a_grace_period_shrinks_and_never_grows() {
    let lab = lab();
    let mut object = pod("p");
    object["spec"]["nodeName"] = "n".into();
    lab.create(*POD, object).unwrap();
    let grace = |seconds| DeleteOptions { grace: Some(seconds), ..DeleteOptions::default() };
    lab.delete(*POD, "p", &grace(60)).unwrap();
    lab.clock.advance(Duration::from_secs(10));
    lab.delete(*POD, "p", &grace(90)).unwrap();
    let meta = |lab: &Lab| {
        let meta = lab.get(*POD, "p")["metadata"].clone();
        (
            meta["deletionGracePeriodSeconds"].as_i64().unwrap(),
            meta["deletionTimestamp"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(meta(&lab), (60, "2026-03-01T00:01:00Z".into()));
    lab.delete(*POD, "p", &grace(20)).unwrap();
    assert_eq!(meta(&lab), (20, "2026-03-01T00:00:20Z".into()), "counted from the first delete");
    lab.delete(*POD, "p", &grace(0)).unwrap();
    assert!(lab.get(*POD, "p").is_null());
}

#[test]
fn propagation_is_a_finalizer() {
    let options = |propagation| DeleteOptions { propagation, ..DeleteOptions::default() };
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "main", "image": "shop/app:1"}],
    }}}});
    let table = [
        (*CONFIG_MAP, map("m"), None, Value::Null),
        (*CONFIG_MAP, map("m"), Some(Propagation::Background), Value::Null),
        (*CONFIG_MAP, map("m"), Some(Propagation::Foreground), json!(["foregroundDeletion"])),
        (*CONFIG_MAP, map("m"), Some(Propagation::Orphan), json!(["orphan"])),
        // The pods of these stay unless told otherwise, as they did before there was a choice.
        (*JOB, job.clone(), None, json!(["orphan"])),
        (*JOB, job, Some(Propagation::Background), Value::Null),
        (*DEPLOYMENT, deployment("d"), None, Value::Null),
    ];
    for (kind, object, propagation, wanted) in table {
        let lab = lab();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        lab.create(kind, object).unwrap();
        lab.delete(kind, &name, &options(propagation)).unwrap();
        assert_eq!(lab.get(kind, &name)["metadata"]["finalizers"], wanted, "{name} {propagation:?}");
    }
}

#[test]
fn writes_hold_to_the_version_they_were_made_from() {
    let lab = lab();
    lab.create(*CONFIG_MAP, map("m")).unwrap();
    let set = |field: &'static str, value: &'static str| {
        move |m: &mut Value| {
            m["metadata"][field] = value.into();
            m["data"]["a"] = "2".into();
        }
    };
    let table = [
        ("resourceVersion", "1", 409, "Conflict", "please apply your changes to the latest version"),
        (
            "uid",
            "other",
            409,
            "Conflict",
            "Precondition failed: UID in precondition: other, UID in object meta: ",
        ),
        (
            "name",
            "other",
            400,
            "BadRequest",
            "the name of the object (other) does not match the name on the URL (m)",
        ),
        ("namespace", "other", 400, "BadRequest", "the namespace of the object (other) does not match"),
    ];
    for (field, value, code, reason, text) in table {
        let refused = lab.update(*CONFIG_MAP, "m", Part::Main, set(field, value)).unwrap_err();
        assert_eq!((refused.code, refused.reason), (code, reason), "{field}");
        assert!(refused.message.contains(text), "{}", refused.message);
    }
    let delete = |uid: Option<&str>, revision: Option<&str>| {
        let owned = |t: Option<&str>| t.map(str::to_owned);
        lab.delete(
            *CONFIG_MAP,
            "m",
            &DeleteOptions { uid: owned(uid), revision: owned(revision), ..DeleteOptions::default() },
        )
    };
    assert_eq!(delete(Some("other"), None).unwrap_err().code, 409);
    assert_eq!(delete(None, Some("1")).unwrap_err().code, 409);
    let live = lab.cluster.get(*CONFIG_MAP, &key(*CONFIG_MAP, "m")).unwrap();
    delete(Some(&live.uid), Some(&live.revision.to_string())).unwrap();
    assert_eq!(delete(None, None).unwrap_err().code, 404);
}

#[test]
fn spec_and_status_do_not_mix_and_generations_count_what_was_asked_for() {
    let lab = lab();
    for (kind, object) in [
        (*DEPLOYMENT, deployment("x")),
        (*PDB, json!({"metadata": {"name": "x"}, "spec": {"minAvailable": 1}})),
    ] {
        lab.create(kind, object).unwrap();
        let generation = |lab: &Lab| lab.get(kind, "x")["metadata"]["generation"].as_i64().unwrap();
        assert_eq!(generation(&lab), 1);
        lab.update(kind, "x", Part::Main, |o| o["status"]["observedGeneration"] = 9.into()).unwrap();
        assert!(
            lab.get(kind, "x")["status"]["observedGeneration"] != 9,
            "the main path leaves the status alone"
        );
        lab.update(kind, "x", Part::Status, |o| {
            o["status"]["observedGeneration"] = 1.into();
            o["spec"] = json!({});
        })
        .unwrap();
        assert_eq!(lab.get(kind, "x")["status"]["observedGeneration"], 1);
        assert!(
            !lab.get(kind, "x")["spec"].as_object().unwrap().is_empty(),
            "the status path leaves the spec alone"
        );
        lab.update(kind, "x", Part::Main, |o| o["metadata"]["labels"] = json!({"a": "b"})).unwrap();
        assert_eq!(generation(&lab), 1, "metadata is no new generation");
        let field = if kind == *DEPLOYMENT { "replicas" } else { "minAvailable" };
        lab.update(kind, "x", Part::Main, |o| o["spec"][field] = 7.into()).unwrap();
        assert_eq!(generation(&lab), 2);
        lab.update(kind, "x", Part::Main, |o| o["metadata"]["finalizers"] = json!(["example.com/hold"]))
            .unwrap();
        lab.delete(kind, "x", &DeleteOptions::default()).unwrap();
        assert_eq!(generation(&lab), 3, "deletion is asked for too");
        lab.update(kind, "x", Part::Main, |o| o["metadata"]["finalizers"] = json!([])).unwrap();
    }
    lab.create(*CONFIG_MAP, map("m")).unwrap();
    assert!(lab.get(*CONFIG_MAP, "m")["metadata"]["generation"].is_null());
}

#[test]
fn a_write_that_changes_nothing_is_no_write() {
    let lab = lab();
    lab.create(*DEPLOYMENT, deployment("x")).unwrap();
    let revision = lab.cluster.snapshot().revision;
    for part in [Part::Main, Part::Status, Part::Sub("scale")] {
        lab.clock.advance(Duration::from_secs(60));
        let same = lab.update(*DEPLOYMENT, "x", part, |_| {}).unwrap();
        assert_eq!(same.revision, revision, "{part:?}");
    }
    assert_eq!(lab.cluster.snapshot().revision, revision);
}

#[test]
fn rehearsals_keep_nothing() {
    let lab = lab();
    lab.create(*CONFIG_MAP, map("m")).unwrap();
    let before = lab.cluster.snapshot().revision;
    let made = lab.create_by(*CONFIG_MAP, json!({"metadata": {"generateName": "g-"}}), &rehearsal()).unwrap();
    assert!(made.key.name.starts_with("g-") && made.key.name.len() == 7);
    let seen =
        lab.update_by(*CONFIG_MAP, "m", Part::Main, &rehearsal(), |m| m["data"]["a"] = "2".into()).unwrap();
    assert_eq!(seen.value()["data"]["a"], "2");
    let gone = lab
        .cluster
        .delete(*CONFIG_MAP, &key(*CONFIG_MAP, "m"), &DeleteOptions::default(), &rehearsal())
        .unwrap();
    assert!(matches!(gone, Deleted::Gone(_)));
    assert_eq!(lab.cluster.snapshot().revision, before);
    assert_eq!(lab.get(*CONFIG_MAP, "m")["data"]["a"], "1");
    let exists = lab.create_by(*CONFIG_MAP, map("m"), &rehearsal()).unwrap_err();
    assert_eq!(exists.reason, "AlreadyExists");
}

#[test]
fn generated_names_are_cut_and_all_different() {
    let lab = lab();
    let long = "n".repeat(80);
    let made = lab.create(*CONFIG_MAP, json!({"metadata": {"generateName": long}})).unwrap();
    assert_eq!(made.key.name.len(), 63);
    let names: std::collections::BTreeSet<_> = (0..500)
        .map(|_| {
            lab.create(*CONFIG_MAP, json!({"metadata": {"generateName": "x-"}})).unwrap().key.name.to_string()
        })
        .collect();
    assert_eq!(names.len(), 500);
    let named = lab.create(*CONFIG_MAP, json!({"metadata": {"name": "own", "generateName": "x-"}})).unwrap();
    assert_eq!(&*named.key.name, "own");
}

#[test]
fn what_the_server_owns_cannot_be_written() {
    let lab = lab();
    let made = lab.create(
        *CONFIG_MAP,
        json!({"metadata": {
            "name": "m", "uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9,
            "deletionTimestamp": "2000-01-01T00:00:00Z", "selfLink": "/x",
        }}),
    );
    let meta = made.unwrap().value()["metadata"].clone();
    assert_ne!(meta["uid"], "mine");
    assert_eq!(meta["creationTimestamp"], "2026-03-01T00:00:00Z");
    for absent in ["generation", "deletionTimestamp", "selfLink"] {
        assert!(meta[absent].is_null(), "{absent}");
    }
    let refused =
        lab.create(*CONFIG_MAP, json!({"metadata": {"name": "n", "resourceVersion": "5"}})).unwrap_err();
    assert_eq!(refused.message, "resourceVersion should not be set on objects to be created");
    lab.update(*CONFIG_MAP, "m", Part::Main, |m| {
        m["metadata"]["creationTimestamp"] = "2000-01-01T00:00:00Z".into();
        m["metadata"]["deletionTimestamp"] = "2000-01-01T00:00:00Z".into();
        m["data"] = json!({"a": "b"});
    })
    .unwrap();
    let meta = lab.get(*CONFIG_MAP, "m")["metadata"].clone();
    assert_eq!(meta["creationTimestamp"], "2026-03-01T00:00:00Z");
    assert!(meta["deletionTimestamp"].is_null());
}

#[test]
fn a_namespace_must_be_there_and_take_new_objects() {
    let lab = lab();
    let refused = lab.cluster.create(*CONFIG_MAP, "nowhere", map("m"), &actor()).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    let other = json!({"metadata": {"name": "m", "namespace": "kube-system"}});
    let refused = lab.create(*CONFIG_MAP, other).unwrap_err();
    assert!(refused.message.starts_with(
        "the namespace of the provided object does not match the namespace sent on the request"
    ));
}

#[test]
fn a_pod_of_a_runtime_class_gets_what_the_class_says() {
    let lab = lab();
    let pod = |name: &str, spec: Value| {
        let mut pod = json!({
            "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        lab.create(*POD, pod)
    };
    let refused = pod("p1", json!({"runtimeClassName": "nope"})).unwrap_err();
    assert_eq!(refused.code, 403);
    assert_eq!(refused.message, "pods \"p1\" is forbidden: pod rejected: RuntimeClass \"nope\" not found");
    let class = json!({
        "metadata": {"name": "box"}, "handler": "box", "overhead": {"podFixed": {"memory": "64Mi"}},
        "scheduling": {
            "nodeSelector": {"boxed": "yes"},
            "tolerations": [{"key": "boxed", "operator": "Exists", "effect": "NoSchedule"}],
        },
    });
    lab.create(*RUNTIME_CLASS, class).unwrap();
    let made = pod("p2", json!({"runtimeClassName": "box", "nodeSelector": {"zone": "a"}})).unwrap().value();
    assert_eq!(made["spec"]["overhead"], json!({"memory": "64Mi"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"zone": "a", "boxed": "yes"}));
    assert_eq!(made["spec"]["tolerations"].as_array().unwrap().last().unwrap()["key"], "boxed");
    for (spec, why) in [
        (
            json!({"runtimeClassName": "box", "nodeSelector": {"boxed": "no"}}),
            "conflict: runtimeClass.scheduling.nodeSelector[boxed] = yes; pod.spec.nodeSelector[boxed] = no",
        ),
        (
            json!({"runtimeClassName": "box", "overhead": {"memory": "1Mi"}}),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"overhead": {"memory": "1Mi"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
    ] {
        let refused = pod("p3", spec).unwrap_err();
        assert_eq!(refused.message, format!("pods \"p3\" is forbidden: {why}"));
    }
    pod("p4", json!({"runtimeClassName": "box", "overhead": {"memory": "65536Ki"}})).unwrap();
}
