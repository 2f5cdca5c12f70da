//! What an apply is asked to do, for whom, and within which bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::inventory::PruneOptions;
use crate::lease::LeaseTimes;
use crate::object::{ObjectId, content_hash};
use crate::revision::{Ancestry, Revision};

/// The name under which this program owns fields.
pub const MANAGER: &str = "kiban";

/// A service account that objects are written as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccount {
    /// Its namespace: the app's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The user name that the API server knows it by.
impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

/// Where the objects of a request may lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// Anywhere, cluster-scoped ones included: what the platform's own folder holds.
    #[default]
    Cluster,
    /// In the request's namespace and in these, and nothing cluster-scoped: what a team's folder holds.
    Namespaces(BTreeSet<String>),
}

/// A render that is known to be bad, while an older one runs in its place. Whatever renders the same is
/// not applied until the hold is released; the first render that differs releases it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// The bad revision.
    pub bad: Revision,
    /// The digest of what it rendered: [`Request::digest`].
    pub render: String,
    /// What was wrong with it, for people; one line.
    pub reason: String,
    /// Since when.
    #[serde(with = "crate::inventory::seconds")]
    pub since: Timestamp,
}

/// What is to be applied.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The app.
    pub app: String,
    /// The environment.
    pub env: String,
    /// The namespace of the app: of its inventory, its lease, and of objects that state none. It exists,
    /// or is among the objects.
    pub namespace: String,
    /// What was rendered.
    pub revision: Revision,
    /// The objects, in any order.
    pub objects: Vec<Value>,
    /// Content hashes that the objects do not tell: of a Secret, that of its ciphertext.
    pub hashes: BTreeMap<ObjectId, String>,
    /// The files that the objects come from, for messages.
    pub files: BTreeMap<ObjectId, String>,
    /// As whom objects are tried out, written and deleted. Lease and inventory are always written, and
    /// everything is read, by the identity of the [`crate::client::Cluster`] itself.
    pub act_as: Option<ServiceAccount>,
    /// Where the objects may lie.
    pub scope: Scope,
    /// Set by who rolls back: this request is the good render that runs in the bad one's place. It may
    /// be older than what was applied.
    pub hold: Option<Hold>,
}

impl Request {
    /// One value over all that is rendered, SHA-256 in hex: two requests of an app with equal digests
    /// ask for the same.
    pub fn digest(&self) -> String {
        let line = |object: &Value| {
            let stated = ObjectId::of(object).ok();
            let placed = stated.clone().map(|id| ObjectId { namespace: self.namespace.clone(), ..id });
            let known = [&stated, &placed].into_iter().flatten().find_map(|id| self.hashes.get(id));
            format!("{stated:?} {}", known.cloned().unwrap_or_else(|| content_hash(object)))
        };
        let lines: BTreeSet<String> = self.objects.iter().map(line).collect();
        let mut digest = Sha256::new();
        for line in lines {
            digest.update(line.as_bytes());
            digest.update(b"\n");
        }
        digest.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Whether objects are taken over from other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Adopt {
    /// No; but with [`Options::force_conflicts`], fields of kubectl's client-side apply become our own.
    #[default]
    No,
    /// Yes: from kubectl, Helm, Flux and Argo CD, by their names in `managedFields`. Refused where such
    /// a controller still points at an object.
    Yes,
    /// Yes, even from a controller that still points at an object and will fight for it.
    EvenIfLive,
}

/// How it is applied.
#[derive(Debug, Clone)]
pub struct Options {
    /// Take over fields that others own.
    pub force_conflicts: bool,
    /// Take over objects from other tools. Implies `force_conflicts` towards those tools alone.
    pub adopt: Adopt,
    /// Leave out objects whose kind the target does not know, instead of stopping.
    pub skip_missing_kinds: bool,
    /// What a prune may do.
    pub prune: PruneOptions,
    /// Apply a revision that is older than what was applied, or of a diverged history.
    pub allow_older: bool,
    /// Who tells which of two revisions is older, where they do not tell it themselves.
    pub ancestry: Option<Arc<dyn Ancestry>>,
    /// Apply what is held back after a rollback all the same.
    pub release_hold: bool,
    /// Run a migration again that failed for the same images.
    pub retry_migrations: bool,
    /// Wait until everything is ready. Without, what is no longer rendered is pruned at once.
    /// Migrations are waited for in any case.
    pub wait: bool,
    /// How long to wait for readiness, and as long again for each migration and for what is deleted.
    pub timeout: Duration,
    /// Requests at a time.
    pub concurrency: usize,
    /// Who applies, for the eyes of those who wait for their turn: user, host, process.
    pub holder: String,
    /// How the lease is held.
    pub lease: LeaseTimes,
    /// How long to wait for another apply of the same app and environment.
    pub turn_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            force_conflicts: false,
            adopt: Adopt::No,
            skip_missing_kinds: false,
            prune: PruneOptions::default(),
            allow_older: false,
            ancestry: None,
            release_hold: false,
            retry_migrations: false,
            wait: true,
            timeout: Duration::from_secs(300),
            concurrency: 8,
            holder: "kiban".into(),
            lease: LeaseTimes::default(),
            turn_timeout: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_tells_renders_apart_and_not_their_order() {
        let map = |name: &str, v: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": v}});
        let of = |objects: Vec<Value>| Request { objects, ..Request::default() }.digest();
        assert_eq!(of(vec![map("a", "1"), map("b", "2")]), of(vec![map("b", "2"), map("a", "1")]));
        assert_ne!(of(vec![map("a", "1")]), of(vec![map("a", "2")]));
        assert_eq!(of(vec![]).len(), 64);
    }
}
