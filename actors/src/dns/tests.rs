//! Names in, records out; and the server over real sockets with a resolver behind it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use hickory_proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::{
    forward::Forwarder,
    listen::Sockets,
    respond::{Counts, Reply, Responder},
    zone::Zone,
};
use crate::proxy::{
    Catalog, EndpointInfo, PortInfo, ServiceInfo, ServiceKind, SharedCatalog, SliceInfo, SlicePort,
};
use kabuki_runtime::net::{Affinity, Protocol};

fn service(kind: ServiceKind) -> ServiceInfo {
    let port = |name: &str, protocol, port| PortInfo {
        name: name.into(),
        protocol,
        port,
        node_port: None,
    };
    ServiceInfo {
        kind,
        more_ips: Vec::new(),
        ports: vec![port("http", Protocol::Tcp, 80), port("dns", Protocol::Udp, 53)],
        affinity: Affinity::None,
        internal_local: false,
        external_local: false,
    }
}

fn end(last: u8, ready: bool, hostname: Option<&str>) -> EndpointInfo {
    EndpointInfo {
        ip: Ipv4Addr::new(10, 244, 1, last),
        ready,
        serving: false,
        hostname: hostname.map(str::to_owned),
        node: None,
    }
}

fn catalog() -> SharedCatalog {
    let mut c = Catalog::default();
    c.synced = true;
    let key = |name: &str| ("default".to_owned(), name.to_owned());
    c.set_service(key("web"), service(ServiceKind::Cluster(Ipv4Addr::new(10, 96, 0, 5))));
    c.set_service(key("db"), service(ServiceKind::Headless));
    c.set_service(key("idle"), service(ServiceKind::Headless));
    c.set_service(key("out"), service(ServiceKind::Alias("example.org".into())));
    c.set_service(
        key("inner"),
        service(ServiceKind::Alias("web.default.svc.cluster.local".into())),
    );
    let ports = vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: 5432 }];
    let endpoints =
        vec![end(2, true, Some("db-0")), end(3, true, None), end(4, false, Some("db-2"))];
    c.set_slice(key("db-1"), SliceInfo { service: "db".into(), ports, endpoints });
    Arc::new(parking_lot::RwLock::new(c))
}

fn responder(resolv_conf: &str) -> Responder {
    let dns_ip = Ipv4Addr::new(10, 96, 0, 10);
    Responder {
        zone: Zone {
            domain: "cluster.local".into(),
            cluster_cidr: "10.244.0.0/16".parse().unwrap(),
            service_cidr: "10.96.0.0/12".parse().unwrap(),
            dns_ip,
        },
        catalog: catalog(),
        forwarder: Forwarder::new(resolv_conf.into(), dns_ip.into()),
        counts: Counts::default(),
    }
}

fn ask(name: &str, kind: RecordType) -> Message {
    let mut m = Message::query();
    m.metadata.recursion_desired = true;
    m.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    m
}

fn reply(name: &str, kind: RecordType) -> Message {
    let m = ask(name, kind);
    match responder("/nonexistent").begin(&m.to_vec().unwrap(), true) {
        Reply::Now(bytes) => {
            let answer = Message::from_vec(&bytes).unwrap();
            assert_eq!(answer.metadata.id, m.metadata.id);
            assert_eq!(answer.metadata.message_type, MessageType::Response);
            answer
        }
        Reply::Later(_) => panic!("{name} is forwarded"),
        Reply::Drop => panic!("{name} is dropped"),
    }
}

/// "CODE data data …", "CODE soa" for an empty answer.
fn say(name: &str, kind: RecordType) -> String {
    let m = reply(name, kind);
    assert!(m.metadata.authoritative);
    let mut out = format!("{:?}", m.metadata.response_code);
    for a in &m.answers {
        out += &match &a.data {
            RData::A(ip) => format!(" {}", ip.0),
            RData::SRV(s) => format!(" {}:{}", s.target, s.port),
            RData::PTR(n) => format!(" {}", n.0),
            RData::TXT(t) => format!(" {t}"),
            other => format!(" {other:?}"),
        };
    }
    if m.authorities.iter().any(|r| r.record_type() == RecordType::SOA) {
        out += " soa";
    }
    out
}

