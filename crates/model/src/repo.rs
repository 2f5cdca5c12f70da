//! The layout of a manifest repository: which file is what, and what belongs nowhere.
//!
//! ```text
//! platform.yaml                      the profile
//! platform/*.yaml                    cluster-scoped objects (platform/<env>/: of one environment)
//! <app>/app.yaml                     an app
//! <app>/env/<env>.yaml               what differs in an environment
//! <app>/env/<env>.pin.yaml           which images run there
//! <app>/secrets/<env>/<name>.enc.yaml
//! <app>/extra/*.yaml                 objects passed through (extra/<env>/: in one environment)
//! rendered/                          what Kiban writes; not read
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::origin::Layer;
use crate::problem::{Kind, Problem, did_you_mean, tidy};
use crate::text::Name;
use crate::yaml::{Manifest, Node, manifests, parse_one};

mod files;
#[cfg(test)]
mod tests;

pub use files::{DirFiles, Files, MemoryFiles};

/// A repository as it was read: every file that is well-formed, and the problems of those that are not.
#[derive(Debug, Default)]
pub struct Repo {
    /// `platform.yaml`.
    pub platform: Option<Node>,
    /// Objects of `platform/`.
    pub platform_objects: Vec<ObjectFile>,
    /// The folders that hold an app, by name.
    pub apps: BTreeMap<String, AppFolder>,
    /// What is wrong with files, whatever the environment.
    pub problems: Vec<Problem>,
}

/// The folder of an app.
#[derive(Debug, Default)]
pub struct AppFolder {
    /// `app.yaml`; `None`: it is there and cannot be read.
    pub app: Option<Node>,
    /// `env/<env>.yaml`, by environment.
    pub envs: BTreeMap<String, Node>,
    /// `env/<env>.pin.yaml`, by environment.
    pub pins: BTreeMap<String, Node>,
    /// Paths of `secrets/<env>/<name>.enc.yaml`, by environment and name.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// Objects of `extra/`.
    pub extra: Vec<ObjectFile>,
    /// Paths, below the folder, of all other files.
    pub others: BTreeSet<String>,
    /// Contents of those that `files: {from}` names.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A file of Kubernetes objects.
#[derive(Debug)]
pub struct ObjectFile {
    /// The environment whose folder it lies in; `None`: it is for all.
    pub env: Option<String>,
    /// Its path in the repository.
    pub path: String,
    /// The objects.
    pub objects: Vec<Manifest>,
}

/// Folders at the root that are no apps.
const RESERVED: [&str; 2] = ["platform", "rendered"];
const IRREGULAR: &str =
    "is a symbolic link (or no regular file); it is not followed: put the file itself there";
const STRAY_ENV: &str = "env/ holds <env>.yaml and <env>.pin.yaml alone";
const STRAY_SECRET: &str = "secrets/ holds encrypted files alone: secrets/<env>/<name>.enc.yaml";

impl Repo {
    /// Reads a repository.
    pub fn load(files: &dyn Files) -> Self {
        let mut repo = Self::default();
        let paths = match files.list() {
            Ok(paths) => paths,
            Err(error) => {
                repo.problems.push(Problem::of_file(".", Kind::Layout, format!("cannot be listed: {error}")));
                return repo;
            }
        };
        let hidden = |path: &str| path.split('/').any(|part| part.starts_with('.'));
        let paths: Vec<String> = paths.into_iter().filter(|path| !hidden(path)).collect();
        // Whoever could list the files lists these; where that fails they are as if they were not there.
        let irregular: Vec<String> = files.irregular().unwrap_or_default();
        let folders = app_folders(paths.iter().chain(&irregular));
        for path in &paths {
            repo.file(files, path, &folders);
        }
        for path in &irregular {
            repo.irregular(path, &folders);
        }
        repo.check_whole(&folders);
        repo.check_alone();
        repo.read_named(files);
        repo.check_unread();
        tidy(&mut repo.problems);
        repo
    }

