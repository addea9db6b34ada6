//! cgroups of pods: made with the pod's limits, read for use and out-of-memory kills, killed and
//! removed. A container's own cgroup, one level below, is made by libcontainer. Cgroup v1 (also
//! with a v2 hierarchy beside it) and pure v2; what a directory is called inside each hierarchy is
//! the same path everywhere.

mod hierarchy;
mod usage;

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

pub use hierarchy::Hierarchies;
use hierarchy::Version;
pub(crate) use hierarchy::unescape;
use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    error::{Error, Result},
    paths::SHIMS,
    spec::Resources,
    status::Usage,
};

/// CPU weight of the whole best-effort class, as the kubelet sets it.
const BEST_EFFORT_SHARES: u64 = 2;
/// Default length of a CPU quota period, in microseconds.
pub(crate) const DEFAULT_PERIOD_US: u64 = 100_000;
/// How often removal of a busy cgroup is tried: processes leave it a little after they died.
const REMOVE_TRIES: u32 = 40;
/// First wait between two tries; doubles up to [`REMOVE_WAIT_MAX`].
const REMOVE_WAIT: Duration = Duration::from_millis(1);
const REMOVE_WAIT_MAX: Duration = Duration::from_millis(50);
/// Rounds of killing before giving up on a cgroup whose processes keep forking.
const KILL_ROUNDS: u32 = 50;

/// The cgroup file systems of this machine.
#[derive(Debug, Clone)]
pub struct Cgroups {
    found: Hierarchies,
}

