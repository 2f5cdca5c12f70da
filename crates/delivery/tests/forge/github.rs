//! GitHub: commits conditional on the head, pull requests, comments, approvals, ranges.

use http::Method;
use kiban_delivery::forge::fake::{Said, Trouble};
use kiban_delivery::forge::{Forge, ForgeError, Made, Merge, Proposal, Relation, Repo, Standing, Status};
use serde_json::json;

use super::{World, change, count, oid, world};

const BRANCH: &str = "kiban/prod/orders";

fn proposal(title: &str) -> Proposal {
    Proposal {
        head: BRANCH.into(),
        base: "main".into(),
        title: title.into(),
        body: "<!-- kiban: orders prod -->\nchanges".into(),
        labels: vec!["kiban".into()],
    }
}

async fn made(world: &World, change: &kiban_delivery::source::Change) -> kiban_git::Oid {
    match world.forge.commit(&world.repo, change).await.unwrap() {
        Made::Commit { id, clean: true } => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_goes_straight_to_its_branch_with_all_its_files() {
    let world = world();
    let mut change = change("main", world.first, Some(world.first), "digest: 2");
    let large = "x".repeat(300 << 10);
    change.edits.insert("rendered/prod/old.yaml".into(), None);
    change.edits.insert("rendered/prod/large.yaml".into(), Some(large.clone().into_bytes()));
    change.edits.insert("logo".into(), Some(vec![0, 255, 1]));
    let id = made(&world, &change).await;
    let state = world.fake.state();
    let repository = &state.repositories["shop/manifests"];
    assert_eq!(repository.branches["main"], id.to_string());
    let commit = &repository.commits[&id.to_string()];
    let paths: Vec<&str> = commit.files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["logo", "orders/app.yaml", "orders/env/prod.pin.yaml", "rendered/prod/large.yaml"]);
    assert_eq!(commit.files["logo"], [0, 255, 1]);
    assert_eq!(commit.files["rendered/prod/large.yaml"], large.as_bytes());
    assert_eq!(commit.author, ("Kiban".to_owned(), "kiban@shop.example".to_owned()));
    assert_eq!(commit.parents, [world.first.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_makes_no_commit() {
    let world = world();
    let mut change = change("main", world.first, Some(world.first), "x");
    change.edits = [("orders/app.yaml".to_owned(), Some(b"app".to_vec()))].into();
    assert_eq!(world.forge.commit(&world.repo, &change).await.unwrap(), Made::Nothing);
    assert_eq!(count(&world.line, &Method::POST, "/git/commits"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_second_changes_nothing_and_is_told_who_was_first() {
    let world = world();
    let other =
        world.fake.push("shop/manifests", "main", &[("a", "b")], "other", "bob@shop.example").unwrap();
    let raced = world.forge.commit(&world.repo, &change("main", world.first, Some(world.first), "2")).await;
    assert_eq!(raced.unwrap(), Made::Raced { current: Some(oid(&other)) });
    assert_eq!(world.fake.state().repositories["shop/manifests"].branches["main"], other);

    // A branch that should be new and is there.
    made(&world, &change(BRANCH, world.first, None, "1")).await;
    let raced = world.forge.commit(&world.repo, &change(BRANCH, oid(&other), None, "2")).await.unwrap();
    assert!(matches!(raced, Made::Raced { current: Some(_) }), "{raced:?}");
}

#[tokio::test(start_paused = true)]
async fn a_branch_is_replaced_only_from_the_head_that_is_expected() {
    let world = world();
    let mine = made(&world, &change(BRANCH, world.first, None, "1")).await;
    let base = world.fake.push("shop/manifests", "main", &[("a", "b")], "other", "bob@shop.example").unwrap();
    let newer = made(&world, &change(BRANCH, oid(&base), Some(mine), "2")).await;
    let branches = |world: &World| world.fake.state().repositories["shop/manifests"].branches[BRANCH].clone();
    assert_eq!(branches(&world), newer.to_string());

    let theirs =
        world.fake.push("shop/manifests", BRANCH, &[("c", "d")], "by hand", "bob@shop.example").unwrap();
    let raced = world.forge.commit(&world.repo, &change(BRANCH, oid(&base), Some(newer), "3")).await.unwrap();
    // Not a fast forward from what is made upon the same head.
    assert_eq!(raced, Made::Raced { current: Some(oid(&theirs)) });
    assert_eq!(branches(&world), theirs);
    let range = world.forge.range(&world.repo, "main", BRANCH).await.unwrap();
    assert_eq!(range.foreign("kiban@shop.example").unwrap().author.email, "bob@shop.example");
    let tip = world.forge.tip(&world.repo, BRANCH).await.unwrap().unwrap();
    assert_eq!((tip.author.email.as_str(), tip.subject.as_str()), ("bob@shop.example", "by hand"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice() {
    let world = world();
    for (method, path) in [
        (Method::POST, "/git/trees"),
        (Method::POST, "/git/commits"),
        (Method::PATCH, "/git/refs/heads/main"),
    ] {
        let head = world.forge.tip(&world.repo, "main").await.unwrap().unwrap().id;
        world.line.trouble(method, path, 1, Trouble::Lose);
        let id = made(&world, &change("main", head, Some(head), path)).await;
        assert_eq!(world.forge.tip(&world.repo, "main").await.unwrap().unwrap().id, id);
    }
    world.line.trouble(Method::POST, "/git/refs", 1, Trouble::Lose);
    let mine = made(&world, &change(BRANCH, world.first, None, "1")).await;
    let other =
        world.fake.push("shop/manifests", "main", &[("a", "b")], "other", "bob@shop.example").unwrap();
    world.line.trouble(Method::POST, "/graphql", 1, Trouble::Lose);
    let newer = made(&world, &change(BRANCH, oid(&other), Some(mine), "2")).await;
    assert_ne!(newer, mine);

    world.line.trouble(Method::POST, "/pulls", 1, Trouble::Lose);
    let pull = world.forge.open(&world.repo, &proposal("one")).await.unwrap();
    assert_eq!(world.fake.state().repositories["shop/manifests"].pulls.len(), 1);
    world.line.trouble(Method::POST, "/comments", 1, Trouble::Lose);
    world.forge.comment(&world.repo, pull.number, "<!-- dry run -->", "fine").await.unwrap();
    assert_eq!(
        world.fake.state().repositories["shop/manifests"].pull(pull.number).unwrap().comments.len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn there_is_one_pull_request_a_branch_and_it_is_brought_up_to_date() {
    let world = world();
    made(&world, &change(BRANCH, world.first, None, "1")).await;
    assert_eq!(world.forge.pull(&world.repo, BRANCH).await.unwrap(), None);
    let pull = world.forge.open(&world.repo, &proposal("orders 1")).await.unwrap();
    let again = world.forge.open(&world.repo, &proposal("orders 2")).await.unwrap();
    assert_eq!(pull.number, again.number);
    let found = world.forge.pull(&world.repo, BRANCH).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), found.labels), ("orders 2", vec!["kiban".to_owned()]));
    assert!(found.body.contains("<!-- kiban: orders prod -->"));
    world.forge.close(&world.repo, pull.number).await.unwrap();
    assert_eq!(world.forge.pull(&world.repo, BRANCH).await.unwrap(), None);
    world.forge.remove_branch(&world.repo, BRANCH).await.unwrap();
    world.forge.remove_branch(&world.repo, BRANCH).await.unwrap();
    assert_eq!(world.forge.tip(&world.repo, BRANCH).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn one_comment_is_edited_in_place_however_many_others_there_are() {
    let world = world();
    made(&world, &change(BRANCH, world.first, None, "1")).await;
    let pull = world.forge.open(&world.repo, &proposal("orders")).await.unwrap();
    {
        let mut state = world.fake.state();
        let repository = state.repositories.get_mut("shop/manifests").unwrap();
        repository.pulls[0].comments = (1_000..1_150).map(|id| (id, "people talk".to_owned())).collect();
    }
    for body in ["first", "second", "second", "ä".repeat(70_000).as_str()] {
        world.forge.comment(&world.repo, pull.number, "<!-- dry run -->", body).await.unwrap();
    }
    let state = world.fake.state();
    let comments = &state.repositories["shop/manifests"].pulls[0].comments;
    assert_eq!(comments.len(), 151);
    let mine = &comments[150].1;
    assert!(mine.starts_with("<!-- dry run -->\nä") && mine.ends_with("too long for this page)"));
    assert!(mine.chars().count() <= 65_000);
    drop(state);
    assert_eq!(count(&world.line, &Method::POST, "/comments"), 1);
    let edits = world
        .line
        .heard()
        .iter()
        .filter(|h| h.method == Method::PATCH && h.path.contains("/issues/comments/"))
        .count();
    assert_eq!(edits, 2, "what says the same already is not said again");
}

#[tokio::test(start_paused = true)]
async fn approvals_are_dropped_and_a_pull_request_merges_by_itself() {
    let world = world();
    made(&world, &change(BRANCH, world.first, None, "1")).await;
    let pull = world.forge.open(&world.repo, &proposal("orders")).await.unwrap();
    let reviews = [(1, "APPROVED"), (2, "COMMENTED"), (3, "APPROVED"), (4, "CHANGES_REQUESTED")];
    {
        let mut state = world.fake.state();
        state.checks = true;
        let row = |(id, state): &(u64, &str)| (*id, (*state).to_owned());
        state.repositories.get_mut("shop/manifests").unwrap().pulls[0].reviews =
            reviews.iter().map(row).collect();
    }
    let dropped = world.forge.drop_approvals(&world.repo, pull.number, "it proposes another image now").await;
    assert_eq!(dropped.unwrap(), 2);
    world.forge.auto_merge(&world.repo, &pull, Merge::Squash).await.unwrap();
    let state = |world: &World| world.fake.state().repositories["shop/manifests"].pulls[0].clone();
    assert_eq!(state(&world).auto_merge.as_deref(), Some("SQUASH"));
    let left: Vec<String> = state(&world).reviews.into_iter().map(|(_, state)| state).collect();
    assert_eq!(left, ["DISMISSED", "COMMENTED", "DISMISSED", "CHANGES_REQUESTED"]);

    // Where nothing is waited for it is merged at once.
    world.fake.state().checks = false;
    world.forge.auto_merge(&world.repo, &pull, Merge::Merge).await.unwrap();
    assert!(state(&world).merged);
}

#[tokio::test(start_paused = true)]
async fn a_range_names_the_pull_requests_that_its_commits_came_by() {
    let world = world();
    let shop = Repo::new("shop/orders").unwrap();
    let start = world.fake.repository("shop/orders", &[("main.rs", "1")]);
    let mut last = start.clone();
    for number in 1..=3 {
        let branch = format!("work-{number}");
        world
            .fake
            .state()
            .repositories
            .get_mut("shop/orders")
            .unwrap()
            .branches
            .insert(branch.clone(), last.clone());
        world.fake.push("shop/orders", &branch, &[("main.rs", &branch)], "work", "ann@shop.example").unwrap();
        let proposal = Proposal {
            head: branch,
            base: "main".into(),
            title: format!("Fix @bob #{number}"),
            ..Proposal::default()
        };
        let pull = world.forge.open(&shop, &proposal).await.unwrap();
        last = world.fake.merge("shop/orders", pull.number).unwrap();
    }
    let range = world.forge.range(&shop, &start, &last).await.unwrap();
    assert_eq!((range.relation, range.commits.len(), range.more), (Relation::After, 3, false));
    let titles: Vec<&str> = range.pulls().into_iter().map(|pull| pull.title.as_str()).collect();
    assert_eq!(titles, ["Fix @bob #1", "Fix @bob #2", "Fix @bob #3"]);
    assert_eq!(world.forge.range(&shop, &last, &start).await.unwrap().relation, Relation::Before);
    assert_eq!(world.forge.range(&shop, &last, &last).await.unwrap().relation, Relation::Same);
    let unknown = world.forge.range(&shop, "0000000000000000000000000000000000000000", &last).await.unwrap();
    assert_eq!((unknown.relation, unknown.commits.len()), (Relation::Unknown, 0));
}

#[tokio::test(start_paused = true)]
async fn files_statuses_and_the_default_branch_are_read_and_set() {
    let world = world();
    let first = world.first.to_string();
    let file = |path: &'static str| world.forge.file(&world.repo, path, &first);
    assert_eq!(file("orders/app.yaml").await.unwrap().as_deref(), Some(&b"app"[..]));
    assert_eq!(file("orders/none.yaml").await.unwrap(), None);
    let folder = file("orders").await.unwrap_err();
    assert_eq!(
        folder.to_string(),
        format!("read orders of shop/manifests at {first}: refused: it is no file")
    );
    assert_eq!(world.forge.default_branch(&world.repo).await.unwrap(), "main");
    let status = Status {
        context: "kiban/prod".into(),
        standing: Standing::Failure,
        description: "d".repeat(200),
        link: "https://kiban.example/x".into(),
    };
    world.forge.status(&world.repo, &first, &status).await.unwrap();
    let state = world.fake.state();
    let set = &state.repositories["shop/manifests"].statuses[&first][0];
    assert_eq!(set["state"], "failure");
    assert_eq!(set["description"].as_str().unwrap().chars().count(), 140);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_who_and_why_and_never_the_token() {
    let world = world();
    let said = |status: u16, body: serde_json::Value| Trouble::Say(Said::json(status, &body));
    let message = "Resource not accessible by personal access token";
    world.line.trouble(Method::GET, "/shop/manifests", 1, said(403, json!({"message": message})));
    let error = world.forge.default_branch(&world.repo).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "look at the repository shop/manifests: http://github.example does not allow it: {message} (what the token may do: it does not say)"
        )
    );
    world.line.trouble(Method::GET, "/shop/manifests", 1, said(401, json!({"message": "Bad credentials"})));
    let error = world.forge.default_branch(&world.repo).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Token { .. }) && !error.is_passing(), "{error}");
    let missing = world.forge.default_branch(&Repo::new("shop/none").unwrap()).await.unwrap_err();
    assert!(matches!(missing, ForgeError::Missing { .. }), "{missing}");
    world.line.trouble(Method::GET, "/shop/manifests", 1, said(200, json!({"node_id": 1})));
    let error = world.forge.default_branch(&world.repo).await.unwrap_err().to_string();
    assert!(
        error.starts_with("look at the repository shop/manifests: the answer cannot be read: "),
        "{error}"
    );
    let proposal = Proposal { head: "none".into(), base: "main".into(), ..Proposal::default() };
    let error = world.forge.open(&world.repo, &proposal).await.unwrap_err().to_string();
    assert!(
        error.contains("refused: Validation Failed; ") && error.contains("\"field\":\"head\""),
        "{error}"
    );
    for heard in world.line.heard() {
        assert!(!heard.path.contains(super::TOKEN) && !format!("{:?}", heard.query).contains(super::TOKEN));
    }
}
