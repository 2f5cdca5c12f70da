//! Against the embedded cluster: a whole API server with its controllers, over TLS.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiban_runtime::clock::SystemClock;
use kiban_simcluster::server::{Config, Running, start};

use super::*;
use crate::client::{APPLY_PATCH, Call, ConnectOptions};

const NAMESPACE: &str = "checkout-dev";

async fn embedded() -> (Running, Cluster) {
    let running = start(Config { fast: true, ..Config::default() }).await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), running.kubeconfig()).unwrap();
    let options = ConnectOptions { kubeconfig: Some(file.path().into()), ..ConnectOptions::default() };
    let cluster = Cluster::connect(&options, Arc::new(SystemClock)).await.unwrap();
    (running, cluster)
}

/// One of each sort of object that an app consists of.
fn app(image: &str) -> Vec<Value> {
    let meta = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let labels = json!({"app": "orders"});
    let container = json!({"name": "orders", "image": image, "ports": [{"containerPort": 8080, "name": "http"}],
        "envFrom": [{"configMapRef": {"name": "orders"}}]});
    let job = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}});
    vec![
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta("orders"),
            "spec": {"minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}}}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("orders"),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("orders"),
            "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "orders", "containers": [container]}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("orders"),
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("orders"), "data": {"LOG": "info"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("orders"), "stringData": {"password": "x"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("orders")}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("orders"),
            "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta("orders"),
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("cleanup"),
            "spec": {"schedule": "15 3 * * *", "jobTemplate": {"spec": job}}}),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "tier-1"}, "value": 1000}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
    ]
}

async fn put(
    cluster: &Cluster,
    commit: &str,
    objects: Vec<Value>,
    options: &Options,
) -> Result<Report, ApplyError> {
    let wanted = Request { namespace: NAMESPACE.into(), ..request(commit, objects) };
    apply(cluster, &wanted, options, &Cancel::never(), &|_| {}).await
}

fn patient() -> Options {
    Options { timeout: Duration::from_secs(60), ..Options::default() }
}

/// The revision of everything that an app leaves, lease and inventory included.
async fn revisions(cluster: &Cluster) -> BTreeMap<String, Value> {
    let kinds = cluster.kinds().await.unwrap();
    let mut out = BTreeMap::new();
    let mut of: Vec<(String, String)> =
        app("").iter().map(|o| ObjectId::of(o).unwrap()).map(|id| (id.group, id.kind)).collect();
    of.push(("coordination.k8s.io".into(), "Lease".into()));
    for (group, kind) in of {
        let resource = kinds.preferred(&group, &kind).unwrap();
        let namespace = if resource.namespaced { NAMESPACE } else { "" };
        for object in cluster.list(resource, namespace, "").await.unwrap() {
            let meta = &object["metadata"];
            out.insert(format!("{kind} {}", meta["name"]), meta["resourceVersion"].clone());
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_created_left_alone_changed_and_removed() {
    let (running, cluster) = embedded().await;
    let report = put(&cluster, "c1", app("a:1"), &patient()).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.count(|o| *o == Outcome::Created), 12);

    let before = revisions(&cluster).await;
    let report = put(&cluster, "c1", app("a:1"), &patient()).await.unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Unchanged), 12, "{report:?}");
    assert_eq!(revisions(&cluster).await, before);

    let report = put(&cluster, "c2", app("a:2"), &patient()).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.count(|o| *o == Outcome::Configured), 2);

    let mut bad = app("a:2");
    bad[2]["spec"]["template"]["spec"]["bogus"] = json!(1);
    let error = put(&cluster, "c3", bad, &patient()).await.unwrap_err();
    let failed = error.report().unwrap().outcomes.values().find(|o| matches!(o, Outcome::Failed(_))).unwrap();
    assert!(failed.to_string().contains("unknown field \"spec.template.spec.bogus\""), "{failed}");

    let everything = Options { prune: PruneOptions { all: true, protected: true }, ..patient() };
    let report = put(&cluster, "c4", vec![], &everything).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.count(|o| *o == Outcome::Pruned), 12, "{report:?}");
    assert!(revisions(&cluster).await.keys().all(|k| !k.contains("orders") && !k.contains(NAMESPACE)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_managers_field_is_a_conflict_until_it_is_forced() {
    let (running, cluster) = embedded().await;
    put(&cluster, "c1", app("a:1"), &patient()).await.unwrap();
    let mut theirs = app("a:1")[2].clone();
    theirs["spec"]["replicas"] = json!(3);
    let path =
        format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/orders?fieldManager=helm&force=true");
    cluster.call(&Call::new(http::Method::PATCH, path, Some(theirs), APPLY_PATCH)).await.unwrap();

    let error = put(&cluster, "c2", app("a:1"), &patient()).await.unwrap_err();
    let outcomes = &error.report().unwrap().outcomes;
    let found = outcomes.values().find_map(|o| match o {
        Outcome::Conflict(conflicts) => Some(conflicts),
        _ => None,
    });
    assert_eq!(found.unwrap()[0].to_string(), ".spec.replicas: owned by \"helm\", wanted by \"kiban\"");

    let wanted = Request { namespace: NAMESPACE.into(), ..request("c2", app("a:1")) };
    let shown = crate::diff::diff(&cluster, &wanted, &patient(), &|_| {}).await.unwrap();
    let changed: Vec<_> = shown.iter().filter(|d| d.is_difference()).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].live.as_ref().unwrap()["spec"]["replicas"], 3);
    assert_eq!(changed[0].would_be.as_ref().unwrap()["spec"]["replicas"], 2);

    let forced = Options { force_conflicts: true, ..patient() };
    assert!(put(&cluster, "c2", app("a:1"), &forced).await.unwrap().is_success());
    assert!(put(&cluster, "c2", app("a:1"), &patient()).await.unwrap().is_success());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_any_time_and_run_again_it_ends_as_if_never_stopped() {
    let (running, cluster) = embedded().await;
    for (n, pause) in [0, 2, 5, 10, 20, 40, 80].into_iter().enumerate() {
        let (canceller, cancel) = Canceller::new();
        let wanted = Request { namespace: NAMESPACE.into(), ..request("x", app(&format!("a:{n}"))) };
        let options = patient();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            canceller.cancel();
        };
        let (_, ()) = tokio::join!(apply(&cluster, &wanted, &options, &cancel, &|_| {}), stop);
    }
    let (one, two) = (patient(), patient());
    let (a, b) = tokio::join!(put(&cluster, "c1", app("b:1"), &one), put(&cluster, "c2", app("b:2"), &two));
    assert!(a.unwrap().is_success());
    assert!(b.unwrap().is_success());
    let report = put(&cluster, "c3", app("b:3"), &patient()).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/kiban-inventory-orders-dev");
    let listed = cluster.call(&Call::get(path)).await.unwrap().body;
    let listed = Inventory::read(&listed).unwrap();
    assert_eq!((listed.revision.commit.as_str(), listed.applying, listed.objects.len()), ("c3", None, 12));
    running.stop().await;
}
