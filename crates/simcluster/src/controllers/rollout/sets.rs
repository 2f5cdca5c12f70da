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

/// Characters that the list of a set's former revisions may take.
const MAX_HISTORY: usize = 2_000;

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
    /// `status.terminatingReplicas`.
    pub(super) terminating: i64,
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
            terminating: status("terminatingReplicas"),
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
    pub(super) fn share(&self, replicas: i64, allowed: i64, observed: i64) -> i64 {
        if replicas == 0 {
            return -self.replicas;
        }
        // Without a note of what the whole was, it is what the Deployment saw last.
        let before = self.annotation("max-replicas").filter(|m| *m > 0).unwrap_or(observed);
        if before == 0 {
            return 0;
        }
        let rounded = (2 * self.replicas * allowed + before).div_euclid(2 * before);
        rounded - self.replicas
    }

    /// It neither has pods nor will.
    pub(super) fn is_empty(&self) -> bool {
        let seen = self.value["status"]["observedGeneration"].as_i64()
            >= self.value["metadata"]["generation"].as_i64();
        self.replicas == 0 && self.observed_replicas == 0 && seen
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

    /// The number that a new revision gets.
    fn next_revision(&self) -> i64 {
        self.old.iter().map(Set::revision).max().unwrap_or(0) + 1
    }

    /// Puts a changed set in its place.
    pub(super) fn replace(&mut self, set: Set) {
        let slot = self.new.iter_mut().chain(self.old.iter_mut()).find(|s| s.object.uid == set.object.uid);
        if let Some(slot) = slot {
            *slot = set;
        }
    }

    /// Pods that there are or will be: a set that was told to shrink counts until it did.
    pub(super) fn live_total(&self) -> i64 {
        self.all().map(|s| s.replicas.max(s.observed_replicas)).sum()
    }
}

impl Rollout<'_> {
    /// Makes the set for the current template if there is none, and keeps its revision the highest.
    pub(super) fn ensure_new(&mut self, sets: &mut Sets) -> Result<(), ApiError> {
        if sets.new.is_none() {
            let new = self.make(sets, sets.next_revision())?;
            self.set_revision(new.revision())?;
            let text = format!("Created new replica set \"{}\"", new.object.key.name);
            sets.new = Some(new);
            self.note_if_timed("True", "NewReplicaSetCreated", text);
        }
        self.refresh_new(sets)
    }

    /// Keeps the new set's revision the highest and its annotations those of the Deployment, if there
    /// is a new set.
    pub(super) fn refresh_new(&mut self, sets: &mut Sets) -> Result<(), ApiError> {
        let Some(set) = sets.new.clone() else { return Ok(()) };
        let new = self.refresh(set, sets.next_revision())?;
        self.set_revision(new.revision())?;
        if pods::condition(&self.value, "Progressing").is_none() {
            self.note_if_timed(
                "True",
                "FoundNewReplicaSet",
                format!("Found new replica set \"{}\"", new.object.key.name),
            );
        }
        sets.new = Some(new);
        Ok(())
    }

    fn note_if_timed(&mut self, status: &str, reason: &str, message: String) {
        if super::progress::deadline(&self.value).is_some() {
            self.note(status, reason, message);
        }
    }

    fn refresh(&self, set: Set, next: i64) -> Result<Set, ApiError> {
        let revision = set.revision().max(next);
        let min_ready = self.value["spec"]["minReadySeconds"].clone();
        let mut wanted = set.value.clone();
        self.dress(&mut wanted, &set, revision);
        if wanted == set.value && set.value["spec"]["minReadySeconds"] == min_ready {
            return Ok(set);
        }
        let updated =
            self.ctx.cluster.modify(*REPLICA_SET, &set.object.key, Part::Main, &self.actor, |value| {
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
                annotate(value, HISTORY, &history(set.text(HISTORY), before));
            }
        }
    }

    fn make(&mut self, sets: &Sets, revision: i64) -> Result<Set, ApiError> {
        let spec = &self.value["spec"];
        let collisions = self.value["status"]["collisionCount"].as_i64().unwrap_or(0);
        let hash = revisions::hash(&spec["template"], collisions);
        let (surge, _) = self.bounds();
        let replicas = if spec["strategy"]["type"] == "Recreate" {
            self.replicas()
        } else {
            super::new_replicas(0, sets.live_total(), self.replicas(), surge)
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
            Err(e) if pods::is_terminating(&e) => Err(e),
            Err(e) => {
                let text = format!("Failed to create new replica set \"{name}\": {e}");
                self.note_if_timed("False", "ReplicaSetCreateError", text.clone());
                self.write(&self.value["status"])?;
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

/// The revisions that a set has been; the oldest are forgotten where the list grows too long.
fn history(old: Option<&str>, revision: i64) -> String {
    let mut all: Vec<&str> = old.into_iter().flat_map(|h| h.split(',')).collect();
    let latest = revision.to_string();
    all.push(&latest);
    while all.len() > 1 && all.iter().map(|r| r.len() + 1).sum::<usize>() > MAX_HISTORY {
        all.remove(0);
    }
    all.join(",")
}

/// Sets an annotation.
pub(super) fn annotate(value: &mut Value, key: &str, text: &str) {
    if !value["metadata"]["annotations"].is_object() {
        value["metadata"]["annotations"] = json!({});
    }
    value["metadata"]["annotations"][key] = text.into();
}
