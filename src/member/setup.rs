//! The parts a member is put together from: its sockets, its store, its checks and its stage.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use kabuki_actors::{
    auth::ServiceAccountKeys,
    controllers::{ControlConfig, LeaderGate, LeaderGateArgs},
    herald::{Herald, HeraldArgs, Outlet},
    kernel::{ChildSpec, Kernel},
    registry::{Registry, RegistryConfig},
};
use kabuki_raft::{Cipher, PeerTls, Store, StoreConfig};
use tokio::net::TcpListener;

use super::identity::{MemberState, STORE};
use crate::{
    aggregation::{Aggregator, Looking},
    api, backup,
    cmd::{ClusterOptions, MemberOptions},
    join::{self, MemberRequest},
    pki::{ClusterPki, ClusterSigner, Credential, Issued, Roster, peer_configs},
};

/// How long a write may wait for a leader and a quorum before a client is told 503 or 504. A leader
/// that was lost is replaced in a third of that; clients try again by themselves.
const WRITE_TIMEOUT: Duration = Duration::from_millis(4_500);

/// The address administrators of this machine use: loopback when it is listened on, so that the
/// kubeconfig outlives a change of address.
pub(super) fn reachable(address: IpAddr, cluster: &ClusterOptions) -> IpAddr {
    if cluster.bind_address.is_unspecified() && cluster.advertise_address.is_none() {
        IpAddr::from([127, 0, 0, 1])
    } else {
        address
    }
}

pub(super) async fn bind(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is another kabuki running?"))
}

/// A listening socket of the standard library, as the HTTP server wants it.
pub(super) fn listen(address: IpAddr, port: u16) -> anyhow::Result<std::net::TcpListener> {
    let address = SocketAddr::new(address, port);
    std::net::TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: is another kabuki running?"))
}

/// `/readyz`: ready means that a leader is known and this member has applied something.
pub(super) fn checks(store: &Store, roster: &Arc<Roster>) -> api::Checks {
    let (store, roster) = (store.clone(), roster.clone());
    Arc::new(move || {
        let leadership = *store.leadership().borrow();
        let leader = match leadership.leader {
            Some(_) => Ok(()),
            None => Err("no leader: a majority of the members is not reachable".to_string()),
        };
        vec![("leader".to_string(), leader), ("certificates".to_string(), roster.check())]
    })
}

pub(super) async fn open_store(
    cluster: &ClusterOptions,
    state: &MemberState,
    pki: &ClusterPki,
    peer: &Arc<Credential>,
    (peer_addr, api_addr): (&str, &str),
    cipher: Option<Arc<dyn Cipher>>,
) -> anyhow::Result<Store> {
    let (server, client) = peer_configs(peer, pki.peer_ca.cert_pem(), cluster.clock)?;
    let mut config =
        StoreConfig::new(cluster.data_dir.join(STORE), state.member_id, state.cluster_id.clone());
    config.limits.write_timeout = WRITE_TIMEOUT;
    config.peer_addr = peer_addr.to_string();
    config.api_addr = api_addr.to_string();
    config.name = state.name.clone();
    config.cipher = cipher;
    config.tls = Some(PeerTls {
        server,
        client,
        server_name: crate::pki::PEER_NAME.to_string(),
        authorize: None,
    });
    Store::open(config).await.context("cannot open the store")
}

/// What a snapshot carries beside the objects, so that a cluster restored from it is known to the
/// nodes, users and service accounts of this one.
pub(super) fn attachments(pki: &Arc<ClusterPki>) -> api::Attachments {
    let pki = pki.clone();
    Arc::new(move || {
        vec![
            (backup::CA_CERT, pki.ca.cert_pem().to_string()),
            (backup::CA_KEY, pki.ca.key_pem().to_string()),
            (backup::SERVICE_ACCOUNT_KEY, pki.service_account_key_pem.clone()),
        ]
    })
}

/// Makes the store part of a quorum: a new one, or the one that invited this member.
pub(super) async fn enter(
    store: &Store,
    state: &MemberState,
    pki: &ClusterPki,
    (peer_addr, api_addr): (&str, &str),
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
    let clock = pki.ca.policy().clock;
    join::register_member(url, pki.ca.cert_pem(), (&identity, clock), &request).await?;
    Ok(())
}

pub(super) fn registry_config(pki: &ClusterPki) -> anyhow::Result<RegistryConfig> {
    let keys = ServiceAccountKeys::from_pem(&pki.service_account_key_pem)
        .context("the service account key cannot be used")?;
    Ok(RegistryConfig {
        client_ca_pem: pki.ca.cert_pem().to_string(),
        front_proxy_ca_pem: pki.peer_ca.cert_pem().to_string(),
        keys: Some(Arc::new(keys)),
        now: pki.ca.policy().clock.0,
        ..RegistryConfig::default()
    })
}

/// Starts what runs on a member whether it leads or not; the control plane follows leadership.
pub(super) fn start_stage(
    kernel: &Kernel,
    machine: &str,
    registry: &Registry,
    (pki, extensions): (&Arc<ClusterPki>, Arc<Aggregator>),
    options: &MemberOptions,
) {
    let grace = Duration::from_secs(options.node_monitor_grace_period);
    let config = ControlConfig {
        root_ca_pem: pki.ca.cert_pem().into(),
        node_grace: grace,
        orphan_quarantine: grace,
        signer: Some(Arc::new(ClusterSigner(pki.clone()))),
        extension_servers: Some(Arc::new(Looking(extensions))),
        ..ControlConfig::default()
    };
    let args = LeaderGateArgs { registry: registry.clone(), config };
    kernel.root().start::<LeaderGate>("leader-gate", args, ChildSpec::default());
    let outlet = Outlet::Registry(registry.clone());
    let args = HeraldArgs { kernel: kernel.clone(), machine: machine.to_string(), outlet };
    kernel.root().start::<Herald>("herald", args, ChildSpec::default());
}
