//! A whole API server in the test's process: TLS on loopback over a real single-member store.

#![allow(dead_code, reason = "each test binary uses its own part of the support code")]

use std::{
    io::Write,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Arc, Once},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use kabuki::{
    api::{self, ApiConfig, ApiServer, LogBytes, LogSource},
    pki::{Clock, ClusterPki, Credential, Leaf, MemberNames, api_server_config},
};
use kabuki_actors::{
    auth::{Authenticator, Authorizer, ServiceAccountKeys},
    kernel::{Kernel, KernelConfig},
    link::{Hub, LogRequest},
    registry::{Registry, RegistryConfig, RequestInfo},
};
use kabuki_api::{kind, status::Status};
use kabuki_raft::Store;
use serde_json::{Value, json};

/// A running API server and what a test needs of it.
pub struct TestApi {
    pub dir: tempfile::TempDir,
    pub url: String,
    pub pki: ClusterPki,
    pub registry: Registry,
    pub kernel: Kernel,
    pub store: Store,
    server: ApiServer,
}

/// Logs that repeat what was asked for.
struct EchoLogs;

#[async_trait::async_trait]
impl LogSource for EchoLogs {
    async fn open(&self, node: &str, request: LogRequest) -> Result<LogBytes, Status> {
        if request.previous {
            return Err(Status::bad_request(format!(
                "previous terminated container {:?} in pod {:?} not found",
                request.container, request.pod
            )));
        }
        let text = format!("{node} {}\nfollow={}\n", request.container, request.follow);
        Ok(stream::iter([Ok(text.into())]).boxed())
    }
}

fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    });
}

impl TestApi {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a node link, logs are read through it.
    pub async fn start_with(link: Option<Arc<Hub>>) -> Self {
        install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let pki = ClusterPki::load_or_create(&dir.path().join("pki")).unwrap();
        let store = Store::open_single(dir.path().join("store")).await.unwrap();
        store.initialize().await.unwrap();
        let mut leadership = store.leadership();
        leadership.wait_for(|l| l.is_local).await.unwrap();
        let keys = ServiceAccountKeys::from_pem(&pki.service_account_key_pem).unwrap();
        let config = RegistryConfig { keys: Some(Arc::new(keys)), ..RegistryConfig::default() };
        let registry = Registry::new(store.clone(), config);
        registry.bootstrap().await.unwrap();
        let kernel = Kernel::new(KernelConfig::default()).unwrap();
        let names = MemberNames { name: "test".into(), addresses: Vec::new() };
        let leaf = Leaf::Server { names, service_ip: [10, 96, 0, 1].into() };
        let identity = Credential::new(pki.identity(&leaf).unwrap(), pki.ca.cert_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = api::start(ApiConfig {
            seats: api::SEATS,
            listeners: vec![listener],
            tls: api_server_config(&identity, pki.ca.cert_pem(), Clock::default()).unwrap(),
            workers: 2,
            advertise: address.to_string(),
            registry: registry.clone(),
            authenticator: Authenticator::new(registry.clone()),
            authorizer: Authorizer::new(registry.clone()),
            kernel: kernel.clone(),
            peers: None,
            logs: link.is_none().then(|| Arc::new(EchoLogs) as Arc<dyn LogSource>),
            link,
            audit: None,
            attachments: None,
            extensions: None,
            checks: Arc::new(Vec::new),
            metrics: Arc::new(|_| {}),
            extra: Arc::new(|_| {}),
        })
        .unwrap();
        let url = format!("https://{address}");
        let admin = pki.identity(&Leaf::Admin).unwrap();
        pki.write_admin_kubeconfig(&dir.path().join("admin.kubeconfig"), &url, admin).unwrap();
        let test = Self { dir, url, pki, registry, kernel, server, store };
        test.service_account("default").await;
        test
    }

    /// What the service-account controller would make.
    pub async fn service_account(&self, namespace: &str) {
        let account = json!({"metadata": {"name": "default", "namespace": namespace}});
        let info = RequestInfo::internal("test");
        self.registry.create(&info, kind::SERVICE_ACCOUNT, namespace, account).await.unwrap();
    }

    /// An HTTP client that shows a certificate of `user`.
    pub fn client(&self, user: &str, groups: &[&str]) -> Client {
        let issued = self.pki.client(user, groups).unwrap();
        let pem = format!("{}{}", issued.cert_pem, issued.key_pem);
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).unwrap();
        self.http(reqwest::Client::builder().identity(identity))
    }

