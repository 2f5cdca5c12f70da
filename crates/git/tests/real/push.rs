//! Pushes to a real server.

use std::os::unix::fs::PermissionsExt;

use kiban_git::{Depth, Error, Oid, Push, Pushed};

use crate::support::{Answer, Repo, Web, change, git, has_git, main_branch, remote, store, task};

fn main_to(expected: Oid, new: Oid) -> Push {
    Push { name: "refs/heads/main".to_owned(), expected: Some(expected), new: Some(new) }
}

#[test]
fn a_commit_is_pushed_and_the_second_of_two_is_told_that_it_lost() {
    if !has_git("a_commit_is_pushed_and_the_second_of_two_is_told_that_it_lost") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let ours = store
        .commit(&change(base, &[("orders/env/dev.pin.yaml", "image: x\n")]), None)
        .unwrap()
        .unwrap()
        .id();
    let theirs = store
        .commit(&change(base, &[("orders/env/dev.pin.yaml", "image: y\n")]), None)
        .unwrap()
        .unwrap()
        .id();
    assert_eq!(remote.push(&store, &main_to(base, ours), &task()).unwrap(), Pushed::Done);
    assert_eq!(
        remote.push(&store, &main_to(base, theirs), &task()).unwrap(),
        Pushed::Raced { current: Some(ours) }
    );
    assert_eq!(
        remote.push(&store, &main_to(base, ours), &task()).unwrap(),
        Pushed::Done,
        "it is there already"
    );
    assert_eq!(remote.find("refs/heads/main", &task()).unwrap(), Some(ours));
    git(&repo.bare, &["fsck", "--strict", "--full"]);
    assert_eq!(git(&repo.bare, &["show", "main:orders/env/dev.pin.yaml"]), "image: x");
    let said = git(&repo.bare, &["log", "-1", "--format=%an <%ae> %ad %cn|%B", "--date=raw", "main"]);
    assert_eq!(said, "Kiban <kiban@example.com> 1700100000 +0100 Kiban|orders: a new image");
}

