//! What a store is opened with.

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use rustls_pki_types::CertificateDer;

use crate::{Cipher, Faults, MemberId};

/// Decides whether the holder of a (valid) certificate may speak as a member. The error is logged.
pub type PeerCheck = Arc<dyn Fn(&CertificateDer<'_>) -> Result<(), String> + Send + Sync>;

/// Certificates for the traffic between members. Both sides present one.
#[derive(Clone)]
pub struct PeerTls {
    /// For accepting peers. Must demand a client certificate.
    pub server: Arc<rustls::ServerConfig>,
    /// For dialling peers. Must present a client certificate.
    pub client: Arc<rustls::ClientConfig>,
    /// The DNS name every member's certificate carries.
    pub server_name: String,
    /// An extra check of the other side's certificate. Needed when the CA that `server` trusts
    /// also signs certificates of those who are not members.
    pub authorize: Option<PeerCheck>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The clocks of consensus.
#[derive(Debug, Clone)]
pub struct Timers {
    /// How often a leader shows it is alive.
    pub heartbeat: Duration,
    /// The shortest time a member waits, after the leader's lease ran out, before it stands for
    /// election.
    pub election_min: Duration,
    /// The longest such time, and the length of a leader's lease.
    pub election_max: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        // A killed leader must be replaced, with its successor writing, within 1.5 s. A follower
        // first waits out the leader's lease (`election_max`), then its own election timeout.
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
        }
    }
}

/// Bounds of memory, disk and time.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Transactions waiting to be proposed; more are answered with `Overloaded`.
    pub queued_txns: usize,
    /// Most transactions in one log entry.
    pub batch_txns: usize,
    /// Most bytes in one log entry before it is closed.
    pub batch_bytes: usize,
    /// How long a write may take before it is given up.
    pub write_timeout: Duration,
    /// How long a write waits for a leader with a quorum before it is refused, nothing being sent.
    /// Longer than an election takes.
    pub leader_timeout: Duration,
    /// How long a read barrier or a membership change's forwarding may take.
    pub read_timeout: Duration,
    /// Changes per topic kept in memory for watchers.
    pub ring_events: usize,
    /// Bytes of changes per topic kept in memory for watchers.
    pub ring_bytes: usize,
    /// How long history is kept for watchers and paged lists.
    pub history_age: Duration,
    /// Most revisions of history that are kept, whatever their age.
    pub history_revisions: u64,
    /// How often the leader looks whether history can go.
    pub compact_every: Duration,
    /// Log entries after which a snapshot is taken.
    pub snapshot_entries: u64,
    /// Bytes of log entries after which a snapshot is taken, whatever their number.
    pub snapshot_bytes: u64,
    /// Log entries kept behind a snapshot, so that a member that was away needs no snapshot.
    pub kept_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queued_txns: 8192,
            batch_txns: 1024,
            batch_bytes: 1024 * 1024,
            write_timeout: Duration::from_secs(10),
            leader_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(5),
            ring_events: 4096,
            ring_bytes: 8 * 1024 * 1024,
            history_age: Duration::from_secs(300),
            history_revisions: 500_000,
            compact_every: Duration::from_secs(30),
            snapshot_entries: 5_000,
            snapshot_bytes: 64 * 1024 * 1024,
            kept_entries: 2_000,
        }
    }
}

/// What [`crate::Store::open`] needs.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where this member keeps everything. Created when absent; locked while open.
    pub data_dir: PathBuf,
    /// This member. Never reuse the id of a removed or wiped member.
    pub member_id: MemberId,
    /// The cluster. A directory or a peer of another cluster is refused.
    pub cluster_id: String,
    /// `host:port` under which other members reach this one.
    pub peer_addr: String,
    /// The name of this member, told to the others as it is.
    pub name: String,
    /// The API address of this member, told to the others as it is.
    pub api_addr: String,
    /// Certificates for peers; `None` for a store that never has peers.
    pub tls: Option<PeerTls>,
    /// Members that this one reaches at another `host:port` than the one they told the cluster,
    /// for example through a forwarded port.
    pub peer_addr_overrides: HashMap<MemberId, String>,
    /// Clocks.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// What seals values on disk and on the wire; by default nothing does.
    pub cipher: Option<Arc<dyn Cipher>>,
    /// What the fault harness breaks; nothing by default.
    #[doc(hidden)]
    pub faults: Faults,
}

impl StoreConfig {
    /// A configuration with default clocks and bounds and without peers.
    pub fn new(
        data_dir: impl Into<PathBuf>,
        member_id: MemberId,
        cluster_id: impl Into<String>,
    ) -> Self {
        Self {
            data_dir: data_dir.into(),
            member_id,
            cluster_id: cluster_id.into(),
            name: String::new(),
            peer_addr: String::new(),
            api_addr: String::new(),
            tls: None,
            peer_addr_overrides: HashMap::new(),
            timers: Timers::default(),
            limits: Limits::default(),
            cipher: None,
            faults: Faults::default(),
        }
    }
}
