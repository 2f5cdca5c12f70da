//! Every value of the sample shop replaced by every kind of thing that does not belong there.
//!
//! Either the problem points into what was put there, or the value is legal: those are listed in
//! `testdata/legal.txt`, a line a value. `KIBAN_BLESS=1` rewrites the list: read it before you commit it.

use std::fmt::Write as _;

use crate::origin::{Layer, child};
use crate::problem::{Kind, Problem};
use crate::repo::{DirFiles, Files, MemoryFiles, Repo};
use crate::yaml::{Node, Tree, parse_one};

/// What is put in a value's place, and how the list calls it.
const MUTATIONS: [(&str, &str); 17] = [
    ("list", "[1]"),
    ("map", "{ x: 1 }"),
    ("null", "null"),
    ("nothing", ""),
    ("huge", "99999999999999999999999999999999"),
    ("negative", "-1"),
    ("zero", "0"),
    ("fraction", "0.5"),
    ("infinite", ".inf"),
    ("true", "true"),
    ("no", "no"),
    ("empty", "\"\""),
    ("space", "\" \""),
    ("control", "\"a\\x01\\0b\""),
    ("merge", "{ <<: { a: b } }"),
    ("anchor", "&x y"),
    ("tag", "!!str y"),
];

/// A scalar of a file.
struct Place {
    path: String,
    line: usize,
    column: usize,
    width: usize,
    key: usize,
}

fn shop() -> MemoryFiles {
    let folder = DirFiles::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop"));
    let paths = folder.list().unwrap();
    MemoryFiles(paths.into_iter().map(|path| (path.clone(), folder.read(&path).unwrap())).collect())
}

fn places(node: &Node, path: &str, key: usize, found: &mut Vec<Place>) {
    match &node.tree {
        Tree::Scalar(_) => found.push(Place {
            path: path.to_owned(),
            line: node.mark.line as usize,
            column: node.mark.column as usize,
            width: node.mark.width as usize,
            key,
        }),
        Tree::List(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{path}[{index}]"), key, found);
            }
        }
        Tree::Map(entries) => {
            for entry in entries {
                let key = entry.key.mark.column as usize;
                places(&entry.value, &child(path, entry.name()), key, found);
            }
        }
    }
}

fn replaced(text: &str, place: &Place, new: &str) -> String {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let line = &mut lines[place.line - 1];
    let chars: Vec<char> = line.chars().collect();
    let (head, tail) = (&chars[..place.column - 1], &chars[place.column - 1 + place.width..]);
    *line = head.iter().copied().chain(new.chars()).chain(tail.iter().copied()).collect();
    lines.join("\n")
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// A problem points into it, or at what lacks it.
    Refused,
    /// Nothing is wrong.
    Legal,
    /// What is wrong is named in another file, where it contradicts the change.
    Elsewhere(String),
    /// What is wrong is named in the same file, and not there.
    Misplaced(Vec<String>),
}

/// The shop with one file changed.
fn judge(all: &MemoryFiles, file: &str, text: String, place: &Place, new: &str) -> Verdict {
    let mut files = all.clone();
    files.0.insert(file.to_owned(), text.into_bytes());
    let repo = Repo::load(&files);
    let end = place.column + new.chars().count();
    let is_there = |p: &Problem| {
        let column = p.column as usize;
        let in_value = (place.column..=end).contains(&column);
        // Of what is not there at all its key is named, or the map that lacks it.
        let is_gone = matches!(new, "" | "null") && (column == place.key || p.kind == Kind::MissingKey);
        *p.file == *file && p.line as usize == place.line && (in_value || is_gone)
    };
    // Most is seen in the file by itself.
    if repo.problems.iter().any(is_there) {
        return Verdict::Refused;
    }
    let problems = repo.check();
    match problems.first() {
        None => Verdict::Legal,
        Some(_) if problems.iter().any(is_there) => Verdict::Refused,
        Some(first) if problems.iter().all(|p| *p.file != *file) => {
            Verdict::Elsewhere(format!("{}:{}:{}", first.file, first.line, first.column))
        }
        Some(_) => Verdict::Misplaced(problems.iter().map(ToString::to_string).collect()),
    }
}

/// All files of the shop; of the pins, which tools write alike, those of one app.
fn names() -> Vec<String> {
    let mut names = shop().list().unwrap();
    let is_pin = |path: &str| path.ends_with(".pin.yaml");
    // Beside the profile, what lies at the root is not the repository's: stand-ins of the embedded cluster.
    let is_its = |path: &str| path.contains('/') || path == "platform.yaml";
    names.retain(|path| {
        path.ends_with(".yaml") && is_its(path) && (!is_pin(path) || path.starts_with("orders/"))
    });
    names
}

/// The files that can make a difference to `file`.
fn around(file: &str) -> MemoryFiles {
    let folder = file.split('/').next().unwrap_or_default();
    let mut files = shop();
    files.0.retain(|path, _| {
        file == "platform.yaml"
            || path == "platform.yaml"
            || path.ends_with("/app.yaml")
            || path.starts_with(&format!("{folder}/"))
    });
    files
}

