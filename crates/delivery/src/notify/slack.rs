//! Slack: one message a rollout, edited in place as it gets further, with the verdict as a reply in its thread.
//!
//! Over the Web API (`chat.postMessage`, `chat.update`); an incoming webhook, which can do neither, gets start and
//! verdict as two messages. Where a message is, is kept in the data folder: a server that starts again goes on
//! in the same thread. Messages mention nobody, whatever titles say.

mod api;
mod remember;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Clock;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::Client;
use kiban_runtime::config::SecretFrom;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Moment, NotTold, Notifier, Thread};
use api::{Api, Refusal};
use remember::{Place, Remembered};

pub use text::escape;

/// The Web API.
pub const API: &str = "https://slack.com/api";

/// The least time between two messages to a channel: Slack takes one a second of new ones, fifty a minute of
/// edited ones (`docs: apis/web-api/rate-limits`).
const PACE: Duration = Duration::from_millis(1_200);

/// How long a limit of Slack's is waited for before it is told later, behind everybody's back.
const WAIT: Duration = Duration::from_secs(20);

/// How long what is told later may be late.
const LATEST: Duration = Duration::from_secs(600);

/// Messages that are told later, at most.
const MAX_LATE: usize = 32;

/// Where messages go.
#[derive(Clone, Debug)]
pub enum Target {
    /// A channel, by the Web API.
    Channel {
        /// Where the API is: [`API`].
        url: String,
        /// The token of an app with the scope `chat:write`, read anew for each message.
        token: SecretFrom,
        /// The channel's id (`C…`), or its name with `#`.
        channel: String,
    },
    /// An incoming webhook, whose address is a secret.
    Webhook(SecretFrom),
}

/// Slack.
#[derive(Clone)]
pub struct Slack {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    target: Target,
    api: Api,
    /// One message at a time, in the order in which things happened.
    line: Mutex<Line>,
    late: Arc<tokio::sync::Semaphore>,
}

/// What must not be done twice at a time.
struct Line {
    remembered: Remembered,
    /// When the next message may go.
    next: Instant,
}

/// Why a message did not get through.
enum Miss {
    /// Slack asks to wait until then.
    Wait(Instant),
    /// It is none that will.
    Told(NotTold),
}

impl From<Refusal> for Miss {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Limited(pause) => Self::Wait(Instant::now() + pause),
            other => Self::Told(NotTold(other.to_string())),
        }
    }
}

impl Slack {
    /// Slack under a name of yours. Where messages are is kept in the folder `data`; in memory without one.
    pub fn new(
        name: &str,
        target: Target,
        client: Client,
        clock: Arc<dyn Clock>,
        data: Option<&Path>,
    ) -> Self {
        let path = data.map(|folder| folder.join(format!("slack-{name}.json")));
        let line = Mutex::new(Line { remembered: Remembered::open(path), next: Instant::now() });
        let late = Arc::new(tokio::sync::Semaphore::new(MAX_LATE));
        let api = Api::new(client, clock);
        Self { inner: Arc::new(Inner { name: name.to_owned(), target, api, line, late }) }
    }

    async fn say(&self, thread: &Thread, moment: Moment) -> Result<(), NotTold> {
        match self.inner.say(thread, moment, WAIT).await {
            Ok(()) => Ok(()),
            Err(Miss::Told(why)) => Err(why),
            // The next progress says what this one would have said.
            Err(Miss::Wait(_)) if moment == Moment::Progress => Ok(()),
            Err(Miss::Wait(until)) => {
                let seconds = until.saturating_duration_since(Instant::now()).as_secs();
                let said = self.later(thread.clone(), moment, until);
                let then = if said { "it is told then" } else { "too much else waits already" };
                Err(NotTold(format!("Slack takes no message for {seconds} s; {then}")))
            }
        }
    }

    /// Tells something once Slack takes messages again.
    fn later(&self, thread: Thread, moment: Moment, until: Instant) -> bool {
        let Ok(slot) = Arc::clone(&self.inner.late).try_acquire_owned() else { return false };
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let why = match inner.say(&thread, moment, LATEST).await {
                Ok(()) => None,
                Err(Miss::Told(why)) => Some(why.to_string()),
                Err(Miss::Wait(_)) => Some("Slack still takes no message".to_owned()),
            };
            if let Some(why) = why {
                let (env, commit) = (&thread.id.env, &thread.id.commit);
                tracing::warn!(
                    notifier = inner.name,
                    env,
                    commit,
                    "could not tell of a rollout, late too: {why}"
                );
            }
            drop(slot);
        });
        true
    }
}

impl Notifier for Slack {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn tell<'a>(&'a self, thread: &'a Thread, moment: Moment) -> BoxFuture<'a, Result<(), NotTold>> {
        Box::pin(self.say(thread, moment))
    }
}