    fn file(&mut self, files: &dyn Files, path: &str, folders: &BTreeSet<String>) {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["platform.yaml"] => self.platform = self.yaml(files, path, Layer::Profile),
            ["platform.yml"] => self.misplaced(path, "the profile is called platform.yaml"),
            ["platform", rest @ ..] => {
                if let Some(file) = self.objects(files, path, rest) {
                    self.platform_objects.push(file);
                }
            }
            ["app.yaml"] => {
                self.misplaced(path, "an app lies in a folder that is called like it: <app>/app.yaml")
            }
            [folder, rest @ ..] if folders.contains(*folder) && !rest.is_empty() => {
                let mut app = self.apps.remove(*folder).unwrap_or_default();
                self.app_file(files, path, rest, &mut app);
                self.apps.insert((*folder).to_owned(), app);
            }
            [.., "app.yaml"] if parts.len() > 2 => {
                self.misplaced(path, "an app lies in a folder at the root: <app>/app.yaml");
            }
            _ => {}
        }
    }

    fn app_file(&mut self, files: &dyn Files, path: &str, rest: &[&str], app: &mut AppFolder) {
        match rest {
            ["app.yaml"] => app.app = self.yaml(files, path, Layer::App),
            ["app.yml"] => self.misplaced(path, "an app's file is called app.yaml"),
            ["env", name] => self.env_file(files, path, name, app),
            ["env", ..] => self.misplaced(path, STRAY_ENV),
            ["secrets", env, name] if name.ends_with(".enc.yaml") => {
                let name = name.trim_end_matches(".enc.yaml").to_owned();
                if let Err(message) = Name::new(&name) {
                    self.misplaced(path, &message);
                }
                app.secrets.entry((*env).to_owned()).or_default().insert(name, path.to_owned());
            }
            ["secrets", ..] => {
                self.misplaced(path, STRAY_SECRET);
            }
            ["extra", rest @ ..] => {
                if let Some(file) = self.objects(files, path, rest) {
                    app.extra.push(file);
                }
            }
            other => {
                app.others.insert(other.join("/"));
            }
        }
    }

    fn env_file(&mut self, files: &dyn Files, path: &str, name: &str, app: &mut AppFolder) {
        if let Some(env) = name.strip_suffix(".pin.yaml") {
            if let Some(node) = self.yaml(files, path, Layer::Pin) {
                app.pins.insert(env.to_owned(), node);
            }
        } else if let Some(env) = name.strip_suffix(".yaml") {
            if let Some(node) = self.yaml(files, path, Layer::Env) {
                app.envs.insert(env.to_owned(), node);
            }
        } else {
            self.misplaced(path, STRAY_ENV);
        }
    }

    /// What is no regular file is told where one would be read, and elsewhere treated as a file that is not read.
    fn irregular(&mut self, path: &str, folders: &BTreeSet<String>) {
        let parts: Vec<&str> = path.split('/').collect();
        let (folder, rest) = match parts.as_slice() {
            ["platform.yaml" | "platform"] => return self.misplaced(path, IRREGULAR),
            ["platform", rest @ ..] if may_hold_objects(rest) => return self.misplaced(path, IRREGULAR),
            [folder, rest @ ..] if folders.contains(*folder) && !rest.is_empty() => (*folder, rest),
            _ => return,
        };
        let app = self.apps.entry(folder.to_owned()).or_default();
        match rest {
            ["app.yaml" | "env" | "secrets" | "extra"] | ["secrets", _] => self.misplaced(path, IRREGULAR),
            ["env", name] if name.ends_with(".yaml") => self.misplaced(path, IRREGULAR),
            ["env", ..] => self.misplaced(path, STRAY_ENV),
            ["secrets", _, name] if name.ends_with(".enc.yaml") => self.misplaced(path, IRREGULAR),
            ["secrets", ..] => self.misplaced(path, STRAY_SECRET),
            ["extra", rest @ ..] if may_hold_objects(rest) => self.misplaced(path, IRREGULAR),
            ["extra", ..] => {}
            other => {
                let below = other.join("/");
                match app.names_file(&below) {
                    true => self.misplaced(path, IRREGULAR),
                    false => drop(app.others.insert(below)),
                }
            }
        }
    }

