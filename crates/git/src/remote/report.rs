//! What a server says became of a push: its report, line by line.

#[cfg(test)]
mod tests;

use std::io::BufRead;

use crate::error::{Error, tame};
use crate::pktline::{self, Packet};

/// A server's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What went wrong while the pack was taken.
    pub unpack: Option<String>,
    /// Refs in its order: the name, and why it was not changed.
    pub refs: Vec<(String, Option<String>)>,
}

/// No report has more lines.
const LINES: usize = 10_000;

/// Reads a report.
///
/// # Errors
/// Where it is cut off, or does not have the form of one.
pub fn read_report(input: &mut dyn BufRead, remote: &str) -> Result<Report, Error> {
    let wrong =
        |why: &str| Error::Protocol { remote: remote.to_owned(), why: format!("its report of a push {why}") };
    let mut report: Option<Report> = None;
    for _ in 0..LINES {
        let packet = pktline::read(input).map_err(|why| super::smart::failed(remote, why))?;
        let data = match packet {
            Some(Packet::Data(data)) => data,
            Some(_) => return report.ok_or_else(|| wrong("is empty")),
            None => return Err(wrong("is cut off")),
        };
        let line = pktline::line(&data);
        match (&mut report, line.strip_prefix(b"unpack ")) {
            (None, Some(b"ok")) => report = Some(Report { unpack: None, refs: Vec::new() }),
            (None, Some(why)) => report = Some(Report { unpack: Some(tame(why, 500)), refs: Vec::new() }),
            (None, None) => return Err(wrong("does not begin with what became of the pack")),
            (Some(report), _) => {
                report.refs.extend(one(line).ok_or_else(|| wrong("has a line that is neither ok nor ng"))?)
            }
        }
    }
    Err(wrong("does not end"))
}

type Line = (String, Option<String>);

/// `None` for what is no line of a report; an empty answer for one that says more about the line before.
fn one(line: &[u8]) -> Option<Option<Line>> {
    if let Some(name) = line.strip_prefix(b"ok ") {
        return Some(Some((tame(name, 1000), None)));
    }
    if let Some(rest) = line.strip_prefix(b"ng ") {
        let at = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (name, why) = rest.split_at(at);
        return Some(Some((tame(name, 1000), Some(tame(why, 500)))));
    }
    line.starts_with(b"option ").then_some(None)
}
