//! One thing at a time.

use super::*;

async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

fn calm() -> World {
    let world = World::new(Nature { streams: true, ..Nature::default() }, 1);
    for (namespace, name, v, label) in
        [("n0", "a", 1, "a"), ("n0", "b", 2, "b"), ("n1", "a", 3, "a"), ("n1", "c", 4, "a")]
    {
        world.put(namespace, name, v, label);
    }
    world
}

/// Requests for objects, without the numbers in them.
fn requests(world: &World) -> Vec<String> {
    let all = world.take_requests().into_iter().filter(|r| r.contains("things"));
    all.map(|r| {
        let r = r.trim_start_matches("/apis/example.com/v1/").to_string();
        let word = |w: &str| match w.split_once('=') {
            Some(("timeoutSeconds", _)) => None,
            Some(("resourceVersion", _)) => Some("resourceVersion=N".to_string()),
            _ => Some(w.to_string()),
        };
        r.split('&').filter_map(word).collect::<Vec<_>>().join("&")
    })
    .collect()
}

const STREAMED: &str =
    "things?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
const RESUMED: &str = "things?watch=true&allowWatchBookmarks=true&resourceVersion=N";

#[test]
fn one_watch_serves_all_who_ask_and_ends_with_the_last() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut all: Vec<Replay> = (0..3).map(|i| Replay::new(&cache, interest(i))).collect();
        all[0].subscription.synced().await;
        settle().await;
        all.iter_mut().for_each(|r| r.check(&world));
        assert_eq!(requests(&world), [STREAMED]);
        all.truncate(1);
        settle().await;
        assert_eq!((world.open(), cache.stats().kinds[0].subscribers.len()), (1, 1));
        all.clear();
        settle().await;
        assert_eq!(world.open(), 0);
        // Who comes after that starts anew.
        let mut again = Replay::new(&cache, interest(0));
        settle().await;
        again.check(&world);
    });
}

#[test]
fn a_list_is_read_page_by_page_where_the_server_does_not_stream_it() {
    run(async {
        let world = calm();
        world.set_nature(Nature::default());
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut one = Replay::new(&cache, interest(0));
        settle().await;
        one.check(&world);
        let asked = requests(&world);
        assert_eq!(asked[0], STREAMED);
        assert_eq!(asked[1], "things?limit=500");
        assert!(asked[2].starts_with("things?limit=500&continue="), "{asked:?}");
        assert_eq!(asked[3..], [RESUMED]);
    });
}

#[test]
fn a_server_that_ignores_what_it_does_not_know_is_asked_page_by_page() {
    run(async {
        let world = calm();
        world.set_nature(Nature { ignores: true, ..Nature::default() });
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut one = Replay::new(&cache, interest(0));
        tokio::time::sleep(Duration::from_secs(40)).await;
        one.check(&world);
        let mut later = Replay::new(&cache, interest(0));
        settle().await;
        later.check(&world);
        let asked = requests(&world);
        let streamed = asked.iter().filter(|r| r.contains("sendInitialEvents")).count();
        assert_eq!(streamed, 1, "{asked:?}");
    });
}

#[test]
fn a_newcomer_lists_for_itself_and_disturbs_nobody() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut first = Replay::new(&cache, interest(0));
        settle().await;
        first.read(usize::MAX);
        requests(&world);
        let mut second = Replay::new(&cache, interest(2));
        settle().await;
        assert_eq!(requests(&world), [format!("namespaces/n0/{STREAMED}")]);
        assert!(first.subscription.try_next().is_none());
        world.put("n0", "d", 7, "a");
        settle().await;
        first.check(&world);
        second.check(&world);
        assert_eq!((world.open(), cache.stats().kinds[0].joins), (1, 1));
    });
}

#[test]
fn after_a_gap_only_differences_are_told() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut one = cache.subscribe(interest(0), value);
        settle().await;
        while one.try_next().is_some() {}
        world.put("n0", "a", 9, "a");
        // A change that the projection does not see.
        world.put("n0", "b", 2, "a");
        world.remove("n1", "c");
        world.forget();
        settle().await;
        let deltas: Vec<Delta<u64>> = std::iter::from_fn(|| one.try_next()).collect();
        let set = Delta::Set { key: Key::new("n0", "a"), old: Some(Arc::new(1)), new: Arc::new(9) };
        let gone = Delta::Gone { key: Key::new("n1", "c"), old: Arc::new(4) };
        assert_eq!(deltas, [set, gone]);
        assert_eq!(cache.stats().kinds[0].lists, 2);
    });
}

