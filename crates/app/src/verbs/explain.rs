//! `kiban explain`: a rendered value, the rule that set it, why, and who may change it.

use kiban_manifest::Explanation;
use kiban_model::repo::Repo;

use super::source::{self, Source};
use crate::{Exit, terminal};

/// Arguments of `kiban explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban explain orders deployment.spec.template.spec.terminationGracePeriodSeconds\n  kiban explain orders 'deployment.spec.template.spec.containers[orders].resources' -e stg\n  kiban explain orders pdb"
)]
pub struct Arguments {
    /// The app, or `platform` for what belongs to the environment as a whole
    app: String,
    /// A kind and a path into it
    path: String,
    /// The environment; `prod` where there is one, else the last of the profile
    #[arg(short, long = "env", value_name = "ENV")]
    env: Option<String>,
    #[command(flatten)]
    source: Source,
}

/// Explains.
pub fn run(arguments: &Arguments) -> Exit {
    explain(arguments).unwrap_or_else(|exit| exit)
}

fn explain(arguments: &Arguments) -> Result<Exit, Exit> {
    if let Some(at) = empty_first_step(&arguments.path) {
        return Err(Exit::Usage(anyhow::anyhow!(
            "path {:?}: nothing between the dots at character {at}",
            arguments.path
        )));
    }
    let repo = arguments.source.load()?;
    let env = arguments.env.clone().or_else(|| default_env(&repo));
    let env = env.ok_or_else(|| Exit::Usage(anyhow::anyhow!("platform.yaml names no environment")))?;
    // What breaks a law can be explained all the same, and `render` says what that is.
    let named: Vec<String> = repo.apps.keys().filter(|app| **app == arguments.app).cloned().collect();
    let rendered = source::render_lawless(&repo, &env, &named)?;
    let explanation = kiban_manifest::explain(&rendered, &arguments.app, &arguments.path)
        .map_err(|e| Exit::Usage(anyhow::anyhow!("{e}")))?;
    print(&explanation);
    Ok(Exit::Done)
}

/// Where the step behind the kind is empty, as a character from 1: the rest is read as a path of its own, which may
/// begin with a dot.
fn empty_first_step(path: &str) -> Option<usize> {
    let (kind, rest) = path.split_once('.')?;
    (rest.is_empty() || rest.starts_with('.')).then(|| kind.chars().count() + 2)
}

fn default_env(repo: &Repo) -> Option<String> {
    let all = repo.environments();
    all.iter().find(|e| *e == "prod").or(all.last()).cloned()
}

fn print(explanation: &Explanation) {
    terminal::line(&format!("{}  ({})", explanation.object, explanation.file));
    for line in &explanation.lines {
        let rule = line.rule;
        let who: Vec<_> = rule.who.iter().map(ToString::to_string).collect();
        terminal::line(&format!("\n{}: {}", line.path, line.value));
        terminal::line(&format!("  rule  {}: {}", rule.id, rule.what));
        terminal::line(&format!("  why   {}", rule.why));
        if !who.is_empty() {
            terminal::line(&format!("  who   {}", who.join("; ")));
        }
        if let Some(origin) = &line.origin {
            terminal::line(&format!("  from  {origin} ({})", origin.layer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::empty_first_step;

    #[test]
    fn an_empty_step_behind_the_kind_is_found() {
        for (path, at) in [
            ("deployment", None),
            ("deployment.spec.template", None),
            ("deployment/orders.spec", None),
            ("deployment[spec]", None),
            ("deployment..spec", Some(12)),
            ("deployment.", Some(12)),
            ("..", Some(2)),
        ] {
            assert_eq!(empty_first_step(path), at, "{path}");
        }
    }
}
