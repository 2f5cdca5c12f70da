//! AWS without its SDK: credentials where the configuration names them, calls signed by hand.

pub mod credentials;
pub mod ecr;
mod form;
pub mod ini;
pub mod sigv4;

use kiban_runtime::client::ClientError;

pub use credentials::{Credentials, Provider, Surroundings};

/// Why AWS could not be asked, or said no.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwsError {
    /// No credentials are configured.
    #[error(
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or AWS_PROFILE; those of the instance are asked for only where `ecr` is said"
    )]
    None,
    /// What is configured cannot be used.
    #[error("AWS credentials of {from}: {problem}")]
    Configuration {
        /// Which source.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
    /// AWS gave no answer.
    #[error("AWS ({what}): {source}")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: ClientError,
    },
    /// AWS refused.
    #[error("AWS refuses {what} to the credentials of {from}: {said} (status {status})")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Whose credentials.
        from: String,
        /// The status.
        status: u16,
        /// What AWS said.
        said: String,
    },
    /// An answer that is none.
    #[error("AWS answered {what} with what is no answer: {problem}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
