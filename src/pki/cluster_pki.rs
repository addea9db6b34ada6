//! The files of a member's `pki` directory: two authorities, the service-account key, and the
//! member's own certificates, made on first start and reused afterwards.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Authority, Credential, Grade, Issued, Kubeconfig, PkiError, Policy, Subject, parse_certs,
    read_file, write_kubeconfig, write_private, write_public,
};

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

/// A certificate of the member's own, kept in its directory.
#[derive(Debug, Clone)]
pub enum Leaf {
    /// What the API server shows.
    Server {
        /// Under which the member is reached.
        names: MemberNames,
        /// Address of Service default/kubernetes.
        service_ip: IpAddr,
    },
    /// What the member shows to its peers, in both directions.
    Peer {
        /// The member.
        member_id: u64,
    },
    /// The administrator's, in the kubeconfig.
    Admin,
}

impl Leaf {
    /// Name of its files without their endings.
    pub fn stem(&self) -> &'static str {
        match self {
            Self::Server { .. } => "server",
            Self::Peer { .. } => "peer",
            Self::Admin => "admin",
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Server { names, service_ip } => server_subject(names, *service_ip),
            Self::Peer { member_id } => Subject {
                common_name: format!("kabuki:member:{member_id}"),
                dns_names: vec![PEER_NAME.into()],
                server: true,
                client: true,
                ..Subject::default()
            },
            Self::Admin => Subject {
                common_name: "kubernetes-admin".into(),
                organizations: vec!["system:masters".into()],
                client: true,
                ..Subject::default()
            },
        }
    }
}

