//! Certificates for members of a test cluster.

#![allow(dead_code)]

use std::{path::Path, sync::Arc};

use kabuki_raft::PeerTls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, crypto::ring::default_provider,
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Show logs when `RUST_LOG` asks for them.
pub fn logs() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .try_init()
        .ok();
}

const NAME: &str = "peer.kabuki.test";

/// A CA and one certificate for all members, as DER.
#[derive(Clone)]
pub struct Pki {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![NAME.to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        Self { ca: ca.der().to_vec(), cert: cert.der().to_vec(), key: key.serialize_der() }
    }

    pub fn save(&self, dir: &Path) {
        std::fs::write(dir.join("ca.der"), &self.ca).unwrap();
        std::fs::write(dir.join("cert.der"), &self.cert).unwrap();
        std::fs::write(dir.join("key.der"), &self.key).unwrap();
    }

    pub fn load(dir: &Path) -> Self {
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        Self { ca: read("ca.der"), cert: read("cert.der"), key: read("key.der") }
    }

    pub fn tls(&self) -> PeerTls {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.clone())).unwrap();
        let roots = Arc::new(roots);
        let chain = vec![CertificateDer::from(self.cert.clone())];
        let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .unwrap();
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key())
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key())
            .unwrap();
        PeerTls {
            server: Arc::new(server),
            client: Arc::new(client),
            server_name: NAME.to_owned(),
            authorize: None,
        }
    }
}
