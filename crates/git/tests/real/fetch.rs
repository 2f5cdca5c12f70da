//! Fetches from a real server.

use kiban_git::{Ancestry, Cancel, Depth, Error, Fetch, Limits, MergeBase, Mode, Task, Want};

use crate::support::{Repo, Web, git, has_git, id, main_branch, remote, store, task};

#[test]
fn a_branch_is_fetched_and_followed() {
    if !has_git("a_branch_is_fetched_and_followed") {
        return;
    }
    let repo = Repo::new();
    let first = repo.commit(&[("payments/app.yaml", "name: payments\n")]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let got = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
    assert_eq!(got.commit, first);
    assert!(got.objects > 0);
    let walked = store.objects().walk(first, "", &task()).unwrap();
    let paths: Vec<&str> = walked.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        ["orders/app.yaml", "payments/app.yaml", "platform.yaml", "rendered/dev/orders/a.yaml"]
    );
    assert!(walked.iter().all(|e| e.mode == Mode::File));
    let text = store.objects().read_path(first, "payments/app.yaml", 100).unwrap().unwrap();
    assert_eq!(text, "name: payments\n");

    // Nothing new: one request.
    web.take();
    let same = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
    assert_eq!((same.commit, same.objects), (first, 0));
    assert_eq!(web.take().len(), 1);

    // One file changed, twice: both commits come.
    repo.commit(&[("orders/app.yaml", "name: orders\nsize: m\n")]);
    let third = repo.commit(&[("rendered/dev/orders/a.yaml", "a: 2\n")]);
    let next = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
    assert_eq!(next.commit, third);
    let changes = store.objects().changed(Some(first), third, &[], &task()).unwrap();
    let paths: Vec<&str> = changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["orders/app.yaml", "rendered/dev/orders/a.yaml"]);
    assert_eq!(store.objects().is_ancestor(first, third, &task()).unwrap(), Ancestry::Yes);
    git(store.path(), &["fsck", "--strict", "--full"]);
}

#[test]
fn what_is_cut_off_is_unknown_until_it_is_deepened() {
    if !has_git("what_is_cut_off_is_unknown_until_it_is_deepened") {
        return;
    }
    let repo = Repo::new();
    let first = repo.head();
    for n in 0..6 {
        repo.commit(&[("orders/app.yaml", &format!("n: {n}\n"))]);
    }
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let head = remote.fetch(&store, &main_branch(Depth::Follow(2)), &task()).unwrap().commit;
    let objects = store.objects();
    assert_eq!(objects.is_ancestor(first, head, &task()).unwrap(), Ancestry::Unknown);
    let log = objects.log(None, head, "", 100, &task()).unwrap();
    assert_eq!((log.commits.len(), log.cut), (2, true));
    let log = objects.log(Some(first), head, "", 100, &task()).unwrap();
    assert_eq!((log.commits.len(), log.cut), (2, true), "what it starts from is not here");
    git(store.path(), &["fsck", "--strict", "--full"]);

    remote.fetch(&store, &main_branch(Depth::Exactly(4)), &task()).unwrap();
    assert_eq!(objects.log(None, head, "", 100, &task()).unwrap().commits.len(), 4);
    remote.fetch(&store, &main_branch(Depth::Exactly(2)), &task()).unwrap();
    assert_eq!(objects.log(None, head, "", 100, &task()).unwrap().commits.len(), 4, "what is here stays");
    git(store.path(), &["fsck", "--strict", "--full"]);
    remote.fetch(&store, &main_branch(Depth::All), &task()).unwrap();
    assert_eq!(objects.is_ancestor(first, head, &task()).unwrap(), Ancestry::Yes);
    let log = objects.log(None, head, "", 100, &task()).unwrap();
    assert_eq!((log.commits.len(), log.cut), (7, false));
    git(store.path(), &["fsck", "--strict", "--full"]);
    web.take();
    remote.fetch(&store, &main_branch(Depth::All), &task()).unwrap();
    assert_eq!(web.take().len(), 1, "there is nothing more to ask for");
}

