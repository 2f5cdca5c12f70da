//! What was applied last: the inventory of an app in an environment, kept in a ConfigMap, and the pure
//! rules for what may be pruned by it.
//!
//! The format (version 2, stated in the label `kiban.dev/inventory-version` and in the data) is a
//! ConfigMap whose data holds
//!
//! - `version`, `app`, `env`;
//! - `revision`: of the last render that was applied as a whole, as JSON ([`Revision`]);
//! - `render`: the digest of that render;
//! - `applying`: a revision whose apply has not ended; absent otherwise;
//! - `held`: a bad render that is held back ([`Hold`]); absent otherwise;
//! - `verdict`: what became of the last rollout ([`Told`]); absent before the first;
//! - `migrations`: the migrations that ran, by the name of their Job ([`Migration`]);
//! - `objects`: a JSON object, one line a kind and namespace: `"apps/v1 Deployment ns":{"name":"hash"}`.
//!
//! Entries of the data that this program does not know stay as they are, so that what an older program
//! may ignore needs no new version. Version 1 (a row an object, `commit` as text) is read, never written.
//!
//! It stays one object on purpose: its revision is the fence between deployers, and two objects have no
//! common one. 5,000 objects with names of 63 characters take two thirds of what a ConfigMap holds.

mod format;
pub(crate) mod seconds;

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::ObjectId;
use crate::request::Hold;
use crate::revision::Revision;

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 2;

/// The label that every inventory carries, with the value `true`.
pub const LABEL: &str = "kiban.dev/inventory";

/// The label that states the version of the format.
pub const VERSION_LABEL: &str = "kiban.dev/inventory-version";

/// The most that the data of a ConfigMap may hold, in bytes: the API server's own limit.
pub const MAX_BYTES: usize = 1024 * 1024;

/// One object of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version of the API that it was applied through.
    pub version: String,
    /// Its content hash: of what was rendered, not of what the cluster made of it.
    pub hash: String,
}

/// A migration that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Migration {
    /// What it ran with: the digests (or references) of its images.
    pub images: String,
    /// The commit that brought it.
    pub commit: String,
    /// Whether it was declared that the app before it runs on what it left.
    pub reversible: bool,
}

/// What became of the last rollout, in short: for who asks the cluster later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// The commit that was rolled out.
    pub commit: String,
    /// One word: `good`, `bad`, or what the writer of it documents.
    pub verdict: String,
    /// The cause, one line; empty for a good one.
    pub cause: String,
    /// When it was found.
    #[serde(with = "seconds")]
    pub at: Timestamp,
}

/// The objects of one app in one environment, as they were applied last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// The app.
    pub app: String,
    /// The environment.
    pub env: String,
    /// What was applied last as a whole; without a commit before the first one.
    pub revision: Revision,
    /// The digest of what that rendered: [`crate::request::Request::digest`].
    pub render: String,
    /// The revision of an apply that has begun and not ended. Then the objects are those of the last
    /// apply and of this one together.
    pub applying: Option<Revision>,
    /// A bad render that is held back.
    pub held: Option<Hold>,
    /// What became of the last rollout.
    pub verdict: Option<Told>,
    /// The migrations that ran, by the name of their Job.
    pub migrations: BTreeMap<String, Migration>,
    /// The objects.
    pub objects: BTreeMap<ObjectId, Entry>,
    /// Entries that this program does not know.
    pub others: BTreeMap<String, String>,
}

/// Why an inventory cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// A newer program wrote it.
    #[error(
        "{name}: the inventory has format version {found}, this program reads up to {FORMAT}: use the newer program"
    )]
    Newer {
        /// Name of the ConfigMap.
        name: String,
        /// The version that it states.
        found: String,
    },
    /// It is damaged or belongs to something else.
    #[error(
        "{name}: {problem}; restore it, or delete it to apply as if for the first time (then nothing is pruned)"
    )]
    Malformed {
        /// Name of the ConfigMap.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// It does not fit into a ConfigMap.
    #[error(
        "{name}: an inventory of {objects} objects takes {bytes} bytes, a ConfigMap holds {MAX_BYTES}: split the app"
    )]
    TooBig {
        /// Name of the ConfigMap.
        name: String,
        /// How many objects it would list.
        objects: usize,
        /// How many bytes its data would take.
        bytes: usize,
    },
}

impl Inventory {
    /// An inventory without objects.
    pub fn empty(app: &str, env: &str) -> Self {
        Self { app: app.into(), env: env.into(), ..Self::default() }
    }

    /// `kiban-inventory-<app>-<env>`.
    pub fn name(&self) -> String {
        name_of(&self.app, &self.env)
    }

    /// Reads the ConfigMap.
    ///
    /// # Errors
    /// A newer format, or content that this program has not written for this app and environment.
    pub fn read(config_map: &Value) -> Result<Self, InventoryError> {
        format::read(config_map)
    }

    /// The ConfigMap, as it is applied in `namespace`.
    ///
    /// # Errors
    /// More objects than a ConfigMap holds.
    pub fn write(&self, namespace: &str) -> Result<Value, InventoryError> {
        format::write(self, namespace)
    }

    /// Records a migration that ran. What is forgotten beyond a bound are the first names in their order.
    pub(crate) fn migrated(&mut self, job: &str, migration: Migration) {
        const KEPT: usize = 100;
        self.migrations.insert(job.into(), migration);
        while self.migrations.len() > KEPT {
            let first = self.migrations.keys().find(|name| *name != job).cloned();
            let Some(first) = first else { break };
            self.migrations.remove(&first);
        }
    }

