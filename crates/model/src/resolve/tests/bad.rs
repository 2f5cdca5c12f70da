//! Bad inputs, each with the exact sentences and places that a person reads: `testdata/bad.txt`.
//!
//! A case is a title, `@ file`, `- text` to replace in the full example, `+ text` to put there (`\t` is a tab), and
//! `> problem` for each problem. Without `-` the file is made or replaced. `KIBAN_BLESS=1` rewrites the problems:
//! read them before you commit them.

use super::{full, problems_of};

#[derive(Default)]
struct Case {
    title: String,
    file: String,
    old: Vec<String>,
    new: Vec<String>,
    expected: Vec<String>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for line in text.lines() {
        let rest = line.get(2..).unwrap_or_default().to_owned();
        match (line.get(..1), all.last_mut()) {
            (Some("="), _) => all.push(Case { title: rest, ..Case::default() }),
            (Some("@"), Some(case)) => case.file = rest,
            (Some("-"), Some(case)) => case.old.push(rest),
            (Some("+"), Some(case)) => case.new.push(rest.replace("\\t", "\t").replace("\\xff", "\u{fffd}")),
            (Some(">"), Some(case)) => case.expected.push(rest),
            _ => {}
        }
    }
    all
}

fn run(case: &Case) -> Vec<String> {
    let mut files = full();
    let new = case.new.join("\n");
    let text = if case.old.is_empty() {
        new
    } else {
        let text = String::from_utf8(files.0.get(&case.file).unwrap().clone()).unwrap();
        let old = case.old.join("\n");
        assert_eq!(text.matches(&old).count(), 1, "{}: {old:?} must be there once", case.title);
        text.replacen(&old, &new, 1)
    };
    if case.new.is_empty() && case.old.is_empty() {
        files.0.remove(&case.file);
    } else {
        files.0.insert(case.file.clone(), text.into_bytes());
    }
    problems_of(&files)
}

fn write(cases: &[Case]) -> String {
    let mut out = String::new();
    for case in cases {
        let put = |out: &mut String, mark: &str, lines: &[String]| {
            for line in lines {
                out.push_str(format!("{mark} {}", line.replace('\t', "\\t")).trim_end());
                out.push('\n');
            }
        };
        put(&mut out, "=", std::slice::from_ref(&case.title));
        put(&mut out, "@", std::slice::from_ref(&case.file));
        put(&mut out, "-", &case.old);
        put(&mut out, "+", &case.new);
        put(&mut out, ">", &run(case));
        out.push('\n');
    }
    out
}

#[test]
fn every_bad_input_is_refused_with_its_place_and_a_sentence() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/bad.txt");
    let cases = cases(&std::fs::read_to_string(path).unwrap());
    assert!(cases.len() >= 60);
    if std::env::var_os("KIBAN_BLESS").is_some() {
        std::fs::write(path, write(&cases)).unwrap();
    }
    for case in cases {
        assert!(!case.expected.is_empty(), "{}: nothing is wrong with it", case.title);
        assert_eq!(run(&case), case.expected, "{}", case.title);
    }
}
