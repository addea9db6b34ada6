//! Capabilities of a container: the default set, with additions and removals.

use crate::{
    error::{Error, Result},
    spec::Security,
};

/// What Docker and containerd give by default.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// All, in the kernel's order.
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities of a container, without `CAP_`, of those in `held` (bit n is the kernel's number
/// n): nobody can give what it does not have, and inside a restricted machine that is less than all.
/// `ALL` is applied before single names, as containerd does: `drop: [ALL]` with `add: [X]` leaves X.
pub(super) fn effective(security: &Security, held: u64) -> Result<Vec<&'static str>> {
    let known: Vec<&'static str> = ALL
        .iter()
        .enumerate()
        .filter(|(number, _)| held & (1 << number) != 0)
        .map(|(_, name)| *name)
        .collect();
    if security.privileged {
        return Ok(known);
    }
    let find = |name: &str| -> Result<&'static str> {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
        ALL.iter().find(|c| **c == plain).copied().ok_or_else(|| {
            Error::Invalid(format!("unknown capability {name:?}; use names like NET_ADMIN"))
        })
    };
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let mut set: Vec<&'static str> = DEFAULT.to_vec();
    if security.add_capabilities.iter().any(is_all) {
        set.clone_from(&known);
    }
    if security.drop_capabilities.iter().any(is_all) {
        set.clear();
    }
    for name in security.add_capabilities.iter().filter(|n| !is_all(n)) {
        let name = find(name)?;
        if !set.contains(&name) {
            set.push(name);
        }
    }
    for name in security.drop_capabilities.iter().filter(|n| !is_all(n)) {
        let name = find(name)?;
        set.retain(|c| *c != name);
    }
    set.retain(|c| known.contains(c));
    Ok(set)
}

/// The capabilities this process may hand on.
pub(super) fn held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    held_in(&status).unwrap_or(u64::MAX)
}

fn held_in(status: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    Some(field("CapPrm:")? & field("CapBnd:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(add: &[&str], drop: &[&str], privileged: bool) -> Vec<&'static str> {
        let security = Security {
            add_capabilities: add.iter().map(ToString::to_string).collect(),
            drop_capabilities: drop.iter().map(ToString::to_string).collect(),
            privileged,
            ..Default::default()
        };
        effective(&security, u64::MAX).expect("capabilities")
    }

    #[test]
    fn sets_are_combined_as_containerd_does() {
        assert_eq!(caps(&[], &[], false), DEFAULT);
        assert_eq!(caps(&["NET_BIND_SERVICE"], &["ALL"], false), ["NET_BIND_SERVICE"]);
        assert_eq!(caps(&["all"], &["CHOWN"], false).len(), 40);
        assert!(!caps(&["net_admin", "CAP_SYS_TIME"], &["KILL"], false).contains(&"KILL"));
        assert!(caps(&["net_admin"], &[], false).contains(&"NET_ADMIN"));
        assert_eq!(caps(&[], &["ALL"], true).len(), 41);
        let all = Security { privileged: true, ..Default::default() };
        assert_eq!(effective(&all, 0b11).expect("capabilities"), ["CHOWN", "DAC_OVERRIDE"]);
        assert_eq!(held_in("CapPrm:\t0000000f\nCapBnd:\t000000f3\n"), Some(3));
        let bad = Security { add_capabilities: vec!["FLY".into()], ..Default::default() };
        assert!(effective(&bad, u64::MAX).is_err());
    }
}
