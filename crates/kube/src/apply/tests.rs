//! Applies against a scripted API server, and against the embedded cluster.
#![allow(clippy::unwrap_used)]

mod embedded;
mod harm;
mod migrate;
mod order;
mod stop;
mod waiting;

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::cancel::Canceller;
use crate::fake::{Fake, Fault, status};
use crate::inventory::Inventory;
use crate::inventory::PruneOptions;
use crate::lease::LeaseTimes;
use crate::object::ObjectId;

const INVENTORY: &str = "/api/v1/namespaces/shop-dev/configmaps/kiban-inventory-orders-dev";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop-dev/deployments/orders";

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop-dev"}, "data": {"v": value}})
}

fn deployment(name: &str, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop-dev"},
        "spec": {"replicas": 2, "template": {"image": image}}})
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop-dev"}, "spec": {"port": 80}})
}

/// An app of a Deployment, a Service and two ConfigMaps.
fn shop() -> Vec<Value> {
    vec![deployment("orders", "a:1"), service("orders"), config_map("one", "1"), config_map("two", "2")]
}

fn request(commit: &str, objects: Vec<Value>) -> Request {
    Request {
        app: "orders".into(),
        env: "dev".into(),
        namespace: "shop-dev".into(),
        revision: commit.into(),
        objects,
        ..Request::default()
    }
}

fn options() -> Options {
    Options {
        timeout: Duration::from_millis(400),
        turn_timeout: Duration::from_secs(5),
        lease: LeaseTimes {
            duration: Duration::from_secs(1),
            renew: Duration::from_millis(50),
            look: Duration::from_millis(5),
        },
        ..Options::default()
    }
}

fn id(kind: &str, name: &str) -> ObjectId {
    let group = if kind == "Deployment" { "apps" } else { "" };
    ObjectId { group: group.into(), kind: kind.into(), namespace: "shop-dev".into(), name: name.into() }
}

/// Applies and collects what was told.
async fn run_with(
    fake: &Fake,
    request: &Request,
    options: &Options,
    cancel: &Cancel,
) -> (Result<Report, ApplyError>, Vec<Event>) {
    let events = Mutex::new(Vec::new());
    let result = apply(&fake.cluster(), request, options, cancel, &|e| events.lock().unwrap().push(e)).await;
    (result, events.into_inner().unwrap())
}

async fn run(fake: &Fake, commit: &str, objects: Vec<Value>) -> Result<Report, ApplyError> {
    run_with(fake, &request(commit, objects), &options(), &Cancel::never()).await.0
}

fn outcomes(report: &Report) -> Vec<(String, String)> {
    report.outcomes.iter().map(|(id, o)| (id.short(), o.to_string())).collect()
}

fn inventory(fake: &Fake) -> Inventory {
    Inventory::read(&fake.get(INVENTORY).unwrap()).unwrap()
}

/// The commit of an apply that has not ended.
fn applying(inventory: &Inventory) -> Option<&str> {
    inventory.applying.as_ref().map(|r| r.commit.as_str())
}

/// Requests that write: neither reads nor dry runs.
fn writes(fake: &Fake) -> Vec<String> {
    fake.take_requests().into_iter().filter(|r| is_write(r)).collect()
}

fn is_write(request: &str) -> bool {
    !request.starts_with("GET") && !request.contains("dryRun")
}

/// The cluster's content, without what differs from run to run, for comparing ends.
/// A lease whose holder died stays until the next apply that writes.
fn content(fake: &Fake) -> Vec<(String, Value)> {
    let objects = fake.paths().into_iter().filter(|p| !p.contains("/leases/"));
    objects.map(|p| (p.clone(), crate::object::normalised(&fake.get(&p).unwrap()))).collect()
}

#[tokio::test]
async fn the_first_apply_creates_in_waves_and_records_what_it_did() {
    let fake = Fake::new();
    let report = run(&fake, "c1", shop()).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.count(|o| *o == Outcome::Created), 4);
    let names: Vec<String> = writes(&fake)
        .iter()
        .map(|w| {
            let (method, path) = w.split_once(' ').unwrap();
            format!("{method} {}", path.split('?').next().unwrap().rsplit('/').next().unwrap())
        })
        .collect();
    assert_eq!(names[0], "POST leases");
    assert_eq!(names[1], "POST configmaps", "the inventory");
    assert_eq!(names[4], "PATCH orders", "the Service comes after both ConfigMaps: {names:?}");
    assert_eq!(names[6..], ["PUT kiban-inventory-orders-dev", "DELETE kiban-apply-orders-dev"]);
    let inventory = inventory(&fake);
    assert_eq!((inventory.revision.commit.as_str(), applying(&inventory)), ("c1", None));
    assert_eq!(inventory.objects.len(), 4);
}

