//! The few system calls that need `unsafe`, each behind a safe function.
#![allow(unsafe_code)]

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use nix::{
    sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    unistd::Pid,
};

use crate::error::{Error, Result};

/// Which side of [`fork`] this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the child's pid.
    Parent(Pid),
}

/// Forks this process. Refuses in a process with more than one thread: a lock held by another thread
/// (the allocator's, say) would stay locked for ever in the child.
pub(crate) fn fork() -> Result<Fork> {
    let threads =
        fs::read_dir("/proc/self/task").map_err(Error::system("cannot count threads"))?.count();
    if threads != 1 {
        return Err(Error::Protocol(format!("fork with {threads} threads; one is required")));
    }
    // SAFETY: the process has exactly one thread (checked above), so that no lock can be held by a
    // thread that does not exist in the child.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => Ok(Fork::Child),
        Ok(nix::unistd::ForkResult::Parent { child }) => Ok(Fork::Parent(child)),
        Err(e) => Err(Error::system("cannot fork")(e.into())),
    }
}

/// Starts a child that is process 1 of a new pid namespace and runs `body` there.
pub(crate) fn fork_pid_namespace(body: impl FnOnce()) -> Result<Pid> {
    let flags = (libc::CLONE_NEWPID | libc::SIGCHLD) as libc::c_ulong;
    // SAFETY: clone without CLONE_VM and with a null stack is fork; the caller is single-threaded
    // like every caller of `fork`, and the child leaves only through `exit_now`.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match pid {
        0 => {
            body();
            exit_now(0)
        }
        -1 => Err(Error::system("cannot make a pid namespace")(io::Error::last_os_error())),
        pid => Ok(Pid::from_raw(pid as i32)),
    }
}

/// Ends the process without running exit handlers, which belong to the parent of a fork.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor above standard error except those in `keep`.
pub(crate) fn close_other_fds(keep: &[RawFd]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut first = 3u32;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if fd > first {
            let last = if fd == u32::MAX { u32::MAX } else { fd - 1 };
            // SAFETY: closing descriptors is the purpose; callers run right after fork or exec and
            // own no Rust value for the descriptors that are closed.
            unsafe { libc::close_range(first, last, 0) };
        }
        first = first.max(fd.saturating_add(1));
    }
}

/// Gives every signal its default action and unblocks all: ignored and blocked signals survive
/// `execve` and would reach the program in a container.
pub(crate) fn reset_signals() {
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default action runs no code of ours.
            unsafe {
                let _ = nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl);
            }
        }
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Ignores `signal` in this process.
pub(crate) fn ignore_signal(signal: Signal) {
    // SAFETY: ignoring runs no code of ours.
    unsafe {
        let _ = nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn);
    }
}

/// Copies a descriptor; the copy is closed on exec.
pub(crate) fn dup(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(Error::system("cannot copy a descriptor"))
}

/// Takes a descriptor received as a number.
///
/// The caller hands over ownership: the number must be an open descriptor nobody else closes.
pub(crate) fn adopt_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass descriptors the kernel just gave them (SCM_RIGHTS).
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Borrows a descriptor by number for as long as its `_owner` is borrowed.
pub(crate) fn borrow<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: callers take the number from a descriptor inside `_owner`, which stays borrowed.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Start time of a process in clock ticks since boot; with the pid it names a process for good.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let state = rest.split_ascii_whitespace().next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The children of this process, which has one thread.
pub(crate) fn children() -> Vec<i32> {
    let pid = std::process::id();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// Whether a process is in a cgroup or below it, in any hierarchy.
pub(crate) fn is_in_cgroup(pid: i32, cgroup: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines()
        .filter_map(|l| l.splitn(3, ':').nth(2))
        .any(|path| Path::new(path).starts_with(cgroup))
}

/// Identity of this boot of the machine.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}

/// Brings the loopback device of the current network namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|e| Error::system("cannot open a socket")(e.into()))?;
    // SAFETY: an all-zero ifreq is valid; the name fits with its terminating zero, and the kernel
    // reads exactly one ifreq.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) < 0 {
            return Err(Error::system("cannot bring the loopback device up")(
                io::Error::last_os_error(),
            ));
        }
    }
    Ok(())
}

/// Gives back the pages of programs and libraries that were only read: start-up touches much more of
/// a large binary than an idle shim needs, and what is needed again comes back from the page cache.
pub(crate) fn release_clean_pages() {
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else { return };
    for (start, length) in clean_file_mappings(&smaps) {
        // SAFETY: these are private, read-only file mappings without a single modified page, so that
        // the kernel reads the very same bytes again when they are touched. The file cannot change
        // under a running program (ETXTBSY), and nothing else runs in this single-threaded process.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

/// Start and length of the file mappings in smaps that are not writable and have no page of their own.
fn clean_file_mappings(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-')
            && let (Ok(start), Ok(end)) =
                (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        {
            let rights = words.next().unwrap_or_default();
            let file = words.nth(3).is_some_and(|path| path.starts_with('/'));
            let plain = rights.starts_with('r') && rights.ends_with('p') && !rights.contains('w');
            current = (file && plain).then(|| (start, end.saturating_sub(start)));
        } else if first == "Anonymous:" && words.next() == Some("0") {
            found.extend(current.take());
        }
    }
    found
}

/// Flushes the file system that holds `dir`.
pub(crate) fn sync_fs(dir: &Path) -> Result<()> {
    let file = fs::File::open(dir).map_err(Error::file("cannot open", dir))?;
    // SAFETY: syncfs takes an open descriptor and nothing else.
    if unsafe { libc::syncfs(file.as_raw_fd()) } < 0 {
        return Err(
            Error::file("cannot flush the file system of", dir)(io::Error::last_os_error()),
        );
    }
    Ok(())
}

/// Sets an extended attribute without following a symbolic link.
pub(crate) fn set_xattr(
    path: &std::ffi::CStr,
    name: &std::ffi::CStr,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: both strings end in zero and the value's length is given.
    let done = unsafe {
        libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets an extended attribute of what `path` leads to.
pub(crate) fn set_xattr_following(
    path: &std::ffi::CStr,
    name: &std::ffi::CStr,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: both strings end in zero and the value's length is given.
    let done = unsafe {
        libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unmodified_file_mappings_are_given_back() {
        let smaps = "\
1000-3000 r-xp 00000000 fe:00 1 /bin/x
Rss: 8 kB
Anonymous: 0 kB
3000-4000 r--p 00002000 fe:00 1 /bin/x
Anonymous: 4 kB
4000-5000 rw-p 00003000 fe:00 1 /bin/x
Anonymous: 0 kB
5000-6000 r--p 00000000 00:00 0
Anonymous: 0 kB
6000-7000 r-xp 00000000 00:00 0 [vdso]
Anonymous: 0 kB
7000-8000 r--s 00000000 fe:00 1 /bin/y
Anonymous: 0 kB
";
        assert_eq!(clean_file_mappings(smaps), [(0x1000, 0x2000)]);
        release_clean_pages();
        assert!(start_time(std::process::id() as i32).is_some());
    }

    #[test]
    fn start_time_survives_odd_program_names() {
        let rest = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 100 5";
        assert_eq!(parse_start_time(&format!("7 (a) b) {rest}")), Some(4242));
        assert_eq!(parse_start_time(&format!("7 (x) {}", rest.replacen('S', "Z", 1))), None);
        assert_eq!(parse_start_time("nonsense"), None);
        assert!(start_time(std::process::id() as i32).is_some());
    }
}
