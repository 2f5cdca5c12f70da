//! StatefulSets: pods with an identity, made and replaced in order.
//!
//! Contract: Kubernetes pkg/controller/statefulset.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::events::Event;
use super::{Again, Controller, Ctx, Item, pods, revisions, workload};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Phase, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

const HASH: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Keeps the pods of StatefulSets.
#[derive(Debug, Default)]
pub struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*STATEFUL_SET, *POD]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        if change.new.kind == *STATEFUL_SET {
            items.push(Item { kind: *STATEFUL_SET, key: change.new.key.clone() });
        } else {
            workload::wake_owner(&[*STATEFUL_SET], change, items);
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(object) = state.get(*STATEFUL_SET, &item.key) else { return Ok(None) };
        let value = object.value();
        let actor = Actor::new(self.name());
        let history = revisions::of(&state, object);
        let update = if object.deleting {
            None
        } else {
            Some(revisions::ensure(ctx, object, &value, &history, HASH, &actor)?)
        };
        let Some(update) = update else { return Ok(None) };
        let set = Set { ctx, object: object.clone(), actor, update, history, pods: pods_by_ordinal(&state, object), value };
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
    history: Vec<Arc<Stored>>,
    pods: BTreeMap<i64, Arc<Stored>>,
}

fn pods_by_ordinal(state: &State, set: &Stored) -> BTreeMap<i64, Arc<Stored>> {
    let prefix = format!("{}-", set.key.name);
    let ordinal = |p: &Stored| p.key.name.strip_prefix(&prefix).and_then(|n| n.parse().ok());
    pods::owned(state, set).filter_map(|p| Some((ordinal(p)?, p.clone()))).collect()
}

