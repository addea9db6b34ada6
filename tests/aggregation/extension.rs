//! A small extension API server: HTTPS that wants the front proxy's certificate, one resource, a
//! watch and a stream.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Its group version.
pub const GROUP: &str = "wardle.example.com";
pub const VERSION: &str = "v1alpha1";

/// A request it was sent.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and headers, in lower case.
    pub head: String,
    pub body: String,
    /// Common name of the client's certificate.
    pub client: String,
}

type Stream = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

/// A running extension server.
pub struct Extension {
    pub port: u16,
    /// PEM of its authority, as `caBundle` carries it.
    pub ca_bundle: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Extension {
    /// Serves on loopback as `api.default.svc`, for clients whose certificates `client_ca` signed.
    pub fn start(client_ca: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca");
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(["api.default.svc".to_owned()]).expect("names");
        let certificate = params.signed_by(&key, &authority).expect("certificate");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(client_ca.as_bytes()).expect("ca")).expect("ca");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("verifier"))
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("tls");
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let port = listener.local_addr().expect("address").port();
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let extension = Self {
            port,
            ca_bundle: STANDARD.encode(authority.pem()),
            seen: Arc::clone(&seen),
            stop: Arc::clone(&stop),
        };
        let tls = Arc::new(tls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (tls, seen) = (Arc::clone(&tls), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, tls, &seen));
            }
        });
        extension
    }

    /// The requests it was sent since the last call, without those of the aggregator itself.
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen = std::mem::take(&mut *self.seen.lock().expect("seen"));
        seen.retain(|s| !s.head.contains("x-remote-user: system:kube-aggregator"));
        seen
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener; nobody needs the connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: TcpStream, tls: Arc<rustls::ServerConfig>, seen: &Mutex<Vec<Seen>>) {
    let connection = rustls::ServerConnection::new(tls).expect("connection");
    let mut stream = Stream::new(connection, stream);
    // A client that goes away ends the connection.
    while let Some((head, body)) = request(&mut stream) {
        let client = stream.conn.peer_certificates().and_then(|c| c.first()).map(common_name);
        let client = client.unwrap_or_default();
        seen.lock().expect("seen").push(Seen { head: head.to_lowercase(), body, client });
        let target = head.split(' ').nth(1).unwrap_or_default();
        let done = if head.to_lowercase().contains("upgrade: websocket") {
            echo(&mut stream)
        } else if target.contains("watch=true") {
            watch(&mut stream)
        } else {
            answer(&mut stream, &head, target.split('?').next().unwrap_or_default())
        };
        if done.is_none() {
            return;
        }
    }
}

fn common_name(certificate: &CertificateDer<'_>) -> String {
    let (_, parsed) = X509Certificate::from_der(certificate).expect("certificate");
    let name = parsed.subject().iter_common_name().next().and_then(|n| n.as_str().ok());
    name.unwrap_or_default().to_owned()
}

fn answer(stream: &mut Stream, head: &str, path: &str) -> Option<()> {
    let whole = format!("{GROUP}/{VERSION}");
    let (code, body) = match path.strip_prefix(&format!("/apis/{whole}")) {
        Some("" | "/") => (
            200,
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": whole,
                "resources": [
                    {"name": "flunders", "singularName": "flunder", "namespaced": true,
                        "kind": "Flunder", "verbs": ["create", "get", "list", "watch"]},
                    {"name": "flunders/status", "singularName": "", "namespaced": true,
                        "kind": "Flunder", "verbs": ["get"]}]}),
        ),
        Some(_) if head.starts_with("POST") => (201, json!({"kind": "Flunder"})),
        Some(_) => (200, json!({"kind": "FlunderList", "apiVersion": whole, "items": []})),
        None if path == "/openapi/v3" => (
            200,
            json!({"paths": {format!("apis/{whole}"):
                {"serverRelativeURL": format!("/openapi/v3/apis/{whole}?hash=1")}}}),
        ),
        None => (404, json!({"kind": "Status", "code": 404})),
    };
    let body = body.to_string();
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\nx-own: yes\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).ok()
}

/// Two events, one of them later; then the connection ends.
fn watch(stream: &mut Stream) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    for name in ["a", "b"] {
        let event: Value = json!({"type": "ADDED", "object": {"metadata": {"name": name}}});
        stream.write_all(format!("{event}\n").as_bytes()).and_then(|()| stream.flush()).ok()?;
        std::thread::sleep(Duration::from_millis(300));
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
    None
}

/// Changes the protocol and says everything again, until `.`.
fn echo(stream: &mut Stream) -> Option<()> {
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).ok()?;
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).ok()?;
        stream.write_all(&byte).and_then(|()| stream.flush()).ok()?;
        if byte == *b"." {
            stream.conn.send_close_notify();
            let _ = stream.flush();
            return None;
        }
    }
}

fn request(stream: &mut Stream) -> Option<(String, String)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}
