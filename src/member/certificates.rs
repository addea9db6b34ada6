//! The certificates of a running member: what it shows to clients and peers, and the
//! administrator's, all renewed from the authorities it holds.

use std::{path::PathBuf, sync::Arc};

use kabuki_actors::kernel::{ChildSpec, Kernel};
use time::Duration;

use super::KUBERNETES_SERVICE;
use crate::{
    api,
    pki::{
        CertificateKeeper, CertificateKeeperArgs, ClusterPki, Credential, Issued, Kept, Leaf,
        MemberNames, PkiError, Renew, Roster,
    },
};

/// An authority with less than this left is warned of at every start.
const AUTHORITY_WARNING: Duration = Duration::days(180);

/// Where the administrator's kubeconfig goes.
#[derive(Debug, Clone)]
pub(super) struct AdminKubeconfig {
    pub(super) path: PathBuf,
    /// URL in it.
    pub(super) server: String,
}

impl AdminKubeconfig {
    pub(super) fn write(&self, pki: &ClusterPki, client: Issued) -> Result<(), PkiError> {
        pki.write_admin_kubeconfig(&self.path, &self.server, client)
    }
}

/// A member's certificates in use.
pub(super) struct Certificates {
    pub(super) server: Arc<Credential>,
    pub(super) peer: Arc<Credential>,
    pub(super) admin: Arc<Credential>,
    pub(super) roster: Arc<Roster>,
}

impl Certificates {
    /// Takes the kept certificates into use, or new ones.
    pub(super) fn new(
        pki: &Arc<ClusterPki>,
        names: &MemberNames,
        member_id: u64,
        kubeconfig: AdminKubeconfig,
    ) -> Result<Self, PkiError> {
        let leaf = Leaf::Server { names: names.clone(), service_ip: KUBERNETES_SERVICE };
        // Joining machines know the authority by its hash only, so it must come along.
        let server = Credential::new(pki.identity(&leaf)?, pki.ca.cert_pem())?;
        let server_renew = renew(pki, leaf, |_, _| Ok(()));
        let leaf = Leaf::Peer { member_id };
        let peer = Credential::new(pki.identity(&leaf)?, "")?;
        let peer_renew = renew(pki, leaf, |_, _| Ok(()));
        let admin = Credential::new(pki.identity(&Leaf::Admin)?, "")?;
        let admin_renew =
            renew(pki, Leaf::Admin, move |pki, issued| kubeconfig.write(pki, issued.clone()));
        let authorities = vec![("ca", pki.ca.validity()), ("peer-ca", pki.peer_ca.validity())];
        let clock = pki.ca.policy().clock;
        for (authority, validity) in &authorities {
            if validity.not_after - clock.now() < AUTHORITY_WARNING {
                let expires = validity.not_after;
                tracing::warn!(authority, %expires, "a certificate authority ends; plan a new cluster");
            }
        }
        let kept = vec![
            Kept::new("server", server.clone(), server_renew),
            Kept::new("peer", peer.clone(), peer_renew),
            Kept::new("admin", admin.clone(), admin_renew),
        ];
        let roster = Arc::new(Roster { kept, authorities, clock });
        Ok(Self { server, peer, admin, roster })
    }

    /// What `/metrics` tells of them.
    pub(super) fn metrics(&self) -> api::MoreMetrics {
        let roster = self.roster.clone();
        Arc::new(move |out| roster.metrics(out))
    }

    /// Starts the actor that renews them.
    pub(super) fn keep(&self, kernel: &Kernel) {
        let args = CertificateKeeperArgs { roster: self.roster.clone() };
        kernel.root().start::<CertificateKeeper>("certificates", args, ChildSpec::default());
    }
}

/// Issues `leaf` anew, keeps it, then does `more` with it.
fn renew(
    pki: &Arc<ClusterPki>,
    leaf: Leaf,
    more: impl Fn(&ClusterPki, &Issued) -> Result<(), PkiError> + Send + Sync + 'static,
) -> Renew {
    let (pki, more) = (pki.clone(), Arc::new(more));
    Arc::new(move || {
        let (pki, leaf, more) = (pki.clone(), leaf.clone(), more.clone());
        Box::pin(async move {
            let work = move || {
                let issued = pki.renew(&leaf)?;
                more(&pki, &issued)?;
                Ok::<_, PkiError>(issued)
            };
            Ok(tokio::task::spawn_blocking(work).await??)
        })
    })
}
