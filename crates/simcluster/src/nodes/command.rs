//! What a container's command does, as far as it can be told by reading it: how long it runs, how it ends.
//!
//! Nothing is executed. A `sleep`, an `exit 3` or an endless loop is understood; any other program is a
//! guess, which the caller may take or leave.

use std::time::Duration;

/// How a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When it ends; `None` runs for ever.
    pub after: Option<Duration>,
    /// Exit code.
    pub exit: i64,
    /// A program was met whose doings are not known; it was taken to succeed at once.
    pub guessed: bool,
}

impl Reading {
    const fn ends(exit: i64) -> Self {
        Self { after: Some(Duration::ZERO), exit, guessed: false }
    }

    const FOREVER: Self = Self { after: None, exit: 0, guessed: false };
    const GUESS: Self = Self { after: Some(Duration::ZERO), exit: 0, guessed: true };
}

/// Programs that end at once, whatever they are given.
const SHORT: &[&str] = &[
    ":", "cat", "cd", "chmod", "chown", "cp", "date", "df", "echo", "env", "export", "hostname", "id", "ls",
    "mkdir", "mv", "nslookup", "printenv", "printf", "ps", "pwd", "rm", "set", "touch", "true", "ulimit",
    "umask", "uname", "unset", "whoami",
];

/// Words of a shell that this reader does not follow.
const STRUCTURE: &[&str] = &["if", "case", "for", "until", "select", "function", "{", "(", "trap", "wait"];

