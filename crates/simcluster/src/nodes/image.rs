//! Facts about images that are made up, but the same each time.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The name that containerd gives an image: with its registry and tag.
pub fn full_name(image: &str) -> String {
    let (repository, rest) = match image.find('@') {
        Some(at) => image.split_at(at),
        None => match image.rfind(':').filter(|c| !image.get(*c..).unwrap_or_default().contains('/')) {
            Some(colon) => image.split_at(colon),
            None => (image, ":latest"),
        },
    };
    let host = repository.split('/').next().unwrap_or_default();
    let has_host = repository.contains('/') && (host.contains(['.', ':']) || host == "localhost");
    if has_host {
        return format!("{repository}{rest}");
    }
    let library = if repository.contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{repository}{rest}")
}

/// `imageID` of a container's status.
pub fn id(image: &str) -> String {
    let full = full_name(image);
    if let Some((name, digest)) = full.split_once('@') {
        // A tag beside a digest says nothing.
        let tag = name.rfind(':').filter(|c| !name.get(*c..).unwrap_or_default().contains('/'));
        let name = tag.and_then(|c| name.get(..c)).unwrap_or(name);
        return format!("{name}@{digest}");
    }
    let name = full.rfind(':').map_or(full.as_str(), |c| full.get(..c).unwrap_or_default());
    let mut out = format!("{name}@sha256:");
    for byte in Sha256::digest(full.as_bytes()) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Its size in bytes: between 3 and 300 MB.
pub fn size(image: &str) -> u64 {
    let hash = Sha256::digest(full_name(image).as_bytes());
    let number = hash.iter().take(8).fold(0_u64, |n, b| (n << 8) | u64::from(*b));
    3_000_000 + number % 297_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_containerd_does() {
        let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let table = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app:2", "docker.io/team/app:2"),
            ("registry.example/checkout/orders:1", "registry.example/checkout/orders:1"),
            ("localhost/app", "localhost/app:latest"),
            ("host:5000/app", "host:5000/app:latest"),
        ];
        for (given, expected) in table {
            assert_eq!(full_name(given), expected);
            assert!(id(given).contains("@sha256:"));
        }
        assert_eq!(full_name(&format!("nginx@{digest}")), format!("docker.io/library/nginx@{digest}"));
        assert_eq!(id(&format!("nginx:1.27@{digest}")), format!("docker.io/library/nginx@{digest}"));
        assert!((3_000_000..300_000_000).contains(&size("nginx")));
    }
}
