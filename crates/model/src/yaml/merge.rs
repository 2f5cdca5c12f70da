//! Layers of a file: maps merge key by key, scalars and lists replace, `null` removes.

use super::{Entry, Mark, Node, Scalar, Style, Tree};
use crate::origin::child;
use crate::problem::{Kind, Problem};

/// A value that may be written short: when one layer wrote it short and another long, the short one is read as
/// the long one with this key set.
pub struct ShortForm {
    /// The path, with `*` for any one key.
    pub path: &'static [&'static str],
    /// The keys of the long form that the short one sets.
    pub keys: &'static [&'static str],
}

/// How the layers of a kind of file are laid upon each other.
pub struct Rules {
    /// Values that may be written short.
    pub short_forms: &'static [ShortForm],
    /// Keys of the root below which `null` is a value like any other, and values are replaced as a whole.
    pub literal: &'static [&'static str],
}

/// Lays `over` upon `base`.
///
/// A `null` that removes nothing is a problem: it is a typo, or left over.
pub fn merge(base: &Node, over: &Node, rules: &Rules, problems: &mut Vec<Problem>) -> Node {
    let mut path = Vec::new();
    Merger { rules, problems }.node(base, over, &mut path)
}

struct Merger<'a> {
    rules: &'a Rules,
    problems: &'a mut Vec<Problem>,
}

impl Merger<'_> {
    fn node(&mut self, base: &Node, over: &Node, path: &mut Vec<String>) -> Node {
        match (&base.tree, &over.tree) {
            (Tree::Map(below), Tree::Map(above)) => {
                let entries = self.map(below, above, path);
                Node { mark: over.mark.clone(), tree: Tree::Map(entries) }
            }
            (Tree::Scalar(_), Tree::Map(_)) => match self.lengthen(base, path) {
                Some(long) => self.node(&long, over, path),
                None => over.clone(),
            },
            (Tree::Map(_), Tree::Scalar(_)) => match self.lengthen(over, path) {
                Some(long) => self.node(base, &long, path),
                None => over.clone(),
            },
            _ => over.clone(),
        }
    }

    fn map(&mut self, below: &[Entry], above: &[Entry], path: &mut Vec<String>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = below.to_vec();
        let literal = path.first().is_some_and(|root| self.rules.literal.contains(&root.as_str()));
        for entry in above {
            let position = entries.iter().position(|e| e.name() == entry.name());
            if literal {
                match position.and_then(|at| entries.get_mut(at)) {
                    Some(old) => *old = entry.clone(),
                    None => entries.push(entry.clone()),
                }
                continue;
            }
            path.push(entry.name().to_owned());
            match (position, entry.value.is_null()) {
                (Some(at), true) => {
                    entries.remove(at);
                }
                (None, true) => self.removes_nothing(entry, path),
                (Some(at), false) => {
                    if let Some(old) = entries.get_mut(at) {
                        *old = Entry {
                            key: entry.key.clone(),
                            value: self.node(&old.value, &entry.value, path),
                        };
                    }
                }
                (None, false) => {
                    let value = self.fresh(&entry.value, path);
                    entries.push(Entry { key: entry.key.clone(), value });
                }
            }
            path.pop();
        }
        entries
    }

    /// A value below which there is nothing: none of its nulls removes anything.
    fn fresh(&mut self, node: &Node, path: &mut Vec<String>) -> Node {
        let Tree::Map(entries) = &node.tree else { return node.clone() };
        if path.first().is_some_and(|root| self.rules.literal.contains(&root.as_str())) {
            return node.clone();
        }
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            path.push(entry.name().to_owned());
            match entry.value.is_null() {
                true => self.removes_nothing(entry, path),
                false => kept.push(Entry { key: entry.key.clone(), value: self.fresh(&entry.value, path) }),
            }
            path.pop();
        }
        Node { mark: node.mark.clone(), tree: Tree::Map(kept) }
    }

    fn removes_nothing(&mut self, entry: &Entry, path: &[String]) {
        let shown = path.iter().fold(String::new(), |all, key| child(&all, key));
        let message = format!(
            "{shown} is empty, and no file below this one sets it; write its value, or {{}} for none"
        );
        self.problems.push(Problem::at(&entry.key.mark, Kind::Value, message));
    }

    /// The long form of a short value, if the value at `path` has one and it fits.
    fn lengthen(&self, node: &Node, path: &[String]) -> Option<Node> {
        let form = self.rules.short_forms.iter().find(|form| {
            form.path.len() == path.len() && form.path.iter().zip(path).all(|(f, p)| *f == "*" || f == p)
        })?;
        let key = |name: &str, mark: &Mark| Node {
            mark: mark.clone(),
            tree: Tree::Scalar(Scalar { text: name.to_owned(), style: Style::Plain, tag: None }),
        };
        let entries =
            form.keys.iter().map(|name| Entry { key: key(name, &node.mark), value: node.clone() }).collect();
        Some(Node { mark: node.mark.clone(), tree: Tree::Map(entries) })
    }
}
