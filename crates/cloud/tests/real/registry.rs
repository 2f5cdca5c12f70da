//! Images pushed to a real registry are told as they are; what is wrong is told in words.

use kiban_cloud::registry::{Keychain, Tag};
use kiban_runtime::client::Request;
use serde_json::json;

use super::server::{INDEX, Push, registry};
use super::token::Realm;
use super::{basic, client, resolve};

/// `ci:hunter2`, with few rounds.
const HTPASSWD: &str = "ci:$2b$04$CsnSsvOsCdv2br1jC6DlOeuhrtG2biABqTCMOnogw0lWJ9J0dy59O\n";

#[tokio::test(flavor = "multi_thread")]
async fn images_of_a_real_registry_are_resolved_in_both_families_of_types() {
    let Some(program) = kiban_testkit::tool("images_of_a_real_registry", "docker-registry") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = registry(&program, folder.path(), "");
    let client = client();
    for (name, docker) in [("team/oci", false), ("team/docker", true)] {
        let push = Push { client: &client, base: format!("http://{}/v2/{name}", server.host), docker };
        let pushed = push.index("1.0").await;
        let image = format!("{}/{name}:1.0", server.host);
        let found = resolve(Keychain::new(), &image, &["linux/arm64", "linux/amd64"]).await.unwrap();
        assert_eq!(found.digest, pushed["digest"].as_str().unwrap());
        assert_eq!(found.media_type, pushed["mediaType"].as_str().unwrap());
        let platforms: Vec<String> = found.platforms.iter().map(|b| b.platform.to_string()).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
        assert_eq!((found.revision(), found.labels.get("arch")), (Some("4f2a9c1"), None));
        assert_eq!(found.created.as_deref(), Some("2026-11-24T09:00:00Z"));
        let one = push.image("linux", "s390x", Some("single")).await;
        let single = format!("{}/{name}:single@{}", server.host, one["digest"].as_str().unwrap());
        let found = resolve(Keychain::new(), &single, &["linux/s390x"]).await.unwrap();
        assert_eq!((found.tag, found.platforms.len()), (Tag::Same, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_registry_has_not_is_told() {
    let Some(program) = kiban_testkit::tool("what_a_real_registry_has_not", "docker-registry") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = registry(&program, folder.path(), "");
    let client = client();
    let push = Push { client: &client, base: format!("http://{}/v2/team/app", server.host), docker: false };
    push.index("1.0").await;
    let index = push.index("1.1").await;
    let lost = push.image("linux", "riscv64", None).await;
    let broken = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [lost]});
    push.put(INDEX, Some("broken"), &broken).await;
    push.delete(lost["digest"].as_str().unwrap()).await;
    let digest = format!("sha256:{}", "1".repeat(64));
    for (image, platform, said) in [
        ("team/app:1.2".to_owned(), "linux/amd64", "the repository has no such tag; it has 1.0, 1.1"),
        (format!("team/app@{digest}"), "linux/amd64", "the repository has no such digest"),
        ("team/none:1".to_owned(), "linux/amd64", "the registry has no such repository"),
        (
            "team/app:1.0".to_owned(),
            "linux/s390x",
            "does not run on linux/s390x: it was built for linux/amd64 and linux/arm64",
        ),
        ("team/app:broken".to_owned(), "linux/riscv64", "the registry lost a part of it"),
    ] {
        let error =
            resolve(Keychain::new(), &format!("{}/{image}", server.host), &[platform]).await.unwrap_err();
        assert!(error.is_verdict() && error.to_string().contains(said), "{error}");
    }
    // A tag goes with its manifest.
    push.delete(index["digest"].as_str().unwrap()).await;
    let image = format!("{}/team/app:1.1", server.host);
    let error = resolve(Keychain::new(), &image, &[]).await.unwrap_err();
    assert!(error.to_string().contains("has no such tag"), "{error}");
    let host = server.host.clone();
    drop(server);
    let error = resolve(Keychain::new(), &image, &[]).await.unwrap_err();
    assert!(
        error.is_passing() && error.to_string().contains(&format!("cannot connect to https://{host}")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_password_are_asked_for_and_judged() {
    let Some(program) = kiban_testkit::tool("name_and_password", "docker-registry") else { return };
    let folder = tempfile::tempdir().unwrap();
    let open = registry(&program, folder.path(), "");
    let client = client();
    let push = Push { client: &client, base: format!("http://{}/v2/team/app", open.host), docker: false };
    push.index("1.0").await;
    let file = folder.path().join("htpasswd");
    std::fs::write(&file, HTPASSWD).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: basic-realm, path: {}}}}}\n", file.display());
    let closed = registry(&program, folder.path(), &auth);
    let image = format!("{}/team/app:1.0", closed.host);
    resolve(basic(&closed.host, "ci", "hunter2"), &image, &["linux/amd64"]).await.unwrap();
    let mut docker = Keychain::new();
    let config = json!({"auths": {&closed.host: {"auth": "Y2k6aHVudGVyMg=="}}}).to_string();
    docker.docker_config("config.json", config.as_bytes()).unwrap();
    resolve(docker, &image, &[]).await.unwrap();
    for (keychain, said) in [
        (Keychain::new(), "be read with no credential: authentication required"),
        (basic(&closed.host, "ci", "wrong"), "be read with the credential of ci: authentication required"),
    ] {
        let error = resolve(keychain, &image, &[]).await.unwrap_err();
        assert!(!error.is_verdict() && error.to_string().contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_realm_open_a_real_registry() {
    let Some(program) = kiban_testkit::tool("tokens_of_a_realm", "docker-registry") else { return };
    let folder = tempfile::tempdir().unwrap();
    let open = registry(&program, folder.path(), "");
    let client = client();
    for name in ["team/app", "secret/app"] {
        let base = format!("http://{}/v2/{name}", open.host);
        Push { client: &client, base, docker: false }.index("1.0").await;
    }
    let realm = Realm::start(folder.path()).await;
    let auth = format!(
        "auth: {{token: {{realm: 'http://{}/token', service: kiban-test, issuer: kiban-issuer, rootcertbundle: {}}}}}\n",
        realm.host,
        realm.certificate.display()
    );
    let closed = registry(&program, folder.path(), &auth);
    let image = |name: &str| format!("{}/{name}:1.0", closed.host);
    // The registry takes no question without a token.
    let bare = Request::get(&format!("http://{}/v2/team/app/manifests/1.0", closed.host)).unwrap();
    assert_eq!(client.send(bare).await.unwrap().status().as_u16(), 401);
    resolve(Keychain::new(), &image("team/app"), &["linux/arm64"]).await.unwrap();
    resolve(basic(&closed.host, "ci", "hunter2"), &image("secret/app"), &[]).await.unwrap();
    for (keychain, said) in [
        (Keychain::new(), "be read with no credential"),
        (basic(&closed.host, "ci", "wrong"), "be read with the credential of ci"),
    ] {
        let error = resolve(keychain, &image("secret/app"), &[]).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let scopes = realm.asked();
    assert!(scopes.iter().all(|s| s.contains("service=kiban-test")), "{scopes:?}");
    assert!(scopes.iter().any(|s| s.contains("scope=repository%3Ateam%2Fapp%3Apull")), "{scopes:?}");
}
