//! A certificate authority: makes itself, issues leaf certificates and signs requests.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::Duration;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::{Clock, PkiError, Validity, parse_certs};

/// How long an authority is valid. Kubernetes installers use ten years.
const AUTHORITY_LIFETIME: Duration = Duration::days(3650);
/// How long an issued certificate is valid when nothing else is said.
pub const LEAF_LIFETIME: Duration = Duration::days(365);

/// How an authority issues.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long its certificates are valid; never beyond the authority's own end.
    pub lifetime: Duration,
    /// What it takes for the time now.
    pub clock: Clock,
}

impl Default for Policy {
    fn default() -> Self {
        Self { lifetime: LEAF_LIFETIME, clock: Clock::default() }
    }
}

/// Who a certificate speaks for.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// Common name: the Kubernetes user name.
    pub common_name: String,
    /// Organizations: the Kubernetes groups.
    pub organizations: Vec<String>,
    /// DNS names a server certificate answers to.
    pub dns_names: Vec<String>,
    /// Addresses a server certificate answers to.
    pub addresses: Vec<IpAddr>,
    /// May be used by a TLS server.
    pub server: bool,
    /// May be used by a TLS client.
    pub client: bool,
}

/// A certificate with its private key, both PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// Its PKCS#8 private key.
    pub key_pem: String,
}

/// A certificate authority with its key.
pub struct Authority {
    cert_pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
    policy: Policy,
}

impl Authority {
    /// Makes a new self-signed authority (ECDSA P-256) valid for ten years.
    pub fn create(common_name: &str) -> Result<Self, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let now = Clock::default().now();
        set_validity(
            &mut params,
            Validity::issued(now, AUTHORITY_LIFETIME, now + AUTHORITY_LIFETIME),
        );
        let key = KeyPair::generate()?;
        let cert_pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Self::from_pem(&cert_pem, &key_pem)
    }

    /// Loads an authority from its PEM certificate and key.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let what = "certificate authority";
        let failed = |detail: String| PkiError::Pem { what: what.to_string(), detail };
        let key = KeyPair::from_pem(key_pem)
            .map_err(|e| PkiError::Pem { what: "authority key".into(), detail: e.to_string() })?;
        let validity = Validity::of_pem(what, cert_pem)?;
        let der = parse_certs(what, cert_pem)?;
        let (_, cert) = X509Certificate::from_der(&der[0]).map_err(|e| failed(e.to_string()))?;
        if !cert.is_ca() {
            return Err(failed("the certificate in it is not an authority's".into()));
        }
        if cert.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(failed("the key beside it belongs to another certificate".into()));
        }
        let issuer = Issuer::from_ca_cert_pem(cert_pem, key)?;
        Ok(Self {
            cert_pem: cert_pem.to_string(),
            key_pem: key_pem.to_string(),
            issuer,
            validity,
            policy: Policy::default(),
        })
    }

    /// Issues by `policy` from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// How it issues.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// From when to when the authority itself holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether a certificate names this authority's key as the one that signed it.
    pub fn signed(&self, cert_pem: &str) -> Result<bool, PkiError> {
        let own = key_ids(&self.cert_pem)?.0;
        let theirs = key_ids(cert_pem)?.1;
        Ok(own.is_some() && own == theirs)
    }

    /// The authority's certificate, PEM.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's private key, PEM. Leaves the machine only towards a joining member.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Issues a certificate with a new key.
    pub fn issue(&self, subject: &Subject) -> Result<Issued, PkiError> {
        let key = KeyPair::generate()?;
        let params = self.leaf_params(subject, None)?;
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert_pem, key_pem: key.serialize_pem() })
    }

    /// Signs a certificate request. Only the request's public key is used: what the certificate
    /// says is decided by the caller, never by the requester.
    pub fn sign_request(&self, csr_pem: &str, subject: &Subject) -> Result<String, PkiError> {
        self.sign_request_for(csr_pem, subject, None)
    }

    /// As [`Authority::sign_request`], for a shorter life than the policy's where one is asked for.
    pub fn sign_request_for(
        &self,
        csr_pem: &str,
        subject: &Subject,
        lifetime: Option<Duration>,
    ) -> Result<String, PkiError> {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem)?;
        request.params = self.leaf_params(subject, lifetime)?;
        Ok(request.signed_by(&self.issuer)?.pem())
    }

    fn leaf_params(
        &self,
        subject: &Subject,
        lifetime: Option<Duration>,
    ) -> Result<CertificateParams, PkiError> {
        let mut params = leaf_params(subject)?;
        let now = self.policy.clock.now();
        let longest = self.policy.lifetime;
        let lifetime = lifetime.map_or(longest, |asked| asked.min(longest));
        set_validity(&mut params, Validity::issued(now, lifetime, self.validity.not_after));
        Ok(params)
    }
}

