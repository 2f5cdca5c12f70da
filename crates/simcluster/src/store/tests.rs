//! What readers of the store may rely on, under random writes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kind::well_known::{CONFIG_MAP, POD};

fn object(key: &Key, uid: u64, text: u8, owner: Option<u64>, node: Option<u8>) -> Value {
    let mut value = json!({
        "metadata": {
            "namespace": &*key.namespace, "name": &*key.name, "uid": format!("u{uid}"), "labels": {"text": text.to_string()},
        },
        "spec": {},
    });
    if let Some(owner) = owner {
        value["metadata"]["ownerReferences"] =
            json!([{"uid": format!("u{owner}"), "kind": "ConfigMap", "name": "x", "apiVersion": "v1"}]);
    }
    if let Some(node) = node {
        value["spec"]["nodeName"] = format!("n{node}").into();
    }
    value
}

#[derive(Debug, Clone)]
enum Op {
    Put {
        pod: bool,
        key: u8,
        text: u8,
        owner: Option<u8>,
        node: Option<u8>,
    },
    Remove {
        pod: bool,
        key: u8,
    },
    /// The reader reads up to so many changes.
    Read(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let owner = prop::option::of(0_u8..6);
    let node = prop::option::of(0_u8..3);
    let put = (any::<bool>(), 0_u8..12, any::<u8>(), owner, node)
        .prop_map(|(pod, key, text, owner, node)| Op::Put { pod, key, text, owner, node });
    let remove = (any::<bool>(), 0_u8..12).prop_map(|(pod, key)| Op::Remove { pod, key });
    let read = (1_usize..8).prop_map(Op::Read);
    prop::collection::vec(prop_oneof![5 => put, 2 => remove, 2 => read], 1..120)
}

fn key_of(n: u8) -> Key {
    Key::new(["a", "a-b", "b"][usize::from(n % 3)], format!("x{}", n / 3))
}

fn kind_of(pod: bool) -> KindId {
    if pod { *POD } else { *CONFIG_MAP }
}

/// A client: its copy of one kind and how far it read.
#[derive(Default)]
struct Client {
    view: BTreeMap<Key, Bytes>,
    cursor: u64,
    relists: usize,
}

impl Client {
    fn list(&mut self, store: &Store, kind: KindId) {
        let state = store.snapshot();
        self.view = state.objects(kind).iter().map(|(k, o)| (k.clone(), o.json.clone())).collect();
        self.cursor = state.revision;
    }

