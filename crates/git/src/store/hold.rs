//! Commits that somebody works with: as long as one is held, tidying keeps it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Oid;

/// How often each commit is held.
pub(crate) type Held = Arc<Mutex<HashMap<Oid, usize>>>;

/// Keeps a commit, and all that it needs, from being tidied away.
#[derive(Debug, Clone)]
pub struct Hold(Arc<One>);

#[derive(Debug)]
struct One {
    id: Oid,
    held: Held,
}

impl Hold {
    pub(crate) fn new(id: Oid, held: &Held) -> Self {
        *held.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
        Self(Arc::new(One { id, held: held.clone() }))
    }

    /// The commit.
    pub fn id(&self) -> Oid {
        self.0.id
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.id);
            }
        }
    }
}
