//! An API server in memory that lists and watches as the real one does, and misbehaves by seed: it cuts
//! bodies anywhere, forgets its past, refuses, and is busy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response};
use kiban_base::clock::{ManualClock, Timestamp};
use kiban_base::rng::Rng;
use kiban_base::selector::LabelSelector;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::{Chunks, Cluster, Failure, RetryPolicy, Target, Transport};

/// How it misbehaves; each a chance of one in so many, never with 0.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nature {
    /// A body is cut, within its first bytes or later.
    pub(super) cuts: u64,
    /// A request is refused with 429, 500 or 503, or gets no answer.
    pub(super) busy: u64,
    /// The past is forgotten when a request comes.
    pub(super) forgets: u64,
    /// Streamed lists are offered.
    pub(super) streams: bool,
    /// What asks for them is not understood, and left out of account.
    pub(super) ignores: bool,
    /// Something is written while a list is being read: before a page of it, as often.
    pub(super) writes: u64,
}

type Place = (String, String);

#[derive(Clone)]
struct Entry {
    revision: u64,
    old: Option<Arc<Value>>,
    new: Option<Arc<Value>>,
}

struct State {
    nature: Nature,
    rng: Rng,
    kind_exists: bool,
    /// The namespaces that may be looked into; none: the whole cluster.
    only: Option<BTreeSet<String>>,
    objects: BTreeMap<Place, Arc<Value>>,
    revision: u64,
    log: Vec<Entry>,
    oldest: u64,
    /// By list, its revision and its objects.
    pages: BTreeMap<u64, (u64, Vec<Arc<Value>>)>,
    lists: u64,
    requests: Vec<String>,
    open: usize,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub(super) clock: Arc<ManualClock>,
}

/// Counts open watches.
struct Open(World);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

