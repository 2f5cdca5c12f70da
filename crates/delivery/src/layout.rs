//! What a commit of a manifest repository asks for in one environment, app by app.
//!
//! `rendered/<env>/<app>/` is what runs; `<app>/app.yaml` says whose app it is, and with that in which
//! namespace it may lie; `rendered/<env>/platform/` holds what belongs to all. Folders of plain manifests
//! are named, with their namespace, by the server's configuration: a repository cannot name them itself.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::object::ObjectId;
use kiban_kube::apply::Scope;
use kiban_model::origin::Layer;
use kiban_model::problem::{Kind, Problem, did_you_mean};
use kiban_model::profile::{Environment, Platform};
use kiban_model::repo::{MemoryFiles, Repo};
use kiban_model::yaml::{manifests, parse_one};
use serde_json::Value;

use crate::content::{Content, Unreadable, files_below};

/// The folder, below `rendered/<env>/`, of what belongs to all apps.
pub const PLATFORM: &str = "platform";

/// The namespace in which the platform's inventories lie: one that every cluster has.
pub const PLATFORM_NAMESPACE: &str = "kube-system";

/// Why a commit, or an app of it, cannot be deployed as it is.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Something cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Files that are wrong, each with its place.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn of_file(path: &str, message: impl Into<String>) -> LayoutError {
    LayoutError::Problems(vec![Problem::of_file(path, Kind::Layout, message)])
}

fn text<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, LayoutError> {
    std::str::from_utf8(bytes).map_err(|_| of_file(path, "the file is no UTF-8"))
}

/// What the profile says of an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The environment's name.
    pub env: String,
    /// Branch, watch time, rollback, drift.
    pub environment: Environment,
    /// The profile, the environment's differences merged in.
    pub platform: Platform,
}

/// Reads what `platform.yaml` says of an environment.
///
/// # Errors
/// No profile, a wrong one, or one that does not name the environment.
pub fn settings(content: &dyn Content, env: &str) -> Result<Settings, LayoutError> {
    let path = "platform.yaml";
    let Some(bytes) = content.file(path)? else {
        return Err(of_file(path, "there is none: a manifest repository has a profile at its root"));
    };
    let repo = Repo::load(&MemoryFiles::of([(path, text(path, &bytes)?)]));
    let known = repo.environments();
    if repo.platform.is_some() && !known.iter().any(|k| k == env) {
        let hint = did_you_mean(env, known.iter().map(String::as_str));
        return Err(of_file(path, format!("no environment is called {env:?}{hint}")));
    }
    let resolution = repo.resolve(env).into_result().map_err(LayoutError::Problems)?;
    Ok(Settings {
        env: env.to_owned(),
        environment: resolution.environment,
        platform: resolution.platform.as_ref().clone(),
    })
}

/// All environments of a profile with what it says of each.
///
/// # Errors
/// As [`settings`].
pub fn all_settings(content: &dyn Content) -> Result<Vec<Settings>, LayoutError> {
    let path = "platform.yaml";
    let bytes = content.file(path)?.unwrap_or_default();
    let repo = Repo::load(&MemoryFiles::of([(path, text(path, &bytes)?)]));
    if repo.platform.is_none() {
        return Err(LayoutError::Problems(repo.problems));
    }
    repo.environments().iter().map(|env| settings(content, env)).collect()
}

/// A folder of plain manifests that the server's configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainFolder {
    /// Its path in the repository.
    pub path: String,
    /// The name under which it is deployed.
    pub app: String,
    /// The namespace that its objects lie in.
    pub namespace: String,
}

/// One thing that is deployed by itself: an app's folder, the platform's, or one of plain manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The app, or [`PLATFORM`].
    pub app: String,
    /// The folder of its manifests.
    pub path: String,
    /// Equal fingerprints mean that nothing that matters to it has changed.
    pub fingerprint: String,
    /// The namespace, where the configuration names it; else the app's file and the profile do.
    pub namespace: Option<String>,
}

