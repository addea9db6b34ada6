//! A certificate with its key that can be replaced while it is in use: the next handshake shows the
//! new one, connections made before go on.

use std::sync::Arc;

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Issued, PkiError, Validity, parse_certs, parse_key};

/// What is shown at present.
struct Held {
    issued: Issued,
    key: Arc<CertifiedKey>,
    validity: Validity,
    /// Differs between certificates; decides when within its window this one is renewed.
    seed: u64,
}

/// A certificate and key in use, for one or both sides of TLS.
pub struct Credential {
    current: watch::Sender<Arc<Held>>,
    /// Sent after the certificate itself, PEM; may be empty.
    chain_pem: String,
}

impl Credential {
    /// Takes a certificate into use. `chain_pem` is sent along with it.
    ///
    /// # Errors
    /// When the key is not that of the certificate, or either cannot be read.
    pub fn new(issued: Issued, chain_pem: &str) -> Result<Arc<Self>, PkiError> {
        let held = hold(issued, chain_pem)?;
        Ok(Arc::new(Self {
            current: watch::Sender::new(Arc::new(held)),
            chain_pem: chain_pem.to_string(),
        }))
    }

    /// Shows `issued` from the next handshake on.
    ///
    /// # Errors
    /// As [`Credential::new`]; the old one then stays.
    pub fn replace(&self, issued: Issued) -> Result<(), PkiError> {
        let held = hold(issued, &self.chain_pem)?;
        self.current.send_replace(Arc::new(held));
        Ok(())
    }

    /// The certificate and key now in use.
    pub fn issued(&self) -> Issued {
        self.current.borrow().issued.clone()
    }

    /// From when to when the one in use holds.
    pub fn validity(&self) -> Validity {
        self.current.borrow().validity
    }

    /// See [`Validity::renew_at`].
    pub fn seed(&self) -> u64 {
        self.current.borrow().seed
    }

    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.borrow().key)
    }
}

fn hold(issued: Issued, chain_pem: &str) -> Result<Held, PkiError> {
    let mut chain = parse_certs("certificate", &issued.cert_pem)?;
    let validity = Validity::of_der("certificate", &chain[0])?;
    let digest = Sha256::digest(&chain[0]);
    let seed = digest.iter().take(8).fold(0, |seed: u64, byte| seed << 8 | u64::from(*byte));
    if !chain_pem.is_empty() {
        chain.extend(parse_certs("certificate chain", chain_pem)?);
    }
    let key = parse_key("key", &issued.key_pem)?;
    let provider = rustls::crypto::ring::default_provider();
    let key = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
    Ok(Held { issued, key, validity, seed })
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("validity", &self.validity()).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Credential {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Credential {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Authority, Subject},
        *,
    };

    #[test]
    fn a_wrong_key_never_replaces_a_right_one() {
        let authority = Authority::create("test-ca").unwrap();
        let subject = Subject { common_name: "a".into(), client: true, ..Subject::default() };
        let (first, second) =
            (authority.issue(&subject).unwrap(), authority.issue(&subject).unwrap());
        let credential = Credential::new(first.clone(), "").unwrap();
        let mixed = Issued { cert_pem: second.cert_pem.clone(), key_pem: first.key_pem.clone() };
        credential.replace(mixed).unwrap_err();
        assert_eq!(credential.issued().cert_pem, first.cert_pem);
        let before = credential.key();
        credential.replace(second.clone()).unwrap();
        assert_eq!(credential.issued().cert_pem, second.cert_pem);
        assert!(!Arc::ptr_eq(&before, &credential.key()));
    }
}
