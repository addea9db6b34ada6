//! Taking a snapshot: from the records of one moment to the bytes of a file.

use std::{io::Read, sync::Arc};

use kabuki_raft::{ListPage, Record};

use super::file::{FileReader, FileWriter, Header, SnapshotError};

/// Bytes that are handed on at once, give or take one record.
const PIECE_BYTES: usize = 256 * 1024;

/// A file of the `pki` directory that goes into the snapshot: name and text.
pub type Attachment = (&'static str, String);

/// Makes the file of a page that holds every record, piece by piece. Ends early when `take` does
/// not want more.
pub fn encode(
    header: &Header,
    attachments: &[Attachment],
    page: &ListPage,
    mut take: impl FnMut(Vec<u8>) -> bool,
) {
    let mut writer = FileWriter::default();
    let mut piece = writer.header(header);
    for (name, text) in attachments {
        writer.attachment(&mut piece, name, text);
    }
    // Oldest first, so that a restored store gives revisions in the same order.
    let mut records: Vec<&Arc<Record>> = page.records.iter().collect();
    records.sort_unstable_by_key(|record| record.mod_revision);
    for record in records {
        writer.record(&mut piece, record);
        if piece.len() >= PIECE_BYTES && !take(std::mem::take(&mut piece)) {
            return;
        }
    }
    writer.end(&mut piece);
    take(piece);
}

/// Reads a whole file and returns its header when everything in it is right.
///
/// # Errors
/// [`SnapshotError`].
pub fn verify(from: impl Read) -> Result<Header, SnapshotError> {
    let mut reader = FileReader::open(from)?;
    while reader.next()?.is_some() {}
    Ok(reader.header().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{FORMAT, Item};

    fn file() -> (Header, Vec<u8>) {
        let record = |key: &str, at: u64| {
            Arc::new(Record::new(key.into(), format!("value of {key}").into(), 1, at))
        };
        let page = ListPage {
            records: vec![record("/a", 9), record("/b", 4), record("/c", 7)],
            revision: 9,
            more: false,
            remaining: 0,
        };
        let header = Header {
            cluster_id: "c".into(),
            revision: 9,
            time: "2026-01-01T00:00:00Z".into(),
            records: 3,
            version: "0.1.0".into(),
        };
        let mut bytes = Vec::new();
        encode(&header, &[("ca.crt", "text".into())], &page, |piece| {
            bytes.extend(piece);
            true
        });
        (header, bytes)
    }

    #[test]
    fn records_come_back_in_the_order_they_were_written() {
        let (header, bytes) = file();
        assert_eq!(verify(&bytes[..]).unwrap(), header);
        let mut reader = FileReader::open(&bytes[..]).unwrap();
        let mut keys = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Attachment { name, text } => {
                    assert_eq!((&name[..], &text[..]), ("ca.crt", "text"));
                }
                Item::Record { key, value, .. } => {
                    assert_eq!(value, format!("value of {key}"));
                    keys.push(key);
                }
            }
        }
        assert_eq!(keys, ["/b", "/c", "/a"]);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let (_, bytes) = file();
        for at in 0..bytes.len() {
            assert!(verify(&bytes[..at]).is_err(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(verify(&flipped[..]).is_err(), "flipped at {at}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(verify(&longer[..]).is_err());
    }

    #[test]
    fn foreign_and_newer_files_are_named_so() {
        let (_, mut bytes) = file();
        bytes[11] = u8::try_from(FORMAT + 1).unwrap();
        let error = verify(&bytes[..]).unwrap_err().to_string();
        assert!(error.contains("written by a newer kabuki"), "{error}");
        let error = verify(&b"hello"[..]).unwrap_err().to_string();
        assert!(error.contains("not a snapshot of kabuki"), "{error}");
        let (_, bytes) = file();
        let error = verify(&bytes[..bytes.len() - 40]).unwrap_err().to_string();
        assert!(error.contains("truncated"), "{error}");
    }
}
