//! Who asks which registry: credentials by host, from a configuration or a `config.json` of Docker.
//!
//! Source: docker/cli, `cli/config/configfile`; containers/image, `containers-auth.json(5)` for keys with paths.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiban_runtime::secret::Secret;
use serde::Deserialize;

use crate::aws::{Provider, ecr};

/// Names of Docker Hub: in references, in requests, in Docker's file.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What proves who asks.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Name and password, or a token in the password's place.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry takes as it is.
    Bearer(Secret),
    /// A refresh token (`identitytoken`), which the registry's realm changes for others.
    Identity(Secret),
    /// AWS gives the password.
    Ecr,
    /// There is one that cannot be had, and why.
    Unusable(String),
}

/// Credentials by host.
#[derive(Clone, Debug, Default)]
pub struct Keychain {
    entries: BTreeMap<String, Entry>,
    /// What asks for the credentials of all other hosts, for words alone.
    store: Option<Entry>,
    aws: Option<Provider>,
    realms: BTreeMap<String, Vec<String>>,
}

/// A credential and where it is from.
#[derive(Clone)]
pub(super) struct Entry {
    pub name: String,
    pub credential: Credential,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why a file of credentials cannot be used. Nothing of what it holds is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct BadKeychain {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl Keychain {
    /// A keychain with nothing in it: everybody is asked without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the credential of a host, or of a part of it (`registry.example/team`); `name` says in errors which
    /// it is.
    pub fn insert(&mut self, host: &str, name: &str, credential: Credential) {
        self.entries.insert(key(host), Entry { name: name.to_owned(), credential });
    }

    /// Lets AWS give passwords for its registries that have no other credential.
    pub fn aws(&mut self, provider: Provider) {
        self.aws = Some(provider);
    }

    /// Lets the credential of a host be sent to a token realm on another host. Without it goes to realms of the
    /// host itself, and of its domain.
    pub fn realm(&mut self, host: &str, realm: &str) {
        self.realms.entry(key(host)).or_default().push(realm.to_ascii_lowercase());
    }

    /// Adds what a `config.json` of Docker holds. Programs that it names (`credHelpers`, `credsStore`) are not
    /// run; where their credential would have been needed, the error says so.
    ///
    /// # Errors
    /// What is no such file.
    pub fn docker_config(&mut self, file: &str, bytes: &[u8]) -> Result<(), BadKeychain> {
        let bad = |problem: String| BadKeychain { file: file.to_owned(), problem };
        let parsed: File = serde_json::from_slice(bytes).map_err(|e| {
            bad(format!("no config.json of Docker (line {}, column {})", e.line(), e.column()))
        })?;
        let helper = |name: &str| {
            Credential::Unusable(format!(
                "{file} leaves it to the program docker-credential-{name}, and Kiban starts none; give the credential as a file or in the environment"
            ))
        };
        for (host, auth) in &parsed.auths {
            match auth.credential() {
                Ok(None) => {}
                Ok(Some(credential)) => {
                    self.insert(host, &format!("the credential of {} in {file}", key(host)), credential)
                }
                Err(problem) => return Err(bad(format!("auths, {host:?}: {problem}"))),
            }
        }
        for (host, name) in &parsed.cred_helpers {
            if !name.is_empty() {
                self.insert(host, &format!("the credential of {}", key(host)), helper(name));
            }
        }
        if !parsed.creds_store.is_empty() {
            self.store =
                Some(Entry { name: "no credential".into(), credential: helper(&parsed.creds_store) });
        }
        Ok(())
    }

    /// The credential for a repository: the one with the longest key counts.
    pub(super) fn find(&self, host: &str, repository: &str) -> Option<Entry> {
        let host = key(host);
        let mut path = format!("{host}/{repository}");
        loop {
            if let Some(entry) = self.entries.get(&path) {
                return Some(entry.clone());
            }
            match path.rfind('/') {
                Some(at) => path.truncate(at),
                None => break,
            }
        }
        if let Some(aws) = self.aws.as_ref().filter(|_| ecr::Host::of(&host).is_some()) {
            return Some(Entry { name: aws.name().to_owned(), credential: Credential::Ecr });
        }
        self.store.clone()
    }

    pub(super) fn provider(&self) -> Option<&Provider> {
        self.aws.as_ref()
    }

    /// Whether the credential of a host may be sent to a realm.
    pub(super) fn may_reach(&self, host: &str, realm: &str) -> bool {
        let host = key(host);
        let name = |host: &str| {
            host.rsplit_once(':')
                .filter(|(_, p)| p.parse::<u16>().is_ok())
                .map_or(host, |(n, _)| n)
                .to_owned()
        };
        let (own, realm) = (name(&host), name(&realm.to_ascii_lowercase()));
        if own == realm || self.realms.get(&host).is_some_and(|named| named.contains(&realm)) {
            return true;
        }
        // registry.gitlab.com and gitlab.com, registry.example.org and auth.example.org; never two names that
        // have only their last part in common, and no addresses.
        let domain = |host: &str| {
            let parts: Vec<&str> = host.split('.').collect();
            let is_name = host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[');
            match parts.as_slice() {
                [.., a, b] if is_name => Some(format!("{a}.{b}")),
                _ => None,
            }
        };
        domain(&own).is_some_and(|own| domain(&realm) == Some(own))
    }
}

impl Auth {
    fn credential(&self) -> Result<Option<Credential>, String> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::Bearer(Secret::new(&*self.registrytoken))));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Identity(Secret::new(&*self.identitytoken))));
        }
        if !self.auth.is_empty() {
            let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| "`auth` is no base64".to_owned())?;
            let text = String::from_utf8(bytes).map_err(|_| "`auth` holds no text".to_owned())?;
            let text = zeroize::Zeroizing::new(text);
            let (user, password) = text.split_once(':').ok_or("`auth` holds no NAME:PASSWORD")?;
            // Docker pads with zero bytes.
            let password = Secret::new(password.trim_end_matches('\0'));
            return Ok(Some(Credential::Basic { user: user.to_owned(), password }));
        }
        if self.username.is_empty() && self.password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Credential::Basic { user: self.username.clone(), password: Secret::new(&*self.password) }))
    }
}

