//! Trees to JSON: by YAML 1.2 for Kiban's own files, and as Kubernetes' clients read manifests.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::parse::{Mode, documents};
use super::{Mark, Node, Plain, Tree};
use crate::origin::Layer;
use crate::problem::{Kind, Problem};

/// One document of a file of manifests.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object, or whatever the document holds.
    pub value: Value,
    /// Where it begins.
    pub mark: Mark,
    /// The document as it was written, to find the places of its values.
    pub node: Arc<Node>,
}

/// Reads Kubernetes manifests as its clients read them (sigs.k8s.io/yaml): YAML 1.1's booleans, keys that are
/// no strings become strings, `<<` merges, aliases within bounds; empty documents are left out. JSON is read too.
///
/// # Errors
/// The first thing that is no YAML, a key that is given twice, a value that JSON cannot hold.
pub fn manifests(name: &str, bytes: &[u8]) -> Result<Vec<Manifest>, Problem> {
    documents(name, bytes, Layer::App, Mode::Manifest)?
        .into_iter()
        .map(|node| {
            let value = kubernetes(&node)?;
            Ok(Manifest { value, mark: node.mark.clone(), node: Arc::new(node) })
        })
        .collect()
}

fn float(number: f64) -> Option<Value> {
    // Kubernetes' clients write 1e3 and 1.0 as JSON's 1000 and 1.
    if number.fract() == 0.0 && number.abs() < 9e15 {
        // Below 2^53, so nothing is cut.
        #[allow(clippy::cast_possible_truncation)]
        return Some(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number)
}

fn plain(text: &str, meaning: Plain) -> Option<Value> {
    match meaning {
        Plain::Null => Some(Value::Null),
        Plain::Bool(b) => Some(b.into()),
        Plain::Int(n) => Some(n.into()),
        Plain::Uint(n) => Some(n.into()),
        Plain::Float(n) => float(n),
        Plain::Text => Some(text.into()),
    }
}

/// By YAML 1.2's core schema.
pub(super) fn core(node: &Node) -> Value {
    match &node.tree {
        Tree::Scalar(s) if s.is_plain() => {
            let value = match Plain::core(&s.text) {
                Plain::Float(n) => Number::from_f64(n).map(Value::Number),
                meaning => plain(&s.text, meaning),
            };
            value.unwrap_or_else(|| s.text.as_str().into())
        }
        Tree::Scalar(s) => s.text.as_str().into(),
        Tree::List(items) => items.iter().map(core).collect(),
        Tree::Map(entries) => entries.iter().map(|e| (e.name().to_owned(), core(&e.value))).collect(),
    }
}

fn kubernetes(node: &Node) -> Result<Value, Problem> {
    match &node.tree {
        Tree::Scalar(s) => {
            let bad = |what: &str| Problem::at(&node.mark, Kind::Value, format!("{:?} is {what}", s.text));
            let value = match s.tag.as_deref() {
                None if s.is_plain() => plain(&s.text, Plain::kubernetes(&s.text)),
                None | Some("str" | "timestamp") => Some(s.text.as_str().into()),
                Some("binary") => Some(binary(&s.text).ok_or_else(|| bad("no base64 of a text"))?.into()),
                Some(tag) => tagged(&s.text, tag).ok_or_else(|| bad(&format!("no !!{tag}"))).map(Some)?,
            };
            value.ok_or_else(|| bad("a number that JSON cannot hold"))
        }
        Tree::List(items) => items.iter().map(kubernetes).collect(),
        Tree::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                if entry.name() == "<<" && entry.key.is_plain_scalar() {
                    // Against YAML's own rule, keys before a merge give way to it: go-yaml has it so.
                    let mut merged = Map::new();
                    merge_key(&entry.value, &mut merged)?;
                    map.extend(merged);
                } else {
                    map.insert(key_text(&entry.key)?, kubernetes(&entry.value)?);
                }
            }
            Ok(Value::Object(map))
        }
    }
}

fn binary(text: &str) -> Option<String> {
    use base64::Engine as _;
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
    String::from_utf8(bytes).ok()
}

fn tagged(text: &str, tag: &str) -> Option<Value> {
    let meaning = Plain::kubernetes(text);
    match (tag, meaning) {
        ("null", Plain::Null) => Some(Value::Null),
        ("bool", Plain::Bool(b)) => Some(b.into()),
        ("int", Plain::Int(_) | Plain::Uint(_)) => plain(text, meaning),
        ("float", Plain::Int(_) | Plain::Uint(_) | Plain::Float(_)) => plain(text, meaning),
        _ => None,
    }
}

/// A map, or a list of maps, of which what is not there already is taken; earlier maps win.
fn merge_key(node: &Node, into: &mut Map<String, Value>) -> Result<(), Problem> {
    let maps = match &node.tree {
        Tree::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for map in maps {
        let Value::Object(entries) = kubernetes(map)? else {
            return Err(Problem::at(
                &map.mark,
                Kind::Syntax,
                "map merge requires map or sequence of maps as the value",
            ));
        };
        for (key, value) in entries {
            into.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Keys that are no strings become strings: `true`, `8080`, `1.5`.
fn key_text(key: &Node) -> Result<String, Problem> {
    match kubernetes(key)? {
        Value::String(text) => Ok(text),
        Value::Null => Err(Problem::at(&key.mark, Kind::Syntax, "null is no key")),
        other => Ok(other.to_string()),
    }
}

impl Node {
    fn is_plain_scalar(&self) -> bool {
        matches!(&self.tree, Tree::Scalar(s) if s.is_plain())
    }
}
