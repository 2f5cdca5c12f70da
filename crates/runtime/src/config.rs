//! `kiban.yaml`: one file, a section for each crate that has something to configure, flags laid over it.
//!
//! The type of the whole is the caller's (`crates/app`), made of the crates' sections. Reading is strict: an
//! unknown key is a problem with its file, line and column and the nearest known key. Flags are values like
//! the file's, at a place that is called after the flag. [`Loaded::effective`] lists what each value is and
//! where it comes from; [`schema`] is the JSON Schema of the type.

mod overlay;
mod section;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use kiban_model::decode::decode;
use kiban_model::origin::{Layer, child};
use kiban_model::problem::{Kind, Problem, tidy};
use kiban_model::yaml::{Node, find, parse_one};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use section::{
    Address, ClassName, FilePath, LevelName, LogFormat, LogSection, RoleName, SecretFrom, ServerSection,
    TlsSection, TokenSection, WebhookSection,
};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// A whole configuration.
pub trait Configuration: DeserializeOwned + Serialize + JsonSchema {
    /// How problems call the whole.
    const WHAT: &'static str;

    /// The keys that every file begins with, and their values.
    const HEAD: &'static [(&'static str, &'static str)];

    /// What values contradict each other, or cannot be though their type allows them.
    fn check(&self) -> Vec<Complaint>;

    /// The incumbents' flags that values take the place of: path, program, flag.
    fn replaces() -> Vec<Replaced>;
}

/// What takes the place of what: the value's path, the program, its flag or setting.
pub type Replaced = (&'static str, &'static str, &'static str);

/// A value that cannot be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Keys, and indices of lists, that lead to it.
    pub path: Vec<String>,
    /// What is wrong, and what to do.
    pub words: String,
    /// The line holds what must not be shown.
    pub is_secret: bool,
}

impl Complaint {
    /// A complaint about the value at `path`: keys with `.` between them.
    pub fn new(path: &str, words: impl Into<String>) -> Self {
        let path = path.split('.').map(ToOwned::to_owned).collect();
        Self { path, words: words.into(), is_secret: false }
    }

    /// The line of the value is not shown: it may hold a credential.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }
}

/// A value that the command line gives.
#[derive(Debug, Clone)]
pub struct Flag {
    /// Its name, with `--`.
    pub name: &'static str,
    /// Keys that lead to the value that it sets.
    pub path: &'static [&'static str],
    /// What was given: several where the value is a list.
    pub values: Vec<String>,
    /// Whether the value is a list.
    pub list: bool,
}

impl Flag {
    /// A flag that gives one value.
    pub fn one(name: &'static str, path: &'static [&'static str], value: impl Into<String>) -> Self {
        Self { name, path, values: vec![value.into()], list: false }
    }

    /// A flag that gives a list.
    pub fn list(name: &'static str, path: &'static [&'static str], values: Vec<String>) -> Self {
        Self { name, path, values, list: true }
    }
}

/// All that is wrong with a configuration, in the order of the file.
#[derive(Debug, Clone)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            // What a flag said has no line to show.
            match problem.file.starts_with("--") {
                true => write!(f, "{}: {}", problem.file, problem.message)?,
                false => write!(f, "{problem:#}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A configuration, and where its values come from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The values.
    pub value: T,
    tree: Node,
}

/// A value as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Keys with `.` between them, indices in brackets.
    pub path: String,
    /// The value, as JSON.
    pub value: String,
    /// `kiban.yaml:3`, a flag's name, or `default`.
    pub from: String,
    /// The incumbents' flags that it takes the place of: `prometheus --web.listen-address`.
    pub replaces: Vec<String>,
}

/// Reads a configuration file; without one, nothing is set but by flags.
///
/// # Errors
/// All that is wrong with the file, the flags, or both together.
pub fn load<T: Configuration>(file: Option<&Path>, flags: &[Flag]) -> Result<Loaded<T>, Problems> {
    let Some(path) = file else { return read(None, flags) };
    let name = path.display().to_string();
    let bytes = match bytes(path) {
        Ok(bytes) => bytes,
        Err(words) => return Err(Problems(vec![Problem::of_file(&name, Kind::Syntax, words)])),
    };
    read(Some((&name, &bytes)), flags)
}

/// As [`load`], from a file's name and bytes.
///
/// # Errors
/// As [`load`].
pub fn read<T: Configuration>(file: Option<(&str, &[u8])>, flags: &[Flag]) -> Result<Loaded<T>, Problems> {
    let mut tree = match file {
        Some((name, bytes)) => {
            parse_one(name, bytes, Layer::App).map_err(|problem| Problems(vec![problem]))?
        }
        None => overlay::head(T::HEAD),
    };
    for flag in flags {
        overlay::lay(&mut tree, flag).map_err(|problem| Problems(vec![problem]))?;
    }
    let decoded = decode::<T>(tree, T::WHAT, None);
    let sound = decoded.is_sound();
    let mut problems = decoded.problems;
    if let Some(value) = &decoded.value
        && sound
    {
        problems.extend(value.check().into_iter().map(|complaint| place(&decoded.tree, &complaint)));
    }
    tidy(&mut problems);
    for problem in problems.iter_mut().filter(|problem| problem.message.contains(section::NOT_HERE)) {
        problem.excerpt = None;
    }
    match decoded.value {
        Some(value) if problems.is_empty() => Ok(Loaded { value, tree: decoded.tree }),
        _ => Err(Problems(problems)),
    }
}

/// The bytes of a configuration file.
///
/// # Errors
/// Why it cannot be read, without its name.
pub fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {} MiB", MAX_FILE >> 20));
    }
    Ok(bytes)
}

