//! The sections `delivery.forges` of `kiban.yaml`: forges by names that repositories choose among.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiban_base::clock::Clock;
use kiban_model::text::{Duration, Name};
use kiban_runtime::client::{Client, Request};
use kiban_runtime::config::{Complaint, SecretFrom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hook::Hooks;
use super::{Access, Forge, GitHub, GitLab, Gitea, Kind, github, gitlab};

/// Forges by name.
pub type Sections = BTreeMap<Name, ForgeSection>;

/// A forge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForgeSection {
    /// What it is.
    pub kind: Kind,
    /// The address of its API, without credentials: `https://github.example/api/v3`,
    /// `https://gitlab.example/api/v4`, `https://gitea.example/api/v1`. github.com's or gitlab.com's unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The token, read anew for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretFrom>,
    /// The secret that its webhooks are signed with; they are refused unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<SecretFrom>,
    /// How long a limit that it sets is waited for before that is an error.
    #[serde(default = "patience")]
    pub patience: Duration,
    /// Take `http://` beyond this machine.
    #[serde(default)]
    pub insecure: bool,
}

fn patience() -> Duration {
    Duration::secs(super::DEFAULT_PATIENCE.as_secs())
}

impl ForgeSection {
    /// The address of its API.
    fn address(&self) -> Option<&str> {
        self.url.as_deref().or(match self.kind {
            Kind::Github => Some(github::API),
            Kind::Gitlab => Some(gitlab::API),
            Kind::Gitea | Kind::Plain => None,
        })
    }

    /// What is wrong with values that their types allow; `at` leads here.
    pub fn check(&self, at: &str) -> Vec<Complaint> {
        let mut all = Vec::new();
        let mut complain = |key: &str, words: String| all.push(Complaint::new(&format!("{at}.{key}"), words));
        if self.kind == Kind::Plain {
            for (key, is_there) in [
                ("url", self.url.is_some()),
                ("token", self.token.is_some()),
                ("webhookSecret", self.webhook_secret.is_some()),
            ] {
                if is_there {
                    complain(
                        key,
                        "a plain git remote has none: the repository has its own address and token".into(),
                    );
                }
            }
            return all;
        }
        match self.address() {
            None => complain("kind", "Gitea has no address unless one is said: url: https://…/api/v1".into()),
            Some(url) => {
                if let Err(error) = Request::get(url) {
                    complain("url", error.to_string());
                } else if url.starts_with("http://") && !self.insecure && !is_here(url) {
                    complain(
                        "url",
                        "a token does not go over http:// beyond this machine (insecure: true)".into(),
                    );
                }
            }
        }
        if self.token.is_none() {
            complain("token", "without a token it answers nothing: { file: PATH } or { env: NAME }".into());
        }
        all
    }

    /// The forge; none where it is a plain git remote, which the repository's own source is.
    pub fn build(&self, client: Client, clock: Arc<dyn Clock>) -> Option<Arc<dyn Forge>> {
        let (url, token) = (self.address()?, self.token.clone()?);
        let access = Access { client, clock, token, patience: self.patience.get() };
        Some(match self.kind {
            Kind::Github => Arc::new(GitHub::new(url, access)),
            Kind::Gitlab => Arc::new(GitLab::new(url, access)),
            Kind::Gitea => Arc::new(Gitea::new(url, access)),
            Kind::Plain => return None,
        })
    }

    /// What takes its webhooks; none where they are refused.
    ///
    /// # Errors
    /// A secret that cannot be read.
    pub fn hooks(&self) -> Result<Option<Hooks>, String> {
        let Some(from) = &self.webhook_secret else { return Ok(None) };
        let secret = from.read().map_err(|error| error.to_string())?;
        Hooks::new(self.kind, secret).map(Some)
    }
}

/// Whether a URL leads to this machine.
pub(crate) fn is_here(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_forge_is_checked_beyond_its_types() {
        for (text, paths) in [
            (r#"{"kind": "github", "token": {"env": "T"}}"#, &[][..]),
            (r#"{"kind": "gitea", "token": {"env": "T"}}"#, &["forge.kind"]),
            (r#"{"kind": "plain"}"#, &[]),
            (r#"{"kind": "plain", "token": {"env": "T"}}"#, &["forge.token"]),
            (r#"{"kind": "gitlab"}"#, &["forge.token"]),
            (r#"{"kind": "gitlab", "url": "http://gitlab.example", "token": {"env": "T"}}"#, &["forge.url"]),
            (r#"{"kind": "gitlab", "url": "http://127.0.0.1:1/api", "token": {"env": "T"}}"#, &[]),
            (r#"{"kind": "github", "url": "https://u:p@x/api/v3", "token": {"env": "T"}}"#, &["forge.url"]),
        ] {
            let section: ForgeSection = serde_json::from_str(text).unwrap();
            let found: Vec<String> = section.check("forge").into_iter().map(|c| c.path.join(".")).collect();
            assert_eq!(found, paths, "{text}");
        }
        assert!(serde_json::from_str::<ForgeSection>(r#"{"kind": "github", "tokn": "x"}"#).is_err());
        assert!(serde_json::from_str::<ForgeSection>(r#"{"kind": "github", "token": "x"}"#).is_err());
    }
}
