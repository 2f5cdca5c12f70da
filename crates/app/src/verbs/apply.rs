//! `kiban apply`: an environment onto a cluster, and nothing that was not asked for.

use std::sync::Arc;
use std::time::Duration;

use kiban_kube::adopt::Adopted;
use kiban_kube::apply::{Adopt, ApplyError, Event, Options, Outcome, Report, Request, apply};
use kiban_kube::cancel::{Cancel, Canceller};
use kiban_kube::client::Cluster;
use kiban_kube::diagnose::{Finding, Gravity};
use kiban_kube::inventory::PruneOptions;
use kiban_kube::object::ObjectId;
use tokio::task::JoinSet;

use super::removed::Removed;
use super::source::{self, Source};
use super::target::{self, Target};
use crate::note;
use crate::{Exit, terminal};

/// Arguments of `kiban apply`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban apply -e prod\n\nExit codes: 0 everything is as rendered and ready; 1 conflicts, refusals or objects that did not become ready; 2 wrong files; 3 it could not be done."
)]
pub struct Arguments {
    /// The environment
    #[arg(short, long = "env", value_name = "ENV")]
    env: String,
    /// This app only; may be given more than once
    #[arg(long, value_name = "APP")]
    app: Vec<String>,
    /// Leave out objects whose kind the cluster does not know, and list them, instead of stopping
    #[arg(long)]
    skip_missing_kinds: bool,
    /// Take over fields that other managers own
    #[arg(long)]
    force_conflicts: bool,
    /// Take objects over from kubectl, Helm, Flux or Argo CD, without restarting a pod. Refused where a Flux
    /// or Argo CD object still points at one of them, unless that is said to be meant: even-if-live
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = ["yes", "even-if-live"])]
    adopt: Option<String>,
    /// Apply what is older than what is applied, or of another history
    #[arg(long)]
    allow_older: bool,
    /// Apply what was rolled back all the same
    #[arg(long)]
    release_hold: bool,
    /// Run migrations again that failed with the same images
    #[arg(long)]
    retry_migrations: bool,
    /// Prune even where that takes more than a third of what was applied last, or all of it
    #[arg(long)]
    prune_all: bool,
    /// Prune Namespaces, claims, CustomResourceDefinitions and objects marked kiban.dev/keep too
    #[arg(long)]
    prune_protected: bool,
    /// Do not wait until everything is ready
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until everything is ready
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    source: Source,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    kiban_base::duration::parse(text).map_err(|e| format!("{e}; write it like 90s, 5m or 1h30m"))
}

/// Applies.
pub fn run(arguments: &Arguments) -> Exit {
    let rendered = match source::render_dir_apps(&arguments.source, &arguments.env, &arguments.app) {
        Ok(rendered) => rendered,
        Err(exit) => return exit,
    };
    let requests = target::requests(&rendered, &target::commit_of(&arguments.source.dir));
    let options = Options {
        force_conflicts: arguments.force_conflicts,
        adopt: match arguments.adopt.as_deref() {
            None => Adopt::No,
            Some("even-if-live") => Adopt::EvenIfLive,
            Some(_) => Adopt::Yes,
        },
        allow_older: arguments.allow_older,
        release_hold: arguments.release_hold,
        retry_migrations: arguments.retry_migrations,
        skip_missing_kinds: arguments.skip_missing_kinds,
        prune: PruneOptions { all: arguments.prune_all, protected: arguments.prune_protected },
        wait: !arguments.no_wait,
        timeout: arguments.timeout,
        holder: holder(),
        ..Options::default()
    };
    let work = async {
        let cluster = arguments.target.connect().await?;
        note!("applying {} to {}", arguments.env, cluster.target());
        let mut removed = Removed::find(&cluster, &arguments.env, &requests).await?;
        let requests = match target::only(requests, &removed.requests, &arguments.app) {
            Ok(requests) => requests,
            Err(error) => return Ok(Exit::Usage(error)),
        };
        removed.only(&arguments.app);
        removed.confirm(arguments.prune_all)?;
        apply_all(&cluster, requests, removed.requests, &options).await
    };
    super::block_on(work).into()
}

/// Who applies, for the eyes of those who wait.
pub(super) fn holder() -> String {
    let of = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let user = of("USER").or_else(|| of("LOGNAME")).unwrap_or_else(|| "kiban".into());
    let host = of("HOSTNAME").or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    format!("{user}@{}/{}", host.as_deref().map_or("localhost", str::trim), std::process::id())
}

