//! `Pin`: which images run in an environment, written by tools (`<app>/env/<env>.pin.yaml`).

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::app::ApiVersion;
use crate::short::{Never, Short, short_form};
use crate::text::{Digest, ImageRepo, Tag};

/// The `kind` of a pin's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PinKind {
    /// Images of an app in an environment.
    #[default]
    Pin,
}

/// Which images of an app run in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pin {
    /// Version of the file's format.
    pub api_version: ApiVersion,
    /// Kind of the file.
    pub kind: PinKind,
    /// Repository, as the app's file writes it, to image: its digest, or `{ digest, tag, commit }`. Tools write the
    /// digest alone, with the tag in a comment behind it, so that one line changes.
    pub images: BTreeMap<ImageRepo, PinnedVersion>,
}

/// One image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinnedVersion {
    /// The digest that runs.
    pub digest: Digest,
    /// The tag by which people know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The commit of the app's source that it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// One image of a repository, in full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedVersionLong {
    /// The digest that runs.
    digest: Digest,
    /// The tag by which people know it; then it is written into the manifests too.
    #[serde(default)]
    tag: Option<Tag>,
    /// The commit of the app's source that it was built from.
    #[serde(default, deserialize_with = "commit")]
    commit: Option<String>,
}

impl Short for PinnedVersion {
    type Long = PinnedVersionLong;
    type Item = Never;
    const EXPECTING: &'static str = "a digest or a map with digest, tag and commit";

    fn from_long(long: PinnedVersionLong) -> Result<Self, String> {
        let PinnedVersionLong { digest, tag, commit } = long;
        Ok(Self { digest, tag, commit })
    }
    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Digest::new(text).map(|digest| Self { digest, tag: None, commit: None }))
    }
    fn short_schemas(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Digest>()]
    }
}
short_form!(PinnedVersion);

/// A commit's full or shortened id: SHA-1 or SHA-256.
fn commit<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(d)?;
    let is_id =
        |t: &String| (7..=64).contains(&t.len()) && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match text {
        Some(text) if !is_id(&text) => Err(serde::de::Error::custom(format!(
            "{text:?} is no commit: 7 to 64 hexadecimal digits are needed"
        ))),
        _ => Ok(text),
    }
}

/// An image that is pinned: repository, digest and the tag by which people know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinnedImage {
    /// The repository.
    pub repo: ImageRepo,
    /// What runs.
    #[serde(flatten)]
    pub version: PinnedVersion,
}

impl fmt::Display for PinnedImage {
    /// The reference that a container's `image` takes: `repo:tag@digest`, or `repo@digest` without a tag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version.tag {
            Some(tag) => write!(f, "{}:{tag}@{}", self.repo, self.version.digest),
            None => write!(f, "{}@{}", self.repo, self.version.digest),
        }
    }
}
