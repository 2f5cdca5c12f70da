//! Classes: pods of one namespace and template, with the counts that they need and those that they are in.

use std::collections::HashMap;
use std::sync::Arc;

use kiban_base::selector::LabelSelector;

use super::{Cluster, Filter, FilterKey, Owner, OwnerKey, Purpose, Shelf, Shelves, Tracker, TrackerKey};
use crate::fast::{IdMap, take_out};
use crate::labels::Labels;
use crate::pod::{Pod, PodTerm, Scope, Spread, Template};

/// Idle classes that are kept beside those with pods.
const IDLE_KEPT: usize = 256;
/// Every namespace has this label, by admission.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

#[derive(Debug, Clone, Copy, Default)]
struct Placed {
    running: u32,
    terminating: u32,
}

/// Pods of one namespace and template.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) namespace: Arc<str>,
    pub(crate) template: Arc<Template>,
    hash: u64,
    pods: u32,
    idle: bool,
    by_node: IdMap<Placed>,
    /// Trackers that count these pods.
    pub(crate) matched: Vec<u32>,
    /// Terms that these pods carry, with the weight of each.
    pub(crate) owns: Vec<(u32, i64)>,
    /// Terms of others that match these pods and forbid.
    pub(crate) forbidden_by: Vec<u32>,
    /// Terms of others that match these pods and are scored.
    pub(crate) scored_by: Vec<u32>,
    pub(crate) demand: Demand,
}

/// The trackers that tell where a pod of the class may go and would like to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demand {
    /// Hard spread.
    pub(crate) hard: Vec<Limit>,
    /// Soft spread.
    pub(crate) soft: Vec<Limit>,
    /// Required affinity: each counts the pods that match all terms.
    pub(crate) affinity: Vec<u32>,
    /// Whether the class matches its own required affinity.
    pub(crate) affine_to_itself: bool,
    /// Required anti-affinity.
    pub(crate) anti_affinity: Vec<u32>,
    /// Preferred affinity, with weights; negative for anti-affinity.
    pub(crate) preferred: Vec<(u32, i64)>,
}

/// A spread constraint with its tracker.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub(crate) tracker: u32,
    pub(crate) max_skew: i32,
    pub(crate) min_domains: i32,
    pub(crate) counts_itself: bool,
    pub(crate) is_hostname: bool,
}

impl Class {
    pub(crate) fn is(&self, pod: &Pod) -> bool {
        self.hash == pod.class_hash()
            && self.namespace == pod.key.namespace
            && (Arc::ptr_eq(&self.template, pod.template()) || self.template == *pod.template())
    }

    pub(crate) fn place(&mut self, node: u32, terminating: bool, sign: i64) {
        let step = |n: &mut u32| *n = if sign > 0 { *n + 1 } else { n.saturating_sub(1) };
        step(&mut self.pods);
        let placed = self.by_node.entry(node).or_default();
        step(if terminating { &mut placed.terminating } else { &mut placed.running });
        if placed.running + placed.terminating == 0 {
            self.by_node.remove(&node);
        }
    }

    fn trackers(&self) -> impl Iterator<Item = u32> {
        let demand = &self.demand;
        let spread = demand.hard.iter().chain(&demand.soft).map(|l| l.tracker);
        let terms = demand.affinity.iter().chain(&demand.anti_affinity).copied();
        spread.chain(terms).chain(demand.preferred.iter().map(|(t, _)| *t))
    }
}

/// Whether a term's scope and selector match a pod of a class.
fn matches(scope: &Scope, selector: &LabelSelector, class: &Class, namespace: &Labels) -> bool {
    scope.covers(&class.namespace, namespace) && selector.matches(&class.template.labels)
}

impl Cluster {
    /// The class of a pod, made if need be.
    pub(crate) fn class_of(&mut self, pod: &Pod) -> u32 {
        let known = self.class_ids.get(&pod.class_hash()).into_iter().flatten();
        for id in known {
            if self.classes.get(*id).is_some_and(|c| c.is(pod)) {
                return *id;
            }
        }
        self.forget_idle();
        let id = self.classes.insert(Class {
            namespace: pod.key.namespace.clone(),
            template: pod.template().clone(),
            hash: pod.class_hash(),
            pods: 0,
            idle: false,
            by_node: IdMap::default(),
            matched: Vec::new(),
            owns: Vec::new(),
            forbidden_by: Vec::new(),
            scored_by: Vec::new(),
            demand: Demand::default(),
        });
        self.class_ids.entry(pod.class_hash()).or_default().push(id);
        for shelf in Shelf::all(&pod.key.namespace, &pod.template().labels) {
            self.class_shelves.entry(shelf).or_default().insert(id);
        }
        self.find_matches(id);
        self.acquire_demand(id, pod.template());
        self.retire(id);
        id
    }

