//! A rendered value whose every leaf knows the rule that set it and the line it came from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::path::{Path, Segment};
use crate::rules::Rule;
use kiban_model::origin::{Layer, Origin};
use kiban_model::yaml;

/// Why a leaf has its value: the rule, and the line of the repository that the rule took it from
/// (`None`: the rule's own constant).
#[derive(Debug, Clone)]
pub struct Source {
    /// The rule that decided.
    pub rule: &'static Rule,
    /// The line that a person would change.
    pub origin: Option<Origin>,
}

/// A tree of values under construction.
///
/// Objects are built as nodes rather than as JSON so that a value cannot be written without
/// saying why: the leaf constructors ask for a rule.
#[derive(Debug, Clone)]
pub enum Node {
    /// A scalar, an empty map or an empty list.
    Leaf(Value, Source),
    /// A map, sorted by key.
    Map(BTreeMap<String, Node>),
    /// A list.
    List(Vec<Node>),
}

impl Node {
    /// A tree with every leaf of `value` set by `rule`.
    pub fn new(rule: &'static Rule, value: impl Into<Value>) -> Node {
        Node::with_source(&Source { rule, origin: None }, value.into())
    }

    /// A tree with every leaf of `value` set by `rule`, from a line of the repository.
    pub fn from(rule: &'static Rule, origin: Option<&Origin>, value: impl Into<Value>) -> Node {
        Node::with_source(&Source { rule, origin: origin.cloned() }, value.into())
    }

    /// A tree with the same source at every leaf.
    pub fn with_source(source: &Source, value: Value) -> Node {
        match value {
            Value::Object(map) if !map.is_empty() => {
                Node::Map(map.into_iter().map(|(k, v)| (k, Node::with_source(source, v))).collect())
            }
            Value::Array(list) if !list.is_empty() => {
                Node::List(list.into_iter().map(|v| Node::with_source(source, v)).collect())
            }
            leaf => Node::Leaf(leaf, source.clone()),
        }
    }

    /// A map of named nodes.
    pub fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
        Node::Map(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    /// A map without entries yet, to be filled with [`Node::put`].
    pub fn empty_map() -> Node {
        Node::Map(BTreeMap::new())
    }

    /// A tree whose leaves know the places in `at`, the text that `value` was read from.
    pub fn written(rule: &'static Rule, at: &yaml::Node, value: Value, layer: Layer) -> Node {
        let mark = &at.mark;
        let origin = Origin { file: mark.source.name.clone(), line: mark.line, column: mark.column, layer };
        let source = Source { rule, origin: Some(origin) };
        // What a merge key or an odd spelling of a key hides has the place of what holds it.
        let below = |place: Option<&yaml::Node>, value| match place {
            Some(place) => Node::written(rule, place, value, layer),
            None => Node::with_source(&source, value),
        };
        match value {
            Value::Object(map) if !map.is_empty() => {
                Node::Map(map.into_iter().map(|(k, v)| (k.clone(), below(at.get(&k), v))).collect())
            }
            Value::Array(list) if !list.is_empty() => {
                let items = list.into_iter().enumerate();
                Node::List(items.map(|(index, v)| below(at.items().get(index), v)).collect())
            }
            leaf => Node::Leaf(leaf, source),
        }
    }

    /// Sets one entry of a map; anything else becomes a map first.
    pub fn put(&mut self, key: &str, node: Node) -> &mut Node {
        if !matches!(self, Node::Map(_)) {
            *self = Node::empty_map();
        }
        if let Node::Map(map) = self {
            map.insert(key.to_owned(), node);
        }
        self
    }

    /// [`Node::put`] by value, for chains.
    #[must_use]
    pub fn with(mut self, key: &str, node: Node) -> Node {
        self.put(key, node);
        self
    }

    /// [`Node::with`] where there is something to set.
    #[must_use]
    pub fn with_some(self, key: &str, node: Option<Node>) -> Node {
        match node {
            Some(node) => self.with(key, node),
            None => self,
        }
    }

    /// The child under a map key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The node at a path of exact keys and indexes.
    pub fn at(&self, path: &[Segment]) -> Option<&Node> {
        path.iter().try_fold(self, |node, segment| match (node, segment) {
            (Node::Map(map), Segment::Key(key)) => map.get(key),
            (Node::List(list), Segment::Index(index)) => list.get(*index),
            _ => None,
        })
    }

    /// Plain JSON without the sources.
    pub fn value(&self) -> Value {
        match self {
            Node::Leaf(value, _) => value.clone(),
            Node::Map(map) => {
                Value::Object(map.iter().map(|(k, v)| (k.clone(), v.value())).collect::<Map<_, _>>())
            }
            Node::List(list) => Value::Array(list.iter().map(Node::value).collect()),
        }
    }

    /// Calls `visit` for each leaf, in the order of the rendered file.
    pub fn leaves<'a>(&'a self, visit: &mut dyn FnMut(&Path, &'a Value, &'a Source)) {
        self.walk(&mut Path::default(), visit);
    }

    fn walk<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Value, &'a Source)) {
        match self {
            Node::Leaf(value, source) => visit(path, value, source),
            Node::Map(map) => {
                for (key, node) in map {
                    path.0.push(Segment::Key(key.clone()));
                    node.walk(path, visit);
                    path.0.pop();
                }
            }
            Node::List(list) => {
                for (index, node) in list.iter().enumerate() {
                    path.0.push(Segment::Index(index));
                    node.walk(path, visit);
                    path.0.pop();
                }
            }
        }
    }
}
