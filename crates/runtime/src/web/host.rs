//! The names that a listener answers to: a page of another site that points its name here gets nothing.

use std::net::IpAddr;

/// The names. Addresses are always good: a page cannot make its own name one.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

/// Names that no public name server can point here.
const OWN: [&str; 3] = ["localhost", "*.svc", "*.svc.cluster.local"];

impl Hosts {
    /// The names of `names` (`*.` in front stands for any part), `localhost`, and those of services in a
    /// cluster.
    pub fn new(names: &[String]) -> Self {
        let own = OWN.iter().map(ToString::to_string);
        Self(own.chain(names.iter().map(|name| name.to_ascii_lowercase())).collect())
    }

    /// Whether `host`, with or without a port, is one of them.
    ///
    /// # Errors
    /// In words, why not.
    pub(super) fn check(&self, host: &str) -> Result<(), String> {
        let name = name(host).ok_or_else(|| format!("the Host header {host:?} is no host"))?;
        let bare = name.trim_end_matches('.').to_ascii_lowercase();
        let address = bare.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(&bare);
        if address.parse::<IpAddr>().is_ok() || self.0.iter().any(|known| fits(known, &bare)) {
            return Ok(());
        }
        Err(format!(
            "{bare} is none of this server's names; server.hosts in kiban.yaml lists the names that it has"
        ))
    }
}

/// A host without its port.
fn name(host: &str) -> Option<&str> {
    if let Some(rest) = host.strip_prefix('[') {
        let end = rest.find(']')?;
        let after = rest.get(end + 1..)?;
        return (after.is_empty() || is_port(after)).then(|| host.get(..end + 2)).flatten();
    }
    let (name, port) = match host.find(':') {
        Some(at) => (host.get(..at)?, host.get(at..)?),
        None => (host, ""),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!name.is_empty() && name.chars().all(good) && (port.is_empty() || is_port(port))).then_some(name)
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

fn fits(known: &str, name: &str) -> bool {
    match known.strip_prefix("*.") {
        Some(below) => name.strip_suffix(below).is_some_and(|part| part.len() > 1 && part.ends_with('.')),
        None => known == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_one_of_the_names() {
        let hosts = Hosts::new(&["kiban.Example.com".into(), "*.lab.example".into()]);
        for (host, good) in [
            ("localhost", true),
            ("LOCALHOST:9090", true),
            ("localhost.", true),
            ("127.0.0.1:9090", true),
            ("10.1.2.3", true),
            ("[::1]:9090", true),
            ("[fe80::1]", true),
            ("kiban.example.com", true),
            ("a.lab.example:1", true),
            ("a.b.lab.example", true),
            ("kiban.kiban-system.svc", true),
            ("kiban.kiban-system.svc.cluster.local:8480", true),
            ("lab.example", false),
            (".lab.example", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("kiban.example.com.evil.example", false),
            ("xkiban.example.com", false),
            ("svc", false),
            ("", false),
            (":9090", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[evil]", false),
            ("localhost:port", false),
            ("localhost:99999", false),
            ("localhost:1:2", false),
            ("user@localhost", false),
            ("localhost/x", false),
            ("local\u{130}host", false),
        ] {
            assert_eq!(hosts.check(host).is_ok(), good, "{host:?}: {:?}", hosts.check(host));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_host_panics(host in "\\PC{0,40}|[\\[\\]:.*a1-]{0,12}") {
            let _ = Hosts::new(&["*.lab.example".into()]).check(&host);
        }
    }
}
