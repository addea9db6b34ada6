//! What a machine has: read once at the start.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::{
    api::core::v1::NodeSystemInfo, apimachinery::pkg::api::resource::Quantity as WireQuantity,
};
use kabuki_api::quantity::Quantity;

/// Memory kept from pods, as upstream's default eviction threshold, in bytes.
const RESERVED_MEMORY: i64 = 100 * 1024 * 1024;

/// Amounts by resource name.
pub type ResourceList = BTreeMap<String, WireQuantity>;

/// Capacity and identity of the machine.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// `status.capacity`
    pub capacity: ResourceList,
    /// `status.allocatable`
    pub allocatable: ResourceList,
    /// Memory of the machine, in bytes.
    pub memory_capacity: i64,
    /// Lowest `oom_score_adj` this process may give: its own, without `CAP_SYS_RESOURCE`.
    pub oom_floor: i32,
    /// `status.nodeInfo`
    pub info: NodeSystemInfo,
}

/// Number of `CAP_SYS_RESOURCE`.
const CAP_SYS_RESOURCE: u32 = 24;

impl NodeFacts {
    /// Reads what the kernel says. Blocking; `disk` is where pods write.
    pub fn read(max_pods: u32, disk: &Path, version: &str) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = memory_bytes(&read("/proc/meminfo"));
        let bytes = |value: i64| WireQuantity(format!("{}Ki", value / 1024));
        let mut capacity = ResourceList::from([
            ("cpu".to_owned(), WireQuantity(cpus.to_string())),
            ("memory".to_owned(), bytes(memory)),
            ("pods".to_owned(), WireQuantity(max_pods.to_string())),
        ]);
        if let Some(size) = disk_bytes(disk) {
            capacity.insert("ephemeral-storage".to_owned(), bytes(size));
        }
        let mut allocatable = capacity.clone();
        allocatable.insert("memory".to_owned(), bytes((memory - RESERVED_MEMORY).max(0)));
        let oom_floor = oom_floor(&read("/proc/self/status"), &read("/proc/self/oom_score_adj"));
        let info = info(version);
        Self { capacity, allocatable, memory_capacity: memory, oom_floor, info }
    }

    /// Made-up facts.
    #[cfg(test)]
    pub fn for_tests(cpu: &str, memory: &str, pods: u32) -> Self {
        let list = ResourceList::from([
            ("cpu".to_owned(), WireQuantity(cpu.to_owned())),
            ("memory".to_owned(), WireQuantity(memory.to_owned())),
            ("pods".to_owned(), WireQuantity(pods.to_string())),
        ]);
        let bytes = Quantity::parse(memory).unwrap().value();
        Self {
            capacity: list.clone(),
            allocatable: list,
            memory_capacity: i64::try_from(bytes).unwrap(),
            oom_floor: -1000,
            info: info("test"),
        }
    }
}

fn disk_bytes(path: &Path) -> Option<i64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    i64::try_from(stat.blocks() * stat.fragment_size()).ok()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The kernel lets only the privileged lower a score; in a container of somebody else's the daemon
/// may lack that, and pods are then as exposed as the daemon itself.
fn oom_floor(status: &str, own: &str) -> i32 {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let caps = line.and_then(|l| u64::from_str_radix(l.trim(), 16).ok()).unwrap_or(0);
    if caps >> CAP_SYS_RESOURCE & 1 == 1 { -1000 } else { own.parse().unwrap_or(0) }
}

fn memory_bytes(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let text = line.map(|l| l.trim().trim_end_matches("kB").trim().to_owned() + "Ki");
    let parsed = text.and_then(|t| Quantity::parse(&t).ok());
    parsed.and_then(|q| i64::try_from(q.value()).ok()).unwrap_or(0)
}

fn info(version: &str) -> NodeSystemInfo {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = read("/etc/os-release");
    let pretty = os.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    NodeSystemInfo {
        architecture: architecture.to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("kabuki://{}", env!("CARGO_PKG_VERSION")),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kube_proxy_version: String::new(),
        kubelet_version: version.to_owned(),
        machine_id: read("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: pretty.unwrap_or("Linux").trim_matches('"').to_owned(),
        swap: None,
        system_uuid: read("/sys/class/dmi/id/product_uuid").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_lowered_only_with_the_capability() {
        assert_eq!(oom_floor("Name:\tx\nCapEff:\t000001ffffffffff\n", "0"), -1000);
        assert_eq!(oom_floor("CapEff:\t00000000a80425fb\n", "100"), 100);
        assert_eq!(memory_bytes("MemTotal:       1024 kB\nMemFree: 1 kB"), 1 << 20);
    }
}
