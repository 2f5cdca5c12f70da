//! Puts new values into places, and proves that nothing else changed.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Place, Quotes, Scalars};
use crate::problem::Problem;
use crate::yaml::{MAX_BYTES, Plain, ambiguous};

/// A new value for a place.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// The place.
    pub place: &'a Place,
    /// The text that is to stand there: one line, no control characters.
    pub value: &'a str,
    /// What the comment behind it is to say; `None`: it stays. In a flow list or map, and behind a block without
    /// one, none is put: it would hide what follows, or become part of the text.
    pub comment: Option<&'a str>,
}

/// A new key with its value; [`beside`] makes it.
#[derive(Clone, Debug)]
pub struct Insert {
    at: usize,
    text: String,
    /// The event that it follows.
    event: usize,
    key: String,
    value: String,
}

/// A new key for the map that holds `beside`: behind that value, on a line of its own with the comment, or in the
/// same flow map without.
pub fn beside(scalars: &Scalars, beside: &Place, key: &str, value: &str, comment: Option<&str>) -> Insert {
    let quoted = |text: &str| {
        if fits_plain(text, beside.flow) { text.to_owned() } else { double(text) }
    };
    let entry = format!("{}: {}", quoted(key), quoted(value));
    let insert =
        |at, text| Insert { at, text, event: beside.event, key: key.to_owned(), value: value.to_owned() };
    if beside.flow {
        return insert(beside.range.end, format!(", {entry}"));
    }
    let text = &scalars.source.text;
    let mut lines = text.get(beside.range.end..).unwrap_or_default().split_inclusive('\n').peekable();
    let mut last = lines.next().unwrap_or_default();
    let mut at = beside.range.end + last.len();
    // Blank lines behind a block may be part of it.
    while let Some(line) = lines.next_if(|line| beside.quotes == Quotes::Block && line.trim().is_empty()) {
        at += line.len();
        last = line;
    }
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let indent = " ".repeat(beside.key_column.saturating_sub(1) as usize);
    let comment = comment.map(|comment| format!(" # {comment}")).unwrap_or_default();
    let line = format!("{indent}{entry}{comment}");
    insert(at, if last.ends_with('\n') { format!("{line}{end}") } else { format!("{end}{line}") })
}

