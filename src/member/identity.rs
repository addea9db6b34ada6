//! A member's identity on disk: `member.json` beside the `pki` directory, and how both come to be.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::Origin;
use crate::{
    cmd::ClusterOptions,
    join::{self, JoinRequest, JoinToken, Role},
    pki::{Authority, ClusterPki, read_file, write_private},
};

/// Version of `member.json`.
const STATE_VERSION: u32 = 1;
/// Where the store lies.
pub(super) const STORE: &str = "store";

/// What `member.json` keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MemberState {
    pub(super) version: u32,
    pub(super) cluster_id: String,
    pub(super) member_id: u64,
    pub(super) name: String,
    /// The member is part of the quorum; before that, starting again goes on with joining.
    pub(super) joined: bool,
    /// Where to ask to be added, while `joined` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) join_url: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Writes the identity of the only member of a cluster that was restored into `dir`.
///
/// # Errors
/// When the file cannot be written.
pub fn save_restored(
    dir: &Path,
    cluster_id: String,
    member_id: u64,
    name: &str,
) -> anyhow::Result<()> {
    let state = MemberState {
        version: STATE_VERSION,
        cluster_id,
        member_id,
        name: name.to_string(),
        joined: true,
        join_url: None,
    };
    save(dir, &state)
}

/// Loads this member's identity, or gets one: a new cluster's, or one from the cluster it joins.
pub(super) async fn identity(
    cluster: &ClusterOptions,
    name: &str,
    origin: &Origin,
) -> anyhow::Result<(MemberState, ClusterPki)> {
    let dir = &cluster.data_dir;
    let pki_dir = dir.join("pki");
    if let Some(state) = load(dir)? {
        if state.name != name {
            bail!(
                "{} belongs to member {:?}, not {name:?}: pass --name {} or another --data-dir",
                dir.display(),
                state.name,
                state.name
            );
        }
        let pki = ClusterPki::load(&pki_dir)?.with_context(|| {
            format!("{} has no certificates: restore its pki directory", dir.display())
        })?;
        check_store(dir, &state)?;
        return Ok((state, pki));
    }
    if has_store(dir)? {
        bail!(
            "{} is missing but there is a store beside it: restore it from a backup; if the rest of \
             the cluster is well, remove this member there, empty {} and join it again",
            state_path(dir).display(),
            dir.display()
        );
    }
    let (state, pki) = match origin {
        Origin::Restart => bail!("{} holds no member", dir.display()),
        Origin::Init => {
            let state = MemberState {
                version: STATE_VERSION,
                cluster_id: uuid::Uuid::new_v4().to_string(),
                member_id: new_member_id(),
                name: name.to_string(),
                joined: false,
                join_url: None,
            };
            (state, ClusterPki::load_or_create(&pki_dir)?)
        }
        Origin::Join { url, token } => joined_identity(&pki_dir, name, url, token).await?,
    };
    save(dir, &state)?;
    Ok((state, pki))
}

fn has_store(dir: &Path) -> anyhow::Result<bool> {
    let path = dir.join(STORE).join("identity.json");
    path.try_exists().with_context(|| {
        format!("cannot look at {}: restore the data directory from a backup", path.display())
    })
}

/// A member without the store it had would come back without the votes and writes it promised to
/// remember.
fn check_store(dir: &Path, state: &MemberState) -> anyhow::Result<()> {
    if state.joined && !has_store(dir)? {
        bail!(
            "{} is missing or incomplete, but member {} was part of a cluster: restore the store; if \
             the rest of the cluster is well, remove this member there, empty {} and join it again",
            dir.join(STORE).display(),
            state.member_id,
            dir.display()
        );
    }
    Ok(())
}

async fn joined_identity(
    pki_dir: &Path,
    name: &str,
    url: &str,
    token: &JoinToken,
) -> anyhow::Result<(MemberState, ClusterPki)> {
    let request = JoinRequest { role: Role::Server, name: name.to_string(), csr: None };
    let answer = join::join(url, token, &request).await?;
    let secrets = answer.member.context("the cluster's answer has no member in it")?;
    let ca = Authority::from_pem(&answer.ca, &secrets.ca_key)?;
    let peer_ca = Authority::from_pem(&secrets.peer_ca, &secrets.peer_ca_key)?;
    let pki = ClusterPki::adopt(pki_dir, ca, peer_ca, secrets.service_account_key)?;
    let state = MemberState {
        version: STATE_VERSION,
        cluster_id: secrets.cluster_id,
        member_id: secrets.member_id,
        name: name.to_string(),
        joined: false,
        join_url: Some(url.to_string()),
    };
    Ok((state, pki))
}

/// A random id: ids are never handed out twice, also not to a member that lost its disk.
/// 52 bits, so that it survives every JSON parser.
pub fn new_member_id() -> u64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    (high >> 12) | 1
}

fn state_path(dir: &Path) -> PathBuf {
    dir.join("member.json")
}

fn load(dir: &Path) -> anyhow::Result<Option<MemberState>> {
    let path = state_path(dir);
    let Some(text) = read_file(&path)? else { return Ok(None) };
    let damaged = || {
        format!("{} is damaged: restore it, or remove this member and join anew", path.display())
    };
    // The version first: a newer file may hold anything else.
    let Version { version } = serde_json::from_str(&text).with_context(damaged)?;
    if version > STATE_VERSION {
        bail!(
            "{} has version {version}, this kabuki knows {STATE_VERSION}: it was written by a newer \
             kabuki; upgrade this member",
            path.display()
        );
    }
    Ok(Some(serde_json::from_str(&text).with_context(damaged)?))
}

pub(super) fn save(dir: &Path, state: &MemberState) -> anyhow::Result<()> {
    write_private(&state_path(dir), &serde_json::to_string_pretty(state)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> MemberState {
        MemberState {
            version: STATE_VERSION,
            cluster_id: "c".into(),
            member_id: new_member_id(),
            name: "a".into(),
            joined: true,
            join_url: None,
        }
    }

    #[test]
    fn a_damaged_or_newer_state_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        save(dir.path(), &state()).unwrap();
        assert_eq!(load(dir.path()).unwrap().unwrap().name, "a");
        std::fs::write(state_path(dir.path()), "{\"version\":").unwrap();
        assert!(load(dir.path()).unwrap_err().to_string().contains("damaged"));
        save(dir.path(), &MemberState { version: 9, ..state() }).unwrap();
        assert!(load(dir.path()).unwrap_err().to_string().contains("newer"));
    }

    #[test]
    fn member_ids_fit_a_double() {
        assert!((0..100).all(|_| new_member_id() < (1 << 53)));
    }
}