#[test]
fn names_of_the_cluster() {
    use RecordType::{A, AAAA, PTR, SRV, TXT};
    let table = [
        ("web.default.svc.cluster.local.", A, "NoError 10.96.0.5"),
        ("WEB.Default.svc.Cluster.local.", A, "NoError 10.96.0.5"),
        ("web.default.svc.cluster.local.", AAAA, "NoError soa"),
        ("web.other.svc.cluster.local.", A, "NXDomain soa"),
        ("none.default.svc.cluster.local.", A, "NXDomain soa"),
        ("x.web.default.svc.cluster.local.", A, "NXDomain soa"),
        // What a search list makes of other names: no, and at once.
        ("example.org.default.svc.cluster.local.", A, "NXDomain soa"),
        ("example.org.svc.cluster.local.", A, "NXDomain soa"),
        ("example.org.cluster.local.", A, "NXDomain soa"),
        ("db.default.svc.cluster.local.", A, "NoError 10.244.1.2 10.244.1.3"),
        ("idle.default.svc.cluster.local.", A, "NXDomain soa"),
        ("db-0.db.default.svc.cluster.local.", A, "NoError 10.244.1.2"),
        ("10-244-1-3.db.default.svc.cluster.local.", A, "NoError 10.244.1.3"),
        ("db-2.db.default.svc.cluster.local.", A, "NXDomain soa"),
        (
            "_http._tcp.web.default.svc.cluster.local.",
            SRV,
            "NoError web.default.svc.cluster.local.:80",
        ),
        ("_http._udp.web.default.svc.cluster.local.", SRV, "NXDomain soa"),
        ("_http._tcp.web.default.svc.cluster.local.", A, "NoError soa"),
        ("_tcp.web.default.svc.cluster.local.", SRV, "NoError soa"),
        (
            "_http._tcp.db.default.svc.cluster.local.",
            SRV,
            "NoError db-0.db.default.svc.cluster.local.:5432 \
             10-244-1-3.db.default.svc.cluster.local.:5432",
        ),
        ("5.0.96.10.in-addr.arpa.", PTR, "NoError web.default.svc.cluster.local."),
        ("2.1.244.10.in-addr.arpa.", PTR, "NoError db-0.db.default.svc.cluster.local."),
        ("99.1.244.10.in-addr.arpa.", PTR, "NXDomain soa"),
        ("10-244-1-9.default.pod.cluster.local.", A, "NoError 10.244.1.9"),
        ("nonsense.default.pod.cluster.local.", A, "NXDomain soa"),
        ("cluster.local.", A, "NoError soa"),
        ("svc.cluster.local.", A, "NoError soa"),
        ("default.svc.cluster.local.", A, "NoError soa"),
        ("other.svc.cluster.local.", A, "NXDomain soa"),
        ("ns.dns.cluster.local.", A, "NoError 10.96.0.10"),
        ("dns-version.cluster.local.", TXT, "NoError 1.1.0"),
    ];
    for (name, kind, want) in table {
        assert_eq!(say(name, kind), want, "{name} {kind}");
    }
    let srv = reply("_http._tcp.db.default.svc.cluster.local.", SRV);
    assert_eq!(srv.additionals.len(), 2);
}

