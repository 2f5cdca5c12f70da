//! Events: what kubectl users read under `describe`.
//!
//! Contract: client-go tools/record; repeated events count up on one object instead of piling up.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::{Value, json};

use super::{Again, Controller, Ctx, Item};
use crate::kind::{
    KindId,
    well_known::{EVENT, NAMESPACE},
};
use crate::object::{Key, Stored};
use crate::registry::{Actor, Cluster, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// An event to record.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// `Normal` or `Warning`.
    pub type_: &'static str,
    /// `Scheduled`, `ScalingReplicaSet`, …
    pub reason: &'a str,
    /// The text.
    pub message: &'a str,
    /// Who reports: `kubelet`, `deployment-controller`, `default-scheduler`.
    pub source: &'a str,
    /// The node it happened on, for kubelets.
    pub host: &'a str,
    /// The part of the object, like `spec.containers{app}`.
    pub field_path: &'a str,
}

impl<'a> Event<'a> {
    /// A `Normal` event.
    pub fn normal(source: &'a str, reason: &'a str, message: &'a str) -> Self {
        Self { type_: "Normal", reason, message, source, host: "", field_path: "" }
    }

    /// A `Warning` event.
    pub fn warning(source: &'a str, reason: &'a str, message: &'a str) -> Self {
        Self { type_: "Warning", ..Self::normal(source, reason, message) }
    }

    /// Says on which node.
    #[must_use]
    pub fn on(mut self, host: &'a str) -> Self {
        self.host = host;
        self
    }

    /// Says which part of the object.
    #[must_use]
    pub fn about(mut self, field_path: &'a str) -> Self {
        self.field_path = field_path;
        self
    }

    /// Records the event. An event that cannot be kept (its namespace is going away) is let go, as
    /// every client does: Events are best effort.
    pub fn record(&self, cluster: &Cluster, object: &Stored) {
        let namespace =
            if object.key.namespace.is_empty() { "default".into() } else { object.key.namespace.clone() };
        let actor = Actor::new(self.source);
        let now = cluster.now();
        let (name, is_new) = cluster.events().name(self.identity(object), &object.key.name, now);
        let key = Key::new(namespace.clone(), name);
        let now = now.rfc3339();
        if !is_new {
            let counted = cluster.modify(*EVENT, &key, Part::Main, &actor, |event| {
                let count = event["count"].as_i64().unwrap_or(1);
                event["count"] = (count + 1).into();
                event["lastTimestamp"] = now.clone().into();
            });
            if matches!(counted, Ok(Some(_))) {
                return;
            }
        }
        let _ = cluster.create(*EVENT, &namespace, self.object(object, &key, &now), &actor);
    }

    /// What makes two events the same one, happening again.
    fn identity(&self, object: &Stored) -> u64 {
        let parts =
            [&*object.uid, self.type_, self.reason, self.message, self.source, self.host, self.field_path];
        parts.iter().fold(FNV_START, |hash, part| fnv(fnv(hash, part.as_bytes()), b"\0"))
    }

    fn object(&self, about: &Stored, key: &Key, now: &str) -> Value {
        let mut involved = json!({
            "apiVersion": about.kind.api_version(), "kind": about.kind.info().kind,
            "name": &*about.key.name, "uid": &*about.uid, "resourceVersion": about.revision.to_string(),
        });
        if !about.key.namespace.is_empty() {
            involved["namespace"] = about.key.namespace.to_string().into();
        }
        if !self.field_path.is_empty() {
            involved["fieldPath"] = self.field_path.into();
        }
        let mut source = json!({"component": self.source});
        if !self.host.is_empty() {
            source["host"] = self.host.into();
        }
        json!({
            "metadata": {"name": &*key.name, "namespace": &*key.namespace},
            "involvedObject": involved, "reason": self.reason, "message": self.message, "source": source,
            "firstTimestamp": now, "lastTimestamp": now, "count": 1, "type": self.type_,
            "reportingComponent": self.source, "reportingInstance": self.host,
        })
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Recent events by identity, so that a repeat counts up on the object that is there.
///
/// Names end in a time, as client-go's do: listed by name, events are in the order in which they
/// happened, which is how kubectl shows those of one second.
#[derive(Debug, Default)]
pub struct Names {
    recent: HashMap<u64, Arc<str>>,
    older: HashMap<u64, Arc<str>>,
    last: i64,
}

/// Identities in one generation; with the one before, what client-go's correlator remembers.
const REMEMBERED: usize = 4_096;

impl Names {
    /// The name of an event, and whether it is a new one.
    pub fn name(&mut self, identity: u64, object: &str, now: Timestamp) -> (Arc<str>, bool) {
        if let Some(known) = self.recent.get(&identity) {
            return (known.clone(), false);
        }
        if let Some(known) = self.older.remove(&identity) {
            self.remember(identity, known.clone());
            return (known, false);
        }
        // No two events have one time, or they would have one name.
        self.last = (now.0 * 1_000).max(self.last + 1);
        let name: Arc<str> = format!("{object}.{:x}", self.last).into();
        self.remember(identity, name.clone());
        (name, true)
    }

    fn remember(&mut self, identity: u64, name: Arc<str>) {
        if self.recent.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(identity, name);
    }
}

/// How long an event is kept (`--event-ttl`).
const KEPT: Duration = Duration::from_secs(3_600);

/// How often expired events are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// Removes events an hour after they last happened.
#[derive(Debug, Default)]
pub struct Expiry {
    /// Events by when they were last written, oldest first.
    due: BTreeSet<(Timestamp, Key)>,
}

impl Controller for Expiry {
    fn name(&self) -> &'static str {
        "event-ttl"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*EVENT, *NAMESPACE]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        if object.kind == *EVENT && !change.deleted && change.old.is_none() {
            self.due.insert((object.created + KEPT, object.key.clone()));
        } else if object.kind == *NAMESPACE && &*object.key.name == "default" {
            // One item stands for the sweep; the default namespace is always there.
            items.push(Item { kind: *NAMESPACE, key: object.key.clone() });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, _: &Item) -> Result<Again, ApiError> {
        let actor = Actor::new(self.name());
        while let Some((at, key)) = self.due.first().cloned().filter(|k| k.0 <= ctx.now) {
            self.due.remove(&(at, key.clone()));
            let Some(event) = ctx.cluster.get(*EVENT, &key) else { continue };
            let last =
                event.value()["lastTimestamp"].as_str().and_then(Timestamp::parse).unwrap_or(event.created);
            if last + KEPT > ctx.now {
                self.due.insert((last + KEPT, key));
                continue;
            }
            match ctx.cluster.delete(*EVENT, &key, &DeleteOptions::now(), &actor) {
                Err(e) if e.code != 404 => return Err(e),
                _ => {}
            }
        }
        Ok(Some(SWEEP))
    }
}
