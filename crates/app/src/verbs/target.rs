//! What `diff` and `apply` share: the cluster they go to, and an environment cut into requests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::note;
use kiban_kube::apply::Request;
use kiban_kube::client::{Cluster, ConnectOptions};
use kiban_kube::object::Gvk;
use kiban_manifest::{Owner, Rendered};
use kiban_runtime::clock::SystemClock;

/// Which cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Target {
    /// The kubeconfig; without, what kubectl would use
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without, its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl Target {
    /// Makes ready to talk to it.
    ///
    /// # Errors
    /// Where there is no usable kubeconfig.
    pub async fn connect(&self) -> anyhow::Result<Cluster> {
        let options = ConnectOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            seed: u64::from(std::process::id()),
            ..ConnectOptions::default()
        };
        Ok(Cluster::connect(&options, Arc::new(SystemClock)).await?)
    }
}

/// Where the inventory of an environment's own objects lies: a namespace that every cluster has.
const PLATFORM_NAMESPACE: &str = "kube-system";

/// Cuts an environment into what is applied together: the environment's own objects first, then each
/// app, callees before their callers.
pub fn requests(rendered: &Rendered, commit: &str) -> Vec<Request> {
    let mut by_owner: BTreeMap<&str, Request> = BTreeMap::new();
    for object in &rendered.objects {
        let folder = object.owner.folder();
        let request = by_owner.entry(folder).or_insert_with(|| Request {
            app: folder.to_owned(),
            env: rendered.env.clone(),
            namespace: match &object.owner {
                Owner::Platform => PLATFORM_NAMESPACE.to_owned(),
                Owner::App(_) => String::new(),
            },
            revision: commit.into(),
            ..Request::default()
        });
        let value = object.value();
        if request.namespace.is_empty()
            && let Some(namespace) = value["metadata"]["namespace"].as_str()
        {
            request.namespace = namespace.to_owned();
        }
        request.objects.push(value);
    }
    let platform = by_owner.remove(Owner::Platform.folder());
    platform.into_iter().chain(by_owner.into_values()).collect()
}

/// Keeps the requests of these apps; all where none is named. `removed` are apps that are only on the cluster.
///
/// # Errors
/// An app that is neither rendered nor on the cluster, with the ones that are.
pub fn only(requests: Vec<Request>, removed: &[Request], apps: &[String]) -> anyhow::Result<Vec<Request>> {
    if apps.is_empty() {
        return Ok(requests);
    }
    let known: BTreeSet<&str> = requests.iter().chain(removed).map(|r| r.app.as_str()).collect();
    if let Some(unknown) = apps.iter().find(|a| !known.contains(a.as_str())) {
        let known: Vec<_> = known.into_iter().collect();
        anyhow::bail!("no app \"{unknown}\" is rendered or applied (there are: {})", known.join(", "));
    }
    let platform = Owner::Platform.folder();
    Ok(requests.into_iter().filter(|r| r.app == platform || apps.contains(&r.app)).collect())
}

/// Stops before anything is written where the cluster does not know a kind.
///
/// # Errors
/// The kinds that it does not know, each with the apps that use it.
pub async fn check_kinds(cluster: &Cluster, requests: &[Request], skip: bool) -> anyhow::Result<()> {
    let kinds = cluster.kinds().await?;
    let mut missing: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for request in requests {
        for object in &request.objects {
            // An object without a kind is refused by name when it is applied.
            let Some(gvk) = Gvk::of(object) else { continue };
            if kinds.find(&gvk).is_none() {
                missing
                    .entry(format!("{} {}", gvk.api_version(), gvk.kind))
                    .or_default()
                    .insert(&request.app);
            }
        }
    }
    let list: Vec<_> = missing
        .iter()
        .map(|(kind, apps)| format!("{kind} ({})", apps.iter().copied().collect::<Vec<_>>().join(", ")))
        .collect();
    if list.is_empty() {
        return Ok(());
    }
    if skip {
        note!("left out, because the cluster does not know their kind: {}", list.join("; "));
        return Ok(());
    }
    anyhow::bail!(
        "the cluster does not know {}; nothing was written (--skip-missing-kinds leaves such objects out)",
        list.join("; ")
    )
}

/// The commit of a folder's repository, for the inventory; empty outside of one.
pub fn commit_of(dir: &std::path::Path) -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").arg("-C").arg(dir).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return String::new() };
    let dirty = git(&["status", "--porcelain", "--", "."]).is_some_and(|s| !s.is_empty());
    if dirty { format!("{commit}-dirty") } else { commit }
}
