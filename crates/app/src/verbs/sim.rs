//! `kiban sim`: the embedded cluster alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kiban_runtime::shutdown;
use kiban_simcluster::nodes::StandIn;
use kiban_simcluster::server::{self, Config};

use crate::{Exit, terminal};

/// How long a step in the life of a fake node or pod takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Timing {
    /// Milliseconds, whatever probes, back-offs and grace periods say
    Fast,
    /// As long as on real nodes
    Realistic,
}

/// Arguments of `kiban sim`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban sim --nodes 50 --kubeconfig sim.yaml\n  kubectl --kubeconfig sim.yaml get nodes"
)]
pub struct Arguments {
    /// How many fake nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=5000))]
    nodes: u16,
    /// Where to write a kubeconfig for this cluster; it is whole before the `ready` line
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// Where all randomness comes from: the same seed gives the same cluster
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// How long things take
    #[arg(long, value_enum, default_value_t = Timing::Realistic)]
    timing: Timing,
    /// ConfigMaps and Secrets that the cluster makes itself where a pod waits for them
    #[arg(long, value_name = "FILE")]
    stand_ins: Option<PathBuf>,
    /// Put roles and bindings in force; the kubeconfig's user may still do everything
    #[arg(long)]
    rbac: bool,
}

/// An address with its port; `localhost` is the IPv4 one.
fn address(text: &str) -> Result<SocketAddr, String> {
    let host = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = host.as_deref().unwrap_or(text).parse();
    address.map_err(|_| "expected an address and a port, like 127.0.0.1:6443 or [::1]:0".to_owned())
}

/// Runs until it is interrupted.
pub fn run(arguments: &Arguments) -> Exit {
    if !arguments.listen.ip().is_loopback() {
        return Exit::Usage(anyhow::anyhow!(
            "--listen {}: the embedded cluster serves loopback addresses only",
            arguments.listen
        ));
    }
    let stand_ins = match arguments.stand_ins.as_deref().map(read_stand_ins).transpose() {
        Ok(stand_ins) => stand_ins.unwrap_or_default(),
        Err(error) => return Exit::Usage(error),
    };
    let config = Config {
        listen: arguments.listen,
        nodes: usize::from(arguments.nodes),
        seed: arguments.seed,
        fast: arguments.timing == Timing::Fast,
        stand_ins,
        rbac: arguments.rbac,
    };
    crate::verbs::block_on(serve(config, &arguments.kubeconfig)).into()
}

fn read_stand_ins(path: &Path) -> anyhow::Result<Vec<StandIn>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = path.display().to_string();
    kiban_simcluster::nodes::stand_ins(&file, &text).map_err(|e| anyhow::anyhow!("{e}"))
}

async fn serve(config: Config, kubeconfig: &Path) -> anyhow::Result<Exit> {
    let running = server::start(config).await?;
    terminal::write_whole(kubeconfig, running.kubeconfig(), true)
        .with_context(|| format!("cannot write the kubeconfig {}", kubeconfig.display()))?;
    terminal::line(&format!("ready {}", running.url()));
    shutdown::signal().await.context("cannot listen for signals")?;
    running.stop().await;
    Ok(Exit::Done)
}
