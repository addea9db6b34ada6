//! The dialling side: one connection per peer and lane, many requests on it at once.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    carry::carry,
    frame::{Frame, Kind, MAX_HELLO_BYTES, read_frame, write_frame},
    greeting::{self, Hello},
};
use crate::{Faults, MemberId, PeerTls, StoreConfig};

/// How long dialling, TLS and the greeting may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request waits for a connection that is being made; a peer known to be unreachable
/// is not waited for at all.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// First and longest pause between two tries to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Requests without an answer on one connection.
const MAX_WAITING: usize = 1024;
/// Links kept to peers (members times lanes, and room for changes of address).
const MAX_LINKS: usize = 64;

/// Requests that must not wait for each other travel on connections of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Replication.
    Log,
    /// Heartbeats, votes, read indexes.
    Control,
    /// Administration: the answer comes when the change is made, which may take a while.
    Admin,
    /// Forwarded writes.
    Write,
    /// Snapshots.
    Bulk,
}

/// Why a request has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum PeerError {
    /// It was never sent.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It was sent and the connection broke or time ran out: the other side may have acted.
    #[error("no answer: {0}")]
    Lost(String),
    /// The other side refused it.
    #[error("refused: {0}")]
    Refused(String),
}

/// All connections of this member to others. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    me: MemberId,
    cluster_id: String,
    tls: Option<PeerTls>,
    /// Connections live here, whoever asks for them first.
    home: Handle,
    links: Mutex<HashMap<(MemberId, String, Lane), Link>>,
    /// Where members are now: openraft keeps the address a replication began with.
    book: Mutex<HashMap<MemberId, String>>,
    overrides: HashMap<MemberId, String>,
    faults: Faults,
}

pub(super) type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Bytes, PeerError>>>>>;

/// A connection that is kept up as long as the link is kept.
#[derive(Clone)]
struct Link {
    state: watch::Receiver<LinkState>,
    next_id: Arc<AtomicU64>,
    _guard: Arc<DropGuard>,
}

#[derive(Clone)]
pub(super) enum LinkState {
    /// Nobody knows yet whether the peer can be reached.
    Connecting,
    /// The last try failed; the next ones go on in the background.
    Down(String),
    Up {
        queue: mpsc::Sender<Frame>,
        waiting: Waiting,
        /// What both sides speak.
        version: u32,
    },
}

