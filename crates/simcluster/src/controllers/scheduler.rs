//! The default scheduler: finds a node for every pod that has none.
//!
//! What fits where is `kiban-planner`'s business; this controller keeps the planner's index in step with
//! the cluster, holds the queue, binds, and says why not.
//!
//! Contract: Kubernetes pkg/scheduler (schedule_one.go, backend/queue, framework/preemption).

mod claims;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_planner::{
    Budget, Eviction, Labels, Node, Options, Outcome, Pod, PodKey, Scheduler, Template, Unschedulable,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item, pods};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part, bind_pod};
use crate::status::ApiError;
use crate::store::{Change, State};
use claims::Claims;
use queue::Queue;

/// The name that pods ask for, and under which Events are recorded.
pub const NAME: &str = "default-scheduler";

/// Pods in one go: between two goes the kubelets have their turn.
const BATCH: usize = 500;

/// An Event with the same text again after this long: kube-scheduler tells it on its periodic retry.
const REPEAT: Duration = Duration::from_secs(300);

/// How often the index is held against the store while pods wait: a log that was outrun tells of no deletion.
const SWEEP: Duration = Duration::from_secs(30);

/// Reasons for failures that are remembered, so that siblings of a pod that fits nowhere cost nothing.
const REMEMBERED: usize = 4_096;

/// Schedules pods.
#[derive(Debug)]
pub struct DefaultScheduler {
    planner: Scheduler,
    queue: Queue,
    /// Pods that wait for a node, by key.
    pending: BTreeMap<Key, Pending>,
    /// Pods that were bound here and whose change has not come by yet: it is no news.
    assumed: BTreeMap<Key, Arc<str>>,
    /// Templates that fit nowhere as the cluster is now.
    hopeless: HashMap<(Arc<str>, Arc<Template>), Box<Unschedulable>>,
    swept: Timestamp,
}

/// A pod without a node.
#[derive(Debug)]
struct Pending {
    uid: Arc<str>,
    pod: Pod,
    claims: Vec<String>,
    /// The last text that was told, and when.
    told: Option<(String, Timestamp)>,
}

impl DefaultScheduler {
    /// A scheduler that knows nothing yet.
    pub fn new(seed: u64) -> Self {
        Self {
            planner: Scheduler::new(Options { seed, ..Options::default() }),
            queue: Queue::default(),
            pending: BTreeMap::new(),
            assumed: BTreeMap::new(),
            hopeless: HashMap::new(),
            swept: Timestamp::default(),
        }
    }

    /// Something changed that may make room: pods that wait are tried again after their back-off.
    fn stir(&mut self) {
        self.hopeless.clear();
        self.queue.stir();
    }

    fn see_pod(&mut self, state: &State, change: &Change) {
        let key = &change.new.key;
        if change.deleted {
            self.leave(key, change);
        }
        // The newest state: a change that came before one of our own bindings must not undo it.
        let Some(object) = state.get(*POD, key) else { return };
        if change.old.as_ref().is_some_and(|old| old.uid == object.uid && !matters(old, object)) {
            return;
        }
        if self.assumed.get(key).is_some_and(|uid| *uid == object.uid) && object.pod.is_some_and(|p| p.bound)
        {
            self.assumed.remove(key);
            if !object.deleting
                && object.pod.is_some_and(|p| !p.phase.is_terminal())
                && brief(object).status.start_time.is_none()
            {
                return;
            }
        }
        let value = object.value();
        let pod = Pod::from_json(&value);
        if pod.node.is_some() {
            self.forget(key);
            let left = pod.finished && change.old.as_ref().is_some_and(|o| is_running(o));
            self.planner.set_pod(pod);
            if left {
                self.stir();
            }
            return;
        }
        if value["spec"]["schedulerName"] != NAME || object.deleting || pod.finished {
            self.forget(key);
            self.planner.remove_pod(&planner_key(key));
            return;
        }
        self.enqueue(key, object, pod, &value);
    }

