//! The pod network and the service table on two "machines" that are network namespaces.
//!
//! Needs root, `ip` and `nft`: `cargo test --release -p kabuki-runtime --test network -- --ignored`

use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    time::Duration,
};

use kabuki_runtime::net::{
    Affinity, Backend, Frontend, NetworkConfig, NodeNetwork, Peer, Protocol, ServiceTable,
    Services, in_netns,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream, UdpSocket},
};

const PORT: u16 = 8080;
const SVC: Ipv4Addr = Ipv4Addr::new(10, 96, 7, 7);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(172, 31, 9, 2);

fn sh(line: &str) {
    let out = Command::new("sh").arg("-c").arg(line).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Namespaces of one test, gone when it ends, however it ends.
struct Stage {
    prefix: String,
    names: Vec<String>,
}

impl Stage {
    fn new(tag: &str) -> Self {
        Self { prefix: format!("kbt{tag}{}", std::process::id()), names: Vec::new() }
    }

    fn add(&mut self, name: &str) -> PathBuf {
        let full = format!("{}-{name}", self.prefix);
        sh(&format!("ip netns add {full}"));
        self.names.push(full.clone());
        PathBuf::from("/run/netns").join(full)
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for name in &self.names {
            drop(Command::new("ip").args(["netns", "del", name]).output());
        }
    }
}

fn config(n: u8) -> NetworkConfig {
    NetworkConfig {
        pod_cidr: format!("10.244.{n}.0/24").parse().unwrap(),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node_ip: Ipv4Addr::new(172, 31, 9, n),
        dns_ip: Ipv4Addr::new(10, 96, 0, 10),
        mtu: None,
    }
}

fn peers() -> Vec<Peer> {
    (1..=2).map(|n| Peer { node_ip: config(n).node_ip, pod_cidr: config(n).pod_cidr }).collect()
}

fn to(endpoints: &[(Ipv4Addr, u16)], affinity: Affinity) -> Backend {
    Backend { endpoints: endpoints.iter().copied().collect::<BTreeSet<_>>(), affinity }
}

/// Answers every connection with the address it came from and a name.
fn serve(netns: PathBuf, name: &'static str) {
    let (up, ready) = mpsc::channel();
    std::thread::spawn(move || {
        in_netns(&netns, || async move {
            let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
            let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await.unwrap();
            up.send(()).unwrap();
            tokio::spawn(async move {
                let mut buf = [0; 64];
                while let Ok((_, from)) = udp.recv_from(&mut buf).await {
                    let text = format!("{name} {}", from.ip());
                    drop(udp.send_to(text.as_bytes(), from).await);
                }
            });
            while let Ok((mut s, from)) = tcp.accept().await {
                let text = format!("{name} {}", from.ip());
                drop(tokio::io::AsyncWriteExt::write_all(&mut s, text.as_bytes()).await);
            }
            Ok(())
        })
    });
    ready.recv().unwrap();
}

/// "<server> <address the server saw>", or the error.
fn call(netns: &Path, ip: Ipv4Addr, port: u16) -> String {
    in_netns(netns, || async move {
        let to = SocketAddr::V4(SocketAddrV4::new(ip, port));
        let talk = async {
            let mut s = TcpStream::connect(to).await?;
            let mut text = String::new();
            s.read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        Ok(match tokio::time::timeout(Duration::from_secs(3), talk).await {
            Ok(Ok(text)) => text,
            Ok(Err(e)) => format!("{:?}", e.kind()),
            Err(_) => "timeout".to_owned(),
        })
    })
    .unwrap()
}

fn call_udp(netns: &Path, ip: Ipv4Addr) -> String {
    in_netns(netns, || async move {
        let s = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        s.send_to(b"x", (IpAddr::V4(ip), PORT)).await.unwrap();
        let mut buf = [0; 64];
        let got = tokio::time::timeout(Duration::from_secs(3), s.recv_from(&mut buf)).await;
        Ok(got.map_or("timeout".to_owned(), |r| {
            let (n, from) = r.unwrap();
            // The answer must seem to come from the service.
            assert_eq!(from.ip(), IpAddr::V4(ip));
            String::from_utf8_lossy(&buf[..n]).into_owned()
        }))
    })
    .unwrap()
}

fn on<T: Send>(host: &Path, work: impl AsyncFnOnce() -> T + Send) -> T {
    in_netns(host, || async move { Ok(work().await) }).unwrap()
}

async fn attach_all(net: &NodeNetwork, pods: &[(&str, PathBuf)]) -> Vec<Ipv4Addr> {
    let mut ips = Vec::new();
    for (uid, ns) in pods {
        ips.push(net.attach(ns, uid, None).await.unwrap().ip);
    }
    ips
}

fn listing(host: &str) -> String {
    let out = Command::new("ip").args(["netns", "exec", host, "nft", "list", "ruleset"]).output();
    let links = Command::new("ip").args(["-n", host, "-o", "link"]).output().unwrap();
    let text = [out.unwrap().stdout, links.stdout].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn scene(tag: &str, bridge_netfilter: &str) {
    let mut stage = Stage::new(tag);
    let (a, b) = (stage.add("a"), stage.add("b"));
    let (na, nb) = (stage.full("a"), stage.full("b"));
    sh(&format!("ip -n {na} link add u0 type veth peer name u0 netns {nb}"));
    for (n, host) in [(1, &na), (2, &nb)] {
        sh(&format!("ip -n {host} addr add 172.31.9.{n}/24 dev u0"));
        sh(&format!("ip -n {host} link set u0 up"));
        let key = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        sh(&format!(
            "ip netns exec {host} sh -c 'test ! -e {key} || echo {bridge_netfilter} > {key}'"
        ));
    }
    let (a1, a2, b1) = (stage.add("a1"), stage.add("a2"), stage.add("b1"));
    let ips_a = on(&a, async || {
        let net = NodeNetwork::setup(config(1)).await.unwrap();
        assert_eq!(net.mtu(), 1450);
        assert_eq!(net.set_peers(&peers()).await.unwrap(), 3);
        assert_eq!(net.set_peers(&peers()).await.unwrap(), 0);
        attach_all(&net, &[("uid-a1", a1.clone()), ("uid-a2", a2.clone())]).await
    });
    let ips_b = on(&b, async || {
        let net = NodeNetwork::setup(config(2)).await.unwrap();
        net.set_peers(&peers()).await.unwrap();
        attach_all(&net, &[("uid-b1", b1.clone())]).await
    });
    let (ip_a1, ip_a2, ip_b1) = (ips_a[0], ips_a[1], ips_b[0]);
    for (ns, name) in [(&a1, "a1"), (&a2, "a2"), (&b1, "b1"), (&b, "b")] {
        serve(ns.clone(), name);
    }

    // Pods see each other's real addresses, across nodes and within one.
    assert_eq!(call(&a1, ip_b1, PORT), format!("b1 {ip_a1}"));
    assert_eq!(call(&b1, ip_a2, PORT), format!("a2 {ip_b1}"));
    assert_eq!(call(&a1, ip_a2, PORT), format!("a2 {ip_a1}"));
    // Out of the cluster under the node's address; the node reaches pods.
    assert_eq!(call(&a1, OUTSIDE, PORT), "b 172.31.9.1");
    assert_eq!(call(&a, ip_b1, PORT), "b1 10.244.1.1");

    let apply = |host: &Path, n: u8, services: &Services| {
        on(host, async || {
            let mut table = ServiceTable::open(&config(n)).await.unwrap();
            table.apply(services).await.unwrap().changed
        })
    };
    let at = |port| Frontend::Address(SVC, Protocol::Tcp, port);
    let mut services = Services::from([
        (at(80), to(&[(ip_b1, PORT)], Affinity::None)),
        (at(81), to(&[(ip_a2, PORT)], Affinity::None)),
        (at(82), to(&[(ip_a1, PORT)], Affinity::None)),
        (at(83), to(&[(ip_a2, PORT), (ip_b1, PORT)], Affinity::None)),
        (at(84), to(&[(ip_a2, PORT), (ip_b1, PORT)], Affinity::ClientIp)),
        (Frontend::Address(SVC, Protocol::Udp, PORT), to(&[(ip_b1, PORT)], Affinity::None)),
        (Frontend::NodePort(Protocol::Tcp, 30080), to(&[(ip_b1, PORT)], Affinity::None)),
    ]);
    assert_eq!(apply(&a, 1, &services), 7);
    assert_eq!(apply(&b, 2, &services), 7);
    // A second opening adopts what is there.
    assert_eq!(apply(&a, 1, &services), 0);

    assert_eq!(call(&a1, SVC, 80), format!("b1 {ip_a1}"));
    assert_eq!(call(&a1, SVC, 81), format!("a2 {ip_a1}"));
    assert_eq!(call_udp(&a1, SVC), format!("b1 {ip_a1}"));
    // Through a service to itself: another source address, or the answer would not come back.
    assert_eq!(call(&a1, SVC, 82), "a1 10.244.1.1");
    // From the node itself.
    assert_eq!(call(&a, SVC, 80), "b1 10.244.1.1");
    assert_eq!(call(&a, SVC, 81), "a2 10.244.1.1");
    // A node port on this node, from the other machine and from a pod.
    assert_eq!(call(&b, config(1).node_ip, 30080), "b1 10.244.1.0");
    assert_eq!(call(&a1, config(1).node_ip, 30080), format!("b1 {ip_a1}"));
    // Nobody behind it: refused at once, from pods and from the node.
    for from in [&a1, &a] {
        assert_eq!(call(from, SVC, 99), "ConnectionRefused");
        assert_eq!(call(from, Ipv4Addr::new(10, 96, 8, 8), 80), "ConnectionRefused");
    }
    let many: HashSet<String> = (0..40).map(|_| call(&a1, SVC, 83)).collect();
    assert_eq!(many.len(), 2, "{many:?}");
    let one: HashSet<String> = (0..20).map(|_| call(&a1, SVC, 84)).collect();
    assert_eq!(one.len(), 1, "{one:?}");

    // Endpoints change: the next connection goes elsewhere.
    services.insert(at(80), to(&[(ip_a2, PORT)], Affinity::None));
    services.remove(&at(81));
    assert_eq!(apply(&a, 1, &services), 2);
    assert_eq!(call(&a1, SVC, 80), format!("a2 {ip_a1}"));
    assert_eq!(call(&a1, SVC, 81), "ConnectionRefused");

    // A daemon that starts again finds its pods, and nothing remains of those that are gone.
    on(&a, async || {
        let net = NodeNetwork::setup(config(1)).await.unwrap();
        let found: Vec<Ipv4Addr> = net.attached().await.iter().map(|p| p.ip).collect();
        assert_eq!(found, [ip_a1, ip_a2]);
        let again = net.attach(&a1, "uid-a1", None).await.unwrap();
        assert_eq!(again.ip, ip_a1);
        assert_eq!(net.retain(&HashSet::from(["uid-a1".to_owned()])).await.unwrap(), 1);
        assert!(net.attach(&a2, "uid-new", Some(ip_a1)).await.is_err());
        assert_eq!(net.attached().await.len(), 1);
    });
    assert_eq!(call(&a1, ip_b1, PORT), format!("b1 {ip_a1}"));
    assert_eq!(listing(&na).matches(": kv").count(), 1);
    apply(&a, 1, &Services::new());
    on(&a, async || {
        let net = NodeNetwork::setup(config(1)).await.unwrap();
        net.detach("uid-a1").await.unwrap();
        net.detach("uid-a1").await.unwrap();
        assert_eq!(net.set_peers(&[]).await.unwrap(), 3);
    });
    let left = listing(&na);
    assert!(!left.contains(": kv") && !left.contains("chain to-"), "{left}");
    assert!(!left.contains("elements"), "{left}");
    on(&a, async || NodeNetwork::setup(config(1)).await.unwrap().teardown().await.unwrap());
    let left = listing(&na);
    assert!(!left.contains("kabuki"), "{left}");
}

#[test]
fn pods_and_services_over_two_nodes() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    scene("p", "0");
}

#[test]
fn pods_and_services_with_bridge_netfilter() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    scene("n", "1");
}

#[test]
fn a_change_among_ten_thousand_services_is_quick() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut stage = Stage::new("m");
    let a = stage.add("a");
    sh(&format!("ip -n {0} link add u0 type veth peer name u1", stage.full("a")));
    sh(&format!("ip -n {} addr add 172.31.9.1/24 dev u0", stage.full("a")));
    let ip = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 100, 0, 0)) + n);
    let pod = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 244, 0, 0)) + n);
    let mut services: Services = (0..10_000)
        .map(|n| {
            let ends = [(pod(3 * n), 80), (pod(3 * n + 1), 80), (pod(3 * n + 2), 80)];
            (Frontend::Address(ip(n), Protocol::Tcp, 80), to(&ends, Affinity::None))
        })
        .collect();
    on(&a, async || {
        let mut table = ServiceTable::open(&config(1)).await.unwrap();
        let first = table.apply(&services).await.unwrap();
        let mut took = Vec::new();
        for n in 0..50 {
            let frontend = Frontend::Address(ip(n * 7), Protocol::Tcp, 80);
            services.insert(frontend, to(&[(pod(n), 81)], Affinity::None));
            let applied = table.apply(&services).await.unwrap();
            assert_eq!(applied.changed, 1);
            took.push(applied.took);
        }
        took.sort();
        let again = std::time::Instant::now();
        let mut table = ServiceTable::open(&config(1)).await.unwrap();
        let adopt = again.elapsed();
        assert_eq!(table.apply(&services).await.unwrap().changed, 0);
        println!(
            "first {:?}, one change p50 {:?} p98 {:?}, adopt {adopt:?}",
            first.took, took[25], took[48]
        );
    });
}
