//! The bytes of commands and log entries: our own, versioned, checked before use.
//!
//! These bytes go to disk and over the wire unchanged, so a new openraft never touches old data.

use bytes::{BufMut, Bytes};
use openraft::EntryPayload;

use crate::{
    Compare, MAX_TXN_OPS, Op, Revision, Txn,
    types::{Entry, Proposal, log_id},
};

/// Version of a proposal's bytes.
const PROPOSAL_VERSION: u8 = 1;
/// Version of a log entry's envelope.
const ENTRY_VERSION: u8 = 1;
/// Bytes before an entry's payload: version, CRC, term, index, kind.
const ENTRY_HEADER: usize = 1 + 4 + 8 + 8 + 1;
/// Most commands one proposal may hold.
const MAX_COMMANDS: u32 = 65_536;

const COMMAND_TXN: u8 = 1;
const COMMAND_COMPACT: u8 = 2;
const COMMAND_ADVANCE: u8 = 3;
const OP_PUT: u8 = 1;
const OP_DELETE: u8 = 2;
const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Bytes that make no sense.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// They are cut, damaged or never were what they should be.
    #[error("malformed {what} at byte {at}")]
    Damaged { what: &'static str, at: usize },
    /// A later release wrote them.
    #[error("{}", crate::home::newer(.what, u64::from(*.found), u64::from(*.known)))]
    Newer { what: &'static str, found: u8, known: u8 },
}

/// One decoded command; keys and values borrow from the proposal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Txn { fence: u64, compare: Vec<(&'a str, Revision)>, ops: Vec<OpRef<'a>> },
    Compact { revision: Revision },
    Advance { revision: Revision },
}

/// A borrowed operation.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum OpRef<'a> {
    Put { key: &'a str, value: &'a [u8] },
    Delete { key: &'a str },
}

/// The bytes of a transaction as one command.
pub(crate) fn encode_txn(txn: &Txn) -> Bytes {
    let values: usize = txn.ops.iter().map(op_size).sum();
    let keys: usize = txn.compare.iter().map(|c| c.key.len() + 10).sum();
    let mut out = Vec::with_capacity(16 + values + keys);
    out.put_u8(COMMAND_TXN);
    out.put_u64(txn.fence.unwrap_or(0));
    out.put_u16(txn.compare.len() as u16);
    for Compare { key, mod_revision } in &txn.compare {
        put_key(&mut out, key);
        out.put_u64(*mod_revision);
    }
    out.put_u16(txn.ops.len() as u16);
    for op in &txn.ops {
        match op {
            Op::Put { key, value } => {
                out.put_u8(OP_PUT);
                put_key(&mut out, key);
                out.put_u32(value.len() as u32);
                out.put_slice(value);
            }
            Op::Delete { key } => {
                out.put_u8(OP_DELETE);
                put_key(&mut out, key);
            }
        }
    }
    out.into()
}

/// The bytes of a compaction as one command.
pub(crate) fn encode_compact(revision: Revision) -> Bytes {
    let mut out = Vec::with_capacity(9);
    out.put_u8(COMMAND_COMPACT);
    out.put_u64(revision);
    out.into()
}

/// The bytes of a jump of the clock as one command.
pub(crate) fn encode_advance(revision: Revision) -> Bytes {
    let mut out = Vec::with_capacity(9);
    out.put_u8(COMMAND_ADVANCE);
    out.put_u64(revision);
    out.into()
}

/// Several encoded commands as one proposal.
pub(crate) fn encode_proposal<'a>(commands: impl ExactSizeIterator<Item = &'a Bytes>) -> Proposal {
    let mut out = Vec::new();
    out.put_u8(PROPOSAL_VERSION);
    out.put_u32(commands.len() as u32);
    for command in commands {
        out.put_slice(command);
    }
    Proposal(out.into())
}

