//! The registry itself: a handle over the store, and the commit path all writes share.

use std::{net::Ipv4Addr, ops::RangeInclusive, sync::Arc, time::Duration};

use kabuki_api::{kind::Kind, status::Status};
use kabuki_raft::{
    Compare, Event, Leadership, Op, Revision, Store, StoreError, Txn, TxnOutcome, Watch,
};
use time::OffsetDateTime;

#[cfg(test)]
use super::faults::Door;
use super::{
    admission::dynamic::{Policies, Webhooks},
    definitions::{DefinitionCache, Definitions},
    object::Object,
    quota::Turns,
    view::View,
};
use crate::auth::{RbacCache, ServiceAccountKeys};

/// How long a linearizable read may wait for the leader, its turn included, before it answers 503.
const BARRIER_WAIT: Duration = Duration::from_secs(4);
/// How long a read waits for a revision that is ahead of this member before it answers 504.
const FUTURE_REVISION_WAIT: Duration = Duration::from_secs(3);
/// How often it looks meanwhile.
const FUTURE_REVISION_POLL: Duration = Duration::from_millis(20);
/// Compared with a revision it can never have, to pass through the log without writing.
const SETTLE_KEY: &str = "/settle";

/// What a registry needs to know of its cluster.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// First address and prefix length of the range cluster IPs come from.
    pub service_cidr: (Ipv4Addr, u8),
    /// Address of Service kube-system/kube-dns.
    pub cluster_dns: Ipv4Addr,
    /// Ports for Services of type NodePort and LoadBalancer.
    pub node_ports: RangeInclusive<u16>,
    /// PEM of the CA that signs client certificates, published for extension API servers.
    pub client_ca_pem: String,
    /// PEM of the CA that signs members as front proxies, published for extension API servers; empty
    /// where none is to trust them.
    pub front_proxy_ca_pem: String,
    /// Keys that sign service-account tokens; without them the token subresource answers 501.
    pub keys: Option<Arc<ServiceAccountKeys>>,
    /// `iss` and default audience of service-account tokens.
    pub issuer: String,
    /// The clock.
    pub now: fn() -> OffsetDateTime,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            service_cidr: (Ipv4Addr::new(10, 96, 0, 0), 12),
            cluster_dns: Ipv4Addr::new(10, 96, 0, 10),
            node_ports: 30_000..=32_767,
            client_ca_pem: String::new(),
            front_proxy_ca_pem: String::new(),
            keys: None,
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            now: OffsetDateTime::now_utc,
        }
    }
}

/// Reads and writes objects. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    /// Raft term in which this member must lead for a write to be taken.
    fence: Option<u64>,
    /// Where tests make the store late, forgetful and unreachable.
    #[cfg(test)]
    door: Option<Arc<Door>>,
}

struct Inner {
    store: Store,
    cfg: RegistryConfig,
    rbac: RbacCache,
    policies: Policies,
    turns: Turns,
    definitions: DefinitionCache,
    webhooks: Webhooks,
}

/// How a commit ended when the store took it.
pub(super) enum Commit {
    /// Written; the revision of the first operation.
    Done(Revision),
    /// A compared key had changed; nothing was written.
    Conflict { key: String },
}

impl Registry {
    /// A registry over `store`.
    pub fn new(store: Store, cfg: RegistryConfig) -> Self {
        let inner = Arc::new(Inner {
            store,
            cfg,
            rbac: RbacCache::default(),
            policies: Policies::default(),
            turns: Turns::default(),
            definitions: DefinitionCache::default(),
            webhooks: Webhooks::default(),
        });
        Self {
            inner,
            fence: None,
            #[cfg(test)]
            door: None,
        }
    }

    /// The same registry, whose way to the store leads through `door`.
    #[cfg(test)]
    pub(crate) fn behind(&self, door: Arc<Door>) -> Self {
        Self { door: Some(door), ..self.clone() }
    }

