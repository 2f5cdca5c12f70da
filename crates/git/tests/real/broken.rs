//! Connections that break at any byte: the store stays whole, and the next fetch is as if nothing had been.

use kiban_git::{Depth, Push, Pushed};

use crate::support::{Answer, Repo, Web, change, git, has_git, main_branch, remote, store, task};

#[test]
fn a_fetch_that_breaks_off_anywhere_leaves_the_store_as_it_was() {
    if !has_git("a_fetch_that_breaks_off_anywhere_leaves_the_store_as_it_was") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let first = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let second =
        repo.commit(&[("orders/app.yaml", "name: orders\nsize: l\n"), ("stock/app.yaml", "name: stock\n")]);
    let packs = store.size().packs;
    let mut broken = 0;
    for at in (0..1200).step_by(7) {
        web.judge(move |request| {
            let fetch = request.body.windows(13).any(|w| w == b"command=fetch");
            if fetch { Answer::Cut(at) } else { Answer::Git }
        });
        match remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()) {
            Ok(_) => break,
            Err(why) => {
                broken += 1;
                assert!(!why.to_string().is_empty());
                assert_eq!(store.resolve("refs/remotes/origin/main").unwrap(), Some(first), "cut at {at}");
                assert_eq!(store.size().packs, packs);
            }
        }
    }
    assert!(broken > 20, "{broken}");
    web.judge(|_| Answer::Git);
    assert_eq!(remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit, second);
    git(store.path(), &["fsck", "--strict", "--full"]);
    let left = std::fs::read_dir(store.path().join("objects/pack")).unwrap().flatten();
    assert!(left.into_iter().all(|e| !e.file_name().to_string_lossy().starts_with("tmp_")));
}

#[test]
fn a_push_that_breaks_off_anywhere_leaves_the_remote_old_or_new() {
    if !has_git("a_push_that_breaks_off_anywhere_leaves_the_remote_old_or_new") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let mut base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    // What git gets of the request, and how much of its answer comes back.
    for at in (1..700).step_by(41) {
        web.judge(
            move |request| {
                if request.line.starts_with("POST") { Answer::CutRequest(at) } else { Answer::Git }
            },
        );
        let new = store.commit(&change(base, &[("a", &format!("{at}\n"))]), None).unwrap().unwrap().id();
        let push = Push { name: "refs/heads/main".to_owned(), expected: Some(base), new: Some(new) };
        let outcome = remote.push(&store, &push, &task());
        web.judge(|_| Answer::Git);
        let now = remote.find("refs/heads/main", &task()).unwrap().unwrap();
        assert!(now == base || now == new, "cut at {at}");
        assert!(
            matches!(outcome, Ok(Pushed::Done)) == (now == new) || outcome.is_err(),
            "cut at {at}: {outcome:?}"
        );
        git(&repo.bare, &["fsck", "--strict", "--full"]);
        base = now;
    }
}

#[test]
fn answers_that_are_none_are_refused_in_words() {
    let root = tempfile::tempdir().unwrap();
    let web = Web::new(root.path());
    let (remote, store) = (remote(&web, None), store());
    let answer = |kind: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let advertisement = "application/x-git-upload-pack-advertisement";
    let (old, other) = ("003fd049f6c27a2244e12041955e262a404c7faba355 refs/heads/master\n0000", "zzzz");
    let table = [
        ("text/html", "<html>Sign in</html>", "is this the address of a repository?"),
        (advertisement, "", "does not offer version 2"),
        (advertisement, "001e# service=git-upload-pack\n0000", "does not offer version 2"),
        (advertisement, old, "does not offer version 2"),
        (advertisement, other, "\"zzzz\" is no length of a packet"),
        (advertisement, "0003", "is no length of a packet"),
        (advertisement, "fff5", "is no length of a packet"),
        (advertisement, "0010abc", "the answer ended in its middle"),
        (advertisement, "000eversion 2\n000cls-refs\n0000", "does not offer ls-refs and shallow fetches"),
        (advertisement, "000eversion 2\n0019object-format=sha256\n0000", "its objects are named by sha256"),
        (advertisement, "0013ERR no access\r\n0000", "says: no access"),
    ];
    for (kind, body, words) in table {
        let text = answer(kind, body);
        web.judge(move |_| Answer::Fixed(text.clone()));
        let why = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap_err().to_string();
        assert!(why.contains(words), "{body}: {why}");
    }
}
