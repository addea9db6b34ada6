//! The files of a member's `pki` directory: two authorities, the service-account key, and the
//! member's own certificates, made on first start and reused afterwards.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Authority, Issued, Kubeconfig, PkiError, Subject, parse_certs, read_file, write_kubeconfig,
    write_private, write_public,
};

/// A certificate with less than this left is issued anew at start.
const RENEW_BEFORE_DAYS: i64 = 30;
/// The one DNS name in every peer's certificate: peers are known by their authority, not by address.
pub const PEER_NAME: &str = "kabuki-peer";

/// The names and addresses under which a member is reached.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemberNames {
    /// The member's name.
    pub name: String,
    /// Addresses clients may use.
    pub addresses: Vec<IpAddr>,
}

/// Everything a control-plane member needs to prove who it is and to vouch for others.
pub struct ClusterPki {
    dir: PathBuf,
    /// Signs the API server's certificates and every client's.
    pub ca: Authority,
    /// Signs the Raft peers' certificates, and nothing else.
    pub peer_ca: Authority,
    /// PKCS#8 PEM of the ECDSA P-256 key that signs service-account tokens.
    pub service_account_key_pem: String,
}

impl ClusterPki {
    /// Loads the cluster's authorities from `dir`, or makes them when none of their files is there.
    pub fn load_or_create(dir: &Path) -> Result<Self, PkiError> {
        if let Some(pki) = Self::load(dir)? {
            return Ok(pki);
        }
        let pki = Self {
            dir: dir.to_path_buf(),
            ca: Authority::create("kabuki-ca")?,
            peer_ca: Authority::create("kabuki-peer-ca")?,
            service_account_key_pem: KeyPair::generate()?.serialize_pem(),
        };
        pki.save()?;
        Ok(pki)
    }

    /// Loads the authorities; `None` when the directory holds none.
    pub fn load(dir: &Path) -> Result<Option<Self>, PkiError> {
        let Some(ca_cert) = read_file(&dir.join("ca.crt"))? else { return Ok(None) };
        let need = |name: &str| -> Result<String, PkiError> {
            let path = dir.join(name);
            read_file(&path)?.ok_or_else(|| PkiError::File {
                path,
                source: std::io::Error::new(std::io::ErrorKind::NotFound, "file is missing"),
            })
        };
        Ok(Some(Self {
            dir: dir.to_path_buf(),
            ca: Authority::from_pem(&ca_cert, &need("ca.key")?)?,
            peer_ca: Authority::from_pem(&need("peer-ca.crt")?, &need("peer-ca.key")?)?,
            service_account_key_pem: need("sa.key")?,
        }))
    }

    /// Takes over the authorities handed out by an existing member.
    pub fn adopt(
        dir: &Path,
        ca: Authority,
        peer_ca: Authority,
        service_account_key_pem: String,
    ) -> Result<Self, PkiError> {
        let pki = Self { dir: dir.to_path_buf(), ca, peer_ca, service_account_key_pem };
        pki.save()?;
        Ok(pki)
    }

    // `ca.crt` goes last: its presence is what says that the others are complete.
    fn save(&self) -> Result<(), PkiError> {
        write_private(&self.dir.join("sa.key"), &self.service_account_key_pem)?;
        write_private(&self.dir.join("peer-ca.key"), self.peer_ca.key_pem())?;
        write_public(&self.dir.join("peer-ca.crt"), self.peer_ca.cert_pem())?;
        write_private(&self.dir.join("ca.key"), self.ca.key_pem())?;
        write_public(&self.dir.join("ca.crt"), self.ca.cert_pem())
    }

