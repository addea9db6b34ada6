//! Flags shared by the subcommands that start something.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::duration::parse_duration;
use crate::{
    audit::{AuditConfig, Rotation},
    pki::Clock,
};

/// Port of the Kubernetes API.
pub const API_PORT: u16 = 6443;
/// Port of the Raft peers.
pub const PEER_PORT: u16 = 6444;

/// What is logged by default. kube's client logs at ERROR each time it cannot connect, which is what
/// happens whenever a member is away, and is handled by who called it; openraft warns of every single
/// heartbeat that a member which is away does not get, after the store has told of it once.
const DEFAULT_LOG: &str = "info,openraft=error,actix_server=warn,actix_http=off,kube_client=off";

/// Where this machine keeps its files and how it is reached.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// Directory that holds everything this process must keep.
    #[arg(long, default_value = "/var/lib/kabuki", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// Address others reach this machine at; by default that of the default route.
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<IpAddr>,
    /// Name of this machine in the cluster; by default the host name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What to log: a level or tracing filter directives.
    #[arg(long, default_value = DEFAULT_LOG, env = "KABUKI_LOG", value_name = "FILTER")]
    pub log: String,
    /// What certificates are issued and verified by; only tests have another.
    #[arg(skip)]
    pub clock: Clock,
}

/// Flags of a control-plane member.
#[derive(Debug, Clone, Args)]
pub struct MemberOptions {
    /// Port of the Kubernetes API.
    #[arg(long, default_value_t = API_PORT)]
    pub api_port: u16,
    /// Port of the Raft peers.
    #[arg(long, default_value_t = PEER_PORT)]
    pub peer_port: u16,
    /// Further addresses the API server's certificate must answer to.
    #[arg(long = "tls-san", value_name = "IP")]
    pub tls_sans: Vec<IpAddr>,
    /// Seconds without a heartbeat after which a node counts as unreachable.
    #[arg(long, default_value_t = 40, value_name = "SECONDS")]
    pub node_monitor_grace_period: u64,
    /// How long the certificates this member issues are valid: a number with s, m, h or d. They are
    /// renewed after two thirds of it.
    #[arg(long, default_value = "365d", value_name = "DURATION", value_parser = lifetime)]
    pub certificate_lifetime: Duration,
    /// File that says which resources are encrypted at rest and with which keys
    /// (apiserver.config.k8s.io/v1 EncryptionConfiguration); the same on every member.
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Reading requests that run at once, by their priority; others wait for their turn.
    #[arg(long, default_value_t = 400, value_name = "COUNT")]
    pub max_requests_inflight: u32,
    /// The same for changing ones; their sum is what priority levels share.
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    pub max_mutating_requests_inflight: u32,
    /// What is recorded of who did what.
    #[command(flatten)]
    pub audit: AuditOptions,
}

/// Flags of the audit log, with kube-apiserver's names.
#[derive(Debug, Clone, Args)]
pub struct AuditOptions {
    /// File with the audit policy (audit.k8s.io/v1); without it nothing is recorded.
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// File that gets one line of JSON per event; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,
    /// Megabytes after which the audit log is set aside; 0 is 100.
    #[arg(long, default_value_t = 0, value_name = "MEGABYTES")]
    pub audit_log_maxsize: u64,
    /// Audit logs set aside that are kept; 0 keeps all.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub audit_log_maxbackup: usize,
    /// Days an audit log that was set aside is kept; 0 keeps all.
    #[arg(long, default_value_t = 0, value_name = "DAYS")]
    pub audit_log_maxage: u32,
}

impl MemberOptions {
    /// Seats of the API server.
    pub fn seats(&self) -> u32 {
        self.max_requests_inflight.saturating_add(self.max_mutating_requests_inflight).max(1)
    }
}

