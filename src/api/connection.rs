//! What is known of a TLS connection: who its certificate names, and whether it still lives.

use std::any::Any;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{HttpRequest, dev::Extensions, rt::net::TcpStream};
use kabuki_api::status::Status;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::pki::{Validity, certificate_identity};

/// The subject of a client certificate that the cluster's authority signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Common name: the user.
    pub common_name: String,
    /// Organizations: the groups.
    pub organizations: Vec<String>,
    /// What tells it from every other certificate, as upstream writes it: a hash of the whole.
    pub credential_id: String,
    /// When it expires. A connection may live on after that, what it says does not.
    pub not_after: OffsetDateTime,
}

impl PeerCertificate {
    /// Refuses a certificate that has expired since the handshake, as the API server does for every
    /// request.
    ///
    /// # Errors
    /// 401.
    pub fn check(&self, now: OffsetDateTime) -> Result<&Self, Status> {
        if now <= self.not_after {
            return Ok(self);
        }
        Err(Status::unauthorized(format!(
            "the client certificate of {:?} expired at {}: connect anew with a renewed one",
            self.common_name, self.not_after
        )))
    }
}

/// Ends everything that streams on a connection when the connection ends: an HTTP/2 stream of
/// actix only notices when it writes, and an idle watch may not write for an hour.
struct Alive {
    token: CancellationToken,
    _guard: DropGuard,
}

/// Called once per connection, after the handshake.
pub(super) fn on_connect(io: &dyn Any, data: &mut Extensions) {
    let token = CancellationToken::new();
    data.insert(Alive { _guard: token.clone().drop_guard(), token });
    let Some(stream) = io.downcast_ref::<TlsStream<TcpStream>>() else { return };
    let (_, session) = stream.get_ref();
    let Some(certificate) = session.peer_certificates().and_then(<[_]>::first) else { return };
    let read = certificate_identity(certificate)
        .and_then(|who| Ok((who, Validity::of_der("client certificate", certificate)?)));
    match read {
        Ok(((common_name, organizations), validity)) => {
            let credential_id = format!("X509SHA256={}", hex::encode(Sha256::digest(certificate)));
            let not_after = validity.not_after;
            data.insert(PeerCertificate { common_name, organizations, credential_id, not_after });
        }
        // Verified but without a name: treated as no certificate.
        Err(error) => tracing::info!(%error, "client certificate without usable subject"),
    }
}

/// The certificate the client of a request showed.
pub fn peer_certificate(request: &HttpRequest) -> Option<&PeerCertificate> {
    request.conn_data::<PeerCertificate>()
}

/// Whether the client's certificate has expired since the handshake: nothing more can be asked on
/// such a connection.
pub(super) fn is_outlived(request: &HttpRequest, now: OffsetDateTime) -> bool {
    peer_certificate(request).is_some_and(|peer| peer.check(now).is_err())
}

/// Cancelled when the request's connection is gone. Holding it does not keep anything alive.
pub(super) fn connection_token(request: &HttpRequest) -> CancellationToken {
    request.conn_data::<Alive>().map(|alive| alive.token.clone()).unwrap_or_default()
}
