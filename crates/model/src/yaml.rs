//! YAML with positions: a tree whose every key and value knows its file, line and column.
//!
//! Kiban's own files are read strictly ([`parse`]): YAML 1.2's core schema, no anchors, no tags, no key twice.
//! Kubernetes manifests are read as its own clients read them ([`manifests`]). [`to_yaml`] writes what every
//! reader, of YAML 1.1 or 1.2, reads back as it was.

use std::sync::Arc;

use crate::origin::Layer;

pub mod edit;
mod merge;
mod parse;
mod plain;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use merge::{Rules, ShortForm, merge};
pub use parse::{parse, parse_one};
pub use plain::{Plain, ambiguous};
pub use value::{Manifest, manifests};
pub use write::to_yaml;

/// The largest file that is read.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 120;
/// The most nodes of one file, what aliases repeat included.
pub const MAX_NODES: usize = 500_000;
/// The most keys of one map of Kiban's own files: layers are laid upon each other key by key.
pub const MAX_KEYS: usize = 5_000;

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path in the repository.
    pub name: Arc<str>,
    /// Its text.
    pub text: String,
    /// The layer that it is.
    pub layer: Layer,
}

impl Source {
    /// The text of the line `number`, counted from 1.
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        // YAML breaks lines at a carriage return alone too.
        self.text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).nth(index)
    }
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Mark {
    /// The file.
    pub source: Arc<Source>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters of the line belong to it.
    pub width: u32,
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: its text decides its type.
    Plain,
    /// Quoted or as a block: a string.
    Quoted,
}

/// A scalar as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, escapes resolved.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// Its tag without `tag:yaml.org,2002:`, where manifests carry one.
    pub tag: Option<String>,
}

impl Scalar {
    /// Whether it was written without quotes (and tag).
    pub fn is_plain(&self) -> bool {
        self.style == Style::Plain && self.tag.is_none()
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub mark: Mark,
    /// What it holds.
    pub tree: Tree,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key: a scalar.
    pub key: Node,
    /// The value.
    pub value: Node,
}

impl Entry {
    /// The key's text.
    pub fn name(&self) -> &str {
        self.key.text().unwrap_or_default()
    }
}

impl Node {
    /// A scalar's text as written.
    pub fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.tree {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a map's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A map's entry.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.name() == key)
    }

    /// Whether it is an explicit or empty null.
    pub fn is_null(&self) -> bool {
        matches!(&self.tree, Tree::Scalar(s) if s.is_plain() && matches!(Plain::core(&s.text), Plain::Null))
    }

    /// What it is, for an error: `number 8080`, `text "abc"`, `a map`.
    pub fn describe(&self) -> String {
        match &self.tree {
            Tree::List(_) => "a list".into(),
            Tree::Map(_) => "a map".into(),
            Tree::Scalar(s) if !s.is_plain() => format!("text {}", shorten(&s.text)),
            Tree::Scalar(s) => match Plain::core(&s.text) {
                Plain::Null => "null".into(),
                Plain::Bool(b) => format!("boolean {b}"),
                Plain::Int(_) | Plain::Uint(_) | Plain::Float(_) => format!("number {}", s.text),
                Plain::Text => format!("text {}", shorten(&s.text)),
            },
        }
    }

    /// The tree as JSON, by YAML 1.2's core schema; numbers that JSON cannot hold stay texts.
    pub fn to_json(&self) -> serde_json::Value {
        value::core(self)
    }
}

/// The place of the value at `path` (keys, and indices of lists), or of the nearest value around it; with `key`,
/// of the last key itself.
pub fn find<'a>(tree: &'a Node, path: &[&str], key: bool) -> &'a Mark {
    let mut mark = &tree.mark;
    let mut node = tree;
    for (depth, name) in path.iter().enumerate() {
        if let Some(entry) = node.entry(name) {
            node = &entry.value;
            mark = if key && depth + 1 == path.len() { &entry.key.mark } else { &node.mark };
        } else if let Some(item) = name.parse::<usize>().ok().and_then(|index| node.items().get(index)) {
            node = item;
            mark = &node.mark;
        } else {
            break;
        }
    }
    mark
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(37).collect();
    format!("{:?}", format!("{head}..."))
}