#[test]
fn who_falls_behind_is_told_to_start_over_and_holds_up_nobody() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut slow = Replay::new(&cache, Interest::in_all(thing(), "slow").queue(10));
        let mut quick = Replay::new(&cache, Interest::in_all(thing(), "quick").queue(10));
        settle().await;
        slow.read(usize::MAX);
        for i in 0..1_000_u64 {
            world.put("n0", &format!("x{}", i % 50), 100 + i, "a");
            tokio::time::sleep(Duration::from_millis(5)).await;
            quick.read(usize::MAX);
        }
        let stats = slow.subscription.stats();
        assert_eq!((stats.resyncs, stats.queued), (1, 0));
        assert_eq!(quick.subscription.stats().resyncs, 0);
        slow.check(&world);
        quick.check(&world);
        // Who reads snapshots alone falls behind nothing.
        let reader = cache.subscribe(Interest::in_all(thing(), "reader").queue(0), value);
        settle().await;
        world.put("n0", "y", 1, "a");
        settle().await;
        assert_eq!(reader.get("n0", "y").as_deref(), Some(&1));
        assert_eq!(reader.stats().resyncs, 0);
    });
}

#[test]
fn a_kind_that_comes_later_is_noticed_and_one_that_goes_takes_its_objects_along() {
    run(async {
        let world = calm();
        world.set_kind(false);
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut one = Replay::new(&cache, interest(0));
        one.subscription.synced().await;
        assert_eq!(one.subscription.state(), KindState::Absent);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let asked = world.take_requests().len();
        assert!(asked < 2 * 3_600 / 10, "{asked} requests in an hour for a kind that is not there");
        world.set_kind(true);
        world.put("n0", "a", 1, "a");
        tokio::time::sleep(Duration::from_secs(20)).await;
        one.check(&world);
        assert_eq!(one.subscription.state(), KindState::Watching);
        assert_eq!(one.values.len(), 1);
        world.set_kind(false);
        tokio::time::sleep(Duration::from_secs(20)).await;
        one.check(&world);
        assert_eq!((one.subscription.state(), one.values.len()), (KindState::Absent, 0));
    });
}

#[test]
fn who_may_not_look_everywhere_has_a_watch_a_namespace() {
    run(async {
        let world = calm();
        world.permit(Some(&["n0", "n1"]));
        let cache = Cache::new(world.cluster(1), Options { namespace_watches: 1, ..Options::default() });
        let mut named = Replay::new(&cache, interest(3));
        settle().await;
        named.check(&world);
        let mut asked = requests(&world);
        asked.sort();
        assert_eq!(
            asked,
            [format!("namespaces/n0/{STREAMED}"), format!("namespaces/n1/{STREAMED}"), STREAMED.into()]
        );
        let mut all = Replay::new(&cache, interest(0));
        settle().await;
        assert!(!all.subscription.is_synced());
        let KindState::BackingOff { why, .. } = all.subscription.state() else { panic!("not refused") };
        assert_eq!(why, "Forbidden: things.example.com is forbidden");
        // With the permission one watch takes the place of three, and nothing is told twice.
        world.permit(None);
        world.put("n0", "a", 8, "a");
        tokio::time::sleep(Duration::from_secs(60)).await;
        all.check(&world);
        named.check(&world);
        assert_eq!((world.open(), named.resyncs), (1, 1));
    });
}

#[test]
fn few_namespaces_are_watched_one_by_one_until_somebody_wants_all() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut named = Replay::new(&cache, interest(3));
        settle().await;
        named.check(&world);
        assert_eq!(world.open(), 2);
        world.remove("n0", "b");
        let mut all = Replay::new(&cache, interest(0));
        settle().await;
        named.check(&world);
        all.check(&world);
        assert_eq!((world.open(), named.resyncs), (1, 1));
    });
}

