//! How a machine becomes part of a cluster: a token proves to the cluster that the machine was
//! invited, and to the machine that the cluster is the one that invited it.

mod client;
mod pinned;
mod server;
mod token;

pub use client::{JoinError, join, register_member};
pub use server::{JoinService, configure};
pub use token::{JoinToken, TokenError};

use serde::{Deserialize, Serialize};

/// Path of the join call.
pub const JOIN_PATH: &str = "/kabuki/v1/join";
/// Path of the call by which a new member, now with certificates, asks to be added to the quorum.
pub const MEMBER_PATH: &str = "/kabuki/v1/join/member";

/// Path of the call by which a node renews its certificate, shown on the connection.
pub const RENEW_PATH: &str = "/kabuki/v1/renew";

/// What a machine wants to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A control-plane member.
    Server,
    /// A worker.
    Node,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Node => "node",
        })
    }
}

/// Body of the join call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// What the machine wants to become.
    pub role: Role,
    /// Its name in the cluster.
    pub name: String,
    /// Request for a node's client certificate, PEM; members make their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}

/// A member as the joining machine must know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KnownMember {
    /// Its id.
    pub id: u64,
    /// `host:port` of its Raft peer port.
    pub peer_addr: String,
    /// `host:port` of its API.
    pub api_addr: String,
}

/// Answer to the join call.
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The cluster's authority, PEM.
    pub ca: String,
    /// Current members.
    pub members: Vec<KnownMember>,
    /// The node's client certificate, PEM (role node).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// What a member needs (role server).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberSecrets>,
}

/// What a new member receives: the keys that make it an equal of the others.
#[derive(Serialize, Deserialize)]
pub struct MemberSecrets {
    /// Identity of the cluster; a data directory never changes cluster.
    pub cluster_id: String,
    /// Identity given to the new member; never used twice.
    pub member_id: u64,
    /// Key of the cluster's authority, PEM.
    pub ca_key: String,
    /// The peers' authority, PEM.
    pub peer_ca: String,
    /// Its key, PEM.
    pub peer_ca_key: String,
    /// Key that signs service-account tokens, PEM.
    pub service_account_key: String,
}

impl std::fmt::Debug for MemberSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberSecrets")
            .field("cluster_id", &self.cluster_id)
            .field("member_id", &self.member_id)
            .finish_non_exhaustive()
    }
}

/// Body of the call that adds a member to the quorum.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    /// The id received when joining.
    pub id: u64,
    /// `host:port` of its Raft peer port.
    pub peer_addr: String,
    /// `host:port` of its API.
    pub api_addr: String,
}

/// Body of the call that renews a node's certificate.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The node; must be the one that the certificate of the connection names.
    pub name: String,
    /// Request for the new certificate, PEM.
    pub csr: String,
}

/// Answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The new certificate, PEM.
    pub client_certificate: String,
}
