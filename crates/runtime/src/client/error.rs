//! Why a request got no answer: the host and the cause, never the rest of the URL, never a credential.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use super::connect::ConnectFailure;

/// Why a request got no answer, or an answer no body.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client cannot be made from its options.
    #[error("{0}")]
    Options(String),
    /// The URL is none that can be asked.
    #[error("{0}")]
    Url(String),
    /// A header holds what no header may.
    #[error("the header {name} holds what no header may")]
    Header {
        /// The header's name.
        name: String,
    },
    /// No connection came about: nothing was sent.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// Scheme, host and port.
        host: String,
        /// Why.
        cause: String,
    },
    /// The other side could not prove that it is the host, or speaks no TLS that we do: nothing was sent.
    #[error("no trusted TLS connection to {host}: {cause}")]
    Tls {
        /// Scheme, host and port.
        host: String,
        /// Why.
        cause: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {}", kiban_base::duration::format(*.after))]
    Deadline {
        /// Scheme, host and port.
        host: String,
        /// How long was waited in all.
        after: Duration,
    },
    /// The body stopped coming.
    #[error("{host} sent nothing for {}", kiban_base::duration::format(*.after))]
    Stalled {
        /// Scheme, host and port.
        host: String,
        /// How long was waited for the next piece.
        after: Duration,
    },
    /// The connection broke, or carried no HTTP.
    #[error("{host} broke off: {cause}")]
    Broken {
        /// Scheme, host and port.
        host: String,
        /// Why.
        cause: String,
    },
    /// The response is larger than the caller takes.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// Scheme, host and port.
        host: String,
        /// What the caller takes.
        limit: u64,
    },
    /// A redirect leads where the caller does not follow.
    #[error("{host} redirects {why}")]
    Redirect {
        /// Scheme, host and port of who redirects.
        host: String,
        /// Whereto, and why that is not followed.
        why: String,
    },
    /// The body is no UTF-8.
    #[error("the answer of {host} is no UTF-8 text")]
    NotText {
        /// Scheme, host and port.
        host: String,
    },
    /// The body to be sent could not be read to its end.
    #[error("what was to be sent to {host} broke off: {cause}")]
    Payload {
        /// Scheme, host and port.
        host: String,
        /// Why.
        cause: String,
    },
}

impl ClientError {
    /// Whether nothing of the request can have reached the host.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::Url(_) | Self::Header { .. })
    }

    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Deadline { .. } | Self::Stalled { .. } | Self::Broken { .. }
        )
    }

    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Options(_) | Self::Url(_) | Self::Header { .. } => "request",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Deadline { .. } => "deadline",
            Self::Stalled { .. } => "stalled",
            Self::Broken { .. } => "broken",
            Self::TooLarge { .. } => "too_large",
            Self::Redirect { .. } => "redirect",
            Self::NotText { .. } => "not_text",
            Self::Payload { .. } => "payload",
        }
    }

    /// What hyper's client says, as ours.
    pub(super) fn of_exchange(host: &str, error: &hyper_util::client::legacy::Error) -> Self {
        let host = host.to_owned();
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(at) = cause {
            if let Some(failure) = at.downcast_ref::<ConnectFailure>() {
                return failure.clone().at(host);
            }
            if let Some(failure) = at.downcast_ref::<PayloadFailure>() {
                return Self::Payload { host, cause: failure.0.clone() };
            }
            cause = at.source();
        }
        let cause = error.source().map_or_else(|| error.to_string(), chain);
        if error.is_connect() { Self::Connect { host, cause } } else { Self::Broken { host, cause } }
    }
}

/// The caller's own body broke off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PayloadFailure(pub(super) String);

/// An error with its causes, in one line, each thing once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        let more = at.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = at.source();
    }
    text
}