#[tokio::test]
async fn a_second_apply_writes_nothing_at_all() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    let before = fake.revisions();
    fake.take_requests();
    let report = run(&fake, "c1", shop()).await.unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Unchanged), 4);
    assert!(report.is_success());
    assert_eq!(writes(&fake), Vec::<String>::new());
    assert_eq!(fake.revisions(), before);
}

#[tokio::test]
async fn a_change_writes_its_object_and_the_inventory_alone() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    let before = fake.revisions();
    let mut objects = shop();
    objects[0] = deployment("orders", "a:2");
    let report = run(&fake, "c2", objects).await.unwrap();
    assert_eq!(report.outcomes[&id("Deployment", "orders")], Outcome::Configured);
    let changed: Vec<String> =
        fake.revisions().into_iter().filter(|(p, r)| before.get(p) != Some(r)).map(|(p, _)| p).collect();
    assert_eq!(changed, [INVENTORY, DEPLOYMENT]);
    assert_eq!(inventory(&fake).revision.commit, "c2");
}

#[tokio::test]
async fn a_new_commit_of_the_same_objects_is_recorded_and_touches_no_object() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    fake.take_requests();
    let report = run(&fake, "c2", shop()).await.unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Unchanged), 4);
    let writes: Vec<String> = writes(&fake).into_iter().filter(|w| !w.contains("leases")).collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].contains("kiban-inventory-orders-dev"), "{writes:?}");
    assert_eq!(inventory(&fake).revision.commit, "c2");
}

#[tokio::test]
async fn busy_servers_and_broken_connections_are_tried_again() {
    let fake = Fake::new();
    let (_, busy) = status(429, "TooManyRequests", "slow down");
    fake.fault(&["PATCH", "dryRun", "/one"], 1, Fault::Refuse(429, busy.clone(), Some(1)));
    fake.fault(&["PATCH", "/two"], 1, Fault::DropBefore);
    fake.fault(&["PATCH", "deployments/orders?", "Strict"], 2, Fault::Refuse(503, json!("x"), None));
    fake.fault(&["PATCH", "services/orders"], 1, Fault::Hang);
    let (result, events) = run_with(&fake, &request("c1", shop()), &options(), &Cancel::never()).await;
    assert!(result.unwrap().is_success());
    let told: Vec<&Event> = events.iter().filter(|e| matches!(e, Event::Retrying { .. })).collect();
    assert_eq!(told.len(), 5, "{told:?}");
    let asked = told.iter().any(|e| {
        matches!(e, Event::Retrying { what, pause, reason }
            if what == "configmap/one in shop-dev" && *pause > Duration::from_millis(20) && reason.contains("slow down"))
    });
    assert!(asked, "{told:?}");
}

#[tokio::test]
async fn an_answer_that_is_lost_does_no_harm_wherever_it_happens() {
    let wanted = {
        let fake = Fake::new();
        run(&fake, "c1", shop()).await.unwrap();
        content(&fake)
    };
    for n in 0..8 {
        let fake = Fake::new();
        let mut seen = 0;
        fake.rule(move |request| {
            if !is_write(request) {
                return None;
            }
            seen += 1;
            (seen == n + 1).then_some(Fault::DropAfter)
        });
        let report = run(&fake, "c1", shop()).await.unwrap();
        assert!(report.is_success(), "write {n}: {report:?}");
        assert_eq!(content(&fake), wanted, "write {n}");
    }
}

#[tokio::test]
async fn a_server_that_stays_away_is_named() {
    let fake = Fake::new();
    fake.fault(&["GET /api"], 1, Fault::DropBefore);
    let text = run(&fake, "c1", shop()).await.unwrap_err().to_string();
    assert!(text.starts_with("cannot reach http://fake (context \"fake\"): connection reset"), "{text}");
    fake.fault(&["GET", "configmaps/one"], 10, Fault::DropBefore);
    assert!(run(&fake, "c1", shop()).await.is_err());
    assert_eq!(writes(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn unknown_kinds_stop_before_the_first_write_or_are_left_out_by_name() {
    let fake = Fake::new();
    let mut objects = shop();
    for name in ["a", "b"] {
        objects.push(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name}}));
    }
    objects.push(json!({"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "old"}}));
    let error = run(&fake, "c1", objects.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the target does not know apps/v1beta1 Deployment (1 object; the target has it in v1), \
         gateway.networking.k8s.io/v1 HTTPRoute (2 objects); nothing was written \
         (--skip-missing-kinds leaves such objects out)"
    );
    assert_eq!(writes(&fake), Vec::<String>::new());

    let options = Options { skip_missing_kinds: true, ..options() };
    let (result, _) = run_with(&fake, &request("c1", objects), &options, &Cancel::never()).await;
    let report = result.unwrap();
    assert!(report.is_success());
    assert_eq!(report.count(|o| *o == Outcome::SkippedMissingKind), 3);
    assert_eq!(inventory(&fake).objects.len(), 4);
}

#[tokio::test]
async fn objects_without_a_namespace_go_into_the_apps_own() {
    let fake = Fake::new();
    let mut map = config_map("one", "1");
    map["metadata"].as_object_mut().unwrap().remove("namespace");
    run(&fake, "c1", vec![map.clone()]).await.unwrap();
    assert!(fake.get("/api/v1/namespaces/shop-dev/configmaps/one").is_some());
    let twice = run(&fake, "c2", vec![map, config_map("one", "2")]).await.unwrap_err();
    assert_eq!(twice.to_string(), "configmap/one in shop-dev: it is rendered twice");
    let scoped =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "y"}});
    assert!(run(&fake, "c2", vec![scoped]).await.unwrap_err().to_string().contains("cluster-scoped"));
}

