//! Who ordered what: a log line of target `audit`, and a bounded ring.

use std::{collections::VecDeque, time::SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{dead_letter::unix_ms, record::push_bounded};

/// Orders kept.
pub const MAX_AUDIT: usize = 256;

/// One order to an actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Unix time, ms.
    pub at_ms: u64,
    /// Who gave it.
    pub user: String,
    /// `pause`, `resume`, `restart`, `panic`, `trace`.
    pub order: String,
    /// Path of the actor or supervisor.
    pub path: String,
    /// `accepted`, or why not.
    pub outcome: String,
}

/// The orders of one kernel.
#[derive(Debug, Default)]
pub(crate) struct Audit(Mutex<VecDeque<AuditRecord>>);

impl Audit {
    pub(crate) fn record(&self, user: &str, order: &str, path: &str, outcome: &str) {
        tracing::info!(target: "audit", user, order, path, outcome, "order to an actor");
        let record = AuditRecord {
            at_ms: unix_ms(SystemTime::now()),
            user: user.to_owned(),
            order: order.to_owned(),
            path: path.to_owned(),
            outcome: outcome.to_owned(),
        };
        push_bounded(&mut self.0.lock(), record, MAX_AUDIT);
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<AuditRecord> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_is_bounded() {
        let audit = Audit::default();
        for n in 0..MAX_AUDIT * 2 {
            audit.record("admin", "pause", &format!("/{n}"), "accepted");
        }
        assert_eq!(audit.all().len(), MAX_AUDIT);
        assert_eq!(audit.all()[0].path, format!("/{MAX_AUDIT}"));
    }
}
