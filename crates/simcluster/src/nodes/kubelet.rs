//! The kubelets of all nodes: one controller that carries each pod's machine along.
//!
//! What a pod's status tells is not kept: a pod at rest costs no memory here, and is read again when
//! something changes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::addresses::{self, Range};
use super::lost::Lost;
use super::machine::{Machine, Note, Stage, World};
use super::needs::Need;
use super::script::{Role, Script};
use super::stand_in::{self, StandIn};
use super::status::{self, Place};
use super::timing::Timing;
use super::{KUBELET, node};
use crate::controllers::events::Event;
use crate::controllers::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Stored};
use crate::registry::{Actor, Cluster, DeleteOptions, Desired, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// Between two reports of a node's status, and two renewals of its lease.
const REPORT: Duration = Duration::from_secs(300);
const RENEW: Duration = Duration::from_secs(10);

/// Many nodes in fast mode renew just often enough for their leases to hold.
const RENEW_LAZY: Duration = Duration::from_secs(30);
const MANY: usize = 100;

/// How often what is kept is held against the store: a log that was outrun tells of no deletion.
const SWEEP: Duration = Duration::from_secs(60);

/// Own writes whose echo has not come by yet, at most; beyond, an echo costs a look at the pod.
const ECHOES: usize = 100_000;

/// A node with a kubelet.
#[derive(Debug)]
struct Host {
    number: u32,
    ip: String,
    range: Option<Range>,
    images: BTreeSet<Box<str>>,
    report: Timestamp,
    renew: Timestamp,
}

/// A pod that is not at rest.
#[derive(Debug)]
struct Entry {
    uid: Arc<str>,
    machine: Machine,
    ip: String,
}

/// Runs the kubelets.
#[derive(Debug)]
pub struct Kubelets {
    timing: Timing,
    stand_ins: Vec<StandIn>,
    hosts: BTreeMap<Arc<str>, Host>,
    numbers: BTreeSet<u32>,
    pods: BTreeMap<Key, Entry>,
    /// Pods by what they wait for.
    waiting: BTreeMap<(KindId, Key), BTreeSet<Key>>,
    /// Revisions of own writes: their echo is no news.
    echoes: HashSet<u64>,
    lost: Lost,
    swept: Timestamp,
}

impl Kubelets {
    /// The kubelets of a cluster.
    pub fn new(timing: Timing, stand_ins: Vec<StandIn>) -> Self {
        Self {
            timing,
            stand_ins,
            hosts: BTreeMap::new(),
            numbers: BTreeSet::new(),
            pods: BTreeMap::new(),
            waiting: BTreeMap::new(),
            echoes: HashSet::new(),
            lost: Lost::new(timing),
            swept: Timestamp::default(),
        }
    }

    fn see_node(&mut self, state: &State, change: &Change) {
        let name = &change.new.key.name;
        if change.deleted {
            if let Some(host) = self.hosts.remove(name) {
                self.numbers.remove(&host.number);
            }
            return;
        }
        if self.hosts.contains_key(name) {
            return;
        }
        let value = change.new.value();
        if value["metadata"]["annotations"][KUBELET] == "none" {
            return;
        }
        let cidr = value["spec"]["podCIDR"].as_str().unwrap_or_default();
        let free = || (0..addresses::RANGES).find(|n| !self.numbers.contains(n)).unwrap_or(0);
        let number = addresses::range_number(cidr).filter(|n| !self.numbers.contains(n)).unwrap_or_else(free);
        self.numbers.insert(number);
        let mut range = Range::new(cidr).or_else(|| Range::new(&addresses::pod_cidr(number)));
        for pod in state.pods_on(name).filter(|p| p.pod.is_some_and(|d| !d.phase.is_terminal())) {
            if let (Some(range), Some(ip)) = (&mut range, pod.field("status.podIP")) {
                range.hold(ip);
            }
        }
        let given = value["status"]["addresses"].as_array();
        let given = given.and_then(|a| a.iter().find(|a| a["type"] == "InternalIP"));
        let ip = given
            .and_then(|a| a["address"].as_str())
            .map_or_else(|| addresses::node_ip(number), str::to_owned);
        let now = Timestamp::default();
        self.hosts.insert(
            name.clone(),
            Host { number, ip, range, images: BTreeSet::new(), report: now, renew: now },
        );
    }

    /// Gives back what a pod held on its node.
    fn release(&mut self, pod: &Stored) {
        let Some(host) = pod.field("spec.nodeName").and_then(|n| self.hosts.get_mut(n)) else { return };
        let own = self.pods.get(&pod.key).map(|e| e.ip.as_str());
        let ip = own.or_else(|| pod.field("status.podIP")).unwrap_or_default();
        if let Some(range) = &mut host.range {
            range.free(ip);
        }
    }

    /// Forgets pods that are gone, and what they held.
    fn sweep(&mut self, ctx: &Ctx<'_>) {
        if ctx.now < self.swept + SWEEP {
            return;
        }
        self.swept = ctx.now;
        let state = ctx.state();
        let lives = |key: &Key, uid: &str| state.get(*POD, key).is_some_and(|p| *p.uid == *uid);
        self.pods.retain(|key, entry| lives(key, &entry.uid));
        self.lost.retain(|key| state.get(*POD, key).is_some());
        self.waiting.retain(|_, pods| {
            pods.retain(|key| self.pods.contains_key(key));
            !pods.is_empty()
        });
        for (name, host) in &mut self.hosts {
            let Some(range) = &mut host.range else { continue };
            range.clear();
            for pod in state.pods_on(name).filter(|p| p.pod.is_some_and(|d| !d.phase.is_terminal())) {
                let own = self.pods.get(&pod.key).map(|e| e.ip.as_str());
                range.hold(own.or_else(|| pod.field("status.podIP")).unwrap_or_default());
            }
        }
    }

    fn node(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        self.sweep(ctx);
        let name = &item.key.name;
        let renewal = if self.timing.fast && self.hosts.len() > MANY { RENEW_LAZY } else { RENEW };
        let Some(host) = self.hosts.get_mut(name) else { return Ok(None) };
        let Some(object) = ctx.cluster.get(*NODE, &item.key) else { return Ok(None) };
        let actor = Actor::new("kubelet");
        let now = ctx.now;
        if now >= host.report {
            let mut value = object.value();
            let first = !node::has_reported(&value);
            if node::complete(&mut value, name, host.number) {
                let number = host.number;
                ctx.cluster.modify(*NODE, &item.key, Part::Main, &actor, |v| {
                    node::complete(v, name, number);
                })?;
            }
            let (number, timing) = (host.number, self.timing);
            ctx.cluster.modify(*NODE, &item.key, Part::Status, &actor, |v| {
                node::report(v, name, number, timing, now);
            })?;
            // Nodes that start together do not report together.
            let jitter = self.timing.draw(&format!("node/{name}/report"), 0..60_000);
            host.report = now + REPORT - jitter;
            if first {
                announce(ctx.cluster, &object);
            }
        }
        if now >= host.renew {
            renew(ctx, name, &object.uid)?;
            let jitter = self.timing.draw(&format!("node/{name}/renew/{}", now.secs()), 0..500);
            host.renew = now + renewal + jitter;
        }
        Ok(Some(host.report.min(host.renew).since(now)))
    }

    fn pod(&mut self, ctx: &Ctx<'_>, key: &Key) -> Result<Again, ApiError> {
        let Some(pod) = ctx.cluster.get(*POD, key) else {
            self.pods.remove(key);
            return Ok(None);
        };
        let Some(digest) = pod.pod.filter(|d| d.bound) else { return Ok(None) };
        let name: Arc<str> = pod.field("spec.nodeName").unwrap_or_default().into();
        if !self.hosts.contains_key(&name) {
            return self.lost.see(ctx, &pod, &name);
        }
        if digest.phase.is_terminal() && !pod.deleting {
            self.pods.remove(key);
            return Ok(None);
        }
        let value = pod.value();
        let script = Script::new(&value, self.timing);
        let mut entry = self.take(&pod, &value, &script, &name, ctx.now);
        let stop = grace_left(&value);
        let again = self.carry(ctx, &pod, &value, &script, &mut entry, &name, stop)?;
        if again.is_some() || !entry.machine.is_settled(&script) {
            self.pods.insert(key.clone(), entry);
        }
        Ok(again)
    }

    /// The pod's machine, as it was left or from its status.
    fn take(&mut self, pod: &Stored, value: &Value, script: &Script, node: &str, now: Timestamp) -> Entry {
        if let Some(entry) = self.pods.remove(&pod.key).filter(|e| e.uid == pod.uid) {
            return entry;
        }
        let machine = Machine::restore(script, &value["status"], self.timing, now);
        let ip = match value["status"]["podIP"].as_str().filter(|ip| !ip.is_empty()) {
            Some(ip) => ip.to_owned(),
            None => self.address(script, node),
        };
        Entry { uid: pod.uid.clone(), machine, ip }
    }

    fn address(&mut self, script: &Script, node: &str) -> String {
        let Some(host) = self.hosts.get_mut(node) else { return String::new() };
        if script.host_network {
            return host.ip.clone();
        }
        host.range.as_mut().and_then(Range::take).unwrap_or_default()
    }

    /// Takes a pod on to now: events, status, and its removal when it is over and deleted.
    #[allow(clippy::too_many_arguments)]
    fn carry(
        &mut self,
        ctx: &Ctx<'_>,
        pod: &Arc<Stored>,
        value: &Value,
        script: &Script,
        entry: &mut Entry,
        node: &str,
        stop: Option<Duration>,
    ) -> Result<Again, ApiError> {
        let Some(host) = self.hosts.get_mut(node) else { return Ok(None) };
        let fresh =
            value["status"]["startTime"].is_null() && matches!(entry.machine.stage, Stage::Volumes { .. });
        let mut surroundings = Surroundings {
            cluster: ctx.cluster,
            stand_ins: &self.stand_ins,
            namespace: &pod.key.namespace,
            images: &mut host.images,
            ip: &entry.ip,
            unmet: Vec::new(),
        };
        let notes = entry.machine.advance(script, self.timing, &mut surroundings, stop, ctx.now);
        for need in surroundings.unmet {
            self.waiting.entry(need).or_default().insert(pod.key.clone());
        }
        if fresh {
            for text in &script.complaints {
                Event::warning("kubelet", "InvalidAnnotation", text).on(node).record(ctx.cluster, pod);
            }
        }
        for note in &notes {
            record(ctx.cluster, pod, node, script, note);
        }
        let over = entry.machine.is_over(ctx.now);
        if over && stop.is_some() && !pod.finalizers && self.timing.fast {
            return remove(ctx, pod).map(|()| None);
        }
        let place = Place { host_ip: &host.ip, pod_ip: &entry.ip };
        let mut next = value.clone();
        status::render(&mut next, script, &entry.machine, place, self.timing, ctx.now);
        if next["status"] != value["status"] {
            let ended = matches!(next["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            let written = write(ctx, pod, script, &entry.machine, place, self.timing)?;
            if self.echoes.len() >= ECHOES {
                self.echoes.clear();
            }
            self.echoes.extend(written.map(|w| w.revision));
            if ended && let Some(range) = &mut host.range {
                range.free(&entry.ip);
            }
        }
        if over && stop.is_some() {
            return remove(ctx, pod).map(|()| None);
        }
        let due = match entry.machine.stage {
            Stage::Over { at } if stop.is_some() => Some(at),
            _ => entry.machine.due(script),
        };
        Ok(due.map(|at| at.since(ctx.now)))
    }
}

impl Controller for Kubelets {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*NODE, *POD, *CONFIG_MAP, *SECRET, *PERSISTENT_VOLUME_CLAIM]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        let item = |kind: KindId, key: &Key| Item { kind, key: key.clone() };
        if object.kind == *POD {
            if self.echoes.remove(&change.revision) {
                return;
            }
            if change.deleted {
                if object.pod.is_some_and(|p| !p.phase.is_terminal()) {
                    self.release(object);
                }
                self.pods.remove(&object.key);
                self.lost.forget(&object.key);
            } else if object.pod.is_some_and(|p| p.bound) {
                items.push(item(*POD, &object.key));
            }
        } else if object.kind == *NODE {
            self.see_node(state, change);
            items.push(item(*NODE, &object.key));
            if change.deleted || change.old.is_none() {
                items.extend(state.pods_on(&object.key.name).map(|p| item(*POD, &p.key)));
            }
        } else if !change.deleted
            && let Some(pods) = self.waiting.remove(&(object.kind, object.key.clone()))
        {
            items.extend(pods.iter().map(|k| item(*POD, k)));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        if item.kind == *NODE { self.node(ctx, item) } else { self.pod(ctx, &item.key) }
    }
}

/// What a pod's machine finds around it.
struct Surroundings<'a> {
    cluster: &'a Cluster,
    stand_ins: &'a [StandIn],
    namespace: &'a str,
    images: &'a mut BTreeSet<Box<str>>,
    ip: &'a str,
    unmet: Vec<(KindId, Key)>,
}

impl World for Surroundings<'_> {
    fn check(&mut self, needs: &[Need]) -> Result<(), String> {
        for need in needs {
            let look = || self.cluster.store().with(|s| need.check(s, self.namespace));
            let Err(why) = look() else { continue };
            let made = stand_in::supply(self.cluster, self.stand_ins, need, self.namespace);
            if matches!(made, Ok(true)) && look().is_ok() {
                continue;
            }
            self.unmet.push((need.kind, need.key(self.namespace)));
            return Err(need.explain(&why, self.namespace));
        }
        Ok(())
    }

    fn address(&self) -> String {
        self.ip.to_owned()
    }

    fn has_image(&self, image: &str) -> bool {
        self.images.contains(image)
    }

    fn keep_image(&mut self, image: &str) {
        self.images.insert(image.into());
    }
}