/// Decode a proposal.
pub(crate) fn decode_proposal(bytes: &[u8]) -> Result<Vec<Command<'_>>, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    reader.version("a proposal", PROPOSAL_VERSION)?;
    let count = reader.u32("command count")?;
    if count > MAX_COMMANDS {
        return reader.fail("command count");
    }
    let mut commands = Vec::with_capacity(count.min(1024) as usize);
    for _ in 0..count {
        commands.push(decode_command(&mut reader)?);
    }
    if reader.at != bytes.len() {
        return reader.fail("end of the proposal");
    }
    Ok(commands)
}

fn decode_command<'a>(reader: &mut Reader<'a>) -> Result<Command<'a>, Malformed> {
    match reader.u8("command kind")? {
        COMMAND_TXN => {
            let fence = reader.u64("fence")?;
            let count = reader.count("compare count")?;
            let mut compare = Vec::with_capacity(count);
            for _ in 0..count {
                compare.push((reader.key()?, reader.u64("compare revision")?));
            }
            let count = reader.count("operation count")?;
            let mut ops = Vec::with_capacity(count);
            for _ in 0..count {
                ops.push(match reader.u8("operation kind")? {
                    OP_PUT => OpRef::Put { key: reader.key()?, value: reader.value()? },
                    OP_DELETE => OpRef::Delete { key: reader.key()? },
                    _ => return reader.fail("operation kind"),
                });
            }
            Ok(Command::Txn { fence, compare, ops })
        }
        COMMAND_COMPACT => Ok(Command::Compact { revision: reader.u64("compact revision")? }),
        COMMAND_ADVANCE => Ok(Command::Advance { revision: reader.u64("clock revision")? }),
        _ => reader.fail("command kind"),
    }
}

/// A log entry in its envelope: version, CRC-32C of the rest, term, index, kind, payload.
pub(crate) fn encode_entry(entry: &Entry) -> std::io::Result<Vec<u8>> {
    let membership;
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (KIND_BLANK, &[]),
        EntryPayload::Normal(proposal) => (KIND_NORMAL, &proposal.0),
        EntryPayload::Membership(m) => {
            membership = serde_json::to_vec(&m)?;
            (KIND_MEMBERSHIP, &membership)
        }
    };
    let mut out = Vec::with_capacity(ENTRY_HEADER + payload.len());
    out.put_u8(ENTRY_VERSION);
    out.put_u32(0);
    out.put_u64(entry.log_id.leader_id.term);
    out.put_u64(entry.log_id.index);
    out.put_u8(kind);
    out.put_slice(payload);
    let crc = crc32c::crc32c(&out[5..]);
    out[1..5].copy_from_slice(&crc.to_be_bytes());
    Ok(out)
}

/// Open an envelope; checks version and CRC.
pub(crate) fn decode_entry(bytes: &Bytes) -> Result<Entry, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    reader.version("a log entry", ENTRY_VERSION)?;
    if reader.u32("log entry checksum")? != crc32c::crc32c(bytes.get(5..).unwrap_or_default()) {
        return reader.fail("log entry checksum");
    }
    let term = reader.u64("log entry term")?;
    let index = reader.u64("log entry index")?;
    let kind = reader.u8("log entry kind")?;
    let payload = bytes.slice(reader.at..);
    let payload = match kind {
        KIND_BLANK if payload.is_empty() => EntryPayload::Blank,
        KIND_NORMAL => EntryPayload::Normal(Proposal(payload)),
        KIND_MEMBERSHIP => match serde_json::from_slice(&payload) {
            Ok(membership) => EntryPayload::Membership(membership),
            Err(_) => return reader.fail("membership"),
        },
        _ => return reader.fail("log entry kind"),
    };
    Ok(Entry { log_id: log_id(term, index), payload })
}

fn op_size(op: &Op) -> usize {
    match op {
        Op::Put { key, value } => 7 + key.len() + value.len(),
        Op::Delete { key } => 3 + key.len(),
    }
}

fn put_key(out: &mut Vec<u8>, key: &str) {
    out.put_u16(key.len() as u16);
    out.put_slice(key.as_bytes());
}

