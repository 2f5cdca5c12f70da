//! References of container images: `registry.example:5000/team/app:1.2@sha256:…`.
//!
//! Source of the grammar: distribution/reference, `reference.go`; of the short names: what container
//! runtimes make of `nginx` (`docker.io/library/nginx`).

use std::fmt;

/// The registry that a reference without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// The longest repository, host included, in bytes.
const MAX_REPOSITORY: usize = 255;

/// A reference as it was written, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The host of the registry, with its port; `None`: the default one.
    pub registry: Option<String>,
    /// The path of the repository below the host.
    pub path: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest, as in `sha256:…`.
    pub digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no image reference: {problem}")]
pub struct BadReference {
    /// The text, cut where it is long.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Reference {
    /// Takes a reference apart.
    ///
    /// # Errors
    /// What no registry would take, with the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        let bad = |problem: String| BadReference { text: shorten(text), problem };
        if text.is_empty() {
            return Err(bad("it is empty".into()));
        }
        if let Some(scheme) =
            ["https://", "http://", "docker://", "oci://"].iter().find(|s| text.starts_with(**s))
        {
            return Err(bad(format!("it begins with {scheme}; write the host alone")));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let digest = digest.map(check_digest).transpose().map_err(bad)?;
        // A colon after the last slash begins the tag; one before it belongs to the host's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let tag = tag.map(check_tag).transpose().map_err(bad)?;
        let (registry, path) = split_host(name);
        if let Some(host) = registry {
            check_host(host).map_err(bad)?;
        }
        check_path(path).map_err(bad)?;
        if name.len() > MAX_REPOSITORY {
            return Err(bad(format!("its repository is longer than {MAX_REPOSITORY} characters")));
        }
        Ok(Self { registry: registry.map(Into::into), path: path.into(), tag, digest })
    }

