//! A pod as scheduling sees it. What pods of one template share is one [`Template`] behind one reference.

mod read;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kiban_base::clock::Timestamp;
use kiban_base::selector::{LabelSelector, Lookup};
use serde_json::Value;

use crate::labels::Labels;
use crate::node::{Effect, Node, Taint};
use crate::resources::Requests;

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name within it.
    pub name: Arc<str>,
}

impl PodKey {
    /// From two texts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod: what is its own, and a reference to what it shares with its siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// The node that it is bound to.
    pub node: Option<Arc<str>>,
    /// The node that preemption made room on for it.
    pub nominated: Option<Arc<str>>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it has ended: such a pod takes no room.
    pub finished: bool,
    /// When the kubelet started it.
    pub started: Option<Timestamp>,
    template: Arc<Template>,
    /// Hash of namespace and template, the same on every run.
    hash: u64,
}

impl Pod {
    /// A pod of a template.
    pub fn new(key: PodKey, template: Arc<Template>) -> Self {
        let mut hasher = DefaultHasher::new();
        key.namespace.hash(&mut hasher);
        template.hash(&mut hasher);
        let hash = hasher.finish();
        Self {
            key,
            node: None,
            nominated: None,
            terminating: false,
            finished: false,
            started: None,
            template,
            hash,
        }
    }

    /// Reads a Kubernetes Pod; what is missing or senseless is empty.
    pub fn from_json(object: &Value) -> Self {
        read::pod(object)
    }

    /// The same pod, bound to a node.
    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.into());
        self
    }

    /// A sibling: the same template under another name, unbound.
    pub fn sibling(&self, name: &str) -> Self {
        let key = PodKey { namespace: self.key.namespace.clone(), name: name.into() };
        Self {
            key,
            node: None,
            nominated: None,
            terminating: false,
            finished: false,
            started: None,
            template: self.template.clone(),
            hash: self.hash,
        }
    }

    /// What it shares with its siblings.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    pub(crate) fn class_hash(&self) -> u64 {
        self.hash
    }
}

/// What pods of one template share: all that decides where they may go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Template {
    /// Labels.
    pub labels: Labels,
    pub(crate) requests: Requests,
    /// The resolved priority.
    pub priority: i32,
    /// Whether it may evict others (`preemptionPolicy` is not `Never`).
    pub preempts: bool,
    /// Names of the scheduling gates that hold it.
    pub gates: Vec<Arc<str>>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Ports of the node that it takes.
    pub ports: Vec<HostPort>,
    /// Node selector and required node affinity.
    pub node_affinity: NodeAffinity,
    /// Preferred node affinity.
    pub preferred_nodes: Vec<WeightedNodeTerm>,
    /// Required pod affinity.
    pub affinity: Vec<PodTerm>,
    /// Required pod anti-affinity.
    pub anti_affinity: Vec<PodTerm>,
    /// Preferred pod affinity; negative weights are preferred anti-affinity.
    pub preferred_pods: Vec<WeightedPodTerm>,
    /// Topology spread constraints, or the cluster's default ones.
    pub spread: Vec<Spread>,
    /// Whether `spread` holds the defaults, for which a node needs none of the labels.
    pub default_spread: bool,
}

impl Template {
    /// Whether the template's pods tolerate a taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        tolerates(&self.tolerations, taint)
    }

    /// Whether the template's pods go to cordoned nodes, as those of DaemonSets do.
    pub(crate) fn tolerates_cordon(&self) -> bool {
        self.tolerates(&Taint {
            key: Arc::from("node.kubernetes.io/unschedulable"),
            value: Arc::from(""),
            effect: Effect::NoSchedule,
        })
    }

    /// The first taint that keeps the template's pods away from a node.
    pub fn untolerated<'a>(&self, node: &'a Node) -> Option<&'a Taint> {
        untolerated(&self.tolerations, &node.taints)
    }
}

/// The first of the taints that forbids scheduling and is not tolerated.
pub(crate) fn untolerated<'a>(tolerations: &[Toleration], taints: &'a [Taint]) -> Option<&'a Taint> {
    taints.iter().find(|t| t.effect != Effect::PreferNoSchedule && !tolerates(tolerations, t))
}

pub(crate) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| t.tolerates(taint))
}

/// How a toleration compares values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TolerationOperator {
    /// The values are equal.
    Equal,
    /// Any value.
    Exists,
    /// The taint's value is the smaller whole number.
    Lt,
    /// The taint's value is the greater whole number.
    Gt,
}

