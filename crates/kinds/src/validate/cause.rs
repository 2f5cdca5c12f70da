//! Why a value is refused, said as the API server says it, and the Status that carries it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::at::At;

/// What is wrong with a field: the `reason` of a cause in a Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A value that refers to something that does not exist.
    NotFound,
    /// A value that must be there and is not.
    Required,
    /// A value that must be unique and is not.
    Duplicate,
    /// A malformed value.
    Invalid,
    /// A value outside of the closed list that the field allows.
    NotSupported,
    /// A value that the other values do not permit.
    Forbidden,
    /// More bytes than the field may have.
    TooLong,
    /// More items than the field may have.
    TooMany,
    /// A value of another type than the field's.
    TypeInvalid,
    /// A contradiction that is not the client's.
    Internal,
}

impl Reason {
    /// The name in `status.details.causes[].reason`.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotFound => "FieldValueNotFound",
            Reason::Required => "FieldValueRequired",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Invalid => "FieldValueInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
            Reason::Internal => "InternalError",
        }
    }

    /// The words that the message starts with.
    pub fn title(self) -> &'static str {
        match self {
            Reason::NotFound => "Not found",
            Reason::Required => "Required value",
            Reason::Duplicate => "Duplicate value",
            Reason::Invalid | Reason::TypeInvalid => "Invalid value",
            Reason::NotSupported => "Unsupported value",
            Reason::Forbidden => "Forbidden",
            Reason::TooLong => "Too long",
            Reason::TooMany => "Too many",
            Reason::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The path of the field, `spec.ports[0].port`; empty for the whole object.
    pub field: String,
    /// The kind of fault.
    pub reason: Reason,
    /// The sentence without the path: `Invalid value: 0: must be between 1 and 65535, inclusive`.
    pub message: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The Status, code 422, that refuses an object for `causes`.
///
/// The message names kind, group and object and lists each cause once, as
/// `Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be …`.
pub fn status_of(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Value {
    let mut seen = BTreeSet::new();
    let sentences: Vec<String> =
        causes.iter().map(Cause::to_string).filter(|sentence| seen.insert(sentence.clone())).collect();
    let qualified = if group.is_empty() { kind.to_string() } else { format!("{kind}.{group}") };
    let mut message = format!("{qualified} {} is invalid", quote(name));
    match sentences.as_slice() {
        [] => {}
        [one] => message = format!("{message}: {one}"),
        several => message = format!("{message}: [{}]", several.join(", ")),
    }
    let listed: Vec<Value> = causes
        .iter()
        .map(|cause| json!({"reason": cause.reason.name(), "message": cause.message, "field": cause.field}))
        .collect();
    let mut details = json!({"name": name, "kind": kind, "causes": listed});
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Invalid", "details": details, "code": 422,
    })
}

/// Causes as they are found, in the order in which the API server reports them.
#[derive(Default)]
pub(crate) struct Causes(Vec<Cause>);

impl Causes {
    /// All causes found.
    pub(crate) fn into_vec(self) -> Vec<Cause> {
        self.0
    }

