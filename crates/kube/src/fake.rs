//! A small API server behind the transport trait, for tests of what the executor does when things go
//! wrong: it can be told to refuse, to drop connections, and to fall silent.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use http::{Method, Request, Response};
use kiban_base::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::{Chunks, Cluster, Failure, RetryPolicy, Target, Transport};
use crate::object::text_at;

/// A clock that follows the machine's: leases and deadlines of tests last milliseconds.
pub(crate) struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "tests wait for real leases, of milliseconds")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_micros()).unwrap())
    }
}

/// What a rule makes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Answer with this status code and body, and with these seconds as Retry-After.
    Refuse(u16, Value, Option<u64>),
    /// Break the connection before the request is looked at.
    DropBefore,
    /// Do what is asked and break the connection then.
    DropAfter,
    /// Never answer.
    Hang,
}

type Rule = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    revision: u64,
    /// Revision, type, path, object.
    log: Vec<(u64, &'static str, String, Value)>,
    /// Watches from before this revision are told 410.
    oldest: u64,
    requests: Vec<String>,
    /// As whom each of them was sent; empty for who connected.
    senders: Vec<String>,
    rules: Vec<Rule>,
    ready_at_once: bool,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

const KINDS: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "Service", "services", true),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "Pod", "pods", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("batch", "v1", "Job", "jobs", true),
    ("coordination.k8s.io", "v1", "Lease", "leases", true),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations", true),
    ("example.com", "v1", "Thing", "things", true),
];

impl Fake {
    /// A server with the namespaces `default` and `shop-dev`, where Deployments are ready at once.
    pub(crate) fn new() -> Self {
        let fake = Self { state: Arc::default(), changed: watch::Sender::new(0) };
        fake.lock().ready_at_once = true;
        for name in ["default", "shop-dev", "kube-system"] {
            fake.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
        fake
    }

    /// A client of the server, with pauses of milliseconds.
    pub(crate) fn cluster(&self) -> Cluster {
        let retry = RetryPolicy {
            attempts: 4,
            pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(8),
            longest_retry_after: Duration::from_millis(20),
            deadline: Duration::from_millis(300),
        };
        let target = Target { context: Some("fake".into()), server: "http://fake".into() };
        Cluster::over(Box::new(self.clone()), target, Arc::new(RealClock), retry, 7)
    }

    /// Puts an object there as if somebody else had made it.
    pub(crate) fn put(&self, object: Value) {
        let path = path_of(&object);
        let mut state = self.lock();
        let object = complete(&mut state, object);
        store(&mut state, &path, object);
        self.wake(&state);
    }

    /// Changes an object in place, as its controller would.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.lock();
        let mut object = state.objects[path].clone();
        change(&mut object);
        store(&mut state, path, object);
        self.wake(&state);
    }

    /// Removes an object, whoever holds it.
    pub(crate) fn remove(&self, path: &str) {
        let mut state = self.lock();
        remove(&mut state, path);
        self.wake(&state);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// Paths of all objects but the namespaces.
    pub(crate) fn paths(&self) -> Vec<String> {
        let state = self.lock();
        state
            .objects
            .keys()
            .filter(|p| p.contains("/namespaces/") && p.matches('/').count() > 4)
            .cloned()
            .collect()
    }

    /// Every object with its revision: two equal ones mean that nothing was written.
    pub(crate) fn revisions(&self) -> BTreeMap<String, Value> {
        let state = self.lock();
        let revision = |o: &Value| o["metadata"]["resourceVersion"].clone();
        state.objects.iter().map(|(p, o)| (p.clone(), revision(o))).collect()
    }

    /// The requests so far, as `METHOD path?query`; emptied.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        let mut state = self.lock();
        state.senders.clear();
        std::mem::take(&mut state.requests)
    }