/// A complaint at the place of its value, or of the nearest one around it.
fn place(tree: &Node, complaint: &Complaint) -> Problem {
    let path: Vec<&str> = complaint.path.iter().map(String::as_str).collect();
    let shown = complaint.path.iter().fold(String::new(), |all, part| step(&all, part));
    let words = format!("{shown}: {}", complaint.words);
    let problem = Problem::at(find(tree, &path, false), Kind::Law, words);
    if complaint.is_secret { Problem { excerpt: None, ..problem } } else { problem }
}

/// A path with one part more: an index in brackets, a key after a dot.
fn step(path: &str, part: &str) -> String {
    match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) => child(path, part),
    }
}

impl<T: Configuration> Loaded<T> {
    /// Each value that is in effect, in the order of their types' keys.
    pub fn effective(&self) -> Vec<Effective> {
        let mut all = Vec::new();
        let value = serde_json::to_value(&self.value).unwrap_or_default();
        leaves(&value, "", Some(&self.tree), &mut all);
        let replaced = T::replaces();
        for one in &mut all {
            let plain: String = one.path.split('[').next().unwrap_or_default().to_owned();
            let mine =
                replaced.iter().filter(|(path, ..)| *path == plain || *path == without_indices(&one.path));
            one.replaces = mine.map(|(_, program, flag)| format!("{program} {flag}")).collect();
        }
        all
    }
}

/// `a[0].b` as `a.b`.
fn without_indices(path: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_u32;
    for c in path.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

fn leaves(value: &Value, path: &str, tree: Option<&Node>, all: &mut Vec<Effective>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves(value, &child(path, key), tree.and_then(|tree| tree.get(key)), all);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                let item = tree.and_then(|tree| tree.items().get(index));
                leaves(value, &format!("{path}[{index}]"), item, all);
            }
        }
        leaf => {
            let from = tree.map_or("default".to_owned(), |node| {
                let name = &node.mark.source.name;
                if name.starts_with("--") { name.to_string() } else { format!("{name}:{}", node.mark.line) }
            });
            let path = path.to_owned();
            all.push(Effective { path, value: leaf.to_string(), from, replaces: Vec::new() });
        }
    }
}

/// The JSON Schema of a configuration, as text.
pub fn schema<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    smooth(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Takes away what is of no use to an editor: formats of numbers, defaults of null, line ends of comments.
fn smooth(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, value| {
                !(key == "default" && value.is_null() || key == "format" && value.is_string())
            });
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if key == "description" => *text = text.replace('\n', " "),
                    other => smooth(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(smooth),
        _ => {}
    }
}