    /// A pod is gone: its room is free.
    fn leave(&mut self, key: &Key, change: &Change) {
        if self.pending.get(key).is_none_or(|p| p.uid == change.new.uid) {
            self.forget(key);
        }
        self.assumed.remove(key);
        self.planner.remove_pod(&planner_key(key));
        let nominated = change.new.field("status.nominatedNodeName").is_some_and(|n| !n.is_empty());
        if nominated || is_running(&change.new) {
            self.stir();
        }
    }

    fn enqueue(&mut self, key: &Key, object: &Stored, pod: Pod, value: &Value) {
        let same = self.pending.get(key).filter(|p| p.uid == object.uid);
        if same.is_some_and(|p| p.pod.template() == pod.template() && p.pod.nominated == pod.nominated) {
            return;
        }
        self.planner.set_pod(pod.clone());
        let told = same.and_then(|p| p.told.clone());
        self.queue.add(key.clone(), pod.template().priority);
        let claims = claims::names(value);
        self.pending.insert(key.clone(), Pending { uid: object.uid.clone(), pod, claims, told });
    }

    fn forget(&mut self, key: &Key) {
        if self.pending.remove(key).is_some() {
            self.queue.remove(key);
        }
    }

    fn see_node(&mut self, state: &State, change: &Change) {
        let name = &change.new.key.name;
        match state.get(*NODE, &change.new.key) {
            Some(object) => {
                let node = Node::from_json(&object.value());
                if self.planner.node(name) != Some(&node) {
                    self.planner.set_node(node);
                    self.stir();
                }
            }
            None => {
                self.planner.remove_node(name);
                self.stir();
            }
        }
    }

    fn see_namespace(&mut self, state: &State, change: &Change) {
        match state.get(*NAMESPACE, &change.new.key) {
            Some(object) if change.old.as_ref().is_none_or(|o| o.labels != object.labels) => {
                let labels = Labels::from_json(&object.value()["metadata"]["labels"]);
                self.planner.set_namespace(&change.new.key.name, labels);
                self.stir();
            }
            Some(_) => {}
            None => self.planner.remove_namespace(&change.new.key.name),
        }
    }

    /// Takes pods out of the index that are not where it has them.
    fn sweep(&mut self, ctx: &Ctx<'_>) {
        if self.queue.is_idle() || ctx.now < self.swept + SWEEP {
            return;
        }
        self.swept = ctx.now;
        let state = ctx.state();
        let mut gone: Vec<PodKey> = Vec::new();
        for node in state.objects(*NODE).keys() {
            let stays = |key: &&PodKey| {
                let pod = state.get(*POD, &Key::new(key.namespace.clone(), key.name.clone()));
                pod.is_some_and(|p| is_running(p) && p.field("spec.nodeName") == Some(&*node.name))
            };
            gone.extend(self.planner.pods_on(&node.name).filter(|k| !stays(k)).cloned());
        }
        for key in &gone {
            self.planner.remove_pod(key);
        }
        let lost: Vec<Key> = self.pending.keys().filter(|k| state.get(*POD, k).is_none()).cloned().collect();
        for key in &lost {
            self.forget(key);
        }
        self.assumed.retain(|key, _| state.get(*POD, key).is_some());
        if !gone.is_empty() {
            self.stir();
        }
    }

