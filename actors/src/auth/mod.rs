//! Who asks and whether they may: client certificates, service-account tokens and bootstrap tokens
//! become a [`UserInfo`]; RBAC and the node rules answer [`Attributes`].
//!
//! Everything is answered from the applied state in memory; only a token that looks unknown waits
//! for a read barrier before it is refused.

mod attributes;
mod authenticator;
mod authorizer;
mod bootstrap_token;
mod certificates;
mod escalation;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod node_rules;
mod rbac;
mod review;
mod rules;
mod token_store;
mod user;

pub use attributes::Attributes;
pub use authenticator::{AuthError, Authenticator};
pub use authorizer::Authorizer;
pub(crate) use authorizer::RbacCache;
pub use bootstrap_token::{BootstrapError, BootstrapToken, JoinRole, NewToken};
#[cfg(test)]
pub(crate) use certificates::tests::pem as test_request;
pub use certificates::{
    API_CLIENT_SIGNER, CertificateRequest, CertificateSigner, CertificateUse,
    KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER,
};
pub use keys::{BoundRef, Claims, KeyError, KubernetesClaims, ServiceAccountKeys, SubjectRef};
pub use review::Reviews;
pub use rules::Rule;
pub use token_store::TokenStore;
pub use user::{MASTERS, UserInfo};
