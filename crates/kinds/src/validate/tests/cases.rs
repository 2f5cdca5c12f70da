//! The table of cases: files of `Kind: edits` lines, each with what is said against the object below it.
//!
//! `Kind: before => after` is an update, `Kind status: before => after` one of the status. A sentence that
//! ends in `…` is a beginning, `«x*3»` stands for `xxx`, `#` begins a comment.

use serde_json::Value;

use super::super::{Cause, create, status, update};
use super::{edit, sentences, written};
use crate::{defaults, prepare};

const FILES: &[(&str, &str)] = &[
    ("config.txt", include_str!("cases/config.txt")),
    ("network.txt", include_str!("cases/network.txt")),
    ("others.txt", include_str!("cases/others.txt")),
    ("pods.txt", include_str!("cases/pods.txt")),
    ("updates.txt", include_str!("cases/updates.txt")),
    ("workloads.txt", include_str!("cases/workloads.txt")),
];

struct Case {
    place: String,
    kind: String,
    is_status: bool,
    before: String,
    after: Option<String>,
    expected: Vec<String>,
}

fn expand(line: &str) -> String {
    let mut parts = line.split('«');
    let mut text = parts.next().unwrap().to_string();
    for part in parts {
        let (repeat, rest) = part.split_once('»').unwrap();
        let (what, times) = repeat.split_once('*').unwrap();
        text.push_str(&what.repeat(times.parse().unwrap()));
        text.push_str(rest);
    }
    text
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (file, content) in FILES {
        for (index, line) in content.lines().enumerate() {
            let line = expand(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(sentence) = line.strip_prefix("  ") {
                cases.last_mut().unwrap().expected.push(sentence.to_string());
                continue;
            }
            let (kind, edits) = line.split_once(':').unwrap();
            let (before, after) = match edits.split_once("=>") {
                Some((before, after)) => (before, Some(after.trim().to_string())),
                None => (edits, None),
            };
            cases.push(Case {
                place: format!("{file}:{} {line}", index + 1),
                kind: kind.strip_suffix(" status").unwrap_or(kind).to_string(),
                is_status: kind.ends_with(" status"),
                before: before.trim().to_string(),
                after,
                expected: Vec::new(),
            });
        }
    }
    cases
}

fn run(case: &Case) -> Result<Vec<Cause>, String> {
    let kind = case.kind.as_str();
    let (group, old) = written(kind, if case.is_status { "" } else { &case.before });
    let Some(after) = &case.after else { return Ok(create(group, kind, &old)) };
    let at_first = create(group, kind, &old);
    if !at_first.is_empty() {
        return Err(format!("{}\nis refused before the change: {:#?}", case.place, sentences(&at_first)));
    }
    let changed = |old: &Value| {
        let mut new = old.clone();
        edit(&mut new, after);
        new
    };
    if case.is_status {
        let mut old = old;
        edit(&mut old, &case.before);
        let mut new = changed(&old);
        prepare::status_update(group, kind, &old, &mut new);
        return Ok(status(group, kind, &old, &new));
    }
    let mut new = changed(&old);
    defaults::apply(group, kind, &mut new);
    prepare::update(group, kind, &old, &mut new);
    Ok(update(group, kind, &old, &new))
}

#[test]
fn objects_are_refused_with_the_causes_of_the_table() {
    let mut wrong = Vec::new();
    for case in cases() {
        let said = match run(&case) {
            Ok(causes) => sentences(&causes),
            Err(why) => {
                wrong.push(why);
                continue;
            }
        };
        let fits = said.len() == case.expected.len()
            && said.iter().zip(&case.expected).all(|(is, wanted)| match wanted.strip_suffix('…') {
                Some(start) => is.starts_with(start),
                None => is == wanted,
            });
        if !fits {
            wrong.push(format!(
                "{}\n  {}\nexpected\n  {}",
                case.place,
                said.join("\n  "),
                case.expected.join("\n  ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_table_is_long() {
    assert!(cases().len() >= 400, "{}", cases().len());
}
