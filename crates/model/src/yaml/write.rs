//! The YAML writer: one text for one value, read back as it was by every reader of YAML 1.1 or 1.2.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::plain::some_reader_differs;

/// A key that is longer is written in the explicit form, because readers look for `:` only so far.
const MAX_SIMPLE_KEY: usize = 1000;

/// Writes a value: keys sorted, two spaces a level, lists at the level of their key, strings quoted exactly when
/// some reader would otherwise take them for something else, several lines as a literal block.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0, false),
        scalar => {
            write_inline(&mut out, scalar);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n(' ', level));
}

/// `inside`: the first entry stands behind a list's `- `, where the indentation is written already.
fn write_map(out: &mut String, map: &Map<String, Value>, level: usize, inside: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inside {
            indent(out, level);
        }
        let key = quoted(key);
        if key.len() > MAX_SIMPLE_KEY {
            let _ = writeln!(out, "? {key}");
            indent(out, level);
        } else {
            out.push_str(&key);
        }
        out.push(':');
        write_value(out, value, level, false);
    }
}

fn write_list(out: &mut String, items: &[Value], level: usize, inside: bool) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !inside {
            indent(out, level);
        }
        out.push('-');
        write_value(out, item, level, true);
    }
}

/// Writes what follows `key:` (at `level`) or `-`, the line's end included.
fn write_value(out: &mut String, value: &Value, level: usize, in_list: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push(if in_list { ' ' } else { '\n' });
            write_map(out, map, level + 2, in_list);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push(if in_list { ' ' } else { '\n' });
            write_list(out, items, if in_list { level + 2 } else { level }, in_list);
        }
        Value::String(text) if is_block(text) => write_block(out, text, level + 2),
        scalar => {
            out.push(' ');
            write_inline(out, scalar);
            out.push('\n');
        }
    }
}

fn write_inline(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// YAML 1.1 demands a point in the mantissa and a sign in the exponent.
fn number(n: &Number) -> String {
    let text = n.to_string();
    if !n.is_f64() {
        return text;
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, ""));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    match exponent {
        "" => format!("{mantissa}{point}"),
        e if e.starts_with(['-', '+']) => format!("{mantissa}{point}e{e}"),
        e => format!("{mantissa}{point}e+{e}"),
    }
}

/// Characters that every reader takes as they are, but for line ends and tabs.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}')
}

/// Whether a text of several lines can be a literal block.
fn is_block(text: &str) -> bool {
    let good = text.chars().all(|c| is_printable(c) || matches!(c, '\n' | '\t'));
    // A tab where indentation is looked for, and lines of spaces at an end, are read in more than one way.
    let first_is_clear = text.lines().next().is_some_and(|line| !line.trim().is_empty());
    let last_is_clear =
        text.trim_end_matches('\n').lines().last().is_some_and(|line| !line.trim().is_empty());
    let no_tab_first = !text.lines().any(|line| line.trim_start_matches(' ').starts_with('\t'));
    text.contains('\n') && good && first_is_clear && last_is_clear && no_tab_first
}

fn write_block(out: &mut String, text: &str, level: usize) {
    out.push_str(" |");
    if text.starts_with(' ') {
        out.push('2');
    }
    let body = text.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    out.push('\n');
    for line in body.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            indent(out, level);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Whether a plain scalar may look so, in a block context.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let (Some(first), second) = (chars.next(), chars.next()) else { return false };
    let starts_well = match first {
        '-' | '?' | ':' => second.is_some_and(|c| c != ' '),
        ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
        | ' ' => false,
        _ => true,
    };
    starts_well
        && text.chars().all(is_printable)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !some_reader_differs(text)
}

fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if text.contains(['"', '\\']) && text.chars().all(is_printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}
