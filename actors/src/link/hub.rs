//! The member's side of the link: one session per node, streams opened towards it.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};
use yamux::Mode;

use super::{
    LinkError, LinkStream,
    frame::{self, Reply, Request},
    session::Session,
};

/// How often a node is pinged on its session.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long a node may take to answer a ping or the header of a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long [`Hub::open`] waits for a node that is not connected (it may be dialling just now).
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Nodes registered at once.
const MAX_NODES: usize = 10_000;

/// Registry of node sessions of one member.
#[derive(Debug, Default)]
pub struct Hub {
    sessions: Mutex<HashMap<String, Session>>,
    arrived: Notify,
}

impl Hub {
    /// An empty hub.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the upgraded bytes of `node` and serves them until the session ends. A newer
    /// session of the same node replaces the older one. The caller has authenticated the node.
    pub async fn register<IO>(&self, node: &str, io: IO) -> Result<(), LinkError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (session, _inbound) = Session::start(io, Mode::Client);
        {
            let mut sessions = self.sessions.lock();
            if sessions.len() >= MAX_NODES && !sessions.contains_key(node) {
                session.close();
                return Err(LinkError::Protocol(format!(
                    "{MAX_NODES} nodes are connected already"
                )));
            }
            if let Some(older) = sessions.insert(node.to_owned(), session.clone()) {
                older.close();
            }
        }
        self.arrived.notify_waiters();
        tracing::debug!(node, "node link registered");
        loop {
            tokio::select! {
                () = session.closed() => break,
                () = sleep(KEEPALIVE) => {
                    if let Err(error) = self.ask(&session, node, &Request::Ping).await {
                        tracing::info!(node, %error, "node link is dead, dropping it");
                        session.close();
                    }
                }
            }
        }
        // Only our own entry: a newer session may have replaced it.
        let mut sessions = self.sessions.lock();
        if sessions.get(node).is_some_and(Session::is_closed) {
            sessions.remove(node);
        }
        Ok(())
    }

    /// Opens a stream to `node` for `request`; returns once the node has accepted it.
    pub async fn open(&self, node: &str, request: Request) -> Result<LinkStream, LinkError> {
        let deadline = Instant::now() + CONNECT_WITHIN;
        loop {
            let arrived = self.arrived.notified();
            let session = self.sessions.lock().get(node).cloned();
            if let Some(session) = session.filter(|s| !s.is_closed()) {
                match self.ask(&session, node, &request).await {
                    // The session died under the request: wait for its successor.
                    Err(LinkError::Lost(_)) if Instant::now() < deadline => {}
                    answer => return answer,
                }
            }
            if timeout_at(deadline, arrived).await.is_err() {
                return Err(LinkError::NotConnected(node.to_owned()));
            }
        }
    }

    /// Names of the connected nodes, in no order.
    pub fn connected(&self) -> Vec<String> {
        let sessions = self.sessions.lock();
        sessions.iter().filter(|(_, s)| !s.is_closed()).map(|(n, _)| n.clone()).collect()
    }

    async fn ask(
        &self,
        session: &Session,
        node: &str,
        request: &Request,
    ) -> Result<LinkStream, LinkError> {
        let exchange = async {
            let mut stream = session.open().await?;
            frame::write(&mut stream, request).await?;
            match frame::read(&mut stream).await? {
                Reply::Accepted => Ok(stream),
                Reply::Refused { code, reason, message } => {
                    Err(LinkError::Refused { code, reason, message })
                }
            }
        };
        timeout(ANSWER_WITHIN, exchange).await.unwrap_or_else(|_| {
            Err(LinkError::Timeout { node: node.to_owned(), seconds: ANSWER_WITHIN.as_secs() })
        })
    }
}
