//! Why an image cannot be told: in words that name the image, the registry, and what to do.

use kiban_runtime::client::ClientError;

use super::platform::{Platform, listed};
use crate::aws::AwsError;

/// What is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The repository.
    Repository,
    /// The tag.
    Tag,
    /// The digest.
    Digest,
    /// Something that the image's index or manifest points to.
    Part,
    /// The registry does not say which.
    Unsaid,
}

/// Why an image cannot be told. Nothing secret is in it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It is not there.
    #[error("{}", missing(image, *what, near))]
    NotFound {
        /// The image.
        image: String,
        /// What of it.
        what: Missing,
        /// Tags that may have been meant.
        near: Vec<String>,
    },
    /// The registry does not let this caller read it.
    #[error("{host} does not let {image} be read with {credential}: {said}")]
    Unauthorized {
        /// The registry.
        host: String,
        /// The image.
        image: String,
        /// Which credential was used, by its name.
        credential: String,
        /// What the registry said.
        said: String,
    },
    /// A credential cannot be used.
    #[error("{credential}: {problem}")]
    Credential {
        /// Which.
        credential: String,
        /// Why.
        problem: String,
    },
    /// AWS gave no password for a registry of ECR.
    #[error("no password for {host}: {source}")]
    Ecr {
        /// The registry.
        host: String,
        /// Why.
        source: AwsError,
    },
    /// It was built for other platforms.
    #[error(
        "{image} does not run on {}: it was built for {}. Build it for {} too",
        listed(wanting),
        listed(has),
        if wanting.len() == 1 { "this one" } else { "these" }
    )]
    Platform {
        /// The image.
        image: String,
        /// What it was built for.
        has: Vec<Platform>,
        /// Which of the wanted platforms it does not run on.
        wanting: Vec<Platform>,
    },
    /// No answer came.
    #[error("{source}; {image} could not be looked up")]
    Unreachable {
        /// The image.
        image: String,
        /// Why.
        source: ClientError,
    },
    /// The registry asks for patience.
    #[error("{host} limits how often it is asked (429){}; {image} could not be looked up", retry.as_ref().map(|r| format!(" and asks to wait ({r})")).unwrap_or_default())]
    Busy {
        /// The registry.
        host: String,
        /// The image.
        image: String,
        /// `Retry-After`, as it came.
        retry: Option<String>,
    },
    /// The registry failed.
    #[error("{host} answers {status} for {image}: {said}")]
    Status {
        /// The registry.
        host: String,
        /// The image.
        image: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// What came is not what was asked for.
    #[error("{host}, {image}: {problem}")]
    Answer {
        /// The registry.
        host: String,
        /// The image.
        image: String,
        /// What is wrong.
        problem: String,
    },
    /// The tag was moved while it was looked at.
    #[error(
        "the tag of {image} moved from {from} to {to} while it was looked up: look it up again, or name the digest"
    )]
    Moved {
        /// The image.
        image: String,
        /// What it meant at first.
        from: String,
        /// What it means now.
        to: String,
    },
    /// The image has the oldest format of all.
    #[error(
        "{image} is in Docker's first format (schema 1), which no current runtime takes: push it again with a current builder"
    )]
    Schema1 {
        /// The image.
        image: String,
    },
    /// The reference leads to something else than an image.
    #[error("{image} is no container image but {kind:?}")]
    NoImage {
        /// The reference.
        image: String,
        /// What it is: a media type.
        kind: String,
    },
}

fn missing(image: &str, what: Missing, near: &[String]) -> String {
    let reason = match what {
        Missing::Repository => "the registry has no such repository".to_owned(),
        Missing::Tag => "the repository has no such tag".to_owned(),
        Missing::Digest => "the repository has no such digest".to_owned(),
        Missing::Part => "the registry lost a part of it, push it again".to_owned(),
        Missing::Unsaid => "the registry has no such image".to_owned(),
    };
    match near {
        [] => format!("{image} is not there: {reason}"),
        near => format!("{image} is not there: {reason}; it has {}", near.join(", ")),
    }
}

impl RegistryError {
    /// Whether asking again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_passing(),
            Self::Busy { .. } | Self::Moved { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Ecr { source: AwsError::Unreachable { source, .. }, .. } => source.is_passing(),
            Self::Ecr { source: AwsError::Refused { status, .. }, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether it says something of the image itself, which no other try will mend: it is not there, or is not
    /// what it should be.
    pub fn is_verdict(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. } | Self::Platform { .. } | Self::Schema1 { .. } | Self::NoImage { .. }
        )
    }
}
