//! What a kubelet reports of a pod: `status` from the machine's state.
//!
//! Contract: Kubernetes pkg/kubelet/status/generate.go and kubelet_pods.go (getPhase,
//! convertStatusToAPIStatus).

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value, json};

use super::image;
use super::machine::{Ended, Live, Machine, Stage, Step, Why};
use super::script::{Part, Role, Script, items};
use super::timing::Timing;

/// Where the pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The node's address.
    pub host_ip: &'a str,
    /// The pod's address.
    pub pod_ip: &'a str,
}

/// Writes the status of `pod` as it is now.
pub fn render(
    pod: &mut Value,
    script: &Script,
    machine: &Machine,
    place: Place<'_>,
    timing: Timing,
    now: Timestamp,
) {
    let generation = pod["metadata"]["generation"].clone();
    let view = View { script, machine, timing, now };
    let specs = [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", "ephemeralContainers"),
    ];
    let lists = specs.map(|(list, field)| (list, view.containers(&pod["spec"][field])));
    let gates = view.missing_gate(&pod["status"]);
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    let Some(status) = pod["status"].as_object_mut() else { return };
    let phase = view.phase();
    status.insert("phase".into(), phase.into());
    status.insert("startTime".into(), machine.start.rfc3339().into());
    status.insert("hostIP".into(), place.host_ip.into());
    status.insert("hostIPs".into(), json!([{"ip": place.host_ip}]));
    if machine.has_sandbox() && !place.pod_ip.is_empty() {
        status.insert("podIP".into(), place.pod_ip.into());
        status.insert("podIPs".into(), json!([{"ip": place.pod_ip}]));
    }
    if let Some((reason, message)) = machine.verdict {
        status.insert("reason".into(), reason.into());
        status.insert("message".into(), message.into());
    }
    if generation.is_number() {
        status.insert("observedGeneration".into(), generation.clone());
    }
    for (list, containers) in lists {
        if !containers.is_empty() {
            status.insert(list.into(), Value::Array(containers));
        }
    }
    let fresh = view.conditions(phase, gates);
    let old = status.remove("conditions").unwrap_or_default();
    status.insert("conditions".into(), merge(fresh, &old, &generation, now));
}

/// The new conditions, with the times of those that did not change, and the conditions of others.
fn merge(fresh: Vec<Condition>, old: &Value, generation: &Value, now: Timestamp) -> Value {
    let mut all = Vec::new();
    let mut names = Vec::new();
    for Condition { name, holds, reason, message } in fresh {
        let status = if holds { "True" } else { "False" };
        let before = items(old).find(|c| c["type"] == name);
        let since = before.filter(|c| c["status"] == status).map(|c| c["lastTransitionTime"].clone());
        let mut one = json!({
            "type": name, "status": status, "lastProbeTime": null,
            "lastTransitionTime": since.unwrap_or_else(|| now.rfc3339().into()),
        });
        if !reason.is_empty() {
            one["reason"] = reason.into();
        }
        if !message.is_empty() {
            one["message"] = message.into();
        }
        if generation.is_number() {
            one["observedGeneration"] = generation.clone();
        }
        names.push(name);
        all.push(one);
    }
    all.extend(items(old).filter(|c| !names.iter().any(|n| c["type"] == *n)).cloned());
    if !all.iter().any(|c| c["type"] == "PodScheduled") {
        // A pod that named its node itself never met a scheduler.
        all.push(json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now.rfc3339(),
        }));
    }
    Value::Array(all)
}

struct Condition {
    name: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn new(name: &'static str, holds: bool, reason: &'static str, message: String) -> Self {
        Self { name, holds, reason, message }
    }
}

struct View<'a> {
    script: &'a Script,
    machine: &'a Machine,
    timing: Timing,
    now: Timestamp,
}

impl<'a> View<'a> {
    fn pairs(&self) -> impl Iterator<Item = (&'a Part, &'a Live)> {
        self.script.parts.iter().zip(&self.machine.live)
    }