    /// All requests so far, each with as whom it was sent.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        let state = self.lock();
        state.requests.iter().cloned().zip(state.senders.iter().cloned()).collect()
    }

    /// How many of the requests since they were last taken are such.
    pub(crate) fn peek_requests(&self, of: impl Fn(&str) -> bool) -> usize {
        self.lock().requests.iter().filter(|r| of(r)).count()
    }

    /// Forgets the past: watches from before now are told 410.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.oldest = state.revision + 1;
        self.wake(&state);
    }

    pub(crate) fn ready_at_once(&self, yes: bool) {
        self.lock().ready_at_once = yes;
    }

    /// Adds a rule; it sees `METHOD path?query` of every request.
    pub(crate) fn rule(&self, rule: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.lock().rules.push(Box::new(rule));
    }

    /// A rule for the first `times` requests that hold all these words.
    pub(crate) fn fault(&self, words: &'static [&'static str], times: usize, fault: Fault) {
        let mut left = times;
        self.rule(move |request| {
            (left > 0 && words.iter().all(|w| request.contains(w))).then(|| {
                left -= 1;
                fault.clone()
            })
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wake(&self, state: &State) {
        self.changed.send_replace(state.revision.max(state.oldest));
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> (u16, Value) {
        let mut state = self.lock();
        let (path, query) = (request.uri().path().to_string(), query(request));
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let answer = match *request.method() {
            Method::GET => get(&state, &path, &query),
            Method::PATCH if body.is_array() => patch(&mut state, &path, &body),
            Method::PATCH => apply(&mut state, &path, &query, body),
            Method::POST => create(&mut state, &path, &query, body),
            Method::PUT => update(&mut state, &path, body),
            Method::DELETE => delete(&mut state, &path, &body),
            _ => status(405, "MethodNotAllowed", "no"),
        };
        self.wake(&state);
        answer
    }

    fn watch(&self, path: String, query: &BTreeMap<String, String>) -> Chunks {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        let selector = query.get("fieldSelector").cloned();
        let receiver = self.changed.subscribe();
        let state = (self.clone(), receiver, from);
        Box::pin(stream::unfold(Some(state), move |state| {
            let (path, selector) = (path.clone(), selector.clone());
            async move {
                let (fake, mut receiver, from) = state?;
                loop {
                    receiver.borrow_and_update();
                    if let Some((line, next)) = fake.next_event(&path, selector.as_deref(), from) {
                        let state = next.map(|next| (fake, receiver, next));
                        return Some((Ok(Bytes::from(line)), state));
                    }
                    receiver.changed().await.ok()?;
                }
            }
        }))
    }

    /// The next line of a watch, and where it goes on.
    fn next_event(&self, path: &str, selector: Option<&str>, from: u64) -> Option<(String, Option<u64>)> {
        let state = self.lock();
        if from + 1 < state.oldest {
            let (_, object) = status(410, "Expired", "too old resource version");
            return Some((json!({"type": "ERROR", "object": object}).to_string() + "\n", None));
        }
        let fits = |p: &str| {
            p.rsplit_once('/').is_some_and(|(c, name)| {
                c == path && selector.is_none_or(|s| s == format!("metadata.name={name}"))
            })
        };
        let (revision, kind, _, object) = state.log.iter().find(|(r, _, p, _)| *r > from && fits(p))?;
        Some((json!({"type": kind, "object": object}).to_string() + "\n", Some(*revision)))
    }
}

impl Transport for Fake {
    fn send(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Result<Response<Chunks>, Failure>> {
        async move {
            // So that a cancelled caller is seen to stop between requests.
            tokio::task::yield_now().await;
            let line = format!("{} {}", request.method(), decode(&request.uri().to_string()));
            let fault = {
                let mut state = self.lock();
                state.requests.push(line.clone());
                let sender = request.headers().get("Impersonate-User").and_then(|v| v.to_str().ok());
                state.senders.push(sender.unwrap_or("").to_owned());
                state.rules.iter_mut().find_map(|rule| rule(&line))
            };
            let broken = || Failure { text: "connection reset by peer".into(), passing: true };
            match fault {
                None => {}
                Some(Fault::DropBefore) => return Err(broken()),
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::DropAfter) => {
                    self.answer(&request);
                    return Err(broken());
                }
                Some(Fault::Refuse(code, body, retry_after)) => {
                    let mut response = Response::builder().status(code);
                    if let Some(seconds) = retry_after {
                        response = response.header("retry-after", seconds);
                    }
                    return Ok(response.body(whole(&body)).unwrap());
                }
            }
            let query = query(&request);
            if query.get("watch").map(String::as_str) == Some("true") {
                return Ok(Response::new(self.watch(request.uri().path().into(), &query)));
            }
            let (code, body) = self.answer(&request);
            Ok(Response::builder().status(code).body(whole(&body)).unwrap())
        }
        .boxed()
    }
}

fn whole(body: &Value) -> Chunks {
    let bytes = Bytes::from(body.to_string());
    Box::pin(stream::iter([Ok(bytes)]))
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex: String = [bytes.next().unwrap(), bytes.next().unwrap()].map(char::from).iter().collect();
            out.push(u8::from_str_radix(&hex, 16).unwrap());
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).unwrap()
}

fn query(request: &Request<Vec<u8>>) -> BTreeMap<String, String> {
    let pairs = request.uri().query().unwrap_or("").split('&').filter_map(|p| p.split_once('='));
    pairs.map(|(k, v)| (k.to_string(), decode(v))).collect()
}

/// A refusal as the API server words it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

/// The path of an object.
pub(crate) fn path_of(object: &Value) -> String {
    let api = object["apiVersion"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap();
    let row = KINDS.iter().find(|(g, v, k, ..)| *k == kind && api.trim_start_matches(&format!("{g}/")) == *v);
    let (group, version, _, plural, namespaced) = row.unwrap();
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let name = object["metadata"]["name"].as_str().unwrap();
    match namespaced {
        true => {
            format!("{root}/namespaces/{}/{plural}/{name}", object["metadata"]["namespace"].as_str().unwrap())
        }
        false => format!("{root}/{plural}/{name}"),
    }
}

fn discovery(core: bool) -> Value {
    let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (group, _, kind, plural, namespaced) in
        KINDS.iter().filter(|(g, _, k, ..)| g.is_empty() == core && *k != "Thing")
    {
        let scope = if *namespaced { "Namespaced" } else { "Cluster" };
        groups.entry(group).or_default().push(
            json!({"resource": plural, "responseKind": {"group": group, "version": "v1", "kind": kind}, "scope": scope}),
        );
    }
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(g, r)| json!({"metadata": {"name": g}, "versions": [{"version": "v1", "resources": r}]}))
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items})
}