/// Reads `command` and `args` of a container; `None` where it names no command of its own.
pub fn read(command: &[String], args: &[String]) -> Option<Reading> {
    let words: Vec<&str> = command.iter().chain(args).map(String::as_str).collect();
    if command.is_empty() {
        // The image's entrypoint is unknown. Where the first argument is a well-known program there is
        // none, as in busybox: `kubectl run x --image=busybox -- echo hi` is given this way.
        let program =
            |w: &&str| is_shell(w) || SHORT.contains(&base(w)) || matches!(base(w), "sleep" | "false");
        return words.first().is_some_and(program).then(|| words_of(&words));
    }
    Some(words_of(&words))
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn is_shell(program: &str) -> bool {
    matches!(base(program), "sh" | "bash" | "ash" | "dash" | "zsh")
}

fn words_of(words: &[&str]) -> Reading {
    let Some(first) = words.first() else { return Reading::GUESS };
    if is_shell(first) {
        let script = words.iter().skip(1).skip_while(|w| !(w.starts_with('-') && w.ends_with('c'))).nth(1);
        return script.map_or(Reading::GUESS, |s| read_script(s));
    }
    simple(words)
}

fn simple(words: &[&str]) -> Reading {
    let Some((first, rest)) = words.split_first() else { return Reading::ends(0) };
    match base(first) {
        "sleep" => sleep(rest),
        "false" => Reading::ends(1),
        "exit" => Reading::ends(rest.first().and_then(|c| c.parse::<u8>().ok()).map_or(0, i64::from)),
        "tail" if rest.iter().any(|w| w.starts_with('-') && w.contains(['f', 'F'])) => Reading::FOREVER,
        "pause" => Reading::FOREVER,
        "exec" | "nohup" | "command" => words_of(rest),
        "timeout" => Reading::GUESS,
        program if SHORT.contains(&program) => Reading::ends(0),
        _ => Reading::GUESS,
    }
}

fn sleep(args: &[&str]) -> Reading {
    let mut total = Duration::ZERO;
    for arg in args {
        if arg.starts_with("inf") {
            return Reading::FOREVER;
        }
        match span(arg) {
            Some(one) => total = total.saturating_add(one),
            None => return Reading::GUESS,
        }
    }
    Reading { after: Some(total), ..Reading::ends(0) }
}

/// `5`, `0.5`, `2m`: the argument of `sleep`.
fn span(text: &str) -> Option<Duration> {
    let (number, unit) = match text.chars().last()? {
        's' => (text.strip_suffix('s')?, 1.0),
        'm' => (text.strip_suffix('m')?, 60.0),
        'h' => (text.strip_suffix('h')?, 3_600.0),
        'd' => (text.strip_suffix('d')?, 86_400.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    Duration::try_from_secs_f64(seconds).ok()
}

/// How two commands of a script hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Then,
    And,
    Or,
}

fn read_script(script: &str) -> Reading {
    let mut total = Reading::ends(0);
    let mut joint = Joint::Then;
    for (command, next) in split(script) {
        let words: Vec<&str> = command.split_whitespace().map(unquote).collect();
        let skipped = (joint == Joint::And && total.exit != 0) || (joint == Joint::Or && total.exit == 0);
        joint = next;
        let Some(first) = words.first().filter(|_| !skipped) else { continue };
        let rest = words.get(1..).unwrap_or_default();
        match *first {
            "while" if matches!(rest.first(), Some(&("true" | ":" | "[" | "sleep"))) => {
                return Reading::FOREVER;
            }
            "while" => return Reading::GUESS,
            word if STRUCTURE.contains(&word) => return Reading::GUESS,
            _ => {}
        }
        if command.contains(['|', '`', '&']) || command.contains("$(") {
            total = Reading { exit: 0, guessed: true, ..total };
            continue;
        }
        let one = words_of(&words);
        let (Some(so_far), Some(more)) = (total.after, one.after) else { return Reading::FOREVER };
        let after = Some(so_far.saturating_add(more));
        total = Reading { after, exit: one.exit, guessed: total.guessed || one.guessed };
        if matches!(*first, "exit" | "exec") {
            return total;
        }
    }
    total
}

fn unquote(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

/// Splits a script at `;`, newlines, `&&` and `||` outside quotes; each part with what follows it.
fn split(script: &str) -> Vec<(&str, Joint)> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let bytes = script.as_bytes();
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        let double = bytes.get(i + 1) == Some(byte);
        let cut = match (quote, byte) {
            (Some(open), b) if open == *b => {
                quote = None;
                None
            }
            (Some(_), _) => None,
            (None, b'"' | b'\'') => {
                quote = Some(*byte);
                None
            }
            (None, b';' | b'\n') => Some((1, Joint::Then)),
            (None, b'&') if double => Some((2, Joint::And)),
            (None, b'|') if double => Some((2, Joint::Or)),
            _ => None,
        };
        if let Some((width, joint)) = cut {
            parts.push((script.get(start..i).unwrap_or_default(), joint));
            i += width;
            start = i;
        } else {
            i += 1;
        }
    }
    parts.push((script.get(start..).unwrap_or_default(), Joint::Then));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn commands_are_read_as_a_person_reads_them() {
        let known = |secs: f64, exit| Some((Some(Duration::from_secs_f64(secs)), exit, false));
        let guess = Some((Some(Duration::ZERO), 0, true));
        let forever = Some((None, 0, false));
        let table: &[(&[&str], _)] = &[
            (&["sleep", "5"], known(5.0, 0)),
            (&["/bin/sleep", "1m", "0.5"], known(60.5, 0)),
            (&["sleep", "infinity"], forever),
            (&["sleep", "never"], guess),
            (&["false"], known(0.0, 1)),
            (&["tail", "-f", "/dev/null"], forever),
            (&["sh", "-c", "echo hi; sleep 3; exit 4"], known(3.0, 4)),
            (&["bash", "-ec", "sleep 1 && false && sleep 100"], known(1.0, 1)),
            (&["sh", "-c", "false || sleep 2"], known(2.0, 0)),
            (&["sh", "-c", "while true; do date; sleep 1; done"], forever),
            (&["sh", "-c", "exec sleep 7"], known(7.0, 0)),
            (&["sh", "-c", "echo 'a; exit 9'"], known(0.0, 0)),
            (&["sh", "-c", "trap : TERM INT; sleep infinity & wait"], guess),
            (&["sh", "-c", "make all\nexit 2"], Some((Some(Duration::ZERO), 2, true))),
            (&["orders", "cleanup"], guess),
            (&["sleep", "1e300d"], guess),
            (&[], None),
        ];
        for (command, expected) in table {
            let got = read(&words(command), &[]).map(|r| (r.after, r.exit, r.guessed));
            assert_eq!(got, *expected, "{command:?}");
        }
        assert_eq!(read(&[], &words(&["--port=80"])), None);
        assert_eq!(read(&[], &words(&["sh", "-c", "exit 3"])).map(|r| r.exit), Some(3));
    }
}
