//! TLS for listeners: a certificate authority of the process' own, and certificates of files.

mod files;

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub use files::{CertificateFiles, FilesError};

/// What can go wrong while certificates are made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The certificate could not be used.
    #[error("cannot serve with the certificate")]
    Use(#[from] rustls::Error),
}

/// A certificate authority and a server certificate under it, both made for this process.
pub struct SelfSigned {
    /// The authority's certificate, PEM: what clients trust.
    pub ca_pem: String,
    /// The server's side, with HTTP/2 and HTTP/1.1 offered.
    pub server: Arc<ServerConfig>,
}

/// Makes an authority named `common_name` and a certificate for `names` and `addresses`.
///
/// # Errors
/// Where key generation fails.
pub fn self_signed(common_name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<SelfSigned, TlsError> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, common_name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    leaf.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    leaf.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &ca)?;

    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(SelfSigned { ca_pem: ca.pem(), server: Arc::new(server) })
}
