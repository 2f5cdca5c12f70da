//! Image registries: what a reference means, that it is there, and on which platforms it runs.
//!
//! ```ignore
//! let registries = Registries::new(client, clock, keychain, Options::default());
//! let image = registries.resolve(&reference, &["linux/arm64".parse()?]).await?;
//! println!("{}@{}", reference.repository(), image.digest);
//! ```
//!
//! Source: opencontainers/distribution-spec and image-spec; distribution/distribution, `docs/spec/auth`. Nothing
//! is taken on trust: each document is held against the digest that it was asked for by, and a tag against what
//! it says at the end.

mod challenge;
mod digest;
mod error;
mod exchange;
mod keychain;
mod login;
mod manifest;
mod platform;
mod resolve;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiban_base::clock::Clock;
use kiban_runtime::client::Client;

pub use error::{Missing, RegistryError};
pub use keychain::{BadKeychain, Credential, Keychain};
pub use platform::{BadPlatform, Platform};

/// How registries are asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts that are asked over plain HTTP. Those of the machine itself are, where they speak no TLS.
    pub insecure: BTreeSet<String>,
    /// How long one question may take, retries included.
    pub deadline: Duration,
    /// How long an answer may be silent.
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { insecure: BTreeSet::new(), deadline: Duration::from_secs(90), stall: Duration::from_secs(15) }
    }
}

/// Registries, with what is known of them already: schemes and tokens.
#[derive(Clone)]
pub struct Registries(Arc<Inner>);

struct Inner {
    client: Client,
    clock: Arc<dyn Clock>,
    keychain: Keychain,
    options: Options,
    /// What proves who asks, by host and repository.
    passes: Mutex<HashMap<(String, String), login::Pass>>,
    /// Whether a host of this machine is asked over TLS.
    schemes: Mutex<HashMap<String, bool>>,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registries")
    }
}

impl Registries {
    /// Makes a client of registries, which asks nobody yet.
    pub fn new(client: Client, clock: Arc<dyn Clock>, keychain: Keychain, options: Options) -> Self {
        let (passes, schemes) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { client, clock, keychain, options, passes, schemes }))
    }
}

/// What a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest or index: what a pin holds.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// What it was built for, in the order of the index.
    pub platforms: Vec<Built>,
    /// Labels of the image (`org.opencontainers.image.revision` and the like), where all platforms that were
    /// read agree; annotations of the index where no label says it.
    pub labels: BTreeMap<String, String>,
    /// When it was built (RFC 3339), as it says itself.
    pub created: Option<String>,
    /// Compressed bytes of the largest platform that was read.
    pub size: u64,
    /// What the tag says now, where digest and tag were both given.
    pub tag: Tag,
}

impl Resolved {
    /// The commit that the image was built from, where it says so.
    pub fn revision(&self) -> Option<&str> {
        self.labels.get("org.opencontainers.image.revision").map(String::as_str).filter(|r| !r.is_empty())
    }

    /// Where its source lies, where it says so.
    pub fn source(&self) -> Option<&str> {
        self.labels.get("org.opencontainers.image.source").map(String::as_str).filter(|r| !r.is_empty())
    }

    /// Its version, where it says so.
    pub fn version(&self) -> Option<&str> {
        self.labels.get("org.opencontainers.image.version").map(String::as_str).filter(|r| !r.is_empty())
    }
}

/// One platform of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The platform.
    pub platform: Platform,
    /// The digest of its manifest.
    pub digest: String,
}

/// What a tag says beside a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// It means the digest, or was not given besides one.
    #[default]
    Same,
    /// It means another image by now.
    Elsewhere(String),
    /// It is not there any more.
    Gone,
}

#[cfg(test)]
pub(crate) mod tests;
