//! Tests of Slack: one message edited in place, one thread, limits, outages, huge and hostile texts.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use kiban_base::clock::Timestamp;
use kiban_runtime::client::{Options, Roots};
use tokio::sync::mpsc;

use super::*;
use crate::forge::fake::{Line as Server, Said, Trouble};
use crate::notify::fake::{Message, SlackFake};
use crate::notify::{State, ThreadId, Threads};

struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_514_400)
    }
}

struct World {
    fake: SlackFake,
    server: Server,
    folder: tempfile::TempDir,
}

fn world() -> World {
    let fake = SlackFake::new("xoxb-1");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "xoxb-1\n").unwrap();
    std::fs::write(folder.path().join("hook"), "http://hooks.slack.example/services/T/B/s3cret\n").unwrap();
    World { server: fake.line(), fake, folder }
}

impl World {
    fn file(&self, name: &str) -> SecretFrom {
        SecretFrom::file(self.folder.path().join(name).to_str().unwrap())
    }

    fn build(&self, target: Target) -> Slack {
        let options = Options { roots: Roots { system: false, extra: Vec::new() }, ..Options::default() };
        let client = Client::new(options, Arc::new(self.server.clone()), Arc::new(At)).unwrap();
        Slack::new("deploys", target, client, Arc::new(At), Some(self.folder.path()))
    }

    fn slack(&self) -> Slack {
        let url = "http://slack.example/api".to_owned();
        self.build(Target::Channel { url, token: self.file("token"), channel: "#deploys".into() })
    }

    fn webhook(&self) -> Slack {
        self.build(Target::Webhook(self.file("hook")))
    }

    fn calls(&self) -> Vec<String> {
        self.server.lines().into_iter().map(|l| l.trim_start_matches("POST /api/").to_owned()).collect()
    }

    fn limit(&self, method: &str, times: usize, seconds: u64) {
        let said =
            Said::json(429, &json!({"ok": false, "error": "ratelimited"})).with("retry-after", seconds);
        self.server.trouble(Method::POST, method, times, Trouble::Say(said));
    }
}

fn thread(apps: &[(&str, State)]) -> Thread {
    Thread {
        id: ThreadId { env: "prod".into(), commit: "4f2a9c1e5b7d8f60a1b2c3d4e5f60718293a4b5c".into() },
        author: "Ann".into(),
        subject: "orders: 2.0".into(),
        link: "https://github.example/shop/manifests/commit/4f2a9c1e".into(),
        apps: apps.iter().map(|(name, state)| ((*name).to_owned(), state.clone())).collect(),
    }
}

fn applying() -> State {
    State::Applying { waiting: String::new() }
}

fn bad() -> State {
    State::Bad {
        faults: vec!["Deployment orders: its containers were started again 3 times".into()],
        lines: vec!["listening".into(), "panic: no such table `orders`".into()],
        then: "rolled back to 11111111".into(),
    }
}

