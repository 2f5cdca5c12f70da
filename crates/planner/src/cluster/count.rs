//! Counts of pods per topology domain: of pods that a selector matches (trackers), and of pods that carry a
//! term themselves (owners).

use std::collections::BTreeMap;
use std::sync::Arc;

use kiban_base::selector::{LabelSelector, Requirement};

use super::Domain;
use crate::fast::IdMap;
use crate::labels::Labels;
use crate::node::Node;
use crate::pod::{NodeAffinity, PodTerm, Scope, Toleration, untolerated};

/// Which nodes a tracker looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct FilterKey {
    /// Labels that must all be there.
    pub(crate) labels: Vec<Arc<str>>,
    /// Node affinity to honour.
    pub(crate) affinity: Option<NodeAffinity>,
    /// Tolerations, where taints are honoured.
    pub(crate) tolerations: Option<Vec<Toleration>>,
}

impl FilterKey {
    pub(crate) fn accepts(&self, node: &Node) -> bool {
        self.labels.iter().all(|l| node.labels.shared(l).is_some())
            && self.affinity.as_ref().is_none_or(|a| a.matches(node))
            && self.tolerations.as_ref().is_none_or(|t| untolerated(t, &node.taints).is_none())
    }
}

/// A filter with its answer for each node.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) key: FilterKey,
    pub(crate) users: u32,
    nodes: Vec<bool>,
}

impl Filter {
    pub(crate) fn new(key: FilterKey) -> Self {
        Self { key, users: 0, nodes: Vec::new() }
    }

    pub(crate) fn takes(&self, node: u32) -> bool {
        self.nodes.get(node as usize).copied().unwrap_or(false)
    }

    pub(crate) fn set(&mut self, node: u32, takes: bool) {
        let at = node as usize;
        if self.nodes.len() <= at {
            self.nodes.resize(at + 1, false);
        }
        if let Some(slot) = self.nodes.get_mut(at) {
            *slot = takes;
        }
    }
}

/// What a tracker is for: that decides which pods count, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Pod affinity: pods that are being deleted still count.
    Affinity,
    /// Soft topology spread: they do not.
    SoftSpread,
    /// Hard topology spread: they do not, and the emptiest domain must be known.
    HardSpread,
}

/// What a tracker counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TrackerKey {
    pub(crate) purpose: Purpose,
    /// All of these must match a pod.
    pub(crate) matchers: Vec<(Scope, LabelSelector)>,
    pub(crate) label: Arc<str>,
    pub(crate) filter: FilterKey,
}

impl TrackerKey {
    /// Where to look for the pods that it may match.
    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::of(self.matchers.iter().map(|(scope, selector)| (scope, selector)))
    }
}

/// What something that selects pods demands at least: it and the classes that it may match meet on a shelf,
/// so that neither looks at all of the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shelf {
    /// The only namespace; empty for any.
    pub(crate) namespace: Arc<str>,
    /// A label that must be there.
    pub(crate) label: Option<(Arc<str>, Arc<str>)>,
}

impl Shelf {
    fn of<'a>(matchers: impl Iterator<Item = (&'a Scope, &'a LabelSelector)>) -> Self {
        let (mut namespace, mut label) = (None, None);
        for (scope, selector) in matchers {
            namespace = namespace.or_else(|| scope.single().cloned());
            let mut exact = selector.requirements().iter().map(Requirement::key);
            let exact = exact.find_map(|k| Some((Arc::from(k), Arc::from(selector.exact(k)?))));
            label = label.or(exact);
        }
        Self { namespace: namespace.unwrap_or_else(|| Arc::from("")), label }
    }

    /// All shelves that pods of a namespace with these labels stand on.
    pub(crate) fn all(namespace: &Arc<str>, labels: &Labels) -> Vec<Self> {
        let mut namespaces = vec![Arc::from("")];
        if !namespace.is_empty() {
            namespaces.push(namespace.clone());
        }
        let mut out = Vec::new();
        for namespace in namespaces {
            out.push(Self { namespace: namespace.clone(), label: None });
            let pairs = labels.iter_shared();
            out.extend(pairs.map(|pair| Self { namespace: namespace.clone(), label: Some(pair.clone()) }));
        }
        out
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    pods: u32,
    nodes: u32,
}

