//! What one watch means to those who look at it: which object is new to whom.
//!
//! A feed knows of each object its key and a fingerprint of its revision, so that a list after a gap
//! tells differences alone. It does no I/O: steps of a [`Reader`](crate::watch::reader::Reader) come in,
//! calls of sinks go out.
//!
//! # How a subscriber joins a watch under way
//!
//! Raw objects are not kept, so a newcomer lists for itself while the watch goes on for all. The list is
//! of a state at or after the moment at which it was asked for, so what the watch told before that
//! moment is in it. For each object one of three things holds, and which one is told by equality of
//! revisions alone:
//!
//! - The watch told of it since: what the watch says counts, whatever the list says.
//! - The list has it at the revision that the watch told last: the two agree.
//! - The list has it at another: then the list is ahead, and the watch will come to that revision. The
//!   newcomer takes the list's state and is told nothing of the object until the watch is there. In the
//!   same way, what the list lacks is told again once the watch has told that it is gone.
//!
//! So a newcomer sees each object's states in their order, none twice, and from then on it is one of all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::subscription::Sink;
use super::{Key, Object};
use crate::watch::raw::Raw;

/// Which subscriber; counted up in a kind.
pub(crate) type SinkId = u64;

/// A revision as far as equality goes: its number, or a hash of what is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u64);

impl Mark {
    fn of(revision: &str) -> Self {
        let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        Self(revision.parse().unwrap_or_else(|_| revision.bytes().fold(0xcbf2_9ce4_8422_2325, hash)))
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    mark: Mark,
    /// The list that told of it last.
    list: u32,
}

/// What a feed knows of the objects, by key.
#[derive(Debug, Default)]
pub(crate) struct Index(HashMap<Key, Known>);

/// Bytes of a slot of the table, its control byte and its share of empty ones included.
const PER_SLOT: usize = size_of::<(Key, Known)>() + 1;

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.0.capacity() * PER_SLOT) as u64
    }
}

/// How far a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its list has not begun.
    Waiting,
    /// It reads a list.
    Listing,
    /// It has read the list, and tells changes.
    Live,
}

/// How far a subscriber is with a feed.
#[derive(Debug)]
enum Progress {
    /// Takes all of the list that is under way or comes.
    Fresh,
    /// Came in the middle of a list: lists for itself once that is read.
    Late,
    /// Lists for itself.
    Joining {
        /// What the watch told since it asked.
        touched: HashSet<Key>,
        /// What the list held.
        seen: HashSet<Key>,
    },
    /// Knows what the feed knows.
    Complete,
}

/// An object that a subscriber knows in a state that the watch has not come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Of(Mark),
    Gone,
}

struct Link {
    id: SinkId,
    sink: Arc<dyn Sink>,
    progress: Progress,
    ahead: HashMap<Key, Ahead>,
}

/// One watch and those who look at it.
pub(crate) struct Feed {
    /// The namespace; empty for the whole cluster.
    scope: String,
    index: Index,
    phase: Phase,
    /// Counts lists.
    list: u32,
    links: Vec<Link>,
    /// Where keys are written to be looked up.
    text: String,
}

