//! What opens a repository over HTTP. It never prints: messages name it, and only the request carries it.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderValue;

use crate::error::Error;
use crate::files;

/// The user where only a token is given.
const ANY_USER: &str = "x-access-token";
/// No token is longer.
const LONGEST: u64 = 64 << 10;

/// What stands in a message in place of a secret.
const MASK: &str = "***";
/// So many bytes of a secret's begin are masked as the whole is: messages are cut to a length.
const TELLING: usize = 8;

/// A user with a password or token, or a token alone.
#[derive(Clone)]
pub struct Credential {
    name: String,
    header: HeaderValue,
    /// What must not stand in a message: the secret, and the forms in which a server may say it back.
    forms: Vec<String>,
}

impl Credential {
    /// User and password, or user and token, as forges take them over HTTP. `name` is what messages call it:
    /// the file or variable that it comes from.
    ///
    /// # Errors
    /// Where a part cannot be sent.
    pub fn basic(name: &str, user: &str, secret: &str) -> Result<Self, Error> {
        let secret = secret.trim_end_matches(['\r', '\n']);
        if user.contains(':') || user.contains(char::is_control) || secret.contains(char::is_control) {
            return Err(Error::Given {
                what: format!("the credential {name}"),
                why: "the user holds a colon, or a part holds control characters".to_owned(),
            });
        }
        let pair = format!("{user}:{secret}");
        Self::new(name, secret, Some(&pair), format!("Basic {}", STANDARD.encode(&pair)))
    }

    /// A token that is sent as it is, for servers that ask for that; forges take it of git only as [`Self::token`].
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub fn bearer(name: &str, token: &str) -> Result<Self, Error> {
        let token = token.trim();
        Self::new(name, token, None, format!("Bearer {token}"))
    }

    /// A token as people keep it: `user:token`, or the token alone, which forges take for any user. That is
    /// sent as the user `x-access-token`, the one that GitHub demands of its apps.
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub fn token(name: &str, text: &str) -> Result<Self, Error> {
        let (user, secret) = text.trim().split_once(':').unwrap_or((ANY_USER, text.trim()));
        Self::basic(name, user, secret)
    }

    /// What a file holds: a token for this user; without one, as [`Self::token`] takes it.
    ///
    /// # Errors
    /// Where the file cannot be read, or what it holds cannot be sent.
    pub fn from_file(path: &Path, user: Option<&str>) -> Result<Self, Error> {
        let name = path.display().to_string();
        let bytes = files::read(path, LONGEST)?
            .ok_or_else(|| Error::io("open", path)(std::io::ErrorKind::NotFound.into()))?;
        let wrong = |_| Error::Given {
            what: format!("the credential {name}"),
            why: "the file is no text".to_owned(),
        };
        let text = std::str::from_utf8(&bytes).map_err(wrong)?;
        match user {
            Some(user) => Self::basic(&name, user, text.trim()),
            None => Self::token(&name, text),
        }
    }

    fn new(name: &str, secret: &str, pair: Option<&str>, header: String) -> Result<Self, Error> {
        let refuse = |why: &str| Error::Given { what: format!("the credential {name}"), why: why.to_owned() };
        if secret.is_empty() {
            return Err(refuse("it is empty"));
        }
        let mut header = HeaderValue::try_from(header)
            .map_err(|_| refuse("it holds characters that no header can carry"))?;
        header.set_sensitive(true);
        Ok(Self { name: name.to_owned(), header, forms: forms(secret, pair) })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A text from outside without the secret in any of its forms, also where the text was cut inside of one.
    pub(crate) fn mask(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let secret = self.forms.iter().map(|form| shared(rest, form)).max().unwrap_or(0);
            if secret > 0 {
                out.push_str(MASK);
                rest = rest.get(secret..).unwrap_or_default().trim_start_matches('=');
            } else {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
        out
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

/// The forms of a secret: itself, as it stands in quotes, and in base64 without padding, alone and with its user.
fn forms(secret: &str, pair: Option<&str>) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), secret.escape_debug().to_string()];
    for text in [Some(secret), pair].into_iter().flatten() {
        forms.extend([STANDARD_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(text)]);
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// How much of a form a text begins with, in bytes; nothing where that tells nothing.
fn shared(text: &str, form: &str) -> usize {
    let both = text.chars().zip(form.chars()).take_while(|(a, b)| a == b);
    let length = both.map(|(c, _)| c.len_utf8()).sum();
    if length == form.len() || length >= TELLING { length } else { 0 }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.name)
    }
}
