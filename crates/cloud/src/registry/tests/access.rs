//! Who asks: tokens, names and passwords, and where they never go.

use std::collections::BTreeMap as Map;

use kiban_runtime::secret::Secret;

use super::net::{self, Asked, Net, Reply, error, images, reply};
use super::*;
use crate::aws::{Provider, Surroundings};

const REALM: &str = "Bearer realm=\"https://auth.r.example/token?x=1\",service=\"r.example\",scope=\"repository:team/app:pull\"";

/// A registry that wants a token of `challenge`, and a realm that gives `t1`, `t2`, … for `me:hunter2`, or to all.
fn guarded(challenge: &'static str, all: bool) -> Net {
    let images = images();
    Net::new()
        .host("r.example", move |asked, _| {
            let is_good = asked.header("authorization").starts_with("Bearer t");
            if is_good { images.answer(asked) } else { unauthorized(challenge) }
        })
        .host("auth.r.example", move |asked, before| {
            let is_good = all
                || asked.header("authorization") == "Basic bWU6aHVudGVyMg=="
                || asked.body.contains("refresh_token=hunter2");
            if !is_good {
                return error(401, "UNAUTHORIZED", "incorrect username or password");
            }
            let key = if asked.method == "POST" { "access_token" } else { "token" };
            reply(200, &[], format!("{{\"{key}\":\"t{before}\",\"expires_in\":300}}").as_bytes())
        })
        .host("evil.other", |_, _| reply(200, &[], b"{\"token\":\"t9\"}"))
}

fn unauthorized(challenge: &str) -> Reply {
    let body = b"{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}";
    reply(401, &[("www-authenticate", challenge)], body)
}

fn chain(credential: Credential) -> Keychain {
    let mut keychain = Keychain::new();
    keychain.insert("r.example", "the credential of ci", credential);
    keychain
}

