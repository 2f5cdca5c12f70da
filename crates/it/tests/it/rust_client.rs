//! kube-rs against the embedded cluster: typed calls, watcher, reflector, apply, eviction, logs.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::time::Duration;

use futures_util::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kiban_testkit::Sim;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::wait::{Condition as _, await_condition, conditions};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;

use crate::kinds::client;

/// Nothing here takes long; what does not come is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("waited a minute for {what}"))
}

fn deployment(name: &str, replicas: i32) -> Deployment {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x:1"}]},
            },
        },
    }))
    .unwrap()
}

fn map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value},
    }))
    .unwrap()
}

fn error(result: kube::Result<impl std::fmt::Debug>) -> kube::core::Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn objects_are_created_read_patched_scaled_and_deleted() {
    let sim = Sim::start(2);
    let client = client(&sim);
    sim.block_on(async {
        let version = client.apiserver_version().await.unwrap();
        assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        let made = deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
        assert!(made.uid().is_some());
        assert_eq!(
            error(deployments.create(&PostParams::default(), &deployment("web", 2)).await).reason,
            "AlreadyExists"
        );
        let scale = deployments
            .patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 3}})))
            .await;
        assert_eq!(scale.unwrap().spec.unwrap().replicas, Some(3));
        let available = |d: Option<&Deployment>| {
            d.and_then(|d| d.status.as_ref()).is_some_and(|s| s.available_replicas == Some(3))
        };
        soon("three replicas", await_condition(deployments.clone(), "web", available)).await.unwrap();
        deployments.restart("web").await.unwrap();
        soon(
            "the rollout",
            await_condition(deployments.clone(), "web", conditions::is_deployment_completed()),
        )
        .await
        .unwrap();

        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let first = pods.list(&ListParams::default().labels("app=web").limit(2)).await.unwrap();
        assert_eq!(first.items.len(), 2);
        let token = first.metadata.continue_.unwrap();
        let rest = pods
            .list(&ListParams::default().labels("app=web").limit(20).continue_token(&token))
            .await
            .unwrap();
        let names: BTreeSet<_> = first.items.iter().chain(&rest.items).map(|p| p.name_any()).collect();
        assert!(names.len() >= 3, "{names:?}");
        let slim = pods.list_metadata(&ListParams::default()).await.unwrap();
        assert!(slim.items.iter().all(|p| p.metadata.owner_references.is_some()));

        let stale = deployments.get("web").await.unwrap();
        deployments
            .patch(
                "web",
                &PatchParams::default(),
                &Patch::Strategic(json!({"metadata": {"labels": {"a": "b"}}})),
            )
            .await
            .unwrap();
        assert_eq!(error(deployments.replace("web", &PostParams::default(), &stale).await).code, 409);
        assert_eq!(error(deployments.get("none").await).reason, "NotFound");
        assert!(deployments.get_opt("none").await.unwrap().is_none());
        let uid = stale.uid().unwrap();
        deployments.delete("web", &DeleteParams::foreground()).await.unwrap();
        soon("the deletion", await_condition(deployments, "web", conditions::is_deleted(&uid)))
            .await
            .unwrap();
    });
}

