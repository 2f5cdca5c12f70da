//! The cache against an API server that misbehaves, in virtual time.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use world::{Nature, World};

mod churn;
mod embedded;
mod scripted;
mod world;

fn thing() -> Gvk {
    Gvk { group: "example.com".into(), version: "v1".into(), kind: "Thing".into() }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut hex = || char::from(bytes.next().unwrap()).to_digit(16).unwrap();
        out.push(if byte == b'%' { u8::try_from(hex() * 16 + hex()).unwrap() } else { byte });
    }
    String::from_utf8(out).unwrap()
}

/// Runs in virtual time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let out = test.await;
        // Whoever was dropped has a moment to end.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "a task outlives its subscribers");
        out
    })
}

/// What the tests keep of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    v: u64,
    /// The server's revisions are numbers, which the cache does not know.
    revision: u64,
}

impl Footprint for Seen {}

/// The value of an object with its revision, so that each state is told apart.
fn seen(object: &Object<'_>) -> Projected<Seen> {
    let revision = object.revision().parse().unwrap();
    Ok(value(object)?.map(|v| Seen { v, revision }))
}

/// The value of an object; objects of value 3 do not count, those of 13 cannot be read.
fn value(object: &Object<'_>) -> Projected<u64> {
    #[derive(Deserialize)]
    struct Thing {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        v: u64,
    }
    let thing: Thing = object.read().map_err(|e| e.to_string())?;
    match thing.data.v {
        3 => Ok(None),
        13 => Err("unlucky".into()),
        v => Ok(Some(v)),
    }
}

fn text<'a>(values: impl Iterator<Item = (&'a Key, &'a Arc<Seen>)>) -> BTreeMap<String, u64> {
    values.map(|(key, seen)| (key.to_string(), seen.v)).collect()
}

/// A subscriber that replays what it is told.
struct Replay {
    subscription: Subscription<Seen>,
    interest: Interest,
    values: BTreeMap<String, u64>,
    /// The last revision that was told, by object.
    last: BTreeMap<String, u64>,
    synced: u32,
    resyncs: u64,
}

impl Replay {
    fn new(cache: &Cache, interest: Interest) -> Self {
        let subscription = cache.subscribe(interest.clone(), seen);
        let (values, last) = (BTreeMap::new(), BTreeMap::new());
        Self { subscription, interest, values, last, synced: 0, resyncs: 0 }
    }

    /// Reads up to `most` deltas, and checks that each fits what is known.
    fn read(&mut self, most: usize) {
        for _ in 0..most {
            match self.subscription.try_next() {
                None => return,
                Some(Delta::Set { key, old, new }) => {
                    let before = self.values.insert(key.to_string(), new.v);
                    assert_eq!(before, old.map(|o| o.v), "{key}");
                    let last = self.last.insert(key.to_string(), new.revision);
                    assert!(last < Some(new.revision), "{key} is told of {} after {last:?}", new.revision);
                }
                Some(Delta::Gone { key, old }) => assert_eq!(self.values.remove(key.as_str()), Some(old.v)),
                Some(Delta::Resync(snapshot)) => {
                    self.values = text(snapshot.iter());
                    for (key, seen) in snapshot.iter() {
                        let last = self.last.insert(key.to_string(), seen.revision);
                        assert!(
                            last <= Some(seen.revision),
                            "{key} goes back to {} from {last:?}",
                            seen.revision
                        );
                    }
                    self.resyncs += 1;
                }
                Some(Delta::Synced) => {
                    assert_eq!(self.resyncs, 1, "synced comes second");
                    self.synced += 1;
                }
            }
        }
    }

    fn wanted(&self, world: &World) -> BTreeMap<String, u64> {
        world.contents(|object| {
            let namespace = object["metadata"]["namespace"].as_str().unwrap();
            let value = object["data"]["v"].as_u64().unwrap();
            let labels = &object["metadata"]["labels"];
            self.interest.covers(namespace)
                && self.interest.labels.matches(labels)
                && value != 3
                && value != 13
        })
    }

