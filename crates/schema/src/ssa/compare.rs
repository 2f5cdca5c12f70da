//! What differs between two versions of an object, as field sets.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::node::{Atom, ListAtom, MapAtom, Node, zero};
use super::normalize::normalize;
use super::path::PathElement;
use super::set::FieldSet;
use super::value;
use crate::table::{Field, Schema, Shape};

/// The differences between an old and a new value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
    /// One of the values has an item without identity: upstream cannot type it.
    pub untyped: bool,
}

impl Comparison {
    pub(super) fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    fn attach(&mut self, element: PathElement, own: Marks, below: Self) {
        self.removed.attach(element.clone(), own.removed, below.removed);
        self.modified.attach(element.clone(), own.modified, below.modified);
        self.added.attach(element, own.added, below.added);
    }
}

/// What happened to a value itself, apart from what lies below it.
#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    removed: bool,
    modified: bool,
    added: bool,
}

impl Marks {
    fn any(self) -> bool {
        self.removed || self.modified || self.added
    }
}

/// Compares two values of one type as they stand.
pub(super) fn compare<'a>(schema: &'a Schema, node: Node<'a>, old: &Value, new: &Value) -> Comparison {
    let mut out = Comparison::default();
    let untyped = Cell::new(false);
    Walk { schema, typed: false, untyped: &untyped }.compare(node, Some(old), Some(new), &mut out);
    out.untyped = untyped.get();
    out
}

/// Compares two objects as the API's types hold them: what is always written is there, be it zero.
/// So a new object does not own that it has a `spec`.
pub(super) fn compare_typed<'a>(schema: &'a Schema, node: Node<'a>, old: &Value, new: &Value) -> Comparison {
    let mut out = Comparison::default();
    let untyped = Cell::new(false);
    Walk { schema, typed: true, untyped: &untyped }.compare(node, Some(old), Some(new), &mut out);
    out.untyped = untyped.get();
    out
}

/// The zero of a field, with all that is in it where it is compared whole.
fn whole_zero(schema: &Schema, field: &Field) -> Cow<'static, Value> {
    match field.shape {
        Shape::Object(id) if !field.pointer && schema.get(id).atomic => {
            let mut object = Value::Object(Map::new());
            normalize(schema, id, &mut object);
            Cow::Owned(object)
        }
        _ => Cow::Borrowed(zero(field)),
    }
}

#[derive(Clone, Copy)]
struct Walk<'a, 'w> {
    schema: &'a Schema,
    typed: bool,
    /// Set where an item without identity is met.
    untyped: &'w Cell<bool>,
}

