//! Questions about histories of all shapes, each answered as git answers it.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use kiban_git::{Ancestry, Local, MergeBase, Oid};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{MOST, git, git_command, has_git, id, task};

/// Commits by the numbers of their parents, each with a clock that may be wrong, and the file that it changes.
type Shape = Vec<(Vec<prop::sample::Index>, i64, u8)>;

fn shape() -> impl Strategy<Value = Shape> {
    let one = (proptest::collection::vec(any::<prop::sample::Index>(), 0..3), -3i64..4, 0u8..3);
    proptest::collection::vec(one, 2..24)
}

/// Makes the history by git fast-import.
fn make(folder: &Path, shape: &Shape) -> Vec<Oid> {
    git(folder, &["init", "-q", "."]);
    let mut text = String::new();
    for (number, (parents, skew, file)) in shape.iter().enumerate() {
        let time = 1_700_000_000 + number as i64 * 10 + skew * 25;
        text.push_str(&format!(
            "commit refs/heads/b{number}\nmark :{}\ncommitter M <m@example.com> {time} +0000\n",
            number + 1
        ));
        text.push_str(&format!("data 3\nc{:02}\n", number % 100));
        let mut all: Vec<usize> =
            if number == 0 { Vec::new() } else { parents.iter().map(|p| p.index(number)).collect() };
        all.dedup();
        for (at, parent) in all.iter().enumerate() {
            text.push_str(&format!("{} :{}\n", if at == 0 { "from" } else { "merge" }, parent + 1));
        }
        let content = format!("{number}\n");
        text.push_str(&format!("M 100644 inline dir{file}/file\ndata {}\n{content}\n", content.len()));
    }
    let mut command = git_command(folder);
    command.args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let names: Vec<String> = (0..shape.len()).map(|n| format!("refs/heads/b{n}")).collect();
    let mut arguments = vec!["rev-parse"];
    arguments.extend(names.iter().map(String::as_str));
    git(folder, &arguments).lines().map(id).collect()
}

fn lines(text: &str) -> Vec<Oid> {
    text.lines().map(id).collect()
}

/// What git says, or nothing where it ends with 1.
fn ask(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = git_command(folder).args(arguments).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn ancestors_merge_bases_and_logs_are_those_of_git() {
    if !has_git("ancestors_merge_bases_and_logs_are_those_of_git") {
        return;
    }
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(shape(), any::<prop::sample::Index>()), |(shape, other)| {
            let folder = tempfile::tempdir().unwrap();
            let ids = make(folder.path(), &shape);
            let local = Local::open(folder.path(), MOST).unwrap();
            let objects = local.objects();
            let (a, b) = (ids[ids.len() - 1], ids[other.index(ids.len())]);
            let (a_hex, b_hex) = (a.to_string(), b.to_string());
            let real = ask(folder.path(), &["merge-base", "--is-ancestor", &b_hex, &a_hex]).is_some();
            prop_assert_eq!(objects.is_ancestor(b, a, &task()).unwrap() == Ancestry::Yes, real);

            let bases = ask(folder.path(), &["merge-base", "--all", &a_hex, &b_hex]).map(|text| lines(&text));
            match objects.merge_base(a, b, &task()).unwrap() {
                MergeBase::At(found) => prop_assert!(bases.unwrap_or_default().contains(&found)),
                other => prop_assert_eq!((other, bases), (MergeBase::None, None)),
            }

            let mut ours: Vec<Oid> = objects
                .log(Some(b), a, "", 1000, &task())
                .unwrap()
                .commits
                .into_iter()
                .map(|c| c.0)
                .collect();
            let mut theirs = lines(&git(folder.path(), &["rev-list", &a_hex, &format!("^{b_hex}")]));
            // Git's order differs where clocks are wrong; the set must not.
            ours.sort();
            theirs.sort();
            prop_assert_eq!(ours, theirs);

            let below = objects.log(None, a, "dir1", 1000, &task()).unwrap();
            // Git lists merges that differ from any parent; here they are listed where they differ from each.
            let mut ours: Vec<Oid> =
                below.commits.into_iter().filter(|c| c.1.parents.len() < 2).map(|c| c.0).collect();
            let mut theirs = lines(&git(
                folder.path(),
                &["rev-list", "--full-history", "--no-merges", &a_hex, "--", "dir1"],
            ));
            ours.sort();
            theirs.sort();
            prop_assert_eq!(ours, theirs);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_log_tells_who_when_and_what_and_that_there_is_more() {
    if !has_git("a_log_tells_who_when_and_what_and_that_there_is_more") {
        return;
    }
    let repo = crate::support::Repo::new();
    for n in 0..5 {
        repo.commit(&[("orders/app.yaml", &format!("{n}\n"))]);
    }
    let local = Local::discover(&repo.work.join("orders"), MOST).unwrap();
    let log = local.objects().log(None, repo.head(), "orders", 3, &task()).unwrap();
    assert_eq!((log.commits.len(), log.more, log.cut), (3, true, false));
    let newest = &log.commits[0].1;
    assert_eq!(
        (newest.author.name.as_str(), newest.author.seconds, newest.author.offset),
        ("Mika", 1_700_000_000, 60)
    );
    assert_eq!((newest.title(), newest.committer.seconds), ("change 1700000300", 1_700_000_300));
    assert!(log.commits.windows(2).all(|pair| pair[0].1.committer.seconds > pair[1].1.committer.seconds));
}
