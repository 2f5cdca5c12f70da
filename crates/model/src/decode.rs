//! Trees with places to typed values: every problem names its place, as many as possible in one run.
//!
//! serde stops at the first error. So the value is read again without what was bad, until nothing bad is left:
//! one run reports all unknown keys and all bad values, each once.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem, did_you_mean, nearest};
use crate::yaml::{Node, Tree};

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
    /// All problems, in the order in which they were found.
    pub problems: Vec<Problem>,
}

impl<T> Decoded<T> {
    /// Whether `value` lacks nothing but keys that nobody reads, so that laws can be checked on it.
    pub fn is_sound(&self) -> bool {
        self.value.is_some() && self.problems.iter().all(|p| p.kind == Kind::UnknownKey)
    }
}

/// Places of nodes that are left out, by address.
type Skipped = RefCell<HashSet<usize>>;

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

/// Reads a `T` from `root`; `what` is how an error calls the whole (`App`).
///
/// `fallback`: a map with good values for required keys of the root. Where the root's own are missing or bad
/// (which is reported), these let the rest be read.
pub fn decode<T: DeserializeOwned>(root: &Node, what: &str, fallback: Option<&Node>) -> Decoded<T> {
    let skipped = Skipped::default();
    let mut problems: Vec<Problem> = Vec::new();
    let mut filled: Vec<String> = Vec::new();
    loop {
        let reader = Reader::root(root, &skipped, fallback, &filled);
        let error = match T::deserialize(reader) {
            Ok(value) => return Decoded { value: Some(value), problems },
            Err(error) => error,
        };
        let chain = error.at.map(|at| chain_to(root, at)).unwrap_or_default();
        let known_missing = missing_again(&error, &chain, root, &skipped);
        if !known_missing && let Some(problem) = describe(&error, &chain, root, what, &problems) {
            problems.push(problem);
        }
        if problems.len() >= MAX_PROBLEMS || !leave_out(&error, &chain, &skipped, fallback, &mut filled) {
            return Decoded { value: None, problems };
        }
    }
}

/// A step on the way from the root to a node.
#[derive(Clone)]
enum Step<'a> {
    /// The value of a key.
    Key(&'a Node, &'a Node),
    /// An item of a list.
    Item(usize, &'a Node),
}

impl<'a> Step<'a> {
    fn node(&self) -> &'a Node {
        match self {
            Step::Key(_, value) => value,
            Step::Item(_, item) => item,
        }
    }
}

/// The way to the node (or key) at address `at`; empty for the root itself.
fn chain_to(root: &Node, at: usize) -> Vec<Step<'_>> {
    fn search<'a>(node: &'a Node, at: usize, chain: &mut Vec<Step<'a>>) -> bool {
        if address(node) == at {
            return true;
        }
        for entry in node.entries() {
            chain.push(Step::Key(&entry.key, &entry.value));
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
        Step::Key(key, _) => crate::origin::child(&all, key.text().unwrap_or_default()),
        Step::Item(index, _) => format!("{all}[{index}]"),
    })
}

/// Whether a required key is missing only because its value was bad and left out.
fn missing_again(error: &DecodeError, chain: &[Step<'_>], root: &Node, skipped: &Skipped) -> bool {
    let What::MissingKey(key) = &error.what else { return false };
    let map = chain.last().map_or(root, Step::node);
    map.entry(key).is_some_and(|entry| skipped.borrow().contains(&address(&entry.key)))
}

/// Marks what was bad, so that the next run passes it by. False: there is nothing left to leave out.
fn leave_out(
    error: &DecodeError,
    chain: &[Step<'_>],
    skipped: &Skipped,
    fallback: Option<&Node>,
    filled: &mut Vec<String>,
) -> bool {
    if let Some(step) = chain.last() {
        let target = match step {
            Step::Key(key, _) => address(key),
            Step::Item(_, item) => address(item),
        };
        return skipped.borrow_mut().insert(target);
    }
    let What::MissingKey(key) = &error.what else { return false };
    let possible = fallback.is_some_and(|f| f.get(key).is_some()) && !filled.contains(key);
    if possible {
        filled.push(key.clone());
    }
    possible
}

fn describe(
    error: &DecodeError,
    chain: &[Step<'_>],
    root: &Node,
    what: &str,
    problems: &[Problem],
) -> Option<Problem> {
    let node = chain.last().map_or(root, Step::node);
    let path = path(chain);
    let at_key = error.at_key;
    let mark = match chain.last() {
        Some(Step::Key(key, _)) if at_key => &key.mark,
        _ => &node.mark,
    };
    let prefix = if path.is_empty() { String::new() } else { format!("{path}: ") };
    let problem = match &error.what {
        What::UnknownKey(key, known) => {
            let holder = chain.get(..chain.len().saturating_sub(1)).unwrap_or_default();
            let holder = if holder.is_empty() { what.to_owned() } else { self::path(holder) };
            let hint = did_you_mean(key, known.iter().copied());
            Problem::at(mark, Kind::UnknownKey, format!("unknown key {key:?} in {holder}{hint}"))
        }
        What::MissingKey(key) => {
            if was_misspelt(key, problems) {
                return None;
            }
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
        What::Message(message) => Problem::at(mark, Kind::Value, format!("{prefix}{message}")),
    };
    Some(problem)
}

/// Whether an unknown key was probably meant to be `key`: then that is said already.
fn was_misspelt(key: &str, problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|p| p.kind == Kind::UnknownKey && p.message.ends_with(&format!("did you mean {key:?}?")))
}

fn hint_to_quote(node: &Node, expected: &str) -> String {
    match &node.tree {
        Tree::Scalar(s) if s.is_plain() && !s.text.is_empty() && expected.contains("a text") => {
            format!("; write it in quotes: \"{}\"", s.text)
        }
        _ => String::new(),
    }
}

/// The nearest of `names` to `text`, for problems that are found later than here.
pub fn suggestion<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(text, names) {
        Some(found) => format!("; did you mean {found:?}?"),
        None => String::new(),
    }
}
