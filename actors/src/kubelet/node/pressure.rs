//! What the machine runs short of: disk, memory, process ids. Removes unused images when their disk
//! fills up (upstream: `images/image_gc_manager.go`, `eviction/`).
//!
//! Upstream also evicts pods; here pressure keeps new ones away, and the machine's own limits hold.

use std::{path::PathBuf, sync::Arc, time::Duration};

use actix::{Actor, Handler, Message};
use serde_json::json;

use crate::{
    kernel::{Ctx, Performer},
    kubelet::context::NodeContext,
    recreate_on_restart,
};

/// How often the machine is looked at (upstream's eviction monitor).
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Images are removed from this use of their disk on, until it is down to that, in percent.
const IMAGES_HIGH: u64 = 85;
const IMAGES_LOW: u64 = 80;
/// An image that was used within this time stays.
const IMAGE_MIN_AGE: Duration = Duration::from_secs(120);
/// Less than this part of a disk, of its inodes or of process ids being free is pressure, in percent.
const FREE_LOW: u64 = 5;
/// Less memory than this is pressure (upstream's default), in bytes.
const MEMORY_LOW: u64 = 100 << 20;

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Disk space or inodes.
    pub disk: bool,
    /// Memory.
    pub memory: bool,
    /// Process ids.
    pub pids: bool,
}

/// Amounts as the kernel gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Amount {
    total: u64,
    free: u64,
}

impl Amount {
    fn is_low(self) -> bool {
        self.total > 0 && self.free.saturating_mul(100) < self.total.saturating_mul(FREE_LOW)
    }

    /// How much has to be freed for `percent` of it to be in use at most.
    fn excess(self, percent: u64) -> u64 {
        let allowed = self.total / 100 * percent;
        self.total.saturating_sub(self.free).saturating_sub(allowed)
    }
}

/// What one look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sight {
    /// Space and inodes of the disks, the images' first.
    disks: Vec<Amount>,
    inodes: Vec<Amount>,
    memory_free: Option<u64>,
    pids: Amount,
}

impl Sight {
    fn pressure(&self) -> Pressure {
        Pressure {
            disk: self.disks.iter().chain(&self.inodes).any(|a| a.is_low()),
            memory: self.memory_free.is_some_and(|free| free < MEMORY_LOW),
            pids: self.pids.is_low(),
        }
    }
}

