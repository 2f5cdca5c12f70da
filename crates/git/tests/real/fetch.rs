//! Fetches from a real server.

use kiban_git::{Ancestry, Depth, Mode};

use crate::support::{Repo, Web, git, has_git, main_branch, remote, store, task};

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
