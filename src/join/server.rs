//! The cluster's side of joining, and of renewing what was got by it: three calls on the API port.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use kabuki_actors::{
    auth::{BootstrapError, JoinRole, TokenStore},
    registry::Registry,
};
use kabuki_api::status::Status;

use super::{
    JOIN_PATH, JoinAnswer, JoinRequest, KnownMember, MEMBER_PATH, MemberRequest, MemberSecrets,
    RENEW_PATH, RenewAnswer, RenewRequest, Role,
};
use crate::{
    api::{PeerCertificate, peer_certificate},
    member::new_member_id,
    pki::{ClusterPki, Subject},
};

/// Largest body of a join call.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest name of a machine (DNS-1123 subdomain).
const NAME_MAX: usize = 253;

/// Takes machines into the cluster.
#[derive(Clone)]
pub struct JoinService {
    pki: Arc<ClusterPki>,
    registry: Registry,
    tokens: TokenStore,
    cluster_id: String,
}

impl JoinService {
    /// A service that hands out what `pki` signs.
    pub fn new(pki: Arc<ClusterPki>, registry: Registry, cluster_id: String) -> Self {
        Self { pki, tokens: TokenStore::new(registry.clone()), registry, cluster_id }
    }

    async fn join(&self, bearer: &str, request: JoinRequest) -> Result<JoinAnswer, Status> {
        check_name(&request.name)?;
        let role = match request.role {
            Role::Server => JoinRole::Server,
            Role::Node => JoinRole::Node,
        };
        // The request is carried out before the token is spent: a broken one costs no use.
        let certificate = match (request.role, &request.csr) {
            (Role::Node, None) => {
                return Err(Status::bad_request("csr: a node needs a certificate request"));
            }
            (Role::Node, Some(csr)) => Some(self.sign(&request.name, csr)?),
            (Role::Server, _) => None,
        };
        self.tokens.spend(bearer, role).await.map_err(|e| refusal(&e))?;
        let answer = JoinAnswer {
            ca: self.pki.ca.cert_pem().to_string(),
            members: self.members().await,
            member: certificate.is_none().then(|| self.secrets()),
            client_certificate: certificate,
        };
        tracing::info!(name = %request.name, role = %request.role, "machine taken in");
        Ok(answer)
    }

    fn sign(&self, name: &str, csr: &str) -> Result<String, Status> {
        let subject = Subject {
            common_name: format!("system:node:{name}"),
            organizations: vec!["system:nodes".to_string()],
            client: true,
            ..Subject::default()
        };
        self.pki
            .ca
            .sign_request(csr, &subject)
            .map_err(|e| Status::bad_request(format!("csr: {e}")))
    }

    /// A node may renew its own certificate with one that still holds; nobody else's. That takes
    /// no quorum: every member can sign.
    fn renew(
        &self,
        shown: Option<&PeerCertificate>,
        request: &RenewRequest,
    ) -> Result<RenewAnswer, Status> {
        let shown = shown
            .ok_or_else(|| Status::unauthorized("a node renews with its present certificate"))?
            .check(self.registry.now())?;
        let node = shown
            .common_name
            .strip_prefix("system:node:")
            .filter(|_| shown.organizations.iter().map(String::as_str).eq(["system:nodes"]));
        let forbidden = |text: &str| Err(Status::forbidden_resource("", "nodes", "", text));
        match node {
            None => forbidden(&format!("{:?} is not a node", shown.common_name)),
            Some(node) if node != request.name => forbidden(&format!(
                "node {node:?} may renew its own certificate only, not that of {:?}",
                request.name
            )),
            Some(node) => {
                check_name(node)?;
                let client_certificate = self.sign(node, &request.csr)?;
                tracing::info!(node, "node certificate renewed");
                Ok(RenewAnswer { client_certificate })
            }
        }
    }

    fn secrets(&self) -> MemberSecrets {
        MemberSecrets {
            cluster_id: self.cluster_id.clone(),
            member_id: new_member_id(),
            ca_key: self.pki.ca.key_pem().to_string(),
            peer_ca: self.pki.peer_ca.cert_pem().to_string(),
            peer_ca_key: self.pki.peer_ca.key_pem().to_string(),
            service_account_key: self.pki.service_account_key_pem.clone(),
        }
    }

