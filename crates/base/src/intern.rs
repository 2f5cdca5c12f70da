//! Texts that many objects share, held once: label names and values, namespaces, images.
//!
//! An interner holds its texts weakly in effect: one that nobody else holds any more goes with the next
//! sweep, and sweeps come as often as the number of texts doubles. So interning costs the same however
//! much comes and goes, and what is held is at most twice what is used, and a little.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Below this many texts no sweep is worth its time.
const SMALL: usize = 1_024;

/// Texts, each held once. Shared by reference; safe to use from many threads.
#[derive(Debug, Default)]
pub struct Interner {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    texts: HashSet<Arc<str>>,
    /// Bytes of the texts.
    bytes: usize,
    /// How many texts there were after the last sweep.
    swept: usize,
}

impl Interner {
    /// The shared form of a text.
    pub fn intern(&self, text: &str) -> Arc<str> {
        let mut inner = self.lock();
        if let Some(known) = inner.texts.get(text) {
            return known.clone();
        }
        if inner.texts.len() >= SMALL.max(2 * inner.swept) {
            inner.sweep();
        }
        let shared: Arc<str> = text.into();
        inner.bytes += shared.len();
        inner.texts.insert(shared.clone());
        shared
    }

    /// Lets go of the texts that nobody else holds. Callers need not: it happens by itself.
    pub fn sweep(&self) {
        self.lock().sweep();
    }

    /// How many texts are held, those included that wait for the next sweep.
    pub fn len(&self) -> usize {
        self.lock().texts.len()
    }

    /// True where no text is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the texts and the table of them take, estimated.
    pub fn heap_bytes(&self) -> usize {
        let inner = self.lock();
        // A text has two counters before it; the table a pointer pair and a control byte a slot.
        inner.bytes + inner.texts.len() * 16 + inner.texts.capacity() * 17
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn sweep(&mut self) {
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.bytes = self.texts.iter().map(|t| t.len()).sum();
        self.swept = self.texts.len();
        // A peak of long ago must not stay.
        if self.texts.capacity() > 4 * SMALL.max(self.swept) {
            self.texts.shrink_to(2 * self.swept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let texts = Interner::default();
        let (a, b) = (texts.intern("app"), texts.intern("app"));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &texts.intern("tier")));
        assert_eq!(texts.len(), 2);
    }

    #[test]
    fn a_day_of_churn_leaves_no_more_than_twice_what_is_used() {
        let texts = Interner::default();
        let kept: Vec<Arc<str>> = (0..2_000).map(|i| texts.intern(&format!("kept-{i}"))).collect();
        let mut most = 0;
        for i in 0..1_000_000 {
            texts.intern(&format!("gone-{i}"));
            most = most.max(texts.len());
        }
        assert!(most <= 2 * kept.len() + SMALL, "{most}");
        texts.sweep();
        assert_eq!(texts.len(), kept.len());
        drop(kept);
        texts.sweep();
        assert!(texts.is_empty());
        assert!(texts.heap_bytes() < 4 * SMALL * 17 + 1, "{}", texts.heap_bytes());
    }
}