    /// An HTTP client of the cluster's administrators.
    pub fn admin(&self) -> Client {
        self.client("kubernetes-admin", &["system:masters"])
    }

    /// An HTTP client of the cluster's administrators, made by `builder`.
    pub fn http_with(&self, builder: reqwest::ClientBuilder) -> Client {
        let issued = self.pki.client("kubernetes-admin", &["system:masters"]).unwrap();
        let pem = format!("{}{}", issued.cert_pem, issued.key_pem);
        self.http(builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap()))
    }

    /// An HTTP client without credentials.
    pub fn anonymous(&self) -> Client {
        self.http(reqwest::Client::builder())
    }

    fn http(&self, builder: reqwest::ClientBuilder) -> Client {
        let ca = reqwest::Certificate::from_pem(self.pki.ca.cert_pem().as_bytes()).unwrap();
        let builder = builder.tls_certs_only([ca]).timeout(Duration::from_secs(30));
        Client { http: builder.build().unwrap(), url: self.url.clone() }
    }

    pub async fn stop(self) {
        self.server.stop().await;
        self.kernel.shutdown().await;
        self.store.shutdown().await;
    }
}

/// A small HTTP client.
pub struct Client {
    pub http: reqwest::Client,
    pub url: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { code, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(self.request("GET", path).header("accept", accept)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json("POST", path, "application/json", body).await
    }

    pub async fn send_json(&self, method: &str, path: &str, media: &str, body: &Value) -> Answer {
        let request = self.request(method, path).header("content-type", media);
        self.send(request.body(body.to_string())).await
    }
}

/// A kubectl of one version.
pub struct Kubectl {
    pub program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// kubectl 1.27 and 1.33 beside what `kubectl` on PATH is, or that one.
pub fn kubectls() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|d| d.join("kubectl")).find(|p| p.is_file());
    let Some(found) = found else {
        eprintln!("skipped: there is no kubectl on PATH");
        return Vec::new();
    };
    let real = std::fs::canonicalize(&found).unwrap_or(found);
    let versions: Vec<PathBuf> = ["kubectl.1.27", "kubectl.1.33"]
        .iter()
        .map(|name| real.with_file_name(name))
        .filter(|p| p.is_file())
        .collect();
    if versions.is_empty() { vec![real] } else { versions }
}

impl Kubectl {
    pub fn new(api: &TestApi, program: PathBuf) -> Self {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        Self {
            program,
            kubeconfig: api.dir.path().join("admin.kubeconfig"),
            cache: api.dir.path().join(format!("cache-{name}")),
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--cache-dir={}", self.cache.display()))
            .args(words(line))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command line and returns its standard output; panics with everything if it fails.
    pub async fn ok(&self, line: &str) -> String {
        self.pipe(line, "").await
    }

    /// Runs a command line that must fail and returns its standard error.
    pub async fn fails(&self, line: &str) -> String {
        let output = self.run(line, String::new(), &[]).await;
        assert!(!output.status.success(), "kubectl {line} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// As [`Kubectl::fails`], with `input` on its standard input.
    pub async fn run_failing(&self, line: &str, input: &str) -> String {
        let output = self.run(line, input.to_owned(), &[]).await;
        assert!(!output.status.success(), "kubectl {line} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs a command line with `input` on its standard input.
    pub async fn pipe(&self, line: &str, input: &str) -> String {
        self.with_env(line, input, &[]).await
    }

    /// Runs a command line in a changed environment.
    pub async fn with_env(&self, line: &str, input: &str, env: &[(&str, &str)]) -> String {
        let output = self.run(line, input.to_owned(), env).await;
        assert!(
            output.status.success(),
            "{} {line}\n{}{}",
            self.program.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn run(&self, line: &str, input: String, env: &[(&str, &str)]) -> Output {
        let mut command = self.command(line);
        command.envs(env.iter().copied());
        let run = move || {
            if !input.is_empty() {
                command.stdin(Stdio::piped());
            }
            let mut child = command.spawn().unwrap();
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).unwrap();
            }
            child.wait_with_output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// Starts a command that runs on; its output is read when it is killed.
    pub fn start(&self, line: &str) -> std::process::Child {
        self.command(line).spawn().unwrap()
    }
}

/// Splits at spaces; single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}
