//! DaemonSets: one pod on every node that takes it.
//!
//! Contract: Kubernetes pkg/controller/daemon. Pods name their node by affinity and are bound by the
//! scheduler, as today's controller does.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiban_planner::{Effect, Node, Pod};
use serde_json::{Value, json};

use super::{Again, Controller, Ctx, Item, pods, revisions, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Phase, Stored};
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

const HASH: &str = "controller-revision-hash";

/// Taints that every daemon pod tolerates (util/daemonset_util.go), with their effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// Keeps the pods of DaemonSets.
#[derive(Debug, Default)]
pub struct DaemonSets;

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*DAEMON_SET, *POD, *NODE]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *DAEMON_SET {
            items.push(Item { kind: *DAEMON_SET, key: object.key.clone() });
        } else if object.kind == *POD {
            workload::wake_owner(&[*DAEMON_SET], change, items);
        } else if change.deleted || change.old.as_ref().is_none_or(|o| placement_of(o) != placement_of(object)) {
            // A node came, went, or takes other pods now; its heartbeats are no news.
            items.extend(state.objects(*DAEMON_SET).keys().map(|k| Item { kind: *DAEMON_SET, key: k.clone() }));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*DAEMON_SET, &item.key).filter(|o| !o.deleting) else { return Ok(None) };
        let value = object.value();
        let actor = Actor::new(self.name());
        let history = revisions::of(&state, object);
        let update = revisions::ensure(ctx, object, &value, &history, HASH, &actor)?;
        let hash = revisions::hash_of(&update, HASH).to_owned();
        let set = Set { ctx, object: object.clone(), value, actor, hash };
        set.sync(&state)?;
        let after = ctx.state();
        let used = |r: &Stored| {
            r.key.name == update.key.name
                || pods::owned(&after, object).any(|p| p.label(HASH) == Some(revisions::hash_of(r, HASH)))
        };
        revisions::trim(ctx, &set.value, &history, used, &set.actor)?;
        set.update_status(&after)
    }
}

/// What of a node decides which pods it takes.
fn placement_of(node: &Stored) -> (Vec<(String, String)>, Value, Value) {
    let value = node.value();
    let labels = node.labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    (labels, value["spec"]["taints"].clone(), value["spec"]["unschedulable"].clone())
}

/// One DaemonSet being looked at.
struct Set<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    value: Value,
    actor: Actor,
    /// Hash of the template as it is now.
    hash: String,
}

