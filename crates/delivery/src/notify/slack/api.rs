//! How Slack is asked, and what its refusals mean: it says `ok: false` in good answers.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kiban_base::clock::Clock;
use kiban_runtime::client::{Client, ClientError, Request, Retry};
use kiban_runtime::secret::Secret;
use serde_json::Value;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The pauses between tries of what may be tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// How long to wait where Slack asks for that and does not say how long.
const UNTOLD: Duration = Duration::from_secs(30);

/// Errors of the Web API, by what they mean (`docs: reference/methods/chat.postMessage`, `chat.update`).
const GONE: [&str; 4] =
    ["message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"];
const TOO_LONG: [&str; 4] =
    ["msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format"];
const PASSING: [&str; 5] =
    ["internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"];
const HINTS: [(&str, &str); 12] = [
    ("not_authed", "the token is empty or was not sent"),
    ("invalid_auth", "the token is none that Slack knows"),
    ("token_revoked", "the token was revoked: install the app again"),
    ("token_expired", "the token has expired: it must be renewed"),
    ("account_inactive", "the app was removed from the workspace: install it again"),
    ("missing_scope", "the app needs the scope chat:write"),
    ("no_permission", "the app needs the scope chat:write"),
    ("channel_not_found", "there is no such channel, or the app was not invited to it"),
    ("not_in_channel", "the app is not in the channel: /invite it"),
    ("is_archived", "the channel is archived"),
    ("restricted_action", "the workspace does not let apps write there"),
    ("no_text", "the message is empty"),
];

/// Why Slack did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It asks to wait for so long.
    #[error("Slack asks to wait for {} s", .0.as_secs())]
    Limited(Duration),
    /// What is to be changed is not there any more.
    #[error("Slack refuses: {0}")]
    Gone(String),
    /// The message has no form that it takes.
    #[error("Slack refuses: {0}")]
    TooLong(String),
    /// It does not want it.
    #[error("{0}")]
    Refused(String),
    /// It failed, or did not answer.
    #[error("{0}")]
    Failed(String),
}

pub(super) struct Api {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl Api {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }

    /// Calls a method of the Web API.
    pub(super) async fn call(
        &self,
        url: &str,
        method: &str,
        token: &Secret,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let url = format!("{}/{method}", url.trim_end_matches('/'));
        // A message that is posted twice is there twice; edited twice it says the same.
        let again = method == "chat.update";
        self.tries(again, || Request::post(&url)?.bearer(token), body, read).await
    }

    /// Sends to an incoming webhook, which answers `ok`, or a word for what is wrong.
    pub(super) async fn webhook(&self, url: &Secret, body: &Value) -> Result<(), Refusal> {
        let take = |status: StatusCode, bytes: &[u8]| {
            if status.is_success() {
                return Ok(Value::Null);
            }
            let word = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).trim().to_owned();
            Err(if status.is_server_error() {
                Refusal::Failed(words(&word))
            } else {
                Refusal::Refused(words(&word))
            })
        };
        self.tries(false, || Request::post(url.expose()), body, take).await.map(drop)
    }

    async fn tries(
        &self,
        again: bool,
        request: impl Fn() -> Result<Request, ClientError>,
        body: &Value,
        take: impl Fn(StatusCode, &[u8]) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let answer = match request() {
                Ok(request) => self.once(request, body, &take).await,
                Err(error) => Err((Refusal::Refused(error.to_string()), false)),
            };
            let (refusal, unsent) = match answer {
                Ok(value) => return Ok(value),
                Err(refused) => refused,
            };
            let is_passing = unsent || (again && matches!(refusal, Refusal::Failed(_)));
            let Some(pause) = pauses.next().filter(|_| is_passing) else { return Err(refusal) };
            tokio::time::sleep(pause).await;
        }
    }

    /// One try; what it failed for, and whether nothing of it can have reached Slack.
    async fn once(
        &self,
        request: Request,
        body: &Value,
        take: impl Fn(StatusCode, &[u8]) -> Result<Value, Refusal>,
    ) -> Result<Value, (Refusal, bool)> {
        let failed = |error: ClientError| {
            let unsent = error.is_unsent() && error.is_passing();
            let words = error.to_string();
            (if error.is_passing() { Refusal::Failed(words) } else { Refusal::Refused(words) }, unsent)
        };
        let request = request.header("content-type", "application/json; charset=utf-8").map_err(failed)?;
        let request = request.body(body.to_string()).retry(Retry::NEVER).deadline(Some(DEADLINE));
        let response = self.client.send(request).await.map_err(failed)?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let told = response.header("retry-after").and_then(|text| text.trim().parse::<u64>().ok());
            let pause = told.map_or(UNTOLD, |seconds| Duration::from_secs(seconds.max(1)));
            tracing::info!(now = %self.clock.now(), ?pause, "Slack asks to wait");
            return Err((Refusal::Limited(pause), false));
        }
        let bytes = response.bytes().await.map_err(failed)?;
        take(status, &bytes).map_err(|refusal| (refusal, false))
    }
}

/// An answer of the Web API.
fn read(status: StatusCode, bytes: &[u8]) -> Result<Value, Refusal> {
    if !status.is_success() {
        let words = format!("Slack answers {}", status.as_u16());
        return Err(if status.is_server_error() { Refusal::Failed(words) } else { Refusal::Refused(words) });
    }
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return Err(Refusal::Failed("Slack's answer cannot be read".into()));
    };
    if value.get("ok").and_then(Value::as_bool) == Some(true) {
        return Ok(value);
    }
    let error = value.get("error").and_then(Value::as_str).unwrap_or("unknown_error");
    let needed =
        value.get("needed").and_then(Value::as_str).map(|n| format!(" (needed: {n})")).unwrap_or_default();
    Err(match error {
        "ratelimited" | "rate_limited" => Refusal::Limited(UNTOLD),
        error if GONE.contains(&error) => Refusal::Gone(error.to_owned()),
        error if TOO_LONG.contains(&error) => Refusal::TooLong(error.to_owned()),
        error if PASSING.contains(&error) => Refusal::Failed(format!("Slack answers {error}")),
        error => Refusal::Refused(format!("{}{needed}", words(error))),
    })
}

/// An error of Slack's, with what to do about it.
fn words(error: &str) -> String {
    match HINTS.iter().find(|(name, _)| *name == error) {
        Some((name, hint)) => format!("Slack refuses: {name}: {hint}"),
        None => format!("Slack refuses: {error}"),
    }
}