    /// The same registry, whose writes are refused unless this member leads in `term`: what control
    /// actors write through, so that those of a deposed leader cannot write.
    #[must_use]
    pub fn fenced(&self, term: u64) -> Self {
        Self { fence: Some(term), ..self.clone() }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The configuration.
    pub fn config(&self) -> &RegistryConfig {
        &self.inner.cfg
    }

    /// The admission webhooks, as far as they are known here.
    pub(super) fn webhooks(&self) -> &Webhooks {
        &self.inner.webhooks
    }

    pub(super) fn policies(&self) -> &Policies {
        &self.inner.policies
    }

    pub(crate) fn rbac_cache(&self) -> &RbacCache {
        &self.inner.rbac
    }

    /// Who may charge quotas now.
    pub(super) fn turns(&self) -> &Turns {
        &self.inner.turns
    }

    pub(super) fn definition_cache(&self) -> &DefinitionCache {
        &self.inner.definitions
    }

    /// The time now.
    pub fn now(&self) -> OffsetDateTime {
        (self.inner.cfg.now)()
    }

    /// Waits until everything acknowledged anywhere before this call is visible here.
    ///
    /// # Errors
    /// 503 or 504 when the leader cannot be reached.
    pub async fn barrier(&self) -> Result<Revision, Status> {
        let barrier = self.read_barrier();
        match tokio::time::timeout(BARRIER_WAIT, barrier).await {
            Ok(done) => done.map_err(store_status),
            Err(_) => {
                let error = StoreError::Unavailable("no leader confirmed a read in time".into());
                Err(store_status(error))
            }
        }
    }

    /// Waits until every write begun through this leadership before is visible here or will never
    /// be, those included whose answer was lost. A read barrier does not do that: a write without an
    /// answer may be in the log and not be committed yet. Writes nothing.
    ///
    /// # Errors
    /// 503 or 504 while that cannot be told; ask again.
    pub(crate) async fn settle(&self) -> Result<(), Status> {
        let never = Compare { key: SETTLE_KEY.to_owned(), mod_revision: Revision::MAX };
        let op = Op::Delete { key: SETTLE_KEY.to_owned() };
        self.commit(vec![never], vec![op]).await.map(drop)
    }

    /// Who leads, and whether it is this member.
    pub(crate) fn leadership(&self) -> tokio::sync::watch::Receiver<Leadership> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            return door.leadership();
        }
        self.store().leadership()
    }

    /// The next changes of a watch of the store.
    pub(crate) async fn next(&self, watch: &mut Watch) -> Result<Vec<Arc<Event>>, StoreError> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            return door.next(watch).await;
        }
        watch.next().await
    }

    async fn read_barrier(&self) -> Result<Revision, StoreError> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            return door.barrier(self.store()).await;
        }
        self.store().read_barrier().await
    }

    async fn write(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            return door.write(self.store(), txn).await;
        }
        self.store().write(txn).await
    }

    /// One object as applied here, of any kind.
    pub(super) fn local(&self, kind: &'static Kind, key: &str) -> Option<Object> {
        self.store().get(key).map(|record| Object::new(kind, record))
    }

    /// One object, linearizable: a miss in the local state is only believed after a barrier.
    pub(super) async fn current(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
    ) -> Result<Option<Object>, Status> {
        let key = kind.key(ns, name);
        let mut found = self.local(kind, &key);
        if found.is_none() {
            self.barrier().await?;
            found = self.local(kind, &key);
        }
        if let Some(object) = &found {
            object.check_readable()?;
        }
        Ok(found)
    }

    pub(super) async fn commit(
        &self,
        compare: Vec<Compare>,
        ops: Vec<Op>,
    ) -> Result<Commit, Status> {
        let txn = Txn { compare, ops, fence: self.fence };
        match self.write(txn).await.map_err(store_status)? {
            TxnOutcome::Committed { revision, revisions } => {
                Ok(Commit::Done(revisions.first().copied().unwrap_or(revision)))
            }
            TxnOutcome::Conflict { key, .. } => Ok(Commit::Conflict { key }),
        }
    }

    /// Waits until this member has applied `revision`.
    ///
    /// # Errors
    /// 504 `Too large resource version` after three seconds.
    pub(super) async fn wait_for(&self, revision: Revision) -> Result<(), Status> {
        if self.store().revision() >= revision {
            return Ok(());
        }
        self.barrier().await?;
        let deadline = tokio::time::Instant::now() + FUTURE_REVISION_WAIT;
        while self.store().revision() < revision {
            if tokio::time::Instant::now() >= deadline {
                let current = self.store().revision();
                return Err(Status::too_large_resource_version(revision, current));
            }
            tokio::time::sleep(FUTURE_REVISION_POLL).await;
        }
        Ok(())
    }
}

impl View for Registry {
    fn get(&self, kind: &'static Kind, ns: &str, name: &str) -> Option<Arc<Object>> {
        self.local(kind, &kind.key(ns, name)).map(Arc::new)
    }

    fn list(&self, kind: &'static Kind, ns: Option<&str>) -> Vec<Arc<Object>> {
        let page = self.store().list(&kind.prefix(ns), None, 0);
        page.records.into_iter().map(|record| Arc::new(Object::new(kind, record))).collect()
    }

    fn definitions(&self) -> Arc<Definitions> {
        Self::definitions(self)
    }
}

/// The API's word for a store error.
pub(super) fn store_status(error: StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => Status::continue_expired(""),
        StoreError::FutureRevision { requested, current } => {
            Status::too_large_resource_version(requested, current)
        }
        StoreError::Overloaded(_) => Status::too_many_requests(error.to_string(), 1),
        StoreError::UnknownOutcome(_) => Status::timeout(&error.to_string(), 0),
        StoreError::Invalid(text) => Status::too_large(text),
        other => Status::unavailable(other.to_string()).with_retry_after(1),
    }
}

/// Reads a resource version; `what` names the parameter for the error text.
pub(super) fn parse_revision(text: &str) -> Result<Revision, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!("resourceVersion: Invalid value: {text:?}: must be a number"))
    })
}
