//! Trees with places to typed values: every problem names its place, as many as possible in one run.
//!
//! serde stops at the first error. So the value is read again without what was bad, until nothing bad is left:
//! one run reports all unknown keys and all bad values, each once.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::origin::child;
use crate::problem::{Kind, Problem, did_you_mean, nearest};
use crate::yaml::{Entry, Node, Tree};

mod error;
mod reader;

use error::{DecodeError, What};
use reader::Reader;

/// More problems than this in one file are not listed.
const MAX_PROBLEMS: usize = 50;

/// What became of a tree.
#[derive(Debug)]
pub struct Decoded<T> {
    /// The value, if what was good sufficed for one.
    pub value: Option<T>,
    /// The tree that it was made from: misspelt keys put right, bad values left out, and nothing stood in for, so
    /// that no later problem can point at what nobody wrote.
    pub tree: Node,
    /// All problems, in the order in which they were found.
    pub problems: Vec<Problem>,
    /// Required keys of the root that were missing or bad, so that `value` holds a stand-in.
    pub filled: Vec<String>,
    /// Whether nothing was left out or stood in for.
    whole: bool,
}

impl<T> Decoded<T> {
    /// Whether `value` lacks nothing that was written, so that laws can be checked on it.
    pub fn is_sound(&self) -> bool {
        self.value.is_some() && self.whole
    }
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

/// Reads a `T` from `tree`; `what` is how an error calls the whole (`App`).
///
/// An unknown key that was surely meant to be one that is not there is read as that one. `fallback`: a map with
/// stand-ins for required keys of the root; where the root's own are missing or bad (which is reported), they let
/// the rest be read.
pub fn decode<T: DeserializeOwned>(tree: Node, what: &str, fallback: Option<&Node>) -> Decoded<T> {
    let mut run =
        Run { tree, removed: HashSet::new(), filled: Vec::new(), problems: Vec::new(), whole: true };
    let value = loop {
        let error = match T::deserialize(Reader::new(&run.tree)) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        if !run.mend(&error, what, fallback) || run.problems.len() >= MAX_PROBLEMS {
            break None;
        }
    };
    run.take_out_stand_ins();
    Decoded { value, tree: run.tree, problems: run.problems, filled: run.filled, whole: run.whole }
}

/// What kind of layer a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layered {
    /// Nothing lies below it: there is nothing to remove.
    pub(crate) lowest: bool,
    /// Keys of the root below which `null` is a value like any other.
    pub(crate) literal: &'static [&'static str],
}

/// Reads one layer of a `T` by itself, whatever the layers above it set: its problems are those that no other
/// layer can mend. Misspelt keys of `tree` are put right, everything else stays as it is.
///
/// Elsewhere than below the literal keys a `null` removes what the layers below set.
pub(crate) fn decode_layer<T: DeserializeOwned>(
    tree: &mut Node,
    what: &str,
    fallback: Option<&Node>,
    layered: Layered,
) -> Decoded<T> {
    fn without_nulls(node: &Node, literal: &[&str]) -> Node {
        let Tree::Map(entries) = &node.tree else { return node.clone() };
        let kept = entries.iter().filter(|e| !e.value.is_null()).map(|e| Entry {
            key: e.key.clone(),
            value: match literal.contains(&e.name()) {
                true => e.value.clone(),
                false => without_nulls(&e.value, &[]),
            },
        });
        Node { mark: node.mark.clone(), tree: Tree::Map(kept.collect()) }
    }
    fn rename(tree: &mut Node, right: &Node) {
        match (&mut tree.tree, &right.tree) {
            (Tree::Map(entries), Tree::Map(_)) => {
                for entry in entries {
                    let Some(same) = right.entries().iter().find(|e| e.key.mark == entry.key.mark) else {
                        continue;
                    };
                    entry.key = same.key.clone();
                    rename(&mut entry.value, &same.value);
                }
            }
            (Tree::List(items), Tree::List(_)) => {
                for item in items {
                    if let Some(same) = right.items().iter().find(|i| i.mark == item.mark) {
                        rename(item, same);
                    }
                }
            }
            _ => {}
        }
    }
    let alone = if layered.lowest { tree.clone() } else { without_nulls(tree, layered.literal) };
    let mut decoded = decode::<T>(alone, what, fallback);
    rename(tree, &decoded.tree);
    decoded.problems.retain(|p| matches!(p.kind, Kind::UnknownKey | Kind::Value));
    decoded
}

