//! Webhooks of forges: whether one is genuine, whether it was seen before, and what it is about.
//!
//! A webhook only wakes a fetch: what it says is not believed, what the remote then shows is. So a replay costs
//! one look at a branch; those of the last deliveries are not even that.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use kiban_base::clock::Timestamp;
use kiban_runtime::secret::Secret;
use ring::hmac;
use serde_json::Value;

use super::Kind;

/// The largest body of a webhook that is taken, in bytes. GitHub sends up to 25 MB; what is larger than this is
/// found by the next look at the branch.
pub const MAX_BODY: usize = 4 << 20;

/// Deliveries that are remembered.
const REMEMBERED: usize = 4_096;

/// How far a signed time may lie from ours.
const DRIFT: Duration = Duration::from_secs(5 * 60);

/// The longest delivery id that is one.
const MAX_ID: usize = 128;

/// Why a webhook is not taken. None of it helps who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It says nothing of who sends it.
    #[error(
        "it carries no signature: the forge's webhook needs the secret that this server is configured with"
    )]
    Unsigned,
    /// Who sends it does not know the secret.
    #[error("its signature is wrong: the forge's webhook has another secret than this server")]
    Forged,
    /// It is signed for another time.
    #[error("it was signed at another time than now")]
    Stale,
    /// It came before.
    #[error("it was delivered before")]
    Seen,
    /// It cannot be read.
    #[error("its body is no JSON of a webhook")]
    Unreadable,
}

/// What a webhook is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A branch moved.
    Push {
        /// The repository's path.
        repository: String,
        /// The branch.
        branch: String,
    },
    /// Something happened to a pull request.
    Pull {
        /// The repository's path.
        repository: String,
        /// Its number.
        number: u64,
    },
    /// Nothing that is of interest here: a ping, a tag, an issue.
    Other,
}

/// Takes webhooks of one forge.
#[derive(Debug)]
pub struct Hooks {
    kind: Kind,
    secret: Secret,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: HashSet<String>,
    order: VecDeque<String>,
}

impl Hooks {
    /// Webhooks of a forge that are signed with `secret`.
    ///
    /// # Errors
    /// A secret that is none; a forge that has no webhooks.
    pub fn new(kind: Kind, secret: Secret) -> Result<Self, String> {
        if secret.is_empty() {
            return Err("an empty secret signs nothing".into());
        }
        if kind == Kind::Plain {
            return Err("a plain git remote sends no webhooks".into());
        }
        Ok(Self { kind, secret, seen: Mutex::default() })
    }

    /// Takes a webhook: genuine, new, and read.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn take(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Event, HookError> {
        let proof = match self.kind {
            Kind::Github => self.signed(headers, body, "x-hub-signature-256", "sha256=")?,
            Kind::Gitea => self.signed(headers, body, "x-gitea-signature", "")?,
            Kind::Gitlab | Kind::Plain => self.of_gitlab(headers, body, now)?,
        };
        let value: Value = serde_json::from_slice(body).map_err(|_| HookError::Unreadable)?;
        let id = ["x-github-delivery", "x-gitea-delivery", "webhook-id", "x-gitlab-event-uuid"]
            .into_iter()
            .find_map(|name| header(headers, name));
        // The id is not signed: who replays a body under another one is known by the signature.
        let keys = [id.map(|id| id.chars().take(MAX_ID).collect::<String>()), proof];
        if !self.is_new(keys.into_iter().flatten().collect()) {
            return Err(HookError::Seen);
        }
        Ok(self.event(headers, &value))
    }

    fn signed(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        name: &str,
        prefix: &str,
    ) -> Result<Option<String>, HookError> {
        let text = header(headers, name).ok_or(HookError::Unsigned)?;
        let tag = text.strip_prefix(prefix).and_then(from_hex).ok_or(HookError::Forged)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        hmac::verify(&key, body, &tag).map_err(|_| HookError::Forged)?;
        Ok(Some(text.to_owned()))
    }

    /// GitLab signs as Standard Webhooks does where it has a signing token (`whsec_…`), and else sends the secret
    /// itself.
    fn of_gitlab(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<String>, HookError> {
        let Some(encoded) = self.secret.expose().strip_prefix("whsec_") else {
            let text = header(headers, "x-gitlab-token").ok_or(HookError::Unsigned)?;
            // Compared in constant time.
            return if Secret::new(text) == self.secret { Ok(None) } else { Err(HookError::Forged) };
        };
        let key = STANDARD.decode(encoded).map_err(|_| HookError::Forged)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let get = |name| header(headers, name).ok_or(HookError::Unsigned);
        let (id, time, signatures) =
            (get("webhook-id")?, get("webhook-timestamp")?, get("webhook-signature")?);
        let mut signed = format!("{id}.{time}.").into_bytes();
        signed.extend_from_slice(body);
        let good = signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .any(|one| STANDARD.decode(one).is_ok_and(|tag| hmac::verify(&key, &signed, &tag).is_ok()));
        if !good {
            return Err(HookError::Forged);
        }
        let at = Timestamp::from_secs(time.parse().map_err(|_| HookError::Stale)?);
        if at.since(now) > DRIFT || now.since(at) > DRIFT {
            return Err(HookError::Stale);
        }
        Ok(None)
    }

    fn is_new(&self, keys: Vec<String>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.iter().any(|key| seen.keys.contains(key));
        for key in keys {
            if seen.keys.insert(key.clone()) {
                seen.order.push_back(key);
            }
        }
        while seen.order.len() > REMEMBERED {
            if let Some(key) = seen.order.pop_front() {
                seen.keys.remove(&key);
            }
        }
        !known
    }

    fn event(&self, headers: &HeaderMap, value: &Value) -> Event {
        let name = match self.kind {
            Kind::Gitlab | Kind::Plain => {
                value.get("object_kind").and_then(Value::as_str).unwrap_or_default()
            }
            Kind::Github => header(headers, "x-github-event").unwrap_or_default(),
            Kind::Gitea => header(headers, "x-gitea-event").unwrap_or_default(),
        };
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let repository = text("/repository/full_name").or_else(|| text("/project/path_with_namespace"));
        let Some(repository) = repository else { return Event::Other };
        let branch = text("/ref").and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned));
        let number = value
            .pointer("/pull_request/number")
            .or_else(|| value.pointer("/object_attributes/iid"))
            .and_then(Value::as_u64);
        match (name, branch, number) {
            ("push", Some(branch), _) => Event::Push { repository, branch },
            (name, _, Some(number)) if name.starts_with("pull_request") || name == "merge_request" => {
                Event::Pull { repository, number }
            }
            _ => Event::Other,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = text.as_bytes();
    // A digest of SHA-256, and nothing that is longer.
    (bytes.len() == 64).then_some(())?;
    bytes.chunks_exact(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests;