#[test]
fn a_commit_is_fetched_by_its_id_and_a_tag_by_its_name() {
    if !has_git("a_commit_is_fetched_by_its_id_and_a_tag_by_its_name") {
        return;
    }
    let repo = Repo::new();
    let old = repo.commit(&[("orders/app.yaml", "old\n")]);
    repo.commit(&[("orders/app.yaml", "new\n")]);
    git(&repo.work, &["tag", "-a", "-m", "first", "v1", &old.to_string()]);
    git(&repo.work, &["push", "-q", "origin", "v1"]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let by_id = Fetch { want: Want::Commit(old), depth: Depth::Follow(1), into: None };
    assert_eq!(remote.fetch(&store, &by_id, &task()).unwrap().commit, old);
    assert_eq!(store.objects().read_path(old, "orders/app.yaml", 99).unwrap().unwrap(), "old\n");
    let by_tag = Fetch { want: Want::Ref("refs/tags/v1".to_owned()), depth: Depth::Follow(1), into: None };
    assert_eq!(remote.fetch(&store, &by_tag, &task()).unwrap().commit, old);
    let refs = remote.refs(&["refs/tags/"], &task()).unwrap();
    assert_eq!((refs.len(), refs[0].peeled), (1, Some(old)));
    assert_eq!(remote.default_branch(&task()).unwrap().as_deref(), Some("refs/heads/main"));

    let nowhere = id("1234567890123456789012345678901234567890");
    let why = remote.fetch(&store, &Fetch { want: Want::Commit(nowhere), ..by_id }, &task()).unwrap_err();
    assert!(matches!(&why, Error::NoSuchRef { what, .. } if what.contains("1234567")), "{why}");
    let gone = Fetch { want: Want::Ref("refs/heads/gone".to_owned()), ..by_tag };
    let why = remote.fetch(&store, &gone, &task()).unwrap_err().to_string();
    assert!(why.ends_with("/m.git has no refs/heads/gone"), "{why}");
}

#[test]
fn a_branch_that_was_rewritten_is_followed() {
    if !has_git("a_branch_that_was_rewritten_is_followed") {
        return;
    }
    let repo = Repo::new();
    let base = repo.commit(&[("a", "1\n")]);
    let gone = repo.commit(&[("a", "2\n")]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    remote.fetch(&store, &main_branch(Depth::Follow(5)), &task()).unwrap();
    git(&repo.work, &["reset", "-q", "--hard", "HEAD~1"]);
    std::fs::write(repo.work.join("a"), "3\n").unwrap();
    git(&repo.work, &["commit", "-qam", "another"]);
    git(&repo.work, &["push", "-qf", "origin", "HEAD:main"]);
    let head = remote.fetch(&store, &main_branch(Depth::Follow(5)), &task()).unwrap().commit;
    assert_eq!(store.objects().is_ancestor(gone, head, &task()).unwrap(), Ancestry::No);
    assert_eq!(store.objects().merge_base(gone, head, &task()).unwrap(), MergeBase::At(base));
}

#[test]
fn limits_end_a_fetch_and_leave_the_store_as_it_was() {
    if !has_git("limits_end_a_fetch_and_leave_the_store_as_it_was") {
        return;
    }
    let repo = Repo::new();
    let noise: String =
        (0..40_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    repo.commit(&[("big", &noise)]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let table = [
        (Limits { pack_bytes: 20_000, ..Limits::default() }, "more than the limit of 20000 bytes"),
        (Limits { objects: 3, ..Limits::default() }, "more than the limit of 3 objects"),
        (Limits { object_bytes: 1000, ..Limits::default() }, "more than the limit of 1000 bytes"),
        (
            Limits { unpacked_bytes: 100_000, ..Limits::default() },
            "unpacks to is more than the limit of 100000 bytes",
        ),
        (
            Limits { time: std::time::Duration::ZERO, ..Limits::default() },
            "it took longer than 0 s to ask the remote",
        ),
    ];
    for (limits, words) in table {
        let why = remote
            .fetch(&store, &main_branch(Depth::Follow(1)), &Task::new(limits, Cancel::default()))
            .unwrap_err();
        assert!(why.to_string().contains(words), "{why}");
        assert_eq!(store.size().packs, 0);
        assert_eq!(store.refs(&[]).unwrap(), []);
    }
    let cancel = Cancel::default();
    let task_of = Task::new(Limits::default(), cancel.clone());
    // Cancelled while the server thinks: it would never answer.
    web.judge(move |request| {
        if request.line.starts_with("POST") {
            cancel.cancel();
            std::thread::park();
        }
        crate::support::Answer::Git
    });
    let why = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task_of).unwrap_err();
    assert!(matches!(why, Error::Cancelled), "{why}");
}

#[test]
fn history_is_fetched_until_the_answer_is_known() {
    if !has_git("history_is_fetched_until_the_answer_is_known") {
        return;
    }
    let repo = Repo::new();
    let first = repo.head();
    for n in 0..60 {
        git(&repo.work, &["commit", "-q", "--allow-empty", "-m", &format!("{n}")]);
    }
    git(&repo.work, &["push", "-q", "origin", "HEAD:main"]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let head = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    web.take();
    assert_eq!(remote.is_ancestor(&store, first, head, 55, &task()).unwrap(), Ancestry::Unknown);
    assert_eq!(web.take().len(), 2, "50 commits, then 55");
    assert_eq!(remote.is_ancestor(&store, first, head, 1000, &task()).unwrap(), Ancestry::Yes);
    assert_eq!(store.objects().is_ancestor(first, head, &task()).unwrap(), Ancestry::Yes);
    let elsewhere = id("1234567890123456789012345678901234567890");
    assert_eq!(remote.is_ancestor(&store, elsewhere, head, 1000, &task()).unwrap(), Ancestry::No);
    git(store.path(), &["fsck", "--strict", "--full"]);
}
