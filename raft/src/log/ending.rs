//! Whether the end of a write-ahead log is torn or damaged.
//!
//! RocksDB drops an incomplete last record: power loss leaves such, and nothing in it was
//! acknowledged. But a flipped bit in a record's length looks the same, and with it all records
//! after it would go, acknowledged as they are. So the ends are read here first, in RocksDB's
//! format: blocks of 32 KiB; records of checksum u32, length u16, kind u8 and content.

use std::{
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;
/// What power loss takes, it takes in pages: the rest of the page is zero then.
const PAGE: usize = 4096;
/// Zeros before the end of a page that tell that it was not written.
const ZEROS: usize = 8;
/// Kinds of records that are used: whole, first, middle and last piece; and any that may be.
const KNOWN: RangeInclusive<u8> = WHOLE..=LAST;
const KINDS: RangeInclusive<u8> = 1..=131;
const RECYCLED: RangeInclusive<u8> = 5..=8;
const WHOLE: u8 = 1;
const LAST: u8 = 4;

/// Refuse a log in which whole records follow one that is not, without anything missing.
pub(super) fn check(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "log")
            && let Some(at) = damage(&fs::read(&path)?)
        {
            let name = path.file_name().unwrap_or_default().display();
            return Err(io::Error::other(format!("the record at byte {at} of {name} is damaged")));
        }
    }
    Ok(())
}

/// Cut off what is left of a record that was being written when power went: RocksDB may read
/// garbage there for ever. Only what it would drop itself goes. `doubt`: leave what may have been
/// whole once for RocksDB to refuse.
pub(crate) fn trim(dir: &Path, doubt: bool) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
        if let Some(number) = stem
            && path.extension().is_some_and(|e| e == "log")
        {
            newest = newest.max(Some((number, path)));
        }
    }
    let Some((_, path)) = newest else { return Ok(()) };
    let bytes = fs::read(&path)?;
    // Files used a second time have records of another form.
    if header(&bytes, 0).is_some_and(|(kind, _)| RECYCLED.contains(&kind)) {
        return Ok(());
    }
    let Some((whole, next)) = extent(&bytes) else { return Ok(()) };
    let rest = bytes.get(next..).unwrap_or_default();
    if rest.iter().all(|byte| *byte == 0) || (doubt && header(&bytes, next).is_some()) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().display();
    tracing::warn!(%name, whole, bytes = bytes.len(), "cut off a record that was never finished");
    fs::File::options().write(true).open(&path)?.set_len(whole as u64)
}

/// Kind and end of what calls itself a record and has room.
fn header(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let header = bytes.get(at..at + HEADER)?;
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let end = at + HEADER + length;
    let fits = at % BLOCK + HEADER + length <= BLOCK && end <= bytes.len();
    (KINDS.contains(&header[6]) && fits).then_some((header[6], end))
}

/// Kind and end of a record that is whole.
fn record(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let (kind, end) = header(bytes, at)?;
    let sum = crc32c::crc32c(&bytes[at + 6..end]).rotate_right(15).wrapping_add(0xa282_ead8);
    (sum.to_le_bytes() == bytes[at..at + 4]).then_some((kind, end))
}

/// Where a header may begin: not in the last bytes of a block.
fn place(at: usize) -> usize {
    if at % BLOCK + HEADER > BLOCK { at.next_multiple_of(BLOCK) } else { at }
}

/// Where the last whole write ends, and where the next record should begin. `None` when a kind is
/// used that is not known here.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut whole, mut next) = (0, 0);
    while let Some((kind, end)) = record(bytes, next) {
        if !KNOWN.contains(&kind) {
            return None;
        }
        if kind == WHOLE || kind == LAST {
            whole = end;
        }
        next = place(end);
    }
    Some((whole, next))
}

/// Where the record begins that is damaged and not only the torn end, if there is one.
fn damage(bytes: &[u8]) -> Option<usize> {
    let (_, at) = extent(bytes)?;
    // RocksDB itself finds what is damaged before the last block.
    let whole = (at + 1..bytes.len().min(at + BLOCK)).find(|later| {
        let later = *later;
        place(later) == later && record(bytes, later).is_some_and(|(_, end)| end > later + HEADER)
    })?;
    let pages = (at.next_multiple_of(PAGE)..=whole).step_by(PAGE);
    let torn =
        pages.filter(|end| *end >= at + ZEROS).any(|end| bytes[end - ZEROS..end] == [0; ZEROS]);
    (!torn).then_some(at)
}

#[cfg(test)]
mod tests {
    use rocksdb::{DB, Options};

    use super::*;

    /// A real log of some records, and where they begin.
    fn log(values: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, dir.path()).unwrap();
        for (n, size) in values.iter().enumerate() {
            db.put(n.to_be_bytes(), vec![0xAB; *size]).unwrap();
        }
        drop(db);
        let logs = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
        let path = logs.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap();
        let bytes = fs::read(path).unwrap();
        let (mut starts, mut at) = (Vec::new(), 0);
        while let Some((_, end)) = record(&bytes, place(at)) {
            starts.push(place(at));
            at = end;
        }
        assert_eq!(at, bytes.len(), "every record of RocksDB is understood");
        (bytes, starts)
    }

    #[test]
    fn torn_ends_pass_and_flipped_lengths_do_not() {
        let (bytes, starts) = log(&[100, 40_000, 300, 5000, 5000, 20]);
        assert_eq!(damage(&bytes), None);
        assert_eq!(damage(&[]), None);
        // Cut anywhere: that is what power loss does.
        for cut in (0..bytes.len()).step_by(97) {
            assert_eq!(damage(&bytes[..cut]), None, "cut at {cut}");
        }
        // A length with another bit, also one that leads beyond the end.
        for start in &starts[..starts.len() - 1] {
            for bit in [0, 14] {
                let mut flipped = bytes.clone();
                flipped[start + 4 + bit / 8] ^= 1 << (bit % 8);
                assert_eq!(damage(&flipped), Some(*start), "length at {start}");
            }
        }
        // A page in between that never reached the disk.
        let mut holed = bytes.clone();
        let page = bytes.len() / PAGE * PAGE - PAGE;
        holed[page..page + PAGE].fill(0);
        assert_eq!(damage(&holed), None);
    }

    /// RocksDB 11.8 reads on for ever behind some of these ends.
    #[test]
    fn garbage_at_the_end_does_not_hang_the_start() {
        let (bytes, _) = log(&[100, 3000, 300]);
        let mut noise = 7u64;
        for cut in [0, 66, 120, 2000, bytes.len() - 1] {
            for size in [1, 8, 400, 870, 2044] {
                let dir = tempfile::tempdir().unwrap();
                let mut torn = bytes[..cut].to_vec();
                torn.extend((0..size).map(|_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (noise >> 33) as u8
                }));
                let path = dir.path().join("000007.log");
                fs::write(&path, &torn).unwrap();
                trim(dir.path(), false).unwrap();
                let kept = fs::read(&path).unwrap();
                assert!(kept.len() <= cut && kept == bytes[..kept.len()], "{cut}+{size}");
                assert_eq!(extent(&kept), Some((kept.len(), kept.len())), "{cut}+{size}");
            }
        }
    }
}
