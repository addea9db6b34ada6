//! Time moves past the end of every certificate at once: three members in this process, whose clock
//! for certificates is set ahead by more than a year while they run.

use std::{
    net::TcpListener,
    path::Path,
    process::Command,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use clap::Parser;
use kabuki::{
    cmd::{ClusterOptions, MemberOptions},
    member::{self, Member, Origin},
    pki::{self, Clock, Credential, Issued, Validity},
};
use kabuki_actors::kernel::{Kernel, KernelConfig};
use reqwest::StatusCode;
use time::OffsetDateTime;

/// How far the clock is ahead, seconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);
/// More than the default life of a certificate.
const LEAP: time::Duration = time::Duration::days(400);
/// How long a step may take.
const STEP: Duration = Duration::from_secs(20);

const CLOCK: Clock =
    Clock(|| OffsetDateTime::now_utc() + time::Duration::seconds(AHEAD.load(Ordering::Relaxed)));

#[derive(Debug, Clone, Parser)]
struct Flags {
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    member: MemberOptions,
}

struct Running {
    flags: Flags,
    kernel: Kernel,
    member: Member,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port()
}

fn flags(dir: &Path, name: &str) -> Flags {
    let mut flags = Flags::parse_from([
        "test",
        "--bind-address=127.0.0.1",
        &format!("--name={name}"),
        &format!("--data-dir={}", dir.join(name).display()),
        &format!("--api-port={}", free_port()),
        &format!("--peer-port={}", free_port()),
    ]);
    flags.cluster.clock = CLOCK;
    flags
}

impl Running {
    async fn start(flags: Flags, origin: Origin) -> Self {
        let kernel = Kernel::new(KernelConfig::default()).expect("kernel");
        let member = member::start(&flags.cluster, &flags.member, origin, &kernel).await;
        let member = member.unwrap_or_else(|e| panic!("{e:#}"));
        member.wait_for_leader().await;
        Self { flags, kernel, member }
    }

    async fn stop(self) -> Flags {
        self.kernel.shutdown().await;
        self.member.stop().await;
        self.flags
    }

    fn url(&self) -> String {
        format!("https://{}", self.member.api_addr)
    }

    /// The administrator's certificate as it lies on disk now.
    fn admin(&self) -> Issued {
        let dir = self.flags.cluster.data_dir.join("pki");
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("file");
        Issued { cert_pem: read("admin.crt"), key_pem: read("admin.key") }
    }

    /// A client with that certificate, which checks the server's by the moved clock.
    fn client(&self) -> reqwest::Client {
        self.client_as(Some(self.admin()))
    }

    fn client_as(&self, who: Option<Issued>) -> reqwest::Client {
        let credential = who.map(|issued| Credential::new(issued, "").expect("certificate"));
        let ca = self.member.pki.ca.cert_pem();
        let tls = pki::client_config(ca, credential.as_ref(), CLOCK).expect("tls");
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .expect("client")
    }

    async fn create(&self, client: &reqwest::Client, name: &str) -> Result<(), String> {
        let object = serde_json::json!({"metadata": {"name": name}});
        let url = format!("{}/api/v1/namespaces/default/configmaps", self.url());
        let answer = client.post(url).json(&object).send().await.map_err(|e| format!("{e:?}"))?;
        match answer.status() {
            StatusCode::CREATED => Ok(()),
            other => Err(format!("{other}: {}", answer.text().await.unwrap_or_default())),
        }
    }

    /// Creates an object once certificates allow it.
    async fn created(&self, name: &str) {
        let begin = Instant::now();
        loop {
            let Err(error) = self.create(&self.client(), name).await else { return };
            assert!(begin.elapsed() < STEP, "{name}: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Running {
    /// Waits until every certificate of the member is renewed, the peers' too.
    async fn ready(&self) {
        let begin = Instant::now();
        loop {
            let answer = self.client().get(format!("{}/readyz", self.url())).send().await;
            let answer = answer.expect("readyz");
            if answer.status() == StatusCode::OK {
                return;
            }
            let text = answer.text().await.unwrap_or_default();
            assert!(begin.elapsed() < STEP, "{text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Running {
    /// Asks for a certificate of node `name`, as `who`.
    async fn renew(&self, who: Option<Issued>, name: &str) -> (u16, String) {
        let (csr, _key) = pki::request().expect("request");
        let body = serde_json::json!({"name": name, "csr": csr});
        let url = format!("{}{}", self.url(), kabuki::join::RENEW_PATH);
        let answer = self.client_as(who).post(url).json(&body).send().await.expect("answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_renews_its_own_certificate_only() {
    // A second installation fails harmlessly: the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().expect("directory");
    let mut flags = flags(dir.path(), "m1");
    flags.cluster.clock = Clock::default();
    let member = Running::start(flags, Origin::Init).await;
    let issue = |user: &str, groups: &[&str]| member.member.pki.client(user, groups).unwrap();
    let node = || Some(issue("system:node:n1", &["system:nodes"]));
    let (code, text) = member.renew(node(), "n1").await;
    assert_eq!(code, 200, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("json");
    let pem = answer["client_certificate"].as_str().expect("certificate");
    let der = pki::parse_certs("certificate", pem).expect("certificate");
    let (user, groups) = pki::certificate_identity(&der[0]).expect("identity");
    assert_eq!((user.as_str(), groups), ("system:node:n1", vec!["system:nodes".to_string()]));
    for (who, name, want) in [
        (node(), "n2", 403),
        (Some(member.admin()), "n1", 403),
        (Some(issue("system:node:n1", &["system:nodes", "system:masters"])), "n1", 403),
        (Some(issue("system:node:n1", &[])), "n1", 403),
        (None, "n1", 401),
    ] {
        let (code, text) = member.renew(who, name).await;
        assert_eq!(code, want, "{name}: {text}");
    }
    member.stop().await;
}

async fn joined(first: &Running, dir: &Path, name: &str) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabuki"));
    command.args(["token", "create", "--role=server"]);
    command.arg(format!("--data-dir={}", first.flags.cluster.data_dir.display()));
    let token = tokio::task::spawn_blocking(move || command.output()).await.expect("task");
    let token = token.expect("token").stdout;
    let token = String::from_utf8(token).expect("text").trim().parse().expect("token");
    Running::start(flags(dir, name), Origin::Join { url: first.url(), token }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn time_moves_past_the_end_of_every_certificate() {
    // A second installation fails harmlessly: the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().expect("directory");
    let first = Running::start(flags(dir.path(), "m1"), Origin::Init).await;
    let second = joined(&first, dir.path(), "m2").await;
    let third = joined(&first, dir.path(), "m3").await;
    let old = first.client();
    first.create(&old, "before").await.expect("create");
    let gone = first.admin();

    // This one is away when its certificates end.
    let away = third.stop().await;
    AHEAD.store(LEAP.whole_seconds(), Ordering::Relaxed);

    let error = first.create(&old, "late").await.expect_err("the certificate has expired");
    assert!(error.contains("401") && error.contains("expired"), "{error}");
    let error = first.create(&old, "later").await.expect_err("the certificate has expired");
    assert!(error.contains("xpired"), "{error}");

    for member in [&first, &second] {
        member.created(&format!("on-{}", member.flags.cluster.machine_name().unwrap())).await;
        member.ready().await;
    }
    let renewed = Validity::of_pem("admin", &first.admin().cert_pem).expect("certificate");
    let before = Validity::of_pem("admin", &gone.cert_pem).expect("certificate");
    assert!(renewed.not_after - before.not_after > LEAP - time::Duration::hours(1));

    // Both sides of its links to the others must show what was issued after the leap.
    let third = Running::start(away, Origin::Restart).await;
    third.created("on-m3-again").await;

    // With one of the other two gone, its vote is needed: the link works in both directions.
    second.stop().await;
    first.created("with-two").await;
    third.stop().await;
    first.stop().await;
}
