//! Trees as git makes them, and as only an attacker does.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use kiban_git::{Cancel, Change, Depth, Error, Fetch, Limits, Local, Mode, Oid, Task, Want};

use crate::support::{MOST, Repo, Web, git, git_command, has_git, id, remote, store, task};

/// Writes an object that git itself would refuse to make.
fn literally(repo: &Repo, kind: &str, data: &[u8]) -> Oid {
    let mut command = git_command(&repo.work);
    command
        .args(["hash-object", "-t", kind, "-w", "--literally", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(data).unwrap();
    id(&String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
}

/// A commit whose root has one row of this mode and name, and a good one beside it.
fn commit_of(repo: &Repo, mode: &str, name: &[u8], what: Oid) -> Oid {
    let blob = literally(repo, "blob", b"x\n");
    let row = |mode: &str, name: &[u8], id: Oid| [mode.as_bytes(), b" ", name, b"\0", id.as_slice()].concat();
    let mut rows = vec![
        (name.to_vec(), row(mode, name, what)),
        (b"good.yaml".to_vec(), row("100644", b"good.yaml", blob)),
    ];
    rows.sort();
    let tree = literally(repo, "tree", &rows.into_iter().flat_map(|(_, row)| row).collect::<Vec<u8>>());
    id(&git(&repo.work, &["commit-tree", "-m", "odd", &tree.to_string()]))
}

#[test]
fn names_that_no_checkout_survives_are_refused_where_they_are_read() {
    if !has_git("names_that_no_checkout_survives_are_refused_where_they_are_read") {
        return;
    }
    let repo = Repo::new();
    let blob = literally(&repo, "blob", b"evil\n");
    let names: [&[u8]; 8] = [b"..", b".", b".git", b".GIT", b"git~1", b".git ", b"a\\b", b"\xff\xfe"];
    for name in names {
        let commit = commit_of(&repo, "100644", name, blob);
        let local = Local::open(&repo.work, MOST).unwrap();
        let objects = local.objects();
        let why = objects.walk(commit, "", &task()).unwrap_err();
        assert!(matches!(why, Error::Path { .. }), "{name:?}: {why}");
        assert!(objects.changed(None, commit, &[], &task()).is_err());
        // Who asks for something else is not disturbed.
        assert_eq!(objects.walk(commit, "good.yaml", &task()).unwrap().len(), 1);
        assert_eq!(objects.read_path(commit, "good.yaml", 9).unwrap().unwrap(), "x\n");
    }
}

#[test]
fn links_and_submodules_are_listed_and_not_read() {
    if !has_git("links_and_submodules_are_listed_and_not_read") {
        return;
    }
    let repo = Repo::new();
    let target = literally(&repo, "blob", b"/etc/passwd");
    let table = [
        ("120000", target, Mode::Symlink, "orders: is a symbolic link"),
        ("160000", repo.head(), Mode::Submodule, "orders: is a submodule"),
    ];
    for (mode, what, kind, words) in table {
        let commit = commit_of(&repo, mode, b"orders", what);
        let local = Local::open(&repo.work, MOST).unwrap();
        let found = local.objects().walk(commit, "orders", &task()).unwrap();
        assert_eq!((found.len(), found[0].mode), (1, kind));
        let why = local.objects().read_entry(&found[0], 1000).unwrap_err().to_string();
        assert!(why.starts_with(words), "{why}");
        assert!(local.objects().read_path(commit, "orders", 1000).is_err());
        assert_eq!(
            local.objects().read_path(commit, "orders/app.yaml", 1000).unwrap(),
            None,
            "nothing lies below it"
        );
    }
}

#[test]
fn broken_trees_and_folders_without_an_end_are_refused() {
    if !has_git("broken_trees_and_folders_without_an_end_are_refused") {
        return;
    }
    let repo = Repo::new();
    let mut tree = literally(&repo, "tree", b"");
    for _ in 0..200 {
        tree = literally(&repo, "tree", &[b"40000 d\0", tree.as_slice()].concat());
    }
    let deep = id(&git(&repo.work, &["commit-tree", "-m", "deep", &tree.to_string()]));
    let blob = literally(&repo, "blob", b"no tree");
    let wrong = commit_of(&repo, "40000", b"dir", blob);
    let absent = commit_of(&repo, "40000", b"dir", id("1234567890123456789012345678901234567890"));
    // Folders of the same folders: few objects, and more paths than atoms.
    let mut tree = literally(&repo, "tree", b"");
    for _ in 0..90 {
        let row = |name: &[u8]| [b"40000 ", name, b"\0", tree.as_slice()].concat();
        tree = literally(&repo, "tree", &[row(b"a"), row(b"b")].concat());
    }
    let bomb = id(&git(&repo.work, &["commit-tree", "-m", "bomb", &tree.to_string()]));
    let local = Local::open(&repo.work, MOST).unwrap();
    let some = Task::new(Limits { entries: 20_000, ..Limits::default() }, Cancel::default());
    let why = local.objects().walk(bomb, "", &some).unwrap_err().to_string();
    assert!(why.contains("more than the limit of 20000 files and folders"), "{why}");
    let said = |commit| local.objects().walk(commit, "", &task()).unwrap_err().to_string();
    assert!(said(deep).contains("folders lie too deep in each other"));
    assert!(said(wrong).contains("it is a blob, where a tree is expected"));
    assert!(said(absent).contains("1234567890123456789012345678901234567890 is not in "));
    assert!(said(blob).contains("it is a blob, where a commit is expected"));
    let few = Task::new(Limits { entries: 2, ..Limits::default() }, Cancel::default());
    let why = local.objects().walk(repo.head(), "", &few).unwrap_err().to_string();
    assert!(why.contains("more than the limit of 2 files and folders"), "{why}");
    let why = local.objects().read_path(repo.head(), "orders/app.yaml", 3).unwrap_err().to_string();
    assert_eq!(
        why,
        "the file orders/app.yaml is more than the limit of 3 bytes: raise the limit if this is right"
    );
}

#[test]
fn what_changed_is_what_git_says_and_costs_only_what_changed() {
    if !has_git("what_changed_is_what_git_says_and_costs_only_what_changed") {
        return;
    }
    let repo = Repo::new();
    let paths: Vec<String> = (0..300).map(|n| format!("rendered/prod/app-{n:03}/deployment.yaml")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(|p| (p.as_str(), "a: 1\n")).collect();
    let before = repo.commit(&files);
    // A file becomes a folder, a folder a file; one is new, one gone, one changed.
    repo.commit(&[("orders/app.yaml", ""), ("platform.yaml", "")]);
    let after = repo.commit(&[
        (&paths[7], "a: 2\n"),
        (&paths[8], ""),
        ("new/x", "1\n"),
        ("orders", "now a file\n"),
        ("platform.yaml/x", "now a folder\n"),
    ]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let fetch = |id| Fetch { want: Want::Commit(id), depth: Depth::Exactly(1), into: None };
    remote.fetch(&store, &fetch(before), &task()).unwrap();
    remote.fetch(&store, &fetch(after), &task()).unwrap();
    let reads = store.objects().reads();
    let changes = store.objects().changed(Some(before), after, &[], &task()).unwrap();
    assert!(store.objects().reads() - reads <= 16, "{}", store.objects().reads() - reads);
    assert_eq!(spelled(&changes), said_by_git(&repo, before, after));
    let below =
        store.objects().changed(Some(before), after, &["rendered/prod/app-007", "new/"], &task()).unwrap();
    assert_eq!(below.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["new/x", paths[7].as_str()]);
    assert_eq!(store.objects().changed(Some(before), after, &["rendered/prod/app-00"], &task()).unwrap(), []);
}

fn spelled(changes: &[Change]) -> BTreeMap<String, String> {
    let side = |side: Option<kiban_git::Side>| {
        side.map_or_else(|| "-".to_owned(), |s| format!("{} {}", s.mode.octal(), s.id))
    };
    changes.iter().map(|c| (c.path.clone(), format!("{} {}", side(c.before), side(c.after)))).collect()
}

/// The same, by git diff-tree.
pub fn said_by_git(repo: &Repo, before: Oid, after: Oid) -> BTreeMap<String, String> {
    let said = git(
        &repo.work,
        &["diff-tree", "-r", "--no-renames", "--full-index", &before.to_string(), &after.to_string()],
    );
    let rows = said.lines().map(|line| {
        let (what, path) = line.split_once('\t').unwrap();
        let words: Vec<&str> = what.trim_start_matches(':').split(' ').collect();
        let side =
            |mode: &str, id: &str| if mode == "000000" { "-".to_owned() } else { format!("{mode} {id}") };
        (path.to_owned(), format!("{} {}", side(words[0], words[2]), side(words[1], words[3])))
    });
    rows.collect()
}
