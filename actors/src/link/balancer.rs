//! A local TCP load balancer in front of the members, as k3s agents have: the node's API client
//! talks to `127.0.0.1` and survives the loss of any member.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    LinkError,
    health::{CHECK_EVERY, Checker, Health, strikes},
};

/// Connections carried at once.
const MAX_CONNECTIONS: usize = 4096;
/// How long one member may take to accept a connection before the next is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Pause after a failed `accept` (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the balancer needs.
#[derive(Debug, Clone)]
pub struct BalancerConfig {
    /// Addresses (`host:port`) of the members' API ports in order of preference; changes are
    /// followed.
    pub members: watch::Receiver<Vec<String>>,
    /// TLS for the health checks: the cluster's CA; a client certificate is not needed.
    pub tls: Arc<rustls::ClientConfig>,
    /// Name checked in the members' certificates.
    pub server_name: String,
}

#[derive(Debug)]
struct Backend {
    member: String,
    healthy: bool,
    /// Cancelled to drop the connections carried for this member.
    connections: CancellationToken,
    checks: CancellationToken,
}

type Backends = Arc<Mutex<Vec<Backend>>>;

/// Handle of a running balancer; it stops when dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    backends: Backends,
    stop: CancellationToken,
}

impl Balancer {
    /// Binds `127.0.0.1:0` and starts balancing on the current tokio runtime.
    pub async fn start(config: BalancerConfig) -> Result<Self, LinkError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let backends = Backends::default();
        let stop = CancellationToken::new();
        update_members(&config, &backends, &stop);
        tokio::spawn(follow_members(config, backends.clone(), stop.clone()));
        tokio::spawn(accept(listener, backends.clone(), stop.clone()));
        Ok(Self { address, backends, stop })
    }

    /// Where the API client connects to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Members that passed their last health check, in order of preference.
    #[must_use]
    pub fn healthy(&self) -> Vec<String> {
        self.backends.lock().iter().filter(|b| b.healthy).map(|b| b.member.clone()).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn follow_members(mut config: BalancerConfig, backends: Backends, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = config.members.changed() => if changed.is_err() {
                stop.cancelled().await;
                return;
            },
        }
        config.members.mark_unchanged();
        update_members(&config, &backends, &stop);
    }
}

fn update_members(config: &BalancerConfig, backends: &Backends, stop: &CancellationToken) {
    let members = config.members.borrow().clone();
    let mut list = backends.lock();
    let mut old = std::mem::take(&mut *list);
    for member in members {
        if let Some(at) = old.iter().position(|b| b.member == member) {
            list.push(old.swap_remove(at));
            continue;
        }
        let checks = stop.child_token();
        let checker = Checker::new(member.clone(), config.tls.clone(), config.server_name.clone());
        tokio::spawn(keep_checking(checker, member.clone(), backends.clone(), checks.clone()));
        // Innocent until proven guilty: the first connections need not wait for a check.
        list.push(Backend { member, healthy: true, connections: stop.child_token(), checks });
    }
    for gone in old {
        gone.checks.cancel();
        gone.connections.cancel();
    }
}

async fn keep_checking(
    mut checker: Checker,
    member: String,
    backends: Backends,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        let health = tokio::select! {
            () = stop.cancelled() => return,
            health = checker.check() => health,
        };
        failures = if health == Health::Ready { 0 } else { failures + 1 };
        if failures >= strikes(health) {
            record(&backends, &member, health, &stop);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(CHECK_EVERY) => {}
        }
    }
}

/// Notes what a check found; a member that is lost takes its connections with it.
fn record(backends: &Backends, member: &str, health: Health, stop: &CancellationToken) {
    let mut list = backends.lock();
    let others = list.iter().any(|b| b.healthy && b.member != member);
    let Some(backend) = list.iter_mut().find(|b| b.member == member) else { return };
    let healthy = health == Health::Ready;
    if backend.healthy != healthy {
        tracing::info!(member, healthy, ?health, "API member changed health");
    }
    let was_healthy = std::mem::replace(&mut backend.healthy, healthy);
    // An unready member with nobody to take over is still the best there is.
    let drop_connections = match health {
        Health::Ready => false,
        Health::Unready => others && was_healthy,
        Health::Refused | Health::Silent => was_healthy,
    };
    if drop_connections {
        backend.connections.cancel();
        backend.connections = stop.child_token();
    }
}

async fn accept(listener: TcpListener, backends: Backends, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, _)) => {
                let backends = backends.clone();
                tokio::spawn(async move {
                    carry(client, &backends).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the API load balancer cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn carry(mut client: TcpStream, backends: &Backends) {
    let order = candidates(&backends.lock());
    for (member, connections) in order {
        let Ok(Ok(mut server)) = timeout(CONNECT_WITHIN, TcpStream::connect(&member)).await else {
            continue;
        };
        if let Err(error) = client.set_nodelay(true).and_then(|()| server.set_nodelay(true)) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        tokio::select! {
            () = connections.cancelled() => {}
            // How a carried connection ends is its two ends' business.
            _ = copy_bidirectional(&mut client, &mut server) => {}
        }
        return;
    }
    tracing::debug!("no API member accepts connections");
}

/// Healthy members in order of preference, then the others as a last resort.
fn candidates(backends: &[Backend]) -> Vec<(String, CancellationToken)> {
    let (healthy, rest): (Vec<_>, Vec<_>) = backends.iter().partition(|b| b.healthy);
    healthy.into_iter().chain(rest).map(|b| (b.member.clone(), b.connections.clone())).collect()
}