    /// Tries one pod.
    fn attempt(&mut self, ctx: &Ctx<'_>, key: &Key) -> Result<(), ApiError> {
        let Some(pending) = self.pending.get(key) else { return Ok(()) };
        let (pod, uid) = (pending.pod.clone(), pending.uid.clone());
        let claims = ctx.cluster.store().with(|s| claims::look(s, &key.namespace, &pending.claims));
        match claims {
            Claims::Ready => {}
            Claims::Soon => {
                self.queue.hold(key.clone(), ctx.now);
                return Ok(());
            }
            Claims::Missing(why) => {
                self.queue.hold(key.clone(), ctx.now);
                let nodes = self.planner.nodes();
                let text = format!(
                    "0/{nodes} nodes are available: {why}. preemption: 0/{nodes} nodes are available: {nodes} Preemption is not helpful for scheduling."
                );
                return self.tell(ctx, key, "Unschedulable", &text, None);
            }
        }
        let memory = (key.namespace.clone(), pod.template().clone());
        if let Some(known) = self.hopeless.get(&memory).filter(|_| pod.nominated.is_none()) {
            let known = known.clone();
            self.queue.hold(key.clone(), ctx.now);
            return self.tell(ctx, key, known.condition_reason(), &known.message(), None);
        }
        let budgets = if pod.template().preempts && pod.template().priority > 0 {
            budgets(&ctx.state())
        } else {
            Vec::new()
        };
        match self.planner.run(&pod, &budgets) {
            Outcome::Bind(decision) => self.bind(ctx, key, &uid, pod, &decision.node),
            Outcome::Evict(eviction, pending) => {
                self.queue.hold(key.clone(), ctx.now);
                self.evict(ctx, key, pod, &eviction, &pending)
            }
            Outcome::Wait(pending) => {
                self.queue.hold(key.clone(), ctx.now);
                let (reason, text) = (pending.condition_reason(), pending.message());
                if self.hopeless.len() < REMEMBERED {
                    self.hopeless.insert(memory, pending);
                }
                self.tell(ctx, key, reason, &text, None)
            }
        }
    }

    fn bind(&mut self, ctx: &Ctx<'_>, key: &Key, uid: &str, pod: Pod, node: &str) -> Result<(), ApiError> {
        let actor = Actor::new("kube-scheduler");
        let live = ctx.cluster.get(*POD, key).filter(|p| *p.uid == *uid);
        let Some(live) = live else {
            self.forget(key);
            return Ok(());
        };
        match bind_pod(ctx.cluster, key, node, &actor) {
            Ok(()) => {}
            // Somebody else bound or deleted it; the change is on its way.
            Err(e) if e.code == 404 || e.code == 409 => {
                self.forget(key);
                return Ok(());
            }
            Err(e) => {
                self.queue.hold(key.clone(), ctx.now);
                return Err(e);
            }
        }
        self.forget(key);
        self.assumed.insert(key.clone(), live.uid.clone());
        self.planner.set_pod(pod.on(node));
        let text = format!("Successfully assigned {key} to {node}");
        Event::normal(NAME, "Scheduled", &text).record(ctx.cluster, &live);
        Ok(())
    }

    /// Says why a pod waits: in its condition where that changes, and in an Event.
    fn tell(
        &mut self,
        ctx: &Ctx<'_>,
        key: &Key,
        reason: &str,
        text: &str,
        nominated: Option<&str>,
    ) -> Result<(), ApiError> {
        let Some(pending) = self.pending.get_mut(key) else { return Ok(()) };
        let Some(live) = ctx.cluster.get(*POD, key).filter(|p| p.uid == pending.uid) else { return Ok(()) };
        let again = pending.told.as_ref().is_some_and(|(old, at)| old == text && ctx.now < *at + REPEAT);
        if !again {
            pending.told = Some((text.to_owned(), ctx.now));
            if reason != "SchedulingGated" {
                Event::warning(NAME, "FailedScheduling", text).record(ctx.cluster, &live);
            }
        }
        let before = live.value();
        let same = pods::condition(&before, "PodScheduled")
            .is_some_and(|c| c["status"] == "False" && c["reason"] == reason && c["message"] == text);
        if same && nominated.is_none_or(|n| before["status"]["nominatedNodeName"] == n) {
            return Ok(());
        }
        let actor = Actor::new("kube-scheduler");
        ctx.cluster.modify(*POD, key, Part::Status, &actor, |pod| {
            let condition = json!({
                "type": "PodScheduled", "status": "False", "reason": reason, "message": text,
                "lastProbeTime": null, "observedGeneration": pod["metadata"]["generation"],
            });
            pods::set_condition(&mut pod["status"], condition, ctx.now);
            if let Some(node) = nominated {
                pod["status"]["nominatedNodeName"] = node.into();
            }
        })?;
        Ok(())
    }

