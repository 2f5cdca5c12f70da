//! `kiban server`: the components in one process, on a cluster or on a laptop with a kubeconfig.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kiban_kube::cache::{Cache, Options as CacheOptions};
use kiban_kube::client::{Cluster, ConnectOptions};
use kiban_runtime::clock::SystemClock;
use kiban_runtime::config::{self, Loaded, LogFormat};
use kiban_runtime::data::Data;
use kiban_runtime::log::{self, Format, Handle};
use kiban_runtime::metrics::{Counter, Gauge, Registry};
use kiban_runtime::server::{self, Running, Setup};
use kiban_runtime::shutdown::{Signal, Signals};

use super::config::Flags;
use crate::server::{Config, Wiring, switched_on};
use crate::{Exit, terminal};

/// How often the configuration is looked at for changes.
const LOOK: Duration = Duration::from_secs(5);

/// Arguments of `kiban server`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban server --kubeconfig sim.yaml\n  kiban server --config kiban.yaml --data /var/lib/kiban"
)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Be reachable from other machines without TLS and authentication: something else protects the port
    #[arg(long)]
    insecure: bool,
}

/// Runs until it is told to end.
pub fn run(arguments: &Arguments) -> Exit {
    let loaded = match arguments.flags.load_or_say() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if let Err(words) = server::check_exposure(&loaded.value.server, false, arguments.insecure) {
        return Exit::Usage(anyhow::anyhow!(words));
    }
    let format = match loaded.value.log.format {
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
        LogFormat::Auto if std::io::stderr().is_terminal() => Format::Human,
        LogFormat::Auto => Format::Json,
    };
    let log = log::to_stderr(loaded.value.log.level.into(), format, Arc::new(SystemClock));
    log::panics();
    kiban_runtime::files::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::Failed(anyhow::Error::new(error).context("cannot start")),
    };
    let exit = runtime.block_on(serve(arguments, loaded, &log));
    // What does not end does not keep the process.
    runtime.shutdown_background();
    exit.into()
}

async fn serve(arguments: &Arguments, loaded: Loaded<Config>, log: &Handle) -> anyhow::Result<Exit> {
    // First of all, so that a signal while it starts ends it in order too.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let config = loaded.value;
    let data = config.server.data.as_deref().map(Data::open).transpose()?;
    let clock = Arc::new(SystemClock);
    let connect = ConnectOptions {
        kubeconfig: config.cluster.kubeconfig.as_deref().map(Path::to_path_buf),
        context: config.cluster.context.clone(),
        seed: u64::from(std::process::id()),
        ..ConnectOptions::default()
    };
    let cluster = Cluster::connect(&connect, clock.clone()).await?;
    let cache = Cache::new(cluster.clone(), CacheOptions { seed: connect.seed, ..CacheOptions::default() });
    let wiring = Wiring { cluster: Some(cluster), cache: Some(cache) };
    let metrics = Registry::new();
    let running = server::start(Setup {
        section: config.server.clone(),
        insecure: arguments.insecure,
        authenticators: Vec::new(),
        data: data.as_ref().map(|data| data.path().to_path_buf()),
        metrics: metrics.clone(),
        clock,
        seed: connect.seed,
        version: env!("CARGO_PKG_VERSION"),
    })
    .await?;
    running.apply(switched_on(&config, &wiring)).await;
    terminal::line(&format!("ready {}", running.url()));
    if let Some(webhooks) = running.webhooks() {
        tracing::info!(url = webhooks, "webhooks are taken");
    }
    let mut reload = Reload::new(arguments, &metrics, config, log.clone());
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::End => break,
                Signal::Reload => reload.now(&running, &wiring).await,
            },
            () = tokio::time::sleep(LOOK) => reload.if_changed(&running, &wiring).await,
        }
    }
    tracing::info!("ending: components put their work in order; a second signal ends at once");
    tokio::select! {
        forced = running.stop() => {
            if !forced.is_empty() {
                tracing::warn!(components = forced.join(","), "were cut off");
            }
            tracing::info!("ended");
            Ok(Exit::Done)
        }
        () = ended_again(&mut signals) => anyhow::bail!("ended at once, by a second signal"),
    }
}

async fn ended_again(signals: &mut Signals) {
    while signals.next().await != Signal::End {}
}

/// Reads the configuration again: at SIGHUP, or when the file changes.
struct Reload<'a> {
    arguments: &'a Arguments,
    now: Config,
    /// The file's bytes as they were read last.
    seen: Option<Vec<u8>>,
    log: Handle,
    good: Gauge,
    failures: Counter,
}

impl<'a> Reload<'a> {
    fn new(arguments: &'a Arguments, metrics: &Registry, now: Config, log: Handle) -> Self {
        let good = metrics.gauge(
            "kiban_config_last_reload_successful",
            "Whether the configuration that was read last is good (1) or not (0).",
        );
        good.set(1.0);
        let failures = metrics.counter(
            "kiban_config_reload_failures_total",
            "Times that a changed configuration was no good, so that the one before stayed.",
        );
        let mut reload = Self { arguments, now, seen: None, log, good, failures };
        reload.seen = reload.bytes();
        reload
    }

    /// What the file holds; a file that is gone has not changed.
    fn bytes(&self) -> Option<Vec<u8>> {
        self.arguments.flags.config.as_deref().and_then(|path| config::bytes(path).ok())
    }

    async fn if_changed(&mut self, running: &Running, wiring: &Wiring) {
        let bytes = self.bytes();
        if bytes.is_some() && bytes != self.seen {
            self.seen = bytes;
            self.now(running, wiring).await;
        }
    }

    async fn now(&mut self, running: &Running, wiring: &Wiring) {
        self.seen = self.bytes();
        let config = match self.arguments.flags.load() {
            Ok(loaded) => loaded.value,
            Err(problems) => {
                self.good.set(0.0);
                self.failures.inc();
                for problem in &problems.0 {
                    tracing::error!(%problem, "the configuration is no good; the one before stays");
                }
                return;
            }
        };
        self.good.set(1.0);
        let sections = [
            ("server", config.server != self.now.server),
            ("cluster", config.cluster != self.now.cluster),
            ("log.format", config.log.format != self.now.log.format),
        ];
        for (section, _) in sections.into_iter().filter(|(_, changed)| *changed) {
            tracing::warn!(section, "has changed; that takes effect when the server is started anew");
        }
        self.log.set(config.log.level.into());
        let changes = running.apply(switched_on(&config, wiring)).await;
        let (on, off, anew) = (changes.on.join(","), changes.off.join(","), changes.anew.join(","));
        tracing::info!(on, off, anew, "the configuration was read again");
        self.now = config;
    }
}
