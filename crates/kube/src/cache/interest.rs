//! What a subscriber wants to see.

use std::collections::BTreeSet;

use kiban_base::selector::{LabelSelector, SelectorError};

use super::Object;
use crate::object::Gvk;

/// How many deltas wait for a subscriber, unless it says otherwise.
const QUEUE: usize = 4_096;

/// Which namespaces a subscriber wants to see. Of a kind of the cluster it sees everything either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// All of them: takes permission for the whole cluster.
    All,
    /// These alone: permission for each of them will do.
    Some(BTreeSet<String>),
}

/// Which objects a subscriber wants to see, and how it is called in figures and messages.
#[derive(Debug, Clone)]
pub struct Interest {
    pub(crate) kind: Gvk,
    pub(crate) namespaces: Namespaces,
    pub(crate) labels: LabelSelector,
    pub(crate) name: String,
    pub(crate) queue: usize,
}

impl Interest {
    /// Every object of a kind, in this version of the API. Subscribers of one kind should agree on the
    /// version: each version is a watch of its own.
    pub fn in_all(kind: Gvk, name: &str) -> Self {
        let (namespaces, labels) = (Namespaces::All, LabelSelector::everything());
        Self { kind, namespaces, labels, name: name.into(), queue: QUEUE }
    }

    /// Only the objects of these namespaces.
    #[must_use]
    pub fn within<S: Into<String>>(mut self, namespaces: impl IntoIterator<Item = S>) -> Self {
        self.namespaces = Namespaces::Some(namespaces.into_iter().map(Into::into).collect());
        self
    }

    /// Only objects with the labels of a selector in kubectl's syntax.
    ///
    /// # Errors
    /// A selector that the API server would refuse, in its words.
    pub fn with_labels(mut self, selector: &str) -> Result<Self, SelectorError> {
        self.labels = LabelSelector::parse(selector)?;
        Ok(self)
    }

    /// How many deltas may wait. A subscriber that reads snapshots alone says 0.
    #[must_use]
    pub fn queue(mut self, deltas: usize) -> Self {
        self.queue = deltas;
        self
    }

    /// The selector as the API server is told it; empty where all objects count.
    pub(crate) fn selector(&self) -> String {
        if self.labels.is_everything() { String::new() } else { self.labels.to_string() }
    }

    pub(crate) fn covers(&self, namespace: &str) -> bool {
        match &self.namespaces {
            Namespaces::All => true,
            Namespaces::Some(names) => namespace.is_empty() || names.contains(namespace),
        }
    }

    pub(crate) fn matches(&self, object: &Object<'_>) -> bool {
        self.covers(object.namespace())
            && (self.labels.is_everything() || self.labels.matches(object.labels()))
    }
}
