//! Applying log entries: the one place where transactions are decided.
//!
//! Deterministic: the outcome depends on the entry and the state before it, on nothing else.

use std::{collections::HashMap, io, sync::Arc};

use bytes::Bytes;
use openraft::EntryPayload;
use rocksdb::WriteBatch;

use super::{State, db::StateDb};
use crate::{
    Event, EventKind, Fault, Record, Revision, TxnOutcome,
    codec::{Command, OpRef, decode_proposal},
    types::{Answer, Applied, Entry, LogId, StoredMembership},
};

/// Several entries on their way into the state; nothing is visible before it is published.
pub(super) struct Pass<'a> {
    state: &'a State,
    db: Arc<StateDb>,
    batch: WriteBatch,
    overlay: HashMap<Arc<str>, Option<Arc<Record>>>,
    events: Vec<Arc<Event>>,
    revision: Revision,
    compacted: Revision,
    applied: Option<LogId>,
    membership: Option<StoredMembership>,
}

/// A pass that is in the database and must become visible.
pub(super) struct Done {
    pub(super) changed: HashMap<Arc<str>, Option<Arc<Record>>>,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) applied: Option<LogId>,
    pub(super) membership: Option<StoredMembership>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            db: state.db(),
            batch: WriteBatch::default(),
            overlay: HashMap::new(),
            events: Vec::new(),
            revision: state.revision(),
            compacted: state.compacted(),
            applied: None,
            membership: None,
            state,
        }
    }

    /// Apply one entry.
    pub(super) fn entry(&mut self, entry: &Entry) -> io::Result<Applied> {
        self.applied = Some(entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => Ok(Applied::default()),
            EntryPayload::Membership(membership) => {
                let stored = StoredMembership::new(Some(entry.log_id), membership.clone());
                self.db.put_membership(&mut self.batch, &stored)?;
                self.membership = Some(stored);
                Ok(Applied::default())
            }
            EntryPayload::Normal(proposal) => {
                let commands = decode_proposal(&proposal.0).map_err(io::Error::other)?;
                let term = entry.log_id.leader_id.term;
                let answers = commands.into_iter().map(|c| self.command(term, c)).collect();
                Ok(Applied { answers })
            }
        }
    }

    fn command(&mut self, term: u64, command: Command<'_>) -> Answer {
        match command {
            Command::Compact { revision } => {
                let target = revision.min(self.revision);
                if target > self.compacted {
                    self.compacted = target;
                    self.db.put_compacted(&mut self.batch, target);
                }
                Answer::Compacted(self.compacted)
            }
            // Everything before the jump is history of another life of this store.
            Command::Advance { revision } => {
                if revision > self.revision {
                    self.revision = revision;
                    self.compacted = revision;
                    self.db.put_compacted(&mut self.batch, revision);
                }
                Answer::Compacted(self.compacted)
            }
            // The term names the leader, and entries of a term come from its leader only: so an
            // entry that another leader wrote cannot carry this fence.
            Command::Txn { fence, .. } if fence != 0 && fence != term => Answer::Fenced,
            Command::Txn { compare, ops, .. } => Answer::Done(self.txn(&compare, &ops)),
        }
    }

    fn txn(&mut self, compare: &[(&str, Revision)], ops: &[OpRef<'_>]) -> TxnOutcome {
        for (key, expected) in compare {
            let current = self.lookup(key).map_or(0, |record| record.mod_revision);
            let loose = self.state.faults.on(Fault::LooseCompare) && current.min(*expected) > 0;
            if current != *expected && !loose {
                return TxnOutcome::Conflict { key: (*key).to_owned(), current };
            }
        }
        let revisions: Vec<_> = ops.iter().map(|op| self.op(*op)).collect();
        TxnOutcome::Committed { revision: self.revision, revisions }
    }

    fn op(&mut self, op: OpRef<'_>) -> Revision {
        self.revision += 1;
        let revision = self.revision;
        match op {
            OpRef::Put { key, value } => {
                let previous = self.lookup(key);
                let (key, create) = match &previous {
                    Some(old) => (old.key.clone(), old.create_revision),
                    None => (Arc::from(key), revision),
                };
                // A copy of its own: a slice would keep the whole log entry alive.
                let stored = Bytes::copy_from_slice(value);
                let cipher = &self.db.cipher;
                let record = Arc::new(Record::read(key.clone(), stored, create, revision, cipher));
                self.change(EventKind::Put, &record, previous);
                self.overlay.insert(key, Some(record));
            }
            OpRef::Delete { key } => {
                // Deleting what is absent takes a revision and changes nothing.
                let Some(old) = self.lookup(key) else { return revision };
                let (key, value) = (old.key.clone(), old.value.clone());
                let gone = Arc::new(Record::new(key.clone(), value, old.create_revision, revision));
                self.change(EventKind::Delete, &gone, Some(old));
                self.overlay.insert(key, None);
            }
        }
        revision
    }

    fn change(&mut self, kind: EventKind, record: &Arc<Record>, previous: Option<Arc<Record>>) {
        let before = previous.as_ref().map_or(0, |old| old.mod_revision);
        self.db.put_version(&mut self.batch, record, kind == EventKind::Delete, before);
        self.events.push(Arc::new(Event {
            revision: record.mod_revision,
            kind,
            record: record.clone(),
            previous,
        }));
    }

    fn lookup(&self, key: &str) -> Option<Arc<Record>> {
        match self.overlay.get(key) {
            Some(known) => known.clone(),
            None => self.state.get(key),
        }
    }

    /// Write everything as one batch.
    pub(super) fn finish(mut self) -> io::Result<Done> {
        if let Some(applied) = self.applied {
            self.db.put_applied(&mut self.batch, applied, self.revision);
        }
        self.db.write(self.batch)?;
        Ok(Done {
            changed: self.overlay,
            events: self.events,
            revision: self.revision,
            compacted: self.compacted,
            applied: self.applied,
            membership: self.membership,
        })
    }
}