impl Inner {
    async fn say(&self, thread: &Thread, moment: Moment, patience: Duration) -> Result<(), Miss> {
        let until = Instant::now() + patience;
        let mut line = self.line.lock().await;
        match &self.target {
            Target::Webhook(address) => self.say_by_webhook(&mut line, address, thread, moment, until).await,
            Target::Channel { url, token, channel } => {
                let channel = Channel { inner: self, url, token, channel, until };
                channel.say(&mut line, thread, moment).await
            }
        }
    }

    async fn say_by_webhook(
        &self,
        line: &mut Line,
        address: &SecretFrom,
        thread: &Thread,
        moment: Moment,
        until: Instant,
    ) -> Result<(), Miss> {
        let message = match moment {
            Moment::Progress => return Ok(()),
            Moment::Started => text::overview(thread),
            Moment::Ended => text::verdict(thread),
        };
        let place = line.remembered.get(&thread.id);
        let told = text::digest(&message);
        if place.as_ref().is_some_and(|place| place.told == told) {
            return Ok(());
        }
        let url = address.read().map_err(|e| Miss::Told(NotTold(format!("the webhook's address: {e}"))))?;
        let mut body = message;
        body["unfurl_links"] = json!(false);
        body["unfurl_media"] = json!(false);
        loop {
            pace(line, until).await?;
            match self.api.webhook(&url, &body).await {
                Err(Refusal::Limited(pause)) => line.next = Instant::now() + pause,
                Err(refusal) => return Err(refusal.into()),
                Ok(()) => break,
            }
        }
        line.remembered.set(&thread.id, Place { channel: String::new(), ts: String::new(), told }).await;
        Ok(())
    }
}

/// Waits until the next message may go, and lets the one after it wait.
async fn pace(line: &mut Line, until: Instant) -> Result<(), Miss> {
    if line.next > until {
        return Err(Miss::Wait(line.next));
    }
    tokio::time::sleep_until(line.next).await;
    line.next = Instant::now() + PACE;
    Ok(())
}

/// A channel, for one moment.
struct Channel<'a> {
    inner: &'a Inner,
    url: &'a str,
    token: &'a SecretFrom,
    channel: &'a str,
    until: Instant,
}

impl Channel<'_> {
    async fn say(&self, line: &mut Line, thread: &Thread, moment: Moment) -> Result<(), Miss> {
        let mut place = self.overview(line, thread).await?;
        // It begins again: what comes of it is told again.
        if moment == Moment::Started && !place.told.is_empty() {
            place.told.clear();
            line.remembered.set(&thread.id, place.clone()).await;
        }
        if moment != Moment::Ended {
            return Ok(());
        }
        let mut verdict = text::verdict(thread);
        let told = text::digest(&verdict);
        if place.told == told {
            return Ok(());
        }
        verdict["channel"] = json!(place.channel);
        verdict["thread_ts"] = json!(place.ts);
        // What is bad is seen in the channel too: an edited message makes nobody look.
        verdict["reply_broadcast"] = json!(thread.is_bad());
        self.ask(line, "chat.postMessage", &verdict).await?;
        line.remembered.set(&thread.id, Place { told, ..place }).await;
        Ok(())
    }

    /// The message that says how far all apps have come: edited where it is there.
    async fn overview(&self, line: &mut Line, thread: &Thread) -> Result<Place, Miss> {
        let mut message = text::overview(thread);
        if let Some(place) = line.remembered.get(&thread.id) {
            message["channel"] = json!(place.channel);
            message["ts"] = json!(place.ts);
            match self.ask(line, "chat.update", &message).await {
                Ok(_) => return Ok(place),
                // Somebody removed it, or it is too old to be edited.
                Err(Refusal::Gone(_)) => {}
                Err(refusal) => return Err(refusal.into()),
            }
            if let Some(map) = message.as_object_mut() {
                map.remove("ts");
            }
        }
        message["channel"] = json!(self.channel);
        let answer = self.ask(line, "chat.postMessage", &message).await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        // Edits take the channel's id alone.
        let place = Place { channel: text("channel"), ts: text("ts"), told: String::new() };
        line.remembered.set(&thread.id, place.clone()).await;
        Ok(place)
    }

    async fn ask(&self, line: &mut Line, method: &str, message: &Value) -> Result<Value, Refusal> {
        let token = self.token.read().map_err(|e| Refusal::Refused(format!("Slack's token: {e}")))?;
        let mut body = message.clone();
        body["unfurl_links"] = json!(false);
        body["unfurl_media"] = json!(false);
        loop {
            if let Err(Miss::Wait(until)) = pace(line, self.until).await {
                return Err(Refusal::Limited(until.saturating_duration_since(Instant::now())));
            }
            match self.inner.api.call(self.url, method, &token, &body).await {
                Err(Refusal::Limited(pause)) => line.next = Instant::now() + pause,
                // What has no form that Slack takes is said without any.
                Err(Refusal::TooLong(_)) if body.get("blocks").is_some() => text::shorten(&mut body),
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests;