#[test]
fn of_many_at_once_exactly_one_wins_each_round() {
    if !has_git("of_many_at_once_exactly_one_wins_each_round") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let url = &web;
    for round in 0..4 {
        let start = std::sync::Barrier::new(4);
        let outcomes: Vec<Pushed> = std::thread::scope(|scope| {
            let pushers: Vec<_> = (0..4)
                .map(|n| {
                    let start = &start;
                    scope.spawn(move || {
                        let (remote, store) = (remote(url, None), store());
                        let base =
                            remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
                        let text = format!("round: {round}\nby: {n}\n");
                        let new = store.commit(&change(base, &[("pin", &text)]), None).unwrap().unwrap().id();
                        start.wait();
                        remote.push(&store, &main_to(base, new), &task()).unwrap()
                    })
                })
                .collect();
            pushers.into_iter().map(|p| p.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|o| **o == Pushed::Done).count(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|o| matches!(o, Pushed::Done | Pushed::Raced { .. })), "{outcomes:?}");
    }
    assert_eq!(git(&repo.bare, &["rev-list", "--count", "main"]), "5");
    git(&repo.bare, &["fsck", "--strict", "--full"]);
}

#[test]
fn branches_are_made_and_removed() {
    if !has_git("branches_are_made_and_removed") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let new = store.commit(&change(base, &[("a/b/c", "1\n"), ("a/b/d", "2\n")]), None).unwrap().unwrap().id();
    let newer = store.commit(&change(new, &[("a/b/c", "3\n")]), None).unwrap().unwrap().id();
    let name = "refs/heads/kiban/orders-prod".to_owned();
    let make = Push { name: name.clone(), expected: None, new: Some(newer) };
    assert_eq!(remote.push(&store, &make, &task()).unwrap(), Pushed::Done);
    assert_eq!(git(&repo.bare, &["show", "kiban/orders-prod:a/b/c"]), "3");
    let again = Push { new: Some(new), ..make.clone() };
    assert_eq!(remote.push(&store, &again, &task()).unwrap(), Pushed::Raced { current: Some(newer) });
    // Back: a branch of ours may be rewritten.
    let back = Push { expected: Some(newer), new: Some(new), name: name.clone() };
    assert_eq!(remote.push(&store, &back, &task()).unwrap(), Pushed::Done);
    let remove = Push { expected: Some(new), new: None, name };
    assert_eq!(remote.push(&store, &remove, &task()).unwrap(), Pushed::Done);
    assert_eq!(remote.push(&store, &remove, &task()).unwrap(), Pushed::Done, "it is gone already");
    assert_eq!(git(&repo.bare, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    git(&repo.bare, &["fsck", "--strict", "--full"]);
}

#[test]
fn a_repository_without_a_commit_gets_its_first() {
    if !has_git("a_repository_without_a_commit_gets_its_first") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    git(root.path(), &["init", "-q", "--bare", "m.git"]);
    git(&root.path().join("m.git"), &["config", "http.receivepack", "true"]);
    let web = Web::new(root.path());
    let (remote, store) = (remote(&web, None), store());
    let why = remote.fetch(&store, &main_branch(Depth::All), &task()).unwrap_err();
    assert!(matches!(why, Error::NoSuchRef { .. }), "{why}");
    let first = kiban_git::NewCommit {
        base: None,
        ..change(crate::support::id(&"0".repeat(40)), &[("platform.yaml", "name: shop\n")])
    };
    let new = store.commit(&first, None).unwrap().unwrap().id();
    let push = Push { name: "refs/heads/main".to_owned(), expected: None, new: Some(new) };
    assert_eq!(remote.push(&store, &push, &task()).unwrap(), Pushed::Done);
    assert_eq!(git(&root.path().join("m.git"), &["show", "main:platform.yaml"]), "name: shop");
}

#[test]
fn a_hook_that_refuses_is_heard() {
    if !has_git("a_hook_that_refuses_is_heard") {
        return;
    }
    let repo = Repo::new();
    let hook = repo.bare.join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho 'error: GH006: Protected branch update failed for refs/heads/main.'\necho 'At least 1 approving review is required.'\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let new = store.commit(&change(base, &[("a", "1\n")]), None).unwrap().unwrap().id();
    let Pushed::Rejected { reason, words } = remote.push(&store, &main_to(base, new), &task()).unwrap()
    else {
        panic!("not rejected")
    };
    assert_eq!(reason, "pre-receive hook declined");
    assert_eq!(
        words,
        "error: GH006: Protected branch update failed for refs/heads/main.; At least 1 approving review is required."
    );
    assert_eq!(remote.find("refs/heads/main", &task()).unwrap(), Some(base));
}

#[test]
fn an_answer_that_is_lost_is_said_and_can_be_asked_for() {
    if !has_git("an_answer_that_is_lost_is_said_and_can_be_asked_for") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let mut base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    // The request is lost, the answer is lost, the answer breaks off, a proxy gives up.
    let gateway = || Answer::Fixed("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned());
    let cases: [(bool, fn() -> Answer); 5] = [
        (false, || Answer::Deaf),
        (true, || Answer::Mute),
        (true, || Answer::Cut(30)),
        (true, || Answer::Cut(160)),
        (false, gateway),
    ];
    for (number, (lands, answer)) in cases.into_iter().enumerate() {
        web.judge(move |request| if request.line.starts_with("POST") { answer() } else { Answer::Git });
        let new = store.commit(&change(base, &[("a", &format!("{number}\n"))]), None).unwrap().unwrap().id();
        let why = remote.push(&store, &main_to(base, new), &task()).unwrap_err();
        assert!(matches!(why, Error::Lost { .. }), "{number}: {why}");
        assert!(
            why.to_string().contains("ask where the branch is before trying again") && why.is_temporary()
        );
        web.judge(|_| Answer::Git);
        assert_eq!(
            remote.find("refs/heads/main", &task()).unwrap(),
            Some(if lands { new } else { base }),
            "{number}"
        );
        base = if lands { new } else { base };
        git(&repo.bare, &["fsck", "--strict", "--full"]);
    }
}

#[test]
fn only_what_is_new_is_sent_and_all_of_it_where_the_server_forgot() {
    if !has_git("only_what_is_new_is_sent_and_all_of_it_where_the_server_forgot") {
        return;
    }
    let repo = Repo::new();
    let noise: String =
        (0..20_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let base = repo.commit(&[("big", &noise)]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    remote.fetch(&store, &main_branch(Depth::All), &task()).unwrap();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = sent.clone();
    web.judge(move |request| {
        if request.line.starts_with("POST") && request.line.contains("receive-pack") {
            note.lock().unwrap().push(request.body.len());
        }
        Answer::Git
    });
    // Main has moved on since; the branch begins where it was.
    repo.commit(&[("other", "1\n")]);
    let make = |number: u32| {
        let new =
            store.commit(&change(base, &[("pin", &format!("{number}\n"))]), None).unwrap().unwrap().id();
        Push { name: format!("refs/heads/kiban/{number}"), expected: None, new: Some(new) }
    };
    assert_eq!(remote.push(&store, &make(1), &task()).unwrap(), Pushed::Done);
    assert!(sent.lock().unwrap()[0] < 2000, "{sent:?}");

    // The server forgets everything that was fetched.
    git(&repo.work, &["checkout", "-q", "--orphan", "fresh"]);
    git(&repo.work, &["commit", "-qm", "fresh", "--allow-empty"]);
    git(&repo.bare, &["update-ref", "-d", "refs/heads/kiban/1"]);
    git(&repo.work, &["rm", "-rqf", "."]);
    git(&repo.work, &["commit", "-q", "--amend", "--allow-empty", "-m", "fresh"]);
    git(&repo.work, &["push", "-qf", "origin", "HEAD:main"]);
    git(&repo.bare, &["reflog", "expire", "--expire=now", "--all"]);
    git(&repo.bare, &["gc", "-q", "--prune=now"]);
    sent.lock().unwrap().clear();
    let outcome = remote.push(&store, &make(2), &task()).unwrap();
    let sizes = sent.lock().unwrap().clone();
    assert_eq!(outcome, Pushed::Done);
    assert!(sizes.len() == 2 && sizes[0] < 2000 && sizes[1] > 50_000, "{sizes:?}");
    assert_eq!(git(&repo.bare, &["show", "kiban/2:pin"]), "2");
    git(&repo.bare, &["fsck", "--strict", "--full"]);
}