#[test]
fn bad_questions_are_refused_or_dropped() {
    let r = responder("/nonexistent");
    assert!(matches!(r.begin(b"junk", false), Reply::Drop));
    let mut m = ask("web.default.svc.cluster.local.", RecordType::A);
    m.metadata.message_type = MessageType::Response;
    assert!(matches!(r.begin(&m.to_vec().unwrap(), false), Reply::Drop));
    let mut m = ask("web.default.svc.cluster.local.", RecordType::A);
    m.add_query(Query::query(Name::from_ascii("b.").unwrap(), RecordType::A));
    let Reply::Now(bytes) = r.begin(&m.to_vec().unwrap(), false) else { panic!("no answer") };
    assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, ResponseCode::FormErr);
    // Before the lists are there nobody is told that a name does not exist.
    r.catalog.write().synced = false;
    let m = ask("none.default.svc.cluster.local.", RecordType::A);
    let Reply::Now(bytes) = r.begin(&m.to_vec().unwrap(), false) else { panic!("no answer") };
    assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn long_answers_are_cut_over_udp_only() {
    let r = responder("/nonexistent");
    let endpoints = (0..200).map(|n| end(n, true, None)).collect();
    let slice = SliceInfo { service: "db".into(), ports: Vec::new(), endpoints };
    r.catalog.write().set_slice(("default".into(), "db-1".into()), slice);
    let mut m = ask("db.default.svc.cluster.local.", RecordType::A);
    let answer = |m: &Message, tcp| match r.begin(&m.to_vec().unwrap(), tcp) {
        Reply::Now(bytes) => (bytes.len(), Message::from_vec(&bytes).unwrap()),
        _ => panic!("no answer"),
    };
    let (size, cut) = answer(&m, false);
    assert!(size <= 512 && cut.metadata.truncation && cut.answers.is_empty());
    let (_, whole) = answer(&m, true);
    assert!(!whole.metadata.truncation && whole.answers.len() == 200);
    let mut edns = Edns::new();
    edns.set_max_payload(65_000);
    m.edns = Some(edns);
    let (size, cut) = answer(&m, false);
    assert!(size <= 1232 && cut.metadata.truncation && cut.edns.is_some());
}

#[tokio::test]
async fn over_sockets_with_a_resolver_behind() {
    // A resolver that knows one name. Port 53 is fixed in resolv.conf, so it has its own address.
    let upstream = UdpSocket::bind("127.53.7.1:53").await;
    let Ok(upstream) = upstream else { return };
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((n, from)) = upstream.recv_from(&mut buffer).await {
            let q = Message::from_vec(&buffer[..n]).unwrap();
            let mut m = Message::response(q.metadata.id, q.metadata.op_code);
            m.queries = q.queries.clone();
            let data = RData::A("192.0.2.7".parse::<Ipv4Addr>().unwrap().into());
            let name = q.queries[0].name().clone();
            m.add_answer(hickory_proto::rr::Record::from_rdata(name, 60, data));
            upstream.send_to(&m.to_vec().unwrap(), from).await.unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("resolv.conf");
    std::fs::write(&conf, "nameserver 10.96.0.10\nnameserver 127.53.7.1\n").unwrap();
    let sockets = Sockets::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = sockets.address().unwrap();
    tokio::spawn(sockets.serve(Arc::new(responder(conf.to_str().unwrap()))));

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = [
        ("example.org.", vec!["192.0.2.7"]),
        ("web.default.svc.cluster.local.", vec!["10.96.0.5"]),
        ("out.default.svc.cluster.local.", vec!["192.0.2.7"]),
        ("inner.default.svc.cluster.local.", vec!["10.96.0.5"]),
    ];
    for (name, want) in names {
        let q = ask(name, RecordType::A).to_vec().unwrap();
        client.send_to(&q, at).await.unwrap();
        let mut buffer = [0; 1500];
        let got = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut buffer));
        let n = got.await.unwrap().unwrap();
        let m = Message::from_vec(&buffer[..n]).unwrap();
        assert_eq!(m.metadata.id.to_be_bytes(), q[..2]);
        let found: Vec<String> = m
            .answers
            .iter()
            .filter_map(|r| match &r.data {
                RData::A(ip) => Some(ip.0.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(found, want, "{name}");
    }

    let mut tcp = TcpStream::connect(at).await.unwrap();
    for _ in 0..2 {
        let q = ask("web.default.svc.cluster.local.", RecordType::A).to_vec().unwrap();
        tcp.write_all(&u16::try_from(q.len()).unwrap().to_be_bytes()).await.unwrap();
        tcp.write_all(&q).await.unwrap();
        let n = tcp.read_u16().await.unwrap();
        let mut bytes = vec![0; usize::from(n)];
        tcp.read_exact(&mut bytes).await.unwrap();
        assert_eq!(Message::from_vec(&bytes).unwrap().answers.len(), 1);
    }
}
