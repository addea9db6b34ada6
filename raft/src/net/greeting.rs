//! The first frames of a connection: who speaks to whom, and in which version.
//!
//! Each side names the versions it speaks, from `version` to `newest`; the newest that both speak
//! is used. Version 1 had neither the range nor an answer's body: what is absent means 1.

use serde::{Deserialize, Serialize};

use super::frame::Kind;
use crate::MemberId;

/// The oldest version of frames and of everything in them that this program speaks.
pub(super) const OLDEST: u32 = 1;
/// The newest: 2 brought pings, reports and the change of a member's address.
pub(super) const NEWEST: u32 = 2;

/// The first frame of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The oldest version spoken.
    pub(super) version: u32,
    /// The newest; 0 when the sender knows only `version`.
    #[serde(default)]
    pub(super) newest: u32,
    pub(super) cluster_id: String,
    pub(super) from: MemberId,
    pub(super) to: MemberId,
}

/// The body of the answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) version: u32,
}

impl Hello {
    pub(super) fn new(cluster_id: String, from: MemberId, to: MemberId) -> Self {
        Self { version: OLDEST, newest: NEWEST, cluster_id, from, to }
    }

    /// The version to speak with the sender.
    pub(super) fn agree(&self) -> Result<u32, String> {
        let theirs = self.newest.max(self.version);
        let both = theirs.min(NEWEST);
        if both >= self.version.max(OLDEST) {
            return Ok(both);
        }
        let newer = if theirs < OLDEST { "the caller" } else { "this member" };
        Err(format!(
            "this member speaks versions {OLDEST} to {NEWEST}, the caller {} to {theirs}; \
             upgrade {newer}",
            self.version
        ))
    }
}

/// The version the other side chose; its first release answered nothing.
pub(super) fn chosen(answer: &[u8]) -> u32 {
    serde_json::from_slice(answer).map_or(OLDEST, |welcome: Welcome| welcome.version)
}

/// The version that brought a kind of frame. What is older must not be sent it.
pub(super) fn since(kind: Kind) -> u32 {
    if matches!(kind, Kind::Ping | Kind::Report) { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version: u32, newest: u32) -> Hello {
        Hello { version, newest, ..Hello::new("c".into(), 1, 2) }
    }

    #[test]
    fn the_newest_version_both_speak_is_chosen() {
        assert_eq!(hello(1, 0).agree(), Ok(1), "the first release names no range");
        assert_eq!(hello(OLDEST, NEWEST).agree(), Ok(NEWEST));
        assert_eq!(hello(1, NEWEST + 5).agree(), Ok(NEWEST));
        let error = hello(NEWEST + 1, NEWEST + 2).agree().unwrap_err();
        assert!(error.contains("upgrade this member"), "{error}");
        assert_eq!(chosen(b""), 1, "the first release answers nothing");
        assert_eq!(chosen(br#"{"version":2,"later":true}"#), 2);
    }

    #[test]
    fn the_first_release_understands_the_greeting() {
        #[derive(Deserialize)]
        struct First {
            version: u32,
            cluster_id: String,
            from: u64,
            to: u64,
        }
        let text = serde_json::to_vec(&Hello::new("c".into(), 3, 4)).unwrap();
        let first: First = serde_json::from_slice(&text).unwrap();
        assert_eq!((first.version, &first.cluster_id[..], first.from, first.to), (1, "c", 3, 4));
    }
}