    /// A file of objects; `rest` is its path below `extra/` or `platform/`.
    fn objects(&mut self, files: &dyn Files, path: &str, rest: &[&str]) -> Option<ObjectFile> {
        let env = match rest {
            [_] => None,
            [env, _] => Some((*env).to_owned()),
            _ => {
                self.misplaced(path, "objects lie in this folder or in one folder an environment below it");
                return None;
            }
        };
        if !path.ends_with(".yaml") && !path.ends_with(".yml") && !path.ends_with(".json") {
            return None;
        }
        let bytes = self.bytes(files, path)?;
        match manifests(path, &bytes) {
            Ok(objects) => Some(ObjectFile { env, path: path.to_owned(), objects }),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn yaml(&mut self, files: &dyn Files, path: &str, layer: Layer) -> Option<Node> {
        let bytes = self.bytes(files, path)?;
        match parse_one(path, &bytes, layer) {
            Ok(node) => Some(node),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn bytes(&mut self, files: &dyn Files, path: &str) -> Option<Vec<u8>> {
        match files.read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problems.push(Problem::of_file(path, Kind::Layout, format!("cannot be read: {error}")));
                None
            }
        }
    }

    fn misplaced(&mut self, path: &str, message: &str) {
        self.problems.push(Problem::of_file(path, Kind::Layout, message));
    }

    fn check_whole(&mut self, folders: &BTreeSet<String>) {
        if self.platform.is_none() && !self.problems.iter().any(|p| &*p.file == "platform.yaml") {
            self.problems.push(Problem::of_file(
                "platform.yaml",
                Kind::Layout,
                "not found: a manifest repository has its profile at the root",
            ));
        }
        for folder in folders {
            let app = self.apps.get(folder);
            let path = format!("{folder}/app.yaml");
            let seen = app.is_some_and(|a| a.app.is_some()) || self.problems.iter().any(|p| *p.file == *path);
            if !seen {
                let message = format!("not found, but {folder}/ holds env/, secrets/ or extra/");
                self.problems.push(Problem::of_file(&path, Kind::Layout, message));
            }
        }
    }

    /// Reads the files that `files: {from}` names.
    fn read_named(&mut self, files: &dyn Files) {
        let named: Vec<(String, String)> = self
            .apps
            .iter()
            .flat_map(|(folder, app)| {
                let named = app.others.iter().filter(|path| app.names_file(path));
                named.map(|path| (folder.clone(), path.clone()))
            })
            .collect();
        for (folder, path) in named {
            let bytes = self.bytes(files, &format!("{folder}/{path}"));
            if let (Some(bytes), Some(app)) = (bytes, self.apps.get_mut(&folder)) {
                app.files.insert(path, bytes);
            }
        }
    }

    /// YAML files of an app's folder that nothing reads are typos of a path.
    fn check_unread(&mut self) {
        for (folder, app) in &self.apps {
            for path in app.others.iter().filter(|p| p.ends_with(".yaml") || p.ends_with(".yml")) {
                if app.names_file(path) {
                    continue;
                }
                let first = path.split('/').next().unwrap_or_default();
                let hint = did_you_mean(first, ["app.yaml", "env", "extra", "secrets"]);
                let message = format!("nothing reads this file{hint}");
                self.problems.push(Problem::of_file(&format!("{folder}/{path}"), Kind::Layout, message));
            }
        }
    }
}

impl AppFolder {
    /// Whether a `from` of `files` in the app's file or in one of an environment names `path`.
    fn names_file(&self, path: &str) -> bool {
        let from = |node: &Node| {
            let files = node.get("files").map(Node::entries).unwrap_or_default();
            files.iter().any(|entry| entry.value.get("from").and_then(Node::text) == Some(path))
        };
        self.app.iter().chain(self.envs.values()).any(from)
    }
}

/// Whether objects would be read from a path below `extra/` or `platform/`: its file's name, or a folder's.
fn may_hold_objects(rest: &[&str]) -> bool {
    let ending = rest.last().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    ending.is_none_or(|ending| matches!(ending, "yaml" | "yml" | "json"))
}

/// The folders at the root that hold an app, or what only an app has.
fn app_folders<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let parts: Vec<&str> = path.split('/').collect();
        let is_app = match parts.as_slice() {
            [_, "app.yaml" | "app.yml"] => true,
            [_, "env", file] => file.ends_with(".yaml"),
            [_, "secrets", _, file] => file.ends_with(".enc.yaml"),
            _ => false,
        };
        if let Some(folder) = parts.first().filter(|f| is_app && !RESERVED.contains(f)) {
            folders.insert((*folder).to_owned());
        }
    }
    folders
}
