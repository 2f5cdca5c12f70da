//! What Slack is told, in its words: texts of others mention nobody, and everything fits.

use serde_json::{Value, json};

use crate::notify::{State, Thread};

/// Characters of a section (`docs: reference/block-kit/blocks/section-block`: 3,000), less a margin.
const MAX_SECTION: usize = 2_900;

/// Sections of a message: Slack takes 50 blocks; the head and what was left out have theirs.
const MAX_SECTIONS: usize = 12;

/// Characters of a message's text, which is shown where blocks are not (Slack cuts at 40,000).
const MAX_TEXT: usize = 4_000;

/// Characters of a title, an app's state or a fault.
const MAX_LINE: usize = 300;

/// Lines of a log.
const MAX_LINES: usize = 20;

/// From so many apps on, those that are well are counted only.
const MANY: usize = 20;

/// A text of others for Slack: `&`, `<` and `>` as it wants them, so that nothing is a mention or a link; what
/// would be markup, an emoji or a name is taken apart by a space of no width.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' | '#' | '*' | '_' | '~' | '`' | ':' => {
                out.push(c);
                out.push('\u{200b}');
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// One line of a text of others, cut.
fn line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let cut: String = first.chars().take(MAX_LINE).collect();
    let more = if first.chars().count() > MAX_LINE { "…" } else { "" };
    format!("{}{more}", escape(&cut))
}

fn mark(state: &State) -> &'static str {
    match state {
        State::Applying { .. } => ":hourglass_flowing_sand:",
        State::Watching { .. } => ":eyes:",
        State::Good => ":white_check_mark:",
        State::Bad { .. } | State::Failed { .. } => ":x:",
        State::Superseded => ":fast_forward:",
    }
}

/// Which are told first.
fn rank(state: &State) -> u8 {
    match state {
        State::Bad { .. } | State::Failed { .. } => 0,
        State::Applying { .. } => 1,
        State::Watching { .. } => 2,
        State::Superseded => 3,
        State::Good => 4,
    }
}

fn word(thread: &Thread) -> (&'static str, &'static str) {
    match (thread.is_over(), thread.is_bad()) {
        (_, true) => (":x:", "bad"),
        (true, false) if thread.apps.values().all(|s| *s == State::Superseded) => {
            (":fast_forward:", "a newer commit took its place")
        }
        (true, false) => (":white_check_mark:", "good"),
        (false, false) => (":hourglass_flowing_sand:", "rolling out"),
    }
}

/// The link to the commit, or its short id.
fn commit(thread: &Thread) -> String {
    let short = escape(thread.id.commit.get(..8).unwrap_or(&thread.id.commit));
    let is_link = thread.link.starts_with("https://") || thread.link.starts_with("http://");
    let is_plain =
        !thread.link.chars().any(|c| matches!(c, '<' | '>' | '|') || c.is_whitespace() || c.is_control());
    if is_link && is_plain && thread.link.len() <= 1_000 {
        format!("<{}|{short}>", thread.link.replace('&', "&amp;"))
    } else {
        short
    }
}

fn head(thread: &Thread) -> String {
    let (mark, word) = word(thread);
    let (env, subject) = (line(&thread.id.env), line(&thread.subject));
    format!("{mark} *{env}*: {word}\n{} {subject} ({})", commit(thread), line(&thread.author))
}

/// How far all apps have come.
pub(super) fn overview(thread: &Thread) -> Value {
    let mut apps: Vec<(&String, &State)> = thread.apps.iter().collect();
    apps.sort_by_key(|(name, state)| (rank(state), *name));
    let total = apps.len();
    let is_counted = |state: &State| total > MANY && matches!(state, State::Good | State::Superseded);
    let counted = apps.iter().filter(|(_, state)| is_counted(state)).count();
    let rows = apps.iter().filter(|(_, state)| !is_counted(state));
    let mut rows: Vec<String> = rows
        .map(|(name, state)| format!("{} {}: {}", mark(state), line(name), line(&state.to_string())))
        .collect();
    if counted > 0 {
        rows.push(format!("and {counted} of {total} apps that are well"));
    }
    message(&head(thread), &rows)
}