/// The key of a host, however Docker's file writes it: `https://index.docker.io/v1/` is `docker.io`.
fn key(host: &str) -> String {
    let host = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://")).unwrap_or(host);
    let host = host.trim_end_matches('/');
    let (name, path) = host.split_once('/').map_or((host, ""), |(name, path)| (name, path));
    let name = name.to_ascii_lowercase();
    let name = if HUB.contains(&name.as_str()) { HUB[0].to_owned() } else { name };
    match path {
        "" | "v1" | "v2" => name,
        path => format!("{name}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(text: &str) -> Keychain {
        let mut keychain = Keychain::new();
        keychain.docker_config("config.json", text.as_bytes()).unwrap();
        keychain
    }

    #[test]
    fn dockers_file_is_read_in_all_its_spellings() {
        let hub = STANDARD.encode("me:pass:word\0");
        let keychain = of(&format!(
            "{{\"auths\":{{\"https://index.docker.io/v1/\":{{\"auth\":\"{hub}\"}},\"R.example:5000\":{{\"username\":\"u\",\"password\":\"p\"}},\"r.example:5000/team\":{{\"registrytoken\":\"t\"}},\"ghcr.io\":{{\"identitytoken\":\"i\"}},\"quay.io\":{{}}}},\"credHelpers\":{{\"gcr.io\":\"gcloud\"}},\"HttpHeaders\":{{\"X\":\"y\"}}}}"
        ));
        let said = |host: &str, path: &str| match keychain.find(host, path).map(|e| e.credential) {
            Some(Credential::Basic { user, password }) => format!("{user}/{}", password.expose()),
            Some(Credential::Bearer(token)) => format!("bearer {}", token.expose()),
            Some(Credential::Identity(token)) => format!("identity {}", token.expose()),
            Some(Credential::Unusable(why)) => why,
            Some(Credential::Ecr) => "ecr".into(),
            None => "none".into(),
        };
        assert_eq!(said("docker.io", "library/nginx"), "me/pass:word");
        assert_eq!(said("registry-1.docker.io", "x"), "me/pass:word");
        assert_eq!(said("r.example:5000", "other/app"), "u/p");
        assert_eq!(said("r.example:5000", "team/app"), "bearer t");
        assert_eq!(said("r.example:5000", "teams"), "u/p");
        assert_eq!(said("r.example", "team/app"), "none");
        assert_eq!(said("ghcr.io", "x"), "identity i");
        assert_eq!(said("quay.io", "x"), "none");
        assert!(said("gcr.io", "x").contains("docker-credential-gcloud, and Kiban starts none"));
        let store = of("{\"credsStore\":\"desktop\"}");
        assert!(matches!(store.find("a.example", "x").unwrap().credential, Credential::Unusable(_)));
    }

    #[test]
    fn errors_say_where_and_never_what() {
        for (text, part) in [
            ("{\"auths\":{\"r\":{\"auth\":\"hunter2!\"}}}", "auths, \"r\": `auth` is no base64"),
            ("{\"auths\":{\"r\":{\"auth\":\"aHVudGVyMg==\"}}}", "holds no NAME:PASSWORD"),
            ("{\"auths\":{\"r\":\"hunter2\"}}", "no config.json of Docker (line 1"),
        ] {
            let error = Keychain::new().docker_config("c", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn credentials_reach_realms_of_their_own_domain_alone() {
        let mut keychain = Keychain::new();
        keychain.realm("r.example", "login.other");
        for (host, realm, may) in [
            ("docker.io", "auth.docker.io", true),
            ("registry.gitlab.com", "gitlab.com", true),
            ("r.example:5000", "r.example", true),
            ("127.0.0.1:5000", "127.0.0.1:5001", true),
            ("r.example", "login.other", true),
            ("r.example", "evil.example.org", false),
            ("registry.example.org", "example.org.evil", false),
            ("registry.example.org", "auth.example.com", false),
            ("10.0.0.1", "11.0.0.1", false),
            ("[::1]:5000", "[::1]:5001", true),
            ("localhost", "evil", false),
        ] {
            assert_eq!(keychain.may_reach(host, realm), may, "{host} → {realm}");
        }
    }
}
