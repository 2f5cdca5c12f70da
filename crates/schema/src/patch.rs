//! JSON Patch (RFC 6902) and JSON merge patch (RFC 7386) as an API server applies them: its
//! limits, its leniencies and its error texts.

pub(crate) mod gofmt;
mod json_patch;
mod merge_patch;

pub use json_patch::{MAX_OPERATIONS, apply_json_patch};
pub use merge_patch::apply_merge_patch;
pub(crate) use merge_patch::within_depth;

/// Objects nested deeper than this are refused by every patch form. The API server's decoders stop
/// far earlier on what clients send; this bounds the recursion of the walks in this crate.
pub const MAX_DEPTH: usize = 256;

/// Why a patch could not be applied; each variant is one HTTP status of the API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: 400 BadRequest.
    #[error("{0}")]
    BadRequest(String),
    /// Too many operations: 413 RequestEntityTooLarge.
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object, a failed `test` for one: 422 without causes.
    #[error("{0}")]
    Unprocessable(String),
    /// The API server has no better word for it than 500 InternalError.
    #[error("{0}")]
    Internal(String),
}

impl PatchError {
    /// The HTTP status that the API server answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::TooLarge(_) => 413,
            Self::Unprocessable(_) => 422,
            Self::Internal(_) => 500,
        }
    }

    /// The message that the API server puts in the Status: for 422 it keeps the reason to itself.
    pub fn client_message(&self) -> String {
        match self {
            Self::Unprocessable(_) => {
                "the server rejected our request due to an error in our request".to_owned()
            }
            Self::TooLarge(m) => format!("Request entity too large: {m}"),
            Self::BadRequest(m) | Self::Internal(m) => m.clone(),
        }
    }

    pub(crate) fn too_deep() -> Self {
        Self::BadRequest("exceeded max depth".to_owned())
    }
}

#[cfg(test)]
mod tests;