/// What a pod puts up with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The taint's key; empty with `Exists` for every key.
    pub key: Arc<str>,
    /// How the value is compared.
    pub operator: TolerationOperator,
    /// The value.
    pub value: Arc<str>,
    /// The effect; none for every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it covers the taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|e| e != taint.effect) {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        let numbers = || Some((taint.value.parse::<i64>().ok()?, self.value.parse::<i64>().ok()?));
        match self.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => !self.key.is_empty() && self.value == taint.value,
            TolerationOperator::Lt => numbers().is_some_and(|(taint, own)| taint < own),
            TolerationOperator::Gt => numbers().is_some_and(|(taint, own)| taint > own),
        }
    }
}

/// A port of the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address; `0.0.0.0` for all.
    pub ip: Arc<str>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Arc<str>,
    /// The number.
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be taken on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        let all = |p: &Self| &*p.ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || all(self) || all(other))
    }
}

/// Node selector and required node affinity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NodeAffinity {
    /// `spec.nodeSelector`.
    pub selector: Option<LabelSelector>,
    /// The terms, one of which must match; none where there is no requirement.
    pub terms: Option<Vec<NodeTerm>>,
}

impl NodeAffinity {
    /// Whether a node meets both.
    pub fn matches(&self, node: &Node) -> bool {
        self.selector.as_ref().is_none_or(|s| s.matches(&node.labels))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(node)))
    }

    /// Whether every node meets it.
    pub fn is_anything(&self) -> bool {
        self.selector.is_none() && self.terms.is_none()
    }

    /// The nodes that the terms name, where each term names some: then no other need be looked at.
    pub(crate) fn named(&self) -> Option<Vec<Arc<str>>> {
        let terms = self.terms.as_ref().filter(|t| !t.is_empty())?;
        let mut out = Vec::new();
        for term in terms {
            let mut lists = term.names.iter().filter(|(within, _)| *within).map(|(_, names)| names);
            let first = lists.next()?;
            let rest: Vec<&Vec<Arc<str>>> = lists.collect();
            out.extend(first.iter().filter(|n| rest.iter().all(|l| l.contains(n))).cloned());
        }
        out.sort_unstable();
        out.dedup();
        Some(out)
    }
}

/// A node selector term.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeTerm {
    /// Conditions on labels; none where they make no sense, then nothing matches.
    pub labels: Option<LabelSelector>,
    /// Conditions on the node's name: whether it must be among the names, and these.
    pub names: Vec<(bool, Vec<Arc<str>>)>,
}

impl NodeTerm {
    /// Whether a node meets all conditions. A term without any matches nothing.
    pub fn matches(&self, node: &Node) -> bool {
        let Some(labels) = &self.labels else { return false };
        if labels.is_everything() && self.names.is_empty() {
            return false;
        }
        self.names.iter().all(|(within, names)| names.contains(&node.name) == *within)
            && labels.matches(&node.labels)
    }
}

/// A preferred node selector term.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightedNodeTerm {
    /// 1 to 100.
    pub weight: i32,
    /// The term.
    pub term: NodeTerm,
}

/// The namespaces that a pod affinity term looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// By name, sorted.
    pub namespaces: Vec<Arc<str>>,
    /// By their labels.
    pub selector: LabelSelector,
}

impl Scope {
    /// One namespace.
    pub fn only(namespace: &Arc<str>) -> Self {
        Self { namespaces: vec![namespace.clone()], selector: LabelSelector::nothing() }
    }

    /// Whether the namespace with these labels is in it.
    pub fn covers(&self, namespace: &str, labels: &(impl Lookup + ?Sized)) -> bool {
        self.namespaces.iter().any(|n| &**n == namespace) || self.selector.matches(labels)
    }

    /// The only namespace in it, where labels cannot add others.
    pub(crate) fn single(&self) -> Option<&Arc<str>> {
        match self.namespaces.as_slice() {
            [one] if self.selector.is_nothing() => Some(one),
            _ => None,
        }
    }
}

/// A pod affinity or anti-affinity term.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodTerm {
    /// Where the other pods are.
    pub scope: Scope,
    /// Which they are.
    pub selector: LabelSelector,
    /// The node label whose equal values mean "together".
    pub key: Arc<str>,
}

/// A preferred pod affinity term.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightedPodTerm {
    /// 1 to 100; negative for anti-affinity.
    pub weight: i32,
    /// The term.
    pub term: PodTerm,
}

/// A topology spread constraint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spread {
    /// The node label whose values are the domains.
    pub key: Arc<str>,
    /// How far a domain may be above the emptiest.
    pub max_skew: i32,
    /// `DoNotSchedule` rather than `ScheduleAnyway`.
    pub hard: bool,
    /// Which pods are counted, in the pod's namespace.
    pub selector: LabelSelector,
    /// With fewer domains than this, the emptiest counts as zero.
    pub min_domains: i32,
    /// Whether nodes outside the pod's node affinity are left out.
    pub honor_affinity: bool,
    /// Whether nodes with taints that the pod does not tolerate are left out.
    pub honor_taints: bool,
}