    /// Notes that a class has no pods; it is forgotten when many others have none either.
    pub(super) fn retire(&mut self, id: u32) {
        if let Some(class) = self.classes.get_mut(id)
            && class.pods == 0
            && !class.idle
        {
            class.idle = true;
            self.idle.push_back(id);
        }
    }

    fn forget_idle(&mut self) {
        let keep = IDLE_KEPT + self.classes.len() / 4;
        while self.idle.len() > keep {
            let Some(id) = self.idle.pop_front() else { return };
            let Some(class) = self.classes.get_mut(id) else { continue };
            class.idle = false;
            if class.pods == 0 {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: u32) {
        let Some(class) = self.classes.remove(id) else { return };
        if let Some(ids) = self.class_ids.get_mut(&class.hash) {
            take_out(ids, &id);
            if ids.is_empty() {
                self.class_ids.remove(&class.hash);
            }
        }
        for shelf in Shelf::all(&class.namespace, &class.template.labels) {
            take_off(&mut self.class_shelves, &shelf, id);
        }
        for tracker in class.trackers() {
            self.release_tracker(tracker);
        }
        for (owner, _) in &class.owns {
            self.release_owner(*owner);
        }
    }

    /// Finds the trackers and owners that know pods like these.
    fn find_matches(&mut self, id: u32) {
        let Some(class) = self.classes.get_mut(id) else { return };
        let namespace = namespace_labels(&self.namespaces, &class.namespace);
        for shelf in Shelf::all(&class.namespace, &class.template.labels) {
            for tracker in self.tracker_shelves.get(&shelf).into_iter().flatten() {
                let matchers = self.trackers.get(*tracker).map(|t| &t.matchers);
                if matchers.is_some_and(|m| m.iter().all(|(s, l)| matches(s, l, class, &namespace))) {
                    class.matched.push(*tracker);
                }
            }
            for owner in self.owner_shelves.get(&shelf).into_iter().flatten() {
                let Some(found) = self.owners.get(*owner) else { continue };
                if matches(&found.term.scope, &found.term.selector, class, &namespace) {
                    let list = if found.forbids { &mut class.forbidden_by } else { &mut class.scored_by };
                    list.push(*owner);
                }
            }
        }
    }

    fn acquire_demand(&mut self, id: u32, template: &Arc<Template>) {
        let Some(namespace) = self.classes.get(id).map(|c| c.namespace.clone()) else { return };
        let mut demand = Demand::default();
        for spread in &template.spread {
            let limit = self.acquire_limit(spread, template, &namespace);
            if spread.hard { demand.hard.push(limit) } else { demand.soft.push(limit) }
        }
        let matchers = |terms: &[PodTerm]| -> Vec<_> {
            terms.iter().map(|t| (t.scope.clone(), t.selector.clone())).collect()
        };
        for term in &template.affinity {
            demand.affinity.push(self.acquire_affinity(matchers(&template.affinity), &term.key));
        }
        for term in &template.anti_affinity {
            demand.anti_affinity.push(self.acquire_affinity(matchers(std::slice::from_ref(term)), &term.key));
        }
        for preferred in &template.preferred_pods {
            let matchers = matchers(std::slice::from_ref(&preferred.term));
            let tracker = self.acquire_affinity(matchers, &preferred.term.key);
            demand.preferred.push((tracker, i64::from(preferred.weight)));
        }
        let labels = namespace_labels(&self.namespaces, &namespace);
        if let Some(class) = self.classes.get_mut(id) {
            demand.affine_to_itself = !template.affinity.is_empty()
                && template.affinity.iter().all(|t| matches(&t.scope, &t.selector, class, &labels));
            class.demand = demand;
        }
        self.acquire_terms(id, template);
    }

    /// Takes part in the terms that the class carries.
    fn acquire_terms(&mut self, id: u32, template: &Template) {
        let mut owns = Vec::new();
        for term in &template.anti_affinity {
            owns.push((self.acquire_owner(term, true), 1));
        }
        // A required affinity attracts others with kube-scheduler's default weight of one.
        for term in &template.affinity {
            owns.push((self.acquire_owner(term, false), 1));
        }
        for preferred in &template.preferred_pods {
            owns.push((self.acquire_owner(&preferred.term, false), i64::from(preferred.weight)));
        }
        if let Some(class) = self.classes.get_mut(id) {
            class.owns = owns;
        }
    }

    fn acquire_limit(&mut self, spread: &Spread, template: &Template, namespace: &Arc<str>) -> Limit {
        let needed = template.spread.iter().filter(|s| s.hard == spread.hard && !template.default_spread);
        let mut labels: Vec<Arc<str>> = needed.map(|s| s.key.clone()).collect();
        labels.sort_unstable();
        labels.dedup();
        let honored = spread.honor_affinity && !template.node_affinity.is_anything();
        let filter = FilterKey {
            labels,
            affinity: honored.then(|| template.node_affinity.clone()),
            tolerations: spread.honor_taints.then(|| template.tolerations.clone()),
        };
        let tracker = self.acquire_tracker(TrackerKey {
            purpose: if spread.hard { Purpose::HardSpread } else { Purpose::SoftSpread },
            matchers: vec![(Scope::only(namespace), spread.selector.clone())],
            label: spread.key.clone(),
            filter,
        });
        Limit {
            tracker,
            max_skew: spread.max_skew,
            min_domains: spread.min_domains,
            counts_itself: spread.selector.matches(&template.labels),
            is_hostname: &*spread.key == "kubernetes.io/hostname",
        }
    }

    fn acquire_affinity(&mut self, matchers: Vec<(Scope, LabelSelector)>, label: &Arc<str>) -> u32 {
        let (purpose, filter) = (Purpose::Affinity, FilterKey::default());
        self.acquire_tracker(TrackerKey { purpose, matchers, label: label.clone(), filter })
    }

    fn acquire_tracker(&mut self, wanted: TrackerKey) -> u32 {
        if let Some(id) = self.tracker_ids.get(&wanted).copied()
            && let Some(tracker) = self.trackers.get_mut(id)
        {
            tracker.users += 1;
            return id;
        }
        let key = self.topology.acquire(&wanted.label, &mut self.nodes);
        let filter = self.acquire_filter(&wanted.filter);
        let mut tracker = Tracker::new(&wanted, key, filter);
        if let Some(filter) = self.filters.get(filter) {
            for (_, state) in self.nodes.iter().filter(|(node, _)| filter.takes(*node)) {
                tracker.enter(state.domain(key));
            }
        }
        let id = self.trackers.insert(tracker);
        let shelf = wanted.shelf();
        for class in self.class_shelves.get(&shelf).cloned().unwrap_or_default() {
            self.link_tracker(id, class);
        }
        self.tracker_shelves.entry(shelf).or_default().insert(id);
        self.tracker_ids.insert(wanted, id);
        id
    }

    /// Lets a tracker count a class, if it matches.
    fn link_tracker(&mut self, id: u32, class: u32) {
        let (Some(tracker), Some(class)) = (self.trackers.get_mut(id), self.classes.get_mut(class)) else {
            return;
        };
        let namespace = namespace_labels(&self.namespaces, &class.namespace);
        if !tracker.matchers.iter().all(|(s, l)| matches(s, l, class, &namespace)) {
            return;
        }
        class.matched.push(id);
        let Some(filter) = self.filters.get(tracker.filter) else { return };
        for (node, placed) in &class.by_node {
            let Some(state) = self.nodes.get(*node) else { continue };
            if filter.takes(*node) {
                let skipped = if tracker.skips_terminating() { 0 } else { placed.terminating };
                tracker.add(state.domain(tracker.key), i64::from(placed.running + skipped));
            }
        }
    }

    fn release_tracker(&mut self, id: u32) {
        let Some(tracker) = self.trackers.get_mut(id) else { return };
        tracker.users -= 1;
        if tracker.users > 0 {
            return;
        }
        let Some(tracker) = self.trackers.remove(id) else { return };
        self.topology.release(tracker.key);
        let filter = self.filters.get(tracker.filter).map(|f| f.key.clone()).unwrap_or_default();
        self.release_filter(tracker.filter);
        let wanted = tracker.into_key(filter);
        let shelf = wanted.shelf();
        for class in self.class_shelves.get(&shelf).into_iter().flatten() {
            if let Some(class) = self.classes.get_mut(*class) {
                take_out(&mut class.matched, &id);
            }
        }
        take_off(&mut self.tracker_shelves, &shelf, id);
        self.tracker_ids.remove(&wanted);
    }

    fn acquire_filter(&mut self, wanted: &FilterKey) -> u32 {
        let id = match self.filter_ids.get(wanted) {
            Some(id) => *id,
            None => {
                let mut filter = Filter::new(wanted.clone());
                for (node, state) in self.nodes.iter() {
                    filter.set(node, wanted.accepts(&state.node));
                }
                let id = self.filters.insert(filter);
                self.filter_ids.insert(wanted.clone(), id);
                id
            }
        };
        if let Some(filter) = self.filters.get_mut(id) {
            filter.users += 1;
        }
        id
    }

    fn release_filter(&mut self, id: u32) {
        let Some(filter) = self.filters.get_mut(id) else { return };
        filter.users -= 1;
        if filter.users == 0
            && let Some(filter) = self.filters.remove(id)
        {
            self.filter_ids.remove(&filter.key);
        }
    }

    fn acquire_owner(&mut self, term: &PodTerm, forbids: bool) -> u32 {
        let wanted = OwnerKey { term: term.clone(), forbids };
        if let Some(id) = self.owner_ids.get(&wanted).copied()
            && let Some(owner) = self.owners.get_mut(id)
        {
            owner.users += 1;
            return id;
        }
        let key = self.topology.acquire(&term.key, &mut self.nodes);
        let id = self.owners.insert(Owner::new(&wanted, key));
        let shelf = wanted.shelf();
        for class in self.class_shelves.get(&shelf).cloned().unwrap_or_default() {
            self.link_owner(id, class);
        }
        self.owner_shelves.entry(shelf).or_default().insert(id);
        self.owner_ids.insert(wanted, id);
        id
    }

    fn link_owner(&mut self, id: u32, class: u32) {
        let (Some(owner), Some(class)) = (self.owners.get(id), self.classes.get_mut(class)) else { return };
        let namespace = namespace_labels(&self.namespaces, &class.namespace);
        if matches(&owner.term.scope, &owner.term.selector, class, &namespace) {
            let list = if owner.forbids { &mut class.forbidden_by } else { &mut class.scored_by };
            list.push(id);
        }
    }

    fn release_owner(&mut self, id: u32) {
        let Some(owner) = self.owners.get_mut(id) else { return };
        owner.users -= 1;
        if owner.users > 0 {
            return;
        }
        let Some(owner) = self.owners.remove(id) else { return };
        self.topology.release(owner.key);
        let wanted = OwnerKey { term: owner.term, forbids: owner.forbids };
        let shelf = wanted.shelf();
        for class in self.class_shelves.get(&shelf).into_iter().flatten() {
            if let Some(class) = self.classes.get_mut(*class) {
                take_out(&mut class.forbidden_by, &id);
                take_out(&mut class.scored_by, &id);
            }
        }
        take_off(&mut self.owner_shelves, &shelf, id);
        self.owner_ids.remove(&wanted);
    }

    /// Takes over a namespace's labels. Terms that select namespaces are matched again for its pods.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        let changed = match labels {
            Some(labels) => self.namespaces.insert(name.into(), labels.clone()) != Some(labels),
            None => self.namespaces.remove(name).is_some(),
        };
        if !changed {
            return;
        }
        let (trackers, owners) = (anywhere(&self.tracker_shelves), anywhere(&self.owner_shelves));
        let shelf = Shelf { namespace: name.into(), label: None };
        for id in self.class_shelves.get(&shelf).cloned().unwrap_or_default() {
            for tracker in &trackers {
                self.unlink_tracker(*tracker, id);
                self.link_tracker(*tracker, id);
            }
            let demand = self.classes.get(id).map(|c| c.template.clone());
            let labels = namespace_labels(&self.namespaces, name);
            if let (Some(class), Some(template)) = (self.classes.get_mut(id), demand) {
                for owner in &owners {
                    take_out(&mut class.forbidden_by, owner);
                    take_out(&mut class.scored_by, owner);
                }
                class.demand.affine_to_itself = !template.affinity.is_empty()
                    && template.affinity.iter().all(|t| matches(&t.scope, &t.selector, class, &labels));
            }
            for owner in &owners {
                self.link_owner(*owner, id);
            }
        }
    }

