//! Pushes to a real server.

use kiban_git::{Depth, Push, Pushed};

use crate::support::{Repo, Web, change, git, has_git, main_branch, remote, store, task};

fn main_to(expected: kiban_git::Oid, new: kiban_git::Oid) -> Push {
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
    let ours =
        store.commit(&change(base, &[("orders/env/dev.pin.yaml", "image: x\n")]), None).unwrap().unwrap();
    let theirs =
        store.commit(&change(base, &[("orders/env/dev.pin.yaml", "image: y\n")]), None).unwrap().unwrap();
    assert_eq!(remote.push(&store, &main_to(base, ours), &task()).unwrap(), Pushed::Done);
    assert_eq!(
        remote.push(&store, &main_to(base, theirs), &task()).unwrap(),
        Pushed::Raced { current: Some(ours) }
    );
    assert_eq!(remote.find("refs/heads/main", &task()).unwrap(), Some(ours));
    git(&repo.bare, &["fsck", "--strict", "--full"]);
    assert_eq!(git(&repo.bare, &["show", "main:orders/env/dev.pin.yaml"]), "image: x");
    assert_eq!(
        git(&repo.bare, &["log", "-1", "--format=%an <%ae> %ad %cn|%B", "--date=raw", "main"]),
        "Kiban <kiban@example.com> 1700100000 +0100 Kiban|orders: a new image"
    );
}
