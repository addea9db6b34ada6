//! The node's side of the link: dials every member and answers what they ask.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use rustls_pki_types::ServerName;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use yamux::Mode;

use super::{
    LinkError, LinkStream,
    frame::{self, Reply, Request},
    hub::KEEPALIVE,
    session::Session,
    upgrade::upgrade,
};

/// First and longest pause between two attempts to reach a member.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// TCP, TLS and upgrade together.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// A member that has not pinged for so long is dead: four of its intervals.
const SILENCE: Duration = KEEPALIVE.saturating_mul(4);
/// How long a member may take to send the header of a stream it opened.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// Requests of one member answered at once.
const MAX_REQUESTS: usize = 128;

/// Answers what a member asks of this node.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; [`Request::Ping`] never comes here.
    async fn handle(&self, request: Request, responder: Responder);
}

/// The node's half of a stream whose request is not answered yet.
#[derive(Debug)]
pub struct Responder(LinkStream);

impl Responder {
    /// Says yes and returns the stream for the bytes.
    pub async fn accept(mut self) -> Result<LinkStream, LinkError> {
        frame::write(&mut self.0, &Reply::Accepted).await?;
        Ok(self.0)
    }

    /// Says no, with the fields of a Kubernetes Status.
    pub async fn refuse(
        mut self,
        code: u16,
        reason: &str,
        message: impl Into<String>,
    ) -> Result<(), LinkError> {
        let reply = Reply::Refused { code, reason: reason.to_owned(), message: message.into() };
        frame::write(&mut self.0, &reply).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut self.0).await?;
        Ok(())
    }
}

/// What a node needs to dial the members.
#[derive(Clone)]
pub struct DialerConfig {
    /// Addresses (`host:port`) of the members' API ports; changes are followed.
    pub members: watch::Receiver<Vec<String>>,
    /// TLS with the node's client certificate and the cluster's CA.
    pub tls: Arc<rustls::ClientConfig>,
    /// Name checked in the members' certificates, for example `kubernetes.default.svc`.
    pub server_name: String,
    /// Who answers.
    pub handler: Arc<dyn Handler>,
}

/// Keeps one link to every member until dropped.
#[derive(Debug)]
pub struct Dialer {
    stop: CancellationToken,
}

impl Dialer {
    /// Starts dialling on the current tokio runtime.
    #[must_use]
    pub fn start(config: DialerConfig) -> Self {
        let stop = CancellationToken::new();
        tokio::spawn(follow_members(config, stop.clone()));
        Self { stop }
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn follow_members(mut config: DialerConfig, stop: CancellationToken) {
    let mut links: HashMap<String, CancellationToken> = HashMap::new();
    loop {
        let members = config.members.borrow_and_update().clone();
        links.retain(|member, link| {
            let kept = members.contains(member);
            if !kept {
                link.cancel();
            }
            kept
        });
        for member in members {
            links.entry(member.clone()).or_insert_with(|| {
                let link = stop.child_token();
                tokio::spawn(keep_link(config.clone(), member, link.clone()));
                link
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = config.members.changed() => if changed.is_err() {
                // The list's owner is gone; the links live on until the dialer is dropped.
                stop.cancelled().await;
                return;
            },
        }
    }
}

async fn keep_link(config: DialerConfig, member: String, stop: CancellationToken) {
    let mut pause = RETRY_MIN;
    loop {
        let attempt = async {
            let session =
                timeout(DIAL_WITHIN, dial(&config, &member)).await.unwrap_or_else(|_| {
                    Err(LinkError::Timeout { node: member.clone(), seconds: DIAL_WITHIN.as_secs() })
                })?;
            tracing::info!(member, "linked to member");
            serve(&config, session).await;
            Ok::<(), LinkError>(())
        };
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = attempt => ended,
        };
        match ended {
            Ok(()) => {
                tracing::info!(member, "link to member ended, dialling again");
                pause = RETRY_MIN;
            }
            Err(error) => tracing::debug!(member, %error, "cannot link to member yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
        }
    }
}

type Served = (Session, tokio::sync::mpsc::Receiver<LinkStream>);

async fn dial(config: &DialerConfig, member: &str) -> Result<Served, LinkError> {
    let tcp = TcpStream::connect(member).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(config.server_name.clone())
        .map_err(|e| LinkError::Protocol(format!("server name {}: {e}", config.server_name)))?;
    let mut tls = TlsConnector::from(config.tls.clone()).connect(name, tcp).await?;
    upgrade(&mut tls, &config.server_name).await?;
    Ok(Session::start(tls, Mode::Server))
}

/// Answers streams until the session ends or the member falls silent.
async fn serve(config: &DialerConfig, (session, mut streams): Served) {
    // A dialer that is dropped, or whose member left, must hang up.
    let _hang_up = session.closed_on_drop();
    let mut requests = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = session.closed() => break,
            Some(_) = requests.join_next() => continue,
            stream = timeout(SILENCE, streams.recv()) => stream,
        };
        match stream {
            Ok(Some(stream)) if requests.len() < MAX_REQUESTS => {
                requests.spawn(answer(config.handler.clone(), stream));
            }
            Ok(Some(stream)) => {
                let refusal = Responder(stream).refuse(
                    429,
                    "TooManyRequests",
                    format!("{MAX_REQUESTS} requests of this member are being answered already"),
                );
                requests.spawn(async move { drop(refusal.await) });
            }
            Ok(None) => break,
            Err(_) => {
                tracing::info!("member has been silent for {} s", SILENCE.as_secs());
                break;
            }
        }
    }
    session.close();
}

async fn answer(handler: Arc<dyn Handler>, mut stream: LinkStream) {
    match timeout(HEADER_WITHIN, frame::read::<_, Request>(&mut stream)).await {
        Ok(Ok(Request::Ping)) => {
            if let Err(error) = Responder(stream).accept().await {
                tracing::debug!(%error, "cannot answer a ping");
            }
        }
        Ok(Ok(request)) => handler.handle(request, Responder(stream)).await,
        Ok(Err(error)) => {
            let told = Responder(stream).refuse(400, "BadRequest", error.to_string()).await;
            tracing::debug!(%error, told = told.is_ok(), "refused a link stream");
        }
        Err(_) => tracing::debug!("a link stream sent no header"),
    }
}