    fn unlink_tracker(&mut self, id: u32, class: u32) {
        let (Some(tracker), Some(class)) = (self.trackers.get_mut(id), self.classes.get_mut(class)) else {
            return;
        };
        if !class.matched.contains(&id) {
            return;
        }
        take_out(&mut class.matched, &id);
        let Some(filter) = self.filters.get(tracker.filter) else { return };
        for (node, placed) in &class.by_node {
            let Some(state) = self.nodes.get(*node) else { continue };
            if filter.takes(*node) {
                let skipped = if tracker.skips_terminating() { 0 } else { placed.terminating };
                tracker.add(state.domain(tracker.key), -i64::from(placed.running + skipped));
            }
        }
    }
}

/// A namespace's labels; one that is not known has the label that all have.
fn namespace_labels(known: &HashMap<Arc<str>, Labels>, name: &str) -> Labels {
    known.get(name).cloned().unwrap_or_else(|| Labels::new([(NAME_LABEL, name)]))
}

/// What is not bound to one namespace.
fn anywhere(shelves: &Shelves) -> Vec<u32> {
    let open = shelves.iter().filter(|(shelf, _)| shelf.namespace.is_empty());
    let mut out: Vec<u32> = open.flat_map(|(_, ids)| ids.iter().copied()).collect();
    out.sort_unstable();
    out
}

fn take_off(shelves: &mut Shelves, shelf: &Shelf, id: u32) {
    if let Some(ids) = shelves.get_mut(shelf) {
        ids.remove(&id);
        if ids.is_empty() {
            shelves.remove(shelf);
        }
    }
}
