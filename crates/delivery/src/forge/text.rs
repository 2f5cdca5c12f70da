//! Texts of others on a forge's pages: cut to what it takes, and quoted so that they mention nobody.

use serde_json::{Value, json};

use super::Status;

/// Characters that forges take as a status' description.
const MAX_DESCRIPTION: usize = 140;

/// A status as GitHub and Gitea take it.
pub(super) fn status(status: &Status, state: &str) -> Value {
    let mut description = status.description.lines().next().unwrap_or_default().to_owned();
    if description.chars().count() > MAX_DESCRIPTION {
        description = description.chars().take(MAX_DESCRIPTION - 1).chain(['…']).collect();
    }
    let mut body = json!({"state": state, "context": status.context, "description": description});
    if !status.link.is_empty() {
        body["target_url"] = json!(status.link);
    }
    body
}

/// What stands at the end of a text that was cut.
const CUT: &str = "\n\n… (cut: the rest is too long for this page)";

/// What is longer, in bytes, is no word.
const LONGEST_WORD: usize = 200;

/// Room for what closes what a cut leaves open.
const CLOSERS: usize = 64;

/// The text, at most `limit` characters of it: cut between words, which is said at its end.
pub fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(CUT.chars().count() + CLOSERS);
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    let kept = text.get(..end).unwrap_or_default();
    // A word is not cut apart, unless it is none.
    let space = kept.rfind(char::is_whitespace).filter(|at| kept.len() - at <= LONGEST_WORD);
    let kept = space.and_then(|at| kept.get(..at)).unwrap_or(kept).trim_end();
    let fence = if kept.lines().filter(|line| line.trim_start().starts_with("```")).count() % 2 == 1 {
        "\n```"
    } else {
        ""
    };
    let details = kept.matches("<details").count().saturating_sub(kept.matches("</details>").count());
    format!("{kept}{fence}{}{CUT}", "\n</details>".repeat(details))
}

/// One line of a text of others, as Markdown that shows it and does nothing: it mentions nobody, refers to no
/// issue, closes nothing, links nowhere, and is no markup.
pub fn mentionless(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let mut out = String::with_capacity(line.len());
    let mut before = ' ';
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A space of no width behind it: it looks the same, and is no mention and no reference.
            '@' | '#' => {
                out.push(c);
                out.push('\u{200b}');
            }
            // `http://` would be made a link, `GH-1` and `owner/name#1` references.
            ':' | '-' if before.is_ascii_alphabetic() || (c == ':' && chars.peek() == Some(&'/')) => {
                out.push(c);
                out.push('\u{200b}');
            }
            // `www.` would too.
            '.' if before.eq_ignore_ascii_case(&'w') => {
                out.push(c);
                out.push('\u{200b}');
            }
            c => out.push(c),
        }
        before = c;
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_mention_nobody_and_refer_to_nothing() {
        for (title, expect) in [
            ("Fix rounding", "Fix rounding"),
            ("cc @alice @org/team", "cc @\u{200b}alice @\u{200b}org/team"),
            ("Fixes #12, GH-3", "Fixes #\u{200b}12, GH-\u{200b}3"),
            ("see https://e.example", "see https:\u{200b}//e.example"),
            ("<!-- x --> <b>", "&lt;\\!-- x --&gt; &lt;b&gt;"),
            ("[a](b) `c` *d*", "\\[a\\](b) \\`c\\` \\*d\\*"),
            ("one\ntwo", "one"),
            ("\u{7}bell", "bell"),
        ] {
            assert_eq!(mentionless(title), expect, "{title}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_words_and_what_is_open_is_closed() {
        assert_eq!(cut("short", 5), "short");
        let long = format!("<details>\n```\n{}", "word ".repeat(100));
        let text = cut(&long, 200);
        assert!(text.ends_with(&format!("word\n```\n</details>{CUT}")), "{text}");
        assert!(cut(&"ä".repeat(300), 200).chars().count() <= 200);
        assert_eq!(cut("abc", 0).chars().count(), CUT.chars().count());
    }
}
