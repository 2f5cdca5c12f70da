//! Pods whose node is gone: nobody takes them through their end, so they are removed.
//!
//! Contract: Kubernetes pkg/controller/podgc (gcOrphaned).

use std::collections::BTreeMap;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::json;

use super::timing::Timing;
use crate::controllers::pods::set_condition;
use crate::controllers::{Again, Ctx};
use crate::kind::well_known::*;
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;

/// A node may come back within this time.
const QUARANTINE: Duration = Duration::from_secs(40);

/// Removes pods of nodes that do not exist.
#[derive(Debug)]
pub struct Lost {
    timing: Timing,
    since: BTreeMap<Key, Timestamp>,
}

impl Lost {
    /// Nothing lost yet.
    pub fn new(timing: Timing) -> Self {
        Self { timing, since: BTreeMap::new() }
    }

    /// Forgets a pod that is gone.
    pub fn forget(&mut self, key: &Key) {
        self.since.remove(key);
    }

    /// Forgets pods that `lives` does not know.
    pub fn retain(&mut self, lives: impl Fn(&Key) -> bool) {
        self.since.retain(|key, _| lives(key));
    }

    /// Looks at a pod on a node without a kubelet of ours.
    ///
    /// # Errors
    /// What the API answers.
    pub fn see(&mut self, ctx: &Ctx<'_>, pod: &Stored, node: &str) -> Result<Again, ApiError> {
        if ctx.cluster.get(*NODE, &Key::new("", node)).is_some() {
            self.since.remove(&pod.key);
            return Ok(None);
        }
        let since = *self.since.entry(pod.key.clone()).or_insert(ctx.now);
        let due = since + self.timing.asked(QUARANTINE);
        if ctx.now < due {
            return Ok(Some(due.since(ctx.now)));
        }
        self.since.remove(&pod.key);
        let actor = Actor::new("pod-garbage-collector");
        if pod.pod.is_some_and(|p| !p.phase.is_terminal()) {
            ctx.cluster.modify(*POD, &pod.key, Part::Status, &actor, |value| {
                value["status"]["phase"] = "Failed".into();
                let condition = json!({
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists", "lastProbeTime": null,
                });
                set_condition(&mut value["status"], condition, ctx.now);
            })?;
        }
        let options = DeleteOptions { uid: Some(pod.uid.to_string()), ..DeleteOptions::now() };
        match ctx.cluster.delete(*POD, &pod.key, &options, &actor) {
            Err(e) if e.code != 404 && e.reason != "Conflict" => Err(e),
            _ => Ok(None),
        }
    }
}
