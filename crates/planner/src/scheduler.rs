//! The scheduler: filters nodes, scores those that are left, picks one.

use std::sync::Arc;

use kiban_base::rng::Rng;

use crate::cluster::Cluster;
use crate::filter::Ask;
use crate::labels::Labels;
use crate::node::Node;
use crate::pod::{Pod, PodKey};
use crate::preempt::{Budget, Eviction};
use crate::reason::{Reason, Rejection, Tally, Unschedulable};
use crate::resources::Resources;
use crate::score::{Scores, score};

/// A search over fewer nodes than this looks at all.
const FEW_NODES: usize = 100;

/// How one of several best nodes is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TieBreak {
    /// At random from the seed, as kube-scheduler does.
    #[default]
    Seeded,
    /// The first by name: easiest to predict.
    Name,
}

/// What may differ between schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Seed of all choices among equals.
    pub seed: u64,
    /// The share of the nodes that a search is content with, in percent; 0 adapts to the cluster's size as
    /// `percentageOfNodesToScore` does.
    pub percentage_of_nodes: usize,
    /// How one of several best nodes is picked.
    pub tie_break: TieBreak,
}

/// A node for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The node's name.
    pub node: Arc<str>,
    /// Its scores; all zero where it was the only one.
    pub scores: Scores,
    /// Nodes that were looked at.
    pub evaluated: usize,
    /// Nodes that could have taken the pod.
    pub feasible: usize,
}

/// What to do with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Bind it.
    Bind(Decision),
    /// Evict some pods, nominate the node, and try again when they are gone.
    Evict(Eviction, Box<Unschedulable>),
    /// Wait.
    Wait(Box<Unschedulable>),
}

/// The scheduler with the cluster as it knows it. A clone is independent: a plan can be tried on it.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(crate) cluster: Cluster,
    options: Options,
    pub(crate) rng: Rng,
    /// Where the next search starts, so that all nodes get their turn.
    next: usize,
}

impl Scheduler {
    /// A scheduler for an empty cluster.
    pub fn new(options: Options) -> Self {
        Self { cluster: Cluster::default(), options, rng: Rng::named(options.seed, "scheduler"), next: 0 }
    }

    /// Adds a node or takes over its new state.
    pub fn set_node(&mut self, node: Node) {
        self.cluster.set_node(node);
    }

    /// Takes a node away.
    pub fn remove_node(&mut self, name: &str) {
        self.cluster.remove_node(name);
    }

    /// Adds a pod or takes over its new state: bound pods count, ended ones do not, and an unbound pod with
    /// a nominated node holds its room there against pods of lower priority.
    pub fn set_pod(&mut self, pod: Pod) {
        self.cluster.set_pod(pod);
    }

    /// Takes a pod away.
    pub fn remove_pod(&mut self, key: &PodKey) {
        self.cluster.remove_pod(key);
    }

    /// Takes over a namespace's labels, which affinity terms may select.
    pub fn set_namespace(&mut self, name: &str, labels: Labels) {
        self.cluster.set_namespace(name, Some(labels));
    }

    /// Forgets a namespace.
    pub fn remove_namespace(&mut self, name: &str) {
        self.cluster.set_namespace(name, None);
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.cluster.nodes.len()
    }

    /// How many pods are bound to them.
    pub fn pods(&self) -> usize {
        self.cluster.pods.len()
    }

