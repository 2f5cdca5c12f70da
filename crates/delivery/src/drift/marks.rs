//! What is kept of each watched object, and what the inventories list: all from watches, without a request.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use kiban_base::object::Gvk;
use kiban_kube::apply::MANAGER;
use kiban_kube::cache::{Footprint, Key, KindState, Object, Projected, Subscription};
use kiban_kube::drift::Digest;
use kiban_kube::inventory::Inventory;
use kiban_kube::object::normalised;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The entry of an inventory that says what its objects looked like when somebody made sure of them.
pub(super) const ENTRY: &str = "drift";

/// What is kept of an object that this program applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The fields that are ours; none of an object that is nothing but a name, of which nobody owns a field.
    digest: Option<Digest>,
    /// All but what the server alone writes: a field that was taken from us may change again.
    all: u64,
    /// Somebody else wrote the object itself since we did, or in the same second: ours may be gone.
    touched: bool,
}

impl Footprint for Mark {}

/// The projection of an object; nothing of what this program did not apply.
pub(super) fn mark(object: &Object<'_>) -> Projected<Mark> {
    // Most objects of a kind are others': they are told apart without being read.
    let bytes = object.bytes();
    let may_be_ours = holds(bytes, b"\"kiban\"") || !holds(bytes, b"\"manager\"") || holds(bytes, NOBODY);
    if !may_be_ours {
        return Ok(None);
    }
    let value: Value = object.read().map_err(|error| error.to_string())?;
    let digest = Digest::of(&value);
    let is_kept = digest.is_some() || is_bare(&value);
    Ok(is_kept.then(|| Mark { digest, all: hash(&normalised(&value)), touched: is_touched(&value) }))
}

/// The manager that the API server makes up for fields that nobody owned before the first apply.
const NOBODY: &[u8] = b"before-first-apply";

/// True for an object of which nobody owns a field: one of ours may be.
fn is_bare(object: &Value) -> bool {
    let mut entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.all(|entry| entry["manager"].as_str().map(str::as_bytes) == Some(NOBODY))
}

fn hash(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.to_string().hash(&mut hasher);
    hasher.finish()
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn is_touched(object: &Value) -> bool {
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let (mut ours, mut theirs) = (String::new(), String::new());
    // What controllers write to `status`, or an autoscaler by `scale`, is shown by the digest alone.
    for entry in entries.filter(|entry| text(entry, "subresource").is_empty()) {
        if is_controllers(&entry["fieldsV1"]) || entry["manager"].as_str().map(str::as_bytes) == Some(NOBODY)
        {
            continue;
        }
        let is_ours = text(entry, "manager") == MANAGER && text(entry, "operation") == "Apply";
        let latest = if is_ours { &mut ours } else { &mut theirs };
        *latest = text(entry, "time").max(std::mem::take(latest));
    }
    !theirs.is_empty() && theirs >= ours
}

/// Annotations that controllers write to objects in the course of their work.
const CONTROLLERS: &[&str] = &[
    "f:deployment.kubernetes.io/revision",
    "f:pv.kubernetes.io/",
    "f:volume.kubernetes.io/",
    "f:volume.beta.kubernetes.io/",
];

/// True for a set of fields that holds nothing but [`CONTROLLERS`].
fn is_controllers(fields: &Value) -> bool {
    let only = |value: &Value, key: &str| {
        let map = value.as_object()?;
        if map.keys().all(|k| k == "." || k == key) { map.get(key).cloned() } else { None }
    };
    let annotations = only(fields, "f:metadata").and_then(|metadata| only(&metadata, "f:annotations"));
    let is_known = |key: &String| key == "." || CONTROLLERS.iter().any(|known| key.starts_with(known));
    annotations.and_then(|a| a.as_object().map(|a| a.keys().all(is_known))).unwrap_or(false)
}

/// What drift needs of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) app: String,
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) render: String,
    /// Nobody is applying it.
    pub(super) is_settled: bool,
    /// A good render runs in a bad one's place.
    pub(super) is_held: bool,
    /// What somebody made sure of.
    pub(super) sure: Option<String>,
    /// Its objects that are watched, by kind.
    pub(super) objects: BTreeMap<Gvk, BTreeSet<Key>>,
}