fn get(state: &State, path: &str, query: &BTreeMap<String, String>) -> (u16, Value) {
    if path == "/api" || path == "/apis" {
        return (200, discovery(path == "/api"));
    }
    if let Some(object) = state.objects.get(path) {
        return (200, object.clone());
    }
    let plural = path.rsplit('/').next().unwrap();
    if !KINDS.iter().any(|(_, _, _, p, _)| *p == plural) {
        return status(404, "NotFound", &format!("{path} not found"));
    }
    let all_namespaces = path.matches('/').count() == 3;
    let fits = |p: &str, o: &Value| {
        let (collection, name) = p.rsplit_once('/').unwrap();
        let here = collection == path || (all_namespaces && collection.ends_with(&format!("/{plural}")));
        let named = query.get("fieldSelector").is_none_or(|s| *s == format!("metadata.name={name}"));
        let labelled = query.get("labelSelector").is_none_or(|s| {
            let (key, value) = s.split_once('=').unwrap();
            o["metadata"]["labels"][key] == *value
        });
        here && named && labelled
    };
    let items: Vec<&Value> = state.objects.iter().filter(|(p, o)| fits(p, o)).map(|(_, o)| o).collect();
    (200, json!({"metadata": {"resourceVersion": state.revision.to_string()}, "items": items}))
}

fn namespace_of(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/namespaces/")?;
    rest.split_once('/').map(|(namespace, _)| namespace)
}

