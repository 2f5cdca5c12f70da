//! Whom the client trusts, and who it says it is.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::ClientError;
use super::{Identity, Roots};

/// The client's side of TLS, and why it can trust nobody, where it cannot.
pub(super) struct Tls {
    /// With the client's certificate, for hosts that the caller names.
    pub(super) named: Arc<ClientConfig>,
    /// Without, for hosts that only a redirect names.
    pub(super) bare: Arc<ClientConfig>,
    pub(super) untrusting: Option<Arc<str>>,
}

pub(super) fn make(roots: &Roots, identity: Option<&Identity>) -> Result<Tls, ClientError> {
    let (store, untrusting) = trust(roots)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Options(error.to_string()))?;
        Ok::<_, ClientError>(builder.with_root_certificates(store.clone()))
    };
    let bare = finish(builder()?.with_no_client_auth());
    let named = match identity {
        None => bare.clone(),
        Some(identity) => {
            let chain = certificates(identity.certificate.as_bytes(), "the client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes())
                .map_err(|_| ClientError::Options("the client certificate's key is no PEM key".into()))?;
            let config = builder()?.with_client_auth_cert(chain, key);
            finish(config.map_err(|error| {
                ClientError::Options(format!("the client certificate and its key: {error}"))
            })?)
        }
    };
    Ok(Tls { named, bare, untrusting })
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The authorities; where there are none, why.
fn trust(roots: &Roots) -> Result<(RootCertStore, Option<Arc<str>>), ClientError> {
    let mut store = RootCertStore::empty();
    let mut why = "no certificate authority is configured".to_owned();
    if roots.system {
        let found = rustls_native_certs::load_native_certs();
        // A system's store holds odd certificates at times; the good ones count.
        store.add_parsable_certificates(found.certs);
        why = match found.errors.first() {
            Some(error) => format!("the system's certificate authorities cannot be read: {error}"),
            None => "the system has no certificate authorities, and none are configured".to_owned(),
        };
    }
    if !roots.extra.is_empty() {
        for certificate in certificates(&roots.extra, "the certificate authorities")? {
            store.add(certificate).map_err(|error| {
                ClientError::Options(format!("the certificate authorities: one is unusable: {error}"))
            })?;
        }
    }
    let untrusting = store.is_empty().then(|| why.into());
    Ok((store, untrusting))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err(ClientError::Options(format!("{what}: no PEM certificate is in there"))),
        Err(error) => Err(ClientError::Options(format!("{what}: no PEM: {error}"))),
    }
}
