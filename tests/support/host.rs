//! Hosts made of network namespaces: each has one address on a common switch, which is a bridge in
//! a namespace of its own. Nothing touches the machine's own network.

use std::{fs::File, future::Future, net::Ipv4Addr, process::Command};

use super::process::sh;

/// A set of hosts on one switch; gone when dropped.
pub struct Lab {
    prefix: String,
    /// The hosts, in the order of their names.
    pub hosts: Vec<Host>,
}

/// One host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Short name, such as `m1`.
    pub name: String,
    /// Name of its network namespace.
    pub namespace: String,
    /// Its address on the switch.
    pub address: Ipv4Addr,
    switch: String,
    port: String,
}

impl Lab {
    /// Builds the hosts `names` as 172.31.`net`.1, .2, ….
    pub fn new(net: u8, names: &[&str]) -> Self {
        let prefix = format!("kbk{:x}{net}", std::process::id() & 0xffff);
        let mut lab = Self { prefix, hosts: Vec::new() };
        let switch = format!("{}-sw", lab.prefix);
        must(&format!("ip netns add {switch}"));
        must(&format!("ip -n {switch} link add br0 type bridge"));
        must(&format!("ip -n {switch} link set br0 up"));
        for (index, name) in names.iter().enumerate() {
            let octet = u8::try_from(index + 1).expect("few hosts");
            lab.add(&switch, name, Ipv4Addr::new(172, 31, net, octet), index);
        }
        lab
    }

    fn add(&mut self, switch: &str, name: &str, address: Ipv4Addr, index: usize) {
        let namespace = format!("{}-{name}", self.prefix);
        let port = format!("p{index}");
        must(&format!("ip netns add {namespace}"));
        self.hosts.push(Host {
            name: name.to_string(),
            namespace: namespace.clone(),
            address,
            switch: switch.to_string(),
            port: port.clone(),
        });
        must(&format!("ip -n {switch} link add {port} type veth peer name eth0 netns {namespace}"));
        must(&format!("ip -n {switch} link set {port} master br0 up"));
        must(&format!("ip -n {namespace} addr add {address}/24 dev eth0"));
        must(&format!("ip -n {namespace} link set eth0 up"));
        must(&format!("ip -n {namespace} link set lo up"));
        // A default route, as hosts have: pods need one to reach service addresses.
        must(&format!("ip -n {namespace} route add default dev eth0"));
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|h| h.name == name).unwrap_or_else(|| panic!("no host {name}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.hosts {
            for pid in sh(&format!("ip netns pids {}", host.namespace)).unwrap_or_default().lines()
            {
                let _ = sh(&format!("kill -9 {pid}"));
            }
            let _ = sh(&format!("ip netns del {}", host.namespace));
        }
        let _ = sh(&format!("ip netns del {}-sw", self.prefix));
    }
}

impl Host {
    /// A command that runs on this host. Only the network namespace changes: `ip netns exec` would
    /// also mount a fresh /sys and hide the cgroups.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program);
        command
    }

    /// Takes the host off the switch.
    pub fn unplug(&self) {
        must(&format!("ip -n {} link set {} down", self.switch, self.port));
    }

    /// Puts the host back on the switch.
    pub fn plug(&self) {
        must(&format!("ip -n {} link set {} up", self.switch, self.port));
    }

    /// Runs a future on this host's network, on a thread and runtime of its own.
    pub fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let path = format!("/run/netns/{}", self.namespace);
        // Every client of the tests speaks TLS; a second installation fails harmlessly.
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    let namespace = File::open(&path).expect("namespace");
                    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
                        .expect("enter namespace");
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("runtime")
                        .block_on(future)
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn must(line: &str) {
    sh(line).unwrap_or_else(|e| panic!("{e}"));
}
