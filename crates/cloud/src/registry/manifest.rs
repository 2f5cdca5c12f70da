//! The documents of a registry: indexes, manifests, configurations; by their media types, within bounds.
//!
//! Source: opencontainers/image-spec (`image-index.md`, `manifest.md`, `config.md`, `annotations.md`);
//! distribution/distribution, `docs/spec/manifest-v2-2.md`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::digest;
use super::platform::Platform;

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What is asked for, all at once.
pub(super) const ACCEPT: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];

/// Configurations of images that containers run from; others are charts, signatures, policies.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The largest manifest, in bytes (the distribution specification's figure).
pub(super) const MAX_MANIFEST: u64 = 4 << 20;

/// The largest configuration, in bytes.
pub(super) const MAX_CONFIG: u64 = 8 << 20;

/// The most entries of an index that are read.
const MAX_ENTRIES: usize = 512;

/// A pointer to a document or a layer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: Option<String>,
    pub digest: String,
    pub size: Option<u64>,
    pub platform: Option<PlatformOf>,
    #[serde(default, deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PlatformOf {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Descriptor {
    /// Whether it is no image but says something of one (provenance, a bill of materials): its platform is unknown.
    pub(super) fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown")
    }

    /// The platform that the index names.
    pub(super) fn platform(&self) -> Option<Platform> {
        let p = self.platform.as_ref().filter(|p| !p.os.is_empty() && !p.architecture.is_empty())?;
        Some(Platform { os: p.os.clone(), architecture: p.architecture.clone(), variant: p.variant.clone() })
    }
}

/// What a reference leads to.
#[derive(Debug)]
pub(super) enum Document {
    Index { entries: Vec<Descriptor>, annotations: BTreeMap<String, String> },
    Manifest { config: Descriptor, layers: Vec<Descriptor>, annotations: BTreeMap<String, String> },
}

/// Why a document is no image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoImage {
    /// The first format of all, which carries no digests that could be checked.
    Schema1,
    /// Something else that registries keep.
    Other(String),
    /// No document at all.
    Bad(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: BTreeMap<String, String>,
}

/// Reads a document; `content_type` is what the registry calls it.
pub(super) fn read(bytes: &[u8], content_type: &str) -> Result<(String, Document), NoImage> {
    let declared = content_type.split(';').next().unwrap_or_default().trim();
    if declared.starts_with("application/vnd.docker.distribution.manifest.v1") {
        return Err(NoImage::Schema1);
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|e| NoImage::Bad(format!("no manifest: {e}")))?;
    if raw.schema_version == Some(1) {
        return Err(NoImage::Schema1);
    }
    if raw.schema_version != Some(2) {
        return Err(NoImage::Bad("no manifest: it has no schemaVersion 2".into()));
    }
    // The body's own word counts; registries are sloppy with headers, and the digest covers the body.
    let inside = raw.media_type.as_deref().filter(|t| !t.is_empty());
    let kind = inside.or(Some(declared).filter(|t| ACCEPT.contains(t)));
    let (is_index, media_type) = match (kind, &raw.manifests, &raw.config) {
        (Some(kind @ (OCI_INDEX | DOCKER_LIST)), _, None) => (true, kind),
        (Some(kind @ (OCI_MANIFEST | DOCKER_MANIFEST)), None, _) => (false, kind),
        (None, Some(_), None) => (true, OCI_INDEX),
        (None, None, Some(_)) => (false, OCI_MANIFEST),
        // What could be read in two ways is a trick: image-spec, "Index and manifest confusion".
        (_, Some(_), Some(_)) => {
            return Err(NoImage::Bad("it claims to be an index and a manifest at once".into()));
        }
        (Some(other), ..) => return Err(NoImage::Other(other.chars().take(200).collect())),
        (None, None, None) => return Err(NoImage::Bad("it is neither an index nor a manifest".into())),
    };
    let document = if is_index {
        let entries = raw.manifests.ok_or_else(|| NoImage::Bad("an index without `manifests`".into()))?;
        if entries.len() > MAX_ENTRIES {
            return Err(NoImage::Bad(format!(
                "an index with {} entries; {MAX_ENTRIES} are read",
                entries.len()
            )));
        }
        check(&entries)?;
        Document::Index { entries, annotations: raw.annotations }
    } else {
        let config = raw.config.ok_or_else(|| NoImage::Bad("a manifest without `config`".into()))?;
        let layers = raw.layers.ok_or_else(|| NoImage::Bad("a manifest without `layers`".into()))?;
        let of_image = config.media_type.as_deref().is_some_and(|t| CONFIGS.contains(&t));
        if !of_image {
            let what =
                raw.artifact_type.or(config.media_type.clone()).unwrap_or_else(|| "nothing said".into());
            return Err(NoImage::Other(what.chars().take(200).collect()));
        }
        check(std::slice::from_ref(&config))?;
        Document::Manifest { config, layers, annotations: raw.annotations }
    };
    Ok((media_type.to_owned(), document))
}

