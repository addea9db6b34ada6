//! Members of either system as processes of this machine.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;

use crate::{
    certs,
    client::{Channel, Hop},
};

/// How long a cluster may take to take its first write.
const START_TRIES: usize = 300;
const START_PAUSE: Duration = Duration::from_millis(100);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Debian's `etcd-server`.
    Etcd,
    /// This project's store.
    Kabuki,
}

impl System {
    /// As printed, and as given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Kabuki => "kabuki",
        }
    }

    /// What clients reach it over, unless they ask for gRPC.
    pub fn hop(self) -> Hop {
        match self {
            Self::Etcd => Hop::Grpc,
            Self::Kabuki => Hop::Frames,
        }
    }
}

/// The running members of one cluster; they are killed with it.
pub struct Cluster {
    /// Which system this is.
    pub system: System,
    /// `host:port` for clients of every member.
    pub clients: Vec<String>,
    children: Vec<Child>,
    dir: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Cluster {
    /// Starts `members` members below `dir` and waits until each takes a write.
    pub async fn start(system: System, members: usize, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        certs::make(dir)?;
        let clients = free_addresses(members)?;
        let peers = free_addresses(members)?;
        let mut cluster =
            Self { system, clients: clients.clone(), children: Vec::new(), dir: dir.to_owned() };
        for (at, client) in clients.iter().enumerate() {
            let mut command = match system {
                System::Etcd => etcd(at, dir, client, &peers),
                System::Kabuki => kabuki(at, dir, client, &peers)?,
            };
            let log = File::create(dir.join(format!("{}.log", at + 1)))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let child = command.spawn();
            cluster.children.push(child.with_context(|| format!("cannot start {command:?}"))?);
        }
        for addr in &clients {
            cluster.ready(addr).await?;
        }
        Ok(cluster)
    }

    async fn ready(&self, addr: &str) -> anyhow::Result<()> {
        let mut last = None;
        for _ in 0..START_TRIES {
            let hop = self.system.hop();
            let done = async { Channel::connect(addr, hop).await?.put("/r/ready/x/1", b"1").await };
            match done.await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        anyhow::bail!("{} at {addr} does not start: {last:?}", self.system.name())
    }

    /// The members' addresses, the leader's first.
    pub async fn leader_first(&self) -> anyhow::Result<Vec<String>> {
        let mut addresses = self.clients.clone();
        for (at, addr) in self.clients.iter().enumerate() {
            if Channel::connect(addr, self.system.hop()).await?.leads().await? {
                addresses.swap(0, at);
                return Ok(addresses);
            }
        }
        anyhow::bail!("no member of {} leads", self.system.name())
    }

    /// Process ids of the members.
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Memory of all members (PSS), bytes.
    pub fn memory(&self) -> u64 {
        self.pids().into_iter().map(pss).sum()
    }

    /// Processor time all members have used so far.
    pub fn cpu(&self) -> Duration {
        self.pids().into_iter().map(cpu).sum()
    }

    /// Bytes all members hold on disk.
    pub fn disk(&self) -> u64 {
        disk_bytes(&self.dir)
    }
}

fn etcd(at: usize, dir: &Path, client: &str, peers: &[String]) -> Command {
    let name = |at: usize| format!("m{}", at + 1);
    let all: Vec<_> =
        peers.iter().enumerate().map(|(at, p)| format!("{}=https://{p}", name(at))).collect();
    let mut command = Command::new("etcd");
    command.arg("--name").arg(name(at));
    command.arg("--data-dir").arg(dir.join(name(at)));
    command.arg(format!("--listen-client-urls=http://{client}"));
    command.arg(format!("--advertise-client-urls=http://{client}"));
    command.arg(format!("--listen-peer-urls=https://{}", peers[at]));
    command.arg(format!("--initial-advertise-peer-urls=https://{}", peers[at]));
    command.arg(format!("--initial-cluster={}", all.join(",")));
    command.arg(format!("--peer-trusted-ca-file={}", dir.join(certs::CA).display()));
    command.arg(format!("--peer-cert-file={}", dir.join(certs::CERT).display()));
    command.arg(format!("--peer-key-file={}", dir.join(certs::KEY).display()));
    command.args(["--peer-client-cert-auth", "--logger=zap", "--log-level=warn"]);
    command.arg("--quota-backend-bytes=8589934592");
    command
}

fn kabuki(at: usize, dir: &Path, client: &str, peers: &[String]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("member").arg((at + 1).to_string());
    command.arg(dir.join(format!("m{}", at + 1))).arg(client).args(peers);
    Ok(command)
}

fn free_addresses(count: usize) -> anyhow::Result<Vec<String>> {
    // All are held until the last is known, so that they differ.
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|l| Ok(l.local_addr()?.to_string())).collect()
}

fn pss(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix("Pss:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// User and system time of a process (fields 14 and 15 of proc(5) stat).
fn cpu(pid: u32) -> Duration {
    // A tick is 10 ms (USER_HZ = 100) on every Linux architecture Rust supports.
    const TICK_MS: u64 = 10;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((field(11) + field(12)) * TICK_MS)
}

/// Allocated bytes of everything below a directory.
fn disk_bytes(dir: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() { disk_bytes(&entry.path()) } else { meta.blocks() * 512 };
    }
    sum
}
