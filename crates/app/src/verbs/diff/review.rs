//! What changed in the environments between two sides: compared, judged by the laws, and written for a reader.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use kiban_manifest::diff::{self, Change};
use kiban_manifest::{ObjectId, Severity, laws, render_apps};
use kiban_model::repo::Repo;
use kiban_model::yaml::manifests;
use serde_json::Value;

use super::sides::{Files, Sides};

/// One environment, compared.
pub struct Environment {
    /// Its name.
    pub name: String,
    /// What changes, as the API means it.
    pub changes: Vec<Change>,
    /// The apps of the changed objects: the folders that they lie in.
    pub owners: BTreeMap<ObjectId, String>,
    /// What the laws say of the files after the change.
    pub laws: Laws,
    /// The files that differ, before and after.
    pub files: BTreeMap<String, [Option<Vec<u8>>; 2]>,
}

/// What the laws say.
#[derive(Default)]
pub struct Laws {
    /// Whether there was anything to judge: a manifest repository has a profile.
    pub judged: bool,
    /// Files that are wrong, so that nothing can be rendered.
    pub problems: Vec<String>,
    /// Laws that are broken, with the place.
    pub errors: Vec<String>,
    /// What is said, and stops nothing.
    pub warnings: Vec<String>,
    /// How many laws are broken.
    pub broken: usize,
    /// Files below `rendered/` that are not what these files render.
    pub stale: Vec<String>,
}

impl Laws {
    /// How many laws hold.
    pub fn hold(&self) -> usize {
        laws::LAWS.len().saturating_sub(self.broken)
    }
}

impl Environment {
    /// Compares an environment; `apps` are shown, or all where none is named.
    ///
    /// # Errors
    /// Files that cannot be read, or are no manifests.
    pub fn compare(sides: &Sides, repo: Option<&Repo>, name: &str, apps: &[String]) -> anyhow::Result<Self> {
        let (before, after) = (sides.base.manifests(name)?, sides.head.manifests(name)?);
        let old = Objects::read(&before).with_context(|| format!("at {}", sides.base_name))?;
        let new = Objects::read(&after).with_context(|| format!("in {}", sides.head_name))?;
        // All are compared whatever is shown: what one object does depends on the others.
        let mut changes = diff::objects(&old.objects, &new.objects);
        let mut owners = old.owners;
        owners.extend(new.owners);
        let shown = |app: &str| apps.is_empty() || apps.iter().any(|wanted| wanted == app);
        changes.retain(|change| owners.get(&change.id).is_none_or(|app| shown(app)));
        owners.retain(|id, _| changes.iter().any(|change| change.id == *id));
        let laws = repo.map_or_else(Laws::default, |repo| judge(repo, name, &after));
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let files =
            paths.into_iter().filter(|path| before.get(*path) != after.get(*path) && shown(folder(path)));
        let files = files.map(|p| (p.clone(), [before.get(p).cloned(), after.get(p).cloned()])).collect();
        Ok(Self { name: name.to_owned(), changes, owners, laws, files })
    }

    /// Whether anything differs, be it only how a file is written.
    pub fn differs(&self) -> bool {
        !self.changes.is_empty() || !self.files.is_empty()
    }

    /// The apps that are reached.
    pub fn apps(&self) -> BTreeSet<&str> {
        self.changes.iter().filter_map(|change| self.owners.get(&change.id)).map(String::as_str).collect()
    }
}

/// The objects of an environment's files, and the folders that they lie in.
#[derive(Default)]
struct Objects {
    objects: Vec<Value>,
    owners: BTreeMap<ObjectId, String>,
}

impl Objects {
    fn read(files: &Files) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for (path, bytes) in files {
            let app = folder(path);
            for manifest in manifests(path, bytes).map_err(|problem| anyhow::anyhow!("{problem:#}"))? {
                if let Ok(id) = ObjectId::of(&manifest.value) {
                    all.owners.insert(id, app.to_owned());
                }
                all.objects.push(manifest.value);
            }
        }
        Ok(all)
    }
}

/// The app of a file: `rendered/<env>/<app>/…`.
fn folder(path: &str) -> &str {
    path.split('/').nth(2).unwrap_or_default()
}

fn judge(repo: &Repo, env: &str, after: &Files) -> Laws {
    let mut laws = Laws { judged: true, ..Laws::default() };
    let rendered = match render_apps(repo, env, &[]) {
        Ok((rendered, elsewhere)) => {
            laws.problems.extend(elsewhere.iter().map(ToString::to_string));
            rendered
        }
        Err(problems) => {
            laws.problems = problems.iter().map(ToString::to_string).collect();
            return laws;
        }
    };
    let mut broken = BTreeSet::new();
    for finding in &rendered.findings {
        if finding.severity == Severity::Error {
            broken.insert(finding.law);
            laws.errors.push(finding.to_string());
        } else {
            laws.warnings.push(finding.to_string());
        }
    }
    laws.broken = broken.len();
    let wanted = rendered.files();
    let stale = wanted.keys().chain(after.keys()).collect::<BTreeSet<_>>().into_iter();
    let stale =
        stale.filter(|path| wanted.get(*path).map(String::as_bytes) != after.get(*path).map(Vec::as_slice));
    laws.stale = stale.cloned().collect();
    laws
}
