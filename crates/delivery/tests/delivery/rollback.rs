//! What is bad is taken back, on the cluster and in the repository.

use std::time::Duration;

use kiban_delivery::notify::State;
use kiban_delivery::rollout::{Repository, Revert};

use crate::support::{BRANCH, DIRECT, World, app, files};

const BAD: &str = "sim.kiban.dev/crash-loop: 30s";

fn then(state: Option<State>) -> String {
    match state {
        Some(State::Bad { then, .. }) => then,
        other => panic!("it is bad: {other:?}"),
    }
}

#[test]
fn a_bad_commit_is_rolled_back_held_and_reverted_on_its_branch() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let server = world.start().await;
        world.until("1 is good", || server.is_good(&first, "orders")).await;
        let second = world.commit("2", &files(&app("orders", "r/orders:2", BAD)));
        server.poke();
        world.until("2 is bad", || server.state(&second, "orders").is_some_and(|s| s.is_bad())).await;
        let short: String = first.chars().take(12).collect();
        let then = then(server.state(&second, "orders"));
        assert!(
            then.starts_with(&format!("rolled back to {short}; its change was taken back by ")),
            "{then}"
        );
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        let held = world.inventory("orders").unwrap();
        assert_eq!(held.held.as_ref().unwrap().bad.commit, second);
        assert_eq!(held.verdict.as_ref().unwrap().verdict, "bad");
        assert_eq!(held.revision.commit, first);
        // The revert asks for what was good, and releases the hold.
        assert_eq!(world.title(), format!("orders: back to {short} in dev"));
        assert_eq!(world.read(BRANCH, "orders/env/dev.pin.yaml").as_deref(), Some("image: r/orders:1\n"));
        let third = world.tip().unwrap().to_string();
        server.poke();
        world.until("the revert is good", || server.is_good(&third, "orders")).await;
        let after = world.inventory("orders").unwrap();
        assert_eq!((after.held, after.revision.commit), (None, third));
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        server.stop().await;
    });
}

#[test]
fn with_review_the_revert_is_proposed_and_the_next_commit_releases_the_hold() {
    let world = World::new("{ delivery: review, production: false, watch: 1m }");
    world.block_on(async {
        let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let server = world.start().await;
        world.until("1 is good", || server.is_good(&first, "orders")).await;
        let second = world.commit("2", &files(&app("orders", "r/orders:2", BAD)));
        server.poke();
        world.until("2 is bad", || server.state(&second, "orders").is_some_and(|s| s.is_bad())).await;
        let then = then(server.state(&second, "orders"));
        assert!(then.contains("on branch kiban/revert/dev/orders takes its change back: merge it"), "{then}");
        assert_eq!(world.tip().unwrap().to_string(), second);
        assert_eq!(world.branches(), ["kiban/revert/dev/orders", BRANCH]);
        let pin = world.read("kiban/revert/dev/orders", "orders/env/dev.pin.yaml");
        assert_eq!(pin.as_deref(), Some("image: r/orders:1\n"));
        // It stays held, over a start and over commits of others.
        server.stop().await;
        let server = world.start().await;
        let other = world.commit("words", &[("README.md", "about")]);
        server.poke();
        world.settle(Duration::from_secs(300)).await;
        assert_eq!(server.state(&other, "orders"), None);
        assert_eq!(server.metric(r#"kiban_delivery_apps{env="dev",state="held"}"#).as_deref(), Some("1"));
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        let fixed = world.commit("3", &files(&app("orders", "r/orders:3", "")));
        server.poke();
        world.until("3 is good", || server.is_good(&fixed, "orders")).await;
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:3"));
        assert_eq!(world.inventory("orders").unwrap().held, None);
        server.stop().await;
    });
}

#[test]
fn nothing_goes_back_past_a_migration_that_is_not_declared_reversible() {
    for (is_reversible, image) in [(false, "r/orders:2"), (true, "r/orders:1")] {
        let world = World::new(DIRECT);
        world.block_on(async {
            let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
            let server = world.start().await;
            world.until("1 is good", || server.is_good(&first, "orders")).await;
            let mut second = app("orders", "r/orders:2", BAD);
            let reversible = if is_reversible { ", kiban.dev/reversible: 'true'" } else { "" };
            second.push((
                "rendered/dev/orders/job-migrate.yaml".into(),
                format!(
                    "apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: migrate, annotations: {{ kiban.dev/migration: 'true'{reversible} }} }}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{{ name: m, image: r/orders:2, command: [migrate] }}]\n"
                ),
            ));
            let second = world.commit("2", &files(&second));
            server.poke();
            world.until("2 is bad", || server.state(&second, "orders").is_some_and(|s| s.is_bad())).await;
            let then = then(server.state(&second, "orders"));
            assert_eq!(world.image("orders").as_deref(), Some(image), "{then}");
            assert_eq!(then.contains("the migration migrate ran and is not declared reversible"), !is_reversible, "{then}");
            server.stop().await;
        });
    }
}

#[test]
fn a_pin_that_somebody_changed_since_and_files_of_all_environments_are_not_reverted() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let good = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let bad = world.commit("2", &files(&app("orders", "r/orders:2", "")));
        world.commit("3", &files(&app("orders", "r/orders:3", "")));
        let environment = world.environment();
        let why = environment
            .revert(Revert { app: "orders", bad: &bad, good: &good, cause: "x" })
            .await
            .unwrap_err();
        assert!(why.contains("is no longer what was found bad"), "{why}");
        assert_eq!(world.title(), "3");
        let wide = world.commit(
            "4",
            &[(
                "orders/app.yaml",
                "apiVersion: kiban.dev/v1\nkind: App\nname: orders\nteam: checkout\ntier: 1\n",
            )],
        );
        let third = world.commit("5", &[("README.md", "x")]);
        let why = environment
            .revert(Revert { app: "orders", bad: &third, good: &good, cause: "x" })
            .await
            .unwrap_err();
        assert!(why.contains("orders/app.yaml changed with it, which others share too"), "{why}");
        assert_ne!(wide, third);
    });
}

#[test]
fn a_rewritten_history_is_not_applied_over_the_one_that_is() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let base = world.tip();
        let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let server = world.start().await;
        world.until("1 is good", || server.is_good(&first, "orders")).await;
        let other =
            app("orders", "r/orders:2", "").into_iter().map(|(path, text)| (path, Some(text))).collect();
        let rewritten = world.commit_on(base, "another history", &other);
        server.poke();
        world.until("it failed", || server.state(&rewritten, "orders").is_some_and(|s| s.is_final())).await;
        let Some(State::Failed { why }) = server.state(&rewritten, "orders") else { panic!("it failed") };
        assert!(why.contains("is of another history than"), "{why}");
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        server.stop().await;
    });
}
