//! Which objects a client asks for: selectors over labels and over fields, with the API server's grammar.

mod field;
mod label;
mod lexer;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};

/// Why a selector is refused; the sentences are those of the API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

/// Something that labels or fields can be looked up in.
pub trait Lookup {
    /// The value under `key`.
    fn get(&self, key: &str) -> Option<&str>;
}

impl<T: Lookup + ?Sized> Lookup for &T {
    fn get(&self, key: &str) -> Option<&str> {
        (**self).get(key)
    }
}

impl<T: Lookup> Lookup for Option<T> {
    fn get(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|t| t.get(key))
    }
}

impl Lookup for Map<String, Value> {
    fn get(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

/// An object of strings; anything else has no labels.
impl Lookup for Value {
    fn get(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl<K: std::borrow::Borrow<str> + Ord, V: AsRef<str>> Lookup for BTreeMap<K, V> {
    fn get(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl<K: std::borrow::Borrow<str> + Eq + std::hash::Hash, V: AsRef<str>> Lookup for HashMap<K, V> {
    fn get(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

/// Pairs in any order; the first of equal keys counts.
impl<K: AsRef<str>, V: AsRef<str>> Lookup for [(K, V)] {
    fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Lookup for Vec<(K, V)> {
    fn get(&self, key: &str) -> Option<&str> {
        Lookup::get(self.as_slice(), key)
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> Lookup for [(K, V); N] {
    fn get(&self, key: &str) -> Option<&str> {
        Lookup::get(self.as_slice(), key)
    }
}

#[cfg(test)]
mod tests;