impl Set<'_> {
    fn sync(&self) -> Result<Again, ApiError> {
        self.act()?;
        let state = self.ctx.state();
        let now_pods = pods_by_ordinal(&state, &self.object);
        self.update_status(&now_pods)?;
        let current = self.current_revision();
        let used = |r: &Stored| {
            r.key.name == self.update.key.name
                || *r.key.name == *current
                || now_pods.values().any(|p| p.label(HASH) == Some(revisions::hash_of(r, HASH)))
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
        let known = self.value["status"]["currentRevision"].as_str().filter(|r| {
            self.history.iter().any(|h| *h.key.name == **r) || **r == *self.update.key.name
        });
        known.unwrap_or(&self.update.key.name).to_owned()
    }

    fn is_healthy(&self, pod: &Stored) -> bool {
        !pod.deleting && pods::is_available(pod, self.min_ready(), self.ctx.now)
    }

    /// Makes the next move; with OrderedReady there is one at a time.
    fn act(&self) -> Result<(), ApiError> {
        let wanted = self.ordinals();
        for ordinal in wanted.clone() {
            match self.pods.get(&ordinal) {
                None => {
                    self.create(ordinal)?;
                    if !self.is_parallel() {
                        return Ok(());
                    }
                }
                // A pod that ended is replaced, by the same name.
                Some(pod) if pod.pod.is_some_and(|d| d.phase.is_terminal()) && !pod.deleting => {
                    self.delete(pod)?;
                    if !self.is_parallel() {
                        return Ok(());
                    }
                }
                Some(pod) if !self.is_parallel() && !self.is_healthy(pod) => return Ok(()),
                Some(_) => {}
            }
        }
        for (ordinal, pod) in self.pods.iter().rev().filter(|(o, _)| !wanted.contains(o)) {
            if pod.deleting {
                if self.is_parallel() {
                    continue;
                }
                return Ok(());
            }
            self.delete(pod)?;
            self.drop_claims(*ordinal)?;
            if !self.is_parallel() {
                return Ok(());
            }
        }
        self.replace_outdated()
    }

    fn replace_outdated(&self) -> Result<(), ApiError> {
        let strategy = &self.value["spec"]["updateStrategy"];
        if strategy["type"] == "OnDelete" {
            return Ok(());
        }
        let rolling = &strategy["rollingUpdate"];
        let partition = rolling["partition"].as_i64().unwrap_or(0);
        let replicas = self.ordinals().count();
        let max = pods::scaled(&rolling["maxUnavailable"], i64::try_from(replicas).unwrap_or(0), true).unwrap_or(1).max(1);
        let hash = revisions::hash_of(&self.update, HASH);
        let wanted = self.ordinals();
        let mut unavailable = 0;
        for (ordinal, pod) in self.pods.iter().rev().filter(|(o, _)| wanted.contains(o)) {
            let outdated = pod.label(HASH) != Some(hash);
            if outdated && *ordinal >= partition && !pod.deleting && (unavailable < max) {
                self.delete(pod)?;
                unavailable += 1;
            } else if !self.is_healthy(pod) {
                unavailable += 1;
            }
            if unavailable >= max {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ordinals below the partition are made from the current revision, others from the update.
    fn template_for(&self, ordinal: i64) -> (Value, String) {
        let partition = self.value["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
        let current = self.current_revision();
        let old = self.history.iter().find(|r| *r.key.name == *current).filter(|_| ordinal < partition);
        let revision = old.unwrap_or(&self.update);
        let template = revision.value()["data"]["spec"]["template"].clone();
        (template, revisions::hash_of(revision, HASH).to_owned())
    }

    fn create(&self, ordinal: i64) -> Result<(), ApiError> {
        self.ensure_claims(ordinal)?;
        let (template, hash) = self.template_for(ordinal);
        let name = format!("{}-{ordinal}", self.object.key.name);
        let mut pod = pods::from_template(&self.object, &template);
        let meta = &mut pod["metadata"];
        meta.as_object_mut().map(|m| m.remove("generateName"));
        meta["name"] = name.clone().into();
        for (label, text) in [(HASH, hash), (POD_NAME, name.clone()), (POD_INDEX, ordinal.to_string())] {
            meta["labels"][label] = text.into();
        }
        pod["spec"]["hostname"] = name.clone().into();
        if self.value["spec"]["serviceName"].is_string() {
            pod["spec"]["subdomain"] = self.value["spec"]["serviceName"].clone();
        }
        let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let claims = self.claims();
        let mut all: Vec<_> = volumes.into_iter().filter(|v| !claims.iter().any(|c| c["metadata"]["name"] == v["name"])).collect();
        all.extend(claims.iter().map(|c| json!({
            "name": c["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": self.claim_name(c, ordinal)},
        })));
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
            Err(e) if e.code == 404 => return Ok(()),
            Err(e) => {
                let text = format!("{verb} Pod {pod} in StatefulSet {set} failed error: {e}");
                Event::warning(&self.actor.manager, &format!("Failed{past}"), &text).record(self.ctx.cluster, &self.object);
            }
        }
        result
    }

    fn claims(&self) -> Vec<Value> {
        self.value["spec"]["volumeClaimTemplates"].as_array().cloned().unwrap_or_default()
    }

    fn claim_name(&self, claim: &Value, ordinal: i64) -> String {
        format!("{}-{}-{ordinal}", claim["metadata"]["name"].as_str().unwrap_or_default(), self.object.key.name)
    }

    fn ensure_claims(&self, ordinal: i64) -> Result<(), ApiError> {
        let policy = &self.value["spec"]["persistentVolumeClaimRetentionPolicy"];
        for claim in self.claims() {
            let key = Key::new(self.object.key.namespace.clone(), self.claim_name(&claim, ordinal));
            if self.ctx.cluster.get(*PERSISTENT_VOLUME_CLAIM, &key).is_some() {
                continue;
            }
            let mut labels = self.value["spec"]["selector"]["matchLabels"].clone();
            for (k, v) in claim["metadata"]["labels"].as_object().into_iter().flatten() {
                labels[k] = v.clone();
            }
            let mut meta = json!({"name": &*key.name, "labels": labels, "annotations": claim["metadata"]["annotations"]});
            if policy["whenDeleted"] == "Delete" {
                meta["ownerReferences"] = json!([pods::owner_reference(&self.object)]);
            }
            let made = self.ctx.cluster.create(
                *PERSISTENT_VOLUME_CLAIM,
                &key.namespace,
                json!({"metadata": meta, "spec": claim["spec"]}),
                &self.actor,
            );
            if let Err(e) = made.map(|_| ()).or_else(|e| if e.reason == "AlreadyExists" { Ok(()) } else { Err(e) }) {
                let text = format!("create Claim {} in StatefulSet {} failed error: {e}", key.name, self.object.key.name);
                Event::warning(&self.actor.manager, "FailedCreate", &text).record(self.ctx.cluster, &self.object);
                return Err(e);
            }
        }
        Ok(())
    }

    fn drop_claims(&self, ordinal: i64) -> Result<(), ApiError> {
        if self.value["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] != "Delete" {
            return Ok(());
        }
        for claim in self.claims() {
            let key = Key::new(self.object.key.namespace.clone(), self.claim_name(&claim, ordinal));
            match self.ctx.cluster.delete(*PERSISTENT_VOLUME_CLAIM, &key, &DeleteOptions::default(), &self.actor) {
                Err(e) if e.code != 404 => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn update_status(&self, now_pods: &BTreeMap<i64, Arc<Stored>>) -> Result<(), ApiError> {
        let update_hash = revisions::hash_of(&self.update, HASH);
        let current = self.current_revision();
        let current_hash = self
            .history
            .iter()
            .find(|r| *r.key.name == *current)
            .map_or(update_hash, |r| revisions::hash_of(r, HASH));
        let count = |keep: &dyn Fn(&Stored) -> bool| now_pods.values().filter(|p| keep(p)).count();
        let alive = |p: &Stored| p.pod.is_some_and(|d| d.phase != Phase::Failed && d.phase != Phase::Succeeded);
        let updated = count(&|p| alive(p) && !p.deleting && p.label(HASH) == Some(update_hash));
        let ready = count(&pods::is_ready);
        let replicas = count(&alive);
        let wanted = self.ordinals().count();
        let mut status = if self.value["status"].is_object() { self.value["status"].clone() } else { json!({}) };
        status["observedGeneration"] = self.value["metadata"]["generation"].clone();
        status["replicas"] = replicas.into();
        status["availableReplicas"] = count(&|p| pods::is_available(p, self.min_ready(), self.ctx.now)).into();
        let rolled = updated == wanted && ready == wanted && replicas == wanted;
        let current = if rolled { self.update.key.name.to_string() } else { current };
        let current_count = if rolled { updated } else { count(&|p| alive(p) && !p.deleting && p.label(HASH) == Some(current_hash)) };
        for (field, number) in [("readyReplicas", ready), ("currentReplicas", current_count), ("updatedReplicas", updated)] {
            if number == 0 {
                status.as_object_mut().map(|s| s.remove(field));
            } else {
                status[field] = number.into();
            }
        }
        status["currentRevision"] = current.into();
        status["updateRevision"] = self.update.key.name.to_string().into();
        status["collisionCount"] = self.value["status"]["collisionCount"].as_i64().unwrap_or(0).into();
        if status != self.value["status"] {
            self.ctx.cluster.modify(*STATEFUL_SET, &self.object.key, Part::Status, &self.actor, |value| {
                value["status"] = status.clone();
            })?;
        }
        Ok(())
    }
}
