//! A git remote without pull requests: commits, races, ranges; and what it cannot do.

use std::path::Path;
use std::process::Command;

use kiban_delivery::forge::{Forge, ForgeError, Kind, Made, Plain, Proposal, Relation, Repo};
use kiban_delivery::source::Source;

use super::{change, oid};

fn git(program: &Path, folder: &Path, arguments: &[&str]) -> String {
    let names = ["-c", "user.name=Ann", "-c", "user.email=ann@shop.example"];
    let done = Command::new(program).arg("-C").arg(folder).args(names).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_plain_remote_takes_commits_only_onto_the_head_that_is_expected() {
    let Some(program) = kiban_testkit::tool("a_plain_remote_takes_commits", "git") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (work, bare) = (folder.path().join("work"), folder.path().join("bare.git"));
    std::fs::create_dir(&work).unwrap();
    git(&program, &work, &["init", "-q", "-b", "main"]);
    std::fs::create_dir(work.join("orders")).unwrap();
    std::fs::write(work.join("orders/app.yaml"), "app").unwrap();
    git(&program, &work, &["add", "."]);
    git(&program, &work, &["commit", "-q", "-m", "first"]);
    git(&program, folder.path(), &["clone", "-q", "--bare", "work", "bare.git"]);
    let first = oid(&git(&program, &work, &["rev-parse", "HEAD"]));

    let forge = Plain::new(Source::local(&bare).unwrap());
    let repo = Repo::new("shop/manifests").unwrap();
    assert_eq!(forge.default_branch(&repo).await.unwrap(), "main");
    let made = forge.commit(&repo, &change("main", first, Some(first), "2")).await.unwrap();
    let Made::Commit { id, clean: true } = made else { panic!("{made:?}") };
    assert_eq!(git(&program, &bare, &["rev-parse", "main"]), id.to_string());
    let tip = forge.tip(&repo, "main").await.unwrap().unwrap();
    assert_eq!((tip.id, tip.author.email.as_str()), (id, "kiban@shop.example"));
    let raced = forge.commit(&repo, &change("main", first, Some(first), "3")).await.unwrap();
    assert_eq!(raced, Made::Raced { current: Some(id) });
    let pin = forge.file(&repo, "orders/env/prod.pin.yaml", &id.to_string()).await.unwrap();
    assert_eq!(pin.as_deref(), Some(&b"2"[..]));

    let range = forge.range(&repo, &first.to_string(), &id.to_string()).await.unwrap();
    assert_eq!((range.relation, range.commits.len()), (Relation::After, 1));
    assert_eq!(range.commits[0].subject, "orders: 2.0 for prod");
    let back = forge.range(&repo, &id.to_string(), &first.to_string()).await.unwrap();
    assert_eq!((back.relation, back.commits.len()), (Relation::Before, 0));
    let unknown = forge.range(&repo, "no commit", &first.to_string()).await.unwrap();
    assert_eq!(unknown.relation, Relation::Unknown);

    let branch = forge.commit(&repo, &change("kiban/prod", id, None, "4")).await.unwrap();
    assert!(matches!(branch, Made::Commit { clean: true, .. }), "{branch:?}");
    forge.remove_branch(&repo, "kiban/prod").await.unwrap();
    assert_eq!(forge.tip(&repo, "kiban/prod").await.unwrap(), None);
    assert_eq!(forge.pull(&repo, "kiban/prod").await.unwrap(), None);
    let error = forge.open(&repo, &Proposal::default()).await.unwrap_err();
    assert!(matches!(error, ForgeError::Cannot { kind: Kind::Plain, .. }));
    assert_eq!(error.to_string(), "a plain git remote cannot open a pull request");
}