impl Footprint for Listed {
    fn heap_bytes(&self) -> usize {
        let texts = self.app.len() + self.repository.len() + self.commit.len() + self.render.len();
        let keys = self.objects.values().flatten().map(|key| key.as_str().len() + 40);
        texts + self.objects.len() * 120 + keys.sum::<usize>()
    }
}

/// The projection of an inventory. One that cannot be read is reported by who follows inventories.
pub(super) fn list(object: &Object<'_>) -> Projected<Listed> {
    let value: Value = object.read().map_err(|error| error.to_string())?;
    Ok(Inventory::read(&value).ok().map(listed))
}

fn listed(inventory: Inventory) -> Listed {
    let mut objects: BTreeMap<Gvk, BTreeSet<Key>> = BTreeMap::new();
    for (id, entry) in &inventory.objects {
        // Secrets are never listed: who may watch them all may read them all.
        if id.group.is_empty() && id.kind == "Secret" {
            continue;
        }
        let gvk = Gvk { group: id.group.clone(), version: entry.version.clone(), kind: id.kind.clone() };
        objects.entry(gvk).or_default().insert(Key::new(&id.namespace, &id.name));
    }
    Listed {
        sure: inventory.others.get(ENTRY).cloned(),
        repository: inventory.revision.repository,
        commit: inventory.revision.commit,
        render: inventory.render,
        is_settled: inventory.applying.is_none(),
        is_held: inventory.held.is_some(),
        app: inventory.app,
        objects,
    }
}

/// All objects of an app at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    /// One value over them, with the render that they are of.
    pub(super) digest: String,
    /// The same with the fields of others.
    pub(super) all: u64,
    /// Each is there, and nobody else wrote it since.
    pub(super) is_ours: bool,
}

/// How an app's objects look; none while a kind of theirs is still being read.
pub(super) fn looks(listed: &Listed, kinds: &BTreeMap<Gvk, Subscription<Mark>>) -> Option<Looks> {
    let mut digest = Sha256::new();
    let mut all = DefaultHasher::new();
    let mut is_ours = true;
    for (gvk, keys) in &listed.objects {
        let marks = kinds.get(gvk)?;
        if !marks.is_synced() {
            match marks.state() {
                // It may not be watched, or nobody answers: the others are told of all the same.
                KindState::BackingOff { .. } => continue,
                _ => return None,
            }
        }
        for key in keys {
            digest.update(format!("{} {} {key}\n", gvk.group, gvk.kind));
            match marks.get(key.namespace(), key.name()) {
                Some(mark) => {
                    digest.update(mark.digest.map(|d| d.bytes()).unwrap_or_default());
                    (key, mark.digest, mark.all).hash(&mut all);
                    is_ours &= !mark.touched;
                }
                None => is_ours = false,
            }
        }
    }
    let short: String = digest.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
    let render: String = listed.render.chars().take(16).collect();
    Some(Looks { digest: format!("{render}:{short}"), all: all.finish(), is_ours })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_touched_where_somebody_else_wrote_it_after_us() {
        let entry = |manager: &str, operation: &str, time: &str, subresource: &str| json!({"manager": manager, "operation": operation, "time": time, "subresource": subresource});
        let ours = entry(MANAGER, "Apply", "2026-01-01T00:00:05Z", "");
        for (what, others, touched) in [
            ("alone", vec![], false),
            (
                "status",
                vec![entry("kube-controller-manager", "Update", "2026-01-01T00:00:09Z", "status")],
                false,
            ),
            ("before", vec![entry("helm", "Update", "2026-01-01T00:00:04Z", "")], false),
            ("after", vec![entry("kubectl-edit", "Update", "2026-01-01T00:00:06Z", "")], true),
            (
                "a controller's annotation",
                vec![{
                    let mut entry = entry("deployment-controller", "Update", "2026-01-01T00:00:06Z", "");
                    entry["fieldsV1"] = json!({"f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}}});
                    entry
                }],
                false,
            ),
            ("in the same second", vec![entry("kubectl-edit", "Update", "2026-01-01T00:00:05Z", "")], true),
        ] {
            let entries: Vec<Value> = others.into_iter().chain([ours.clone()]).collect();
            assert_eq!(is_touched(&json!({"metadata": {"managedFields": entries}})), touched, "{what}");
        }
    }
}
