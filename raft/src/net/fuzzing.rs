//! What a peer may send on one connection, for the fuzz targets and the replay of their corpus.

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde::de::DeserializeOwned;

use super::{
    call::Admin,
    frame::{Kind, MAX_FRAME_BYTES, read_frame},
    greeting::Hello,
    message::{ChunkHead, Forwarded, ReadIndex, decode_append, encode_append, split_head},
};
use crate::{
    codec::decode_proposal,
    state::{Manifest, check_manifest},
    types::Vote,
};

/// Frames one after another, each body read as its kind says.
///
/// # Panics
/// When an accepted append request is written back as something else.
pub fn frames(data: &[u8]) {
    let mut rest = data;
    while let Some(Ok((kind, _, body))) = read_frame(&mut rest, MAX_FRAME_BYTES).now_or_never() {
        one(kind, &body);
    }
}

fn one(kind: Kind, body: &Bytes) {
    match kind {
        Kind::Append => {
            let Ok(request) = decode_append(body) else { return };
            let again = encode_append(&request).expect("what was read can be written").concat();
            let again = decode_append(&again.into()).expect("what was written can be read");
            assert_eq!(again.entries, request.entries);
            assert_eq!(again.prev_log_id, request.prev_log_id);
        }
        Kind::Forward => drop(decode_proposal(body)),
        Kind::SnapshotBegin => {
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(body)
                && check_manifest(&manifest).is_ok()
            {
                assert!(manifest.files.iter().all(|f| !f.name.contains('/')));
            }
        }
        Kind::SnapshotChunk => drop(split_head::<ChunkHead>(body)),
        Kind::SnapshotEnd => json::<Vote>(body),
        Kind::Hello => {
            if let Ok(hello) = serde_json::from_slice::<Hello>(body)
                && let Ok(version) = hello.agree()
            {
                assert!(version >= hello.version);
            }
        }
        Kind::Admin => json::<Admin>(body),
        Kind::Answer => {
            json::<Forwarded>(body);
            json::<ReadIndex>(body);
        }
        _ => {}
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) {
    drop(serde_json::from_slice::<T>(body));
}
