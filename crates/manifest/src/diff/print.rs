//! A difference as text for a terminal and as Markdown for a review.

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

/// The difference for a pull request: a summary by risk, then each object, most alarming first.
pub fn markdown(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "No changes.\n".to_owned();
    }
    let mut out = format!("**{}**\n\n| risk | objects |\n|---|---|\n", totals(changes));
    for risk in Risk::ALL {
        let titles: Vec<String> = changes
            .iter()
            .filter(|change| change.risks.contains(&risk))
            .map(|change| format!("`{}`", change.id))
            .collect();
        if !titles.is_empty() {
            let _ = writeln!(out, "| {risk} | {} |", titles.join(", "));
        }
    }
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| change.risks.first().copied().unwrap_or(Risk::Other));
    for change in sorted {
        let _ = writeln!(
            out,
            "\n#### {} {}{}\n",
            sign_word(change.action),
            title(change),
            risks_in_brackets(change)
        );
        for field in &change.fields {
            let risk = if field.risk == Risk::Other { String::new() } else { format!(" ({})", field.risk) };
            let _ = writeln!(out, "- {}: {}{risk}", code(&field.path.to_string()), arrow_markdown(field));
        }
    }
    out
}

/// `2 added, 1 removed, 3 changed`.
fn totals(changes: &[Change]) -> String {
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

fn sign_word(action: Action) -> &'static str {
    match action {
        Action::Added => "Add",
        Action::Removed => "Remove",
        Action::Changed => "Change",
    }
}

fn title(change: &Change) -> String {
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

fn arrow_markdown(field: &FieldChange) -> String {
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
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Inline code that survives backticks in the text.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("{fence}{text}{fence}") } else { format!("{fence} {text} {fence}") }
}
