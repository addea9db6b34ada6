//! The doors through which bytes of peers and of the log come in, for the fuzz targets and for the
//! replay of their corpus: each function takes any bytes, and panics only where a promise is broken.

use bytes::Bytes;
use openraft::EntryPayload;

use crate::codec::{decode_entry, decode_proposal, encode_entry};

pub use crate::net::fuzzing::frames;

/// A log entry in its envelope. So that more than the checksum is tried, the bytes are taken as the
/// part the checksum covers; the envelope around them is made here.
///
/// # Panics
/// When an accepted entry is written back as other bytes.
pub fn log_entry(data: &[u8]) {
    // As it came: version and checksum must be refused unless they fit.
    let _ = decode_entry(&Bytes::copy_from_slice(data));
    let mut envelope = vec![data.first().copied().unwrap_or(1)];
    envelope.extend(crc32c::crc32c(data.get(1..).unwrap_or_default()).to_be_bytes());
    envelope.extend_from_slice(data.get(1..).unwrap_or_default());
    let Ok(entry) = decode_entry(&envelope.clone().into()) else { return };
    if let EntryPayload::Normal(proposal) = &entry.payload {
        let _ = decode_proposal(&proposal.0);
    }
    // A membership is JSON, which may be written in many ways.
    if !matches!(entry.payload, EntryPayload::Membership(_)) {
        let again = encode_entry(&entry).expect("an entry that was read can be written");
        assert_eq!(again, envelope);
    }
}

/// The commands of a proposal.
///
/// # Panics
/// When a command refers to more bytes than there are.
pub fn proposal(data: &[u8]) {
    let Ok(commands) = decode_proposal(data) else { return };
    // Every command takes at least its kind and one number.
    assert!(commands.len() <= data.len() / 9, "{} commands", commands.len());
}
