//! Bounds on what a tar stream may make its reader do. The reader keeps names and attributes in
//! memory, of any length the stream says, and unpacked bytes may be a thousand times the packed
//! ones.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// Most bytes of headers before one entry: its own, and those with its long names and attributes.
const HEADERS_LIMIT_BYTES: u64 = 1024 * 1024;
/// How many times larger than its packed form content may be, once it is larger than
/// [`EXPANSION_FREE_BYTES`]. Programs and text reach 10; whole files of zeros 1,000.
const EXPANSION_LIMIT: u64 = 200;
/// What content may always unpack to.
const EXPANSION_FREE_BYTES: u64 = 1024 * 1024 * 1024;

/// Most bytes that `packed` bytes may become, and never more than `limit`.
pub(super) fn unpacked_limit(packed: u64, limit: u64) -> u64 {
    packed.saturating_mul(EXPANSION_LIMIT).max(EXPANSION_FREE_BYTES).min(limit)
}

/// A reader for a tar archive: fails beyond a number of bytes, and while headers are read beyond
/// [`HEADERS_LIMIT_BYTES`].
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    headers_left: Rc<Cell<Option<u64>>>,
}

/// Tells the reader below an archive that headers are being read.
pub(super) struct Headers(Rc<Cell<Option<u64>>>);

impl<R: Read> Bounded<R> {
    pub fn new(inner: R, limit: u64) -> (Self, Headers) {
        let headers_left = Rc::new(Cell::new(None));
        let headers = Headers(Rc::clone(&headers_left));
        (Self { inner, left: limit, headers_left }, headers)
    }
}

impl Headers {
    /// Takes the next entry. The one before must have been read to its end.
    pub fn next<T>(&self, mut entries: impl Iterator<Item = T>) -> Option<T> {
        self.0.set(Some(HEADERS_LIMIT_BYTES));
        let entry = entries.next();
        self.0.set(None);
        entry
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let too_large = || io::Error::other("larger than the limit for image content");
        self.left = self.left.checked_sub(n as u64).ok_or_else(too_large)?;
        if let Some(left) = self.headers_left.get() {
            let left = left.checked_sub(n as u64).ok_or_else(|| {
                io::Error::other("the headers of one entry are larger than 1 MiB")
            })?;
            self.headers_left.set(Some(left));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_does_not_become_much() {
        const MIB: u64 = 1024 * 1024;
        for (packed, limit, want) in [
            (0, u64::MAX, 1024 * MIB),
            (MIB, u64::MAX, 1024 * MIB),
            (10 * MIB, u64::MAX, 2000 * MIB),
            (u64::MAX, 5 * MIB, 5 * MIB),
        ] {
            assert_eq!(unpacked_limit(packed, limit), want);
        }
    }

    #[test]
    fn bytes_and_headers_are_bounded() {
        let long = vec![0; 3 * 1024 * 1024];
        let (mut reader, _) = Bounded::new(&long[..], 1000);
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
        let (mut reader, headers) = Bounded::new(&long[..], u64::MAX);
        let all = headers.next(std::iter::once_with(|| reader.read_to_end(&mut Vec::new())));
        assert!(all.expect("entry").is_err(), "headers");
        let (mut reader, _headers) = Bounded::new(&long[..], u64::MAX);
        assert_eq!(reader.read_to_end(&mut Vec::new()).expect("content"), long.len());
    }
}
