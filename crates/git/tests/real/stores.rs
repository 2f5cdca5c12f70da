//! The store: what a killed process leaves, who has it open, and how it stays small.

use std::path::Path;

use kiban_git::{Depth, Error, Local, Store, Tidy};

use crate::support::{Answer, MOST, Repo, Web, change, git, has_git, main_branch, remote, task};

fn packs(store: &Path) -> Vec<std::path::PathBuf> {
    let names = std::fs::read_dir(store.join("objects/pack")).unwrap().flatten().map(|e| e.path());
    names.filter(|p| p.extension().is_some_and(|e| e == "pack")).collect()
}

#[test]
fn what_a_killed_process_leaves_is_removed_and_what_it_finished_stays() {
    if !has_git("what_a_killed_process_leaves_is_removed_and_what_it_finished_stays") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let remote = remote(&web, None);
    let path = repo.root.path().join("data/git");
    let store = Store::open(&path, MOST).unwrap();
    let first = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let second = repo.commit(&[("a", "1\n")]);
    // Each state that the disk goes through, as if the process had ended there.
    type State = fn(&Path);
    let states: [(&str, State); 6] = [
        ("a pack half received", |p| std::fs::write(p.join("objects/pack/tmp_pack_x"), "PACK").unwrap()),
        ("a pack without its index", |p| {
            let one = packs(p).remove(0);
            std::fs::copy(one, p.join("objects/pack/pack-1234567890123456789012345678901234567890.pack"))
                .unwrap();
        }),
        ("an index without its pack", |p| std::fs::write(p.join("objects/pack/pack-12.idx"), "x").unwrap()),
        ("history cut off at a commit that did not come", |p| {
            let mut text = std::fs::read_to_string(p.join("shallow")).unwrap_or_default();
            text.push_str("1234567890123456789012345678901234567890\n");
            std::fs::write(p.join("shallow"), text).unwrap();
        }),
        ("the lock of a ref", |p| std::fs::write(p.join("refs/remotes/origin/main.lock"), "12").unwrap()),
        ("the file that a ref was to become", |p| std::fs::write(p.join("tmp_shallow"), "12").unwrap()),
    ];
    drop(store);
    for (what, leave) in states {
        leave(&path);
        let store = Store::open(&path, MOST).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(store.resolve("refs/remotes/origin/main").unwrap(), Some(first), "{what}");
        assert_eq!(store.objects().walk(first, "", &task()).unwrap().len(), 3, "{what}");
        assert_eq!(packs(&path).len(), 1, "{what}");
        assert!(
            !path.join("tmp_shallow").exists() && !path.join("objects/pack/tmp_pack_x").exists(),
            "{what}"
        );
    }
    let store = Store::open(&path, MOST).unwrap();
    assert_eq!(remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit, second);
    git(&path, &["fsck", "--full"]);
}

/// Run by the test below in a process of its own: follows main until it is killed.
#[test]
fn follower() {
    let (Some(path), Some(url)) = (std::env::var_os("KIBAN_GIT_STORE"), std::env::var_os("KIBAN_GIT_URL"))
    else {
        return;
    };
    let store = Store::open(Path::new(&path), MOST).unwrap();
    let address = kiban_git::Address::parse(url.to_str().unwrap(), false).unwrap();
    let remote = kiban_git::Remote::new(address, None, crate::support::client(), MOST).unwrap();
    loop {
        remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
        store.tidy(Tidy { packs: 3, bytes: u64::MAX, commits: Some(5) }, &task()).unwrap();
    }
}