/// Looks at the machine. Blocking.
fn look(dirs: &[PathBuf]) -> Sight {
    let mut sight = Sight::default();
    for stat in dirs.iter().filter_map(|dir| nix::sys::statvfs::statvfs(dir.as_path()).ok()) {
        let unit = stat.fragment_size();
        let (total, free) = (stat.blocks() * unit, stat.blocks_available() * unit);
        sight.disks.push(Amount { total, free });
        sight.inodes.push(Amount { total: stat.files(), free: stat.files_available() });
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    sight.memory_free = available_memory(&read("/proc/meminfo"));
    let total = read("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(0);
    let used = tasks(&read("/proc/loadavg"));
    sight.pids = Amount { total, free: total.saturating_sub(used) };
    sight
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// Number of tasks, from the fourth field of loadavg (`running/all`).
fn tasks(loadavg: &str) -> u64 {
    let field = loadavg.split_ascii_whitespace().nth(3).unwrap_or_default();
    field.split_once('/').and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Look;

/// Watches the machine.
pub(in crate::kubelet) struct PressureWatch {
    node: Arc<NodeContext>,
    removed: u64,
}

impl Performer for PressureWatch {
    type Args = Arc<NodeContext>;

    fn create(node: &Arc<NodeContext>) -> Self {
        Self { node: node.clone(), removed: 0 }
    }

    fn inspect(&self) -> serde_json::Value {
        let now = *self.node.pressure.borrow();
        json!({"disk": now.disk, "memory": now.memory, "pids": now.pids,
            "imagesRemoved": self.removed})
    }
}

recreate_on_restart!(PressureWatch);

impl Actor for PressureWatch {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.look(ctx);
        ctx.every(LOOK_EVERY, Look);
    }
}

impl Handler<Look> for PressureWatch {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Ctx<Self>) {
        self.look(ctx);
    }
}

impl PressureWatch {
    fn look(&mut self, ctx: &mut Ctx<Self>) {
        let node = self.node.clone();
        ctx.offload(watch(node), |this, removed, _| this.removed += removed);
    }
}

/// Looks, makes room among the images if there is little, and tells what is short. Answers how many
/// images went.
async fn watch(node: Arc<NodeContext>) -> u64 {
    let root = node.config.root.clone();
    let dirs = [root.join("images"), root, node.config.log_root.clone()];
    let see = move || look(&dirs);
    let Ok(mut sight) = tokio::task::spawn_blocking(see.clone()).await else { return 0 };
    let images = sight.disks.first().copied().unwrap_or_default();
    let mut removed = 0;
    if images.excess(IMAGES_HIGH) > 0 {
        removed = make_room(&node, images.excess(IMAGES_LOW)).await;
        if removed > 0
            && let Ok(after) = tokio::task::spawn_blocking(see).await
        {
            sight = after;
        }
    }
    let now = sight.pressure();
    node.pressure.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
    removed
}

/// Removes images nobody uses, the longest unused first, until `wanted` bytes are free.
async fn make_room(node: &NodeContext, wanted: u64) -> u64 {
    let (mut freed, mut removed) = (0, 0);
    for image in node.config.runtime.unused_images() {
        let rests = image.used_at.elapsed().is_ok_and(|age| age >= IMAGE_MIN_AGE);
        // What was loaded by hand cannot be pulled again.
        let loaded = image.references.iter().any(|r| r.starts_with("localhost/"));
        if freed >= wanted || !rests || loaded {
            continue;
        }
        match node.config.runtime.remove_image(&image.id).await {
            Ok(()) => {
                tracing::info!(
                    image = image.id,
                    bytes = image.size_bytes,
                    "removed an unused image"
                );
                freed += image.size_bytes;
                removed += 1;
            }
            Err(error) => tracing::debug!(image = image.id, %error, "cannot remove an image"),
        }
    }
    if freed < wanted {
        let message = format!(
            "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, \
             but only found {freed} bytes eligible to free."
        );
        node.recorder.node(&node.config.name, true, "FreeDiskSpaceFailed", message);
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(total: u64, free: u64) -> Amount {
        Amount { total, free }
    }

    #[test]
    fn images_go_from_85_percent_down_to_80() {
        let table =
            [(1000, 200, 0, 0), (1000, 150, 0, 50), (1000, 149, 1, 51), (1000, 0, 150, 200)];
        for (total, free, high, low) in table {
            let disk = amount(total, free);
            assert_eq!((disk.excess(IMAGES_HIGH), disk.excess(IMAGES_LOW)), (high, low), "{free}");
        }
    }

    #[test]
    fn pressure_has_its_own_signal_each() {
        let calm = Sight {
            disks: vec![amount(100, 5)],
            inodes: vec![amount(100, 50), amount(0, 0)],
            memory_free: Some(MEMORY_LOW),
            pids: amount(32_768, 30_000),
        };
        assert_eq!(calm.pressure(), Pressure::default());
        let disk = Sight { disks: vec![amount(100, 50), amount(100, 4)], ..calm.clone() };
        assert_eq!(disk.pressure(), Pressure { disk: true, ..Pressure::default() });
        let inodes = Sight { inodes: vec![amount(100, 4)], ..calm.clone() };
        assert_eq!(inodes.pressure(), Pressure { disk: true, ..Pressure::default() });
        let memory = Sight { memory_free: Some(MEMORY_LOW - 1), ..calm.clone() };
        assert_eq!(memory.pressure(), Pressure { memory: true, ..Pressure::default() });
        let pids = Sight { pids: amount(1000, 49), ..calm };
        assert_eq!(pids.pressure(), Pressure { pids: true, ..Pressure::default() });
    }

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(tasks("0.1 0.2 0.3 2/345 6789\n"), 345);
        assert!(look(&["/".into()]).disks[0].total > 0);
    }
}
