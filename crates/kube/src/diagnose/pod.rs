//! What concerns one pod: whether it counts, and what stands in its way.

use serde_json::Value;

use super::{Cause, Evidence, Finding, Gravity, LogOf, event, short};
use crate::object::text_at;

/// Whether a pod says something about its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    Counts,
    /// It is being deleted: scaled down, or replaced.
    Leaving,
    /// It was lost to a drain, a preemption, an eviction or its node: no fault of the revision.
    Lost,
}

/// Reasons in a pod's status that its node gives, not its program.
const NODE_REASONS: &[&str] = &[
    "Evicted",
    "NodeLost",
    "NodeShutdown",
    "Shutdown",
    "Terminated",
    "Preempting",
    "NodeAffinity",
    "OutOfcpu",
    "OutOfmemory",
    "OutOfpods",
    "OutOfephemeral-storage",
    "UnexpectedAdmissionError",
    "TopologyAffinityError",
];

/// The name.
pub(super) fn name(pod: &Value) -> &str {
    text_at(pod, &["metadata", "name"]).unwrap_or("")
}

/// A condition of the pod, whatever its status.
fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let list = pod.get("status").and_then(|s| s.get("conditions")).and_then(Value::as_array);
    list.into_iter().flatten().find(|c| text_at(c, &["type"]) == Some(kind))
}

fn is_true(condition: Option<&Value>) -> bool {
    condition.and_then(|c| text_at(c, &["status"])) == Some("True")
}

/// The kubelet's words for a pod that filled its own disk allowance: an eviction that is its own fault.
fn overfilled(pod: &Value) -> Option<&str> {
    let message = text_at(pod, &["status", "message"])?;
    let own = ["exceeds the limit", "exceeds the total limit", "exceeded its local ephemeral storage limit"];
    let evicted = text_at(pod, &["status", "reason"]) == Some("Evicted");
    (evicted && own.iter().any(|w| message.contains(w))).then_some(message.trim())
}

/// Whether the pod says something about its revision.
pub(super) fn standing(pod: &Value) -> Standing {
    if overfilled(pod).is_some() {
        return Standing::Counts;
    }
    let failed = text_at(pod, &["status", "phase"]) == Some("Failed");
    let by_node = text_at(pod, &["status", "reason"]).is_some_and(|r| NODE_REASONS.contains(&r));
    if is_true(condition(pod, "DisruptionTarget")) || (by_node && (failed || is_leaving(pod))) {
        return Standing::Lost;
    }
    if is_leaving(pod) { Standing::Leaving } else { Standing::Counts }
}

fn is_leaving(pod: &Value) -> bool {
    text_at(pod, &["metadata", "deletionTimestamp"]).is_some()
}

/// True for a pod that takes requests.
pub(super) fn is_ready(pod: &Value) -> bool {
    is_true(condition(pod, "Ready"))
}

/// The status of its containers, init containers first, with whether they are such.
fn containers(pod: &Value) -> impl Iterator<Item = (&Value, bool)> {
    let of = |field: &str| pod.get("status").and_then(|s| s.get(field)).and_then(Value::as_array);
    let init = of("initContainerStatuses").into_iter().flatten().map(|c| (c, true));
    init.chain(of("containerStatuses").into_iter().flatten().map(|c| (c, false)))
}

/// Restarts of all its containers.
pub(super) fn restarts(pod: &Value) -> u64 {
    containers(pod).filter_map(|(c, _)| c.get("restartCount").and_then(Value::as_u64)).sum()
}

/// What stands in its way.
pub(super) fn findings(evidence: &Evidence<'_>, pod: &Value) -> Vec<Finding> {
    let view = View { evidence, pod };
    if let Some(message) = overfilled(pod) {
        return vec![view.finding(Gravity::Stuck, Cause::Storage, message)];
    }
    let mut out: Vec<Finding> = containers(pod).filter_map(|(c, init)| view.container(c, init)).collect();
    if out.is_empty() && !is_ready(pod) && text_at(pod, &["status", "phase"]) != Some("Succeeded") {
        out.extend(view.whole());
    }
    for finding in &mut out {
        finding.event = event::warning(evidence.events, pod, &finding.message);
    }
    out
}

/// A pod with the evidence around it.
struct View<'a> {
    evidence: &'a Evidence<'a>,
    pod: &'a Value,
}

