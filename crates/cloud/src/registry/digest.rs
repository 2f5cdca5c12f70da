//! Digests: a name that bytes are held against.

use std::fmt::Write;

use ring::digest::{self, SHA256, SHA512};

/// The digest of bytes, by SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> String {
    of(bytes, &SHA256, "sha256")
}

fn of(bytes: &[u8], algorithm: &'static digest::Algorithm, name: &str) -> String {
    let mut text = format!("{name}:");
    for byte in digest::digest(algorithm, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether a text is a digest by an algorithm that can be computed here.
pub(super) fn is_digest(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha512", hex)) => (hex, 128),
        _ => return false,
    };
    length.0.len() == length.1 && length.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether bytes have a digest.
pub(super) fn fits(bytes: &[u8], digest: &str) -> bool {
    match digest.split_once(':') {
        Some(("sha256", _)) => of(bytes, &SHA256, "sha256") == digest,
        Some(("sha512", _)) => of(bytes, &SHA512, "sha512") == digest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_against_both_algorithms() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let long = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        assert_eq!(sha256(b""), empty);
        for digest in [empty, long] {
            assert!(is_digest(digest) && fits(b"", digest) && !fits(b"x", digest), "{digest}");
        }
        for bad in [
            "",
            "sha256:",
            "sha256:abc",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &empty.to_uppercase(),
            "../x",
        ] {
            assert!(!is_digest(bad) && !fits(b"", bad), "{bad}");
        }
    }
}
