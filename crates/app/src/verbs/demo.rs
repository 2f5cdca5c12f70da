//! `kiban demo`: the embedded cluster, a manifest repository with the sample shop, the reconciler that follows
//! it, and a table that lives.

mod chat;
mod repository;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kiban_delivery::component::Delivery;
use kiban_delivery::config::{DeliverySection, RepositorySection};
use kiban_delivery::notify::{State, Threads};
use kiban_kube::cache::{Cache, Options as CacheOptions};
use kiban_model::text::{Duration as Span, Name};
use kiban_runtime::clock::SystemClock;
use kiban_runtime::component::{Component, Context};
use kiban_runtime::cpu::Pool;
use kiban_runtime::shutdown;
use kiban_simcluster::kind::well_known::{DEPLOYMENT, POD};
use kiban_simcluster::nodes::StandIn;
use kiban_simcluster::server::{self, Config, Running};

use super::sim::Timing;
use super::source;
use super::target::Target;
use crate::{Exit, shop, terminal};

/// How often the table is looked at.
const REFRESH: Duration = Duration::from_millis(500);

/// How often `--once` looks whether everything is ready.
const LOOK: Duration = Duration::from_millis(10);

/// How long the demo waits for something without hope.
const PATIENCE: Span = Span::secs(5);

/// Arguments of `kiban demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban demo\n  kubectl --kubeconfig kiban-demo.yaml get pods -A\n\nThe cluster, the chat and the manifest repository are stand-ins: they live in this process and in the folder of --repository, and go with it."
)]
pub struct Arguments {
    /// Which of the shop's environments
    #[arg(short, long = "env", value_name = "ENV", default_value = "dev")]
    env: String,
    /// Where to write a kubeconfig for the demo's cluster
    #[arg(long, value_name = "FILE", default_value = "kiban-demo.yaml")]
    kubeconfig: PathBuf,
    /// Where to make the manifest repository that the reconciler follows
    #[arg(long, value_name = "DIR", default_value = "kiban-demo.git")]
    repository: PathBuf,
    /// How long things take
    #[arg(long, value_enum, default_value_t = Timing::Fast)]
    timing: Timing,
    /// End once everything is ready, instead of at Ctrl-C
    #[arg(long)]
    once: bool,
}

/// Runs the demo.
pub fn run(arguments: &Arguments) -> Exit {
    let repo = source::read(&shop::files());
    let rendered = match source::render(&repo, &arguments.env) {
        Ok(rendered) => rendered,
        Err(exit) => return exit,
    };
    super::block_on(demo(arguments, rendered)).into()
}

async fn demo(arguments: &Arguments, rendered: kiban_manifest::Rendered) -> anyhow::Result<Exit> {
    repository::make(&arguments.repository, &shop::files(), &rendered).await?;
    let done = on_cluster(arguments).await;
    // What the demo made goes with it.
    let _ = std::fs::remove_dir_all(&arguments.repository);
    let _ = std::fs::remove_file(&arguments.kubeconfig);
    done
}

async fn on_cluster(arguments: &Arguments) -> anyhow::Result<Exit> {
    // The shop's secrets are encrypted for clusters that have its key; this one makes its own.
    let secrets =
        StandIn { kind: "Secret".into(), namespace: "*".into(), name: "*".into(), data: Vec::new() };
    let fast = arguments.timing == Timing::Fast;
    let running = server::start(Config { fast, stand_ins: vec![secrets], ..Config::default() }).await?;
    terminal::write_whole(&arguments.kubeconfig, running.kubeconfig(), true)
        .with_context(|| format!("cannot write the kubeconfig {}", arguments.kubeconfig.display()))?;
    let target = Target { kubeconfig: Some(arguments.kubeconfig.clone()), context: None };
    let cluster = target.connect().await?;
    let cache = Cache::new(cluster.clone(), CacheOptions::default());
    let delivery = Delivery::new(section(arguments)?, Some((cluster, cache)))
        .telling(vec![Arc::new(chat::Chat::default())]);
    let context = Context::new(delivery.name(), Arc::new(SystemClock), Pool::new(2, &Default::default())?);
    let threads = delivery.threads();
    let (trigger, stop) = shutdown::channel();
    let built = delivery.build(&context).await.map_err(|why| anyhow::anyhow!("{why}"))?;
    let reconciler = tokio::spawn(built.start(stop));
    let exit = ready(&threads).await;
    terminal::line(&format!("\nready {}", running.url()));
    if !arguments.once {
        let path = arguments.kubeconfig.display();
        let repository = arguments.repository.display();
        terminal::line(&format!("look around: kubectl --kubeconfig {path} get all -A"));
        terminal::line(&format!("ship: git clone {repository} shop, change something in it, commit, push"));
        terminal::line("Ctrl-C ends it\n");
        show(&running).await?;
    }
    trigger.fire();
    let _ = reconciler.await;
    running.stop().await;
    Ok(exit)
}

