//! Why a pod stays pending, in kube-scheduler's words.

use std::fmt;
use std::sync::Arc;

/// Why a node does not take a pod. The texts are kube-scheduler's of Kubernetes 1.37; clients match them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Cordoned.
    NodeUnschedulable,
    /// The pod names another node.
    NodeName,
    /// A taint that the pod does not tolerate. Kubernetes says since 1.34.2 that there is one, and no
    /// longer which: the pair is for plans, which tell their reader.
    Taint(Arc<str>, Arc<str>),
    /// Node selector or required node affinity.
    NodeAffinity,
    /// The pod's node affinity names other nodes only.
    OtherNodes,
    /// The pod's node affinity contradicts itself about the node's name.
    AffinityConflict,
    /// A host port is taken.
    Ports,
    /// The node's limit of pods.
    TooManyPods,
    /// Too little of the named resource.
    Insufficient(Arc<str>),
    /// A hard topology spread constraint.
    Spread,
    /// A hard topology spread constraint's label is missing.
    SpreadLabel,
    /// The pod's required affinity.
    Affinity,
    /// The pod's required anti-affinity.
    AntiAffinity,
    /// Another pod's required anti-affinity.
    ExistingAntiAffinity,
    /// Preemption: no pod of lower priority is there.
    NoVictims,
    /// Preemption: no eviction would help.
    NotHelpful,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NodeUnschedulable => "node(s) were unschedulable",
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Taint(..) => "node(s) had untolerated taint(s)",
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::OtherNodes => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Self::AffinityConflict => "pod affinity terms conflict",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Insufficient(resource) => return write!(f, "Insufficient {resource}"),
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::SpreadLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Self::Affinity => "node(s) didn't match pod affinity rules",
            Self::AntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
            Self::NoVictims => "No preemption victims found for incoming pod",
            Self::NotHelpful => "Preemption is not helpful for scheduling",
        })
    }
}

/// Why one node rejects the pod, and whether evictions could change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reasons: Vec<Reason>,
    /// Kubernetes' UnschedulableAndUnresolvable: no eviction helps.
    pub(crate) fatal: bool,
}

impl Rejection {
    pub(crate) fn fatal(reason: Reason) -> Self {
        Self { reasons: vec![reason], fatal: true }
    }

    pub(crate) fn resolvable(reason: Reason) -> Self {
        Self { reasons: vec![reason], fatal: false }
    }
}

/// How often each reason was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally(Vec<(Reason, usize)>);

impl Tally {
    pub(crate) fn add(&mut self, reason: Reason, nodes: usize) {
        // A cluster knows a handful of reasons at a time; neighbours in a pool mostly share theirs.
        match self.0.iter_mut().rev().find(|(r, _)| *r == reason) {
            Some((_, n)) => *n += nodes,
            None if nodes > 0 => self.0.push((reason, nodes)),
            None => {}
        }
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`: sorted as texts, as upstream sorts.
    pub(crate) fn message(&self, nodes: usize) -> String {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for (reason, n) in &self.0 {
            let text = reason.to_string();
            match counts.iter_mut().find(|(t, _)| *t == text) {
                Some((_, total)) => *total += n,
                None => counts.push((text, *n)),
            }
        }
        let mut parts: Vec<String> = counts.into_iter().map(|(text, n)| format!("{n} {text}")).collect();
        parts.sort_unstable();
        let mut out = format!("0/{nodes} nodes are available:");
        if !parts.is_empty() {
            out.push(' ');
            out.push_str(&parts.join(", "));
            out.push('.');
        }
        out
    }
}

/// A pod that no node takes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unschedulable {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// The reason of a pod that was not even tried: scheduling gates.
    pub(crate) gated: bool,
    /// A reason that holds for all nodes at once.
    pub(crate) before: Option<Reason>,
    pub(crate) tally: Tally,
    /// Nodes where evictions could help, in the order of the search.
    pub(crate) candidates: Vec<u32>,
    /// What preemption found; empty where it was not tried or found victims.
    pub(crate) preemption: String,
}

impl Unschedulable {
    /// The reasons with the number of nodes that gave each.
    pub fn reasons(&self) -> impl Iterator<Item = (&Reason, usize)> {
        let before = self.before.iter().map(|r| (r, self.nodes));
        before.chain(self.tally.0.iter().map(|(r, n)| (r, *n)))
    }

    /// Whether scheduling gates hold the pod.
    pub fn is_gated(&self) -> bool {
        self.gated
    }

    /// The reason of the PodScheduled condition.
    pub fn condition_reason(&self) -> &'static str {
        if self.gated { "SchedulingGated" } else { "Unschedulable" }
    }

    /// The message of the PodScheduled condition and of the FailedScheduling event.
    pub fn message(&self) -> String {
        if self.gated {
            return "Scheduling is blocked due to non-empty scheduling gates".to_string();
        }
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_string();
        }
        let mut out = match &self.before {
            Some(reason) => format!("0/{} nodes are available: {reason}.", self.nodes),
            None => self.tally.message(self.nodes),
        };
        if !self.preemption.is_empty() {
            out.push_str(" preemption: ");
            out.push_str(&self.preemption);
        }
        out
    }
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Unschedulable {}
