//! A control-plane member: its identity on disk, and everything it runs.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use kabuki_actors::{
    auth::{Authenticator, Authorizer, ServiceAccountKeys},
    controllers::{ControlConfig, LeaderGate, LeaderGateArgs},
    kernel::{ChildSpec, Kernel},
    link,
    registry::{Registry, RegistryConfig},
};
use kabuki_raft::{PeerTls, Store, StoreConfig};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{
    api::{self, ApiConfig},
    cmd::{ClusterOptions, MemberOptions},
    join::{self, JoinRequest, JoinService, JoinToken, MemberRequest, Role},
    pki::{
        Authority, ClusterPki, Issued, MemberNames, api_server_config, peer_configs, read_file,
        write_private,
    },
};

/// Version of `member.json`.
const STATE_VERSION: u32 = 1;
/// Address of Service default/kubernetes: the first of the service range.
pub const KUBERNETES_SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1));
/// Most threads that serve HTTP.
const API_WORKERS_MAX: usize = 16;
/// How long a starting member waits for a leader before it says that it is waiting.
const LEADER_PATIENCE: Duration = Duration::from_secs(10);

/// How a member comes to be.
#[derive(Debug)]
pub enum Origin {
    /// The first of a new cluster.
    Init,
    /// One more of an existing cluster.
    Join {
        /// URL of a member.
        url: String,
        /// The invitation.
        token: JoinToken,
    },
    /// One that joined before: everything stands in the data directory.
    Restart,
}

/// What `member.json` keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MemberState {
    version: u32,
    cluster_id: String,
    member_id: u64,
    name: String,
    /// The member is part of the quorum; before that, starting again goes on with joining.
    joined: bool,
    /// Where to ask to be added, while `joined` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join_url: Option<String>,
}

/// A running member.
pub struct Member {
    /// The replicated store.
    pub store: Store,
    /// The one write path.
    pub registry: Registry,
    /// Links to the nodes.
    pub hub: Arc<link::Hub>,
    /// The cluster's certificates.
    pub pki: Arc<ClusterPki>,
    /// `host:port` clients reach this member at.
    pub api_addr: String,
    api: api::ApiServer,
}

/// Starts a member and serves its API. Returns once the API listens; `/readyz` tells when it is ready.
///
/// # Errors
/// When the data directory belongs to something else, the cluster refuses, or a port is taken.
pub async fn start(
    cluster: &ClusterOptions,
    options: &MemberOptions,
    origin: Origin,
    kernel: &Kernel,
) -> anyhow::Result<Member> {
    let address = cluster.address()?;
    let names = MemberNames {
        name: cluster.machine_name()?,
        addresses: std::iter::once(address).chain(options.tls_sans.iter().copied()).collect(),
    };
    let (mut state, pki) = identity(cluster, &names.name, &origin).await?;
    let pki = Arc::new(pki);
    let api_addr = SocketAddr::new(address, options.api_port).to_string();
    let peer_addr = SocketAddr::new(address, options.peer_port).to_string();

    let store = open_store(cluster, &state, &pki, &peer_addr, &api_addr).await?;
    let peers = bind(cluster.bind_address, options.peer_port).await?;
    tokio::spawn({
        let store = store.clone();
        async move { store.serve_peers(peers).await }
    });
    if !state.joined {
        enter(&store, &state, &pki, &peer_addr, &api_addr).await?;
        state.joined = true;
        state.join_url = None;
        save(&cluster.data_dir, &state)?;
    }

    let registry = Registry::new(store.clone(), registry_config(&pki)?);
    let server = pki.server_identity(&names, KUBERNETES_SERVICE)?;
    let join = JoinService::new(pki.clone(), registry.clone(), state.cluster_id.clone());
    let listener = listen(cluster.bind_address, options.api_port)?;
    let hub = Arc::new(link::Hub::new());
    let api = api::start(ApiConfig {
        listeners: vec![listener],
        tls: api_server_config(&server, pki.ca.cert_pem())?,
        workers: std::thread::available_parallelism().map_or(1, usize::from).min(API_WORKERS_MAX),
        advertise: api_addr.clone(),
        registry: registry.clone(),
        authenticator: Authenticator::new(registry.clone()),
        authorizer: Authorizer::new(registry.clone()),
        kernel: kernel.clone(),
        link: Some(hub.clone()),
        logs: Some(hub.clone()),
        checks: checks(&store),
        extra: Arc::new(move |config| join::configure(&join, config)),
    })?;
    start_stage(kernel, &registry, &pki, options);
    pki.write_admin_kubeconfig(
        &cluster.data_dir.join("admin.kubeconfig"),
        &format!("https://{}", SocketAddr::new(reachable(address, cluster), options.api_port)),
    )?;
    tracing::info!(name = %names.name, member = state.member_id, api = %api_addr, "member started");
    Ok(Member { store, registry, hub, pki, api_addr, api })
}

