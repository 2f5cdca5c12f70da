//! How far an object has come, by the rules of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus/status).
//!
//! Pure: an object as JSON and the time go in, a verdict comes out. Where the library answers with an
//! error (a status of the wrong shape) the verdict is [`Status::Unknown`] with a message.

use std::fmt;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::object::{group_of, text_at};

/// The states that kstatus knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Status {
    /// The object is on its way to what its spec says.
    InProgress,
    /// It will not get there without a change.
    Failed,
    /// It is what its spec says.
    Current,
    /// It is being deleted.
    Terminating,
    /// It does not exist.
    NotFound,
    /// Its state cannot be told.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Current => "Current",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
        })
    }
}

/// A condition in the sense of kstatus: `Reconciling` or `Stalled`, present when true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `Reconciling` or `Stalled`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Always `True` in a verdict.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// The verdict on one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// How far the object has come.
    pub status: Status,
    /// Why, in one line.
    pub message: String,
    /// The conditions that kstatus would put on the object.
    pub conditions: Vec<Condition>,
}

/// How long a pod may be unscheduled before that counts as a failure.
const SCHEDULE_WINDOW: Duration = Duration::from_secs(15);

/// What kstatus takes as "no deadline" for a Deployment: the controller's own special value.
const NO_PROGRESS_DEADLINE: i64 = i32::MAX as i64;

impl Readiness {
    /// The verdict on an object that does not exist.
    pub fn not_found() -> Self {
        Self { status: Status::NotFound, message: "Resource not found".into(), conditions: Vec::new() }
    }

    /// True when nothing more is to be waited for.
    pub fn is_current(&self) -> bool {
        self.status == Status::Current
    }

    pub(crate) fn current(message: impl Into<String>) -> Self {
        Self { status: Status::Current, message: message.into(), conditions: Vec::new() }
    }

    pub(crate) fn in_progress(reason: &str, message: impl Into<String>) -> Self {
        Self::with_condition(Status::InProgress, "Reconciling", reason, message.into())
    }

    pub(crate) fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self::with_condition(Status::Failed, "Stalled", reason, message.into())
    }

    fn with_condition(status: Status, kind: &str, reason: &str, message: String) -> Self {
        let condition = Condition {
            kind: kind.into(),
            status: "True".into(),
            reason: reason.into(),
            message: message.clone(),
        };
        Self { status, message, conditions: vec![condition] }
    }
}

/// The readiness of an object as the API returned it, `status` included. `now` matters only to pods
/// that wait for a node.
pub fn readiness(object: &Value, now: Timestamp) -> Readiness {
    judge(object, now).unwrap_or_else(|malformed| Readiness {
        status: Status::Unknown,
        message: malformed.0,
        conditions: Vec::new(),
    })
}

/// Whether an apply waits for this object. A claim that no volume is bound to yet does not hold an
/// apply up: with a storage class of mode `WaitForFirstConsumer` it is bound only when a pod wants it.
pub fn blocks_apply(object: &Value, readiness: &Readiness) -> bool {
    let unbound_claim = text_at(object, &["kind"]) == Some("PersistentVolumeClaim")
        && group_of(object).is_empty()
        && readiness.status == Status::InProgress
        && matches!(text_at(object, &["status", "phase"]), None | Some("" | "Pending"));
    !readiness.is_current() && !unbound_claim
}

/// The object has not the shape that its kind's rule reads.
struct Malformed(String);

type Verdict = Result<Readiness, Malformed>;

/// One condition as the object carries it.
struct Found<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn judge(object: &Value, now: Timestamp) -> Verdict {
    if let Some(text) = nested_string(object, &["metadata", "deletionTimestamp"])?
        && !text.is_empty()
    {
        return Ok(Readiness {
            status: Status::Terminating,
            message: "Resource scheduled for deletion".into(),
            conditions: Vec::new(),
        });
    }
    if let Some(verdict) = observed_generation(object)? {
        return Ok(verdict);
    }
    let conditions = conditions(object)?;
    for c in &conditions {
        match (c.kind, c.status) {
            ("Reconciling", "True") => return Ok(Readiness::in_progress(c.reason, c.message)),
            ("Stalled", "True") => return Ok(Readiness::failed(c.reason, c.message)),
            _ => {}
        }
    }
    by_kind(object, &conditions, now)
}

