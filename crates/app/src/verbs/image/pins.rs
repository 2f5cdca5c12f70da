//! `kiban image set` in a manifest repository: one line of a pin's file a change, by digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kiban_base::image::Reference;
use kiban_cloud::registry::{Resolved, Tag};
use kiban_delivery::image::ask::Ask;
use kiban_delivery::image::pin::{self, Pin};
use kiban_model::pin::PinnedVersion;
use kiban_model::problem::did_you_mean;
use kiban_model::repo::Repo;

use super::super::source::{self, Source};
use super::ask::Asked;
use super::{Set, lookup, write};
use crate::note;
use crate::{Exit, terminal};

/// An app in an environment, whose image is to change.
struct Target {
    app: String,
    env: String,
    /// As the app's file writes it.
    repository: String,
    image: Reference,
    /// What runs there.
    pinned: Option<PinnedVersion>,
}

/// A pin's file, as it is and as it becomes.
struct Edit {
    path: PathBuf,
    shown: String,
    line: String,
    text: Option<String>,
}

/// Sets.
pub(super) fn run(set: &Set) -> Exit {
    change(set).unwrap_or_else(|exit| exit)
}

fn change(set: &Set) -> Result<Exit, Exit> {
    let asked = Asked::of(set).map_err(Exit::Usage)?;
    let source = Source { dir: asked.folder.clone().unwrap_or_else(|| ".".into()) };
    let repo = source.load()?;
    let mut targets = targets(&repo, &asked, &set.env)?;
    let found = look_up(set, &targets)?;
    for target in &mut targets {
        if let Some(resolved) = found.get(&target.image.to_string()) {
            target.image.digest = Some(resolved.digest.clone());
        }
    }
    let edits: Vec<Edit> = targets.iter().map(|t| edit(&source.dir, t)).collect::<Result<_, Exit>>()?;
    for edit in &edits {
        if let Some(text) = &edit.text {
            let folder = edit.path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            write::write(&edit.path, text)?;
        }
        terminal::line(&format!("{}: {}", edit.shown, edit.line));
    }
    rendered(set, &source, &targets)?;
    Ok(Exit::Done)
}

/// What is to change: each app in each environment.
fn targets(repo: &Repo, asked: &Asked, envs: &[String]) -> Result<Vec<Target>, Exit> {
    let known = repo.environments();
    for env in envs {
        if !known.contains(env) {
            let hint = did_you_mean(env, known.iter().map(String::as_str));
            let there = known.join(", ");
            return Err(Exit::Usage(anyhow!("no environment {env:?}{hint} (there are: {there})")));
        }
    }
    let repositories = Repositories::of(repo, &known);
    let mut all: BTreeMap<(String, String), Target> = BTreeMap::new();
    for ask in named(repo, &repositories, asked)? {
        let chosen = if envs.is_empty() { pinned_in(repo, &ask, &known)? } else { envs.to_vec() };
        for env in chosen {
            let target = repositories.target(&ask, &env).map_err(Exit::Usage)?;
            if let Some(before) = all.get(&(ask.name.clone(), env.clone()))
                && before.image != target.image
            {
                let (one, two) = (&before.image, &target.image);
                return Err(Exit::Usage(anyhow!("{} is asked to run {one} and {two}", ask.name)));
            }
            all.insert((ask.name.clone(), env), target);
        }
    }
    Ok(all.into_values().collect())
}

/// What is asked for, each by the name of an app. A build output names artifacts: an app is theirs that is called
/// like one, or whose image it is.
fn named(repo: &Repo, repositories: &Repositories, asked: &Asked) -> Result<Vec<Ask>, Exit> {
    let mut asks = Vec::new();
    for ask in &asked.named {
        if !repo.apps.contains_key(&ask.name) {
            let hint = did_you_mean(&ask.name, repo.apps.keys().map(String::as_str));
            return Err(Exit::Usage(anyhow!("no app {:?}{hint}", ask.name)));
        }
        asks.push(ask.clone());
    }
    let mut nobodys = Vec::new();
    for ask in &asked.built {
        let mut apps = repositories.apps_of(&ask.image);
        if apps.is_empty() && repo.apps.contains_key(&ask.name) {
            apps.push(ask.name.clone());
        }
        if apps.is_empty() {
            nobodys.push(ask.image.to_string());
        }
        asks.extend(apps.into_iter().map(|name| Ask { name, image: ask.image.clone() }));
    }
    if asks.is_empty() {
        let images = nobodys.join(", ");
        return Err(Exit::Usage(anyhow!("no app here has an image of the build output ({images})")));
    }
    for image in nobodys {
        note!("{image}: no app here has it, left out");
    }
    Ok(asks)
}

/// The environments that have a pin for an app; where there is only one environment, that.
fn pinned_in(repo: &Repo, ask: &Ask, known: &[String]) -> Result<Vec<String>, Exit> {
    let pins = repo.apps.get(&ask.name).map(|app| &app.pins);
    let pinned = |env: &&String| pins.is_some_and(|pins| pins.contains_key(*env));
    let found: Vec<String> = known.iter().filter(pinned).cloned().collect();
    match (found.as_slice(), known) {
        ([], [only]) => Ok(vec![only.clone()]),
        ([], _) => Err(Exit::Usage(anyhow!(
            "{} is pinned nowhere yet: say where it is to run with -e ({})",
            ask.name,
            known.join(", ")
        ))),
        _ => Ok(found),
    }
}

/// The image repositories of all apps, by app and environment; for those whose files are wrong the problems.
struct Repositories(
    BTreeMap<(String, String), (String, Option<PinnedVersion>)>,
    BTreeMap<String, Vec<String>>,
);

