//! A certificate verifier that trusts exactly one authority, known by the hash of its public key,
//! which the server must send along in its chain.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The server belongs to another cluster than the token.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token is for another cluster: no certificate of the server has the public key hash {wanted}"
)]
pub struct ForeignCluster {
    wanted: String,
}

/// Verifies a server by the hash of its authority.
#[derive(Debug)]
pub struct PinnedAuthority {
    ca_hash: String,
    provider: Arc<CryptoProvider>,
}

impl PinnedAuthority {
    /// Trusts the authority whose public key info has this hex SHA-256.
    pub fn new(ca_hash: &str) -> Self {
        Self {
            ca_hash: ca_hash.to_string(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        }
    }

    fn matches(&self, cert: &CertificateDer<'_>) -> bool {
        X509Certificate::from_der(cert)
            .is_ok_and(|(_, c)| hex::encode(Sha256::digest(c.public_key().raw)) == self.ca_hash)
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|c| self.matches(c)).ok_or_else(|| {
            Error::Other(OtherError(Arc::new(ForeignCluster { wanted: self.ca_hash.clone() })))
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
                .build()
                .map_err(|e| Error::General(e.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