impl Cgroups {
    /// Looks up what is mounted.
    ///
    /// # Errors
    /// When no usable cgroup hierarchy is mounted.
    pub fn detect() -> Result<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo")
            .map_err(Error::file("cannot read", "/proc/self/mountinfo"))?;
        let found = Hierarchies::parse(&text);
        if found.directories("/").is_empty() {
            return Err(Error::Unsupported(
                "no cgroup file system is mounted; mount cgroup2 at /sys/fs/cgroup".into(),
            ));
        }
        Ok(Self { found })
    }

    /// Whether containers live in the unified (v2) hierarchy.
    pub fn is_unified(&self) -> bool {
        self.found.version == Version::Unified
    }

    /// The directory of `path` in the hierarchy of a controller, if it is mounted.
    pub(crate) fn directory(&self, controller: &str, path: &str) -> Option<PathBuf> {
        self.found.directory(controller, path)
    }

    /// Makes the node's parent cgroups: `root`, its two classes and the place of the shims.
    ///
    /// # Errors
    /// When the hierarchy is read-only or not delegated.
    pub fn prepare_root(&self, root: &str) -> Result<()> {
        let root = root.trim_end_matches('/');
        let weight = Resources { cpu_shares: Some(BEST_EFFORT_SHARES), ..Default::default() };
        self.create(root, &Resources::default())?;
        self.create(&format!("{root}/burstable"), &Resources::default())?;
        self.create(&format!("{root}/besteffort"), &weight)?;
        self.create_leaf(&format!("{root}/{SHIMS}"))
    }

    /// Makes a cgroup that will have children, with limits. Idempotent.
    ///
    /// # Errors
    /// When a directory or a limit is refused by the kernel.
    pub fn create(&self, path: &str, resources: &Resources) -> Result<()> {
        self.create_leaf(path)?;
        for (dir, controllers) in self.found.directories(path) {
            if self.is_unified() {
                enable_controllers(&dir);
            }
            for (file, value) in limits(self.found.version, &controllers, resources) {
                write(&dir.join(file), &value)?;
            }
        }
        Ok(())
    }

    /// Makes a cgroup for processes, without limits. Idempotent.
    ///
    /// # Errors
    /// When a directory is refused by the kernel.
    pub(crate) fn create_leaf(&self, path: &str) -> Result<()> {
        for (root, _) in self.found.directories("/") {
            let mut dir = root;
            for part in path.split('/').filter(|p| !p.is_empty()) {
                let parent = dir.clone();
                if self.is_unified() {
                    enable_controllers(&parent);
                }
                dir.push(part);
                match fs::create_dir(&dir) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(Error::file("cannot make cgroup", dir)(e));
                    }
                    _ => inherit_cpuset(&parent, &dir)?,
                }
            }
        }
        Ok(())
    }

    /// Moves a process into a cgroup of every hierarchy.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(&self, path: &str, pid: i32) -> Result<()> {
        for (dir, _) in self.found.directories(path) {
            write(&dir.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// All processes in a cgroup and below it.
    pub fn processes(&self, path: &str) -> Vec<i32> {
        let mut found = Vec::new();
        for (dir, _) in self.found.directories(path) {
            collect_processes(&dir, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Kills every process in a cgroup and below it; answers whether it is empty now. Processes that
    /// are killed but not reaped yet still count.
    pub fn kill(&self, path: &str) -> bool {
        if self.is_unified() {
            for (dir, _) in self.found.directories(path) {
                // Absent before Linux 5.14; the loop below does the same, a little later.
                let _ = fs::write(dir.join("cgroup.kill"), "1");
            }
        }
        let processes = self.processes(path);
        for pid in &processes {
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        processes.is_empty()
    }

    /// Kills what is in a cgroup until nothing is, for up to about two seconds; answers whether it is
    /// empty. Blocks.
    pub fn kill_all(&self, path: &str) -> bool {
        for round in 1..=KILL_ROUNDS {
            if self.kill(path) {
                return true;
            }
            thread::sleep(REMOVE_WAIT * round);
        }
        self.processes(path).is_empty()
    }

    /// Kills and removes a cgroup with everything below it, retrying while it is busy. Blocks for up
    /// to about two seconds; absence is fine.
    ///
    /// # Errors
    /// When it is still busy after the last try.
    pub fn remove(&self, path: &str) -> Result<()> {
        self.kill_all(path);
        for (dir, _) in self.found.directories(path) {
            let mut wait = REMOVE_WAIT;
            for attempt in 1.. {
                match remove_directories(&dir) {
                    Ok(()) => break,
                    Err(e) if attempt >= REMOVE_TRIES => {
                        return Err(Error::file("cannot remove cgroup", dir)(e));
                    }
                    Err(_) => {
                        thread::sleep(wait);
                        wait = (wait * 2).min(REMOVE_WAIT_MAX);
                    }
                }
            }
        }
        Ok(())
    }

    /// One try at removing an empty cgroup; answers whether it is gone.
    pub fn try_remove(&self, path: &str) -> bool {
        let mut gone = true;
        for (dir, _) in self.found.directories(path) {
            gone &= remove_directories(&dir).is_ok();
        }
        gone
    }

    /// How many processes of a cgroup the kernel killed for memory so far.
    pub fn oom_kills(&self, path: &str) -> u64 {
        let file = if self.is_unified() { "memory.events" } else { "memory.oom_control" };
        self.found
            .directory("memory", path)
            .and_then(|dir| fs::read_to_string(dir.join(file)).ok())
            .map_or(0, |text| usage::field(&text, "oom_kill").unwrap_or(0))
    }

    /// CPU and memory used by a cgroup and everything below it.
    ///
    /// # Errors
    /// When the cgroup does not exist.
    pub fn usage(&self, path: &str) -> Result<Usage> {
        usage::read(&self.found, path)
    }

    /// Names of the child cgroups of `path`, over all hierarchies.
    pub fn children(&self, path: &str) -> Vec<String> {
        let mut names = Vec::new();
        for (dir, _) in self.found.directories(path) {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            names.extend(
                entries
                    .flatten()
                    .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                    .filter_map(|e| e.file_name().into_string().ok()),
            );
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// `cpu.weight` (1–10000) for `cpu.shares` (2–262144), with the formula all runtimes use.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// Files to write, and their values, for the controllers of one directory.
fn limits(
    version: Version,
    controllers: &[String],
    resources: &Resources,
) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    let has = |name: &str| controllers.iter().any(|c| c == name);
    let unified = version == Version::Unified;
    if has("cpu") {
        if let Some(shares) = resources.cpu_shares {
            files.push(if unified {
                ("cpu.weight", weight_of_shares(shares).to_string())
            } else {
                ("cpu.shares", shares.to_string())
            });
        }
        if let Some(quota) = resources.cpu_quota_us {
            let period = resources.cpu_period_us.unwrap_or(DEFAULT_PERIOD_US);
            if unified {
                let quota = if quota < 0 { "max".to_string() } else { quota.to_string() };
                files.push(("cpu.max", format!("{quota} {period}")));
            } else {
                files.push(("cpu.cfs_period_us", period.to_string()));
                files.push(("cpu.cfs_quota_us", quota.to_string()));
            }
        }
    }
    let number = |n: i64| if unified && n < 0 { "max".to_string() } else { n.to_string() };
    if has("memory")
        && let Some(limit) = resources.memory_limit_bytes
    {
        let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
        files.push((file, number(limit)));
    }
    if has("pids")
        && let Some(limit) = resources.pids_limit
    {
        files.push(("pids.max", if limit <= 0 { "max".into() } else { limit.to_string() }));
    }
    files
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).map_err(Error::file("cannot write", path))
}

/// Offers the controllers we use to the children of a v2 directory. Each on its own: a controller
/// the machine lacks must not keep the others away.
fn enable_controllers(dir: &Path) {
    let control = dir.join("cgroup.subtree_control");
    let wanted = ["+cpu", "+memory", "+pids", "+io", "+cpuset"];
    if fs::write(&control, wanted.join(" ")).is_err() {
        for controller in wanted {
            let _ = fs::write(&control, controller);
        }
    }
}

/// A new v1 cpuset has no CPU and no memory node, so that no process can enter it.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = child.join(name);
        let Ok(own) = fs::read_to_string(&file) else { return Ok(()) };
        // On v2 an empty value means "as the parent".
        if own.trim().is_empty()
            && !child.join("cgroup.subtree_control").try_exists().unwrap_or(false)
        {
            let value = fs::read_to_string(parent.join(name))
                .map_err(Error::file("cannot read cpuset of", parent))?;
            write(&file, value.trim())?;
        }
    }
    Ok(())
}

fn collect_processes(dir: &Path, found: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) {
        found.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    for child in child_directories(dir) {
        collect_processes(&child, found);
    }
}

fn child_directories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

fn remove_directories(dir: &Path) -> io::Result<()> {
    for child in child_directories(dir) {
        remove_directories(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        for (shares, weight) in [(0, 1), (2, 1), (1024, 39), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn limits_name_the_files_of_each_version() {
        let resources = Resources {
            cpu_shares: Some(1024),
            cpu_quota_us: Some(50_000),
            memory_limit_bytes: Some(1 << 20),
            pids_limit: Some(0),
            cpu_period_us: None,
        };
        let all = ["cpu".to_string(), "memory".into(), "pids".into()];
        assert_eq!(
            limits(Version::Unified, &all, &resources),
            [
                ("cpu.weight", "39".to_string()),
                ("cpu.max", "50000 100000".into()),
                ("memory.max", "1048576".into()),
                ("pids.max", "max".into())
            ]
        );
        assert_eq!(
            limits(Version::Legacy, &all[..1], &resources),
            [
                ("cpu.shares", "1024".to_string()),
                ("cpu.cfs_period_us", "100000".into()),
                ("cpu.cfs_quota_us", "50000".into())
            ]
        );
    }
}
