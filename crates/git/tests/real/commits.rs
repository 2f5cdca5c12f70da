//! Commits made here are what git makes of the same, byte for byte; and git finds their signatures good.

use kiban_git::{Depth, Edit, Error, Mode, NewCommit, Push, Pushed, SshKey, Who};

use crate::support::{
    Repo, Web, change, git, git_command, has_git, id, main_branch, remote, skip, store, task, who,
};

#[test]
fn the_same_input_gives_the_id_that_git_gives() {
    if !has_git("the_same_input_gives_the_id_that_git_gives") {
        return;
    }
    let repo = Repo::new();
    // Names whose order depends on what is a folder.
    let files = [
        ("a.b", "1\n"),
        ("a/b", "2\n"),
        ("a-b", "3\n"),
        ("a0", "4\n"),
        ("ä/ö.yaml", "5\n"),
        ("platform.yaml", ""),
        ("rendered/dev/orders/a.yaml", ""),
    ];
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let ours = store.commit(&change(base, &files), None).unwrap().unwrap().id();
    assert_eq!(
        store.commit(&change(base, &files), None).unwrap().map(|made| made.id()),
        Some(ours),
        "again the same"
    );
    for (path, text) in files {
        let path = repo.work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if text.is_empty() {
            std::fs::remove_file(path).unwrap()
        } else {
            std::fs::write(path, text).unwrap()
        }
    }
    git(&repo.work, &["add", "-A"]);
    let mut command = git_command(&repo.work);
    for name in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{name}_NAME"), "Kiban")
            .env(format!("GIT_{name}_EMAIL"), "kiban@example.com");
        command.env(format!("GIT_{name}_DATE"), "1700100000 +0100");
    }
    assert!(command.args(["commit", "-qm", "orders: a new image"]).status().unwrap().success());
    assert_eq!(repo.head(), ours);
}

#[test]
fn edits_that_change_nothing_make_no_commit() {
    let store = store();
    let first = NewCommit { base: None, ..change(id(&"0".repeat(40)), &[("a", "1\n"), ("b/c", "2\n")]) };
    let base = store.commit(&first, None).unwrap().unwrap().id();
    assert!(store.commit(&change(base, &[("a", "1\n"), ("b/c", "2\n")]), None).unwrap().is_none());
    assert!(store.commit(&change(base, &[("gone", ""), ("a/below/a/file", "")]), None).unwrap().is_none());
    assert!(store.commit(&change(base, &[]), None).unwrap().is_none());
    // A folder goes with its last file.
    let next = store.commit(&change(base, &[("b/c", "")]), None).unwrap().unwrap().id();
    let left: Vec<String> =
        store.objects().walk(next, "", &task()).unwrap().into_iter().map(|e| e.path).collect();
    assert_eq!(left, ["a"]);
    let empty = store.commit(&change(next, &[("a", "")]), None).unwrap().unwrap().id();
    assert_eq!(store.objects().commit(empty).unwrap().tree, id("4b825dc642cb6eb9a060e54bf8d69288fbee4904"));
}

#[test]
fn modes_stay_and_links_are_not_written_through() {
    if !has_git("modes_stay_and_links_are_not_written_through") {
        return;
    }
    let repo = Repo::new();
    std::os::unix::fs::symlink("orders", repo.work.join("link")).unwrap();
    std::fs::write(repo.work.join("run.sh"), "#!/bin/sh\n").unwrap();
    git(&repo.work, &["add", "-A"]);
    git(&repo.work, &["update-index", "--chmod=+x", "run.sh"]);
    let commit = repo.head().to_string();
    git(&repo.work, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},sub")]);
    git(&repo.work, &["commit", "-qm", "odd things"]);
    git(&repo.work, &["push", "-q", "origin", "HEAD:main"]);
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let new = store
        .commit(&change(base, &[("run.sh", "#!/bin/sh\ntrue\n"), ("x", "1\n")]), None)
        .unwrap()
        .unwrap()
        .id();
    let mode = |path: &str| store.objects().entry(new, path).unwrap().unwrap().mode;
    assert_eq!(
        (mode("run.sh"), mode("x"), mode("link"), mode("sub")),
        (Mode::Executable, Mode::File, Mode::Symlink, Mode::Submodule)
    );
    let table = [
        ("link", "link: is a symbolic link, and links are not written through"),
        ("link/app.yaml", "link: is a symbolic link, and links are not written through"),
        ("sub/x", "sub: is a submodule"),
        ("orders", "orders: is a folder, where a file is to be written"),
        ("platform.yaml/x", "platform.yaml: is a file, where a folder is needed"),
        ("../x", "../x: a path holds no . and no .. as a part"),
        ("/etc/passwd", "a part of the path is empty"),
        ("a//b", "a part of the path is empty"),
        (".git/config", ".git/config: a part is .git"),
        ("a/.GIT/config", "a part is .git"),
        ("git~1/config", "a part is .git"),
        (".g\u{200c}it/config", "a part is .git"),
        ("a\\b", "holds a backslash"),
        ("a\0b", "a path holds no NUL"),
    ];
    for (path, words) in table {
        let why = store.commit(&change(base, &[(path, "1\n")]), None).unwrap_err();
        assert!(matches!(why, Error::Path { .. }) && why.to_string().contains(words), "{path:?}: {why}");
    }
    // A link can be removed, and a file put there by the next commit.
    let gone = store.commit(&change(base, &[("link", "")]), None).unwrap().unwrap().id();
    assert_eq!(store.objects().entry(gone, "link").unwrap(), None);
    let both = NewCommit {
        edits: [("a".to_owned(), Edit::Write("1".into())), ("a/b".to_owned(), Edit::Write("2".into()))]
            .into(),
        ..change(base, &[])
    };
    assert!(store.commit(&both, None).unwrap_err().to_string().contains("a folder"));
}