impl World {
    pub(super) fn new(nature: Nature, seed: u64) -> Self {
        let state = State {
            nature,
            rng: Rng::named(seed, "world"),
            kind_exists: true,
            only: None,
            objects: BTreeMap::new(),
            // Revisions are compared as texts nowhere: 9, 10, 99, 100 come early.
            revision: 7,
            log: Vec::new(),
            oldest: 0,
            pages: BTreeMap::new(),
            lists: 0,
            requests: Vec::new(),
            open: 0,
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
        Self { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(0), clock }
    }

    pub(super) fn cluster(&self, seed: u64) -> Cluster {
        let target = Target { context: None, server: "http://world".into() };
        Cluster::over(Box::new(self.clone()), target, self.clock.clone(), RetryPolicy::default(), seed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn set_nature(&self, nature: Nature) {
        self.lock().nature = nature;
    }

    /// Sets an object with a value and one label.
    pub(super) fn put(&self, namespace: &str, name: &str, value: u64, label: &str) {
        self.lock().put(namespace, name, value, label);
        self.wake();
    }

    pub(super) fn remove(&self, namespace: &str, name: &str) {
        self.lock().write((namespace.into(), name.into()), None);
        self.wake();
    }

    /// A write at random.
    pub(super) fn write_any(&self) {
        self.lock().write_any();
        self.wake();
    }

    /// Forgets the past: watches and pages from before now are told 410.
    pub(super) fn forget(&self) {
        self.lock().forget();
        self.wake();
    }

    /// The kind's definition comes or goes; its objects go with it.
    pub(super) fn set_kind(&self, exists: bool) {
        let mut state = self.lock();
        state.kind_exists = exists;
        if !exists {
            let all: Vec<Place> = state.objects.keys().cloned().collect();
            all.into_iter().for_each(|at| state.write(at, None));
            // Watches end, and what comes next is told 404.
            state.log.clear();
            state.oldest = u64::MAX;
        } else {
            state.oldest = state.revision + 1;
        }
        drop(state);
        self.wake();
    }

    pub(super) fn permit(&self, only: Option<&[&str]>) {
        self.lock().only = only.map(|names| names.iter().map(|n| (*n).to_string()).collect());
    }

    /// What there is, as text: name, value, label.
    pub(super) fn contents(&self, wanted: impl Fn(&Value) -> bool) -> BTreeMap<String, u64> {
        let state = self.lock();
        let wanted = state.objects.iter().filter(|(_, o)| wanted(o));
        wanted.map(|((ns, name), o)| (format!("{ns}/{name}"), o["data"]["v"].as_u64().unwrap())).collect()
    }

    pub(super) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().requests)
    }

    /// Watches that are open now.
    pub(super) fn open(&self) -> usize {
        self.lock().open
    }

    fn wake(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Result<(u16, Chunks), Failure> {
        let mut state = self.lock();
        let (path, query) = (request.uri().path().to_string(), query(request));
        state.requests.push(super::decoded(&request.uri().to_string()));
        if let Some(discovery) = state.discovery(&path) {
            return Ok((200, whole(&discovery)));
        }
        let nature = state.nature;
        if state.rng.one_in(nature.forgets) {
            state.forget();
            drop(state);
            self.wake();
            state = self.lock();
        }
        if state.rng.one_in(nature.busy) {
            return match state.rng.below(4) {
                0 => Err(Failure { text: "connection reset by peer".into(), passing: true }),
                n => Ok(refused([429, 500, 503][n as usize - 1], "Busy", "later")),
            };
        }
        if !state.kind_exists {
            return Ok(refused(404, "NotFound", "the server could not find the requested resource"));
        }
        let namespace =
            path.split_once("/namespaces/").map_or("", |(_, rest)| rest.split('/').next().unwrap());
        if state.only.as_ref().is_some_and(|only| !only.contains(namespace)) {
            return Ok(refused(403, "Forbidden", "things.example.com is forbidden"));
        }
        let labels = LabelSelector::parse(query.get("labelSelector").map_or("", String::as_str)).unwrap();
        let filter = Filter { namespace: namespace.into(), labels };
        if !query.contains_key("watch") {
            return Ok(state.list(&filter, &query));
        }
        if query.contains_key("sendInitialEvents") && !nature.streams && !nature.ignores {
            return Ok(refused(422, "Invalid", "sendInitialEvents is forbidden"));
        }
        state.open += 1;
        drop(state);
        Ok((200, self.watch(filter, &query)))
    }

    fn watch(&self, filter: Filter, query: &BTreeMap<String, String>) -> Chunks {
        let mut first = Vec::new();
        let mut from: u64 = query.get("resourceVersion").and_then(|r| r.parse().ok()).unwrap_or(0);
        if query.contains_key("sendInitialEvents") {
            let state = self.lock();
            first.extend(state.matching(&filter).map(|o| line("ADDED", o)));
            from = state.revision;
            let end = json!({"metadata": {"resourceVersion": from.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"}}});
            first.extend((!state.nature.ignores).then(|| line("BOOKMARK", &end)));
        }
        let cut = self.lock().cut();
        let start = (Open(self.clone()), self.changed.subscribe(), from, false);
        let events = stream::unfold(start, move |(open, mut changed, from, over)| {
            let filter = filter.clone();
            async move {
                if over {
                    return None;
                }
                loop {
                    changed.borrow_and_update();
                    if let Some((text, next, over)) = open.0.next_event(&filter, from) {
                        return Some((text, (open, changed, next, over)));
                    }
                    changed.changed().await.ok()?;
                }
            }
        });
        pieces(stream::iter(first).chain(events).boxed(), cut)
    }

    /// The next line of a watch, where it goes on, and whether it ends.
    fn next_event(&self, filter: &Filter, from: u64) -> Option<(String, u64, bool)> {
        let state = self.lock();
        if from + 1 < state.oldest {
            let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
            return Some((line("ERROR", &status), from, true));
        }
        state.log.iter().filter(|e| e.revision > from).find_map(|e| {
            let matching = |o: &Option<Arc<Value>>| o.clone().filter(|o| filter.matches(o));
            let (kind, object) = match (matching(&e.old), matching(&e.new)) {
                (None, None) => return None,
                (None, Some(new)) => ("ADDED", new),
                (Some(_), Some(new)) => ("MODIFIED", new),
                (Some(old), None) => {
                    let mut old = (*old).clone();
                    old["metadata"]["resourceVersion"] = json!(e.revision.to_string());
                    ("DELETED", Arc::new(old))
                }
            };
            Some((line(kind, &object), e.revision, false))
        })
    }
}

impl State {
    fn put(&mut self, namespace: &str, name: &str, value: u64, label: &str) {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "data": {"v": value},
            "metadata": {"managedFields": [{"manager": "a \"}{\\ b"}], "name": name, "namespace": namespace, "labels": {"l": label}}});
        self.write((namespace.into(), name.into()), Some(object));
    }

    fn write_any(&mut self) {
        let (ns, name) = (self.rng.below(3), self.rng.below(12));
        let (ns, name) = (format!("n{ns}"), format!("t{name}"));
        if self.rng.chance(0.3) {
            self.write((ns, name), None);
        } else {
            let (value, label) = (self.rng.below(4), ["a", "b"][self.rng.below(2) as usize]);
            self.put(&ns, &name, value, label);
        }
    }

    fn write(&mut self, at: Place, object: Option<Value>) {
        let old = self.objects.get(&at).cloned();
        if (old.is_none() && object.is_none()) || !self.kind_exists && object.is_some() {
            return;
        }
        // Other kinds are written too: revisions have gaps.
        self.revision += 1 + self.rng.below(3);
        let new = object.map(|mut object| {
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            Arc::new(object)
        });
        match &new {
            Some(new) => drop(self.objects.insert(at, new.clone())),
            None => drop(self.objects.remove(&at)),
        }
        self.log.push(Entry { revision: self.revision, old, new });
    }

    fn forget(&mut self) {
        self.oldest = self.revision + 1;
        self.log.clear();
        self.pages.clear();
    }

    fn discovery(&self, path: &str) -> Option<Value> {
        let items = match path {
            "/api" => {
                json!([{"versions": [{"version": "v1", "resources": [{"resource": "nodes", "responseKind": {"kind": "Node"}, "scope": "Cluster"}]}]}])
            }
            "/apis" if self.kind_exists => {
                json!([{"metadata": {"name": "example.com"}, "versions": [{"version": "v1",
                "resources": [{"resource": "things", "responseKind": {"group": "example.com", "kind": "Thing"}, "scope": "Namespaced"}]}]}])
            }
            "/apis" => json!([]),
            _ => return None,
        };
        Some(json!({"kind": "APIGroupDiscoveryList", "items": items}))
    }

    fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Arc<Value>> {
        self.objects.values().filter(|o| filter.matches(o))
    }

    fn list(&mut self, filter: &Filter, query: &BTreeMap<String, String>) -> (u16, Chunks) {
        let nature = self.nature;
        if self.rng.one_in(nature.writes) {
            self.write_any();
        }
        // Pages of two, whatever is asked for.
        let (list, from) = match query.get("continue") {
            None => {
                let all = self.matching(filter).cloned().collect();
                self.lists += 1;
                let list = self.lists;
                self.pages.insert(list, (self.revision, all));
                (list, 0)
            }
            Some(token) => {
                let (list, from) = token.split_once('/').unwrap();
                (list.parse().unwrap(), from.parse::<usize>().unwrap())
            }
        };
        let Some((revision, all)) = self.pages.get(&list) else {
            return refused(410, "Expired", "the provided continue parameter is too old");
        };
        let items: Vec<&Arc<Value>> = all.iter().skip(from).take(2).collect();
        let next = if from + 2 < all.len() { format!("{list}/{}", from + 2) } else { String::new() };
        let text =
            json!({"metadata": {"resourceVersion": revision.to_string(), "continue": next}, "items": items});
        let (text, cut) = (text.to_string(), self.cut());
        (200, pieces(stream::iter([text]).boxed(), cut))
    }

    /// After how many bytes a body is cut, and whether with an error.
    fn cut(&mut self) -> Option<(usize, bool)> {
        let nature = self.nature;
        let bytes = if self.rng.chance(0.5) { 40 } else { 4_000 };
        self.rng.one_in(nature.cuts).then(|| (self.rng.below(bytes) as usize, self.rng.chance(0.5)))
    }
}

#[derive(Clone)]
struct Filter {
    namespace: String,
    labels: LabelSelector,
}

impl Filter {
    fn matches(&self, object: &Value) -> bool {
        let here = self.namespace.is_empty() || object["metadata"]["namespace"] == *self.namespace;
        here && self.labels.matches(&object["metadata"]["labels"])
    }
}

trait OneIn {
    fn one_in(&mut self, times: u64) -> bool;
}

impl OneIn for Rng {
    fn one_in(&mut self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }
}

impl Transport for World {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Response<Chunks>, Failure>> {
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let (code, body) = self.answer(&request)?;
            Ok(Response::builder().status(code).body(body).unwrap())
        }
        .boxed()
    }
}

fn line(kind: &str, object: &Value) -> String {
    json!({"type": kind, "object": object}).to_string() + "\n"
}

fn whole(body: &Value) -> Chunks {
    let bytes = Bytes::from(body.to_string());
    stream::iter([Ok(bytes)]).boxed()
}

fn refused(code: u16, reason: &str, message: &str) -> (u16, Chunks) {
    (
        code,
        whole(
            &json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}),
        ),
    )
}

