//! Who is killed at any step goes on to the same end, and so do two at once.

use std::time::Duration;

use kiban_kube::inventory::Inventory;

use crate::front::Death;
use crate::support::{BRANCH, World, app, files};

const BAD: &str = "sim.kiban.dev/crash-loop: 30s";
const SETTINGS: &str = "{ delivery: direct, production: false, watch: 30s }";

/// A good commit and a bad one; the process is killed after its `at`-th write since the bad one. False where
/// there were fewer.
fn is_survived(at: usize) -> bool {
    let world = World::new(SETTINGS);
    world.block_on(async {
        let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let server = world.start_as("first").await;
        world.until("1 is good", || server.is_good(&first, "orders")).await;
        world.front.plan(Some(Death { at, is_done: true }));
        world.commit("2", &files(&app("orders", "r/orders:2", BAD)));
        server.poke();
        let is_over = || {
            let Some(Inventory { held: None, applying: None, verdict: Some(told), revision, .. }) =
                world.inventory("orders")
            else {
                return false;
            };
            let is_back = world.tip().map(|tip| tip.to_string()).as_deref() == Some(revision.commit.as_str());
            is_back && told.verdict == "good" && told.commit == revision.commit && revision.commit != first
        };
        let died = || world.front.writes() >= at;
        world.until("it dies or comes to its end", || died() || is_over()).await;
        let is_dead = died();
        server.kill().await;
        world.front.plan(None);
        let second = world.start_as("second").await;
        world.until("it comes to the same end", is_over).await;
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"), "killed at {at}");
        assert!(world.title().starts_with("orders: back to "), "killed at {at}: {}", world.title());
        assert_eq!(world.read(BRANCH, "orders/env/dev.pin.yaml").as_deref(), Some("image: r/orders:1\n"));
        assert_eq!(world.inventory("orders").unwrap().objects.len(), 2);
        second.stop().await;
        is_dead
    })
}

fn every_other(from: usize) {
    let mut at = from;
    while is_survived(at) {
        at += 2;
        assert!(at < 60, "it comes to an end");
    }
    assert!(at > 8, "there were writes to be killed at");
}

#[test]
fn whoever_is_killed_at_any_step_is_followed_by_one_that_comes_to_the_same_end() {
    every_other(1);
}

#[test]
fn whoever_is_killed_at_any_other_step_is_followed_by_one_that_comes_to_the_same_end() {
    every_other(2);
}

#[test]
fn two_reconcilers_at_once_come_to_the_end_that_one_comes_to() {
    let world = World::new(SETTINGS);
    world.block_on(async {
        let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let (one, two) = (world.start_as("one").await, world.start_as("two").await);
        world
            .until("1 is good for both", || one.is_good(&first, "orders") || two.is_good(&first, "orders"))
            .await;
        world.settle(Duration::from_secs(120)).await;
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        world.commit("2", &files(&app("orders", "r/orders:2", BAD)));
        one.poke();
        two.poke();
        let is_back = || {
            world.title().starts_with("orders: back to ")
                && world.image("orders").as_deref() == Some("r/orders:1")
        };
        world.until("it is taken back", is_back).await;
        world.settle(Duration::from_secs(200)).await;
        let inventory = world.inventory("orders").unwrap();
        assert_eq!((inventory.held, inventory.applying), (None, None));
        assert_eq!(inventory.revision.commit, world.tip().unwrap().to_string());
        assert_eq!(inventory.verdict.unwrap().verdict, "good");
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        one.stop().await;
        two.stop().await;
    });
}
