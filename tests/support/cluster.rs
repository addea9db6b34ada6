//! A cluster of the real binary on the hosts of a lab.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    eventually,
    host::{Host, Lab},
    kubectl::Kubectl,
    process::{Process, run},
};

/// The binary under test.
pub const KABUKI: &str = env!("CARGO_BIN_EXE_kabuki");
/// How long a program may take to become ready.
pub const READY_LIMIT: Duration = Duration::from_secs(30);

/// One running kabuki on one host.
pub struct Machine {
    /// Where it runs.
    pub host: Host,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// The process.
    pub process: Process,
    args: Vec<String>,
    program: String,
}

/// Members and nodes; everything they leave behind is removed when dropped.
pub struct Cluster {
    /// Control-plane members, in the order they were started.
    pub members: Vec<Machine>,
    /// Workers.
    pub nodes: Vec<Machine>,
    /// The hosts.
    pub lab: Lab,
    /// Where everything lies.
    pub dir: tempfile::TempDir,
    /// The binary that machines are started with from now on.
    pub program: String,
    insecure_registries: Vec<String>,
    kept: Vec<tempfile::TempDir>,
}

impl Cluster {
    /// An empty cluster on `lab`.
    pub fn new(lab: Lab, insecure_registry: &str) -> Self {
        Self {
            members: Vec::new(),
            nodes: Vec::new(),
            lab,
            dir: tempfile::Builder::new().prefix("kbk").tempdir().expect("directory"),
            program: KABUKI.to_string(),
            insecure_registries: vec![insecure_registry.to_string()],
            kept: Vec::new(),
        }
    }

    /// Lets nodes that are started from now on use a registry over plain HTTP.
    pub fn allow_registry(&mut self, name: &str) {
        self.insecure_registries.push(name.to_string());
    }

    /// Keeps a directory as long as the cluster.
    pub fn keep(&mut self, dir: tempfile::TempDir) {
        self.kept.push(dir);
    }

    fn start(&self, host: &str, args: &[&str]) -> Machine {
        let host = self.lab.host(host).clone();
        let data_dir = self.dir.path().join(&host.name);
        let mut all: Vec<String> = args.iter().map(ToString::to_string).collect();
        all.push(format!("--data-dir={}", data_dir.display()));
        all.push(format!("--bind-address={}", host.address));
        all.push(format!("--name={}", host.name));
        let log = self.dir.path().join(format!("{}.log", host.name));
        let process = spawn(&self.program, &host, &all, &log);
        Machine { host, data_dir, process, args: all, program: self.program.clone() }
    }

    /// Starts the first member and waits until it is ready.
    pub fn init(&mut self, host: &str, more: &[&str]) {
        let args = [&["server", "--init"], more].concat();
        let machine = self.start(host, &args);
        machine.wait_ready();
        self.members.push(machine);
    }

    /// Makes a join token on the first member.
    pub fn token(&self, role: &str, more: &[&str]) -> String {
        let first = &self.members[0];
        let mut command = first.host.command(KABUKI);
        command.args(["token", "create", "--role", role]).args(more);
        command.arg(format!("--data-dir={}", first.data_dir.display()));
        run(&mut command).expect("token").trim().to_string()
    }

    /// Starts a whole cluster in one process and waits until it is ready.
    pub fn up(&mut self, host: &str) {
        let machine = self.start(host, &["up"]);
        machine.wait_ready();
        self.members.push(machine);
    }

    /// Starts another member and waits until it is ready.
    pub fn join_member(&mut self, host: &str, more: &[&str]) {
        let token = self.token("server", &[]);
        let url = self.members[0].url();
        let args = [&["server", "--join", &url, "--token", &token], more].concat();
        let machine = self.start(host, &args);
        machine.wait_ready();
        self.members.push(machine);
    }

    /// Starts a node.
    pub fn join_node(&mut self, host: &str) {
        let token = self.token("node", &[]);
        self.join_node_with(host, &token);
    }

    /// Starts a node with a token made before.
    pub fn join_node_with(&mut self, host: &str, token: &str) {
        let url = self.members[0].url();
        let registries: Vec<String> =
            self.insecure_registries.iter().map(|r| format!("--insecure-registry={r}")).collect();
        let mut args = vec!["node", "--join", &url, "--token", token];
        args.extend(registries.iter().map(String::as_str));
        let machine = self.start(host, &args);
        self.nodes.push(machine);
    }

