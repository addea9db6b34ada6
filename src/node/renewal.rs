//! Renewing the node's certificate while it runs: asked for with the one that still holds, or issued
//! by the member in the same process.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use kabuki_actors::{
    kernel::{ChildSpec, SupervisorRef},
    link::RotatingClient,
};

use super::{
    LocalMember, NodeIdentity,
    identity::{issue, save_client},
};
use crate::{
    join::{self, RenewAnswer, RenewRequest},
    pki::{
        self, CertificateKeeper, CertificateKeeperArgs, Clock, Credential, Issued, Kept, Renew,
        Roster,
    },
};

/// Starts the keeper of the node's certificate.
pub(super) fn start(
    stage: &SupervisorRef,
    identity: &NodeIdentity,
    credential: Arc<Credential>,
    client: RotatingClient,
    dir: &Path,
    (local, clock): (Option<LocalMember>, Clock),
) {
    let client = Arc::new(client);
    let renew: Renew = match local {
        Some(member) => {
            let name = identity.name.clone();
            Arc::new(move || {
                let (name, pki, client) = (name.clone(), member.pki.clone(), client.clone());
                Box::pin(async move {
                    let issued = issue(&name, &pki)?;
                    client.renew(&issued.cert_pem, &issued.key_pem).await?;
                    Ok(issued)
                })
            })
        }
        None => {
            let (name, dir) = (identity.name.clone(), dir.to_path_buf());
            Arc::new(move || {
                let (name, dir, client) = (name.clone(), dir.clone(), client.clone());
                Box::pin(async move {
                    let issued = ask(&name, &client).await?;
                    let kept = issued.clone();
                    tokio::task::spawn_blocking(move || save_client(&dir, &kept)).await??;
                    client.renew(&issued.cert_pem, &issued.key_pem).await?;
                    Ok(issued)
                })
            })
        }
    };
    let kept = vec![Kept::new("node", credential, renew)];
    let roster = Arc::new(Roster { kept, authorities: Vec::new(), clock });
    let args = CertificateKeeperArgs { roster };
    stage.start::<CertificateKeeper>("certificates", args, ChildSpec::default());
}

/// Asks the cluster, through any member, for a new certificate of this node.
async fn ask(name: &str, client: &RotatingClient) -> anyhow::Result<Issued> {
    let (csr, key_pem) = pki::request()?;
    let body = serde_json::to_vec(&RenewRequest { name: name.to_string(), csr })?;
    let request = http::Request::post(join::RENEW_PATH)
        .header("content-type", "application/json")
        .body(body)?;
    let answer: RenewAnswer = client.client().request(request).await.context(
        "no member renewed the certificate; should it expire, make a token with `kabuki token \
         create --role node` and restart this node with --join URL --token TOKEN",
    )?;
    Ok(Issued { cert_pem: answer.client_certificate, key_pem })
}