impl Set<'_> {
    fn min_ready(&self) -> i64 {
        self.value["spec"]["minReadySeconds"].as_i64().unwrap_or(0)
    }

    /// A pod for a node.
    fn pod_for(&self, node: &str) -> Value {
        let mut pod = pods::from_template(&self.object, &self.value["spec"]["template"]);
        pod["metadata"]["labels"][HASH] = self.hash.clone().into();
        let this = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
        let affinity = &mut pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let terms = affinity["nodeSelectorTerms"].as_array().cloned().unwrap_or_default();
        let terms: Vec<_> = if terms.is_empty() {
            vec![this]
        } else {
            let with = |mut t: Value| { t["matchFields"] = this["matchFields"].clone(); t };
            terms.into_iter().map(with).collect()
        };
        *affinity = json!({"nodeSelectorTerms": terms});
        let mut tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        for (key, effect) in TOLERATED {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
        }
        if pod["spec"]["hostNetwork"] == true {
            tolerations.push(json!({"key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule"}));
        }
        pod["spec"]["tolerations"] = json!(tolerations);
        pod
    }

    /// Whether the node should run a pod, and whether a pod that is there may stay.
    fn wants(&self, node: &Stored) -> (bool, bool) {
        let mut pod = self.pod_for(&node.key.name);
        pod["metadata"]["namespace"] = self.object.key.namespace.to_string().into();
        pod["metadata"]["name"] = self.object.key.name.to_string().into();
        let (pod, node) = (Pod::from_json(&pod), Node::from_json(&node.value()));
        let template = pod.template();
        if !template.node_affinity.matches(&node) {
            return (false, false);
        }
        let mut run = true;
        let mut stay = true;
        for taint in node.taints.iter().filter(|t| !template.tolerates(t)) {
            run &= taint.effect == Effect::PreferNoSchedule;
            stay &= taint.effect != Effect::NoExecute;
        }
        (run, stay)
    }

    /// The set's pods by the node they are on or meant for.
    fn by_node(&self, state: &State) -> BTreeMap<String, Vec<Arc<Stored>>> {
        let mut map: BTreeMap<String, Vec<Arc<Stored>>> = BTreeMap::new();
        for pod in pods::owned(state, &self.object) {
            map.entry(node_of(pod)).or_default().push(pod.clone());
        }
        map
    }

    fn sync(&self, state: &State) -> Result<(), ApiError> {
        let mut by_node = self.by_node(state);
        let mut outdated = Vec::new();
        let mut wanted = 0;
        let mut unavailable = 0;
        for node in state.objects(*NODE).values() {
            let (run, stay) = self.wants(node);
            let here = by_node.remove(&*node.key.name).unwrap_or_default();
            let alive: Vec<_> = here.iter().filter(|p| !p.deleting).collect();
            wanted += i64::from(run);
            if !run {
                for pod in alive.iter().filter(|_| !stay) {
                    pods::delete(self.ctx, &self.object, pod, &self.actor)?;
                }
                continue;
            }
            let healthy = alive.iter().any(|p| pods::is_available(p, self.min_ready(), self.ctx.now));
            unavailable += i64::from(!healthy);
            self.keep_one(node, &here, &alive, &mut outdated)?;
        }
        // Pods of nodes that are gone.
        for pod in by_node.values().flatten().filter(|p| !p.deleting) {
            pods::delete(self.ctx, &self.object, pod, &self.actor)?;
        }
        self.replace(&outdated, wanted, unavailable)
    }

    fn keep_one(
        &self,
        node: &Stored,
        here: &[Arc<Stored>],
        alive: &[&Arc<Stored>],
        outdated: &mut Vec<Arc<Stored>>,
    ) -> Result<(), ApiError> {
        // A pod on its way out still holds its place: the next one comes when it is gone.
        if here.is_empty() {
            let pod = self.pod_for(&node.key.name);
            pods::create(self.ctx, &self.object, pod, &self.actor)?;
            return Ok(());
        }
        let failed = |p: &Stored| p.pod.is_some_and(|d| d.phase == Phase::Failed);
        for (i, pod) in alive.iter().enumerate() {
            if failed(pod) || i > 0 {
                pods::delete(self.ctx, &self.object, pod, &self.actor)?;
            } else if pod.label(HASH) != Some(&self.hash) {
                outdated.push((*pod).clone());
            }
        }
        Ok(())
    }

    fn replace(&self, outdated: &[Arc<Stored>], wanted: i64, unavailable: i64) -> Result<(), ApiError> {
        let strategy = &self.value["spec"]["updateStrategy"];
        if strategy["type"] == "OnDelete" {
            return Ok(());
        }
        let max = pods::scaled(&strategy["rollingUpdate"]["maxUnavailable"], wanted, true).unwrap_or(1).max(1);
        let mut room = max - unavailable;
        for pod in outdated {
            let available = pods::is_available(pod, self.min_ready(), self.ctx.now);
            if available && room <= 0 {
                continue;
            }
            room -= i64::from(available);
            pods::delete(self.ctx, &self.object, pod, &self.actor)?;
        }
        Ok(())
    }

    fn update_status(&self, state: &State) -> Result<Again, ApiError> {
        let by_node = self.by_node(state);
        let [mut desired, mut current, mut misplaced, mut ready, mut available, mut updated] = [0_i64; 6];
        let mut again = None;
        for node in state.objects(*NODE).values() {
            let (run, _) = self.wants(node);
            let pod = by_node.get(&*node.key.name).and_then(|p| p.iter().find(|p| !p.deleting).or_else(|| p.first()));
            desired += i64::from(run);
            let Some(pod) = pod else { continue };
            if !run {
                misplaced += 1;
                continue;
            }
            current += 1;
            ready += i64::from(pods::is_ready(pod));
            available += i64::from(pods::is_available(pod, self.min_ready(), self.ctx.now));
            updated += i64::from(pod.label(HASH) == Some(&self.hash));
            let wait = pods::becomes_available(pod, self.min_ready(), self.ctx.now);
            again = [again, wait].into_iter().flatten().min();
        }
        let mut status = if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
        for (field, number) in [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misplaced),
            ("numberReady", ready),
        ] {
            status[field] = number.into();
        }
        for (field, number) in [
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
        ] {
            if number == 0 {
                status.as_object_mut().map(|s| s.remove(field));
            } else {
                status[field] = number.into();
            }
        }
        status["observedGeneration"] = self.value["metadata"]["generation"].clone();
        if status != self.value["status"] {
            self.ctx.cluster.modify(*DAEMON_SET, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(again)
    }
}

/// The node that a daemon pod is on, or meant for by its affinity.
fn node_of(pod: &Stored) -> String {
    if let Some(node) = pod.field("spec.nodeName").filter(|n| !n.is_empty()) {
        return node.to_owned();
    }
    let value = pod.value();
    let terms = &value["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let mut fields = terms.as_array().into_iter().flatten().flat_map(|t| t["matchFields"].as_array().into_iter().flatten());
    let name = fields.find(|f| f["key"] == "metadata.name").and_then(|f| f["values"][0].as_str());
    name.unwrap_or_default().to_owned()
}
