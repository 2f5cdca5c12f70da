//! DaemonSets: one pod on every node that takes it.
//!
//! Contract: Kubernetes pkg/controller/daemon. Pods name their node by affinity and are bound by the
//! scheduler, as today's controller does.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiban_planner::{Effect, Node, Pod};
use serde_json::{Value, json};

use super::events::Event;
use super::pods::Orphans;
use super::revisions::{POD_LABEL, Style};
use super::{Again, Controller, Ctx, Item, pods, revisions, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Phase, Stored};
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

const STYLE: Style = Style::DaemonSet;

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
pub struct DaemonSets {
    orphans: Orphans,
}

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
            self.orphans.see(object, change.deleted);
            workload::wake_owner(&[*DAEMON_SET], change, items);
            if workload::may_be_adopted(change) {
                workload::wake_selectors(*DAEMON_SET, state, object, items);
            }
        } else if change.deleted
            || change.old.as_ref().is_none_or(|o| placement_of(o) != placement_of(object))
        {
            // A node came, went, or takes other pods now; its heartbeats are no news.
            items.extend(
                state.objects(*DAEMON_SET).keys().map(|k| Item { kind: *DAEMON_SET, key: k.clone() }),
            );
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*DAEMON_SET, &item.key).filter(|o| !o.deleting) else { return Ok(None) };
        let value = object.value();
        let actor = Actor::new(self.name());
        let selector = workload::selector_of(*DAEMON_SET, &value);
        pods::claim(ctx, &state, object, &selector, (&self.orphans, &|_| true), &actor)?;
        let history = revisions::claim(ctx, &state, object, &selector, &actor)?;
        let (update, collisions) = revisions::ensure(ctx, object, &value, &history, STYLE, &actor)?;
        let hash = STYLE.mark(&update).to_owned();
        let set = Set { ctx, object: object.clone(), value, actor, hash };
        let synced = set.sync(&ctx.state());
        let after = ctx.state();
        let again = set.update_status(&after, collisions)?;
        let retry = synced?;
        let used = |r: &Stored| {
            r.key.name == update.key.name
                || pods::owned(&after, object).any(|p| p.label(POD_LABEL) == Some(STYLE.mark(r)))
        };
        revisions::trim(ctx, &set.value, &history, used, &set.actor)?;
        Ok([again, retry].into_iter().flatten().min())
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
        pod["metadata"]["labels"][POD_LABEL] = self.hash.clone().into();
        let this = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
        let affinity =
            &mut pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let terms = affinity["nodeSelectorTerms"].as_array().cloned().unwrap_or_default();
        let terms: Vec<_> = if terms.is_empty() {
            vec![this]
        } else {
            let with = |mut t: Value| {
                t["matchFields"] = this["matchFields"].clone();
                t
            };
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

    /// One pass over the nodes; comes with when to look again at pods that failed.
    fn sync(&self, state: &State) -> Result<Again, ApiError> {
        let mut by_node = self.by_node(state);
        let mut places = Vec::new();
        let mut again = None;
        for node in state.objects(*NODE).values() {
            let (run, stay) = self.wants(node);
            let here = by_node.remove(&*node.key.name).unwrap_or_default();
            if !run {
                for pod in here.iter().filter(|p| !stay && !p.deleting) {
                    pods::delete(self.ctx, &self.object, pod, &self.actor)?;
                }
                continue;
            }
            if here.is_empty() {
                self.create_on(&node.key.name)?;
            }
            again = [again, self.prune(&node.key.name, &here)?].into_iter().flatten().min();
            places.push((node.key.name.clone(), here));
        }
        // Pods of nodes that are gone.
        for pod in by_node.values().flatten().filter(|p| !p.deleting) {
            pods::delete(self.ctx, &self.object, pod, &self.actor)?;
        }
        if self.value["spec"]["updateStrategy"]["type"] != "OnDelete" {
            self.roll(&places)?;
        }
        Ok(again)
    }

    fn create_on(&self, node: &str) -> Result<(), ApiError> {
        pods::create(self.ctx, &self.object, self.pod_for(node), &self.actor).map(|_| ())
    }

    /// Deletes pods that ended and pods too many of a node; comes with when a failed one may go.
    fn prune(&self, node: &str, here: &[Arc<Stored>]) -> Result<Again, ApiError> {
        let mut running = Vec::new();
        let mut again = None;
        for pod in here.iter().filter(|p| !p.deleting) {
            let (type_, reason, what, verb) = match pod.pod.map(|d| d.phase) {
                Some(Phase::Failed) => ("Warning", "FailedDaemonPod", "failed", "kill"),
                Some(Phase::Succeeded) => ("Normal", "SucceededDaemonPod", "succeeded", "delete"),
                _ => {
                    running.push(pod);
                    continue;
                }
            };
            let wait = self.wait_after_end(pod);
            if wait.is_some() {
                again = [again, wait].into_iter().flatten().min();
                continue;
            }
            let name = format!("{}/{}", pod.key.namespace, pod.key.name);
            let text = format!("Found {what} daemon pod {name} on node {node}, will try to {verb} it");
            let event = Event { type_, ..Event::normal(&self.actor.manager, reason, &text) };
            event.record(self.ctx.cluster, &self.object);
            pods::delete(self.ctx, &self.object, pod, &self.actor)?;
        }
        running.sort_by_key(|p| place_rank(p));
        let (mut new, mut old) = (None, None);
        for pod in running {
            let slot = if self.surge(1) > 0 && !self.is_new(pod) { &mut old } else { &mut new };
            if slot.is_some() {
                pods::delete(self.ctx, &self.object, pod, &self.actor)?;
            } else {
                *slot = Some(pod);
            }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!pods::is_ready(old) || self.is_available(new))
        {
            pods::delete(self.ctx, &self.object, old, &self.actor)?;
        }
        Ok(again)
    }

    /// A pod that ended at once is not replaced at once: a second, at most (a shorter back-off than the
    /// minutes of a kubelet, and none that has to be remembered).
    fn wait_after_end(&self, pod: &Stored) -> Again {
        let due = pod.created + std::time::Duration::from_secs(1);
        (due > self.ctx.now && !self.ctx.fast).then(|| due.since(self.ctx.now))
    }

    fn is_new(&self, pod: &Stored) -> bool {
        pod.label(POD_LABEL) == Some(&self.hash)
    }

    fn is_available(&self, pod: &Stored) -> bool {
        pods::is_available(pod, self.min_ready(), self.ctx.now)
    }

    /// How many pods may be made beside old ones that still run.
    fn surge(&self, wanted: i64) -> i64 {
        let strategy = &self.value["spec"]["updateStrategy"];
        pods::scaled(&strategy["rollingUpdate"]["maxSurge"], wanted, true)
            .filter(|_| strategy["type"] != "OnDelete")
            .unwrap_or(0)
    }

    /// Replaces old pods: as many at once as may be unavailable, or may be too many.
    fn roll(&self, places: &[(Arc<str>, Vec<Arc<Stored>>)]) -> Result<(), ApiError> {
        let wanted = i64::try_from(places.len()).unwrap_or(0);
        let surge = self.surge(wanted);
        let places = places.iter().map(|(node, pods)| {
            let alive = || pods.iter().filter(|p| !p.deleting);
            let ended = |p: &&Arc<Stored>| p.pod.is_some_and(|d| d.phase.is_terminal());
            (
                node,
                alive().find(|p| self.is_new(p)),
                alive().find(|p| !self.is_new(p)),
                alive().any(|p| ended(&p)),
            )
        });
        if surge > 0 {
            return self.roll_with_surge(places.map(|(node, new, old, _)| (node, new, old)), surge);
        }
        let max = &self.value["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
        let max = pods::scaled(max, wanted, true).unwrap_or(1).max(1);
        let mut unavailable = 0;
        let mut candidates = Vec::new();
        for (_, new, old, ended) in places {
            match (new, old) {
                // The pass above has seen to these.
                (None, None) | (Some(_), Some(_)) => unavailable += 1,
                _ if ended => unavailable += 1,
                (Some(new), None) => unavailable += i64::from(!self.is_available(new)),
                (None, Some(old)) if self.is_available(old) => candidates.push(old),
                (None, Some(old)) => {
                    unavailable += 1;
                    pods::delete(self.ctx, &self.object, old, &self.actor)?;
                }
            }
        }
        for old in candidates.into_iter().take(usize::try_from(max - unavailable).unwrap_or(0)) {
            pods::delete(self.ctx, &self.object, old, &self.actor)?;
        }
        Ok(())
    }

    /// A new pod beside each old one that does not work, and beside as many others as may be too many.
    fn roll_with_surge<'p>(
        &self,
        places: impl Iterator<Item = (&'p Arc<str>, Option<&'p Arc<Stored>>, Option<&'p Arc<Stored>>)>,
        max: i64,
    ) -> Result<(), ApiError> {
        let mut surging = 0;
        let mut candidates = Vec::new();
        for (node, new, old) in places {
            match (new, old) {
                (None, Some(old)) if self.is_available(old) => candidates.push(node),
                (None, Some(_)) => self.create_on(node)?,
                (Some(new), Some(_)) => surging += i64::from(!self.is_available(new)),
                (_, None) => {}
            }
        }
        for node in candidates.into_iter().take(usize::try_from(max - surging).unwrap_or(0)) {
            self.create_on(node)?;
        }
        Ok(())
    }

    fn update_status(&self, state: &State, collisions: i64) -> Result<Again, ApiError> {
        let by_node = self.by_node(state);
        let [mut desired, mut current, mut misplaced, mut ready, mut available, mut updated] = [0_i64; 6];
        let mut again = None;
        for node in state.objects(*NODE).values() {
            let (run, _) = self.wants(node);
            let pod = by_node.get(&*node.key.name).and_then(|p| p.iter().min_by_key(|p| place_rank(p)));
            desired += i64::from(run);
            let Some(pod) = pod else { continue };
            if !run {
                misplaced += 1;
                continue;
            }
            current += 1;
            ready += i64::from(pods::is_ready(pod));
            available += i64::from(pods::is_available(pod, self.min_ready(), self.ctx.now));
            updated += i64::from(self.is_new(pod));
            let wait = pods::becomes_available(pod, self.min_ready(), self.ctx.now);
            again = [again, wait].into_iter().flatten().min();
        }
        let mut status =
            if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
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
        if collisions > 0 {
            status["collisionCount"] = collisions.into();
        }
        if status != self.value["status"] {
            self.ctx.cluster.modify(*DAEMON_SET, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(again)
    }
}

/// Of several pods of one node, the one that counts: bound, then the oldest.
fn place_rank(pod: &Stored) -> (bool, kiban_base::clock::Timestamp, Arc<str>) {
    (!pod.pod.is_some_and(|p| p.bound), pod.created, pod.key.name.clone())
}

/// The node that a daemon pod is on, or meant for by its affinity.
fn node_of(pod: &Stored) -> String {
    if let Some(node) = pod.field("spec.nodeName").filter(|n| !n.is_empty()) {
        return node.to_owned();
    }
    let value = pod.value();
    let terms = &value["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    let mut fields = terms
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|t| t["matchFields"].as_array().into_iter().flatten());
    let name = fields.find(|f| f["key"] == "metadata.name").and_then(|f| f["values"][0].as_str());
    name.unwrap_or_default().to_owned()
}
