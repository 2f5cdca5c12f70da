//! Tests of the webhook: its document, its signature, and its patience.
#![allow(clippy::unwrap_used)]

use http::Method;
use kiban_base::clock::Timestamp;
use kiban_runtime::client::{Options, Roots};
use serde_json::{Value, json};

use super::*;
use crate::forge::fake::{Answers, Heard, Line, Said, Trouble};
use crate::notify::ThreadId;

struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_514_400)
    }
}

struct Yes;

impl Answers for Yes {
    fn answer(&self, _: &Heard) -> Said {
        Said { status: 204, headers: Vec::new(), body: bytes::Bytes::new() }
    }
}

fn webhook(line: &Line, folder: &tempfile::TempDir) -> Webhook {
    let path = folder.path().join("secret");
    std::fs::write(&path, "s3cret\n").unwrap();
    let options = Options { roots: Roots { system: false, extra: Vec::new() }, ..Options::default() };
    let client = Client::new(options, Arc::new(line.clone()), Arc::new(At)).unwrap();
    let secret = SecretFrom::file(path.to_str().unwrap());
    Webhook::new("hook", "http://hooks.example/rollouts?key=1", Some(secret), client, Arc::new(At))
}

fn thread() -> Thread {
    let bad = State::Bad {
        faults: vec!["Deployment orders: bad".into()],
        lines: vec!["x".repeat(5_000); 80],
        then: "held".into(),
    };
    Thread {
        id: ThreadId { env: "prod".into(), commit: "4f2a9c1e".into() },
        author: "Ann".into(),
        subject: "orders: 2.0".into(),
        link: String::new(),
        apps: [("orders".to_owned(), bad), ("stock".to_owned(), State::Good)].into(),
    }
}

fn schema() -> Value {
    let mut schema = schemars::schema_for!(RolloutMoment).to_value();
    let id = "a rollout's moment, as Kiban sends it to webhooks";
    schema["title"] = json!(id);
    schema
}

#[tokio::test(start_paused = true)]
async fn a_moment_is_sent_signed_and_as_its_schema_says() {
    let (line, folder) = (Line::new(Yes), tempfile::tempdir().unwrap());
    let webhook = webhook(&line, &folder);
    for moment in [Moment::Started, Moment::Ended] {
        webhook.tell(&thread(), moment).await.unwrap();
    }
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for heard in line.heard() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
        let tag: String = hmac::sign(&key, &heard.body).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(heard.header("x-kiban-signature-256"), format!("sha256={tag}"));
        let document = heard.json();
        let wrong: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(heard.body.len() < 200_000);
    }
    let document = line.heard()[1].json();
    assert_eq!((&document["moment"], &document["verdict"]), (&json!("ended"), &json!("bad")));
    assert_eq!(document["sentAt"], "2026-11-24T10:00:00Z");
    assert_eq!(
        document["apps"][1],
        json!({"name": "stock", "state": "good", "words": "good", "faults": [], "lines": [], "then": ""})
    );
    let ids: Vec<String> =
        line.heard().iter().map(|heard| heard.header("x-kiban-delivery").to_owned()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_under_the_same_id_and_not_forever() {
    let (line, folder) = (Line::new(Yes), tempfile::tempdir().unwrap());
    let webhook = webhook(&line, &folder);
    line.trouble(Method::POST, "/rollouts", 2, Trouble::Say(Said::json(502, &json!({}))));
    webhook.tell(&thread(), Moment::Started).await.unwrap();
    let heard = line.heard();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|one| one.header("x-kiban-delivery") == heard[0].header("x-kiban-delivery")));
    line.forget();
    line.trouble(Method::POST, "/rollouts", 100, Trouble::Say(Said::json(500, &json!({}))));
    let why = webhook.tell(&thread(), Moment::Started).await.unwrap_err().to_string();
    assert_eq!(why, "http://hooks.example answers 500");
    assert_eq!(line.heard().len(), 4);
    let gone = Said::json(410, &json!({}));
    let (line, folder) = (Line::new(Yes), tempfile::tempdir().unwrap());
    line.trouble(Method::POST, "/rollouts", 1, Trouble::Say(gone));
    let why = super::tests::webhook(&line, &folder).tell(&thread(), Moment::Started).await.unwrap_err();
    assert_eq!((why.to_string().as_str(), line.heard().len()), ("http://hooks.example answers 410", 1));
}

#[test]
fn the_committed_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/rollout.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("KIBAN_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "schema/rollout.schema.json is not current: run the tests with KIBAN_BLESS=1");
}
