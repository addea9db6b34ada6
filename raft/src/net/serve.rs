//! The accepting side.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use openraft::Snapshot;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    call::Report,
    client::Peers,
    frame::{Frame, Kind, MAX_FRAME_BYTES, MAX_HELLO_BYTES, read_frame, write_frame},
    greeting::{Hello, Welcome},
    message::{Forwarded, ReadIndex, decode_append},
    receive::{self, Receiving},
};
use crate::{
    MemberId, PeerTls,
    codec::decode_proposal,
    consensus::{Consensus, ProposeError},
    members,
    types::Proposal,
};

/// How long TLS and the greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections from peers at once, unfinished greetings included.
const MAX_CONNECTIONS: usize = 128;
/// Requests of one connection in work at once; more wait in the peer's socket.
const MAX_REQUESTS: usize = 128;
/// Answers waiting to be written.
const WRITE_QUEUE: usize = 256;
/// A connection without a frame for this long is closed; a peer that lives dials again.
const IDLE: Duration = Duration::from_secs(900);
/// Pause after `accept` fails, for example without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a forwarded write may take here; the asking side has a limit of its own.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(30);

/// What peers are served with.
pub(crate) struct Service {
    pub(crate) consensus: Consensus,
    pub(crate) member_id: MemberId,
    pub(crate) cluster_id: String,
    pub(crate) tls: PeerTls,
    pub(crate) data: PathBuf,
    pub(crate) peers: Peers,
    /// Makes this member's report.
    pub(crate) report: Arc<dyn Fn() -> Option<Report> + Send + Sync>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Numbers snapshot transfers, so that each has a directory of its own.
static TRANSFERS: AtomicU64 = AtomicU64::new(1);

/// Serve peers until the store is shut down.
pub(crate) async fn serve(service: Arc<Service>, listener: TcpListener) {
    if let Err(error) = receive::sweep(&service.data) {
        tracing::warn!(%error, "cannot remove an interrupted snapshot transfer");
    }
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = service.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (service, tasks) = (service.clone(), service.tasks.clone());
        tasks.spawn(async move {
            let stop = service.stop.clone();
            if let Some(Err(error)) = stop.run_until_cancelled(connection(service, tcp)).await
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                tracing::debug!(%error, %from, "a peer's connection ended");
            }
            drop(slot);
        });
    }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn connection(service: Arc<Service>, tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let greeting = tokio::time::timeout(GREETING_TIMEOUT, greet(&service, tcp)).await;
    let stream = greeting.map_err(|_| io::Error::other("no greeting in time"))??;
    let (mut reader, writer) = tokio::io::split(stream);
    let (answers, queue) = mpsc::channel::<Frame>(WRITE_QUEUE);
    let (appends, append_queue) = mpsc::channel(MAX_REQUESTS);
    let session =
        Arc::new(Session { service: service.clone(), answers, incoming: Mutex::new(None) });
    let slots = Arc::new(Semaphore::new(MAX_REQUESTS));
    let read = async {
        loop {
            let read = read_frame(&mut reader, MAX_FRAME_BYTES);
            let idle = |_| io::Error::other("the peer was silent for too long");
            let (kind, id, body) = tokio::time::timeout(IDLE, read).await.map_err(idle)??;
            if kind == Kind::Ping {
                session.answer(id, Ok(Vec::new())).await;
                continue;
            }
            if kind == Kind::Append {
                let gone = |_| io::Error::other("the append lane is closed");
                appends.send((id, body)).await.map_err(gone)?;
                continue;
            }
            let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
            let session = session.clone();
            tokio::spawn(async move {
                let result = session.handle(kind, body).await;
                session.answer(id, result).await;
                drop(slot);
            });
        }
    };
    tokio::select! {
        result = read => result,
        result = write_answers(writer, queue) => result,
        result = session.append_in_order(append_queue) => result,
    }
}

/// TLS, the certificate's check and the first frame.
async fn greet(service: &Service, tcp: TcpStream) -> io::Result<Tls> {
    let acceptor = tokio_rustls::TlsAcceptor::from(service.tls.server.clone());
    let mut stream = acceptor.accept(tcp).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let Some(first) = certificates.and_then(<[_]>::first) else {
        return Err(io::Error::other("the peer shows no certificate"));
    };
    let allowed = service.tls.authorize.as_ref().map_or(Ok(()), |check| check(first));
    let (kind, id, body) = read_frame(&mut stream, MAX_HELLO_BYTES).await?;
    let hello: Hello = serde_json::from_slice(&body)?;
    let verdict = allowed.and_then(|()| {
        if kind != Kind::Hello {
            return Err("a connection begins with a greeting".to_owned());
        }
        let version = hello.agree()?;
        if hello.cluster_id != service.cluster_id {
            return Err("this member belongs to another cluster".to_owned());
        }
        if hello.to != service.member_id {
            let me = service.member_id;
            return Err(format!("this is member {me}, not member {}", hello.to));
        }
        Ok(version)
    });
    let (kind, body) = match &verdict {
        Ok(version) => {
            (Kind::Answer, vec![serde_json::to_vec(&Welcome { version: *version })?.into()])
        }
        Err(text) => (Kind::Refused, vec![text.clone().into()]),
    };
    write_frame(&mut stream, &Frame { kind, id, body }).await?;
    stream.flush().await?;
    match verdict {
        Ok(_) => Ok(stream),
        Err(text) => {
            tracing::warn!(from = hello.from, text, "refused a peer");
            Err(io::Error::other(text))
        }
    }
}

async fn write_answers(
    writer: tokio::io::WriteHalf<Tls>,
    mut queue: mpsc::Receiver<Frame>,
) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(64 * 1024, writer);
    while let Some(frame) = queue.recv().await {
        write_frame(&mut writer, &frame).await?;
        if queue.is_empty() {
            writer.flush().await?;
        }
    }
    Ok(())
}

