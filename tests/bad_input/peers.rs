//! Raft peers and nodes that speak nonsense, with and without a right certificate.

use std::{sync::Arc, time::Duration};

use kabuki::pki::{Authority, ClusterPki, Issued, Subject};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::case::{Door, Report};

const PEERS: u16 = 6444;
const API: u16 = 6443;
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const HELLO: u8 = 0;
const APPEND: u8 = 1;

type Tls = TlsStream<TcpStream>;

/// Who a bad peer says it is.
struct Peer {
    identity: Option<Issued>,
    address: String,
    hello: Value,
}

pub fn run(door: &Door<'_>, report: &mut Report) {
    let dir = &door.member().data_dir;
    let pki = ClusterPki::load(&dir.join("pki")).expect("pki").expect("pki");
    let text = std::fs::read_to_string(dir.join("member.json")).expect("member.json");
    let member: Value = serde_json::from_str(&text).expect("member.json");
    let find = |names: [&str; 2]| {
        names.iter().map(|n| &member[*n]).find(|v| !v.is_null()).cloned().unwrap_or_default()
    };
    let mut peer = Peer {
        identity: Some(member_of(&pki.peer_ca)),
        address: door.member().host.address.to_string(),
        hello: json!({"version": 1, "cluster_id": find(["cluster_id", "clusterId"]), "from": 77,
            "to": find(["member_id", "id"])}),
    };
    authenticated(door, report, &peer);
    greetings(door, report, &peer);
    peer.identity = None;
    strangers(door, report, &mut peer, &pki);
    link(door, report, &pki);
}

