//! StatefulSets: pods with an identity, made and replaced in order.
//!
//! Contract: Kubernetes pkg/controller/statefulset.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::events::Event;
use super::pods::Orphans;
use super::revisions::{POD_LABEL, Style};
use super::{Again, Controller, Ctx, Item, pods, revisions, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Phase, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

const STYLE: Style = Style::StatefulSet;
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Keeps the pods of StatefulSets.
#[derive(Debug, Default)]
pub struct StatefulSets {
    orphans: Orphans,
}

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*STATEFUL_SET, *POD]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        if change.new.kind == *STATEFUL_SET {
            items.push(Item { kind: *STATEFUL_SET, key: change.new.key.clone() });
            return;
        }
        self.orphans.see(&change.new, change.deleted);
        workload::wake_owner(&[*STATEFUL_SET], change, items);
        if workload::may_be_adopted(change) {
            workload::wake_selectors(*STATEFUL_SET, state, &change.new, items);
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*STATEFUL_SET, &item.key) else { return Ok(None) };
        let value = object.value();
        let actor = Actor::new(self.name());
        let selector = workload::selector_of(*STATEFUL_SET, &value);
        let member = |p: &Stored| ordinal_of(object, p).is_some();
        pods::claim(ctx, &state, object, &selector, (&self.orphans, &member), &actor)?;
        let history = revisions::claim(ctx, &state, object, &selector, &actor)?;
        let (update, collisions) = revisions::ensure(ctx, object, &value, &history, STYLE, &actor)?;
        let pods = pods_by_ordinal(&ctx.state(), object);
        let set = Set { ctx, object: object.clone(), actor, update, collisions, history, pods, value };
        set.sync()
    }
}

/// One StatefulSet being looked at.
struct Set<'a> {
    ctx: &'a Ctx<'a>,
    object: Arc<Stored>,
    value: Value,
    actor: Actor,
    /// The revision of the template as it is now.
    update: Arc<Stored>,
    collisions: i64,
    history: Vec<Arc<Stored>>,
    pods: BTreeMap<i64, Arc<Stored>>,
}

/// The number at the end of a pod's name, if it is named as one of the set's.
fn ordinal_of(set: &Stored, pod: &Stored) -> Option<i64> {
    let number = pod.key.name.strip_prefix(&*set.key.name)?.strip_prefix('-')?;
    number.parse().ok().filter(|n: &i64| *n >= 0 && n.to_string() == number)
}

fn pods_by_ordinal(state: &State, set: &Stored) -> BTreeMap<i64, Arc<Stored>> {
    pods::owned(state, set).filter_map(|p| Some((ordinal_of(set, p)?, p.clone()))).collect()
}