#[test]
fn a_follower_that_is_killed_at_any_point_goes_on_where_it_was() {
    if !has_git("a_follower_that_is_killed_at_any_point_goes_on_where_it_was") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let path = repo.root.path().join("store");
    for round in 0..10u64 {
        let head = repo.commit(&[("n", &format!("{round}\n")), (&format!("apps/{round}/app.yaml"), "x\n")]);
        // The server tells when the follower has come so far, and the kill falls somewhere behind that.
        let (tell, told) = std::sync::mpsc::sync_channel(100);
        web.judge(move |request| {
            if request.body.windows(13).any(|w| w == b"command=fetch") {
                let _ = tell.try_send(());
            }
            Answer::Git
        });
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stores::follower", "--nocapture"])
            .env("KIBAN_GIT_STORE", &path)
            .env("KIBAN_GIT_URL", format!("{}/m.git", web.url))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        told.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        // Busy for a while that differs from round to round: a fetch takes a few milliseconds here.
        let mut spin = 0u64;
        (0..round * 400_000).for_each(|n| spin = std::hint::black_box(spin.wrapping_mul(31).wrapping_add(n)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(&path, MOST).unwrap();
        for (name, id) in store.refs(&[]).unwrap() {
            store
                .objects()
                .walk(id, "", &task())
                .unwrap_or_else(|why| panic!("round {round}: {name}: {why}"));
        }
        git(&path, &["fsck", "--full"]);
        web.judge(|_| Answer::Git);
        assert_eq!(
            remote(&web, None).fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit,
            head
        );
    }
}

#[test]
fn a_store_is_one_process_and_no_repository_of_others() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = Store::open(&path, MOST).unwrap();
    let why = Store::open(&path, MOST).unwrap_err();
    assert!(
        matches!(why, Error::Busy { .. })
            && why.to_string().contains("another process of Kiban has this store open"),
        "{why}"
    );
    drop(store);
    drop(Store::open(&path, MOST).unwrap());
    let config = std::fs::read_to_string(path.join("config")).unwrap();
    std::fs::write(path.join("config"), config.replace("store = 1", "store = 2")).unwrap();
    let why = Store::open(&path, MOST).unwrap_err().to_string();
    assert!(why.contains("a newer Kiban made it (form 2; this one knows 1)"), "{why}");
    if has_git("a_store_is_one_process_and_no_repository_of_others") {
        let repo = Repo::new();
        let why = Store::open(&repo.bare, MOST).unwrap_err().to_string();
        assert!(why.contains("there is something else in it: a store has a folder of its own"), "{why}");
        assert!(Local::open(&path, MOST).unwrap().is_bare(), "git and others can read a store");
    }
}

#[test]
fn a_store_stays_small_and_keeps_what_is_held() {
    if !has_git("a_store_stays_small_and_keeps_what_is_held") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), crate::support::store());
    let first = repo.head();
    remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
    let mut head = first;
    for n in 0..12 {
        repo.commit(&[("n", &format!("{n}\n"))]);
        head = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    }
    let when = Tidy { packs: 10, bytes: u64::MAX, commits: Some(3) };
    assert_eq!(store.tidy(Tidy { packs: 99, ..when }, &task()).unwrap(), None);
    let hold = store.commit(&change(head, &[("mine", "1\n")]), None).unwrap().unwrap();
    let lost = store.commit(&change(head, &[("mine", "2\n")]), None).unwrap().unwrap().id();
    let held = hold.id();
    let done = store.tidy(when, &task()).unwrap().unwrap();
    assert_eq!((done.before.packs, done.after.packs), (15, 1));
    assert!(done.after.bytes < done.before.bytes && done.after.objects < done.before.objects);
    let objects = store.objects();
    let log = objects.log(None, head, "", 99, &task()).unwrap();
    assert_eq!((log.commits.len(), log.cut), (3, true));
    assert!(
        objects.contains(&held).unwrap()
            && !objects.contains(&lost).unwrap()
            && !objects.contains(&first).unwrap()
    );
    git(store.path(), &["fsck", "--full"]);
    drop(hold);
    store.tidy(Tidy { packs: 1, ..when }, &task()).unwrap().unwrap();
    assert!(!objects.contains(&held).unwrap());
    // It goes on from there, and back.
    let next = repo.commit(&[("n", "next\n")]);
    assert_eq!(remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit, next);
    remote.fetch(&store, &main_branch(Depth::All), &task()).unwrap();
    assert_eq!(objects.log(None, next, "", 99, &task()).unwrap().commits.len(), 14);
    git(store.path(), &["fsck", "--strict", "--full"]);
}

#[test]
fn fetches_commits_and_tidying_do_not_disturb_each_other() {
    if !has_git("fetches_commits_and_tidying_do_not_disturb_each_other") {
        return;
    }
    let repo = Repo::new();
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), crate::support::store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, remote, done, base) = (&store, &remote, &done, &base);
        let maker = scope.spawn(move || {
            for n in 0..60 {
                let made = store
                    .commit(&change(base.commit, &[("mine", &format!("{n}\n"))]), None)
                    .unwrap()
                    .unwrap();
                let text = store.objects().read_path(made.id(), "mine", 9).unwrap().unwrap();
                assert_eq!(text, format!("{n}\n"));
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let got = remote.fetch(store, &main_branch(Depth::Follow(1)), &task()).unwrap();
                    store.objects().walk(got.commit, "", &task()).unwrap();
                    store.tidy(Tidy { packs: 4, bytes: u64::MAX, commits: Some(3) }, &task()).unwrap();
                }
            });
        }
        for n in 0..6 {
            repo.commit(&[("n", &format!("{n}\n"))]);
        }
        maker.join().unwrap();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    store.objects().walk(base.commit, "", &task()).unwrap();
    git(store.path(), &["fsck", "--full"]);
}