#[tokio::test]
async fn a_new_namespace_comes_first_and_its_objects_are_checked_elsewhere() {
    let fake = Fake::new();
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})];
    let mut map = config_map("one", "1");
    map["metadata"]["namespace"] = json!("new");
    objects.push(map);
    let mut wanted = request("c1", objects);
    wanted.namespace = "new".into();

    let (_, refusal) = status(422, "Invalid", "ConfigMap \"one\" is invalid");
    fake.fault(&["POST", "namespaces/default/configmaps", "dryRun"], 1, Fault::Refuse(422, refusal, None));
    let (result, _) = run_with(&fake, &wanted, &options(), &Cancel::never()).await;
    let error = result.unwrap_err();
    let told = outcomes(error.report().unwrap());
    let why = "failed: Invalid: ConfigMap \"one\" is invalid (checked in namespace default)";
    assert!(told.iter().any(|(_, text)| text == why), "{told:?}");
    assert_eq!(writes(&fake), Vec::<String>::new());

    let (result, events) = run_with(&fake, &wanted, &options(), &Cancel::never()).await;
    let report = result.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.count(|o| *o == Outcome::Created), 2);
    let deferred = events.iter().any(|e| {
        matches!(e, Event::Deferred { reason, .. } if reason.contains("new comes with this apply; checked in namespace default"))
    });
    assert!(deferred, "{events:?}");
    let before = fake.revisions();
    let (result, _) = run_with(&fake, &wanted, &options(), &Cancel::never()).await;
    assert!(result.unwrap().is_success());
    assert_eq!(fake.revisions(), before);
}

#[tokio::test]
async fn what_is_refused_once_its_namespace_is_there_keeps_the_rest_from_being_written() {
    let fake = Fake::new();
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})];
    for name in ["one", "two"] {
        let mut map = config_map(name, "1");
        map["metadata"]["namespace"] = json!("new");
        objects.push(map);
    }
    let wanted = Request { namespace: "new".into(), ..request("c1", objects) };
    let (_, refusal) = status(403, "Forbidden", "configmaps \"two\" is forbidden: exceeded quota: q");
    fake.fault(&["PATCH", "namespaces/new/configmaps/two", "dryRun"], 1, Fault::Refuse(403, refusal, None));
    let (result, _) = run_with(&fake, &wanted, &options(), &Cancel::never()).await;
    let report = result.unwrap();
    let told = outcomes(&report);
    assert!(told.contains(&("namespace/new".into(), "created".into())), "{told:?}");
    assert!(
        told.iter().any(|(name, text)| name == "configmap/two" && text.contains("exceeded quota: q")),
        "{told:?}"
    );
    assert!(told.contains(&("configmap/one".into(), "not attempted".into())), "{told:?}");
    assert!(!fake.paths().iter().any(|p| p.ends_with("/one") || p.ends_with("/two")), "{:?}", fake.paths());
    let (result, _) = run_with(&fake, &wanted, &options(), &Cancel::never()).await;
    assert!(result.unwrap().is_success());
}

#[tokio::test]
async fn a_namespace_that_nobody_brings_is_an_error_by_name() {
    let fake = Fake::new();
    let mut map = config_map("one", "1");
    map["metadata"]["namespace"] = json!("nowhere");
    let text = run(&fake, "c1", vec![map]).await.unwrap_err().to_string();
    assert!(text.starts_with("namespace \"nowhere\" does not exist"), "{text}");
}

#[tokio::test]
async fn a_kind_that_comes_along_is_waited_for() {
    let fake = Fake::new();
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true}]}});
    let thing =
        json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": 1}});
    let (_, unknown) = status(404, "NotFound", "the server could not find the requested resource");
    fake.fault(&["PATCH", "/things/t"], 2, Fault::Refuse(404, unknown, None));
    let report = run(&fake, "c1", vec![thing, definition]).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert!(fake.get("/apis/example.com/v1/namespaces/shop-dev/things/t").is_some());
}
