//! The hard constraints again, straight from their definitions and without any index: slow, and easy to
//! believe.

use std::collections::BTreeMap;

use crate::pod::{PodTerm, Spread, untolerated};
use crate::{Effect, Labels, Node, Pod, Taint};

/// A cluster as plain lists.
#[derive(Default, Clone)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    /// Bound pods, each with its node's name.
    pub(crate) pods: Vec<Pod>,
    pub(crate) namespaces: BTreeMap<String, Labels>,
}

impl World {
    fn node_of(&self, pod: &Pod) -> Option<&Node> {
        self.nodes.iter().find(|n| Some(&n.name) == pod.node.as_ref())
    }

    fn on<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().filter(|p| p.node.as_ref() == Some(&node.name))
    }

    fn term_matches(&self, term: &PodTerm, pod: &Pod) -> bool {
        let name = &*pod.key.namespace;
        let labels = self.namespaces.get(name).cloned();
        let labels = labels.unwrap_or_else(|| Labels::new([("kubernetes.io/metadata.name", name)]));
        term.scope.covers(name, &labels) && term.selector.matches(&pod.template().labels)
    }

    /// Whether the node may take the pod.
    pub(crate) fn allows(&self, pod: &Pod, node: &Node) -> bool {
        let template = pod.template();
        let cordon = Taint {
            key: "node.kubernetes.io/unschedulable".into(),
            value: "".into(),
            effect: Effect::NoSchedule,
        };
        (!node.unschedulable || template.tolerates(&cordon))
            && untolerated(&template.tolerations, &node.taints).is_none()
            && template.node_affinity.matches(node)
            && self.has_room(pod, node)
            && template.spread.iter().filter(|s| s.hard).all(|s| self.spread_allows(pod, node, s))
            && self.affinity_allows(pod, node)
    }

    pub(crate) fn has_room(&self, pod: &Pod, node: &Node) -> bool {
        let (mut cpu, mut memory, mut count) = (0, 0, 0);
        for p in self.on(node) {
            cpu += p.template().requests.exact.milli_cpu;
            memory += p.template().requests.exact.memory;
            count += 1;
            if p.template().ports.iter().any(|a| pod.template().ports.iter().any(|b| a.conflicts(b))) {
                return false;
            }
        }
        let asked = &pod.template().requests.exact;
        let fits = |asked: i64, used: i64, has: i64| asked == 0 || asked + used <= has;
        count < node.max_pods
            && fits(asked.milli_cpu, cpu, node.allocatable.milli_cpu)
            && fits(asked.memory, memory, node.allocatable.memory)
    }

    fn spread_allows(&self, pod: &Pod, node: &Node, spread: &Spread) -> bool {
        let template = pod.template();
        let hard: Vec<&Spread> = template.spread.iter().filter(|s| s.hard).collect();
        let Some(own) = node.labels.shared(&spread.key) else { return false };
        let mut domains: BTreeMap<&str, i64> = BTreeMap::new();
        for n in &self.nodes {
            let eligible = hard.iter().all(|s| n.labels.shared(&s.key).is_some())
                && (!spread.honor_affinity || template.node_affinity.matches(n))
                && (!spread.honor_taints || untolerated(&template.tolerations, &n.taints).is_none());
            if !eligible {
                continue;
            }
            let matching = self.on(n).filter(|p| {
                !p.terminating
                    && p.key.namespace == pod.key.namespace
                    && spread.selector.matches(&p.template().labels)
            });
            *domains.entry(n.labels.shared(&spread.key).unwrap()).or_default() += matching.count() as i64;
        }
        let least = if (domains.len() as i64) < i64::from(spread.min_domains) {
            0
        } else {
            domains.values().copied().min().unwrap_or(i64::MAX / 2)
        };
        let itself = i64::from(spread.selector.matches(&template.labels));
        domains.get(&**own).copied().unwrap_or(0) + itself - least <= i64::from(spread.max_skew)
    }

    fn affinity_allows(&self, pod: &Pod, node: &Node) -> bool {
        let template = pod.template();
        let together = |a: &Node, b: &Node, key: &str| {
            a.labels.shared(key).is_some() && a.labels.shared(key) == b.labels.shared(key)
        };
        for term in &template.anti_affinity {
            let mut others = self.pods.iter().filter(|p| self.term_matches(term, p));
            if others.any(|p| self.node_of(p).is_some_and(|n| together(n, node, &term.key))) {
                return false;
            }
        }
        for other in &self.pods {
            let Some(n) = self.node_of(other) else { continue };
            let mut terms = other.template().anti_affinity.iter();
            if terms.any(|t| self.term_matches(t, pod) && together(n, node, &t.key)) {
                return false;
            }
        }
        let terms = &template.affinity;
        if terms.is_empty() {
            return true;
        }
        if terms.iter().any(|t| node.labels.shared(&t.key).is_none()) {
            return false;
        }
        let company: Vec<&Node> = self
            .pods
            .iter()
            .filter(|p| terms.iter().all(|t| self.term_matches(t, p)))
            .filter_map(|p| self.node_of(p))
            .filter(|n| terms.iter().any(|t| n.labels.shared(&t.key).is_some()))
            .collect();
        let met = terms.iter().all(|t| company.iter().any(|n| together(n, node, &t.key)));
        met || (company.is_empty() && terms.iter().all(|t| self.term_matches(t, pod)))
    }
}
