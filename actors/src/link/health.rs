//! Health checks of members: `GET /readyz` on one kept TLS connection per member.

use std::{sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{LinkError, upgrade::read_head};

/// Pause between two checks of one member.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(1);
/// One check, connecting included.
const CHECK_WITHIN: Duration = Duration::from_secs(2);
/// Longest body of a health answer read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// What one check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// The member answered 200.
    Ready,
    /// The member answered something else: it runs, but does not serve.
    Unready,
    /// Nobody listens, or the connection broke.
    Refused,
    /// No answer in time.
    Silent,
}

/// How many checks in a row must say the same before a member counts as lost.
pub(super) fn strikes(health: Health) -> u32 {
    match health {
        Health::Ready => 0,
        Health::Refused => 1,
        // A pause of a busy machine is not a death.
        Health::Unready | Health::Silent => 2,
    }
}

/// Checks one member, keeping its connection between checks.
pub(super) struct Checker {
    member: String,
    tls: Arc<rustls::ClientConfig>,
    server_name: String,
    connection: Option<TlsStream<TcpStream>>,
}

impl Checker {
    pub(super) fn new(member: String, tls: Arc<rustls::ClientConfig>, server_name: String) -> Self {
        Self { member, tls, server_name, connection: None }
    }

    /// One check. A kept connection that broke is not held against the member: it is made anew.
    pub(super) async fn check(&mut self) -> Health {
        if let Some(connection) = self.connection.take()
            && let Ok(Ok((health, connection))) =
                timeout(CHECK_WITHIN, ask(connection, &self.server_name)).await
        {
            self.connection = connection;
            return health;
        }
        let fresh = async { ask(self.connect().await?, &self.server_name).await };
        match timeout(CHECK_WITHIN, fresh).await {
            Ok(Ok((health, connection))) => {
                self.connection = connection;
                health
            }
            Ok(Err(_)) => Health::Refused,
            Err(_) => Health::Silent,
        }
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, LinkError> {
        let tcp = TcpStream::connect(&self.member).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|e| LinkError::Protocol(e.to_string()))?;
        Ok(TlsConnector::from(self.tls.clone()).connect(name, tcp).await?)
    }
}

type Kept = Option<TlsStream<TcpStream>>;

async fn ask(mut io: TlsStream<TcpStream>, host: &str) -> Result<(Health, Kept), LinkError> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n");
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let head = read_head(&mut io).await?;
    let ready = head.split_whitespace().nth(1) == Some("200");
    let health = if ready { Health::Ready } else { Health::Unready };
    let Some(length) = content_length(&head).filter(|l| *l <= MAX_BODY) else {
        return Ok((health, None));
    };
    let mut body = vec![0; length];
    io.read_exact(&mut body).await?;
    Ok((health, Some(io)))
}

/// The body's length, when the head states it and the connection may be kept.
fn content_length(head: &str) -> Option<usize> {
    let mut length = None;
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
        if name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close") {
            return None;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_decides_whether_the_connection_is_kept() {
        let table = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", Some(2)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
        ];
        for (head, expected) in table {
            assert_eq!(content_length(head), expected, "{head}");
        }
    }
}
