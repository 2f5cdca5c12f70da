//! A difference for a review: grouped by risk, the most alarming first, each with its reason, in a bounded text.

use std::fmt::Write as _;

use super::print::{arrow_markdown, code, cut, sign_word, title, totals};
use super::{Action, Change, Reason, Risk};

/// More things than this are not listed in one reason.
const MAX_ABOUT: usize = 10;

/// Bytes that a difference takes where nobody says how many.
const ROOM: usize = 24_000;

/// What is kept free for the line that says how much is left out.
const SAYING_SO: usize = 80;

/// What running things a difference reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blast {
    /// Workloads whose pods are replaced.
    pub workloads: usize,
    /// Their pods, as far as the manifests say: at least so many.
    pub pods: u64,
    /// Whether one of them runs on every node, which counts as one pod.
    pub every_node: bool,
}

/// What running things the changes reach.
pub fn blast(changes: &[Change]) -> Blast {
    let mut blast = Blast::default();
    for change in changes.iter().filter(|c| c.risks.contains(&Risk::RestartsPods)) {
        blast.workloads += 1;
        blast.pods = blast.pods.saturating_add(change.pods);
        blast.every_node |= change.id.kind == "DaemonSet";
    }
    blast
}

/// `0 added, 2 changed, 0 removed: drops capacity (1), restarts pods (2)`.
pub fn summary(changes: &[Change]) -> String {
    let counts: Vec<String> = Risk::ALL
        .into_iter()
        .filter(|risk| *risk != Risk::Other)
        .filter_map(|risk| match with(changes, risk).count() {
            0 => None,
            count => Some(format!("{risk} ({count})")),
        })
        .collect();
    let totals = totals(changes);
    if counts.is_empty() { totals } else { format!("{totals}: {}", counts.join(", ")) }
}

fn with(changes: &[Change], risk: Risk) -> impl Iterator<Item = &Change> {
    changes.iter().filter(move |change| change.risks.contains(&risk))
}

/// The difference as Markdown, of a length that leaves room for other things on a forge's page.
pub fn markdown(changes: &[Change]) -> String {
    grouped(changes, ROOM)
}

/// The difference as Markdown, in at most about `room` bytes: a heading for each risk, and below it each object
/// with the reason. What does not fit is counted. Everything from the manifests is quoted.
pub fn grouped(changes: &[Change], room: usize) -> String {
    if changes.is_empty() {
        return "No changes.\n".to_owned();
    }
    let mut out = String::new();
    for risk in Risk::ALL {
        let lines: Vec<String> = with(changes, risk).flat_map(|change| sentences(change, risk)).collect();
        if lines.is_empty() {
            continue;
        }
        let mut label = risk.label().to_owned();
        if let Some(first) = label.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let _ = writeln!(out, "#### {label} ({})\n", with(changes, risk).count());
        fill(&mut out, lines, room);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Every field that differs, object by object, as Markdown in at most about `room` bytes.
pub fn fields(changes: &[Change], room: usize) -> String {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| change.risks.first().copied().unwrap_or(Risk::Other));
    let object = |change: &&Change| {
        let mut text = format!("- {} {}", sign_word(change.action), code(&title(change)));
        for field in &change.fields {
            let _ = write!(text, "\n  - {}: {}", code(&cut(&field.path.to_string())), arrow_markdown(field));
        }
        text
    };
    let mut out = String::new();
    fill(&mut out, sorted.iter().map(object), room);
    out
}

/// Adds lines while there is room, and says how many there was none for.
fn fill(out: &mut String, lines: impl IntoIterator<Item = String>, room: usize) {
    let mut left_out = 0_usize;
    for line in lines {
        if out.len() + line.len() + SAYING_SO > room {
            left_out += 1;
        } else {
            out.push_str(&line);
            out.push('\n');
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "- … and {left_out} more, for which there is no room here");
    }
}

/// What is said of an object below a risk.
fn sentences(change: &Change, risk: Risk) -> Vec<String> {
    let name = code(&title(change));
    let reasons: Vec<&Reason> = change.reasons.iter().filter(|reason| reason.risk == risk).collect();
    if reasons.is_empty() {
        let paths = change.fields.iter().map(|field| field.path.to_string());
        return match change.action {
            Action::Added => vec![format!("- {name}: is new")],
            Action::Removed => vec![format!("- {name}: goes away")],
            Action::Changed if change.fields.is_empty() => vec![format!("- {name}: has another name")],
            Action::Changed => vec![format!("- {name}: changes {}", quoted(paths))],
        };
    }
    let pods = |reason: &Reason| match (reason.risk, change.pods) {
        (Risk::RestartsPods, 1) if change.id.kind == "DaemonSet" => " (one on each node)".to_owned(),
        (Risk::RestartsPods, 1) => " (1 pod at least)".to_owned(),
        (Risk::RestartsPods, pods) if pods > 1 => format!(" ({pods} pods at least)"),
        _ => String::new(),
    };
    let sentence = |reason: &&Reason| {
        let about = quoted(reason.about.iter().cloned());
        let about = if about.is_empty() { about } else { format!(": {about}") };
        format!("- {name}: {}{}{about}", reason.what, pods(reason))
    };
    reasons.iter().map(sentence).collect()
}

fn quoted(about: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = about.collect();
    let mut shown: Vec<String> = all.iter().take(MAX_ABOUT).map(|text| code(&cut(text))).collect();
    let more = all.len().saturating_sub(MAX_ABOUT);
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}