    /// The migrations that a commit brought and that are not declared reversible, by the name of their
    /// Job: a rollback from that commit would go past them.
    pub fn irreversible(&self, commit: &str) -> Vec<&str> {
        let bars = |m: &&Migration| m.commit == commit && !m.reversible;
        self.migrations.iter().filter(|(_, m)| bars(m)).map(|(name, _)| name.as_str()).collect()
    }

    /// This inventory and the objects of another, which wins where both know one. What an apply writes
    /// before its first change, so that an interrupted one leaves no object behind that nothing lists.
    #[must_use]
    pub fn union(&self, other: &BTreeMap<ObjectId, Entry>) -> Self {
        let mut out = self.clone();
        out.objects.extend(other.iter().map(|(id, e)| (id.clone(), e.clone())));
        out
    }
}

/// `kiban-inventory-<app>-<env>`.
pub fn name_of(app: &str, env: &str) -> String {
    format!("kiban-inventory-{app}-{env}")
}

/// What the caller allows a prune to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneOptions {
    /// Prune even when that empties the inventory or takes more than a third of it.
    pub all: bool,
    /// Prune Namespaces, claims, CustomResourceDefinitions and objects marked `kiban.dev/keep` too.
    pub protected: bool,
}

/// Why an object that is no longer rendered stays on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Its kind takes data or other objects with it.
    Kind,
    /// It carries `kiban.dev/keep`.
    Marked,
    /// Another inventory lists it: `namespace/name`. It leaves this inventory.
    OwnedBy(String),
    /// Its managers no longer include this program: someone else made it anew. It leaves this inventory.
    NotOurs(Vec<String>),
}

impl Kept {
    /// True when this inventory forgets the object.
    pub fn is_given_up(&self) -> bool {
        matches!(self, Self::OwnedBy(_) | Self::NotOurs(_))
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind => f.write_str("its kind is pruned only on demand, for what goes with it"),
            Self::Marked => write!(f, "it is marked {}", crate::object::KEEP),
            Self::OwnedBy(inventory) => write!(f, "inventory {inventory} lists it"),
            Self::NotOurs(managers) => write!(f, "it is now managed by {}", managers.join(", ")),
        }
    }
}

/// A prune that wants a word from the caller first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PruneRefusal {
    /// Nothing at all is rendered.
    pub nothing_rendered: bool,
    /// How many objects the inventory lists.
    pub total: usize,
    /// The objects that would be deleted.
    pub objects: Vec<ObjectId>,
}

impl std::fmt::Display for PruneRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 10;
        if self.nothing_rendered {
            f.write_str("nothing was rendered: is this the right folder? ")?;
        }
        write!(f, "{} of the {} objects applied last would be deleted (", self.objects.len(), self.total)?;
        for (i, id) in self.objects.iter().take(SHOWN).enumerate() {
            write!(f, "{}{id}", if i == 0 { "" } else { ", " })?;
        }
        if self.objects.len() > SHOWN {
            write!(f, ", and {} more", self.objects.len() - SHOWN)?;
        }
        f.write_str("); --prune-all confirms it")
    }
}

/// What becomes of the objects that the inventory lists and nothing renders any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunePlan {
    /// To be deleted.
    pub delete: BTreeMap<ObjectId, Entry>,
    /// To stay, and why.
    pub keep: BTreeMap<ObjectId, (Entry, Kept)>,
}

/// The objects that are in the inventory and not rendered, parted by what is known without asking the
/// cluster: protected kinds, and objects that `owners` (id → inventory `namespace/name`) gives to
/// another inventory.
pub fn prune_candidates(
    last: &Inventory,
    rendered: &BTreeSet<ObjectId>,
    owners: &BTreeMap<ObjectId, String>,
    options: PruneOptions,
) -> PrunePlan {
    let mut plan = PrunePlan::default();
    for (id, entry) in last.objects.iter().filter(|(id, _)| !rendered.contains(*id)) {
        let kept = match owners.get(id) {
            Some(owner) => Some(Kept::OwnedBy(owner.clone())),
            None if is_protected(id) && !options.protected => Some(Kept::Kind),
            None => None,
        };
        match kept {
            Some(why) => drop(plan.keep.insert(id.clone(), (entry.clone(), why))),
            None => drop(plan.delete.insert(id.clone(), entry.clone())),
        }
    }
    plan
}

/// Kinds that are not pruned without a flag: data, or other people's objects, go with them.
pub fn is_protected(id: &ObjectId) -> bool {
    matches!(
        (id.group.as_str(), id.kind.as_str()),
        ("", "Namespace" | "PersistentVolumeClaim" | "PersistentVolume")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// The guard against a wrong folder: a prune that empties the inventory, or that takes more than a
/// third of it, wants [`PruneOptions::all`].
///
/// # Errors
/// The refusal, with the objects that would go.
pub fn guard(
    plan: &PrunePlan,
    last: &Inventory,
    rendered: usize,
    options: PruneOptions,
) -> Result<(), PruneRefusal> {
    let total = last.objects.len();
    let nothing_rendered = rendered == 0 && total > 0;
    if options.all || !(nothing_rendered || plan.delete.len() * 3 > total) {
        return Ok(());
    }
    Err(PruneRefusal { nothing_rendered, total, objects: plan.delete.keys().cloned().collect() })
}

#[cfg(test)]
mod tests;
