//! A node's identity on disk: who it is, whom it trusts, and the certificate it shows.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{
    cmd::ClusterOptions,
    join::{self, JoinRequest, JoinToken, Role},
    pki::{
        self, ClusterPki, Credential, Issued, PkiError, ca_hash, read_file, write_private,
        write_public,
    },
};

/// Version of `node.json`.
const STATE_VERSION: u32 = 1;
/// Keeps the members' addresses as last seen, one per line.
pub(super) const MEMBERS_FILE: &str = "members";
/// Keeps the node's key and certificate. One file, so that they always belong together.
const CLIENT_FILE: &str = "client.pem";
/// Where the certificate of that file begins.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// What `node.json` keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct NodeState {
    version: u32,
    name: String,
}

/// Who a node is and whom it talks to.
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// The cluster's authority, PEM.
    pub ca_pem: String,
    /// Its client certificate.
    pub client: Issued,
    /// `host:port` of the members' API ports.
    pub members: Vec<String>,
}

/// The identity of a node that joins from elsewhere: kept from before, or got with the token. A
/// token is also the way back for a node whose certificate expired while it was down.
///
/// # Errors
/// When there is neither, the cluster refuses, or the data directory is another node's.
pub async fn identity(
    cluster: &ClusterOptions,
    joining: Option<(&str, &JoinToken)>,
) -> anyhow::Result<NodeIdentity> {
    let name = cluster.machine_name()?;
    let dir = cluster.data_dir.join("node");
    if let Some(kept) = load(&dir, &name)? {
        let Some(trouble) = trouble(&kept.client, cluster.clock) else { return Ok(kept) };
        let Some((_, token)) = joining else {
            bail!(
                "the certificate of node {name} in {} {trouble}: make a token with `kabuki token \
                 create --role node` and start this node with --join URL --token TOKEN; its pods \
                 and its Node object are kept",
                dir.display()
            );
        };
        if ca_hash(&kept.ca_pem)? != token.ca_hash {
            bail!(
                "{} belongs to a node of another cluster than the token: take a token of that \
                 cluster, or clean up with `kabuki reset` and remove the directory",
                dir.display()
            );
        }
    }
    let Some((url, token)) = joining else {
        bail!("this node has not joined a cluster yet: pass --join URL --token TOKEN");
    };
    let (csr, key_pem) = pki::request()?;
    let request = JoinRequest { role: Role::Node, name: name.clone(), csr: Some(csr) };
    let answer = join::join(url, token, &request).await?;
    let cert_pem = answer.client_certificate.context("the cluster's answer has no certificate")?;
    let members: Vec<String> = answer.members.into_iter().map(|m| m.api_addr).collect();
    let identity =
        NodeIdentity { name, ca_pem: answer.ca, client: Issued { cert_pem, key_pem }, members };
    save(&dir, &identity)?;
    Ok(identity)
}

/// The identity of the node inside `kabuki up`, issued by the member beside it.
///
/// # Errors
/// When no certificate can be made.
pub fn local_identity(
    name: &str,
    pki: &ClusterPki,
    api_addr: &str,
) -> anyhow::Result<NodeIdentity> {
    Ok(NodeIdentity {
        name: name.to_string(),
        ca_pem: pki.ca.cert_pem().to_string(),
        client: issue(name, pki)?,
        members: vec![api_addr.to_string()],
    })
}

/// Issues the certificate of a node in this process.
pub(super) fn issue(name: &str, pki: &ClusterPki) -> Result<Issued, PkiError> {
    pki.client(&format!("system:node:{name}"), &["system:nodes"])
}

/// What keeps a certificate from being used, if anything.
fn trouble(client: &Issued, clock: pki::Clock) -> Option<String> {
    match Credential::new(client.clone(), "") {
        Ok(credential) => {
            let end = credential.validity().not_after;
            (clock.now() > end).then(|| format!("expired at {end} while it was down"))
        }
        Err(error) => Some(format!("cannot be used ({error})")),
    }
}

