//! Where a walk stands in the type table, and what structured merge makes of it.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::path::PathElement;
use crate::table::{Field, ListKind, Open, Schema, Shape, Type, TypeId};

/// A type, known or not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    /// An object type, and whether it is owned whole.
    Object(&'a Type, bool),
    /// The value of a field.
    Field(&'a Field),
    /// A value of a list or map.
    Item(&'a Shape),
    /// A type that nobody declared: objects are granular, lists atomic.
    Deduced,
}

/// What a value is to structured merge.
#[derive(Debug, Clone, Copy)]
pub(super) enum Atom<'a> {
    Scalar(Scalar),
    Map(MapAtom<'a>),
    List(ListAtom<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    String,
    Boolean,
    Untyped,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct MapAtom<'a> {
    /// The declared fields, for objects.
    pub fields: Option<&'a Type>,
    /// The type of other members; undeclared ones are not allowed without.
    pub element: Option<Node<'a>>,
    /// Owned whole.
    pub atomic: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ListAtom<'a> {
    pub item: Node<'a>,
    pub kind: &'a ListKind,
}

static ATOMIC: ListKind = ListKind::Atomic;
static ANY: Shape = Shape::Any;

/// `x-kubernetes-map-type: granular` on a field takes the atomicity from its type; the API has one.
const GRANULAR: (&str, &str) = ("claimRef", "io.k8s.api.core.v1.ObjectReference");

/// The schema declares this default of a list key, though it is the zero value and not written.
const EMPTY_NAME: &str = "io.k8s.api.core.v1.LocalObjectReference";

impl<'a> Node<'a> {
    pub(super) fn of(schema: &'a Schema, id: Option<TypeId>) -> Self {
        match id {
            Some(id) => {
                let ty = schema.get(id);
                Self::Object(ty, ty.atomic)
            }
            None => Self::Deduced,
        }
    }

    /// What `value` is at this place. Types that allow several forms go by the value; without one
    /// to go by, they count as maps.
    pub(super) fn atom(self, schema: &'a Schema, value: Option<&Value>) -> Atom<'a> {
        match self {
            Self::Object(ty, atomic) => object_atom(ty, atomic, value),
            Self::Field(field) => shape_atom(schema, &field.shape, Some(field), value),
            Self::Item(shape) => shape_atom(schema, shape, None, value),
            Self::Deduced => by_form(value, Self::Deduced, false),
        }
    }

    /// Whether the value's form decides what it is.
    pub(super) fn is_deduced(self) -> bool {
        matches!(self, Self::Deduced | Self::Item(Shape::Any) | Self::Field(Field { shape: Shape::Any, .. }))
    }
}

fn shape_atom<'a>(
    schema: &'a Schema,
    shape: &'a Shape,
    field: Option<&'a Field>,
    value: Option<&Value>,
) -> Atom<'a> {
    let atomic_field = field.is_some_and(|f| f.atomic);
    Atom::Scalar(match shape {
        Shape::String | Shape::Bytes | Shape::Duration => Scalar::String,
        Shape::Bool => Scalar::Boolean,
        Shape::Int32 | Shape::Int64 | Shape::Float => Scalar::Numeric,
        Shape::Quantity | Shape::IntOrString | Shape::Time | Shape::MicroTime => Scalar::Untyped,
        Shape::Any => return by_form(value, Node::Item(&ANY), true),
        Shape::Object(id) => {
            let ty = schema.get(*id);
            let granular = field.is_some_and(|f| (f.name.as_str(), ty.name.as_str()) == GRANULAR);
            let atomic = atomic_field || (ty.atomic && !granular);
            return object_atom(ty, atomic, value);
        }
        Shape::Map(value) => {
            let element = Some(Node::Item(value));
            return Atom::Map(MapAtom { fields: None, element, atomic: atomic_field });
        }
        Shape::List(item) => {
            let kind = field.map_or(&ATOMIC, |f| &f.list);
            return Atom::List(ListAtom { item: Node::Item(item), kind });
        }
    })
}

/// What a value of no declared form is; null and nothing count as maps.
fn object_atom<'a>(ty: &'a Type, atomic: bool, value: Option<&Value>) -> Atom<'a> {
    match ty.open {
        Open::No => Atom::Map(MapAtom { fields: Some(ty), element: None, atomic }),
        Open::Members => Atom::Map(MapAtom { fields: Some(ty), element: Some(Node::Deduced), atomic }),
        Open::Whole => by_form(value, Node::Deduced, false),
    }
}

