//! What was applied last: the inventory of an app in an environment, kept in a ConfigMap, and the pure
//! rules for what may be pruned by it.
//!
//! The format (version 1) is a ConfigMap whose data holds `version`, `app`, `env`, `commit` (of the
//! last render that was applied as a whole), `applying` (a commit whose apply has not ended; absent
//! otherwise) and `objects`: a JSON list with one row a line,
//! `["group","version","Kind","namespace","name","hash"]`, sorted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::object::{ObjectId, text_at};

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The label that every inventory carries, with the value `true`.
pub const LABEL: &str = "kiban.dev/inventory";

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

/// The objects of one app in one environment, as they were applied last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// The app.
    pub app: String,
    /// The environment.
    pub env: String,
    /// The commit that was applied last as a whole; empty before the first one.
    pub commit: String,
    /// The commit of an apply that has begun and not ended. Then the objects are those of the last
    /// apply and of this one together.
    pub applying: Option<String>,
    /// The objects.
    pub objects: BTreeMap<ObjectId, Entry>,
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
    /// Another format, or content that this program has not written for this app and environment.
    pub fn read(config_map: &Value) -> Result<Self, InventoryError> {
        let name = text_at(config_map, &["metadata", "name"]).unwrap_or("inventory").to_string();
        let bad = |problem: String| InventoryError::Malformed { name: name.clone(), problem };
        let field = |key: &str| text_at(config_map, &["data", key]);
        let version = field("version").ok_or_else(|| bad("it states no version".into()))?;
        match version.parse::<u32>() {
            Ok(FORMAT) => {}
            Ok(v) if v > FORMAT => {
                return Err(InventoryError::Newer { name, found: version.into() });
            }
            _ => return Err(bad(format!("it states version {version:?}"))),
        }
        let text = |key: &str| field(key).map(String::from).ok_or_else(|| bad(format!("{key} is missing")));
        let (app, env) = (text("app")?, text("env")?);
        if name != name_of(&app, &env) {
            return Err(bad(format!("it lists app {app:?} in environment {env:?}")));
        }
        let rows: Vec<[String; 6]> = serde_json::from_str(&text("objects")?)
            .map_err(|e| bad(format!("its list of objects cannot be read: {e}")))?;
        let objects = rows.into_iter().map(|[group, version, kind, namespace, name, hash]| {
            (ObjectId { group, kind, namespace, name }, Entry { version, hash })
        });
        let applying = field("applying").map(String::from);
        Ok(Self { app, env, commit: text("commit")?, applying, objects: objects.collect() })
    }

    /// The ConfigMap, as it is applied in `namespace`.
    ///
    /// # Errors
    /// More objects than a ConfigMap holds.
    pub fn write(&self, namespace: &str) -> Result<Value, InventoryError> {
        let objects = self.rows();
        let mut data = json!({
            "version": FORMAT.to_string(),
            "app": self.app,
            "env": self.env,
            "commit": self.commit,
            "objects": objects,
        });
        if let Some(commit) = &self.applying {
            data["applying"] = json!(commit);
        }
        let bytes = data.as_object().into_iter().flatten();
        let bytes = bytes.map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum::<usize>();
        if bytes > MAX_BYTES {
            return Err(InventoryError::TooBig { name: self.name(), objects: self.objects.len(), bytes });
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name(),
                "namespace": namespace,
                "labels": {
                    "app.kubernetes.io/name": self.app,
                    "app.kubernetes.io/managed-by": "kiban",
                    "kiban.dev/env": self.env,
                    LABEL: "true",
                },
            },
            "data": data,
        }))
    }

    fn rows(&self) -> String {
        let mut out = String::from("[");
        for (i, (id, entry)) in self.objects.iter().enumerate() {
            out.push_str(if i == 0 { "\n" } else { ",\n" });
            let row = [&id.group, &entry.version, &id.kind, &id.namespace, &id.name, &entry.hash];
            out.push_str(&json!(row).to_string());
        }
        out.push_str("\n]\n");
        out
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
