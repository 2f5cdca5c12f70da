//! Preemption: which pods of lower priority to evict so that a pod fits, by kube-scheduler's rules.

use std::cmp::Reverse;
use std::sync::Arc;

use kiban_base::selector::LabelSelector;
use serde_json::Value;

use crate::cluster::PodState;
use crate::filter::Ask;
use crate::pod::{Pod, PodKey};
use crate::reason::{Reason, Rejection, Tally, Unschedulable};
use crate::scheduler::Scheduler;

/// At least so many candidate nodes are compared, where there are that many.
const MIN_CANDIDATES: usize = 100;

/// How many pods a PodDisruptionBudget still allows to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The pods that it guards.
    pub selector: LabelSelector,
    /// `status.disruptionsAllowed`.
    pub allowed: i64,
    /// Pods that were let go already and are not gone yet.
    pub disrupted: Vec<Arc<str>>,
}

impl Budget {
    /// Reads a PodDisruptionBudget; a selector that makes no sense guards nothing.
    pub fn from_json(object: &Value) -> Self {
        let selector = LabelSelector::from_object(&object["spec"]["selector"]);
        let status = &object["status"];
        Self {
            namespace: object["metadata"]["namespace"].as_str().unwrap_or("").into(),
            selector: selector.unwrap_or_else(|_| LabelSelector::nothing()),
            allowed: status["disruptionsAllowed"].as_i64().unwrap_or(0),
            disrupted: status["disruptedPods"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| Arc::from(name.as_str()))
                .collect(),
        }
    }
}

/// The pods to evict from a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// The node, to be nominated.
    pub node: Arc<str>,
    /// The pods, most important first; those that are being deleted already are among them.
    pub victims: Vec<PodKey>,
    /// How many of the evictions break a disruption budget.
    pub violations: usize,
}

/// A pod that could be evicted.
#[derive(Debug, Clone)]
struct Victim {
    key: PodKey,
    class: u32,
    terminating: bool,
    priority: i32,
    /// Microseconds; pods that did not start yet come last.
    started: i64,
}

impl Victim {
    fn new(pod: &PodState) -> Self {
        Self {
            key: pod.key.clone(),
            class: pod.class,
            terminating: pod.terminating,
            priority: pod.priority,
            started: pod.started.map_or(i64::MAX, |t| t.0),
        }
    }

    /// Most important first: by priority, then by age.
    fn rank(&self) -> (Reverse<i32>, i64, PodKey) {
        (Reverse(self.priority), self.started, self.key.clone())
    }
}

struct Candidate {
    node: u32,
    victims: Vec<Victim>,
    violations: usize,
}

impl Candidate {
    /// The smallest is the best: budgets, the highest priority, the sum of priorities, the number of pods,
    /// and then the youngest of the oldest.
    fn rank(&self) -> (usize, i32, i64, usize, Reverse<i64>) {
        let highest = self.victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
        // Shifted above zero, so that few pods of negative priority are better than many.
        let sum = self.victims.iter().map(|v| i64::from(v.priority) + (1 << 31)).sum();
        let oldest = self.victims.iter().filter(|v| v.priority == highest).map(|v| v.started).min();
        (self.violations, highest, sum, self.victims.len(), Reverse(oldest.unwrap_or(i64::MIN)))
    }
}

impl Scheduler {
    /// Looks for the least harmful evictions that make the pod fit, or says why there are none. Nothing
    /// changes: the caller evicts, and sets the pod with the nominated node.
    pub fn preempt(
        &mut self,
        pod: &Pod,
        pending: &Unschedulable,
        budgets: &[Budget],
    ) -> Result<Eviction, String> {
        if pending.is_gated() || pending.nodes == 0 {
            return Err(String::new());
        }
        if !pod.template().preempts {
            return Err("not eligible due to preemptionPolicy=Never.".to_string());
        }
        if self.waits_for_victims(pod, pending) {
            return Err("not eligible due to a terminating pod on the nominated node.".to_string());
        }
        let Some(ask) = self.ask(pod) else { return Err(String::new()) };
        let (candidates, mut tally) = self.candidates(&ask, &pending.candidates, budgets);
        let Some(best) = candidates.into_iter().min_by_key(Candidate::rank) else {
            let helpless = pending.nodes.saturating_sub(pending.candidates.len());
            tally.add(Reason::NotHelpful, helpless);
            return Err(tally.message(pending.nodes));
        };
        let node = self.cluster.nodes.get(best.node).map(|n| n.node.name.clone());
        Ok(Eviction {
            node: node.unwrap_or_default(),
            victims: best.victims.into_iter().map(|v| v.key).collect(),
            violations: best.violations,
        })
    }

