//! Which cgroup hierarchies are mounted, read from mountinfo.

use std::path::PathBuf;

/// Controllers whose v1 hierarchies are used.
const CONTROLLERS: [&str; 13] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "blkio",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
];

/// Which generation runs the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// v1 hierarchies, possibly with a v2 hierarchy beside them that has no controllers.
    Legacy,
    /// One v2 hierarchy.
    Unified,
}

/// Mounted hierarchies.
#[derive(Debug, Clone)]
pub struct Hierarchies {
    pub(crate) version: Version,
    mounts: Vec<(PathBuf, Vec<String>)>,
}

impl Hierarchies {
    /// Understands the text of `/proc/self/mountinfo`.
    pub fn parse(mountinfo: &str) -> Self {
        let mut legacy: Vec<(PathBuf, Vec<String>)> = Vec::new();
        let mut unified: Option<PathBuf> = None;
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(target) = left.split(' ').nth(4).map(unescape) else { continue };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup"), Some(options)) => {
                    let controllers: Vec<String> = options
                        .split(',')
                        .filter(|o| CONTROLLERS.contains(o))
                        .map(str::to_string)
                        .collect();
                    let known = legacy.iter().any(|(_, have)| *have == controllers);
                    if !controllers.is_empty() && !known {
                        legacy.push((target, controllers));
                    }
                }
                (Some("cgroup2"), _) if unified.is_none() => unified = Some(target),
                _ => {}
            }
        }
        if legacy.is_empty()
            && let Some(root) = unified
        {
            let controllers = ["cpu", "memory", "pids"].map(str::to_string).to_vec();
            return Self { version: Version::Unified, mounts: vec![(root, controllers)] };
        }
        Self { version: Version::Legacy, mounts: legacy }
    }

    /// The directory of `path` in every hierarchy, with the controllers there.
    pub(crate) fn directories(&self, path: &str) -> Vec<(PathBuf, Vec<String>)> {
        let path = path.trim_start_matches('/');
        self.mounts
            .iter()
            .map(|(root, controllers)| {
                let dir = if path.is_empty() { root.clone() } else { root.join(path) };
                (dir, controllers.clone())
            })
            .collect()
    }

    /// The directory of `path` in the hierarchy of one controller.
    pub(crate) fn directory(&self, controller: &str, path: &str) -> Option<PathBuf> {
        self.mounts
            .iter()
            .find(|(_, have)| have.iter().any(|c| c == controller))
            .map(|(root, _)| root.join(path.trim_start_matches('/')))
    }
}

/// Undoes the octal escapes of mountinfo.
pub(crate) fn unescape(field: &str) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let bytes = field.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'\\')
            .then(|| field.get(at + 1..at + 4))
            .flatten()
            .and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 29 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
35 30 0:28 / /other/memory rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn hybrid_uses_the_first_mount_of_each_v1_hierarchy() {
        let found = Hierarchies::parse(HYBRID);
        assert_eq!(found.version, Version::Legacy);
        let dirs: Vec<_> = found.directories("/kubepods").into_iter().map(|(d, _)| d).collect();
        let expected = ["/sys/fs/cgroup/cpu,cpuacct/kubepods", "/sys/fs/cgroup/memory/kubepods"];
        assert_eq!(dirs, expected.map(PathBuf::from));
        assert_eq!(found.directory("cpuacct", "/a"), Some("/sys/fs/cgroup/cpu,cpuacct/a".into()));
        assert_eq!(found.directory("pids", "/a"), None);
    }

    #[test]
    fn unified_alone_is_v2() {
        let found = Hierarchies::parse("30 29 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(found.version, Version::Unified);
        assert_eq!(found.directory("memory", "/a"), Some("/sys/fs/cgroup/a".into()));
        assert!(Hierarchies::parse("").directories("/").is_empty());
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape("/a\\040b\\134"), PathBuf::from("/a b\\"));
        assert_eq!(unescape("/a\\9"), PathBuf::from("/a\\9"));
    }
}
