//! Certificate requests: what they ask for, and which of the built-in signers may sign them
//! (upstream: `pkg/apis/certificates/helpers.go`, `pkg/controller/certificates/signer`).

use std::{net::IpAddr, time::Duration};

use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
    prelude::FromDer,
};

use super::{attributes::Attributes, authorizer::Authorizer, user::UserInfo};

/// Signs client certificates for anybody.
pub const API_CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Signs the client certificates of nodes.
pub const KUBELET_CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs the server certificates of nodes.
pub const KUBELET_SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
/// Names of one request that are looked at.
const NAMES_MAX: usize = 256;
const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";

/// What a certificate request says of its subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Common name.
    pub common_name: String,
    /// Organizations.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it names anything else, such as mail addresses or URIs.
    pub other_names: bool,
}

/// What a signed certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateUse {
    /// By a TLS server.
    pub server: bool,
    /// By a TLS client.
    pub client: bool,
}

/// Signs with the authority of the cluster.
pub trait CertificateSigner: Send + Sync + std::fmt::Debug {
    /// The certificate of a request whose subject was checked, PEM.
    ///
    /// # Errors
    /// When the request is broken or not signed with its own key.
    fn sign(
        &self,
        request_pem: &str,
        request: &CertificateRequest,
        usage: CertificateUse,
        lifetime: Option<Duration>,
    ) -> Result<String, String>;
}

impl CertificateRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// When the text is no PEM of one.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let not_pem = "PEM block type must be CERTIFICATE REQUEST";
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| not_pem)?;
        if block.label != "CERTIFICATE REQUEST" {
            return Err(not_pem.to_owned());
        }
        let (_, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|e| format!("it cannot be read: {e}"))?;
        let subject = &request.certification_request_info.subject;
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            value.as_str().unwrap_or_default().to_owned()
        };
        let mut found = Self {
            common_name: subject.iter_common_name().next().map(text).unwrap_or_default(),
            organizations: subject.iter_organization().take(NAMES_MAX).map(text).collect(),
            ..Self::default()
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                for name in names.general_names.iter().take(NAMES_MAX) {
                    found.add(name);
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match *bytes {
                [a, b, c, d] => self.addresses.push(IpAddr::from([*a, *b, *c, *d])),
                other => match <[u8; 16]>::try_from(other) {
                    Ok(bytes) => self.addresses.push(IpAddr::from(bytes)),
                    Err(_) => self.other_names = true,
                },
            },
            _ => self.other_names = true,
        }
    }

    /// Whether a signer may sign the request, and for what use.
    ///
    /// # Errors
    /// Why it may not; `None` for a signer that is not built in.
    pub fn usable_by(
        &self,
        signer: &str,
        usages: &[&str],
    ) -> Option<Result<CertificateUse, String>> {
        let checked = match signer {
            API_CLIENT_SIGNER => self.check_api_client(usages),
            KUBELET_CLIENT_SIGNER => self.check_kubelet_client(usages),
            KUBELET_SERVING_SIGNER => self.check_kubelet_serving(usages),
            _ => return None,
        };
        let server = signer == KUBELET_SERVING_SIGNER;
        Some(checked.map(|()| CertificateUse { server, client: !server }))
    }

    fn check_api_client(&self, usages: &[&str]) -> Result<(), String> {
        let known = ["digital signature", "key encipherment", "client auth"];
        if !usages.contains(&"client auth") || usages.iter().any(|u| !known.contains(u)) {
            return Err(
                "usages must be client auth, and may be digital signature and key encipherment"
                    .into(),
            );
        }
        Ok(())
    }

    /// Whether it is one of a node's client certificate.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_kubelet_client(&self, usages: &[&str]) -> Result<(), String> {
        self.check_node()?;
        if !self.dns_names.is_empty() || !self.addresses.is_empty() || self.other_names {
            return Err("DNS, IP, email and URI subjectAltNames are not allowed".into());
        }
        check_usages(usages, "client auth")
    }

    fn check_kubelet_serving(&self, usages: &[&str]) -> Result<(), String> {
        self.check_node()?;
        if self.dns_names.is_empty() && self.addresses.is_empty() {
            return Err("at least one DNS or IP subjectAltName is required".into());
        }
        if self.other_names {
            return Err("email and URI subjectAltNames are not allowed".into());
        }
        check_usages(usages, "server auth")
    }

    fn check_node(&self) -> Result<(), String> {
        if self.organizations != [NODES] {
            return Err(format!("subject organization is not {NODES}"));
        }
        if !self.common_name.starts_with(NODE_PREFIX) {
            return Err(format!("subject common name does not begin with {NODE_PREFIX}"));
        }
        Ok(())
    }
}

