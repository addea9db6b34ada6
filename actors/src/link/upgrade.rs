//! The client half of the HTTP/1.1 upgrade that turns a TLS connection into a link.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{LINK_PATH, LINK_UPGRADE, LinkError};

/// Longest response head accepted, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// Sends the upgrade request and reads the answer; afterwards `io` carries yamux.
pub(super) async fn upgrade<IO>(io: &mut IO, host: &str) -> Result<(), LinkError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    // The second Upgrade line is for the server's HTTP library (actix-http), which hands the bytes
    // after the head to the handler only if "websocket" is among the protocols offered.
    let request = format!(
        "GET {LINK_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
         Upgrade: {LINK_UPGRADE}\r\nUpgrade: websocket\r\n\r\n"
    );
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let head = read_head(io).await?;
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) == Some("101") {
        Ok(())
    } else {
        Err(LinkError::Protocol(format!("member refused the link: {status}")))
    }
}

/// Reads up to and including the empty line, byte by byte: what follows belongs to yamux.
pub(super) async fn read_head<IO>(io: &mut IO) -> Result<String, LinkError>
where
    IO: AsyncRead + Unpin,
{
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(LinkError::Protocol(format!("response head is over {MAX_HEAD} bytes")));
        }
        head.push(io.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
