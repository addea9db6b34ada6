//! The network actors of a node against a small stand-in for the API, on a "machine" that is a
//! network namespace: from Node, Service and EndpointSlice to a connection and a DNS answer.
//!
//! Needs root, `ip` and `nft`: `cargo test --release -p kabuki-actors --test network -- --ignored`

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use kabuki_actors::{
    kernel::{Kernel, KernelConfig},
    kubelet::NetworkState,
    proxy::{self, NetworkSettings},
};
use kabuki_runtime::net::in_netns;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::broadcast,
};

const SVC: Ipv4Addr = Ipv4Addr::new(10, 96, 7, 7);
const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// Collections by path, and what happens to them.
struct Api {
    objects: Mutex<Vec<(&'static str, Value)>>,
    events: broadcast::Sender<(&'static str, Value)>,
}

impl Api {
    fn put(&self, path: &'static str, object: Value) {
        let name = object["metadata"]["name"].clone();
        let mut objects = self.objects.lock();
        let before = objects.len();
        objects.retain(|(p, o)| *p != path || o["metadata"]["name"] != name);
        let kind = if objects.len() < before { "MODIFIED" } else { "ADDED" };
        objects.push((path, object.clone()));
        drop(self.events.send((path, json!({ "type": kind, "object": object }))));
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let api = self.clone();
            tokio::spawn(async move { drop(api.connection(stream).await) });
        }
    }

    async fn connection(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut first = String::new();
            if stream.read_line(&mut first).await? == 0 {
                return Ok(());
            }
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 2 {
                line.clear();
            }
            let target = first.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            if query.contains("watch=true") {
                let mut events = self.events.subscribe();
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                          transfer-encoding: chunked\r\n\r\n",
                    )
                    .await?;
                while let Ok((of, event)) = events.recv().await {
                    if of == path {
                        let text = format!("{event}\n");
                        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                        stream.write_all(chunk.as_bytes()).await?;
                    }
                }
                return Ok(());
            }
            let items: Vec<Value> = {
                let objects = self.objects.lock();
                objects.iter().filter(|(p, _)| *p == path).map(|(_, o)| o.clone()).collect()
            };
            let body = json!({ "kind": "List", "apiVersion": "v1", "items": items,
                "metadata": { "resourceVersion": "10" } })
            .to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        }
    }
}

const NODES: &str = "/api/v1/nodes";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

fn slice(ip: Ipv4Addr) -> Value {
    json!({ "metadata": { "name": "web-1", "namespace": "default", "resourceVersion": "11",
            "labels": { "kubernetes.io/service-name": "web" } },
        "addressType": "IPv4", "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": [{ "addresses": [ip], "conditions": { "ready": true } }] })
}

async fn connects(to: (Ipv4Addr, u16)) -> bool {
    let to = SocketAddr::from(to);
    matches!(tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(to)).await, Ok(Ok(_)))
}

async fn until<F: Future<Output = bool>>(
    what: &str,
    kernel: &Kernel,
    mut check: impl FnMut() -> F,
) {
    for _ in 0..100 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut states = Vec::new();
    for a in kernel.tree().actors() {
        states.push(format!("{:?}", kernel.inspect(&a.path).await.map(|i| i.state)));
    }
    panic!("{what} did not happen\n{}\n{states:#?}", kernel.tree().render_tree());
}

async fn resolve(name: &str) -> Option<Ipv4Addr> {
    let mut m = Message::query();
    m.add_query(Query::query(Name::from_ascii(name).ok()?, RecordType::A));
    let socket = UdpSocket::bind("0.0.0.0:0").await.ok()?;
    socket.connect((DNS, 53)).await.ok()?;
    socket.send(&m.to_vec().ok()?).await.ok()?;
    let mut buffer = [0; 1500];
    let got = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await;
    let m = Message::from_vec(&buffer[..got.ok()?.ok()?]).ok()?;
    m.answers.iter().find_map(|r| match &r.data {
        RData::A(a) => Some(a.0),
        _ => None,
    })
}