    /// Reads at most `max` changes; says whether there was anything.
    fn read(&mut self, store: &Store, kind: KindId, max: usize) -> bool {
        let Ok(changes) = store.changes(kind, self.cursor, max) else {
            self.relists += 1;
            self.list(store, kind);
            return true;
        };
        for change in &changes {
            assert!(change.revision > self.cursor, "in order, each once");
            self.cursor = change.revision;
            let known = self.view.get(&change.new.key);
            assert_eq!(known, change.old.as_ref().map(|o| &o.json), "the old state is what the client has");
            if change.deleted {
                self.view.remove(&change.new.key);
            } else {
                self.view.insert(change.new.key.clone(), change.new.json.clone());
            }
        }
        !changes.is_empty()
    }
}

/// What the indexes should say, found by looking at everything.
fn check_indexes(state: &State) -> Result<(), TestCaseError> {
    let all: Vec<_> = [*POD, *CONFIG_MAP].into_iter().flat_map(|k| state.objects(k).values()).collect();
    for object in &all {
        prop_assert_eq!(state.by_uid(&object.uid).map(|o| o.revision), Some(object.revision));
    }
    for uid in (0..6).map(|n| format!("u{n}")) {
        let mut wanted: Vec<_> =
            all.iter().filter(|o| o.owners.iter().any(|w| *w.uid == *uid)).map(|o| o.revision).collect();
        let mut found: Vec<_> = state.children(&uid).map(|o| o.revision).collect();
        wanted.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(found, wanted);
    }
    for node in (0..3).map(|n| format!("n{n}")) {
        let wanted: Vec<_> = all
            .iter()
            .filter(|o| o.kind == *POD && o.field("spec.nodeName") == Some(&node))
            .map(|o| o.key.clone())
            .collect();
        let found: Vec<_> = state.pods_on(&node).map(|o| o.key.clone()).collect();
        prop_assert_eq!(found, wanted);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A client that lists, reads changes in any pieces and lists again when it is too slow has what the
    /// store has; so do the store's own indexes.
    #[test]
    fn a_view_through_changes_equals_the_store(ops in ops(), max_bytes in 200_usize..3_000, min_entries in 0_usize..10) {
        let store = Store::with_logs(State::new(), max_bytes, min_entries);
        let mut clients = [(Client::default(), *POD), (Client::default(), *CONFIG_MAP)];
        let mut uid = 0;
        for op in ops {
            match op {
                Op::Put { pod, key, text, owner, node } => {
                    let (kind, key) = (kind_of(pod), key_of(key));
                    let live = store.snapshot().get(kind, &key).cloned();
                    let mut value = object(&key, uid, text, owner.map(u64::from), node.filter(|_| pod));
                    if let Some(live) = &live {
                        value["metadata"]["uid"] = live.uid.to_string().into();
                    }
                    uid += 1;
                    let revision = live.map_or(0, |l| l.revision);
                    prop_assert!(store.commit(kind, &key, revision + 1, Write::Put(value.clone())).is_none(), "a stale write");
                    prop_assert!(store.commit(kind, &key, revision, Write::Put(value)).is_some());
                }
                Op::Remove { pod, key } => {
                    let (kind, key) = (kind_of(pod), key_of(key));
                    let Some(live) = store.snapshot().get(kind, &key).cloned() else { continue };
                    store.commit(kind, &key, live.revision, Write::Remove(live.value())).unwrap();
                }
                Op::Read(max) => {
                    for (client, kind) in &mut clients {
                        client.read(&store, *kind, max);
                    }
                }
            }
        }
        for (client, kind) in &mut clients {
            while client.read(&store, *kind, 3) {}
            let state = store.snapshot();
            let stored: BTreeMap<_, _> = state.objects(*kind).iter().map(|(k, o)| (k.clone(), o.json.clone())).collect();
            prop_assert_eq!(&client.view, &stored);
        }
        check_indexes(&store.snapshot())?;
    }

    /// Pages of an old snapshot are whole and in order, whatever happens meanwhile.
    #[test]
    fn pages_of_a_snapshot_are_exact_after_churn(keys in prop::collection::btree_set(0_u8..60, 1..40), size in 1_usize..7) {
        let store = Store::default();
        for n in &keys {
            let key = key_of(*n);
            store.commit(*CONFIG_MAP, &key, 0, Write::Put(object(&key, u64::from(*n), 0, None, None))).unwrap();
        }
        let at = store.snapshot();
        for namespace in ["", "a", "a-b", "b"] {
            let whole: Vec<_> = at.range(*CONFIG_MAP, namespace, None).map(|o| (o.key.clone(), o.revision)).collect();
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let page: Vec<_> = at.range(*CONFIG_MAP, namespace, after.as_ref()).take(size).cloned().collect();
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                pages.extend(page.iter().map(|o| (o.key.clone(), o.revision)));
                // Meanwhile the newest of them goes.
                if let Some(live) = store.snapshot().get(*CONFIG_MAP, &page[0].key).cloned() {
                    store.commit(*CONFIG_MAP, &live.key, live.revision, Write::Remove(live.value())).unwrap();
                }
            }
            prop_assert_eq!(pages, whole);
        }
    }
}

#[test]
fn a_log_that_was_outrun_says_where_it_starts() {
    let store = Store::with_logs(State::new(), 1_000, 2);
    for n in 0..20_u8 {
        let key = Key::new("a", format!("x{n}"));
        store.commit(*CONFIG_MAP, &key, 0, Write::Put(object(&key, u64::from(n), 0, None, None))).unwrap();
    }
    let refused = store.changes(*CONFIG_MAP, 1, 10).unwrap_err();
    assert_eq!(refused.asked, 1);
    assert!(refused.oldest > 1 && refused.oldest < 19);
    let rest = store.changes(*CONFIG_MAP, refused.oldest, 100).unwrap();
    assert_eq!(rest.first().unwrap().revision, refused.oldest + 1);
    assert_eq!(rest.last().unwrap().revision, 20);
    assert!(store.lag(*CONFIG_MAP, 20) < f64::EPSILON && store.lag(*CONFIG_MAP, refused.oldest) > 0.5);
    // Another kind's log is its own.
    assert!(store.changes(*POD, 0, 10).unwrap().is_empty());
}

#[test]
fn a_fork_starts_where_its_origin_is_and_goes_its_own_way() {
    let store = Store::default();
    let key = Key::new("a", "x");
    store.commit(*CONFIG_MAP, &key, 0, Write::Put(object(&key, 1, 0, None, None))).unwrap();
    let fork = Store::from_state(store.snapshot());
    let changed = fork.commit(*CONFIG_MAP, &key, 1, Write::Put(object(&key, 1, 9, None, None))).unwrap();
    assert_eq!(changed.revision, 2);
    assert_eq!(store.snapshot().get(*CONFIG_MAP, &key).unwrap().label("text"), Some("0"));
    assert!(fork.changes(*CONFIG_MAP, 0, 10).is_err(), "what was before the fork is not in its log");
    assert_eq!(fork.changes(*CONFIG_MAP, 1, 10).unwrap().len(), 1);
}
