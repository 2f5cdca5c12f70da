//! Every built-in kind that can be listed, through its whole life, as a client sees it.

pub mod table;

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kiban_testkit::Sim;
use kube::Client;
use kube::api::WatchEvent;
use kube::client::Body;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use table::Row;

/// Requests by hand: what kube-rs' typed side would not send.
pub struct Raw(pub Client);

impl Raw {
    pub async fn call(&self, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let response = self.0.send(request.body(Body::from(bytes)).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            code,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()),
        )
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, "", &Value::Null).await
    }

    async fn table(&self, path: &str) -> Value {
        let request = Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
        let response = self.0.send(request.body(Body::from(Vec::new())).unwrap()).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The same, with the demand for this code.
    #[track_caller]
    fn must(
        &self,
        sim: &Sim,
        code: u16,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Value {
        let (got, answer) = sim.block_on(self.call(method, path, content_type, body));
        assert_eq!(got, code, "{method} {path}: {answer}");
        answer
    }
}

pub fn client(sim: &Sim) -> Client {
    sim.block_on(async {
        let kubeconfig = kube::config::Kubeconfig::read_from(sim.kubeconfig()).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        // A refusal is what some tests are after, not what comes after minutes of trying again.
        config.default_retry = false;
        Client::try_from(config).unwrap()
    })
}

/// `(apiVersion, kind)` → the list's path, of all kinds with the verbs `list` and `create`.
fn listable(sim: &Sim, raw: &Raw) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    let (_, groups) = sim.block_on(raw.get("/apis"));
    let mut roots = vec![("v1".to_owned(), "/api/v1".to_owned())];
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let name = version["groupVersion"].as_str().unwrap().to_owned();
            roots.push((name.clone(), format!("/apis/{name}")));
        }
    }
    for (version, root) in roots {
        let (code, list) = sim.block_on(raw.get(&root));
        assert_eq!(code, 200, "{root}");
        for resource in list["resources"].as_array().unwrap() {
            let has = |verb: &str| resource["verbs"].as_array().unwrap().iter().any(|v| v == verb);
            if !has("list") || !has("create") {
                continue;
            }
            let namespace = if resource["namespaced"] == true { "namespaces/default/" } else { "" };
            let path = format!("{root}/{namespace}{}", resource["name"].as_str().unwrap());
            all.push((version.clone(), resource["kind"].as_str().unwrap().to_owned(), path));
        }
    }
    all
}

