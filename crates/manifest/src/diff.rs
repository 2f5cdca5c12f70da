//! Semantic difference of two sets of objects: what changes, object by object, and what it risks.
//!
//! Maps compare by key, lists by the key that tells their items apart; the order of such items and
//! the layout of the files do not count. A ConfigMap whose name carries a hash of its content is
//! paired with its successor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kiban_base::object::ObjectId;
use serde_json::Value;

mod fields;
mod print;
mod risk;

#[cfg(test)]
mod tests;

pub use fields::{FieldChange, values};
pub use print::{markdown, text};

/// What a change does to a running system. Ordered from the most to the least alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// An object goes away.
    Deletes,
    /// Something can be reached, or can reach, that could not before.
    OpensNetwork,
    /// Fewer pods, less CPU or memory, or a weaker guarantee of how many stay up.
    DropsCapacity,
    /// Pods are replaced by a rollout.
    RestartsPods,
    /// None of these.
    Other,
}

impl Risk {
    /// All, most alarming first.
    pub const ALL: [Risk; 5] =
        [Risk::Deletes, Risk::OpensNetwork, Risk::DropsCapacity, Risk::RestartsPods, Risk::Other];

    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Risk::Deletes => "deletes",
            Risk::OpensNetwork => "opens network",
            Risk::DropsCapacity => "drops capacity",
            Risk::RestartsPods => "restarts pods",
            Risk::Other => "other",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Added,
    /// It goes away.
    Removed,
    /// It stays, with other fields.
    Changed,
}

/// The difference in one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The object, as it is called afterwards (before, when it is removed).
    pub id: ObjectId,
    /// Its name before, when its name carries a hash and the hash changed.
    pub renamed_from: Option<String>,
    /// What happens to it.
    pub action: Action,
    /// The fields that differ; empty when the object is added or removed.
    pub fields: Vec<FieldChange>,
    /// Everything that the change risks.
    pub risks: BTreeSet<Risk>,
}

/// Compares two sets of objects. Objects without a kind or a name are ignored: they have no
/// identity to compare by.
pub fn objects<'a>(
    old: impl IntoIterator<Item = &'a Value>,
    new: impl IntoIterator<Item = &'a Value>,
) -> Vec<Change> {
    let old = by_id(old);
    let new = by_id(new);
    let renames = renames(&old, &new);
    let mut changes = Vec::new();
    for (id, after) in &new {
        if let Some(before) = old.get(id) {
            changes.extend(changed(id, None, before, after));
        } else if let Some(before_id) = renames.get(id) {
            let before = old.get(before_id).copied().unwrap_or(&Value::Null);
            changes.extend(changed(id, Some(before_id.name.clone()), before, after));
        } else {
            changes.push(whole(id, Action::Added, after));
        }
    }
    for (id, before) in &old {
        if !new.contains_key(id) && !renames.values().any(|renamed| renamed == id) {
            changes.push(whole(id, Action::Removed, before));
        }
    }
    changes.sort_by(|a, b| a.id.cmp(&b.id));
    changes
}

/// Every risk that any of the changes carries.
pub fn risks(changes: &[Change]) -> BTreeSet<Risk> {
    changes.iter().flat_map(|change| change.risks.iter().copied()).collect()
}

fn by_id<'a>(objects: impl IntoIterator<Item = &'a Value>) -> BTreeMap<ObjectId, &'a Value> {
    objects.into_iter().filter_map(|object| Some((ObjectId::of(object).ok()?, object))).collect()
}

/// New objects that take the place of an old one under another hash: new id to old id.
fn renames(
    old: &BTreeMap<ObjectId, &Value>,
    new: &BTreeMap<ObjectId, &Value>,
) -> BTreeMap<ObjectId, ObjectId> {
    let mut gone: BTreeMap<(String, String, String), Vec<&ObjectId>> = BTreeMap::new();
    for id in old.keys().filter(|id| !new.contains_key(*id)) {
        if let Some(stem) = hashed_stem(id) {
            gone.entry(stem).or_default().push(id);
        }
    }
    let mut pairs = BTreeMap::new();
    for id in new.keys().filter(|id| !old.contains_key(*id)) {
        let before = hashed_stem(id).and_then(|stem| gone.get_mut(&stem)?.pop());
        if let Some(before) = before {
            pairs.insert(id.clone(), before.clone());
        }
    }
    pairs
}

/// Kind, namespace and name without its hash, for the kinds whose names carry one.
fn hashed_stem(id: &ObjectId) -> Option<(String, String, String)> {
    if !matches!(id.kind.as_str(), "ConfigMap" | "Secret") {
        return None;
    }
    let (stem, hash) = id.name.rsplit_once('-')?;
    let is_hash = hash.len() >= 8 && hash.chars().all(|c| c.is_ascii_hexdigit());
    is_hash.then(|| (id.kind.clone(), id.namespace.clone(), stem.to_owned()))
}

fn whole(id: &ObjectId, action: Action, object: &Value) -> Change {
    let risks = risk::of_object(id, action, object);
    Change { id: id.clone(), renamed_from: None, action, fields: Vec::new(), risks }
}

fn changed(id: &ObjectId, renamed_from: Option<String>, before: &Value, after: &Value) -> Option<Change> {
    let mut fields = values(before, after);
    if renamed_from.is_some() {
        fields.retain(|field| field.path.to_string() != "metadata.name");
    }
    if fields.is_empty() && renamed_from.is_none() {
        return None;
    }
    for field in &mut fields {
        field.risk = risk::of_field(id, field);
    }
    let mut risks: BTreeSet<Risk> = fields.iter().map(|field| field.risk).collect();
    if risks.is_empty() {
        risks.insert(Risk::Other);
    }
    if risks.len() > 1 {
        risks.remove(&Risk::Other);
    }
    Some(Change { id: id.clone(), renamed_from, action: Action::Changed, fields, risks })
}
