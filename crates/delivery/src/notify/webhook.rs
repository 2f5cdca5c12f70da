//! A webhook of one's own: each moment of a rollout as a JSON document (`docs/notify.md`), signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kiban_base::clock::Clock;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::{Client, Request, Retry};
use kiban_runtime::config::SecretFrom;
use ring::hmac;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Moment, NotTold, Notifier, State, Thread};

/// The version of the document.
pub const VERSION: u32 = 1;

/// How often and how patiently it is tried: all of it within what a notifier may take.
const RETRY: Retry = Retry {
    attempts: 4,
    pause: Duration::from_millis(500),
    longest_pause: Duration::from_secs(5),
    longest_retry_after: Duration::from_secs(10),
};

/// How long all tries together may take.
const DEADLINE: Duration = Duration::from_secs(25);

/// Lines of a log.
const MAX_LINES: usize = 50;

/// Characters of one text.
const MAX_TEXT: usize = 2_000;

/// A moment of a rollout: one commit in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMoment {
    /// The version of this document. Keys may be added within one; none changes its meaning or goes.
    pub version: u32,
    /// What happened: `started`, `progress` (of several in a row only the last may come) or `ended`.
    #[schemars(extend("enum" = ["started", "progress", "ended"]))]
    pub moment: String,
    /// When this was sent, RFC 3339. Whoever takes it may refuse what is old.
    pub sent_at: String,
    /// The environment.
    pub environment: String,
    /// The commit's id.
    pub commit: String,
    /// Who made the commit.
    pub author: String,
    /// The first line of its message, as its author wrote it.
    pub subject: String,
    /// Where people can look at the commit; empty where nobody knows.
    pub link: String,
    /// How it stands as a whole: `running`, `good`, `bad` (as soon as one app is) or `superseded`.
    #[schemars(extend("enum" = ["running", "good", "bad", "superseded"]))]
    pub verdict: String,
    /// Its apps, by name.
    pub apps: Vec<AppMoment>,
}

/// How far an app has come.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMoment {
    /// The app.
    pub name: String,
    /// `applying`, `watching`, `good`, `bad` (it runs badly), `failed` (it could not be deployed) or `superseded`.
    #[schemars(extend("enum" = ["applying", "watching", "good", "bad", "failed", "superseded"]))]
    pub state: String,
    /// The same in words.
    pub words: String,
    /// What is wrong, a line each; empty unless it is bad.
    pub faults: Vec<String>,
    /// The last lines of the log that tells more; empty unless it is bad.
    pub lines: Vec<String>,
    /// What was done about it; empty unless it is bad.
    pub then: String,
}

impl RolloutMoment {
    /// A thread at a moment.
    pub fn of(thread: &Thread, moment: Moment, sent_at: String) -> Self {
        let is_superseded = thread.apps.values().all(|state| *state == State::Superseded);
        let verdict = match (thread.is_bad(), thread.is_over()) {
            (true, _) => "bad",
            (false, false) => "running",
            (false, true) if is_superseded => "superseded",
            (false, true) => "good",
        };
        let moment = match moment {
            Moment::Started => "started",
            Moment::Progress => "progress",
            Moment::Ended => "ended",
        };
        Self {
            version: VERSION,
            moment: moment.into(),
            sent_at,
            environment: thread.id.env.clone(),
            commit: thread.id.commit.clone(),
            author: cut(&thread.author),
            subject: cut(&thread.subject),
            link: thread.link.clone(),
            verdict: verdict.into(),
            apps: thread.apps.iter().map(|(name, state)| AppMoment::of(name, state)).collect(),
        }
    }
}

impl AppMoment {
    fn of(name: &str, state: &State) -> Self {
        let word = match state {
            State::Applying { .. } => "applying",
            State::Watching { .. } => "watching",
            State::Good => "good",
            State::Bad { .. } => "bad",
            State::Failed { .. } => "failed",
            State::Superseded => "superseded",
        };
        let (faults, lines, then) = match state {
            State::Bad { faults, lines, then } => {
                let last = lines.iter().skip(lines.len().saturating_sub(MAX_LINES));
                (faults.iter().map(|f| cut(f)).collect(), last.map(|line| cut(line)).collect(), cut(then))
            }
            State::Failed { why } => (vec![cut(why)], Vec::new(), String::new()),
            _ => Default::default(),
        };
        Self {
            name: name.to_owned(),
            state: word.into(),
            words: cut(&state.to_string()),
            faults,
            lines,
            then,
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A webhook.
pub struct Webhook {
    name: String,
    url: String,
    secret: Option<SecretFrom>,
    client: Client,
    clock: Arc<dyn Clock>,
    /// Deliveries so far: with the time they make ids.
    count: AtomicU64,
}

impl Webhook {
    /// A webhook under a name of yours, signed where there is a secret.
    pub fn new(
        name: &str,
        url: &str,
        secret: Option<SecretFrom>,
        client: Client,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let count = AtomicU64::new(0);
        Self { name: name.to_owned(), url: url.to_owned(), secret, client, clock, count }
    }

    async fn send(&self, thread: &Thread, moment: Moment) -> Result<(), NotTold> {
        let now = self.clock.now();
        let document = RolloutMoment::of(thread, moment, now.rfc3339());
        let body = serde_json::to_vec(&document).map_err(|error| NotTold(error.to_string()))?;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        // The same for each try of it: who has seen one needs no other.
        let id = format!("{:x}-{count:x}", now.0);
        let bad = |error: kiban_runtime::client::ClientError| NotTold(error.to_string());
        let mut request = Request::post(&self.url)
            .and_then(|r| r.header("content-type", "application/json"))
            .and_then(|r| r.header("x-kiban-event", "rollout"))
            .and_then(|r| r.header("x-kiban-delivery", &id))
            .map_err(bad)?;
        if let Some(secret) = &self.secret {
            let secret = secret.read().map_err(|error| NotTold(format!("the webhook's secret: {error}")))?;
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            let tag = hmac::sign(&key, &body);
            let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            request = request.header("x-kiban-signature-256", &format!("sha256={hex}")).map_err(bad)?;
        }
        let request = request.body(body).idempotent().retry(RETRY).deadline(Some(DEADLINE)).limit(64 << 10);
        let response = self.client.send(request).await.map_err(bad)?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(NotTold(format!("{} answers {}", response.host(), response.status().as_u16())))
    }
}

impl Notifier for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn tell<'a>(&'a self, thread: &'a Thread, moment: Moment) -> BoxFuture<'a, Result<(), NotTold>> {
        Box::pin(self.send(thread, moment))
    }
}

#[cfg(test)]
mod tests;
