//! A problem in a file: where, what, and what was probably meant.

use std::fmt;
use std::sync::Arc;

use crate::yaml::Mark;

mod excerpt;

/// What kind of problem it is: how a command counts it, not what a person reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The file cannot be read: no YAML, no UTF-8, too large.
    Syntax,
    /// A key that nothing reads.
    UnknownKey,
    /// A key that is needed is not there.
    MissingKey,
    /// A value that cannot be.
    Value,
    /// Values that are good alone contradict each other.
    Law,
    /// A file where none belongs.
    Layout,
}

/// A problem in a file. `{}` is one line, `file:line:column: message`; `{:#}` adds the line with a caret below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's path in the repository.
    pub file: Arc<str>,
    /// The line, from 1; 0: the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0: the file as a whole.
    pub column: u32,
    /// What kind of problem it is.
    pub kind: Kind,
    /// What is wrong, and what was probably meant.
    pub message: String,
    /// The line's text and the number of characters to underline.
    pub excerpt: Option<(String, u32)>,
}

impl Problem {
    /// A problem at `mark`.
    pub fn at(mark: &Mark, kind: Kind, message: impl Into<String>) -> Self {
        let excerpt = mark.source.line(mark.line).map(|text| (text.to_owned(), mark.width.max(1)));
        Self {
            file: mark.source.name.clone(),
            line: mark.line,
            column: mark.column,
            kind,
            message: brief(message.into()),
            excerpt,
        }
    }

    /// A problem of a file as a whole.
    pub fn of_file(file: &str, kind: Kind, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, kind, message: brief(message.into()), excerpt: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        let Some((text, width)) = self.excerpt.as_ref().filter(|_| f.alternate()) else { return Ok(()) };
        let gutter = self.line.to_string();
        let (line, carets) = excerpt::lines(text, self.column, *width);
        write!(f, "\n {gutter} | {line}\n {} | {carets}", " ".repeat(gutter.len()))
    }
}

impl std::error::Error for Problem {}

/// A longer message is cut in its middle: nobody reads what a huge value says about itself.
const MAX_MESSAGE: usize = 600;
/// Characters that are kept of its end, where the advice stands.
const MESSAGE_END: usize = 300;

/// A message that fits on a screen and changes nothing there.
fn brief(message: String) -> String {
    let message = excerpt::plain(&message);
    let length = message.chars().count();
    if length <= MAX_MESSAGE {
        return message;
    }
    let head: String = message.chars().take(MAX_MESSAGE - MESSAGE_END).collect();
    let tail: String = message.chars().skip(length - MESSAGE_END).collect();
    format!("{head} … {tail}")
}

/// Puts problems into the order in which a person reads the files, without repetitions.
pub fn tidy(problems: &mut Vec<Problem>) {
    problems.sort_by(|a, b| {
        (&a.file, a.line, a.column, a.kind, &a.message).cmp(&(&b.file, b.line, b.column, b.kind, &b.message))
    });
    problems.dedup();
    // One value has one thing wrong with it at a time: layers that read it in two ways say it twice.
    problems.dedup_by(|b, a| {
        let same_place = (&a.file, a.line, a.column) == (&b.file, b.line, b.column);
        same_place && a.line > 0 && a.kind == Kind::Value && b.kind == Kind::Value
    });
}

/// The candidate that is nearest to `text`, if it is near enough to be what was meant.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = text.chars().count();
    if length > 64 {
        return None;
    }
    let allowed = match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&text.to_lowercase(), &candidate.to_lowercase());
            let extends = length >= 3 && candidate.starts_with(text) || text.starts_with(candidate);
            // A candidate of which nothing remains is no typo.
            let near = distance <= allowed && distance < candidate.chars().count().max(length);
            let rank = if extends && !candidate.is_empty() { distance.min(1) } else { distance };
            (near || rank == 1).then_some((rank, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "…"?` for the nearest candidate, or nothing.
pub fn did_you_mean<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(text, candidates).map(|found| format!("; did you mean {found:?}?")).unwrap_or_default()
}

/// Edits (insert, delete, replace, swap of neighbours) that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let mut best =
                (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_what_was_probably_meant() {
        let keys = ["ports", "public", "port", "protocol", "scale", "secrets", "env", "calls"];
        for (typo, meant) in [
            ("prots", Some("ports")),
            ("Ports", Some("ports")),
            ("sclae", Some("scale")),
            ("secret", Some("secrets")),
            ("evn", Some("env")),
            ("proto", Some("protocol")),
            ("environment", Some("env")),
            ("zzz", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typo, keys), meant, "{typo}");
        }
    }
}
