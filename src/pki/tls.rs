//! rustls configurations made from PEM files, and the identity inside a client certificate.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Clock, Credential, PkiError};

/// Parses every certificate of a PEM text; at least one must be there.
pub fn parse_certs(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let failed = |detail: String| PkiError::Pem { what: what.to_string(), detail };
    let certs = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| failed(e.to_string()))?;
    if certs.is_empty() {
        return Err(failed("no certificate in it".to_string()));
    }
    Ok(certs)
}

/// Parses the first private key of a PEM text.
pub fn parse_key(what: &str, pem: &str) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| PkiError::Pem { what: what.to_string(), detail: e.to_string() })
}

fn roots(ca_pem: &str) -> Result<RootCertStore, PkiError> {
    let mut store = RootCertStore::empty();
    for cert in parse_certs("certificate authority", ca_pem)? {
        store.add(cert)?;
    }
    Ok(store)
}

/// Server side of the API port: client certificates are optional but, when shown, must be signed
/// by the cluster's authority. `identity` must send that authority along, for machines that join.
pub fn api_server_config(
    identity: &Arc<Credential>,
    client_ca: &str,
    clock: Clock,
) -> Result<ServerConfig, PkiError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider())
            .allow_unauthenticated()
            .build()?;
    let mut config = server_config(identity, verifier, clock)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Client side towards a server whose certificate `ca_pem` signed, with or without an identity.
pub fn client_config(
    ca_pem: &str,
    identity: Option<&Arc<Credential>>,
    clock: Clock,
) -> Result<ClientConfig, PkiError> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(clock))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_pem)?);
    let mut config = match identity {
        Some(credential) => builder.with_client_cert_resolver(credential.clone()),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Both sides of the peer port: mutual TLS within the peers' own authority.
pub fn peer_configs(
    identity: &Arc<Credential>,
    peer_ca: &str,
    clock: Clock,
) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), PkiError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(peer_ca)?), provider())
            .build()?;
    let server = server_config(identity, verifier, clock)?;
    let client = client_config(peer_ca, Some(identity), clock)?;
    Ok((Arc::new(server), Arc::new(client)))
}

// A resumed session would show the certificate of the session before it, valid or not, and
// neither kubectl nor our own clients make use of them.
fn server_config(
    identity: &Arc<Credential>,
    verifier: Arc<dyn ClientCertVerifier>,
    clock: Clock,
) -> Result<ServerConfig, PkiError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity.clone());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Common name and organizations of a certificate: the user and groups it speaks for.
pub fn certificate_identity(cert: &[u8]) -> Result<(String, Vec<String>), PkiError> {
    let failed = |detail: String| PkiError::Pem { what: "client certificate".to_string(), detail };
    let (_, parsed) = X509Certificate::from_der(cert).map_err(|e| failed(e.to_string()))?;
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        value.as_str().map(str::to_string).map_err(|e| failed(e.to_string()))
    };
    let name = parsed
        .subject()
        .iter_common_name()
        .next()
        .map(text)
        .transpose()?
        .ok_or_else(|| failed("no common name".to_string()))?;
    let groups = parsed.subject().iter_organization().map(text).collect::<Result<_, _>>()?;
    Ok((name, groups))
}