impl Member {
    /// Waits until a leader is known and its changes are applied here.
    pub async fn wait_for_leader(&self) {
        let mut leadership = self.store.leadership();
        let mut said = false;
        while self.store.read_barrier().await.is_err() {
            let changed = tokio::time::timeout(LEADER_PATIENCE, leadership.changed()).await;
            if changed.is_err() && !said {
                tracing::warn!("no leader yet: waiting for a majority of the members to start");
                said = true;
            }
        }
    }

    /// Stops serving, then closes the store.
    pub async fn stop(self) {
        self.api.stop().await;
        self.store.shutdown().await;
    }
}

/// The address administrators of this machine use: loopback when it is listened on, so that the
/// kubeconfig outlives a change of address.
fn reachable(address: IpAddr, cluster: &ClusterOptions) -> IpAddr {
    if cluster.bind_address.is_unspecified() && cluster.advertise_address.is_none() {
        IpAddr::from([127, 0, 0, 1])
    } else {
        address
    }
}

async fn bind(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is another kabuki running?"))
}

/// A listening socket of the standard library, as the HTTP server wants it.
fn listen(address: IpAddr, port: u16) -> anyhow::Result<std::net::TcpListener> {
    let address = SocketAddr::new(address, port);
    std::net::TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: is another kabuki running?"))
}

/// `/readyz`: ready means that a leader is known and this member has applied something.
fn checks(store: &Store) -> api::Checks {
    let store = store.clone();
    Arc::new(move || {
        let leadership = *store.leadership().borrow();
        let leader = match leadership.leader {
            Some(_) => Ok(()),
            None => Err("no leader: a majority of the members is not reachable".to_string()),
        };
        vec![("leader".to_string(), leader)]
    })
}

async fn open_store(
    cluster: &ClusterOptions,
    state: &MemberState,
    pki: &ClusterPki,
    peer_addr: &str,
    api_addr: &str,
) -> anyhow::Result<Store> {
    let issued = pki.peer_identity(state.member_id)?;
    let (server, client) = peer_configs(&issued, pki.peer_ca.cert_pem())?;
    let mut config =
        StoreConfig::new(cluster.data_dir.join("store"), state.member_id, state.cluster_id.clone());
    config.peer_addr = peer_addr.to_string();
    config.api_addr = api_addr.to_string();
    config.tls = Some(PeerTls {
        server,
        client,
        server_name: crate::pki::PEER_NAME.to_string(),
        authorize: None,
    });
    Store::open(config).await.context("cannot open the store")
}

/// Makes the store part of a quorum: a new one, or the one that invited this member.
async fn enter(
    store: &Store,
    state: &MemberState,
    pki: &ClusterPki,
    peer_addr: &str,
    api_addr: &str,
) -> anyhow::Result<()> {
    let Some(url) = &state.join_url else {
        return store.initialize().await.context("cannot initialize the store");
    };
    let user = format!("kabuki:member:{}", state.member_id);
    let identity: Issued = pki.client(&user, &["system:masters"])?;
    let request = MemberRequest {
        id: state.member_id,
        peer_addr: peer_addr.to_string(),
        api_addr: api_addr.to_string(),
    };
    join::register_member(url, pki.ca.cert_pem(), &identity, &request).await?;
    Ok(())
}

fn registry_config(pki: &ClusterPki) -> anyhow::Result<RegistryConfig> {
    let keys = ServiceAccountKeys::from_pem(&pki.service_account_key_pem)
        .context("the service account key cannot be used")?;
    Ok(RegistryConfig {
        client_ca_pem: pki.ca.cert_pem().to_string(),
        keys: Some(Arc::new(keys)),
        ..RegistryConfig::default()
    })
}

/// Starts what runs on a member whether it leads or not; the control plane follows leadership.
fn start_stage(kernel: &Kernel, registry: &Registry, pki: &ClusterPki, options: &MemberOptions) {
    let grace = Duration::from_secs(options.node_monitor_grace_period);
    let config = ControlConfig {
        root_ca_pem: pki.ca.cert_pem().into(),
        node_grace: grace,
        orphan_quarantine: grace,
        ..ControlConfig::default()
    };
    let args = LeaderGateArgs { registry: registry.clone(), config };
    kernel.root().start::<LeaderGate>("leader-gate", args, ChildSpec::default());
}

/// Loads this member's identity, or gets one: a new cluster's, or one from the cluster it joins.
async fn identity(
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
        return Ok((state, pki));
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
    let state: MemberState = serde_json::from_str(&text).with_context(|| {
        format!("{} is damaged: restore it, or remove this member and join anew", path.display())
    })?;
    if state.version != STATE_VERSION {
        bail!(
            "{} has version {}, this kabuki knows {STATE_VERSION}: use a newer kabuki",
            path.display(),
            state.version
        );
    }
    Ok(Some(state))
}

fn save(dir: &Path, state: &MemberState) -> anyhow::Result<()> {
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