/// What came of a rollout: what is wrong, the last lines of the log that tells more, and what was done.
pub(super) fn verdict(thread: &Thread) -> Value {
    let bad: Vec<(&String, &State)> = thread.apps.iter().filter(|(_, state)| state.is_bad()).collect();
    let good = thread.apps.values().filter(|state| **state == State::Good).count();
    let mut rows = Vec::new();
    for (name, state) in &bad {
        let name = line(name);
        match state {
            State::Bad { faults, lines, then } => {
                rows.push(format!(":x: *{name}*"));
                rows.extend(faults.iter().take(10).map(|fault| format!("• {}", line(fault))));
                if faults.len() > 10 {
                    rows.push(format!("• and {} more", faults.len() - 10));
                }
                rows.extend(log(lines));
                if !then.is_empty() {
                    rows.push(line(then));
                }
            }
            state => rows.push(format!(":x: *{name}*: {}", line(&state.to_string()))),
        }
    }
    if bad.is_empty() {
        rows.push(format!("{good} of {} apps are good", thread.apps.len()));
    } else if good > 0 {
        rows.push(format!("{good} of {} apps are good all the same", thread.apps.len()));
    }
    message(&head(thread), &rows)
}

/// The last lines of a log as one block of code.
fn log(lines: &[String]) -> Option<String> {
    let (mut kept, mut room) = (Vec::new(), MAX_SECTION - 100);
    for text in lines.iter().rev().take(MAX_LINES) {
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').take(MAX_LINE).collect();
        // Markup does nothing in there but for what ends it.
        let text =
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "`\u{200b}");
        let length = text.chars().count() + 1;
        if length > room {
            break;
        }
        room -= length;
        kept.push(text);
    }
    kept.reverse();
    let left_out = lines.len() - kept.len();
    let note = if left_out > 0 { format!("({left_out} earlier lines left out)\n") } else { String::new() };
    (!kept.is_empty()).then(|| format!("{note}```\n{}\n```", kept.join("\n")))
}

/// A message: its head, and rows that go into as many sections as they need, as far as those go.
fn message(head: &str, rows: &[String]) -> Value {
    let section =
        |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
    let mut blocks = vec![section(head)];
    let mut open = String::new();
    let mut left_out = 0;
    for row in rows {
        let fits = open.is_empty() || open.chars().count() + row.chars().count() < MAX_SECTION;
        if !fits {
            blocks.push(section(&std::mem::take(&mut open)));
        }
        if blocks.len() > MAX_SECTIONS {
            left_out += 1;
            continue;
        }
        if !open.is_empty() {
            open.push('\n');
        }
        open.push_str(row);
    }
    if !open.is_empty() {
        blocks.push(section(&open));
    }
    if left_out > 0 {
        blocks.push(section(&format!("… and {left_out} more lines, which are left out here")));
    }
    let mut text = head.to_owned();
    for (index, row) in rows.iter().enumerate() {
        if text.chars().count() + row.chars().count() >= MAX_TEXT {
            text.push_str(&format!("\n… and {} more lines", rows.len() - index));
            break;
        }
        text.push('\n');
        text.push_str(row);
    }
    json!({"text": text, "blocks": blocks, "parse": "none", "link_names": false})
}

/// A message without blocks, and with the first lines of its text.
pub(super) fn shorten(body: &mut Value) {
    if let Some(map) = body.as_object_mut() {
        map.remove("blocks");
        let text = map.get("text").and_then(Value::as_str).unwrap_or_default();
        let mut short: String = text.chars().take(1_000).collect();
        if short.matches("```").count() % 2 == 1 {
            short.push_str("\n```");
        }
        map.insert("text".into(), json!(short));
    }
}

/// What tells messages apart.
pub(super) fn digest(message: &Value) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, message.to_string().as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
