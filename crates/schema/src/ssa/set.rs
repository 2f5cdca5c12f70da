//! Field sets: which fields of an object somebody owns.

use std::cmp::Ordering;
use std::fmt;

use super::path::PathElement;

/// A set of paths, kept as a trie: sorted nodes, each a member or not, with a set below.
///
/// No node is neither a member nor has one below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub element: PathElement,
    /// The path that ends here is in the set.
    pub member: bool,
    pub below: FieldSet,
}

impl FieldSet {
    /// A set of the given paths of field names.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert_fields(path);
        }
        set
    }

    /// Adds a path of field names; the empty path is no member of any set.
    pub fn insert_fields(&mut self, path: &[&str]) {
        if let Some((first, rest)) = path.split_first() {
            let node = self.node(PathElement::Field((*first).to_owned()));
            if rest.is_empty() {
                node.member = true;
            } else {
                node.below.insert_fields(rest);
            }
        }
    }

    /// Whether the path of field names is a member.
    pub fn has_fields(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.get(&PathElement::Field((*first).to_owned()))
            .is_some_and(|n| if rest.is_empty() { n.member } else { n.below.has_fields(rest) })
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|n| usize::from(n.member) + n.below.len()).sum()
    }

    /// Calls `f` for each member: at each level first the members, then what lies below.
    pub fn for_each(&self, f: &mut impl FnMut(&[&PathElement])) {
        fn walk<'a>(set: &'a FieldSet, path: &mut Vec<&'a PathElement>, f: &mut impl FnMut(&[&PathElement])) {
            for node in set.nodes.iter().filter(|n| n.member) {
                path.push(&node.element);
                f(path);
                path.pop();
            }
            for node in &set.nodes {
                path.push(&node.element);
                walk(&node.below, path, f);
                path.pop();
            }
        }
        walk(self, &mut Vec::new(), f);
    }

    /// The members as error messages write them.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.for_each(&mut |path| out.push(path.iter().map(|e| e.to_string()).collect()));
        out
    }

    pub(super) fn get(&self, element: &PathElement) -> Option<&Node> {
        self.find(element).ok().map(|i| &self.nodes[i])
    }

    fn find(&self, element: &PathElement) -> Result<usize, usize> {
        match self.nodes.last() {
            // Most sets are built in order.
            Some(last) if last.element < *element => Err(self.nodes.len()),
            _ => self.nodes.binary_search_by(|n| n.element.cmp(element)),
        }
    }

    /// The node of an element, made where there is none; the caller must give it a member.
    pub(super) fn node(&mut self, element: PathElement) -> &mut Node {
        let at = self.find(&element).unwrap_or_else(|at| {
            self.nodes.insert(at, Node { element, member: false, below: Self::default() });
            at
        });
        &mut self.nodes[at]
    }

    /// Adds what is known of an element; nothing where that is nothing.
    pub(super) fn attach(&mut self, element: PathElement, member: bool, below: Self) {
        if !member && below.is_empty() {
            return;
        }
        let node = self.node(element);
        node.member |= member;
        if node.below.is_empty() {
            node.below = below;
        } else {
            let merged = std::mem::take(&mut node.below).union(below);
            node.below = merged;
        }
    }

    /// Everything that is in either.
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut nodes = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let mut a = self.nodes.into_iter().peekable();
        let mut b = other.nodes.into_iter().peekable();
        loop {
            let order = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.element.cmp(&y.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self { nodes },
            };
            let node = match order {
                Ordering::Less => a.next(),
                Ordering::Greater => b.next(),
                Ordering::Equal => a.next().zip(b.next()).map(|(x, y)| Node {
                    element: x.element,
                    member: x.member || y.member,
                    below: x.below.union(y.below),
                }),
            };
            nodes.extend(node);
        }
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut nodes = Vec::new();
        for (x, y) in pairs(self, other) {
            let Some(y) = y else { continue };
            let member = x.member && y.member;
            let below = x.below.intersection(&y.below);
            if member || !below.is_empty() {
                nodes.push(Node { element: x.element.clone(), member, below });
            }
        }
        Self { nodes }
    }

    /// What is in this set and not in the other.
    pub fn difference(self, other: &Self) -> Self {
        self.minus(other, false)
    }

    /// Like [`Self::difference`], and a member of the other takes away what lies below it, too.
    pub fn recursive_difference(self, other: &Self) -> Self {
        self.minus(other, true)
    }

    fn minus(self, other: &Self, recursive: bool) -> Self {
        if other.is_empty() {
            return self;
        }
        let mut rest = other.nodes.as_slice();
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for mut x in self.nodes {
            while rest.first().is_some_and(|y| y.element < x.element) {
                rest = &rest[1..];
            }
            if let Some(y) = rest.first().filter(|y| y.element == x.element) {
                x.member &= !y.member;
                x.below =
                    if recursive && y.member { Self::default() } else { x.below.minus(&y.below, recursive) };
            }
            if x.member || !x.below.is_empty() {
                nodes.push(x);
            }
        }
        Self { nodes }
    }

    /// The members that have none below them.
    pub fn leaves(&self) -> Self {
        let nodes = self.nodes.iter().map(|n| Node {
            element: n.element.clone(),
            member: n.member && n.below.is_empty(),
            below: n.below.leaves(),
        });
        Self { nodes: nodes.collect() }
    }
}

/// Each node of `a` with its counterpart in `b`.
fn pairs<'a>(a: &'a FieldSet, b: &'a FieldSet) -> impl Iterator<Item = (&'a Node, Option<&'a Node>)> {
    let mut rest = b.nodes.as_slice();
    a.nodes.iter().map(move |x| {
        while rest.first().is_some_and(|y| y.element < x.element) {
            rest = &rest[1..];
        }
        (x, rest.first().filter(|y| y.element == x.element))
    })
}

/// The members, one a line.
impl fmt::Display for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paths().join("\n"))
    }
}
