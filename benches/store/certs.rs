//! Certificates for the traffic between members; both systems use the same ones.

use std::{fs, path::Path, sync::Arc};

use kabuki_raft::PeerTls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, crypto::ring::default_provider,
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Names of the files, below the directory of a cluster.
pub const CA: &str = "ca.pem";
/// The certificate of every member.
pub const CERT: &str = "member.pem";
/// Its key.
pub const KEY: &str = "member.key";

/// Writes an authority's certificate and one certificate for all members.
pub fn make(dir: &Path) -> anyhow::Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let cert = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    fs::write(dir.join(CA), ca_cert.pem())?;
    fs::write(dir.join(CERT), cert.pem())?;
    fs::write(dir.join(KEY), key.serialize_pem())?;
    Ok(())
}

/// What a member of Kabuki's store needs of them.
pub fn tls(dir: &Path) -> anyhow::Result<PeerTls> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join(CA))?)?;
    let roots = Arc::new(roots);
    let chain = vec![CertificateDer::from_pem_file(dir.join(CERT))?];
    let key = || PrivateKeyDer::from_pem_file(dir.join(KEY));
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key()?)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key()?)?;
    Ok(PeerTls {
        server: Arc::new(server),
        client: Arc::new(client),
        server_name: "localhost".to_owned(),
        authorize: None,
    })
}
