//! The format: `magic | format u32 | header frame | frames … | end frame | SHA-256 of all before`.
//!
//! A frame is `kind u8 | length u32 | body`; numbers are big-endian. The header is JSON, an
//! attachment a name and a text, a record a key, two revisions and a value; the end counts records.

use std::io::{self, Read};

use bytes::{BufMut, Bytes};
use kabuki_raft::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Record};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What every snapshot file begins with.
const MAGIC: &[u8; 8] = b"KABUKISN";
/// Version of the format.
pub const FORMAT: u32 = 1;
/// Largest body of a frame: a record of the largest key and value, and its numbers.
const FRAME_MAX: usize = MAX_KEY_BYTES + MAX_VALUE_BYTES + 64;
/// Most attachments.
const ATTACHMENTS_MAX: usize = 64;
const CHECKSUM_BYTES: usize = 32;

const HEADER: u8 = 1;
const ATTACHMENT: u8 = 2;
const RECORD: u8 = 3;
const END: u8 = 4;

/// What a snapshot file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The cluster it was taken of.
    #[serde(rename = "clusterID")]
    pub cluster_id: String,
    /// The revision it shows.
    pub revision: u64,
    /// When it was taken, RFC 3339.
    pub time: String,
    /// How many objects it holds.
    pub records: u64,
    /// The release that wrote it.
    pub version: String,
}

/// Why a snapshot file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// It ends before its end.
    #[error("it is truncated; take another one, or copy it again")]
    Truncated,
    /// It is something else.
    #[error("it is not a snapshot of kabuki")]
    Foreign,
    /// A later release wrote it.
    #[error(
        "it has format {0}, this kabuki knows {FORMAT}: it was written by a newer kabuki; upgrade \
         this one"
    )]
    Newer(u32),
    /// A byte changed.
    #[error("it is damaged ({0}); take another one, or copy it again")]
    Damaged(&'static str),
}

/// Makes the pieces of a file, in this order: header, attachments, records, end.
#[derive(Debug, Default)]
pub(super) struct FileWriter {
    hash: Sha256,
    records: u64,
}

impl FileWriter {
    pub(super) fn header(&mut self, header: &Header) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.put_u32(FORMAT);
        let body = serde_json::to_vec(header).unwrap_or_default();
        frame(&mut out, HEADER, &[&body]);
        self.hash.update(&out);
        out
    }

    pub(super) fn attachment(&mut self, out: &mut Vec<u8>, name: &str, text: &str) {
        let begin = out.len();
        let len = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
        frame(out, ATTACHMENT, &[&len, name.as_bytes(), text.as_bytes()]);
        self.hash.update(&out[begin..]);
    }

    pub(super) fn record(&mut self, out: &mut Vec<u8>, record: &Record) {
        let begin = out.len();
        // Keys are at most 1 KiB.
        let len = u16::try_from(record.key.len()).unwrap_or(u16::MAX).to_be_bytes();
        let create = record.create_revision.to_be_bytes();
        let modified = record.mod_revision.to_be_bytes();
        frame(out, RECORD, &[&len, record.key.as_bytes(), &create, &modified, record.stored()]);
        self.hash.update(&out[begin..]);
        self.records += 1;
    }

    pub(super) fn end(mut self, out: &mut Vec<u8>) {
        let begin = out.len();
        frame(out, END, &[&self.records.to_be_bytes()]);
        self.hash.update(&out[begin..]);
        out.put_slice(&self.hash.finalize());
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    out.put_u8(kind);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    for part in parts {
        out.put_slice(part);
    }
}

/// One piece of a snapshot file.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A file of the cluster's `pki` directory.
    Attachment {
        /// Its name.
        name: String,
        /// Its text.
        text: String,
    },
    /// An object.
    Record {
        /// Its key.
        key: String,
        /// The revision that wrote it.
        mod_revision: u64,
        /// Its bytes.
        value: Bytes,
    },
}

/// Reads a snapshot file. Only the end, [`FileReader::next`] having answered `None`, says that
/// everything before it was right.
pub struct FileReader<R> {
    from: R,
    hash: Sha256,
    header: Header,
    records: u64,
    attachments: usize,
}

