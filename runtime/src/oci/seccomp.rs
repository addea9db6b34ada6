//! The built-in system call filter: what Docker's and containerd's default profile allows, with the
//! calls that need a capability allowed only to containers that have it.

use std::path::Path;

use serde_json::{Value, json};

use super::caps;
use crate::{
    error::{Error, Result},
    files,
    spec::{Seccomp, Security},
};

/// Largest profile read from the node.
const PROFILE_LIMIT_BYTES: u64 = 1024 * 1024;
/// `EPERM` and `ENOSYS`.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// Flags of `clone` that make namespaces.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;

/// The `linux.seccomp` object, `None` without a filter.
pub(super) fn profile(security: &Security) -> Result<Option<Value>> {
    match &security.seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Localhost(path) => localhost(path).map(Some),
        Seccomp::RuntimeDefault => {
            let caps = caps::effective(security, caps::held())?;
            Ok(Some(default_profile(&caps)))
        }
    }
}

fn localhost(path: &Path) -> Result<Value> {
    let bytes = files::read_limited(path, PROFILE_LIMIT_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::Invalid(format!("seccomp profile {} is not valid: {e}", path.display()))
    })
}

fn default_profile(caps: &[&str]) -> Value {
    let mut allowed: Vec<&str> = ALWAYS.split_ascii_whitespace().collect();
    for (cap, calls) in WITH_CAPABILITY {
        if caps.contains(cap) {
            allowed.extend(calls.split_ascii_whitespace());
        }
    }
    let argument = |index: u32, value: u64, two: u64, op: &str| json!([{ "index": index, "value": value, "valueTwo": two, "op": op }]);
    let mut rules = vec![json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" })];
    // Execution domains that programs of today ask for; 0xffffffff asks which one is set.
    for persona in [0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff_u64] {
        rules.push(json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": argument(0, persona, 0, "SCMP_CMP_EQ") }));
    }
    // All socket families but vsock (40), which reaches the hypervisor.
    for (bound, op) in [(40, "SCMP_CMP_LT"), (40, "SCMP_CMP_GT")] {
        rules.push(json!({ "names": ["socket"], "action": "SCMP_ACT_ALLOW",
            "args": argument(0, bound, 0, op) }));
    }
    if !caps.contains(&"SYS_ADMIN") {
        rules.push(json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": argument(0, CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ") }));
        // Its flags are behind a pointer; "not implemented" makes C libraries fall back to clone.
        rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": architectures(),
        "syscalls": rules,
    })
}

fn architectures() -> &'static [&'static str] {
    match std::env::consts::ARCH {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        // An empty list means the native architecture.
        _ => &[],
    }
}

const ALWAYS: &str = "\
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown \
chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range \
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 \
epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 \
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 \
fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat \
fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 \
futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 \
geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp \
getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit \
get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid \
getuid32 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl \
io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit \
ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 \
lgetxattr link linkat listen listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat \
lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod \
mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open \
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal \
msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat \
_newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free \
pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease \
pselect6 pselect6_time64 ptrace process_vm_readv process_vm_writev pwrite64 pwritev pwritev2 read \
readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages \
removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending \
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max \
sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl \
semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid \
setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority \
setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit \
set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr shmat \
shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall \
socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range \
sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun \
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit \
umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid \
waitpid write writev arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls";

const WITH_CAPABILITY: &[(&str, &str)] = &[
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount \
         mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &Value) -> Vec<String> {
        profile["syscalls"][0]["names"]
            .as_array()
            .expect("names")
            .iter()
            .map(|n| n.as_str().expect("name").to_string())
            .collect()
    }

    #[test]
    fn capabilities_open_their_calls() {
        let plain = names(&default_profile(&["CHOWN", "SYS_CHROOT"]));
        assert!(plain.contains(&"execve".into()) && plain.contains(&"chroot".into()));
        for call in ["mount", "bpf", "clone3", "unshare", "reboot", "add_key", "io_uring_setup"] {
            assert!(!plain.contains(&call.into()), "{call}");
        }
        let admin = default_profile(&["SYS_ADMIN"]);
        assert!(names(&admin).contains(&"mount".into()));
        assert!(!admin.to_string().contains("SCMP_CMP_MASKED_EQ"));
    }

    #[test]
    fn libcontainer_understands_the_profile() {
        let profile = default_profile(&[]);
        serde_json::from_value::<oci_spec::runtime::LinuxSeccomp>(profile).expect("profile");
    }
}
