//! What the harness and its member processes say to each other: one line of JSON each, after
//! `@<request> `.

use std::{collections::HashMap, path::PathBuf};

use kabuki_raft::Fault;
use serde::{Deserialize, Serialize};

/// The variable that makes the test binary a member.
pub const MEMBER: &str = "KABUKI_RAFT_FAULTS_MEMBER";
/// The request number under which a member tells whether it started.
pub const START: u64 = 0;

/// Every fault, in the order in which requests number them.
pub const FAULTS: [Fault; 11] = [
    Fault::SlowSync,
    Fault::DuplicateFrames,
    Fault::RecordSynced,
    Fault::AnswerBeforeSync,
    Fault::StaleReads,
    Fault::LoseDeletes,
    Fault::ReuseRevisions,
    Fault::WatchGaps,
    Fault::ForgetCompaction,
    Fault::SendTwice,
    Fault::LooseCompare,
];

/// What a member process is told when it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    pub id: u64,
    pub dir: PathBuf,
    /// Where the certificates lie.
    pub pki: PathBuf,
    pub overrides: HashMap<u64, String>,
    pub peer_addr: String,
    pub settings: Settings,
}

/// What a cluster is run with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    pub snapshot_entries: u64,
    pub kept_entries: u64,
    pub ring_events: usize,
    /// How long members may take to agree after everything was healed.
    pub settle_seconds: u64,
    /// Faults that are on from the start.
    pub faults: Vec<(usize, u64)>,
}

impl Default for Settings {
    fn default() -> Self {
        // Small, so that snapshots, purges and reads from disk happen all the time.
        Self {
            snapshot_entries: 400,
            kept_entries: 150,
            ring_events: 64,
            settle_seconds: 30,
            faults: Vec::new(),
        }
    }
}

/// One part of a write: the key, the revision it must be at, and the new value (`None`: delete).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    pub key: String,
    pub expect: u64,
    pub value: Option<u64>,
}

impl Settings {
    /// With a record of what is synced, for tests that lose what is not.
    pub fn recording() -> Self {
        let record = FAULTS.iter().position(|f| *f == Fault::RecordSynced).unwrap_or_default();
        Self { faults: vec![(record, 1)], ..Self::default() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    Write(Vec<Change>),
    /// A linearizable read of one key.
    Get(String),
    /// A list, linearizable or as the member has it.
    List {
        prefix: String,
        barrier: bool,
    },
    /// A list at an earlier revision.
    ListAt {
        prefix: String,
        revision: u64,
    },
    Watch {
        prefix: String,
        after: u64,
    },
    /// End the watch that this request began.
    Unwatch(u64),
    Compact(u64),
    Initialize,
    Add {
        id: u64,
        addr: String,
    },
    Remove(u64),
    Transfer(u64),
    /// End in good order.
    Stop,
    Set {
        fault: usize,
        value: u64,
    },
    Status,
    /// Everything: records, and the changes since the compacted revision.
    Dump,
}

/// A record as the harness sees it; its value is a number (`BROKEN` when its bytes are not whole).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rec {
    pub key: String,
    pub value: u64,
    pub create: u64,
    pub revision: u64,
}

/// A change as the harness sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ev {
    pub delete: bool,
    pub rec: Rec,
    /// Revision of the version before; 0: there was none.
    pub previous: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    pub revision: u64,
    pub compacted: u64,
    pub records: Vec<Rec>,
    pub events: Vec<Ev>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    Started {
        port: u16,
    },
    Refused(String),
    Done,
    Committed(Vec<u64>),
    Conflict {
        key: String,
        current: u64,
    },
    /// Certainly not written.
    NotDone(String),
    Unknown(String),
    Got {
        barrier: u64,
        rec: Option<Rec>,
    },
    Listed {
        revision: u64,
        records: Vec<Rec>,
    },
    Events {
        events: Vec<Ev>,
        progress: u64,
    },
    Compacted {
        requested: u64,
        compacted: u64,
    },
    /// A watch is over for another reason.
    Ended(String),
    Failed(String),
    Status {
        leads: bool,
        term: u64,
        revision: u64,
        purged: Option<u64>,
        voters: Vec<u64>,
        failure: Option<String>,
    },
    Dumped(Dump),
}

/// The number of a value whose bytes are not what was written.
pub const BROKEN: u64 = u64::MAX;

/// The bytes that stand for a number: itself, then some filling that it decides.
pub fn value_bytes(number: u64) -> Vec<u8> {
    let mut bytes = format!("{number:020}").into_bytes();
    let filling = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bytes.extend((0..filling % 1200).map(|n| (filling >> (n % 57)) as u8));
    bytes
}

/// The number that bytes stand for.
pub fn value_number(bytes: &[u8]) -> u64 {
    let text = bytes.get(..20).and_then(|text| std::str::from_utf8(text).ok());
    match text.and_then(|text| text.parse().ok()) {
        Some(number) if value_bytes(number) == bytes => number,
        _ => BROKEN,
    }
}
