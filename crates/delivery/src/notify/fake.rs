//! A Slack of a test or demo: takes messages as the Web API and incoming webhooks do, and keeps them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::forge::fake::{Answers, Heard, Line, Said};

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// Its time stamp, by which it is known.
    pub ts: String,
    /// The message whose thread it is in.
    pub thread: Option<String>,
    /// Its text and blocks as they were sent last.
    pub body: Value,
    /// How often it was edited.
    pub edits: usize,
}

impl Message {
    /// Its text.
    pub fn text(&self) -> &str {
        self.body.get("text").and_then(Value::as_str).unwrap_or_default()
    }
}

/// A Slack with one workspace.
#[derive(Clone, Debug)]
pub struct SlackFake {
    messages: Arc<Mutex<Vec<Message>>>,
    token: String,
}

/// The most that a message may be.
const MAX_BLOCKS: usize = 50;
const MAX_SECTION: usize = 3_000;

impl SlackFake {
    /// A Slack that takes this token, and incoming webhooks at `/services/…`.
    pub fn new(token: &str) -> Self {
        Self { messages: Arc::default(), token: token.to_owned() }
    }

    /// As a server.
    pub fn line(&self) -> Line {
        Line::new(self.clone())
    }

    /// Its messages, the oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.held().clone()
    }

    /// Somebody removes a message.
    pub fn remove(&self, ts: &str) {
        self.held().retain(|message| message.ts != ts);
    }

    fn held(&self) -> MutexGuard<'_, Vec<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, body: &Value) -> Value {
        if let Some(error) = problem(body) {
            return json!({"ok": false, "error": error});
        }
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(channel) = text("channel").filter(|c| c.starts_with('#') || c.starts_with('C')) else {
            return json!({"ok": false, "error": "channel_not_found"});
        };
        let channel = if channel.starts_with('#') { "C0123456789".to_owned() } else { channel };
        let mut messages = self.held();
        let ts = format!("1795514400.{:06}", messages.len() + 1);
        let body = body.clone();
        messages.push(Message {
            channel: channel.clone(),
            ts: ts.clone(),
            thread: text("thread_ts"),
            body,
            edits: 0,
        });
        json!({"ok": true, "channel": channel, "ts": ts})
    }

    fn update(&self, body: &Value) -> Value {
        if let Some(error) = problem(body) {
            return json!({"ok": false, "error": error});
        }
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("channel").starts_with('C') {
            return json!({"ok": false, "error": "channel_not_found"});
        }
        let mut messages = self.held();
        let found = messages.iter_mut().find(|m| m.ts == text("ts") && m.channel == text("channel"));
        let Some(message) = found else { return json!({"ok": false, "error": "message_not_found"}) };
        message.body = body.clone();
        message.edits += 1;
        json!({"ok": true, "channel": message.channel, "ts": message.ts})
    }
}

fn problem(body: &Value) -> Option<&'static str> {
    let blocks = body.get("blocks").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = body.get("text").and_then(Value::as_str).unwrap_or_default();
    let is_long = |block: &Value| {
        let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
        text.is_empty() || text.chars().count() > MAX_SECTION
    };
    if text.is_empty() && blocks.is_empty() {
        Some("no_text")
    } else if text.chars().count() > 40_000 {
        Some("msg_too_long")
    } else if blocks.len() > MAX_BLOCKS || blocks.iter().any(is_long) {
        Some("invalid_blocks")
    } else {
        None
    }
}

impl Answers for SlackFake {
    fn answer(&self, heard: &Heard) -> Said {
        let body = heard.json();
        if heard.path.starts_with("/services/") {
            let mut body = body;
            body["channel"] = json!("CWEBHOOK");
            self.post(&body);
            return Said { status: 200, headers: Vec::new(), body: "ok".into() };
        }
        if heard.header("authorization") != format!("Bearer {}", self.token) {
            return Said::json(200, &json!({"ok": false, "error": "invalid_auth"}));
        }
        let answer = match heard.path.rsplit('/').next() {
            Some("chat.postMessage") => self.post(&body),
            Some("chat.update") => self.update(&body),
            _ => json!({"ok": false, "error": "unknown_method"}),
        };
        Said::json(200, &answer)
    }
}
