//! What the bodies of frames hold. Log entries travel in the envelopes they have on disk;
//! everything small is JSON.

use bytes::{BufMut, Bytes};
use openraft::raft::AppendEntriesRequest;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{Reader, decode_entry, encode_entry},
    types::{Applied, LogId, TypeConfig, Vote},
};

/// Most entries in one message.
const MAX_ENTRIES: u32 = 65_536;

#[derive(Serialize, Deserialize)]
struct AppendHead {
    vote: Vote,
    prev_log_id: Option<LogId>,
    leader_commit: Option<LogId>,
}

/// The answer to a forwarded proposal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Forwarded {
    Done { applied: Applied, index: u64 },
    NotLeader,
    Unknown(String),
    Failed(String),
}

/// The answer to a question for a read index.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ReadIndex {
    At(u64),
    NotLeader,
    Failed(String),
}

/// One piece of a snapshot's file; the bytes follow in the frame.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ChunkHead {
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) crc: u32,
}

/// A JSON head with its length, then raw bytes.
pub(super) fn with_head<T: Serialize>(head: &T, raw: Vec<Bytes>) -> serde_json::Result<Vec<Bytes>> {
    let text = serde_json::to_vec(head)?;
    let mut first = Vec::with_capacity(4 + text.len());
    first.put_u32(text.len() as u32);
    first.extend(text);
    let mut body = vec![Bytes::from(first)];
    body.extend(raw);
    Ok(body)
}

/// Split what [`with_head`] made.
pub(super) fn split_head<T: for<'de> Deserialize<'de>>(body: &Bytes) -> Result<(T, Bytes), String> {
    let mut reader = Reader::new(body);
    let len = reader.u32("head length").map_err(|e| e.to_string())? as usize;
    let head = reader.take(len, "head").map_err(|e| e.to_string())?;
    let head = serde_json::from_slice(head).map_err(|e| e.to_string())?;
    Ok((head, body.slice(reader.position()..)))
}

/// The body of an append request.
pub(super) fn encode_append(
    request: &AppendEntriesRequest<TypeConfig>,
) -> std::io::Result<Vec<Bytes>> {
    let head = AppendHead {
        vote: request.vote,
        prev_log_id: request.prev_log_id,
        leader_commit: request.leader_commit,
    };
    let mut raw = Vec::new();
    raw.put_u32(request.entries.len() as u32);
    for entry in &request.entries {
        let bytes = encode_entry(entry)?;
        raw.put_u32(bytes.len() as u32);
        raw.extend(bytes);
    }
    Ok(with_head(&head, vec![raw.into()])?)
}

/// Decode and check an append request.
pub(super) fn decode_append(body: &Bytes) -> Result<AppendEntriesRequest<TypeConfig>, String> {
    let (head, raw): (AppendHead, Bytes) = split_head(body)?;
    let mut reader = Reader::new(&raw);
    let bad = |e: crate::codec::Malformed| e.to_string();
    let count = reader.u32("entry count").map_err(bad)?;
    if count > MAX_ENTRIES {
        return Err(format!("a message has at most {MAX_ENTRIES} entries"));
    }
    let mut entries = Vec::with_capacity(count.min(1024) as usize);
    for _ in 0..count {
        let len = reader.u32("entry length").map_err(bad)? as usize;
        let start = reader.position();
        reader.take(len, "entry").map_err(bad)?;
        // A copy: a slice would keep the whole message alive as long as the entry is cached.
        let bytes = Bytes::copy_from_slice(&raw[start..start + len]);
        entries.push(decode_entry(&bytes).map_err(bad)?);
    }
    Ok(AppendEntriesRequest {
        vote: head.vote,
        prev_log_id: head.prev_log_id,
        entries,
        leader_commit: head.leader_commit,
    })
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::{
        Txn,
        codec::{encode_proposal, encode_txn},
        types::{Entry, log_id},
    };

    #[test]
    fn append_round_trips_and_damage_is_noticed() {
        let txn = [encode_txn(&Txn::put("/a", "b"))];
        let payload = EntryPayload::Normal(encode_proposal(txn.iter()));
        let request = AppendEntriesRequest::<TypeConfig> {
            vote: Vote::new_committed(3, 1),
            prev_log_id: Some(log_id(2, 9)),
            entries: vec![Entry { log_id: log_id(3, 10), payload }],
            leader_commit: None,
        };
        let body: Bytes = encode_append(&request).unwrap().concat().into();
        let back = decode_append(&body).unwrap();
        assert_eq!(back.entries, request.entries);
        assert_eq!((back.vote, back.prev_log_id), (request.vote, request.prev_log_id));
        for cut in 0..body.len() {
            assert!(decode_append(&body.slice(..cut)).is_err(), "cut at {cut}");
        }
    }
}
