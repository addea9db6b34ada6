//! A certificate authority: makes itself, issues leaf certificates and signs requests.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::PkiError;

/// How long an authority is valid. Kubernetes installers use ten years.
const AUTHORITY_DAYS: i64 = 3650;
/// How long an issued certificate is valid.
const LEAF_DAYS: i64 = 365;
/// How far a certificate's validity reaches back, so that a joining machine whose clock is slow
/// still accepts it.
const BACKDATE_HOURS: i64 = 1;

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
        set_validity(&mut params, AUTHORITY_DAYS);
        let key = KeyPair::generate()?;
        let cert_pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Self::from_pem(&cert_pem, &key_pem)
    }

    /// Loads an authority from its PEM certificate and key.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem)?;
        let issuer = Issuer::from_ca_cert_pem(cert_pem, key)?;
        Ok(Self { cert_pem: cert_pem.to_string(), key_pem: key_pem.to_string(), issuer })
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
        let params = leaf_params(subject)?;
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert_pem, key_pem: key.serialize_pem() })
    }

    /// Signs a certificate request. Only the request's public key is used: what the certificate
    /// says is decided by the caller, never by the requester.
    pub fn sign_request(&self, csr_pem: &str, subject: &Subject) -> Result<String, PkiError> {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem)?;
        request.params = leaf_params(subject)?;
        Ok(request.signed_by(&self.issuer)?.pem())
    }
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
    set_validity(&mut params, LEAF_DAYS);
    Ok(params)
}

/// Sixteen random bytes with the top bit clear: a positive DER integer of at most 20 bytes
/// (RFC 5280 §4.1.2.2).
fn serial_bytes() -> [u8; 16] {
    let mut bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    bytes
}

fn set_validity(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(BACKDATE_HOURS);
    params.not_after = now + Duration::days(days);
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
    fn broken_pem_is_an_error() {
        assert!(Authority::from_pem("no", "no").is_err());
    }
}
