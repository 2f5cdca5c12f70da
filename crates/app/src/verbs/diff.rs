//! `kiban diff`: what an apply would change, as the server itself would change it; with `--base`, what a change of
//! the manifest repository does, without a cluster.

mod page;
mod review;
mod sides;
#[cfg(test)]
mod tests;

use kiban_kube::apply::{Event, Options};
use kiban_kube::diff::{Change, Difference};
use kiban_manifest::diff as semantic;
use serde_json::Value;

use self::review::Environment;
use self::sides::Sides;
use super::removed::Removed;
use super::source::{self, Source, count};
use super::target::{self, Target};
use crate::note;
use crate::{Exit, terminal};

/// Arguments of `kiban diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban diff -e prod        # against the cluster; exit 0: nothing to do, 1: differences\n  kiban diff -e prod --app orders\n  kiban diff --base main    # rendered/ here against where this branch left main; no cluster is asked\n  kiban diff --base main --format markdown > comment.md\n  kiban diff --base v1.2.0 --head v1.3.0 -e prod --format json"
)]
pub struct Arguments {
    /// The environment; with --base it may be given more than once, and without it all are compared
    #[arg(short, long = "env", value_name = "ENV", required_unless_present = "base")]
    env: Vec<String>,
    /// This app only; may be given more than once
    #[arg(long, value_name = "APP")]
    app: Vec<String>,
    /// Compare what is rendered with where this branch left that branch, tag or commit, instead of with a cluster
    #[arg(long, value_name = "REF", conflicts_with_all = ["kubeconfig", "context", "skip_missing_kinds"])]
    base: Option<String>,
    /// Compare this branch, tag or commit instead of the files as they lie in the folder
    #[arg(long, value_name = "REF", requires = "base")]
    head: Option<String>,
    /// How to write it: markdown is for a pull request, within the length that forges take
    #[arg(long, value_name = "FORMAT", requires = "base", default_value = "text")]
    format: Format,
    /// Leave out objects whose kind the cluster does not know, instead of stopping
    #[arg(long)]
    skip_missing_kinds: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    source: Source,
}

/// How a comparison of commits is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
}

/// Compares.
pub fn run(arguments: &Arguments) -> Exit {
    if let Some(base) = &arguments.base {
        return between(arguments, base).unwrap_or_else(Exit::Usage);
    }
    let [env] = arguments.env.as_slice() else {
        return Exit::Usage(anyhow::anyhow!("a cluster is compared with one environment: give one -e"));
    };
    let requests = match source::render_dir_apps(&arguments.source, env, &arguments.app) {
        Ok(rendered) => target::requests(&rendered, ""),
        Err(exit) => return exit,
    };
    super::block_on(compare(arguments, env, requests)).into()
}

/// Compares commits, or a commit with the files as they lie.
fn between(arguments: &Arguments, base: &str) -> anyhow::Result<Exit> {
    let sides = Sides::find(&arguments.source.dir, base, arguments.head.as_deref())?;
    let mut known = sides.base.environments()?;
    known.extend(sides.head.environments()?);
    let wanted: Vec<String> =
        if arguments.env.is_empty() { known.iter().cloned().collect() } else { arguments.env.clone() };
    if let Some(unknown) = wanted.iter().find(|env| !known.contains(*env)) {
        let known: Vec<_> = known.into_iter().collect();
        anyhow::bail!("nothing is rendered for {unknown:?} on either side (there is: {})", known.join(", "));
    }
    let repo = sides.head.repo()?;
    let mut environments = Vec::new();
    for env in &wanted {
        environments.push(Environment::compare(&sides, repo.as_ref(), env, &arguments.app)?);
    }
    if let Some(note) = &sides.note {
        note!("warning: {note}");
    }
    let text = match arguments.format {
        Format::Text => page::text(&sides, &environments),
        Format::Markdown => page::markdown(&sides, &environments),
        Format::Json => page::json(&sides, &environments),
    };
    terminal::line(text.trim_end());
    Ok(if environments.iter().any(Environment::differs) { Exit::Found } else { Exit::Done })
}

async fn compare(
    arguments: &Arguments,
    env: &str,
    requests: Vec<kiban_kube::apply::Request>,
) -> anyhow::Result<Exit> {
    let cluster = arguments.target.connect().await?;
    let mut removed = Removed::find(&cluster, env, &requests).await?;
    let requests = match target::only(requests, &removed.requests, &arguments.app) {
        Ok(requests) => requests,
        Err(error) => return Ok(Exit::Usage(error)),
    };
    removed.only(&arguments.app);
    let options = Options { skip_missing_kinds: arguments.skip_missing_kinds, ..Options::default() };
    target::check_kinds(&cluster, &requests, options.skip_missing_kinds).await?;
    let sink = |event: Event| {
        if let Event::Warning(text) = event {
            note!("warning: {text}");
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
    note!("{what}");
}
