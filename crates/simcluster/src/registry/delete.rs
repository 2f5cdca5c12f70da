//! Deletion: grace periods, finalizers, propagation.
//!
//! Contract: Kubernetes apiserver/pkg/registry/rest/delete.go and generic/registry/store.go.

use std::sync::Arc;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::{Actor, Cluster, identity, unsaved};
use crate::kind::{KindId, well_known};
use crate::object::{Key, Stored};
use crate::status::ApiError;
use crate::store::Write;

/// Namespaces that stay (admission plugin NamespaceLifecycle).
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// What happens to the objects that a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after their owner is gone.
    Background,
    /// The owner goes last.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

impl Propagation {
    /// Reads `propagationPolicy`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            "Orphan" => Some(Self::Orphan),
            _ => None,
        }
    }

    fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some("foregroundDeletion"),
            Self::Orphan => Some("orphan"),
        }
    }
}

/// `meta/v1 DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`.
    pub grace: Option<i64>,
    /// `propagationPolicy`.
    pub propagation: Option<Propagation>,
    /// `preconditions.uid`.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`.
    pub revision: Option<String>,
}

impl DeleteOptions {
    /// At once, whatever the grace period.
    pub fn now() -> Self {
        Self { grace: Some(0), ..Self::default() }
    }
}

/// What became of the object.
#[derive(Debug)]
pub enum Deleted {
    /// It is gone.
    Gone(Arc<Stored>),
    /// It is marked and waits for its grace period or finalizers.
    Marked(Arc<Stored>),
}

impl Cluster {
    /// Deletes an object.
    ///
    /// # Errors
    /// 404, and 409 where a precondition does not hold.
    pub fn delete(
        &self,
        kind: KindId,
        key: &Key,
        options: &DeleteOptions,
        actor: &Actor,
    ) -> Result<Deleted, ApiError> {
        loop {
            let live = self.get(kind, key).ok_or_else(|| ApiError::not_found(kind, &key.name))?;
            check_preconditions(kind, &live, options)?;
            if kind == *well_known::NAMESPACE && IMMORTAL.contains(&&*key.name) {
                return Err(ApiError::forbidden(kind, &key.name, "this namespace may not be deleted"));
            }
            let mut value = live.value();
            let changed = mark(self, kind, &mut value, options);
            let finished = identity::is_finished(kind, &value);
            if actor.dry_run {
                let object = unsaved(kind, &value, Some(&live));
                return Ok(if finished { Deleted::Gone(object) } else { Deleted::Marked(object) });
            }
            if !changed && !finished {
                return Ok(Deleted::Marked(live));
            }
            let write = if finished { Write::Remove(value) } else { Write::Put(value) };
            let Some(object) = self.0.store.commit(kind, key, live.revision, write) else { continue };
            self.wrote(kind, key);
            if finished {
                self.release(kind, &object);
                return Ok(Deleted::Gone(object));
            }
            return Ok(Deleted::Marked(object));
        }
    }
}

fn check_preconditions(kind: KindId, live: &Stored, options: &DeleteOptions) -> Result<(), ApiError> {
    if let Some(uid) = options.uid.as_deref().filter(|u| *u != &*live.uid) {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", live.uid);
        return Err(ApiError::conflict(kind, &live.key.name, &why));
    }
    let current = live.revision.to_string();
    if let Some(revision) = options.revision.as_deref().filter(|r| *r != current) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {revision}, ResourceVersion in object meta: {current}"
        );
        return Err(ApiError::conflict(kind, &live.key.name, &why));
    }
    Ok(())
}

/// Sets deletion metadata and finalizers; says whether anything changed.
fn mark(cluster: &Cluster, kind: KindId, value: &mut Value, options: &DeleteOptions) -> bool {
    let before = value["metadata"].clone();
    let grace = grace_of(kind, value, options);
    set_propagation(value, options.propagation.or_else(|| default_propagation(kind, value)));
    let meta = &mut value["metadata"];
    let deleting = meta["deletionTimestamp"].is_string();
    let current = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    // A grace period can only shrink, and a second delete does not start it anew.
    if !deleting || grace < current {
        let seconds = |n: i64| std::time::Duration::from_secs(u64::try_from(n).unwrap_or(0));
        if !deleting && meta["generation"].as_i64().is_some() {
            meta["generation"] = (meta["generation"].as_i64().unwrap_or(0) + 1).into();
        }
        // A shorter grace counts from the first delete.
        let first =
            meta["deletionTimestamp"].as_str().and_then(Timestamp::parse).map(|t| t - seconds(current));
        let start = first.unwrap_or_else(|| cluster.now());
        meta["deletionTimestamp"] = (start + seconds(grace)).rfc3339().into();
        meta["deletionGracePeriodSeconds"] = grace.into();
    }
    if kind == *well_known::NAMESPACE {
        value["status"]["phase"] = "Terminating".into();
    }
    value["metadata"] != before
}

/// What `batch/v1` and `v1` did before there was a choice: the pods of Jobs and ReplicationControllers
/// stay (DefaultGarbageCollectionPolicy of their strategies).
fn default_propagation(kind: KindId, value: &Value) -> Option<Propagation> {
    let orphans = kind == *well_known::JOB || kind == *well_known::REPLICATION_CONTROLLER;
    let chosen = |f: &Value| f == "foregroundDeletion" || f == "orphan";
    let asked = value["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(chosen));
    (orphans && !asked).then_some(Propagation::Orphan)
}

/// Only pods that may still run on a node are given time.
fn grace_of(kind: KindId, value: &Value, options: &DeleteOptions) -> i64 {
    if kind != *well_known::POD {
        return 0;
    }
    let bound = value["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    let ended = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !bound || ended {
        return 0;
    }
    let asked = options.grace.or_else(|| value["spec"]["terminationGracePeriodSeconds"].as_i64());
    // Negative means one second (rest/delete.go).
    asked.map_or(30, |g| if g < 0 { 1 } else { g })
}

fn set_propagation(value: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut finalizers = value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|f| f != "foregroundDeletion" && f != "orphan");
    finalizers.extend(propagation.finalizer().map(Value::from));
    if finalizers.is_empty() {
        if let Some(meta) = value["metadata"].as_object_mut() {
            meta.remove("finalizers");
        }
    } else {
        value["metadata"]["finalizers"] = json!(finalizers);
    }
}
