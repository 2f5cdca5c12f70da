//! A difference as text for a terminal, and the words that reviews share with it.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Action, Change, FieldChange, Risk};

/// Values longer than this are cut: a reader wants to know what changed, the file has the rest.
const MAX_VALUE: usize = 160;

/// The difference for a terminal: one object a block, fields indented below it. Empty without changes.
pub fn text(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        let _ = writeln!(out, "{} {}{}", sign(change.action), title(change), risks_in_brackets(change));
        for field in &change.fields {
            let _ = writeln!(out, "    {}: {}", field.path, arrow(field));
        }
    }
    if !changes.is_empty() {
        let _ = writeln!(out, "{}", totals(changes));
    }
    out
}

/// `2 added, 1 removed, 3 changed`.
pub(super) fn totals(changes: &[Change]) -> String {
    let count = |action| changes.iter().filter(|change| change.action == action).count();
    format!(
        "{} added, {} changed, {} removed",
        count(Action::Added),
        count(Action::Changed),
        count(Action::Removed)
    )
}

fn sign(action: Action) -> char {
    match action {
        Action::Added => '+',
        Action::Removed => '-',
        Action::Changed => '~',
    }
}

pub(super) fn sign_word(action: Action) -> &'static str {
    match action {
        Action::Added => "Add",
        Action::Removed => "Remove",
        Action::Changed => "Change",
    }
}

pub(super) fn title(change: &Change) -> String {
    match &change.renamed_from {
        Some(before) => format!("{} (was {before})", change.id),
        None => change.id.to_string(),
    }
}

fn risks_in_brackets(change: &Change) -> String {
    let labels: Vec<&str> =
        change.risks.iter().filter(|risk| **risk != Risk::Other).map(|risk| risk.label()).collect();
    if labels.is_empty() { String::new() } else { format!("  [{}]", labels.join(", ")) }
}

fn arrow(field: &FieldChange) -> String {
    match (&field.old, &field.new) {
        (Some(old), Some(new)) => format!("{} -> {}", short(old), short(new)),
        (None, Some(new)) => format!("+ {}", short(new)),
        (Some(old), None) => format!("- {}", short(old)),
        (None, None) => String::new(),
    }
}

pub(super) fn arrow_markdown(field: &FieldChange) -> String {
    match (&field.old, &field.new) {
        (Some(old), Some(new)) => format!("{} → {}", code(&short(old)), code(&short(new))),
        (None, Some(new)) => format!("set to {}", code(&short(new))),
        (Some(old), None) => format!("no longer set (was {})", code(&short(old))),
        (None, None) => String::new(),
    }
}

/// A value in one line: strings bare, the rest as JSON.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.replace('\n', "\\n"),
        other => other.to_string(),
    };
    cut(&text)
}

/// Inline code of Markdown that shows a text as it is: nobody is mentioned in it and nothing is linked. It
/// survives backticks; what would break the line or turn its direction is replaced.
pub fn code(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String =
        text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect();
    let longest = plain.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if plain.is_empty() {
        "(empty)".to_owned()
    } else if longest == 0 && !plain.starts_with(' ') {
        format!("{fence}{plain}{fence}")
    } else {
        format!("{fence} {plain} {fence}")
    }
}

/// A text cut to what a line takes.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