/// The units of an environment, the platform's first. Reads folders, no files.
///
/// # Errors
/// Folders that cannot be read.
pub fn units(content: &dyn Content, env: &str, plain: &[PlainFolder]) -> Result<Vec<Unit>, Unreadable> {
    let root: BTreeMap<String, _> =
        content.folder("")?.into_iter().map(|entry| (entry.name, entry.id)).collect();
    let profile = root.get("platform.yaml").cloned().unwrap_or_default();
    let base = format!("rendered/{env}");
    let mut units = Vec::new();
    for entry in content.folder(&base)?.into_iter().filter(|e| e.is_folder) {
        // The app's own folder tells the team; only its app.yaml matters, but its folder's id costs no read.
        let owner = root.get(&entry.name).cloned().unwrap_or_default();
        units.push(Unit {
            path: format!("{base}/{}", entry.name),
            fingerprint: format!("{}-{owner}-{profile}", entry.id),
            app: entry.name,
            namespace: None,
        });
    }
    for folder in plain {
        let (parent, name) = folder.path.rsplit_once('/').unwrap_or(("", &folder.path));
        let entry = content.folder(parent)?.into_iter().find(|e| e.name == name && e.is_folder);
        units.extend(entry.map(|entry| Unit {
            app: folder.app.clone(),
            path: folder.path.clone(),
            fingerprint: entry.id,
            namespace: Some(folder.namespace.clone()),
        }));
    }
    units.sort_by(|a, b| (a.app != PLATFORM, &a.app).cmp(&(b.app != PLATFORM, &b.app)));
    Ok(units)
}

/// The manifests of a unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The namespace of its objects and its inventory.
    pub namespace: String,
    /// Its objects.
    pub objects: Vec<Value>,
    /// The file of each object.
    pub files: BTreeMap<ObjectId, String>,
    /// Where its objects may lie.
    pub scope: Scope,
}

/// Reads the manifests of a unit.
///
/// # Errors
/// Files that are no manifests, an object twice, a folder whose app nobody owns.
pub fn load(content: &dyn Content, unit: &Unit, settings: &Settings) -> Result<Loaded, LayoutError> {
    let namespace = namespace(content, unit, settings)?;
    let scope = if unit.app == PLATFORM {
        Scope::Cluster
    } else {
        Scope::Namespaces(BTreeSet::from([namespace.clone()]))
    };
    let mut loaded = Loaded { namespace, scope, ..Loaded::default() };
    let mut problems = Vec::new();
    for (path, _) in files_below(content, &unit.path)? {
        if !path.ends_with(".yaml") && !path.ends_with(".yml") && !path.ends_with(".json") {
            continue;
        }
        let Some(bytes) = content.file(&path)? else { continue };
        match manifests(&path, &bytes) {
            Ok(found) => found.into_iter().for_each(|m| add(&mut loaded, &mut problems, &path, m.value)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(LayoutError::Problems(problems)) }
}

fn add(loaded: &mut Loaded, problems: &mut Vec<Problem>, path: &str, object: Value) {
    let id = match ObjectId::of(&object) {
        Ok(id) => id,
        Err(bad) => return problems.push(Problem::of_file(path, Kind::Value, bad.to_string())),
    };
    if let Some(other) = loaded.files.insert(id.clone(), path.to_owned()) {
        problems.push(Problem::of_file(path, Kind::Layout, format!("{id} is in {other} too")));
    }
    loaded.objects.push(object);
}

/// The namespace that a unit belongs to: never what its manifests say, or a pull request to one team's
/// folder could write into another's.
fn namespace(content: &dyn Content, unit: &Unit, settings: &Settings) -> Result<String, LayoutError> {
    if let Some(namespace) = &unit.namespace {
        return Ok(namespace.clone());
    }
    if unit.app == PLATFORM {
        return Ok(PLATFORM_NAMESPACE.to_owned());
    }
    let path = format!("{}/app.yaml", unit.app);
    let Some(bytes) = content.file(&path)? else {
        return Err(of_file(
            &unit.path,
            format!(
                "nothing says whose app this is: {path} is missing (remove the folder, or bring the file back)"
            ),
        ));
    };
    let node = parse_one(&path, &bytes, Layer::App).map_err(|p| LayoutError::Problems(vec![p]))?;
    match node.get("team").and_then(|team| team.text()) {
        Some(team) => Ok(settings.platform.namespace(team, &unit.app, &settings.env)),
        None => Err(of_file(&path, "it names no team, which the namespace is made of")),
    }
}

#[cfg(test)]
mod tests;
