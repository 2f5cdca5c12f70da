//! What a rollout is found to be, and in which words.

use std::time::Duration;

use kiban_delivery::notify::State;
use serde_json::json;

use crate::support::{DIRECT, NAMESPACE, World, app, files};

/// Rolls a first commit out to its end.
fn end_of(more: &str) -> State {
    let world = World::new(DIRECT);
    world.block_on(async {
        let commit = world.commit("orders", &files(&app("orders", "r/orders:1", more)));
        let server = world.start().await;
        let ended = || server.state(&commit, "orders").filter(State::is_final);
        world.until("a verdict", || ended().is_some()).await;
        let state = ended().unwrap();
        server.stop().await;
        state
    })
}

#[test]
fn a_bad_rollout_is_told_by_its_cause() {
    for (more, words, has_lines) in [
        ("sim.kiban.dev/crash-loop: 30s", vec!["deployment.apps/orders", "pod/orders-", "exit code 1"], true),
        ("sim.kiban.dev/oom-after: 20s", vec!["pod/orders-", "memory"], true),
        ("sim.kiban.dev/image-missing: 'true'", vec!["pod/orders-", "r/orders:1"], false),
        ("sim.kiban.dev/unready: 'true'", vec!["pod/orders-", "Readiness probe failed"], true),
    ] {
        let end = end_of(more);
        let State::Bad { faults, lines, then } = end else { panic!("{more}: {end:?}") };
        let text = faults.join("; ");
        assert!(words.iter().all(|word| text.contains(word)), "{more}: {text}");
        assert_eq!(!lines.is_empty(), has_lines, "{more}: {lines:?}");
        assert_eq!(then, "left as it is: no earlier commit is known to be good", "{more}");
    }
}

#[test]
fn what_is_slow_to_start_is_not_bad() {
    assert_eq!(end_of("sim.kiban.dev/slow-start: 240s"), State::Good);
    assert_eq!(end_of("sim.kiban.dev/image-missing: 120s"), State::Good);
}

#[test]
fn pods_that_are_taken_away_during_the_watch_are_no_fault_of_the_rollout() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let commit = world.commit("orders", &files(&app("orders", "r/orders:1", "")));
        let server = world.start().await;
        let is_watched = || matches!(server.state(&commit, "orders"), Some(State::Watching { .. }));
        world.until("it is watched", is_watched).await;
        let pod = world.objects(("", "Pod"), NAMESPACE).remove(0);
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        world.delete(("", "Pod"), &name);
        world.until("a verdict", || server.state(&commit, "orders").is_some_and(|s| s.is_final())).await;
        assert_eq!(server.state(&commit, "orders"), Some(State::Good));
        server.stop().await;
    });
}

#[test]
fn a_pod_that_is_no_longer_ready_while_it_is_watched_makes_the_rollout_bad() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let commit = world.commit("orders", &files(&app("orders", "r/orders:1", "")));
        let server = world.start().await;
        let is_watched = || matches!(server.state(&commit, "orders"), Some(State::Watching { .. }));
        world.until("it is watched", is_watched).await;
        let pod = world.objects(("", "Pod"), NAMESPACE).remove(0);
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        world.change(("", "Pod"), &name, |pod| {
            pod["metadata"]["annotations"]["sim.kiban.dev/unready"] = json!("true");
        });
        world.until("a verdict", || server.state(&commit, "orders").is_some_and(|s| s.is_final())).await;
        let Some(State::Bad { faults, .. }) = server.state(&commit, "orders") else { panic!("it is bad") };
        assert!(faults[0].contains("1 of 2 pods ready") || faults[0].contains("Readiness"), "{faults:?}");
        server.stop().await;
    });
}

#[test]
fn a_bad_rollout_that_is_left_is_not_judged_again() {
    let world = World::new("{ delivery: direct, production: false, rollback: false }");
    world.block_on(async {
        let commit =
            world.commit("orders", &files(&app("orders", "r/orders:1", "sim.kiban.dev/crash-loop: 30s")));
        let server = world.start().await;
        world.until("a verdict", || server.state(&commit, "orders").is_some_and(|s| s.is_bad())).await;
        server.stop().await;
        let told = world.inventory("orders").unwrap().verdict;
        let again = world.start().await;
        world
            .until("it is known", || {
                again.metric(r#"kiban_delivery_apps{env="dev",state="bad"}"#).as_deref() == Some("1")
            })
            .await;
        world.settle(Duration::from_secs(200)).await;
        assert_eq!(again.state(&commit, "orders"), None);
        assert_eq!(world.inventory("orders").unwrap().verdict, told);
        again.stop().await;
    });
}