/// Puts new values into places, and new keys beside them. A place keeps its quotes where the value can stand in
/// them, a block its form; a comment behind it, on the same line, is replaced where the change says so.
///
/// # Errors
/// Where the text that comes of it would be no YAML, or one in which any other value differs from before.
pub fn apply(scalars: &Scalars, changes: &[Change<'_>], inserts: &[Insert]) -> Result<String, Problem> {
    let text = &scalars.source.text;
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for change in changes {
        edits.extend(written(change.place, change.value, text));
        let Some(comment) = change.comment else { continue };
        match scalars.comment_after(change.place) {
            Some(range) => edits.push((range, format!("# {comment}"))),
            None if change.place.flow || change.place.quotes == Quotes::Block => {}
            None => edits.push((change.place.range.end..change.place.range.end, format!(" # {comment}"))),
        }
    }
    edits.extend(inserts.iter().map(|insert| (insert.at..insert.at, insert.text.clone())));
    // Those at the same place stay in their order: a value, its comment, a key behind it.
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for (range, new) in edits {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(&new);
        at = range.end.max(at);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    check(scalars, changes, inserts, &out)?;
    Ok(out)
}

/// Holds the new text against the old one, event by event.
fn check(scalars: &Scalars, changes: &[Change<'_>], inserts: &[Insert], new: &str) -> Result<(), Problem> {
    let changed: HashMap<usize, &Change<'_>> = changes.iter().map(|c| (c.place.event, c)).collect();
    let mut asked: Vec<usize> = changed.keys().copied().chain(inserts.iter().map(|i| i.event)).collect();
    asked.sort_unstable();
    let Some(first) = asked.first().copied() else { return Ok(()) };
    let refuse = |event: usize| {
        let asked = asked.iter().rev().find(|at| **at <= event).copied().unwrap_or(first);
        let message = "this cannot be set without changing something else of the file, so nothing is changed: set it by hand, or write the value in quotes on the line of its key first";
        match scalars.places.iter().find(|place| place.event == asked) {
            Some(place) => scalars.problem(place, message),
            None => Problem::of_file(&scalars.source.name, crate::problem::Kind::Value, message),
        }
    };
    if new.len() > MAX_BYTES {
        return Err(refuse(first));
    }
    let mut before = Parser::new_from_str(body(&scalars.source.text));
    let mut after = Parser::new_from_str(body(new));
    let mut next = || after.next_event().and_then(Result::ok).map(|(event, _)| event);
    let mut index = 0;
    while let Some(Ok((old, _))) = before.next_event() {
        let same = match changed.get(&index) {
            Some(change) => next().is_some_and(|new| is_set(&old, &new, change.value)),
            None => next().is_some_and(|new| new == old),
        };
        let inserted = inserts.iter().filter(|insert| insert.event == index).all(|insert| {
            next().is_some_and(|key| is_text(&key, &insert.key))
                && next().is_some_and(|value| is_text(&value, &insert.value))
        });
        if !same || !inserted {
            return Err(refuse(index));
        }
        if matches!(old, Event::StreamEnd) {
            return Ok(());
        }
        index += 1;
    }
    Ok(())
}

fn body(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether a value became what was asked, and kept its anchor and tag.
fn is_set(old: &Event<'_>, new: &Event<'_>, value: &str) -> bool {
    match (old, new) {
        (Event::Scalar(_, _, anchor, tag), Event::Scalar(text, style, now, with)) => {
            let is_string = tag.is_some() || *style != ScalarStyle::Plain || fits_plain(value, false);
            text == value && is_string && anchor == now && tag == with
        }
        (_, new) => is_text(new, value),
    }
}

fn is_text(event: &Event<'_>, value: &str) -> bool {
    matches!(event, Event::Scalar(text, style, 0, None)
        if text == value && (*style != ScalarStyle::Plain || fits_plain(value, false)))
}

/// A value in the form that fits its place.
fn written(place: &Place, value: &str, text: &str) -> Vec<(Range<usize>, String)> {
    let plain = || if fits_plain(value, place.flow) { value.to_owned() } else { double(value) };
    let new = match place.quotes {
        Quotes::Double => double(value),
        Quotes::Single => single(value),
        Quotes::None if place.range.is_empty() => {
            let spaced = text.get(..place.range.start).is_some_and(|t| t.ends_with([' ', '\t', '\n']));
            if spaced { plain() } else { format!(" {}", plain()) }
        }
        Quotes::None => plain(),
        Quotes::Block => {
            return Block::of(text.get(place.range.clone()).unwrap_or_default()).with(
                place.range.start,
                value,
                plain,
            );
        }
    };
    vec![(place.range.clone(), new)]
}

/// The parts of a block, as offsets from its header on.
pub(super) struct Block<'a> {
    /// `|` or `>`.
    style: &'a str,
    /// Where what follows `|` or `>` ends: an indentation, and what becomes of the last line breaks.
    pub(super) indicators: usize,
    /// The comment behind them.
    pub(super) comment: Option<Range<usize>>,
    /// Where the header's line ends, without and with its line break.
    header: (usize, usize),
    /// The white space before the first line that is not blank.
    indent: &'a str,
    length: usize,
}

impl<'a> Block<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let whole = text.split_inclusive('\n').next().unwrap_or_default();
        let header = whole.trim_end_matches(['\r', '\n']);
        let behind = header.trim_start_matches(['|', '>']);
        let behind = behind.trim_start_matches(|c: char| matches!(c, '+' | '-') || c.is_ascii_digit());
        let comment = behind.find('#').map(|at| header.len() - behind.len() + at..header.trim_end().len());
        let content = text.get(whole.len()..).unwrap_or_default();
        let first = content.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let indent = first.get(..first.len() - first.trim_start_matches(' ').len()).unwrap_or_default();
        Self {
            style: text.get(..1).unwrap_or_default(),
            indicators: header.len() - behind.len(),
            comment,
            header: (header.len(), whole.len()),
            indent,
            length: text.len(),
        }
    }

    /// The changes that make it hold one line, without a line break: so it is what was asked for.
    fn with(&self, start: usize, value: &str, plain: impl FnOnce() -> String) -> Vec<(Range<usize>, String)> {
        let indicators = start..start + self.indicators;
        if self.length <= self.header.1 {
            return vec![(indicators, plain())];
        }
        if value.is_empty() || value.trim() != value || value.chars().any(char::is_control) {
            return vec![
                (indicators, double(value)),
                (start + self.header.0..start + self.length, String::new()),
            ];
        }
        vec![
            (indicators, format!("{}-", self.style)),
            (start + self.header.1..start + self.length, format!("{}{value}", self.indent)),
        ]
    }
}

/// Whether a value can stand without quotes and is read back as the same text.
fn fits_plain(value: &str, flow: bool) -> bool {
    let is_mark = |c: char| "[]{},#&*!|>'\"%@`".contains(c) || c.is_whitespace();
    let is_text = !value.is_empty()
        && !value.starts_with(is_mark)
        && !["- ", "? ", ": ", "---", "..."].iter().any(|start| value.starts_with(start))
        && !value.ends_with(|c: char| c == ':' || c.is_whitespace())
        && !value.contains(": ")
        && !value.contains(" #")
        && !value.chars().any(char::is_control);
    let plain = is_text && !ambiguous(value) && matches!(Plain::core(value), Plain::Text);
    plain && !(flow && value.contains([',', '[', ']', '{', '}']))
}

fn single(value: &str) -> String {
    if value.chars().any(char::is_control) {
        double(value)
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

fn double(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}
