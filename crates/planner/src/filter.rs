//! The filters: whether a node may take a pod. They run in kube-scheduler's order and stop at the first
//! that says no.

use std::sync::Arc;

use crate::cluster::{Class, Cluster, Limit, NodeState};
use crate::pod::{PodKey, Template};
use crate::reason::{Reason, Rejection};

/// A pod looking for a node: its class, and what can be worked out once for all nodes.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) key: PodKey,
    pub(crate) class: u32,
    pub(crate) template: Arc<Template>,
    /// `spec.nodeName` of a pod that is asked about although it is bound.
    pub(crate) node: Option<Arc<str>>,
    /// Per hard spread constraint: how many matching pods a domain may have for one more to be allowed.
    ceilings: Vec<i64>,
    /// Whether the pod is the first of pods that want to be together.
    opens_affinity: bool,
    /// Terms of pods on nodes that forbid this one somewhere.
    forbidden_by: Vec<u32>,
}

impl Ask {
    pub(crate) fn new(cluster: &Cluster, key: PodKey, class_id: u32, node: Option<Arc<str>>) -> Option<Self> {
        let class = cluster.classes.get(class_id)?;
        let mut ask = Self {
            key,
            class: class_id,
            node,
            template: class.template.clone(),
            ceilings: Vec::new(),
            opens_affinity: false,
            forbidden_by: Vec::new(),
        };
        ask.refresh(cluster);
        Some(ask)
    }

    /// Works out again what depends on the pods that are there.
    pub(crate) fn refresh(&mut self, cluster: &Cluster) {
        let Some(class) = cluster.classes.get(self.class) else { return };
        self.ceilings = class.demand.hard.iter().map(|limit| ceiling(cluster, limit)).collect();
        let trackers = class.demand.affinity.iter().filter_map(|t| cluster.trackers.get(*t));
        self.opens_affinity = class.demand.affine_to_itself && trackers.map(|t| t.total).sum::<u64>() == 0;
        let owners = class.forbidden_by.iter();
        self.forbidden_by =
            owners.filter(|o| cluster.owners.get(**o).is_some_and(|o| !o.is_empty())).copied().collect();
    }

    /// Whether the node takes the pod.
    pub(crate) fn check(&self, cluster: &Cluster, state: &NodeState) -> Result<(), Rejection> {
        let Some(class) = cluster.classes.get(self.class) else { return Ok(()) };
        let (node, template) = (&*state.node, &*self.template);
        if node.unschedulable && !template.tolerates_cordon() {
            return Err(Rejection::fatal(Reason::NodeUnschedulable));
        }
        if self.node.as_ref().is_some_and(|n| *n != node.name) {
            return Err(Rejection::fatal(Reason::NodeName));
        }
        if let Some(taint) = template.untolerated(node) {
            let reason = Reason::Taint(taint.key.clone(), taint.value.clone());
            return Err(Rejection::fatal(reason));
        }
        if !template.node_affinity.matches(node) {
            return Err(Rejection::fatal(Reason::NodeAffinity));
        }
        if template.ports.iter().any(|p| state.ports.iter().any(|q| p.conflicts(q))) {
            return Err(Rejection::resolvable(Reason::Ports));
        }
        fits(template, state)?;
        self.check_spread(cluster, class, state)?;
        self.check_affinity(cluster, class, state)
    }

    fn check_spread(&self, cluster: &Cluster, class: &Class, state: &NodeState) -> Result<(), Rejection> {
        for (limit, ceiling) in class.demand.hard.iter().zip(&self.ceilings) {
            let Some(tracker) = cluster.trackers.get(limit.tracker) else { continue };
            let domain = state.domain(tracker.key);
            if domain.id().is_none() {
                return Err(Rejection::fatal(Reason::SpreadLabel));
            }
            if i64::from(tracker.pods(domain)) > *ceiling {
                return Err(Rejection::resolvable(Reason::Spread));
            }
        }
        Ok(())
    }

    fn check_affinity(&self, cluster: &Cluster, class: &Class, state: &NodeState) -> Result<(), Rejection> {
        let mut company = true;
        for id in &class.demand.affinity {
            let Some(tracker) = cluster.trackers.get(*id) else { continue };
            let domain = state.domain(tracker.key);
            if domain.id().is_none() {
                return Err(Rejection::fatal(Reason::Affinity));
            }
            company &= tracker.pods(domain) > 0;
        }
        if !company && !self.opens_affinity {
            return Err(Rejection::fatal(Reason::Affinity));
        }
        for id in &class.demand.anti_affinity {
            let Some(tracker) = cluster.trackers.get(*id) else { continue };
            if tracker.pods(state.domain(tracker.key)) > 0 {
                return Err(Rejection::resolvable(Reason::AntiAffinity));
            }
        }
        for id in &self.forbidden_by {
            let Some(owner) = cluster.owners.get(*id) else { continue };
            if owner.weight(state.domain(owner.key)) > 0 {
                return Err(Rejection::resolvable(Reason::ExistingAntiAffinity));
            }
        }
        Ok(())
    }
}

/// `matching + itself - emptiest <= max_skew`, solved for the matching pods.
fn ceiling(cluster: &Cluster, limit: &Limit) -> i64 {
    let Some(tracker) = cluster.trackers.get(limit.tracker) else { return i64::MAX };
    let few_domains = (tracker.domains() as u64) < u64::from(limit.min_domains.unsigned_abs());
    let emptiest = if few_domains { Some(0) } else { tracker.emptiest() };
    match emptiest {
        Some(pods) => i64::from(limit.max_skew) + i64::from(pods) - i64::from(limit.counts_itself),
        None => i64::MAX,
    }
}

/// Whether the node has room: all that lacks is named.
fn fits(template: &Template, state: &NodeState) -> Result<(), Rejection> {
    let (asked, used, has) = (&template.requests.exact, &state.requested, &state.node.allocatable);
    let mut lacking = Rejection { reasons: Vec::new(), fatal: false };
    if state.count >= state.node.max_pods {
        lacking.reasons.push(Reason::TooManyPods);
    }
    let mut need = |name: &str, asked: i64, used: i64, has: i64| {
        if asked > 0 && asked > has.saturating_sub(used) {
            lacking.reasons.push(Reason::Insufficient(name.into()));
            lacking.fatal |= asked > has;
        }
    };
    need("cpu", asked.milli_cpu, used.milli_cpu, has.milli_cpu);
    need("memory", asked.memory, used.memory, has.memory);
    need("ephemeral-storage", asked.ephemeral_storage, used.ephemeral_storage, has.ephemeral_storage);
    for (name, asked) in &asked.scalar {
        need(name, *asked, used.scalar(name), has.scalar(name));
    }
    if lacking.reasons.is_empty() { Ok(()) } else { Err(lacking) }
}