async fn scene(pods: Vec<PathBuf>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let api = Arc::new(Api { objects: Mutex::default(), events: broadcast::channel(64).0 });
    tokio::spawn(api.clone().serve(listener));
    let client = kube::Client::try_from(kube::Config::new(uri.parse().unwrap())).unwrap();
    let kernel = Kernel::new(KernelConfig::default()).unwrap();
    let settings = NetworkSettings {
        node_name: "n1".into(),
        node_ip: Ipv4Addr::new(172, 31, 9, 1),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        dns_ip: DNS,
        cluster_domain: "cluster.local".into(),
        resolv_conf: "/nonexistent".into(),
        pod_cidr: None,
        mtu: None,
    };
    let handle = proxy::start(&kernel.root(), client, settings);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let state = handle.pods.state();
    assert!(matches!(&*state.borrow(), NetworkState::Waiting(_)));
    assert!(handle.pods.attach(&pods[0], "uid-0", None).await.is_err());

    let node = |name: &str, ip: &str, cidr: &str| {
        json!({ "metadata": { "name": name, "resourceVersion": "11" },
            "spec": { "podCIDR": cidr },
            "status": { "addresses": [{ "type": "InternalIP", "address": ip }] } })
    };
    api.put(NODES, node("n1", "172.31.9.1", "10.244.1.0/24"));
    api.put(NODES, node("n2", "172.31.9.2", "10.244.2.0/24"));
    let ready = || async { *state.borrow() == NetworkState::Ready };
    until("the network", &kernel, ready).await;

    let mut ips = Vec::new();
    for (n, pod) in pods.iter().enumerate() {
        let got = handle.pods.attach(pod, &format!("uid-{n}"), None).await.unwrap();
        let std::net::IpAddr::V4(ip) = got[0] else { panic!("no IPv4 address") };
        ips.push(ip);
        let pod = pod.clone();
        std::thread::spawn(move || {
            in_netns(&pod, || async {
                let l = TcpListener::bind("0.0.0.0:8080").await.unwrap();
                while l.accept().await.is_ok() {}
                Ok(())
            })
        });
    }
    api.put(
        SERVICES,
        json!({ "metadata": { "name": "web", "namespace": "default", "resourceVersion": "11" },
            "spec": { "clusterIP": SVC, "ports": [{ "name": "http", "port": 80 }] } }),
    );
    api.put(SLICES, slice(ips[0]));
    until("the service", &kernel, || connects((SVC, 80))).await;
    let name = "web.default.svc.cluster.local.";
    until("the name", &kernel, || async { resolve(name).await == Some(SVC) }).await;

    // Every actor is made to panic: the table stays, and changes go on being followed.
    for path in ["/network/nodes", "/network/services", "/network/dns"] {
        kernel.crash(path).unwrap();
    }
    assert!(connects((SVC, 80)).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(kernel.tree().actors().iter().all(|a| a.restarts == 1));
    api.put(SLICES, slice(Ipv4Addr::new(10, 244, 1, 250)));
    until("the change", &kernel, || async { !connects((SVC, 80)).await }).await;
    api.put(SLICES, slice(ips[1]));
    until("the change back", &kernel, || connects((SVC, 80))).await;
    until("the name", &kernel, || async { resolve(name).await == Some(SVC) }).await;

    handle.pods.detach("uid-0").await.unwrap();
    kernel.shutdown().await;
    let left = Command::new("sh").arg("-c").arg("ip -o link; ip route").output().unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert_eq!(left.matches(": kv").count(), 1, "{left}");
    assert!(left.contains("10.244.2.0/24 via 10.244.2.0 dev kabuki-vx"), "{left}");
}

struct Namespaces(Vec<String>);

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            drop(Command::new("ip").args(["netns", "del", name]).output());
        }
    }
}

#[test]
fn from_objects_to_connections() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    let names: Vec<String> =
        ["h", "p0", "p1"].iter().map(|n| format!("kbx{}-{n}", std::process::id())).collect();
    let all = Namespaces(names.clone());
    let setup = names.iter().map(|n| format!("ip netns add {n}")).chain([
        format!("ip -n {0} link set lo up; ip -n {0} link add u0 type veth peer name u1", names[0]),
        format!("ip -n {0} addr add 172.31.9.1/24 dev u0; ip -n {0} link set u0 up", names[0]),
    ]);
    for line in setup {
        assert!(Command::new("sh").arg("-c").arg(&line).status().unwrap().success(), "{line}");
    }
    let paths: Vec<PathBuf> = names.iter().map(|n| PathBuf::from("/run/netns").join(n)).collect();
    let pods = paths[1..].to_vec();
    in_netns(&paths[0], || async move {
        scene(pods).await;
        Ok(())
    })
    .unwrap();
    drop(all);
}
