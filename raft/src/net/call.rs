//! Questions of our own to other members, mostly to the leader.

use std::time::Duration;

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use serde::{Deserialize, Serialize};

use super::{
    client::{Lane, PeerError, Peers},
    frame::Kind,
    message::{Forwarded, ReadIndex, encode_append},
};
use crate::{
    Fault, MemberId, StoreError, StoreStatus,
    consensus::ProposeError,
    types::{Applied, PeerNode, Proposal, TypeConfig, Vote},
};

/// A change that the leader must carry out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Admin {
    Add {
        id: MemberId,
        node: PeerNode,
    },
    Remove {
        id: MemberId,
        /// Also when the others would then have no quorum.
        #[serde(default)]
        force: bool,
    },
    Transfer {
        id: MemberId,
    },
    /// Since protocol version 2; any member takes it and passes it on to the leader.
    Update {
        id: MemberId,
        node: PeerNode,
    },
}

/// What a member says of itself, and of the membership as it applied it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) status: StoreStatus,
    /// Index of the log entry that holds the membership.
    pub(crate) membership_index: Option<u64>,
    /// Everybody in it, learners included.
    pub(crate) members: Vec<MemberId>,
}

/// Have the leader propose for this member.
pub(crate) async fn forward(
    peers: &Peers,
    id: MemberId,
    addr: &str,
    proposal: Proposal,
    timeout: Duration,
) -> Result<(Applied, u64), ProposeError> {
    let body = vec![proposal.0];
    let answer = peers.request((id, addr), Lane::Write, Kind::Forward, body, timeout).await;
    let answer = match answer {
        Ok(answer) => answer,
        // Nothing left this member, so trying again is safe.
        Err(PeerError::NotSent(_)) => return Err(ProposeError::NotLeader),
        Err(_) if peers.faults().on(Fault::SendTwice) => return Err(ProposeError::NotLeader),
        Err(error) => return Err(ProposeError::Unknown(error.to_string())),
    };
    match serde_json::from_slice(&answer) {
        Ok(Forwarded::Done { applied, index }) => Ok((applied, index)),
        Ok(Forwarded::NotLeader) => Err(ProposeError::NotLeader),
        Ok(Forwarded::Unknown(text)) => Err(ProposeError::Unknown(text)),
        Ok(Forwarded::Failed(text)) => Err(ProposeError::Failed(text)),
        Err(error) => Err(ProposeError::Unknown(error.to_string())),
    }
}

/// Ask the leader for a read index.
pub(crate) async fn ask_read_index(
    peers: &Peers,
    id: MemberId,
    addr: &str,
    timeout: Duration,
) -> Result<u64, ProposeError> {
    let asked = peers.request((id, addr), Lane::Control, Kind::ReadIndex, Vec::new(), timeout);
    let answer = asked.await.map_err(|e| ProposeError::Unknown(e.to_string()))?;
    match serde_json::from_slice(&answer) {
        Ok(ReadIndex::At(index)) => Ok(index),
        Ok(ReadIndex::NotLeader) => Err(ProposeError::NotLeader),
        Ok(ReadIndex::Failed(text)) => Err(ProposeError::Unknown(text)),
        Err(error) => Err(ProposeError::Unknown(error.to_string())),
    }
}

/// Ask a member whether it follows nobody later than this leader: a heartbeat of our own.
pub(crate) async fn still_follows(
    peers: &Peers,
    to: (MemberId, &str),
    vote: Vote,
    timeout: Duration,
) -> bool {
    let heartbeat: AppendEntriesRequest<TypeConfig> =
        AppendEntriesRequest { vote, prev_log_id: None, leader_commit: None, entries: Vec::new() };
    let Ok(body) = encode_append(&heartbeat) else { return false };
    let asked = peers.request(to, Lane::Control, Kind::Append, body, timeout).await;
    let answer = asked.ok().and_then(|answer| serde_json::from_slice(&answer).ok());
    let answer: Option<AppendEntriesResponse<TypeConfig>> = answer;
    matches!(
        answer,
        Some(AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_))
    )
}

/// Ask a member about itself. The error is for a person.
pub(crate) async fn ask_report(
    peers: &Peers,
    id: MemberId,
    addr: &str,
    timeout: Duration,
) -> Result<Report, String> {
    let asked = peers.request((id, addr), Lane::Control, Kind::Report, Vec::new(), timeout);
    let answer = asked.await.map_err(|e| e.to_string())?;
    serde_json::from_slice(&answer).map_err(|e| e.to_string())
}

/// Have the leader change the membership.
pub(crate) async fn admin(
    peers: &Peers,
    id: MemberId,
    addr: &str,
    change: &Admin,
    timeout: Duration,
) -> Result<(), StoreError> {
    let failed = |e: String| StoreError::Membership(e);
    let body = vec![serde_json::to_vec(change).map_err(|e| failed(e.to_string()))?.into()];
    let asked = peers.request((id, addr), Lane::Admin, Kind::Admin, body, timeout);
    match asked.await {
        Ok(_) => Ok(()),
        Err(PeerError::Refused(text)) => Err(failed(text)),
        Err(error) => Err(failed(format!("leader {id}: {error}"))),
    }
}
