//! Repositories of this machine as remotes.

use std::time::Duration;

use kiban_git::{Address, Ancestry, Cancel, Depth, Error, Limits, Local, Push, Pushed, Remote, Task};

use crate::support::{MOST, Repo, change, client, git, git_command, has_git, main_branch, store, task};

fn folder(path: &std::path::Path) -> Remote {
    let address = Address::parse(path.to_str().unwrap(), false).unwrap();
    Remote::new(address, None, client(), MOST).unwrap()
}

#[test]
fn a_folder_is_fetched_followed_and_pushed_to() {
    if !has_git("a_folder_is_fetched_followed_and_pushed_to") {
        return;
    }
    let repo = Repo::new();
    for n in 0..4 {
        repo.commit(&[("orders/app.yaml", &format!("{n}\n"))]);
    }
    git(&repo.bare, &["pack-refs", "--all"]);
    git(&repo.bare, &["repack", "-adq", "--depth=50"]);
    let (remote, store) = (folder(&repo.bare), store());
    let head = remote.fetch(&store, &main_branch(Depth::Follow(2)), &task()).unwrap();
    assert_eq!(head.commit, repo.head());
    assert_eq!(store.objects().log(None, head.commit, "", 9, &task()).unwrap().commits.len(), 2);
    git(store.path(), &["fsck", "--strict", "--full"]);
    assert_eq!(remote.fetch(&store, &main_branch(Depth::Follow(2)), &task()).unwrap().objects, 0);
    let next = repo.commit(&[("orders/app.yaml", "next\n")]);
    assert_eq!(remote.fetch(&store, &main_branch(Depth::Follow(2)), &task()).unwrap().objects, 4);
    assert_eq!(store.objects().is_ancestor(head.commit, next, &task()).unwrap(), Ancestry::Yes);
    remote.fetch(&store, &main_branch(Depth::All), &task()).unwrap();
    let log = store.objects().log(None, next, "", 99, &task()).unwrap();
    assert_eq!((log.commits.len(), log.cut), (6, false));
    git(store.path(), &["fsck", "--strict", "--full"]);

    let ours = store.commit(&change(next, &[("pin", "x\n")]), None).unwrap().unwrap().id();
    let theirs = store.commit(&change(next, &[("pin", "y\n")]), None).unwrap().unwrap().id();
    let push = |expected, new| Push { name: "refs/heads/main".to_owned(), expected, new };
    assert_eq!(remote.push(&store, &push(Some(next), Some(ours)), &task()).unwrap(), Pushed::Done);
    assert_eq!(
        remote.push(&store, &push(Some(next), Some(theirs)), &task()).unwrap(),
        Pushed::Raced { current: Some(ours) }
    );
    assert_eq!(git(&repo.bare, &["show", "main:pin"]), "x");
    git(&repo.bare, &["fsck", "--strict", "--full"]);
    git(&repo.bare, &["pack-refs", "--all"]);
    let make = Push { name: "refs/heads/other".to_owned(), expected: None, new: Some(theirs) };
    assert_eq!(remote.push(&store, &make, &task()).unwrap(), Pushed::Done);
    git(&repo.bare, &["pack-refs", "--all"]);
    let remove = Push { expected: Some(theirs), new: None, ..make };
    assert_eq!(remote.push(&store, &remove, &task()).unwrap(), Pushed::Done);
    assert_eq!(git(&repo.bare, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
}

#[test]
fn of_many_at_once_exactly_one_wins_in_a_folder() {
    if !has_git("of_many_at_once_exactly_one_wins_in_a_folder") {
        return;
    }
    let repo = Repo::new();
    let base = repo.head();
    let start = std::sync::Barrier::new(8);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (bare, start) = (&repo.bare, &start);
                scope.spawn(move || {
                    let (remote, store) = (folder(bare), store());
                    remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
                    let new = store
                        .commit(&change(base, &[("by", &format!("{n}\n"))]), None)
                        .unwrap()
                        .unwrap()
                        .id();
                    start.wait();
                    remote.push(
                        &store,
                        &Push { name: "refs/heads/main".to_owned(), expected: Some(base), new: Some(new) },
                        &task(),
                    )
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|o| matches!(o, Ok(Pushed::Done))).count(), 1);
    // The others waited while the winner held the lock, and lost.
    assert!(outcomes.iter().all(|o| matches!(o, Ok(Pushed::Done | Pushed::Raced { .. }))), "{outcomes:?}");
    git(&repo.bare, &["fsck", "--strict", "--full"]);
}

#[test]
fn working_folders_of_all_kinds_are_read() {
    if !has_git("working_folders_of_all_kinds_are_read") {
        return;
    }
    let repo = Repo::new();
    let head = repo.head();
    let path = |name: &str| repo.root.path().join(name);
    git(&repo.work, &["worktree", "add", "-q", "-b", "side", path("side").to_str().unwrap()]);
    git(repo.root.path(), &["clone", "-q", "--shared", "work", "shared"]);
    git(
        repo.root.path(),
        &["clone", "-q", "--depth=1", &format!("file://{}", repo.bare.display()), "shallow"],
    );
    for (folder, branch) in [("work", "main"), ("side", "side"), ("shared", "main"), ("shallow", "main")] {
        let local = Local::open(&path(folder), MOST).unwrap();
        assert!(!local.is_bare());
        assert_eq!(local.resolve("HEAD").unwrap(), Some(head), "{folder}");
        assert_eq!(local.head().unwrap(), Some(format!("refs/heads/{branch}")));
        assert_eq!(local.objects().read_path(head, "platform.yaml", 99).unwrap().unwrap(), "name: shop\n");
    }
    let local = Local::open(&path("shared"), MOST).unwrap();
    assert_eq!(local.remote_address("origin").unwrap().unwrap(), repo.work.to_str().unwrap());
    assert!(Local::open(&repo.bare, MOST).unwrap().is_bare());
    // What others add after it was opened is found.
    let local = Local::open(&repo.work, MOST).unwrap();
    let new = repo.commit(&[("later", "1\n")]);
    git(&repo.work, &["repack", "-adq"]);
    assert_eq!(local.objects().read_path(new, "later", 9).unwrap().unwrap(), "1\n");

    let (remote, store) = (folder(&repo.work), store());
    remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
    let made = store.commit(&change(new, &[("x", "1\n")]), None).unwrap().unwrap().id();
    let push = Push { name: "refs/heads/main".to_owned(), expected: Some(new), new: Some(made) };
    let Pushed::Rejected { reason, .. } = remote.push(&store, &push, &task()).unwrap() else {
        panic!("not rejected")
    };
    assert_eq!(reason, "branch is currently checked out");
}

#[test]
fn folders_that_cannot_be_used_say_why() {
    if !has_git("folders_that_cannot_be_used_say_why") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let why = Local::open(root.path(), MOST).unwrap_err().to_string();
    assert!(why.contains("it has no .git, and is no bare repository"), "{why}");
    let made =
        git_command(root.path()).args(["init", "-q", "--object-format=sha256", "new"]).status().unwrap();
    if made.success() {
        let why = Local::open(&root.path().join("new"), MOST).unwrap_err().to_string();
        assert!(why.contains("its objects are named by sha256; only sha1 is read"), "{why}");
    }
    let repo = Repo::new();
    std::fs::write(repo.bare.join("refs/heads/main.lock"), "").unwrap();
    let (remote, store) = (folder(&repo.bare), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let new = store.commit(&change(base, &[("x", "1\n")]), None).unwrap().unwrap().id();
    let push = Push { name: "refs/heads/main".to_owned(), expected: Some(base), new: Some(new) };
    let why = remote.push(&store, &push, &task()).unwrap_err();
    let said = why.to_string();
    assert!(matches!(why, Error::Busy { .. }) && said.contains("main.lock; try again"), "{why}");
    assert!(!said.contains("remove"), "it may be in use: {said}");
    // One that is old may be nobody's.
    let lock = std::fs::File::options().write(true).open(repo.bare.join("refs/heads/main.lock")).unwrap();
    let made = lock.metadata().unwrap().modified().unwrap();
    lock.set_modified(made - Duration::from_secs(3600)).unwrap();
    let said = remote.push(&store, &push, &task()).unwrap_err().to_string();
    assert!(
        said.contains("main.lock is there for 60 minutes") && said.contains("remove that file"),
        "{said}"
    );
    // What waits for a lock takes it as soon as it is free, and not beyond its own time.
    let short =
        Task::new(Limits { time: Duration::from_millis(300), ..Limits::default() }, Cancel::default());
    let busy = remote.push(&store, &push, &short).unwrap_err();
    assert!(matches!(busy, Error::Busy { .. } | Error::Timeout { .. }), "{busy}");
    std::fs::remove_file(repo.bare.join("refs/heads/main.lock")).unwrap();
    assert_eq!(remote.push(&store, &push, &task()).unwrap(), Pushed::Done);
}

#[test]
fn a_new_repository_takes_its_first_commit_and_git_reads_it() {
    if !has_git("a_new_repository_takes_its_first_commit_and_git_reads_it") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("m.git");
    kiban_git::init(&path, "main").unwrap();
    assert!(kiban_git::init(&path, "main").is_err(), "nothing that is there is touched");
    assert!(kiban_git::init(&root.path().join("x"), "a..b").is_err());
    let (remote, store) = (folder(&path), store());
    assert_eq!(remote.find("HEAD", &task()).unwrap(), None);
    let base = crate::support::id(&"0".repeat(40));
    let first = kiban_git::NewCommit { base: None, ..change(base, &[("platform.yaml", "name: shop\n")]) };
    let made = store.commit(&first, None).unwrap().unwrap();
    let push = Push { name: "refs/heads/main".to_owned(), expected: None, new: Some(made.id()) };
    assert_eq!(remote.push(&store, &push, &task()).unwrap(), Pushed::Done);
    assert_eq!(remote.default_branch(&task()).unwrap().as_deref(), Some("refs/heads/main"));
    assert_eq!(git(&path, &["show", "HEAD:platform.yaml"]), "name: shop");
    git(&path, &["fsck", "--strict", "--full"]);
}