#[test]
fn a_watcher_sees_everything_in_both_of_its_modes() {
    let sim = Sim::start(1);
    let client = client(&sim);
    sim.block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        for n in 0..5 {
            maps.create(&PostParams::default(), &map(&format!("m-{n}"), "old")).await.unwrap();
        }
        let configs = [
            watcher::Config::default().page_size(2),
            watcher::Config::default().streaming_lists(),
            watcher::Config::default().labels("nothing!=here").fields("metadata.name!=m-0"),
        ];
        for (turn, config) in configs.into_iter().enumerate() {
            let only = config.field_selector.is_some();
            let mut stream = std::pin::pin!(watcher(maps.clone(), config));
            let mut listed = BTreeSet::new();
            loop {
                match soon("the list", stream.next()).await.unwrap().unwrap() {
                    watcher::Event::Init => {}
                    watcher::Event::InitApply(map) => drop(listed.insert(map.name_any())),
                    watcher::Event::InitDone => break,
                    other => panic!("{other:?}"),
                }
            }
            let expected: Vec<_> = (usize::from(only)..5).map(|n| format!("m-{n}")).collect();
            assert!(expected.iter().all(|n| listed.contains(n)), "{listed:?}");
            assert_eq!(listed.contains("m-0"), !only);
            let name = format!("new-{turn}");
            maps.create(&PostParams::default(), &map(&name, "1")).await.unwrap();
            maps.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "2"}})))
                .await
                .unwrap();
            maps.delete(&name, &DeleteParams::default()).await.unwrap();
            let mut seen = Vec::new();
            while seen.last().is_none_or(|s: &String| s != "delete 2") {
                match soon("an event", stream.next()).await.unwrap().unwrap() {
                    watcher::Event::Apply(m) => seen.push(format!("apply {}", m.data.unwrap()["k"])),
                    watcher::Event::Delete(m) => seen.push(format!("delete {}", m.data.unwrap()["k"])),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(seen, ["apply 1", "apply 2", "delete 2"]);
        }
    });
}