impl AuditOptions {
    /// The same as the log takes it.
    pub fn config(&self) -> AuditConfig {
        AuditConfig {
            policy: self.audit_policy_file.clone(),
            log: self.audit_log_path.clone(),
            rotation: Rotation {
                max_megabytes: self.audit_log_maxsize,
                max_backups: self.audit_log_maxbackup,
                max_days: self.audit_log_maxage,
            },
        }
    }
}

/// Flags of a node.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// Directory for sockets and namespaces; must be on tmpfs. By default below /run, by data directory.
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Cgroup below which all pods live; by default /kubepods, or one by data directory when that is not the default.
    #[arg(long, value_name = "PATH")]
    pub cgroup_root: Option<String>,
    /// Labels to register the node with, as key=value; may be repeated.
    #[arg(long = "node-label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Registries that may be reached over plain HTTP, as host:port; may be repeated. Loopback always may.
    #[arg(long = "insecure-registry", value_name = "HOST:PORT")]
    pub insecure_registries: Vec<String>,
}

/// Shortest and longest life of a certificate. A shorter one could end before it is renewed.
const CERTIFICATE_LIFETIME: (Duration, Duration) =
    (Duration::from_secs(5), Duration::from_secs(3650 * 24 * 3600));

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = parse_duration(text)?;
    let (shortest, longest) = CERTIFICATE_LIFETIME;
    if lifetime < shortest || lifetime > longest {
        return Err(format!("{text} is too short or too long: give between 5s and 3650d"));
    }
    Ok(lifetime)
}

/// The default data directory.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/kabuki";

impl ClusterOptions {
    /// The machine's name: the flag, or the host name in lower case.
    ///
    /// # Errors
    /// When it is no valid node name (DNS-1123 subdomain).
    pub fn machine_name(&self) -> anyhow::Result<String> {
        Self::name_or_host(self.name.clone())
    }

    /// The name given, or the host name in lower case.
    ///
    /// # Errors
    /// When it is no valid node name (DNS-1123 subdomain).
    pub fn name_or_host(name: Option<String>) -> anyhow::Result<String> {
        let name = match name {
            Some(name) => name,
            None => nix::unistd::gethostname()?.to_string_lossy().to_lowercase(),
        };
        let label = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        anyhow::ensure!(
            name.len() <= 253 && name.split('.').all(label),
            "{name:?} is no valid name: use lower-case letters, digits, '-' and '.', or pass --name"
        );
        Ok(name)
    }

    /// The address others reach this machine at.
    ///
    /// # Errors
    /// When no flag was given and the machine has no route to take it from.
    pub fn address(&self) -> anyhow::Result<IpAddr> {
        if let Some(address) = self.advertise_address {
            return Ok(address);
        }
        if !self.bind_address.is_unspecified() {
            return Ok(self.bind_address);
        }
        default_address().ok_or_else(|| {
            anyhow::anyhow!("cannot find this machine's address: pass --advertise-address")
        })
    }
}

/// The source address the kernel would choose for the default route. Connecting a UDP socket
/// sends nothing; the target is a documentation address (RFC 5737). Without a default route the
/// machine can still be a cluster of its own, on loopback.
fn default_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    match socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)) {
        Ok(()) => socket.local_addr().ok().map(|a| a.ip()),
        Err(_) => first_address(),
    }
}

fn first_address() -> Option<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().ok()?;
    addresses
        .filter(|i| i.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP))
        .filter(|i| !i.flags.contains(nix::net::if_::InterfaceFlags::IFF_LOOPBACK))
        .find_map(|i| i.address?.as_sockaddr_in().map(|a| IpAddr::V4(a.ip())))
}

/// Short stable suffix for paths that must differ between data directories on one machine.
pub fn instance_suffix(data_dir: &std::path::Path) -> String {
    use sha2::{Digest, Sha256};
    if data_dir == std::path::Path::new(DEFAULT_DATA_DIR) {
        return String::new();
    }
    let path = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    let digest = Sha256::digest(path.to_string_lossy().as_bytes());
    format!("-{}", &hex::encode(digest)[..8])
}