/// Texts as odd pieces, each a little later than the last; cut after some bytes.
fn pieces(texts: stream::BoxStream<'static, String>, cut: Option<(usize, bool)>) -> Chunks {
    let pieces = texts.flat_map(|text| {
        let bytes = Bytes::from(text);
        let at: Vec<usize> = (0..bytes.len()).step_by(97).collect();
        stream::iter(at.into_iter().map(move |i| bytes.slice(i..(i + 97).min(bytes.len()))))
            .then(async |piece| {
                tokio::time::sleep(Duration::from_micros(300)).await;
                piece
            })
            .boxed()
    });
    let Some((left, loud)) = cut else { return pieces.map(Ok).boxed() };
    let failure =
        move || loud.then(|| Err(Failure { text: "connection reset by peer".into(), passing: true }));
    pieces
        .scan(Some(left), move |left, piece| {
            let out: Vec<Result<Bytes, Failure>> = match left {
                None => return std::future::ready(None),
                Some(n) if piece.len() <= *n => {
                    *n -= piece.len();
                    vec![Ok(piece)]
                }
                Some(n) => {
                    let last = piece.slice(..*n);
                    *left = None;
                    std::iter::once(Ok(last)).chain(failure()).collect()
                }
            };
            std::future::ready(Some(stream::iter(out)))
        })
        .flatten()
        .boxed()
}

fn query(request: &Request<Vec<u8>>) -> BTreeMap<String, String> {
    let pairs = request.uri().query().unwrap_or("").split('&').filter_map(|p| p.split_once('='));
    pairs.map(|(k, v)| (k.to_string(), super::decoded(v))).collect()
}
