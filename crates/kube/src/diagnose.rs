//! Why a workload does not get ready, from what the API says: the workload, its revisions, the pods of
//! the new one, Events and claims. Pure; [`fetch`] gathers the evidence.
//!
//! Two questions are answered, and kept apart: *what stands in the way* ([`Diagnosis::findings`], the
//! most telling first, each told as stuck or merely slow), and *how the new revision's pods do*
//! (restarts, availability), where pods that were lost to a drain, a preemption, an eviction or a node
//! count for nothing: that is no fault of the revision.

mod event;
pub mod fetch;
mod pod;
mod workload;

use std::fmt;

use kiban_base::clock::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::object::ObjectId;

/// What is known.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The workload: a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or Pod.
    pub workload: &'a Value,
    /// The ReplicaSets or ControllerRevisions of its namespace that may be its own.
    pub revisions: &'a [Value],
    /// The pods that may be its own.
    pub pods: &'a [Value],
    /// The Events of its namespace.
    pub events: &'a [Value],
    /// The claims of its namespace.
    pub claims: &'a [Value],
    /// The time.
    pub now: Timestamp,
}

/// What stands in the way, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Cause {
    /// The image cannot be pulled.
    ImagePull,
    /// The image's name is none.
    ImageName,
    /// A container ends again and again.
    CrashLoop,
    /// A container needs more memory than it may have.
    OutOfMemory,
    /// A container ended with an error and is not started again.
    Exited,
    /// A container cannot be started: its command, a hook, its runtime.
    Start,
    /// A ConfigMap, Secret or key that a container refers to is missing.
    Config,
    /// A volume cannot be mounted or attached.
    Mount,
    /// The pod's network cannot be made.
    Sandbox,
    /// A claim is not bound to a volume.
    Claim,
    /// No node takes the pod.
    Unschedulable,
    /// A quota is full.
    Quota,
    /// The pods are refused: by a policy, a webhook, for want of a service account.
    Refused,
    /// A liveness or startup probe fails, so that the container is killed.
    Liveness,
    /// A readiness probe fails.
    Readiness,
    /// A pod fills more disk than it may.
    Storage,
    /// A Job gave up.
    JobFailed,
    /// The rollout is paused.
    Paused,
    /// The progress deadline is over, and nothing says why.
    Deadline,
    /// The controller has not looked at the new spec yet.
    NotObserved,
    /// It is under way: made, pulled, started, initialised.
    Starting,
    /// Old pods are still to go, or new ones to be ready for long enough.
    Settling,
}

/// Whether waiting helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Gravity {
    /// It does not get better without a change.
    Stuck,
    /// It may yet come.
    Slow,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether waiting helps.
    pub gravity: Gravity,
    /// What it is.
    pub cause: Cause,
    /// `pod/orders-7c9f` or whatever it is about, in kubectl's words.
    pub subject: String,
    /// The container, where it is about one.
    pub container: Option<String>,
    /// What is the matter, in one line, with the words of whoever says so.
    pub message: String,
    /// The last warning Event about the subject, where the message does not say it.
    pub event: Option<String>,
    /// Whose log tells more.
    pub log: Option<LogOf>,
    /// The log's last lines, once fetched.
    pub lines: Vec<String>,
}

/// A container's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogOf {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Of the container's life before this one.
    pub previous: bool,
}

/// One line for a terminal or a chat; the log's lines are left to the caller.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if let Some(container) = &self.container {
            write!(f, " (container {container})")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(event) = &self.event {
            write!(f, "; {event}")?;
        }
        Ok(())
    }
}

/// What the evidence says of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Diagnosis {
    /// What stands in the way: stuck before slow, one a cause and container name, the most telling first.
    pub findings: Vec<Finding>,
    /// Pods that the spec asks for; one for a Pod.
    pub wanted: usize,
    /// Pods of the new revision that are not on their way out or lost.
    pub pods: usize,
    /// Those of them that are ready.
    pub ready: usize,
    /// Restarts of the containers of these pods.
    pub restarts: u64,
    /// Pods of the new revision that were lost to a drain, preemption, eviction or node.
    pub lost: Vec<String>,
}

impl Diagnosis {
    /// True when waiting alone does not help.
    pub fn is_stuck(&self) -> bool {
        self.findings.first().is_some_and(|f| f.gravity == Gravity::Stuck)
    }

    /// Findings of causes that say that the new revision itself is bad: what a verdict counts.
    pub fn faults(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.cause.is_fault())
    }
}

impl Cause {
    /// True for what the new revision brings with it, false for what its surroundings do and for what
    /// is merely under way.
    pub fn is_fault(self) -> bool {
        use Cause::{
            Config, CrashLoop, Exited, ImageName, ImagePull, JobFailed, Liveness, Mount, OutOfMemory,
            Readiness, Refused, Start, Storage,
        };
        matches!(
            self,
            Config
                | CrashLoop
                | Exited
                | ImageName
                | ImagePull
                | JobFailed
                | Liveness
                | Mount
                | OutOfMemory
                | Readiness
                | Refused
                | Start
                | Storage
        )
    }
}

/// Judges the evidence.
pub fn diagnose(evidence: &Evidence<'_>) -> Diagnosis {
    let members = workload::members(evidence);
    let mut diagnosis = Diagnosis { wanted: workload::wanted(evidence.workload), ..Diagnosis::default() };
    let mut findings = workload::findings(evidence, &members);
    for pod in &members.pods {
        match pod::standing(pod) {
            pod::Standing::Leaving => {}
            pod::Standing::Lost => diagnosis.lost.push(pod::name(pod).into()),
            pod::Standing::Counts => {
                diagnosis.pods += 1;
                diagnosis.ready += usize::from(pod::is_ready(pod));
                diagnosis.restarts += pod::restarts(pod);
                findings.extend(pod::findings(evidence, pod));
            }
        }
    }
    diagnosis.findings = rank(findings);
    diagnosis
}

/// Puts the most telling first, and keeps one of a kind: ten pods that crash alike are one finding.
fn rank(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| (a.gravity, a.cause, &a.subject).cmp(&(b.gravity, b.cause, &b.subject)));
    let mut out: Vec<Finding> = Vec::new();
    for finding in findings {
        if !out.iter().any(|f| f.cause == finding.cause && f.container == finding.container) {
            out.push(finding);
        }
    }
    // That the deadline is over says nothing where something else says why.
    if out.len() > 1 && out.iter().any(|f| f.gravity == Gravity::Stuck && f.cause != Cause::Deadline) {
        out.retain(|f| f.cause != Cause::Deadline);
    }
    out
}

/// `pod/name`, as kubectl names an object.
fn short(object: &Value) -> String {
    ObjectId::of(object).map_or_else(|bad| bad.what, |id| id.short())
}

#[cfg(test)]
mod tests;
