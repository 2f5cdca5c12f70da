//! `kiban diff`: what an apply would change, as the server itself would change it.

use kiban_kube::apply::{Event, Options};
use kiban_kube::diff::{Change, Difference};
use kiban_manifest::diff as semantic;
use serde_json::Value;

use super::removed::Removed;
use super::source::{self, Source, count};
use super::target::{self, Target};
use crate::{Exit, terminal};

/// Arguments of `kiban diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban diff -e prod        # exit 0: nothing to do, 1: differences\n  kiban diff -e prod --app orders"
)]
pub struct Arguments {
    /// The environment
    #[arg(short, long = "env", value_name = "ENV")]
    env: String,
    /// This app only; may be given more than once
    #[arg(long, value_name = "APP")]
    app: Vec<String>,
    /// Leave out objects whose kind the cluster does not know, instead of stopping
    #[arg(long)]
    skip_missing_kinds: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    source: Source,
}

/// Compares.
pub fn run(arguments: &Arguments) -> Exit {
    let requests = match source::render_dir_apps(&arguments.source, &arguments.env, &arguments.app) {
        Ok(rendered) => target::requests(&rendered, ""),
        Err(exit) => return exit,
    };
    super::block_on(compare(arguments, requests)).into()
}

async fn compare(arguments: &Arguments, requests: Vec<kiban_kube::apply::Request>) -> anyhow::Result<Exit> {
    let cluster = arguments.target.connect().await?;
    let mut removed = Removed::find(&cluster, &arguments.env, &requests).await?;
    let requests = match target::only(requests, &removed.requests, &arguments.app) {
        Ok(requests) => requests,
        Err(error) => return Ok(Exit::Usage(error)),
    };
    removed.only(&arguments.app);
    let options = Options { skip_missing_kinds: arguments.skip_missing_kinds, ..Options::default() };
    target::check_kinds(&cluster, &requests, options.skip_missing_kinds).await?;
    let sink = |event: Event| {
        if let Event::Warning(text) = event {
            eprintln!("warning: {text}");
        }
    };
    let mut all = Vec::new();
    for request in requests.iter().chain(&removed.requests) {
        all.extend(kiban_kube::diff::diff(&cluster, request, &options, &sink).await?);
    }
    // What is left out on demand is no difference that an apply could mend; it has been said above.
    let left_out = |d: &Difference| options.skip_missing_kinds && matches!(d.change, Change::MissingKind(_));
    let changed: Vec<_> = all.into_iter().filter(|d| d.is_difference() && !left_out(d)).collect();
    print(&changed);
    Ok(if changed.is_empty() { Exit::Done } else { Exit::Found })
}

fn print(changed: &[Difference]) {
    let side = |of: fn(&Difference) -> Option<&Value>| changed.iter().filter_map(of).collect::<Vec<_>>();
    let changes = semantic::objects(side(|d| d.live.as_ref()), side(|d| d.would_be.as_ref()));
    if !changes.is_empty() {
        terminal::line(semantic::text(&changes).trim_end());
    }
    for difference in changed {
        match &difference.change {
            Change::Refused(why) => terminal::line(&format!("{}: would be refused: {why}", difference.id)),
            Change::MissingKind(_) => {
                terminal::line(&format!("{}: the cluster does not know its kind", difference.id))
            }
            _ => {}
        }
        for conflict in &difference.conflicts {
            terminal::line(&format!("{}: conflict: {conflict}", difference.id));
        }
    }
    let what =
        if changed.is_empty() { "no differences".to_owned() } else { count(changed.len(), "difference") };
    eprintln!("{what}");
}