#[test]
fn names_and_messages_that_would_break_the_commit_are_refused() {
    let store = store();
    let new = NewCommit { base: None, ..change(id(&"0".repeat(40)), &[("a", "1\n")]) };
    let with = |name: &str, email: &str| Who { name: name.to_owned(), email: email.to_owned(), ..who() };
    let bad = [
        with("", "a@b"),
        with("a", ""),
        with("a\nparent x", "a@b"),
        with("a <x>", "a@b"),
        with("a", "a@b>\n"),
        Who { offset: 5000, ..who() },
    ];
    for author in bad {
        assert!(store.commit(&NewCommit { author, ..new.clone() }, None).is_err());
    }
    for message in ["", " \n", "a\0b"] {
        assert!(store.commit(&NewCommit { message: message.to_owned(), ..new.clone() }, None).is_err());
    }
    let odd = NewCommit {
        author: Who { seconds: -5, offset: -90, ..who() },
        message: "title\n\n  body\n".to_owned(),
        ..new
    };
    let id = store.commit(&odd, None).unwrap().unwrap().id();
    let read = store.objects().commit(id).unwrap();
    assert_eq!(
        (&read.author, read.message.as_str(), read.title(), read.signed),
        (&odd.author, "title\n\n  body\n", "title", false)
    );
}

#[test]
fn git_finds_the_signature_good_and_a_changed_commit_bad() {
    let name = "git_finds_the_signature_good_and_a_changed_commit_bad";
    if !has_git(name) {
        return;
    }
    let repo = Repo::new();
    let key = repo.root.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f"])
        .arg(&key)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return skip(name, "no ssh-keygen on this machine");
    }
    let signer = SshKey::load(&key).unwrap();
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    assert_eq!(format!("{} ci\n", signer.public()), public);
    assert!(format!("{signer:?}").starts_with("SshKey(ssh-ed25519 "));
    let web = Web::new(repo.root.path());
    let (remote, store) = (remote(&web, None), store());
    let base = remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap().commit;
    let new = store.commit(&change(base, &[("a", "1\n")]), Some(&signer)).unwrap().unwrap().id();
    assert!(store.objects().commit(new).unwrap().signed);
    let push = Push { name: "refs/heads/main".to_owned(), expected: Some(base), new: Some(new) };
    assert_eq!(remote.push(&store, &push, &task()).unwrap(), Pushed::Done);
    git(&repo.bare, &["fsck", "--strict", "--full"]);
    let allowed = repo.root.path().join("allowed");
    std::fs::write(&allowed, format!("kiban@example.com {public}")).unwrap();
    git(&repo.bare, &["config", "gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()]);
    git(&repo.bare, &["config", "gpg.format", "ssh"]);
    git(&repo.bare, &["verify-commit", &new.to_string()]);
    assert_eq!(git(&repo.bare, &["log", "-1", "--format=%G? %GS", "main"]), "G kiban@example.com");

    let raw = git(&repo.bare, &["cat-file", "commit", &new.to_string()]);
    let forged = repo.root.path().join("forged");
    std::fs::write(&forged, raw.replace("a new image", "another image") + "\n").unwrap();
    let forged = git(&repo.bare, &["hash-object", "-t", "commit", "-w", forged.to_str().unwrap()]);
    assert_eq!(git(&repo.bare, &["log", "-1", "--format=%G?", &forged]), "B");
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let name = "keys_that_cannot_be_used_say_why";
    let folder = tempfile::tempdir().unwrap();
    let make = |file: &str, arguments: &[&str]| {
        let path = folder.path().join(file);
        let made =
            std::process::Command::new("ssh-keygen").arg("-q").args(arguments).arg("-f").arg(&path).status();
        made.is_ok_and(|status| status.success()).then_some(path)
    };
    let (Some(locked), Some(other)) =
        (make("a", &["-t", "ed25519", "-N", "secret"]), make("b", &["-t", "ecdsa", "-N", ""]))
    else {
        return skip(name, "no ssh-keygen on this machine");
    };
    assert!(SshKey::load(&locked).unwrap_err().to_string().contains("locked with a passphrase"));
    assert!(SshKey::load(&other).unwrap_err().to_string().contains("of another kind than ed25519"));
    assert!(
        SshKey::load(&locked.with_extension("pub"))
            .unwrap_err()
            .to_string()
            .contains("no private key in OpenSSH's format")
    );
    assert!(SshKey::load(&folder.path().join("none")).unwrap_err().to_string().contains("cannot open"));
    // Every byte that is changed or missing is found, or does not matter.
    let good = make("c", &["-t", "ed25519", "-N", ""]).unwrap();
    let text = std::fs::read(good).unwrap();
    for at in 0..text.len() {
        let _ = SshKey::read(&text[..at]);
        let mut bad = text.clone();
        bad[at] ^= 1;
        let _ = SshKey::read(&bad);
    }
}
