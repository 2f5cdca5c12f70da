//! Regular expressions of schemas: Go's syntax, bounded in size, without backtracking.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled expression may take.
const MAX_COMPILED: usize = 1 << 20;
/// Levels of nesting that an expression may have.
const MAX_NESTING: u32 = 100;

/// A compiled expression with its text.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in a line; also where it would become too large.
    pub fn new(text: &str) -> Result<Self, String> {
        let built =
            RegexBuilder::new(&translate(text)).size_limit(MAX_COMPILED).nest_limit(MAX_NESTING).build();
        match built {
            Ok(regex) => Ok(Self { text: text.to_owned(), regex }),
            Err(regex::Error::CompiledTooBig(_)) => Err(format!("the expression is too large: `{text}`")),
            Err(error) => {
                let words = error.to_string();
                let last = words.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Err(format!("error parsing regexp: {last}: `{text}`"))
            }
        }
    }

    /// The expression is found in `value`.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The first text that the expression fits.
    pub fn find<'t>(&self, value: &'t str) -> Option<&'t str> {
        self.regex.find(value).map(|m| m.as_str())
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Go's classes are of ASCII, and its `\z` and `\Q…\E` are its own; the rest means the same in both.
fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut class = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(chars.next(), class > 0, &mut chars, &mut out),
            '[' if class == 0 => {
                class = 1;
                out.push('[');
                open_class(&mut chars, &mut out);
            }
            // Inside a class Go takes these as they stand; `[:` begins a class of a name.
            '[' => {
                if chars.as_str().starts_with(':') {
                    class += 1;
                    out.push('[');
                } else {
                    out.push_str("\\[");
                }
            }
            ']' if class > 0 => {
                class -= 1;
                out.push(']');
            }
            '&' | '~' if class > 0 => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out
}

/// The beginning of a class: `^`, and a `]` that is meant as one.
fn open_class(chars: &mut std::str::Chars<'_>, out: &mut String) {
    for mark in ['^', ']'] {
        if chars.as_str().starts_with(mark) {
            chars.next();
            if mark == ']' {
                out.push('\\');
            }
            out.push(mark);
        }
    }
}

fn escape(c: Option<char>, in_class: bool, chars: &mut std::str::Chars<'_>, out: &mut String) {
    let set = match c {
        Some('d') => "0-9",
        Some('w') => "0-9A-Za-z_",
        Some('s') => "\\t\\n\\f\\r ",
        Some('D') if !in_class => return out.push_str("[^0-9]"),
        Some('W') if !in_class => return out.push_str("[^0-9A-Za-z_]"),
        Some('S') if !in_class => return out.push_str("[^\\t\\n\\f\\r ]"),
        Some('Q') if !in_class => {
            let rest = chars.as_str();
            let end = rest.find("\\E").unwrap_or(rest.len());
            out.push_str(&regex::escape(&rest[..end]));
            *chars = rest[(end + 2).min(rest.len())..].chars();
            return;
        }
        Some(other) => {
            out.push('\\');
            out.push(other);
            return;
        }
        None => return out.push('\\'),
    };
    if in_class {
        out.push_str(set);
    } else {
        out.push('[');
        out.push_str(set);
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, yes, no) in [
            (r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "*/5 * * * *", "* *"),
            (r"^\d$", "7", "٧"),
            (r"^[\w.]+$", "a_1.b", "ä"),
            (r"^[^]]$", "a", "]"),
            (r"^[a&&b]+$", "&a", "c"),
            (r"^[[:alpha:][]$", "[", "1"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^\p{L}+$", "ä", "1"),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            assert!(compiled.is_match(yes), "{pattern} and {yes}");
            assert!(!compiled.is_match(no), "{pattern} and {no}");
        }
    }

    #[test]
    fn expressions_that_cost_too_much_are_refused() {
        assert!(Pattern::new("(((a{1000}){1000}){1000})").is_err());
        assert!(Pattern::new(&"(".repeat(10_000)).is_err());
        assert!(Pattern::new("(?=a)").unwrap_err().starts_with("error parsing regexp: "));
    }
}
