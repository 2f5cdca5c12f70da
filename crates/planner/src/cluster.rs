//! The index that the scheduler asks: nodes, the pods on them, and counts per topology domain, all kept up
//! to date by each event for itself.
//!
//! Pods with the same namespace and template form a *class*. Selectors are matched once per class; a pod
//! that comes or goes then adds or takes one from the counts that its class is known to be in.

mod class;
mod count;
mod topology;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use kiban_base::clock::Timestamp;

pub(crate) use class::{Class, Limit};
pub(crate) use count::{Filter, FilterKey, Owner, OwnerKey, Purpose, Shelf, Tracker, TrackerKey};
pub(crate) use topology::{Domain, Topology};

use crate::fast::{Slab, take_out};
use crate::labels::Labels;
use crate::node::Node;
use crate::pod::{HostPort, Pod, PodKey, Template};
use crate::resources::Resources;

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

type Shelves = HashMap<Shelf, BTreeSet<u32>>;

/// A node with what is on it.
#[derive(Debug, Clone)]
pub(crate) struct NodeState {
    pub(crate) node: Arc<Node>,
    pub(crate) requested: Resources,
    /// Requests with defaults for containers that state none.
    pub(crate) scoring_milli_cpu: i64,
    pub(crate) scoring_memory: i64,
    pub(crate) pods: Vec<u32>,
    /// How many pods count right now: while evictions are tried, not those of the list.
    pub(crate) count: i64,
    pub(crate) ports: Vec<HostPort>,
    /// The domain under each topology key that is in use.
    pub(crate) domains: Vec<Domain>,
    /// Unbound pods that preemption made room for here.
    pub(crate) nominated: Vec<PodKey>,
}

/// A pod on a node.
#[derive(Debug, Clone)]
pub(crate) struct PodState {
    pub(crate) key: PodKey,
    pub(crate) class: u32,
    pub(crate) node: u32,
    pub(crate) terminating: bool,
    pub(crate) started: Option<Timestamp>,
    pub(crate) priority: i32,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) nodes: Slab<NodeState>,
    node_ids: HashMap<Arc<str>, u32>,
    pub(crate) pods: Slab<PodState>,
    pod_ids: HashMap<PodKey, u32>,
    /// Pods bound to nodes that are not known (yet).
    homeless: HashMap<Arc<str>, BTreeMap<PodKey, Pod>>,
    homeless_nodes: HashMap<PodKey, Arc<str>>,
    /// Unbound pods with a nominated node.
    pub(crate) nominated: HashMap<PodKey, Pod>,
    namespaces: HashMap<Arc<str>, Labels>,
    pub(crate) classes: Slab<Class>,
    class_ids: HashMap<u64, Vec<u32>>,
    class_shelves: Shelves,
    /// Classes without pods, oldest first; kept for a while because the next pod is likely a sibling.
    idle: VecDeque<u32>,
    pub(crate) topology: Topology,
    pub(crate) filters: Slab<Filter>,
    filter_ids: HashMap<FilterKey, u32>,
    pub(crate) trackers: Slab<Tracker>,
    tracker_ids: HashMap<TrackerKey, u32>,
    tracker_shelves: Shelves,
    pub(crate) owners: Slab<Owner>,
    owner_ids: HashMap<OwnerKey, u32>,
    owner_shelves: Shelves,
    /// Nodes in the order of the search; empty when it must be made again.
    order: Arc<Vec<u32>>,
}

impl Cluster {
    pub(crate) fn node_id(&self, name: &str) -> Option<u32> {
        self.node_ids.get(name).copied()
    }

    pub(crate) fn pod_id(&self, key: &PodKey) -> Option<u32> {
        self.pod_ids.get(key).copied()
    }

    pub(crate) fn template(&self, class: u32) -> Option<&Arc<Template>> {
        self.classes.get(class).map(|c| &c.template)
    }