impl Peers {
    /// Connections run on the runtime this is called on.
    pub(crate) fn new(cfg: &StoreConfig) -> Self {
        let inner = Inner {
            me: cfg.member_id,
            cluster_id: cfg.cluster_id.clone(),
            tls: cfg.tls.clone(),
            home: Handle::current(),
            links: Mutex::default(),
            book: Mutex::default(),
            overrides: cfg.peer_addr_overrides.clone(),
            faults: cfg.faults.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Replace what is known of the members' addresses.
    pub(crate) fn learn(&self, addresses: HashMap<MemberId, String>) {
        *self.inner.book.lock() = addresses;
    }

    /// Where a member is now, if it moved.
    pub(super) fn address(&self, id: MemberId) -> Option<String> {
        self.inner.book.lock().get(&id).cloned()
    }

    /// Close every connection.
    pub(crate) fn close(&self) {
        self.inner.links.lock().clear();
    }

    /// Ask a peer and wait for its answer.
    pub(super) async fn request(
        &self,
        to: (MemberId, &str),
        lane: Lane,
        kind: Kind,
        body: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, PeerError> {
        let deadline = tokio::time::Instant::now() + timeout;
        let answer = self.send(to, lane, kind, body, timeout).await?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(PeerError::Lost("the connection broke".into())),
            Err(_) => Err(PeerError::Lost(format!("nothing within {timeout:?}"))),
        }
    }

    /// Send a request; requests on a lane arrive in the order of these calls. Waits at most
    /// `timeout` for a connection and for room in the queue.
    pub(super) async fn send(
        &self,
        to: (MemberId, &str),
        lane: Lane,
        kind: Kind,
        body: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<Result<Bytes, PeerError>>, PeerError> {
        let mut link = self.link(to, lane)?;
        let id = link.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let timeout = timeout.min(CONNECT_WAIT);
        let handed_over = async {
            let known = link.state.wait_for(|s| !matches!(s, LinkState::Connecting)).await;
            let known = known.map(|state| state.clone());
            let (queue, waiting) = match known {
                Ok(LinkState::Up { version, .. }) if version < greeting::since(kind) => {
                    let text = "the peer runs an older kabuki that cannot answer this";
                    return Err(PeerError::Refused(text.into()));
                }
                Ok(LinkState::Up { queue, waiting, .. }) => (queue, waiting),
                Ok(LinkState::Down(why)) => return Err(PeerError::NotSent(why)),
                _ => return Err(PeerError::NotSent("the link is closed".into())),
            };
            let slot = queue.reserve_owned().await;
            let slot = slot.map_err(|_| PeerError::NotSent("the connection broke".into()))?;
            register(&waiting, id, reply)?;
            slot.send(Frame { kind, id, body });
            Ok(())
        };
        match tokio::time::timeout(timeout, handed_over).await {
            Ok(done) => done?,
            Err(_) => return Err(PeerError::NotSent("no connection yet".into())),
        }
        Ok(answer)
    }

    fn link(&self, (id, addr): (MemberId, &str), lane: Lane) -> Result<Link, PeerError> {
        let Some(tls) = &self.inner.tls else {
            return Err(PeerError::NotSent("this store was opened without peers".into()));
        };
        let mut links = self.inner.links.lock();
        let key = (id, addr.to_owned(), lane);
        if let Some(link) = links.get(&key) {
            return Ok(link.clone());
        }
        // A peer has one address; a link to an older one only keeps dialling in vain.
        links.retain(|(other, known, _), _| *other != id || known == addr);
        if links.len() >= MAX_LINKS {
            return Err(PeerError::NotSent("too many links to peers".into()));
        }
        let cancel = CancellationToken::new();
        let (report, state) = watch::channel(LinkState::Connecting);
        let dialer = Dialer {
            addr: self.inner.overrides.get(&id).map_or(addr, String::as_str).to_owned(),
            hello: Hello::new(self.inner.cluster_id.clone(), self.inner.me, id),
            tls: tls.clone(),
            lane,
            faults: self.inner.faults.clone(),
        };
        let stop = cancel.clone();
        self.inner.home.spawn(async move {
            stop.run_until_cancelled(dialer.run(report)).await;
        });
        let guard = Arc::new(cancel.drop_guard());
        let link = Link { state, next_id: Arc::new(AtomicU64::new(1)), _guard: guard };
        links.insert(key, link.clone());
        Ok(link)
    }
}

/// Remember who waits for an answer.
fn register(
    waiting: &Waiting,
    id: u64,
    reply: oneshot::Sender<Result<Bytes, PeerError>>,
) -> Result<(), PeerError> {
    let mut waiting = waiting.lock();
    if waiting.len() >= MAX_WAITING {
        // Requests whose callers gave up still hold a place until they are answered.
        waiting.retain(|_, reply| !reply.is_closed());
    }
    if waiting.len() >= MAX_WAITING {
        return Err(PeerError::NotSent("too many requests wait for the peer".into()));
    }
    waiting.insert(id, reply);
    Ok(())
}

struct Dialer {
    addr: String,
    hello: Hello,
    tls: PeerTls,
    lane: Lane,
    faults: Faults,
}

pub(super) type Tls = tokio_rustls::client::TlsStream<TcpStream>;

impl Dialer {
    async fn run(self, report: watch::Sender<LinkState>) {
        let mut pause = BACKOFF.0;
        let mut known_down = false;
        loop {
            let why = match tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await {
                Ok(Ok((stream, version))) => {
                    pause = BACKOFF.0;
                    if std::mem::take(&mut known_down) {
                        tracing::info!(peer = self.hello.to, addr = %self.addr, "peer is back");
                    }
                    let error = carry((stream, version), &report, self.lane, &self.faults).await;
                    tracing::debug!(peer = self.hello.to, %error, "a connection ended");
                    // Often the very next try succeeds; only its failure is news.
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no connection within {CONNECT_TIMEOUT:?}"),
            };
            if !std::mem::replace(&mut known_down, true) {
                tracing::info!(peer = self.hello.to, addr = %self.addr, why, "peer is unreachable");
            }
            report.send_replace(LinkState::Down(why));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn connect(&self) -> io::Result<(Tls, u32)> {
        let tcp = TcpStream::connect(&self.addr).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(self.tls.server_name.clone()).map_err(io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(self.tls.client.clone());
        let mut stream = connector.connect(name, tcp).await?;
        if let Some(check) = &self.tls.authorize {
            let certificates = stream.get_ref().1.peer_certificates();
            let first = certificates.and_then(<[_]>::first);
            let first = first.ok_or_else(|| io::Error::other("the peer shows no certificate"))?;
            check(first).map_err(io::Error::other)?;
        }
        let body = vec![serde_json::to_vec(&self.hello)?.into()];
        write_frame(&mut stream, &Frame { kind: Kind::Hello, id: 0, body }).await?;
        stream.flush().await?;
        let (kind, _, body) = read_frame(&mut stream, MAX_HELLO_BYTES).await?;
        match kind {
            Kind::Answer => Ok((stream, greeting::chosen(&body))),
            _ => Err(io::Error::other(String::from_utf8_lossy(&body).into_owned())),
        }
    }
}
