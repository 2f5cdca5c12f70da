//! A stored object: a small header beside its JSON bytes.
//!
//! Lists and watches copy the bytes; controllers read the header; the bytes are parsed only to be
//! changed or printed.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use kiban_base::clock::Timestamp;
use kiban_base::selector::Lookup;
use serde_json::Value;

use crate::kind::{KindId, well_known};

/// Namespace and name; the namespace is empty for cluster-scoped objects.
///
/// Ordered as the keys `namespace/name` are, which is the order in which the API server lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Namespace, or empty.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A key.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.namespace == other.namespace {
            return self.name.cmp(&other.name);
        }
        // '-' and '.' sort before '/', so comparing the namespaces alone would be wrong.
        let mine = self.namespace.bytes().chain(std::iter::once(b'/'));
        mine.cmp(other.namespace.bytes().chain(std::iter::once(b'/')))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner's uid.
    pub uid: Arc<str>,
    /// The owner's API group.
    pub group: Box<str>,
    /// The owner's kind.
    pub kind: Box<str>,
    /// The owner's name.
    pub name: Arc<str>,
    /// It is the managing controller.
    pub controller: bool,
    /// Foreground deletion of the owner waits for this object.
    pub blocks: bool,
}

/// What controllers ask of a pod again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodDigest {
    /// `status.phase`.
    pub phase: Phase,
    /// The Ready condition is true.
    pub ready: bool,
    /// When Ready last changed.
    pub ready_since: Timestamp,
    /// A node is set.
    pub bound: bool,
}

/// A pod's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one badly.
    Failed,
    /// The node does not say.
    Unknown,
}

impl Phase {
    /// Containers will not run again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    fn parse(text: &str) -> Self {
        match text {
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Unknown" => Self::Unknown,
            _ => Self::Pending,
        }
    }
}

/// Sorted label pairs.
pub type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// Values of field selectors in one allocation: a hundred thousand Events have ten each. Empty values are
/// left out; to a selector that is the same as none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Arc<str>);

/// Between entries, and between a name and its value: bytes that no selectable value holds.
const ENTRY: char = '\u{1e}';
const VALUE: char = '\u{1f}';

impl Fields {
    fn new<'a>(all: impl Iterator<Item = &'a (&'static str, String)>) -> Self {
        let mut text = String::new();
        for (name, value) in all.filter(|(_, v)| !v.is_empty() && !v.contains([ENTRY, VALUE])) {
            text.push_str(name);
            text.push(VALUE);
            text.push_str(value);
            text.push(ENTRY);
        }
        Self(text.into())
    }

    /// The value of a field; `None` where it is empty or the kind does not select by it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .split_terminator(ENTRY)
            .filter_map(|e| e.split_once(VALUE))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }
}

/// One version of one object.
#[derive(Debug)]
pub struct Stored {
    /// Its kind.
    pub kind: KindId,
    /// Namespace and name.
    pub key: Key,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub revision: u64,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.ownerReferences`.
    pub owners: Arc<[Owner]>,
    /// Values of the kind's field selectors, apart from name and namespace.
    pub fields: Fields,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `metadata.finalizers` is not empty.
    pub finalizers: bool,
    /// For pods.
    pub pod: Option<PodDigest>,
    /// The whole object as JSON with sorted keys.
    pub json: Bytes,
}

impl Stored {
    /// The object parsed. Stored bytes are always valid; `Null` would mean a defect of the store.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or(Value::Null)
    }

    /// The same object under another number of its kind.
    pub fn as_kind(&self, kind: KindId) -> Self {
        Self {
            kind,
            key: self.key.clone(),
            uid: self.uid.clone(),
            revision: self.revision,
            created: self.created,
            labels: self.labels.clone(),
            owners: self.owners.clone(),
            fields: self.fields.clone(),
            deleting: self.deleting,
            finalizers: self.finalizers,
            pod: self.pod,
            json: self.json.clone(),
        }
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|i| &*self.labels[i].1)
    }

    /// The value of a selectable field.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.key.name),
            "metadata.namespace" => Some(&self.key.namespace),
            _ => self.fields.get(name),
        }
    }

    /// The managing controller.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|o| o.controller)
    }

    /// Builds the header for `value`; parts that did not change are shared with `old`.
    pub fn new(kind: KindId, value: &Value, revision: u64, json: Bytes, old: Option<&Self>) -> Self {
        let meta = &value["metadata"];
        let text = |key: &str| meta[key].as_str().unwrap_or_default();
        let labels = labels_of(meta);
        let owners = owners_of(meta);
        let fields = fields_of(kind, value);
        Self {
            kind,
            key: old.map_or_else(|| Key::new(text("namespace"), text("name")), |o| o.key.clone()),
            uid: old.map_or_else(|| text("uid").into(), |o| o.uid.clone()),
            revision,
            created: Timestamp::parse(text("creationTimestamp")).unwrap_or_default(),
            labels: old.filter(|o| *o.labels == *labels).map_or_else(|| labels.into(), |o| o.labels.clone()),
            owners: old.filter(|o| *o.owners == *owners).map_or_else(|| owners.into(), |o| o.owners.clone()),
            fields: old.filter(|o| o.fields == fields).map_or(fields, |o| o.fields.clone()),
            deleting: meta["deletionTimestamp"].is_string(),
            finalizers: meta["finalizers"].as_array().is_some_and(|f| !f.is_empty()),
            pod: (kind == *well_known::POD).then(|| digest_of(value)),
            json,
        }
    }
}

/// Looks labels up.
impl Lookup for Stored {
    fn get(&self, key: &str) -> Option<&str> {
        self.label(key)
    }
}

fn labels_of(meta: &Value) -> Vec<(Arc<str>, Arc<str>)> {
    let Some(map) = meta["labels"].as_object() else { return Vec::new() };
    map.iter().map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into())).collect()
}

fn owners_of(meta: &Value) -> Vec<Owner> {
    let Some(list) = meta["ownerReferences"].as_array() else { return Vec::new() };
    list.iter()
        .map(|o| {
            let text = |key: &str| o[key].as_str().unwrap_or_default();
            let group = text("apiVersion").split_once('/').map_or("", |(g, _)| g);
            Owner {
                uid: text("uid").into(),
                group: group.into(),
                kind: text("kind").into(),
                name: text("name").into(),
                controller: o["controller"].as_bool().unwrap_or(false),
                blocks: o["blockOwnerDeletion"].as_bool().unwrap_or(false),
            }
        })
        .collect()
}

fn fields_of(kind: KindId, value: &Value) -> Fields {
    let info = kind.info();
    let all = kiban_kinds::fields::extract(&info.group, &info.kind, value);
    Fields::new(all.iter().filter(|(name, _)| !matches!(*name, "metadata.name" | "metadata.namespace")))
}

fn digest_of(pod: &Value) -> PodDigest {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = conditions.iter().find(|c| c["type"] == "Ready");
    let since = ready.and_then(|c| c["lastTransitionTime"].as_str()).and_then(Timestamp::parse);
    PodDigest {
        phase: Phase::parse(pod["status"]["phase"].as_str().unwrap_or_default()),
        ready: ready.is_some_and(|c| c["status"] == "True"),
        ready_since: since.unwrap_or_default(),
        bound: pod["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_paths_do() {
        let mut keys = [Key::new("a", "z"), Key::new("a-b", "a"), Key::new("a", "b"), Key::new("", "n")];
        keys.sort();
        let text: Vec<_> = keys.iter().map(|k| format!("{}/{}", k.namespace, k.name)).collect();
        assert_eq!(text, ["/n", "a-b/a", "a/b", "a/z"]);
    }
}