impl Feed {
    /// A feed of a namespace, or of all with an empty one, that knows nothing yet.
    pub(crate) fn new(scope: &str) -> Self {
        Self {
            scope: scope.into(),
            index: Index::default(),
            phase: Phase::Waiting,
            list: 0,
            links: Vec::new(),
            text: String::new(),
        }
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Lets a subscriber look. Returns whether it has to list for itself now.
    pub(crate) fn link(&mut self, id: SinkId, sink: Arc<dyn Sink>) -> bool {
        let progress = match self.phase {
            Phase::Waiting => Progress::Fresh,
            Phase::Listing => Progress::Late,
            Phase::Live => Progress::Joining { touched: HashSet::new(), seen: HashSet::new() },
        };
        let joins = matches!(progress, Progress::Joining { .. });
        self.links.push(Link { id, sink, progress, ahead: HashMap::new() });
        joins
    }

    /// Lets those go whom `keep` does not name.
    pub(crate) fn keep_links(&mut self, keep: impl Fn(SinkId) -> bool) {
        self.links.retain(|link| keep(link.id));
    }

    pub(crate) fn is_linked(&self, id: SinkId) -> bool {
        self.links.iter().any(|link| link.id == id)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.links.is_empty()
    }

    /// True where the subscriber looks and knows what the feed knows.
    pub(crate) fn is_complete(&self, id: SinkId) -> bool {
        self.links.iter().any(|l| l.id == id && matches!(l.progress, Progress::Complete))
    }

    /// A list comes, after a gap: it serves all. Who knows something else than the feed, in part, reads
    /// it as a whole.
    pub(crate) fn restart(&mut self) {
        self.phase = Phase::Waiting;
        for link in &mut self.links {
            if !matches!(link.progress, Progress::Complete) || !link.ahead.is_empty() {
                link.progress = Progress::Fresh;
                link.ahead = HashMap::new();
            }
        }
    }

    /// A list that is under way is not read to its end.
    pub(crate) fn break_off(&mut self) {
        if self.phase == Phase::Listing {
            self.restart();
        }
    }

    /// A list begins.
    pub(crate) fn begin(&mut self) {
        self.restart();
        self.phase = Phase::Listing;
        self.list = self.list.wrapping_add(1);
    }

    /// An object of the list.
    pub(crate) fn listed(&mut self, raw: &Raw) {
        let (key, unchanged) = self.note(raw);
        let object = Object::new(raw, &key);
        for link in &self.links {
            match link.progress {
                Progress::Complete if unchanged => {}
                Progress::Late => {}
                _ => link.sink.apply(&object),
            }
        }
    }

    /// The list is read. Returns who has to list for itself now.
    pub(crate) fn complete(&mut self) -> Vec<SinkId> {
        self.phase = Phase::Live;
        let list = self.list;
        let gone: Vec<Key> = self.index.0.extract_if(|_, known| known.list != list).map(|(k, _)| k).collect();
        let mut late = Vec::new();
        for link in &mut self.links {
            match link.progress {
                Progress::Late => {
                    late.push(link.id);
                    link.progress = Progress::Joining { touched: HashSet::new(), seen: HashSet::new() };
                }
                Progress::Fresh => {
                    // It may know objects from an earlier watch that this one never told of.
                    link.sink.retain(&self.scope, &|key| self.index.0.contains_key(key));
                    link.progress = Progress::Complete;
                }
                _ => gone.iter().for_each(|key| link.sink.remove(key.as_str())),
            }
        }
        late
    }

    /// An object was added or changed.
    pub(crate) fn set(&mut self, raw: &Raw) {
        let (key, unchanged) = self.note(raw);
        let (object, mark) = (Object::new(raw, &key), Mark::of(raw.revision()));
        for link in &mut self.links {
            match link.ahead.get(&key) {
                // The watch is where the list was: it is known already.
                Some(Ahead::Of(awaited)) if *awaited == mark => {
                    link.ahead.remove(&key);
                    link.touch(&key);
                }
                Some(_) => {}
                None if unchanged && matches!(link.progress, Progress::Complete) => {}
                None => {
                    link.touch(&key);
                    link.sink.apply(&object);
                }
            }
        }
    }

    /// An object is gone.
    pub(crate) fn gone(&mut self, raw: &Raw) {
        let key = self.key(raw);
        self.index.0.remove(&key);
        for link in &mut self.links {
            match link.ahead.get(&key) {
                Some(Ahead::Gone) => drop(link.ahead.remove(&key)),
                Some(Ahead::Of(_)) => {}
                None => {
                    link.touch(&key);
                    link.sink.remove(key.as_str());
                }
            }
        }
    }

    /// The kind is gone, with all its objects.
    pub(crate) fn clear(&mut self) {
        for link in &mut self.links {
            link.sink.retain(&self.scope, &|_| false);
            link.ahead = HashMap::new();
            link.progress = Progress::Fresh;
        }
        self.index = Index::default();
        self.phase = Phase::Waiting;
    }

    /// A subscriber's own list begins, or begins again: that of a namespace, or of all.
    pub(crate) fn join_begins(&mut self, id: SinkId, namespace: &str) {
        let link = self.links.iter_mut().find(|l| l.id == id);
        if let Some(Link { progress: Progress::Joining { seen, .. }, .. }) = link {
            seen.retain(|key| !namespace.is_empty() && key.namespace() != namespace);
        }
    }

    /// An object of a subscriber's own list.
    pub(crate) fn join_listed(&mut self, id: SinkId, raw: &Raw) {
        let key = self.key(raw);
        let told = self.index.0.get(&key).map(|known| known.mark);
        let Some(link) = self.links.iter_mut().find(|l| l.id == id) else { return };
        let Progress::Joining { touched, seen } = &mut link.progress else { return };
        seen.insert(key.clone());
        if touched.contains(&key) {
            return;
        }
        let mark = Mark::of(raw.revision());
        if told == Some(mark) {
            link.ahead.remove(&key);
        } else {
            link.ahead.insert(key.clone(), Ahead::Of(mark));
        }
        link.sink.apply(&Object::new(raw, &key));
    }

    /// A subscriber's own list is read.
    pub(crate) fn join_complete(&mut self, id: SinkId) {
        let Some(link) = self.links.iter_mut().find(|l| l.id == id) else { return };
        let Progress::Joining { touched, seen } = std::mem::replace(&mut link.progress, Progress::Complete)
        else {
            return;
        };
        for key in self.index.0.keys() {
            let its = link.sink.interest().covers(key.namespace());
            if its && !seen.contains(key) && !touched.contains(key) {
                link.ahead.insert(key.clone(), Ahead::Gone);
                link.sink.remove(key.as_str());
            }
        }
    }

    /// Notes an object in the index. Returns its key as it is shared, and whether it was known so.
    fn note(&mut self, raw: &Raw) -> (Key, bool) {
        let known = Known { mark: Mark::of(raw.revision()), list: self.list };
        let key = self.key(raw);
        let before = self.index.0.insert(key.clone(), known);
        (key, before.is_some_and(|before| before.mark == known.mark))
    }

    /// The key of an object: the one that is held already, where there is one.
    fn key(&mut self, raw: &Raw) -> Key {
        Key::write(&mut self.text, raw.namespace(), raw.name());
        match self.index.0.get_key_value(self.text.as_str()) {
            Some((key, _)) => key.clone(),
            None => Key::from_text(&self.text),
        }
    }
}

impl Link {
    fn touch(&mut self, key: &Key) {
        if let Progress::Joining { touched, .. } = &mut self.progress {
            touched.insert(key.clone());
        }
    }
}
