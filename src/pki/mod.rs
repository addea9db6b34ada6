//! The cluster's certificates: two authorities (one for the API and its clients, one for the Raft
//! peers, so that a node's certificate never opens the peer port), what they issue, and where the
//! files lie. Nothing here talks to the network.

mod authority;
mod clock;
mod cluster_pki;
mod credential;
mod files;
mod keeper;
mod kubeconfig;
mod roster;
mod signing;
mod tls;
mod validity;

pub use authority::{Authority, Issued, LEAF_LIFETIME, Policy, Subject, request};
pub use clock::Clock;
pub use cluster_pki::{ClusterPki, Leaf, MemberNames, PEER_NAME, ca_hash};
pub use credential::Credential;
pub use files::{read_file, write_private, write_public};
pub use keeper::{CertificateKeeper, CertificateKeeperArgs};
pub use kubeconfig::{Kubeconfig, write_kubeconfig};
pub use roster::{Kept, Renew, Roster};
pub use signing::ClusterSigner;
pub use tls::{
    api_server_config, certificate_identity, client_config, parse_certs, parse_key, peer_configs,
};
pub use validity::{Grade, Validity};

/// What went wrong with a certificate, a key or one of their files.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("cannot access {path}: {reason}; check that the data directory exists and is writable")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why. Not called the source, as chains of sources are printed and this is told already.
        reason: std::io::Error,
    },
    /// A file that should be text is not.
    #[error("{path} is damaged: it is not text; restore it from a backup")]
    Garbled {
        /// The file.
        path: std::path::PathBuf,
    },
    /// Making or signing a certificate failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A PEM file holds something else than expected.
    #[error("{what} is not valid PEM: {detail}; restore it from another member or a backup")]
    Pem {
        /// Which file or field.
        what: String,
        /// What the parser said.
        detail: String,
    },
    /// A file of the directory is there but cannot be used.
    #[error(
        "{path} is damaged: {detail}; copy ca.crt, ca.key, peer-ca.crt, peer-ca.key and sa.key from \
         another member or a backup"
    )]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An authority's own time is over.
    #[error(
        "the authority {path} expired on {expired}: nothing it signed is accepted any more; \
         check this machine's clock; else make a new cluster and restore its objects"
    )]
    AuthorityExpired {
        /// Its file.
        path: std::path::PathBuf,
        /// When.
        expired: time::OffsetDateTime,
    },
    /// rustls refused a certificate or key.
    #[error("certificate or key refused: {0}")]
    Tls(#[from] rustls::Error),
    /// A certificate verifier could not be built.
    #[error("cannot verify client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}
