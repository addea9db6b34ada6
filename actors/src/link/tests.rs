//! Hub, dialer and balancer over loopback TCP with TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::*;

const NAME: &str = "kubernetes.default.svc";
const PATIENCE: Duration = Duration::from_secs(10);

fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    // A second installation in the same process is no error.
    drop(rustls::crypto::ring::default_provider().install_default());
    let key = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let cert = key.cert.der().clone();
    let private = rustls_pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], private)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).unwrap();
    let client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A member: TLS, answers `/readyz`, upgrades `/kabuki/v1/link` into the hub.
struct Member {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Member {
    async fn start(name: &'static str, tls: Arc<rustls::ServerConfig>, hub: Arc<Hub>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let accepting = stop.clone();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = accepting.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                let (tls, hub, stop) = (tls.clone(), hub.clone(), accepting.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = Self::serve(name, accepted, tls, hub) => {}
                    }
                });
            }
        });
        Self { address, stop }
    }

    async fn serve(name: &str, io: TcpStream, tls: Arc<rustls::ServerConfig>, hub: Arc<Hub>) {
        let Ok(mut io) = TlsAcceptor::from(tls).accept(io).await else { return };
        while let Ok(head) = upgrade::read_head(&mut io).await {
            if head.starts_with("GET /kabuki/v1/link ") {
                io.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
                io.flush().await.unwrap();
                hub.register("n1", io).await.unwrap();
                return;
            }
            let body = if head.starts_with("GET /readyz") { "ok" } else { name };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            io.write_all(answer.as_bytes()).await.unwrap();
            io.flush().await.unwrap();
        }
    }
}

struct Node;

#[async_trait]
impl Handler for Node {
    async fn handle(&self, request: Request, responder: Responder) {
        match request {
            Request::Logs(logs) if logs.container == "missing" => {
                responder.refuse(400, "BadRequest", "no such container").await.unwrap();
            }
            Request::Logs(logs) => {
                let mut stream = responder.accept().await.unwrap();
                let line = format!("lines of {}\n", logs.pod);
                stream.write_all(line.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            _ => responder.refuse(501, "NotImplemented", "not in this test").await.unwrap(),
        }
    }
}

fn dial(
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
) -> (Dialer, watch::Sender<Vec<String>>) {
    let (list, members) = watch::channel(vec![address.to_string()]);
    let config =
        DialerConfig { members, tls, server_name: NAME.to_owned(), handler: Arc::new(Node) };
    (Dialer::start(config), list)
}

fn logs(pod: &str, container: &str) -> Request {
    Request::Logs(LogRequest {
        pod: pod.to_owned(),
        container: container.to_owned(),
        ..LogRequest::default()
    })
}

#[tokio::test]
async fn a_member_reads_from_a_node_and_hears_its_refusals() {
    let (server, client) = tls();
    let hub = Arc::new(Hub::new());
    let member = Member::start("m1", server, hub.clone()).await;
    let (_dialer, _list) = dial(member.address, client);

    let mut stream = hub.open("n1", logs("web-1", "c")).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "lines of web-1\n");

    match hub.open("n1", logs("web-1", "missing")).await {
        Err(LinkError::Refused { code: 400, message, .. }) => {
            assert_eq!(message, "no such container")
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert!(matches!(
        hub.open("other", Request::ActorTree).await,
        Err(LinkError::NotConnected(node)) if node == "other"
    ));
    assert_eq!(hub.connected(), ["n1"]);
}

#[tokio::test]
async fn a_lost_session_is_dialled_again() {
    let (server, client) = tls();
    let hub = Arc::new(Hub::new());
    let first = Member::start("m1", server.clone(), hub.clone()).await;
    let (_dialer, list) = dial(first.address, client);
    hub.open("n1", logs("p", "c")).await.unwrap();
    first.stop.cancel();
    let second = Member::start("m2", server, hub.clone()).await;
    list.send(vec![second.address.to_string()]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while hub.open("n1", logs("p", "c")).await.is_err() {
        assert!(Instant::now() < deadline, "the node did not come back");
    }
}

async fn who(through: SocketAddr, tls: Arc<rustls::ClientConfig>) -> Option<String> {
    let tcp = TcpStream::connect(through).await.ok()?;
    let name = NAME.try_into().unwrap();
    let mut io = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.ok()?;
    io.write_all(b"GET /who HTTP/1.1\r\n\r\n").await.ok()?;
    let head = upgrade::read_head(&mut io).await.ok()?;
    assert!(head.contains("200"));
    let mut body = [0; 2];
    io.read_exact(&mut body).await.ok()?;
    Some(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_balancer_prefers_order_and_leaves_a_dead_member() {
    let (server, client) = tls();
    let hub = Arc::new(Hub::new());
    let one = Member::start("m1", server.clone(), hub.clone()).await;
    let two = Member::start("m2", server, hub).await;
    let (_list, members) = watch::channel(vec![one.address.to_string(), two.address.to_string()]);
    let config = BalancerConfig { members, tls: client.clone(), server_name: NAME.to_owned() };
    let balancer = Balancer::start(config).await.unwrap();
    assert_eq!(who(balancer.address(), client.clone()).await.as_deref(), Some("m1"));

    // A connection to the dead member ends, and new ones reach the other.
    let mut held = TcpStream::connect(balancer.address()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    one.stop.cancel();
    let mut byte = [0; 1];
    timeout(PATIENCE, held.read(&mut byte)).await.expect("the dead connection stays").ok();
    assert_eq!(who(balancer.address(), client).await.as_deref(), Some("m2"));
}
