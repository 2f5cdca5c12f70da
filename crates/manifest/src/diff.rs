//! Semantic difference of two sets of objects: what changes, object by object, and what it risks.
//!
//! Maps compare by key, lists by the key that tells their items apart; the order of such items and
//! the layout of the files do not count. A ConfigMap whose name carries a hash of its content is
//! paired with its successor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kiban_base::object::ObjectId;
use serde_json::Value;

mod capacity;
mod context;
mod fields;
mod network;
mod pods;
mod print;
mod review;
mod rights;
mod risk;
mod routes;

#[cfg(test)]
mod tests;

use context::Context;
pub use fields::{FieldChange, Order, values};
pub use print::{code, text};
pub use review::{Blast, blast, fields, grouped, markdown, summary};

/// What a change does to a running system. Ordered from the most to the least alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// An object goes away.
    Deletes,
    /// Something can be reached, or can reach, that could not before.
    OpensNetwork,
    /// A pod, an account or a person may do what was not allowed before.
    GrantsRights,
    /// Fewer pods, less CPU or memory, or a weaker guarantee of how many stay up.
    DropsCapacity,
    /// Pods are replaced by a rollout.
    RestartsPods,
    /// None of these.
    Other,
}

impl Risk {
    /// All, most alarming first.
    pub const ALL: [Risk; 6] = [
        Risk::Deletes,
        Risk::OpensNetwork,
        Risk::GrantsRights,
        Risk::DropsCapacity,
        Risk::RestartsPods,
        Risk::Other,
    ];

    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Risk::Deletes => "deletes",
            Risk::OpensNetwork => "opens network",
            Risk::GrantsRights => "grants rights",
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

/// Why a change carries a risk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The risk.
    pub risk: Risk,
    /// What happens, in our words.
    pub what: &'static str,
    /// What it happens to, in the words of the manifests: fields, hosts, subjects. To be quoted.
    pub about: Vec<String>,
}

impl Reason {
    fn new(risk: Risk, what: &'static str, about: impl IntoIterator<Item = String>) -> Self {
        Self { risk, what, about: about.into_iter().collect() }
    }

    /// A reason, where it is about anything.
    fn of(risk: Risk, what: &'static str, about: impl IntoIterator<Item = String>) -> Option<Self> {
        let reason = Self::new(risk, what, about);
        (!reason.about.is_empty()).then_some(reason)
    }
}

/// `lets in: pods app=web on TCP 8080`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if self.about.is_empty() { Ok(()) } else { write!(f, ": {}", self.about.join(", ")) }
    }
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
    /// Everything that the change risks; [`Risk::Other`] alone where there is no reason.
    pub risks: BTreeSet<Risk>,
    /// Why, the most alarming first.
    pub reasons: Vec<Reason>,
    /// How many pods are replaced, as far as the manifests say; of a DaemonSet it is one a node.
    pub pods: u64,
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
    let context = Context::of(&old, &new);
    let mut changes = Vec::new();
    for (id, after) in &new {
        if let Some(before) = old.get(id) {
            changes.extend(changed(id, None, before, after, &context));
        } else if let Some(before_id) = renames.get(id) {
            let before = old.get(before_id).copied().unwrap_or(&Value::Null);
            changes.extend(changed(id, Some(before_id.name.clone()), before, after, &context));
        } else {
            changes.push(whole(id, Action::Added, after, &context));
        }
    }
    for (id, before) in &old {
        if !new.contains_key(id) && !renames.values().any(|renamed| renamed == id) {
            changes.push(whole(id, Action::Removed, before, &context));
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
    let hexadecimal = hash.len() >= 8 && hash.chars().all(|c| c.is_ascii_hexdigit());
    // What kustomize writes: ten hexadecimal digits, those that could spell words replaced.
    let kustomize = hash.len() == 10 && hash.chars().all(|c| "2456789bcdfghkmt".contains(c));
    (hexadecimal || kustomize).then(|| (id.kind.clone(), id.namespace.clone(), stem.to_owned()))
}

fn whole(id: &ObjectId, action: Action, object: &Value, context: &Context<'_>) -> Change {
    let reasons = match action {
        Action::Removed => risk::of_removed(id, object, context),
        Action::Added | Action::Changed => risk::of_added(id, object, context),
    };
    let change = Change {
        id: id.clone(),
        renamed_from: None,
        action,
        fields: Vec::new(),
        risks: BTreeSet::new(),
        reasons,
        pods: 0,
    };
    change.judged()
}

fn changed(
    id: &ObjectId,
    renamed_from: Option<String>,
    before: &Value,
    after: &Value,
    context: &Context<'_>,
) -> Option<Change> {
    let mut fields = fields::of_object(id, before, after);
    if renamed_from.is_some() {
        fields.retain(|field| field.path.to_string() != "metadata.name");
    }
    if fields.is_empty() && renamed_from.is_none() {
        return None;
    }
    let reasons = risk::of_changed(id, before, after, &fields, context);
    hide(id, &mut fields);
    let restarts = reasons.iter().any(|reason| reason.risk == Risk::RestartsPods);
    let pods = if restarts { context.pods(id, after) } else { 0 };
    let change = Change {
        id: id.clone(),
        renamed_from,
        action: Action::Changed,
        fields,
        risks: BTreeSet::new(),
        reasons,
        pods,
    };
    Some(change.judged())
}

/// Hides what a Secret holds, as `kubectl diff` does: that it differs is all that a reader may see.
fn hide(id: &ObjectId, fields: &mut [FieldChange]) {
    if id.kind != "Secret" || !id.group.is_empty() {
        return;
    }
    // What kubectl applied last stands in an annotation, whole.
    let paths: [&[&str]; 3] = [&["data"], &["stringData"], &["metadata", "annotations"]];
    for field in fields.iter_mut().filter(|field| paths.iter().any(|path| field.path.starts_with(path))) {
        let is_text = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        field.old = is_text(&field.old).then(|| Value::from("*** (before)"));
        field.new = is_text(&field.new).then(|| Value::from("*** (after)"));
    }
}

impl Change {
    fn judged(mut self) -> Self {
        self.reasons.sort_by_key(|reason| reason.risk);
        self.risks = self.reasons.iter().map(|reason| reason.risk).collect();
        if self.risks.is_empty() {
            self.risks.insert(Risk::Other);
        }
        self
    }
}
