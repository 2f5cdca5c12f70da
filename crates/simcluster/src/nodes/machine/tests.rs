//! What holds for every pod, whatever it is told to do and whenever it is looked at.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Machine, Note, World};
use crate::nodes::needs::Need;
use crate::nodes::script::Script;
use crate::nodes::status::{self, Place};
use crate::nodes::timing::Timing;

/// A node with nothing on it and everything at hand.
#[derive(Default)]
struct Node(BTreeSet<String>);

impl World for Node {
    fn check(&mut self, _: &[Need]) -> Result<(), String> {
        Ok(())
    }

    fn address(&self) -> String {
        "10.128.0.2".to_owned()
    }

    fn has_image(&self, image: &str) -> bool {
        self.0.contains(image)
    }

    fn keep_image(&mut self, image: &str) {
        self.0.insert(image.to_owned());
    }
}

/// A pod with its machine.
struct Life {
    pod: Value,
    timing: Timing,
    node: Node,
    machine: Machine,
    now: Timestamp,
    notes: Vec<Note>,
}

impl Life {
    fn new(pod: Value, fast: bool) -> Self {
        let timing = Timing { fast, seed: 3 };
        let now = Timestamp::from_secs(1_800_000_000);
        let machine = Machine::new(&Script::new(&pod, timing), now);
        let mut life = Self { pod, timing, node: Node::default(), machine, now, notes: Vec::new() };
        life.to(now, None);
        life
    }

    fn script(&self) -> Script {
        Script::new(&self.pod, self.timing)
    }

    fn to(&mut self, now: Timestamp, stop: Option<Duration>) {
        self.now = now;
        let script = self.script();
        self.notes.extend(self.machine.advance(&script, self.timing, &mut self.node, stop, now));
        self.pod["status"] = self.report(&self.machine)["status"].clone();
    }

    /// Goes to a time by way of every step that is due before.
    fn walk(&mut self, end: Timestamp) {
        for _ in 0..10_000 {
            match self.machine.due(&self.script()).filter(|d| *d < end) {
                Some(due) => self.to(due.max(self.now), None),
                None => break,
            }
        }
        self.to(end, None);
    }

    fn report(&self, machine: &Machine) -> Value {
        let mut pod = self.pod.clone();
        let place = Place { host_ip: "172.18.0.2", pod_ip: "10.128.0.2" };
        status::render(&mut pod, &self.script(), machine, place, self.timing, self.now);
        pod
    }

    fn phase(&self) -> &str {
        self.pod["status"]["phase"].as_str().unwrap()
    }
}

fn notes() -> impl Strategy<Value = Value> {
    let span = prop_oneof![Just("0s"), Just("1s"), Just("7s"), Just("45s"), Just("11m")];
    let one = prop_oneof![
        Just("crash-loop"),
        Just("run-for"),
        Just("oom-after"),
        Just("slow-start"),
        Just("image-missing"),
        Just("pull-for"),
        Just("stop-for"),
        Just("unready"),
    ];
    prop::collection::btree_map(one, span, 0..3).prop_map(|map| {
        map.into_iter()
            .map(|(k, v)| (format!("sim.kiban.dev/{k}"), v.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    })
}

fn pods() -> impl Strategy<Value = Value> {
    let policy = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    let command = prop_oneof![
        Just(json!(null)),
        Just(json!(["sleep", "20"])),
        Just(json!(["sh", "-c", "sleep 3; exit 1"])),
        Just(json!(["my-tool"])),
    ];
    let probe = prop_oneof![
        Just(json!(null)),
        Just(json!({"tcpSocket": {"port": 80}, "periodSeconds": 3})),
        Just(
            json!({"exec": {"command": ["x"]}, "initialDelaySeconds": 4, "failureThreshold": 1, "successThreshold": 2})
        ),
    ];
    let init = prop::collection::vec(prop_oneof![Just("Always"), Just("")], 0..3);
    let deadline = prop_oneof![4 => Just(Value::Null), 1 => Just(json!(60))];
    (policy, command, [probe.clone(), probe.clone(), probe], init, deadline, notes()).prop_map(
        |(policy, command, [startup, readiness, liveness], init, deadline, notes)| {
            let init: Vec<_> = init
                .iter()
                .enumerate()
                .map(|(i, p)| json!({"name": format!("init-{i}"), "image": "i", "restartPolicy": p}))
                .collect();
            json!({
                "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1, "annotations": notes},
                "spec": {
                    "restartPolicy": policy, "initContainers": init, "activeDeadlineSeconds": deadline,
                    "containers": [
                        {"name": "app", "image": "a", "command": command, "startupProbe": startup,
                         "readinessProbe": readiness, "livenessProbe": liveness},
                        {"name": "side", "image": "b"},
                    ],
                },
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_pod_ends_where_it_does_however_often_it_is_looked_at(pod in pods(), secs in 1_u64..2_000, fast in any::<bool>()) {
        // In fast mode a second holds a thousand steps; a few are enough.
        let span = if fast { Duration::from_millis(secs.min(500)) } else { Duration::from_secs(secs) };
        let mut jumped = Life::new(pod.clone(), fast);
        let end = jumped.now + span;
        jumped.to(end, None);
        let mut walked = Life::new(pod, fast);
        walked.walk(end);
        prop_assert_eq!(&jumped.machine, &walked.machine);
        prop_assert_eq!(&jumped.notes, &walked.notes);
    }

    #[test]
    fn a_pod_that_ended_never_runs_again(pod in pods(), steps in prop::collection::vec(1_u64..300, 1..12)) {
        let mut life = Life::new(pod, false);
        let mut last = None;
        for secs in steps {
            life.to(life.now + Duration::from_secs(secs), None);
            if let Some(last) = &last {
                prop_assert_eq!(life.phase(), last);
            }
            if matches!(life.phase(), "Succeeded" | "Failed") {
                last = Some(life.phase().to_owned());
                prop_assert!(life.machine.live.iter().all(|l| l.running().is_none()));
            }
        }
    }

    #[test]
    fn a_stopped_pod_is_over_when_its_grace_is(pod in pods(), secs in 0_u64..200, grace in 0_u64..60) {
        let mut life = Life::new(pod, false);
        life.to(life.now + Duration::from_secs(secs), None);
        let grace = Duration::from_secs(grace);
        life.to(life.now, Some(grace));
        // A second is what cleaning up may take.
        life.to(life.now + grace + Duration::from_secs(1), Some(grace));
        prop_assert!(life.machine.is_over(life.now), "{:?}", life.machine);
        prop_assert!(matches!(life.phase(), "Succeeded" | "Failed"));
    }

    #[test]
    fn a_machine_at_rest_is_found_again_in_its_status(pod in pods(), secs in 0_u64..2_000) {
        let mut life = Life::new(pod, false);
        life.to(life.now + Duration::from_secs(secs), None);
        let script = life.script();
        if life.machine.is_settled(&script) {
            let mut twin = Machine::restore(&script, &life.pod["status"], life.timing, life.now);
            let notes = twin.advance(&script, life.timing, &mut life.node, None, life.now);
            prop_assert_eq!(notes, Vec::new());
            prop_assert_eq!(life.report(&twin), life.pod.clone());
            prop_assert_eq!(twin.due(&script), None);
        }
    }
}
