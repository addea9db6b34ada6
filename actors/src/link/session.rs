//! One yamux session, driven by a task of its own.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use yamux::{Config, Connection, Mode};

use super::{
    LinkError,
    compat::{ToFutures, ToTokio},
};

/// Streams open at once on one session.
const MAX_STREAMS: usize = 256;
/// Receive windows of all streams of one session together, in bytes.
const MAX_RECEIVE_WINDOW: usize = 64 * 1024 * 1024;
/// Open requests, and inbound streams, waiting for the other task.
const QUEUE: usize = 64;

type OpenReply = oneshot::Sender<Result<LinkStream, LinkError>>;

/// Bytes in both directions between a member and a node.
#[derive(Debug)]
pub struct LinkStream(ToTokio<yamux::Stream>);

impl AsyncRead for LinkStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Handle of a driven session; dropping every handle does not end it, [`Session::close`] does.
#[derive(Debug, Clone)]
pub(super) struct Session {
    opens: mpsc::Sender<OpenReply>,
    stop: CancellationToken,
}

impl Session {
    /// Starts driving `io`. Inbound streams come out of the receiver; it ends with the session.
    pub(super) fn start<IO>(io: IO, mode: Mode) -> (Self, mpsc::Receiver<LinkStream>)
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut config = Config::default();
        config.set_max_num_streams(MAX_STREAMS);
        config.set_max_connection_receive_window(Some(MAX_RECEIVE_WINDOW));
        let connection = Connection::new(ToFutures(io), config, mode);
        let (opens, open_requests) = mpsc::channel(QUEUE);
        let (inbound, streams) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let session = Self { opens, stop: stop.clone() };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = drive(connection, open_requests, inbound) => stop.cancel(),
            }
        });
        (session, streams)
    }

    /// Opens a stream towards the peer.
    pub(super) async fn open(&self) -> Result<LinkStream, LinkError> {
        let (reply, answer) = oneshot::channel();
        let lost = || LinkError::Lost("the session has ended".to_owned());
        self.opens.send(reply).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())?
    }

    /// Ends the session and every stream on it.
    pub(super) fn close(&self) {
        self.stop.cancel();
    }

    /// Ends the session when dropped: its task and its socket do not go with the handles.
    pub(super) fn closed_on_drop(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }

    /// Waits until the session has ended.
    pub(super) async fn closed(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the session has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }
}

async fn drive<IO>(
    mut connection: Connection<ToFutures<IO>>,
    mut opens: mpsc::Receiver<OpenReply>,
    inbound: mpsc::Sender<LinkStream>,
) where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut waiting: Option<OpenReply> = None;
    let ended = poll_fn(|cx| {
        loop {
            let mut progress = false;
            if waiting.is_none()
                && let Poll::Ready(Some(reply)) = opens.poll_recv(cx)
            {
                waiting = Some(reply);
            }
            if waiting.is_some()
                && let Poll::Ready(opened) = connection.poll_new_outbound(cx)
                && let Some(reply) = waiting.take()
            {
                let opened = opened.map(|s| LinkStream(ToTokio(s))).map_err(LinkError::from);
                // An asker that went away drops the stream, which resets it.
                drop(reply.send(opened));
                progress = true;
            }
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    // A full queue refuses the stream by dropping (resetting) it.
                    if inbound.try_send(LinkStream(ToTokio(stream))).is_err() {
                        tracing::warn!("refused a link stream: {QUEUE} are waiting already");
                    }
                    progress = true;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if !progress {
                return Poll::Pending;
            }
        }
    })
    .await;
    if let Some(error) = ended {
        tracing::debug!(%error, "link session ended");
    }
}