    /// Adds a node or takes over its new state.
    pub(crate) fn set_node(&mut self, node: Node) {
        let Some(id) = self.node_id(&node.name) else {
            let name = node.name.clone();
            let id = self.nodes.insert(NodeState {
                node: Arc::new(node),
                requested: Resources::default(),
                scoring_milli_cpu: 0,
                scoring_memory: 0,
                pods: Vec::new(),
                count: 0,
                ports: Vec::new(),
                domains: Vec::new(),
                nominated: Vec::new(),
            });
            self.node_ids.insert(name.clone(), id);
            self.enter(id);
            self.order = Arc::default();
            for (key, pod) in self.homeless.remove(&name).unwrap_or_default() {
                self.homeless_nodes.remove(&key);
                self.bind(pod, id);
            }
            return;
        };
        let Some(state) = self.nodes.get_mut(id) else { return };
        if state.node.labels == node.labels && state.node.taints == node.taints {
            if *state.node != node {
                state.node = Arc::new(node);
            }
            return;
        }
        self.count_all(id, -1);
        self.leave(id);
        if let Some(state) = self.nodes.get_mut(id) {
            state.node = Arc::new(node);
        }
        self.enter(id);
        self.count_all(id, 1);
        self.order = Arc::default();
    }

    /// Takes a node away. Pods bound to it are remembered until they are removed or the node returns.
    pub(crate) fn remove_node(&mut self, name: &str) {
        let Some(id) = self.node_ids.remove(name) else { return };
        let pods = self.nodes.get(id).map(|n| n.pods.clone()).unwrap_or_default();
        for pod in pods {
            self.make_homeless(pod);
        }
        self.leave(id);
        self.nodes.remove(id);
        self.order = Arc::default();
    }

    fn make_homeless(&mut self, id: u32) {
        let Some(state) = self.pods.get(id).cloned() else { return };
        let Some(template) = self.template(state.class).cloned() else { return };
        let Some(node) = self.nodes.get(state.node).map(|n| n.node.name.clone()) else { return };
        self.unbind(id);
        let mut pod = Pod::new(state.key, template).on(&node);
        pod.terminating = state.terminating;
        pod.started = state.started;
        self.homeless_nodes.insert(pod.key.clone(), node.clone());
        self.homeless.entry(node).or_default().insert(pod.key.clone(), pod);
    }

    /// Adds a pod or takes over its new state: it counts while it is bound and has not ended.
    pub(crate) fn set_pod(&mut self, pod: Pod) {
        if let Some(id) = self.pod_id(&pod.key)
            && self.same_pod(id, &pod)
        {
            if let Some(state) = self.pods.get_mut(id) {
                state.started = pod.started;
            }
            return;
        }
        self.remove_pod(&pod.key);
        if pod.finished {
            return;
        }
        match (&pod.node, &pod.nominated) {
            (Some(node), _) => match self.node_id(node) {
                Some(id) => self.bind(pod, id),
                None => {
                    self.homeless_nodes.insert(pod.key.clone(), node.clone());
                    self.homeless.entry(node.clone()).or_default().insert(pod.key.clone(), pod);
                }
            },
            (None, Some(node)) => {
                if let Some(state) = self.node_id(node).and_then(|id| self.nodes.get_mut(id)) {
                    state.nominated.push(pod.key.clone());
                    self.nominated.insert(pod.key.clone(), pod);
                }
            }
            (None, None) => {}
        }
    }

    /// Whether an update changes nothing that is counted.
    fn same_pod(&self, id: u32, pod: &Pod) -> bool {
        let Some(state) = self.pods.get(id) else { return false };
        let node = self.nodes.get(state.node).map(|n| &n.node.name);
        let class = self.classes.get(state.class);
        !pod.finished
            && state.terminating == pod.terminating
            && node == pod.node.as_ref()
            && class.is_some_and(|c| c.is(pod))
    }

    /// Takes a pod away, wherever it is.
    pub(crate) fn remove_pod(&mut self, key: &PodKey) {
        if let Some(id) = self.pod_id(key) {
            self.unbind(id);
        }
        if let Some(node) = self.homeless_nodes.remove(key)
            && let Some(pods) = self.homeless.get_mut(&node)
        {
            pods.remove(key);
            if pods.is_empty() {
                self.homeless.remove(&node);
            }
        }
        if let Some(pod) = self.nominated.remove(key)
            && let Some(id) = pod.nominated.as_ref().and_then(|n| self.node_id(n))
            && let Some(state) = self.nodes.get_mut(id)
        {
            take_out(&mut state.nominated, key);
        }
    }

    fn bind(&mut self, pod: Pod, node: u32) {
        let class = self.class_of(&pod);
        let id = self.pods.insert(PodState {
            key: pod.key.clone(),
            class,
            node,
            terminating: pod.terminating,
            started: pod.started,
            priority: pod.template().priority,
        });
        if let Some(state) = self.nodes.get_mut(node) {
            state.pods.push(id);
        }
        self.pod_ids.insert(pod.key, id);
        self.count(class, node, pod.terminating, 1);
    }

