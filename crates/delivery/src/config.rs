//! The section `delivery` of `kiban.yaml`: which repositories are followed, and as whom objects are written.
//!
//! Addresses and credentials stand here and nowhere else: files in a repository cannot name others.

use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

use kiban_model::problem::did_you_mean;
use kiban_model::text::{Duration, Name, ObjectName};
use kiban_runtime::config::{Complaint, FilePath, Replaced};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{forge, notify};

/// Which repositories are followed, and as whom objects are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct DeliverySection {
    /// The manifest repositories, by a name of your own.
    pub repositories: BTreeMap<Name, RepositorySection>,
    /// The forges that repositories choose among, by a name of your own.
    pub forges: forge::Sections,
    /// Who is told of rollouts, by a name of your own.
    pub notify: notify::config::Sections,
    /// The service account of each app's namespace that its objects are written as; none unless said: then
    /// Kiban's own rights decide. `deployer` in `platform.yaml` renders it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployer: Option<ObjectName>,
    /// The service account that the platform's objects are written as; Kiban's own identity unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_deployer: Option<AccountSection>,
    /// Leave out objects whose kind the cluster does not know, instead of failing the app.
    pub skip_missing_kinds: bool,
    /// How many apps are applied at a time.
    pub concurrency: u16,
    /// How long apps may take to get ready.
    pub timeout: Duration,
    /// How long something may stand in the way, without hope, before an app is given up.
    pub patience: Duration,
}

impl Default for DeliverySection {
    fn default() -> Self {
        Self {
            repositories: BTreeMap::new(),
            forges: forge::Sections::new(),
            notify: notify::config::Sections::new(),
            deployer: None,
            platform_deployer: None,
            skip_missing_kinds: false,
            concurrency: 8,
            timeout: Duration::secs(300),
            patience: Duration::secs(60),
        }
    }
}

/// A manifest repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RepositorySection {
    /// Its address: `https://…`, or a folder of this machine. Without credentials.
    pub url: String,
    /// A file with the token that opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<FilePath>,
    /// The user whose token it is, where the server asks for one (`x-access-token`, `oauth2`); none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file with certificates that are trusted for it besides the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<FilePath>,
    /// The forge that it lives on, one of `forges`: reverts that want a review become pull requests there, and its
    /// webhooks are taken at `/hooks/<forge>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<Name>,
    /// Its path on the forge, `owner/name`; that of `url` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge_path: Option<String>,
    /// How often it is asked for new commits.
    #[serde(default = "poll")]
    pub poll: Duration,
    /// The environments that this server deploys; those whose `cluster` in `platform.yaml` is this one's UID
    /// unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Name>,
    /// Folders of plain manifests that are deployed too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderSection>,
    /// Who makes commits: reverts.
    #[serde(default)]
    pub author: AuthorSection,
    /// A file with the ed25519 key, in OpenSSH's form, that commits are signed with; unsigned unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_file: Option<FilePath>,
    /// Take `http://` beyond this machine.
    #[serde(default)]
    pub insecure: bool,
}

impl RepositorySection {
    /// The repository's path on its forge.
    ///
    /// # Errors
    /// In words, where neither `forgePath` nor `url` tells it.
    pub fn path_on_forge(&self) -> Result<forge::Repo, String> {
        let of_url = || Some(self.url.split_once("://")?.1.split_once('/')?.1.trim_matches('/'));
        let path = self.forge_path.as_deref().or_else(of_url).unwrap_or_default();
        forge::Repo::new(path)
    }

    /// The repository at an address, with everything else as it is unless said.
    pub fn at(url: String) -> Self {
        Self {
            url,
            token_file: None,
            user: None,
            ca_file: None,
            forge: None,
            forge_path: None,
            poll: poll(),
            environments: Vec::new(),
            folders: Vec::new(),
            author: AuthorSection::default(),
            signing_key_file: None,
            insecure: false,
        }
    }
}

fn poll() -> Duration {
    Duration::secs(30)
}

/// A folder of plain manifests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderSection {
    /// The environment that it belongs to.
    pub env: Name,
    /// Its path in the repository.
    pub path: String,
    /// The name under which it is deployed.
    pub app: Name,
    /// The namespace that its objects lie in.
    pub namespace: ObjectName,
}

/// Who makes commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorSection {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl Default for AuthorSection {
    fn default() -> Self {
        Self { name: "Kiban".into(), email: "kiban@localhost".into() }
    }
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSection {
    /// Its namespace.
    pub namespace: ObjectName,
    /// Its name.
    pub name: ObjectName,
}

impl DeliverySection {
    /// What values take the place of.
    pub const REPLACES: &'static [Replaced] = &[
        ("delivery.concurrency", "flux kustomize-controller", "--concurrent"),
        ("delivery.concurrency", "argocd application-controller", "--operation-processors"),
        ("delivery.deployer", "flux kustomize-controller", "--default-service-account"),
    ];

    /// What is wrong with values that their types allow.
    pub fn check(&self) -> Vec<Complaint> {
        let mut all = Vec::new();
        if self.concurrency == 0 {
            all.push(Complaint::new("delivery.concurrency", "with none at a time nothing is deployed"));
        }
        for (name, forge) in &self.forges {
            all.extend(forge.check(&format!("delivery.forges.{name}")));
        }
        for (name, notify) in &self.notify {
            all.extend(notify.check(&format!("delivery.notify.{name}")));
        }
        for (name, repository) in &self.repositories {
            let at = |key: &str| format!("delivery.repositories.{name}.{key}");
            if let Some(forge) = repository.forge.as_ref().filter(|forge| !self.forges.contains_key(*forge)) {
                let known: Vec<&str> = self.forges.keys().map(|name| name.as_str()).collect();
                let hint = did_you_mean(forge, known.iter().copied());
                let words =
                    format!("no forge is called {:?}; there are {}{hint}", forge.as_str(), known.join(", "));
                all.push(Complaint::new(&at("forge"), words));
            } else if let (Some(_), Err(why)) = (&repository.forge, repository.path_on_forge()) {
                all.push(Complaint::new(&at("forgePath"), why));
            }
            if let Err(error) = kiban_git::Address::parse(&repository.url, repository.insecure) {
                all.push(Complaint::new(&at("url"), error.to_string()).secret());
            }
            if repository.poll.get() < StdDuration::from_secs(1) {
                all.push(Complaint::new(
                    &at("poll"),
                    "more often than once a second is a burden on the server",
                ));
            }
            for (index, folder) in repository.folders.iter().enumerate() {
                if let Err(error) = kiban_git::check_path(folder.path.trim_matches('/')) {
                    all.push(Complaint::new(&at(&format!("folders.{index}.path")), error.to_string()));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_section_is_checked_beyond_its_types() {
        let section = |text: &str| -> DeliverySection { serde_json::from_str(text).unwrap() };
        assert!(section("{}").check().is_empty());
        let bad = section(
            r#"{"concurrency": 0, "repositories": {"shop": {"url": "git@x:y", "poll": "10ms",
                "folders": [{"env": "dev", "path": "../x", "app": "a", "namespace": "n"}]}}}"#,
        );
        let paths: Vec<String> = bad.check().into_iter().map(|c| c.path.join(".")).collect();
        assert_eq!(
            paths,
            [
                "delivery.concurrency",
                "delivery.repositories.shop.url",
                "delivery.repositories.shop.poll",
                "delivery.repositories.shop.folders.0.path",
            ]
        );
    }
}
