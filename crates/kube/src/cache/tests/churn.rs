//! A day of churn, straight into a feed: what is held stays in proportion to what there is.

use kiban_base::intern::Interner;

use super::super::feed::Feed;
use super::super::subscription::{Sink, Store};
use super::*;
use crate::watch::raw::Raw;

const KEYS: u64 = 10_000;

fn raw(name: u64, revision: u64) -> Raw {
    let text = format!(
        r#"{{"metadata":{{"name":"pod-{name}","namespace":"n{}","resourceVersion":"{revision}","labels":{{"hash":"h{revision}"}}}}}}"#,
        name % 7
    );
    Raw::read(text.into()).unwrap()
}

#[test]
fn a_million_changes_of_ten_thousand_objects_leave_no_more_than_ten_thousand() {
    let texts = Arc::new(Interner::default());
    let shared = texts.clone();
    let project = move |object: &Object<'_>| Ok(object.labels().first().map(|(_, hash)| shared.intern(hash)));
    let store: Arc<Store<Arc<str>>> = Store::new(Interest::in_all(thing(), "churn").queue(100), project);
    let mut feed = Feed::new("");
    assert!(!feed.link(1, store.clone()));
    feed.begin();
    assert!(feed.complete().is_empty());
    let mut rng = kiban_base::rng::Rng::new(1);
    let (mut most_texts, mut most_bytes) = (0, 0);
    for revision in 0..1_000_000 {
        // Names are new all the time, as those of pods are: a window over them moves on.
        let name = revision / 100 + rng.below(KEYS);
        if rng.chance(0.5) {
            feed.set(&raw(name, revision))
        } else {
            feed.gone(&raw(name, revision))
        }
        if revision % 100 == 0 && revision > 0 {
            feed.gone(&raw(revision / 100 - 1, revision));
        }
        most_texts = most_texts.max(texts.len());
        most_bytes = most_bytes.max(feed.index().bytes());
    }
    let (held, stats) = (feed.index().len(), store.stats());
    assert!(held as u64 <= KEYS && stats.objects == held as u64, "{held} {stats:?}");
    assert!(most_texts <= 2 * KEYS as usize + 1_024, "{most_texts} texts");
    assert!(most_bytes < 3_000_000, "{most_bytes} bytes of index");
    assert!(stats.bytes < 150 * KEYS, "{stats:?}");
    assert_eq!((stats.queued, stats.resyncs), (0, 0), "before it is synced, nothing is queued");
    feed.clear();
    assert_eq!((store.stats().objects, store.stats().bytes), (0, 0));
    texts.sweep();
    assert!(texts.is_empty());
}
