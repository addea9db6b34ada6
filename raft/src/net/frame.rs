//! Frames: `length u32, kind u8, request id u64, body`. The length counts kind, id and body.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest frame. A message of log entries is bounded well below (4 MiB and one entry).
pub(super) const MAX_FRAME_BYTES: usize = 32 * 1024 * 1024;
/// Largest first frame of a connection, before the other side is known.
pub(super) const MAX_HELLO_BYTES: usize = 4096;

const HEADER: usize = 4 + 1 + 8;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 0,
    Append = 1,
    Vote = 2,
    PreVote = 3,
    Transfer = 4,
    SnapshotBegin = 5,
    SnapshotChunk = 6,
    SnapshotEnd = 7,
    Forward = 8,
    ReadIndex = 9,
    Admin = 10,
    /// Answered at once, whatever else the connection waits for.
    Ping = 11,
    /// A question for what a member knows of itself and of the membership.
    Report = 12,
    /// A request's answer.
    Answer = 128,
    /// A request was refused; the body says why.
    Refused = 129,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{
            Admin, Answer, Append, Forward, Hello, Ping, PreVote, ReadIndex, Refused, Report,
            SnapshotBegin, SnapshotChunk, SnapshotEnd, Transfer, Vote,
        };
        let all = [
            Hello,
            Append,
            Vote,
            PreVote,
            Transfer,
            SnapshotBegin,
            SnapshotChunk,
            SnapshotEnd,
            Forward,
            ReadIndex,
            Admin,
            Ping,
            Report,
            Answer,
            Refused,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) id: u64,
    /// The body in pieces, so that large parts are not copied together.
    pub(super) body: Vec<Bytes>,
}

/// Read one frame, at most `limit` bytes long.
pub(super) async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<(Kind, u64, Bytes)> {
    let bad = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut header = [0; HEADER];
    reader.read_exact(&mut header).await?;
    let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if !(HEADER - 4..=limit).contains(&len) {
        return Err(bad(format!("a frame of {len} bytes, at most {limit} are allowed")));
    }
    let kind = Kind::from_byte(header[4]).ok_or_else(|| bad(format!("kind {}", header[4])))?;
    let mut id = [0; 8];
    id.copy_from_slice(&header[5..]);
    let mut body = BytesMut::zeroed(len - (HEADER - 4));
    reader.read_exact(&mut body).await?;
    Ok((kind, u64::from_be_bytes(id), body.freeze()))
}

/// Write one frame; the caller flushes.
pub(super) async fn write_frame(
    writer: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> io::Result<()> {
    let body: usize = frame.body.iter().map(Bytes::len).sum();
    let len = HEADER - 4 + body;
    if len > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame is too large to send"));
    }
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(len as u32).to_be_bytes());
    header[4] = frame.kind as u8;
    header[5..].copy_from_slice(&frame.id.to_be_bytes());
    writer.write_all(&header).await?;
    for part in &frame.body {
        writer.write_all(part).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip_and_are_bounded() {
        let frame =
            Frame { kind: Kind::Vote, id: 7, body: vec![Bytes::from("ab"), Bytes::from("c")] };
        let mut wire = Vec::new();
        write_frame(&mut wire, &frame).await.unwrap();
        let (kind, id, body) = read_frame(&mut wire.as_slice(), 64).await.unwrap();
        assert_eq!((kind, id, &body[..]), (Kind::Vote, 7, &b"abc"[..]));
        assert!(read_frame(&mut wire.as_slice(), 8).await.is_err());
        for cut in 0..wire.len() {
            assert!(read_frame(&mut &wire[..cut], 64).await.is_err());
        }
        wire[4] = 77;
        assert!(read_frame(&mut wire.as_slice(), 64).await.is_err());
    }
}
