//! The replicated state: MVCC history in RocksDB, the current records in one shared map.

mod apply;
mod current;
mod db;
pub(crate) mod dirs;
mod history;
mod machine;
mod rings;
mod shared;
mod snapshot;

pub(crate) use dirs::write_atomic;
pub(crate) use machine::StateMachine;
pub(crate) use rings::{Read as RingRead, Topic};
pub(crate) use shared::State;
pub(crate) use snapshot::{Manifest, SnapshotDir, check_content, check_manifest};

/// The revision of an empty store. Clients of Kubernetes give 0 a meaning of its own, so the
/// first write gets 2, as with etcd.
pub(crate) const FIRST_REVISION: u64 = 1;

/// The topic a key belongs to: `/registry/<group>/<plural>/` of
/// `/registry/<group>/<plural>/...`; shorter keys belong to their directory.
pub(crate) fn topic_of(key: &str) -> &str {
    const DEPTH: usize = 3;
    let mut end = 0;
    let mut seen = 0;
    for (at, _) in key.match_indices('/') {
        end = at + 1;
        if at > 0 {
            seen += 1;
        }
        if seen == DEPTH {
            break;
        }
    }
    &key[..end]
}

#[cfg(test)]
mod tests {
    use super::topic_of;

    #[test]
    fn topics() {
        let cases = [
            ("/registry/core/pods/default/a", "/registry/core/pods/"),
            ("/registry/core/nodes/n1", "/registry/core/nodes/"),
            ("/registry/core/pods/", "/registry/core/pods/"),
            ("/registry/core/pods/default/", "/registry/core/pods/"),
            ("/registry/core", "/registry/"),
            ("/a", "/"),
            ("a", ""),
            ("a/b/c/d/e", "a/b/c/"),
        ];
        for (key, topic) in cases {
            assert_eq!(topic_of(key), topic, "{key}");
        }
    }
}
