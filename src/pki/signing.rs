//! The cluster's authority as the controllers know it: it signs CertificateSigningRequests.

use std::{fmt, sync::Arc, time::Duration};

use kabuki_actors::auth::{CertificateRequest, CertificateSigner, CertificateUse};

use super::{ClusterPki, Subject};

/// Signs with the authority of a member.
#[derive(Clone)]
pub struct ClusterSigner(pub Arc<ClusterPki>);

impl fmt::Debug for ClusterSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("ClusterSigner").finish_non_exhaustive()
    }
}

impl CertificateSigner for ClusterSigner {
    fn sign(
        &self,
        request_pem: &str,
        request: &CertificateRequest,
        usage: CertificateUse,
        lifetime: Option<Duration>,
    ) -> Result<String, String> {
        let subject = Subject {
            common_name: request.common_name.clone(),
            organizations: request.organizations.clone(),
            dns_names: request.dns_names.clone(),
            addresses: request.addresses.clone(),
            server: usage.server,
            client: usage.client,
        };
        let lifetime = lifetime.map(|l| l.try_into().unwrap_or(time::Duration::MAX));
        self.0.ca.sign_request_for(request_pem, &subject, lifetime).map_err(|e| e.to_string())
    }
}