struct Run {
    tree: Node,
    /// Paths of what was left out.
    removed: HashSet<String>,
    filled: Vec<String>,
    problems: Vec<Problem>,
    whole: bool,
}

impl Run {
    /// Reports an error and takes its cause away, so that the next run finds the next one. False: it cannot.
    fn mend(&mut self, error: &DecodeError, what: &str, fallback: Option<&Node>) -> bool {
        let chain = error.at.map(|at| chain_to(&self.tree, at)).unwrap_or_default();
        let place = path(&chain);
        let route: Vec<usize> = chain.iter().map(Step::index).collect();
        if let What::MissingKey(key) = &error.what {
            let known = self.removed.contains(&child(&place, key));
            if !known {
                let problem = describe(error, &chain, &self.tree, what);
                self.problems.push(problem);
            }
            self.whole = false;
            return match chain.is_empty() {
                true => self.fill(key, fallback),
                false => self.remove(&route, &place),
            };
        }
        let problem = describe(error, &chain, &self.tree, what);
        let meant = renamed(error, &chain, &self.tree);
        self.problems.push(problem);
        if let Some(meant) = meant {
            return rename_key(&mut self.tree, &route, meant);
        }
        self.whole &= matches!(error.what, What::UnknownKey(..));
        match chain.is_empty() {
            true => false,
            false => self.remove(&route, &place),
        }
    }

    fn remove(&mut self, route: &[usize], place: &str) -> bool {
        self.removed.insert(place.to_owned());
        let Some((last, holder)) = route.split_last() else { return false };
        match node_at(&mut self.tree, holder).map(|node| &mut node.tree) {
            Some(Tree::Map(entries)) if *last < entries.len() => {
                entries.remove(*last);
                true
            }
            Some(Tree::List(items)) if *last < items.len() => {
                items.remove(*last);
                true
            }
            _ => false,
        }
    }

    fn fill(&mut self, key: &str, fallback: Option<&Node>) -> bool {
        let Some(entry) =
            fallback.and_then(|f| f.entry(key)).filter(|_| !self.filled.iter().any(|k| k == key))
        else {
            return false;
        };
        self.filled.push(key.to_owned());
        match &mut self.tree.tree {
            Tree::Map(entries) => {
                entries.push(entry.clone());
                true
            }
            _ => false,
        }
    }
}

impl Run {
    /// Stand-ins served the decoder alone. A key that was filled in is the root's last of that name.
    fn take_out_stand_ins(&mut self) {
        let Tree::Map(entries) = &mut self.tree.tree else { return };
        for key in &self.filled {
            if let Some(at) = entries.iter().rposition(|entry| entry.name() == key) {
                entries.remove(at);
            }
        }
    }
}

fn node_at<'a>(tree: &'a mut Node, route: &[usize]) -> Option<&'a mut Node> {
    let mut node = tree;
    for index in route {
        node = match &mut node.tree {
            Tree::Map(entries) => &mut entries.get_mut(*index)?.value,
            Tree::List(items) => items.get_mut(*index)?,
            Tree::Scalar(_) => return None,
        };
    }
    Some(node)
}