/// The reconciler's configuration.
fn section(arguments: &Arguments) -> anyhow::Result<DeliverySection> {
    let name = |text: &str| Name::new(text).map_err(|why| anyhow::anyhow!(why));
    let url = std::path::absolute(&arguments.repository)?.to_string_lossy().into_owned();
    let repository = RepositorySection {
        poll: Span::secs(1),
        environments: vec![name(&arguments.env)?],
        ..RepositorySection::at(url)
    };
    Ok(DeliverySection {
        repositories: [(name("shop")?, repository)].into(),
        // The embedded cluster starts without Gateway API's kinds.
        skip_missing_kinds: true,
        patience: PATIENCE,
        ..DeliverySection::default()
    })
}

/// Waits until every app of the first commit is ready, or came to its end.
async fn ready(threads: &Threads) -> Exit {
    loop {
        if let Some(thread) = threads.all().into_iter().next_back() {
            let is_ready = |state: &State| !matches!(state, State::Applying { .. });
            // The platform's own first; the apps begin once it is done.
            if thread.apps.len() > 1 && thread.apps.values().all(is_ready) {
                return if thread.is_bad() { Exit::Found } else { Exit::Done };
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Shows the table until the process is asked to end: drawn anew on a terminal, line by line elsewhere.
async fn show(running: &Running) -> anyhow::Result<()> {
    let live = terminal::is_live();
    let mut shown: Vec<String> = Vec::new();
    let ended = shutdown::signal();
    tokio::pin!(ended);
    loop {
        let table = table(running);
        if live {
            redraw(&table, shown.len());
        } else {
            for line in table.iter().filter(|line| !shown.contains(line)) {
                terminal::line(line);
            }
        }
        shown = table;
        tokio::select! {
            result = &mut ended => return result.context("cannot listen for signals"),
            () = tokio::time::sleep(REFRESH) => {}
        }
    }
}

/// Moves up over the old table and writes the new one.
fn redraw(table: &[String], old: usize) {
    if old > 0 {
        terminal::line(&format!("\x1b[{}A\x1b[1A", old));
    }
    for line in table {
        terminal::line(&format!("\x1b[2K{line}"));
    }
}

/// A line for every Deployment, and one for all pods.
fn table(running: &Running) -> Vec<String> {
    let state = running.cluster.snapshot();
    let mut lines =
        vec![format!("{:<24} {:<16} {:>7} {:>10}", "NAMESPACE", "DEPLOYMENT", "READY", "UP-TO-DATE")];
    for deployment in state.objects(*DEPLOYMENT).values() {
        let value = deployment.value();
        let count = |path: &str| value.pointer(path).and_then(serde_json::Value::as_i64).unwrap_or(0);
        let ready = format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas"));
        lines.push(format!(
            "{:<24} {:<16} {ready:>7} {:>10}",
            deployment.key.namespace,
            deployment.key.name,
            count("/status/updatedReplicas")
        ));
    }
    let pods = state.objects(*POD);
    let ready = pods.values().filter(|p| p.pod.is_some_and(|d| d.ready)).count();
    lines.push(format!("{} pods, {ready} ready", pods.len()));
    lines
}
