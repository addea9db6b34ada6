//! Digests: named, checked, computed while bytes flow.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Prefix of the only algorithm accepted.
const PREFIX: &str = "sha256:";

/// The hexadecimal part of a `sha256:` digest.
pub(super) fn hex_of(digest: &str) -> Result<&str> {
    digest
        .strip_prefix(PREFIX)
        .filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
        .ok_or_else(|| {
            Error::ImageContent(format!("{digest:?} is not a sha256 digest (the only kind taken)"))
        })
}

/// The digest of some bytes.
pub(super) fn of(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(Sha256::digest(bytes)))
}

/// A running digest.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> String {
        format!("{PREFIX}{}", hex::encode(self.0.finalize()))
    }
}

/// A reader that computes the digest of what passes, and fails beyond a number of bytes.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: Hasher,
    left: u64,
}

impl<R: Read> Hashing<R> {
    pub fn new(inner: R, limit: u64) -> Self {
        Self { inner, hasher: Hasher::default(), left: limit }
    }

    /// The digest of everything read.
    pub fn digest(self) -> String {
        self.hasher.finish()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other("larger than the limit for image content"))?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// Directory name of the layer made of `diff_ids`, lowest first: half of the chain id of the OCI
/// image specification, short enough for many layers to fit into mount options.
pub(super) fn chain_names(diff_ids: &[String]) -> Result<Vec<String>> {
    let mut chain: Option<String> = None;
    let mut names = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        hex_of(diff_id)?;
        let next = match chain {
            None => diff_id.clone(),
            Some(below) => of(format!("{below} {diff_id}").as_bytes()),
        };
        names.push(hex_of(&next)?[..32].to_string());
        chain = Some(next);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sha256_digests_are_taken() {
        let good = of(b"");
        assert_eq!(hex_of(&good).expect("digest").len(), 64);
        let bad = ["", "sha256:", "sha512:00", "sha256:../../x", &good.to_uppercase(), &good[..70]];
        for digest in bad {
            assert!(hex_of(digest).is_err(), "{digest}");
        }
    }

    #[test]
    fn a_chain_depends_on_everything_below() {
        let (a, b) = (of(b"a"), of(b"b"));
        let ab = chain_names(&[a.clone(), b.clone()]).expect("names");
        let ba = chain_names(&[b, a]).expect("names");
        assert!(ab.iter().all(|n| n.len() == 32));
        assert_ne!(ab[1], ba[1]);
        assert_ne!(ab[1], ba[0]);
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let mut text = Vec::new();
        assert!(Hashing::new(&b"12345"[..], 5).read_to_end(&mut text).is_ok());
        assert!(Hashing::new(&b"123456"[..], 5).read_to_end(&mut text).is_err());
    }
}
