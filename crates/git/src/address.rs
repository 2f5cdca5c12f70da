//! Where a repository is: an HTTPS address, or a folder of this machine.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;

use crate::error::{Error, tame};

/// An address that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Over HTTPS, or HTTP where that is allowed.
    Http(HttpAddress),
    /// A repository in a folder.
    Folder(PathBuf),
}

/// An address over HTTP. It holds no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// Whether it is HTTPS.
    pub tls: bool,
    /// The host's name or address, as it stands in a URL.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, without a slash at its end.
    pub path: String,
}

impl Address {
    /// Reads an address as people write it: `https://…`, `file:///…`, or a path. `http://` is taken where the
    /// host is this machine, or `allow_http` says so.
    ///
    /// # Errors
    /// Where it is none of those, or holds a credential. What could be secret is not repeated.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, Error> {
        let text = text.trim();
        let refuse = |why: &str| Err(Error::Address { shown: shown(text), why: why.to_owned() });
        let Some((scheme, rest)) = text.split_once("://") else {
            let colon = text.find(':').unwrap_or(usize::MAX);
            if text.is_empty() {
                return refuse("it is empty");
            }
            if colon < text.find('/').unwrap_or(usize::MAX) {
                return refuse(
                    "it is an address over SSH, which is not spoken: give the https:// one, and a token",
                );
            }
            return Ok(Self::Folder(text.into()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => Ok(Self::Folder(path.into())),
                _ => refuse("a file:// address names a folder of this machine: file:///srv/manifests.git"),
            },
            "https" | "http" => HttpAddress::parse(text, allow_http).map(Self::Http),
            "ssh" | "git+ssh" => refuse("SSH is not spoken: give the https:// address, and a token"),
            _ => refuse("only https://, file:// and paths are understood"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address) => address.fmt(f),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl HttpAddress {
    fn parse(text: &str, allow_http: bool) -> Result<Self, Error> {
        let refuse = |why: &str| Error::Address { shown: shown(text), why: why.to_owned() };
        // Looked for before anything else reads the text, so that no other message can hold it. Behind a
        // mistyped address it may seem to be a part of the path.
        if text.contains('@') {
            return Err(refuse(
                "it holds a user name or a token, which would end up in logs: take it out, and give it as a \
                 credential (a file or an environment variable); an @ of the path is written %40",
            ));
        }
        if text.contains(['?', '#']) {
            return Err(refuse("it has a query or a fragment, which no repository's address has"));
        }
        let uri: Uri = text.parse().map_err(|_| refuse("it is no URL"))?;
        let found = Self::of(&uri).ok_or_else(|| refuse("it has no host"))?;
        if !found.tls && !allow_http && !found.is_loopback() {
            return Err(refuse(
                "it is http://, where everybody on the way reads and changes what is sent: give the https:// one",
            ));
        }
        Ok(found)
    }

    /// Reads a whole URI. `None` where it has no host, another scheme, or a user.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@'))?;
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let (host, path) =
            (authority.host().to_ascii_lowercase(), uri.path().trim_end_matches('/').to_owned());
        (!host.is_empty()).then_some(Self { tls, host, port, path })
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        let bare = self.bare_host();
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The host without the brackets of an IPv6 address.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> (bool, &str, u16) {
        (self.tls, &self.host, self.port)
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.host)?;
        if self.port != if self.tls { 443 } else { 80 } {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// An address without user, query and fragment: what may stand in a message.
pub(crate) fn shown(text: &str) -> String {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    // The last @ ends the user, whatever the user holds, and wherever a mistyped address has it.
    let text = match text.rsplit_once('@') {
        Some((_, rest)) if scheme.contains(['@', '?', '#']) || scheme.is_empty() => rest.to_owned(),
        Some((_, rest)) => format!("{scheme}://{rest}"),
        None => text.to_owned(),
    };
    tame(text.split(['?', '#']).next().unwrap_or("").as_bytes(), 500)
}
