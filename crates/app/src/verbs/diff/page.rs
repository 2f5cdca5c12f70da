//! A comparison of commits as text, as Markdown for a pull request, and as JSON for programs.

use std::fmt::Write as _;

use kiban_delivery::forge::cut;
use kiban_manifest::diff::{self, Action, Change, Risk, code};
use kiban_manifest::laws;
use serde_json::{Value, json};

use super::review::{Environment, Laws};
use super::sides::Sides;
use crate::verbs::source::count;

/// Characters that a comment has at most on GitHub.
const MAX_PAGE: usize = 65_536;

/// Bytes that a page takes: less, so that nothing has to be cut apart.
const ROOM: usize = 60_000;

/// The least that an environment gets where there are many.
const LEAST: usize = 1500;

/// Files larger than this are not compared line by line.
const MAX_FILE: usize = 256 << 10;

/// What a comment begins with, by which CI finds it again.
const MARKER: &str = "<!-- kiban:diff -->";

/// Findings, problems and stale files that are listed.
const LISTED: usize = 20;

/// For a terminal.
pub fn text(sides: &Sides, environments: &[Environment]) -> String {
    let mut out = format!("{} against {}\n", sides.head_name, sides.base_name);
    for environment in environments {
        let _ = writeln!(out, "\n{}: {}", environment.name, headline(environment));
        for risk in Risk::ALL.into_iter().filter(|risk| *risk != Risk::Other) {
            for change in environment.changes.iter().filter(|c| c.risks.contains(&risk)) {
                for reason in change.reasons.iter().filter(|reason| reason.risk == risk) {
                    let _ = writeln!(out, "  {risk}: {}: {reason}", change.id);
                }
            }
        }
        out.push_str(&diff::text(&environment.changes));
        for line in law_lines(&environment.laws) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// For a pull request.
pub fn markdown(sides: &Sides, environments: &[Environment]) -> String {
    let mut out = format!("{MARKER}\n{} against {}.\n", code(&sides.head_name), code(&sides.base_name));
    if let Some(note) = &sides.note {
        let _ = writeln!(out, "\n**Note**: {}.", code(note));
    }
    let (changed, same): (Vec<_>, Vec<_>) =
        environments.iter().partition(|environment| environment.differs());
    let mut left = changed.len();
    for environment in changed {
        let room = (ROOM.saturating_sub(out.len()) / left.max(1)).max(LEAST);
        left = left.saturating_sub(1);
        section(&mut out, environment, room);
    }
    if !same.is_empty() {
        let names: Vec<String> = same.iter().map(|environment| code(&environment.name)).collect();
        let _ = writeln!(out, "\nNothing changes in {}.", names.join(", "));
        for environment in same.into_iter().filter(|e| !is_fine(&e.laws)) {
            let _ = writeln!(out, "\n**Laws of {}**\n", code(&environment.name));
            law_list(&mut out, &environment.laws, LEAST);
        }
    }
    cut(&out, MAX_PAGE)
}

/// One environment, in about `room` bytes.
fn section(out: &mut String, environment: &Environment, room: usize) {
    let start = out.len();
    let _ = writeln!(out, "\n### {}\n\n{}\n", code(&environment.name), headline(environment));
    reach(out, environment);
    if environment.changes.is_empty() {
        let _ = writeln!(out, "Only how the files are written differs; nothing changes on a cluster.\n");
    } else {
        let _ = writeln!(out, "{}", diff::grouped(&environment.changes, room * 4 / 10));
    }
    let _ = writeln!(out, "#### Laws\n");
    law_list(out, &environment.laws, room / 10);
    if !environment.changes.is_empty() {
        let fields = diff::fields(&environment.changes, room * 2 / 10);
        fold(out, &format!("Every field of {}", count(environment.changes.len(), "object")), &fields);
    }
    let room = room.saturating_sub(out.len() - start);
    let raw = raw(environment, room);
    fold(out, &format!("Lines of {}", count(environment.files.len(), "file")), &raw);
}

fn fold(out: &mut String, summary: &str, what: &str) {
    let _ = writeln!(out, "\n<details><summary>{summary}</summary>\n\n{}\n\n</details>", what.trim_end());
}

fn headline(environment: &Environment) -> String {
    if environment.differs() { diff::summary(&environment.changes) } else { "no changes".to_owned() }
}

/// How far it reaches.
fn reach(out: &mut String, environment: &Environment) {
    let apps: Vec<String> = environment.apps().into_iter().map(code).collect();
    if apps.is_empty() {
        return;
    }
    let shown: Vec<String> = apps.iter().take(LISTED).cloned().collect();
    let more = apps.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let blast = diff::blast(&environment.changes);
    let pods = match blast.workloads {
        0 => "no pod is replaced".to_owned(),
        workloads => {
            let pods = count(usize::try_from(blast.pods).unwrap_or(usize::MAX), "pod");
            let node = if blast.every_node { ", some of them one on each node" } else { "" };
            format!("at least {pods} of {} replaced{node}", count(workloads, "workload"))
        }
    };
    let _ = writeln!(out, "Reaches {} ({}{more}); {pods}.\n", count(apps.len(), "app"), shown.join(", "));
}

fn is_fine(laws: &Laws) -> bool {
    laws.problems.is_empty() && laws.errors.is_empty() && laws.warnings.is_empty() && laws.stale.is_empty()
}

/// What the laws say, a line each.
fn law_lines(laws: &Laws) -> Vec<String> {
    if !laws.judged {
        return vec!["laws: not judged, there is no platform.yaml".to_owned()];
    }
    let mut lines: Vec<String> = laws.problems.iter().map(|p| format!("wrong: {p}")).collect();
    lines.extend(laws.errors.iter().map(|finding| format!("broken: {finding}")));
    lines.extend(laws.warnings.iter().cloned());
    lines.extend(laws.stale.iter().map(|path| format!("not current: {path} (run kiban render)")));
    if laws.problems.is_empty() {
        lines.push(format!("laws: {} of {} hold", laws.hold(), laws::LAWS.len()));
    }
    lines
}

fn law_list(out: &mut String, laws: &Laws, room: usize) {
    if !laws.judged {
        let _ = writeln!(out, "Not judged: there is no `platform.yaml`.");
        return;
    }
    if !laws.problems.is_empty() {
        let _ = writeln!(
            out,
            "**Not all of it can be judged**: {} wrong.\n",
            count(laws.problems.len(), "thing")
        );
    } else if laws.broken == 0 {
        let _ = writeln!(out, "All {} laws hold.", laws::LAWS.len());
    } else {
        let _ = writeln!(out, "**{} broken**, {} hold.\n", count(laws.broken, "law"), laws.hold());
    }
    if !laws.stale.is_empty() {
        let _ = writeln!(
            out,
            "\n**{} below `rendered/` not current**: run `kiban render`.\n",
            count(laws.stale.len(), "file")
        );
    }
    let lines: Vec<&String> =
        laws.problems.iter().chain(&laws.errors).chain(&laws.warnings).chain(&laws.stale).collect();
    let mut spent = 0;
    let mut shown = 0;
    for line in lines.iter().take(LISTED) {
        let line = format!("- {}\n", code(line));
        spent += line.len();
        if spent > room {
            break;
        }
        out.push_str(&line);
        shown += 1;
    }
    if lines.len() > shown {
        let _ = writeln!(out, "- … and {} more", lines.len() - shown);
    }
}

/// The files line by line, in a fence that nothing in them can close.
fn raw(environment: &Environment, room: usize) -> String {
    let mut body = String::new();
    let mut left_out = 0_usize;
    // What the fence and the words about it take.
    let room = room.saturating_sub(300);
    for (path, [before, after]) in &environment.files {
        let piece = lines_of(path, before.as_deref(), after.as_deref());
        if body.len() + piece.len() > room {
            left_out += 1;
        } else {
            body.push_str(&piece);
        }
    }
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let mut out = if body.is_empty() { String::new() } else { format!("{fence}diff\n{body}{fence}\n") };
    if left_out > 0 {
        let _ = writeln!(out, "\n… and {}, for which there is no room here.", count(left_out, "more file"));
    }
    out
}

fn lines_of(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let size = before.map_or(0, <[u8]>::len).max(after.map_or(0, <[u8]>::len));
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (old, new) = (text(before), text(after));
    let holds_secret = |text: &str| {
        text.lines().any(|line| matches!(line.trim().replace(['"', '\'', ','], "").as_str(), "kind: Secret"))
    };
    let plain: String = path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if holds_secret(&old) || holds_secret(&new) {
        return format!("# {plain}: a Secret, which is not shown\n");
    }
    if size > MAX_FILE {
        return format!("# {plain}: {size} bytes, which are not shown\n");
    }
    let side =
        |there: bool, letter: &str| if there { format!("{letter}/{plain}") } else { "/dev/null".to_owned() };
    let compared = similar::TextDiff::from_lines(&old, &new);
    let (a, b) = (side(before.is_some(), "a"), side(after.is_some(), "b"));
    compared.unified_diff().context_radius(3).header(&a, &b).to_string()
}

/// For programs.
pub fn json(sides: &Sides, environments: &[Environment]) -> String {
    let page = json!({
        "base": sides.base_name,
        "head": sides.head_name,
        "note": sides.note,
        "environments": environments.iter().map(environment).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&page).unwrap_or_default()
}

fn environment(of: &Environment) -> Value {
    let blast = diff::blast(&of.changes);
    let risks = diff::risks(&of.changes);
    json!({
        "env": of.name,
        "apps": of.apps(),
        "risks": risks.iter().map(|risk| risk.label()).collect::<Vec<_>>(),
        "workloads": blast.workloads,
        "pods": blast.pods,
        "changes": of.changes.iter().map(|c| change(of, c)).collect::<Vec<_>>(),
        "files": of.files.keys().collect::<Vec<_>>(),
        "laws": of.laws.judged.then(|| json!({
            "held": laws::LAWS.len(),
            "broken": of.laws.broken,
            "problems": of.laws.problems,
            "errors": of.laws.errors,
            "warnings": of.laws.warnings,
            "notCurrent": of.laws.stale,
        })),
    })
}

fn change(of: &Environment, change: &Change) -> Value {
    let action = match change.action {
        Action::Added => "added",
        Action::Removed => "removed",
        Action::Changed => "changed",
    };
    let reason = |r: &diff::Reason| json!({"risk": r.risk.label(), "what": r.what, "about": r.about});
    let field = |f: &diff::FieldChange| json!({"path": f.path.to_string(), "before": f.old, "after": f.new});
    json!({
        "app": of.owners.get(&change.id),
        "group": change.id.group,
        "kind": change.id.kind,
        "namespace": change.id.namespace,
        "name": change.id.name,
        "renamedFrom": change.renamed_from,
        "action": action,
        "risks": change.risks.iter().map(|risk| risk.label()).collect::<Vec<_>>(),
        "reasons": change.reasons.iter().map(reason).collect::<Vec<_>>(),
        "pods": change.pods,
        "fields": change.fields.iter().map(field).collect::<Vec<_>>(),
    })
}