fn basic() -> Credential {
    Credential::Basic { user: "me".into(), password: Secret::new("hunter2") }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_used_for_all_of_a_repository() {
    for (credential, method) in [(basic(), "GET"), (Credential::Identity(Secret::new("hunter2")), "POST")] {
        let net = guarded(REALM, false);
        let registries = net.registries(chain(credential));
        for _ in 0..2 {
            resolve(&registries, "r.example/team/app:1.0", &[]).await.unwrap();
        }
        let realm = net.seen("auth.r.example");
        assert_eq!((realm.len(), realm[0].method.as_str()), (1, method));
        if method == "GET" {
            assert_eq!(realm[0].target, "/token?x=1&scope=repository%3Ateam%2Fapp%3Apull&service=r.example");
        } else {
            assert!(
                realm[0].body.starts_with("grant_type=refresh_token&refresh_token=hunter2&service=r.example")
            );
        }
        assert_eq!(net.seen("r.example").iter().filter(|a| a.header("authorization").is_empty()).count(), 1);
    }
}

#[tokio::test]
async fn tokens_are_had_without_a_name_where_the_realm_gives_them() {
    let net = guarded(REALM, true);
    net.resolve("r.example/team/app:1.0", &[]).await.unwrap();
    assert_eq!(net.seen("auth.r.example")[0].header("authorization"), "");
}

#[tokio::test]
async fn a_refusal_names_the_credential_and_never_shows_it() {
    let wrong = Credential::Basic { user: "me".into(), password: Secret::new("hunter3") };
    let helper = |text: &str| {
        let mut keychain = Keychain::new();
        keychain.docker_config("config.json", text.as_bytes()).unwrap();
        keychain
    };
    for (keychain, said) in [
        (
            Keychain::new(),
            "r.example does not let r.example/team/app:1.0 be read with no credential: incorrect username or password",
        ),
        (chain(wrong), "be read with the credential of ci: incorrect username or password"),
        (
            helper("{\"credsStore\":\"desktop\"}"),
            "no credential (config.json leaves it to the program docker-credential-desktop, and Kiban starts none",
        ),
        (helper("{\"credHelpers\":{\"r.example\":\"x\"}}"), "docker-credential-x"),
    ] {
        let net = guarded(REALM, false);
        let error = resolve(&net.registries(keychain), "r.example/team/app:1.0", &[]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains("hunter"), "{text}");
        assert!(!format!("{error:?}").contains("hunter"));
    }
}

#[tokio::test]
async fn credentials_go_to_no_realm_that_is_not_the_registrys() {
    for (challenge, said) in [
        ("Bearer realm=\"https://evil.other/token\"", "wants it to be sent to evil.other, another domain"),
        (
            "Bearer realm=\"http://auth.r.example/token\"",
            "the token realm http://auth.r.example/token, which has no TLS",
        ),
        ("Bearer realm=\"https://me:x@auth.r.example/\"", "with credentials in its URL"),
        ("Bearer realm=\"no url\"", "which is no URL"),
        ("Digest realm=\"x\"", "wants to know who asks by digest"),
    ] {
        let net = guarded(challenge, true);
        let error =
            resolve(&net.registries(chain(basic())), "r.example/team/app:1.0", &[]).await.unwrap_err();
        assert!(error.to_string().contains(said), "{challenge}: {error}");
        assert!(net.seen("evil.other").is_empty() && net.seen("auth.r.example").is_empty());
    }
    // Without a credential there is nothing to lose, and a named realm may have it.
    let net = guarded("Bearer realm=\"https://evil.other/token\"", true);
    net.resolve("r.example/team/app:1.0", &[]).await.unwrap();
    let mut keychain = chain(basic());
    keychain.realm("r.example", "evil.other");
    resolve(&net.registries(keychain), "r.example/team/app:1.0", &[]).await.unwrap();
    assert!(net.seen("evil.other").iter().any(|a| a.header("authorization").starts_with("Basic ")));
}

#[tokio::test]
async fn blobs_elsewhere_are_fetched_without_what_proves_who_asks() {
    let all = images();
    let blobs = all.clone();
    let net = Net::new()
        .host("r.example", move |asked, _| {
            if asked.header("authorization") != "Basic bWU6aHVudGVyMg==" {
                return unauthorized("Basic realm=\"r\"");
            }
            match asked.target.strip_prefix("/v2/team/app/blobs/") {
                Some(digest) => {
                    reply(307, &[("location", &format!("https://cdn.other/blobs/{digest}"))], b"")
                }
                None => all.answer(asked),
            }
        })
        .host("cdn.other", move |asked, _| reply(200, &[], &blobs.0[asked.target.trim_start_matches('/')].1));
    resolve(&net.registries(chain(basic())), "r.example/team/app:1.0", &[]).await.unwrap();
    let elsewhere = net.seen("cdn.other");
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(elsewhere[0].header("authorization"), "");
}

#[tokio::test]
async fn a_token_that_the_registry_no_longer_takes_is_replaced() {
    let images = images();
    let net = guarded(REALM, true).host("r.example", move |asked, _| {
        // The first token is taken for the first two questions.
        let is_late = asked.target.contains("/blobs/") || asked.method == "HEAD";
        let is_good = match asked.header("authorization") {
            "Bearer t0" => !is_late,
            "Bearer t1" => true,
            _ => false,
        };
        if is_good { images.answer(asked) } else { unauthorized(REALM) }
    });
    net.resolve("r.example/team/app:1.0", &[]).await.unwrap();
    assert_eq!(net.seen("auth.r.example").len(), 2);
}

const ECR: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

#[tokio::test]
async fn ecr_gives_a_password_for_a_signed_call() {
    let images = images();
    let net = Net::new()
        .host(ECR, move |asked, _| {
            // AWS:hunter2
            if asked.header("authorization") == "Basic QVdTOmh1bnRlcjI=" {
                images.answer(asked)
            } else {
                unauthorized("Basic realm=\"https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/\",service=\"ecr.amazonaws.com\"")
            }
        })
        .host("api.ecr.eu-central-1.amazonaws.com", |asked, _| {
            if !is_signed(asked) {
                return reply(400, &[], b"{\"__type\":\"UnrecognizedClientException\",\"message\":\"The security token is invalid\"}");
            }
            reply(200, &[], b"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOmh1bnRlcjI=\",\"expiresAt\":1795557600.0}]}")
        });
    let image = format!("{ECR}/team/app:1.0");
    for (key, good) in [("AKIDEXAMPLE", true), ("AKIDWRONG", false)] {
        let variables: Map<&str, &str> = [
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_SESSION_TOKEN", "session"),
        ]
        .into();
        let variable = |name: &str| variables.get(name).map(ToString::to_string);
        let around = Surroundings { variable: &variable, home: None, instance: false };
        let provider = Provider::find(net.client(true), Arc::new(net::At), &around).unwrap().unwrap();
        let mut keychain = Keychain::new();
        keychain.aws(provider);
        let registries = net.registries(keychain);
        let got = resolve(&registries, &image, &["linux/arm64"]).await;
        if good {
            got.unwrap();
            resolve(&registries, &image, &[]).await.unwrap();
            assert_eq!(net.seen("api.ecr.eu-central-1.amazonaws.com").len(), 1, "one password for all");
        } else {
            let said = got.unwrap_err().to_string();
            assert!(
                said.contains("AWS refuses GetAuthorizationToken to the credentials of AWS_ACCESS_KEY_ID"),
                "{said}"
            );
            assert!(said.contains("The security token is invalid") && !said.contains("hunter2"), "{said}");
        }
    }
}

fn is_signed(asked: &Asked) -> bool {
    let authorization = asked.header("authorization");
    asked.method == "POST"
        && asked.header("x-amz-target") == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
        && asked.header("x-amz-security-token") == "session"
        && asked.header("x-amz-date") == "20261124T100000Z"
        && authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/eu-central-1/ecr/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=")
}