fn load(dir: &Path, name: &str) -> anyhow::Result<Option<NodeIdentity>> {
    let path = dir.join("node.json");
    let Some(text) = read_file(&path)? else { return Ok(None) };
    let state: NodeState = serde_json::from_str(&text).with_context(|| {
        format!("{} is damaged: remove the node directory and join anew", path.display())
    })?;
    if state.version != STATE_VERSION {
        bail!("{} is of a newer version: use a newer kabuki", path.display());
    }
    if state.name != name {
        bail!(
            "{} belongs to node {:?}, not {name:?}: pass --name {} or another --data-dir",
            dir.display(),
            state.name,
            state.name
        );
    }
    let need = |file: &str| -> anyhow::Result<String> {
        read_file(&dir.join(file))?
            .with_context(|| format!("{} is missing: join anew", dir.join(file).display()))
    };
    let client = match read_file(&dir.join(CLIENT_FILE))? {
        Some(text) => {
            let (key, cert) = text.split_at(text.find(CERTIFICATE).unwrap_or(text.len()));
            Issued { cert_pem: cert.to_string(), key_pem: key.to_string() }
        }
        // Two files, as the first version wrote them.
        None => Issued { cert_pem: need("client.crt")?, key_pem: need("client.key")? },
    };
    Ok(Some(NodeIdentity {
        name: state.name,
        ca_pem: need("ca.crt")?,
        client,
        members: need(MEMBERS_FILE)?.lines().map(String::from).collect(),
    }))
}

/// Keeps the node's certificate and key.
pub(super) fn save_client(dir: &Path, client: &Issued) -> Result<(), PkiError> {
    write_private(&dir.join(CLIENT_FILE), &format!("{}{}", client.key_pem, client.cert_pem))?;
    for old in ["client.crt", "client.key"] {
        match std::fs::remove_file(dir.join(old)) {
            Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
                return Err(PkiError::File { path: dir.join(old), reason });
            }
            _ => {}
        }
    }
    Ok(())
}

// `node.json` goes last: its presence says that the others are complete.
fn save(dir: &Path, identity: &NodeIdentity) -> anyhow::Result<()> {
    write_public(&dir.join("ca.crt"), &identity.ca_pem)?;
    save_client(dir, &identity.client)?;
    write_public(&dir.join(MEMBERS_FILE), &identity.members.join("\n"))?;
    let state = NodeState { version: STATE_VERSION, name: identity.name.clone() };
    write_private(&dir.join("node.json"), &serde_json::to_string_pretty(&state)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;
    use crate::pki::Clock;

    fn identity(name: &str) -> NodeIdentity {
        let dir = tempfile::tempdir().unwrap();
        let pki = ClusterPki::load_or_create(dir.path()).unwrap();
        local_identity(name, &pki, "10.0.0.1:6443").unwrap()
    }

    #[test]
    fn a_node_remembers_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), "a").unwrap().is_none());
        let made = identity("a");
        save(dir.path(), &made).unwrap();
        let kept = load(dir.path(), "a").unwrap().unwrap();
        assert_eq!(kept.members, ["10.0.0.1:6443"]);
        assert_eq!(kept.client.cert_pem, made.client.cert_pem);
        assert!(trouble(&kept.client, Clock::default()).is_none());
        assert!(load(dir.path(), "b").err().unwrap().to_string().contains("--name a"));

        std::fs::remove_file(dir.path().join(CLIENT_FILE)).unwrap();
        assert!(load(dir.path(), "a").err().unwrap().to_string().contains("client.crt"));
        write_public(&dir.path().join("client.crt"), &made.client.cert_pem).unwrap();
        write_private(&dir.path().join("client.key"), &made.client.key_pem).unwrap();
        let kept = load(dir.path(), "a").unwrap().unwrap();
        assert!(trouble(&kept.client, Clock::default()).is_none(), "the older form is read");
        save_client(dir.path(), &made.client).unwrap();
        assert!(!dir.path().join("client.key").is_file(), "no second copy of the key stays");
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_noticed() {
        let (one, other) = (identity("a"), identity("a"));
        let ahead = Clock(|| OffsetDateTime::now_utc() + Duration::days(366));
        assert!(trouble(&one.client, ahead).unwrap().contains("expired at"));
        let mixed = Issued { key_pem: other.client.key_pem, ..one.client };
        assert!(trouble(&mixed, Clock::default()).unwrap().contains("cannot be used"));
    }
}
