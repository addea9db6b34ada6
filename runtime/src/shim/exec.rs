//! One command run in a container: its output is gathered, its time is limited.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use super::container::ReplyTo;
use crate::{pod::EXEC_OUTPUT_LIMIT, status::ExecResult};

/// Longest time a command may be given.
const TIMEOUT_LIMIT: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Exec {
    pub key: u64,
    pub reply: ReplyTo,
    pub pid: Option<i32>,
    pub deadline: Instant,
    pub timed_out: bool,
    outputs: [Option<File>; 2],
    texts: [Vec<u8>; 2],
    truncated: bool,
}

impl Exec {
    pub fn new(key: u64, reply: ReplyTo, stdout: File, stderr: File, limit: Duration) -> Self {
        Self {
            key,
            reply,
            pid: None,
            deadline: Instant::now() + limit.min(TIMEOUT_LIMIT),
            timed_out: false,
            outputs: [Some(stdout), Some(stderr)],
            texts: [Vec::new(), Vec::new()],
            truncated: false,
        }
    }

    pub fn open_outputs(&self) -> impl Iterator<Item = &File> {
        self.outputs.iter().flatten()
    }

    /// Takes what is there; beyond the limit it is read and dropped, so that the command goes on.
    pub fn pump(&mut self) {
        let mut chunk = vec![0; 16 * 1024];
        for (slot, text) in self.outputs.iter_mut().zip(&mut self.texts) {
            let Some(file) = slot else { continue };
            loop {
                match file.read(&mut chunk) {
                    Ok(0) => {
                        *slot = None;
                        break;
                    }
                    Ok(n) => {
                        let room = EXEC_OUTPUT_LIMIT.saturating_sub(text.len()).min(n);
                        text.extend_from_slice(&chunk[..room]);
                        if room < n {
                            self.truncated = true;
                            break;
                        }
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => {
                        *slot = None;
                        break;
                    }
                }
            }
        }
    }

    /// The answer, once the command ended with `code`. Does not wait for the end of its output: a
    /// process it left behind may hold that open for ever.
    pub fn finish(mut self, code: i32) -> ExecResult {
        self.pump();
        let [stdout, stderr] = self.texts;
        ExecResult { code, stdout, stderr, truncated: self.truncated, timed_out: self.timed_out }
    }
}