fn sections(message: &Message) -> Vec<String> {
    let blocks = message.body["blocks"].as_array().unwrap();
    blocks.iter().map(|block| block["text"]["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_one_message_edited_in_place_with_its_verdict_in_the_thread() {
    let world = world();
    let slack = world.slack();
    let began = Instant::now();
    slack.tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    slack.tell(&thread(&[("orders", State::Watching { seconds: 300 })]), Moment::Progress).await.unwrap();
    slack.tell(&thread(&[("orders", bad())]), Moment::Ended).await.unwrap();
    assert_eq!(world.calls(), ["chat.postMessage", "chat.update", "chat.update", "chat.postMessage"]);
    assert!(began.elapsed() >= PACE * 3, "{:?}", began.elapsed());
    let messages = world.fake.messages();
    let [overview, verdict] = messages.as_slice() else { panic!("{messages:#?}") };
    assert_eq!((overview.edits, overview.thread.as_deref()), (2, None));
    assert_eq!(verdict.thread.as_deref(), Some(overview.ts.as_str()));
    assert_eq!(
        sections(overview),
        [
            ":x: *prod*: bad\n<https://github.example/shop/manifests/commit/4f2a9c1e|4f2a9c1e> orders:\u{200b} 2.0 (Ann)",
            ":x: orders: bad:\u{200b} Deployment orders:\u{200b} its containers were started again 3 times; rolled back to 11111111",
        ]
    );
    assert_eq!(
        sections(verdict)[1],
        ":x: *orders*\n• Deployment orders:\u{200b} its containers were started again 3 times\n```\nlistening\npanic: no such table `\u{200b}orders`\u{200b}\n```\nrolled back to 11111111"
    );
    assert_eq!(verdict.body["reply_broadcast"], true);
    for message in &messages {
        assert_eq!(
            (&message.body["unfurl_links"], &message.body["link_names"]),
            (&json!(false), &json!(false))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_again_goes_on_in_the_same_thread() {
    let world = world();
    world.slack().tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    let slack = world.slack();
    slack.tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    slack.tell(&thread(&[("orders", State::Good)]), Moment::Ended).await.unwrap();
    // The verdict is not told twice either.
    world.slack().tell(&thread(&[("orders", State::Good)]), Moment::Ended).await.unwrap();
    let messages = world.fake.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].thread.as_deref(), Some(messages[0].ts.as_str()));
    assert!(messages[1].text().ends_with("1 of 1 apps are good"), "{}", messages[1].text());
    assert_eq!(messages[1].body["reply_broadcast"], false);
    // A rollout that begins again ends again.
    let slack = world.slack();
    slack.tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    slack.tell(&thread(&[("orders", State::Good)]), Moment::Ended).await.unwrap();
    assert_eq!(world.fake.messages().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_somebody_removed_is_posted_anew() {
    let world = world();
    let slack = world.slack();
    slack.tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    world.fake.remove(&world.fake.messages()[0].ts);
    slack.tell(&thread(&[("orders", State::Good)]), Moment::Ended).await.unwrap();
    let messages = world.fake.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].thread.as_deref(), Some(messages[0].ts.as_str()));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_and_of_a_version_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slack.json");
    let id = |n: usize| ThreadId { env: "prod".into(), commit: n.to_string() };
    let place = Place { channel: "C1".into(), ts: "1.1".into(), told: String::new() };
    let mut remembered = Remembered::open(Some(path.clone()));
    for n in 0..1_010 {
        remembered.set(&id(n), place.clone()).await;
    }
    let again = Remembered::open(Some(path.clone()));
    assert_eq!((again.get(&id(9)), again.get(&id(10))), (None, Some(place.clone())));
    for text in [r#"{"version": 2, "threads": []}"#, "", "{", r#"{"threads": []}"#] {
        std::fs::write(&path, text).unwrap();
        let mut remembered = Remembered::open(Some(path.clone()));
        remembered.set(&id(1), place.clone()).await;
        assert_eq!(remembered.get(&id(1)), Some(place.clone()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is left as it is");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_waited_for_and_progress_is_left_out_in_a_long_one() {
    let world = world();
    let slack = world.slack();
    world.limit("chat.postMessage", 1, 5);
    let began = Instant::now();
    slack.tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(5));
    world.limit("chat.update", 1, 60);
    let watching = State::Watching { seconds: 300 };
    slack.tell(&thread(&[("orders", watching.clone())]), Moment::Progress).await.unwrap();
    // Nothing is asked before that is over.
    let before = world.calls().len();
    slack.tell(&thread(&[("orders", watching)]), Moment::Progress).await.unwrap();
    assert_eq!(world.calls().len(), before);
    let why = slack.tell(&thread(&[("orders", State::Good)]), Moment::Ended).await.unwrap_err().to_string();
    assert!(why.starts_with("Slack takes no message for ") && why.ends_with(" s; it is told then"), "{why}");
    // The last state is told all the same, late.
    tokio::time::sleep(Duration::from_secs(70)).await;
    let messages = world.fake.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].text().contains("good") && messages[1].thread.is_some());
}

#[tokio::test(start_paused = true)]
async fn edits_are_tried_again_and_posts_are_not() {
    let world = world();
    let slack = world.slack();
    let down = Said::json(503, &json!({}));
    world.server.trouble(Method::POST, "chat.postMessage", 1, Trouble::Say(down.clone()));
    let started = thread(&[("orders", applying())]);
    assert_eq!(slack.tell(&started, Moment::Started).await, Err(NotTold("Slack answers 503".into())));
    assert_eq!(world.calls().len(), 1);
    // The next moment says what that one would have said.
    slack.tell(&started, Moment::Progress).await.unwrap();
    world.server.trouble(Method::POST, "chat.update", 1, Trouble::Say(down));
    world.server.trouble(Method::POST, "chat.update", 1, Trouble::Lose);
    slack.tell(&thread(&[("orders", State::Watching { seconds: 1 })]), Moment::Progress).await.unwrap();
    assert_eq!(world.fake.messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_to_do_and_never_the_token() {
    let world = world();
    for (error, words) in [
        ("not_in_channel", "Slack refuses: not_in_channel: the app is not in the channel: /invite it"),
        ("invalid_auth", "Slack refuses: invalid_auth: the token is none that Slack knows"),
        ("something_new", "Slack refuses: something_new"),
    ] {
        let said = Said::json(200, &json!({"ok": false, "error": error}));
        world.server.trouble(Method::POST, "chat.postMessage", 1, Trouble::Say(said));
        let why = world.slack().tell(&thread(&[("a", applying())]), Moment::Started).await.unwrap_err();
        assert_eq!(why.to_string(), words);
    }
    let said = Said::json(200, &json!({"ok": false, "error": "missing_scope", "needed": "chat:write"}));
    world.server.trouble(Method::POST, "chat.postMessage", 1, Trouble::Say(said));
    let why =
        world.slack().tell(&thread(&[("a", applying())]), Moment::Started).await.unwrap_err().to_string();
    assert!(why.ends_with("(needed: chat:write)"), "{why}");
    world.server.trouble(Method::POST, "/services/T/B/s3cret", 3, Trouble::Break);
    let why = world.webhook().tell(&thread(&[("a", applying())]), Moment::Started).await.unwrap_err();
    assert!(!why.to_string().contains("s3cret"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_incoming_webhook_gets_start_and_verdict() {
    let world = world();
    let slack = world.webhook();
    slack.tell(&thread(&[("orders", applying())]), Moment::Started).await.unwrap();
    slack.tell(&thread(&[("orders", State::Watching { seconds: 1 })]), Moment::Progress).await.unwrap();
    slack.tell(&thread(&[("orders", bad())]), Moment::Ended).await.unwrap();
    world.webhook().tell(&thread(&[("orders", bad())]), Moment::Ended).await.unwrap();
    let messages = world.fake.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[1].text().contains("no such table"));
    assert!(messages.iter().all(|message| message.thread.is_none() && message.edits == 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_mentioned_whatever_titles_names_and_logs_say() {
    let world = world();
    let slack = world.slack();
    let evil = "<!channel> <@U1> <#C1> @here <https://evil.example|click> *b* `c` ```";
    let state = State::Bad { faults: vec![evil.into()], lines: vec![evil.into()], then: evil.into() };
    let mut about = thread(&[(evil, state)]);
    (about.author, about.subject, about.link) = (evil.into(), evil.into(), "https://x|<!here>".into());
    about.id.env = evil.into();
    slack.tell(&about, Moment::Ended).await.unwrap();
    for message in world.fake.messages() {
        for text in sections(&message).iter().map(String::as_str).chain([message.text()]) {
            assert!(!text.contains('<') && !text.contains('>'), "{text}");
            let outside: String = text.split("```").step_by(2).collect();
            assert!(!outside.contains("@here") && !outside.contains("*b*"), "{outside}");
            assert!(text.matches("```").count() <= 2, "{text}");
        }
        let blocks = message.body["blocks"].as_array().unwrap();
        assert!(blocks.iter().all(|block| block["text"]["verbatim"] == true));
    }
}

#[tokio::test(start_paused = true)]
async fn huge_messages_fit_and_say_what_they_leave_out() {
    let world = world();
    let slack = world.slack();
    let long = "x".repeat(10_000);
    let state =
        || State::Bad { faults: vec![long.clone(); 40], lines: vec![long.clone(); 400], then: long.clone() };
    let mut apps: BTreeMap<String, State> = (0..300).map(|n| (format!("bad-{n:03}"), state())).collect();
    apps.extend((0..700).map(|n| (format!("good-{n:03}"), State::Good)));
    let about = Thread { apps, subject: long.clone(), ..thread(&[]) };
    slack.tell(&about, Moment::Ended).await.unwrap();
    let messages = world.fake.messages();
    assert_eq!(messages.len(), 2);
    for message in &messages {
        let all = sections(message);
        assert!(all.len() <= 50 && all.iter().all(|text| text.chars().count() <= 3_000));
        assert!(all.last().unwrap().ends_with("more lines, which are left out here"), "{:?}", all.last());
    }
    assert!(sections(&messages[1]).iter().any(|text| text.contains("earlier lines left out)")));

    // What Slack still does not take is said in fewer words.
    let said = Said::json(200, &json!({"ok": false, "error": "msg_blocks_too_long"}));
    world.server.trouble(Method::POST, "chat.update", 1, Trouble::Say(said));
    slack.tell(&about, Moment::Progress).await.unwrap();
    let first = &world.fake.messages()[0];
    assert!(first.body.get("blocks").is_none() && first.text().chars().count() <= 1_010);
}

#[tokio::test(start_paused = true)]
async fn an_outage_stops_no_rollout_and_is_counted() {
    let world = world();
    world.server.trouble(Method::POST, "chat.postMessage", usize::MAX, Trouble::Hang);
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    let threads = Threads::new(move |name, good| {
        assert_eq!((name, good), ("deploys", false));
        count.fetch_add(1, Ordering::SeqCst);
    });
    let notifiers: Vec<Arc<dyn Notifier>> = vec![Arc::new(world.slack())];
    let (stop, stopped) = mpsc::channel(1);
    let running = tokio::spawn({
        let threads = threads.clone();
        async move { threads.run(&notifiers, stopped).await }
    });
    let about = thread(&[]);
    threads.report(&about, "orders", applying());
    threads.report(&about, "orders", State::Good);
    drop(stop);
    running.await.unwrap();
    assert_eq!(counted.load(Ordering::SeqCst), 2);
    assert!(threads.get(&about.id).unwrap().is_over());
}
