//! Where a value was set: file, line, column and layer, by the value's path.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Which of the files that make up an app in an environment set a value; a later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// `platform.yaml`.
    Profile,
    /// `<app>/app.yaml`.
    App,
    /// `<app>/env/<env>.yaml`.
    Env,
    /// `<app>/env/<env>.pin.yaml`.
    Pin,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Profile => "profile",
            Self::App => "app",
            Self::Env => "env",
            Self::Pin => "pin",
        })
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file's path in the repository.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The layer that the file is.
    pub layer: Layer,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Where each value of a file was set, by path: `scale.from`, `secrets[0].name`, `env["a.b"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Notes where the value at `path` was set.
    pub fn insert(&mut self, path: String, origin: Origin) {
        self.0.insert(path, origin);
    }

    /// Where the value at exactly `path` was set; `None`: nobody set it.
    pub fn get(&self, path: &str) -> Option<&Origin> {
        self.0.get(path)
    }

    /// Where the value at `path`, or the nearest value that holds it, was set: a short form (`http: 8080`) stands
    /// for all that it implies (`ports.http.port`).
    pub fn nearest(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(found) = self.0.get(path) {
                return Some(found);
            }
            path = parent(path)?;
        }
    }

    /// All paths and places, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(path, origin)| (path.as_str(), origin))
    }
}

/// The path of what holds `path`; the empty path is the whole file.
fn parent(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    if path.ends_with("\"]") {
        return path.rfind("[\"").and_then(|at| path.get(..at));
    }
    Some(path.rfind(['.', '[']).and_then(|at| path.get(..at)).unwrap_or(""))
}

/// `path` with the key `key` after it.
pub fn child(path: &str, key: &str) -> String {
    let plain =
        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | ':'));
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key:?}]"),
    }
}
