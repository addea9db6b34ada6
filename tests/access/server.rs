//! One member of the real binary on loopback, and a client that shows headers and bodies.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;

use crate::support::{cluster::KABUKI, eventually, process::Process};

/// How long a member may take to serve, or to say why it does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running member.
pub struct Server {
    pub dir: tempfile::TempDir,
    flags: Vec<String>,
    process: Option<Process>,
    url: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub audit_id: String,
    /// `Warning` headers.
    #[allow(dead_code, reason = "not every test looks at them")]
    pub warnings: Vec<String>,
    pub body: Value,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port()
}

/// The command of a member in `dir`, without ports.
fn command(dir: &Path, flags: &[String]) -> Command {
    let mut command = Command::new(KABUKI);
    command.args(["server", "--init", "--name=a", "--bind-address=127.0.0.1"]);
    command.arg(format!("--data-dir={}", dir.join("data").display()));
    command.args(flags);
    command
}

impl Server {
    /// Starts a member with `flags`, in which `DIR` stands for a directory of its own; `prepare` may
    /// write files there before.
    pub fn start(prepare: impl FnOnce(&Path), flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        prepare(dir.path());
        let flags = flags.iter().map(|f| f.replace("DIR", &dir.path().display().to_string()));
        let mut server = Self { flags: flags.collect(), process: None, url: String::new(), dir };
        server.run();
        server
    }

    /// Starts the process again after [`Server::stop`].
    pub fn run(&mut self) {
        let port = free_port();
        let mut command = command(self.dir.path(), &self.flags);
        command.arg(format!("--api-port={port}")).arg(format!("--peer-port={}", free_port()));
        self.url = format!("https://127.0.0.1:{port}");
        self.process = Some(Process::start(command, &self.path("log")));
        eventually("the member serves", PATIENCE, || {
            if !self.path("data/admin.kubeconfig").is_file() {
                return Err(self.log());
            }
            match self.try_send("GET", "/readyz", &[], None) {
                Ok(answer) if answer.code == 200 => Ok(()),
                other => Err(format!("{other:?}\n{}", self.log())),
            }
        });
    }

    /// Ends the process in good order.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Sends a request as the administrator.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body))
    }

    /// As the holder of a certificate and its key, PEM.
    pub fn send_as(&self, pem: &str, method: &str, path: &str, body: &Value) -> Answer {
        let http = client(&self.path("data/admin.kubeconfig"), Some(pem));
        http.and_then(|http| self.exchange(&http, method, path, &[], Some(body)))
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Where it serves.
    #[allow(dead_code, reason = "not every test makes its own requests")]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client with the administrator's certificate.
    #[allow(dead_code, reason = "not every test makes its own requests")]
    pub fn client(&self) -> reqwest::Client {
        client(&self.path("data/admin.kubeconfig"), None).expect("client")
    }

    /// Runs kubectl as the administrator: what it printed, and whether it was content.
    pub fn kubectl(&self, program: &Path, line: &str) -> (String, bool) {
        let mut command = Command::new(program);
        command.arg(format!("--kubeconfig={}", self.path("data/admin.kubeconfig").display()));
        command.arg(format!("--cache-dir={}", self.path("cache").display()));
        let output = command.args(line.split_whitespace()).output().expect("kubectl");
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.success())
    }

    /// As [`Server::send`], without a certificate.
    pub fn send_anonymously(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let http = client(&self.path("data/admin.kubeconfig"), Some(""));
        http.and_then(|http| self.exchange(&http, method, path, headers, body))
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let http = client(&self.path("data/admin.kubeconfig"), None)?;
        self.exchange(&http, method, path, headers, body)
    }

    fn exchange(
        &self,
        http: &reqwest::Client,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|e| e.to_string())?;
        let mut request = http.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body.to_string());
        }
        block_on(async {
            let response = request.send().await.map_err(|e| format!("{e:?}"))?;
            let header = response.headers().get("audit-id").and_then(|v| v.to_str().ok());
            let (code, audit_id) =
                (response.status().as_u16(), header.unwrap_or_default().to_owned());
            let warnings = response.headers().get_all("warning").iter();
            let warnings =
                warnings.map(|w| String::from_utf8_lossy(w.as_bytes()).into_owned()).collect();
            let text = response.text().await.map_err(|e| e.to_string())?;
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Ok(Answer { code, audit_id, warnings, body })
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("runtime").block_on(future)
}

/// A client that trusts the cluster, with the administrator's certificate, another one or (empty) none.
fn client(kubeconfig: &Path, certificate: Option<&str>) -> Result<reqwest::Client, String> {
    use base64::Engine;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = std::fs::read_to_string(kubeconfig).map_err(|e| e.to_string())?;
    let config: Value = serde_yaml::from_str(&text).map_err(|e| e.to_string())?;
    let decode = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| e.to_string())
    };
    let user = &config["users"][0]["user"];
    let ca = decode(&config["clusters"][0]["cluster"]["certificate-authority-data"])?;
    let pem = match certificate {
        Some(given) => given.as_bytes().to_vec(),
        None => {
            let certificate = decode(&user["client-certificate-data"])?;
            [certificate, decode(&user["client-key-data"])?].concat()
        }
    };
    let ca = reqwest::Certificate::from_pem(&ca).map_err(|e| e.to_string())?;
    let mut builder = reqwest::Client::builder();
    if !pem.is_empty() {
        let identity = reqwest::Identity::from_pem(&pem).map_err(|e| e.to_string())?;
        builder = builder.identity(identity);
    }
    builder.tls_certs_only([ca]).timeout(Duration::from_secs(10)).build().map_err(|e| e.to_string())
}

/// Runs a member that must refuse to start, and returns what it said.
pub fn refused(prepare: impl FnOnce(&Path), flags: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("directory");
    prepare(dir.path());
    let flags = flags.iter().map(|f| f.replace("DIR", &dir.path().display().to_string()));
    let flags: Vec<String> = flags.collect();
    let mut limited = Command::new("timeout");
    let inner = command(dir.path(), &flags);
    limited.arg(PATIENCE.as_secs().to_string()).arg(inner.get_program()).args(inner.get_args());
    let Output { status, stderr, .. } = limited.output().expect("timeout");
    assert_eq!(status.code(), Some(1), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stderr).into_owned()
}