#[test]
fn the_server_is_told_a_selector_only_while_all_agree() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut one = Replay::new(&cache, interest(4));
        settle().await;
        assert_eq!(requests(&world), [format!("{STREAMED}&labelSelector=l=a")]);
        let mut all = Replay::new(&cache, interest(0));
        settle().await;
        assert_eq!(requests(&world), [STREAMED]);
        world.put("n0", "a", 1, "b");
        settle().await;
        one.check(&world);
        all.check(&world);
    });
}

#[test]
fn pauses_grow_and_are_the_same_for_the_same_seed() {
    let pauses = |seed: u64| {
        run(async {
            let world = World::new(Nature { busy: 1, ..Nature::default() }, 3);
            let cache = Cache::new(world.cluster(seed), Options { seed, ..Options::default() });
            let one = Replay::new(&cache, interest(0));
            tokio::time::sleep(Duration::from_secs(120)).await;
            let KindState::BackingOff { pause, .. } = one.subscription.state() else { panic!("no trouble") };
            (pause, cache.stats().kinds[0].troubles)
        })
    };
    let (pause, troubles) = pauses(5);
    assert_eq!((pause, troubles), pauses(5));
    assert_ne!(pause, pauses(6).0);
    assert!(pause >= Duration::from_secs(4) && pause <= Duration::from_secs(8), "{pause:?}");
    assert!((18..60).contains(&troubles), "{troubles}");
}

#[test]
fn an_object_that_cannot_be_read_is_left_out_and_counted() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let mut one = Replay::new(&cache, interest(0));
        let panics = cache.subscribe::<u64>(Interest::in_all(thing(), "panics"), |object| {
            assert!(object.name() != "a", "a defect");
            Ok(Some(1))
        });
        settle().await;
        world.put("n0", "a", 13, "a");
        settle().await;
        one.check(&world);
        assert_eq!(one.subscription.stats().bad, 1);
        assert_eq!((panics.stats().bad, panics.snapshot().len()), (3, 2));
    });
}

#[test]
fn figures_say_how_it_is() {
    run(async {
        let world = calm();
        let cache = Cache::new(world.cluster(1), Options::default());
        let one = Replay::new(&cache, interest(0));
        settle().await;
        world.clock.advance(Duration::from_secs(60));
        world.put("n0", "a", 6, "a");
        settle().await;
        let stats = cache.stats().kinds.remove(0);
        assert_eq!((stats.objects, stats.events, stats.lists, stats.watches), (4, 1, 1, 1));
        assert_eq!(stats.state, KindState::Watching);
        assert_eq!(
            stats.lag(stats.last_event.unwrap() + Duration::from_secs(9)),
            Some(Duration::from_secs(9))
        );
        assert!(stats.bytes_read > 500);
        let mine = &stats.subscribers[0];
        assert_eq!((mine.name.as_str(), mine.objects, mine.synced), ("test", 3, true));
        // Each has its value, its key, and its place in the tree and in the index.
        assert_eq!(mine.bytes, 3 * (size_of::<Seen>() as u64 + "n0/a".len() as u64 + 16 + 96));
        assert!(stats.bytes >= 4 * 33, "{stats:?}");
        assert_eq!(stats.total_bytes(), stats.bytes + mine.bytes);
        drop(one);
    });
}

#[test]
fn labels_and_fields_are_read_without_the_rest() {
    let bytes = br#"{"kind":"Pod","metadata":{"name":"p","namespace":"n","resourceVersion":"9","labels":{"a":"b","c\u002fd":"e\"f"}},
        "status":{"phase":"Run\u006eing","n":7}}"#;
    let raw = crate::watch::raw::Raw::read(bytes.as_slice().into()).unwrap();
    let key = Key::new("n", "p");
    let object = Object::new(&raw, &key);
    let labels: Vec<(&str, &str)> = object.labels().iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(labels, [("a", "b"), ("c/d", "e\"f")]);
    assert_eq!(object.text(&["status", "phase"]).as_deref(), Some("Running"));
    assert_eq!(object.text(&["status", "n"]), None);
    assert_eq!(object.field(&["status", "n"]), Some(b"7".as_slice()));
    assert_eq!((object.revision(), key.namespace(), key.name()), ("9", "n", "p"));
}