    /// Whether room is being made for the pod already.
    fn waits_for_victims(&self, pod: &Pod, pending: &Unschedulable) -> bool {
        let Some(id) = pod.nominated.as_ref().and_then(|n| self.cluster.node_id(n)) else { return false };
        if !pending.candidates.contains(&id) {
            return false;
        }
        let pods = self.cluster.nodes.get(id).map(|n| n.pods.as_slice()).unwrap_or_default();
        let mut pods = pods.iter().filter_map(|p| self.cluster.pods.get(*p));
        pods.any(|p| p.terminating && p.priority < pod.template().priority)
    }

    /// Tries the nodes one after the other, from a random one, until enough candidates are found.
    fn candidates(&mut self, ask: &Ask, nodes: &[u32], budgets: &[Budget]) -> (Vec<Candidate>, Tally) {
        let wanted = (nodes.len() / 10).max(MIN_CANDIDATES);
        let (mut found, mut tally) = (Vec::new(), Tally::default());
        let start = self.rng.below(nodes.len() as u64) as usize;
        let (ahead, behind) = nodes.split_at(start.min(nodes.len()));
        for node in behind.iter().chain(ahead) {
            match self.victims_on(ask, *node, budgets) {
                Ok(candidate) => found.push(candidate),
                Err(rejection) => rejection.reasons.into_iter().for_each(|r| tally.add(r, 1)),
            }
            if found.len() >= wanted && found.iter().any(|c: &Candidate| c.violations == 0) {
                break;
            }
        }
        (found, tally)
    }

    /// Takes all pods of lower priority off a node, and puts back those that need not go.
    fn victims_on(&mut self, ask: &Ask, node: u32, budgets: &[Budget]) -> Result<Candidate, Rejection> {
        let pods = self.cluster.nodes.get(node).map(|n| n.pods.clone()).unwrap_or_default();
        let pods = pods.iter().filter_map(|id| self.cluster.pods.get(*id));
        let lower = pods.filter(|p| p.priority < ask.template.priority);
        let mut all: Vec<Victim> = lower.map(Victim::new).collect();
        if all.is_empty() {
            return Err(Rejection::fatal(Reason::NoVictims));
        }
        all.sort_by_cached_key(Victim::rank);
        all.iter().for_each(|v| self.count_victim(v, node, -1));
        if let Err(rejection) = self.check_crowded(ask, node) {
            all.iter().for_each(|v| self.count_victim(v, node, 1));
            return Err(rejection);
        }
        let (guarded, free) = self.split_by_budget(all, budgets);
        let mut victims = Vec::new();
        let mut violations = 0;
        let guarded_count = guarded.len();
        for (at, victim) in guarded.into_iter().chain(free).enumerate() {
            self.count_victim(&victim, node, 1);
            if self.check_crowded(ask, node).is_err() {
                self.count_victim(&victim, node, -1);
                violations += usize::from(at < guarded_count);
                victims.push(victim);
            }
        }
        victims.iter().for_each(|v| self.count_victim(v, node, 1));
        victims.sort_by_cached_key(Victim::rank);
        if victims.is_empty() {
            return Err(Rejection::fatal(Reason::NoVictims));
        }
        Ok(Candidate { node, victims, violations })
    }

    fn check_crowded(&mut self, ask: &Ask, node: u32) -> Result<(), Rejection> {
        let mut ask = ask.clone();
        ask.refresh(&self.cluster);
        self.check(&ask, node)
    }

    fn count_victim(&mut self, victim: &Victim, node: u32, sign: i64) {
        self.cluster.count(victim.class, node, victim.terminating, sign);
    }

    /// Those whose eviction a budget does not allow, and the others; both in order.
    fn split_by_budget(&self, victims: Vec<Victim>, budgets: &[Budget]) -> (Vec<Victim>, Vec<Victim>) {
        let mut allowed: Vec<i64> = budgets.iter().map(|b| b.allowed).collect();
        victims.into_iter().partition(|victim| {
            let mut violates = false;
            let Some(template) = self.cluster.template(victim.class) else { return false };
            for (budget, left) in budgets.iter().zip(&mut allowed) {
                let guards = budget.namespace == victim.key.namespace
                    && !template.labels.is_empty()
                    && !budget.selector.is_everything()
                    && budget.selector.matches(&template.labels)
                    && !budget.disrupted.contains(&victim.key.name);
                if guards {
                    *left -= 1;
                    violates |= *left < 0;
                }
            }
            violates
        })
    }
}