    /// Host and path as they were written, without tag and digest.
    pub fn repository(&self) -> String {
        match &self.registry {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// The host that is asked for it: the default one where none is written.
    pub fn host(&self) -> &str {
        self.registry.as_deref().unwrap_or(DEFAULT_REGISTRY)
    }

    /// The path that is asked for below [`host`](Self::host): `nginx` lies in `library/nginx` of the default registry.
    pub fn full_path(&self) -> String {
        let is_default = matches!(self.host(), DEFAULT_REGISTRY | "index.docker.io");
        if is_default && !self.path.contains('/') {
            format!("library/{}", self.path)
        } else {
            self.path.clone()
        }
    }

    /// Whether two references name the same repository, however short they are written.
    pub fn is_same_repository(&self, other: &Self) -> bool {
        let host = |r: &Self| match r.host() {
            "index.docker.io" => DEFAULT_REGISTRY.to_owned(),
            host => host.to_ascii_lowercase(),
        };
        host(self) == host(other) && self.full_path() == other.full_path()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Cuts the host off: the first part, if it has a dot, a colon or a capital, or is `localhost`.
fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(|c| c.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return Err(format!("the host {host:?} has no closing bracket"));
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("{address:?} is no IPv6 address"));
        }
        ("", after.strip_prefix(':').or(if after.is_empty() { None } else { Some(after) }))
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    if let Some(port) = port
        && !(port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0))
    {
        return Err(format!("{port:?} is no port"));
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if !host.starts_with('[') && !name.split('.').all(label) {
        return Err(format!("{name:?} is no host name"));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("it names no repository".into());
    }
    for part in path.split('/') {
        if part.is_empty() {
            return Err("its repository has an empty part (two slashes, or one at an end)".into());
        }
        if let Some(c) = part.chars().find(|c| c.is_ascii_uppercase()) {
            return Err(format!("a repository is written in lower case, {part:?} has {c:?}"));
        }
        if let Some(c) = part.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-')) {
            return Err(format!("{c:?} cannot be in a repository"));
        }
        if !separators_are_good(part) {
            return Err(format!(
                "{part:?}: letters and digits begin and end a part; between them stand one dot, one or two underscores, or dashes"
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn separators_are_good(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    if !part.starts_with(alphanumeric) || !part.ends_with(alphanumeric) {
        return false;
    }
    part.split(alphanumeric)
        .filter(|s| !s.is_empty())
        .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match tag {
        "" => Err("its tag is empty".into()),
        t if t.len() > 128 => Err("its tag is longer than 128 characters".into()),
        t if t.starts_with(['.', '-']) => {
            Err(format!("a tag begins with a letter, digit or underscore: {t:?}"))
        }
        t => match t.chars().find(|c| !good(*c)) {
            Some(c) => Err(format!("{c:?} cannot be in a tag")),
            None => Ok(t.to_owned()),
        },
    }
}

fn check_digest(digest: &str) -> Result<String, String> {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return Err(format!("{:?} is no digest (sha256:<64 hexadecimal digits>)", shorten(digest)));
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        other => return Err(format!("no registry knows the digest algorithm {:?}", shorten(other))),
    };
    let good = hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good {
        Ok(digest.to_owned())
    } else {
        Err(format!("a digest {algorithm}: has {length} hexadecimal digits in lower case"))
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHA: &str = "sha256:a7af5bd5cdc5666f987d8876de5b76901734c0cbf35d28ba4e40ad9f313c1a8f";

    #[test]
    fn references_are_taken_apart_and_written_as_they_were() {
        let digest = format!("r.example/a@{SHA}");
        let both = format!("localhost:5000/team/app__x:v1@{SHA}");
        for (text, registry, path, tag) in [
            ("nginx", None, "nginx", None),
            ("nginx:1.27", None, "nginx", Some("1.27")),
            ("library/nginx", None, "library/nginx", None),
            ("localhost/app", Some("localhost"), "app", None),
            ("localhost:5000/app:v1", Some("localhost:5000"), "app", Some("v1")),
            ("REGISTRY/app", Some("REGISTRY"), "app", None),
            ("r.example/a/b-c/d.e:T_1.x-y", Some("r.example"), "a/b-c/d.e", Some("T_1.x-y")),
            ("[::1]:5000/app:1", Some("[::1]:5000"), "app", Some("1")),
            (digest.as_str(), Some("r.example"), "a", None),
            (both.as_str(), Some("localhost:5000"), "team/app__x", Some("v1")),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.registry.as_deref(), registry, "{text}");
            assert_eq!(reference.path, path, "{text}");
            assert_eq!(reference.tag.as_deref(), tag, "{text}");
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn what_no_registry_takes_is_refused_with_the_part_that_is_wrong() {
        let long = format!("r.example/{}", "a/".repeat(130) + "a");
        for (text, part) in [
            ("", "it is empty"),
            ("https://r.example/a", "begins with https://"),
            ("r.example/Orders:1", "lower case"),
            ("r.example//a", "an empty part"),
            ("r.example/a/", "an empty part"),
            ("a b", "' ' cannot be in a repository"),
            ("r.example/a:", "its tag is empty"),
            ("r.example/a:-x", "a tag begins"),
            ("r.example/a:x y", "' ' cannot be in a tag"),
            ("r.example/a@sha256:abc", "has 64 hexadecimal digits"),
            ("r.example/a@latest", "is no digest"),
            ("r.example/a@md5:abc", "algorithm \"md5\""),
            ("r.example:http/a", "is no port"),
            ("r.example:99999/a", "is no port"),
            ("-r.example/a", "is no host name"),
            ("r..example/a", "is no host name"),
            ("[::z]/a", "is no IPv6 address"),
            ("[::1/a", "closing bracket"),
            ("a___b", "begin and end a part"),
            ("a-", "begin and end a part"),
            (long.as_str(), "longer than 255"),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn short_names_are_the_default_registrys() {
        let same =
            |a: &str, b: &str| Reference::parse(a).unwrap().is_same_repository(&Reference::parse(b).unwrap());
        assert!(same("nginx:1", "docker.io/library/nginx"));
        assert!(same("index.docker.io/library/nginx", "nginx"));
        assert!(!same("r.example/nginx", "nginx"));
        assert!(!same("team/nginx", "nginx"));
    }
}