    /// kubectl on the host of a member, with that member's kubeconfig.
    pub fn kubectl(&self, program: &std::path::Path, member: usize) -> Kubectl {
        let machine = &self.members[member];
        Kubectl::new(
            program,
            &machine.host,
            &machine.data_dir.join("admin.kubeconfig"),
            &self.dir.path().join("kubectl-cache"),
        )
    }

    /// A kube-rs configuration for a member; use it only inside [`Host::block_on`].
    pub fn kube_config(&self, member: usize) -> kube::Config {
        let path = self.members[member].data_dir.join("admin.kubeconfig");
        let config = kube::config::Kubeconfig::read_from(path).expect("kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
            .block_on(kube::Config::from_custom_kubeconfig(config, &options))
            .expect("kube config")
    }

    /// The end of every log, for a failing test.
    pub fn logs(&self) -> String {
        self.members
            .iter()
            .chain(&self.nodes)
            .map(|m| format!("--- {}\n{}\n", m.host.name, m.process.tail(40)))
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            if std::env::var_os("KABUKI_TEST_KEEP").is_some() {
                let kept = self.dir.path().with_extension("kept");
                let _ = std::fs::rename(self.dir.path(), &kept);
                eprintln!("kept: {}", kept.display());
            }
        }
        for node in &mut self.nodes {
            node.process.stop();
            reset(node);
        }
        for member in &mut self.members {
            member.process.stop();
            if member.args.first().is_some_and(|a| a == "up") {
                reset(member);
            }
        }
    }
}

impl Machine {
    /// The URL of its API.
    pub fn url(&self) -> String {
        format!("https://{}:6443", self.host.address)
    }

    /// Starts the process again with the same flags.
    pub fn restart(&mut self) {
        let log = self.process.log.clone();
        self.process = spawn(&self.program, &self.host, &self.args, &log);
    }

    /// Starts another program with the same flags.
    pub fn restart_as(&mut self, program: &str) {
        self.program = program.to_string();
        self.restart();
    }

    /// Waits until `/readyz` says ok.
    pub fn wait_ready(&self) {
        let url = format!("{}/readyz", self.url());
        eventually(&format!("{} ready", self.host.name), READY_LIMIT, || {
            self.host.block_on(get(&url)).and_then(|body| {
                if body == "ok" {
                    Ok(())
                } else {
                    Err(format!("{body}\n{}", self.process.tail(20)))
                }
            })
        });
    }
}

/// Removes what the pods of a stopped node left on this machine.
fn reset(machine: &Machine) {
    let mut command = machine.host.command(KABUKI);
    command.arg("reset").arg(format!("--data-dir={}", machine.data_dir.display()));
    if let Err(error) = run(&mut command) {
        eprintln!("{}: {error}", machine.host.name);
    }
}

/// Where a node with this data directory keeps sockets and namespaces.
pub fn run_dir(data_dir: &Path) -> PathBuf {
    PathBuf::from(format!("/run/kabuki{}", kabuki::cmd::instance_suffix(data_dir)))
}

/// The cgroup below which a node with this data directory keeps its pods.
pub fn cgroup_root(data_dir: &Path) -> String {
    format!("/kubepods{}", kabuki::cmd::instance_suffix(data_dir))
}

/// The cgroups of pods below `root`, in every hierarchy of this machine.
pub fn pod_cgroups(root: &str) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("pod") {
                    found.push(entry.path().display().to_string());
                }
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    let top = Path::new("/sys/fs/cgroup");
    for hierarchy in std::fs::read_dir(top).into_iter().flatten().flatten() {
        walk(&hierarchy.path().join(root.trim_start_matches('/')), &mut found);
    }
    walk(&top.join(root.trim_start_matches('/')), &mut found);
    found
}

/// Reads a URL without checking the certificate: readiness is asked for before any is known.
async fn get(url: &str) -> Result<String, String> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(Duration::from_secs(2))
        .no_proxy()
        .build()
        .map_err(|e| e.to_string())?;
    let response = client.get(url).send().await.map_err(|e| e.to_string())?;
    response.text().await.map_err(|e| e.to_string())
}

fn spawn(program: &str, host: &Host, args: &[String], log: &std::path::Path) -> Process {
    let mut command = host.command(program);
    command.args(args);
    Process::start(command, log)
}