impl Set<'_> {
    fn sync(&self) -> Result<Again, ApiError> {
        let acted = if self.object.deleting { Ok(()) } else { self.act() };
        let now_pods = pods_by_ordinal(&self.ctx.state(), &self.object);
        self.update_status(&now_pods)?;
        acted?;
        let current = self.current_revision();
        let used = |r: &Stored| {
            r.key.name == self.update.key.name
                || *r.key.name == *current
                || now_pods.values().any(|p| p.label(POD_LABEL) == Some(STYLE.mark(r)))
        };
        revisions::trim(self.ctx, &self.value, &self.history, used, &self.actor)?;
        let min_ready = self.min_ready();
        Ok(now_pods.values().filter_map(|p| pods::becomes_available(p, min_ready, self.ctx.now)).min())
    }

    fn ordinals(&self) -> std::ops::Range<i64> {
        let start = self.value["spec"]["ordinals"]["start"].as_i64().unwrap_or(0);
        start..start + self.value["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn min_ready(&self) -> i64 {
        self.value["spec"]["minReadySeconds"].as_i64().unwrap_or(0)
    }

    fn is_parallel(&self) -> bool {
        self.value["spec"]["podManagementPolicy"] == "Parallel"
    }

    fn current_revision(&self) -> String {
        let known = self.value["status"]["currentRevision"]
            .as_str()
            .filter(|r| self.history.iter().any(|h| *h.key.name == **r) || **r == *self.update.key.name);
        known.unwrap_or(&self.update.key.name).to_owned()
    }

    fn is_healthy(&self, pod: &Stored) -> bool {
        !pod.deleting && pods::is_available(pod, self.min_ready(), self.ctx.now)
    }

    /// Makes the next move; with OrderedReady there is one at a time.
    fn act(&self) -> Result<(), ApiError> {
        let wanted = self.ordinals();
        let mut waits = false;
        for ordinal in wanted.clone() {
            match self.pods.get(&ordinal) {
                None => {
                    self.create(ordinal)?;
                    waits |= !self.is_parallel();
                }
                // A pod that ended is replaced, by the same name.
                Some(pod) if pod.pod.is_some_and(|d| d.phase.is_terminal()) => {
                    if !pod.deleting {
                        self.delete(pod)?;
                    }
                    waits = true;
                }
                Some(pod) => {
                    if pod.pod.is_some_and(|d| d.phase == Phase::Pending) {
                        self.ensure_claims(ordinal)?;
                    }
                    self.own_claims(ordinal, pod, false)?;
                    waits |= !self.is_parallel() && !self.is_healthy(pod);
                }
            }
            if waits && !self.is_parallel() {
                return Ok(());
            }
        }
        for (ordinal, pod) in self.pods.iter().rev().filter(|(o, _)| !wanted.contains(o)) {
            self.own_claims(*ordinal, pod, true)?;
            if !pod.deleting {
                self.delete(pod)?;
                waits = true;
            }
            if !self.is_parallel() {
                return Ok(());
            }
        }
        if waits { Ok(()) } else { self.replace_outdated() }
    }

    fn replace_outdated(&self) -> Result<(), ApiError> {
        let strategy = &self.value["spec"]["updateStrategy"];
        if strategy["type"] == "OnDelete" {
            return Ok(());
        }
        let replicas = i64::try_from(self.ordinals().count()).unwrap_or(0);
        let max =
            pods::scaled(&strategy["rollingUpdate"]["maxUnavailable"], replicas, false).unwrap_or(1).max(1);
        // A pod that is yet to be made is not available either.
        let is_down = |ordinal: i64| self.pods.get(&ordinal).is_none_or(|p| !self.is_healthy(p));
        let down = i64::try_from(self.ordinals().filter(|o| is_down(*o)).count()).unwrap_or(0);
        let mut room = max - down;
        let outdated: Vec<_> = self
            .ordinals()
            .rev()
            .filter(|o| *o >= self.partition())
            .filter_map(|o| self.pods.get(&o))
            .filter(|p| p.label(POD_LABEL) != Some(STYLE.mark(&self.update)) && !p.deleting)
            .collect();
        for pod in outdated {
            // In parallel an old pod that is down already costs nothing; in order, it blocks.
            let costs = !self.is_parallel() || self.is_healthy(pod);
            if costs && room <= 0 {
                continue;
            }
            self.delete(pod)?;
            room -= i64::from(costs);
        }
        Ok(())
    }

    /// The first ordinal that an update reaches.
    fn partition(&self) -> i64 {
        let rolling = &self.value["spec"]["updateStrategy"]["rollingUpdate"];
        self.ordinals().start + rolling["partition"].as_i64().unwrap_or(0)
    }

    /// Ordinals below the partition are made from the current revision, others from the update.
    fn template_for(&self, ordinal: i64) -> (Value, String) {
        let current = self.current_revision();
        let rolls = self.value["spec"]["updateStrategy"]["type"] != "OnDelete";
        let held = rolls && ordinal < self.partition();
        let old = self.history.iter().find(|r| *r.key.name == *current).filter(|_| held);
        let revision = old.unwrap_or(&self.update);
        let template = revision.value()["data"]["spec"]["template"].clone();
        (template, STYLE.mark(revision).to_owned())
    }

    fn create(&self, ordinal: i64) -> Result<(), ApiError> {
        self.ensure_claims(ordinal)?;
        let (template, mark) = self.template_for(ordinal);
        let name = format!("{}-{ordinal}", self.object.key.name);
        let mut pod = pods::from_template(&self.object, &template);
        let meta = &mut pod["metadata"];
        meta.as_object_mut().map(|m| m.remove("generateName"));
        meta["name"] = name.clone().into();
        for (label, text) in [(POD_LABEL, mark), (POD_NAME, name.clone()), (POD_INDEX, ordinal.to_string())] {
            meta["labels"][label] = text.into();
        }
        pod["spec"]["hostname"] = name.clone().into();
        if self.value["spec"]["serviceName"].is_string() {
            pod["spec"]["subdomain"] = self.value["spec"]["serviceName"].clone();
        }
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let claims = self.claims();
        let mut all: Vec<_> = volumes
            .into_iter()
            .filter(|v| !claims.iter().any(|c| c["metadata"]["name"] == v["name"]))
            .collect();
        all.extend(claims.iter().map(|c| {
            json!({
                "name": c["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": self.claim_name(c, ordinal)},
            })
        }));
        if !all.is_empty() {
            pod["spec"]["volumes"] = json!(all);
        }
        let made = self.ctx.cluster.create(*POD, &self.object.key.namespace, pod, &self.actor);
        self.record("create", &name, made.map(|_| ()))
    }

    fn delete(&self, pod: &Stored) -> Result<(), ApiError> {
        let options = DeleteOptions { uid: Some(pod.uid.to_string()), ..DeleteOptions::default() };
        let result = self.ctx.cluster.delete(*POD, &pod.key, &options, &self.actor);
        self.record("delete", &pod.key.name, result.map(|_| ()))
    }

    fn record(&self, verb: &str, pod: &str, result: Result<(), ApiError>) -> Result<(), ApiError> {
        let set = &self.object.key.name;
        let past = if verb == "create" { "Create" } else { "Delete" };
        match &result {
            Ok(()) => {
                let text = format!("{verb} Pod {pod} in StatefulSet {set} successful");
                let reason = format!("Successful{past}");
                Event::normal(&self.actor.manager, &reason, &text).record(self.ctx.cluster, &self.object);
            }
            Err(e) if e.code == 404 && verb == "delete" || pods::is_terminating(e) => return Ok(()),
            Err(e) => {
                let text = format!("{verb} Pod {pod} in StatefulSet {set} failed error: {e}");
                Event::warning(&self.actor.manager, &format!("Failed{past}"), &text)
                    .record(self.ctx.cluster, &self.object);
            }
        }
        result
    }

    fn claims(&self) -> Vec<Value> {
        self.value["spec"]["volumeClaimTemplates"].as_array().cloned().unwrap_or_default()
    }

    fn claim_name(&self, claim: &Value, ordinal: i64) -> String {
        format!(
            "{}-{}-{ordinal}",
            claim["metadata"]["name"].as_str().unwrap_or_default(),
            self.object.key.name
        )
    }

    fn ensure_claims(&self, ordinal: i64) -> Result<(), ApiError> {
        let (set, pod) = (&self.object.key.name, format!("{}-{ordinal}", self.object.key.name));
        for claim in self.claims() {
            let key = Key::new(self.object.key.namespace.clone(), self.claim_name(&claim, ordinal));
            if self.ctx.cluster.get(*PERSISTENT_VOLUME_CLAIM, &key).is_some() {
                continue;
            }
            let mut labels = claim["metadata"]["labels"].clone();
            for (k, v) in self.value["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten() {
                labels[k] = v.clone();
            }
            let mut meta = json!({"name": &*key.name, "labels": labels, "annotations": claim["metadata"]["annotations"]});
            if self.retention("whenDeleted") == "Delete" {
                meta["ownerReferences"] = json!([pods::owner_reference(&self.object)]);
            }
            let claim = json!({"metadata": meta, "spec": claim["spec"]});
            match self.ctx.cluster.create(*PERSISTENT_VOLUME_CLAIM, &key.namespace, claim, &self.actor) {
                Ok(_) => {
                    let text = format!("create Claim {} Pod {pod} in StatefulSet {set} success", key.name);
                    Event::normal(&self.actor.manager, "SuccessfulCreate", &text)
                        .record(self.ctx.cluster, &self.object);
                }
                Err(e) if e.reason == "AlreadyExists" => {}
                Err(e) => {
                    let text = format!(
                        "create Claim {} for Pod {pod} in StatefulSet {set} failed error: {e}",
                        key.name
                    );
                    Event::warning(&self.actor.manager, "FailedCreate", &text)
                        .record(self.ctx.cluster, &self.object);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    fn retention(&self, when: &str) -> &str {
        self.value["spec"]["persistentVolumeClaimRetentionPolicy"][when].as_str().unwrap_or("Retain")
    }

    /// Gives a pod's claims the owners with which they go, as the retention policy says: the set, or a
    /// pod that is one too many.
    fn own_claims(&self, ordinal: i64, pod: &Stored, surplus: bool) -> Result<(), ApiError> {
        let to_pod = surplus && self.retention("whenScaled") == "Delete";
        let to_set = !to_pod && self.retention("whenDeleted") == "Delete";
        for claim in self.claims() {
            let key = Key::new(self.object.key.namespace.clone(), self.claim_name(&claim, ordinal));
            let Some(found) = self.ctx.cluster.get(*PERSISTENT_VOLUME_CLAIM, &key) else { continue };
            let has = |uid: &str| found.owners.iter().any(|o| *o.uid == *uid);
            if has(&pod.uid) == to_pod && has(&self.object.uid) == to_set {
                continue;
            }
            self.ctx.cluster.modify(*PERSISTENT_VOLUME_CLAIM, &key, Part::Main, &self.actor, |claim| {
                let mut owners = claim["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
                owners.retain(|o| {
                    o["uid"].as_str() != Some(&*pod.uid) && o["uid"].as_str() != Some(&*self.object.uid)
                });
                owners.extend(to_pod.then(|| pods::owner_reference(pod)));
                owners.extend(to_set.then(|| pods::owner_reference(&self.object)));
                claim["metadata"]["ownerReferences"] = json!(owners);
            })?;
        }
        Ok(())
    }

    fn update_status(&self, now_pods: &BTreeMap<i64, Arc<Stored>>) -> Result<(), ApiError> {
        let current = self.current_revision();
        let count = |keep: &dyn Fn(&Stored) -> bool| now_pods.values().filter(|p| keep(p)).count();
        let runs = |p: &Stored| p.pod.is_some_and(|d| d.phase == Phase::Running);
        let of = |p: &Stored, revision: &str| !p.deleting && p.label(POD_LABEL) == Some(revision);
        let updated = count(&|p| of(p, &self.update.key.name));
        let ready = count(&|p| runs(p) && pods::is_ready(p));
        let available = count(&|p| runs(p) && pods::is_available(p, self.min_ready(), self.ctx.now));
        let replicas = now_pods.len();
        let wanted = self.ordinals().count();
        let mut status =
            if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
        status["observedGeneration"] = self.value["metadata"]["generation"].clone();
        status["replicas"] = replicas.into();
        status["availableReplicas"] = available.into();
        let rolls = self.value["spec"]["updateStrategy"]["type"] != "OnDelete";
        let rolled = rolls && updated == wanted && ready == wanted && replicas == wanted;
        let current_count = if rolled { updated } else { count(&|p| of(p, &current)) };
        let current = if rolled { self.update.key.name.to_string() } else { current };
        for (field, number) in
            [("readyReplicas", ready), ("currentReplicas", current_count), ("updatedReplicas", updated)]
        {
            if number == 0 {
                status.as_object_mut().map(|s| s.remove(field));
            } else {
                status[field] = number.into();
            }
        }
        status["currentRevision"] = current.into();
        status["updateRevision"] = self.update.key.name.to_string().into();
        status["collisionCount"] = self.collisions.into();
        if status != self.value["status"] {
            self.ctx.cluster.modify(*STATEFUL_SET, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(())
    }
}