/// Reads fields and refuses what is out of bounds.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed::Damaged { what, at: self.at })
    }

    /// Reads a version. All that were ever written are understood, later ones are not.
    fn version(&mut self, what: &'static str, known: u8) -> Result<u8, Malformed> {
        match self.u8(what)? {
            0 => self.fail(what),
            found if found > known => Err(Malformed::Newer { what, found, known }),
            found => Ok(found),
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return self.fail(what) };
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.take(1, what)?[0])
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        let mut raw = [0; 4];
        raw.copy_from_slice(self.take(4, what)?);
        Ok(u32::from_be_bytes(raw))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut raw = [0; 8];
        raw.copy_from_slice(self.take(8, what)?);
        Ok(u64::from_be_bytes(raw))
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        let mut raw = [0; 2];
        raw.copy_from_slice(self.take(2, what)?);
        Ok(u16::from_be_bytes(raw))
    }

    fn count(&mut self, what: &'static str) -> Result<usize, Malformed> {
        let count = usize::from(self.u16(what)?);
        if count > MAX_TXN_OPS { self.fail(what) } else { Ok(count) }
    }

    fn key(&mut self) -> Result<&'a str, Malformed> {
        let len = usize::from(self.u16("key length")?);
        let raw = self.take(len, "key")?;
        match std::str::from_utf8(raw) {
            Ok(key) if !key.is_empty() && !key.contains('\0') => Ok(key),
            _ => self.fail("key"),
        }
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u32("value length")? as usize;
        self.take(len, "value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_round_trip() {
        let txn = Txn::put("/a", "1").when("/b", 7).fenced(3);
        let both = [encode_txn(&txn), encode_compact(9)];
        let proposal = encode_proposal(both.iter());
        let commands = decode_proposal(&proposal.0).unwrap();
        assert_eq!(
            commands,
            vec![
                Command::Txn {
                    fence: 3,
                    compare: vec![("/b", 7)],
                    ops: vec![OpRef::Put { key: "/a", value: b"1" }],
                },
                Command::Compact { revision: 9 },
            ]
        );
    }

    #[test]
    fn every_cut_and_every_flip_of_an_entry_is_noticed() {
        let txn = [encode_txn(&Txn::put("/key", "some value"))];
        let payload = EntryPayload::Normal(encode_proposal(txn.iter()));
        let whole = encode_entry(&Entry { log_id: log_id(3, 14), payload }).unwrap();
        assert_eq!(decode_entry(&whole.clone().into()).unwrap().log_id, log_id(3, 14));
        for cut in 0..whole.len() {
            assert!(decode_entry(&whole[..cut].to_vec().into()).is_err(), "cut at {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 0x40;
            assert!(decode_entry(&flipped.into()).is_err(), "flip at {cut}");
        }
    }

    /// Found by the fuzz target `log_entry`.
    #[test]
    fn a_blank_entry_with_bytes_behind_it_is_refused() {
        let mut bytes = vec![ENTRY_VERSION, 0, 0, 0, 0];
        bytes.extend([3u64.to_be_bytes(), 14u64.to_be_bytes()].concat());
        bytes.push(KIND_BLANK);
        let sealed = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let crc = crc32c::crc32c(&bytes[5..]);
            bytes[1..5].copy_from_slice(&crc.to_be_bytes());
            Bytes::from(bytes)
        };
        assert!(decode_entry(&sealed(&bytes)).is_ok());
        bytes.push(0);
        assert!(decode_entry(&sealed(&bytes)).is_err());
    }

    #[test]
    fn what_a_newer_release_wrote_is_named_so() {
        let blank = Entry { log_id: log_id(1, 1), payload: EntryPayload::Blank };
        let mut entry = encode_entry(&blank).unwrap();
        entry[0] = ENTRY_VERSION + 1;
        let error = decode_entry(&entry.into()).unwrap_err().to_string();
        assert!(error.contains("written by a newer kabuki; upgrade this member"), "{error}");
    }

    #[test]
    fn cut_proposals_are_refused() {
        let commands = [encode_txn(&Txn::put("/key", "v").when("/key", 1)), encode_compact(4)];
        let proposal = encode_proposal(commands.iter());
        for cut in 0..proposal.0.len() {
            assert!(decode_proposal(&proposal.0[..cut]).is_err(), "cut at {cut}");
        }
    }
}
