//! One container as the shim holds it: its status, its output, its deadline.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::fd::OwnedFd,
    time::{Duration, Instant, SystemTime},
};

use time::OffsetDateTime;

use super::{
    log::{Log, Source},
    protocol::ContainerMeta,
};
use crate::{
    error::Result,
    paths::PodPaths,
    spec::LogPolicy,
    status::{ContainerState, ContainerStatus},
};

/// Most bytes of output taken from one container before others get their turn.
const TURN_BYTES: usize = 256 * 1024;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplyTo {
    pub client: u64,
    pub number: u64,
}

pub(super) struct Container {
    pub status: ContainerStatus,
    /// Start time of its process, see [`crate::sys::start_time`].
    pub start_time: Option<u64>,
    pub stop_signal: i32,
    /// When SIGKILL follows a stop.
    pub kill_at: Option<Instant>,
    pub outputs: Vec<(Source, File)>,
    /// Keeps standard input open, so that reading it blocks instead of ending.
    pub stdin: Option<OwnedFd>,
    /// Connection on which a terminal arrives.
    pub console: Option<std::os::unix::net::UnixListener>,
    pub log: Log,
    /// Whom to answer when it is created.
    pub creating: Option<ReplyTo>,
}

impl Container {
    pub fn new(
        meta: ContainerMeta,
        paths: &PodPaths,
        policy: LogPolicy,
        reply: ReplyTo,
    ) -> Result<Self> {
        let log_path = paths.log_file(&meta.name, meta.attempt);
        let log = Log::open(&log_path, policy)?;
        Ok(Self {
            stop_signal: meta.stop_signal,
            status: ContainerStatus {
                id: meta.id,
                name: meta.name,
                attempt: meta.attempt,
                state: ContainerState::Created,
                pid: None,
                created_at: SystemTime::now(),
                started_at: None,
                exit: None,
                image: meta.image,
                image_id: meta.image_id,
                log_path,
                annotations: meta.annotations,
            },
            start_time: None,
            kill_at: None,
            outputs: Vec::new(),
            stdin: None,
            console: None,
            log,
            creating: Some(reply),
        })
    }

    pub fn is_alive(&self) -> bool {
        self.status.state != ContainerState::Exited && self.status.pid.is_some()
    }

    /// Moves output to the log: until there is none now, or the turn is over. A pipe that ended is
    /// closed.
    pub fn pump(&mut self, source: Source) {
        let Some(at) = self.outputs.iter().position(|(s, _)| *s == source) else { return };
        let mut chunk = vec![0; 32 * 1024];
        let mut taken = 0;
        while taken < TURN_BYTES {
            match self.outputs[at].1.read(&mut chunk) {
                Ok(0) => return self.close_output(at),
                Ok(n) => {
                    self.log.write(source, &chunk[..n], OffsetDateTime::now_utc());
                    taken += n;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // A terminal answers EIO when its other end is closed.
                Err(_) => return self.close_output(at),
            }
        }
    }

    /// Takes what is left after the process ended and closes the pipes.
    pub fn drain(&mut self) {
        while let Some((source, _)) = self.outputs.first() {
            let (source, before) = (*source, self.outputs.len());
            self.pump(source);
            if self.outputs.len() == before {
                self.close_output(0);
            }
        }
        self.stdin = None;
        self.console = None;
    }

    fn close_output(&mut self, at: usize) {
        let (source, _) = self.outputs.swap_remove(at);
        self.log.finish(source, OffsetDateTime::now_utc());
    }

    /// Brings the moment of SIGKILL forward, never back.
    pub fn kill_within(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |old| old.min(at)));
    }
}
