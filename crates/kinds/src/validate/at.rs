//! A place in an object: a JSON value and the field path that leads to it.
//!
//! Paths are linked through the stack and become text only when a cause is written, so that checking
//! a good object allocates nothing for them. An absent field is the null value: reading below it
//! gives null again, as a Go struct that was never set reads as zero.

use std::fmt;

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// A field path as the API server writes it: `spec.containers[0].resources.limits[cpu]`.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Name(&'p str),
    Index(usize),
    Key(&'p str),
}

impl<'p> Path<'p> {
    /// The path of the whole object, written as nothing.
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// The path of a field; a dotted name is written as it is.
    pub(crate) fn child<'q>(&'q self, name: &'q str) -> Path<'q> {
        Path { parent: Some(self), step: Step::Name(name) }
    }

    /// The path of a list's element.
    pub(crate) fn index(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// The path of a map's entry.
    pub(crate) fn key<'q>(&'q self, key: &'q str) -> Path<'q> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    /// The key of the entry that the path ends in.
    pub(crate) fn last_key(&self) -> Option<&'p str> {
        match self.step {
            Step::Key(key) => Some(key),
            _ => None,
        }
    }

    fn is_root(&self) -> bool {
        self.parent.is_none_or(Path::is_root) && matches!(self.step, Step::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_start = self.parent.is_none_or(Path::is_root);
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Name(name) if at_start => f.write_str(name),
            Step::Name(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'v, 'p> {
    /// The value; null where the field is absent.
    pub(crate) value: &'v Value,
    /// Its path.
    pub(crate) path: Path<'p>,
}

impl<'v> At<'v, 'static> {
    /// A whole object.
    pub(crate) fn root(value: &'v Value) -> Self {
        At { value, path: Path::ROOT }
    }
}

impl<'v, 'p> At<'v, 'p> {
    /// The field `name` of this object.
    pub(crate) fn get<'q>(&'q self, name: &'q str) -> At<'v, 'q> {
        At { value: field(self.value, name), path: self.path.child(name) }
    }

    /// Another value at this place: for checks that look at a changed copy.
    pub(crate) fn with<'w>(&self, value: &'w Value) -> At<'w, 'p> {
        At { value, path: self.path }
    }

    /// The elements of this list, each with its path; nothing for what is no list.
    pub(crate) fn items<'q>(&'q self) -> impl Iterator<Item = At<'v, 'q>> {
        list(self.value).iter().enumerate().map(|(i, value)| At { value, path: self.path.index(i) })
    }

    /// The entries of this map in the order of their keys, each with its path `[key]`.
    pub(crate) fn entries<'q>(&'q self) -> impl Iterator<Item = (&'v str, At<'v, 'q>)>
    where
        'v: 'q,
    {
        entries(self.value).map(|(key, value)| (key, At { value, path: self.path.key(key) }))
    }

    /// Whether the field is there, be it empty.
    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The text, empty where there is none.
    pub(crate) fn str(&self) -> &'v str {
        text(self.value)
    }

    /// The number, if it is a whole one.
    pub(crate) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// The number as Go's zero value has it.
    pub(crate) fn int_or_zero(&self) -> i64 {
        self.value.as_i64().unwrap_or(0)
    }

    /// Whether the field is true.
    pub(crate) fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// Entries of a list or map, or bytes of a text; zero for all else.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            Value::String(text) => text.len(),
            _ => 0,
        }
    }

    /// Whether there is nothing in the list, map or text.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The field `name`, null where the value is no object or has none.
pub(crate) fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&NULL)
}

/// The value at a dotted path of field names.
pub(crate) fn dig<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, field)
}

/// The text of a value, empty where it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The elements of a list, none where it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map, none where it is no map.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(key, value)| (key.as_str(), value))
}

/// The texts of a list.
pub(crate) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}
