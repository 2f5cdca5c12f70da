//! Pods: the status word, the ready count and the restarts.

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::cell::{
    age, at, cells, condition_true, filled_or, human_duration, items, number, set, text, time,
};
use super::{AGE, NAME, Printer, string};

pub(super) static PRINTERS: &[Printer] = &[Printer {
    group: "",
    kind: "Pod",
    columns: &[
        NAME,
        string("Ready", "Containers that are ready, of those that ought to be."),
        string("Status", "What the pod is doing, in one word."),
        string("Restarts", "How often containers were restarted, and how long ago the last time."),
        AGE,
        string("IP", "First address of the pod.").wide(),
        string("Node", "Node that the pod is bound to.").wide(),
        string("Nominated Node", "Node on which room is being made for the pod.").wide(),
        string("Readiness Gates", "Readiness gates that are passed, of all.").wide(),
    ],
    cells: pod,
}];

fn pod(object: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(object);
    let restarts = match summary.restarts.last {
        Some(last) if summary.restarts.count != 0 => {
            format!("{} ({} ago)", summary.restarts.count, human_duration(now.0.saturating_sub(last.0)))
        }
        _ => summary.restarts.count.to_string(),
    };
    let ip = items(object, "status.podIPs").first().map_or(text(object, "status.podIP"), |ip| text(ip, "ip"));
    cells![
        text(object, "metadata.name"),
        format!("{}/{}", summary.ready, summary.total),
        summary.reason,
        restarts,
        age(object, now),
        if ip.is_empty() { "<none>" } else { ip },
        filled_or(object, "spec.nodeName", "<none>"),
        filled_or(object, "status.nominatedNodeName", "<none>"),
        readiness_gates(object),
    ]
}

/// The condition that a row carries once its pod has ended, so that clients can fold such rows.
pub(super) fn completed(object: &Value) -> Option<Value> {
    let (reason, message) = match text(object, "status.phase") {
        "Succeeded" => ("Succeeded", "All containers of the pod ended without an error."),
        "Failed" => ("Failed", "The pod ended with an error."),
        _ => return None,
    };
    Some(json!({"type": "Completed", "status": "True", "reason": reason, "message": message}))
}

/// Restarts of some containers, and the end of the latest run before one.
#[derive(Debug, Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count = self.count.saturating_add(number(status, "restartCount"));
        self.last = self.last.max(time(at(status, "lastState.terminated.finishedAt")));
    }
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts,
}

fn summarize(object: &Value) -> Summary {
    let init = init_containers(object);
    let mut reason = init.holds.clone().unwrap_or_else(|| base_reason(object).to_owned());
    let mut ready = init.ready;
    let mut restarts = init.restarts;
    if init.holds.is_none() || condition_true(object, "status.conditions", "Initialized") {
        restarts = init.sidecar_restarts;
        reason = app_containers(object, reason, &mut ready, &mut restarts);
    }
    if set(object, "metadata.deletionTimestamp") {
        if text(object, "status.reason") == "NodeLost" {
            reason = "Unknown".to_owned();
        } else if !matches!(text(object, "status.phase"), "Succeeded" | "Failed") {
            reason = "Terminating".to_owned();
        }
    }
    let sidecars = items(object, "spec.initContainers").iter().filter(|c| is_sidecar(c)).count();
    Summary { reason, ready, total: items(object, "spec.containers").len() + sidecars, restarts }
}

/// What the pod itself says, before its containers are asked.
fn base_reason(object: &Value) -> &str {
    let gated = |c: &Value| text(c, "type") == "PodScheduled" && text(c, "reason") == "SchedulingGated";
    if items(object, "status.conditions").iter().any(gated) {
        return "SchedulingGated";
    }
    filled_or(object, "status.reason", text(object, "status.phase"))
}

/// What a walk over the init containers found.
#[derive(Default)]
struct Init {
    /// Status word of the container that holds the start up, if one does.
    holds: Option<String>,
    ready: usize,
    restarts: Restarts,
    sidecar_restarts: Restarts,
}

fn init_containers(object: &Value) -> Init {
    let specs = items(object, "spec.initContainers");
    let sidecar = |name: &str| specs.iter().any(|c| text(c, "name") == name && is_sidecar(c));
    let mut init = Init::default();
    for (index, status) in items(object, "status.initContainerStatuses").iter().enumerate() {
        let sidecar = sidecar(text(status, "name"));
        init.restarts.add(status);
        if sidecar {
            init.sidecar_restarts.add(status);
        }
        let ended = at(status, "state.terminated");
        if ended.is_object() && number(ended, "exitCode") == 0 {
            continue;
        }
        if sidecar && at(status, "started") == &Value::Bool(true) {
            init.ready += usize::from(at(status, "ready") == &Value::Bool(true));
            continue;
        }
        init.holds = Some(match text(status, "state.waiting.reason") {
            _ if ended.is_object() => format!("Init:{}", ended_reason(ended)),
            "" => format!("Init:{index}/{}", specs.len()),
            // Older kubelets say PodInitializing of init containers too, where newer ones say this.
            "PodInitializing" => "Init:ContainerCreating".to_owned(),
            waiting => format!("Init:{waiting}"),
        });
        break;
    }
    init
}

/// Counts ready containers and restarts in; the status word that the containers make of `reason`.
/// They are asked from last to first, so that the first one has the last word.
fn app_containers(object: &Value, mut reason: String, ready: &mut usize, restarts: &mut Restarts) -> String {
    let mut running = false;
    let mut error = None;
    for status in items(object, "status.containerStatuses").iter().rev() {
        restarts.add(status);
        let waiting = text(status, "state.waiting.reason");
        let ended = at(status, "state.terminated");
        if !waiting.is_empty() {
            reason = waiting.to_owned();
        } else if ended.is_object() {
            reason = ended_reason(ended);
            if number(ended, "exitCode") != 0 {
                error = Some(reason.clone());
            }
        } else if at(status, "ready") == &Value::Bool(true) && at(status, "state.running").is_object() {
            running = true;
            *ready += 1;
        }
    }
    if reason != "Completed" {
        return reason;
    }
    // Some container completed, but the pod as a whole may be up, or have failed.
    match error {
        _ if running && any_ready_condition(object) => "Running".to_owned(),
        Some(error) => error,
        None if running => "NotReady".to_owned(),
        None => reason,
    }
}

fn ended_reason(ended: &Value) -> String {
    match (text(ended, "reason"), number(ended, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(ended, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn any_ready_condition(object: &Value) -> bool {
    let ready = |c: &Value| text(c, "type") == "Ready" && text(c, "status") == "True";
    items(object, "status.conditions").iter().any(ready)
}

/// An init container that keeps running beside the app's containers.
fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

fn readiness_gates(object: &Value) -> String {
    let gates = items(object, "spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates
        .iter()
        .filter(|g| condition_true(object, "status.conditions", text(g, "conditionType")))
        .count();
    format!("{passed}/{}", gates.len())
}
