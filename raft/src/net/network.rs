//! openraft's view of the network.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use openraft::{
    AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

use super::{
    client::{Lane, PeerError, Peers},
    frame::Kind,
    message::{ChunkHead, encode_append, with_head},
};
use crate::{
    MemberId,
    state::SnapshotDir,
    types::{LogId, PeerNode, TypeConfig, Vote},
};

/// Requests of one replication stream without an answer yet.
const PIPELINE: usize = 32;
/// How long a follower may take to make entries durable before the stream is given up.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one piece of a snapshot may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long installing a snapshot may take.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of a snapshot in one frame.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Pause of replication to a member that cannot be reached.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);

type Rpc<T> = Result<T, RPCError<TypeConfig>>;
type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Arc<SnapshotDir>>;

/// Makes clients for openraft.
pub(crate) struct NetworkFactory {
    pub(crate) peers: Peers,
}

/// A client for one target.
pub(crate) struct Network {
    peers: Peers,
    target: MemberId,
    addr: String,
    lane: Lane,
}

impl NetworkFactory {
    fn client(&self, target: MemberId, node: &PeerNode, lane: Lane) -> Network {
        Network { peers: self.peers.clone(), target, addr: node.peer_addr.clone(), lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for NetworkFactory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &PeerNode) -> Network {
        self.client(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &PeerNode) -> Network {
        self.client(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &PeerNode) -> Network {
        self.client(target, node, Lane::Bulk)
    }
}

fn unreachable(error: &PeerError) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(&AnyError::new(error)))
}

fn garbled(error: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&AnyError::error(error.to_string())))
}

impl Network {
    /// The target's address as it is now.
    fn address(&self) -> String {
        self.peers.address(self.target).unwrap_or_else(|| self.addr.clone())
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: Kind,
        question: &Q,
        timeout: Duration,
    ) -> Rpc<A> {
        let body = vec![serde_json::to_vec(question).map_err(garbled)?.into()];
        let to = self.address();
        let to = (self.target, to.as_str());
        let answer = self.peers.request(to, Lane::Control, kind, body, timeout).await;
        let answer = answer.map_err(|e| unreachable(&e))?;
        serde_json::from_slice(&answer).map_err(garbled)
    }

    async fn send_append(&self, rpc: &AppendEntriesRequest<TypeConfig>) -> Rpc<Sent> {
        let range = Range {
            prev: rpc.prev_log_id,
            last: rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id),
        };
        let body = encode_append(rpc).map_err(garbled)?;
        let to = self.address();
        let to = (self.target, to.as_str());
        let sent = self.peers.send(to, self.lane, Kind::Append, body, APPEND_TIMEOUT).await;
        Ok(Sent { range, answer: sent.map_err(|e| unreachable(&e))? })
    }
}

/// An append request on its way.
struct Sent {
    range: Range,
    answer: oneshot::Receiver<Result<Bytes, PeerError>>,
}

/// The log ids a request is about.
struct Range {
    prev: Option<LogId>,
    last: Option<LogId>,
}

impl Sent {
    async fn response(self) -> Rpc<(Range, AppendEntriesResponse<TypeConfig>)> {
        let lost = |text: &str| unreachable(&PeerError::Lost(text.into()));
        let answer = match tokio::time::timeout(APPEND_TIMEOUT, self.answer).await {
            Ok(Ok(answer)) => answer.map_err(|e| unreachable(&e))?,
            Ok(Err(_)) => return Err(lost("the connection broke")),
            Err(_) => return Err(lost("the follower takes too long")),
        };
        Ok((self.range, serde_json::from_slice(&answer).map_err(garbled)?))
    }
}

/// Ends a task with its handle.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = Arc<SnapshotDir>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        Ok(self.send_append(&rpc).await?.response().await?.1)
    }

    // Requests are sent while earlier ones wait for the follower's disk: one task sends, the
    // stream collects the answers in the same order.
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let sender = Network {
            peers: self.peers.clone(),
            target: self.target,
            addr: self.addr.clone(),
            lane: self.lane,
        };
        let (queue, sent) = mpsc::channel::<Rpc<Sent>>(PIPELINE);
        let task = AbortOnDrop(tokio::spawn(async move {
            while let Some(request) = input.next().await {
                let sent = sender.send_append(&request).await;
                let failed = sent.is_err();
                if queue.send(sent).await.is_err() || failed {
                    return;
                }
            }
        }));
        let answers = stream::unfold(Some((sent, task)), |state| async move {
            let (mut sent, task) = state?;
            let response = match sent.recv().await? {
                Ok(sent) => sent.response().await,
                Err(error) => Err(error),
            };
            let (range, response) = match response {
                Ok(both) => both,
                Err(error) => return Some((Err(error), None)),
            };
            let whole = match &response {
                AppendEntriesResponse::Success => true,
                AppendEntriesResponse::PartialSuccess(upto) => *upto == range.last,
                _ => false,
            };
            let result = response.into_stream_result(range.prev, range.last);
            let next = (whole && result.is_ok()).then_some((sent, task));
            Some((Ok(result), next))
        });
        Box::pin(async move {
            let answers: BoxStream<'s, _> = Box::pin(answers);
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.ask(Kind::Vote, &rpc, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.ask(Kind::PreVote, &rpc, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &snapshot.snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        self.ask(Kind::Transfer, &req, option.hard_ttl()).await
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE)))
    }
}

fn streaming(error: &PeerError) -> StreamingError<TypeConfig> {
    StreamingError::Unreachable(Unreachable::new(&AnyError::new(error)))
}

fn local(error: impl std::fmt::Display) -> StreamingError<TypeConfig> {
    StreamingError::Network(NetworkError::new(&AnyError::error(error.to_string())))
}

impl Network {
    /// Begin with the manifest, then every file in pieces with their checksums, then the end, at
    /// which the other side installs. A broken transfer starts over.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: &SnapshotDir,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let manifest = vec![serde_json::to_vec(snapshot.manifest()).map_err(local)?.into()];
        self.bulk(Kind::SnapshotBegin, manifest, CHUNK_TIMEOUT).await?;
        for (file, entry) in snapshot.manifest().files.iter().enumerate() {
            let path = snapshot.file(&entry.name);
            let mut offset = 0;
            while offset < entry.size {
                let want = (entry.size - offset).min(CHUNK_BYTES as u64);
                let read = read_piece(path.clone(), offset, want as usize).await.map_err(local)?;
                let head = ChunkHead { file, offset, crc: crc32c::crc32c(&read) };
                let body = with_head(&head, vec![read]).map_err(local)?;
                self.bulk(Kind::SnapshotChunk, body, CHUNK_TIMEOUT).await?;
                offset += want;
            }
        }
        let end = vec![serde_json::to_vec(&vote).map_err(local)?.into()];
        let answer = self.bulk(Kind::SnapshotEnd, end, INSTALL_TIMEOUT).await?;
        serde_json::from_slice(&answer).map_err(local)
    }

    async fn bulk(
        &self,
        kind: Kind,
        body: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, StreamingError<TypeConfig>> {
        let to = self.address();
        let to = (self.target, to.as_str());
        let answer = self.peers.request(to, Lane::Bulk, kind, body, timeout).await;
        answer.map_err(|e| streaming(&e))
    }
}

async fn read_piece(path: std::path::PathBuf, offset: u64, len: usize) -> std::io::Result<Bytes> {
    use std::os::unix::fs::FileExt as _;
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; len];
        std::fs::File::open(path)?.read_exact_at(&mut piece, offset)?;
        Ok(Bytes::from(piece))
    });
    read.await.map_err(std::io::Error::other)?
}
