//! The store as its users see it.

use std::{path::Path, sync::Arc};

use tokio::{net::TcpListener, sync::watch};

use crate::{
    Leadership, ListPage, Member, MemberId, Record, Revision, StoreConfig, StoreError, StoreStatus,
    Txn, TxnOutcome, Watch,
};

/// The replicated store. Cheap to clone; all clones are one member.
#[derive(Clone)]
pub struct Store {
    leadership: watch::Receiver<Leadership>,
}

fn unbuilt<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not built yet".into()))
}

#[allow(clippy::unused_async, missing_docs)]
impl Store {
    pub async fn open(cfg: StoreConfig) -> Result<Store, StoreError> {
        drop(cfg);
        unbuilt()
    }

    pub async fn open_single(dir: impl AsRef<Path>) -> Result<Store, StoreError> {
        let _ = dir.as_ref();
        unbuilt()
    }

    pub async fn initialize(&self) -> Result<(), StoreError> {
        unbuilt()
    }

    pub async fn serve_peers(&self, listener: TcpListener) {
        drop(listener);
    }

    pub async fn write(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        txn.check()?;
        unbuilt()
    }

    pub async fn read_barrier(&self) -> Result<Revision, StoreError> {
        unbuilt()
    }

    pub fn get(&self, _key: &str) -> Option<Arc<Record>> {
        None
    }

    pub fn list(&self, _prefix: &str, _start_after: Option<&str>, _limit: usize) -> ListPage {
        ListPage { records: Vec::new(), revision: 0, more: false, remaining: 0 }
    }

    pub async fn list_at(
        &self,
        _prefix: &str,
        _revision: Revision,
        _start_after: Option<&str>,
        _limit: usize,
    ) -> Result<ListPage, StoreError> {
        unbuilt()
    }

    pub fn revision(&self) -> Revision {
        0
    }

    pub fn compacted(&self) -> Revision {
        0
    }

    pub fn topic_revision(&self, _topic: &str) -> Revision {
        0
    }

    pub fn watch(&self, _topic_or_prefix: &str, _after: Revision) -> Result<Watch, StoreError> {
        unbuilt()
    }

    pub async fn compact(&self, _revision: Revision) -> Result<(), StoreError> {
        unbuilt()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    pub async fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    pub async fn add_member(
        &self,
        _id: MemberId,
        _peer_addr: &str,
        _api_addr: &str,
    ) -> Result<(), StoreError> {
        unbuilt()
    }

    pub async fn remove_member(&self, _id: MemberId) -> Result<(), StoreError> {
        unbuilt()
    }

    pub async fn transfer_leader(&self, _id: MemberId) -> Result<(), StoreError> {
        unbuilt()
    }

    pub fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    pub async fn shutdown(&self) {}
}