    /// After things came to rest: store, server and replay are one.
    fn check(&mut self, world: &World) {
        assert!(self.subscription.is_synced(), "{:?}", self.subscription.state());
        let snapshot = self.subscription.snapshot();
        assert_eq!(
            text(snapshot.iter()),
            self.wanted(world),
            "the store is not what the server has: {:?}",
            self.interest
        );
        self.read(usize::MAX);
        assert_eq!(self.values, self.wanted(world), "the deltas do not lead to what the server has");
        assert_eq!(self.synced, 1);
        let stats = self.subscription.stats();
        assert_eq!(stats.objects as usize, self.values.len());
        assert_eq!(stats.resyncs + 1, self.resyncs);
        for namespace in ["n0", "n1", "n2"] {
            let within = text(snapshot.within(namespace));
            assert!(within.iter().all(|(key, _)| key.starts_with(&format!("{namespace}/"))));
            assert_eq!(
                within.len(),
                self.values.keys().filter(|k| k.starts_with(&format!("{namespace}/"))).count()
            );
        }
    }
}

fn interest(kind: u32) -> Interest {
    let all = Interest::in_all(thing(), "test");
    match kind % 7 {
        0 | 1 => all,
        2 => all.within(["n0"]),
        3 => all.within(["n0", "n1"]),
        4 => all.with_labels("l=a").unwrap(),
        5 => all.with_labels("l in (a, b)").unwrap().within(["n2"]).queue(3),
        _ => all.queue(2),
    }
}

/// What happens in a run.
#[derive(Debug, Clone)]
enum Act {
    Write(u8),
    Wait(u16),
    Come(u32),
    Go(usize),
    Read(usize, usize),
    Forget,
    Permit(u8),
    Kind(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (1..6_u8).prop_map(Act::Write),
        8 => prop_oneof![0..8_u16, 0..400_u16, 0..9_000_u16].prop_map(Act::Wait),
        3 => any::<u32>().prop_map(Act::Come),
        1 => any::<usize>().prop_map(Act::Go),
        4 => (any::<usize>(), 0..20_usize).prop_map(|(who, n)| Act::Read(who, n)),
        1 => Just(Act::Forget),
        1 => (0..4_u8).prop_map(Act::Permit),
        1 => any::<bool>().prop_map(Act::Kind),
    ]
}

async fn play(acts: &[Act], nature: Nature, seed: u64, streamed: bool) {
    let world = World::new(nature, seed);
    (0..10).for_each(|_| world.write_any());
    let cache = Cache::new(world.cluster(seed), Options { namespace_watches: 1, streamed, seed });
    let mut replays = vec![Replay::new(&cache, interest(0))];
    for act in acts {
        match act {
            Act::Write(n) => (0..*n).for_each(|_| world.write_any()),
            Act::Wait(ms) => tokio::time::sleep(Duration::from_millis((*ms).into())).await,
            Act::Come(kind) => replays.push(Replay::new(&cache, interest(*kind))),
            Act::Go(who) if replays.len() > 1 => drop(replays.remove(who % replays.len())),
            Act::Go(_) => {}
            Act::Read(who, n) => {
                let at = who % replays.len();
                replays[at].read(*n);
            }
            Act::Forget => world.forget(),
            Act::Permit(0) => world.permit(Some(&["n0", "n1"])),
            Act::Permit(_) => world.permit(None),
            Act::Kind(exists) => world.set_kind(*exists),
        }
    }
    // Things come to rest.
    world.set_nature(Nature { streams: nature.streams, ..Nature::default() });
    world.permit(None);
    world.set_kind(true);
    (0..3).for_each(|_| world.write_any());
    tokio::time::sleep(Duration::from_secs(400)).await;
    replays.iter_mut().for_each(|replay| replay.check(&world));
    // All is quiet: one watch a scope, none more.
    let watches = cache.stats().kinds[0].watches as usize;
    assert_eq!(world.open(), watches);
    (0..20).for_each(|_| world.write_any());
    tokio::time::sleep(Duration::from_secs(1)).await;
    replays.iter_mut().for_each(|replay| replay.check(&world));
    drop(replays);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.open(), 0);
    assert!(cache.stats().kinds.is_empty());
}

proptest! {
    #[test]
    fn stores_and_deltas_lead_to_what_the_server_has_whatever_happens(
        acts in proptest::collection::vec(act(), 0..40),
        (cuts, busy, forgets, writes) in (0..6_u64, 0..8_u64, 0..12_u64, 0..4_u64),
        streams in any::<bool>(),
        streamed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let rare = |n: u64| if n == 1 { 2 } else { n };
        let nature = Nature { cuts: rare(cuts), busy: rare(busy), forgets: rare(forgets), writes, streams, ignores: false };
        run(play(&acts, nature, seed, streamed));
    }
}
