//! HTTP and TLS that are no HTTP and TLS: shapes that smuggle requests, heads without end, garbage,
//! clients that never finish.

use std::{sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::case::{Door, Report};

/// How long the server may hold on to a client that does not go on: its limit for a request head is
/// 10 s, that for a handshake 5 s.
const HOLD_LIMIT: Duration = Duration::from_secs(14);
/// Connections that never finish their head.
const SLOW: usize = 200;

pub fn run(door: &Door<'_>, report: &mut Report) {
    heads(door, report);
    garbage(door, report);
    let ready = door.get("/readyz");
    report.check("readyz beside slow clients", &format!("{} {}", ready.code, ready.text), "200 ok");
}

fn heads(door: &Door<'_>, report: &mut Report) {
    let long = "x".repeat(300_000);
    let get = "GET /version HTTP/1.1\r\nHost: k\r\n";
    let post = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: k\r\n";
    let many = (0..200).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    for (name, bytes, want) in [
        (
            "two lengths",
            format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}x"),
            "HTTP/1.1 400*",
        ),
        (
            "a length and chunks",
            format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "HTTP/1.1 400*",
        ),
        ("a negative length", format!("{post}Content-Length: -1\r\n\r\n"), "HTTP/1.1 400*"),
        ("a signed length", format!("{post}Content-Length: +2\r\n\r\n{{}}"), "HTTP/1.1 400*"),
        (
            "a chunk that is no number",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            "HTTP/1.1 40*",
        ),
        (
            "an unknown encoding",
            format!("{post}Transfer-Encoding: gzip, identity\r\n\r\n"),
            "HTTP/1.1 40*",
        ),
        ("a space before the colon", format!("{get}X : y\r\n\r\n"), "HTTP/1.1 400*"),
        ("a folded header", format!("{get}X: a\r\n b: c\r\n\r\n"), "HTTP/1.1 400*"),
        ("no such version", "GET /version HTTP/9.9\r\nHost: k\r\n\r\n".to_owned(), "*"),
        ("a zero byte in a header", format!("{get}X: a\0b\r\n\r\n"), "HTTP/1.1 400*"),
        ("a head of 300 kB", format!("{get}X: {long}\r\n\r\n"), "HTTP/1.1 4*"),
        ("200 headers", format!("{get}{many}\r\n"), "HTTP/1.1 4*"),
        ("a path of 300 kB", format!("GET /{long} HTTP/1.1\r\nHost: k\r\n\r\n"), "HTTP/1.1 4*"),
    ] {
        let got = door
            .member()
            .host
            .block_on(exchange(door.member().host.address.to_string(), bytes.into_bytes()));
        // One answer and no second one: what followed was not taken for a request.
        let got =
            if got.matches("HTTP/1.1 ").count() > 1 { format!("two answers: {got}") } else { got };
        report.check(name, &got, want);
    }
}

/// Sends bytes over TLS and reads what comes until the server closes or is silent for a second.
async fn exchange(address: String, bytes: Vec<u8>) -> String {
    let tcp = match TcpStream::connect((address, 6443)).await {
        Ok(tcp) => tcp,
        Err(e) => return e.to_string(),
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting()));
    let name = ServerName::try_from("kubernetes").expect("name");
    let mut tls = match connector.connect(name, tcp).await {
        Ok(tls) => tls,
        Err(e) => return e.to_string(),
    };
    // The server may close before it has read everything.
    let _ = tls.write_all(&bytes).await;
    let _ = tls.flush().await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_secs(1), tls.read(&mut buffer)).await
    {
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..n]);
    }
    if answer.is_empty() {
        "closed".to_owned()
    } else {
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn garbage(door: &Door<'_>, report: &mut Report) {
    let hello_then_junk: Vec<u8> =
        [0x16, 3, 1, 0xff, 0xff].into_iter().chain([0x41; 70_000]).collect();
    for (port, what) in [(6443, "the API"), (6444, "the peers")] {
        for (name, bytes) in [
            ("plain HTTP", b"GET / HTTP/1.1\r\nHost: k\r\n\r\n".to_vec()),
            ("a TLS record of junk", hello_then_junk.clone()),
            ("zeros", vec![0; 100_000]),
            ("nothing", Vec::new()),
        ] {
            let address = door.member().host.address.to_string();
            let got = door.member().host.block_on(async move {
                let mut tcp = TcpStream::connect((address, port)).await.expect("connect");
                let _ = tcp.write_all(&bytes).await;
                let _ = tcp.shutdown().await;
                let mut answer = Vec::new();
                let read = tcp.read_to_end(&mut answer);
                match tokio::time::timeout(HOLD_LIMIT, read).await {
                    Err(_) => "held".to_owned(),
                    Ok(_) if answer.starts_with(b"HTTP") => "answered".to_owned(),
                    Ok(_) => "closed".to_owned(),
                }
            });
            report.check(&format!("{name} to {what}"), &got, "closed");
        }
    }
}

/// Opens connections that send a byte of their head each second, on both ports; answers how many are
/// left when the limit is over.
pub fn slow_clients(door: &Door<'_>) -> std::thread::JoinHandle<String> {
    let host = door.member().host.clone();
    std::thread::spawn(move || {
        host.block_on(async {
            let address = host.address.to_string();
            let mut clients = Vec::new();
            for at in 0..SLOW {
                let address = address.clone();
                clients.push(tokio::spawn(async move { slow(address, at % 4 == 0).await }));
            }
            let mut left = 0;
            for client in clients {
                left += usize::from(client.await.unwrap_or(true));
            }
            format!("{left} left")
        })
    })
}

/// True if the server still listens to this client after the limit.
async fn slow(address: String, plain: bool) -> bool {
    let begin = tokio::time::Instant::now();
    let port = if plain { 6444 } else { 6443 };
    let Ok(mut tcp) = TcpStream::connect((address, port)).await else { return false };
    if plain {
        // The first bytes of a handshake, and then nothing.
        let _ = tcp.write_all(&[0x16, 3, 1]).await;
        let mut byte = [0; 1];
        return tokio::time::timeout(HOLD_LIMIT, tcp.read(&mut byte)).await.is_err();
    }
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting()));
    let name = ServerName::try_from("kubernetes").expect("name");
    let Ok(mut tls) = connector.connect(name, tcp).await else { return false };
    let mut byte = [0; 1];
    for letter in b"GET /version HTTP/1.1\r\nX-Very-Slow: ".iter().cycle() {
        if begin.elapsed() > HOLD_LIMIT {
            return true;
        }
        if tls.write_all(&[*letter]).await.is_err() || tls.flush().await.is_err() {
            return false;
        }
        let pause = Duration::from_secs(1);
        // Anything that comes, an answer or an end, means that the head is not waited for.
        if tokio::time::timeout(pause, tls.read(&mut byte)).await.is_ok() {
            return false;
        }
    }
    false
}

/// A client configuration that takes any certificate: these clients are the bad ones.
pub fn trusting() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth()
}

/// Takes every certificate.
#[derive(Debug)]
pub struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