/// What is told of a container at once: why it waits or how it ended.
const IMAGE_PULL: &[&str] = &[
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
const START: &[&str] = &[
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
];

/// Words of registries and runtimes for what no second try mends.
const PULL_IS_FINAL: &[&str] = &[
    "not found",
    "manifest unknown",
    "manifest_unknown",
    "name unknown",
    "unauthorized",
    "authentication required",
    "authorization failed",
    "denied",
    "forbidden",
    "no match for platform",
    "does not exist",
    "not present with pull policy of never",
    "no such host",
    "signature",
];

impl View<'_> {
    fn finding(&self, gravity: Gravity, cause: Cause, message: impl Into<String>) -> Finding {
        Finding {
            gravity,
            cause,
            subject: short(self.pod),
            container: None,
            message: message.into(),
            event: None,
            log: None,
            lines: Vec::new(),
        }
    }

    fn log(&self, container: &str, previous: bool) -> Option<LogOf> {
        Some(LogOf {
            namespace: text_at(self.pod, &["metadata", "namespace"]).unwrap_or("").into(),
            pod: name(self.pod).into(),
            container: container.into(),
            previous,
        })
    }

    /// What stands in a container's way; none where nothing does, or where the pod as a whole waits.
    fn container(&self, status: &Value, init: bool) -> Option<Finding> {
        let name = text_at(status, &["name"]).unwrap_or("");
        let found = match text_at(status, &["state", "waiting", "reason"]) {
            Some(reason) => self.waiting(status, name, reason),
            None if status["state"].get("terminated").is_some() => self.ended(status, name),
            None => self.running(status, name, init),
        };
        found.map(|finding| Finding { container: Some(name.into()), ..finding })
    }

    fn waiting(&self, status: &Value, name: &str, reason: &str) -> Option<Finding> {
        let message = text_at(status, &["state", "waiting", "message"]).unwrap_or("").trim();
        let told = if message.is_empty() { reason.to_string() } else { format!("{reason}: {message}") };
        let image = text_at(status, &["image"]).unwrap_or("");
        if IMAGE_PULL.contains(&reason) {
            return Some(self.pull(image, reason, message));
        }
        if START.contains(&reason) {
            return Some(self.finding(Gravity::Stuck, Cause::Start, told));
        }
        match reason {
            "InvalidImageName" => Some(self.finding(Gravity::Stuck, Cause::ImageName, told)),
            "CreateContainerConfigError" => Some(self.finding(Gravity::Stuck, Cause::Config, told)),
            "CrashLoopBackOff" => Some(self.crash_loop(status, name)),
            // "ContainerCreating", "PodInitializing": what holds it up is said of the pod.
            _ => None,
        }
    }

    /// The image with the registry's own words, from the status or else from the newest Event.
    fn pull(&self, image: &str, reason: &str, message: &str) -> Finding {
        let pod = self.pod;
        let about_image = |e: &&&Value| {
            event::reason(e) == Some("Failed") && event::message(e).is_some_and(|m| m.contains(image))
        };
        let told = event::about(self.evidence.events, pod);
        let words = match message.contains("ErrImagePull: ") || reason != "ImagePullBackOff" {
            true if !message.is_empty() => Some(message),
            _ => told.iter().find(about_image).and_then(|e| event::message(e)),
        };
        let words = words.unwrap_or(message);
        let lower = words.to_lowercase();
        let last = PULL_IS_FINAL.iter().any(|w| lower.contains(w)) || reason == "ErrImageNeverPull";
        let gravity = if last { Gravity::Stuck } else { Gravity::Slow };
        let text = if words.is_empty() { reason.to_string() } else { format!("{reason}: {words}") };
        let text = if text.contains(image) { text } else { format!("image {image}: {text}") };
        self.finding(gravity, Cause::ImagePull, text)
    }

    /// A container that ends again and again. A few restarts may be an order of starts that sorts
    /// itself out; three of the same are not.
    fn crash_loop(&self, status: &Value, name: &str) -> Finding {
        let restarts = status.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
        let last = &status["lastState"]["terminated"];
        let (cause, ended) = ending(last);
        let gravity = if restarts >= 3 { Gravity::Stuck } else { Gravity::Slow };
        // A loop that a probe keeps going is the probe's.
        let probe = event::newest(self.evidence.events, self.pod, &["Killing"])
            .filter(|m| m.contains("probe"))
            .filter(|m| m.contains(name));
        let cause = match (cause, probe) {
            (Cause::OutOfMemory, _) => Cause::OutOfMemory,
            (_, Some(_)) => Cause::Liveness,
            _ => Cause::CrashLoop,
        };
        let why = probe.map(|p| format!("; {p}")).unwrap_or_default();
        let text = format!("CrashLoopBackOff: {ended}, restarted {}{why}", times(restarts));
        Finding { log: self.log(name, true), ..self.finding(gravity, cause, text) }
    }

    /// A container that has ended; a good end is none of our concern.
    fn ended(&self, status: &Value, name: &str) -> Option<Finding> {
        let last = &status["state"]["terminated"];
        let code = last.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
        if code == 0 && text_at(last, &["reason"]).unwrap_or("Completed") == "Completed" {
            return None;
        }
        let (cause, text) = ending(last);
        let never = text_at(self.pod, &["spec", "restartPolicy"]) == Some("Never");
        let gravity = if never { Gravity::Stuck } else { Gravity::Slow };
        Some(Finding { log: self.log(name, false), ..self.finding(gravity, cause, text) })
    }

    fn running(&self, status: &Value, name: &str, init: bool) -> Option<Finding> {
        status["state"].get("running")?;
        let ready = status.get("ready").and_then(Value::as_bool).unwrap_or(false);
        let started = status.get("started").and_then(Value::as_bool).unwrap_or(true);
        let restarts = status.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
        let last = status["lastState"].get("terminated");
        if let Some(last) = last.filter(|_| restarts > 0 && !ready) {
            let (cause, text) = ending(last);
            let cause = if cause == Cause::Exited { Cause::CrashLoop } else { cause };
            let text = format!("{text}, restarted {}; it runs again and is not ready yet", times(restarts));
            return Some(Finding { log: self.log(name, true), ..self.finding(Gravity::Slow, cause, text) });
        }
        // A sidecar that has started holds nobody up; another init container runs to its end.
        if init {
            return (!ready && !started)
                .then(|| self.finding(Gravity::Slow, Cause::Starting, "its init container runs"))
                .or_else(|| {
                    (!is_sidecar(self.pod, name))
                        .then(|| self.finding(Gravity::Slow, Cause::Starting, "its init container runs"))
                });
        }
        if ready {
            return None;
        }
        let probe = event::newest(self.evidence.events, self.pod, &["Unhealthy"]);
        let log = self.log(name, false);
        match probe {
            Some(message) if message.starts_with("Readiness") => {
                Some(Finding { log, ..self.finding(Gravity::Slow, Cause::Readiness, message) })
            }
            Some(message) if !started || message.starts_with("Liveness") => {
                Some(Finding { log, ..self.finding(Gravity::Slow, Cause::Liveness, message) })
            }
            _ => None,
        }
    }

    /// What holds the pod up as a whole: its node, its volumes, its network, or nothing but time.
    fn whole(&self) -> Option<Finding> {
        let pod = self.pod;
        let scheduled = condition(pod, "PodScheduled");
        if scheduled.and_then(|c| text_at(c, &["status"])) == Some("False") {
            return Some(self.unscheduled(scheduled.unwrap_or(&Value::Null)));
        }
        let newest = |reasons: &[&str]| event::newest(self.evidence.events, pod, reasons);
        if let Some(message) = newest(&["FailedMount", "FailedAttachVolume", "FailedMapVolume"]) {
            // What is missing by name stays missing until somebody brings it.
            let missing = message.contains("not found") || message.contains("non-existent");
            let gravity = if missing { Gravity::Stuck } else { Gravity::Slow };
            return Some(self.finding(gravity, Cause::Mount, message));
        }
        if let Some(message) = newest(&["FailedCreatePodSandBox"]) {
            return Some(self.finding(Gravity::Slow, Cause::Sandbox, message));
        }
        if text_at(pod, &["status", "phase"]) == Some("Failed") {
            let text = |field| text_at(pod, &["status", field]).unwrap_or("");
            let message = format!("{} {}", text("reason"), text("message"));
            return Some(self.finding(Gravity::Stuck, Cause::Exited, message.trim()));
        }
        let gate = condition(pod, "Ready").and_then(|c| text_at(c, &["message"]));
        let gated = gate.filter(|m| m.contains("readiness gate"));
        let text = gated.map_or("it is being started", |m| m);
        Some(self.finding(Gravity::Slow, Cause::Starting, text))
    }

    fn unscheduled(&self, condition: &Value) -> Finding {
        let reason = text_at(condition, &["reason"]).unwrap_or("");
        let message = text_at(condition, &["message"]).unwrap_or("").trim();
        if reason == "SchedulingGated" {
            let text = format!("SchedulingGated: {message}");
            return self.finding(Gravity::Slow, Cause::Unschedulable, text);
        }
        if let Some(claim) = self.open_claim() {
            let told = event::about(self.evidence.events, claim);
            let told = told.iter().find(|e| text_at(e, &["type"]) == Some("Warning"));
            let told = told.or(None).and_then(|e| event::message(e));
            let gravity = if told.is_some() { Gravity::Stuck } else { Gravity::Slow };
            let why = told.map(|m| format!(": {m}")).unwrap_or_default();
            let text = format!("waits for {}, which is not bound{why}", short(claim));
            return self.finding(gravity, Cause::Claim, text);
        }
        if message.contains("persistentvolumeclaim") && message.contains("not found") {
            return self.finding(Gravity::Stuck, Cause::Claim, message);
        }
        // Whoever makes nodes says that one comes.
        let comes = ["TriggeredScaleUp", "Nominated"];
        if let Some(told) = event::newest(self.evidence.events, self.pod, &comes) {
            let text = format!("{message}; {told}");
            return self.finding(Gravity::Slow, Cause::Unschedulable, text);
        }
        let preempting = text_at(self.pod, &["status", "nominatedNodeName"]).is_some_and(|n| !n.is_empty());
        let gravity = if preempting { Gravity::Slow } else { Gravity::Stuck };
        self.finding(gravity, Cause::Unschedulable, message)
    }

    /// The first of its claims that is not bound.
    fn open_claim(&self) -> Option<&Value> {
        let volumes = self.pod["spec"]["volumes"].as_array();
        let mut names =
            volumes.into_iter().flatten().filter_map(|v| text_at(v, &["persistentVolumeClaim", "claimName"]));
        let open = |claim: &&Value| text_at(claim, &["status", "phase"]) != Some("Bound");
        names.find_map(|name| {
            self.evidence.claims.iter().filter(open).find(|c| text_at(c, &["metadata", "name"]) == Some(name))
        })
    }
}

