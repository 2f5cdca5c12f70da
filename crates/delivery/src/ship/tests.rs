//! What shipping changes, and what it refuses.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::content::MemoryContent;

const OLD: &str = "sha256:a7af5bd5cdc5666f987d8876de5b76901734c0cbf35d28ba4e40ad9f313c1a8f";
const NEW: &str = "sha256:5ee62d18d8f43fede17645b9f0ffc8ef5a37299ef0f17bd47c713c05812c5371";
const PROFILE: &str = "apiVersion: kiban.dev/v1\nkind: Platform\nentry: none\nenvironments:\n  dev: { delivery: direct, production: false }\n";
const APP: &str = "apiVersion: kiban.dev/v1\nkind: App\nname: orders\nteam: checkout\ntier: 2\nimage: r.example/orders\nports: { http: 8080 }\nhealth: { ready: /r, live: /l }\n";

fn content(pin: Option<&str>) -> MemoryContent {
    let mut files = vec![
        ("platform.yaml", PROFILE.to_owned()),
        ("orders/app.yaml", APP.to_owned()),
        (
            "rendered/dev/orders/gone.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: gone }\n".to_owned(),
        ),
        ("rendered/dev/other/kept.yaml", "x: y\n".to_owned()),
    ];
    files.extend(pin.map(|pin| ("orders/env/dev.pin.yaml", pin.to_owned())));
    MemoryContent::new("c1", files)
}

fn cargo(app: &str, image: &str) -> Cargo {
    Cargo { app: app.into(), env: "dev".into(), image: Reference::parse(image).unwrap() }
}

#[test]
fn pin_and_rendered_files_of_the_app_change_together_and_nothing_else() {
    let pin = format!("apiVersion: kiban.dev/v1\nkind: Pin\nimages:\n  r.example/orders: {OLD} # 1.0\n");
    let prepared =
        prepare(&content(Some(&pin)), &cargo("orders", &format!("r.example/orders:2.0@{NEW}"))).unwrap();
    assert_eq!(prepared.before.as_deref(), Some(OLD));
    let paths: Vec<&str> = prepared.edits.keys().map(String::as_str).collect();
    assert!(
        paths.iter().all(|p| p.starts_with("rendered/dev/orders/") || *p == "orders/env/dev.pin.yaml"),
        "{paths:?}"
    );
    assert_eq!(prepared.edits.get("rendered/dev/orders/gone.yaml"), Some(&None));
    let pinned = prepared.edits["orders/env/dev.pin.yaml"].clone().unwrap();
    assert_eq!(String::from_utf8(pinned).unwrap(), pin.replace(OLD, NEW).replace("1.0", "2.0"));
    let deployment = prepared.new.iter().find(|o| o["kind"] == "Deployment").unwrap();
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    assert!(image.ends_with(NEW), "{image}");
}

#[test]
fn the_same_again_changes_nothing() {
    let first = prepare(&content(None), &cargo("orders", &format!("r.example/orders@{NEW}"))).unwrap();
    let mut files: std::collections::BTreeMap<String, Vec<u8>> =
        [("platform.yaml", PROFILE), ("orders/app.yaml", APP)]
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into();
    files.extend(first.edits.into_iter().filter_map(|(path, bytes)| Some((path, bytes?))));
    let again = MemoryContent::new("c2", files);
    assert!(prepare(&again, &cargo("orders", &format!("r.example/orders@{NEW}"))).unwrap().edits.is_empty());
}

#[test]
fn what_cannot_be_shipped_is_refused_in_words() {
    for (cargo, said) in [
        (cargo("ordres", &format!("r.example/orders@{NEW}")), "no app \"ordres\"; did you mean \"orders\"?"),
        (cargo("orders", "r.example/orders:2.0"), "has no digest"),
        (cargo("orders", &format!("r.example/stock@{NEW}")), "is no image of r.example/orders"),
    ] {
        let error = prepare(&content(None), &cargo).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut elsewhere = cargo("orders", &format!("r.example/orders@{NEW}"));
    elsewhere.env = "prod".into();
    assert!(
        prepare(&content(None), &elsewhere)
            .unwrap_err()
            .to_string()
            .contains("no environment is called \"prod\"")
    );
}
