//! gRPC over plain HTTP/2, client side: what etcd speaks.

use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::SendRequest};
use http_02::{Request, Uri};
use tokio::net::TcpStream;

use crate::wire::{self, Message, PUT, RANGE, STATUS, WATCH, take_message};

/// Window of a stream and of a connection: never the bottleneck.
pub const WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection; clones share it.
#[derive(Clone)]
pub struct Channel {
    send: SendRequest<Bytes>,
    put: Uri,
    range: Uri,
    watch: Uri,
    status: Uri,
}

impl Channel {
    /// Connects to `host:port`.
    pub async fn connect(addr: &str) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(tcp)
            .await?;
        tokio::spawn(connection);
        let uri = |path: &str| format!("http://{addr}{path}").parse::<Uri>();
        Ok(Self {
            send,
            put: uri(PUT)?,
            range: uri(RANGE)?,
            watch: uri(WATCH)?,
            status: uri(STATUS)?,
        })
    }

    /// Writes a key.
    pub async fn put(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        let message = Message::new(key.len() + value.len());
        let message = message.bytes(1, key.as_bytes()).bytes(2, value).framed();
        self.unary(&self.put, message).await.map(|_| ())
    }

    /// Reads a key, linearizably; the length of its value.
    pub async fn read(&self, key: &str) -> anyhow::Result<usize> {
        let message = Message::new(key.len()).bytes(1, key.as_bytes()).framed();
        let answer = self.unary(&self.range, message).await?;
        Ok(wire::embedded(&wire::embedded(&answer, 2), 5).len())
    }

    /// Whether the member at the other end leads.
    pub async fn leads(&self) -> anyhow::Result<bool> {
        let answer = self.unary(&self.status, Message::new(0).framed()).await?;
        let me = wire::number(&wire::embedded(&answer, 1), 2);
        Ok(me != 0 && me == wire::number(&answer, 4))
    }

    async fn unary(&self, uri: &Uri, message: Bytes) -> anyhow::Result<Bytes> {
        let call = async {
            let (response, _) = self.start(uri, message, true).await?;
            let mut body = Incoming::new(response);
            let answer = body.next().await?;
            while body.next().await?.is_some() {}
            let status = body.stream.trailers().await?;
            let status = status.as_ref().and_then(|t| t.get("grpc-status")).map(|s| s.as_bytes());
            match (status, answer) {
                (Some(b"0"), Some(answer)) => Ok(answer),
                (status, _) => Err(anyhow!("{uri} failed: {status:?}")),
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, call).await.context("a call takes too long")?
    }

    /// Follows the changes under a prefix, whose end is `end`; returns once the watch stands.
    pub async fn watch(&self, prefix: &str, end: &str) -> anyhow::Result<Watching> {
        let create = Message::new(64).bytes(1, prefix.as_bytes()).bytes(2, end.as_bytes());
        let message = Message::new(64).bytes(1, &create.embedded()).framed();
        let (response, sender) = self.start(&self.watch, message, false).await?;
        let mut body = Incoming::new(response);
        let first = body.next().await?.context("the watch ended")?;
        anyhow::ensure!(wire::number(&first, 3) == 1, "the watch was not created");
        Ok(Watching { body, _open: sender })
    }

    async fn start(
        &self,
        uri: &Uri,
        message: Bytes,
        end: bool,
    ) -> anyhow::Result<(RecvStream, SendStream<Bytes>)> {
        let mut send = self.send.clone().ready().await?;
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut stream) = send.send_request(request, false)?;
        stream.send_data(message, end)?;
        Ok((response.await?.into_body(), stream))
    }
}

/// Messages of a stream.
struct Incoming {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Incoming {
    fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(message) = take_message(&mut self.buffer) {
                return Ok(Some(message));
            }
            let Some(chunk) = self.stream.data().await else { return Ok(None) };
            let chunk = chunk?;
            self.stream.flow_control().release_capacity(chunk.len())?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// A watch that stands.
pub struct Watching {
    body: Incoming,
    _open: SendStream<Bytes>,
}

impl Watching {
    /// Waits for changes; how many came.
    pub async fn next(&mut self) -> anyhow::Result<usize> {
        let message = self.body.next().await?.context("the watch ended")?;
        Ok(wire::fields(message).filter(|(field, _)| *field == 11).count())
    }
}
