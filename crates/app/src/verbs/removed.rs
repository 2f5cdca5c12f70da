//! Apps that were applied to an environment and that nothing renders there any more: their inventories
//! are still on the cluster, and say what is to be pruned.

use anyhow::{Context, bail};
use kiban_kube::apply::Request;
use kiban_kube::client::Cluster;
use kiban_kube::inventory::{Inventory, LABEL};

use super::source::count;

/// What an environment's inventories say beside what is rendered.
#[derive(Debug, Default)]
pub struct Removed {
    /// A request without objects for each app that is gone from the repository, or from its namespace.
    pub requests: Vec<Request>,
    /// Objects that these apps were applied with.
    objects: usize,
    /// Objects of all apps of the environment, as they were applied last.
    total: usize,
    /// Nothing at all is rendered.
    empty: bool,
}

impl Removed {
    /// Reads the inventories of an environment.
    ///
    /// # Errors
    /// Where they cannot be listed or read.
    pub async fn find(cluster: &Cluster, env: &str, rendered: &[Request]) -> anyhow::Result<Self> {
        let kinds = cluster.kinds().await?;
        let resource = kinds.preferred("", "ConfigMap").context("the cluster serves no ConfigMaps")?;
        let labels = format!("{LABEL}=true,kiban.dev/env={env}");
        let listed =
            cluster.list(resource, "", &labels).await.context("cannot list what was applied last")?;
        let mut removed = Self { empty: rendered.is_empty(), ..Self::default() };
        for config_map in &listed {
            let inventory = Inventory::read(config_map)?;
            let namespace = config_map["metadata"]["namespace"].as_str().unwrap_or_default();
            removed.total += inventory.objects.len();
            if rendered.iter().any(|r| r.app == inventory.app && r.namespace == namespace) {
                continue;
            }
            removed.objects += inventory.objects.len();
            removed.requests.push(Request {
                app: inventory.app,
                env: env.to_owned(),
                namespace: namespace.to_owned(),
                revision: rendered.first().map(|r| r.revision.clone()).unwrap_or_default(),
                ..Request::default()
            });
        }
        Ok(removed)
    }

    /// Keeps these apps; all where none is named.
    pub fn only(&mut self, apps: &[String]) {
        if !apps.is_empty() {
            self.requests.retain(|r| apps.contains(&r.app));
        }
    }

    /// Demands a word before much of an environment goes: it may be the wrong folder.
    ///
    /// # Errors
    /// Where more than a third of the environment's objects would go, or nothing is rendered.
    pub fn confirm(&self, prune_all: bool) -> anyhow::Result<()> {
        if prune_all || self.requests.is_empty() || !(self.empty || self.objects * 3 > self.total) {
            return Ok(());
        }
        let names: Vec<_> = self.requests.iter().map(|r| format!("{} in {}", r.app, r.namespace)).collect();
        let hint = if self.empty { "nothing was rendered: is this the right folder? " } else { "" };
        bail!(
            "{hint}no longer rendered: {}, {} of the {} that were applied last would be deleted; nothing was written (--prune-all confirms it)",
            names.join(", "),
            self.objects,
            count(self.total, "object")
        )
    }
}
