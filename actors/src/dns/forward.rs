//! Names outside the cluster: asked of the node's own resolvers, never of this server.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
};

/// Questions under way at resolvers.
pub(super) const MAX_FORWARDS: usize = 512;
/// Resolvers used, as the C library does.
const MAX_RESOLVERS: usize = 3;
/// How long one resolver may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The configuration is read again after this long.
const REREAD: Duration = Duration::from_secs(10);
/// Largest answer taken over UDP.
const MAX_ANSWER: usize = 4096;

/// Asks the node's resolvers.
#[derive(Debug)]
pub(super) struct Forwarder {
    resolv_conf: PathBuf,
    own: IpAddr,
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    gate: Semaphore,
}

/// The resolvers of a `resolv.conf`, this server itself left out.
pub(super) fn resolvers(text: &str, own: IpAddr) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    text.lines()
        .filter_map(|l| l.trim().strip_prefix("nameserver"))
        .filter_map(|l| l.split_whitespace().next()?.parse::<IpAddr>().ok())
        .filter(|ip| *ip != own && seen.insert(*ip))
        .take(MAX_RESOLVERS)
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

impl Forwarder {
    pub(super) fn new(resolv_conf: PathBuf, own: IpAddr) -> Self {
        Self { resolv_conf, own, known: Mutex::new(None), gate: Semaphore::new(MAX_FORWARDS) }
    }

    /// Questions that may still be asked at once.
    pub(super) fn room(&self) -> usize {
        self.gate.available_permits()
    }

    async fn servers(&self) -> Vec<SocketAddr> {
        if let Some((at, servers)) = &*self.known.lock()
            && at.elapsed() < REREAD
        {
            return servers.clone();
        }
        let text = tokio::fs::read_to_string(&self.resolv_conf).await.unwrap_or_default();
        let servers = resolvers(&text, self.own);
        *self.known.lock() = Some((Instant::now(), servers.clone()));
        servers
    }

    /// The answer to a question, as bytes with the asker's id. None when nobody answers or too
    /// many questions are under way.
    pub(super) async fn ask(&self, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let _turn = self.gate.try_acquire().ok()?;
        let id = question.get(..2)?.to_owned();
        let mut sent = question.to_owned();
        // An id of our own: others must not guess it from what they asked.
        let own = rand::random::<[u8; 2]>();
        sent.get_mut(..2)?.copy_from_slice(&own);
        for server in self.servers().await {
            let asked = async {
                if tcp { over_tcp(server, &sent).await } else { over_udp(server, &sent).await }
            };
            if let Ok(Ok(mut answer)) = tokio::time::timeout(TIMEOUT, asked).await
                && answer.get(..2) == Some(&own)
            {
                answer.get_mut(..2)?.copy_from_slice(&id);
                return Some(answer);
            }
        }
        None
    }
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MAX_ANSWER];
    loop {
        let n = socket.recv(&mut buffer).await?;
        // Same id and a response: anything else is not for us.
        if n >= 12 && buffer[..2] == question[..2] && buffer[2] & 0x80 != 0 {
            buffer.truncate(n);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_itself_never_twice() {
        let own: IpAddr = "10.96.0.10".parse().unwrap();
        let text = "# by hand\nnameserver 10.96.0.10\nnameserver 192.0.2.1 \nsearch a b\n\
                    nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n\
                    nameserver\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let found: Vec<String> = resolvers(text, own).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]);
        assert!(resolvers("", own).is_empty());
    }
}