/// The key that an unknown one was meant to be, if that one is not there.
fn renamed(error: &DecodeError, chain: &[Step<'_>], root: &Node) -> Option<&'static str> {
    let What::UnknownKey(key, known) = &error.what else { return None };
    let meant = nearest(key, known.iter().copied())?;
    let holder = match chain.len().checked_sub(2) {
        Some(index) => chain.get(index).map(Step::node)?,
        None => root,
    };
    holder.entry(meant).is_none().then_some(meant)
}

fn rename_key(tree: &mut Node, route: &[usize], meant: &str) -> bool {
    let Some((last, holder)) = route.split_last() else { return false };
    let Some(Tree::Map(entries)) = node_at(tree, holder).map(|node| &mut node.tree) else { return false };
    match entries.get_mut(*last).map(|entry| &mut entry.key.tree) {
        Some(Tree::Scalar(scalar)) => {
            meant.clone_into(&mut scalar.text);
            true
        }
        _ => false,
    }
}

/// A step on the way from the root to a node.
#[derive(Clone)]
enum Step<'a> {
    /// The value of a key.
    Key(usize, &'a Node, &'a Node),
    /// An item of a list.
    Item(usize, &'a Node),
}

impl<'a> Step<'a> {
    fn node(&self) -> &'a Node {
        match self {
            Step::Key(_, _, value) => value,
            Step::Item(_, item) => item,
        }
    }

    fn index(&self) -> usize {
        match self {
            Step::Key(index, ..) | Step::Item(index, _) => *index,
        }
    }
}

/// The way to the node (or key) at address `at`; empty for the root itself.
fn chain_to(root: &Node, at: usize) -> Vec<Step<'_>> {
    fn search<'a>(node: &'a Node, at: usize, chain: &mut Vec<Step<'a>>) -> bool {
        if address(node) == at {
            return true;
        }
        for (index, entry) in node.entries().iter().enumerate() {
            chain.push(Step::Key(index, &entry.key, &entry.value));
            if address(&entry.key) == at || search(&entry.value, at, chain) {
                return true;
            }
            chain.pop();
        }
        for (index, item) in node.items().iter().enumerate() {
            chain.push(Step::Item(index, item));
            if search(item, at, chain) {
                return true;
            }
            chain.pop();
        }
        false
    }
    let mut chain = Vec::new();
    search(root, at, &mut chain);
    chain
}

fn path(chain: &[Step<'_>]) -> String {
    chain.iter().fold(String::new(), |all, step| match step {
        Step::Key(_, key, _) => child(&all, key.text().unwrap_or_default()),
        Step::Item(index, _) => format!("{all}[{index}]"),
    })
}

fn describe(error: &DecodeError, chain: &[Step<'_>], root: &Node, what: &str) -> Problem {
    let node = chain.last().map_or(root, Step::node);
    let path = path(chain);
    let at_key = error.at_key;
    let mark = match chain.last() {
        Some(Step::Key(_, key, _)) if at_key => &key.mark,
        _ => &node.mark,
    };
    let prefix = if path.is_empty() { String::new() } else { format!("{path}: ") };
    match &error.what {
        What::UnknownKey(key, known) => {
            let holder = chain.get(..chain.len().saturating_sub(1)).unwrap_or_default();
            let holder = if holder.is_empty() { what.to_owned() } else { self::path(holder) };
            let hint = did_you_mean(key, known.iter().copied());
            Problem::at(mark, Kind::UnknownKey, format!("unknown key {key:?} in {holder}{hint}"))
        }
        What::MissingKey(key) => {
            let holder = if path.is_empty() { what } else { &path };
            Problem::at(mark, Kind::MissingKey, format!("missing key {key:?} in {holder}"))
        }
        What::UnknownChoice(found, known) => {
            let hint = did_you_mean(found, known.iter().copied());
            let list = known.join(", ");
            Problem::at(mark, Kind::Value, format!("{prefix}{found:?} is none of {list}{hint}"))
        }
        What::Type(expected) => {
            let quote = hint_to_quote(node, expected);
            let message = format!("{prefix}expected {expected}, found {}{quote}", node.describe());
            Problem::at(mark, Kind::Value, message)
        }
        What::Lacking(message) => Problem::at(mark, Kind::MissingKey, format!("{prefix}{message}")),
        What::Message(message) => Problem::at(mark, Kind::Value, format!("{prefix}{message}")),
    }
}

fn hint_to_quote(node: &Node, expected: &str) -> String {
    match &node.tree {
        Tree::Scalar(s) if s.is_plain() && !s.text.is_empty() && expected.contains("a text") => {
            format!("; write it in quotes: \"{}\"", s.text)
        }
        _ => String::new(),
    }
}