#[test]
fn a_reflector_holds_what_the_cluster_holds() {
    let sim = Sim::start(3);
    let client = client(&sim);
    sim.block_on(async {
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let deployments: Api<Deployment> = Api::default_namespaced(client);
        let (reader, writer) = reflector::store();
        let stream = reflector(writer, watcher(pods.clone(), watcher::Config::default()))
            .default_backoff()
            .touched_objects();
        let task = tokio::spawn(stream.try_for_each(|_| futures_util::future::ready(Ok(()))));
        soon("the store", reader.wait_until_ready()).await.unwrap();
        deployments.create(&PostParams::default(), &deployment("web", 6)).await.unwrap();
        let ready = |p: &Pod| conditions::is_pod_running().matches_object(Some(p));
        soon("six", async {
            while reader.state().iter().filter(|p| ready(p)).count() != 6 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let scaled = Patch::Merge(json!({"spec": {"replicas": 2}}));
        deployments.patch("web", &PatchParams::default(), &scaled).await.unwrap();
        soon("two", async {
            while reader.len() != 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let held: BTreeSet<_> = reader.state().iter().map(|p| p.name_any()).collect();
        let listed: BTreeSet<_> =
            pods.list(&ListParams::default()).await.unwrap().iter().map(|p| p.name_any()).collect();
        assert_eq!(held, listed);
        task.abort();
    });
}

#[test]
fn fields_are_applied_owned_and_fought_over() {
    let sim = Sim::start(1);
    let client = client(&sim);
    sim.block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let apply = |manager: &str, value: &str| {
            let (maps, map, params) = (maps.clone(), map("c", value), PatchParams::apply(manager));
            async move { maps.patch("c", &params, &Patch::Apply(&map)).await }
        };
        let made = apply("one", "a").await.unwrap();
        let again = apply("one", "a").await.unwrap();
        assert_eq!(made.resource_version(), again.resource_version(), "nothing new is nothing written");
        let conflict = error(apply("two", "b").await);
        assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
        assert_eq!(conflict.message, "Apply failed with 1 conflict: conflict with \"one\": .data.k");
        let cause = &conflict.details.unwrap().causes[0];
        assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("FieldManagerConflict", ".data.k"));
        let forced =
            maps.patch("c", &PatchParams::apply("two").force(), &Patch::Apply(&map("c", "b"))).await.unwrap();
        assert_eq!(forced.data.unwrap()["k"], "b");
        let dry = maps
            .patch("c", &PatchParams::apply("two").dry_run(), &Patch::Apply(&map("c", "z")))
            .await
            .unwrap();
        assert_eq!(dry.data.unwrap()["k"], "z");
        assert_eq!(maps.get("c").await.unwrap().data.unwrap()["k"], "b");
    });
}

#[test]
fn evictions_keep_to_the_budget() {
    let sim = Sim::start(2);
    let client = client(&sim);
    sim.block_on(async {
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client.clone());
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        });
        budgets.create(&PostParams::default(), &serde_json::from_value(budget).unwrap()).await.unwrap();
        deployments.create(&PostParams::default(), &deployment("web", 2)).await.unwrap();
        let met = |b: Option<&PodDisruptionBudget>| {
            b.and_then(|b| b.status.as_ref()).is_some_and(|s| s.current_healthy == Some(2))
        };
        soon("two healthy pods", await_condition(budgets.clone(), "web", met)).await.unwrap();
        let victim = pods.list(&ListParams::default()).await.unwrap().items[0].name_any();
        let refused = error(pods.evict(&victim, &EvictParams::default()).await);
        assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
        assert_eq!(
            refused.details.unwrap().causes[0].message,
            "The disruption budget web needs 2 healthy pods and has 2 currently"
        );
        budgets
            .patch("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"minAvailable": 1}})))
            .await
            .unwrap();
        let free = |b: Option<&PodDisruptionBudget>| {
            b.is_some_and(|b| {
                b.status.as_ref().is_some_and(|s| {
                    s.disruptions_allowed == Some(1) && s.observed_generation == b.metadata.generation
                })
            })
        };
        soon("the budget", await_condition(budgets, "web", free)).await.unwrap();
        pods.evict(&victim, &EvictParams::default()).await.unwrap();
        soon("it to go", async {
            while pods.get_opt(&victim).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let nodes: Api<Node> = Api::all(client);
        nodes.cordon("sim-node-1").await.unwrap();
        assert_eq!(nodes.get("sim-node-1").await.unwrap().spec.unwrap().unschedulable, Some(true));
        nodes.uncordon("sim-node-1").await.unwrap();
    });
}

#[test]
fn logs_are_read_and_followed_and_events_recorded() {
    let sim = Sim::start(1);
    let client = client(&sim);
    sim.block_on(async {
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "image": "x"}]},
        });
        let pod = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        soon("it to run", await_condition(pods.clone(), "web", conditions::is_pod_running())).await.unwrap();
        let text = pods.logs("web", &LogParams { timestamps: true, tail_lines: Some(1), ..LogParams::default() }).await.unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(k8s_openapi::jiff::Timestamp::from_str(text.split(' ').next().unwrap()).is_ok(), "{text}");
        let follow = LogParams { follow: true, container: Some("main".into()), ..LogParams::default() };
        let mut lines = pods.log_stream("web", &follow).await.unwrap().lines();
        for _ in 0..3 {
            soon("a line", lines.next()).await.unwrap().unwrap();
        }
        record(client, &pod).await;
        pods.delete("web", &DeleteParams::default().grace_period(0)).await.unwrap();
        soon("the end of the log", async { while lines.next().await.is_some() {} }).await;
    });
}

/// A recorder writes to events.k8s.io; people read them with the older API.
async fn record(client: Client, pod: &Pod) {
    let recorder = Recorder::new(client.clone(), Reporter { controller: "it".into(), instance: None });
    let event = |note: &str| Event {
        type_: EventType::Normal,
        reason: "Seen".into(),
        note: Some(note.into()),
        action: "Seeing".into(),
        secondary: None,
    };
    recorder.publish(&event("a pod"), &pod.object_ref(&())).await.unwrap();
    recorder.publish(&event("a pod"), &pod.object_ref(&())).await.unwrap();
    let events: Api<CoreEvent> = Api::default_namespaced(client);
    let seen =
        events.list(&ListParams::default().fields("involvedObject.name=web,reason=Seen")).await.unwrap();
    assert_eq!(seen.items.len(), 1);
    assert_eq!(seen.items[0].message.as_deref(), Some("a pod"));
    assert_eq!(seen.items[0].series.as_ref().and_then(|s| s.count), Some(2));
}