/// Matching pods per domain, over the nodes that the filter takes.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    pub(crate) purpose: Purpose,
    pub(crate) matchers: Vec<(Scope, LabelSelector)>,
    label: Arc<str>,
    pub(crate) key: u32,
    pub(crate) filter: u32,
    pub(crate) users: u32,
    pub(crate) total: u64,
    cells: IdMap<Cell>,
    /// How many domains have how many pods; for hard spread only.
    levels: BTreeMap<u32, u32>,
}

impl Tracker {
    pub(crate) fn new(wanted: &TrackerKey, key: u32, filter: u32) -> Self {
        Self {
            purpose: wanted.purpose,
            matchers: wanted.matchers.clone(),
            label: wanted.label.clone(),
            key,
            filter,
            users: 1,
            total: 0,
            cells: IdMap::default(),
            levels: BTreeMap::new(),
        }
    }

    /// What it was made for.
    pub(crate) fn into_key(self, filter: FilterKey) -> TrackerKey {
        TrackerKey { purpose: self.purpose, matchers: self.matchers, label: self.label, filter }
    }

    pub(crate) fn skips_terminating(&self) -> bool {
        self.purpose != Purpose::Affinity
    }

    /// Matching pods in a domain.
    pub(crate) fn pods(&self, domain: Domain) -> u32 {
        domain.id().and_then(|id| self.cells.get(&id)).map_or(0, |c| c.pods)
    }

    /// Domains with an eligible node.
    pub(crate) fn domains(&self) -> usize {
        self.cells.len()
    }

    /// Pods in the emptiest domain; none where there is no domain.
    pub(crate) fn emptiest(&self) -> Option<u32> {
        self.levels.first_key_value().map(|(pods, _)| *pods)
    }

    pub(crate) fn enter(&mut self, domain: Domain) {
        let Some(id) = domain.id() else { return };
        let cell = self.cells.entry(id).or_default();
        cell.nodes += 1;
        if cell.nodes == 1 {
            self.move_level(None, Some(0));
        }
    }

    pub(crate) fn leave(&mut self, domain: Domain) {
        let Some(id) = domain.id() else { return };
        let Some(cell) = self.cells.get_mut(&id) else { return };
        cell.nodes = cell.nodes.saturating_sub(1);
        if cell.nodes == 0 {
            let pods = cell.pods;
            self.cells.remove(&id);
            self.move_level(Some(pods), None);
        }
    }

    pub(crate) fn add(&mut self, domain: Domain, pods: i64) {
        let Some(id) = domain.id() else { return };
        let Some(cell) = self.cells.get_mut(&id) else { return };
        let before = cell.pods;
        let after = u32::try_from((i64::from(before) + pods).max(0)).unwrap_or(u32::MAX);
        cell.pods = after;
        self.total = (self.total + u64::from(after)).saturating_sub(u64::from(before));
        self.move_level(Some(before), Some(after));
    }

    fn move_level(&mut self, from: Option<u32>, to: Option<u32>) {
        if self.purpose != Purpose::HardSpread {
            return;
        }
        if let Some(from) = from
            && let Some(n) = self.levels.get_mut(&from)
        {
            *n -= 1;
            if *n == 0 {
                self.levels.remove(&from);
            }
        }
        if let Some(to) = to {
            *self.levels.entry(to).or_default() += 1;
        }
    }
}

/// A term that pods on nodes carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnerKey {
    pub(crate) term: PodTerm,
    /// Required anti-affinity, which forbids; the others are scored.
    pub(crate) forbids: bool,
}

impl OwnerKey {
    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::of(std::iter::once((&self.term.scope, &self.term.selector)))
    }
}

/// The sum of weights of the pods that carry a term, per domain.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) term: PodTerm,
    pub(crate) forbids: bool,
    pub(crate) key: u32,
    pub(crate) users: u32,
    weights: IdMap<i64>,
}

impl Owner {
    pub(crate) fn new(wanted: &OwnerKey, key: u32) -> Self {
        let OwnerKey { term, forbids } = wanted.clone();
        Self { term, forbids, key, users: 1, weights: IdMap::default() }
    }

    pub(crate) fn weight(&self, domain: Domain) -> i64 {
        domain.id().and_then(|id| self.weights.get(&id)).copied().unwrap_or(0)
    }

    /// Whether no pod with the term is on any node.
    pub(crate) fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    pub(crate) fn add(&mut self, domain: Domain, weight: i64) {
        let Some(id) = domain.id() else { return };
        let sum = self.weights.entry(id).or_default();
        *sum += weight;
        if *sum == 0 {
            self.weights.remove(&id);
        }
    }
}
