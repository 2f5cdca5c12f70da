//! Topology keys in use, and the number of each domain (each value of the key's label).

use std::collections::HashMap;
use std::sync::Arc;

use super::NodeState;
use crate::fast::Slab;

/// A domain under one key; small numbers that are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Domain(u32);

impl Domain {
    /// The node lacks the label.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The number, unless the node lacks the label.
    pub(crate) fn id(self) -> Option<u32> {
        (self != Self::NONE).then_some(self.0)
    }
}

#[derive(Debug, Clone)]
struct Key {
    label: Arc<str>,
    users: u32,
    ids: HashMap<Arc<str>, u32>,
    /// How many nodes are in each domain.
    nodes: Slab<(Arc<str>, u32)>,
}

/// The keys that counts are kept for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topology {
    keys: Slab<Key>,
    ids: HashMap<Arc<str>, u32>,
}

impl Topology {
    /// Takes a key into use.
    pub(crate) fn acquire(&mut self, label: &Arc<str>, nodes: &mut Slab<NodeState>) -> u32 {
        if let Some(id) = self.ids.get(label).copied()
            && let Some(key) = self.keys.get_mut(id)
        {
            key.users += 1;
            return id;
        }
        let key = Key { label: label.clone(), users: 1, ids: HashMap::new(), nodes: Slab::default() };
        let id = self.keys.insert(key);
        self.ids.insert(label.clone(), id);
        if let Some(key) = self.keys.get_mut(id) {
            for (_, state) in nodes.iter_mut() {
                key.enter(id, state);
            }
        }
        id
    }

    /// Gives a key back.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(key) = self.keys.get_mut(id) else { return };
        key.users -= 1;
        if key.users == 0
            && let Some(key) = self.keys.remove(id)
        {
            self.ids.remove(&key.label);
        }
    }

    pub(crate) fn enter(&mut self, state: &mut NodeState) {
        for (id, key) in self.keys.iter_mut() {
            key.enter(id, state);
        }
    }

    pub(crate) fn leave(&mut self, state: &mut NodeState) {
        for (id, key) in self.keys.iter_mut() {
            key.leave(state.domain(id));
        }
        state.domains.clear();
    }
}

impl Key {
    fn enter(&mut self, id: u32, state: &mut NodeState) {
        let domain = match state.node.labels.shared(&self.label) {
            None => Domain::NONE,
            Some(value) => {
                let known = self.ids.get(value).copied();
                let number = known.unwrap_or_else(|| {
                    let number = self.nodes.insert((value.clone(), 0));
                    self.ids.insert(value.clone(), number);
                    number
                });
                if let Some((_, nodes)) = self.nodes.get_mut(number) {
                    *nodes += 1;
                }
                Domain(number)
            }
        };
        let at = id as usize;
        if state.domains.len() <= at {
            state.domains.resize(at + 1, Domain::NONE);
        }
        if let Some(slot) = state.domains.get_mut(at) {
            *slot = domain;
        }
    }

    fn leave(&mut self, domain: Domain) {
        let Some(number) = domain.id() else { return };
        let Some((_, nodes)) = self.nodes.get_mut(number) else { return };
        *nodes -= 1;
        if *nodes == 0
            && let Some((value, _)) = self.nodes.remove(number)
        {
            self.ids.remove(&value);
        }
    }
}