    /// How many there are: a mark to see whether a check added any.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, field: &dyn fmt::Display, reason: Reason, value: Option<String>, detail: &str) {
        let mut message = reason.title().to_string();
        for part in value.iter().map(String::as_str).chain(Some(detail).filter(|d| !d.is_empty())) {
            message.push_str(": ");
            message.push_str(part);
        }
        self.0.push(Cause { field: field.to_string(), reason, message });
    }

    /// Takes over what another list holds.
    pub(crate) fn append(&mut self, other: Causes) {
        self.0.extend(other.0);
    }

    /// Adds a cause that is made already.
    pub(crate) fn add(&mut self, cause: Cause) {
        self.0.push(cause);
    }

    /// Puts them in the order of their texts.
    pub(crate) fn sort(&mut self) {
        self.0.sort_by_cached_key(Cause::to_string);
    }

    pub(crate) fn type_invalid(&mut self, field: impl Place, value: impl Shown, detail: &str) {
        self.push(field.place(), Reason::TypeInvalid, Some(value.shown()), detail);
    }

    pub(crate) fn required(&mut self, field: impl Place, detail: &str) {
        self.push(field.place(), Reason::Required, None, detail);
    }

    pub(crate) fn forbidden(&mut self, field: impl Place, detail: &str) {
        self.push(field.place(), Reason::Forbidden, None, detail);
    }

    pub(crate) fn invalid(&mut self, field: impl Place, value: impl Shown, detail: &str) {
        self.push(field.place(), Reason::Invalid, Some(value.shown()), detail);
    }

    /// A place that is wrong as such: its value is not repeated.
    pub(crate) fn invalid_here(&mut self, field: impl Place, detail: &str) {
        self.push(field.place(), Reason::Invalid, None, detail);
    }

    pub(crate) fn invalid_each(&mut self, field: impl Place, value: &str, details: Vec<String>) {
        for detail in details {
            self.push(field.place(), Reason::Invalid, Some(quote(value)), &detail);
        }
    }

    pub(crate) fn unsupported(&mut self, field: impl Place, value: impl Shown, allowed: &[&str]) {
        let list: Vec<String> = allowed.iter().map(|a| quote(a)).collect();
        let detail =
            if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        self.push(field.place(), Reason::NotSupported, Some(value.shown()), &detail);
    }

    pub(crate) fn duplicate(&mut self, field: impl Place, value: impl Shown) {
        self.push(field.place(), Reason::Duplicate, Some(value.shown()), "");
    }

    pub(crate) fn duplicate_as(&mut self, field: impl Place, value: impl Shown, detail: &str) {
        self.push(field.place(), Reason::Duplicate, Some(value.shown()), detail);
    }

    pub(crate) fn not_found(&mut self, field: impl Place, value: impl Shown) {
        self.push(field.place(), Reason::NotFound, Some(value.shown()), "");
    }

    pub(crate) fn not_found_as(&mut self, field: impl Place, value: impl Shown, detail: &str) {
        self.push(field.place(), Reason::NotFound, Some(value.shown()), detail);
    }

    pub(crate) fn too_long(&mut self, field: impl Place, max: usize) {
        self.push(field.place(), Reason::TooLong, None, &format!("may not be more than {max} bytes"));
    }

    pub(crate) fn too_many(&mut self, field: impl Place, actual: usize, max: usize) {
        let detail = format!("must have at most {max} items");
        self.push(field.place(), Reason::TooMany, Some(actual.to_string()), &detail);
    }
}

/// What names the place of a cause: a path, a value with its path, or a text of upstream's own.
pub(crate) trait Place {
    fn place(&self) -> &dyn fmt::Display;
}

impl Place for &super::at::Path<'_> {
    fn place(&self) -> &dyn fmt::Display {
        *self
    }
}

impl Place for super::at::Path<'_> {
    fn place(&self) -> &dyn fmt::Display {
        self
    }
}

impl Place for &At<'_, '_> {
    fn place(&self) -> &dyn fmt::Display {
        &self.path
    }
}

impl Place for At<'_, '_> {
    fn place(&self) -> &dyn fmt::Display {
        &self.path
    }
}

impl Place for &str {
    fn place(&self) -> &dyn fmt::Display {
        self
    }
}

/// How a refused value is printed: texts in Go's quotes, all else as JSON.
pub(crate) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for &str {
    fn shown(&self) -> String {
        quote(self)
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        quote(self)
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for &Value {
    fn shown(&self) -> String {
        match self {
            Value::String(text) => quote(text),
            other => go_json(other),
        }
    }
}

impl Shown for Value {
    fn shown(&self) -> String {
        (&self).shown()
    }
}

impl Shown for &At<'_, '_> {
    fn shown(&self) -> String {
        self.value.shown()
    }
}

/// Text that is printed as it stands.
pub(crate) struct Raw(pub(crate) String);

impl Shown for Raw {
    fn shown(&self) -> String {
        self.0.clone()
    }
}

/// An object whose fields are printed in this order; fields that are not listed follow.
pub(crate) fn in_order(value: &Value, order: &[&str]) -> Raw {
    let Some(map) = value.as_object() else { return Raw(value.shown()) };
    let listed = order.iter().filter_map(|name| map.get_key_value(*name));
    let rest = map.iter().filter(|(name, _)| !order.contains(&name.as_str()));
    let fields: Vec<String> = listed
        .chain(rest)
        .map(|(name, value)| format!("{}:{}", go_json(&json!(name)), go_json(value)))
        .collect();
    Raw(format!("{{{}}}", fields.join(",")))
}

/// A label selector, whose labels come before its expressions.
pub(crate) fn selector_text(value: &Value) -> Raw {
    in_order(value, &["matchLabels", "matchExpressions"])
}

/// JSON as Go's encoder writes it: no spaces, and `<`, `>`, `&` escaped.
fn go_json(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            other => out.push(other),
        }
    }
    out
}

/// A text in quotes as Go's `%q` prints it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if is_printable(c) => out.push(c),
            c if u32::from(c) > 0xffff => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// Close to Go's `unicode.IsPrint`: control, format and separator characters are not.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(u32::from(c), 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
                | 0xe000..=0xf8ff | 0xf0000..=0x10_ffff))
}
