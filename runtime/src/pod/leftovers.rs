//! Removal of whatever is left of a pod, with or without its shim's help.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cgroup::{Cgroups, unescape},
    error::{Error, Result},
    files,
    paths::PodPaths,
    shim::state::ShimState,
    sys,
};

/// Mounts stacked on one another that are taken off in one go.
const UNMOUNT_ROUNDS: usize = 16;

/// Kills and removes everything of a pod. Blocks; absence of anything is fine.
pub(crate) fn remove_pod(paths: &PodPaths, cgroups: &Cgroups) -> Result<()> {
    kill_processes(paths, cgroups);
    if let Some(shim) = paths.own_shim_cgroup() {
        cgroups.remove(shim)?;
    }
    cgroups.remove(&paths.cgroup)?;
    for dir in [&paths.run, &paths.disk] {
        unmount_below(dir)?;
    }
    // The run directory goes last: it is what makes a half-removed pod be found again.
    for dir in [&paths.disk, &paths.logs, &paths.run] {
        files::remove_tree(dir)?;
    }
    Ok(())
}

/// Kills the shim, then its helpers, then the containers: as long as a helper lives it can make
/// another container. Blocks.
pub(super) fn kill_processes(paths: &PodPaths, cgroups: &Cgroups) {
    if let Ok(state) = files::read_json::<ShimState>(&paths.state()) {
        kill_shim(&state);
    }
    for cgroup in paths.own_shim_cgroup().into_iter().chain([paths.cgroup.as_str()]) {
        if !cgroups.kill_all(cgroup) {
            tracing::warn!(cgroup, "processes do not end although they were killed");
        }
    }
}

fn kill_shim(state: &ShimState) {
    if state.boot_id != sys::boot_id() {
        return;
    }
    let pause = state.pause.map(|(pid, start)| (pid, Some(start)));
    for (pid, start) in [Some((state.pid, state.start_time)), pause].into_iter().flatten() {
        if start.is_some() && sys::start_time(pid) == start {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Unmounts everything at and below `dir`, deepest first.
pub(crate) fn unmount_below(dir: &Path) -> Result<()> {
    // mountinfo shows resolved paths.
    let Ok(dir) = fs::canonicalize(dir) else { return Ok(()) };
    for _ in 0..UNMOUNT_ROUNDS {
        let text = fs::read_to_string("/proc/self/mountinfo")
            .map_err(Error::file("cannot read", "/proc/self/mountinfo"))?;
        let mut targets = targets_below(&text, &dir);
        if targets.is_empty() {
            return Ok(());
        }
        targets.sort_by_key(|t| std::cmp::Reverse(t.components().count()));
        for target in targets {
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            if let Err(e) = umount2(&target, flags)
                && e != nix::Error::EINVAL
            {
                return Err(Error::file("cannot unmount", target)(e.into()));
            }
        }
    }
    Ok(())
}

fn targets_below(mountinfo: &str, dir: &Path) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|target| target.starts_with(dir))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_are_found() {
        let text = "\
1 0 0:1 / / rw - ext4 a rw
2 1 0:2 / /run/a rw - tmpfs b rw
3 2 0:3 / /run/a/b\\040c rw - tmpfs c rw
4 1 0:4 / /run/ab rw - tmpfs d rw
";
        let expected = ["/run/a", "/run/a/b c"].map(PathBuf::from);
        assert_eq!(targets_below(text, Path::new("/run/a")), expected);
    }
}
