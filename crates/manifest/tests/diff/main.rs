//! The semantic diff on pairs of manifests: what each change risks, and the sentences that a review shows.
//!
//! Each document of the files here is a pair: `before` and `after`, the `risks` that are expected, and what is
//! shown. `KIBAN_BLESS=1` writes what is shown into the files; the risks are written by people alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use kiban_manifest::diff::{self, Risk};
use kiban_model::yaml::manifests;
use serde_json::Value;

/// Enough for any pair.
const ROOM: usize = 20_000;

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/diff");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

struct Pair {
    name: String,
    before: Vec<Value>,
    after: Vec<Value>,
    risks: BTreeSet<String>,
    shows: String,
}

fn pairs(text: &str) -> Vec<Pair> {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let pair = |value: &Value| Pair {
        name: value["pair"].as_str().unwrap().to_owned(),
        before: list(&value["before"]),
        after: list(&value["after"]),
        risks: list(&value["risks"]).iter().map(|risk| risk.as_str().unwrap().to_owned()).collect(),
        shows: value["shows"].as_str().unwrap().to_owned(),
    };
    manifests("pairs", text.as_bytes()).unwrap().iter().map(|document| pair(&document.value)).collect()
}

#[test]
fn each_pair_has_the_risks_that_people_expect_and_shows_why() {
    let bless = std::env::var_os("KIBAN_BLESS").is_some();
    let known: BTreeSet<&str> = Risk::ALL.into_iter().map(Risk::label).collect();
    let (mut count, mut wrong, mut names) = (0, Vec::new(), BTreeSet::new());
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut blessed = text.clone();
        for pair in pairs(&text) {
            count += 1;
            assert!(names.insert(pair.name.clone()), "{:?} is there twice", pair.name);
            assert!(
                pair.risks.iter().all(|risk| known.contains(risk.as_str())),
                "{}: {:?}",
                pair.name,
                pair.risks
            );
            let changes = diff::objects(&pair.before, &pair.after);
            let risks: BTreeSet<String> =
                diff::risks(&changes).iter().map(|r| r.label().to_owned()).collect();
            if risks != pair.risks {
                wrong.push(format!("{}: {risks:?}, expected {:?}", pair.name, pair.risks));
            }
            let shown = diff::grouped(&changes, ROOM);
            if bless {
                blessed = with_shown(&blessed, &pair.name, &shown);
            } else if shown != pair.shows {
                wrong.push(format!("{} shows:\n{shown}\nexpected:\n{}", pair.name, pair.shows));
            }
        }
        if bless && blessed != text {
            std::fs::write(&path, blessed).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} of {count} pairs:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 40, "{count} pairs");
}

/// The document of a pair with another text behind `shows:`, which is its last key.
fn with_shown(text: &str, pair: &str, shown: &str) -> String {
    let head = format!("pair: {pair}\n");
    let document = |text: &str| {
        let Some((top, _)) = text.split_once("shows: |\n") else { panic!("{pair}: shows: | is missing") };
        let lines: String =
            shown.lines().map(|l| if l.is_empty() { "\n".into() } else { format!("  {l}\n") }).collect();
        format!("{top}shows: |\n{lines}")
    };
    text.split("---\n")
        .map(|part| if part.starts_with(&head) { document(part) } else { part.to_owned() })
        .collect::<Vec<_>>()
        .join("---\n")
}

#[test]
fn a_pair_the_other_way_round_names_the_same_objects() {
    for path in files() {
        for pair in pairs(&std::fs::read_to_string(&path).unwrap()) {
            let forth = diff::objects(&pair.before, &pair.after).len();
            assert_eq!(forth, diff::objects(&pair.after, &pair.before).len(), "{}", pair.name);
        }
    }
}