fn is_sidecar(pod: &Value, container: &str) -> bool {
    let list = pod["spec"]["initContainers"].as_array();
    list.into_iter()
        .flatten()
        .any(|c| text_at(c, &["name"]) == Some(container) && text_at(c, &["restartPolicy"]) == Some("Always"))
}

fn times(n: u64) -> String {
    if n == 1 { "once".into() } else { format!("{n} times") }
}

/// How a container ended: the cause, and in words.
fn ending(terminated: &Value) -> (Cause, String) {
    let reason = text_at(terminated, &["reason"]).unwrap_or("");
    let code = terminated.get("exitCode").and_then(Value::as_i64);
    let message = text_at(terminated, &["message"]).unwrap_or("").trim();
    if reason == "OOMKilled" {
        return (Cause::OutOfMemory, "it was killed for want of memory (OOMKilled)".into());
    }
    if matches!(reason, "ContainerCannotRun" | "StartError") {
        return (Cause::Start, format!("{reason}: {message}"));
    }
    let mut text = code.map_or_else(|| "it ended".to_string(), |c| format!("it ended with exit code {c}"));
    if let Some(signal) = code.and_then(signal) {
        text.push_str(&format!(" ({signal})"));
    }
    if !message.is_empty() {
        let first = message.lines().last().unwrap_or("");
        text.push_str(&format!(": {first}"));
    }
    (Cause::Exited, text)
}

/// The signal that an exit code of a shell's convention stands for.
fn signal(code: i64) -> Option<&'static str> {
    match code {
        134 => Some("SIGABRT"),
        137 => Some("SIGKILL"),
        139 => Some("SIGSEGV"),
        143 => Some("SIGTERM"),
        _ => None,
    }
}