/// One connection of a peer.
struct Session {
    service: Arc<Service>,
    answers: mpsc::Sender<Frame>,
    incoming: Mutex<Option<Receiving>>,
}

type Answered = Result<Vec<u8>, String>;

fn json<T: Serialize>(value: &T) -> Answered {
    serde_json::to_vec(value).map_err(|e| e.to_string())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|e| e.to_string())
}

impl Session {
    async fn answer(&self, id: u64, result: Answered) {
        let (kind, body) = match result {
            Ok(body) => (Kind::Answer, body),
            Err(text) => (Kind::Refused, text.into_bytes()),
        };
        // The queue is gone with the connection; nobody waits for the answer then.
        self.answers.send(Frame { kind, id, body: vec![body.into()] }).await.ok();
    }

    /// Append requests enter consensus in the order they came; later ones are handed over while
    /// earlier ones wait for the disk, so that one fsync serves several.
    async fn append_in_order(&self, mut queue: mpsc::Receiver<(u64, Bytes)>) -> io::Result<()> {
        let mut running = FuturesOrdered::new();
        loop {
            tokio::select! {
                Some((id, result)) = running.next(), if !running.is_empty() => {
                    self.answer(id, result).await;
                }
                next = queue.recv(), if running.len() < MAX_REQUESTS => {
                    let Some((id, body)) = next else { return Ok(()) };
                    let mut work = Box::pin(async move { (id, self.append(&body).await) });
                    // Polled once here: that hands the request over, in order.
                    match futures_util::poll!(work.as_mut()) {
                        std::task::Poll::Ready(done) => {
                            running.push_back(futures_util::future::Either::Left(
                                std::future::ready(done),
                            ));
                        }
                        std::task::Poll::Pending => {
                            running.push_back(futures_util::future::Either::Right(work));
                        }
                    }
                }
            }
        }
    }

    async fn append(&self, body: &Bytes) -> Answered {
        let request = decode_append(body)?;
        let raft = &self.service.consensus.raft;
        json(&raft.append_entries(request).await.map_err(|e| e.to_string())?)
    }

    async fn handle(&self, kind: Kind, body: Bytes) -> Answered {
        let consensus = &self.service.consensus;
        let raft = &consensus.raft;
        match kind {
            Kind::Vote => json(&raft.vote(parse(&body)?).await.map_err(|e| e.to_string())?),
            Kind::PreVote => json(&raft.pre_vote(parse(&body)?).await.map_err(|e| e.to_string())?),
            Kind::Transfer => {
                let handled = raft.handle_transfer_leader(parse(&body)?).await;
                json(&handled.map_err(|e| e.to_string())?)
            }
            Kind::Forward => self.forward(body).await,
            Kind::ReadIndex => json(&match consensus.read_index().await {
                Ok(index) => ReadIndex::At(index),
                Err(ProposeError::NotLeader) => ReadIndex::NotLeader,
                Err(ProposeError::Unknown(e) | ProposeError::Failed(e)) => ReadIndex::Failed(e),
            }),
            Kind::Admin => {
                let done = members::carry_out(consensus, &self.service.peers, parse(&body)?).await;
                done.map(|()| Vec::new()).map_err(|e| e.to_string())
            }
            Kind::Report => json(&(self.service.report)().ok_or("this member stops")?),
            Kind::SnapshotBegin | Kind::SnapshotChunk | Kind::SnapshotEnd => {
                self.snapshot(kind, body).await
            }
            Kind::Hello | Kind::Ping | Kind::Append | Kind::Answer | Kind::Refused => {
                Err("this frame is not a request".into())
            }
        }
    }

    async fn forward(&self, body: Bytes) -> Answered {
        // What cannot be decoded must not reach the log: every member would stop at it.
        decode_proposal(&body).map_err(|e| e.to_string())?;
        let body = Bytes::copy_from_slice(&body);
        let proposed = self.service.consensus.propose(Proposal(body), FORWARD_TIMEOUT).await;
        json(&match proposed {
            Ok((applied, index)) => Forwarded::Done { applied, index },
            Err(ProposeError::NotLeader) => Forwarded::NotLeader,
            Err(ProposeError::Unknown(text)) => Forwarded::Unknown(text),
            Err(ProposeError::Failed(text)) => Forwarded::Failed(text),
        })
    }

    async fn snapshot(&self, kind: Kind, body: Bytes) -> Answered {
        let text = |e: io::Error| e.to_string();
        let mut incoming = self.incoming.lock().await;
        match kind {
            Kind::SnapshotBegin => {
                *incoming = None;
                let data = self.service.data.clone();
                let number = TRANSFERS.fetch_add(1, Ordering::Relaxed);
                let begun = blocking(move || Receiving::begin(&data, number, &body)).await;
                *incoming = Some(begun.map_err(text)?);
                Ok(Vec::new())
            }
            Kind::SnapshotChunk => {
                let mut receiving = incoming.take().ok_or("no snapshot was begun")?;
                let taken = blocking(move || receiving.chunk(&body).map(|()| receiving)).await;
                *incoming = Some(taken.map_err(text)?);
                Ok(Vec::new())
            }
            _ => {
                let receiving = incoming.take().ok_or("no snapshot was begun")?;
                let snapshot = blocking(move || receiving.finish()).await.map_err(text)?;
                let vote = parse(&body)?;
                let snapshot = Snapshot { meta: snapshot.meta().clone(), snapshot };
                let raft = &self.service.consensus.raft;
                let installed = raft.install_full_snapshot(vote, snapshot).await;
                json(&installed.map_err(|e| e.to_string())?)
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
