//! The Kubernetes API under load: creates, a long list, memory. The real binary, TLS, fsync on.
//!
//! `cargo bench --bench api -- fairness` instead shows what a greedy client does to a node's heartbeats.
//! `cargo bench --bench api` (needs `wrk` on PATH: `apt-get install wrk`). Starts `kabuki server
//! --init` on loopback; client and server share the machine. Asserts nothing about speed.

mod fairness;

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;

const KABUKI: &str = env!("CARGO_BIN_EXE_kabuki");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/api/create.lua");
/// ConfigMaps in the long list.
const OBJECTS: usize = 50_000;
/// Clients that make them.
const FILLERS: usize = 64;
/// Bytes of a ConfigMap's one value; with names and dates around it the object has about 1 KiB.
const VALUE_BYTES: usize = 900;
/// How often the list is read.
const LISTS: usize = 9;
/// Rounds of each load, and how long one is.
const ROUNDS: usize = 5;
const ROUND_SECONDS: usize = 5;
/// How long the server is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the server may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    // Test runners ask every target for its tests; this one has none.
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return Ok(());
    }
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if std::env::args().any(|a| a == "fairness") {
            return fairness::run().await;
        }
        let server = Server::start(&[]).await?;
        let token = server.token().await?;
        fill(&server, &token, OBJECTS).await?;
        tokio::time::sleep(SETTLE).await;
        println!("PSS with {OBJECTS} ConfigMaps: {:.1} MB", server.pss_mib());
        list(&server, &token).await?;
        println!("PSS after {LISTS} lists of them: {:.1} MB", server.pss_mib());
        for connections in [1, 128] {
            for round in 0..ROUNDS {
                wrk(&server, &token, connections, &format!("{connections}-{round}"))?;
            }
        }
        Ok(())
    })
}

/// A running `kabuki server`, killed at the end.
struct Server {
    process: Child,
    url: String,
    client: Client,
    ca: Vec<u8>,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Server {
    async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let data_dir = dir.path().join("d");
        let port = || anyhow::Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (api, peer) = (port()?, port()?);
        let log = std::fs::File::create(dir.path().join("log"))?;
        let process = Command::new(KABUKI)
            .args(["server", "--init", "--bind-address=127.0.0.1", "--name=bench"])
            .arg(format!("--data-dir={}", data_dir.display()))
            .args([format!("--api-port={api}"), format!("--peer-port={peer}")])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let begin = Instant::now();
        let file = data_dir.join("admin.kubeconfig");
        let config = loop {
            ensure!(begin.elapsed() < START_LIMIT, "the server does not start");
            if let Ok(kubeconfig) = Kubeconfig::read_from(&file) {
                let options = KubeConfigOptions::default();
                break Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let ca = config.root_cert.clone().and_then(|mut all| all.pop()).context("no authority")?;
        let client = Client::try_from(config)?;
        while Api::<Namespace>::all(client.clone()).get("default").await.is_err() {
            ensure!(begin.elapsed() < START_LIMIT, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let url = format!("https://127.0.0.1:{api}");
        Ok(Self { process, url, client, ca, _dir: dir })
    }

    /// The token of an account that may do everything, as wrk knows no client certificates.
    async fn token(&self) -> anyhow::Result<String> {
        let client = &self.client;
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
        let account: ServiceAccount = of(json!({"metadata": {"name": "load"}}))?;
        let name = accounts.create(&PostParams::default(), &account).await?.name_any();
        let binding: ClusterRoleBinding = of(json!({
            "metadata": {"name": "load"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        }))?;
        Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
        let space: Namespace = of(json!({"metadata": {"name": "long"}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &space).await?;
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..Default::default() }),
            ..Default::default()
        };
        let made = accounts.create_token_request(&name, &PostParams::default(), &request).await?;
        made.status.and_then(|status| status.token).context("no token")
    }

    fn http(&self) -> anyhow::Result<reqwest::Client> {
        let ca = reqwest::Certificate::from_der(&self.ca)?;
        let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy();
        Ok(client.user_agent("bench").build()?)
    }

    /// Memory of the server's process.
    fn pss_mib(&self) -> f64 {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let kib = text.lines().find_map(|l| l.strip_prefix("Pss:")?.split_whitespace().next());
        kib.and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

fn of<T: DeserializeOwned>(value: serde_json::Value) -> anyhow::Result<T> {
    Ok(serde_json::from_value(value)?)
}

/// Makes the objects of the long list.
async fn fill(server: &Server, token: &str, objects: usize) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let url = format!("{}/api/v1/namespaces/long/configmaps", server.url);
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..FILLERS {
        let (next, url, token) = (next.clone(), url.clone(), token.to_owned());
        // A client each, so that each has a connection of its own.
        let http = server.http()?;
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= objects {
                    return anyhow::Ok(());
                }
                let map: ConfigMap = of(json!({
                    "metadata": {"name": format!("m-{number:06}")},
                    "data": {"k": "x".repeat(VALUE_BYTES)},
                }))?;
                let answer = http.post(&url).bearer_auth(&token).json(&map).send().await?;
                ensure!(answer.status() == 201, "{}", answer.text().await?);
                answer.bytes().await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let rate = objects as f64 / begin.elapsed().as_secs_f64();
    println!("{objects} ConfigMaps made by {FILLERS} clients (reqwest): {rate:.0}/s");
    Ok(())
}

/// Times the long list, from the request to its last byte.
async fn list(server: &Server, token: &str) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/namespaces/long/configmaps", server.url);
    let http = server.http()?;
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..LISTS {
        let begin = Instant::now();
        let mut answer = http.get(&url).bearer_auth(token).send().await?.error_for_status()?;
        bytes = 0;
        while let Some(chunk) = answer.chunk().await? {
            bytes += chunk.len();
        }
        times.push(begin.elapsed());
    }
    times.sort();
    println!(
        "LIST of {OBJECTS}, {bytes} bytes, n={LISTS}: min {:?}, p50 {:?}, max {:?}",
        times[0],
        times[LISTS / 2],
        times[LISTS - 1]
    );
    Ok(())
}

/// Has wrk create objects and prints what it says.
fn wrk(server: &Server, token: &str, connections: usize, run: &str) -> anyhow::Result<()> {
    let output = Command::new("wrk")
        .args(["--threads=1", "--latency", "--timeout=10s", "--script", SCRIPT])
        .arg(format!("--connections={connections}"))
        .arg(format!("--duration={ROUND_SECONDS}s"))
        .arg(&server.url)
        .env("KABUKI_BENCH_TOKEN", token)
        .env("KABUKI_BENCH_RUN", run)
        .output()
        .context("cannot run wrk; is it installed?")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |what: &str| {
        let found = text.lines().map(str::trim).find(|l| l.starts_with(what));
        found.map_or("", |l| l[what.len()..].trim())
    };
    println!(
        "creates over {connections} connection(s): {}/s, p50 {}, p99 {}{}",
        line("Requests/sec:"),
        line("50%"),
        line("99%"),
        match line("Non-2xx or 3xx responses:") {
            "" => String::new(),
            wrong => format!(", NOT 2xx: {wrong}"),
        }
    );
    Ok(())
}
