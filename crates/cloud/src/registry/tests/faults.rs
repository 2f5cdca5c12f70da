//! What goes wrong between a question and its answer.

use std::time::Duration;

use serde_json::json;

use super::net::{self, After, Asked, Images, Net, Reply, error, images, reply};
use super::*;

type Fault = Box<dyn Fn(&Asked, usize, Reply) -> Reply + Send + Sync>;

fn faulty(fault: Fault) -> Net {
    let images = images();
    Net::new().host("r.example", move |asked, before| fault(asked, before, images.answer(asked))).host(
        "cdn.other",
        |asked, _| {
            let images = super::images();
            let path = asked.target.trim_start_matches('/').split('?').next().unwrap_or_default();
            images.0.get(path).map_or_else(|| reply(404, &[], b""), |(_, bytes)| reply(200, &[], bytes))
        },
    )
}

fn fault(f: impl Fn(&Asked, usize, Reply) -> Reply + Send + Sync + 'static) -> Fault {
    Box::new(f)
}

fn is_blob(asked: &Asked) -> bool {
    asked.target.contains("/blobs/")
}

fn cut((mut bytes, _): Reply) -> Reply {
    bytes.truncate(bytes.len() - 10);
    (bytes, After::Close)
}

/// Time is virtual: pauses and deadlines pass when nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn passing_faults_pass_and_others_are_told() {
    let rows: Vec<(&str, Fault, Result<(), &str>)> = vec![
        ("cut once", fault(|a, n, r| if is_blob(a) && n == 0 { cut(r) } else { r }), Ok(())),
        (
            "cut always",
            fault(|a, _, r| if is_blob(a) { cut(r) } else { r }),
            Err("https://r.example broke off"),
        ),
        ("503 twice", fault(|_, n, r| if n < 2 { error(503, "UNAVAILABLE", "soon") } else { r }), Ok(())),
        (
            "503 always",
            fault(|_, _, _| error(503, "UNAVAILABLE", "maintenance")),
            Err("r.example answers 503 for r.example/team/app:1.0: maintenance"),
        ),
        (
            "429 with a pause",
            fault(|_, n, r| if n == 0 { reply(429, &[("retry-after", "7")], b"") } else { r }),
            Ok(()),
        ),
        (
            "429 for an hour",
            fault(|_, _, _| reply(429, &[("retry-after", "3600")], b"")),
            Err("r.example limits how often it is asked (429) and asks to wait (3600)"),
        ),
        (
            "a blob elsewhere",
            fault(|a, _, r| match a.target.strip_prefix("/v2/team/app/blobs/") {
                Some(digest) => {
                    reply(307, &[("location", &format!("https://cdn.other/blobs/{digest}?sig=secret"))], b"")
                }
                None => r,
            }),
            Ok(()),
        ),
        (
            "a blob elsewhere without TLS",
            fault(|a, _, r| {
                if is_blob(a) { reply(307, &[("location", "http://cdn.other/x?sig=secret")], b"") } else { r }
            }),
            Err("https://r.example redirects to http://cdn.other, without TLS"),
        ),
        (
            "another blob",
            fault(|a, _, r| if is_blob(a) { reply(200, &[], b"{}") } else { r }),
            Err("what came for its configuration has not the digest sha256:"),
        ),
        (
            "another manifest",
            fault(
                |a, _, r| {
                    if a.target.contains("sha256:") && !is_blob(a) { reply(200, &[], b"{}") } else { r }
                },
            ),
            Err("has not the digest sha256:"),
        ),
        (
            "a lying header",
            fault(|a, _, r| {
                if a.target.ends_with("/1.0") {
                    reply(200, &[("docker-content-digest", &format!("sha256:{}", "0".repeat(64)))], b"{}")
                } else {
                    r
                }
            }),
            Err("it is broken or forged"),
        ),
        (
            "an endless body",
            fault(
                |a, _, r| if is_blob(a) { (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), After::Endless) } else { r },
            ),
            Err("the answer of https://r.example is larger than 8388608 bytes"),
        ),
        (
            "a body that says it is huge",
            fault(
                |a, _, r| if is_blob(a) { reply(200, &[("content-length", "99999999999")], b"{") } else { r },
            ),
            Err("larger than 8388608 bytes"),
        ),
        (
            "silence in the body",
            fault(|a, _, r| if is_blob(a) { (cut(r).0, After::Silence) } else { r }),
            Err("https://r.example sent nothing for 15s"),
        ),
        (
            "silence",
            fault(|_, _, _| (Vec::new(), After::Silence)),
            Err("https://r.example did not answer within 1m30s"),
        ),
        (
            "no HTTP",
            fault(|_, _, _| (b"SSH-2.0-x\r\n".to_vec(), After::Close)),
            Err("https://r.example broke off"),
        ),
        (
            "401 without a word",
            fault(|_, _, _| reply(401, &[], b"")),
            Err("r.example does not let r.example/team/app:1.0 be read with no credential: Unauthorized"),
        ),
        (
            "403",
            fault(|_, _, _| error(403, "DENIED", "requested access is denied")),
            Err("requested access is denied"),
        ),
        (
            "404 of a part",
            fault(|a, _, r| if is_blob(a) { error(404, "BLOB_UNKNOWN", "x") } else { r }),
            Err("the registry lost a part of it"),
        ),
        (
            "a page for people",
            fault(|_, _, _| reply(200, &[("content-type", "text/html")], b"<html>")),
            Err("r.example, r.example/team/app:1.0: no manifest"),
        ),
    ];
    for (name, fault, expected) in rows {
        let net = faulty(fault);
        let got = net.resolve("r.example/team/app:1.0", &[]).await;
        match (got, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => {
                let said = error.to_string();
                assert!(said.contains(part), "{name}: {said}");
                assert!(
                    !said.contains("secret") && !error.is_verdict() || name == "404 of a part",
                    "{name}: {said}"
                );
            }
            (got, _) => panic!("{name}: {got:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_asks_for_patience_gets_it() {
    let net = faulty(fault(|_, n, r| if n == 0 { reply(429, &[("retry-after", "7")], b"") } else { r }));
    let began = tokio::time::Instant::now();
    net.resolve("r.example/team/app:single", &[]).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(14), "each question was put off once: {waited:?}");
}

#[tokio::test]
async fn a_tag_that_moves_meanwhile_is_caught() {
    let all = images();
    let other = all.0["manifests/single"].clone();
    let net = Net::new().host("r.example", move |asked, _| {
        if asked.method == "HEAD" {
            let mut moved = all.clone();
            moved.0.insert("manifests/1.0".into(), other.clone());
            return moved.answer(asked);
        }
        all.answer(asked)
    });
    let error = net.resolve("r.example/team/app:1.0", &[]).await.unwrap_err();
    assert!(error.is_passing());
    let said = error.to_string();
    assert!(said.starts_with("the tag of r.example/team/app:1.0 moved from sha256:"), "{said}");
}

#[tokio::test]
async fn a_registry_without_digests_in_its_headers_is_held_to_its_bodies() {
    let all = images();
    let bare = |all: &Images, asked: &Asked| {
        let path = asked.target.strip_prefix("/v2/team/app/").unwrap();
        let (kind, bytes) = &all.0[path];
        reply(200, &[("content-type", kind)], bytes)
    };
    let net = Net::new().host("r.example", move |asked, _| bare(&all, asked));
    let image = net.resolve("r.example/team/app:1.0", &[]).await.unwrap();
    assert_eq!(image.digest, digest::sha256(&images().0["manifests/1.0"].1));
}

#[tokio::test]
async fn what_is_no_image_or_lies_about_itself_is_refused() {
    let mut all = images();
    let chart_config = all.put("application/vnd.cncf.helm.config.v1+json", "blobs", &json!({"name": "x"}));
    let chart = json!({"schemaVersion": 2, "mediaType": net::MANIFEST, "config": chart_config, "layers": []});
    let chart = all.put(net::MANIFEST, "manifests", &chart);
    all.tag("chart", &chart);
    let old = json!({"schemaVersion": 1, "name": "team/app", "fsLayers": []}).to_string().into_bytes();
    all.0.insert(
        "manifests/old".into(),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws".into(), old),
    );
    let mut liar = all.image("linux/amd64", &json!({}));
    liar["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let liar = all.index(&[liar]);
    all.tag("liar", &liar);
    let empty = all.index(&[]);
    all.tag("empty", &empty);
    let net = serving(all);
    for (tag, said) in [
        ("chart", "is no container image but \"application/vnd.cncf.helm.config.v1+json\""),
        ("old", "is in Docker's first format (schema 1)"),
        ("liar", "linux/arm64, and the image in it was built for linux/amd64"),
        ("empty", "its index holds no image"),
    ] {
        let error = net.resolve(&format!("r.example/team/app:{tag}"), &["linux/arm64"]).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_prove_to_be_the_registry_is_told_nothing() {
    let net = serving(images());
    let mut keychain = Keychain::new();
    let password = kiban_runtime::secret::Secret::new("hunter2");
    keychain.insert("r.example", "mine", Credential::Basic { user: "me".into(), password });
    let registries = Registries::new(net.client(false), Arc::new(net::At), keychain, Options::default());
    let error = resolve(&registries, "r.example/team/app:1.0", &[]).await.unwrap_err().to_string();
    assert!(error.contains("no trusted TLS connection to https://r.example"), "{error}");
    assert!(net.seen("r.example").is_empty());
}
