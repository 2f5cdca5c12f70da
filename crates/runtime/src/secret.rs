//! Texts that must not be seen: never printed, wiped from memory when they go.

use std::fmt;
use std::io::Read;
use std::path::Path;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The largest secret that is read from a file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A text that is never printed: `{}` and `{:?}` show that it is there, nothing of it.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

/// Why a secret could not be read. Nothing of the secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large to be a secret.
    #[error("{path} is larger than {} KiB, which no secret is", MAX_FILE >> 10)]
    TooLarge {
        /// The file.
        path: String,
    },
    /// The file holds nothing.
    #[error("{path} is empty: it should hold a secret")]
    Empty {
        /// The file.
        path: String,
    },
    /// The file holds no text.
    #[error("{path} is no UTF-8 text")]
    NotText {
        /// The file.
        path: String,
    },
    /// The environment has no such variable, or an empty one.
    #[error("the environment variable {name} is not set: it should hold a secret")]
    Unset {
        /// The variable.
        name: String,
    },
}

impl Secret {
    /// Keeps `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Reads a secret from a file; one line end at its end is no part of it.
    ///
    /// # Errors
    /// Where the file cannot be read, is empty, no text or larger than a MiB.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let shown = || path.display().to_string();
        let read = |source| SecretError::Read { path: shown(), source };
        let mut bytes = Zeroizing::new(Vec::new());
        let file = std::fs::File::open(path).map_err(read)?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(SecretError::TooLarge { path: shown() });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText { path: shown() })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(SecretError::Empty { path: shown() });
        }
        Ok(Self::new(text))
    }

    /// Reads a secret from the environment.
    ///
    /// # Errors
    /// Where the variable is not set or empty.
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        match std::env::var(name) {
            Ok(text) if !text.is_empty() => Ok(Self::new(text)),
            _ => Err(SecretError::Unset { name: name.to_owned() }),
        }
    }

    /// The text itself. Whoever calls this sees to it that it is neither printed nor kept.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Compared in a time that says nothing of where they differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)).matches("hunter2").count(), 0);
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (bytes, expect) in [
            (&b"abc\n"[..], Ok("abc")),
            (b"abc\r\n", Ok("abc")),
            (b"abc\n\n", Ok("abc\n")),
            (b" abc", Ok(" abc")),
            (b"", Err("is empty")),
            (b"\n", Err("is empty")),
            (b"\xff\xfe", Err("no UTF-8 text")),
            (&vec![b'a'; (1 << 20) + 1], Err("larger than 1024 KiB")),
        ] {
            std::fs::write(&path, bytes).unwrap();
            match (Secret::from_file(&path), expect) {
                (Ok(secret), Ok(text)) => assert_eq!(secret.expose(), text),
                (Err(error), Err(words)) => {
                    let said = error.to_string();
                    assert!(said.contains(words) && said.contains("token"), "{said}");
                }
                (got, expect) => panic!("{got:?}, expected {expect:?}"),
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Secret::from_file(&path).unwrap_err().to_string().starts_with("cannot read the secret in "));
    }
}