fn no_namespace(state: &State, path: &str) -> Option<(u16, Value)> {
    let namespace = namespace_of(path)?;
    let known = state.objects.contains_key(&format!("/api/v1/namespaces/{namespace}"));
    (!known).then(|| status(404, "NotFound", &format!("namespaces \"{namespace}\" not found")))
}

/// The values that count for ownership, by path; lists are one value.
fn leaves(value: &Value, at: &str, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(k, v)| leaves(v, &format!("{at}\u{1}{k}"), out));
        }
        _ => drop(out.insert(at.to_string(), value.clone())),
    }
}

fn set(object: &mut Value, path: &str, value: Option<Value>) {
    let mut steps: Vec<&str> = path.split('\u{1}').skip(1).collect();
    let last = steps.pop().unwrap();
    let mut at = object;
    for step in steps {
        if !at[step].is_object() {
            at[step] = json!({});
        }
        at = &mut at[step];
    }
    match value {
        Some(value) => at[last] = value,
        None => drop(at.as_object_mut().unwrap().remove(last)),
    }
}

fn owned(object: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .map(|e| {
            let fields = e["fieldsV1"].as_object().unwrap().keys().cloned().collect();
            (e["manager"].as_str().unwrap().to_string(), fields)
        })
        .collect()
}

fn dotted(path: &str) -> String {
    path.replace('\u{1}', ".")
}

/// Server-side apply, as far as the tests need it: values are owned by path, lists whole.
fn apply(state: &mut State, path: &str, query: &BTreeMap<String, String>, body: Value) -> (u16, Value) {
    if let Some(missing) = no_namespace(state, path) {
        return missing;
    }
    let (manager, force) = (query["fieldManager"].clone(), query.contains_key("force"));
    let live = state.objects.get(path).cloned();
    let wanted_revision = body["metadata"]["resourceVersion"].clone();
    if let Some(live) = &live
        && !wanted_revision.is_null()
        && live["metadata"]["resourceVersion"] != wanted_revision
    {
        return status(409, "Conflict", "the object has been modified");
    }
    let mut wanted = BTreeMap::new();
    leaves(&body, "", &mut wanted);
    wanted.retain(|p, _| {
        !["apiVersion", "kind", "metadata\u{1}name", "metadata\u{1}namespace", "metadata\u{1}resourceVersion"]
            .contains(&p.trim_start_matches('\u{1}'))
    });
    let base = json!({"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": body["metadata"]["name"]}});
    let mut object = live.clone().unwrap_or(base);
    if let Some(namespace) = namespace_of(path) {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let mut owners = owned(&object);
    let mut have = BTreeMap::new();
    leaves(&object, "", &mut have);
    let mut causes = Vec::new();
    for (field, value) in &wanted {
        for (other, fields) in owners.iter_mut().filter(|(m, _)| **m != manager) {
            if fields.contains(field) && have.get(field) != Some(value) {
                causes.push(json!({"reason": "FieldManagerConflict", "field": dotted(field),
                    "message": format!("conflict with \"{other}\" using v1")}));
                fields.remove(field);
            }
        }
    }
    if !causes.is_empty() && !force {
        let (code, mut refusal) =
            status(409, "Conflict", &format!("Apply failed with {} conflicts", causes.len()));
        refusal["details"] = json!({"causes": causes});
        return (code, refusal);
    }
    for gone in owners.get(&manager).cloned().unwrap_or_default() {
        let others = owners.iter().any(|(m, f)| *m != manager && f.contains(&gone));
        if !wanted.contains_key(&gone) && !others {
            set(&mut object, &gone, None);
        }
    }
    wanted.iter().for_each(|(field, value)| set(&mut object, field, Some(value.clone())));
    owners.insert(manager, wanted.into_keys().collect());
    let fields =
        |f: &BTreeSet<String>| f.iter().map(|p| (p.clone(), json!({}))).collect::<serde_json::Map<_, _>>();
    let before = object["metadata"]["managedFields"].clone();
    let operation = |m: &String| {
        let known = before.as_array().into_iter().flatten().find(|e| e["manager"] == **m);
        known.map_or(json!("Apply"), |e| e["operation"].clone())
    };
    let entries: Vec<Value> = owners
        .iter()
        .filter(|(_, f)| !f.is_empty())
        .map(|(m, f)| json!({"manager": m, "operation": operation(m), "apiVersion": "v1", "fieldsV1": fields(f)}))
        .collect();
    object["metadata"]["managedFields"] = json!(entries);
    if live.as_ref() == Some(&object) {
        return (200, object);
    }
    let code = if live.is_some() { 200 } else { 201 };
    if query.contains_key("dryRun") {
        return (code, object);
    }
    let object = complete(state, object);
    (code, store(state, path, object))
}

