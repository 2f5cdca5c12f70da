//! The ReplicaSets of a Deployment: which is the new one, what revision each is.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Rollout;
use crate::controllers::{pods, revisions};
use crate::kind::well_known::{DEPLOYMENT, REPLICA_SET};
use crate::object::{Key, Stored};
use crate::registry::Part;
use crate::status::ApiError;
use crate::store::State;

const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const HASH: &str = "pod-template-hash";

/// Annotations of the Deployment that its sets do not take over.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// One ReplicaSet.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) object: Arc<Stored>,
    pub(super) value: Value,
    /// `spec.replicas`.
    pub(super) replicas: i64,
    /// `status.replicas`.
    pub(super) observed_replicas: i64,
    /// `status.readyReplicas`.
    pub(super) ready: i64,
    /// `status.availableReplicas`.
    pub(super) available: i64,
}

impl Set {
    pub(super) fn of(object: Arc<Stored>) -> Self {
        let value = object.value();
        let status = |key: &str| value["status"][key].as_i64().unwrap_or(0);
        Self {
            replicas: value["spec"]["replicas"].as_i64().unwrap_or(1),
            observed_replicas: status("replicas"),
            ready: status("readyReplicas"),
            available: status("availableReplicas"),
            object,
            value,
        }
    }

    fn text(&self, annotation: &str) -> Option<&str> {
        self.value["metadata"]["annotations"][annotation].as_str()
    }

    /// A number under `deployment.kubernetes.io/`.
    pub(super) fn annotation(&self, name: &str) -> Option<i64> {
        self.text(&format!("deployment.kubernetes.io/{name}"))?.parse().ok()
    }

    pub(super) fn revision(&self) -> i64 {
        self.annotation("revision").unwrap_or(0)
    }

    /// How much this set grows or shrinks when the whole goes to `allowed`
    /// (deploymentutil.getReplicaSetFraction).
    pub(super) fn share(&self, replicas: i64, allowed: i64) -> i64 {
        if replicas == 0 {
            return -self.replicas;
        }
        let before = self.annotation("max-replicas").filter(|m| *m > 0).unwrap_or(replicas);
        let rounded = (2 * self.replicas * allowed + before).div_euclid(2 * before);
        rounded - self.replicas
    }

    fn same_template(&self, deployment: &Value) -> bool {
        let mut mine = self.value["spec"]["template"].clone();
        if let Some(labels) = mine["metadata"]["labels"].as_object_mut() {
            labels.remove(HASH);
        }
        let mut theirs = deployment["spec"]["template"].clone();
        if let Some(labels) = theirs["metadata"]["labels"].as_object_mut() {
            labels.remove(HASH);
        }
        mine == theirs
    }
}

/// All sets of a Deployment.
pub(super) struct Sets {
    /// The one with the current template.
    pub(super) new: Option<Set>,
    /// The others.
    pub(super) old: Vec<Set>,
}

impl Sets {
    pub(super) fn of(state: &State, owner: &Stored, deployment: &Value) -> Self {
        let mut all: Vec<Set> = pods::owned_of(state, owner, *REPLICA_SET).cloned().map(Set::of).collect();
        all.sort_by(|a, b| (a.object.created, &a.object.key).cmp(&(b.object.created, &b.object.key)));
        let at = all.iter().position(|s| s.same_template(deployment));
        let new = at.map(|i| all.remove(i));
        Self { new, old: all }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(self.new.iter())
    }

    pub(super) fn total(&self) -> i64 {
        self.all().map(|s| s.replicas).sum()
    }

    pub(super) fn old_total(&self) -> i64 {
        self.old.iter().map(|s| s.replicas).sum()
    }

    /// Puts a changed set in its place.
    pub(super) fn replace(&mut self, set: Set) {
        let slot = self.new.iter_mut().chain(self.old.iter_mut()).find(|s| s.object.uid == set.object.uid);
        if let Some(slot) = slot {
            *slot = set;
        }
    }

    /// The new set has all pods, and all are available.
    pub(super) fn complete(&self, replicas: i64) -> bool {
        let observed: i64 = self.all().map(|s| s.observed_replicas).sum();
        self.new.as_ref().is_some_and(|n| n.observed_replicas == replicas && n.available == replicas) && observed == replicas
    }
}