/// Applies the environment's own objects, then its apps side by side, and prunes what belonged to apps that
/// are `removed`: last, so that an app that moved runs in its new place before it leaves the old one.
///
/// # Errors
/// Where something stops it before its end.
pub async fn apply_all(
    cluster: &Cluster,
    requests: Vec<Request>,
    removed: Vec<Request>,
    options: &Options,
) -> anyhow::Result<Exit> {
    target::check_kinds(cluster, &requests, options.skip_missing_kinds).await?;
    let (canceller, cancel) = Canceller::new();
    let canceller = Arc::new(canceller);
    let on_signal = canceller.clone();
    let watcher = tokio::spawn(async move {
        if kiban_runtime::shutdown::signal().await.is_ok() {
            note!("stopping; applying again goes on from here");
            on_signal.cancel();
        }
    });
    let (first, apps): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|r| r.app == kiban_manifest::Owner::Platform.folder());
    // That these apps go whole has been confirmed for the environment.
    let whole = Options { prune: PruneOptions { all: true, ..options.prune }, ..options.clone() };
    let mut stages = vec![(first, options), (apps, options), (removed, &whole)];
    if options.prune.protected {
        // Namespaces go with the environment's own objects, and the inventories in them with those.
        stages.rotate_right(1);
    }
    let mut ends = Vec::new();
    for (requests, options) in stages {
        if ends.iter().all(End::is_success) {
            ends.extend(run_side_by_side(cluster, requests, options, &cancel).await?);
        }
    }
    watcher.abort();
    conclude(&ends)
}

/// How the apply of one app ended.
struct End {
    app: String,
    result: Result<Report, ApplyError>,
}

impl End {
    fn is_success(&self) -> bool {
        self.result.as_ref().is_ok_and(Report::is_success)
    }
}

async fn run_side_by_side(
    cluster: &Cluster,
    requests: Vec<Request>,
    options: &Options,
    cancel: &Cancel,
) -> anyhow::Result<Vec<End>> {
    let mut running = JoinSet::new();
    for request in requests {
        let (cluster, options, cancel) = (cluster.clone(), options.clone(), cancel.clone());
        running.spawn(async move {
            let app = request.app.clone();
            let sink = |event: Event| tell(&app, &event);
            let result = apply(&cluster, &request, &options, &cancel, &sink).await;
            End { app, result }
        });
    }
    let mut ends = Vec::new();
    while let Some(end) = running.join_next().await {
        ends.push(end?);
    }
    ends.sort_by(|a, b| a.app.cmp(&b.app));
    Ok(ends)
}

/// One line for what a person wants to follow.
fn tell(app: &str, event: &Event) {
    let text = match event {
        Event::Planned { create, configure, unchanged, prune } => {
            format!("{create} to create, {configure} to change, {prune} to prune, {unchanged} unchanged")
        }
        Event::Deferred { object, reason } => format!("{object}: {reason}"),
        Event::WaitingForTurn { holder, until } => {
            format!("waiting for {holder}, who applies it now; unless it goes on, its turn ends at {until}")
        }
        Event::Done { outcome: Outcome::Unchanged, .. } | Event::Started => return,
        Event::Done { object, outcome } => format!("{object} {outcome}"),
        Event::Waiting { object, readiness } => format!("{object}: {}", readiness.message),
        Event::Blocked { object, findings } => return blocked(app, object, findings),
        Event::Adopted { object, adopted } => return adoption(app, object, adopted),
        Event::Ready { object } => format!("{object} ready"),
        Event::Deleting { object } => format!("{object}: waiting until it is gone"),
        Event::Retrying { what, pause, reason } => format!("{what}: {reason}; trying again in {pause:?}"),
        Event::Warning(text) => format!("warning: {text}"),
    };
    terminal::line(&format!("{app}: {text}"));
}

/// Why an object is not ready, with the last lines of the log that tells more.
fn blocked(app: &str, object: &ObjectId, findings: &[Finding]) {
    for finding in findings {
        let stuck = if finding.gravity == Gravity::Stuck { "stuck" } else { "slow" };
        terminal::line(&format!("{app}: {object} is {stuck}: {finding}"));
        for line in &finding.lines {
            terminal::line(&format!("{app}:     {line}"));
        }
    }
}

/// From whom an object was taken over, and what stays theirs.
fn adoption(app: &str, object: &ObjectId, adopted: &Adopted) {
    terminal::line(&format!("{app}: {object} taken over from {}", adopted.from.join(", ")));
    for remains in &adopted.remains {
        terminal::line(&format!("{app}: {object}: {remains}"));
    }
}

fn conclude(ends: &[End]) -> anyhow::Result<Exit> {
    let mut totals = [0; 4];
    let mut failed = false;
    for end in ends {
        let report = match &end.result {
            Ok(report) => Some(report),
            Err(error) => {
                note!("{}: {error}", end.app);
                failed |= !matches!(error, ApplyError::DryRun { .. });
                error.report()
            }
        };
        let Some(report) = report else { continue };
        let counted: [fn(&Outcome) -> bool; 4] = [
            |o| *o == Outcome::Created,
            |o| *o == Outcome::Configured,
            |o| *o == Outcome::Pruned,
            |o| *o == Outcome::Unchanged,
        ];
        for (total, of) in totals.iter_mut().zip(counted) {
            *total += report.count(of);
        }
        for (object, readiness) in &report.not_ready {
            note!("{}: {object} is not ready: {}", end.app, readiness.message);
        }
    }
    let [created, configured, pruned, unchanged] = totals;
    terminal::line(&format!(
        "{created} created, {configured} changed, {pruned} pruned, {unchanged} unchanged"
    ));
    if failed {
        anyhow::bail!("not everything could be applied");
    }
    Ok(if ends.iter().all(End::is_success) { Exit::Done } else { Exit::Found })
}