/// A JSON patch of replacements at two steps.
fn patch(state: &mut State, path: &str, body: &Value) -> (u16, Value) {
    let mut object = state.objects[path].clone();
    for step in body.as_array().unwrap() {
        let at = step["path"].as_str().unwrap();
        if at.ends_with("/resourceVersion") && *object.pointer(at).unwrap() != step["value"] {
            return status(409, "Conflict", "the object has been modified");
        }
        *object.pointer_mut(at).unwrap() = step["value"].clone();
    }
    (200, store(state, path, object))
}

fn complete(state: &mut State, mut object: Value) -> Value {
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = json!(format!("uid-{}", state.revision + 1));
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    if object["kind"] == "Deployment" {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        object["metadata"]["generation"] = json!(generation);
        if state.ready_at_once {
            make_ready(&mut object);
        }
    }
    if object["kind"] == "CustomResourceDefinition" {
        object["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
    }
    object
}

/// Gives a Deployment the status of one whose rollout is over.
pub(crate) fn make_ready(object: &mut Value) {
    let n = object["spec"]["replicas"].as_i64().unwrap_or(1);
    object["status"] = json!({"observedGeneration": object["metadata"]["generation"], "replicas": n,
        "updatedReplicas": n, "readyReplicas": n, "availableReplicas": n,
        "conditions": [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]});
}

fn store(state: &mut State, path: &str, mut object: Value) -> Value {
    state.revision += 1;
    object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
    let before = state.objects.insert(path.into(), object.clone());
    let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
    state.log.push((state.revision, kind, path.into(), object.clone()));
    object
}

fn remove(state: &mut State, path: &str) {
    state.revision += 1;
    if let Some(object) = state.objects.remove(path) {
        state.log.push((state.revision, "DELETED", path.into(), object));
    }
}

fn create(state: &mut State, path: &str, query: &BTreeMap<String, String>, body: Value) -> (u16, Value) {
    if let Some(missing) = no_namespace(state, path) {
        return missing;
    }
    let at = format!("{path}/{}", text_at(&body, &["metadata", "name"]).unwrap());
    if state.objects.contains_key(&at) {
        return status(409, "AlreadyExists", "already exists");
    }
    let object = complete(state, body);
    if query.contains_key("dryRun") {
        return (201, object);
    }
    (201, store(state, &at, object))
}

fn update(state: &mut State, path: &str, body: Value) -> (u16, Value) {
    let Some(live) = state.objects.get(path) else { return status(404, "NotFound", "not found") };
    if live["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
        return status(409, "Conflict", "the object has been modified");
    }
    (200, store(state, path, body))
}

fn delete(state: &mut State, path: &str, options: &Value) -> (u16, Value) {
    let Some(live) = state.objects.get(path).cloned() else { return status(404, "NotFound", "not found") };
    for field in ["uid", "resourceVersion"] {
        let wanted = &options["preconditions"][field];
        if !wanted.is_null() && *wanted != live["metadata"][field] {
            return status(409, "Conflict", "precondition failed");
        }
    }
    if live["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty()) {
        let mut live = live;
        live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        return (200, store(state, path, live));
    }
    remove(state, path);
    (200, json!({"kind": "Status", "status": "Success"}))
}