fn check(descriptors: &[Descriptor]) -> Result<(), NoImage> {
    match descriptors.iter().find(|d| !digest::is_digest(&d.digest)) {
        Some(bad) => {
            let shown: String = bad.digest.chars().take(80).collect();
            Err(NoImage::Bad(format!("{shown:?} in it is no digest")))
        }
        None => Ok(()),
    }
}

/// The configuration of an image: for whom it was built, and its labels.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: String,
    pub created: Option<String>,
    config: Option<Inner>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    #[serde(rename = "Labels", default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

impl Config {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("no configuration of an image: {e}"))
    }

    pub(super) fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.config.as_ref().map(|c| c.labels.clone()).unwrap_or_default()
    }
}

/// A map that may be `null`, as Go writes empty ones.
fn nullable<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::<BTreeMap<String, String>>::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn documents_are_told_apart_by_what_they_say_of_themselves() {
        let entry = format!("{{\"mediaType\":\"m\",\"digest\":\"{DIGEST}\",\"size\":1}}");
        let config = entry.replace("\"m\"", "\"application/vnd.oci.image.config.v1+json\"");
        let index = format!("{{\"schemaVersion\":2,\"manifests\":[{entry}]}}");
        let typed = index.replacen('{', &format!("{{\"mediaType\":\"{DOCKER_LIST}\","), 1);
        let image = format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[],\"annotations\":null}}");
        for (text, header, kind) in [
            (&index, "application/json", Ok((OCI_INDEX, true))),
            (&index, DOCKER_LIST, Ok((DOCKER_LIST, true))),
            (&typed, "text/plain; charset=utf-8", Ok((DOCKER_LIST, true))),
            (&image, "", Ok((OCI_MANIFEST, false))),
            (&image, DOCKER_MANIFEST, Ok((DOCKER_MANIFEST, false))),
            (&image, "application/vnd.docker.distribution.manifest.v1+prettyjws", Err("Schema1")),
            (&"{\"schemaVersion\":1,\"fsLayers\":[]}".to_owned(), "application/json", Err("Schema1")),
            (
                &image.replace("image.config", "helm.config"),
                "",
                Err("Other(\"application/vnd.oci.helm.config"),
            ),
            (&index.replace("sha256:", "sha256:x"), "", Err("is no digest")),
            (&index.replace(DIGEST, "../../secrets"), "", Err("is no digest")),
            (&image.replacen('{', "{\"manifests\":[],", 1), "", Err("at once")),
            (&"{}".to_owned(), "", Err("schemaVersion 2")),
            (&"[".repeat(100_000), "", Err("no manifest")),
            (&"{\"schemaVersion\":2}".to_owned(), "", Err("neither an index nor a manifest")),
            (&"{\"schemaVersion\":2}".to_owned(), OCI_INDEX, Err("without `manifests`")),
        ] {
            let got = read(text.as_bytes(), header);
            match (got, kind) {
                (Ok((media, document)), Ok((expected, is_index))) => {
                    assert_eq!(
                        (media.as_str(), matches!(document, Document::Index { .. })),
                        (expected, is_index)
                    );
                }
                (Err(why), Err(part)) => assert!(format!("{why:?}").contains(part), "{text}: {why:?}"),
                (got, kind) => panic!("{text}: {got:?}, expected {kind:?}"),
            }
        }
    }

    #[test]
    fn configurations_may_leave_out_everything() {
        let config = Config::read(
            b"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",\"config\":{\"Labels\":null}}",
        )
        .unwrap();
        assert_eq!((config.platform().to_string().as_str(), config.labels().len()), ("linux/arm/v7", 0));
        assert_eq!(Config::read(b"{}").unwrap().platform().to_string(), "unknown/unknown");
        assert!(Config::read(b"[]").is_err());
    }
}
