//! Child processes that end with the test, also when it panics.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a process may take to end after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A running program whose output goes to a file.
pub struct Process {
    child: Child,
    /// Where its output goes.
    pub log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("log file");
        command.stdin(Stdio::null());
        command.stdout(file.try_clone().expect("log file"));
        command.stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Self { child, log: log.to_path_buf() }
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pid")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // The process may just have ended; the test notices that elsewhere.
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Kills with SIGKILL and reaps.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Asks with SIGTERM, then kills.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < END_LIMIT {
            if !self.is_running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// True until the process has ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines of its output.
    pub fn tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// Standard error and output, when it fails.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{command:?}: {}{text}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Runs a command line split at spaces.
///
/// # Errors
/// As [`run`].
pub fn sh(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    run(Command::new(words.next().expect("a command")).args(words))
}
