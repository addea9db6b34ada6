//! What all requests share, and what the HTTP face is started with.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_web::web::ServiceConfig;
use kabuki_actors::{
    auth::{Authenticator, Authorizer},
    kernel::Kernel,
    link::Hub,
    registry::Registry,
};
use kabuki_api::status::Status;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{discovery, flow::Limiter, logs::LogSource, metrics::Metrics, openapi, peers::Peers};
use crate::{aggregation::Aggregator, audit::AuditLog, backup::Attachment};

/// Reading requests handled at once; watches are not counted. More are answered 429.
pub const MAX_READING: usize = 2_048;
/// Changing requests handled at once. More are answered 429.
pub const MAX_CHANGING: usize = 2_048;
/// Watches and log streams open at once.
pub const MAX_LONG_RUNNING: usize = 100_000;
/// Seconds after which a client that was told 429 may come again.
const RETRY_AFTER_SECONDS: i32 = 1;

/// Registers further endpoints (joining, the node link) before the API's own.
pub type Extra = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;
/// Answers `/readyz` and `/livez`: name of a check and what is wrong, if anything.
pub type Checks = Arc<dyn Fn() -> Vec<(String, Result<(), String>)> + Send + Sync>;

/// What goes into a snapshot beside the objects.
pub type Attachments = Arc<dyn Fn() -> Vec<Attachment> + Send + Sync>;

/// Appends Prometheus text of what the HTTP face does not know.
pub type MoreMetrics = Arc<dyn Fn(&mut String) + Send + Sync>;

/// What the HTTP face needs.
pub struct ApiConfig {
    /// Sockets to serve on.
    pub listeners: Vec<TcpListener>,
    /// TLS, with client certificates optional and verified against the cluster's authority.
    pub tls: rustls::ServerConfig,
    /// Worker threads.
    pub workers: usize,
    /// Requests that run at once; who else comes waits for a turn.
    pub seats: u32,
    /// `host:port` clients reach this member at, told in discovery.
    pub advertise: String,
    /// Objects.
    pub registry: Registry,
    /// Credentials to users.
    pub authenticator: Authenticator,
    /// Users to permissions.
    pub authorizer: Authorizer,
    /// The running cast, for `/debug/actors`.
    pub kernel: Kernel,
    /// Sessions with the nodes; its endpoint is served when present.
    pub link: Option<Arc<Hub>>,
    /// The other members, for `/debug/…?node=`.
    pub peers: Option<Arc<Peers>>,
    /// Where `pods/log` reads; usually the link as well.
    pub logs: Option<Arc<dyn LogSource>>,
    /// Who did what, if that is recorded.
    pub audit: Option<Arc<AuditLog>>,
    /// What snapshots carry beside the objects; without it none are made.
    pub attachments: Option<Attachments>,
    /// Extension API servers, if requests are passed on to any.
    pub extensions: Option<Arc<Aggregator>>,
    /// Further readiness checks.
    pub checks: Checks,
    /// Further metrics.
    pub metrics: MoreMetrics,
    /// Further endpoints.
    pub extra: Extra,
}

/// The shared state of all workers.
pub struct Face {
    pub(super) registry: Registry,
    pub(super) authenticator: Authenticator,
    pub(super) authorizer: Authorizer,
    pub(super) kernel: Kernel,
    pub(super) link: Option<Arc<Hub>>,
    pub(super) peers: Option<Arc<Peers>>,
    pub(super) logs: Option<Arc<dyn LogSource>>,
    pub(super) audit: Option<Arc<AuditLog>>,
    pub(super) attachments: Option<Attachments>,
    pub(super) extensions: Option<Arc<Aggregator>>,
    pub(super) checks: Checks,
    pub(super) advertise: String,
    pub(super) discovery: discovery::Cache,
    pub(super) openapi: openapi::Custom,
    pub(super) metrics: Metrics,
    pub(super) more_metrics: MoreMetrics,
    /// Cancelled before the server begins to stop: it is not ready any more, and clients are told
    /// to close their connections.
    pub(super) draining: CancellationToken,
    /// Cancelled when the server begins to stop: streams end, so that clients move on.
    pub(super) stopping: CancellationToken,
    limits: Limits,
    /// Whose turn it is.
    pub(super) flow: Arc<Limiter>,
}

/// Requests under way, and how many there may be.
struct Limits([(Arc<AtomicUsize>, usize); 3]);

/// Which limit a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Reading,
    Changing,
    LongRunning,
}

/// One request's place under its limit; given back when dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Face {
    pub(super) fn new(config: &ApiConfig) -> Self {
        Self {
            registry: config.registry.clone(),
            authenticator: config.authenticator.clone(),
            authorizer: config.authorizer.clone(),
            kernel: config.kernel.clone(),
            link: config.link.clone(),
            peers: config.peers.clone(),
            logs: config.logs.clone(),
            audit: config.audit.clone(),
            attachments: config.attachments.clone(),
            extensions: config.extensions.clone(),
            checks: Arc::clone(&config.checks),
            advertise: config.advertise.clone(),
            discovery: discovery::Cache::default(),
            openapi: openapi::Custom::default(),
            metrics: Metrics::default(),
            more_metrics: Arc::clone(&config.metrics),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            flow: Arc::new(Limiter::new(config.seats)),
            limits: Limits::new([MAX_READING, MAX_CHANGING, MAX_LONG_RUNNING]),
        }
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.registry.now()
    }

    /// Takes a place, or says that there is none.
    pub(super) fn enter(&self, load: Load) -> Result<Place, Status> {
        self.limits.enter(load)
    }

    /// Requests under way: reading, changing, long-running.
    pub(super) fn in_flight(&self) -> [usize; 3] {
        [0, 1, 2].map(|at: usize| self.limits.0[at].0.load(Ordering::Relaxed))
    }
}

impl Limits {
    fn new(limits: [usize; 3]) -> Self {
        Self(limits.map(|limit| (Arc::default(), limit)))
    }

    fn enter(&self, load: Load) -> Result<Place, Status> {
        let (count, limit) = match load {
            Load::Reading => &self.0[0],
            Load::Changing => &self.0[1],
            Load::LongRunning => &self.0[2],
        };
        let place = Place(Arc::clone(count));
        if count.fetch_add(1, Ordering::Relaxed) >= *limit {
            // Dropping the place takes the count back.
            return Err(Status::too_many_requests(
                "Too many requests, please try again later.",
                RETRY_AFTER_SECONDS,
            ));
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let limits = Limits::new([2, 1, 1]);
        let first = limits.enter(Load::Reading).ok().unwrap();
        let _second = limits.enter(Load::Reading).ok().unwrap();
        let refused = limits.enter(Load::Reading).err().unwrap();
        assert_eq!((refused.code, refused.retry_after()), (429, Some(1)));
        assert!(limits.enter(Load::Changing).is_ok(), "each load has its own limit");
        drop(first);
        assert!(limits.enter(Load::Reading).is_ok());
    }
}
