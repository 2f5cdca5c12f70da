//! What can go wrong, in words for whoever has to act on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Oid;

/// Why an operation failed. None of its texts holds a credential: URLs are shown without user and query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of a remote cannot be used.
    #[error("the repository address {shown} cannot be used: {why}")]
    Address {
        /// The address, without what could be secret.
        shown: String,
        /// Why, and what to write instead.
        why: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create", …
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder is no repository, or one that cannot be read.
    #[error("{} is no repository that can be used: {why}", path.display())]
    NotARepository {
        /// The folder.
        path: PathBuf,
        /// What is missing, or what it uses that is not supported.
        why: String,
    },
    /// Another process holds the store, or the lock of a ref.
    #[error("{} is in use: {why}", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// Who holds it, and what to do when nobody does.
        why: String,
    },
    /// The remote could not be reached, or the connection broke.
    #[error("cannot reach {remote}: {why}")]
    Network {
        /// The remote.
        remote: String,
        /// What failed.
        why: String,
    },
    /// The server wants a credential, or another one (401).
    #[error("{remote} does not accept {credential} (HTTP 401): {why}")]
    Unauthorized {
        /// The remote.
        remote: String,
        /// Which credential was used, by its name.
        credential: String,
        /// What to do.
        why: String,
    },
    /// The credential is known, and may not do this (403).
    #[error("{remote} forbids this to {credential} (HTTP 403){}", said(words))]
    Forbidden {
        /// The remote.
        remote: String,
        /// Which credential was used, by its name.
        credential: String,
        /// What the server said.
        words: String,
    },
    /// There is no such repository, or the credential does not see it (404).
    #[error("{remote} is not there (HTTP 404), or {credential} may not see it")]
    NotFound {
        /// The remote.
        remote: String,
        /// Which credential was used, by its name.
        credential: String,
    },
    /// Too many requests (429, or 403 with a time to wait).
    #[error("{remote} asks to wait{} (HTTP {status}){}", wait(*retry_after), said(words))]
    RateLimited {
        /// The remote.
        remote: String,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// What the server said.
        words: String,
    },
    /// The server failed (5xx), or answered with another status than it should.
    #[error("{remote} answered HTTP {status}{}", said(words))]
    Server {
        /// The remote.
        remote: String,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// What the server said.
        words: String,
    },
    /// A redirect that is not followed.
    #[error("{remote} redirects to {to}, which is not followed: {why}")]
    Redirect {
        /// The remote.
        remote: String,
        /// Where to, without what could be secret.
        to: String,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// The other side does not speak as git's protocol says.
    #[error("{remote} does not speak git's smart HTTP protocol: {why}")]
    Protocol {
        /// The remote.
        remote: String,
        /// What was wrong.
        why: String,
    },
    /// The other side ended the conversation with an error of its own.
    #[error("{remote} says: {words}")]
    Refused {
        /// The remote.
        remote: String,
        /// Its words.
        words: String,
    },
    /// The remote has no such branch, tag or commit.
    #[error("{remote} has no {what}")]
    NoSuchRef {
        /// The remote.
        remote: String,
        /// The ref's full name, or "commit …".
        what: String,
    },
    /// The answer to a push was lost: it may have landed or not. Ask the remote where the ref is.
    #[error(
        "the answer of {remote} to the push of {name} was lost ({why}): ask where the branch is before trying again"
    )]
    Lost {
        /// The remote.
        remote: String,
        /// The ref's full name.
        name: String,
        /// What broke.
        why: String,
    },
    /// Something was larger than a limit.
    #[error("{what} is more than the limit of {limit}: raise the limit if this is right")]
    Limit {
        /// What was too large.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// It took longer than allowed.
    #[error("it took longer than {} s to {what}", after.as_secs())]
    Timeout {
        /// What was under way.
        what: &'static str,
        /// The time that was allowed.
        after: Duration,
    },
    /// The caller ended it.
    #[error("cancelled")]
    Cancelled,
    /// A pack is broken.
    #[error("the pack from {from} is broken: {why}")]
    Pack {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object does not have the form that its kind demands.
    #[error("object {id} is broken: {why}")]
    Object {
        /// The object.
        id: Oid,
        /// What is wrong with it.
        why: String,
    },
    /// An object is not there.
    #[error("object {id} is not in {}", place.display())]
    Missing {
        /// The object.
        id: Oid,
        /// Where it was looked for.
        place: PathBuf,
    },
    /// A path in a tree, or one that is to be written, is refused.
    #[error("{path}: {why}")]
    Path {
        /// The path, with odd bytes escaped.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The name of a ref is none.
    #[error("{name} is no name of a ref: {why}")]
    RefName {
        /// The name, with odd bytes escaped.
        name: String,
        /// Why.
        why: String,
    },
    /// A ref is not where it was expected to be.
    #[error("{name} is at {}, not at {}", place(*current), place(*expected))]
    RefMoved {
        /// The ref.
        name: String,
        /// Where it is.
        current: Option<Oid>,
        /// Where it should have been.
        expected: Option<Oid>,
    },
    /// Something that was given cannot be used: a name, a message, a key.
    #[error("{what}: {why}")]
    Given {
        /// What was given.
        what: String,
        /// Why it cannot be used, and what can.
        why: String,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } | Self::RateLimited { .. } | Self::Lost { .. } => {
                true
            }
            Self::Busy { .. } => true,
            Self::Server { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// How long the server asked to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// With all texts that may quote the other side changed.
    pub(crate) fn with_words(mut self, change: &dyn Fn(&str) -> String) -> Self {
        let text = match &mut self {
            Self::Network { why, .. }
            | Self::Protocol { why, .. }
            | Self::Lost { why, .. }
            | Self::Pack { why, .. }
            | Self::RefName { why, .. }
            | Self::Object { why, .. } => why,
            Self::Forbidden { words, .. }
            | Self::RateLimited { words, .. }
            | Self::Server { words, .. }
            | Self::Refused { words, .. } => words,
            Self::Redirect { to, .. } => to,
            Self::Path { path, .. } => path,
            _ => return self,
        };
        *text = change(text);
        self
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source: unnamed(source) }
    }

    pub(crate) fn pack(from: &str, why: impl Into<String>) -> Self {
        Self::Pack { from: from.to_owned(), why: why.into() }
    }

    pub(crate) fn object(id: Oid, why: impl Into<String>) -> Self {
        Self::Object { id, why: why.into() }
    }
}

/// An error of a temporary file without its random name: the same trouble has the same words each time.
fn unnamed(source: std::io::Error) -> std::io::Error {
    if source.raw_os_error().is_some() || source.get_ref().is_none() {
        return source;
    }
    match source.to_string().split_once(" at path \"") {
        Some((words, _)) => std::io::Error::new(source.kind(), words.to_owned()),
        None => source,
    }
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn wait(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!(" {} s", time.as_secs()))
}

fn place(at: Option<Oid>) -> String {
    at.map_or_else(|| "nothing".to_owned(), |id| id.to_string())
}

/// Text from outside, fit for one line of a message: no control characters, bounded.
pub(crate) fn tame(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes.get(..limit.min(bytes.len())).unwrap_or_default());
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_control() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            out.push(c);
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_trouble_with_temporary_files_has_the_same_words() {
        let root = tempfile::tempdir().unwrap();
        let gone = root.path().join("gone");
        let fail = || {
            let why = tempfile::Builder::new().prefix("tmp_pack_").tempfile_in(&gone).unwrap_err();
            assert!(why.to_string().contains("tmp_pack_"), "{why}");
            Error::io("write a pack in", &gone)(why)
        };
        let (one, two) = (fail(), fail());
        assert_eq!(format!("{one} {one:?}"), format!("{two} {two:?}"));
        let said = one.to_string();
        assert!(
            said.starts_with(&format!("cannot write a pack in {}: No such file", gone.display())),
            "{said}"
        );
        assert!(!said.contains("tmp_pack_"), "{said}");
    }
}