impl<R: Read> FileReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn open(mut from: R) -> Result<Self, SnapshotError> {
        let mut hash = Sha256::new();
        let mut begin = [0; 12];
        read(&mut from, &mut hash, &mut begin).map_err(|e| match e {
            SnapshotError::Truncated => SnapshotError::Foreign,
            other => other,
        })?;
        if &begin[..8] != MAGIC {
            return Err(SnapshotError::Foreign);
        }
        let format = u32::from_be_bytes([begin[8], begin[9], begin[10], begin[11]]);
        match format {
            FORMAT => {}
            0 => return Err(SnapshotError::Damaged("its format is 0")),
            newer => return Err(SnapshotError::Newer(newer)),
        }
        let (kind, body) = read_frame(&mut from, &mut hash)?;
        if kind != HEADER {
            return Err(SnapshotError::Damaged("it has no header"));
        }
        let header = serde_json::from_slice(&body)
            .map_err(|_| SnapshotError::Damaged("its header makes no sense"))?;
        Ok(Self { from, hash, header, records: 0, attachments: 0 })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next piece; `None` at the end, whose checksum and counts are right then.
    ///
    /// # Errors
    /// [`SnapshotError`].
    #[allow(clippy::should_implement_trait, reason = "an iterator could not fail at its end")]
    pub fn next(&mut self) -> Result<Option<Item>, SnapshotError> {
        let (kind, body) = read_frame(&mut self.from, &mut self.hash)?;
        match kind {
            ATTACHMENT => {
                self.attachments += 1;
                if self.attachments > ATTACHMENTS_MAX {
                    return Err(SnapshotError::Damaged("it has too many attachments"));
                }
                attachment(&body).map(Some)
            }
            RECORD => {
                self.records += 1;
                record(&body).map(Some)
            }
            END => self.end(&body).map(|()| None),
            _ => Err(SnapshotError::Damaged("it has a piece of an unknown kind")),
        }
    }

    fn end(&mut self, body: &[u8]) -> Result<(), SnapshotError> {
        let found = std::mem::take(&mut self.hash).finalize();
        let mut checksum = [0; CHECKSUM_BYTES];
        fill(&mut self.from, &mut checksum)?;
        if checksum[..] != found[..] {
            return Err(SnapshotError::Damaged("its checksum does not hold"));
        }
        if body != self.records.to_be_bytes() || self.records != self.header.records {
            return Err(SnapshotError::Damaged("its counts do not add up"));
        }
        match self.from.read(&mut [0; 1])? {
            0 => Ok(()),
            _ => Err(SnapshotError::Damaged("there is something behind its end")),
        }
    }
}

fn attachment(body: &[u8]) -> Result<Item, SnapshotError> {
    let bad = SnapshotError::Damaged("an attachment makes no sense");
    let Some((name, text)) = named(body) else { return Err(bad) };
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Item::Attachment { name: name.to_string(), text: text.to_string() }),
        Err(_) => Err(bad),
    }
}

fn record(body: &[u8]) -> Result<Item, SnapshotError> {
    let parse = || {
        let (key, rest) = named(body)?;
        let (_create, rest) = rest.split_first_chunk::<8>()?;
        let (modified, value) = rest.split_first_chunk::<8>()?;
        Some(Item::Record {
            key: key.to_string(),
            mod_revision: u64::from_be_bytes(*modified),
            value: Bytes::copy_from_slice(value),
        })
    };
    parse().ok_or(SnapshotError::Damaged("a record makes no sense"))
}

fn named(body: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

fn read_frame(from: &mut impl Read, hash: &mut Sha256) -> Result<(u8, Vec<u8>), SnapshotError> {
    let mut head = [0; 5];
    read(from, hash, &mut head)?;
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if len > FRAME_MAX {
        return Err(SnapshotError::Damaged("a piece is too long"));
    }
    let mut body = vec![0; len];
    read(from, hash, &mut body)?;
    Ok((head[0], body))
}

fn read(from: &mut impl Read, hash: &mut Sha256, into: &mut [u8]) -> Result<(), SnapshotError> {
    fill(from, into)?;
    hash.update(&*into);
    Ok(())
}

fn fill(from: &mut impl Read, into: &mut [u8]) -> Result<(), SnapshotError> {
    from.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SnapshotError::Truncated,
        _ => SnapshotError::Io(error),
    })
}