fn server_subject(names: &MemberNames, service_ip: IpAddr) -> Subject {
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
    Subject {
        common_name: "kube-apiserver".into(),
        dns_names,
        addresses,
        server: true,
        ..Subject::default()
    }
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
        let damaged =
            |name: &str, detail: String| PkiError::Damaged { path: dir.join(name), detail };
        let need = |name: &str| -> Result<String, PkiError> {
            read_file(&dir.join(name))?.ok_or_else(|| damaged(name, "the file is missing".into()))
        };
        let authority = |name: &str, cert: &str| {
            let key = need(&format!("{name}.key"))?;
            Authority::from_pem(cert, &key).map_err(|e| {
                let text = match e {
                    PkiError::Pem { what, detail } => format!("{what}: {detail}"),
                    other => other.to_string(),
                };
                damaged(&format!("{name}.crt"), format!("with its key: {text}"))
            })
        };
        let pki = Self {
            dir: dir.to_path_buf(),
            ca: authority("ca", &ca_cert)?,
            peer_ca: authority("peer-ca", &need("peer-ca.crt")?)?,
            service_account_key_pem: need("sa.key")?,
        };
        KeyPair::from_pem(&pki.service_account_key_pem)
            .map_err(|e| damaged("sa.key", e.to_string()))?;
        pki.check_origin("ca", &pki.ca, &["server", "admin"])?;
        pki.check_origin("peer-ca", &pki.peer_ca, &["peer"])?;
        Ok(Some(pki))
    }

    /// An authority of another cluster that was put in place of the right one would only show when
    /// nobody trusts this member any more.
    fn check_origin(
        &self,
        name: &str,
        authority: &Authority,
        stems: &[&str],
    ) -> Result<(), PkiError> {
        for stem in stems {
            let leaf = read_file(&self.dir.join(format!("{stem}.crt")))?;
            // One that cannot be read is issued anew.
            if leaf.is_some_and(|pem| matches!(authority.signed(&pem), Ok(false))) {
                return Err(PkiError::Damaged {
                    path: self.dir.join(format!("{name}.crt")),
                    detail: format!("it belongs to another cluster than {stem}.crt"),
                });
            }
        }
        Ok(())
    }

    /// Issues by `policy` from now on, and checks that the authorities are still valid.
    ///
    /// # Errors
    /// [`PkiError::AuthorityExpired`].
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), PkiError> {
        let dir = &self.dir;
        for (name, authority) in [("ca", &mut self.ca), ("peer-ca", &mut self.peer_ca)] {
            authority.set_policy(policy);
            let end = authority.validity().not_after;
            if policy.clock.now() > end {
                let path = dir.join(format!("{name}.crt"));
                return Err(PkiError::AuthorityExpired { path, expired: end });
            }
        }
        Ok(())
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

    /// A certificate of this member: the kept one, or a new one when there is none, its content
    /// should be another, or it is time.
    pub fn identity(&self, leaf: &Leaf) -> Result<Issued, PkiError> {
        let (cert_path, key_path, note_path) = self.leaf_paths(leaf);
        if let (Some(cert_pem), Some(key_pem), Some(note)) =
            (read_file(&cert_path)?, read_file(&key_path)?, read_file(&note_path)?)
            && note == format!("{:?}", leaf.subject())
        {
            let kept = Issued { cert_pem, key_pem };
            // One that cannot be used, perhaps because the member was killed while it wrote the
            // two files, is replaced like one that expires.
            if let Ok(credential) = Credential::new(kept.clone(), "") {
                let now = self.authority(leaf).policy().clock.now();
                if credential.validity().grade(now, credential.seed()) == Grade::Fresh {
                    return Ok(kept);
                }
            }
        }
        self.renew(leaf)
    }

    /// Issues a certificate of this member anew and keeps it.
    pub fn renew(&self, leaf: &Leaf) -> Result<Issued, PkiError> {
        let (cert_path, key_path, note_path) = self.leaf_paths(leaf);
        let subject = leaf.subject();
        let issued = self.authority(leaf).issue(&subject)?;
        write_private(&key_path, &issued.key_pem)?;
        write_public(&cert_path, &issued.cert_pem)?;
        write_public(&note_path, &format!("{subject:?}"))?;
        Ok(issued)
    }

    fn authority(&self, leaf: &Leaf) -> &Authority {
        match leaf {
            Leaf::Peer { .. } => &self.peer_ca,
            Leaf::Server { .. } | Leaf::Admin => &self.ca,
        }
    }

    fn leaf_paths(&self, leaf: &Leaf) -> (PathBuf, PathBuf, PathBuf) {
        let path = |end: &str| self.dir.join(format!("{}.{end}", leaf.stem()));
        (path("crt"), path("key"), path("subject"))
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

    /// Writes an administrator's kubeconfig for `server` with `client`'s certificate.
    pub fn write_admin_kubeconfig(
        &self,
        path: &Path,
        server: &str,
        client: Issued,
    ) -> Result<(), PkiError> {
        let config =
            Kubeconfig { server: server.into(), ca_pem: self.ca.cert_pem().into(), client };
        write_kubeconfig(path, &config)
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

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{super::Clock, *};

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
    fn damaged_and_foreign_files_are_named() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pki = ClusterPki::load_or_create(dir.path()).unwrap();
        pki.identity(&Leaf::Admin).unwrap();
        pki.identity(&Leaf::Peer { member_id: 1 }).unwrap();
        ClusterPki::load_or_create(other.path()).unwrap();
        let error = |files: &[&str], content: Option<&[u8]>| {
            let at = |f: &str| dir.path().join(f);
            let kept: Vec<_> = files.iter().map(|f| std::fs::read(at(f)).unwrap()).collect();
            for file in files {
                let theirs = std::fs::read(other.path().join(file)).unwrap();
                std::fs::write(at(file), content.unwrap_or(&theirs)).unwrap();
            }
            let said = ClusterPki::load(dir.path()).err().unwrap().to_string();
            for (file, bytes) in files.iter().zip(kept) {
                std::fs::write(at(file), bytes).unwrap();
            }
            said
        };
        for (files, content, words) in [
            (&["ca.crt"][..], Some(&b"x"[..]), "ca.crt"),
            (&["ca.key"], Some(b""), "ca.crt is damaged: with its key"),
            (&["sa.key"], Some(b"x"), "sa.key"),
            (&["peer-ca.crt"], None, "another certificate"),
            (&["ca.crt", "ca.key"], None, "another cluster than admin.crt"),
            (&["peer-ca.crt", "peer-ca.key"], None, "another cluster than peer.crt"),
        ] {
            let said = error(files, content);
            assert!(said.contains(words) && said.contains("backup"), "{files:?}: {said}");
        }
        ClusterPki::load(dir.path()).unwrap().unwrap();
    }

    #[test]
    fn an_expired_authority_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut pki = ClusterPki::load_or_create(dir.path()).unwrap();
        let clock = Clock(|| OffsetDateTime::now_utc() + Duration::days(3651));
        let error = pki.set_policy(Policy { clock, ..Policy::default() }).unwrap_err();
        assert!(error.to_string().contains("expired on"), "{error}");
    }

    #[test]
    fn half_written_and_aged_certificates_are_issued_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut pki = ClusterPki::load_or_create(dir.path()).unwrap();
        let first = pki.identity(&Leaf::Admin).unwrap();
        assert_eq!(first.cert_pem, pki.identity(&Leaf::Admin).unwrap().cert_pem);
        let other = pki.client("x", &[]).unwrap();
        write_private(&dir.path().join("admin.key"), &other.key_pem).unwrap();
        let second = pki.identity(&Leaf::Admin).unwrap();
        assert_ne!(first.cert_pem, second.cert_pem);
        let clock = Clock(|| OffsetDateTime::now_utc() + Duration::days(300));
        pki.set_policy(Policy { clock, ..Policy::default() }).unwrap();
        assert_ne!(second.cert_pem, pki.identity(&Leaf::Admin).unwrap().cert_pem);
    }

    #[test]
    fn a_server_certificate_follows_its_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let pki = ClusterPki::load_or_create(dir.path()).unwrap();
        let service_ip = IpAddr::from([10, 96, 0, 1]);
        let mut names = MemberNames { name: "a".into(), addresses: vec![[10, 0, 0, 1].into()] };
        let identity = |names: &MemberNames| {
            pki.identity(&Leaf::Server { names: names.clone(), service_ip }).unwrap().cert_pem
        };
        let first = identity(&names);
        assert_eq!(first, identity(&names));
        names.addresses.push([10, 0, 0, 2].into());
        assert_ne!(first, identity(&names));
    }
}
