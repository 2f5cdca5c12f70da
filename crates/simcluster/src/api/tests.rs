//! The API over a cluster whose controllers run: evictions, and pages of lists while objects change.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use super::*;
use crate::controllers::tests::{World, counts, workload};
use crate::kind::well_known::*;

mod custom;

pub(super) struct Client {
    api: Arc<Api>,
    runtime: tokio::runtime::Runtime,
    _trigger: kiban_runtime::shutdown::Trigger,
}

impl Client {
    pub(super) fn new(world: &World) -> Self {
        let (trigger, shutdown) = kiban_runtime::shutdown::channel();
        let api = Arc::new(Api::new(world.cluster.clone(), String::new(), shutdown));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { api, runtime, _trigger: trigger }
    }

    /// Code and JSON of the answer.
    pub(super) fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.send(method, path, "application/json", body)
    }

    pub(super) fn patch(&self, path: &str, media: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, path, media, body)
    }

    /// A server-side apply; the query names the manager.
    pub(super) fn apply(&self, path: &str, query: &str, config: &Value) -> (u16, Value) {
        self.patch(&format!("{path}?{query}"), "application/apply-patch+yaml", config)
    }

    fn send(&self, method: Method, path: &str, media: &str, body: &Value) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let call = Call {
            method,
            params: Params::parse(query).unwrap(),
            accept: Accept::parse("application/json").unwrap(),
            user_agent: "test/1".into(),
            content_type: media.into(),
            user: super::login::administrator(),
            customs: self.api.cluster.customs(),
            body: if body.is_null() { bytes::Bytes::new() } else { body.to_string().into() },
        };
        self.runtime.block_on(async {
            match self.api.dispatch(path::parse(path, &self.api.cluster.customs()).unwrap(), call).await {
                Ok(answer) => {
                    let code = answer.status().as_u16();
                    let bytes = answer.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                    (code, serde_json::from_slice(&bytes).unwrap())
                }
                Err(e) => (e.code, e.to_status()),
            }
        })
    }

    fn evict(&self, pod: &str) -> (u16, Value) {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"},
        });
        self.call(Method::POST, &format!("/api/v1/namespaces/default/pods/{pod}/eviction"), &eviction)
    }
}

fn guarded(replicas: i64, budget: &Value, annotations: &Value) -> World {
    let mut world = World::realistic(2);
    let mut web = workload("web", replicas, &json!({}));
    web["spec"]["template"]["metadata"]["annotations"] = annotations.clone();
    world.create(*REPLICA_SET, web);
    let mut spec = json!({"selector": {"matchLabels": {"app": "web"}}});
    for (field, value) in budget.as_object().unwrap() {
        spec[field] = value.clone();
    }
    world.create(*PDB, json!({"metadata": {"name": "web"}, "spec": spec}));
    world.secs(60);
    world
}

#[test]
fn of_two_evictions_with_one_allowed_the_second_is_told_to_wait() {
    let mut world = guarded(3, &json!({"minAvailable": 2}), &json!({}));
    let client = Client::new(&world);
    let pods = world.names(*POD);
    assert_eq!(client.evict(&pods[0]).0, 201);
    // No controller ran in between.
    let (code, status) = client.evict(&pods[1]);
    assert_eq!((code, &status["reason"]), (429, &json!("TooManyRequests")));
    assert_eq!(status["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
    assert_eq!(world.active_pods().len(), 2);
    world.secs(60);
    assert_eq!(counts(&world.get(*PDB, "web"), ["currentHealthy", "disruptionsAllowed"]), [3, 1]);
    assert_eq!(client.evict(&pods[1]).0, 201, "once the first is replaced");
}

#[test]
fn a_budget_that_was_not_looked_at_yet_lets_nothing_go() {
    let world = guarded(3, &json!({"minAvailable": 1}), &json!({}));
    let client = Client::new(&world);
    world.change(*PDB, "web", |b| b["spec"]["minAvailable"] = 3.into());
    let (code, status) = client.evict(&world.names(*POD)[0]);
    assert_eq!(code, 429);
    let text = "The disruption budget web is still being processed by the server.";
    assert_eq!(status["details"]["causes"][0]["message"], text);
    assert_eq!(status["details"]["retryAfterSeconds"], 10);
}

#[test]
fn unready_pods_are_evicted_as_the_policy_says() {
    let unready = json!({"sim.kiban.dev/unready": "true"});
    let table = [
        (json!({"minAvailable": 1}), 429),
        (json!({"minAvailable": 1, "unhealthyPodEvictionPolicy": "IfHealthyBudget"}), 429),
        (json!({"minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}), 201),
    ];
    for (budget, code) in table {
        let world = guarded(2, &budget, &unready);
        let client = Client::new(&world);
        assert_eq!(client.evict(&world.names(*POD)[0]).0, code, "{budget}");
    }
    // Enough others are healthy: then an unready one may go, and costs nothing.
    let mut world = guarded(3, &json!({"minAvailable": 2}), &json!({}));
    let client = Client::new(&world);
    let name = world.names(*POD)[0].clone();
    world.change(*POD, &name, |p| p["metadata"]["annotations"]["sim.kiban.dev/unready"] = "true".into());
    world.secs(60);
    assert_eq!(counts(&world.get(*PDB, "web"), ["currentHealthy", "disruptionsAllowed"]), [2, 0]);
    assert_eq!(client.evict(&name).0, 201);
}

#[test]
fn pages_are_of_one_revision_whatever_happens_meanwhile() {
    let world = World::fast(0);
    let client = Client::new(&world);
    for n in 0..25 {
        world.create(*SECRET, json!({"metadata": {"name": format!("s{n:02}")}}));
    }
    let list = "/api/v1/namespaces/default/secrets?limit=7";
    let whole: Vec<_> = (0..25).map(|n| format!("s{n:02}")).collect();
    let (mut names, mut token, mut revisions) = (Vec::new(), String::new(), Vec::new());
    for page in 0..4 {
        let path = if token.is_empty() { list.to_owned() } else { format!("{list}&continue={token}") };
        let (code, answer) = client.call(Method::GET, &path, &Value::Null);
        assert_eq!(code, 200);
        let items = answer["items"].as_array().unwrap();
        names.extend(items.iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()));
        revisions.push(answer["metadata"]["resourceVersion"].clone());
        token = answer["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        let left = answer["metadata"]["remainingItemCount"].as_i64();
        assert_eq!(left, [Some(18), Some(11), Some(4), None][page]);
        world.delete(*SECRET, &format!("s{:02}", 24 - page));
        world.create(*SECRET, json!({"metadata": {"name": format!("s{page:02}-late")}}));
    }
    assert!(token.is_empty());
    assert_eq!(names, whole);
    revisions.dedup();
    assert_eq!(revisions.len(), 1);
}

#[test]
fn a_bound_claim_does_not_shrink() {
    let mut world = World::fast(1);
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}});
    world.create(*PERSISTENT_VOLUME_CLAIM, json!({"metadata": {"name": "data"}, "spec": spec}));
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }});
    world.create(*POD, pod);
    world.secs(1);
    let client = Client::new(&world);
    let path = "/api/v1/namespaces/default/persistentvolumeclaims/data";
    let size = |size: &str| {
        let change = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        client.patch(path, "application/merge-patch+json", &change)
    };
    for smaller in ["1Gi", "512Mi"] {
        let (code, answer) = size(smaller);
        assert_eq!(code, 422, "{answer}");
        assert_eq!(
            answer["message"],
            "PersistentVolumeClaim \"data\" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
        );
    }
    let (code, answer) = size("3Gi");
    assert_eq!(code, 200, "{answer}");
}
