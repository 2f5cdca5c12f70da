//! Field selectors: `metadata.name=x,status.phase!=Running`, with backslash escapes in values.

use std::fmt;

use super::{Lookup, SelectorError};

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// The field's path, such as `spec.nodeName`.
    pub field: String,
    /// Whether the field must differ from the value instead of being it.
    pub negated: bool,
    /// The value, without escapes.
    pub value: String,
}

impl fmt::Display for FieldRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.field, if self.negated { "!=" } else { "=" })?;
        for c in self.value.chars() {
            if matches!(c, '\\' | ',' | '=') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

/// Conditions on fields, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads a `fieldSelector` query parameter. Which fields a kind supports is the caller's business.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let terms = terms.into_iter().filter(|t| !t.is_empty());
        Ok(Self { requirements: terms.map(|t| parse_term(text, t)).collect::<Result<_, _>>()? })
    }

    /// Whether the fields meet all conditions. A field that the object lacks is empty.
    pub fn matches<L: Lookup + ?Sized>(&self, fields: &L) -> bool {
        self.requirements.iter().all(|r| (fields.get(&r.field).unwrap_or("") == r.value) != r.negated)
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions, in the order of their text.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// The value that `field` must have, where the selector demands one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.field == field && !r.negated).map(|r| r.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

/// Cuts at commas that no backslash protects.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c| {
        let protected = escaped;
        escaped = c == '\\' && !protected;
        c == ',' && !protected
    })
    .collect()
}

fn parse_term(all: &str, term: &str) -> Result<FieldRequirement, SelectorError> {
    for (at, _) in term.char_indices() {
        for (sign, negated) in [("!=", true), ("==", false), ("=", false)] {
            if let Some(value) = term[at..].strip_prefix(sign) {
                let field = term[..at].to_string();
                return Ok(FieldRequirement { field, negated, value: unescape(value)? });
            }
        }
    }
    Err(SelectorError(format!("invalid selector: '{all}'; can't understand '{term}'")))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let bad = |sequence: &str| {
        SelectorError(format!("invalid field selector: invalid escape sequence: {sequence}"))
    };
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(e @ ('\\' | ',' | '=')) => out.push(e),
                Some(other) => return Err(bad(&format!("\\{other}"))),
                None => return Err(bad("\\")),
            },
            ',' | '=' => {
                // Upstream prints the number of the character.
                let number = u32::from(c);
                let message = format!("invalid field selector: unescaped character in value: {number}");
                return Err(SelectorError(message));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}