impl Rollout<'_> {
    /// Makes the set for the current template if there is none, and keeps its revision the highest.
    pub(super) fn ensure_new(&self, sets: &mut Sets) -> Result<(), ApiError> {
        let next = sets.old.iter().map(Set::revision).max().unwrap_or(0) + 1;
        let new = match sets.new.take() {
            Some(set) => self.refresh(set, next)?,
            None => self.make(sets, next)?,
        };
        self.set_revision(new.revision())?;
        sets.new = Some(new);
        Ok(())
    }

    fn refresh(&self, set: Set, next: i64) -> Result<Set, ApiError> {
        let revision = set.revision().max(next);
        let min_ready = self.value["spec"]["minReadySeconds"].clone();
        let mut wanted = set.value.clone();
        self.dress(&mut wanted, &set, revision);
        if wanted == set.value && set.value["spec"]["minReadySeconds"] == min_ready {
            return Ok(set);
        }
        let updated = self.ctx.cluster.modify(*REPLICA_SET, &set.object.key, Part::Main, &self.actor, |value| {
            self.dress(value, &set, revision);
            if min_ready.is_null() {
                value["spec"].as_object_mut().map(|s| s.remove("minReadySeconds"));
            } else {
                value["spec"]["minReadySeconds"] = min_ready.clone();
            }
        })?;
        Ok(updated.map_or(set, Set::of))
    }

    /// Annotations that the set takes from its Deployment.
    fn dress(&self, value: &mut Value, set: &Set, revision: i64) {
        for (key, text) in self.value["metadata"]["annotations"].as_object().into_iter().flatten() {
            if !NOT_COPIED.contains(&key.as_str()) {
                annotate(value, key, text.as_str().unwrap_or_default());
            }
        }
        let before = set.revision();
        if before < revision {
            annotate(value, REVISION, &revision.to_string());
            if before > 0 {
                let history = set.text(HISTORY).map_or_else(|| before.to_string(), |h| format!("{h},{before}"));
                annotate(value, HISTORY, &history);
            }
        }
    }

    fn make(&self, sets: &Sets, revision: i64) -> Result<Set, ApiError> {
        let spec = &self.value["spec"];
        let collisions = self.value["status"]["collisionCount"].as_i64().unwrap_or(0);
        let hash = revisions::hash(&spec["template"], collisions);
        let (surge, _) = self.bounds();
        let replicas = if spec["strategy"]["type"] == "Recreate" {
            self.replicas()
        } else {
            super::new_replicas(0, sets.total(), self.replicas(), surge)
        };
        let mut template = spec["template"].clone();
        template["metadata"]["labels"][HASH] = hash.clone().into();
        let mut selector = spec["selector"].clone();
        selector["matchLabels"][HASH] = hash.clone().into();
        let name = format!("{}-{hash}", self.object.key.name);
        let mut set = json!({
            "metadata": {
                "name": name, "labels": template["metadata"]["labels"],
                "annotations": {
                    REVISION: revision.to_string(),
                    "deployment.kubernetes.io/desired-replicas": self.replicas().to_string(),
                    "deployment.kubernetes.io/max-replicas": (self.replicas() + surge).to_string(),
                },
                "ownerReferences": [pods::owner_reference(&self.object)],
            },
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        });
        if !spec["minReadySeconds"].is_null() {
            set["spec"]["minReadySeconds"] = spec["minReadySeconds"].clone();
        }
        for (key, text) in self.value["metadata"]["annotations"].as_object().into_iter().flatten() {
            if !NOT_COPIED.contains(&key.as_str()) {
                annotate(&mut set, key, text.as_str().unwrap_or_default());
            }
        }
        let namespace = &self.object.key.namespace;
        match self.ctx.cluster.create(*REPLICA_SET, namespace, set, &self.actor) {
            Ok(made) => {
                if replicas > 0 {
                    let text = format!("Scaled up replica set {name} from 0 to {replicas}");
                    super::Event::normal(&self.actor.manager, "ScalingReplicaSet", &text)
                        .record(self.ctx.cluster, &self.object);
                }
                Ok(Set::of(made))
            }
            Err(e) if e.reason == "AlreadyExists" => self.collided(&name, e),
            Err(e) => {
                let text = format!("Failed to create new replica set \"{name}\": {e}");
                super::Event::warning(&self.actor.manager, "ReplicaSetCreateError", &text)
                    .record(self.ctx.cluster, &self.object);
                Err(e)
            }
        }
    }

    /// The name is taken: by our own set, made a moment ago, or by another, and then the hash is
    /// salted anew.
    fn collided(&self, name: &str, error: ApiError) -> Result<Set, ApiError> {
        let key = Key::new(self.object.key.namespace.clone(), name);
        let found = self.ctx.cluster.get(*REPLICA_SET, &key);
        let ours = found.filter(|s| s.controller().is_some_and(|c| c.uid == self.object.uid)).map(Set::of);
        if let Some(set) = ours.filter(|s| s.same_template(&self.value)) {
            return Ok(set);
        }
        self.ctx.cluster.modify(*DEPLOYMENT, &self.object.key, Part::Status, &self.actor, |value| {
            let count = value["status"]["collisionCount"].as_i64().unwrap_or(0);
            value["status"]["collisionCount"] = (count + 1).into();
        })?;
        Err(error)
    }

    fn set_revision(&self, revision: i64) -> Result<(), ApiError> {
        let text = revision.to_string();
        if self.value["metadata"]["annotations"][REVISION].as_str() == Some(&text) {
            return Ok(());
        }
        self.ctx.cluster.modify(*DEPLOYMENT, &self.object.key, Part::Main, &self.actor, |value| {
            annotate(value, REVISION, &text);
        })?;
        Ok(())
    }
}

/// Sets an annotation.
pub(super) fn annotate(value: &mut Value, key: &str, text: &str) {
    if !value["metadata"]["annotations"].is_object() {
        value["metadata"]["annotations"] = json!({});
    }
    value["metadata"]["annotations"][key] = text.into();
}