/// The lines of the list for one file, and the number of changes.
fn of_file(file: &str) -> (String, usize) {
    let all = around(file);
    let text = String::from_utf8(all.0[file].clone()).unwrap();
    let (mut found, mut list, mut seen) = (Vec::new(), String::new(), 0);
    places(&parse_one(file, text.as_bytes(), Layer::App).unwrap(), "", 0, &mut found);
    for place in found {
        let mut words = Vec::new();
        for (name, new) in MUTATIONS {
            seen += 1;
            match judge(&all, file, replaced(&text, &place, new), &place, new) {
                Verdict::Refused => {}
                Verdict::Legal => words.push(name.to_owned()),
                Verdict::Elsewhere(at) => words.push(format!("{name}>{at}")),
                Verdict::Misplaced(problems) => {
                    panic!("{file} {}: {new:?} is named elsewhere: {problems:#?}", place.path)
                }
            }
        }
        if !words.is_empty() {
            writeln!(list, "{file} {}: {}", place.path, words.join(" ")).unwrap();
        }
    }
    (list, seen)
}

#[test]
fn a_value_of_another_kind_is_refused_where_it_stands_or_listed_as_legal() {
    let names = names();
    let results: Vec<(String, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = names.iter().map(|file| scope.spawn(|| of_file(file))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let seen: usize = results.iter().map(|(_, seen)| seen).sum();
    assert!(seen > 3000, "{seen}");
    let list: String = results.into_iter().map(|(list, _)| list).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/legal.txt");
    if std::env::var_os("KIBAN_BLESS").is_some() {
        std::fs::write(path, &list).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), list);
}

/// What is put before a line of every file; the problem is in this line (0: none) of the new lines.
const LINES: [(&str, usize); 10] = [
    ("? [a, b]\n: c", 1),
    ("<<: { a: b }", 1),
    ("&x a: b", 1),
    ("*x : b", 1),
    ("!!map a: b", 1),
    ("\t a: b", 1),
    ("a: b\n---", 1),
    ("a: \u{1}", 1),
    ("%TAG ! x", 1),
    ("{{ template }}: x", 1),
];

#[test]
fn a_line_that_no_file_may_hold_is_named_in_every_file() {
    for file in &names() {
        let all = around(file);
        let text = String::from_utf8(all.0[file].clone()).unwrap();
        let tree = parse_one(file, text.as_bytes(), Layer::App).unwrap();
        for entry in tree.entries() {
            let line = entry.key.mark.line as usize;
            for (new, at) in LINES {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.insert(line - 1, new);
                let mut files = all.clone();
                files.0.insert(file.clone(), lines.join("\n").into_bytes());
                let problems = Repo::load(&files).problems;
                let near = |p: &Problem| {
                    *p.file == **file
                        && (line - 1..line + at + 2).contains(&(p.line as usize))
                        && p.column > 0
                };
                assert!(problems.iter().any(near), "{file}:{line} {new:?}: {problems:#?}");
            }
        }
    }
}

#[test]
fn a_key_twice_is_named_with_its_first_place_in_every_file() {
    for file in &names() {
        let all = around(file);
        let text = String::from_utf8(all.0[file].clone()).unwrap();
        let tree = parse_one(file, text.as_bytes(), Layer::App).unwrap();
        for entry in tree.entries() {
            let mut files = all.clone();
            files.0.insert(file.clone(), format!("{text}{}: x\n", entry.name()).into_bytes());
            let found: Vec<String> = Repo::load(&files).problems.iter().map(ToString::to_string).collect();
            let expected = format!(
                "{file}:{}:1: key {:?} is given twice; first in line {}",
                text.lines().count() + 1,
                entry.name(),
                entry.key.mark.line
            );
            assert!(found.contains(&expected), "{expected}: {found:#?}");
        }
    }
}

#[test]
fn marks_of_order_and_foreign_line_ends_change_nothing() {
    for file in &names() {
        let all = around(file);
        let text = String::from_utf8(all.0[file].clone()).unwrap();
        for same in [
            format!("\u{feff}{text}"),
            text.replace('\n', "\r\n"),
            format!("---\n{text}..."),
            format!("{text}\n\n"),
        ] {
            let mut files = all.clone();
            files.0.insert(file.clone(), same.into_bytes());
            let found: Vec<String> = Repo::load(&files).check().iter().map(ToString::to_string).collect();
            assert_eq!(found, Vec::<String>::new(), "{file}");
        }
        // And the place of a problem stays what a person sees.
        for typo in [format!("\u{feff}{text}zzzz: 1\n"), format!("{text}zzzz: 1\n").replace('\n', "\r\n")] {
            let mut files = all.clone();
            files.0.insert(file.clone(), typo.into_bytes());
            let problems = Repo::load(&files).check();
            let found = problems.iter().find(|p| p.message.starts_with("unknown key \"zzzz\"")).unwrap();
            assert_eq!((found.line as usize, found.column), (text.lines().count() + 1, 1), "{file}");
            let shown = format!("{found:#}");
            assert!(
                shown.ends_with("| zzzz: 1\n    | ^^^^") || shown.ends_with("| zzzz: 1\n   | ^^^^"),
                "{shown}"
            );
        }
    }
}
