//! `kiban server` put together: the whole of `kiban.yaml`, and the list of components.
//!
//! A component is a line in [`components`], a section in [`Config`] if it has something to configure, and a
//! name in [`NAMES`]. What it is made of (its type, permissions, routes, metrics) stands in its own crate; how
//! to write one is told in `kiban_runtime::component`.

pub mod cluster;
pub mod rbac;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kiban_delivery::component::Delivery;
use kiban_delivery::config::DeliverySection;
use kiban_kube::cache::Cache;
use kiban_kube::client::Cluster;
use kiban_model::app::ApiVersion;
use kiban_model::problem::did_you_mean;
use kiban_runtime::component::Component;
use kiban_runtime::config::{Complaint, Configuration, FilePath, LogSection, Replaced, ServerSection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `kind` of the server's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServerKind {
    /// The configuration of `kiban server`.
    #[default]
    Server,
}

/// The configuration of `kiban server`: `kiban.yaml`. Every key has a default but the first two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Version of the file's format.
    pub api_version: ApiVersion,
    /// Kind of the file.
    pub kind: ServerKind,
    /// Where the server listens, who may call it, where it keeps what it must not lose.
    #[serde(default)]
    pub server: ServerSection,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogSection,
    /// Which cluster the server works for.
    #[serde(default)]
    pub cluster: ClusterSection,
    /// Which repositories are followed, and as whom objects are written.
    #[serde(default)]
    pub delivery: DeliverySection,
    /// Components that are switched off, by name; `kiban components` lists them.
    #[serde(default)]
    pub off: Vec<String>,
}

/// Which cluster the server works for: what kubectl would talk to, or the one that it runs in, unless said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSection {
    /// The kubeconfig.
    pub kubeconfig: Option<FilePath>,
    /// The context of the kubeconfig; its current one unless said.
    pub context: Option<String>,
}

impl Configuration for Config {
    const WHAT: &'static str = "Server";
    const HEAD: &'static [(&'static str, &'static str)] =
        &[("apiVersion", "kiban.dev/v1"), ("kind", "Server")];

    fn check(&self) -> Vec<Complaint> {
        let mut all = self.server.check();
        all.extend(self.delivery.check());
        for (index, name) in self.off.iter().enumerate() {
            if !NAMES.contains(&name.as_str()) {
                let hint = did_you_mean(name, NAMES.iter().copied());
                let words = format!("{name:?} is no component; there are {}{hint}", NAMES.join(", "));
                all.push(Complaint::new(&format!("off.{index}"), words));
            }
        }
        all
    }

    fn replaces() -> Vec<Replaced> {
        let own = [
            ("cluster.kubeconfig", "kube-state-metrics", "--kubeconfig"),
            ("cluster.kubeconfig", "cluster-autoscaler", "--kubeconfig"),
        ];
        [ServerSection::REPLACES, LogSection::REPLACES, DeliverySection::REPLACES, &own].concat()
    }
}

/// Names of all components, in order.
pub const NAMES: &[&str] = &[cluster::NAME, kiban_delivery::component::NAME];

/// What components are made with, besides their sections.
#[derive(Clone, Default)]
pub struct Wiring {
    /// The cluster; `None`: components are only listed, not run.
    pub cluster: Option<Cluster>,
    /// The one watch cache of the process; there where `cluster` is.
    pub cache: Option<Cache>,
}

/// A component as it stands in the list.
pub struct Listed {
    /// The component.
    pub component: Arc<dyn Component>,
    /// Whether it is switched on.
    pub on: bool,
}

/// The list. What a later one needs of an earlier one is made here and handed to both; the end goes the other
/// way round.
pub fn components(config: &Config, wiring: &Wiring) -> Vec<Listed> {
    let watched = wiring.cluster.clone().zip(wiring.cache.clone());
    let all: Vec<Arc<dyn Component>> = vec![
        Arc::new(cluster::Watch::new(wiring.cluster.clone())),
        Arc::new(Delivery::new(config.delivery.clone(), watched)),
    ];
    all.into_iter()
        .map(|component| {
            let on = !config.off.iter().any(|name| name == component.name());
            Listed { component, on }
        })
        .collect()
}

/// Those of the list that are switched on.
pub fn switched_on(config: &Config, wiring: &Wiring) -> Vec<Arc<dyn Component>> {
    components(config, wiring).into_iter().filter(|listed| listed.on).map(|listed| listed.component).collect()
}
