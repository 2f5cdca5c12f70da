//! What the API server says when it refuses, and what a caller can do about it.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::Target;

/// A refusal of the API server: its `Status` object, or what its answer could be read as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, as in `Conflict`; may be empty.
    pub reason: String,
    /// The server's message.
    pub message: String,
    /// Its causes: what is wrong with which field.
    pub causes: Vec<Cause>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// One cause of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// As in `FieldManagerConflict` or `FieldValueInvalid`.
    pub reason: String,
    /// Path of the field, as in `.spec.replicas`; may be empty.
    pub field: String,
    /// For people.
    pub message: String,
}

/// Why a request to the API server did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The server answered and refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The server does not know who asks.
    #[error("{target} does not accept the credentials ({message}): log in again, or choose another context")]
    Unauthorized {
        /// Which server.
        target: Target,
        /// Its words.
        message: String,
    },
    /// There was no answer.
    #[error("cannot reach {target}: {problem}; is the cluster up, and is this the context that is meant?")]
    Unreachable {
        /// Which server.
        target: Target,
        /// What failed.
        problem: String,
    },
    /// The answer was not what the API promises.
    #[error("{target} answered {path} with something unexpected: {problem}")]
    Garbled {
        /// Which server.
        target: Target,
        /// What was asked.
        path: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// A write that was not sent, because the turn within which it was to be sent is over.
    #[error("the turn is over (lease {lease} was not renewed in time), so this was not sent")]
    TurnIsOver {
        /// `namespace/name` of the lease.
        lease: String,
    },
}

impl ApiError {
    /// HTTP status code, where there was an answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Unauthorized { .. } => Some(401),
            Self::Unreachable { .. } | Self::Garbled { .. } | Self::TurnIsOver { .. } => None,
        }
    }

    /// The server's refusal, where there is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// True for 404.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// True for 403.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// True for 409.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }
}

/// In kubectl's words, but for its first: `Conflict: Operation cannot be fulfilled on …`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reason.is_empty() {
            write!(f, "{}: ", self.reason)?;
        }
        match self.message.as_str() {
            "" => write!(f, "the server answered with status {}", self.code),
            message => f.write_str(message),
        }?;
        match super::forbidden::grant(&self.message).filter(|_| self.code == 403) {
            Some(grant) => write!(f, "; {grant}"),
            None => Ok(()),
        }
    }
}

impl Refusal {
    /// Reads the answer to a request that failed. Proxies before the server answer with anything.
    pub(crate) fn read(code: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header_delay = headers
            .get(http::header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.trim().parse::<u64>().ok())
            .map(Duration::from_secs);
        match serde_json::from_slice::<Value>(body) {
            Ok(status) if status.get("kind").and_then(Value::as_str) == Some("Status") => {
                let mut refusal = Self::from_status(&status);
                refusal.code = code;
                refusal.retry_after = header_delay.or(refusal.retry_after);
                refusal
            }
            _ => {
                let message: String = String::from_utf8_lossy(body).trim().chars().take(300).collect();
                Self { code, message, retry_after: header_delay, ..Self::default() }
            }
        }
    }

    /// Reads a `Status` object.
    pub(crate) fn from_status(status: &Value) -> Self {
        let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or("").to_string();
        let details = status.get("details");
        let causes = details.and_then(|d| d.get("causes")).and_then(Value::as_array);
        let causes = causes.into_iter().flatten().map(|c| Cause {
            reason: text(c, "reason"),
            field: text(c, "field"),
            message: text(c, "message"),
        });
        let seconds = details.and_then(|d| d.get("retryAfterSeconds")).and_then(Value::as_u64);
        Self {
            code: status.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or(0),
            reason: text(status, "reason"),
            message: text(status, "message"),
            causes: causes.collect(),
            retry_after: seconds.filter(|s| *s > 0).map(Duration::from_secs),
        }
    }

    /// Worth another try: the server is busy or was not itself.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.code, 429 | 500 | 502 | 503 | 504)
    }
}

/// The texts of the `Warning` headers (RFC 7234: code, agent, quoted text).
pub(crate) fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(http::header::WARNING).iter().filter_map(|v| v.to_str().ok());
    texts.filter_map(quoted).collect()
}

/// The first quoted string, with `\"` and `\\` resolved.
fn quoted(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('"')?;
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_status_object_is_read_with_its_causes() {
        let body = br#"{"kind":"Status","code":409,"reason":"Conflict","message":"Apply failed with 1 conflict: conflict with \"b\" using v1: .data.a",
            "details":{"retryAfterSeconds":3,"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"b\" using v1","field":".data.a"}]}}"#;
        let mut headers = HeaderMap::new();
        let refusal = Refusal::read(409, &headers, body);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(refusal.causes[0].field, ".data.a");
        assert!(refusal.to_string().starts_with("Conflict: Apply failed"));
        headers.insert(http::header::RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(Refusal::read(429, &headers, body).retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn any_other_answer_is_quoted_in_part() {
        let refusal = Refusal::read(502, &HeaderMap::new(), &[b'x'; 1000]);
        assert_eq!(refusal.message.len(), 300);
        assert!(refusal.is_passing());
        let nothing = Refusal::read(503, &HeaderMap::new(), b"");
        assert_eq!(nothing.to_string(), "the server answered with status 503");
    }

    #[test]
    fn warnings_are_the_quoted_texts() {
        let mut headers = HeaderMap::new();
        headers.append(http::header::WARNING, r#"299 - "batch/v1beta1 is \"old\"""#.parse().unwrap());
        headers.append(http::header::WARNING, "299 -".parse().unwrap());
        assert_eq!(warnings(&headers), ["batch/v1beta1 is \"old\""]);
    }
}
