//! Snapshot files: the whole state of a cluster at one revision, in one file.
//!
//! The file holds every current record, the cluster's authority and the service-account key, so that
//! a cluster restored from it is known to the kubeconfigs, nodes and service accounts of the old one.
//! It holds no history, no membership and not the peers' authority: members of the old cluster have
//! no way into the new one.

mod file;
mod restore;
mod save;

pub use file::{FORMAT, FileReader, Header, Item, SnapshotError};
pub use restore::{Restored, restore};
pub use save::{Attachment, encode, verify};

/// Names of the attachments: the cluster's authority and the key that signs service-account tokens.
pub const CA_CERT: &str = "ca.crt";
/// The authority's key.
pub const CA_KEY: &str = "ca.key";
/// The service-account key.
pub const SERVICE_ACCOUNT_KEY: &str = "sa.key";