    async fn members(&self) -> Vec<KnownMember> {
        let members = self.registry.store().members().await;
        members
            .into_iter()
            .map(|m| KnownMember { id: m.id, peer_addr: m.peer_addr, api_addr: m.api_addr })
            .collect()
    }

    async fn add(&self, request: &MemberRequest) -> Result<(), Status> {
        let members = self.registry.store().members().await;
        let holder =
            members.iter().find(|m| m.id != request.id && m.peer_addr == request.peer_addr);
        if let Some(holder) = holder {
            // Most likely the same machine, with an empty disk.
            return Err(Status::failure(
                409,
                "Conflict",
                format!(
                    "member {id} {name:?} has the address {addr}: if it is lost, remove it with \
                     `kabuki member remove {id}` and start this one again; if it lives, give this \
                     one another address",
                    id = holder.id,
                    name = holder.name,
                    addr = holder.peer_addr
                ),
            ));
        }
        self.registry
            .store()
            .add_member(request.id, &request.peer_addr, &request.api_addr)
            .await
            .map_err(|e| Status::unavailable(format!("the member cannot be added now: {e}")))
    }
}

/// Registers the calls.
pub fn configure(service: &JoinService, config: &mut web::ServiceConfig) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(
            web::resource(JOIN_PATH).app_data(web::PayloadConfig::new(BODY_BYTES_MAX)).post(join),
        )
        .service(
            web::resource(MEMBER_PATH)
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .post(add_member),
        )
        .service(
            web::resource(RENEW_PATH).app_data(web::PayloadConfig::new(BODY_BYTES_MAX)).post(renew),
        );
}

async fn join(
    service: web::Data<JoinService>,
    request: actix_web::HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let bearer = request
        .headers()
        .get("authorization")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    let result = match (bearer, serde_json::from_slice::<JoinRequest>(&body)) {
        (None, _) => Err(Status::unauthorized("a join token is needed")),
        (_, Err(error)) => Err(Status::bad_request(format!("not a join request: {error}"))),
        (Some(bearer), Ok(request)) => service.join(bearer, request).await,
    };
    answer(result)
}

async fn add_member(
    service: web::Data<JoinService>,
    request: actix_web::HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    // Whoever can make such a certificate holds the authority's key, as members do.
    let is_member = peer_certificate(&request)
        .and_then(|c| c.check(service.registry.now()).ok())
        .is_some_and(|c| c.organizations.iter().any(|o| o == "system:masters"));
    let result = match serde_json::from_slice::<MemberRequest>(&body) {
        _ if !is_member => Err(Status::unauthorized(
            "only a machine with a member's certificate may join the quorum",
        )),
        Err(error) => Err(Status::bad_request(format!("not a member request: {error}"))),
        Ok(request) => service.add(&request).await,
    };
    answer(result.map(|()| serde_json::json!({})))
}

async fn renew(
    service: web::Data<JoinService>,
    request: actix_web::HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answer(match serde_json::from_slice::<RenewRequest>(&body) {
        Err(error) => Err(Status::bad_request(format!("not a renewal request: {error}"))),
        Ok(wanted) => service.renew(peer_certificate(&request), &wanted),
    })
}

fn answer<T: serde::Serialize>(result: Result<T, Status>) -> HttpResponse {
    match result {
        Ok(value) => HttpResponse::Ok().json(value),
        Err(status) => {
            let code = actix_web::http::StatusCode::from_u16(status.code)
                .unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR);
            HttpResponse::build(code).json(status)
        }
    }
}

/// Which of a token's faults it was, in words for the person who typed it.
fn refusal(error: &BootstrapError) -> Status {
    match error {
        BootstrapError::Store(_) => Status::unavailable(error.to_string()),
        _ => Status::unauthorized(error.to_string()),
    }
}

fn check_name(name: &str) -> Result<(), Status> {
    if name.len() <= NAME_MAX && kabuki_api::name::is_dns1123_subdomain(name) {
        return Ok(());
    }
    Err(Status::bad_request(format!("name: {name:?} is no valid machine name")))
}
