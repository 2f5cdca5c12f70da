//! The README's five-minute tour, executed: what it shows is what happens.

use std::path::Path;
use std::process::Command;

/// A code block of the tour.
struct Block {
    language: String,
    text: String,
}

/// The code blocks below a heading, up to the next heading of its level.
fn blocks(page: &str, heading: &str) -> Vec<Block> {
    let after = page.split_once(heading).unwrap_or_else(|| panic!("README.md has no {heading:?}")).1;
    let section = after.split("\n## ").next().unwrap();
    let mut blocks = Vec::new();
    for (number, part) in section.split("```").enumerate() {
        if number % 2 == 1 {
            let (language, text) = part.split_once('\n').unwrap();
            blocks.push(Block { language: language.trim().to_owned(), text: text.to_owned() });
        }
    }
    blocks
}

/// Where the output of one block ends and that of the next begins.
const CUT: &str = "=== next block ===";

/// All commands of the tour as one script, so that what one block starts the next one finds.
fn script(blocks: &[Block]) -> String {
    let shell = blocks.iter().filter(|b| b.language == "sh");
    let body: Vec<String> = shell.map(|b| format!("{}\necho '{CUT}'\n", b.text)).collect();
    // Whatever runs in the background ends with the tour.
    format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{}", body.concat())
}

/// Whether a line of output is as the README has it; `…` stands for any text, and runs of blanks are one.
fn fits(expected: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (squeeze(expected), squeeze(line));
    let mut parts = expected.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let tail: Vec<&str> = parts.collect();
    for (number, part) in tail.iter().enumerate() {
        if number + 1 == tail.len() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Every line of `expected` is in `output`, in this order; `...` alone says that others lie between.
fn compare(expected: &str, output: &str) -> Result<(), String> {
    let mut lines = output.lines();
    for wanted in expected.lines().filter(|l| !l.trim().is_empty() && l.trim() != "...") {
        if !lines.any(|line| fits(wanted, line)) {
            return Err(format!(
                "the README shows {wanted:?}, which is not in (or comes too early in):\n{output}"
            ));
        }
    }
    Ok(())
}

#[test]
fn the_readmes_tour_shows_what_happens() {
    let Some(kubectl) = kiban_testkit::tool("tour", "kubectl") else { return };
    let page = std::fs::read_to_string(kiban_testkit::root().join("README.md")).unwrap();
    let blocks = blocks(&page, "\n## A tour of five minutes\n");
    assert!(blocks.iter().filter(|b| b.language == "sh").count() >= 5, "the tour is short");

    let folder = tempfile::tempdir().unwrap();
    let kiban = kiban_testkit::kiban();
    let tools = kubectl.canonicalize().unwrap();
    let folders =
        [kiban.parent().unwrap(), tools.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")];
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(script(&blocks))
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("HOME", folder.path())
        .env("USER", "you")
        .env_remove("KUBECONFIG");
    let said = kiban_testkit::said(&mut command);
    assert_eq!(said.code, 0, "the tour fails\nstdout: {}\nstderr: {}", said.out, said.err);

    let mut outputs = said.out.split(CUT).map(|o| o.trim_start_matches('\n'));
    let mut current = "";
    for block in &blocks {
        match block.language.as_str() {
            "sh" => current = outputs.next().unwrap_or_default(),
            "text" => {
                if let Err(why) = compare(&block.text, current) {
                    panic!("{why}\nstderr of the whole tour: {}", said.err);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn an_ellipsis_stands_for_what_changes_from_run_to_run() {
    for (expected, line, fit) in [
        ("pod/orders-… 1/1 Running", "pod/orders-7d8-x2   1/1     Running", true),
        ("pod/orders-… 1/1 Running", "pod/orders-7d8-x2   0/1     Running", false),
        ("a…b…c", "a1b2c", true),
        ("a…b…c", "a1b2d", false),
        ("exactly", "exactly", true),
        ("exactly", "exactly so", false),
    ] {
        assert_eq!(fits(expected, line), fit, "{expected:?} {line:?}");
    }
    assert!(compare("a\n...\nc\n", "a\nb\nc\n").is_ok());
    assert!(compare("c\na\n", "a\nb\nc\n").is_err());
}
