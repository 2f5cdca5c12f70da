//! Whether a component is ready to do its work, and if not, why.

use std::sync::{Arc, Mutex, PoisonError};

/// What a component says of itself; clones say the same. At first it is not ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<State>>);

/// Whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does its work.
    Ready,
    /// It does not, for this reason: words that anyone may read.
    Not(String),
}

impl Default for State {
    fn default() -> Self {
        Self::Not("starting".to_owned())
    }
}

impl Readiness {
    /// It is ready.
    pub fn set(&self) {
        self.put(State::Ready);
    }

    /// It is not, and why: words that anyone may read.
    pub fn unset(&self, why: impl Into<String>) {
        self.put(State::Not(why.into()));
    }

    /// Whether it is.
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
