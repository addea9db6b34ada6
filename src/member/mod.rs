//! A control-plane member: its identity on disk, and everything it runs.

mod certificates;
mod identity;
mod setup;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use kabuki_actors::{
    auth::{Authenticator, Authorizer},
    kernel::Kernel,
    link,
    registry::Registry,
};
use kabuki_raft::{Cipher, Store};

pub use self::identity::{new_member_id, save_restored};
use self::{
    certificates::{AdminKubeconfig, Certificates},
    identity::{identity, save},
    setup::{
        attachments, bind, checks, enter, listen, open_store, reachable, registry_config,
        start_stage,
    },
};
use crate::{
    aggregation::Aggregator,
    api::{self, ApiConfig},
    audit::AuditLog,
    cmd::{ClusterOptions, MemberOptions},
    encryption::Encryption,
    join::{self, JoinService, JoinToken},
    pki::{ClusterPki, MemberNames, Policy, api_server_config},
};

/// Address of Service default/kubernetes: the first of the service range.
pub const KUBERNETES_SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1));
/// Most threads that serve HTTP.
const API_WORKERS_MAX: usize = 16;
/// How long a starting member waits for a leader before it says that it is waiting.
const LEADER_PATIENCE: Duration = Duration::from_secs(10);

/// How long clients have to notice that this member is about to stop.
const DRAIN: Duration = Duration::from_millis(500);
/// How long handing leadership over may hold up a stop.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(3);

/// How long writing the last audit events may hold up a stop.
const AUDIT_FLUSH: Duration = Duration::from_secs(3);

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
    audit: Option<Arc<AuditLog>>,
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
    // First of all: a member that cannot record what it was told to record does nothing.
    let audit = AuditLog::open(&options.audit.config())?.map(Arc::new);
    let cipher = match &options.encryption_provider_config {
        Some(path) => Some(Arc::new(Encryption::load(path)?) as Arc<dyn Cipher>),
        None => None,
    };
    let address = cluster.address()?;
    let names = MemberNames {
        name: cluster.machine_name()?,
        addresses: std::iter::once(address).chain(options.tls_sans.iter().copied()).collect(),
    };
    let (mut state, mut pki) = identity(cluster, &names.name, &origin).await?;
    let lifetime = options.certificate_lifetime.try_into()?;
    pki.set_policy(Policy { lifetime, clock: cluster.clock })?;
    let pki = Arc::new(pki);
    let server_url =
        format!("https://{}", SocketAddr::new(reachable(address, cluster), options.api_port));
    let kubeconfig =
        AdminKubeconfig { path: cluster.data_dir.join("admin.kubeconfig"), server: server_url };
    let certificates = Certificates::new(&pki, &names, state.member_id, kubeconfig.clone())?;
    let api_addr = SocketAddr::new(address, options.api_port).to_string();
    let peer_addr = SocketAddr::new(address, options.peer_port).to_string();

    let own = (peer_addr.as_str(), api_addr.as_str());
    let store = open_store(cluster, &state, &pki, &certificates.peer, own, cipher).await?;
    let peers = bind(cluster.bind_address, options.peer_port).await?;
    tokio::spawn({
        let store = store.clone();
        async move { store.serve_peers(peers).await }
    });
    if !state.joined {
        enter(&store, &state, &pki, own).await?;
        state.joined = true;
        state.join_url = None;
        save(&cluster.data_dir, &state)?;
    }

    // Before the API answers: whoever waits for that must not read an older certificate.
    kubeconfig.write(&pki, certificates.admin.issued())?;
    let registry = Registry::new(store.clone(), registry_config(&pki)?);
    let extensions = Aggregator::new(registry.clone(), pki.clone());
    let join = JoinService::new(pki.clone(), registry.clone(), state.cluster_id.clone());
    let listener = listen(cluster.bind_address, options.api_port)?;
    let hub = Arc::new(link::Hub::new());
    let peers = api::Peers::new(store.clone(), pki.clone(), &names.name, state.member_id);
    let api = api::start(ApiConfig {
        seats: options.seats(),
        listeners: vec![listener],
        tls: api_server_config(&certificates.server, pki.ca.cert_pem(), cluster.clock)?,
        workers: std::thread::available_parallelism().map_or(1, usize::from).min(API_WORKERS_MAX),
        advertise: api_addr.clone(),
        registry: registry.clone(),
        authenticator: Authenticator::new(registry.clone()),
        authorizer: Authorizer::new(registry.clone()),
        kernel: kernel.clone(),
        link: Some(hub.clone()),
        peers: Some(Arc::new(peers)),
        logs: Some(hub.clone()),
        audit: audit.clone(),
        attachments: Some(attachments(&pki)),
        extensions: Some(extensions.clone()),
        checks: checks(&store, &certificates.roster),
        metrics: certificates.metrics(),
        extra: Arc::new(move |config| join::configure(&join, config)),
    })?;
    tokio::spawn({
        let store = store.clone();
        async move { store.announce().await }
    });
    start_stage(kernel, &names.name, &registry, (&pki, extensions), options);
    certificates.keep(kernel);
    tracing::info!(name = %names.name, member = state.member_id, api = %api_addr, "member started");
    Ok(Member { store, registry, hub, pki, api_addr, api, audit })
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

    /// Returns when an administrator removed this member from the cluster; the error says what to
    /// do. Until then it waits.
    ///
    /// # Errors
    /// Always.
    pub async fn until_removed(&self) -> anyhow::Result<std::convert::Infallible> {
        self.store.until_removed().await?;
        let status = self.store.status();
        anyhow::bail!(
            "member {} was removed from its cluster and stops; its data directory cannot join \
             again: to bring this machine back, empty the directory and run `kabuki server --join` \
             with a new token",
            status.member_id
        )
    }

    /// Gets ready to stop while everything is still served: others are told to go elsewhere, and
    /// leadership goes to another member, so that no write waits for an election.
    pub async fn retire(&self) {
        let others = self.store.members().await.iter().filter(|m| m.voter).count() > 1;
        if !others {
            return;
        }
        self.api.drain();
        let drained = tokio::time::sleep(DRAIN);
        if self.store.leadership().borrow().is_local {
            match tokio::time::timeout(HAND_OVER_LIMIT, self.store.hand_over()).await {
                Ok(Ok(leader)) => tracing::info!(leader, "leadership handed over"),
                Ok(Err(error)) => tracing::warn!(%error, "cannot hand leadership over"),
                Err(_) => {
                    tracing::warn!("leadership was not taken over within {HAND_OVER_LIMIT:?}");
                }
            }
        }
        drained.await;
    }

    /// Stops serving, then closes the store.
    pub async fn stop(self) {
        self.api.stop().await;
        if let Some(audit) = self.audit {
            let flush = move || audit.sink.flush(AUDIT_FLUSH);
            if tokio::task::spawn_blocking(flush).await.is_err() {
                tracing::warn!("the audit log was not written to its end");
            }
        }
        self.store.shutdown().await;
    }
}
