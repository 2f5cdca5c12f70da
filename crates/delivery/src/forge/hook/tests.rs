//! Tests of webhooks: genuine, forged, stale, and seen before.
#![allow(clippy::unwrap_used)]

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_514_400);
const PUSH: &str = r#"{"ref": "refs/heads/main", "repository": {"full_name": "shop/manifests"}}"#;

fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in rows {
        headers.insert(*name, value.parse().unwrap());
    }
    headers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sign(secret: &[u8], body: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body)
}

fn github(body: &str, secret: &str, id: &str) -> HeaderMap {
    let signature = format!("sha256={}", hex(sign(secret.as_bytes(), body.as_bytes()).as_ref()));
    headers(&[("x-hub-signature-256", &signature), ("x-github-event", "push"), ("x-github-delivery", id)])
}

fn push() -> Event {
    Event::Push { repository: "shop/manifests".into(), branch: "main".into() }
}

#[test]
fn githubs_own_example_of_a_signature_is_taken() {
    // docs: webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation".
    let hooks = Hooks::new(Kind::Github, Secret::new("It's a Secret to Everybody")).unwrap();
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let found = hooks.signed(
        &headers(&[("x-hub-signature-256", signature)]),
        b"Hello, World!",
        "x-hub-signature-256",
        "sha256=",
    );
    assert!(found.is_ok());
}

#[test]
fn a_push_of_github_wakes_once() {
    let hooks = Hooks::new(Kind::Github, Secret::new("s3cret")).unwrap();
    assert_eq!(hooks.take(&github(PUSH, "s3cret", "1"), PUSH.as_bytes(), NOW), Ok(push()));
    let again = hooks.take(&github(PUSH, "s3cret", "1"), PUSH.as_bytes(), NOW);
    assert_eq!(again, Err(HookError::Seen));
    let under_another_id = hooks.take(&github(PUSH, "s3cret", "2"), PUSH.as_bytes(), NOW);
    assert_eq!(under_another_id, Err(HookError::Seen));
}

#[test]
fn what_is_not_signed_with_the_secret_is_not_taken() {
    let hooks = Hooks::new(Kind::Github, Secret::new("s3cret")).unwrap();
    let take = |headers: &HeaderMap, body: &str| hooks.take(headers, body.as_bytes(), NOW);
    assert_eq!(take(&headers(&[("x-github-event", "push")]), PUSH), Err(HookError::Unsigned));
    assert_eq!(take(&github(PUSH, "other", "1"), PUSH), Err(HookError::Forged));
    assert_eq!(take(&github(PUSH, "s3cret", "1"), &PUSH.replace("main", "prod")), Err(HookError::Forged));
    for odd in ["", "sha256=", "sha256=00", "sha1=00", &format!("sha256={}", "g".repeat(64))] {
        let got = take(&headers(&[("x-hub-signature-256", odd)]), PUSH);
        assert_eq!(got, Err(HookError::Forged), "{odd}");
    }
    // What was refused is not remembered as seen.
    assert_eq!(take(&github(PUSH, "s3cret", "1"), PUSH), Ok(push()));
    let odd = "no json";
    assert_eq!(take(&github(odd, "s3cret", "3"), odd), Err(HookError::Unreadable));
}

#[test]
fn gitea_and_gitlab_say_the_same_in_their_own_ways() {
    let gitea = Hooks::new(Kind::Gitea, Secret::new("s3cret")).unwrap();
    let signature = hex(sign(b"s3cret", PUSH.as_bytes()).as_ref());
    let got = gitea.take(
        &headers(&[("x-gitea-signature", &signature), ("x-gitea-event", "push"), ("x-gitea-delivery", "1")]),
        PUSH.as_bytes(),
        NOW,
    );
    assert_eq!(got, Ok(push()));

    let body = r#"{"object_kind": "push", "ref": "refs/heads/main", "project": {"path_with_namespace": "shop/manifests"}}"#;
    let gitlab = Hooks::new(Kind::Gitlab, Secret::new("s3cret")).unwrap();
    let take = |rows: &[(&'static str, &str)]| gitlab.take(&headers(rows), body.as_bytes(), NOW);
    assert_eq!(take(&[("x-gitlab-token", "s3cret"), ("x-gitlab-event-uuid", "1")]), Ok(push()));
    assert_eq!(take(&[("x-gitlab-token", "s3cre"), ("x-gitlab-event-uuid", "2")]), Err(HookError::Forged));
    assert_eq!(take(&[]), Err(HookError::Unsigned));
    let merge = r#"{"object_kind": "merge_request", "object_attributes": {"iid": 7},
        "project": {"path_with_namespace": "shop/manifests"}}"#;
    let got = gitlab.take(&headers(&[("x-gitlab-token", "s3cret")]), merge.as_bytes(), NOW);
    assert_eq!(got, Ok(Event::Pull { repository: "shop/manifests".into(), number: 7 }));
}

#[test]
fn gitlabs_signing_token_is_bound_to_a_time() {
    let key = [7_u8; 32];
    let hooks = Hooks::new(Kind::Gitlab, Secret::new(format!("whsec_{}", STANDARD.encode(key)))).unwrap();
    let body = r#"{"object_kind": "push", "ref": "refs/heads/main", "project": {"path_with_namespace": "shop/manifests"}}"#;
    let take = |time: i64, signed_time: i64| {
        let id = time.to_string();
        let tag = sign(&key, format!("{id}.{signed_time}.{body}").as_bytes());
        let signature = format!("v0,x v1,{}", STANDARD.encode(tag));
        let rows: [(&'static str, &str); 3] =
            [("webhook-id", &id), ("webhook-timestamp", &id), ("webhook-signature", &signature)];
        hooks.take(&headers(&rows), body.as_bytes(), NOW)
    };
    let now = NOW.secs();
    assert_eq!(take(now - 299, now - 299), Ok(push()));
    assert_eq!(take(now - 299, now - 299), Err(HookError::Seen));
    assert_eq!(take(now - 301, now - 301), Err(HookError::Stale));
    assert_eq!(take(now + 301, now + 301), Err(HookError::Stale));
    assert_eq!(take(now, now - 10), Err(HookError::Forged));
}

#[test]
fn only_so_many_deliveries_are_remembered() {
    let hooks = Hooks::new(Kind::Github, Secret::new("s")).unwrap();
    for id in 0..10_000 {
        assert!(hooks.is_new(vec![id.to_string()]));
    }
    let seen = hooks.seen.lock().unwrap();
    assert_eq!((seen.keys.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
}

#[test]
fn a_secret_that_signs_nothing_is_no_secret() {
    assert!(Hooks::new(Kind::Github, Secret::new("")).is_err());
    assert!(Hooks::new(Kind::Plain, Secret::new("s")).is_err());
}