    /// A node by name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        Some(&*self.cluster.nodes.get(self.cluster.node_id(name)?)?.node)
    }

    /// What the pods on a node ask for together.
    pub fn requested(&self, node: &str) -> Option<&Resources> {
        Some(&self.cluster.nodes.get(self.cluster.node_id(node)?)?.requested)
    }

    /// The pods on a node, in no particular order.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &PodKey> {
        let state = self.cluster.node_id(node).and_then(|id| self.cluster.nodes.get(id));
        let pods = state.map(|s| s.pods.as_slice()).unwrap_or_default();
        pods.iter().filter_map(|id| Some(&self.cluster.pods.get(*id)?.key))
    }

    /// Whether one node would take the pod now, or why not: for DaemonSets, drains and questions.
    pub fn fits(&mut self, pod: &Pod, node: &str) -> Result<(), Vec<Reason>> {
        let (Some(ask), Some(id)) = (self.ask(pod), self.cluster.node_id(node)) else {
            return Err(vec![Reason::NodeName]);
        };
        self.check(&ask, id).map_err(|rejection| rejection.reasons)
    }

    /// Finds a node for a pod. Nothing changes but the turn of the search: the caller binds the pod and
    /// says so with [`Scheduler::set_pod`]. A pod that is counted already is its own neighbour: take it away
    /// before asking where else it could go.
    pub fn schedule(&mut self, pod: &Pod) -> Result<Decision, Box<Unschedulable>> {
        if !pod.template().gates.is_empty() {
            return Err(self.pending(true, None));
        }
        let Some(ask) = self.ask(pod) else { return Err(self.pending(false, None)) };
        let order = self.search_order(pod)?;
        let found = self.search(&ask, &order)?;
        let scores = match found.feasible.as_slice() {
            [_] => vec![Scores::default()],
            nodes => score(&self.cluster, &ask, nodes),
        };
        let best = self.pick(&found.feasible, &scores);
        let node = best.and_then(|at| self.cluster.nodes.get(*found.feasible.get(at)?));
        let Some((at, node)) = best.zip(node) else { return Err(self.pending(false, None)) };
        Ok(Decision {
            node: node.node.name.clone(),
            scores: scores.get(at).copied().unwrap_or_default(),
            evaluated: found.evaluated,
            feasible: found.feasible.len(),
        })
    }

    /// Finds a node, or pods whose eviction would make one fit.
    pub fn run(&mut self, pod: &Pod, budgets: &[Budget]) -> Outcome {
        match self.schedule(pod) {
            Ok(decision) => Outcome::Bind(decision),
            Err(mut pending) => match self.preempt(pod, &pending, budgets) {
                Ok(eviction) => Outcome::Evict(eviction, pending),
                Err(message) => {
                    pending.preemption = message;
                    Outcome::Wait(pending)
                }
            },
        }
    }

    pub(crate) fn ask(&mut self, pod: &Pod) -> Option<Ask> {
        let class = self.cluster.class_of(pod);
        Ask::new(&self.cluster, pod.key.clone(), class, pod.node.clone())
    }

    fn pending(&self, gated: bool, before: Option<Reason>) -> Box<Unschedulable> {
        Box::new(Unschedulable {
            nodes: self.nodes(),
            gated,
            before,
            tally: Tally::default(),
            candidates: Vec::new(),
            preemption: String::new(),
        })
    }

    /// The nodes to look at: all, or those that the pod's node affinity names.
    fn search_order(&mut self, pod: &Pod) -> Result<Arc<Vec<u32>>, Box<Unschedulable>> {
        let Some(names) = pod.template().node_affinity.named() else { return Ok(self.cluster.order()) };
        if names.is_empty() {
            return Err(self.pending(false, Some(Reason::AffinityConflict)));
        }
        Ok(Arc::new(names.iter().filter_map(|n| self.cluster.node_id(n)).collect()))
    }

    fn search(&mut self, ask: &Ask, order: &[u32]) -> Result<Found, Box<Unschedulable>> {
        let wanted = self.wanted(order.len());
        // A search among named nodes has no turn to take.
        let whole = order.len() == self.nodes();
        let start = if whole && !order.is_empty() { self.next % order.len() } else { 0 };
        let (ahead, behind) = order.split_at(start);
        let mut found = Found::default();
        let mut pending = self.pending(false, None);
        for id in behind.iter().chain(ahead) {
            found.evaluated += 1;
            match self.check(ask, *id) {
                Ok(()) => {
                    found.feasible.push(*id);
                    if found.feasible.len() >= wanted {
                        break;
                    }
                }
                Err(rejection) => {
                    if !rejection.fatal {
                        pending.candidates.push(*id);
                    }
                    for reason in rejection.reasons {
                        pending.tally.add(reason, 1);
                    }
                }
            }
        }
        if whole && !order.is_empty() {
            self.next = (start + found.evaluated) % order.len();
        }
        if found.feasible.is_empty() {
            pending.tally.add(Reason::OtherNodes, pending.nodes.saturating_sub(order.len()));
            return Err(pending);
        }
        Ok(found)
    }

    /// How many feasible nodes end the search.
    fn wanted(&self, nodes: usize) -> usize {
        let percentage = self.options.percentage_of_nodes;
        if nodes < FEW_NODES || percentage >= 100 {
            return nodes;
        }
        let percentage =
            if percentage > 0 { percentage } else { 50_usize.saturating_sub(nodes / 125).max(5) };
        (nodes * percentage / 100).max(FEW_NODES)
    }

    /// Whether a node takes a pod, with and without the pods that are nominated to it.
    pub(crate) fn check(&mut self, ask: &Ask, node: u32) -> Result<(), Rejection> {
        let Some(state) = self.cluster.nodes.get(node) else { return Ok(()) };
        if state.nominated.is_empty() {
            return ask.check(&self.cluster, state);
        }
        let rivals: Vec<Pod> = state
            .nominated
            .iter()
            .filter(|key| **key != ask.key)
            .filter_map(|key| self.cluster.nominated.get(key))
            .filter(|pod| pod.template().priority >= ask.template.priority)
            .cloned()
            .collect();
        let classes: Vec<u32> = rivals.iter().map(|pod| self.cluster.class_of(pod)).collect();
        classes.iter().for_each(|class| self.cluster.count(*class, node, false, 1));
        let crowded = self.check_now(ask, node);
        classes.iter().for_each(|class| self.cluster.count(*class, node, false, -1));
        crowded?;
        self.check_now(ask, node)
    }

    /// Whether a node takes a pod, with the pods that are counted right now.
    pub(crate) fn check_now(&self, ask: &Ask, node: u32) -> Result<(), Rejection> {
        let Some(state) = self.cluster.nodes.get(node) else { return Ok(()) };
        let mut ask = ask.clone();
        ask.refresh(&self.cluster);
        ask.check(&self.cluster, state)
    }

    /// The place of the best node in the list.
    fn pick(&mut self, nodes: &[u32], scores: &[Scores]) -> Option<usize> {
        let best = scores.iter().map(Scores::total).max()?;
        let ties: Vec<usize> =
            scores.iter().enumerate().filter(|(_, s)| s.total() == best).map(|(at, _)| at).collect();
        match self.options.tie_break {
            TieBreak::Seeded if ties.len() > 1 => self.rng.pick(&ties).copied(),
            TieBreak::Seeded => ties.first().copied(),
            TieBreak::Name => ties.into_iter().min_by_key(|at| {
                let state = nodes.get(*at).and_then(|id| self.cluster.nodes.get(*id));
                state.map(|s| s.node.name.clone())
            }),
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    feasible: Vec<u32>,
    evaluated: usize,
}
