//! What serde says when a value does not fit, kept apart until its place is known.

use std::fmt;

use serde::de::{Expected, Unexpected};

/// What is wrong.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A key that nobody reads, and those that are read.
    UnknownKey(String, &'static [&'static str]),
    /// A required key.
    MissingKey(String),
    /// A word that is none of a list.
    UnknownChoice(String, &'static [&'static str]),
    /// What a value lacks that is good so far.
    Lacking(String),
    /// Another type than expected.
    Type(String),
    /// A sentence.
    Message(String),
}

/// An error and the address of the node that it is about.
#[derive(Clone, Debug)]
pub(super) struct DecodeError {
    pub(super) what: What,
    pub(super) at: Option<usize>,
    /// Whether it is about a key, not the value.
    pub(super) at_key: bool,
}

impl DecodeError {
    pub(super) fn new(what: What) -> Self {
        Self { what, at: None, at_key: false }
    }

    /// Notes the place, unless a deeper one is noted already.
    pub(super) fn place(mut self, address: usize, at_key: bool) -> Self {
        if self.at.is_none() {
            self.at = Some(address);
            self.at_key = at_key;
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for DecodeError {}

/// serde's words for types in a reader's words.
fn expected(words: &dyn Expected) -> String {
    let words = words.to_string();
    match words.as_str() {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" | "u64" | "usize" => "a whole number, not negative".into(),
        "i32" | "i64" => "a whole number".into(),
        "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" => "a text".into(),
        "a sequence" => "a list".into(),
        _ if words.starts_with("struct ") => "a map of keys and values".into(),
        _ if words.starts_with("enum ") || words.starts_with("variant ") => "one word".into(),
        _ => words,
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Message(message.to_string()))
    }
    fn invalid_type(_: Unexpected<'_>, words: &dyn Expected) -> Self {
        Self::new(What::Type(expected(words)))
    }
    fn invalid_value(_: Unexpected<'_>, words: &dyn Expected) -> Self {
        Self::new(What::Type(expected(words)))
    }
    fn invalid_length(_: usize, words: &dyn Expected) -> Self {
        Self::new(What::Lacking(words.to_string()))
    }
    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey(field.to_owned(), known))
    }
    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownChoice(variant.to_owned(), known))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new(What::MissingKey(field.to_owned()))
    }
}
