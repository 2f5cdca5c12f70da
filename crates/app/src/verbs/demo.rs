//! `kiban demo`: the embedded cluster with the sample shop on it, and a table that lives.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use kiban_kube::apply::Options;
use kiban_runtime::shutdown;
use kiban_simcluster::kind::well_known::{DEPLOYMENT, POD};
use kiban_simcluster::nodes::StandIn;
use kiban_simcluster::server::{self, Config, Running};

use super::sim::Timing;
use super::target::{self, Target};
use super::{apply, source};
use crate::{Exit, shop, terminal};

/// How often the table is looked at.
const REFRESH: Duration = Duration::from_millis(500);

/// Arguments of `kiban demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  kiban demo\n  kubectl --kubeconfig kiban-demo.yaml get pods -A")]
pub struct Arguments {
    /// Which of the shop's environments
    #[arg(short, long = "env", value_name = "ENV", default_value = "dev")]
    env: String,
    /// Where to write a kubeconfig for the demo's cluster
    #[arg(long, value_name = "FILE", default_value = "kiban-demo.yaml")]
    kubeconfig: PathBuf,
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
    // The shop's secrets are encrypted for clusters that have its key; this one makes its own.
    let secrets =
        StandIn { kind: "Secret".into(), namespace: "*".into(), name: "*".into(), data: Vec::new() };
    let fast = arguments.timing == Timing::Fast;
    let running = server::start(Config { fast, stand_ins: vec![secrets], ..Config::default() }).await?;
    terminal::write_whole(&arguments.kubeconfig, running.kubeconfig(), true)
        .with_context(|| format!("cannot write the kubeconfig {}", arguments.kubeconfig.display()))?;
    let target = Target { kubeconfig: Some(arguments.kubeconfig.clone()), context: None };
    let cluster = target.connect().await?;
    let options = Options { skip_missing_kinds: true, ..Options::default() };
    let exit = apply::apply_all(&cluster, target::requests(&rendered, ""), Vec::new(), &options).await?;
    terminal::line(&format!("\nready {}", running.url()));
    if !arguments.once {
        let path = arguments.kubeconfig.display();
        terminal::line(&format!("look around: kubectl --kubeconfig {path} get all -A"));
        terminal::line("Ctrl-C ends it\n");
        show(&running).await?;
    }
    running.stop().await;
    let _ = std::fs::remove_file(&arguments.kubeconfig);
    Ok(exit)
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