    fn unbind(&mut self, id: u32) {
        let Some(pod) = self.pods.remove(id) else { return };
        self.pod_ids.remove(&pod.key);
        if let Some(state) = self.nodes.get_mut(pod.node) {
            take_out(&mut state.pods, &id);
        }
        self.count(pod.class, pod.node, pod.terminating, -1);
        self.retire(pod.class);
    }

    /// Counts a pod of a class in (+1) or out (-1) everywhere. Also used to try what would be without it.
    pub(crate) fn count(&mut self, class: u32, node: u32, terminating: bool, sign: i64) {
        let (Some(class), Some(state)) = (self.classes.get_mut(class), self.nodes.get_mut(node)) else {
            return;
        };
        let template = &class.template;
        let requests = &template.requests;
        if sign > 0 {
            state.requested.add(&requests.exact);
            state.ports.extend(template.ports.iter().cloned());
        } else {
            state.requested.sub(&requests.exact);
            for port in &template.ports {
                take_out(&mut state.ports, port);
            }
        }
        state.count += sign;
        state.scoring_milli_cpu = state.scoring_milli_cpu.wrapping_add(sign * requests.scoring_milli_cpu);
        state.scoring_memory = state.scoring_memory.wrapping_add(sign * requests.scoring_memory);
        class.place(node, terminating, sign);
        for id in &class.matched {
            let Some(tracker) = self.trackers.get_mut(*id) else { continue };
            let eligible = self.filters.get(tracker.filter).is_some_and(|f| f.takes(node));
            if eligible && !(terminating && tracker.skips_terminating()) {
                tracker.add(state.domain(tracker.key), sign);
            }
        }
        for (id, weight) in &class.owns {
            let Some(owner) = self.owners.get_mut(*id) else { continue };
            owner.add(state.domain(owner.key), sign * weight);
        }
    }

    fn count_all(&mut self, node: u32, sign: i64) {
        let pods = self.nodes.get(node).map(|n| n.pods.clone()).unwrap_or_default();
        for pod in pods {
            if let Some(pod) = self.pods.get(pod) {
                self.count(pod.class, node, pod.terminating, sign);
            }
        }
    }

    /// Makes a node without pods known to domains, filters and trackers.
    fn enter(&mut self, id: u32) {
        let Some(state) = self.nodes.get_mut(id) else { return };
        self.topology.enter(state);
        for (_, filter) in self.filters.iter_mut() {
            filter.set(id, filter.key.accepts(&state.node));
        }
        for (_, tracker) in self.trackers.iter_mut() {
            if self.filters.get(tracker.filter).is_some_and(|f| f.takes(id)) {
                tracker.enter(state.domain(tracker.key));
            }
        }
    }

    /// The reverse of [`Cluster::enter`]; the node's pods are counted out before.
    fn leave(&mut self, id: u32) {
        let Some(state) = self.nodes.get_mut(id) else { return };
        for (_, tracker) in self.trackers.iter_mut() {
            if self.filters.get(tracker.filter).is_some_and(|f| f.takes(id)) {
                tracker.leave(state.domain(tracker.key));
            }
        }
        for (_, filter) in self.filters.iter_mut() {
            filter.set(id, false);
        }
        self.topology.leave(state);
    }

    /// The nodes in the order of the search: zones in turn, names within a zone in order, so that a search
    /// that stops early has seen all zones.
    pub(crate) fn order(&mut self) -> Arc<Vec<u32>> {
        if self.order.is_empty() && self.nodes.len() > 0 {
            let mut zones: BTreeMap<(&str, &str), Vec<(&str, u32)>> = BTreeMap::new();
            for (id, state) in self.nodes.iter() {
                let label = |key| state.node.labels.shared(key).map_or("", |v| &**v);
                zones.entry((label(REGION), label(ZONE))).or_default().push((&state.node.name, id));
            }
            let mut order = Vec::with_capacity(self.nodes.len());
            let mut lists: Vec<_> = zones.into_values().collect();
            lists.iter_mut().for_each(|l| l.sort_unstable());
            let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
            for i in 0..longest {
                order.extend(lists.iter().filter_map(|l| l.get(i)).map(|(_, id)| *id));
            }
            self.order = Arc::new(order);
        }
        self.order.clone()
    }
}

impl NodeState {
    pub(crate) fn domain(&self, key: u32) -> Domain {
        self.domains.get(key as usize).copied().unwrap_or(Domain::NONE)
    }
}