/// The grace that a deleted pod is given.
fn grace_left(pod: &Value) -> Option<Duration> {
    pod["metadata"]["deletionTimestamp"].as_str()?;
    let seconds = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn write(
    ctx: &Ctx<'_>,
    pod: &Stored,
    script: &Script,
    machine: &Machine,
    place: Place<'_>,
    timing: Timing,
) -> Result<Option<Arc<Stored>>, ApiError> {
    let actor = Actor::new("kubelet");
    let result = ctx.cluster.update(*POD, &pod.key, Part::Status, &actor, |live| {
        if live["metadata"]["uid"] != *pod.uid {
            return Err(ApiError::not_found(*POD, &pod.key.name));
        }
        let mut next = live.clone();
        status::render(&mut next, script, machine, place, timing, ctx.now);
        Ok(Desired::Update(next))
    });
    match result {
        Err(e) if e.code == 404 => Ok(None),
        other => other.map(Some),
    }
}

/// Tells the API that a deleted pod's containers are gone.
fn remove(ctx: &Ctx<'_>, pod: &Stored) -> Result<(), ApiError> {
    let options = DeleteOptions { uid: Some(pod.uid.to_string()), ..DeleteOptions::now() };
    match ctx.cluster.delete(*POD, &pod.key, &options, &Actor::new("kubelet")) {
        Err(e) if e.code != 404 && e.reason != "Conflict" => Err(e),
        _ => Ok(()),
    }
}

fn record(cluster: &Cluster, pod: &Stored, node: &str, script: &Script, note: &Note) {
    let part = note.part.and_then(|i| script.parts.get(i));
    let path = part.map(|p| {
        let list = match p.role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::Main => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", p.name)
    });
    let make = if note.warning { Event::warning } else { Event::normal };
    let event = make("kubelet", note.reason, &note.message).on(node);
    event.about(path.as_deref().unwrap_or_default()).record(cluster, pod);
}

/// What `kubectl describe node` tells of its start.
pub(super) fn announce(cluster: &Cluster, object: &Stored) {
    let name = &object.key.name;
    Event::normal("kubelet", "Starting", "Starting kubelet.").on(name).record(cluster, object);
    let text = format!("Node {name} status is now: NodeReady");
    Event::normal("kubelet", "NodeReady", &text).on(name).record(cluster, object);
    let text = format!("Node {name} event: Registered Node {name} in Controller");
    Event::normal("node-controller", "RegisteredNode", &text).record(cluster, object);
}

fn renew(ctx: &Ctx<'_>, name: &str, uid: &str) -> Result<(), ApiError> {
    let actor = Actor::new("kubelet");
    let key = Key::new("kube-node-lease", name);
    let now = ctx.now;
    let renewed = ctx.cluster.modify(*LEASE, &key, Part::Main, &actor, |lease| {
        lease["spec"]["renewTime"] = now.rfc3339_micro().into();
    })?;
    if renewed.is_none() {
        match ctx.cluster.create(*LEASE, "kube-node-lease", node::lease(name, uid, now), &actor) {
            // A cluster without the namespace has no leases.
            Err(e) if e.code != 404 && e.code != 409 => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