fn check_usages(usages: &[&str], wanted: &str) -> Result<(), String> {
    let right = usages.contains(&"digital signature")
        && usages.contains(&wanted)
        && usages
            .iter()
            .all(|u| *u == wanted || matches!(*u, "digital signature" | "key encipherment"));
    if right {
        return Ok(());
    }
    Err(format!(
        "usages did not match: digital signature and {wanted}, and at most key encipherment besides"
    ))
}

impl Authorizer {
    /// Whether a user may `approve` or `sign` what a signer signs: this signer, or all of its domain.
    pub fn may_use_signer(&self, user: &UserInfo, verb: &str, signer: &str) -> bool {
        let domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*"));
        [Some(signer.to_owned()), domain].iter().flatten().any(|name| {
            let asked = Attributes {
                verb,
                group: "certificates.k8s.io",
                version: "*",
                resource: "signers",
                name,
                ..Attributes::default()
            };
            self.decide(user, &asked).is_some()
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    pub(crate) fn pem(name: &str, groups: &[&str], sans: &[&str]) -> String {
        let names: Vec<String> = sans.iter().map(|s| (*s).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.distinguished_name.push(DnType::CommonName, name);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    #[test]
    fn requests_are_read() {
        let read = CertificateRequest::parse(&pem("system:node:a", &[NODES], &["h", "10.0.0.1"]));
        let read = read.unwrap();
        assert_eq!(
            (read.common_name.as_str(), read.organizations.as_slice()),
            ("system:node:a", [NODES.to_owned()].as_slice())
        );
        assert_eq!(read.dns_names, ["h"]);
        assert_eq!(read.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        for bad in
            ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
        {
            assert!(CertificateRequest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signers_sign_what_they_are_for() {
        let client = ["digital signature", "client auth"];
        let serving = ["digital signature", "key encipherment", "server auth"];
        let node = |sans: &[&str]| {
            CertificateRequest::parse(&pem("system:node:a", &[NODES], sans)).unwrap()
        };
        let jane = CertificateRequest::parse(&pem("jane", &["team"], &[])).unwrap();
        for (request, signer, usages, want) in [
            (node(&[]), KUBELET_CLIENT_SIGNER, &client[..], true),
            (node(&["h"]), KUBELET_CLIENT_SIGNER, &client, false),
            (node(&[]), KUBELET_CLIENT_SIGNER, &serving, false),
            (jane.clone(), KUBELET_CLIENT_SIGNER, &client, false),
            (node(&["h"]), KUBELET_SERVING_SIGNER, &serving, true),
            (node(&[]), KUBELET_SERVING_SIGNER, &serving, false),
            (node(&["h"]), KUBELET_SERVING_SIGNER, &client, false),
            (jane.clone(), API_CLIENT_SIGNER, &client, true),
            (jane.clone(), API_CLIENT_SIGNER, &["client auth"], true),
            (jane.clone(), API_CLIENT_SIGNER, &serving, false),
        ] {
            let usable = request.usable_by(signer, usages).unwrap();
            assert_eq!(usable.is_ok(), want, "{request:?} {signer} {usages:?}: {usable:?}");
        }
        assert!(jane.usable_by("example.com/mine", &client).is_none());
    }
}
