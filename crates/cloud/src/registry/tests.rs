//! Registries at the other end of in-memory streams: those that answer well, and those that misbehave.
#![allow(clippy::unwrap_used)]

mod access;
mod faults;
pub(crate) mod net;

use super::*;
use net::{Images, Net, images, reply, resolve};

fn serving(images: Images) -> Net {
    Net::new().host("r.example", move |asked, _| images.answer(asked))
}

#[tokio::test]
async fn an_index_is_resolved_to_its_platforms_labels_and_size() {
    let net = serving(images());
    let image = net.resolve("r.example/team/app:1.0", &["linux/amd64", "linux/arm64"]).await.unwrap();
    let platforms: Vec<String> = image.platforms.iter().map(|b| b.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8"], "and what only attests is no platform");
    assert_eq!(image.digest, digest::sha256(&images().0["manifests/1.0"].1));
    assert_eq!(image.media_type, net::INDEX);
    assert_eq!(image.revision(), Some("4f2a9c1e5b7d8f60a1b2c3d4e5f60718293a4b5c"));
    assert_eq!((image.source(), image.version()), (Some("https://git.example/team/app"), Some("1.0")));
    assert_eq!(image.labels.get("built"), None, "platforms do not agree on it");
    assert_eq!(image.created.as_deref(), Some("2026-11-24T09:00:00Z"));
    assert!(image.size > 1000 && image.size < 2000, "{}", image.size);
    assert_eq!(image.tag, Tag::Same);
    let asked = net.seen("r.example");
    assert!(asked[0].header("accept").contains(net::INDEX));
    assert_eq!(asked.iter().filter(|a| a.method == "GET").count(), 5, "index, and two of each");
}

#[tokio::test]
async fn without_wanted_platforms_the_first_is_read_and_all_are_told() {
    let net = serving(images());
    let image = net.resolve("r.example/team/app:1.0", &[]).await.unwrap();
    assert_eq!(image.platforms.len(), 2);
    assert_eq!(image.labels["built"], "amd64");
    assert_eq!(net.seen("r.example").len(), 4, "index, manifest, configuration, and the tag again");
    let single = net.resolve("r.example/team/app:single", &["linux/amd64"]).await.unwrap();
    assert_eq!(single.media_type, net::MANIFEST);
}

#[tokio::test]
async fn what_does_not_run_there_is_told_with_what_it_has() {
    let net = serving(images());
    for (image, platforms, said) in [
        (
            "1.0",
            &["linux/amd64", "linux/s390x"][..],
            "r.example/team/app:1.0 does not run on linux/s390x: it was built for linux/amd64 and linux/arm64/v8. Build it for this one too",
        ),
        (
            "single",
            &["linux/arm64", "windows/amd64"],
            "r.example/team/app:single does not run on linux/arm64 and windows/amd64: it was built for linux/amd64. Build it for these too",
        ),
    ] {
        let error = net.resolve(&format!("r.example/team/app:{image}"), platforms).await.unwrap_err();
        assert!(error.is_verdict());
        assert_eq!(error.to_string(), said);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_may_have_been_meant() {
    let mut there = images();
    let index = there.0["manifests/1.0"].clone();
    for tag in ["1.1", "2.0-rc.1", "main"] {
        there.0.insert(format!("manifests/{tag}"), index.clone());
    }
    let net = Net::new().host("r.example", move |asked, _| {
        if asked.target.starts_with("/v2/none/") {
            return net::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        }
        if asked.target == "/v2/gone/app/tags/list?n=1000" {
            return net::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        }
        if asked.target.starts_with("/v2/hidden/") || asked.target.starts_with("/v2/gone/") {
            return net::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        }
        there.answer(asked)
    });
    let digest = format!("sha256:{}", "1".repeat(64));
    for (image, said) in [
        (
            "r.example/team/app:1.2",
            "r.example/team/app:1.2 is not there: the repository has no such tag; it has 1.0, 1.1",
        ),
        ("r.example/team/app:mian", "the repository has no such tag; it has main"),
        ("r.example/none/app:1", "r.example/none/app:1 is not there: the registry has no such repository"),
        ("r.example/gone/app:1", "the registry has no such repository"),
        ("r.example/hidden/app:1", "is not there: the registry has no such image"),
        (&format!("r.example/team/app@{digest}"), "the repository has no such digest"),
    ] {
        let error = net.resolve(image, &[]).await.unwrap_err();
        assert!(error.is_verdict() && error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_tag_beside_a_digest_says_whether_it_still_means_it() {
    let mut all = images();
    let digest = digest::sha256(&all.0["manifests/single"].1);
    let other = digest::sha256(&all.0["manifests/1.0"].1);
    all.0.insert("manifests/moved".into(), all.0["manifests/1.0"].clone());
    let net = serving(all);
    for (tag, expected) in
        [("single", Tag::Same), ("moved", Tag::Elsewhere(other.clone())), ("gone", Tag::Gone)]
    {
        let image = net.resolve(&format!("r.example/team/app:{tag}@{digest}"), &[]).await.unwrap();
        assert_eq!((image.tag, image.digest.as_str()), (expected, digest.as_str()), "{tag}");
    }
}

#[tokio::test]
async fn entries_without_a_platform_are_read_and_indexes_may_lie_in_indexes() {
    let mut all = Images::default();
    let mut amd = all.image("linux/amd64", &serde_json::json!(null));
    amd.as_object_mut().unwrap().remove("platform");
    let arm = all.image("linux/arm/v6", &serde_json::json!({}));
    let inner = all.index(&[arm]);
    let outer = all.index(&[amd, inner]);
    all.tag("1.0", &outer);
    let mut deep = outer;
    for _ in 0..4 {
        deep = all.index(&[deep]);
    }
    all.tag("deep", &deep);
    let net = serving(all);
    let image = net.resolve("r.example/team/app:1.0", &["linux/arm/v7"]).await.unwrap();
    let platforms: Vec<String> = image.platforms.iter().map(|b| b.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm/v6"]);
    let error = net.resolve("r.example/team/app:deep", &[]).await.unwrap_err().to_string();
    assert!(error.contains("more than 3 deep"), "{error}");
}

#[tokio::test]
async fn docker_hub_answers_elsewhere_and_short_names_are_its_librarys() {
    let place = exchange::Place::of(&kiban_base::image::Reference::parse("nginx").unwrap());
    assert_eq!((place.api.as_str(), place.repository.as_str()), ("registry-1.docker.io", "library/nginx"));
    let net = Net::new().host("r.example", |_, _| reply(200, &[], b""));
    let registries = net.registries(Keychain::new());
    let error = resolve(&registries, "team/app:1", &[]).await.unwrap_err().to_string();
    assert!(error.contains("cannot connect to https://registry-1.docker.io"), "{error}");
}

#[tokio::test]
async fn hosts_of_this_machine_may_speak_no_tls_and_others_only_where_that_is_said() {
    let net = || {
        let (here, there) = (images(), images());
        Net::new()
            .host("localhost", move |asked, _| here.answer(asked))
            .host("r.example", move |asked, _| there.answer(asked))
    };
    let plain = net();
    let registries = plain.registries(Keychain::new());
    for _ in 0..2 {
        resolve(&registries, "localhost:5000/team/app:1.0", &[]).await.unwrap();
    }
    // One that speaks TLS and cannot prove its name is not asked without.
    let proves_another = net();
    let error = proves_another.resolve("localhost/team/app:1.0", &[]).await.unwrap_err().to_string();
    assert!(error.contains("no trusted TLS connection to https://localhost"), "{error}");
    assert!(proves_another.seen("localhost").is_empty());
    let elsewhere = net();
    let error = elsewhere.resolve("r.example:5000/team/app:1.0", &[]).await.unwrap_err().to_string();
    assert!(error.contains("no trusted TLS connection to https://r.example:5000"), "{error}");
    let options = Options { insecure: ["r.example:5000".to_owned()].into(), ..Options::default() };
    let registries = Registries::new(elsewhere.client(true), Arc::new(net::At), Keychain::new(), options);
    resolve(&registries, "r.example:5000/team/app:1.0", &[]).await.unwrap();
}
