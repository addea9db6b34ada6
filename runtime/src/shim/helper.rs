//! Helpers: short-lived forks of the shim that call libcontainer. What libcontainer does to its
//! caller (working directory, dumpability, OOM score) ends with them, and the containers they make
//! become children of the shim.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use nix::{
    fcntl::OFlag,
    unistd::{Pid, pipe2},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    sys::{self, Fork},
};

/// How long a helper may take: a stuck file system must not leave a pod half made for ever.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// Longest result that is read.
const RESULT_LIMIT_BYTES: usize = 64 * 1024;

/// What a helper tells the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// Pid of the new process, which is a child of the shim.
    Made(i32),
    /// Why there is none.
    Failed(String),
}

/// What a helper does before its work: it must not outlive the shim, nor hold the lock that says that
/// the shim lives.
fn leave_shim(parent: Pid) {
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    if nix::unistd::getppid() != parent {
        sys::exit_now(1);
    }
    if let Ok(null) = File::open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(null);
    }
}

/// A running helper.
pub(super) struct Helper {
    pub pid: Pid,
    pub deadline: Instant,
    pub purpose: Purpose,
    pub result: File,
    buffer: Vec<u8>,
}

/// For what a helper works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Creates the container of this id.
    Create(String),
    /// Starts the command of this exec.
    Exec(u64),
}

impl Helper {
    /// Forks a helper that does `work` with only `keep` of our descriptors open.
    pub fn spawn(
        purpose: Purpose,
        keep: &[&OwnedFd],
        work: impl FnOnce() -> Result<i32>,
    ) -> Result<Self> {
        let (result, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .map_err(|e| Error::system("cannot make a pipe")(e.into()))?;
        let parent = Pid::this();
        match sys::fork()? {
            Fork::Child => {
                let mut kept: Vec<i32> = keep.iter().map(|fd| fd.as_raw_fd()).collect();
                kept.push(write.as_raw_fd());
                sys::close_other_fds(&kept);
                sys::reset_signals();
                leave_shim(parent);
                let outcome = match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(Ok(pid)) => Outcome::Made(pid),
                    Ok(Err(e)) => Outcome::Failed(e.to_string()),
                    Err(_) => Outcome::Failed("the helper panicked; see shim.log".into()),
                };
                let mut line = serde_json::to_vec(&outcome).unwrap_or_default();
                line.truncate(RESULT_LIMIT_BYTES - 1);
                line.push(b'\n');
                let _ = File::from(write).write_all(&line);
                sys::exit_now(0)
            }
            Fork::Parent(pid) => Ok(Self {
                pid,
                deadline: Instant::now() + LIMIT,
                purpose,
                result: File::from(result),
                buffer: Vec::new(),
            }),
        }
    }

    /// Reads what the helper said so far. A new container holds the other end of the pipe open too,
    /// so that a line, not the end of the file, ends the result.
    pub fn poll(&mut self) -> Option<Outcome> {
        let mut chunk = [0; 4096];
        while self.buffer.len() < RESULT_LIMIT_BYTES {
            match self.result.read(&mut chunk) {
                Ok(n) if n > 0 => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let end = self.buffer.iter().position(|b| *b == b'\n')?;
        Some(
            serde_json::from_slice(&self.buffer[..end])
                .unwrap_or_else(|e| Outcome::Failed(format!("unreadable result: {e}"))),
        )
    }
}