fn by_form<'a>(value: Option<&Value>, inner: Node<'a>, atomic: bool) -> Atom<'a> {
    match value {
        None | Some(Value::Null | Value::Object(_)) => {
            Atom::Map(MapAtom { fields: None, element: Some(inner), atomic })
        }
        Some(Value::Array(_)) => Atom::List(ListAtom { item: inner, kind: &ATOMIC }),
        Some(_) => Atom::Scalar(Scalar::Untyped),
    }
}

impl<'a> MapAtom<'a> {
    /// The declared field of a name.
    pub(super) fn field(&self, name: &str) -> Option<&'a Field> {
        self.fields.and_then(|ty| ty.field(name))
    }

    /// The type of a member.
    pub(super) fn member(&self, name: &str) -> Option<Node<'a>> {
        self.field(name).map(Node::Field).or(self.element)
    }

    /// Whether the members are of types that nobody declared.
    pub(super) fn is_deduced(&self) -> bool {
        self.fields.is_none() && matches!(self.element, Some(Node::Deduced))
    }
}

impl<'a> ListAtom<'a> {
    pub(super) fn is_atomic(&self) -> bool {
        matches!(self.kind, ListKind::Atomic)
    }

    /// The path element that an item of this list has.
    ///
    /// # Errors
    /// Where the item has no identity: upstream's words.
    pub(super) fn element(&self, schema: &'a Schema, item: &Value) -> Result<PathElement, String> {
        match self.kind {
            ListKind::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            ListKind::Set => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".to_owned())
                }
                scalar => Ok(PathElement::Value(scalar.clone())),
            },
            ListKind::Map { keys } => self.keyed(schema, keys, item),
        }
    }

    /// Whether an item has an identity, without making it.
    pub(super) fn has_identity(&self, schema: &'a Schema, item: &Value) -> bool {
        match (self.kind, item) {
            (ListKind::Atomic, _) | (ListKind::Set, Value::Object(_) | Value::Array(_) | Value::Null) => {
                false
            }
            (ListKind::Set, _) => true,
            (ListKind::Map { keys }, Value::Object(map)) => {
                keys.iter().any(|key| self.key_value(schema, map, key).is_some())
            }
            (ListKind::Map { .. }, _) => false,
        }
    }

    fn keyed(&self, schema: &'a Schema, keys: &[String], item: &Value) -> Result<PathElement, String> {
        let map = match item {
            Value::Object(map) => map,
            Value::Null => {
                return Err("associative list with keys may not have a null element".to_owned());
            }
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let mut out: Vec<(String, Value)> = keys
            .iter()
            .filter_map(|key| Some((key.clone(), self.key_value(schema, map, key)?.into_owned())))
            .collect();
        if out.is_empty() {
            let quoted: Vec<String> = keys.iter().map(|k| crate::patch::gofmt::quote(k)).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                quoted.join(" ")
            ));
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(PathElement::Key(out))
    }

    /// The value of one key of an item, filled from the schema's default where it is absent.
    pub(super) fn key_value<'v>(
        &self,
        schema: &'a Schema,
        item: &'v Map<String, Value>,
        key: &str,
    ) -> Option<Cow<'v, Value>>
    where
        'a: 'v,
    {
        if let Some(v) = item.get(key) {
            return Some(Cow::Borrowed(v));
        }
        let Node::Item(Shape::Object(id)) = self.item else { return None };
        let ty = schema.get(*id);
        let field = ty.field(key)?;
        if let Some(default) = &field.default {
            return Some(Cow::Borrowed(default));
        }
        (field.always || ty.name == EMPTY_NAME).then(|| Cow::Borrowed(zero(field)))
    }
}

/// What the API's type holds where JSON has nothing: the zero of a field that is always written.
pub(super) fn zero(field: &Field) -> &'static Value {
    static OBJECT: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::String(String::new()));
    static NUMBER: LazyLock<Value> = LazyLock::new(|| Value::from(0));
    static QUANTITY: LazyLock<Value> = LazyLock::new(|| Value::from("0"));
    static DURATION: LazyLock<Value> = LazyLock::new(|| Value::from("0s"));
    static FALSE: Value = Value::Bool(false);
    static NULL: Value = Value::Null;
    if field.pointer {
        return &NULL;
    }
    match field.shape {
        Shape::String => &EMPTY,
        Shape::Bool => &FALSE,
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => &NUMBER,
        Shape::Quantity => &QUANTITY,
        Shape::Duration => &DURATION,
        Shape::Object(_) => &OBJECT,
        Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Any | Shape::List(_) | Shape::Map(_) => &NULL,
    }
}