impl Repositories {
    fn of(repo: &Repo, envs: &[String]) -> Self {
        let (mut found, mut wrong) = (BTreeMap::new(), BTreeMap::new());
        for env in envs {
            let outcome = repo.resolve(env);
            for app in outcome.resolution.iter().flat_map(|r| &r.apps) {
                let image =
                    (app.app.image.as_str().to_owned(), app.image.as_ref().map(|i| i.version.clone()));
                found.insert((app.app.name.as_str().to_owned(), env.clone()), image);
            }
            wrong.insert(env.clone(), outcome.problems.iter().map(|p| format!("{p:#}")).collect());
        }
        Self(found, wrong)
    }

    fn apps_of(&self, image: &Reference) -> Vec<String> {
        let is_its =
            |repository: &str| Reference::parse(repository).is_ok_and(|r| r.is_same_repository(image));
        let mut apps: Vec<String> =
            self.0.iter().filter(|(_, (r, _))| is_its(r)).map(|((app, _), _)| app.clone()).collect();
        apps.dedup();
        apps
    }

    fn target(&self, ask: &Ask, env: &str) -> anyhow::Result<Target> {
        let key = (ask.name.clone(), env.to_owned());
        let Some((repository, pinned)) = self.0.get(&key) else {
            for problem in self.1.get(env).into_iter().flatten() {
                note!("{problem}");
            }
            anyhow::bail!("the files of {} in {env} do not say which image it has", ask.name);
        };
        let wanted = Reference::parse(repository)?;
        anyhow::ensure!(
            wanted.is_same_repository(&ask.image),
            "{} is no image of {repository}, which {}/app.yaml names",
            ask.image,
            ask.name
        );
        Ok(Target {
            app: ask.name.clone(),
            env: env.to_owned(),
            repository: repository.clone(),
            image: ask.image.clone(),
            pinned: pinned.clone(),
        })
    }
}

/// Looks up what must be: tags, and with platforms everything. By the image as it is written.
fn look_up(set: &Set, targets: &[Target]) -> Result<BTreeMap<String, Resolved>, Exit> {
    let mut images: Vec<&Reference> = targets.iter().map(|t| &t.image).collect();
    images.sort();
    images.dedup();
    images.retain(|image| image.digest.is_none() || !set.lookup.platform.is_empty());
    if images.is_empty() {
        return Ok(BTreeMap::new());
    }
    if set.no_registry {
        let image = images.first().map(ToString::to_string).unwrap_or_default();
        return Err(Exit::Usage(anyhow!(
            "{image} has no digest, and --no-registry asks nobody for it: write it like {image}@sha256:…"
        )));
    }
    let registries = set.lookup.registries(&images)?;
    let work = async {
        let mut found = BTreeMap::new();
        for image in images {
            match registries.resolve(image, &set.lookup.platform).await {
                Ok(resolved) => found.insert(image.to_string(), resolved),
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(found))
    };
    let found = super::super::block_on(work)?.map_err(lookup::exit)?;
    for (image, resolved) in &found {
        match &resolved.tag {
            Tag::Same => {}
            Tag::Elsewhere(now) => {
                note!("warning: the tag of {image} means {now} by now; the digest counts")
            }
            Tag::Gone => note!("warning: the tag of {image} is not there any more; the digest counts"),
        }
    }
    Ok(found)
}

fn edit(root: &Path, target: &Target) -> Result<Edit, Exit> {
    let shown = format!("{}/env/{}.pin.yaml", target.app, target.env);
    let path = root.join(&shown);
    // Before anything is written: a link to nothing is no place for a new file.
    write::target(&path)?;
    let pin = Pin::of(&target.repository, &target.image).map_err(|e| Exit::Usage(anyhow!(e)))?;
    let old = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(anyhow!("cannot read {}: {e}", path.display()).into()),
    };
    let new = match &old {
        None => pin::new_file(&pin),
        Some(text) => pin::set(&shown, text, &pin).map_err(|problem| {
            note!("{problem:#}");
            Exit::Usage(anyhow!("{shown} cannot be changed"))
        })?,
    };
    let is_new = old.as_ref() != Some(&new);
    let now = said(pin.digest, pin.tag);
    let line = match &target.pinned {
        _ if !is_new => format!("{} is {now} already", target.repository),
        Some(before) => {
            let before = said(before.digest.as_str(), before.tag.as_ref().map(|t| t.as_str()));
            format!("{} {before} → {now}", target.repository)
        }
        None => format!("{} {now}", target.repository),
    };
    Ok(Edit { path, shown, line, text: is_new.then_some(new) })
}

/// A digest as people compare it, with the tag.
fn said(digest: &str, tag: Option<&str>) -> String {
    let short = digest.get(..digest.find(':').unwrap_or(0) + 13).unwrap_or(digest);
    tag.map_or_else(|| short.to_owned(), |tag| format!("{short} ({tag})"))
}

/// Brings `rendered/` up to date, or says that it is not.
fn rendered(set: &Set, source: &Source, targets: &[Target]) -> Result<(), Exit> {
    let mut apps: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for target in targets {
        apps.entry(&target.env).or_default().push(target.app.clone());
    }
    let out = source.dir.join("rendered");
    if set.render {
        let repo = source.load()?;
        for (env, apps) in apps {
            super::super::render::write_apps(&source::render_for(&repo, env, &apps)?, &apps, &out)?;
        }
        return Ok(());
    }
    for env in apps.keys().filter(|env| out.join(env).is_dir()) {
        note!(
            "rendered/{env} is not current any more: kiban render -e {env} --out {} {}",
            out.display(),
            source.dir.display()
        );
    }
    Ok(())
}
