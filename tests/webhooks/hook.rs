//! A webhook: a small HTTPS server in the test's process that answers what it is told to.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// What a webhook does with a review at a path: the body it answers with code 200, or the code.
pub type Behaviour = dyn Fn(&str, &Value) -> Result<Value, u16> + Send + Sync;

/// A running webhook.
pub struct Webhook {
    pub port: u16,
    /// PEM of the authority, as `caBundle` carries it.
    pub ca_bundle: String,
    seen: Arc<Mutex<Vec<Value>>>,
    stop: Arc<AtomicBool>,
}

impl Webhook {
    /// Serves on loopback, with a certificate for `names`.
    pub fn start(names: &[&str], behaviour: Arc<Behaviour>) -> Self {
        let mut params = CertificateParams::new([]).expect("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &authority).expect("certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("tls");
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let port = listener.local_addr().expect("address").port();
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let hook = Self {
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
                let (tls, behaviour, seen) =
                    (Arc::clone(&tls), Arc::clone(&behaviour), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, tls, &*behaviour, &seen));
            }
        });
        hook
    }

    /// The reviews it was sent since the last call, with `path`.
    pub fn seen(&self) -> Vec<Value> {
        std::mem::take(&mut self.seen.lock().expect("seen"))
    }

    /// `clientConfig` by address.
    pub fn by_url(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.ca_bundle})
    }

    /// `clientConfig` by Service `default/hook`.
    pub fn by_service(&self, path: &str) -> Value {
        json!({"caBundle": self.ca_bundle,
            "service": {"namespace": "default", "name": "hook", "port": self.port, "path": path}})
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener; nobody needs the connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    stream: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    behaviour: &Behaviour,
    seen: &Mutex<Vec<Value>>,
) {
    let connection = rustls::ServerConnection::new(tls).expect("connection");
    let mut stream = rustls::StreamOwned::new(connection, stream);
    // A client that goes away ends the connection.
    while let Some((head, body)) = request(&mut stream) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
        review["path"] = path.as_str().into();
        review["head"] = head.into();
        seen.lock().expect("seen").push(review.clone());
        let (code, body) = match behaviour(path.split('?').next().unwrap_or_default(), &review) {
            Ok(body) => (200, body.to_string()),
            Err(code) => (code, "boom".to_owned()),
        };
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
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
    Some((head, body))
}

/// An answer to a review that allows it and patches the object.
pub fn patch(review: &Value, operations: &Value) -> Value {
    let mut answer = allow(review);
    answer["response"]["patchType"] = "JSONPatch".into();
    answer["response"]["patch"] = STANDARD.encode(operations.to_string()).into();
    answer
}

/// An answer to a review that allows it.
pub fn allow(review: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true}})
}

/// An answer to a review that refuses it.
pub fn deny(review: &Value, result: Value) -> Value {
    let mut answer = allow(review);
    answer["response"]["allowed"] = false.into();
    answer["response"]["status"] = result;
    answer
}
