//! Charging quotas: what an object uses is written to the status of its namespace's quotas in the
//! object's own transaction.
//!
//! Every write that uses more changes each quota that limits it, compared with the revision it was
//! decided on. A quota that is new or limits something else touches its namespace, which every write
//! that may use more compares. So no member can miss a quota or what another member charged to it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use kabuki_api::{
    kind::{NAMESPACE, RESOURCE_QUOTA},
    status::Status,
};
use kabuki_raft::{Compare, Op};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    admission::quota::{self, Write},
    create::stored,
    object::text,
    service::Allocation,
    store::Registry,
    view::View,
};

/// Namespaces whose charges wait for each other on this member share one of these.
const TURNS: usize = 64;

/// Who may charge quotas now. Writes that charge the same quota exclude each other in the store;
/// taking turns spares those of one member the attempts that would be lost.
pub(super) struct Turns {
    hasher: RandomState,
    locks: Vec<Arc<Mutex<()>>>,
}

impl Default for Turns {
    fn default() -> Self {
        let locks = (0..TURNS).map(|_| Arc::default()).collect();
        Self { hasher: RandomState::new(), locks }
    }
}

impl Turns {
    async fn take(&self, namespace: &str) -> Option<OwnedMutexGuard<()>> {
        let slot = self.hasher.hash_one(namespace) as usize % TURNS;
        match self.locks.get(slot) {
            Some(lock) => Some(Arc::clone(lock).lock_owned().await),
            None => None,
        }
    }
}

impl Registry {
    /// Adds to a write's transaction what it is charged. Hold on to the answer until that is done.
    ///
    /// # Errors
    /// 403 when a quota does not allow it; 503.
    pub(super) async fn charge(
        &self,
        write: &Write<'_>,
        transaction: &mut Allocation,
    ) -> Result<Option<OwnedMutexGuard<()>>, Status> {
        let ns = text(&write.new["metadata"], "namespace");
        let concerned = quota::concerns(write);
        let limits = quota::limits_anew(write);
        if (limits || (concerned && write.old.is_some()))
            && let Some(namespace) = self.get(NAMESPACE, "", ns)
        {
            let (key, mod_revision) = (namespace.key().to_owned(), namespace.revision());
            transaction.compare.push(Compare { key: key.clone(), mod_revision });
            if limits {
                let value = namespace.record().value.clone();
                transaction.ops.push(Op::Put { key, value });
            }
        }
        if !concerned {
            return Ok(None);
        }
        if self.list(RESOURCE_QUOTA, Some(ns)).is_empty() {
            return Ok(None);
        }
        let turn = self.turns().take(ns).await;
        let charges = match quota::charge(self, write) {
            Ok(charges) => charges,
            Err(_) => {
                // What was freed may just not be applied on this member yet.
                self.barrier().await?;
                quota::charge(self, write)?
            }
        };
        for charge in charges {
            let (kind, key) = (charge.quota.kind(), charge.quota.key().to_owned());
            let mut value = charge.quota.value().clone();
            value["status"] = charge.status;
            let value = stored(kind, value, charge.quota.managed());
            let mod_revision = charge.quota.revision();
            transaction.compare.push(Compare { key: key.clone(), mod_revision });
            transaction.ops.push(Op::Put { key, value });
        }
        Ok(turn)
    }
}
