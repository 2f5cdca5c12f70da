//! Limits, failures and silence of a forge: waited for where that is short, told where it is not.

use std::time::Duration;

use http::Method;
use kiban_delivery::forge::fake::{Said, Trouble};
use kiban_delivery::forge::{Forge, ForgeError, Made};
use serde_json::json;
use tokio::time::Instant;

use super::{NOW, change, count, world};

fn say(status: u16, message: &str) -> Said {
    Said::json(status, &json!({"message": message}))
}

fn used_up(status: u16, reset: i64) -> Trouble {
    let said = say(status, "API rate limit exceeded for user ID 1.");
    Trouble::Say(said.with("x-ratelimit-remaining", 0).with("x-ratelimit-reset", NOW + reset))
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_ends_soon_is_waited_for() {
    for (trouble, seconds) in [
        (used_up(403, 40), 40),
        (used_up(429, 40), 40),
        (Trouble::Say(say(403, "You have exceeded a secondary rate limit").with("retry-after", 7)), 7),
        (Trouble::Say(say(429, "Too many requests").with("retry-after", 30)), 30),
        (Trouble::Say(say(403, "You have exceeded a secondary rate limit.")), 60),
    ] {
        let world = world();
        world.line.trouble(Method::GET, "/shop/manifests", 1, trouble.clone());
        let began = Instant::now();
        assert_eq!(world.forge.default_branch(&world.repo).await.unwrap(), "main");
        let waited = began.elapsed();
        let range = Duration::from_secs(seconds)..Duration::from_secs(seconds + 5);
        assert!(range.contains(&waited), "{trouble:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_lasts_is_told_and_nothing_is_asked_until_it_ends() {
    let world = world();
    world.line.trouble(Method::GET, "/shop/manifests", 1, used_up(403, 1_800));
    let began = Instant::now();
    for _ in 0..3 {
        let error = world.forge.default_branch(&world.repo).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "look at the repository shop/manifests: http://github.example takes no more requests until 2026-11-24T10:30:00Z (hourly limit)"
        );
        assert!(error.is_passing());
    }
    assert_eq!(world.line.heard().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(1_800)).await;
    assert_eq!(world.forge.default_branch(&world.repo).await.unwrap(), "main");
}

#[tokio::test(start_paused = true)]
async fn the_last_request_before_a_limit_is_good_and_the_next_one_waits() {
    let world = world();
    let said = Said::json(200, &json!({"node_id": "R", "default_branch": "trunk"}));
    let said = said.with("x-ratelimit-remaining", 0).with("x-ratelimit-reset", NOW + 20);
    world.line.trouble(Method::GET, "/shop/manifests", 1, Trouble::Say(said));
    let began = Instant::now();
    assert_eq!(world.forge.default_branch(&world.repo).await.unwrap(), "trunk");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.forge.default_branch(&world.repo).await.unwrap(), "main");
    assert!(began.elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_comes_again_and_again_is_told_in_the_end() {
    let world = world();
    let trouble = Trouble::Say(say(403, "You have exceeded a secondary rate limit"));
    world.line.trouble(Method::GET, "/shop/manifests", 100, trouble);
    let error = world.forge.default_branch(&world.repo).await.unwrap_err();
    assert!(matches!(error, ForgeError::Limited { limit: "short-term", .. }), "{error}");
    assert!(world.line.heard().len() <= 3);
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_are_tried_again_and_those_that_stay_are_told() {
    for status in [500, 502, 503, 504] {
        let world = world();
        world.line.trouble(Method::GET, "/shop/manifests", 2, Trouble::Say(say(status, "Server Error")));
        assert_eq!(world.forge.default_branch(&world.repo).await.unwrap(), "main");
        assert_eq!(world.line.heard().len(), 3);
        world.line.trouble(Method::GET, "/shop/manifests", 20, Trouble::Say(say(status, "Server Error")));
        let error = world.forge.default_branch(&world.repo).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "look at the repository shop/manifests: http://github.example answers {status}: Server Error"
            )
        );
        assert!(error.is_passing());
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_comes_through_a_bad_hour_once() {
    let world = world();
    for (method, path) in
        [(Method::POST, "/git/trees"), (Method::POST, "/git/commits"), (Method::PATCH, "/heads/main")]
    {
        world.line.trouble(method.clone(), path, 1, Trouble::Say(say(502, "Bad Gateway")));
        world.line.trouble(method, path, 1, Trouble::Break);
    }
    let made =
        world.forge.commit(&world.repo, &change("main", world.first, Some(world.first), "2")).await.unwrap();
    let Made::Commit { id, .. } = made else { panic!("{made:?}") };
    let state = world.fake.state();
    let repository = &state.repositories["shop/manifests"];
    assert_eq!(repository.branches["main"], id.to_string());
    assert_eq!(repository.commits.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn silence_ends() {
    let world = world();
    world.line.trouble(Method::GET, "/shop/manifests", 10, Trouble::Hang);
    let error = world.forge.default_branch(&world.repo).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "look at the repository shop/manifests: http://github.example did not answer within 1m"
    );
    assert!(error.is_passing());
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_answered_without_a_body() {
    let world = world();
    let one = world.forge.tip(&world.repo, "main").await.unwrap();
    let two = world.forge.tip(&world.repo, "main").await.unwrap();
    assert_eq!(one, two);
    let answered: Vec<_> = world.line.heard().iter().map(|heard| heard.answered).collect();
    assert_eq!(answered, [Some(200), Some(304)]);
    let other = world.fake.push("shop/manifests", "main", &[("a", "b")], "x", "bob@shop.example").unwrap();
    assert_eq!(world.forge.tip(&world.repo, "main").await.unwrap().unwrap().id.to_string(), other);
    assert_eq!(count(&world.line, &Method::GET, "/commits/heads/main"), 3);
}
