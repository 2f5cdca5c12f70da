//! Platforms: `linux/arm64`, `linux/arm/v7`, and what runs on which.
//!
//! Source: opencontainers/image-spec, `image-index.md`; containerd/platforms for other spellings and for which
//! variants run on which.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// An operating system and an architecture, perhaps with its variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Platform {
    /// The operating system, as in `linux`.
    pub os: String,
    /// The architecture, as in `amd64`.
    pub architecture: String,
    /// The variant, as in `v7`; empty: none.
    #[serde(default)]
    pub variant: String,
}

/// What is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform: write it like linux/amd64, linux/arm64 or linux/arm/v7")]
pub struct BadPlatform(pub String);

impl Platform {
    /// In the one spelling: `x86_64` is `amd64`, `aarch64` and `arm64/v8` are `arm64`.
    pub fn normal(&self) -> Self {
        let (os, architecture) = (self.os.to_ascii_lowercase(), self.architecture.to_ascii_lowercase());
        let variant = self.variant.to_ascii_lowercase();
        let variant = match variant.strip_prefix('v') {
            Some(number) => number.to_owned(),
            None => variant,
        };
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "1" | "") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v),
            ("aarch64" | "arm64", "8" | "") => ("arm64", ""),
            ("aarch64" | "arm64", v) => ("arm64", v),
            ("i386" | "i486" | "i586" | "i686" | "386", _) => ("386", ""),
            ("armhf", _) => ("arm", "7"),
            ("armel", _) => ("arm", "6"),
            ("arm", "") => ("arm", "7"),
            (other, v) => (other, v),
        };
        let variant = if variant.is_empty() { String::new() } else { format!("v{variant}") };
        Self { os, architecture: architecture.to_owned(), variant }
    }

    /// Whether what was built for this platform runs on a node of another.
    pub fn runs_on(&self, node: &Self) -> bool {
        let (image, node) = (self.normal(), node.normal());
        if (&image.os, &image.architecture) != (&node.os, &node.architecture) {
            return false;
        }
        if image.variant == node.variant || image.variant.is_empty() {
            return true;
        }
        // Newer machines run what was built for older ones; amd64 and arm64 without a variant are the oldest.
        let level = |p: &Self| p.variant.strip_prefix('v').and_then(|v| v.parse::<f32>().ok());
        match (level(&image), level(&node)) {
            (Some(image), Some(node)) => image <= node,
            _ => false,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        write!(f, "{}/{}", or_unknown(&self.os), or_unknown(&self.architecture))?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = BadPlatform;

    fn from_str(text: &str) -> Result<Self, BadPlatform> {
        let good = |part: &&str| {
            !part.is_empty()
                && part.len() <= 32
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(good) {
            return Err(BadPlatform(text.chars().take(80).collect()));
        }
        match parts.as_slice() {
            [os, architecture] => {
                Ok(Self { os: (*os).into(), architecture: (*architecture).into(), variant: String::new() })
            }
            [os, architecture, variant] => Ok(Self {
                os: (*os).into(),
                architecture: (*architecture).into(),
                variant: (*variant).into(),
            }),
            _ => Err(BadPlatform(text.chars().take(80).collect())),
        }
    }
}

/// `linux/amd64, linux/arm64 and linux/arm/v7`.
pub(super) fn listed(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    match names.split_last() {
        None => "none".into(),
        Some((one, [])) => one.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn what_runs_where_follows_the_variants() {
        for (image, node, runs) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/x86_64", "linux/amd64", true),
            ("linux/amd64/v1", "linux/amd64", true),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/amd64/v2", "linux/amd64/v3", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/aarch64", true),
            ("linux/arm64/v9", "linux/arm64", false),
            ("linux/arm64", "linux/arm64/v9", true),
            ("linux/arm/v6", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v5", "linux/arm", true),
            ("linux/arm/v7", "linux/arm64", false),
            ("linux/amd64", "windows/amd64", false),
            ("linux/386", "linux/amd64", false),
            ("Linux/AMD64", "linux/amd64", true),
            ("linux/riscv64", "linux/riscv64", true),
        ] {
            assert_eq!(platform(image).runs_on(&platform(node)), runs, "{image} on {node}");
        }
    }

    #[test]
    fn texts_that_are_no_platform_are_refused() {
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/am d64", "linux,amd64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(listed(&[platform("a/b"), platform("c/d"), platform("e/f")]), "a/b, c/d and e/f");
    }
}
