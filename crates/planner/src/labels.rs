//! Labels of pods, nodes and namespaces: sorted, shared, compared by content.

use std::sync::Arc;

use kiban_base::selector::Lookup;
use serde_json::Value;

/// An immutable set of labels; a copy costs one reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Labels {
    /// From pairs in any order; the last of equal keys counts.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut map = std::collections::BTreeMap::new();
        for (k, v) in pairs {
            map.insert(Arc::from(k.as_ref()), Arc::from(v.as_ref()));
        }
        Self(map.into_iter().collect())
    }

    /// From a JSON object of strings; anything else has no labels.
    pub fn from_json(value: &Value) -> Self {
        let pairs = value.as_object().into_iter().flatten();
        Self(pairs.filter_map(|(k, v)| Some((Arc::from(k.as_str()), Arc::from(v.as_str()?)))).collect())
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    pub(crate) fn iter_shared(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.0.iter()
    }

    /// The shared text under `key`.
    pub fn shared(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        self.0.get(at).map(|(_, v)| v)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Lookup for Labels {
    fn get(&self, key: &str) -> Option<&str> {
        self.shared(key).map(|v| &**v)
    }
}