    /// Makes room on a node and holds it for the pod.
    fn evict(
        &mut self,
        ctx: &Ctx<'_>,
        key: &Key,
        mut pod: Pod,
        eviction: &Eviction,
        pending: &Unschedulable,
    ) -> Result<(), ApiError> {
        let uid = self.pending.get(key).map(|p| p.uid.clone()).unwrap_or_default();
        for victim in &eviction.victims {
            preempt(ctx, &Key::new(victim.namespace.clone(), victim.name.clone()), &uid, &eviction.node)?;
        }
        pod.nominated = Some(eviction.node.clone());
        self.planner.set_pod(pod.clone());
        if let Some(entry) = self.pending.get_mut(key) {
            entry.pod = pod;
        }
        self.tell(ctx, key, pending.condition_reason(), &pending.message(), Some(&eviction.node))
    }
}

impl Controller for DefaultScheduler {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*POD, *NODE, *NAMESPACE, *PERSISTENT_VOLUME_CLAIM, *STORAGE_CLASS]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let kind = change.new.kind;
        if kind == *POD {
            self.see_pod(state, change);
        } else if kind == *NODE {
            self.see_node(state, change);
        } else if kind == *NAMESPACE {
            self.see_namespace(state, change);
        } else if !self.pending.is_empty() {
            self.stir();
        }
        if self.queue.has_work() {
            // The queue is one thing to do: its order is not that of names.
            items.push(Item { kind: *POD, key: Key::new("", "") });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, _: &Item) -> Result<Again, ApiError> {
        self.sweep(ctx);
        self.queue.refresh(ctx.now, ctx.fast);
        let mut failure = Ok(());
        for _ in 0..BATCH {
            let Some(key) = self.queue.pop() else { break };
            if let Err(e) = self.attempt(ctx, &key) {
                failure = Err(e);
            }
        }
        failure?;
        Ok(self.queue.next(ctx.now, ctx.fast).map(|wait| wait.min(SWEEP)))
    }
}

/// A pod's change can matter to scheduling: anything but what its kubelet reports while it runs.
fn matters(old: &Stored, new: &Stored) -> bool {
    let digest = |o: &Stored| o.pod.map(|p| (p.bound, p.phase.is_terminal()));
    if digest(old) != digest(new) || old.deleting != new.deleting || old.labels != new.labels {
        return true;
    }
    brief(old) != brief(new)
}

/// The few fields that tell a change of the spec, the start and a nomination.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
struct Brief {
    #[serde(default)]
    metadata: BriefMeta,
    #[serde(default)]
    status: BriefStatus,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
struct BriefMeta {
    #[serde(default)]
    generation: i64,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct BriefStatus {
    start_time: Option<String>,
    nominated_node_name: Option<String>,
}

fn brief(pod: &Stored) -> Brief {
    serde_json::from_slice(&pod.json).unwrap_or_default()
}

fn is_running(pod: &Stored) -> bool {
    pod.pod.is_some_and(|p| p.bound && !p.phase.is_terminal())
}

fn planner_key(key: &Key) -> PodKey {
    PodKey { namespace: key.namespace.clone(), name: key.name.clone() }
}

fn budgets(state: &State) -> Vec<Budget> {
    state.objects(*PDB).values().map(|b| Budget::from_json(&b.value())).collect()
}

/// Deletes a victim, with its grace, and says for whom.
fn preempt(ctx: &Ctx<'_>, key: &Key, preemptor: &str, node: &str) -> Result<(), ApiError> {
    let Some(victim) = ctx.cluster.get(*POD, key).filter(|p| !p.deleting) else { return Ok(()) };
    let actor = Actor::new("kube-scheduler");
    ctx.cluster.modify(*POD, key, Part::Status, &actor, |pod| {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": format!("{NAME}: preempting to accommodate a higher priority pod"), "lastProbeTime": null,
        });
        pods::set_condition(&mut pod["status"], condition, ctx.now);
    })?;
    let options = DeleteOptions { uid: Some(victim.uid.to_string()), ..DeleteOptions::default() };
    match ctx.cluster.delete(*POD, key, &options, &actor) {
        Err(e) if e.code != 404 && e.reason != "Conflict" => return Err(e),
        _ => {}
    }
    let text = format!("Preempted by pod {preemptor} on node {node}");
    Event::normal(NAME, "Preempted", &text).record(ctx.cluster, &victim);
    Ok(())
}
