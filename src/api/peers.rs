//! The other members of the control plane, as one member asks them on behalf of a user.
//!
//! The call goes to their API over mutual TLS with a member's certificate and impersonates the user,
//! so it is authorised there again and audited under the user's own name.

use std::{sync::Arc, time::Duration};

use kabuki_actors::{auth::UserInfo, kernel::DebugCall};
use kabuki_api::status::Status;
use kabuki_raft::Store;
use parking_lot::Mutex;
use time::OffsetDateTime;

use crate::pki::{ClusterPki, Credential, client_config};

/// How long connecting to a member may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The group of members and administrators.
const MASTERS: &str = "system:masters";
/// Groups every authenticated user is in; not to be claimed by hand.
const AUTHENTICATED: &str = "system:authenticated";

/// Reaches the other members.
pub struct Peers {
    store: Store,
    pki: Arc<ClusterPki>,
    name: String,
    member_id: u64,
    /// Until when its certificate is used, and the client.
    client: Mutex<Option<(OffsetDateTime, reqwest::Client)>>,
}

/// One other member.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub name: String,
    pub id: u64,
    pub api_addr: String,
}

impl Peers {
    /// For the member `name`.
    #[must_use]
    pub fn new(store: Store, pki: Arc<ClusterPki>, name: &str, member_id: u64) -> Self {
        Self { store, pki, name: name.to_owned(), member_id, client: Mutex::new(None) }
    }

    /// This member's name.
    pub(super) fn own_name(&self) -> &str {
        &self.name
    }

    /// The other members.
    pub(super) async fn others(&self) -> Vec<Peer> {
        let members = self.store.members().await;
        let other = members.into_iter().filter(|m| m.id != self.member_id);
        other.map(|m| Peer { name: m.name, id: m.id, api_addr: m.api_addr }).collect()
    }

    /// Asks another member in a user's name; the answer's head has arrived.
    pub(super) async fn ask(
        &self,
        peer: &Peer,
        call: &DebugCall,
        user: &UserInfo,
    ) -> Result<reqwest::Response, Status> {
        let mut url =
            reqwest::Url::parse(&format!("https://{}", peer.api_addr)).map_err(Status::internal)?;
        url.set_path(&call.path);
        let method = if call.order { reqwest::Method::POST } else { reqwest::Method::GET };
        let mut request = self.client()?.request(method, url).query(&call.query);
        request = request.header("impersonate-user", &user.name);
        for group in user.groups.iter().filter(|g| *g != AUTHENTICATED) {
            request = request.header("impersonate-group", group);
        }
        let response = request.send().await.map_err(|error| {
            let (name, address) = (&peer.name, &peer.api_addr);
            let detail = chain(&error);
            Status::unavailable(format!("member {name} at {address} is not reached: {detail}"))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let status = response.json::<Status>().await;
        Err(status.unwrap_or_else(|_| {
            Status::failure(code, "InternalError", format!("member {} said {code}", peer.name))
        }))
    }

    fn client(&self) -> Result<reqwest::Client, Status> {
        let mut kept = self.client.lock();
        let clock = self.pki.ca.policy().clock;
        if let Some((until, client)) = &*kept
            && clock.now() < *until
        {
            return Ok(client.clone());
        }
        let user = format!("kabuki:member:{}", self.member_id);
        let identity = self.pki.client(&user, &[MASTERS]).map_err(Status::internal)?;
        let credential = Credential::new(identity, "").map_err(Status::internal)?;
        let until = credential.validity().renew_at(credential.seed());
        let tls = client_config(self.pki.ca.cert_pem(), Some(&credential), clock);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.map_err(Status::internal)?)
            .connect_timeout(CONNECT_WITHIN)
            .no_proxy()
            .build()
            .map_err(Status::internal)?;
        *kept = Some((until, client.clone()));
        Ok(client)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