impl<'a> Walk<'a, '_> {
    fn compare(
        self,
        node: Node<'a>,
        old: Option<&Value>,
        new: Option<&Value>,
        out: &mut Comparison,
    ) -> Marks {
        let mut marks = Marks::default();
        let mut leaf = false;
        if node.is_deduced() && old.is_some() && new.is_some() {
            // A value that changed its form is compared as both.
            let old_atom = node.atom(self.schema, old);
            let new_atom = node.atom(self.schema, new);
            if std::mem::discriminant(&old_atom) != std::mem::discriminant(&new_atom) {
                self.visit(old_atom, old, new, out, &mut marks);
            }
            leaf = self.visit(new_atom, old, new, out, &mut marks);
        } else {
            leaf |= self.visit(node.atom(self.schema, new.or(old)), old, new, out, &mut marks);
        }
        if !leaf {
            marks.added |= old.is_none();
            marks.removed |= new.is_none();
        }
        marks
    }

    /// Compares as one kind of value; the result says that it was compared whole.
    fn visit(
        self,
        atom: Atom<'a>,
        old: Option<&Value>,
        new: Option<&Value>,
        out: &mut Comparison,
        marks: &mut Marks,
    ) -> bool {
        match atom {
            Atom::Map(map) if !map.atomic => {
                let old_members = old.and_then(Value::as_object);
                let new_members = new.and_then(Value::as_object);
                if old_members.into_iter().chain(new_members).any(|m| !m.is_empty()) {
                    self.members(map, old_members, new_members, out);
                    return false;
                }
            }
            Atom::List(list) if !list.is_atomic() => {
                let old_items = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let new_items = new.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                if !(old_items.is_empty() && new_items.is_empty()) {
                    if old_items != new_items {
                        self.items(list, old_items, new_items, out);
                    } else if new_items.iter().any(|item| !list.has_identity(self.schema, item)) {
                        self.untyped.set(true);
                    }
                    return false;
                }
            }
            _ => {}
        }
        match (old, new) {
            (None, _) => marks.added = true,
            (_, None) => marks.removed = true,
            (Some(old), Some(new)) => marks.modified |= !value::equal(old, new),
        }
        true
    }

    fn members(
        self,
        map: MapAtom<'a>,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
        out: &mut Comparison,
    ) {
        let mut old_rest = old.into_iter().flatten().peekable();
        let mut new_rest = new.into_iter().flatten().peekable();
        loop {
            let order = match (old_rest.peek(), new_rest.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return,
            };
            let old_member = if order.is_le() { old_rest.next() } else { None };
            let new_member = if order.is_ge() { new_rest.next() } else { None };
            let Some((name, _)) = old_member.or(new_member) else { return };
            let (mut before, mut after) = (old_member.map(|m| m.1), new_member.map(|m| m.1));
            let zero = match map.field(name) {
                Some(field) if self.typed && field.always && before.is_none() != after.is_none() => {
                    Some(whole_zero(self.schema, field))
                }
                _ => None,
            };
            if let Some(zero) = &zero {
                before = before.or(old.map(|_| &**zero));
                after = after.or(new.map(|_| &**zero));
            }
            self.child(map.member(name), before, after, out, || PathElement::Field(name.clone()));
        }
    }

    fn child(
        self,
        node: Option<Node<'a>>,
        old: Option<&Value>,
        new: Option<&Value>,
        out: &mut Comparison,
        element: impl FnOnce() -> PathElement,
    ) {
        let mut below = Comparison::default();
        let marks = self.compare(node.unwrap_or(Node::Deduced), old, new, &mut below);
        if marks.any() || !below.is_same() {
            out.attach(element(), marks, below);
        }
    }

    fn items(self, list: ListAtom<'a>, old: &[Value], new: &[Value], out: &mut Comparison) {
        // Item → its places in the old and in the new list. Items without identity are skipped.
        let mut places: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for item in old {
            match list.element(self.schema, item) {
                Ok(element) => places.entry(element).or_default().0.push(item),
                Err(_) => self.untyped.set(true),
            }
        }
        for item in new {
            match list.element(self.schema, item) {
                Ok(element) => places.entry(element).or_default().1.push(item),
                Err(_) => self.untyped.set(true),
            }
        }
        for (element, (before, after)) in places {
            let mut below = Comparison::default();
            let mut marks = Marks::default();
            match (before.as_slice(), after.as_slice()) {
                ([] | [_], [] | [_]) => {
                    marks =
                        self.compare(list.item, before.first().copied(), after.first().copied(), &mut below);
                }
                // Nothing inside a repeated item can be told apart.
                ([_, _, ..], [_, _, ..]) => {
                    marks.modified = before.len() != after.len()
                        || before.iter().zip(&after).any(|(a, b)| !value::equal(a, b));
                }
                ([_, _, ..], rest) => {
                    if let Some(item) = rest.first() {
                        marks = self.compare(list.item, None, Some(item), &mut below);
                    }
                    marks.removed = true;
                }
                (rest, _) => {
                    if let Some(item) = rest.first() {
                        marks = self.compare(list.item, Some(item), None, &mut below);
                    }
                    marks.added = true;
                }
            }
            if marks.any() || !below.is_same() {
                out.attach(element, marks, below);
            }
        }
    }
}