    /// The API server's certificate of this member; issued anew when its names changed or it is
    /// about to expire.
    pub fn server_identity(
        &self,
        names: &MemberNames,
        service_ip: IpAddr,
    ) -> Result<Issued, PkiError> {
        let mut dns_names: Vec<String> = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]
        .map(String::from)
        .to_vec();
        if !dns_names.contains(&names.name) {
            dns_names.push(names.name.clone());
        }
        let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), service_ip];
        for address in &names.addresses {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let subject = Subject {
            common_name: "kube-apiserver".into(),
            dns_names,
            addresses,
            server: true,
            ..Subject::default()
        };
        self.kept_or_issued("server", &self.ca, &subject)
    }

    /// The certificate this member shows to its peers, in both directions.
    pub fn peer_identity(&self, member_id: u64) -> Result<Issued, PkiError> {
        let subject = Subject {
            common_name: format!("kabuki:member:{member_id}"),
            dns_names: vec![PEER_NAME.into()],
            server: true,
            client: true,
            ..Subject::default()
        };
        self.kept_or_issued("peer", &self.peer_ca, &subject)
    }

    /// A client certificate for `user` in `groups`, not kept on disk.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Issued, PkiError> {
        self.ca.issue(&Subject {
            common_name: user.into(),
            organizations: groups.iter().map(|g| (*g).to_string()).collect(),
            client: true,
            ..Subject::default()
        })
    }

    /// Writes an administrator's kubeconfig for `server` unless a current one is there.
    pub fn write_admin_kubeconfig(&self, path: &Path, server: &str) -> Result<(), PkiError> {
        let client = self.kept_or_issued(
            "admin",
            &self.ca,
            &Subject {
                common_name: "kubernetes-admin".into(),
                organizations: vec!["system:masters".into()],
                client: true,
                ..Subject::default()
            },
        )?;
        let config =
            Kubeconfig { server: server.into(), ca_pem: self.ca.cert_pem().into(), client };
        write_kubeconfig(path, &config)
    }

    fn kept_or_issued(
        &self,
        stem: &str,
        authority: &Authority,
        subject: &Subject,
    ) -> Result<Issued, PkiError> {
        let (cert_path, key_path, note_path) = (
            self.dir.join(format!("{stem}.crt")),
            self.dir.join(format!("{stem}.key")),
            self.dir.join(format!("{stem}.subject")),
        );
        let note = format!("{subject:?}");
        if let (Some(cert_pem), Some(key_pem), Some(old_note)) =
            (read_file(&cert_path)?, read_file(&key_path)?, read_file(&note_path)?)
            && old_note == note
            && !expires_soon(&cert_pem)
        {
            return Ok(Issued { cert_pem, key_pem });
        }
        let issued = authority.issue(subject)?;
        write_private(&key_path, &issued.key_pem)?;
        write_public(&cert_path, &issued.cert_pem)?;
        write_public(&note_path, &note)?;
        Ok(issued)
    }
}

/// Hex SHA-256 of an authority's subject public key info, as kubeadm's discovery hash.
pub fn ca_hash(ca_pem: &str) -> Result<String, PkiError> {
    let der = parse_certs("certificate authority", ca_pem)?;
    let (_, cert) = X509Certificate::from_der(&der[0]).map_err(|e| PkiError::Pem {
        what: "certificate authority".into(),
        detail: e.to_string(),
    })?;
    Ok(hex::encode(Sha256::digest(cert.public_key().raw)))
}

// A certificate that cannot be read is treated as expired: it is replaced.
fn expires_soon(cert_pem: &str) -> bool {
    let Ok(der) = parse_certs("certificate", cert_pem) else { return true };
    let Ok((_, cert)) = X509Certificate::from_der(&der[0]) else { return true };
    let limit = OffsetDateTime::now_utc() + Duration::days(RENEW_BEFORE_DAYS);
    cert.validity().not_after.timestamp() < limit.unix_timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = ClusterPki::load_or_create(dir.path()).unwrap();
        let second = ClusterPki::load_or_create(dir.path()).unwrap();
        assert_eq!(first.ca.cert_pem(), second.ca.cert_pem());
        assert_eq!(ca_hash(first.ca.cert_pem()).unwrap().len(), 64);
    }

    #[test]
    fn a_missing_key_beside_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        ClusterPki::load_or_create(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join("sa.key")).unwrap();
        let error = ClusterPki::load_or_create(dir.path()).err().unwrap().to_string();
        assert!(error.contains("sa.key"), "{error}");
    }

    #[test]
    fn a_server_certificate_follows_its_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let pki = ClusterPki::load_or_create(dir.path()).unwrap();
        let service = IpAddr::from([10, 96, 0, 1]);
        let mut names = MemberNames { name: "a".into(), addresses: vec![[10, 0, 0, 1].into()] };
        let first = pki.server_identity(&names, service).unwrap();
        assert_eq!(first.cert_pem, pki.server_identity(&names, service).unwrap().cert_pem);
        names.addresses.push([10, 0, 0, 2].into());
        assert_ne!(first.cert_pem, pki.server_identity(&names, service).unwrap().cert_pem);
    }
}
