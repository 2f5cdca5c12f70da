//! A listener's certificate and key from files, read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::metrics::{Counter, Registry};
use crate::shutdown::Shutdown;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// The largest file of a certificate or key, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Why files make no certificate to serve with. Nothing of a key is in it.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too large.
    #[error("{path} is larger than {} KiB, which no certificate or key is", MAX_FILE >> 10)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate.
    #[error("{path} holds no PEM certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key.
    #[error("{path} holds no PEM key that can be used")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// They do not belong together.
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("cannot serve with the certificate")]
    Use(#[from] rustls::Error),
}

/// A certificate and a key that files hold. Clones are the same.
#[derive(Clone)]
pub struct CertificateFiles(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<CertifiedKey>>,
    reloads: Counter,
    failures: Counter,
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFiles({})", self.0.certificate.display())
    }
}

impl CertificateFiles {
    /// Reads them.
    ///
    /// # Errors
    /// Where they cannot be read, or make no certificate with its key.
    pub fn read(certificate: &Path, key: &Path, metrics: &Registry) -> Result<Self, FilesError> {
        let now = RwLock::new(Arc::new(load(certificate, key)?));
        Ok(Self(Arc::new(Inner {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            now,
            reloads: metrics.counter(
                "kiban_tls_reloads_total",
                "Certificates that were read again because files changed.",
            ),
            failures: metrics.counter(
                "kiban_tls_reload_failures_total",
                "Times that changed files made no certificate, so that the one before stayed.",
            ),
        })))
    }

    /// A server's side of TLS with whatever certificate the files hold at the time.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn server(&self) -> Result<Arc<ServerConfig>, FilesError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(self.clone())));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }

    /// Reads the files again when they change, until `shutdown`. Where they are no good, the certificate
    /// before stays.
    pub async fn follow(self, mut shutdown: Shutdown) {
        let mut said = String::new();
        loop {
            tokio::select! {
                () = shutdown.fired() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.look(&mut said);
        }
    }

    /// Reads the files once. `said` is the failure that was told last, so that it is told once.
    fn look(&self, said: &mut String) {
        let file = self.0.certificate.display().to_string();
        match load(&self.0.certificate, &self.0.key) {
            Ok(read) => {
                said.clear();
                let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
                if now.cert != read.cert {
                    *now = Arc::new(read);
                    self.0.reloads.inc();
                    tracing::info!(file, "the certificate has changed");
                }
            }
            Err(error) => {
                self.0.failures.inc();
                let error = crate::client::chain(&error);
                if *said != error {
                    tracing::error!(file, error, "the certificate cannot be read; the one before stays");
                    *said = error;
                }
            }
        }
    }
}

struct Resolver(CertificateFiles);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.0.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn bytes(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, FilesError> {
    use std::io::Read;
    let read = |source| FilesError::Read { path: path.to_owned(), source };
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(FilesError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, FilesError> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&bytes(certificate)?).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(FilesError::NoCertificate { path: certificate.to_owned() });
    }
    let no_key = || FilesError::NoKey { path: key.to_owned() };
    let der = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|_| no_key())?;
    let signing = any_supported_type(&der).map_err(|_| no_key())?;
    let both = CertifiedKey::new(chain, signing);
    let mismatch = || FilesError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() };
    both.keys_match().map_err(|_| mismatch())?;
    Ok(both)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn make() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn files_are_read_again_and_bad_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let write = |(c, k): (&str, &str)| {
            std::fs::write(&certificate, c).unwrap();
            std::fs::write(&key, k).unwrap();
        };
        let (first, second) = (make(), make());
        write((&first.0, &first.1));
        let registry = Registry::new();
        let files = CertificateFiles::read(&certificate, &key, &registry).unwrap();
        let now = || files.0.now.read().unwrap().cert.clone();
        let before = now();
        files.look(&mut String::new());
        assert_eq!(now(), before);
        let mut said = String::new();
        for (bad, words) in [
            ((second.0.as_str(), first.1.as_str()), "is not that of the certificate in"),
            (("", first.1.as_str()), "tls.crt holds no PEM certificate"),
            ((first.0.as_str(), "x"), "tls.key holds no PEM key that can be used"),
        ] {
            write(bad);
            files.look(&mut said);
            assert!(said.contains(words), "{said}");
            assert_eq!(now(), before);
        }
        write((&second.0, &second.1));
        files.look(&mut said);
        assert_ne!(now(), before);
        let text = registry.text();
        assert!(text.contains("kiban_tls_reloads_total 1\n"), "{text}");
        assert!(text.contains("kiban_tls_reload_failures_total 3\n"), "{text}");
        std::fs::remove_file(&key).unwrap();
        let error = CertificateFiles::read(&certificate, &key, &registry).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.ends_with("tls.key"), "{error}");
    }
}
