//! SSH signatures of commits, as `git verify-commit` and `ssh-keygen -Y verify` check them (the format is
//! OpenSSH's PROTOCOL.sshsig; that of key files its PROTOCOL.key).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA512, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::error::Error;
use crate::files;

const ALGORITHM: &[u8] = b"ssh-ed25519";
const NAMESPACE: &[u8] = b"git";
const HASH: &[u8] = b"sha512";
/// OpenSSH breaks its lines here.
const WIDTH: usize = 70;
/// No key file is larger.
const KEY_FILE: u64 = 64 << 10;

/// A private key that signs commits. It never prints.
pub struct SshKey {
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SshKey({})", self.public())
    }
}

impl SshKey {
    /// Reads a key file that `ssh-keygen -t ed25519 -N ''` wrote.
    ///
    /// # Errors
    /// Where the file cannot be read, is of another kind, or needs a passphrase.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = files::read(path, KEY_FILE)?
            .ok_or_else(|| Error::io("open", path)(std::io::ErrorKind::NotFound.into()))?;
        Self::read(&text).map_err(|why| Error::Given {
            what: format!("the signing key {}", path.display()),
            why: why.to_owned(),
        })
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// Why the text is no key that can be used.
    pub fn read(text: &[u8]) -> Result<Self, &'static str> {
        const NO_KEY: &str = "it is no private key in OpenSSH's format (ssh-keygen -t ed25519 makes one)";
        let text = std::str::from_utf8(text).map_err(|_| NO_KEY)?;
        let body = text.split("-----BEGIN OPENSSH PRIVATE KEY-----").nth(1).ok_or(NO_KEY)?;
        let body = body.split("-----END OPENSSH PRIVATE KEY-----").next().ok_or(NO_KEY)?;
        let packed: String = body.split_whitespace().collect();
        let bytes = STANDARD.decode(packed).map_err(|_| NO_KEY)?;
        let mut input = bytes.strip_prefix(b"openssh-key-v1\0").ok_or(NO_KEY)?;
        let cipher = string(&mut input).ok_or(NO_KEY)?;
        if cipher != b"none" {
            return Err("it is locked with a passphrase: give one without (ssh-keygen -p -N '')");
        }
        string(&mut input).and_then(|_| string(&mut input)).ok_or(NO_KEY)?;
        if number(&mut input).ok_or(NO_KEY)? != 1 {
            return Err("it holds more than one key");
        }
        let public = string(&mut input).ok_or(NO_KEY)?;
        let mut secret = string(&mut input).ok_or(NO_KEY)?;
        if number(&mut secret) != number(&mut secret) {
            return Err(NO_KEY);
        }
        let kind = string(&mut secret).ok_or(NO_KEY)?;
        if kind != ALGORITHM {
            return Err("it is of another kind than ed25519 (ssh-keygen -t ed25519 makes one)");
        }
        let own = string(&mut secret).ok_or(NO_KEY)?;
        let both = string(&mut secret).ok_or(NO_KEY)?;
        let (seed, again) = both.split_at_checked(32).ok_or(NO_KEY)?;
        let mut wanted = Vec::new();
        put(&mut wanted, ALGORITHM);
        put(&mut wanted, own);
        if again != own || public != wanted {
            return Err("its two halves do not belong together");
        }
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, own);
        pair.map(|pair| Self { pair }).map_err(|_| "its two halves do not belong together")
    }

    /// The public key, as a line of an allowed signers file or of authorized_keys has it.
    pub fn public(&self) -> String {
        format!("ssh-ed25519 {}", STANDARD.encode(self.public_blob()))
    }

    fn public_blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, ALGORITHM);
        put(&mut blob, self.pair.public_key().as_ref());
        blob
    }

    /// Signs a message for the namespace `git`; the text of the signature.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<String, Error> {
        let mut signed = b"SSHSIG".to_vec();
        for part in [NAMESPACE, b"", HASH, digest(&SHA512, message).as_ref()] {
            put(&mut signed, part);
        }
        let mut signature = Vec::new();
        put(&mut signature, ALGORITHM);
        put(&mut signature, self.pair.sign(&signed).as_ref());
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [&self.public_blob(), NAMESPACE, b"", HASH, &signature] {
            put(&mut blob, part);
        }
        let packed = STANDARD.encode(blob);
        let mut text = "-----BEGIN SSH SIGNATURE-----\n".to_owned();
        for line in packed.as_bytes().chunks(WIDTH) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END SSH SIGNATURE-----\n");
        Ok(text)
    }
}

fn number(input: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = input.split_first_chunk::<4>()?;
    *input = rest;
    Some(u32::from_be_bytes(*bytes))
}

fn string<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(input)?).ok()?;
    let (piece, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(piece)
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(part);
}