/// What a member would show that this authority knows.
fn member_of(authority: &Authority) -> Issued {
    let subject = Subject {
        common_name: "kabuki:member:77".into(),
        dns_names: vec![kabuki::pki::PEER_NAME.into()],
        server: true,
        client: true,
        ..Subject::default()
    };
    authority.issue(&subject).expect("certificate")
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(9 + body.len()).expect("length").to_be_bytes().to_vec();
    out.push(kind);
    out.extend_from_slice(&7u64.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A member's certificate, and frames no member sends.
fn authenticated(door: &Door<'_>, report: &mut Report, peer: &Peer) {
    let head = |head: &str, rest: &[u8]| {
        let length = u32::try_from(head.len()).expect("length").to_be_bytes();
        [&length[..], head.as_bytes(), rest].concat()
    };
    let vote = r#"{"vote":{"leader_id":{"term":99,"voted_for":77},"committed":true},"prev_log_id":null,"leader_commit":null}"#;
    let manifest = json!({"version": 1, "files": [{"name": "../../x", "size": 1}],
        "meta": {"last_log_id": null, "snapshot_id": "x",
            "last_membership": {"log_id": null, "membership": {"configs": [], "nodes": {}}}}});
    for (name, bytes, want) in [
        ("a frame of 4 GiB", vec![0xff; 13], "closed"),
        ("a frame shorter than its head", [&[0, 0, 0, 1], &[0u8; 9][..]].concat(), "closed"),
        ("an unknown kind of frame", frame(99, b""), "closed"),
        ("a frame cut in the middle", frame(APPEND, &[0; 100])[..50].to_vec(), "silent"),
        ("an append of junk", frame(APPEND, b"\xff\xff\xff\xff"), "refused malformed head*"),
        ("an append with a head of 4 GiB", frame(APPEND, &[0xff; 64]), "refused malformed head*"),
        (
            "an append of four billion entries",
            frame(APPEND, &head(vote, &[0xff; 4])),
            "refused a message has at most 65536 entries",
        ),
        (
            "an append with a broken entry",
            frame(APPEND, &head(vote, &[0, 0, 0, 1, 0, 0, 0, 2, 1, 1])),
            "refused malformed *",
        ),
        ("a vote that is no JSON", frame(2, b"{"), "refused *"),
        ("a vote of deep JSON", frame(2, "[".repeat(100_000).as_bytes()), "refused *"),
        (
            "a forwarded write of junk",
            frame(8, b"\x01\xff\xff\xff\xff"),
            "refused malformed command count*",
        ),
        (
            "a write with cut values",
            frame(8, b"\x01\0\0\0\x01\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x01\0\x02/a\xff\xff\xff\xff"),
            "refused malformed *",
        ),
        ("a snapshot that leads out", frame(5, manifest.to_string().as_bytes()), "refused *"),
        ("a piece without a snapshot", frame(6, b""), "refused no snapshot was begun"),
        ("an end without a snapshot", frame(7, b""), "refused no snapshot was begun"),
        ("an answer to no question", frame(128, b"x"), "refused this frame is not a request"),
        ("a second greeting", frame(HELLO, b"{}"), "refused this frame is not a request"),
        (
            "an unknown change of members",
            frame(10, br#"{"Explode":{}}"#),
            "refused unknown variant *",
        ),
    ] {
        let got = door.member().host.block_on(async {
            let mut tls = match peer.connect(PEERS).await {
                Ok(tls) => tls,
                Err(e) => return format!("no connection: {e}"),
            };
            let greeting = frame(HELLO, peer.hello.to_string().as_bytes());
            let greeted = ask(&mut tls, &greeting).await;
            if greeted != "answer" {
                return format!("greeting: {greeted}");
            }
            ask(&mut tls, &bytes).await
        });
        report.check(name, &got, want);
    }
}

/// A member's certificate, and greetings no member sends.
fn greetings(door: &Door<'_>, report: &mut Report, peer: &Peer) {
    let changed = |key: &str, value: Value| {
        let mut hello = peer.hello.clone();
        hello[key] = value;
        frame(HELLO, hello.to_string().as_bytes())
    };
    for (name, bytes, want) in [
        (
            "another cluster",
            changed("cluster_id", "other".into()),
            "refused this member belongs to another cluster",
        ),
        ("another member", changed("to", 5.into()), "refused this is member *, not member 5"),
        (
            "another version",
            changed("version", 99.into()),
            "refused this member speaks versions * the caller 99 to 99; upgrade this member",
        ),
        ("a greeting of 5,000 bytes", changed("cluster_id", "x".repeat(5_000).into()), "closed"),
        ("a greeting that is none", frame(HELLO, b"hi"), "closed"),
        ("a vote before the greeting", frame(2, b"{}"), "closed"),
    ] {
        let got = door.member().host.block_on(async {
            match peer.connect(PEERS).await {
                Ok(mut tls) => ask(&mut tls, &bytes).await,
                Err(e) => format!("no connection: {e}"),
            }
        });
        report.check(name, &got, want);
    }
}

/// No certificate, a node's, and one of another authority.
fn strangers(door: &Door<'_>, report: &mut Report, peer: &mut Peer, pki: &ClusterPki) {
    let foreign = Authority::create("another cluster").expect("authority");
    let node = pki.client("system:node:u", &["system:nodes"]).expect("certificate");
    let admin = pki.client("kubernetes-admin", &["system:masters"]).expect("certificate");
    for (name, identity) in [
        ("a peer without certificate", None),
        ("a node's certificate on the peers' port", Some(node)),
        ("an administrator's certificate on the peers' port", Some(admin)),
        ("a certificate of another authority", Some(member_of(&foreign))),
    ] {
        peer.identity = identity;
        let hello = frame(HELLO, peer.hello.to_string().as_bytes());
        let got = door.member().host.block_on(async {
            match peer.connect(PEERS).await {
                Ok(mut tls) => ask(&mut tls, &hello).await,
                Err(_) => "closed".to_owned(),
            }
        });
        report.check(name, &got, "closed");
    }
    let admin = Subject {
        common_name: "kubernetes-admin".into(),
        organizations: vec!["system:masters".into()],
        client: true,
        ..Subject::default()
    };
    peer.identity = Some(foreign.issue(&admin).expect("certificate"));
    let got = door.member().host.block_on(async {
        match peer.connect(API).await {
            Ok(mut tls) => {
                raw(
                    &mut tls,
                    b"GET /api/v1/secrets HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n",
                )
                .await
            }
            Err(_) => "closed".to_owned(),
        }
    });
    report.check("a foreign administrator at the API", &got, "closed");
}

/// Nodes' connections.
fn link(door: &Door<'_>, report: &mut Report, pki: &ClusterPki) {
    let upgrade = "GET /kabuki/v1/link HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: kabuki-link\r\nUpgrade: websocket\r\n\r\n";
    let plain = "GET /kabuki/v1/link HTTP/1.1\r\nHost: k\r\n\r\n";
    let node = || pki.client("system:node:ghost", &["system:nodes"]).expect("certificate");
    let admin = || pki.client("kubernetes-admin", &["system:masters"]).expect("certificate");
    let window = [&[0u8, 1, 0, 0, 0, 0, 0, 9][..], &[0xff; 4]].concat();
    for (name, identity, bytes, want) in [
        ("a link of an administrator", Some(admin()), upgrade.as_bytes().to_vec(), "HTTP/1.1 403*"),
        ("a link without certificate", None, upgrade.as_bytes().to_vec(), "HTTP/1.1 403*"),
        ("a link without upgrade", Some(node()), plain.as_bytes().to_vec(), "HTTP/1.1 400*"),
        (
            "a link of junk",
            Some(node()),
            [upgrade.as_bytes(), &[0x41; 5_000]].concat(),
            "HTTP/1.1 101*",
        ),
        (
            "a link with a window of 4 GiB",
            Some(node()),
            [upgrade.as_bytes(), &window].concat(),
            "HTTP/1.1 101*",
        ),
        (
            "a link with an endless frame",
            Some(node()),
            [upgrade.as_bytes(), &[0, 0, 0, 1, 0, 0, 0, 2], &[0xff; 4], &[0; 9_000]].concat(),
            "HTTP/1.1 101*",
        ),
    ] {
        let peer =
            Peer { identity, address: door.member().host.address.to_string(), hello: Value::Null };
        let got = door.member().host.block_on(async {
            match peer.connect(API).await {
                Ok(mut tls) => raw(&mut tls, &bytes).await,
                Err(e) => format!("no connection: {e}"),
            }
        });
        report.check(name, &got, want);
    }
}

impl Peer {
    /// Connects without checking whom: what is tried is how the server takes it.
    async fn connect(&self, port: u16) -> std::io::Result<Tls> {
        let mut config = crate::http_shapes::trusting();
        if let Some(identity) = &self.identity {
            let certs = kabuki::pki::parse_certs("peer", &identity.cert_pem).expect("PEM");
            let key = kabuki::pki::parse_key("peer", &identity.key_pem).expect("PEM");
            config = rustls::ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(crate::http_shapes::Anybody))
                .with_client_auth_cert(certs, key)
                .expect("identity");
        }
        let tcp = TcpStream::connect((self.address.as_str(), port)).await?;
        let ip: std::net::IpAddr = self.address.parse().expect("address");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(ServerName::from(ip), tcp).await
    }
}

/// Sends bytes and says what came back: `answer`, `refused TEXT`, `closed` or `silent`.
async fn ask(tls: &mut Tls, bytes: &[u8]) -> String {
    if tls.write_all(bytes).await.is_err() || tls.flush().await.is_err() {
        return "closed".to_owned();
    }
    let mut head = [0; 13];
    match tokio::time::timeout(ANSWER_LIMIT, tls.read_exact(&mut head)).await {
        Err(_) => return "silent".to_owned(),
        Ok(Err(_)) => return "closed".to_owned(),
        Ok(Ok(_)) => {}
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let mut body = vec![0; length.saturating_sub(9).min(1 << 20)];
    if tls.read_exact(&mut body).await.is_err() {
        return "cut".to_owned();
    }
    match head[4] {
        128 => "answer".to_owned(),
        129 => format!("refused {}", String::from_utf8_lossy(&body)),
        other => format!("kind {other}"),
    }
}

/// Sends bytes and answers what comes within a second.
async fn raw(tls: &mut Tls, bytes: &[u8]) -> String {
    let _ = tls.write_all(bytes).await;
    let _ = tls.flush().await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let wait = Duration::from_secs(1);
    while let Ok(Ok(n)) = tokio::time::timeout(wait, tls.read(&mut buffer)).await {
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
