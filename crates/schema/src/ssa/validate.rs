//! Checks that a value has its declared type, as structured merge does before it works on one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::node::{Atom, ListAtom, MapAtom, Node, Scalar};
use super::path::PathElement;
use crate::patch::gofmt;
use crate::table::Schema;

/// Something that does not have its declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    path: String,
    message: String,
}

impl Invalid {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    fn within(mut self, element: &PathElement) -> Self {
        self.path.insert_str(0, &element.to_string());
        self
    }
}

/// All problems as upstream prints them.
pub(super) fn describe(problems: &[Invalid]) -> String {
    let line = |p: &Invalid| match p.path.as_str() {
        "" => p.message.clone(),
        path => format!("{path}: {}", p.message),
    };
    match problems {
        [one] => line(one),
        many => {
            let lines: Vec<String> = many.iter().map(|p| format!("  {}", line(p))).collect();
            format!("errors:\n{}", lines.join("\n"))
        }
    }
}

/// A walk that looks for values of wrong types.
pub(super) struct Validator<'a> {
    pub schema: &'a Schema,
    /// Lists by key and sets may repeat items: what is stored may, what is applied may not.
    pub allow_duplicates: bool,
}

impl<'a> Validator<'a> {
    pub(super) fn check(&self, node: Node<'a>, value: &Value) -> Vec<Invalid> {
        match node.atom(self.schema, Some(value)) {
            Atom::Scalar(scalar) => check_scalar(scalar, value).into_iter().collect(),
            Atom::List(list) => match value {
                Value::Array(items) => self.check_items(list, items),
                Value::Null => Vec::new(),
                other => vec![Invalid::new(format!("expected list, got &{{{}}}", gofmt::plain(other)))],
            },
            Atom::Map(map) => match value {
                Value::Object(members) => self.check_members(map, members),
                Value::Null => Vec::new(),
                other => vec![Invalid::new(format!("expected map, got &{{{}}}", gofmt::plain(other)))],
            },
        }
    }

    fn check_items(&self, list: ListAtom<'a>, items: &[Value]) -> Vec<Invalid> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (i, item) in (0i64..).zip(items) {
            let element = if list.is_atomic() {
                PathElement::Index(i)
            } else {
                match list.element(self.schema, item) {
                    Ok(element) => element,
                    Err(e) => {
                        problems.push(Invalid::new(format!("element {i}: {e}")));
                        return problems;
                    }
                }
            };
            problems.extend(self.check(list.item, item).into_iter().map(|p| p.within(&element)));
            if list.is_atomic() || self.allow_duplicates {
                continue;
            }
            let name = element.to_string();
            if !seen.insert(element) {
                problems.push(Invalid::new(format!("duplicate entries for key {name}")));
            }
        }
        problems
    }

    fn check_members(&self, map: MapAtom<'a>, members: &Map<String, Value>) -> Vec<Invalid> {
        let mut problems = Vec::new();
        for (name, value) in members {
            let Some(node) = map.member(name) else {
                let element = PathElement::Field(name.clone());
                problems.push(Invalid::new("field not declared in schema").within(&element));
                return problems;
            };
            let found = self.check(node, value);
            if !found.is_empty() {
                let element = PathElement::Field(name.clone());
                problems.extend(found.into_iter().map(|p| p.within(&element)));
            }
        }
        problems
    }
}

fn check_scalar(scalar: Scalar, value: &Value) -> Option<Invalid> {
    let shown = || gofmt::syntax(value);
    let message = match (scalar, value) {
        (_, Value::Null)
        | (Scalar::Numeric, Value::Number(_))
        | (Scalar::String, Value::String(_))
        | (Scalar::Boolean, Value::Bool(_))
        | (Scalar::Untyped, Value::Number(_) | Value::String(_) | Value::Bool(_)) => return None,
        (Scalar::Numeric, _) => {
            format!("expected numeric (int or float), got {}", gofmt::type_name(value))
        }
        (Scalar::String, _) => {
            format!("expected string, got &value.valueUnstructured{{Value:{}}}", shown())
        }
        (Scalar::Boolean, _) => format!("expected boolean, got &{{{}}}", gofmt::plain(value)),
        (Scalar::Untyped, _) => format!("expected any scalar, got &{{{}}}", gofmt::plain(value)),
    };
    Some(Invalid::new(message))
}