#[test]
fn every_listable_kind_can_be_created_read_watched_patched_applied_and_deleted() {
    let sim = Sim::start(1);
    let raw = Raw(client(&sim));
    let paths = listable(&sim, &raw);
    let rows = table::rows();
    let known: BTreeSet<_> = rows.iter().map(|r| (r.api_version, r.kind)).collect();
    let missing: Vec<_> =
        paths.iter().filter(|(v, k, _)| !known.contains(&(v.as_str(), k.as_str()))).collect();
    assert!(missing.is_empty(), "kinds without a sample: {missing:?}");
    assert_eq!(rows.len(), paths.len());
    let mut failed = Vec::new();
    for row in &rows {
        let (_, _, path) = paths.iter().find(|(v, k, _)| v == row.api_version && k == row.kind).unwrap();
        // One kind's trouble does not hide the next one's.
        let life = std::panic::AssertUnwindSafe(|| life(&sim, &raw, row, path));
        if std::panic::catch_unwind(life).is_err() {
            failed.push(format!("{} {}", row.api_version, row.kind));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

fn life(sim: &Sim, raw: &Raw, row: &Row, list: &str) {
    let object = row.object();
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("{list}/{name}");
    let must = |code, method: &str, path: &str, kind: &str, body: &Value| {
        raw.must(sim, code, method, path, kind, body)
    };
    let plain = |code, method: &str, path: &str| must(code, method, path, "", &Value::Null);

    must(201, "POST", &format!("{list}?dryRun=All&fieldValidation=Strict"), "application/json", &object);
    plain(404, "GET", &path);
    let made = must(201, "POST", &format!("{list}?fieldValidation=Strict"), "application/json", &object);
    assert_eq!((&made["apiVersion"], &made["kind"]), (&object["apiVersion"], &object["kind"]));
    let again = must(409, "POST", list, "application/json", &object);
    assert_eq!(again["reason"], "AlreadyExists");

    let got = plain(200, "GET", &path);
    assert_eq!(got["metadata"]["uid"], made["metadata"]["uid"]);
    let all = plain(200, "GET", list);
    assert_eq!(all["kind"], format!("{}List", row.kind));
    assert!(all["items"].as_array().unwrap().iter().any(|o| o["metadata"]["name"] == name), "{all}");
    shown(sim, raw, row, list, name);

    let revision = all["metadata"]["resourceVersion"].as_str().unwrap();
    let merge = "application/merge-patch+json";
    let labelled = must(200, "PATCH", &path, merge, &json!({"metadata": {"labels": {"by": "merge"}}}));
    assert_eq!(labelled["metadata"]["labels"]["by"], "merge");
    must(
        200,
        "PATCH",
        &path,
        "application/json-patch+json",
        &json!([
            {"op": "test", "path": "/metadata/labels/by", "value": "merge"},
            {"op": "replace", "path": "/metadata/labels/by", "value": "json"},
        ]),
    );
    let strategic = "application/strategic-merge-patch+json";
    let patched = must(
        200,
        "PATCH",
        &path,
        strategic,
        &json!({"metadata": {"labels": {"by": null, "too": "strategic"}}}),
    );
    assert_eq!(patched["metadata"]["labels"]["too"], "strategic");
    assert!(patched["metadata"]["labels"]["by"].is_null());

    let mut wish = json!({"apiVersion": row.api_version, "kind": row.kind, "metadata": {"name": name}});
    wish["metadata"]["annotations"] = json!({"applied": "yes"});
    let applied =
        must(200, "PATCH", &format!("{path}?fieldManager=it"), "application/apply-patch+yaml", &wish);
    let managers = applied["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|m| m["manager"] == "it" && m["operation"] == "Apply"), "{managers:?}");
    wish["metadata"]["annotations"] = json!({"applied": "no"});
    let conflict =
        must(409, "PATCH", &format!("{path}?fieldManager=else"), "application/apply-patch+yaml", &wish);
    assert_eq!(conflict["details"]["causes"][0]["field"], ".metadata.annotations.applied", "{conflict}");

    let mut stale = got.clone();
    stale["metadata"]["annotations"] = json!({"stale": "yes"});
    let conflict = must(409, "PUT", &path, "application/json", &stale);
    assert_eq!(conflict["reason"], "Conflict");
    let mut fresh = plain(200, "GET", &path);
    fresh["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    fresh["metadata"]["annotations"]["fresh"] = "yes".into();
    // What cannot be replaced without a revision says so as the API server does.
    let (code, answer) = sim.block_on(raw.call("PUT", &path, "application/json", &fresh));
    assert!(code == 200 || (code == 422 && answer.to_string().contains("resourceVersion")), "{answer}");

    let gone = plain(200, "DELETE", &path);
    assert!(gone["kind"] == "Status" || gone["metadata"]["uid"] == made["metadata"]["uid"], "{gone}");
    sim.wait("the object to go", || sim.block_on(raw.get(&path)).0 == 404);
    let events = events(sim, raw, list, name, revision);
    assert_eq!(events.first().map(String::as_str), Some("MODIFIED"), "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("DELETED"), "{events:?}");
}

/// The Table has a row for the object, with a cell for each column.
fn shown(sim: &Sim, raw: &Raw, row: &Row, list: &str, name: &str) {
    let table = sim.block_on(raw.table(list));
    assert_eq!(table["kind"], "Table", "{}: {table}", row.kind);
    let columns = table["columnDefinitions"].as_array().unwrap();
    let found =
        table["rows"].as_array().unwrap().iter().find(|r| r["object"]["metadata"]["name"] == name).unwrap();
    // The API server sends an age with IPAddresses for which it has no column, and clients cope.
    let more = usize::from(row.kind == "IPAddress");
    assert_eq!(found["cells"].as_array().unwrap().len(), columns.len() + more, "{}", row.kind);
    // Events show when they were seen and not their name; everything else starts with its name.
    let first = if row.kind == "Event" { "Last Seen" } else { "Name" };
    assert_eq!(columns[0]["name"], first, "{}", row.kind);
}

/// What a watch from `revision` says of the object, until it is deleted.
fn events(sim: &Sim, raw: &Raw, list: &str, name: &str, revision: &str) -> Vec<String> {
    let path = format!("{list}?watch=true&resourceVersion={revision}&fieldSelector=metadata.name%3D{name}");
    sim.block_on(async {
        let request = Request::get(path).body(Vec::new()).unwrap();
        let stream = raw.0.request_events::<DynamicObject>(request).await.unwrap();
        let mut stream = std::pin::pin!(stream);
        let mut seen = Vec::new();
        while let Some(event) = stream.next().await {
            match event.unwrap() {
                WatchEvent::Added(_) => seen.push("ADDED".to_owned()),
                WatchEvent::Modified(_) => seen.push("MODIFIED".to_owned()),
                WatchEvent::Deleted(_) => {
                    seen.push("DELETED".to_owned());
                    break;
                }
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(e) => panic!("{e:?}"),
            }
        }
        seen
    })
}
