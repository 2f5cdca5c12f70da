//! The demo's manifest repository: the sample shop, rendered, as the first commit of a repository in a folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use kiban_base::clock::Clock;
use kiban_delivery::source::{Access, Source};
use kiban_git::{Pushed, Who};
use kiban_manifest::Rendered;
use kiban_model::repo::MemoryFiles;
use kiban_model::yaml::edit::{self, scalars};
use kiban_runtime::clock::SystemClock;
use tokio::runtime::Handle;

/// The branch.
pub(super) const BRANCH: &str = "main";

/// How long the demo watches a rollout: nobody waits minutes for a verdict of an embedded cluster.
const WATCH: &str = "5s";

/// Makes the repository. What is there already is never touched.
pub(super) async fn make(folder: &Path, files: &MemoryFiles, rendered: &Rendered) -> anyhow::Result<Source> {
    if folder.exists() {
        bail!("{} is there already: remove it, or name another folder with --repository", folder.display());
    }
    let env = rendered.env.as_str();
    let mut edits: BTreeMap<String, Option<Vec<u8>>> =
        files.0.iter().map(|(path, bytes)| (path.clone(), Some(bytes.clone()))).collect();
    edits.extend(
        rendered
            .files()
            .into_iter()
            .map(|(path, text)| (format!("rendered/{path}"), Some(text.into_bytes()))),
    );
    if let Some(Some(profile)) = edits.get_mut("platform.yaml") {
        *profile = watched_shortly(profile, env)?;
    }
    kiban_git::init(folder, BRANCH)?;
    let address = std::path::absolute(folder).context("where is this?")?;
    let source = Source::open(&address.to_string_lossy(), Access::default(), None, Handle::current())?;
    let who = Who {
        name: "Kiban demo".into(),
        email: "demo@localhost".into(),
        seconds: SystemClock.now().secs(),
        offset: 0,
    };
    match source.begin(BRANCH, edits, "The sample shop", who).await? {
        Pushed::Done => Ok(source),
        other => bail!("{} does not take its first commit: {other:?}", folder.display()),
    }
}

/// The profile with a short watch in the environment; nothing else of it changes.
fn watched_shortly(profile: &[u8], env: &str) -> anyhow::Result<Vec<u8>> {
    let text = std::str::from_utf8(profile)?;
    let scalars = scalars("platform.yaml", text).map_err(|p| anyhow::anyhow!("{p}"))?;
    let wanted = ["environments", env, "watch"];
    let is_it = |p: &&edit::Place| (0..3).all(|i| p.key(i) == wanted.get(i).copied()) && p.path.len() == 3;
    let Some(place) = scalars.places.iter().find(is_it) else { return Ok(profile.to_vec()) };
    let change = edit::Change { place, value: WATCH, comment: None };
    let text = edit::apply(&scalars, &[change], &[]).map_err(|p| anyhow::anyhow!("{p}"))?;
    Ok(text.into_bytes())
}