fn by_kind(object: &Value, conditions: &[Found<'_>], now: Timestamp) -> Verdict {
    let kind = if malformed_api_version(object) { "" } else { text_at(object, &["kind"]).unwrap_or("") };
    match (group_of(object), kind) {
        ("", "Service") => Ok(service(object)),
        ("", "Pod") => pod(object, conditions, now),
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") => {
            Ok(Readiness::current("Resource is always ready"))
        }
        ("", "PersistentVolumeClaim") => Ok(claim(object)),
        ("apps", "StatefulSet") => Ok(stateful_set(object)),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object),
        ("apps" | "extensions", "Deployment") => Ok(deployment(object, conditions)),
        ("apps" | "extensions", "ReplicaSet") => Ok(replica_set(object, conditions)),
        ("policy", "PodDisruptionBudget") => Ok(Readiness::current("AllowedDisruptions has been computed.")),
        ("batch", "Job") => Ok(job(object, conditions)),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Ok(definition(conditions)),
        _ => Ok(other(conditions)),
    }
}

/// Any other kind: a `Ready` condition decides where there is one.
fn other(conditions: &[Found<'_>]) -> Readiness {
    for c in conditions.iter().filter(|c| c.kind == "Ready") {
        match c.status {
            "True" => return Readiness::current("Resource is Ready"),
            "False" | "Unknown" => return Readiness::in_progress(c.reason, c.message),
            _ => {}
        }
    }
    Readiness::current("Resource is current")
}

fn observed_generation(object: &Value) -> Result<Option<Readiness>, Malformed> {
    let Some(generation) = nested_int(object, &["metadata", "generation"])? else { return Ok(None) };
    let Some(observed) = nested_int(object, &["status", "observedGeneration"])? else { return Ok(None) };
    if observed == generation {
        return Ok(None);
    }
    let kind = text_at(object, &["kind"]).unwrap_or("");
    let message = format!("{kind} generation is {generation}, but latest observed generation is {observed}");
    Ok(Some(Readiness::in_progress("LatestGenerationNotObserved", message)))
}

fn stateful_set(object: &Value) -> Readiness {
    if text_at(object, &["spec", "updateStrategy", "type"]) == Some("OnDelete") {
        return Readiness::current("StatefulSet is using the ondelete update strategy");
    }
    let wanted = int_at(object, &["spec", "replicas"], 1);
    let status = |field| int_at(object, &["status", field], 0);
    let (replicas, ready) = (status("replicas"), status("readyReplicas"));
    if wanted > replicas {
        return Readiness::in_progress("LessReplicas", format!("Replicas: {replicas}/{wanted}"));
    }
    if wanted > ready {
        return Readiness::in_progress("LessReady", format!("Ready: {ready}/{wanted}"));
    }
    if replicas > wanted {
        return surplus(replicas, wanted);
    }
    let updated = status("updatedReplicas");
    let partition = int_at(object, &["spec", "updateStrategy", "rollingUpdate", "partition"], -1);
    if partition != -1 {
        let goal = wanted.saturating_sub(partition);
        if updated < goal {
            return Readiness::in_progress("PartitionRollout", format!("updated: {updated}/{goal}"));
        }
        return Readiness::current(format!("Partition rollout complete. updated: {updated}"));
    }
    let current = status("currentReplicas");
    if wanted > current {
        return Readiness::in_progress("LessCurrent", format!("current: {current}/{wanted}"));
    }
    let revision = |field| text_at(object, &["status", field]).unwrap_or("");
    if revision("currentRevision") != revision("updateRevision") {
        return Readiness::in_progress("RevisionMismatch", "Waiting for updated revision to match current");
    }
    Readiness::current(format!("All replicas scheduled as expected. Replicas: {replicas}"))
}

fn deployment(object: &Value, conditions: &[Found<'_>]) -> Readiness {
    let deadline = int_at(object, &["spec", "progressDeadlineSeconds"], NO_PROGRESS_DEADLINE);
    let mut progressing = deadline == NO_PROGRESS_DEADLINE;
    let mut available = false;
    for c in conditions {
        match c.kind {
            "Progressing" if c.reason == "ProgressDeadlineExceeded" => {
                let mut verdict = Readiness::failed(c.reason, c.message);
                verdict.message = "Progress deadline exceeded".into();
                return verdict;
            }
            "Progressing" if c.status == "True" && c.reason == "NewReplicaSetAvailable" => progressing = true,
            "Available" if c.status == "True" => available = true,
            _ => {}
        }
    }
    if let Some(verdict) = deployment_replicas(object) {
        return verdict;
    }
    if !progressing {
        return Readiness::in_progress("ReplicaSetNotAvailable", "ReplicaSet not Available");
    }
    if !available {
        return Readiness::in_progress("DeploymentNotAvailable", "Deployment not Available");
    }
    let replicas = int_at(object, &["status", "replicas"], 0);
    Readiness::current(format!("Deployment is available. Replicas: {replicas}"))
}

fn deployment_replicas(object: &Value) -> Option<Readiness> {
    let wanted = int_at(object, &["spec", "replicas"], 1);
    let status = |field| int_at(object, &["status", field], 0);
    let (replicas, updated) = (status("replicas"), status("updatedReplicas"));
    let (ready, available) = (status("readyReplicas"), status("availableReplicas"));
    if wanted > replicas {
        return Some(Readiness::in_progress("LessReplicas", format!("Replicas: {replicas}/{wanted}")));
    }
    if wanted > updated {
        return Some(Readiness::in_progress("LessUpdated", format!("Updated: {updated}/{wanted}")));
    }
    if replicas > wanted {
        return Some(surplus(replicas, wanted));
    }
    if updated > available {
        return Some(Readiness::in_progress("LessAvailable", format!("Available: {available}/{updated}")));
    }
    if wanted > ready {
        return Some(Readiness::in_progress("LessReady", format!("Ready: {ready}/{wanted}")));
    }
    None
}

fn replica_set(object: &Value, conditions: &[Found<'_>]) -> Readiness {
    if conditions.iter().any(|c| c.kind == "ReplicaFailure" && c.status == "True") {
        return Readiness::in_progress("ReplicaFailure", "Replica Failure condition. Check Pods");
    }
    let wanted = int_at(object, &["spec", "replicas"], 1);
    let status = |field| int_at(object, &["status", field], 0);
    let (replicas, labelled) = (status("replicas"), status("fullyLabeledReplicas"));
    let (available, ready) = (status("availableReplicas"), status("readyReplicas"));
    if wanted > labelled {
        return Readiness::in_progress("LessLabelled", format!("Labelled: {labelled}/{wanted}"));
    }
    if wanted > available {
        return Readiness::in_progress("LessAvailable", format!("Available: {available}/{wanted}"));
    }
    if wanted > ready {
        return Readiness::in_progress("LessReady", format!("Ready: {ready}/{wanted}"));
    }
    if replicas > wanted {
        return surplus(replicas, wanted);
    }
    Readiness::current(format!("ReplicaSet is available. Replicas: {replicas}"))
}

fn surplus(replicas: i64, wanted: i64) -> Readiness {
    let message = format!("Pending termination: {}", replicas.saturating_sub(wanted));
    Readiness::in_progress("ExtraPods", message)
}

fn daemon_set(object: &Value) -> Verdict {
    let kind = text_at(object, &["kind"]).unwrap_or("");
    if nested_int(object, &["metadata", "generation"])?.is_none() {
        return Ok(Readiness::in_progress("NoGeneration", format!("{kind} metadata.generation not found")));
    }
    if nested_int(object, &["status", "observedGeneration"])?.is_none() {
        let message = format!("{kind} status.observedGeneration not found");
        return Ok(Readiness::in_progress("NoObservedGeneration", message));
    }
    let desired = int_at(object, &["status", "desiredNumberScheduled"], -1);
    if desired == -1 {
        return Ok(Readiness::in_progress("NoDesiredNumber", "Missing .status.desiredNumberScheduled"));
    }
    const STEPS: [(&str, &str, &str); 4] = [
        ("currentNumberScheduled", "LessCurrent", "Current"),
        ("updatedNumberScheduled", "LessUpdated", "Updated"),
        ("numberAvailable", "LessAvailable", "Available"),
        ("numberReady", "LessReady", "Ready"),
    ];
    for (field, reason, word) in STEPS {
        let have = int_at(object, &["status", field], 0);
        if desired > have {
            return Ok(Readiness::in_progress(reason, format!("{word}: {have}/{desired}")));
        }
    }
    Ok(Readiness::current(format!("All replicas scheduled as expected. Replicas: {desired}")))
}

fn claim(object: &Value) -> Readiness {
    let phase = text_at(object, &["status", "phase"]).unwrap_or("unknown");
    if phase == "Bound" {
        return Readiness::current("PVC is Bound");
    }
    Readiness::in_progress("NotBound", format!("PVC is not Bound. phase: {phase}"))
}

fn pod(object: &Value, conditions: &[Found<'_>], now: Timestamp) -> Verdict {
    Ok(match text_at(object, &["status", "phase"]).unwrap_or("") {
        "Succeeded" => Readiness::current("Pod has completed successfully"),
        "Failed" => Readiness::current("Pod has completed, but not successfully"),
        "Running" => running_pod(object, conditions)?,
        "Pending" => pending_pod(object, conditions, now),
        "" => Readiness::in_progress("PodNotObserved", "Pod phase not available"),
        phase => return Err(Malformed(format!("unknown phase {phase}"))),
    })
}

fn running_pod(object: &Value, conditions: &[Found<'_>]) -> Verdict {
    if conditions.iter().any(|c| c.kind == "Ready" && c.status == "True") {
        return Ok(Readiness::current("Pod is Ready"));
    }
    let crashing = crash_looping(object)?;
    if !crashing.is_empty() {
        let message = format!("Containers in CrashLoop state: {}", crashing.join(","));
        return Ok(Readiness::failed("ContainerCrashLooping", message));
    }
    Ok(Readiness::in_progress("PodRunningNotReady", "Pod is running but is not Ready"))
}

fn pending_pod(object: &Value, conditions: &[Found<'_>], now: Timestamp) -> Readiness {
    let unscheduled = conditions.iter().find(|c| c.kind == "PodScheduled" && c.status == "False");
    if unscheduled.is_none_or(|c| c.reason != "Unschedulable") {
        return Readiness::in_progress("PodPending", "Pod is in the Pending phase");
    }
    let created = text_at(object, &["metadata", "creationTimestamp"]).and_then(Timestamp::parse);
    if created.is_some_and(|created| now - SCHEDULE_WINDOW < created) {
        return Readiness::in_progress("PodNotScheduled", "Pod has not been scheduled");
    }
    Readiness::failed("PodUnschedulable", "Pod could not be scheduled")
}

fn crash_looping(object: &Value) -> Result<Vec<&str>, Malformed> {
    let Some(statuses) = nested(object, &["status", "containerStatuses"])? else { return Ok(Vec::new()) };
    let Value::Array(statuses) = statuses else { return Err(wrong("status.containerStatuses", "a list")) };
    let mut names = Vec::new();
    for status in statuses {
        let field = "status.containerStatuses[]";
        let Value::Object(status) = status else { return Err(wrong(field, "an object")) };
        let Some(name) = status.get("name") else { continue };
        let Value::String(name) = name else { return Err(wrong("status.containerStatuses[].name", "text")) };
        let mut at = status;
        let mut missing = false;
        for step in ["state", "waiting"] {
            match at.get(step) {
                None => missing = true,
                Some(Value::Object(next)) => at = next,
                Some(_) => return Err(wrong("status.containerStatuses[].state", "an object")),
            }
            if missing {
                break;
            }
        }
        if missing {
            continue;
        }
        match at.get("reason") {
            None => {}
            Some(Value::String(reason)) if reason == "CrashLoopBackOff" => names.push(name.as_str()),
            Some(Value::String(_)) => {}
            Some(_) => return Err(wrong("status.containerStatuses[].state.waiting.reason", "text")),
        }
    }
    Ok(names)
}

fn job(object: &Value, conditions: &[Found<'_>]) -> Readiness {
    let parallelism = int_at(object, &["spec", "parallelism"], 1);
    let completions = int_at(object, &["spec", "completions"], parallelism);
    let status = |field| int_at(object, &["status", field], 0);
    let (succeeded, active, failed) = (status("succeeded"), status("active"), status("failed"));
    for c in conditions.iter().filter(|c| c.status == "True") {
        match c.kind {
            "Complete" => {
                return Readiness::current(format!("Job Completed. succeeded: {succeeded}/{completions}"));
            }
            "Failed" => {
                return Readiness::failed("JobFailed", format!("Job Failed. failed: {failed}/{completions}"));
            }
            _ => {}
        }
    }
    if text_at(object, &["status", "startTime"]).unwrap_or("").is_empty() {
        return Readiness::in_progress("JobNotStarted", "Job not started");
    }
    Readiness::current(format!("Job in progress. success:{succeeded}, active: {active}, failed: {failed}"))
}

fn service(object: &Value) -> Readiness {
    let balanced = text_at(object, &["spec", "type"]) == Some("LoadBalancer");
    if balanced && text_at(object, &["spec", "clusterIP"]).unwrap_or("").is_empty() {
        return Readiness::in_progress("NoIPAssigned", "ClusterIP not set. Service type: LoadBalancer");
    }
    Readiness::current("Service is ready")
}

fn definition(conditions: &[Found<'_>]) -> Readiness {
    for c in conditions {
        match (c.kind, c.status) {
            ("NamesAccepted", "False") => return Readiness::failed(c.reason, c.message),
            ("Established", "False") if c.reason != "Installing" => {
                return Readiness::failed(c.reason, c.message);
            }
            ("Established", "True") => return Readiness::current("CRD is established"),
            _ => {}
        }
    }
    Readiness::in_progress("Installing", "Install in progress")
}

fn wrong(field: &str, expected: &str) -> Malformed {
    Malformed(format!("{field} is not {expected}"))
}

/// `status.conditions`, all of the right shape or none: null counts as absent everywhere.
fn conditions(object: &Value) -> Result<Vec<Found<'_>>, Malformed> {
    let status = match object.get("status") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(status)) => status,
        Some(_) => return Err(wrong("status", "an object")),
    };
    let list = match status.get("conditions") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("status.conditions", "a list")),
    };
    list.iter().map(condition).collect()
}

fn condition(value: &Value) -> Result<Found<'_>, Malformed> {
    let field = |name: &str| match value.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(Malformed(format!("status.conditions[].{name} is not text"))),
    };
    if !value.is_object() && !value.is_null() {
        return Err(wrong("status.conditions[]", "an object"));
    }
    Ok(Found {
        kind: field("type")?,
        status: field("status")?,
        reason: field("reason")?,
        message: field("message")?,
    })
}

/// A field by path, with the library's three answers: absent, present, or in the way of something
/// that is no object. A null on the way counts as absent, a null at its end as present.
fn nested<'a>(object: &'a Value, path: &[&str]) -> Result<Option<&'a Value>, Malformed> {
    let mut at = object;
    for step in path {
        match at {
            Value::Null => return Ok(None),
            Value::Object(map) => match map.get(*step) {
                None => return Ok(None),
                Some(next) => at = next,
            },
            _ => return Err(Malformed(format!("{} is not reachable", path.join(".")))),
        }
    }
    Ok(Some(at))
}

fn nested_string<'a>(object: &'a Value, path: &[&str]) -> Result<Option<&'a str>, Malformed> {
    match nested(object, path)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&path.join("."), "text")),
    }
}

fn nested_int(object: &Value, path: &[&str]) -> Result<Option<i64>, Malformed> {
    match nested(object, path)? {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong(&path.join("."), "an integer")),
    }
}

fn int_at(object: &Value, path: &[&str], default: i64) -> i64 {
    nested(object, path).ok().flatten().and_then(Value::as_i64).unwrap_or(default)
}

/// More than one slash: client-go then takes neither group nor kind from the object.
fn malformed_api_version(object: &Value) -> bool {
    text_at(object, &["apiVersion"]).is_some_and(|v| v.matches('/').count() > 1)
}

#[cfg(test)]
mod tests;
