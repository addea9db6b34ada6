//! UDP and TCP sockets of the DNS server.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
};

use super::{
    forward::MAX_FORWARDS,
    respond::{MAX_QUESTION, Reply, Responder},
};

/// TCP connections at once; further ones wait in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// A TCP connection without a question is closed after this long.
const IDLE: Duration = Duration::from_secs(10);
/// After accept failed, because of too many open files for example.
const PAUSE: Duration = Duration::from_millis(100);

/// The sockets, bound.
#[derive(Debug)]
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    pub(super) async fn bind(at: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(at).await?;
        // For tests: the same free port for both.
        let tcp = TcpListener::bind(udp.local_addr()?).await?;
        Ok(Self { udp, tcp })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Answers for ever; ends with the task it runs in.
    pub(super) async fn serve(self, responder: Arc<Responder>) {
        let udp = serve_udp(Arc::new(self.udp), responder.clone());
        let tcp = serve_tcp(self.tcp, responder);
        tokio::join!(udp, tcp);
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, responder: Arc<Responder>) {
    let mut buffer = vec![0; MAX_QUESTION];
    let waiting = Arc::new(Semaphore::new(MAX_FORWARDS));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        // Errors here are echoes of answers that could not be delivered.
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else { continue };
        let bytes = &buffer[..n];
        match responder.begin(bytes, false) {
            Reply::Now(answer) => drop(socket.send_to(&answer, from).await),
            Reply::Drop => {}
            Reply::Later(query) => {
                while tasks.try_join_next().is_some() {}
                // No room: the asker's resolver tries again.
                let Ok(turn) = waiting.clone().try_acquire_owned() else { continue };
                let (bytes, socket) = (bytes.to_vec(), socket.clone());
                let responder = responder.clone();
                tasks.spawn(async move {
                    let _turn = turn;
                    if let Some(answer) = responder.finish(&query, &bytes, false).await {
                        drop(socket.send_to(&answer, from).await);
                    }
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, responder: Arc<Responder>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        while tasks.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let responder = responder.clone();
        tasks.spawn(async move {
            let _place = place;
            // The other side went away or was idle: nothing to do about it.
            drop(serve_stream(stream, &responder).await);
        });
    }
}

async fn serve_stream(mut stream: TcpStream, responder: &Responder) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(IDLE, stream.read_u16()).await??;
        if usize::from(length) > MAX_QUESTION {
            return Ok(());
        }
        let mut bytes = vec![0; usize::from(length)];
        tokio::time::timeout(IDLE, stream.read_exact(&mut bytes)).await??;
        let answer = match responder.begin(&bytes, true) {
            Reply::Now(answer) => Some(answer),
            Reply::Drop => None,
            Reply::Later(query) => responder.finish(&query, &bytes, true).await,
        };
        let Some(answer) = answer else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        tokio::time::timeout(IDLE, async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&answer).await
        })
        .await??;
    }
}
