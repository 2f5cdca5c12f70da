//! Flags as values of the tree: each with a place that is called after its flag.

use std::sync::Arc;

use kiban_model::origin::Layer;
use kiban_model::problem::{Kind, Problem};
use kiban_model::yaml::{Entry, Mark, Node, Scalar, Source, Style, Tree};

use super::Flag;

/// A tree of nothing but the keys that every file begins with.
pub(super) fn head(keys: &[(&str, &str)]) -> Node {
    let mark = mark("default", "");
    let entries = keys.iter().map(|(key, value)| Entry { key: text(&mark, key), value: text(&mark, value) });
    Node { tree: Tree::Map(entries.collect()), mark: mark.clone() }
}

/// Sets what a flag sets.
///
/// # Errors
/// Where the file has something else than a map on the way.
pub(super) fn lay(tree: &mut Node, flag: &Flag) -> Result<(), Problem> {
    let given = mark(flag.name, &flag.values.join(" "));
    let value = match (flag.list, flag.values.as_slice()) {
        (false, [value]) => scalar(&given, value),
        (_, values) => {
            Node { mark: given.clone(), tree: Tree::List(values.iter().map(|v| scalar(&given, v)).collect()) }
        }
    };
    let Some((last, way)) = flag.path.split_last() else { return Ok(()) };
    let mut at = tree;
    for key in way {
        at = under(at, key, Node { mark: given.clone(), tree: Tree::Map(Vec::new()) }, &given)?;
    }
    let slot = under(at, last, value.clone(), &given)?;
    *slot = value;
    Ok(())
}

/// What a map holds under `key`; `otherwise`, where that is nothing.
fn under<'a>(node: &'a mut Node, key: &str, otherwise: Node, given: &Mark) -> Result<&'a mut Node, Problem> {
    if node.is_null() {
        node.tree = Tree::Map(Vec::new());
    }
    let mark = node.mark.clone();
    let Tree::Map(entries) = &mut node.tree else {
        return Err(Problem::at(&mark, Kind::Value, "expected a map of keys and values"));
    };
    let index = entries.iter().position(|entry| entry.name() == key).unwrap_or_else(|| {
        entries.push(Entry { key: text(given, key), value: otherwise });
        entries.len() - 1
    });
    entries
        .get_mut(index)
        .map(|entry| &mut entry.value)
        .ok_or_else(|| Problem::at(&mark, Kind::Value, "expected a map of keys and values"))
}

fn mark(name: &str, value: &str) -> Mark {
    let source = Source { name: name.into(), text: value.to_owned(), layer: Layer::App };
    Mark { source: Arc::new(source), line: 1, column: 1, width: 1 }
}

fn text(mark: &Mark, text: &str) -> Node {
    let scalar = Scalar { text: text.to_owned(), style: Style::Quoted, tag: None };
    Node { mark: mark.clone(), tree: Tree::Scalar(scalar) }
}

/// A flag's value: a whole number or a boolean is one, anything else a text.
fn scalar(mark: &Mark, value: &str) -> Node {
    let mut node = text(mark, value);
    let plain = value.parse::<u64>().is_ok() || matches!(value, "true" | "false");
    if let Tree::Scalar(scalar) = &mut node.tree
        && plain
    {
        scalar.style = Style::Plain;
    }
    node
}
