//! Against the embedded cluster: a whole API server, over TLS.

use kiban_runtime::clock::SystemClock;
use kiban_simcluster::server::{Config, Running, start};
use serde_json::{Value, json};

use super::*;
use crate::client::{Call, ConnectOptions, JSON};

async fn embedded() -> (Running, Cluster) {
    let running = start(Config { fast: true, ..Config::default() }).await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), running.kubeconfig()).unwrap();
    let options = ConnectOptions { kubeconfig: Some(file.path().into()), ..ConnectOptions::default() };
    let cluster = Cluster::connect(&options, Arc::new(SystemClock)).await.unwrap();
    (running, cluster)
}

fn kind(group: &str, kind: &str) -> Gvk {
    Gvk { group: group.into(), version: "v1".into(), kind: kind.into() }
}

/// The whole object, as its text.
fn all(object: &Object<'_>) -> Projected<String> {
    let value: Value = object.read().map_err(|e| e.to_string())?;
    Ok(Some(value.to_string()))
}

async fn send(cluster: &Cluster, method: http::Method, path: &str, body: Option<Value>) {
    cluster.call(&Call::new(method, path.into(), body, JSON)).await.unwrap();
}

/// What the server lists, as the projection has it.
async fn listed(cluster: &Cluster, kind: &Gvk) -> BTreeMap<String, String> {
    let kinds = cluster.kinds().await.unwrap();
    let items = cluster.list(kinds.find(kind).unwrap(), "", "").await.unwrap();
    items
        .into_iter()
        .map(|o| {
            let text = |field: &str| o["metadata"][field].as_str().unwrap_or("").to_string();
            (format!("{}/{}", text("namespace"), text("name")), o.to_string())
        })
        .collect()
}

fn held(subscription: &Subscription<String>) -> BTreeMap<String, String> {
    subscription.snapshot().iter().map(|(key, value)| (key.to_string(), (**value).clone())).collect()
}

/// Reads on until the store is what the server lists.
async fn until_equal(subscription: &mut Subscription<String>, cluster: &Cluster, kind: &Gvk) {
    let equal = async {
        while held(subscription) != listed(cluster, kind).await {
            subscription.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), equal).await.expect("the store comes to what is listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_holds_what_the_embedded_cluster_lists_streamed_or_paged() {
    let (running, cluster) = embedded().await;
    for streamed in [true, false] {
        let cache = Cache::new(cluster.clone(), Options { streamed, ..Options::default() });
        let config_maps = kind("", "ConfigMap");
        let mut maps = cache.subscribe(Interest::in_all(config_maps.clone(), "maps"), all);
        let mut pods = cache.subscribe(Interest::in_all(kind("", "Pod"), "pods"), all);
        let nodes = cache.subscribe(Interest::in_all(kind("", "Node"), "nodes").queue(0), all);
        nodes.synced().await;
        assert_eq!(nodes.snapshot().len(), 3);
        let name = if streamed { "streamed" } else { "paged" };
        let labels = json!({"app": name});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 5, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]}}}});
        let path = "/apis/apps/v1/namespaces/default/deployments";
        send(&cluster, http::Method::POST, path, Some(deployment)).await;
        for i in 0..700 {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{name}-{i}")}, "data": {"a": "é\"\\"}});
            send(&cluster, http::Method::POST, "/api/v1/namespaces/default/configmaps", Some(map)).await;
            if i % 3 == 0 {
                let path = format!("/api/v1/namespaces/default/configmaps/{name}-{i}");
                send(&cluster, http::Method::DELETE, &path, None).await;
            }
        }
        until_equal(&mut maps, &cluster, &config_maps).await;
        until_equal(&mut pods, &cluster, &kind("", "Pod")).await;
        assert!(pods.snapshot().len() >= 5);
        // One that comes later, by more than one page.
        let mut late = cache.subscribe(Interest::in_all(config_maps.clone(), "late"), all);
        late.synced().await;
        until_equal(&mut late, &cluster, &config_maps).await;
        assert_eq!(cache.stats().kinds.len(), 3);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_the_embedded_cluster_does_not_know_is_absent() {
    let (running, cluster) = embedded().await;
    let cache = Cache::new(cluster, Options::default());
    let things = cache.subscribe(Interest::in_all(thing(), "things"), value);
    things.synced().await;
    assert_eq!(things.state(), KindState::Absent);
    running.stop().await;
}
