//! Path elements of field sets: their order, and the two ways they are written.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::value;
use crate::patch::gofmt;

/// One step from a value to a value inside it.
#[derive(Debug, Clone)]
pub enum PathElement {
    /// A member of an object.
    Field(String),
    /// The item of a list that has these keys, sorted by name.
    Key(Vec<(String, Value)>),
    /// An item of a set.
    Value(Value),
    /// A position in a list.
    Index(i64),
}

impl PathElement {
    /// Reads an element as FieldsV1 writes it; `None` for a kind of element that this release does
    /// not know, which upstream skips.
    ///
    /// # Errors
    /// Where the text does not follow the notation.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut chars = text.chars();
        let (Some(kind), Some(colon)) = (chars.next(), chars.next()) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        if colon != ':' {
            return Err(format!("missing colon: {text}"));
        }
        let rest = chars.as_str();
        let parsed = match kind {
            'f' => Self::Field(rest.to_owned()),
            'v' => Self::Value(serde_json::from_str(rest).map_err(|e| e.to_string())?),
            'k' => {
                let keys: Map<String, Value> = serde_json::from_str(rest).map_err(|e| e.to_string())?;
                Self::Key(keys.into_iter().collect())
            }
            'i' => Self::Index(
                rest.parse()
                    .map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", gofmt::quote(rest)))?,
            ),
            _ => return Ok(None),
        };
        Ok(Some(parsed))
    }

    /// Appends the element as FieldsV1 writes it: `f:spec`, `k:{"name":"web"}`, `v:"a"`, `i:0`.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(keys) => {
                out.push_str("k:{");
                for (i, (name, v)) in keys.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    gofmt::write_json_string(out, name, false);
                    out.push(':');
                    gofmt::write_json(out, v);
                }
                out.push('}');
            }
            Self::Value(v) => {
                out.push_str("v:");
                gofmt::write_json(out, v);
            }
            Self::Index(i) => {
                out.push_str("i:");
                out.push_str(&i.to_string());
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_keys(a, b),
            (Self::Value(a), Self::Value(b)) => value::compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

fn compare_keys(a: &[(String, Value)], b: &[(String, Value)]) -> Ordering {
    for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b) {
        let order = a_name.cmp(b_name).then_with(|| value::compare(a_value, b_value));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PathElement {}

/// As error messages write it: `.spec`, `[name="web"]`, `[="a"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (i, (name, v)) in keys.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", value::display(v))?;
                }
                f.write_str("]")
            }
            Self::Value(v) => write!(f, "[={}]", value::display(v)),
            Self::Index(i) => write!(f, "[{i}]"),
        }
    }
}
