//! The real kubectl, oldest and newest of those installed, run on a host of the lab.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{host::Host, process::run};

/// A kubectl with a kubeconfig, on one host.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    host: Host,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// The oldest and the newest kubectl of this machine: `kubectl.1.27` … beside what `kubectl` on PATH
/// links to, or that one alone. Empty when there is none.
pub fn installed() -> Vec<PathBuf> {
    let Some(found) = on_path() else {
        eprintln!("skipped: there is no kubectl on PATH");
        return Vec::new();
    };
    let real = std::fs::canonicalize(&found).unwrap_or(found);
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(real.parent().expect("a directory"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix("kubectl.1.")?.parse().ok()?, entry.path()))
        })
        .collect();
    versions.sort();
    match (versions.first(), versions.last()) {
        (Some((a, oldest)), Some((b, newest))) if a != b => vec![oldest.clone(), newest.clone()],
        (Some((_, only)), _) => vec![only.clone()],
        _ => vec![real],
    }
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join("kubectl"))
        .find(|path| path.is_file())
}

impl Kubectl {
    /// A kubectl that reads `kubeconfig` on `host`.
    pub fn new(program: &Path, host: &Host, kubeconfig: &Path, cache: &Path) -> Self {
        Self {
            program: program.to_path_buf(),
            host: host.clone(),
            kubeconfig: kubeconfig.to_path_buf(),
            cache: cache.to_path_buf(),
        }
    }

    /// The command for `args`, not started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.host.command(&self.program.to_string_lossy());
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--cache-dir={}", self.cache.display()))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl; `line` is split at spaces.
    ///
    /// # Errors
    /// What it printed, when it fails.
    pub fn run(&self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        run(&mut self.command(&words))
    }

    /// Runs kubectl and panics with what it printed when it fails.
    pub fn ok(&self, line: &str) -> String {
        self.run(line).unwrap_or_else(|e| panic!("kubectl {line}: {e}"))
    }

    /// Runs kubectl with `input` on its standard input.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub fn pipe(&self, line: &str, input: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut child = self
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(input.as_bytes())
            .map_err(|e| e.to_string())?;
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(format!("{}{text}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}
