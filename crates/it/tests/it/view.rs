//! A client's view through watches equals the store, whatever is written and however often the
//! connection ends.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, future};
use k8s_openapi::api::core::v1::ConfigMap;
use kiban_base::rng::Rng;
use kiban_simcluster::kind::well_known::CONFIG_MAP;
use kiban_simcluster::registry::{DeleteOptions, Part};
use kiban_simcluster::{Actor, Key};
use kiban_testkit::Sim;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// Writes in all, and names that they are about: few, so that most are changed and deleted often.
const WRITES: usize = 3_000;
const NAMES: u64 = 40;

/// Seconds after which a watch ends and is taken up again.
const WATCH_SECONDS: u32 = 1;

type View = BTreeMap<(String, String), String>;

fn client(sim: &Sim) -> Client {
    let config = kube::config::Kubeconfig::from_yaml(sim.running.kubeconfig()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = sim.block_on(kube::Config::from_custom_kubeconfig(config, &options)).unwrap();
    sim.block_on(async { Client::try_from(config).unwrap() })
}

/// Follows ConfigMaps in the background.
fn follow(sim: &Sim, client: &Client, config: watcher::Config) -> Store<ConfigMap> {
    let api: Api<ConfigMap> = Api::all(client.clone());
    let (reader, writer) = reflector::store();
    sim.block_on(async {
        let stream = watcher(api, config.timeout(WATCH_SECONDS)).default_backoff();
        tokio::spawn(kube::runtime::reflector(writer, stream).for_each(|_| future::ready(())));
    });
    reader
}

fn seen(store: &Store<ConfigMap>) -> View {
    let entry = |m: &std::sync::Arc<ConfigMap>| {
        ((m.namespace().unwrap(), m.name_any()), m.resource_version().unwrap())
    };
    store.state().iter().map(entry).collect()
}

fn stored(sim: &Sim, color: Option<&str>) -> View {
    let state = sim.running.cluster.snapshot();
    let matching =
        state.objects(*CONFIG_MAP).values().filter(|o| color.is_none_or(|c| o.label("color") == Some(c)));
    matching
        .map(|o| ((o.key.namespace.to_string(), o.key.name.to_string()), o.revision.to_string()))
        .collect()
}

fn write(sim: &Sim, draw: &mut Rng) {
    let cluster = &sim.running.cluster;
    let actor = Actor::new("writer");
    let key = Key::new("default", format!("map-{}", draw.below(NAMES)));
    let color = *draw.pick(&["red", "green", "blue"]).unwrap();
    let value = draw.below(1_000).to_string();
    if cluster.get(*CONFIG_MAP, &key).is_none() {
        let map = json!({"metadata": {"name": &*key.name, "labels": {"color": color}}, "data": {"v": value}});
        cluster.create(*CONFIG_MAP, &key.namespace, map, &actor).unwrap();
    } else if draw.chance(0.3) {
        cluster.delete(*CONFIG_MAP, &key, &DeleteOptions::default(), &actor).unwrap();
    } else {
        let changed = cluster.modify(*CONFIG_MAP, &key, Part::Main, &actor, |map| {
            map["metadata"]["labels"]["color"] = color.into();
            map["data"]["v"] = value.clone().into();
        });
        changed.unwrap();
    }
}

#[test]
fn a_view_through_watches_equals_the_store_under_writes_and_disconnects() {
    let sim = Sim::start(0);
    let client = client(&sim);
    let red = || watcher::Config::default().labels("color=red");
    let views = [
        (follow(&sim, &client, watcher::Config::default()), None),
        (follow(&sim, &client, watcher::Config::default().streaming_lists()), None),
        (follow(&sim, &client, watcher::Config::default().page_size(3)), None),
        (follow(&sim, &client, red()), Some("red")),
        (follow(&sim, &client, red().streaming_lists()), Some("red")),
    ];
    let mut draw = Rng::new(11);
    for round in 0..WRITES {
        write(&sim, &mut draw);
        // Spread over a few lives of each watch.
        if round % 10 == 0 {
            sim.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
        }
    }
    for (i, (view, color)) in views.iter().enumerate() {
        sim.wait(&format!("view {i} to be what the store holds"), || seen(view) == stored(&sim, *color));
    }
    assert!(!stored(&sim, Some("red")).is_empty());
}