type KeyIds = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The key a certificate holds and the one that signed it, by their identifiers.
fn key_ids(pem: &str) -> Result<KeyIds, PkiError> {
    let der = parse_certs("certificate", pem)?;
    let (_, cert) = X509Certificate::from_der(&der[0])
        .map_err(|e| PkiError::Pem { what: "certificate".into(), detail: e.to_string() })?;
    let (mut own, mut signer) = (None, None);
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                signer = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    Ok((own, signer))
}

/// Makes a key and a certificate request for it.
pub fn request() -> Result<(String, String), PkiError> {
    let key = KeyPair::generate()?;
    let params = CertificateParams::default();
    let csr = params.serialize_request(&key)?.pem()?;
    Ok((csr, key.serialize_pem()))
}

fn leaf_params(subject: &Subject) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(subject.dns_names.clone())?;
    params.subject_alt_names.extend(subject.addresses.iter().map(|a| SanType::IpAddress(*a)));
    params.distinguished_name = DistinguishedName::new();
    for organization in &subject.organizations {
        params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if subject.server {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if subject.client {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial_bytes()));
    Ok(params)
}

/// Sixteen random bytes with the top bit clear: a positive DER integer of at most 20 bytes
/// (RFC 5280 §4.1.2.2).
fn serial_bytes() -> [u8; 16] {
    let mut bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    bytes
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_cannot_choose_its_own_name() {
        let authority = Authority::create("test-ca").unwrap();
        let (csr, _key) = request().unwrap();
        let subject = Subject {
            common_name: "system:node:a".into(),
            organizations: vec!["system:nodes".into()],
            client: true,
            ..Subject::default()
        };
        let cert = authority.sign_request(&csr, &subject).unwrap();
        let der = super::super::parse_certs("cert", &cert).unwrap();
        let (name, groups) = super::super::certificate_identity(&der[0]).unwrap();
        assert_eq!(name, "system:node:a");
        assert_eq!(groups, vec!["system:nodes".to_string()]);
    }

    #[test]
    fn an_authority_survives_its_files() {
        let authority = Authority::create("test-ca").unwrap();
        let again = Authority::from_pem(authority.cert_pem(), authority.key_pem()).unwrap();
        again.issue(&Subject { common_name: "x".into(), ..Subject::default() }).unwrap();
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (Authority::create("a").unwrap(), Authority::create("b").unwrap());
        let error = Authority::from_pem(one.cert_pem(), other.key_pem()).err().unwrap();
        assert!(error.to_string().contains("another certificate"), "{error}");
        let leaf = one.issue(&Subject { common_name: "x".into(), ..Subject::default() }).unwrap();
        assert!(one.signed(&leaf.cert_pem).unwrap());
        assert!(!other.signed(&leaf.cert_pem).unwrap());
        assert!(Authority::from_pem(&leaf.cert_pem, &leaf.key_pem).is_err());
    }

    #[test]
    fn broken_pem_is_an_error() {
        assert!(Authority::from_pem("no", "no").is_err());
    }
}