    /// Nothing runs any more, and nothing will.
    fn is_over(&self) -> bool {
        self.machine.is_over(self.now)
            || matches!(self.machine.stage, Stage::Over { .. } | Stage::Stopping { why: Why::Complete, .. })
                && !self.machine.live.iter().any(|l| l.running().is_some())
    }

    fn phase(&self) -> &'static str {
        let over = self.is_over();
        if over && self.machine.verdict.is_some() {
            return "Failed";
        }
        let stopped = |l: &'a Live| l.ended().or_else(|| l.last.as_ref().filter(|_| l.running().is_none()));
        for (part, live) in self.pairs() {
            let done = live.ended().is_some_and(|e| e.exit == 0);
            let failed = live.ended().is_some_and(|e| e.exit != 0 && (over || !part.restart.after(e.exit)));
            match part.role {
                Role::Init if failed => return "Failed",
                Role::Init if !done => return if over { "Failed" } else { "Pending" },
                Role::Sidecar if !over && !live.ran => return "Pending",
                _ => {}
            }
        }
        let mains = || self.pairs().filter(|(p, _)| p.role == Role::Main);
        let waiting = mains().filter(|(_, l)| l.running().is_none() && stopped(l).is_none()).count();
        let running = mains().filter(|(_, l)| l.running().is_some()).count();
        let failed = mains().filter(|(_, l)| stopped(l).is_some_and(|e| e.exit != 0)).count();
        let again = mains().any(|(p, l)| stopped(l).is_some_and(|e| p.restart.after(e.exit)));
        match (over, waiting, running) {
            (true, 0, 0) if failed == 0 => "Succeeded",
            (true, ..) => "Failed",
            (false, 1.., _) => "Pending",
            (false, 0, 1..) => "Running",
            (false, 0, 0) if again => "Running",
            (false, 0, 0) if failed == 0 => "Succeeded",
            (false, 0, 0) => "Failed",
        }
    }

    fn conditions(&self, phase: &str, gate: Option<String>) -> Vec<Condition> {
        let ended = match phase {
            "Succeeded" => Some("PodCompleted"),
            "Failed" => Some("PodFailed"),
            _ => None,
        };
        let names = |take: &dyn Fn(&Part, &Live) -> bool| {
            let names: Vec<_> =
                self.pairs().filter(|(p, l)| take(p, l)).map(|(p, _)| p.name.as_str()).collect();
            names.join(" ")
        };
        let incomplete = names(&|p, l| match p.role {
            Role::Init => l.ended().is_none_or(|e| e.exit != 0),
            Role::Sidecar => l.running().is_none_or(|r| !r.started),
            _ => false,
        });
        let unready = names(&|p, l| {
            matches!(p.role, Role::Main | Role::Sidecar) && l.running().is_none_or(|r| !r.ready)
        });
        let up = ended.is_none() && self.machine.has_sandbox();
        let initialized = match ended {
            Some("PodCompleted") => Condition::new("Initialized", true, "PodCompleted", String::new()),
            _ if incomplete.is_empty() => Condition::new("Initialized", true, "", String::new()),
            _ => {
                let text = format!("containers with incomplete status: [{incomplete}]");
                Condition::new("Initialized", false, "ContainersNotInitialized", text)
            }
        };
        let ready = |name| match ended {
            Some(reason) => Condition::new(name, false, reason, String::new()),
            None if unready.is_empty() => Condition::new(name, true, "", String::new()),
            None => {
                let text = format!("containers with unready status: [{unready}]");
                Condition::new(name, false, "ContainersNotReady", text)
            }
        };
        let mut whole = ready("Ready");
        if whole.holds
            && let Some(gate) = gate
        {
            whole = Condition::new("Ready", false, "ReadinessGatesNotReady", gate);
        }
        vec![
            Condition::new("PodReadyToStartContainers", up, "", String::new()),
            initialized,
            whole,
            ready("ContainersReady"),
        ]
    }

    /// What readiness gates still wait for.
    fn missing_gate(&self, status: &Value) -> Option<String> {
        let waits = self.script.gates.iter().filter_map(|gate| {
            let found = items(&status["conditions"]).find(|c| c["type"] == gate.as_str());
            match found {
                None => {
                    Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist."))
                }
                Some(c) if c["status"] != "True" => Some(format!(
                    "the status of pod readiness gate \"{gate}\" is not \"True\", but {}",
                    c["status"].as_str().unwrap_or_default()
                )),
                Some(_) => None,
            }
        });
        let all: Vec<_> = waits.collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    fn containers(&self, specs: &Value) -> Vec<Value> {
        let find = |spec: &Value| self.pairs().find(|(p, _)| spec["name"] == p.name.as_str());
        items(specs).filter_map(|spec| find(spec).map(|(p, l)| self.container(p, l, spec))).collect()
    }

    fn container(&self, part: &Part, live: &Live, spec: &Value) -> Value {
        let running = live.running();
        let (state, last) = self.states(part, live);
        let ready = match part.role {
            Role::Init => live.ended().is_some_and(|e| e.exit == 0),
            Role::Ephemeral => false,
            _ => running.is_some_and(|r| r.ready),
        };
        let mut out = json!({
            "name": part.name, "ready": ready, "restartCount": live.run, "state": state,
            "lastState": last, "started": running.is_some_and(|r| r.started),
            "image": part.image, "imageID": "",
        });
        if live.ran {
            out["image"] = image::full_name(&part.image).into();
            out["imageID"] = image::id(&part.image).into();
            out["containerID"] = self.id(part, live.run).into();
        }
        let resources = &spec["resources"];
        if running.is_some() && resources.as_object().is_some_and(|r| !r.is_empty()) {
            out["resources"] = resources.clone();
            if resources["requests"].is_object() {
                out["allocatedResources"] = resources["requests"].clone();
            }
        }
        out
    }

    fn id(&self, part: &Part, run: u32) -> String {
        let mut rng = self.timing.rng(&format!("{}/{}/{run}/id", self.script.uid, part.name));
        format!("containerd://{}", rng.hex(64))
    }

    /// `state` and `lastState`.
    fn states(&self, part: &Part, live: &Live) -> (Value, Value) {
        let before = || live.last.as_ref().map_or_else(|| json!({}), |e| self.terminated(part, e));
        let waiting = |reason: &str, message: String| {
            let mut state = Map::new();
            state.insert("reason".into(), reason.into());
            if !message.is_empty() {
                state.insert("message".into(), message.into());
            }
            json!({"waiting": state})
        };
        let state = match &live.step {
            Step::Run(r) => json!({"running": {"startedAt": r.since.rfc3339()}}),
            Step::Ended { run, .. } => self.terminated(part, run),
            Step::PullFailed { message, .. } => waiting("ErrImagePull", message.clone()),
            Step::PullHeld { message, .. } => {
                let text = format!("Back-off pulling image \"{}\": ErrImagePull: {message}", part.image);
                waiting("ImagePullBackOff", text)
            }
            Step::Held { message, .. } => waiting("CreateContainerConfigError", message.clone()),
            Step::CrashLoop { wait, .. } => {
                let text = format!(
                    "back-off {} restarting failed container={} pod={}",
                    go_seconds(*wait),
                    part.name,
                    self.script.full_name
                );
                waiting("CrashLoopBackOff", text)
            }
            // Until the next run has begun, the last one is what there is to tell.
            Step::Idle | Step::Pull { .. } | Step::Create { .. } if live.last.is_some() => {
                return (before(), json!({}));
            }
            Step::Idle | Step::Pull { .. } | Step::Create { .. } => {
                let staged = self.script.parts.iter().any(|p| matches!(p.role, Role::Init | Role::Sidecar));
                waiting(if staged { "PodInitializing" } else { "ContainerCreating" }, String::new())
            }
        };
        (state, before())
    }

    fn terminated(&self, part: &Part, run: &Ended) -> Value {
        json!({"terminated": {
            "exitCode": run.exit, "reason": run.reason, "startedAt": run.since.rfc3339(),
            "finishedAt": run.at.rfc3339(), "containerID": self.id(part, run.run),
        }})
    }
}

/// `10s`, `1m20s`, `5m0s`.
fn go_seconds(wait: std::time::Duration) -> String {
    kiban_base::duration::format_go(wait)
}
