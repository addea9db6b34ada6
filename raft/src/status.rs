//! What a store tells about itself.

use serde::{Deserialize, Serialize};

use crate::{MemberId, Revision};

/// Who leads, as this member knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leadership {
    /// The current term.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<MemberId>,
    /// True only while this member leads and has applied everything of earlier terms.
    pub is_local: bool,
}

/// One member of the quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty while the cluster does not know it.
    pub name: String,
    /// `host:port` for peers.
    pub peer_addr: String,
    /// Its API address.
    pub api_addr: String,
    /// Whether it votes; a learner only receives.
    pub voter: bool,
    /// Whether it leads, as this member knows it.
    pub leader: bool,
}

/// The state of a member in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreStatus {
    /// This member.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: String,
    /// Whether the cluster was initialized or joined.
    pub initialized: bool,
    /// `leader`, `follower`, `candidate`, `learner` or `shutdown`.
    pub role: String,
    /// The current term.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<MemberId>,
    /// The newest log entry's index here.
    pub last_log_index: Option<u64>,
    /// The newest applied entry's index here.
    pub applied_index: Option<u64>,
    /// The newest snapshot's index here.
    pub snapshot_index: Option<u64>,
    /// The newest purged entry's index here.
    pub purged_index: Option<u64>,
    /// The newest applied revision.
    pub revision: Revision,
    /// The oldest readable revision.
    pub compacted: Revision,
    /// Live keys.
    pub keys: u64,
    /// Set when the member failed and must be restarted.
    pub failure: Option<String>,
}

/// One member as [`crate::Store::survey`] found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// What the membership says of it.
    pub member: Member,
    /// What it says of itself; else why it could not be asked.
    pub status: Result<StoreStatus, String>,
}
